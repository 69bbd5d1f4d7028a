// While it lives, statements may be prepared that write shadow tables of virtual tables.
#pragma once

#include "common/sqlite.h"

namespace csa {

class Undefended {
 public:
  explicit Undefended(const Database& db) : db_(db) {  // must outlive this
    sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_DEFENSIVE, -1, &before_);
    set(0);
  }
  ~Undefended() { set(before_); }
  Undefended(const Undefended&) = delete;
  Undefended& operator=(const Undefended&) = delete;

 private:
  void set(int on) { sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_DEFENSIVE, on, nullptr); }
  const Database& db_;
  int before_ = 0;
};

}  // namespace csa
