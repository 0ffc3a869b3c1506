// Package record reads, checks, changes and builds record batches of format 2, the only unit in which Kafka's clients
// and brokers exchange and keep records.
//
//	 0 base offset          8 ┐
//	 8 length               4 │ length counts from here on: whole batch = 12 + length
//	12 leader epoch         4 │ patched by the broker, outside the checksum, as is the base offset
//	16 magic (2)            1 │
//	17 CRC-32C              4 ┘ of everything that follows
//	21 attributes           2   bits 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
//	23 last offset delta    4
//	27 base timestamp       8   ms; with bit 6 the delete horizon
//	35 max timestamp        8   ms
//	43 producer id          8   -1: none
//	51 producer epoch       2
//	53 base sequence        4
//	57 record count         4
//	61 records                  as one compressed stream, or plain
//
// It promises: ParseHeader, CheckCRC and PatchOffset allocate nothing; no function reads outside the slice it is given;
// decompression never yields more than the limit its caller names, and memory grows with the bytes that really come
// out, so a compression bomb costs little. Whatever bytes come in, the answer is a result or an error that wraps a
// kafka.Error which may be sent to the client.
//
// Older formats (magic 0 and 1) are recognised and refused with ErrBadMagic. What a batch means for a log (producer
// sequences, offsets, size limits, time limits) is not decided here.
//
// All functions may be called from any goroutine. An Iterator or Builder belongs to one goroutine at a time. Pools of
// codecs are the only state of the package.
package record
