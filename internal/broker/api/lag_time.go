package api

import (
	"context"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// lagLookups bounds how many records are read for one scrape; what is left over is looked up at the next ones. What was
// found is kept until the group commits another offset.
const lagLookups = 200

// lagTimes finds out how old the records are at which groups stand. Calls of age may not run together with another; mu
// only guards against a second scrape.
type lagTimes struct {
	mu sync.Mutex
	// known are the timestamps, in ms, of records at committed offsets.
	known map[lagKey]lagTime
}

type lagKey struct {
	group     string
	topic     kafka.TopicID
	partition int32
}

type lagTime struct {
	offset, millis int64
}

// ages returns, for each committed offset, the age of the record there: zero for a group that has read all, negative where
// it is not known yet.
func (l *lagTimes) ages(ctx context.Context, s *Server, view *topics.View, committed []group.CommittedOffset) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.known
	l.known = make(map[lagKey]lagTime, len(before))
	lookups := 0
	out := make([]time.Duration, len(committed))
	for i := range committed {
		c := &committed[i]
		out[i] = -1
		t, ok := view.ByName(c.Topic)
		if !ok || !hasPartition(t, c.Partition) {
			continue
		}
		log, ok := s.storage.Existing(t.ID, c.Partition)
		if !ok {
			continue
		}
		o := log.Offsets()
		if c.Offset >= o.HighWatermark {
			out[i] = 0
			continue
		}
		key, at := lagKey{c.Group, t.ID, c.Partition}, max(c.Offset, o.LogStart)
		found, ok := before[key]
		if !ok || found.offset != at {
			if lookups++; lookups > lagLookups {
				continue
			}
			b, _, err := log.ReadBytes(ctx, at, 1)
			if err != nil {
				continue
			}
			if found, ok = timeAt(b, at); !ok {
				continue
			}
		}
		l.known[key] = found
		out[i] = max(s.now().Sub(time.UnixMilli(found.millis)), 0)
	}
	return out
}

// lagBatchBytes bounds what a batch may take when it is opened for the timestamp of a record; of a larger one the time of
// the batch is taken.
const lagBatchBytes = 16 << 20

// timeAt returns the timestamp of the first record in b, which begins with a batch, from offset at on.
func timeAt(b []byte, at int64) (lagTime, bool) {
	h, err := record.ParseHeader(b)
	if err != nil || h.Size() > int64(len(b)) {
		return lagTime{}, false
	}
	found := lagTime{at, h.MaxTimestamp}
	if h.LogAppendTime() || h.Control() {
		return found, true
	}
	it, err := record.NewIterator(b[:h.Size()], lagBatchBytes)
	if err != nil {
		return found, true
	}
	defer it.Close()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		if h.BaseOffset+int64(r.OffsetDelta) >= at {
			found.millis = h.BaseTimestamp + r.TimestampDelta
			break
		}
	}
	return found, true
}
