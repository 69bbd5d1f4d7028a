// The bugs that can be planted, and the labels of crash points (planted.h).
#pragma once

#include <array>
#include <string_view>

namespace csa {

inline constexpr std::array kPlantedBugs = {
    // ledger: a write that broke a rule is answered ok.
    std::string_view("acknowledge a failed write"),
    // ledger: an ACK may leave before its commit is synced.
    std::string_view("answer before sync"),
    // replica: *journaled* may be answered before it is on the disk.
    std::string_view("answer before the journal is synced"),
    // writes: of one whose outcome nobody knows the caller hears nothing.
    std::string_view("answer no unknown write"),
    // ledger: a history ends, and nobody else has written to the master.
    std::string_view("begin a history without need"),
    // download: a copy is not proved by its hash.
    std::string_view("believe a damaged copy"),
    // session: a write is called visible before the replica has it.
    std::string_view("call a write visible early"),
    // apply: sqlite_sequence is not followed.
    std::string_view("carry no sequence"),
    // self check: digests of different positions are compared.
    std::string_view("compare at another position"),
    // apply: the schema's version stays after a change of it.
    std::string_view("count no schema change"),
    // hub: nobody is told where the broker is.
    std::string_view("drop HEAD"),
    // apply: cascades run again at the replica.
    std::string_view("foreign keys on at apply"),
    // merge: what loses is not in the inbox.
    std::string_view("forget what lost"),
    // ledger: what could not be committed is answered ok.
    std::string_view("go on after a failed commit"),
    // replica: after a crash a TxId is given twice.
    std::string_view("hand out counters that are not stored"),
    // journal: an entry is not proved by its checksum.
    std::string_view("hand over a damaged entry"),
    // apply: a change that does not fit is left out.
    std::string_view("ignore an apply error"),
    // replica: a full copy takes the place of changes that nobody has.
    std::string_view("install over what waits"),
    // join: what a lost master has answered is not handed over anew.
    std::string_view("keep a lost master's answers"),
    // ledger: statements before the one that failed stay.
    std::string_view("keep half of a failed write"),
    // ledger: what became of a write is not stored with it.
    std::string_view("keep no outcome"),
    // writes: the caller is not told that a write was rejected.
    std::string_view("leave a rejected write unknown"),
    // restore, install: the -wal of the file that was there stays beside the new one.
    std::string_view("leave an old -wal beside a new file"),
    // ledger: an entry is merged though those before it were not handed over.
    std::string_view("merge a journal out of order"),
    // merge: foreign keys are not asked for.
    std::string_view("merge a row without its parent"),
    // ledger: a replayed entry is not known by its TxId.
    std::string_view("merge an entry again"),
    // merge: who comes last wins.
    std::string_view("newest wins by arrival"),
    // ledger: a commit that failed gives back the number of the one before.
    std::string_view("reuse a sequence number"),
    // ledger: a write is not known by its TxId.
    std::string_view("run a repeated write"),
    // archive: what was pruned is taken for empty.
    std::string_view("serve the log from below its floor"),
    // stream: an entry after a missing one is taken.
    std::string_view("skip a gap"),
    // apply: changes are committed without the Position.
    std::string_view("store no position"),
    // local pages: a page of the copy is taken without its hash.
    std::string_view("take a page by its place"),
    // handover: an entry that must come again is marked as handed over.
    std::string_view("take a refusal for an outcome"),
    // session: the journal ends before the replica has what it came to.
    std::string_view("take over too early"),
    // session: a counter that is reserved counts as given.
    std::string_view("take what is reserved for used"),
    // merge: rows of an atomic table win and lose one by one.
    std::string_view("tear an atomic transaction"),
    // apply: triggers run again at the replica.
    std::string_view("triggers on at apply"),
    // time: steps of the broker's clock are steps of time.
    std::string_view("trust the wall clock"),
    // take over: the master's log is applied onto offline changes.
    std::string_view("undo nothing of the journal"),
};

inline constexpr std::array kCrashPoints = {
    // backup: the copy is whole and synced, under the name of a part.
    std::string_view("backup: before its name"),
    // backup: it has its name, and that of the part too.
    std::string_view("backup: named"),
    // door: a guest's write is done, and the guest is not told.
    std::string_view("door: before an answer"),
    // download: bytes are written and not synced.
    std::string_view("download: chunk written"),
    // download: synced and found whole, and its record still there.
    std::string_view("download: proved"),
    // front: what a peer is told is ready, and not sent.
    std::string_view("front: before an answer"),
    // front: a change is committed, and not published.
    std::string_view("front: before an update"),
    // install: the copy is in the replica, which has not been looked at.
    std::string_view("install: copied"),
    // install: the private rows are in the copy.
    std::string_view("install: copy prepared"),
    // install: the copy is in use and its file gone, the -wal not yet written back.
    std::string_view("install: download dropped"),
    // install: what the replica held is beside it.
    std::string_view("install: kept aside"),
    // install: the old file has no -wal any more, and its name.
    std::string_view("install: old log gone"),
    // install: the copy has its second name, which lasts.
    std::string_view("install: ready"),
    // install: the copy has the replica's name, perhaps not for long.
    std::string_view("install: renamed"),
    // ledger: -wal written back.
    std::string_view("ledger: after checkpoint"),
    // ledger: the group is committed and nobody has heard of it.
    std::string_view("ledger: after commit"),
    // ledger: the -wal waits.
    std::string_view("ledger: before checkpoint"),
    // ledger: the group is written and not committed.
    std::string_view("ledger: before commit"),
    // ledger: another program has written, the next history is written down.
    std::string_view("ledger: epoch begun"),
    // ledger: the first commit of a start is there.
    std::string_view("ledger: opened"),
    // ledger: a write has run and its outcome is noted.
    std::string_view("ledger: outcome written"),
    // ledger: an offline transaction is merged and not in the log.
    std::string_view("ledger: replay merged"),
    // link: the store has done a job, and the session does not know.
    std::string_view("link: a job is done"),
    // link: a turn of the node, what it wants to send not sent.
    std::string_view("link: before it sends"),
    // opening: the new file has the old one's name to be.
    std::string_view("opening: between two names"),
    // opening: the new file has its name, perhaps not for long.
    std::string_view("opening: named"),
    // opening: the new file and the old one have changed names.
    std::string_view("opening: swapped"),
    // replica: a batch of the log is committed.
    std::string_view("replica: after commit"),
    // replica: a batch of the log is applied and not committed.
    std::string_view("replica: before commit"),
    // replica: an offline write has run and is in the journal, not committed.
    std::string_view("replica: before journaling"),
    // replica: outcomes are noted and not committed.
    std::string_view("replica: before marking"),
    // replica: counters, endpoint, clock or damage are written and not committed.
    std::string_view("replica: identity written"),
    // replica: a new identity is in the journal and not committed.
    std::string_view("replica: journal renamed"),
    // replica: an offline write is committed and nobody has heard of it.
    std::string_view("replica: journaled"),
    // replica: outcomes are committed and the session has not heard of it.
    std::string_view("replica: marked"),
    // restore: the new master is whole, beside the place where it belongs.
    std::string_view("restore: built"),
    // restore: the next history is there, the replica's own journal not merged.
    std::string_view("restore: history begun"),
    // server: the broker was told to stop, and its stores are open.
    std::string_view("server: before the end"),
    // server: the database is open, and no socket.
    std::string_view("server: opened"),
    // spool: holds all pages, and the private rows too.
    std::string_view("spool: pages copied"),
    // sub: lines are written out.
    std::string_view("sub: lines are out"),
    // take over: committed.
    std::string_view("take over: after commit"),
    // take over: journal emptied, not committed.
    std::string_view("take over: before commit"),
    // take over: the journal's changes are undone, nothing is applied.
    std::string_view("take over: journal undone"),
    // take over: the log's tail is applied.
    std::string_view("take over: tail applied"),
};

}  // namespace csa
