#include "common/codec_packing.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/limits.h"

namespace csa::codec {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {0x28, 0xB5, 0x2F, 0xFD};
// Shorter ones fit one packet anyway, and are those that somebody waits for.
constexpr std::size_t kPackMin = 512;
constexpr std::size_t kGain = 16;  // one in so many bytes must be saved
constexpr int kLevel = 1;
// All of a body is in reach of its end, and so frames are single segments.
constexpr int kWindowLog = std::bit_width(limits::kFrameMax - 1);
// Rows of some kB come again in the inbox: that far back, level 1 alone forgets many of them.
constexpr int kHashLog = 16;

// Frame_Header_Descriptor, the octet behind the magic number (RFC 8878, 3.1.1.1.1).
constexpr std::uint8_t kSingleSegment = 0x20;
constexpr std::uint8_t kDictionary = 0x03;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context;
  if (context) return context.get();
  context.reset(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  for (const auto& [parameter, value] :
       {std::pair(ZSTD_c_compressionLevel, kLevel), std::pair(ZSTD_c_windowLog, kWindowLog),
        std::pair(ZSTD_c_hashLog, kHashLog)}) {
    CSA_CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), parameter, value)) == 0);
  }
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context;
  if (!context) context.reset(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

Error unpackable(const std::string& why) {
  return {Errc::kMalformed, "A compressed body cannot be unpacked: " + why + "."};
}

}  // namespace

void pack_body(Bytes& frame, std::size_t start) {
  const std::size_t size = frame.size() - start;
  if (size < kPackMin) return;
  const std::size_t room = size - size / kGain;
  frame.resize(start + size + room);
  std::uint8_t* const body = frame.data() + start;
  const std::size_t packed = ZSTD_compress2(compressor(), body + size, room, body, size);
  if (ZSTD_isError(packed) != 0) {  // no room for it: it stays as it is
    frame.resize(start + size);
    return;
  }
  std::copy_n(body + size, packed, body);
  frame.resize(start + packed);
}

bool is_packed(ByteView body) {
  return body.size() > kMagic.size() && std::equal(kMagic.begin(), kMagic.end(), body.begin());
}

Result<Bytes> unpack_body(ByteView packed, std::size_t most) {
  CSA_CHECK(is_packed(packed));
  const std::uint8_t descriptor = packed[kMagic.size()];
  if ((descriptor & kSingleSegment) == 0) return unpackable("its window is not its content");
  if ((descriptor & kDictionary) != 0) return unpackable("it asks for a dictionary");
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) {
    return unpackable("it does not declare its size");
  }
  if (size > most) return unpackable(std::to_string(size) + " bytes are more than a frame holds");
  // Goes by the blocks' headers: nothing is allocated for a frame that is not whole.
  if (ZSTD_findFrameCompressedSize(packed.data(), packed.size()) != packed.size()) {
    return unpackable("it is not one whole frame of zstd");
  }
  Bytes body(static_cast<std::size_t>(size));
  const std::size_t done =
      ZSTD_decompressDCtx(decompressor(), body.data(), body.size(), packed.data(), packed.size());
  if (ZSTD_isError(done) != 0 || done != body.size()) return unpackable("it is damaged");
  return body;
}

}  // namespace csa::codec
