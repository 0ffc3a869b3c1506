// Package torture runs transactions through a broker that is killed again and again, and checks what became of them.
//
// Values are produced to a topic "in". Movers take them from topic to topic, in to mid and mid to out, each step in a
// transaction that holds the records and the offsets of the group (consume, process, produce). Some movers speak the
// protocol of before KIP-890. Beside them live zombies: producers that are paused inside a transaction, replaced by
// another with the same transactional id, or left until their time-out, and then go on. Meanwhile the broker is killed
// (SIGKILL) at random.
//
// A record's value names the value it carries, its transaction, and how many records that one has, so the readings tell
//
//   - lost: a committed value that is not there;
//   - duplicated: a value that is there twice;
//   - aborted: a record of a transaction that did not commit;
//   - torn: a transaction of which some records are there and some are not;
//   - early: a record that a live reader with read_committed saw and that is not in the final committed view, or is
//     another one there;
//   - hanging: a transaction that never ends.
//
// Beside them two groups, one of each protocol, have members that join, leave, are gone without a word or are silent for longer
// than a session and then want to commit, while their topic grows. Each member notes for how long a partition was its own, at
// most until a session after its last heartbeat that was answered, and what it committed. Ownership.Check tells
//
//   - double: a partition that two members had at the same time;
//   - fence: a commit that was taken from a member after another had got the partition;
//   - lost: a committed offset that went back; invented: one that nobody sent.
//
// In the end, when all is quiet, every partition must have one owner.
//
// History.Check says which of that occurred. It is tested itself, on histories that were broken on purpose; those tests
// need no binary. The test with a binary has the build tag torture: $TEST_BINARY names it, $TORTURE_SECONDS says for how
// long (default 300), and $TORTURE_SEED repeats the choices of a run. A run with less work or fewer faults than a floor is
// invalid, and fails: it has shown nothing.
package torture
