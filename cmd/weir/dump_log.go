package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// batchRow is a batch of records.
type batchRow struct {
	BaseOffset    int64  `json:"base_offset"`
	LastOffset    int64  `json:"last_offset"`
	Records       int32  `json:"records"`
	Bytes         int64  `json:"bytes"`
	MaxTimestamp  int64  `json:"max_timestamp"`
	Codec         string `json:"compression"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
	Transactional bool   `json:"transactional,omitempty"`
	Control       bool   `json:"control,omitempty"`
}

// runRow is a stretch of one partition in a frame or an object.
type runRow struct {
	Shard        *int32     `json:"shard,omitempty"`
	Topic        string     `json:"topic"`
	Partition    int32      `json:"partition"`
	BaseOffset   int64      `json:"base_offset"`
	NextOffset   int64      `json:"next_offset"`
	Position     int64      `json:"position"`
	Bytes        int64      `json:"bytes"`
	Records      int64      `json:"records"`
	MinTimestamp int64      `json:"min_timestamp"`
	MaxTimestamp int64      `json:"max_timestamp"`
	CRC          string     `json:"crc,omitempty"`
	Batches      []batchRow `json:"batches,omitempty"`
}

type controlRow struct {
	Shard     int32  `json:"shard"`
	Kind      string `json:"kind"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Value     int64  `json:"value"`
}

type frameRow struct {
	File        string       `json:"file"`
	Offset      int64        `json:"offset"`
	Position    int64        `json:"position"`
	Bytes       int64        `json:"bytes"`
	Incarnation uint64       `json:"incarnation"`
	Sequence    uint64       `json:"sequence"`
	LastSynced  int64        `json:"last_synced"`
	Mark        bool         `json:"mark,omitempty"`
	Close       bool         `json:"close,omitempty"`
	Runs        []runRow     `json:"runs"`
	Controls    []controlRow `json:"controls,omitempty"`
	Problem     string       `json:"problem,omitempty"`
}

var frameColumns = []table.Column{
	{Title: "FRAME"},
	{Title: "POSITION", Right: true},
	{Title: "WHAT"},
	{Title: "SHARD", Right: true},
	{Title: "TOPIC"},
	{Title: "PARTITION", Right: true},
	{Title: "OFFSETS", Right: true},
	{Title: "RECORDS", Right: true},
	{Title: "BYTES", Right: true},
	{Title: "NEWEST RECORD"},
	{Title: "CODEC", Wide: true},
	{Title: "PRODUCER", Right: true, Wide: true},
	{Title: "EPOCH", Right: true, Wide: true},
	{Title: "SEQUENCE", Right: true, Wide: true},
	{Title: "PROBLEM"},
}

func showWAL(d *dump) error {
	if d.verify {
		return verifyWAL(d)
	}
	var buf []byte
	return d.dir.WalkWAL(d.ctx, wal.Walker{
		File: func(f wal.FileInfo) error {
			if f.Problem != nil {
				d.damage(datadir.Damage{File: f.Path, Reason: f.Problem.Error()})
			}
			return nil
		},
		Frame: func(f wal.FrameInfo) error {
			if !d.records {
				return d.frame(f)
			}
			if f.Problem != nil {
				d.s.progressf("frame passed over: %s at %d: %v", f.Path, f.Offset, f.Problem)
				return nil //nolint:nilerr // the problem is told, and what lies behind it is wanted
			}
			for i := range f.Frame.Runs {
				r := &f.Frame.Runs[i]
				if !d.wants(r.Topic, r.Partition) {
					continue
				}
				var err error
				if buf, err = d.dir.RunBytes(f, r, buf); err != nil {
					return err
				}
				if err := d.runRecords(f, r, buf); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func (d *dump) runRecords(f wal.FrameInfo, r *wal.Run, b []byte) error {
	at := f.Offset + int64(r.Pos-f.Frame.Pos)
	for _, batch := range r.Batches {
		n := int64(batch.Bytes)
		if n > int64(len(b)) {
			d.damage(datadir.Damage{File: f.Path, Offset: at, Reason: "batches are longer than their run"})
			return nil
		}
		if err := d.printRecords(r.Topic, r.Partition, b[:n], datadir.Damage{File: f.Path, Offset: at}); err != nil {
			return err
		}
		b, at = b[n:], at+n
	}
	return nil
}

// frame writes one frame: one document, or a row for each run and control.
func (d *dump) frame(f wal.FrameInfo) error {
	row := frameRow{
		File: f.Path, Offset: f.Offset, Position: int64(f.Frame.Pos), Bytes: f.Frame.Bytes, Incarnation: f.Frame.Incarnation, Sequence: f.Frame.Seq,
		LastSynced: int64(f.LastSynced), Mark: f.Mark, Close: f.Close, Runs: []runRow{},
	}
	if f.Problem != nil {
		row.Problem = f.Problem.Error()
	}
	for i := range f.Frame.Runs {
		if r := &f.Frame.Runs[i]; d.wants(r.Topic, r.Partition) {
			row.Runs = append(row.Runs, d.walRun(r))
		}
	}
	for _, c := range f.Frame.Controls {
		if d.wants(c.Topic, c.Partition) {
			row.Controls = append(row.Controls, controlRow{c.Shard, controlName(c.Kind), d.shown(c.Topic), c.Partition, c.Value})
		}
	}
	if d.topic != "" && len(row.Runs)+len(row.Controls) == 0 {
		return nil
	}
	if f := d.s.format(); f != "table" && f != "wide" {
		return d.list.add(nil, row)
	}
	return d.frameCells(row)
}

func (d *dump) walRun(r *wal.Run) runRow {
	shard := r.Shard
	row := runRow{
		Shard: &shard, Topic: d.shown(r.Topic), Partition: r.Partition, BaseOffset: r.BaseOffset, NextOffset: r.NextOffset, Position: int64(r.Pos), Bytes: r.Bytes,
		Records: r.RecordCount, MinTimestamp: r.MinTimestamp, MaxTimestamp: r.MaxTimestamp, CRC: fmt.Sprintf("%08x", r.CRC),
	}
	for _, b := range r.Batches {
		h := record.Header{Attributes: b.Attributes}
		row.Batches = append(row.Batches, batchRow{
			b.BaseOffset, b.NextOffset() - 1, b.RecordCount, int64(b.Bytes), b.MaxTimestamp, h.Codec().String(),
			b.ProducerID, b.ProducerEpoch, b.BaseSequence, h.Transactional(), h.Control(),
		})
	}
	return row
}

func controlName(k wal.ControlKind) string {
	switch k {
	case wal.ControlDeleteRecords:
		return "delete records"
	case wal.ControlRelease:
		return "release"
	case wal.ControlPartitionCreate:
		return "create partition"
	case wal.ControlLeaderEpoch:
		return "leader epoch"
	}
	return fmt.Sprintf("kind %d", k)
}

// frameCells writes a frame's rows for people.
func (d *dump) frameCells(row frameRow) error {
	name, pos := fmt.Sprintf("%d.%d", row.Incarnation, row.Sequence), fmt.Sprintf("%#x", row.Position)
	empty := "nothing"
	switch {
	case row.Mark:
		empty = "mark"
	case row.Close:
		empty = "close"
	case row.Problem != "":
		empty = "damaged"
	}
	if len(row.Runs)+len(row.Controls) == 0 {
		return d.list.add(frameColumns, row, name, pos, empty, "", "", "", "", "", strconv.FormatInt(row.Bytes, 10), "", "", "", "", "", row.Problem)
	}
	for _, r := range row.Runs {
		if !d.s.wide() {
			if err := d.list.add(frameColumns, row, name, pos, "run", strconv.Itoa(int(*r.Shard)), r.Topic, strconv.Itoa(int(r.Partition)), offsets(r.BaseOffset, r.NextOffset),
				strconv.FormatInt(r.Records, 10), strconv.FormatInt(r.Bytes, 10), when(r.MaxTimestamp)); err != nil {
				return err
			}
			continue
		}
		for _, b := range r.Batches {
			if err := d.list.add(frameColumns, row, append([]string{name, pos, "batch", strconv.Itoa(int(*r.Shard)), r.Topic, strconv.Itoa(int(r.Partition))}, b.cells()...)...); err != nil {
				return err
			}
		}
	}
	for _, c := range row.Controls {
		if err := d.list.add(frameColumns, row, name, pos, c.Kind, strconv.Itoa(int(c.Shard)), c.Topic, strconv.Itoa(int(c.Partition)), strconv.FormatInt(c.Value, 10)); err != nil {
			return err
		}
	}
	return nil
}

// cells are a batch from its offsets on.
func (b batchRow) cells() []string {
	codec := b.Codec
	if b.Control {
		codec += ", control"
	} else if b.Transactional {
		codec += ", transactional"
	}
	producer, epoch, sequence := "", "", ""
	if b.ProducerID >= 0 {
		producer, epoch, sequence = strconv.FormatInt(b.ProducerID, 10), strconv.Itoa(int(b.ProducerEpoch)), strconv.Itoa(int(b.BaseSequence))
	}
	return []string{offsets(b.BaseOffset, b.LastOffset+1), strconv.Itoa(int(b.Records)), strconv.FormatInt(b.Bytes, 10), when(b.MaxTimestamp), codec, producer, epoch, sequence}
}

func verifyWAL(d *dump) error {
	sum, found, err := d.dir.VerifyWAL(d.ctx)
	if err != nil {
		return err
	}
	d.damage(found...)
	row := verifyRow{Checked: "wal", Bytes: sum.Bytes, Damaged: len(found), Note: plural(sum.Frames, "frame")}
	if sum.TornAt > 0 {
		row.Note += fmt.Sprintf(", and an unfinished one at %#x", sum.TornAt)
	}
	return d.verified(row)
}

type segmentRow struct {
	Key       string   `json:"key"`
	Shard     int32    `json:"shard"`
	Level     uint8    `json:"level"`
	Epoch     uint64   `json:"epoch"`
	CreatedAt int64    `json:"created_at"`
	Bytes     int64    `json:"bytes"`
	Runs      []runRow `json:"runs"`
}

var segmentColumns = []table.Column{
	{Title: "OBJECT"},
	{Title: "LEVEL", Right: true},
	{Title: "POSITION", Right: true},
	{Title: "TOPIC"},
	{Title: "PARTITION", Right: true},
	{Title: "OFFSETS", Right: true},
	{Title: "RECORDS", Right: true},
	{Title: "BYTES", Right: true},
	{Title: "NEWEST RECORD"},
	{Title: "CODEC", Wide: true},
	{Title: "PRODUCER", Right: true, Wide: true},
	{Title: "EPOCH", Right: true, Wide: true},
	{Title: "SEQUENCE", Right: true, Wide: true},
}

func showSegments(d *dump) error {
	if d.verify {
		return d.verifyObjects(datadir.Segments)
	}
	infos, err := d.dir.Objects(d.ctx, datadir.Segments)
	if err != nil {
		return err
	}
	for _, i := range infos {
		r, err := d.dir.Segment(d.ctx, i.Key)
		if err != nil {
			d.damage(datadir.Damage{File: i.Key, Reason: err.Error()})
			continue
		}
		err = d.segment(r)
		r.Close() //nolint:errcheck // read only
		if err != nil {
			return err
		}
	}
	return nil
}

// segment writes one object.
func (d *dump) segment(r *segment.Reader) error {
	row := segmentRow{r.Key(), r.Shard(), uint8(r.Level()), r.Epoch(), r.CreatedAt().UnixMilli(), r.Bytes(), []runRow{}}
	for _, run := range r.Runs() {
		if !d.wants(run.Topic, run.Partition) {
			continue
		}
		x := runRow{
			Topic: d.shown(run.Topic), Partition: run.Partition, BaseOffset: run.BaseOffset, NextOffset: run.NextOffset, Position: run.Pos, Bytes: run.Bytes,
			Records: run.RecordCount, MinTimestamp: run.MinTimestamp, MaxTimestamp: run.MaxTimestamp,
		}
		err := datadir.EachBatch(r, run, d.records, func(pos int64, h record.Header, batch []byte) error {
			if d.records {
				return d.printRecords(run.Topic, run.Partition, batch, datadir.Damage{File: r.Key(), Offset: pos})
			}
			x.Batches = append(x.Batches, batchRow{h.BaseOffset, h.LastOffset(), h.RecordCount, h.Size(), h.MaxTimestamp, h.Codec().String(), h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Transactional(), h.Control()})
			return nil
		})
		if c, ok := asSegmentDamage(err); ok {
			d.damage(c)
		} else if err != nil {
			return err
		}
		row.Runs = append(row.Runs, x)
	}
	if d.records || d.topic != "" && len(row.Runs) == 0 {
		return nil
	}
	if f := d.s.format(); f != "table" && f != "wide" {
		return d.list.add(nil, row)
	}
	for _, x := range row.Runs {
		head := []string{row.Key, strconv.Itoa(int(row.Level)), strconv.FormatInt(x.Position, 10), x.Topic, strconv.Itoa(int(x.Partition))}
		if !d.s.wide() {
			if err := d.list.add(segmentColumns, row, append(head, offsets(x.BaseOffset, x.NextOffset), strconv.FormatInt(x.Records, 10), strconv.FormatInt(x.Bytes, 10), when(x.MaxTimestamp))...); err != nil {
				return err
			}
			continue
		}
		for _, b := range x.Batches {
			if err := d.list.add(segmentColumns, row, append(slices.Clip(head), b.cells()...)...); err != nil {
				return err
			}
		}
	}
	return nil
}
