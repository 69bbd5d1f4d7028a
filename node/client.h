// csa for applications: the one header to include. A Client keeps a replica of the shared database
// in an ordinary SQLite file, finds the broker by itself, applies everybody's changes as they
// arrive and sends this program's writes to the broker.
//
//   csa::ClientOptions options;
//   options.replica = "stock.db";
//   csa::OpenedClient opened = csa::Client::open(options);
//   if (!opened.client) return report(opened.failure);
//   opened.client->wait_until_readable(std::chrono::seconds(10));
//   csa::WriteResult sold = opened.client->exec("UPDATE part SET qty = qty - ? WHERE id = ?", {3,
//   7}); csa::Reader reader = opened.client->open_reader();   // a sqlite3* of your own, read-only
//
// Reading: on any number of read-only SQLite connections to replica_path(), at SQLite's own speed,
// also while changes are applied; open_reader() makes one with the right settings. Never write to
// the file by other means. While a Client runs, such a change is noticed, kept aside and undone by
// a fresh copy; one made while none runs is noticed only when a change of the master meets it.
//
// Writing: exec() is one transaction on the broker; without one it is made on the replica, kept in
// a journal and handed over later (kJournaled). With a broker: It returns when the transaction is
// on the broker's disk and visible in this replica, or when it is refused, or at the timeout. What
// came of it is always in WriteResult; nothing throws but std::bad_alloc.
//
// One Client owns a replica. A second one on the same file, in this process or another of the same
// user, works through the owner and has the same calls. When the owner ends, however it ends, one
// of those that worked through it becomes the owner by itself and the others work through that one:
// events go on, calls wait, and no write is lost or takes effect twice.
//
// Threads: all calls may be made from any thread. ClientOptions::on_event and ::on_log are called
// from csa's own thread: return soon, and call back into the Client only from other threads (post
// to your event loop).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/value.h"

struct sqlite3;

namespace csa {

enum class ClientState : std::uint8_t {
  kSearching,   // looking for a broker; or the replica's owner has ended and the next is awaited
  kGreeting,    // talking to one
  kReplaying,   // handing over offline changes
  kCatchingUp,  // fetching what happened meanwhile, or a full copy
  kLive,        // the replica follows the master
  kStandalone,  // no broker: work goes on, on the last replica; writes are kept for later
  kRefused,     // the broker refuses this node: the event says why
  kLeaving,
};
[[nodiscard]] std::string_view to_string(ClientState state);  // as in `csa-node run`: "catching-up"

// A row that SQLite had numbered on two computers alike: from a certain merge on it has another
// key, here as on the master, and references to it follow. What the application noted elsewhere
// does not.
struct ChangedKey {
  std::string table;
  std::int64_t before = 0;
  std::int64_t after = 0;
  bool operator==(const ChangedKey&) const = default;
};

// What happened. Only the fields named at a kind are set.
struct ClientEvent {
  enum class Kind : std::uint8_t {
    kState,     // state, position, broker, text (why; may be empty)
    kProgress,  // bytes, total: of a full copy
    kReplay,    // pending, total: offline transactions that still wait, of so many, on return
    kOutcome,   // tx, outcome, text, keys: what became of an offline transaction: applied, merged,
                // superseded, split, parked (csa_conflicts has the rows), stood, offered (no
                // offline transaction, but one that the master has lost: csa_lost has it); and
                // which of its rows have other keys now, at most 500
    kChanged,   // tables, position: rows of these tables changed, by whomever. After a change of
                // owner possibly all tables, where it is not known what changed meanwhile
    kStopped,   // text, exit_code: this client is at its end. 8: the link was lost and
                // ClientOptions asked to stop; another: as in ClientFailure, the owner of the
                // replica has ended, and this client could not become the next
    kKept,      // path, text: what this replica held and the master's history does not have; it is
                // in the file `path` now, and a full copy in its place. A file "-differing-" holds
                // rows in which it differed from the master, as SQL
  };
  Kind kind = Kind::kState;
  ClientState state = ClientState::kSearching;
  std::string position;  // "GENERATION.ID:SEQ", or empty
  std::string broker;    // "HOST:PORT", or empty
  std::string text;
  std::uint64_t bytes = 0;
  std::uint64_t total = 0;
  std::uint64_t pending = 0;  // kState too: offline transactions not yet handed over
  std::string tx;
  std::string outcome;
  std::vector<ChangedKey> keys;
  std::string path;
  std::vector<std::string> tables;
  int exit_code = 0;
};

enum class ClientLogLevel : std::uint8_t { kError, kWarn, kInfo, kDebug };

struct ClientOptions {
  std::string replica;      // file; empty: $XDG_DATA_HOME/csa/GROUP/replica.db
  std::string app = "csa";  // who may find whom
  std::string group = "default";
  std::string app_version;  // another version than the broker's is refused; empty fits all
  std::string program = "csa-client";  // for people, in `csa-admin nodes`
  std::vector<std::string> brokers;    // "HOST[:PORT]"; not empty: no discovery
  std::uint16_t beacon_port = 5775;
  std::vector<std::string> beacon_interfaces;         // by name, as in "eth0"; empty: all
  std::chrono::milliseconds discovery_timeout{2000};  // then standalone, while the search goes on
  // Compares itself with the master so often; 0: never. And how fast it may read for that.
  std::chrono::milliseconds verify_every{24 * 3600 * 1000};
  std::uint64_t verify_bytes_per_s = std::uint64_t{32} << 20U;
  bool stop_on_disconnect = false;  // a lost link ends the client (kStopped, exit code 8)
  // Other programs of this user may work through this one while it owns the replica. False for one
  // that soon ends: they wait for their turn, and none loses the owner under its write.
  bool admit_others = true;
  std::function<void(const ClientEvent&)> on_event;
  std::function<void(ClientLogLevel, std::string_view)> on_log;
};

// Why a call failed: a sentence that says what to do, and the exit code of csa's own programs for
// it (1 failed, 3 nothing to work on, 4 refused, 7 damaged).
struct ClientFailure {
  int exit_code = 1;
  std::string text;
};

struct WriteOptions {
  std::optional<std::int64_t> expect;  // reject the write unless so many rows change
  std::chrono::milliseconds timeout{30000};
};

struct WriteResult {
  enum class Status : std::uint8_t {
    kCommitted,  // on the broker's disk
    kJournaled,  // offline: durable on this computer and visible in this replica; handed over when
                 // a broker is back, then a kOutcome event tells what became of it
    kRejected,   // nothing changed; code and message say why
    kNoBroker,   // nothing was sent
    kUnknown,    // sent, and no answer by the timeout: `csa-node outcome TX` can tell later
  };
  Status status = Status::kUnknown;
  std::string tx;            // "NODE:N", empty when none was given
  std::uint64_t seq = 0;     // where the effect is visible
  std::int64_t changes = 0;  // rows changed by the call's statements, triggers not counted
  std::optional<std::int64_t> last_insert_rowid;
  bool visible = true;  // in this replica, now
  std::uint64_t schema_version = 0;
  std::vector<std::string> columns;  // of RETURNING or SELECT
  std::vector<Row> rows;
  std::uint64_t pending = 0;  // kJournaled: offline transactions that wait, this one included
  // kRejected: constraint, sql, forbidden, limit, timeout, busy, expect; conflict: it was journaled
  // and lost, and lies in the inbox; lost: the master has lost it, and it lies in csa_lost
  std::string code;
  std::string message;
  // Of a journaled transaction that was handed over, when Client::outcome() asks: applied, merged,
  // superseded, split, parked, stood, offered; `message` says why, `keys` which of its rows have
  // other keys since (at most 500; the table csa_remap has them all).
  std::string outcome;
  std::vector<ChangedKey> keys;
  std::uint32_t statement = 0;  // kRejected: which statement of the call, from 0
};

struct ClientStatus {
  ClientState state = ClientState::kSearching;
  std::string app;
  std::string group;
  std::string node;  // NodeId
  std::string hostname;
  std::string epoch;  // "GENERATION.ID"; empty without a copy
  std::uint64_t seq = 0;
  std::string broker_address;  // empty: none
  std::string broker_hostname;
  std::uint64_t broker_head = 0;
  std::uint64_t pending = 0;  // offline changes not yet handed over
  std::string replica;
  std::uint64_t schema_version = 0;
  std::string text;      // why the state is what it is, where there is something to say
  bool stalled = false;  // the replica's disk is full: it can be read, and does not get on
};

struct ReaderCloser {
  void operator()(sqlite3* db) const noexcept;
};
// A read-only connection of the caller's own; null where opening failed.
using ReaderHandle = std::unique_ptr<sqlite3, ReaderCloser>;
struct Reader {
  ReaderHandle db;
  ClientFailure failure;  // where db is null
};

class Client;
struct OpenedClient {
  std::unique_ptr<Client> client;
  ClientFailure failure;  // where client is null
};

class Client {
 public:
  // Opens or begins the replica and starts to look for the broker; does not wait for it.
  [[nodiscard]] static OpenedClient open(ClientOptions options);
  // Leaves as leave() does.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Waits until the replica holds a copy that may be read: live, or standalone, refused or
  // replaying with an older copy, or one that does not get on for want of room. False at the
  // timeout, or standalone, refused or without room and with no copy.
  [[nodiscard]] bool wait_until_readable(std::chrono::milliseconds timeout);
  // Waits until the first search has come to an end: live (true), standalone, refused or stopped
  // (false). A full copy on the way is waited for; false also at the timeout, or without room.
  [[nodiscard]] bool settle(std::chrono::milliseconds timeout);
  // Waits for `state`; false at the timeout or when the client stopped.
  [[nodiscard]] bool wait_for(ClientState state, std::chrono::milliseconds timeout);

  // Runs all statements of `sql` as one transaction on the broker. Parameters are bound from left
  // to right over the statements.
  [[nodiscard]] WriteResult exec(std::string_view sql, Row parameters = {},
                                 WriteOptions options = {});
  // The same without waiting; `done` is called once, from csa's thread, also when the client ends.
  void exec_async(std::string_view sql, Row parameters, WriteOptions options,
                  std::function<void(WriteResult)> done);
  // Brings the shared schema to `version` (nothing: the next one) by the statements of `sql`, on
  // the master and every replica. Reached already: committed without effect, so that every
  // installation may call it at start. Rules of merging follow what it renames; where one has
  // another name now, or went with what was dropped, the result's rows say so, a sentence each.
  [[nodiscard]] WriteResult migrate(std::string_view sql, std::optional<std::uint64_t> version,
                                    WriteOptions options = {});
  // By which rules offline work is merged, a line each: "TABLE RULE", "TABLE.COLUMN RULE", "TABLE
  // atomic" or "TABLE rowwise"; '#' begins a comment. All or none; rules that it does not name
  // stay. Rules that hold already are committed without effect, so that every installation may call
  // it at start. The result's rows are all rules after it. Needs a broker.
  [[nodiscard]] WriteResult set_rules(std::string_view rules, WriteOptions options = {});
  // What became of a write, by WriteResult::tx: what this replica knows, else the broker is asked.
  // kUnknown: it has none.
  [[nodiscard]] WriteResult outcome(std::string_view tx, std::chrono::milliseconds timeout);

  [[nodiscard]] ClientStatus status();
  // Where ClientOptions::replica is a symbolic link: the file that it leads to.
  [[nodiscard]] const std::string& replica_path() const;
  [[nodiscard]] Reader open_reader() const;
  // True: another Client owns the replica and this one works through it, until that one ends.
  [[nodiscard]] bool works_through_owner() const;

  // Says goodbye to the broker and ends csa's threads; writes under way are answered. The replica
  // stays. Idempotent.
  void leave();

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
