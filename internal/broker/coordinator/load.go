package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// load replays the log into a new state machine.
func (s *shard) load(ctx context.Context, log Log) (*group.Shard, error) {
	started := time.Now()
	machine := group.NewShard(s.options.Group)
	records, unknown := 0, 0
	err := log.Replay(ctx, func(batch []byte) error {
		n, passed, err := s.replayBatch(machine, batch)
		records, unknown = records+n, unknown+passed
		return err
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(started)
	s.metrics.loads.Observe(took.Seconds())
	s.metrics.unknown.Add(float64(unknown))
	if unknown > 0 {
		s.logger.Warn("passed over group records of a kind that is not known", "records", unknown)
	}
	if records > 0 {
		s.logger.Info("group coordinator loaded", "records", records, "duration", took)
	}
	return machine, nil
}

// replayBatch applies the records of one batch. Records of a kind that is not known are counted; damage is an error.
func (s *shard) replayBatch(machine *group.Shard, batch []byte) (records, unknown int, err error) {
	header, err := record.ParseHeader(batch)
	if err != nil {
		return 0, 0, fmt.Errorf("parse batch: %w", err)
	}
	if header.Control() {
		return 0, 0, nil
	}
	it, err := record.NewIterator(batch, s.options.ReplayBytes)
	if err != nil {
		return 0, 0, fmt.Errorf("open batch at offset %d: %w", header.BaseOffset, err)
	}
	defer it.Close()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		decoded, err := offsetrecord.Decode(r.Key, r.Value)
		switch {
		case errors.Is(err, offsetrecord.ErrUnknownKind):
			unknown++
			continue
		case err != nil:
			return records, unknown, fmt.Errorf("decode record at offset %d: %w", header.BaseOffset+int64(r.OffsetDelta), err)
		}
		machine.Replay(decoded)
		records++
	}
	if err := it.Err(); err != nil {
		return records, unknown, fmt.Errorf("read batch at offset %d: %w", header.BaseOffset, err)
	}
	return records, unknown, nil
}
