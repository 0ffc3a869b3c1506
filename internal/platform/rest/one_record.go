package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// oneRecordWait bounds how long a single record is looked for.
const oneRecordWait = 10 * time.Second

// oneRecord reads the record whose topic, partition and offset the path names. Where compaction has taken it away there is none.
func (s *Server) oneRecord(r *http.Request) (*kgo.Record, error) {
	topic := r.PathValue("topic")
	partition, err := partitionOf(r)
	if err != nil {
		return nil, err
	}
	offset, err := strconv.ParseInt(r.PathValue("offset"), 10, 64)
	if err != nil || offset < 0 {
		return nil, errNoPath()
	}
	cl, err := s.client(r)
	if err != nil {
		return nil, err
	}
	missing := gate.Errorf(http.StatusNotFound, "There is no record at offset %d of %s-%d", offset, topic, partition)
	start, end, err := bounds(r.Context(), cl, topic, partition)
	switch {
	case err != nil:
		return nil, v2Missing(err)
	case offset < start || offset >= end:
		return nil, missing
	}
	reader, err := s.dialer(r)(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxPartitionBytes(1), kgo.FetchMaxBytes(1), kgo.KeepControlRecords(), kgo.DisableClientMetrics(), // a batch is the least that comes
	)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(r.Context(), oneRecordWait)
	defer cancel()
	for ctx.Err() == nil {
		fetches := reader.PollRecords(ctx, 1)
		for _, record := range fetches.Records() {
			if record.Offset == offset && !record.Attrs.IsControl() {
				return record, nil
			}
			return nil, missing
		}
		if err := fetches.Err0(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			if errors.Is(err, kerr.OffsetOutOfRange) {
				return nil, missing
			}
			return nil, v2Missing(err)
		}
		var failed error
		fetches.EachError(func(_ string, _ int32, err error) {
			if k, ok := errors.AsType[*kerr.Error](err); ok && !k.Retriable {
				failed = err
			}
		})
		if failed != nil {
			return nil, failed
		}
	}
	return nil, missing
}

// headerData shows a header.
func headerData(h kgo.RecordHeader) ProduceHeader {
	out := ProduceHeader{Name: h.Key}
	if h.Value != nil {
		v := base64Of(h.Value)
		out.Value = &v
	}
	return out
}
