package segment

import (
	"errors"
	"fmt"
)

// ErrNoRun tells that the object holds no run of the partition asked for, or that a RunInfo is another object's.
var ErrNoRun = errors.New("no such run in the object")

// ErrOutsideBody tells that a range to read is not within one run's part of the object.
var ErrOutsideBody = errors.New("range is not within a run")

// ErrVersion tells that the object is intact but of a format that this program does not know.
var ErrVersion = errors.New("unknown format version of segment object")

// ErrOrder tells that runs or offsets were handed to a Writer out of order, or batches outside a run.
var ErrOrder = errors.New("out of order")

// ErrBadBatch tells that what was handed to Writer.AppendBatch is not exactly one batch of version 2.
var ErrBadBatch = errors.New("not one whole batch")

// CorruptError tells that stored bytes are not those that were written. It is returned each time the damage is
// met; no byte of a damaged block is handed out.
type CorruptError struct {
	Object string // key of the object
	Offset int64  // position in the object where the damaged part starts
	Reason string // which part, and what about it is wrong
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("object %s is corrupt at %d: %s", e.Object, e.Offset, e.Reason)
}
