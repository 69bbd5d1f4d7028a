// The fields of every message and nested value, in wire order: the table of schemas/protocol.md as
// code, written once for the writer, the reader and the counter. For codec*.cc, csa-dump and tests.
//
// An Archive has `template <class T> using Ref` (const T& or T&), operator()(name, field), and
// sentence(name, field) for texts that people read; chain_of(piece) where a piece's chain is no
// field like others.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "common/codec_values.h"

namespace csa::codec {

// Messages.

template <class A>
void fields(A& a, Ref<A, Hello> m) {
  a("protocol_min", m.protocol_min);
  a("protocol_max", m.protocol_max);
  a("role", m.role);
  a("app", m.app);
  a("group", m.group);
  a("app_version", m.app_version);
  a("program", m.program);
  a("hostname", m.hostname);
  a("node", m.node);
  a("incarnation", m.incarnation);
  a("proof_nonce", m.proof_nonce);
  a("db", m.db);
  a("position", m.position);
  a("generation_seen", m.generation_seen);
  a("counter", m.counter);
  a("confirmed", m.confirmed);
  added(a, "followed_at", m.followed_at);
}
template <class A>
void fields(A& a, Ref<A, Welcome> m) {
  a("protocol", m.protocol);
  a("boot", m.boot);
  a("db", m.db);
  a("head", m.head);
  a("floor", m.floor);
  a("schema_version", m.schema_version);
  a("pub_port", m.pub_port);
  a("heartbeat_ms", m.heartbeat_ms);
  a("node_timeout_ms", m.node_timeout_ms);
  a("statement_timeout_ms", m.statement_timeout_ms);
  a("last_counter", m.last_counter);
  a("hostname", m.hostname);
  a("program", m.program);
  added(a, "nonces", m.nonces);
}
template <class A>
void fields(A& a, Ref<A, Refused> m) {
  a("code", m.code);
  a.sentence("text", m.text);
}
template <class A>
void fields(A& /*a*/, Ref<A, Rehello> /*m*/) {}
template <class A>
void fields(A& a, Ref<A, Goodbye> m) {
  a.sentence("reason", m.reason);
}
template <class A>
void fields(A& a, Ref<A, Ping> m) {
  a("number", m.number);
  a("state", m.state);
  a("position", m.position);
  a("pending", m.pending);
  a("confirmed", m.confirmed);
}
template <class A>
void fields(A& a, Ref<A, Pong> m) {
  a("number", m.number);
  a("head", m.head);
  a("time", m.time);
  a("ledger_age_ms", m.ledger_age_ms);
  a("scale", m.scale);
}
template <class A>
void fields(A& a, Ref<A, Write> m) {
  a("tx", m.tx);
  a("sql", m.sql);
  a("parameters", m.parameters);
  a("expect", m.expect);
  added(a, "wait_ms", m.wait_ms);
  added(a, "nonce", m.nonce);
}
template <class A>
void fields(A& a, Ref<A, Migrate> m) {
  a("tx", m.tx);
  a("sql", m.sql);
  a("version", m.version);
}
template <class A>
void fields(A& a, Ref<A, Rules> m) {
  a("tx", m.tx);
  a("rules", m.rules);
  a("replace", m.replace);
}
template <class A>
void fields(A& a, Ref<A, Conflict> m) {
  a("tx", m.tx);
  a("id", m.id);
  a("verb", m.verb);
}
template <class A>
void fields(A& a, Ref<A, OutcomeGet> m) {
  a("tx", m.tx);
}
template <class A>
void fields(A& a, Ref<A, Ack> m) {
  a("tx", m.tx);
  a("seq", m.seq);
  a("changes", m.changes);
  a("last_insert_rowid", m.last_insert_rowid);
  a("schema_version", m.schema_version);
  a("repeated", m.repeated);
  a("rows_lost", m.rows_lost);
  a("columns", m.columns);
  a("rows", m.rows);
}
template <class A>
void fields(A& a, Ref<A, Nack> m) {
  a("tx", m.tx);
  a("code", m.code);
  a.sentence("message", m.message);
  a("statement", m.statement);
}
template <class A>
void fields(A& a, Ref<A, Replay> m) {
  a("header", m.header);
  a("first", m.first);
  a("previous", m.previous);
  a("correction_ms", m.correction_ms);
  a("error_ms", m.error_ms);
  a("checksum", m.checksum);
  a("offset", m.offset);
  a("bytes", m.bytes);
}
template <class A>
void fields(A& a, Ref<A, Replayed> m) {
  a("tx", m.tx);
  a("result", m.result);
  a("offset", m.offset);
  a("seq", m.seq);
  a.sentence("text", m.text);
  a("keys", m.keys);
}
template <class A>
void fields(A& a, Ref<A, LogGet> m) {
  a("request", m.request);
  a("after", m.after);
  a("offset", m.offset);
  a("max_bytes", m.max_bytes);
}
template <class A>
void fields(A& a, Ref<A, LogSlice> m) {
  a("request", m.request);
  a("head", m.head);
  a("floor", m.floor);
  a("pieces", m.pieces);
}
template <class A>
void fields(A& a, Ref<A, LogGone> m) {
  a("request", m.request);
  a("head", m.head);
  a("floor", m.floor);
  a.sentence("text", m.text);
}
template <class A>
void fields(A& a, Ref<A, SnapshotGet> m) {
  a("snapshot", m.snapshot);
  a("offset", m.offset);
  a("length", m.length);
  a("at_least", m.at_least);
  added(a, "map", m.map);
}
template <class A>
void fields(A& a, Ref<A, SnapshotChunk> m) {  // its bytes are the payload
  a("snapshot", m.snapshot);
  a("total", m.total);
  a("offset", m.offset);
  added(a, "page_size", m.page_size);
  added(a, "map", m.map);
}
template <class A>
void fields(A& a, Ref<A, SnapshotEnd> m) {
  a("snapshot", m.snapshot);
  a("total", m.total);
  a("hash", m.hash);
  a("position", m.position);
}
template <class A>
void fields(A& a, Ref<A, SnapshotGone> m) {
  a("snapshot", m.snapshot);
  a.sentence("text", m.text);
}
template <class A>
void fields(A& a, Ref<A, LayoutGet> m) {
  a("schema_version", m.schema_version);
}
template <class A>
void fields(A& a, Ref<A, LayoutReply> m) {
  a("schema_version", m.schema_version);
  a("json", m.json);
}
template <class A>
void fields(A& a, Ref<A, Update> m) {
  a("head", m.head);
  a("pieces", m.pieces);
}
template <class A>
void fields(A& a, Ref<A, Head> m) {
  a("head", m.head);
  a("floor", m.floor);
  a("boot", m.boot);
  a("time", m.time);
  a("ledger_age_ms", m.ledger_age_ms);
}
template <class A>
void fields(A& a, Ref<A, Proof> m) {
  a("nonce", m.nonce);
  a("head", m.head);
}
template <class A>
void fields(A& a, Ref<A, Presence> m) {
  a("event", m.event);
  a("node", m.node);
  a("hostname", m.hostname);
  a("address", m.address);
  a("time", m.time);
}
template <class A>
void fields(A& a, Ref<A, Admin> m) {
  a("request", m.request);
  a("verb", m.verb);
  added(a, "wait_ms", m.wait_ms);
}
template <class A>
void fields(A& a, Ref<A, AdminReply> m) {
  a("request", m.request);
  a("ok", m.ok);
  a.sentence("text", m.text);
  a("json", m.json);
}
template <class A>
void fields(A& a, Ref<A, DigestGet> m) {
  a("request", m.request);
}
template <class A>
void fields(A& a, Ref<A, DigestReply> m) {
  a("request", m.request);
  a("asked", m.asked);
  a("position", m.position);
  a("fingerprint", m.fingerprint);
  a("tables", m.tables);
  a.sentence("text", m.text);
}
template <class A>
void fields(A& a, Ref<A, RowsGet> m) {
  a("request", m.request);
  a("position", m.position);
  a("table", m.table);
  a("buckets", m.buckets);
}
template <class A>
void fields(A& a, Ref<A, RowsReply> m) {
  a("request", m.request);
  a("position", m.position);
  a("rows", m.rows);
  a.sentence("text", m.text);
}
template <class A>
void fields(A& a, Ref<A, Checked> m) {
  a("asked", m.asked);
  a("position", m.position);
  a("fingerprint", m.fingerprint);
  a("tables", m.tables);
  a("differences", m.differences);
  a("pending", m.pending);
  a.sentence("text", m.text);
}

// How many fields a message or nested value has.
struct Counter {
  template <class T>
  using Ref = const T&;
  std::uint32_t count = 0;
  template <class T>
  void operator()(std::string_view /*name*/, const T& /*field*/) {
    ++count;
  }
  void sentence(std::string_view /*name*/, const std::string& /*field*/) { ++count; }
};

template <class T>
[[nodiscard]] std::uint32_t field_count(const T& value) {
  Counter counter;
  fields(counter, value);
  return counter.count;
}

// Type numbers of the alternatives of Message, in their order. Never reused.
inline constexpr std::array<std::uint8_t, std::variant_size_v<AnyMessage>> kTypes = {
    1,  2,  3,  4,  5,  6,  7,           // HELLO .. PONG
    10, 11, 12, 13, 14, 15, 16, 17, 18,  // WRITE .. CONFLICT
    20, 21, 22, 23, 24, 25, 26, 27, 28,  // LOG_GET .. LAYOUT
    30, 31, 32, 33,                      // UPDATE .. PRESENCE
    40, 41,                              // ADMIN, ADMIN_REPLY
    45, 46, 47, 48, 49,                  // DIGEST_GET .. CHECKED
};

}  // namespace csa::codec
