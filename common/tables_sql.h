// The text of schemas/tables.sql, put into the program at build.
#pragma once

namespace csa {

extern const char* const kTablesSql;

}  // namespace csa
