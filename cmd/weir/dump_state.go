package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/cli/table"
)

func asSegmentDamage(err error) (datadir.Damage, bool) {
	c, ok := errors.AsType[*segment.CorruptError](err)
	if !ok {
		return datadir.Damage{}, false
	}
	return datadir.Damage{File: c.Object, Offset: c.Offset, Reason: c.Reason}, true
}

type objectRow struct {
	Key          string `json:"key"`
	Level        uint8  `json:"level"`
	Bytes        int64  `json:"bytes"`
	LiveBytes    int64  `json:"live_bytes"`
	CreatorEpoch uint64 `json:"creator_epoch"`
	CreatedAt    int64  `json:"created_at,omitempty"`
	MaxTimestamp int64  `json:"max_timestamp,omitempty"`
}

type tombstoneRow struct {
	Key     string `json:"key"`
	Version uint64 `json:"version"`
}

type manifestRow struct {
	Key        string         `json:"key"`
	Live       bool           `json:"live"`
	Shard      int32          `json:"shard"`
	Epoch      uint64         `json:"epoch"`
	Version    uint64         `json:"version"`
	WALTrim    int64          `json:"wal_trim"`
	Checkpoint string         `json:"checkpoint,omitempty"`
	Objects    []objectRow    `json:"objects"`
	Tombstones []tombstoneRow `json:"tombstones,omitempty"`
}

var manifestColumns = []table.Column{
	{Title: "MANIFEST"},
	{Title: "LIVE"},
	{Title: "SHARD", Right: true},
	{Title: "EPOCH", Right: true},
	{Title: "VERSION", Right: true},
	{Title: "WAL TRIM", Right: true},
	{Title: "OBJECT"},
	{Title: "LEVEL", Right: true},
	{Title: "BYTES", Right: true},
	{Title: "LIVE BYTES", Right: true},
}

func showManifests(d *dump) error {
	if d.verify {
		return d.verifyObjects(datadir.Manifests)
	}
	infos, err := d.dir.Objects(d.ctx, datadir.Manifests)
	if err != nil {
		return err
	}
	for _, i := range infos {
		m, err := d.dir.Manifest(d.ctx, i.Key)
		if err != nil {
			d.damage(datadir.Damage{File: i.Key, Reason: err.Error()})
			continue
		}
		row := manifestRow{
			Key: i.Key, Live: d.dir.Live(i.Key), Shard: m.Shard, Epoch: m.Epoch, Version: m.Version, WALTrim: m.WALTrim, Checkpoint: m.Checkpoint, Objects: rows(m.Objects, func(x state.Object) objectRow { return objectRow(x) }),
			Tombstones: rows(m.Tombstones, func(x state.Tombstone) tombstoneRow { return tombstoneRow(x) }),
		}
		if f := d.s.format(); f != "table" && f != "wide" {
			err = d.list.add(nil, row)
		} else {
			err = d.manifestCells(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) manifestCells(row manifestRow) error {
	head := []string{row.Key, yesNo(row.Live), strconv.Itoa(int(row.Shard)), strconv.FormatUint(row.Epoch, 10), strconv.FormatUint(row.Version, 10), fmt.Sprintf("%#x", row.WALTrim)}
	if len(row.Objects) == 0 {
		return d.list.add(manifestColumns, row, append(head, "none")...)
	}
	for _, o := range row.Objects {
		if err := d.list.add(manifestColumns, row, append(slices.Clip(head), o.Key, strconv.Itoa(int(o.Level)), strconv.FormatInt(o.Bytes, 10), strconv.FormatInt(o.LiveBytes, 10))...); err != nil {
			return err
		}
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// The rows of a partition's parts have the fields of state's types, under names for programs.
type (
	epochRow struct {
		Epoch int32 `json:"epoch"`
		Start int64 `json:"start"`
	}
	stretchRow struct {
		BaseOffset   int64 `json:"base_offset"`
		Bytes        int64 `json:"bytes"`
		MaxTimestamp int64 `json:"max_timestamp"`
		CreatedAt    int64 `json:"created_at"`
	}
	placeRow struct {
		Object       int   `json:"object"` // ordinal in the manifest
		Pos          int64 `json:"position"`
		Bytes        int64 `json:"bytes"`
		BaseOffset   int64 `json:"base_offset"`
		NextOffset   int64 `json:"next_offset"`
		RecordCount  int64 `json:"records"`
		MinTimestamp int64 `json:"min_timestamp"`
		MaxTimestamp int64 `json:"max_timestamp"`
		AbortedFrom  int64 `json:"aborted_from"` // -1: no aborted transaction ends here
	}
	extentRow struct {
		BaseOffset   int64  `json:"base_offset"`
		NextOffset   int64  `json:"next_offset"`
		Position     int64  `json:"wal_position"`
		Bytes        int64  `json:"bytes"`
		RecordCount  int64  `json:"records"`
		MinTimestamp int64  `json:"min_timestamp"`
		MaxTimestamp int64  `json:"max_timestamp"`
		CRC          uint32 `json:"crc"`
	}
	abortedRow struct {
		ProducerID       int64 `json:"producer_id"`
		FirstOffset      int64 `json:"first_offset"`
		LastOffset       int64 `json:"last_offset"`
		LastStableOffset int64 `json:"last_stable"`
	}
	unmarkedRow struct {
		ProducerID  int64 `json:"producer_id"`
		Epoch       int16 `json:"epoch"`
		FirstOffset int64 `json:"first_offset"`
		Uncertain   bool  `json:"uncertain,omitempty"`
	}
	producerBatchRow struct {
		FirstSequence int32 `json:"first_sequence"`
		LastSequence  int32 `json:"last_sequence"`
		BaseOffset    int64 `json:"base_offset"`
		LastOffset    int64 `json:"last_offset"`
		Timestamp     int64 `json:"timestamp"`
	}
	producerRow struct {
		ID               int64              `json:"id"`
		Epoch            int16              `json:"epoch"`
		CoordinatorEpoch int32              `json:"coordinator_epoch"`
		LastTimestamp    int64              `json:"last_timestamp"`
		TxnFirstOffset   int64              `json:"txn_first_offset"`
		Batches          []producerBatchRow `json:"batches"`
	}
)

func rows[From, To any](in []From, row func(From) To) []To {
	out := make([]To, len(in))
	for i, x := range in {
		out[i] = row(x)
	}
	return out
}

// partitionRow is a partition in a checkpoint.
type partitionRow struct {
	Checkpoint         string        `json:"checkpoint"`
	Live               bool          `json:"live"`
	Shard              int32         `json:"shard"`
	Epoch              uint64        `json:"epoch"`
	WALPosition        int64         `json:"wal_position"`
	Topic              string        `json:"topic"`
	Partition          int32         `json:"partition"`
	LogStart           int64         `json:"log_start"`
	LastStableOffset   int64         `json:"last_stable"`
	NextOffset         int64         `json:"log_end"`
	SizeBytes          int64         `json:"bytes"`
	MaxTimestamp       int64         `json:"max_timestamp"`
	MaxTimestampOffset int64         `json:"max_timestamp_offset"`
	CleanedOffset      int64         `json:"cleaned"`
	Epochs             []epochRow    `json:"epochs"`
	Segments           []stretchRow  `json:"segments"`
	Runs               []placeRow    `json:"runs"`
	Extents            []extentRow   `json:"extents"`
	Aborted            []abortedRow  `json:"aborted,omitempty"`
	Producers          []producerRow `json:"producers,omitempty"`
	Unmarked           []unmarkedRow `json:"unmarked,omitempty"`
}

var checkpointColumns = []table.Column{
	{Title: "CHECKPOINT"},
	{Title: "LIVE"},
	{Title: "REPLAY FROM", Right: true},
	{Title: "TOPIC"},
	{Title: "PARTITION", Right: true},
	{Title: "START", Right: true},
	{Title: "STABLE", Right: true, Wide: true},
	{Title: "CLEANED", Right: true, Wide: true},
	{Title: "END", Right: true},
	{Title: "BYTES", Right: true},
	{Title: "RUNS", Right: true},
	{Title: "EXTENTS", Right: true},
	{Title: "SEGMENTS", Right: true},
	{Title: "EPOCHS", Right: true, Wide: true},
	{Title: "PRODUCERS", Right: true, Wide: true},
	{Title: "NEWEST RECORD"},
}

func showCheckpoints(d *dump) error {
	if d.verify {
		return d.verifyObjects(datadir.Checkpoints)
	}
	infos, err := d.dir.Objects(d.ctx, datadir.Checkpoints)
	if err != nil {
		return err
	}
	for _, i := range infos {
		c, err := d.dir.Checkpoint(d.ctx, i.Key)
		if err != nil {
			d.damage(datadir.Damage{File: i.Key, Reason: err.Error()})
			continue
		}
		for _, p := range c.Partitions {
			if !d.wants(p.Topic, p.Partition) {
				continue
			}
			row := partitionRow{
				i.Key, d.dir.Live(i.Key), c.Shard, c.Epoch, c.WALPosition, d.shown(p.Topic), p.Partition, p.LogStart, p.LastStableOffset, p.NextOffset, p.SizeBytes,
				p.MaxTimestamp, p.MaxTimestampOffset, p.CleanedOffset,
				rows(p.Epochs, func(x state.EpochStart) epochRow { return epochRow(x) }), rows(p.Segments, func(x state.Segment) stretchRow { return stretchRow(x) }),
				rows(p.Runs, func(x state.Run) placeRow { return placeRow(x) }), rows(p.Extents, func(x state.Extent) extentRow { return extentRow(x) }),
				rows(p.Aborted, func(x state.Aborted) abortedRow { return abortedRow(x) }), rows(p.Producers, newProducerRow),
				rows(p.Unmarked, func(x state.Unmarked) unmarkedRow { return unmarkedRow(x) }),
			}
			if err := d.list.add(checkpointColumns, row, row.Checkpoint, yesNo(row.Live), fmt.Sprintf("%#x", row.WALPosition), row.Topic, strconv.Itoa(int(row.Partition)),
				strconv.FormatInt(row.LogStart, 10), strconv.FormatInt(row.LastStableOffset, 10), strconv.FormatInt(row.CleanedOffset, 10), strconv.FormatInt(row.NextOffset, 10), strconv.FormatInt(row.SizeBytes, 10),
				strconv.Itoa(len(row.Runs)), strconv.Itoa(len(row.Extents)), strconv.Itoa(len(row.Segments)), strconv.Itoa(len(row.Epochs)), strconv.Itoa(len(row.Producers)), when(row.MaxTimestamp)); err != nil {
				return err
			}
		}
	}
	return nil
}

func newProducerRow(p state.Producer) producerRow {
	return producerRow{
		p.ID, p.Epoch, p.CoordinatorEpoch, p.LastTimestamp, p.TxnFirstOffset,
		rows(p.Batches, func(x state.ProducerBatch) producerBatchRow {
			return producerBatchRow{x.FirstSequence, x.LastSequence, x.BaseOffset, x.LastOffset, x.Timestamp}
		}),
	}
}

type metaRow struct {
	Key      string `json:"key"`
	Kind     string `json:"kind"`
	Revision int64  `json:"revision"`
	Value    any    `json:"value"`
	Raw      string `json:"raw_base64,omitempty"` // of a value that cannot be decoded
	Problem  string `json:"problem,omitempty"`
}

func showMeta(d *dump) error {
	if d.dir.MetadataProblem != nil {
		d.damage(datadir.Damage{File: "meta", Reason: d.dir.MetadataProblem.Error()})
		return nil //nolint:nilerr // damage makes the command fail at its end
	}
	var bytes int64
	damaged := 0
	for _, e := range d.dir.Metadata {
		bytes += int64(len(e.Key) + len(e.Raw))
		row := metaRow{Key: e.Key, Kind: e.Kind, Revision: e.Revision, Value: e.Value}
		if e.Problem != nil {
			damaged++
			row.Problem, row.Raw = e.Problem.Error(), base64.StdEncoding.EncodeToString(e.Raw)
			d.damage(datadir.Damage{File: "meta key " + e.Key, Reason: row.Problem})
		}
		if d.verify {
			continue
		}
		shown, err := json.Marshal(row.Value)
		if err != nil {
			return fmt.Errorf("write the value of %s: %w", e.Key, err)
		}
		if err := d.list.add([]table.Column{{Title: "KEY"}, {Title: "KIND"}, {Title: "REVISION", Right: true}, {Title: "VALUE"}, {Title: "PROBLEM"}}, row,
			row.Key, row.Kind, strconv.FormatInt(row.Revision, 10), string(shown), row.Problem); err != nil {
			return err
		}
	}
	if !d.verify {
		return nil
	}
	missing, err := d.dir.Missing(d.ctx)
	if err != nil {
		return err
	}
	d.damage(missing...)
	return d.verified(verifyRow{Checked: "meta", Bytes: bytes, Damaged: damaged + len(missing), Note: plural(int64(len(d.dir.Metadata)), "key")})
}
