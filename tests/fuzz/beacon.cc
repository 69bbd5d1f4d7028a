// A beacon that decodes is encoded to the same bytes.
#include "common/beacon.h"

#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::beacon_target {

CSA_FUZZ_TARGET(beacon) {
  const Result<Beacon> beacon = decode_beacon({data, size});
  if (!beacon) return 0;
  fuzz::prove_same(encode(*beacon), {data, size}, "beacon: other bytes came back");
  return 0;
}

}  // namespace csa::fuzz::beacon_target
