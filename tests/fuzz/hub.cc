// Frames of several peers, with time and the stores' answers between them: the hub stays within
// its bounds, and all that it says is valid.
#include "common/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/hub_stores.h"

namespace csa::fuzz::hub_target {
namespace {

using namespace csa::hub_bench;

void step(Bench& bench, Stores& stores, fuzz::Choices& input) {
  const PeerKey from(1, static_cast<char>('a' + input.below(6)));
  switch (input.below(12)) {
    case 0:
      bench.hub.on_unreachable(from, bench.now);
      break;
    case 1:
      bench.hub.on_malformed(from, Error{Errc::kUnknownType, "type 99"}, Origin{}, bench.now);
      break;
    case 2:
      bench.hub.on_subscribed(as_text(input.block()), bench.now);
      break;
    case 3:
      bench.pass(std::chrono::milliseconds(input.byte() * 200));
      fuzz::prove(bench.hub.deadline() > bench.now, "hub: a deadline that does not pass");
      break;
    case 4:
    case 5:
      answer_some(bench, stores, [&] { return input.byte(); });
      break;
    case 6:
      bench.say(
          from,
          hello(static_cast<std::uint8_t>(input.below(4)), static_cast<Role>(1 + input.below(3))),
          input.below(2) == 0);
      break;
    default: {
      const bool local = input.below(2) == 0;
      Result<std::vector<Message>> messages = decode_joined(fuzz::sealed_frame(input.block()));
      if (!messages) {
        bench.hub.on_malformed(from, messages.error(), Origin{}, bench.now);
        break;
      }
      for (Message& message : *messages) bench.say(from, std::move(message), local);
    }
  }
  bench.take();
  carry_out(bench, stores);
}

}  // namespace

CSA_FUZZ_TARGET(hub) {
  HubConfig config = hub_bench::config();
  Bench bench(config);
  Stores stores;
  fuzz::Choices input({data, size});
  while (!input.empty()) step(bench, stores, input);
  fuzz::prove(bench.hub.nodes().size() <= 6, "hub: more nodes than peers");
  bench.hub.stop("end", bench.now);
  bench.take();
  carry_out(bench, stores);
  if (!stores.commits.empty()) bench.commit(bench.result_of(stores.commits[0]));
  fuzz::prove(bench.hub.deadline() == TimePoint::max(), "hub: it does not end");
  return 0;
}

}  // namespace csa::fuzz::hub_target
