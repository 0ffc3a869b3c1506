package shard

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// Brokers of before go on while the metadata store is replaced, and their stamps come just after a new broker has looked for them. It notices all the same.
func TestStampsThatComeLateAreNoticed(t *testing.T) {
	t.Parallel()
	stranger := ownership.None()
	stranger = stranger.Take(1<<40, 0, 0)
	for name, row := range map[string]struct {
		// plant returns what another broker writes just before op.
		plant func(op blob.Op) (key string, body []byte)
		// died says that the broker comes after one that has died.
		died bool
	}{
		"a claim of the same epoch": {func(op blob.Op) (string, []byte) {
			if op.Kind == blob.OpPutIfAbsent && strings.HasPrefix(op.Key, ownership.ClaimPrefix) {
				return op.Key, stranger.Encode()
			}
			return "", nil
		}, false},
		"a birth with the same number": {func(op blob.Op) (string, []byte) {
			if op.Kind == blob.OpPutIfAbsent && strings.HasPrefix(op.Key, ownership.BirthPrefix) {
				return op.Key, []byte("sixteen bytes !!")
			}
			return "", nil
		}, false},
		"a trim, while the end of the log is looked for": {func(op blob.Op) (string, []byte) {
			if !strings.HasPrefix(op.Key, wal.ObjectPrefix+"/") || op.Kind == blob.OpList {
				return "", nil
			}
			return ownership.TrimKey(1, 1<<20), []byte("sixteen bytes !!")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newTestCluster(t, 2, 0)
				c.topics.set(topicA, 4)
				under, faults := c.blob, blob.NewFault(c.blob, nil)
				c.blob = faults
				if row.died {
					m := c.start()
					c.settled(30 * time.Second)
					newProduced().spread(c, 4, 2)
					m.cut(true, true)
					c.remove(m)
				}
				var planted atomic.Bool
				faults.Inject(func(op blob.Op) error {
					if key, body := row.plant(op); key != "" && planted.CompareAndSwap(false, true) {
						return under.PutIfAbsent(t.Context(), key, body)
					}
					return nil
				})
				if err := c.refused(); !errors.Is(err, ErrOlderMetadata) {
					t.Errorf("the broker ends with %v, want %v", err, ErrOlderMetadata)
				}
				if !planted.Load() {
					t.Error("nothing was planted")
				}
			})
		})
	}
}
