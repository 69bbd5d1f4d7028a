// csa-node shell: statements typed by a person, with history, or piped by a script. A statement or
// a BEGIN; ... COMMIT; block is one call; SELECTs read the replica, everything else goes to the
// broker.
#include <editline/readline.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <utility>

#include "common/cli.h"
#include "common/limits.h"
#include "common/sqlite.h"
#include "node/commands.h"
#include "node/statement_split.h"

namespace csa {
namespace {

constexpr const char* kHelp =
    ".tables           tables and views\n"
    ".schema [TABLE]   their SQL\n"
    ".status           connection and position\n"
    ".quit             leave\n"
    "Statements end with ;. BEGIN; ... COMMIT; is sent as one transaction.\n";

class Shell {
 public:
  Shell(const NodeOptions& options, std::unique_ptr<Client> client)
      : options_(options), client_(std::move(client)), terminal_(::isatty(STDIN_FILENO) == 1) {}

  int run() {
    if (terminal_) using_history();
    std::string line;
    bool whole_before = true;
    while (!splitter_.too_long() && read_line(line)) {
      const bool begins = std::exchange(whole_before, line_is_whole_);
      if (begins && splitter_.empty() && !line.empty() && line[0] == '.') {
        if (!command(line)) break;
        continue;
      }
      splitter_.feed(line_is_whole_ ? line + "\n" : line);
      while (const auto call = splitter_.next()) answer(*call);
    }
    if (splitter_.too_long()) {
      print(too_long());
    } else if (const auto rest = splitter_.rest()) {
      answer(*rest);
    }
    client_->leave();
    return code_;
  }

 private:
  bool read_line(std::string& line) {
    if (!terminal_) return read_piped(line);
    const ClientStatus status = client_->status();
    std::string prompt = "csa " + std::string(to_string(status.state));
    if (status.pending > 0) prompt += " (" + std::to_string(status.pending) + " waiting)";
    prompt += splitter_.empty() ? "> " : " ...> ";
    const std::unique_ptr<char, decltype(&std::free)> typed(readline(prompt.c_str()), std::free);
    if (!typed) return false;
    line = typed.get();
    if (!line.empty()) add_history(line.c_str());
    return true;
  }

  // A line, or the next part of one that is very long.
  bool read_piped(std::string& line) {
    constexpr std::streamsize kLineMax = 64 * 1024;
    line.resize(kLineMax);
    std::cin.getline(line.data(), kLineMax);
    if (std::cin.gcount() == 0) return false;
    line_is_whole_ = std::cin.good() || std::cin.eof();
    // At the end of a line getline() counts the character that ends it.
    const bool ended = std::cin.good();
    line.resize(static_cast<std::size_t>(std::cin.gcount()) - (ended ? 1 : 0));
    if (!line_is_whole_) std::cin.clear();
    return true;
  }

  // False: leave.
  bool command(const std::string& line) {
    if (line == ".quit" || line == ".exit") return false;
    if (line == ".status") {
      print_status(client_->status(), options_.json);
    } else if (line == ".tables") {
      read(
          "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') "
          "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'csa\\_%' ESCAPE '\\' "
          "ORDER BY name",
          {});
    } else if (line == ".schema" || line.rfind(".schema ", 0) == 0) {
      const std::string table = line.size() > 8 ? line.substr(8) : std::string();
      read(
          "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (?1 = '' OR tbl_name = ?1) "
          "AND name NOT LIKE 'csa\\_%' ESCAPE '\\' ORDER BY rowid",
          {Text{table}});
    } else {
      std::cerr << kHelp;
    }
    return true;
  }

  void read(std::string_view sql, const Row& parameters) {
    const Reader reader = client_->open_reader();
    if (!reader.db) {
      code_ = report(reader.failure);
      return;
    }
    if (options_.json) return read_line_of_json(reader.db.get(), sql, parameters);
    const RowOutput to{std::cout, options_.format};
    if (const int failed = print_query(reader.db.get(), sql, parameters, to); failed != 0) {
      code_ = failed;
    }
    std::cout.flush();
  }

  // Kept until it is whole: a script gets one line, also where it fails half-way.
  void read_line_of_json(sqlite3* db, std::string_view sql, const Row& parameters) {
    std::ostringstream line;
    if (const int failed = print_query(db, sql, parameters, {line, RowFormat::kJsonLine});
        failed != 0) {
      code_ = failed;
      line.str(exec_json(rejected(sqlite3_errmsg(db))) + "\n");
    }
    std::cout << line.str() << std::flush;
  }

  static WriteResult rejected(std::string why) {
    WriteResult result;
    result.status = WriteResult::Status::kRejected;
    result.code = "sql";
    result.message = std::move(why);
    return result;
  }

  static WriteResult too_long() {
    WriteResult result = rejected("a statement, or a block from BEGIN on, has more than " +
                                  std::to_string(limits::kWriteMax) +
                                  " bytes: nothing of it was done, and nothing behind it was "
                                  "read; use several");
    result.code = "limit";
    return result;
  }

  // A block without a statement needs nobody.
  WriteResult unchanged() {
    WriteResult result;
    result.status = WriteResult::Status::kCommitted;
    result.seq = client_->status().seq;
    return result;
  }

  void answer(const SqlCall& call) {
    switch (call.kind) {
      case SqlCall::Kind::kRun:
        return call.sql.empty() ? print(unchanged()) : one_call(call.sql);
      case SqlCall::Kind::kRolledBack:
        std::cout << (options_.json ? R"({"status":"rolled-back"})"
                                    : "rolled back, nothing changed")
                  << std::endl;
        return;
      case SqlCall::Kind::kUnfinished:
        return print(
            rejected("the input ended before the COMMIT of this block: nothing of it was "
                     "done"));
    }
  }

  void one_call(const std::string& sql) {
    if (only_reads(sql)) return read(sql, {});
    print(client_->exec(sql, {}, {options_.expect, options_.timeout}));
  }

  void print(const WriteResult& result) {
    if (const int failed = exec_exit_code(result); failed != 0) code_ = failed;
    if (options_.json) {
      std::cout << exec_json(result) << std::endl;
      return;
    }
    if (!result.columns.empty()) {
      RowPrinter printer(std::cout, options_.format, result.columns);
      for (const Row& row : result.rows) printer.row(row);
      printer.finish();
    }
    std::cout << exec_sentence(result) << std::endl;
  }

  // Whether the replica alone can answer it; as JSON, by one array.
  [[nodiscard]] bool only_reads(const std::string& sql) const {
    const Reader reader = client_->open_reader();
    if (!reader.db) return false;
    const char* at = sql.c_str();
    int selects = 0;
    while (*at != '\0') {
      sqlite3_stmt* raw = nullptr;
      if (sqlite3_prepare_v2(reader.db.get(), at, -1, &raw, &at) != SQLITE_OK) return false;
      const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> owner(raw, sqlite3_finalize);
      if (raw == nullptr) break;
      ++selects;
      if (sqlite3_stmt_readonly(raw) == 0 || sqlite3_column_count(raw) == 0) return false;
    }
    return selects == 1 || (selects > 1 && !options_.json);
  }

  const NodeOptions& options_;
  std::unique_ptr<Client> client_;  // never null
  bool terminal_;
  bool line_is_whole_ = true;
  StatementSplitter splitter_;
  int code_ = 0;
};

}  // namespace

int shell_command(const NodeOptions& options) {
  NodeOptions quiet = options;
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  quiet.client.on_event = [terminal, last = ClientState::kSearching](const ClientEvent& e) mutable {
    if (e.kind != ClientEvent::Kind::kState || e.state == last) return;
    last = e.state;
    if (e.state == ClientState::kStandalone) {
      if (e.position.empty()) return;  // there is no copy either: that is said when it ends
      print_standalone(e.pending, std::cerr, terminal_width(STDERR_FILENO));
    } else if (terminal) {
      std::cerr << "\n-- " << to_string(e.state) << (e.text.empty() ? "" : ": " + e.text)
                << std::endl;
    }
  };
  OpenedClient opened = join(quiet);
  if (!opened.client) return report(opened.failure);
  if (const auto code = nothing_to_read(opened.client->status())) return *code;
  return Shell(quiet, std::move(opened.client)).run();
}

}  // namespace csa
