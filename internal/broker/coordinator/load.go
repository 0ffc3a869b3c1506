package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// load replays the log into a new state machine, when there is a place for one more load.
func (s *shard) load(ctx context.Context, log Log) (machine.Machine, error) {
	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	started := time.Now()
	m := s.kind.NewMachine(s.tenure.Partition)
	records, unknown := 0, 0
	err := log.Replay(ctx, func(batch []byte) error {
		n, passed, err := s.replayBatch(m, batch)
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
		s.logger.Warn("passed over records of a kind that is not known", "records", unknown)
	}
	if records > 0 {
		s.logger.Info("coordinator loaded", "records", records, "duration", took)
	}
	return m, nil
}

// replayBatch applies the records of one batch. Records of a kind that is not known are counted; damage is an error.
func (s *shard) replayBatch(m machine.Machine, batch []byte) (records, unknown int, err error) {
	header, err := record.ParseHeader(batch)
	if err != nil {
		return 0, 0, fmt.Errorf("parse batch: %w", err)
	}
	if header.Control() {
		return 0, 0, replayMarker(m, &header, batch)
	}
	var in *machine.Producer
	if header.Transactional() {
		in = &machine.Producer{ID: header.ProducerID, Epoch: header.ProducerEpoch}
	}
	it, err := record.NewIterator(batch, s.options.ReplayBytes)
	if err != nil {
		return 0, 0, fmt.Errorf("open batch at offset %d: %w", header.BaseOffset, err)
	}
	defer it.Close()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		err := m.Replay(machine.Record{Key: r.Key, Value: r.Value}, in)
		switch {
		case errors.Is(err, machine.ErrUnknownKind):
			unknown++
			continue
		case err != nil:
			return records, unknown, fmt.Errorf("replay record at offset %d: %w", header.BaseOffset+int64(r.OffsetDelta), err)
		}
		records++
	}
	if err := it.Err(); err != nil {
		return records, unknown, fmt.Errorf("read batch at offset %d: %w", header.BaseOffset, err)
	}
	return records, unknown, nil
}

// replayMarker applies a control batch. Those that end no transaction mean nothing to a coordinator.
func replayMarker(m machine.Machine, header *record.Header, batch []byte) error {
	marker, err := record.ParseMarker(batch)
	if errors.Is(err, record.ErrNotMarker) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read marker at offset %d: %w", header.BaseOffset, err)
	}
	m.ReplayMarker(machine.Marker{
		Producer: machine.Producer{ID: header.ProducerID, Epoch: header.ProducerEpoch}, CoordinatorEpoch: marker.CoordinatorEpoch, Commit: marker.Commit,
	})
	return nil
}
