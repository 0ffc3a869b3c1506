// Package scrub reads everything that the shards' manifests name and tells what of it is missing or damaged, and which objects nothing
// names any more.
//
// It needs an object store and the shards' pointers, and no broker; brokers may run meanwhile, on the same stores. What they replace while it is
// read is noticed by the pointer, which is read again before an object is called missing.
//
// Orphans are told apart by epochs and incarnations, never by age: a segment, manifest or checkpoint that is not named and is of an epoch below the
// pointer's can be published by nobody any more; a frame below the trim of its incarnation, or above its seal, is in no log. Seals
// stay for ever, and of an incarnation that is open nothing above its trim is touched (docs/design/0018, (e)).
package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
)

// Metadata is what the metadata store says, as of one moment.
type Metadata struct {
	Pointers map[int32]ownership.Pointer
	Lives    map[uint64]ownership.Life
}

// Options of a Run. Blob and Read are required.
type Options struct {
	Blob blob.Store
	// Read returns the metadata as it is now.
	Read func(ctx context.Context) (Metadata, error)
	// BytesPerSecond bounds the reading, 0 for no bound.
	BytesPerSecond int64
	// DeleteOrphans deletes what nothing names.
	DeleteOrphans bool
	// Progress, if not nil, is called after each object.
	Progress func(Progress)
}

// Progress is how far a Run has come.
type Progress struct {
	Shards, ShardsDone int
	Objects            int
	Bytes              int64
}

// Damage is something that is not as it was written. Position is in the object, -1 for all of it.
type Damage struct {
	Key      string `json:"key"`
	Position int64  `json:"position"`
	Reason   string `json:"reason"`
}

// Orphan is an object that nothing names.
type Orphan struct {
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
}

// Report is what was found.
type Report struct {
	Shards  int      `json:"shards"`
	Objects int      `json:"objects"`
	Bytes   int64    `json:"bytes"`
	Damage  []Damage `json:"damage"`
	Orphans []Orphan `json:"orphans"`
	// Deleted says that the orphans are gone.
	Deleted bool `json:"deleted"`
}

const (
	// readAheadBytes is the memory for what is read.
	readAheadBytes = 16 << 20
	// objectBytesMax bounds a manifest or checkpoint.
	objectBytesMax = 1 << 30
	// replacedRetries is how often a shard is read again because its pointer has moved on meanwhile.
	replacedRetries = 5
	listed          = 1000
)

// scrubber is one Run.
type scrubber struct {
	o        Options
	segments *segment.Cache
	report   Report
	shards   int
	done     int
	named    map[string]bool
}

// Run reads everything once. The error is one of asking the stores, or the end of ctx; damage is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	m, err := o.Read(ctx)
	if err != nil {
		return Report{}, err
	}
	blocks := blockcache.New(readAheadBytes)
	s := &scrubber{
		o: o, segments: segment.NewCache(&paced{Store: o.Blob, rate: o.BytesPerSecond, began: time.Now()}, 1).Through(blocks),
		shards: len(m.Pointers), named: map[string]bool{}, report: Report{Damage: []Damage{}, Orphans: []Orphan{}},
	}
	defer blocks.Close()
	for _, id := range slices.Sorted(maps.Keys(m.Pointers)) {
		if err := s.shard(ctx, id, m.Pointers[id]); err != nil {
			return s.report, errors.Join(err, s.segments.Close())
		}
		s.done++
		s.progress()
	}
	s.report.Shards = s.done
	err = s.orphans(ctx, m)
	if err == nil && o.DeleteOrphans {
		err = s.deleteOrphans(ctx)
	}
	return s.report, errors.Join(err, s.segments.Close())
}

func (s *scrubber) progress() {
	if s.o.Progress != nil {
		s.o.Progress(Progress{Shards: s.shards, ShardsDone: s.done, Objects: s.report.Objects, Bytes: s.report.Bytes})
	}
}

// shard reads what the pointer of a shard leads to. Where something is missing the pointer may have moved on: then the shard is read anew.
func (s *scrubber) shard(ctx context.Context, id int32, p ownership.Pointer) error {
	for range replacedRetries {
		found, err := s.read(ctx, &p)
		if err != nil {
			return fmt.Errorf("scrub shard %d: %w", id, err)
		}
		if len(found) > 0 {
			m, err := s.o.Read(ctx)
			if err != nil {
				return err
			}
			if now := m.Pointers[id]; now.Manifest != p.Manifest || now.Checkpoint != p.Checkpoint {
				p = now
				continue
			}
		}
		s.report.Damage = append(s.report.Damage, found...)
		return nil
	}
	return fmt.Errorf("scrub shard %d: its pointer moves faster than it can be read", id)
}

func (s *scrubber) read(ctx context.Context, p *ownership.Pointer) ([]Damage, error) {
	if p.Manifest == "" {
		return nil, nil
	}
	s.named[p.Manifest], s.named[p.Checkpoint] = true, true
	var m *state.Manifest
	var c *state.Checkpoint
	found, err := s.decode(ctx, p.Manifest, func(b []byte) (err error) { m, err = state.DecodeManifest(b); return err })
	if err != nil {
		return nil, err
	}
	more, err := s.decode(ctx, p.Checkpoint, func(b []byte) (err error) { c, err = state.DecodeCheckpoint(b); return err })
	if err != nil {
		return nil, err
	}
	if found = append(found, more...); m == nil {
		return found, nil
	}
	for i, o := range m.Objects {
		s.named[o.Key] = true
		more, err := s.object(ctx, o, runsIn(c, i))
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
		s.progress()
	}
	return found, nil
}

// placedRun is a run that a checkpoint says to be in an object.
type placedRun struct {
	topic     [16]byte
	partition int32
	run       state.Run
}

func runsIn(c *state.Checkpoint, object int) (out []placedRun) {
	if c == nil {
		return nil
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		for _, r := range p.Runs {
			if r.Object == object {
				out = append(out, placedRun{p.Topic, p.Partition, r})
			}
		}
	}
	return out
}

// decode reads a small object whole.
func (s *scrubber) decode(ctx context.Context, key string, decode func([]byte) error) ([]Damage, error) {
	r, err := s.o.Blob.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return []Damage{{key, -1, "is missing; the pointer names it"}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // it is only read
	if r.Size() > objectBytesMax {
		return []Damage{{key, -1, fmt.Sprintf("holds %d bytes", r.Size())}}, nil
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	s.report.Objects++
	s.report.Bytes += int64(len(b))
	return damage(key, decode(b))
}

// object reads a segment: all of its checksums, its size, and that it has the runs that the checkpoint expects there.
func (s *scrubber) object(ctx context.Context, o state.Object, runs []placedRun) ([]Damage, error) {
	r, release, err := s.segments.Get(ctx, o.Key)
	if errors.Is(err, blob.ErrNotFound) {
		return []Damage{{o.Key, -1, "is missing; the manifest names it"}}, nil
	}
	if err != nil {
		return damage(o.Key, err)
	}
	defer release()
	found, err := damage(o.Key, r.Scrub(ctx))
	if err != nil {
		return nil, err
	}
	s.report.Objects++
	s.report.Bytes += r.Bytes()
	if r.Bytes() != o.Bytes {
		found = append(found, Damage{o.Key, -1, fmt.Sprintf("has %d bytes, the manifest says %d", r.Bytes(), o.Bytes)})
	}
	for _, want := range runs {
		got, ok := r.FindRun(want.topic, want.partition)
		if !ok || got.Pos != want.run.Pos || got.Bytes != want.run.Bytes || got.BaseOffset != want.run.BaseOffset || got.NextOffset != want.run.NextOffset {
			found = append(found, Damage{o.Key, want.run.Pos, fmt.Sprintf("the run of %x-%d, offsets [%d, %d), is not the one that the checkpoint names", want.topic, want.partition, want.run.BaseOffset, want.run.NextOffset)})
		}
	}
	return found, nil
}

// damage divides an error into the damage that it tells of and the rest.
func damage(key string, err error) ([]Damage, error) {
	found, rest := datadir.Damages(key, err)
	var all []Damage
	for _, d := range found {
		all = append(all, Damage{Key: d.File, Position: d.Offset, Reason: d.Reason})
	}
	return all, rest
}

// orphans finds what nothing names.
func (s *scrubber) orphans(ctx context.Context, m Metadata) error {
	for _, kind := range []string{"c/", "l/", "m/"} {
		err := s.each(ctx, kind, func(i blob.Info) {
			if id, epoch, ok := parseKey(i.Key); ok && !s.named[i.Key] {
				if p, known := m.Pointers[id]; known && epoch < p.Epoch {
					s.report.Orphans = append(s.report.Orphans, Orphan{i.Key, i.Size})
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return s.each(ctx, "w/", func(i blob.Info) {
		n, seq, ok := parseFrame(i.Key)
		l, known := m.Lives[n]
		if !ok || !known || l.Sealed >= 0 && seq == uint64(l.Sealed) {
			return
		}
		if seq < l.Trim || l.Sealed >= 0 && seq > uint64(l.Sealed) {
			s.report.Orphans = append(s.report.Orphans, Orphan{i.Key, i.Size})
		}
	})
}

func (s *scrubber) each(ctx context.Context, prefix string, visit func(blob.Info)) error {
	for after := ""; ; {
		infos, err := s.o.Blob.List(ctx, prefix, after, listed)
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, i := range infos {
			visit(i)
			after = i.Key
		}
		if len(infos) < listed {
			return nil
		}
	}
}

func (s *scrubber) deleteOrphans(ctx context.Context) error {
	for _, o := range s.report.Orphans {
		if err := s.o.Blob.Delete(ctx, o.Key); err != nil {
			return fmt.Errorf("delete orphan %s: %w", o.Key, err)
		}
	}
	s.report.Deleted = true
	return nil
}

// parseKey reads KIND/SHARD/EPOCH.NUMBER.
func parseKey(key string) (shard, epoch int32, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return 0, 0, false
	}
	e, _, _ := strings.Cut(parts[2], ".")
	id, err1 := strconv.ParseInt(parts[1], 10, 32)
	n, err2 := strconv.ParseInt(e, 16, 32)
	return int32(id), int32(n), err1 == nil && err2 == nil
}

// parseFrame reads w/HASH/INCARNATION/SEQUENCE.
func parseFrame(key string) (incarnation, seq uint64, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 {
		return 0, 0, false
	}
	n, err1 := strconv.ParseUint(parts[2], 16, 64)
	seq, err2 := strconv.ParseUint(parts[3], 16, 64)
	return n, seq, err1 == nil && err2 == nil
}
