package shard

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/ownership"
)

// oldLists is a store whose listings do not tell of what was written or deleted within age. Nothing else of it is old.
type oldLists struct {
	blob.Store
	age time.Duration

	mu      sync.Mutex
	changes map[string]listChange
}

type listChange struct {
	at      time.Time
	deleted bool
}

func newOldLists(under blob.Store, age time.Duration) *oldLists {
	return &oldLists{Store: under, age: age, changes: map[string]listChange{}}
}

func (s *oldLists) note(key string, deleted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes[key] = listChange{time.Now(), deleted}
}

func (s *oldLists) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	err := s.Store.PutIfAbsent(ctx, key, body)
	if err == nil {
		s.note(key, false)
	}
	return err
}

func (s *oldLists) Put(ctx context.Context, key string, body []byte) error {
	s.note(key, false)
	return s.Store.Put(ctx, key, body)
}

type oldListsWriter struct {
	blob.Writer
	done func()
}

func (w *oldListsWriter) Commit(ctx context.Context) error {
	err := w.Writer.Commit(ctx)
	if err == nil {
		w.done()
	}
	return err
}

func (s *oldLists) Create(ctx context.Context, key string) (blob.Writer, error) {
	w, err := s.Store.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &oldListsWriter{w, func() { s.note(key, false) }}, nil
}

func (s *oldLists) Delete(ctx context.Context, key string) error {
	s.note(key, true)
	return s.Store.Delete(ctx, key)
}

func (s *oldLists) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	infos, err := s.Store.List(ctx, prefix, after, 0)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	recent := func(key string) (listChange, bool) {
		c, ok := s.changes[key]
		return c, ok && time.Since(c.at) < s.age
	}
	infos = slices.DeleteFunc(infos, func(i blob.Info) bool { c, ok := recent(i.Key); return ok && !c.deleted })
	for key := range s.changes {
		if c, ok := recent(key); ok && c.deleted && strings.HasPrefix(key, prefix) && key > after && !slices.ContainsFunc(infos, func(i blob.Info) bool { return i.Key == key }) {
			infos = append(infos, blob.Info{Key: key})
		}
	}
	slices.SortFunc(infos, func(a, b blob.Info) int { return cmp.Compare(a.Key, b.Key) })
	if limit > 0 {
		infos = infos[:min(limit, len(infos))]
	}
	return infos, nil
}

// A listing that misses the manifest of a pointer, and has one that was never published, does not prove that the metadata is old.
func TestListingThatMissesAManifestIsNoProofOfOlderMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, 0)
		lists := newOldLists(c.blob, 0)
		c.blob = lists
		c.topics.set(topicA, 2)
		c.start()
		c.settled(30 * time.Second)
		newProduced().spread(c, 2, 3)
		<-time.After(10 * time.Second) // a checkpoint
		e, err := c.meta.Get(t.Context(), ownership.ShardKey(0))
		if err != nil {
			t.Fatal(err)
		}
		p, err := ownership.DecodePointer(e)
		if err != nil || p.Manifest == "" {
			t.Fatalf("pointer %+v, %v", p, err)
		}
		orphan := objectKey(manifestPrefix, 0, p.Epoch, p.Version+100)
		if err := lists.Store.PutIfAbsent(t.Context(), orphan, []byte("never published")); err != nil {
			t.Fatal(err)
		}
		lists.age = time.Minute
		lists.note(p.Manifest, false)
		if err := c.refused(); err != nil {
			t.Errorf("a second broker ends with %v", err)
		}
	})
}
