package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrNoSpace is returned by Append and Admit when the prepared files have no room and no more can be had. Nothing has changed; the
	// call may succeed later, after Trim or when the disk has room again.
	ErrNoSpace = errors.New("wal: no space left")
	// ErrTooLarge is returned by Append for a batch that fits in no file.
	ErrTooLarge = errors.New("wal: batch larger than a file")
	// ErrClosed is returned before Run is ready and after its context has ended.
	ErrClosed = errors.New("wal: closed")
	// ErrFailed is wrapped, together with the cause, by every error after a write or sync has failed. Whether the waiting
	// batches are durable is unknown until the next Scan.
	ErrFailed = errors.New("wal: failed")
	// ErrTrimmed is returned by Pin and Read for a position whose file is gone.
	ErrTrimmed = errors.New("wal: position trimmed")
	// ErrNotWritten is returned by Pin and Read for a position at or above Tail.
	ErrNotWritten = errors.New("wal: position not written")
)

// CorruptError reports bytes that were durable once and are not what was written.
type CorruptError struct {
	File     string // path of the file
	Offset   int64  // in the file
	Position Position
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: corrupt: %s at %d (position %v): %s", e.File, e.Offset, e.Position, e.Reason)
}
