#include "common/codec_packing.h"

#include <doctest/doctest.h>
#include <zstd.h>

#include <random>
#include <thread>

#include "common/codec.h"
#include "common/limits.h"
#include "tests/support/sample_messages.h"

namespace csa::codec_packing_test {
namespace {

constexpr std::size_t kMost = 100'000;

// Like a log: values that come again.
Bytes compressible(std::size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    const bool again = i >= 100 && random() % 8 != 0;
    bytes[i] = again ? bytes[i - 100] : static_cast<std::uint8_t>(random());
  }
  return bytes;
}

Bytes incompressible(std::size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

Bytes packed(Bytes body) {
  codec::pack_body(body, 0);
  REQUIRE(codec::is_packed(body));
  return body;
}

std::string refusal(ByteView body) {
  REQUIRE(codec::is_packed(body));
  const Result<Bytes> unpacked = codec::unpack_body(body, kMost);
  if (unpacked) return "";
  CHECK(unpacked.error().code == Errc::kMalformed);
  return unpacked.error().what;
}

// By zstd itself, with one parameter of the frame set.
Bytes foreign(const Bytes& content, ZSTD_cParameter parameter, int value) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  REQUIRE(ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), parameter, value)) == 0);
  Bytes frame(ZSTD_compressBound(content.size()));
  const std::size_t size = ZSTD_compress2(context.get(), frame.data(), frame.size(),
                                          content.data(), content.size());
  REQUIRE(ZSTD_isError(size) == 0);
  frame.resize(size);
  return frame;
}

Bytes joined(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

TEST_CASE("packing: bodies of any size, come back as they were") {
  std::mt19937_64 random(1);
  for (const std::size_t size : {512U, 513U, 1000U, 5000U, 99'999U, 100'000U}) {
    CAPTURE(size);
    const Bytes body = compressible(size, random);
    const Bytes small = packed(body);
    CHECK(small.size() < size * 15 / 16);
    const Result<Bytes> back = codec::unpack_body(small, kMost);
    REQUIRE_MESSAGE(back, back.error().what);
    CHECK(*back == body);
  }
}

TEST_CASE("packing: what is short or gets no shorter, stays as it is") {
  std::mt19937_64 random(2);
  for (const Bytes& body : {Bytes(511, 7), incompressible(512, random),
                            incompressible(70'000, random), Bytes{}}) {
    Bytes same = body;
    codec::pack_body(same, 0);
    CHECK(same == body);
  }
  Bytes frame = Bytes(10'000, 7);
  codec::pack_body(frame, 8);
  CHECK(frame.size() < 100);
  CHECK(Bytes(frame.begin(), frame.begin() + 8) == Bytes(8, 7));
}

TEST_CASE("packing: equal bodies, have equal results whatever was packed before, in any thread") {
  std::mt19937_64 random(3);
  const Bytes body = compressible(50'000, random);
  const Bytes first = packed(body);
  for (int round = 0; round < 20; ++round) {
    Bytes other = compressible(512 + random() % 200'000, random);
    codec::pack_body(other, 0);
    CHECK(packed(body) == first);
  }
  Bytes elsewhere = body;
  std::thread([&] { codec::pack_body(elsewhere, 0); }).join();
  CHECK(elsewhere == first);
}

TEST_CASE("packing: a row that comes again a megabyte later, is found") {
  std::mt19937_64 random(4);
  const Bytes body = incompressible(400'000, random);
  CHECK(packed(joined(body, body)).size() < 450'000);
}

TEST_CASE("packing: a body cut anywhere, or with bytes behind it, is refused") {
  std::mt19937_64 random(5);
  const Bytes whole = packed(compressible(3000, random));
  for (std::size_t size = 5; size < whole.size(); ++size) {
    REQUIRE(!refusal(ByteView(whole).first(size)).empty());
  }
  CHECK(refusal(whole).empty());
  CHECK(refusal(joined(whole, {0})).find("not one whole frame") != std::string::npos);
  CHECK(refusal(joined(whole, whole)).find("not one whole frame") != std::string::npos);
  const Bytes skippable = {0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9};
  CHECK(refusal(joined(whole, skippable)).find("not one whole frame") != std::string::npos);
}

TEST_CASE("packing: wrong bits and noise, are refused or give no more than may be") {
  std::mt19937_64 random(6);
  const Bytes whole = packed(compressible(2000, random));
  const auto harmless = [](const Bytes& body) {
    if (!codec::is_packed(body)) return true;
    const Result<Bytes> unpacked = codec::unpack_body(body, kMost);
    return unpacked ? unpacked->size() <= kMost : unpacked.error().code == Errc::kMalformed;
  };
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Bytes flipped = whole;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    REQUIRE(harmless(flipped));
  }
  for (int round = 0; round < 20'000; ++round) {
    Bytes noisy = whole;
    const std::size_t wrong = 1 + random() % 6;
    for (std::size_t i = 0; i < wrong; ++i) {
      noisy[4 + random() % (noisy.size() - 4)] = static_cast<std::uint8_t>(random());
    }
    noisy.resize(noisy.size() - (random() % 4 == 0 ? random() % 200 : 0));
    REQUIRE(harmless(noisy));
  }
}

TEST_CASE("packing: frames of zstd that are not ours, are refused with the reason") {
  std::mt19937_64 random(7);
  const Bytes content = compressible(90'000, random);
  CHECK(refusal(foreign(content, ZSTD_c_checksumFlag, 1)).empty());  // proved by zstd
  CHECK(refusal(foreign(content, ZSTD_c_windowLog, 12)).find("window") != std::string::npos);
  CHECK(refusal(foreign(content, ZSTD_c_contentSizeFlag, 0)).find("window") != std::string::npos);
  const Bytes large = foreign(Bytes(kMost + 1, 0), ZSTD_c_checksumFlag, 0);
  CHECK(refusal(large) ==
        "A compressed body cannot be unpacked: 100001 bytes are more than a frame holds.");
  Bytes dictionary = packed(content);
  dictionary[4] |= 1U;
  CHECK(refusal(dictionary).find("dictionary") != std::string::npos);
  // 2^63 bytes, in the header's widest form, and one block of them.
  const Bytes huge = {0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80, 3, 0, 0, 7};
  CHECK(refusal(huge).find("more than a frame holds") != std::string::npos);
  // A size that is true of nothing: more and less than there is.
  Bytes wrong = packed(Bytes(1000, 7));
  wrong[5] ^= 1U;
  CHECK(refusal(wrong).find("damaged") != std::string::npos);
}

TEST_CASE("packing: a compressed body inside a compressed body, is no message") {
  Bytes frame = encode(testing::compressed_sample().message);
  Bytes body(frame.begin() + 8, frame.end() - 8);
  REQUIRE(codec::is_packed(body));
  body = foreign(body, ZSTD_c_checksumFlag, 0);
  frame.resize(8);
  frame[6] = static_cast<std::uint8_t>(body.size() >> 8U);
  frame[7] = static_cast<std::uint8_t>(body.size());
  frame.insert(frame.end(), body.begin(), body.end());
  const std::uint64_t sum = hash64(frame);
  for (int i = 7; i >= 0; --i) frame.push_back(static_cast<std::uint8_t>(sum >> (8 * i)));
  const Result<Message> message = decode(frame);
  REQUIRE(!message);
  CHECK(message.error().what == "decode LOG: is no array");
}

TEST_CASE("packing: a message that fits a frame only because it is compressed, is refused") {
  // ADMIN_REPLY with a text of zeros.
  for (const std::size_t most : {limits::kFrameMax - 16, limits::kFrameMax - 15}) {
    Bytes body = {0x94, 1, 0xC3, 0xA0, 0xDB, 0, 0, 0, 0};
    const std::size_t text = most - body.size();
    for (std::size_t i = 0; i < 4; ++i) {
      body[5 + i] = static_cast<std::uint8_t>(text >> (8 * (3 - i)));
    }
    body.resize(most);
    codec::pack_body(body, 0);
    Bytes frame = {0xC5, 0x5A, kProtocolVersion, 41, 0, 0, 0, 0};
    frame[6] = static_cast<std::uint8_t>(body.size() >> 8U);
    frame[7] = static_cast<std::uint8_t>(body.size());
    frame.insert(frame.end(), body.begin(), body.end());
    const std::uint64_t sum = hash64(frame);
    for (int i = 7; i >= 0; --i) frame.push_back(static_cast<std::uint8_t>(sum >> (8 * i)));
    CHECK(decode(frame).has_value() == (most == limits::kFrameMax - 16));
  }
}

}  // namespace csa::codec_packing_test
