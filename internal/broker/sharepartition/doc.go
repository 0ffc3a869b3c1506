// Package sharepartition hands the records of partitions out to share groups: it keeps the windows of records in flight
// (share.Partition) of this broker, reads what is to be handed out, lets go of what was held for too long, and has every
// change persisted before it is told of. It also keeps the sessions of share consumers.
//
//	Fetch ─────▶ window: next offset ─▶ Log.Read ─▶ window: Acquire ─▶ records, and who holds them
//	Acknowledge▶ window: changed ─▶ writer, one write at a time ─▶ States ─▶ window: Complete ─▶ answer
//
// A window is loaded when it is first asked for, and belongs to its mutex. One fetch at a time reads for a window; the
// others pass it over. Changes that come while a write is on its way go together into the next one, so the order of
// writes is that of changes and a busy partition needs few of them. Long polls wait for the log and for records that
// come back, not for a timer.
//
// A window that the state store fences, or whose topic is gone, is dropped; those who wait are told, and the next fetch
// loads it again. Windows of a group without members go once nothing of theirs is held or on its way.
//
// Bounds: a window has as many records as the group's share.partition.max.record.locks, and a record batch; sessions are
// group.share.max.share.sessions; a fetch reads readBytesMax of a partition. A session ends with its connection, and what
// its member held comes back.
//
// Manager may be used from any goroutine. Lock order: window.mu, then Manager.mu or the log's; Sessions.mu stands alone. No
// I/O happens under a lock. The package knows no message types of the wire and authorizes nothing.
package sharepartition
