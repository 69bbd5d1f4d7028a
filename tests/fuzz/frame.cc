// A frame that decodes is encoded to a frame that decodes to the same message; so are joined ones.
#include "common/codec.h"
#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::frame_target {
namespace {

void meet(ByteView frame) {
  (void)split_topic(frame);
  const Result<std::vector<Message>> messages = decode_joined(frame);
  if (!messages) {
    fuzz::prove(!messages.error().what.empty(), "frame: an error without a sentence");
    return;
  }
  fuzz::prove(!messages->empty(), "frame: no message");
  std::vector<const Message*> joined;
  for (const Message& message : *messages) {
    const Bytes again = encode(message);
    const Result<Message> read = decode(again);
    fuzz::prove(read.has_value(), "frame: what was encoded does not decode");
    fuzz::prove_same(encode(*read), again, "frame: another message came back");
    joined.push_back(&message);
  }
  if (joins(messages->front())) {
    const JoinedFrame together = encode_joined(joined);
    const Result<std::vector<Message>> read = decode_joined(together.frame);
    fuzz::prove(read.has_value() && read->size() == together.count, "frame: joined, not read");
  }
}

}  // namespace

CSA_FUZZ_TARGET(frame) {
  meet({data, size});
  meet(fuzz::sealed_frame({data, size}));
  return 0;
}

}  // namespace csa::fuzz::frame_target
