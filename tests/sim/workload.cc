// What the nodes of a simulated cluster write, and the changes of its schema: a ledger of tags,
// each written once, transfers between accounts, twins of which both rows are there or none.
#include "common/limits.h"
#include "tests/sim/cluster.h"

namespace csa::sim {
std::string Cluster::random_sql(const std::string& tag) {
  const std::string n = std::to_string(world_.random(12) + 1);
  const std::string m = std::to_string(world_.random(3) + 1);
  const std::string sql = "INSERT INTO tag (name) VALUES ('" + tag + "');";
  switch (world_.random(10)) {
    case 0:
      return sql + "INSERT INTO item (qty, note) VALUES (" + n + ", randomblob(" + n + "00));";
    case 1:
      return sql + "UPDATE item SET qty = qty + 1, note = randomblob(9) WHERE id % 5 = " + m;
    case 2:
      return sql +
             "DELETE FROM item WHERE id = (SELECT min(id) FROM item) AND (SELECT count(*) "
             "FROM item) > 12";
    case 3:
      return sql + "INSERT OR REPLACE INTO pair SELECT 'k" + n + "', max(id) FROM item";
    case 4:
      return sql + "UPDATE account SET balance = balance - " + n + " WHERE id = " + m +
             "; UPDATE account SET balance = balance + " + n + " WHERE id = " + m + " % 3 + 1";
    case 5:  // fails half-way: nothing of it may stay
      return sql + "UPDATE item SET qty = -1 WHERE id = (SELECT max(id) FROM item); SELECT 1";
    case 6: {  // now and then more than fits an UPDATE
      std::string size = std::to_string(world_.random(100) * 1000);
      if (huge_rows_ && world_.chance(0.2)) size = std::to_string(limits::kCaptureMemory + 200000);
      if (!world_.chance(0.15) || !options_.has("large rows")) return sql;
      return sql + "DELETE FROM item WHERE length(note) > 9999; INSERT INTO item (qty, note) " +
             "VALUES (1, zeroblob(" + size + "))";
    }
    case 7:  // takes the whole commit with it: what others wrote in it comes back without this
      return sql + "INSERT OR ROLLBACK INTO account VALUES (" + m + ", 0)";
    case 8:
      return sql + "INSERT INTO twin (tag, side) VALUES ('" + tag + "', 'left'), ('" + tag +
             "', 'right')";
    default:
      return sql;
  }
}

void Cluster::schedule_writes(SimNode& node) {
  world_.after(milliseconds{20 + world_.random(400)}, [this, &node] {
    if (world_.now() > faults_end_) return;
    schedule_writes(node);
    if (!node.running() || node.asleep()) return;
    // Fewer than in its first life, which has used more TxIds then.
    if (&node == repeats_itself_ && set_back_ && !world_.chance(0.15)) return;
    // Now and then a program has much to say at once.
    for (std::uint64_t n = world_.chance(0.1) ? 1 + world_.random(8) : 1; n > 0; --n) {
      if (world_.chance(&node == repeats_itself_ ? 0.6 : 0.1)) {
        write_the_same(node);
      } else {
        write(node);
      }
    }
  });
}

// Others send these very statements, as programs do: what is one and what another only the TxId
// tells.
void Cluster::write_the_same(SimNode& node) {
  if (!node.running()) return;
  Write write;
  write.sql = "UPDATE item SET qty = qty + 1 WHERE id = 2; INSERT INTO again VALUES ('the same')";
  checkers_.sent_alike();
  node.write(write, milliseconds{2000 + world_.random(20000)},
             [this](const WriteDone& done) { checkers_.answered_alike(done); });
}

void Cluster::write(SimNode& node) {
  if (!node.running()) return;  // it crashed over the one before
  const std::string tag = node.name() + "-" + std::to_string(next_tag_++);
  checkers_.sent(tag);
  Write write;
  write.sql = random_sql(tag);
  node.write(write, milliseconds{2000 + world_.random(20000)},
             [this, &node, tag](const WriteDone& done) {
               checkers_.answered(node.party(), tag, done);
               if (done.status == WriteStatus::kRejected) {
                 world_.note(tag + " is rejected: " + done.nack.message);
               } else if (done.status == WriteStatus::kNoBroker) {
                 world_.note(tag + " is not sent: " + done.message);
               }
               if (done.status == WriteStatus::kCommitted && done.visible) {
                 checkers_.visible(node.party(), node.path(), tag);
               }
             });
}

// The schema grows and shrinks beside the tables that are written to, and at one of them.
std::string Cluster::random_migration() {
  const std::string n = std::to_string(++migrations_);
  const std::string last = std::to_string(migrations_ - 1);
  switch (world_.random(6)) {
    case 0:
      return "CREATE TABLE grown" + n + " (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO grown" + n +
             " SELECT id, qty FROM item";
    case 1:
      return "ALTER TABLE item ADD COLUMN grown" + n + " DEFAULT 7";
    case 2:
      return "CREATE INDEX item_" + n + " ON item (qty)";
    case 3:
      return "DROP TABLE IF EXISTS grown" + last;
    case 4:
      return "ALTER TABLE twin RENAME COLUMN extra TO passing; ALTER TABLE twin RENAME COLUMN "
             "passing TO extra; DROP INDEX IF EXISTS item_" +
             last;
    default:  // refused: nothing of it may stay
      return "CREATE TABLE broken" + n + " (a); INSERT INTO nowhere VALUES (1)";
  }
}

void Cluster::schedule_migrations() {
  if (!admin_) admin_ = std::make_unique<SimAdmin>(world_, *broker_, kAdminParty);
  world_.after(milliseconds{2000 + world_.random(15000)}, [this] {
    if (world_.now() > faults_end_) return;
    const std::string sql = random_migration();
    if (options_.has("migrations")) {
      world_.note("admin: " + sql);
      admin_->migrate(sql, [this](const std::string& why_not) {
        ++world_.counts[why_not.empty() ? "schema change" : "schema change refused"];
        world_.note("admin: " + (why_not.empty() ? "done" : why_not));
      });
    }
    schedule_migrations();
  });
}

}  // namespace csa::sim
