#include "common/capture.h"

#include "common/capture_impl.h"
#include "common/check.h"

namespace csa {
namespace {

// Capture's own statements are prepared while this lives.
class OwnWork {
 public:
  explicit OwnWork(int& depth) : depth_(depth) { ++depth_; }
  ~OwnWork() { --depth_; }
  OwnWork(const OwnWork&) = delete;
  OwnWork& operator=(const OwnWork&) = delete;

 private:
  int& depth_;
};

}  // namespace

Capture::Impl::Impl(const Database& database, Options capture_options)
    : db(database),
      options(std::move(capture_options)),
      body(options.spill_directory, options.memory_max),
      utf16(is_utf16(database)),
      schema_version_statement(database.prepare("PRAGMA main.schema_version")) {}

void Capture::Impl::fail(std::string what) {
  if (!failure) failure = Error{Errc::kRejected, std::move(what)};
}

void Capture::Impl::on_change(int op, const char* name, std::int64_t old_rowid,
                              std::int64_t new_rowid) {
  if (failure || exception) return;  // the write is lost already
  CapturedTable& changed = table(name);
  if (!changed.captured) return;
  // A change here would miss its changeset.
  CSA_CHECK(active);
  settle_insert();
  finish_blob_write();
  if (op == SQLITE_DELETE && sqlite3_preupdate_blobwrite(db.handle()) >= 0) {
    return begin_blob_write(changed, old_rowid);
  }
  if (!changed.info.change_table.without_rowid && changed.info.rowid_name.empty()) {
    fail("capture: table " + changed.info.change_table.name +
         ": its columns take every name of the rowid; rename rowid, _rowid_ or oid");
    return;
  }
  switch (op) {
    case SQLITE_INSERT:
      insert_row(changed, new_rowid);
      break;
    case SQLITE_DELETE:
      delete_row(changed, old_rowid);
      break;
    default:
      update_row(changed, old_rowid, new_rowid);
  }
  if (body.size() > options.max_bytes) {
    fail("capture: the write changes more than " + std::to_string(options.max_bytes) +
         " bytes of rows; split it into smaller ones");
  }
}

bool Capture::Impl::sequences_unchanged() {
  std::size_t i = 0;
  bool same = true;
  while (sequence_statement.step()) {
    if (!same) continue;
    same = i < sequences.size() && sequence_statement.column_text(0) == sequences[i].first &&
           sequence_statement.column_value(1) == sequences[i].second;
    ++i;
  }
  return same && i == sequences.size();
}

Capture::Impl::Sequences Capture::Impl::read_sequences() {
  if (!sequence_statement) return {};
  Sequences found;
  std::set<std::string> names;
  while (sequence_statement.step()) {
    std::string name = sequence_statement.column_text(0);
    if (sequence_statement.column_is_null(0) || !names.insert(name).second) {
      fail("capture: sqlite_sequence has more than one row for table \"" + name +
           "\", or one without a name; delete it");
      continue;
    }
    found.emplace_back(std::move(name), sequence_statement.column_value(1));
  }
  return found;
}

void Capture::Impl::append_sequences() {
  if (!sequence_statement || sequences_unchanged()) return;
  Sequences now = read_sequences();
  std::map<std::string, SequenceChange> changes;
  for (const auto& [name, value] : sequences) changes[name].before = value;
  for (const auto& [name, value] : now) changes[name].after = value;
  for (auto& [name, change] : changes) {
    if (change.before == change.after) continue;
    any = true;
    change.table = name;
    frame.clear();
    encoder.append(change, frame);
    body.append(frame);
  }
  sequences = std::move(now);
}

Capture::Capture(const Database& db, Options options)
    : impl_(std::make_unique<Impl>(db, std::move(options))) {
  const auto hook = [](void* context, sqlite3* /*db*/, int op, const char* database,
                       const char* table, sqlite3_int64 old_rowid,
                       sqlite3_int64 new_rowid) noexcept {
    // TEMP and attached databases are reported as well.
    if (sqlite3_stricmp(database, "main") != 0) return;
    auto& impl = *static_cast<Impl*>(context);
    const OwnWork own(impl.own_work);
    try {
      impl.on_change(op, table, old_rowid, new_rowid);
    } catch (const SqliteError& error) {
      impl.fail("capture: table " + std::string(table) + ": " + error.what());
    } catch (...) {
      impl.exception = std::current_exception();
    }
  };
  sqlite3_preupdate_hook(db.handle(), hook, impl_.get());
}

Capture::~Capture() { sqlite3_preupdate_hook(impl_->db.handle(), nullptr, nullptr); }

void Capture::begin() {
  Impl& impl = *impl_;
  const OwnWork own(impl.own_work);
  CSA_CHECK(!impl.active);
  impl.body.truncate(0);
  impl.encoder.reset();
  ++impl.changeset;
  impl.half_written.reset();
  impl.unsettled = false;
  impl.marks_assigned = false;
  impl.failure.reset();
  impl.exception = nullptr;
  CSA_CHECK(impl.schema_version_statement.step());
  const std::int64_t version = impl.schema_version_statement.column_int(0);
  impl.schema_version_statement.reset();
  if (version != impl.schema_version) {
    impl.forget_tables();
    impl.schema_version = version;
  }
  // Beside a journal another connection applies the master's changes.
  if (!impl.sequences_known || impl.options.journal != nullptr) {
    impl.sequences = impl.read_sequences();
    impl.sequences_known = true;
  }
  impl.active = true;
  impl.any = false;
}

Status Capture::status() const {
  if (impl_->exception) std::rethrow_exception(impl_->exception);
  if (impl_->failure) return *impl_->failure;
  return Ok{};
}

bool Capture::lost() const noexcept { return impl_->failure || impl_->exception; }

void Capture::mark_assigned(bool assigned) { impl_->marks_assigned = assigned; }

bool Capture::at_work() const { return impl_->own_work > 0; }

std::uint64_t Capture::size() const { return impl_->body.size(); }

const Spill& Capture::finish() {
  Impl& impl = *impl_;
  const OwnWork own(impl.own_work);
  CSA_CHECK(impl.active);
  if (!impl.failure && !impl.exception) {
    impl.flush_touched();
    impl.append_sequences();
    // An UPDATE that gave every column its old value has left the table's definition alone.
    if (!impl.any) impl.body.truncate(0);
  }
  impl.active = false;
  return impl.body;
}

void Capture::discard() {
  Impl& impl = *impl_;
  impl.active = false;
  impl.half_written.reset();
  impl.unsettled = false;
  impl.body.truncate(0);
  impl.encoder.reset();
  impl.failure.reset();
  impl.exception = nullptr;
  // A rolled back schema statement may have shaped what is known of tables.
  impl.schema_version = -1;
  impl.sequences_known = false;
  for (auto& [name, table] : impl.tables) {
    table.touched.clear();
    table.assigned.clear();
  }
}

void Capture::begin_statement() {
  Impl& impl = *impl_;
  const OwnWork own(impl.own_work);
  CSA_CHECK(impl.active);
  if (impl.failure || impl.exception) return;
  impl.flush_touched();
  impl.append_sequences();
  impl.mark = impl.body.size();
}

void Capture::schema_statement(std::string_view sql, bool keep_rows_before) {
  Impl& impl = *impl_;
  const OwnWork own(impl.own_work);
  CSA_CHECK(impl.active);
  if (impl.failure || impl.exception) return;
  if (keep_rows_before) {
    impl.flush_touched();
  } else {
    impl.half_written.reset();
    impl.body.truncate(impl.mark);
  }
  impl.forget_tables();
  impl.schema_version = -1;
  // What the statement did to sqlite_sequence it will do on every copy.
  impl.sequences = impl.read_sequences();
  impl.sequences_known = true;
  ++impl.changeset;
  impl.any = true;
  impl.frame.clear();
  impl.encoder.append(SchemaStatement{std::string(sql)}, impl.frame);
  impl.body.append(impl.frame);
}

void Capture::capture_whole_table(std::string_view name) {
  Impl& impl = *impl_;
  const OwnWork own(impl.own_work);
  CSA_CHECK(impl.active);
  if (impl.failure || impl.exception) return;
  CapturedTable& table = impl.table(name);
  if (!table.captured) return;
  Statement rows = impl.db.prepare(select_rows(table.info));
  while (impl.body.size() <= impl.options.max_bytes && rows.step()) {
    impl.append_selected(table, kRecordInsert, rows);
  }
  if (impl.body.size() > impl.options.max_bytes) {
    impl.fail("capture: table " + std::string(name) + " holds more than " +
              std::to_string(impl.options.max_bytes) + " bytes of rows; fill it in parts");
  }
}

}  // namespace csa
