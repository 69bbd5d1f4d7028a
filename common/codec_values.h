// The fields of nested values, in wire order; part of codec_fields.h, which says how it is used.
#pragma once

#include <string_view>
#include <type_traits>

#include "common/message.h"

namespace csa::codec {

template <class A, class T>
using Ref = typename A::template Ref<T>;

// A field that came later than its message: where it is missing it keeps its default.
template <class A, class T>
void added(A& a, std::string_view name, T& field) {
  if constexpr (requires { a.nothing_left(); }) {
    if (a.nothing_left()) return;
  }
  a(name, field);
}

// Nested values: arrays of exactly these elements.

template <class A>
void fields(A& a, Ref<A, TxId> m) {
  a("node", m.node);
  a("counter", m.counter);
}
template <class A>
void fields(A& a, Ref<A, Epoch> m) {
  a("generation", m.generation);
  a("id", m.id);
}
template <class A>
void fields(A& a, Ref<A, Position> m) {
  a("epoch", m.epoch);
  a("seq", m.seq);
  a("chain", m.chain);
}
template <class A>
void fields(A& a, Ref<A, EntryHeader> m) {
  a("seq", m.seq);
  a("tx", m.tx);
  a("time", m.time);
  a("hostname", m.hostname);
  a("schema_version", m.schema_version);
  a("kind", m.kind);
  a("request_hash", m.request_hash);
  a("changes", m.changes);
  a("last_insert_rowid", m.last_insert_rowid);
  a("size", m.size);
  a("edited", m.edited);
  a("edited_error_ms", m.edited_error_ms);
  a("confirmed", m.confirmed);
}
template <class A>
void fields(A& a, Ref<A, JournalHeader> m) {
  a("tx", m.tx);
  a("base", m.base);
  a("schema_version", m.schema_version);
  a("edited", m.edited);
  a("edited_error_ms", m.edited_error_ms);
  a("boot", m.boot);
  a("boot_ms", m.boot_ms);
  a("wall", m.wall);
  a("scale", m.scale);
  a("request_hash", m.request_hash);
  a("changes", m.changes);
  a("last_insert_rowid", m.last_insert_rowid);
  a("size", m.size);
  a("lost", m.lost);
  a("lost_hostname", m.lost_hostname);
  a("origin", m.origin);
}
template <class A>
void fields(A& a, Ref<A, TimeScale> m) {
  a("id", m.id);
  a("before", m.before);
  a("since", m.since);
}
template <class A>
void fields(A& a, Ref<A, KeyChange> m) {
  a("table", m.table);
  a("before", m.before);
  a("after", m.after);
}
template <class A>
void fields(A& a, Ref<A, RuleSetting> m) {
  a("table", m.table);
  a("column", m.column);
  a("rule", m.rule);
}
template <class A>
void fields(A& a, Ref<A, LogPiece> m) {
  a("header", m.header);
  if constexpr (requires { a.chain_of(m); }) {
    a.chain_of(m);
  } else {
    a("chain", m.chain);
  }
  a("offset", m.offset);
  a("bytes", m.bytes);
}
template <class A>
void fields(A& a, Ref<A, TableSum> m) {
  a("name", m.name);
  a("known", m.known);
  a("rows", m.rows);
  a("low", m.low);
  a("high", m.high);
}
template <class A>
void fields(A& a, Ref<A, RowSum> m) {
  a("key", m.key);
  a("low", m.low);
  a("high", m.high);
}
template <class A>
void fields(A& a, Ref<A, KeyRange> m) {
  a("table", m.table);
  a("rows", m.rows);
  a("from", m.from);
  a("to", m.to);
}

template <class T>
inline constexpr bool kNested =
    std::is_same_v<T, TxId> || std::is_same_v<T, Epoch> || std::is_same_v<T, Position> ||
    std::is_same_v<T, EntryHeader> || std::is_same_v<T, JournalHeader> ||
    std::is_same_v<T, TimeScale> || std::is_same_v<T, KeyChange> ||
    std::is_same_v<T, RuleSetting> || std::is_same_v<T, LogPiece> || std::is_same_v<T, TableSum> ||
    std::is_same_v<T, RowSum> || std::is_same_v<T, KeyRange>;

}  // namespace csa::codec
