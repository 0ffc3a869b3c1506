package shard

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// wayward is an object store from which the body of an object comes damaged at times, as through a broken proxy: what it holds is sound.
type wayward struct {
	blob.Store
	hits func(key string, off int64, ranged bool) bool
	left atomic.Int64 // reads among them that will come damaged
}

func (w *wayward) Open(ctx context.Context, key string) (blob.Reader, error) {
	r, err := w.Store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return &waywardReader{r, w, key}, nil
}

type waywardReader struct {
	blob.Reader
	way *wayward
	key string
}

func (r *waywardReader) damage(p []byte, off int64, ranged bool) {
	if r.way.hits(r.key, off, ranged) && r.way.left.Load() > 0 && r.way.left.Add(-1) >= 0 {
		for i := range p {
			p[i] ^= 0x55
		}
	}
}

func (r *waywardReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	if err == nil {
		r.damage(p[:n], off, false)
	}
	return n, err
}

func (r *waywardReader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	b, err := r.Reader.ReadRange(buf, off, n)
	if err == nil {
		b = slices.Clone(b)
		r.damage(b, off, true)
	}
	return b, err
}

// Bytes that come damaged from the object store once are no damage of what it holds: they are read again, and neither refused nor left behind by a cut.
func TestBytesDamagedOnTheWayAreReadAgain(t *testing.T) {
	t.Parallel()
	frame := func(key string) bool { return strings.HasPrefix(key, wal.ObjectPrefix+"/") }
	for name, hits := range map[string]func(key string, off int64, ranged bool) bool{
		"a frame that is cut":         func(key string, off int64, ranged bool) bool { return frame(key) && off > 0 && !ranged },
		"a segment that is opened":    func(key string, _ int64, ranged bool) bool { return strings.HasPrefix(key, "l/") && !ranged },
		"a segment's block of a read": func(key string, _ int64, ranged bool) bool { return strings.HasPrefix(key, "l/") && ranged },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newTestCluster(t, 1, 0)
				c.keep = time.Hour
				c.topics.set(topicA, 1)
				way := &wayward{Store: c.blob, hits: hits}
				c.blob = way
				first := c.start()
				c.settled(30 * time.Second)
				p := newProduced()
				p.spread(c, 1, 5)
				first.cut(true, true)
				c.remove(first)
				way.left.Store(1)
				c.start()
				c.settled(time.Minute)
				p.check(c, 1) // the take-over has cut the frames of the dead
				if left := way.left.Load(); left != 0 {
					t.Error("nothing came damaged")
				}
				p.check(c, 1)
			})
		})
	}
}
