// Pins the bytes of every message and of the beacon. A difference is a change of the protocol: see
// schemas/protocol.md, "Versions", before CSA_REWRITE=1 writes the files anew.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "common/codec.h"
#include "tests/support/sample_messages.h"

namespace csa::golden_test {
namespace {

namespace fs = std::filesystem;

fs::path file_of(const std::string& name) {
  return fs::path(CSA_SOURCE_DIR) / "tests" / "golden" / (name + ".hex");
}

// 32 bytes a line.
std::string lines_of(ByteView bytes) {
  const std::string hex = to_hex(bytes);
  std::string text;
  for (std::size_t at = 0; at < hex.size(); at += 64) text += hex.substr(at, 64) + "\n";
  return text;
}

std::string stored(const std::string& name) {
  std::ifstream in(file_of(name));
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void check_bytes(const std::string& name, ByteView bytes) {
  CAPTURE(name);
  if (std::getenv("CSA_REWRITE") != nullptr) std::ofstream(file_of(name)) << lines_of(bytes);
  CHECK(stored(name) == lines_of(bytes));
}

Bytes stored_bytes(const std::string& name) {
  std::string hex = stored(name);
  std::erase(hex, '\n');
  const std::optional<Bytes> bytes = from_hex(hex);
  REQUIRE(bytes.has_value());
  return *bytes;
}

}  // namespace

TEST_CASE("golden: every message, has the pinned bytes and is read from them") {
  for (const testing::Sample& sample : testing::sample_messages()) {
    check_bytes(sample.name, encode(sample.message));
    const Result<Message> read = decode(stored_bytes(sample.name));
    REQUIRE_MESSAGE(read.has_value(), read.error().what);
    CHECK(*read == sample.message);
  }
}

// Another version of zstd may write other bytes, and every version must read these.
TEST_CASE("golden: a compressed message, is read from the pinned bytes") {
  const testing::Sample sample = testing::compressed_sample();
  if (std::getenv("CSA_REWRITE") != nullptr) check_bytes(sample.name, encode(sample.message));
  const Bytes frame = stored_bytes(sample.name);
  REQUIRE(frame.size() > 12);
  CHECK(to_hex(ByteView(frame).subspan(8, 4)) == "28b52ffd");
  const Result<Message> read = decode(frame);
  REQUIRE_MESSAGE(read.has_value(), read.error().what);
  CHECK(*read == sample.message);
}

TEST_CASE("golden: beacon, has the pinned bytes and is read from them") {
  check_bytes("beacon", encode(testing::sample_beacon()));
  const Result<Beacon> read = decode_beacon(stored_bytes("beacon"));
  REQUIRE(read);
  CHECK(*read == testing::sample_beacon());
}

TEST_CASE("golden: hashes that are stored or compared, are pinned") {
  const Write write{{NodeId{}, 1}, "UPDATE t SET a=?", {std::int64_t{1}}, 1};
  check_bytes("request_hash", request_hash(write).bytes);
  EntryHeader header;
  header.seq = Seq{1};
  ChainHasher chain(Chain{}, header);
  chain.update(as_bytes("changeset"));
  check_bytes("chain", chain.digest().value.bytes);
  check_bytes("cluster_id", cluster_id("csa", "default").bytes);
}

TEST_CASE("golden: files, each belongs to a test") {
  std::set<std::string> names = {"beacon", "request_hash", "chain", "cluster_id",
                                 testing::compressed_sample().name};
  for (const testing::Sample& sample : testing::sample_messages()) names.insert(sample.name);
  for (const auto& entry : fs::directory_iterator(file_of("x").parent_path())) {
    if (entry.path().extension() != ".hex") continue;
    CHECK_MESSAGE(names.contains(entry.path().stem().string()), entry.path().string());
  }
}

}  // namespace csa::golden_test
