#include "broker/commands.h"

#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/counted.h"
#include "common/file_link.h"
#include "common/host.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "common/text_file.h"

namespace csa {
namespace {

using nlohmann::json;

constexpr const char* kName = "csa-broker";
constexpr const char* kProgram = "csa-broker: ";

Randomness real_world() {
  return {[] { return random_id(); }, [boot = boot_hash()] { return local_now(boot); }};
}

std::string_view name_of(Finding finding) {
  switch (finding) {
    case Finding::kSound:
      return "sound";
    case Finding::kMissing:
      return "missing";
    case Finding::kNotSqlite:
      return "not-sqlite";
    case Finding::kDamaged:
      return "damaged";
    case Finding::kNotAdopted:
      return "not-adopted";
    case Finding::kOtherApp:
      return "other-app";
    case Finding::kNewer:
      return "newer";
    case Finding::kUnreadable:
      return "unreadable";
    case Finding::kInUse:
      return "in-use";
    case Finding::kCopy:
      return "copy";
  }
  return "?";
}

json position_json(const Position& position) {
  return {{"epoch", to_string(position.epoch)}, {"seq", position.seq.value}};
}

// File names may hold any bytes.
std::string line_of(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

int fail(const Terminal& terminal, const Error& error) {
  terminal.err << kProgram << error.what << std::endl;
  return exit_code(error.code);
}

void print_ways_out(const Report& report, std::ostream& err) {
  if (report.ways_out.empty()) return;
  err << "Ways out:\n";
  for (const WayOut& way : report.ways_out) {
    err << "  " << way.title << ":\n    " << way.command << "\n";
  }
  err.flush();
}

Result<std::vector<std::string>> read_schemas(const std::vector<std::string>& files) {
  std::vector<std::string> texts;
  for (const std::string& file : files) {
    Result<std::string> text = read_text_file(file);
    if (!text) return Error{text.error().code, "the schema file: " + text.error().what};
    texts.push_back(std::move(text).value());
  }
  return texts;
}

Result<RulesFile> read_rules(const std::string& file) {
  if (file.empty()) return RulesFile{};
  const Result<std::string> text = read_text_file(file);
  if (!text) return Error{text.error().code, "the rules file: " + text.error().what};
  Result<std::vector<RuleLine>> lines = parse_rules(*text, file);
  if (!lines) return lines.error();
  return RulesFile{file, std::move(lines).value()};
}

int create_command(const BrokerFlags& flags, const Terminal& terminal) {
  const auto schemas = read_schemas(flags.schemas);
  if (!schemas) return fail(terminal, schemas.error());
  const Result<RulesFile> rules = read_rules(flags.rules);
  if (!rules) return fail(terminal, rules.error());
  const Result<Meta> meta = create(flags.name(), *schemas, real_world(), *rules);
  if (!meta) return fail(terminal, meta.error());
  if (flags.common.json) {
    terminal.out << line_of({{"database", flags.serve.database},
                             {"position", position_json(meta->position)}})
                 << std::endl;
  } else {
    terminal.out << kProgram << "created " << flags.serve.database << " (position "
                 << to_string(meta->position) << ")" << std::endl;
  }
  return 0;
}

json unshareable_json(const std::vector<Unshareable>& list) {
  json array = json::array();
  for (const Unshareable& one : list) {
    array.push_back({{"object", one.object}, {"reason", one.reason}, {"way_out", one.way_out}});
  }
  return array;
}

int adopt_command(const BrokerFlags& flags, const Terminal& terminal) {
  const Result<RulesFile> rules = read_rules(flags.rules);
  if (!rules) return fail(terminal, rules.error());
  const Result<Adoption> done = adopt(flags.name(), real_world(), *rules);
  if (!done) return fail(terminal, done.error());
  if (done->already && !rules->lines.empty()) {
    terminal.err << kProgram << "its rules were not changed: csa-admin rule load " << rules->file
                 << std::endl;
  }
  const std::string& path = flags.serve.database;
  const bool adopted = done->unshareable.empty();
  for (const std::string& remark : done->remarks) terminal.err << "  " << remark << "\n";
  if (!adopted) {
    terminal.err << kProgram << path << " cannot be shared; nothing was changed:\n";
    for (const Unshareable& one : done->unshareable) {
      terminal.err << "  " << one.object << ": " << one.reason << "\n    way out: " << one.way_out
                   << "\n";
    }
    terminal.err.flush();
  }
  if (flags.common.json) {
    json object = {{"database", path},
                   {"adopted", adopted},
                   {"already", done->already},
                   {"unshareable", unshareable_json(done->unshareable)},
                   {"remarks", done->remarks}};
    object["position"] = adopted ? position_json(done->meta.position) : json(nullptr);
    terminal.out << line_of(object) << std::endl;
  } else if (adopted) {
    terminal.out << kProgram << path
                 << (done->already ? " is adopted already; nothing was changed" : " adopted")
                 << " (position " << to_string(done->meta.position) << ")" << std::endl;
  }
  return adopted ? 0 : 1;
}

json as_is_json(const std::optional<AsIs>& as_is) {
  if (!as_is) return nullptr;
  return {{"damage", as_is->damage},         {"changes", as_is->changes},
          {"unreadable", as_is->unreadable}, {"offers", as_is->offers},
          {"left_out", as_is->spooled},      {"kept_as", as_is->kept_as}};
}

void tell_as_is(const AsIs& as_is, std::ostream& err) {
  if (as_is.changes != 0) {
    err << "The journal cannot be read (" << as_is.damage
        << ").\nThe tables are taken as they stand: "
        << counted(as_is.changes, "offline change is", "offline changes are")
        << " in them without having been merged";
    if (as_is.unreadable != 0)
      err << ", " << as_is.unreadable << " of which cannot be read any more";
    err << ".\n";
  }
  if (as_is.spooled != 0) {
    err << counted(as_is.spooled, "transaction", "transactions")
        << " of the former master, which the replica had fetched and not yet applied, "
        << (as_is.spooled == 1 ? "is" : "are")
        << " left out; nodes that have it offer it: csa-admin recover\n";
  }
  if (as_is.offers != 0) {
    err << counted(as_is.offers, "transaction", "transactions")
        << " that the replica was to offer cannot be read, and "
        << (as_is.offers == 1 ? "is" : "are") << " left out\n";
  }
  err << "The replica as it was is kept as " << as_is.kept_as << std::endl;
}

int restore_command(const BrokerFlags& flags, const Terminal& terminal) {
  const DamagedJournal damaged = flags.as_is ? DamagedJournal::kAsIs : DamagedJournal::kNo;
  const Result<Restoration> done = restore(flags.name(), flags.from, real_world(), damaged);
  if (!done) return fail(terminal, done.error());
  for (const std::string& remark : done->remarks) terminal.err << kProgram << remark << std::endl;
  const bool kept = !done->kept_as.empty();
  if (flags.common.json) {
    terminal.out << line_of({{"database", flags.serve.database},
                             {"kept_as", kept ? json(done->kept_as) : json(nullptr)},
                             {"journaled", done->journaled},
                             {"inbox", done->inbox},
                             {"as_is", as_is_json(done->as_is)},
                             {"remarks", done->remarks},
                             {"position", position_json(done->meta.position)}})
                 << std::endl;
    return 0;
  }
  terminal.out << kProgram << "restored " << flags.serve.database << " from " << flags.from
               << " (position " << to_string(done->meta.position) << ")" << std::endl;
  if (kept) terminal.err << "The former file is kept as " << done->kept_as << std::endl;
  if (done->as_is) tell_as_is(*done->as_is, terminal.err);
  if (done->journaled != 0) {
    terminal.err << counted(done->journaled, "unsent change of the replica is",
                            "unsent changes of the replica are")
                 << " in it";
    if (done->inbox != 0) {
      terminal.err << "; " << counted(done->inbox, "row", "rows")
                   << " lost a conflict: csa-admin conflicts shows them";
    }
    terminal.err << std::endl;
  }
  return 0;
}

int check_command(const BrokerFlags& flags, const Terminal& terminal) {
  const Report report = inspect(flags.name(), true);
  const bool sound = report.finding == Finding::kSound;
  if (flags.common.json) {
    json ways = json::array();
    for (const WayOut& way : report.ways_out) {
      ways.push_back({{"title", way.title}, {"command", way.command}});
    }
    json object = {{"database", flags.serve.database}, {"finding", name_of(report.finding)},
                   {"sentence", report.sentence},      {"details", report.details},
                   {"ways_out", std::move(ways)},      {"position", nullptr},
                   {"schema_version", nullptr}};
    if (sound) {
      object["position"] = position_json(report.meta.position);
      object["schema_version"] = report.meta.schema_version;
    }
    terminal.out << line_of(object) << std::endl;
  } else if (sound) {
    terminal.out << kProgram << flags.serve.database << " is sound (position "
                 << to_string(report.meta.position) << ")" << std::endl;
    for (const std::string& line : report.details) terminal.err << "  " << line << "\n";
  }
  if (sound) return 0;
  const Error error = to_error(report);
  if (flags.common.json) return exit_code(error.code);
  const int code = fail(terminal, error);
  print_ways_out(report, terminal.err);
  return code;
}

std::optional<std::string> ask(const Terminal& terminal, const std::string& question) {
  terminal.err << question << std::flush;
  std::string answer;
  if (!std::getline(terminal.in, answer)) return std::nullopt;
  const auto first = answer.find_first_not_of(" \t");
  const auto last = answer.find_last_not_of(" \t\r");
  if (first == std::string::npos) return std::string();
  return answer.substr(first, last - first + 1);
}

// Does what was chosen; `flags` then name the database to serve. False: not done.
bool take_way(const WayOut& way, BrokerFlags& flags, const Terminal& terminal) {
  std::string file = way.file;
  if (file.empty()) {
    const char* const question = way.way == Way::kCreate  ? "Schema file (SQL): "
                                 : way.way == Way::kAdopt ? "SQLite file to adopt: "
                                                          : "Backup or replica to restore from: ";
    const auto answer = ask(terminal, question);
    if (!answer || answer->empty()) return false;
    file = *answer;
  }
  // A link is followed as settle() does it; a schema may be read through one.
  if (way.way != Way::kCreate) {
    const Result<std::string> real = follow_links(file);
    if (!real) {
      (void)fail(terminal, real.error());
      return false;
    }
    file = *real;
  }
  BrokerFlags chosen = flags;
  switch (way.way) {
    case Way::kCreate:
      chosen.schemas = {file};
      return create_command(chosen, terminal) == 0;
    case Way::kAdopt:
      chosen.serve.database = file;
      if (adopt_command(chosen, terminal) != 0) return false;
      flags.serve.database = file;
      return true;
    case Way::kRestore:
      chosen.from = file;
      return restore_command(chosen, terminal) == 0;
    case Way::kOther:
      break;
  }
  return false;
}

// The menu. True: something was done, so look again.
bool offer_ways_out(const Report& report, BrokerFlags& flags, const Terminal& terminal) {
  std::vector<WayOut> ways;
  for (const WayOut& way : report.ways_out) {
    if (way.way != Way::kOther) ways.push_back(way);
  }
  if (ways.empty() || !terminal.interactive) return false;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    terminal.err << "  " << i + 1 << ") " << ways[i].title << "\n";
  }
  terminal.err << "  q) Quit\n";
  while (const auto answer = ask(terminal, "Which? ")) {
    if (*answer == "q" || *answer == "Q") return false;
    std::size_t number = 0;
    const char* const end = answer->data() + answer->size();
    const auto [stop, code] = std::from_chars(answer->data(), end, number);
    if (code == std::errc{} && stop == end && number >= 1 && number <= ways.size()) {
      // Also after a failure, which was explained: the menu comes again.
      (void)take_way(ways[number - 1], flags, terminal);
      return true;
    }
    terminal.err << "A number from the list, or q.\n";
  }
  return false;
}

int serve_command(BrokerFlags flags, const Terminal& terminal, const Service& service) {
  service.look(flags.serve);
  std::unique_ptr<Database> held;
  while (true) {
    held = keep_open(flags.name());
    const Result<std::string> mended = put_wal_right(flags.name(), held);
    if (!mended) return fail(terminal, mended.error());
    if (!mended->empty()) terminal.err << kProgram << *mended << std::endl;
    const Report report = inspect(flags.name(), false);
    if (report.finding == Finding::kSound) break;
    held.reset();
    const Error error = to_error(report);
    const int code = fail(terminal, error);
    if (offer_ways_out(report, flags, terminal)) continue;
    print_ways_out(report, terminal.err);
    return code;
  }
  const Result<BrokerLock> lock = BrokerLock::take(flags.serve.database);
  if (!lock) return fail(terminal, lock.error());
  terminal.err << kProgram
               << "warning: nobody is asked for a key yet: whoever can reach this computer's ports"
                  " can read and write the database"
               << std::endl;
  const Log log = stderr_log(kName, flags.common.log_level);
  const Status ended = service.serve(flags.serve, std::move(held), log);
  return ended ? 0 : fail(terminal, ended.error());
}

}  // namespace

int run(const BrokerFlags& flags, const Terminal& terminal, const Service& service) {
  switch (flags.verb) {
    case BrokerVerb::kServe:
      return serve_command(flags, terminal, service);
    case BrokerVerb::kCreate:
      return create_command(flags, terminal);
    case BrokerVerb::kAdopt:
      return adopt_command(flags, terminal);
    case BrokerVerb::kRestore:
      return restore_command(flags, terminal);
    case BrokerVerb::kCheck:
      return check_command(flags, terminal);
  }
  return 1;
}

}  // namespace csa
