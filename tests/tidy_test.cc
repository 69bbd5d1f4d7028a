// The rules of the house, checked on the tree itself: sizes, arrows between layers, banned calls,
// and that no test is left out of the build. CSA_SOURCE_DIR is the root.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct SourceFile {
  std::string path;  // from the root
  std::vector<std::string> lines;
};

std::vector<SourceFile> sources() {
  const fs::path root = CSA_SOURCE_DIR;
  std::vector<SourceFile> files;
  for (const char* const folder : {"broker", "common", "node", "tools", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cc" && extension != ".h") continue;
      SourceFile file{fs::relative(entry.path(), root).string(), {}};
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) file.lines.push_back(line);
      files.push_back(std::move(file));
    }
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

// The code of a line: comments and string literals blanked out, so that words in them do not count.
std::string code_of(const std::string& line) {
  static const std::regex kNoise(R"re("(?:[^"\\]|\\.)*"|//.*)re");
  return std::regex_replace(line, kNoise, "");
}

struct Ban {
  std::regex pattern;
  std::string why;
  std::function<bool(const std::string& path)> applies;
};

bool in_tests(const std::string& path) { return starts_with(path, "tests/"); }

bool is_core(const std::string& path) {
  static const std::regex kCore(
      "(broker/(hub|peer|jobs|merge_row)|node/(session|jobs)|common/"
      "(uplink|stream|discovery))[a-z_]*\\.(h|cc)");
  return std::regex_match(path, kCore);
}

bool is_shell(const std::string& path) {
  static const std::regex kShell(
      "(common/(zmq|dialer|net|beacon_port|mailbox)|broker/(server|serve|main)|"
      "node/(link|client|door_server|door_client|guest|store_thread)|tools/)[a-z_]*.*");
  return std::regex_match(path, kShell);
}

std::vector<Ban> bans() {
  const auto product = [](const std::string& path) { return !in_tests(path); };
  const auto not_file = [](std::string stem) {
    return [stem = std::move(stem)](const std::string& path) {
      return !in_tests(path) && !starts_with(path, stem);
    };
  };
  std::vector<Ban> list;
  list.push_back({std::regex(R"((system|steady)_clock::now)"), "read the clock in system_clock.h",
                  [](const std::string& path) { return path != "common/system_clock.h"; }});
  list.push_back({std::regex(R"(\b(sleep_for|sleep_until|usleep|nanosleep)\b)"),
                  "wait for a condition with a deadline", [](const std::string&) { return true; }});
  list.push_back({std::regex(R"(\bs?rand\()"), "use random.h or an injected engine",
                  [](const std::string&) { return true; }});
  list.push_back({std::regex(R"(#include <zmq)"), "zmq belongs to the shells",
                  [](const std::string& path) { return !in_tests(path) && !is_shell(path); }});
  list.push_back({std::regex(R"(#include <msgpack)"), "msgpack belongs to the codec",
                  not_file("common/codec")});
  list.push_back({std::regex(R"(#include <zstd)"), "zstd belongs to the codec",
                  not_file("common/codec_packing")});
  list.push_back({std::regex(R"(sqlite3_preupdate)"), "the hook belongs to capture",
                  not_file("common/capture")});
  list.push_back(
      {std::regex(R"(sqlite3(session|changeset)_)"), "sessions are the tests' oracle", product});
  list.push_back(
      {std::regex(R"(std::cout)"), "results are printed by mains",
       [](const std::string& path) { return starts_with(path, "common/") || is_core(path); }});
  // The three write to a file that is no replica yet.
  list.push_back({std::regex(R"(\bTransaction [a-z_]+\()"), "a replica counts its commits",
                  [](const std::string& path) {
                    static const std::regex kReplica(
                        "node/(?!replica_file|install|lost_history).*|common/log_applier.*");
                    return std::regex_match(path, kReplica);
                  }});
  // A private constructor's object goes straight into its unique_ptr.
  list.push_back({std::regex(R"(^(?!.*(unique_ptr<|reset\()).*\b(new|delete) [A-Za-z_:]+[({;])"),
                  "use an owner", product});
  return list;
}

}  // namespace

TEST_CASE("tidy: every source file has at most 400 lines of at most 100 columns") {
  for (const SourceFile& file : sources()) {
    CAPTURE(file.path);
    CHECK(file.lines.size() <= 400);
    for (const std::string& line : file.lines) {
      if (line.find("http") != std::string::npos || line.find("R\"") != std::string::npos) continue;
      // Continuation bytes of UTF-8 take no column.
      const auto columns = std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
      });
      CHECK_MESSAGE(columns <= 100, line);
    }
  }
}

TEST_CASE("tidy: functions have at most 60 lines") {
  // By layout: clang-format puts a function's closing brace into column 1, or 3 inside a class.
  for (const SourceFile& file : sources()) {
    if (in_tests(file.path)) continue;
    std::size_t start = 0;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      const bool opens = !line.empty() && line.back() == '{' && line[0] != ' ' && line[0] != '}' &&
                         line.find("namespace") == std::string::npos &&
                         !std::regex_search(line, std::regex("^(class|struct|enum|union) ")) &&
                         line.find('(') != std::string::npos;
      if (opens) start = i + 1;
      if (line == "}" && start != 0) {
        CHECK_MESSAGE(i + 1 - start <= 60, file.path << ":" << start);
        start = 0;
      }
    }
  }
}

TEST_CASE("tidy: banned calls are not made") {
  const std::vector<Ban> list = bans();
  for (const SourceFile& file : sources()) {
    if (file.path == "tests/tidy_test.cc") continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const bool include = starts_with(file.lines[i], "#include");
      const std::string code = include ? file.lines[i] : code_of(file.lines[i]);
      for (const Ban& ban : list) {
        if (!ban.applies(file.path)) continue;
        CHECK_MESSAGE(!std::regex_search(code, ban.pattern),
                      file.path << ":" << i + 1 << ": " << ban.why);
      }
    }
  }
}

TEST_CASE("tidy: includes go down the layers and broker and node never meet") {
  static const std::regex kInclude("^#include \"([a-z]+)/([a-z_]+)\\.h\"");
  for (const SourceFile& file : sources()) {
    if (in_tests(file.path)) continue;
    const std::string folder = file.path.substr(0, file.path.find('/'));
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (!std::regex_search(line, match, kInclude)) continue;
      const std::string target = match[1];
      CAPTURE(file.path);
      CAPTURE(line);
      CHECK(target != "tests");
      if (folder == "common") CHECK(target == "common");
      if (folder == "broker") CHECK((target == "broker" || target == "common"));
      if (folder == "node") CHECK((target == "node" || target == "common"));
    }
  }
}

TEST_CASE("tidy: cores reach no SQLite, socket or thread by whatever they include") {
  static const std::regex kInclude("^#include [\"<]([^\">]+)[\">]");
  static const std::regex kBarred("sqlite3.*|zmq.*|thread|mutex|sys/socket\\.h");
  std::map<std::string, std::vector<std::string>> included;  // by whom
  for (const SourceFile& file : sources()) {
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (std::regex_search(line, match, kInclude)) included[file.path].push_back(match[1]);
    }
  }
  for (const auto& [core, unused] : included) {
    if (!is_core(core)) continue;
    std::map<std::string, std::string> way{{core, core}};  // to each file that it reaches
    std::vector<std::string> next{core};
    while (!next.empty()) {
      const std::string at = next.back();
      next.pop_back();
      CHECK_MESSAGE(!std::regex_match(at, kBarred), way[at]);
      const auto found = included.find(at);
      if (found == included.end()) continue;
      for (const std::string& target : found->second) {
        if (way.emplace(target, way[at] + " > " + target).second) next.push_back(target);
      }
    }
  }
}

TEST_CASE("tidy: nothing is left unfinished") {
  // Spelled in halves, so that this file passes.
  const std::vector<std::string> words = {std::string("FIX") + "ME", std::string("XX") + "X",
                                          std::string("TO") + "DO"};
  for (const SourceFile& file : sources()) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string& word : words) {
        CHECK_MESSAGE(!std::regex_search(file.lines[i], std::regex("\\b" + word + "\\b")),
                      file.path << ":" << i + 1);
      }
    }
  }
}

TEST_CASE("tidy: every test and every source is listed in a CMakeLists.txt") {
  const fs::path root = CSA_SOURCE_DIR;
  std::string lists;
  for (const char* const folder : {"broker", "common", "node", "tools", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().filename() == "CMakeLists.txt") lists += read(entry.path());
    }
  }
  for (const SourceFile& file : sources()) {
    if (fs::path(file.path).extension() != ".cc") continue;
    CHECK_MESSAGE(lists.find(fs::path(file.path).filename().string()) != std::string::npos,
                  file.path);
  }
}

TEST_CASE("tidy: every test file has a namespace of its own, for builds in batches") {
  for (const SourceFile& file : sources()) {
    const std::string name = fs::path(file.path).stem().string();
    if (!in_tests(file.path) || !name.ends_with("_test") || name == "tidy_test") continue;
    const bool own = std::ranges::any_of(file.lines, [&](const std::string& line) {
      return starts_with(line, "namespace csa::") && line.ends_with("::" + name + " {");
    });
    CHECK_MESSAGE(own, file.path);
  }
}

TEST_CASE("tidy: no two headers of one namespace declare types of the same name") {
  static const std::regex kNamespace("^namespace ([a-z_:]+) \\{");
  static const std::regex kType("^(?:struct|class|enum class) (\\w+)(?: final)?(?: : .*)? \\{");
  std::map<std::string, std::string> declared;  // where
  for (const SourceFile& file : sources()) {
    if (!file.path.ends_with(".h")) continue;
    std::string inside;
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (std::regex_search(line, match, kNamespace)) inside = match[1];
      if (!std::regex_search(line, match, kType)) continue;
      const std::string name = inside + "::" + match[1].str();
      const auto [known, fresh] = declared.try_emplace(name, file.path);
      CHECK_MESSAGE(fresh, name << " in " << known->second << " and " << file.path);
    }
  }
}
