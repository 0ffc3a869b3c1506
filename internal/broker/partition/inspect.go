package partition

import (
	"fmt"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Inspector looks into a client's batch before it is written. The batch is well formed, as far as it was opened, and its producer
// may write it now: it is no repetition. Batch is what will be written, in its topic's codec. The inspector returns it, or another
// one to be written in its place, in memory that stays until the ticket is done, or why nothing shall be written.
//
// What stands in the place of a batch has its producer's fields and its last offset delta, so that offsets and sequences mean what
// the producer thinks they do. Records may be missing, even all (record.Retain, record.Empty).
//
// It is called without any lock, so the log may have moved on when it returns; what was checked before is checked again then.
type Inspector func(batch []byte, limitBytes, level int) ([]byte, error)

// inspect shows a checked batch to the inspector. done means that a is the answer: the producer sent the batch before.
func (l *Log) inspect(b *[]byte, h *record.Header, c *Config, v *Verification, inspect Inspector) (a Appended, done bool, err error) {
	if h.ProducerID >= 0 {
		// A batch that was written is not judged again: by now it might be refused, and the producer take it for lost.
		if a, done, err = l.foresee(h, v); done || err != nil {
			return a, done, err
		}
	}
	out, err := inspect(*b, c.DecompressedBytesMax, c.Level)
	if err != nil {
		return Appended{}, false, err
	}
	if &out[0] == &(*b)[0] && len(out) == len(*b) {
		return Appended{}, false, nil
	}
	next, err := record.ParseHeader(out)
	if err != nil {
		return Appended{}, false, fmt.Errorf("inspect batch for %s: %w", l.id, err)
	}
	if int64(len(out)) > int64(c.MaxMessageBytes) && len(out) > len(*b) {
		return Appended{}, false, kafka.Errorf(kafka.MessageTooLarge, "batch of %d bytes after what was added to it, the topic takes %d", len(out), c.MaxMessageBytes)
	}
	*b, *h = out, next
	return Appended{}, false, nil
}

// foresee says what append would answer now to a batch of a producer.
func (l *Log) foresee(h *record.Header, v *Verification) (a Appended, done bool, err error) {
	info := infoOf(h)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Appended{}, false, ErrClosed
	}
	return l.checkProducerLocked(&info, &origin{client: true, verification: v})
}
