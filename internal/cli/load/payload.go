package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Payload names what values consist of.
type Payload string

// The payloads: capital letters as Kafka's own tool writes them, text like JSON (which compresses), random bytes (which
// do not).
const (
	Letters Payload = "letters"
	Text    Payload = "text"
	Random  Payload = "random"
)

// Payloads lists the names.
var Payloads = []string{string(Letters), string(Text), string(Random)}

// distinct is the number of different values: enough that no codec sees one twice in a batch, at most about 4 MiB.
func distinct(size int) int { return max(16, min(4096, 4<<20/max(size, 1))) }

func payloads(p Payload, size int, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 2))
	words := strings.Fields(`"user_id": "order_id": "amount": "currency": "created_at": EUR USD true false null "status": paid open "sku": "ref": 2026-01-02T03:04:05Z`)
	all := make([][]byte, distinct(size))
	for i := range all {
		b := make([]byte, 0, size+32)
		for len(b) < size {
			switch p {
			case Text:
				b = fmt.Appendf(append(b, words[r.IntN(len(words))]...), " %d ", r.IntN(10000))
			case Random:
				b = binary.LittleEndian.AppendUint64(b, r.Uint64())
			default:
				b = append(b, byte('A'+r.IntN(26)))
			}
		}
		all[i] = b[:size:size]
	}
	return all
}

const stampBytes = 8

// stamped returns a copy of value that begins with a time.
func stamped(value []byte, at time.Time) []byte {
	b := make([]byte, max(len(value), stampBytes))
	copy(b, value)
	binary.BigEndian.PutUint64(b, uint64(at.UnixNano()))
	return b
}

func stampOf(value []byte) (time.Time, bool) {
	if len(value) < stampBytes {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(value))), true
}

// pace is a schedule of records at a fixed rate.
type pace struct {
	start time.Time
	gap   float64 // nanoseconds between records; 0 means no schedule
}

func newPace(start time.Time, perSecond float64) pace {
	if perSecond <= 0 {
		return pace{start: start}
	}
	return pace{start, float64(time.Second) / perSecond}
}

// await returns the time at which record n is due, once that time has come. Without a schedule that is now. It returns
// false if ctx ends first.
func (p pace) await(ctx context.Context, n int64) (time.Time, bool) {
	if p.gap == 0 {
		return time.Now(), ctx.Err() == nil
	}
	due := p.start.Add(time.Duration(float64(n) * p.gap))
	wait := time.Until(due)
	if wait <= 0 {
		return due, ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return due, true
	case <-ctx.Done():
		return due, false
	}
}
