// A compressed body is unpacked to no more than is allowed, or refused in words; what is packed
// comes back.
#include "common/codec_packing.h"
#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::packing_target {

CSA_FUZZ_TARGET(packing) {
  const ByteView input{data, size};
  constexpr std::size_t kMost = 100'000;
  if (codec::is_packed(input)) {
    const Result<Bytes> body = codec::unpack_body(input, kMost);
    if (body) {
      fuzz::prove(body->size() <= kMost, "packing: more than allowed");
    } else {
      fuzz::prove(!body.error().what.empty(), "packing: an error without a sentence");
    }
    return 0;
  }
  Bytes frame(input.begin(), input.end());
  codec::pack_body(frame, 0);
  if (codec::is_packed(frame)) {
    const Result<Bytes> body = codec::unpack_body(frame, size);
    fuzz::prove(body.has_value(), "packing: what was packed is refused");
    fuzz::prove_same(*body, input, "packing: another body came back");
    return 0;
  }
  fuzz::prove_same(frame, input, "packing: changed and not packed");
  return 0;
}

}  // namespace csa::fuzz::packing_target
