// Package fault kills, starves and insults a built broker, and checks what it promised.
//
// A test starts the binary named by $TEST_BINARY (weir server --data DIR --kafka-listen ADDR --admin-listen ADDR), waits
// for DIR/run.json, and talks to it as any client would. What producers were told and what consumers saw goes into a
// History; Check then says which promises it breaks:
//
//   - an acknowledged value is at its acknowledged offset, in every later reading;
//   - a value that was sent once is there at most once, acknowledged or not;
//   - offsets are dense: no gap, no offset twice;
//   - one offset has one content for ever, also for a consumer that read it before a crash;
//   - the high watermark never falls.
//
// The checker is tested itself, on histories that were broken on purpose; those tests need no binary. The tests with a
// binary have the build tag fault. They use loopback only, on ports the system chooses, and folders of their own; the
// full-disk test mounts a tmpfs and needs root. Seeds are printed and can be given again with $FAULT_SEED.
package fault
