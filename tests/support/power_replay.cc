#include "tests/support/power_replay.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "tests/support/power_log.h"

namespace csa::test {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kBlock = 4096;

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

NameChange names_of(std::string_view bytes) {
  NameChange change;
  while (bytes.size() >= sizeof(PowerName)) {
    PowerName name{};
    std::memcpy(&name, bytes.data(), sizeof name);
    bytes.remove_prefix(sizeof name);
    const std::string_view text = bytes.substr(0, name.length);
    change.emplace_back(text, name.inode_before);
    bytes.remove_prefix(text.size());
  }
  return change;
}

void sync_folder(Recorded& recorded, std::string_view folder) {
  for (std::size_t i = recorded.names.size(); i > recorded.lasting; --i) {
    const NameChange& change = recorded.names[i - 1];
    if (std::ranges::any_of(change,
                            [&](const auto& name) { return folder_of(name.first) == folder; })) {
      recorded.lasting = i;
    }
  }
}

void take(Recorded& recorded, const PowerRecord& record, std::string_view bytes) {
  switch (record.kind) {
    case PowerKind::kWrite:
    case PowerKind::kResize:
      recorded.changes[record.inode].push_back({record.kind == PowerKind::kResize, record.offset,
                                                record.length, record.size_before,
                                                std::string(bytes)});
      break;
    case PowerKind::kSync:
      recorded.changes.erase(record.inode);
      break;
    case PowerKind::kNames:
      recorded.names.push_back(names_of(bytes));
      break;
    case PowerKind::kFolderSync:
      sync_folder(recorded, bytes);
      break;
    case PowerKind::kShared:
      recorded.shared.emplace(bytes);
      break;
  }
}

void overwrite(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

// A change's bytes, and the size that it left.
struct Made {
  std::string bytes;
  std::uint64_t size = 0;
};

// Takes all changes back; what they had done, in their order.
std::vector<Made> roll_back(std::string& content, const std::vector<FileChange>& changes) {
  std::vector<Made> made(changes.size());
  for (std::size_t i = changes.size(); i > 0; --i) {
    const FileChange& change = changes[i - 1];
    Made& done = made[i - 1];
    done.size = content.size();
    if (!change.resize && change.offset < content.size()) {
      done.bytes = content.substr(change.offset, change.length);
    }
    overwrite(content, change.offset, change.old);
    content.resize(change.size_before);
  }
  return made;
}

}  // namespace

void Forgotten::add(const Forgotten& other) {
  changes += other.changes;
  bytes += other.bytes;
  names += other.names;
}

Recorded read_power_log(std::string_view records) {
  Recorded recorded;
  PowerRecord record{};
  while (records.size() >= sizeof record) {
    std::memcpy(&record, records.data(), sizeof record);
    if (records.size() - sizeof record < record.bytes) break;
    take(recorded, record, records.substr(sizeof record, record.bytes));
    const std::size_t whole = (sizeof record + record.bytes + 7) / 8 * 8;
    records.remove_prefix(std::min(whole, records.size()));
  }
  return recorded;
}

void undo_names(Names& names, const Recorded& recorded, std::size_t kept) {
  for (std::size_t i = recorded.names.size(); i > kept; --i) {
    for (const auto& [name, inode] : recorded.names[i - 1]) {
      if (inode == 0) {
        names.erase(name);
      } else {
        names[name] = inode;
      }
    }
  }
}

Forgetter::Forgetter(std::uint64_t seed) : random_(seed), everything_(below(3) == 0) {}

Forgetter::Way Forgetter::way() { return everything_ ? Way::kAll : static_cast<Way>(below(5)); }

std::size_t Forgetter::kept_names(const Recorded& recorded) {
  const std::size_t open = recorded.names.size() - recorded.lasting;
  const std::size_t kept =
      recorded.lasting + (everything_ ? 0 : static_cast<std::size_t>(below(open + 1)));
  forgotten_.names += recorded.names.size() - kept;
  return kept;
}

std::string Forgetter::content(std::string content, const std::vector<FileChange>& changes,
                               Way way) {
  const std::vector<Made> made = roll_back(content, changes);
  const std::size_t sizes =
      way == Way::kAll ? 0 : static_cast<std::size_t>(below(changes.size() + 1));
  // Where a cut is forgotten, so is what came behind it later: it lies in other blocks.
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const FileChange& change = changes[i];
    const bool sized = i < sizes;
    if (change.resize) {
      if (sized) {
        content.resize(made[i].size);
      } else {
        ++forgotten_.changes;
        limit = std::min(limit, change.offset);
      }
      continue;
    }
    if (sized) content.resize(std::max<std::uint64_t>(content.size(), made[i].size));
    if (way == Way::kAll || (way == Way::kLast && !sized)) {
      ++forgotten_.changes;
      forgotten_.bytes += made[i].bytes.size();
    } else {
      keep_pieces(content, change, made[i].bytes, std::min<std::uint64_t>(limit, content.size()),
                  way);
    }
  }
  return content;
}

void Forgetter::keep_pieces(std::string& content, const FileChange& change,
                            const std::string& written, std::uint64_t limit, Way way) {
  const std::uint64_t unit = way == Way::kSectors ? kSector : kBlock;
  const std::uint64_t end = change.offset + written.size();
  std::size_t dropped = 0;
  for (std::uint64_t at = change.offset; at < end;) {
    const bool whole = way == Way::kLast || way == Way::kWrites;
    const std::uint64_t next = whole ? end : std::min(end, (at / unit + 1) * unit);
    const std::uint64_t kept =
        way == Way::kLast || below(2) == 0 ? std::min(std::max(limit, at), next) : at;
    if (kept > at)
      overwrite(content, at, std::string_view(written).substr(at - change.offset, kept - at));
    dropped += next - kept;
    at = next;
  }
  if (dropped > 0) ++forgotten_.changes;
  forgotten_.bytes += dropped;
}

}  // namespace csa::test
