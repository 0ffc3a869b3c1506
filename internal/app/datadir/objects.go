package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Kinds of objects, as their keys begin.
const (
	Segments    = "l/"
	Manifests   = "m/"
	Checkpoints = "c/"
)

// Objects lists the objects of a kind, sorted by key.
func (d *Dir) Objects(ctx context.Context, kind string) ([]blob.Info, error) {
	if d.objects == nil {
		return nil, nil
	}
	infos, err := d.objects.List(ctx, kind, "", 0)
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	return infos, nil
}

// Live tells whether the metadata names a manifest or checkpoint. What it does not name is left over and goes with the next start.
func (d *Dir) Live(key string) bool {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return false
	}
	shard, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return false
	}
	p := d.Pointers[int32(shard)]
	return p.Manifest == key || p.Checkpoint == key
}

// Segment opens an object of L1 or L2. The caller closes it.
func (d *Dir) Segment(ctx context.Context, key string) (*segment.Reader, error) {
	if d.objects == nil {
		return nil, blob.ErrNotFound
	}
	obj, err := d.objects.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	r, err := segment.Open(key, obj)
	if err != nil {
		return nil, errors.Join(err, obj.Close())
	}
	return r, nil
}

// batchBytesMax bounds a batch that is read from an object.
const batchBytesMax = 1 << 30

// EachBatch visits the batches of a run, each valid during its call, with their positions in the object. Damage ends it.
func EachBatch(r *segment.Reader, run segment.RunInfo, whole bool, visit func(pos int64, h record.Header, batch []byte) error) error {
	var buf []byte
	for pos, end := run.Pos, run.Pos+run.Bytes; pos < end; {
		head := make([]byte, min(record.HeaderBytes, end-pos))
		if _, err := r.ReadAt(head, pos); err != nil {
			return err
		}
		h, err := record.ParseHeader(head)
		if err != nil {
			return &segment.CorruptError{Object: r.Key(), Offset: pos, Reason: err.Error()}
		}
		if h.Size() < record.HeaderBytes || h.Size() > end-pos || h.Size() > batchBytesMax {
			return &segment.CorruptError{Object: r.Key(), Offset: pos, Reason: fmt.Sprintf("batch of %d bytes, %d are left", h.Size(), end-pos)}
		}
		if whole {
			if int64(cap(buf)) < h.Size() {
				buf = make([]byte, h.Size())
			}
			buf = buf[:h.Size()]
			if _, err := r.ReadAt(buf, pos); err != nil {
				return err
			}
		}
		if err := visit(pos, h, buf); err != nil {
			return err
		}
		pos += h.Size()
	}
	return nil
}

// Manifest reads a manifest.
func (d *Dir) Manifest(ctx context.Context, key string) (*state.Manifest, error) {
	b, err := d.readObject(ctx, key)
	if err != nil {
		return nil, err
	}
	return state.DecodeManifest(b)
}

// Checkpoint reads a checkpoint.
func (d *Dir) Checkpoint(ctx context.Context, key string) (*state.Checkpoint, error) {
	b, err := d.readObject(ctx, key)
	if err != nil {
		return nil, err
	}
	return state.DecodeCheckpoint(b)
}

// objectBytesMax bounds an object that is read whole.
const objectBytesMax = 1 << 30

func (d *Dir) readObject(ctx context.Context, key string) ([]byte, error) {
	if d.objects == nil {
		return nil, blob.ErrNotFound
	}
	r, err := d.objects.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	if r.Size() > objectBytesMax {
		return nil, fmt.Errorf("%s holds %d bytes, at most %d are read", key, r.Size(), int64(objectBytesMax))
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}

// VerifyObject checks every byte of an object. An error is one of reading, not of the bytes.
func (d *Dir) VerifyObject(ctx context.Context, key string) ([]Damage, error) {
	var err error
	switch {
	case strings.HasPrefix(key, Segments):
		var r *segment.Reader
		if r, err = d.Segment(ctx, key); err == nil {
			err = errors.Join(r.Scrub(ctx), r.Close())
		}
	case strings.HasPrefix(key, Manifests):
		_, err = d.Manifest(ctx, key)
	default:
		_, err = d.Checkpoint(ctx, key)
	}
	return Damages(key, err)
}

// Missing returns the objects that the pointers, and the manifests they name, lead to and that are not there.
func (d *Dir) Missing(ctx context.Context) ([]Damage, error) {
	there := map[string]bool{}
	for _, kind := range []string{Segments, Manifests, Checkpoints} {
		infos, err := d.Objects(ctx, kind)
		if err != nil {
			return nil, err
		}
		for _, i := range infos {
			there[i.Key] = true
		}
	}
	var out []Damage
	need := func(key, by string) {
		if key != "" && !there[key] {
			out = append(out, Damage{File: key, Reason: "is missing; " + by + " names it"})
		}
	}
	for shard, p := range d.Pointers {
		by := fmt.Sprintf("the pointer of shard %d", shard)
		need(p.Manifest, by)
		need(p.Checkpoint, by)
		if !there[p.Manifest] {
			continue
		}
		if m, err := d.Manifest(ctx, p.Manifest); err == nil { // damage of it is found by VerifyObject
			for _, o := range m.Objects {
				need(o.Key, "manifest "+p.Manifest)
			}
		}
	}
	return oncePerPlace(out), nil
}

// Damages divides an error into the damage that it tells of and the rest.
func Damages(key string, err error) ([]Damage, error) {
	if err == nil {
		return nil, nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the parts are looked at one by one
		var all []Damage
		var rest []error
		for _, e := range joined.Unwrap() {
			more, other := Damages(key, e)
			all, rest = append(all, more...), append(rest, other)
		}
		return all, errors.Join(rest...)
	}
	if c, ok := errors.AsType[*segment.CorruptError](err); ok {
		return []Damage{{c.Object, c.Offset, c.Reason}}, nil
	}
	if c, ok := errors.AsType[*state.CorruptError](err); ok {
		return []Damage{{key, int64(c.Offset), c.Kind + ": " + c.Reason}}, nil
	}
	return nil, err
}
