// A beacon that decodes is encoded to the same bytes.
#include "common/beacon.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace csa;
  const Result<Beacon> beacon = decode_beacon({data, size});
  if (!beacon) return 0;
  fuzz::prove_same(encode(*beacon), {data, size}, "beacon: other bytes came back");
  return 0;
}
