#include "common/codec_pieces.h"

#include "common/codec.h"

namespace csa::codec {

std::optional<Chain> following_chain(const LogPiece& before, const LogPiece& piece) {
  if (piece.offset != 0 || !piece.completes()) return std::nullopt;
  ChainHasher chain(before.chain, piece.header);
  chain.update(piece.bytes);
  return chain.digest();
}

}  // namespace csa::codec
