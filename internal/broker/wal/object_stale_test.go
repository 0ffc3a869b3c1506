package wal

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weir-stream/weir/internal/base/blob"
)

// oldLists is a store whose listings know nothing of the newest objects.
type oldLists struct {
	blob.Store
	newest int
}

func (s *oldLists) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	all, err := s.Store.List(ctx, prefix, "", 0)
	if err != nil {
		return nil, err
	}
	var found []blob.Info
	for _, i := range all[:max(0, len(all)-s.newest)] {
		if i.Key > after && (limit == 0 || len(found) < limit) {
			found = append(found, i)
		}
	}
	return found, nil
}

// Where a dead broker's log ends is found at once, whatever listings say.
func TestSealRestsOnNoListing(t *testing.T) {
	t.Parallel()
	for _, newest := range []int{0, 1, 7, 200} {
		synctest.Test(t, func(t *testing.T) {
			mem := blob.NewMem()
			store := &oldLists{mem, newest}
			l := startObjects(t, ObjectOptions{Blob: mem, Incarnation: 1})
			s := NewStream(0, testTopic, 0)
			for i := range int64(100) {
				ticket, err := l.Append(s, []byte{1}, info(i))
				if err != nil {
					t.Fatal(err)
				}
				mustWait(t, ticket)
			}
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
			var requests atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			counted := blob.NewFault(store, func(blob.Op) error {
				if requests.Add(1) > 1000 {
					cancel() // it would go on for as long as the listings are old
				}
				return nil
			})
			for range 2 { // the seal itself is new too
				k, err := SealObjects(ctx, ObjectSeal{Blob: counted, ClusterID: l.o.ClusterID, Incarnation: 1, Nonce: [16]byte{1}})
				if err != nil || k != 100 {
					t.Fatalf("without the %d newest in listings: sealed at %d, %v", newest, k, err)
				}
			}
		})
	}
}

// breaks is a store whose readers fail beyond the first bytes.
type breaks struct {
	blob.Store
	err error
}

type brokenReader struct {
	blob.Reader
	err error
}

func (s *breaks) Open(ctx context.Context, key string) (blob.Reader, error) {
	r, err := s.Store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return &brokenReader{r, s.err}, nil
}

func (r *brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, r.err
	}
	return r.Reader.ReadAt(p, off)
}

// A store that refuses to answer tells nothing of the frame: that is no damage.
func TestFrameThatCannotBeReadIsNotDamaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := blob.NewMem()
		l := startObjects(t, ObjectOptions{Blob: mem, Incarnation: 1})
		ticket, err := l.Append(NewStream(0, testTopic, 0), []byte(strings.Repeat("x", wholeObjectBytes)), info(0))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("status 403")
		for _, cause := range []error{refused, blob.ErrNotFound} {
			s := ObjectScan{Blob: &breaks{mem, cause}, ClusterID: l.o.ClusterID, Incarnation: 1, To: 1}
			err := ScanObjects(t.Context(), s, func(*ObjectFrame) error { return nil })
			if _, damaged := errors.AsType[*CorruptError](err); damaged || !errors.Is(err, cause) {
				t.Errorf("got %v, want %v", err, cause)
			}
		}
	})
}
