// Writes the binary files of tests/fuzz/corpus that come of the tests' samples: make_corpus FOLDER.
// Files of people's text (rules, sql, statements), and what libFuzzer found, are written by hand.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "common/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/hand_master.h"
#include "tests/support/hostile_journal.h"
#include "tests/support/sample_messages.h"
#include "tests/unit/hub_bench.h"

namespace {

using namespace csa;

std::filesystem::path root;

void write(const std::string& target, const std::string& name, ByteView bytes) {
  std::filesystem::create_directories(root / target);
  std::ofstream(root / target / name, std::ios::binary) << as_text(bytes);
}

// As Choices::block reads it.
void add_block(Bytes& to, ByteView bytes) {
  to.push_back(static_cast<std::uint8_t>(bytes.size() >> 8U));
  to.push_back(static_cast<std::uint8_t>(bytes.size()));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void write_messages() {
  std::vector<csa::testing::Sample> samples = csa::testing::sample_messages();
  samples.push_back(csa::testing::compressed_sample());
  Bytes all;
  for (const auto& sample : samples) {
    const Bytes frame = encode(sample.message);
    write("frame", sample.name, frame);
    if (std::holds_alternative<Hello>(sample.message)) continue;
    Bytes steps = {0, 6, 0, 0, 0};  // peer a greets as a node, or as an admin on the host
    if (frame.size() > 3 && (frame[3] == 40 || frame[3] == 17 || frame[3] == 18)) steps[3] = 2;
    const Bytes frame_step = {0, 7, 0};
    steps.insert(steps.end(), frame_step.begin(), frame_step.end());
    add_block(steps, frame);
    const Bytes answers = {0, 4, 0, 0, 0, 0, 0, 3, 20};
    steps.insert(steps.end(), answers.begin(), answers.end());
    write("hub", sample.name, steps);
    if (all.size() < 2000) all.insert(all.end(), steps.begin(), steps.end());
  }
  write("hub", "many", all);
  const Bytes compressed = encode(csa::testing::compressed_sample().message);
  write("packing", "body", ByteView(compressed).subspan(8, compressed.size() - 16));
  write("packing", "plain", Bytes(700, 7));
  write("packing", "mixed", as_bytes(std::string(60, '-') + R"({"table":"part"})"));
  write("beacon", "announce", encode(csa::testing::sample_beacon()));
  Beacon probe;
  probe.protocol_max = 1;
  write("beacon", "probe", encode(probe));
}

// A body for each of the three readers of changes.
void write_changes(const std::string& name, ByteView body) {
  write("changeset", name, body);
  Bytes journal;
  add_block(journal, body);
  add_block(journal, body);
  write("journal", name, journal);
  Bytes log = {0};
  add_block(log, body);
  log.push_back(0x20);
  add_block(log, body);
  write("log", name, log);
}

void write_journals() {
  using namespace csa::test;
  RowChange update = inserted(kPart, {num(1)}, {num(1), str("bolt"), num(6)});
  update.op = RowOp::kUpdate;
  update.old_values = {std::nullopt, str("bolt"), num(5)};
  RowChange gone = inserted(kBin, {num(1)}, {num(1), num(1), Value{1.5}});
  gone.op = RowOp::kDelete;
  gone.old_values = std::exchange(gone.new_values, {});
  ChangeTable content = table_of("doc_content", {"id", "c0", "c1"}, {0});
  content.owner = {"doc", "fts5(title, body)", {"title", "body"}};
  write_changes(
      "rows",
      Hostile::encoded({{kPart, inserted(kPart, {num(30)}, {num(30), str("washer"), num(4)}, true)},
                        {kBin, inserted(kBin, {num(3)}, {num(3), num(30), num(1)}, true)},
                        {kPart, update},
                        {kBin, gone},
                        {kTag, inserted(kTag, {str("z"), num(4)}, {str("z"), num(4), num(1)})}}));
  write_changes("document",
                Hostile::encoded(
                    {{content, inserted(content, {num(2)}, {num(2), str("four"), str("five")})}}));
  write_changes("update", Hostile::encoded({{kPart, update}}));
}

void write_log() {
  const ScratchFolder folder;
  HandMaster master(folder.path(), csa::test::kHostileSchema);
  const std::vector<std::pair<std::string, std::string>> stories = {
      {"insert", "INSERT INTO part (name) VALUES ('x'); INSERT INTO bin (part, at) VALUES (3, 2)"},
      {"cascade", "UPDATE part SET id = id + 10; DELETE FROM tag; DELETE FROM code"},
      {"words", "INSERT INTO doc VALUES ('a b', 'c'); UPDATE note SET text = 'new'"},
      {"boxes", "INSERT INTO box VALUES (2, 3, 4); DELETE FROM box WHERE id = 1"}};
  for (const auto& [name, sql] : stories) {
    const Seq before = master.meta().position.seq;
    master.exec(sql);
    write_changes("log-" + name, master.after(before).front().bytes);
  }
  const Seq before = master.meta().position.seq;
  master.migrate("ALTER TABLE hard ADD COLUMN more TEXT");
  write_changes("log-schema", master.after(before).front().bytes);
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::cerr << "usage: " << words[0] << " FOLDER\n";
    return 2;
  }
  root = words[1];
  write_messages();
  write_journals();
  write_log();
  write("snapshot", "whole", Bytes{0});
  write("snapshot", "header", Bytes{2, 0, 16, 1, 2, 0, 0, 3, 7, 200, 0, 1, 255, 3, 20});
  write("snapshot", "short", Bytes{0, 1, 200, 3, 9, 5, 1, 2, 3, 4, 5});
  return 0;
}
