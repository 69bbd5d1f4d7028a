// The tables of a journal's entry by the names that they have at the master now. They keep those
// under which the journal knows them, unless such a name has gone to another column or table that
// was there before: nothing shifts into a wrong one. Columns are then called as they are now. A
// table is called so that no table is: its rows wait in the inbox. Belongs to the ledger's thread;
// throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/column_places.h"
#include "common/changeset.h"

namespace csa {

class JournalNames {
 public:
  // Of an entry that was made at schema version `then`. `places` must outlive this.
  JournalNames(ColumnPlaces& places, std::uint64_t then, std::uint64_t now)
      : then_(then), now_(now), places_(places) {}

  // It was so at that version. A history that is none of the master's may count other schemas by
  // the same numbers.
  [[nodiscard]] bool knows(const ChangeTable& table);
  // `tables` as a reader of the entry has them so far. Valid until the next call.
  [[nodiscard]] const std::vector<ChangeTable>& present(const std::vector<ChangeTable>& tables);
  // The table as the journal has it, which present() has told.
  [[nodiscard]] const ChangeTable& own(const ChangeTable& present) const;
  // The name has gone to another table.
  [[nodiscard]] bool is_gone(const std::string& table);
  // What the journal's table is called now; empty: nothing.
  [[nodiscard]] std::string name_now(const ChangeTable& present);

 private:
  [[nodiscard]] std::optional<ChangeTable> renamed(const ChangeTable& table);
  [[nodiscard]] ChangeTable gone(ChangeTable table);

  const std::uint64_t then_, now_;
  ColumnPlaces& places_;
  std::vector<ChangeTable> present_;
  std::map<std::string, ChangeTable> own_;     // by the present table's name
  std::map<std::string, std::string> now_of_;  // what was asked for, by the journal's name
};

}  // namespace csa
