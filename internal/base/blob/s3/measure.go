package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// Latency is how long one kind of request took, one after the other and unhurried.
type Latency struct {
	Op    string // put or get
	Bytes int
	Count int
	P50   time.Duration
	P99   time.Duration // the slowest, with fewer than 100 requests
}

var measuredSizes = []int{64 << 10, 1 << 20}

// Measure writes count objects of 64 KiB and of 1 MiB below "probe/RANDOM", reads them whole, and removes them. A read
// includes Open. It stops early when ctx ends, with an error.
func Measure(ctx context.Context, store blob.Store, count int) ([]Latency, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	prefix := "probe/" + hex.EncodeToString(random[:])
	var keys []string
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeClean)
		defer cancel()
		for _, key := range keys {
			if store.Delete(ctx, key) != nil {
				return // the same would come of the others
			}
		}
	}()
	var found []Latency
	for _, size := range measuredSizes {
		body := make([]byte, size)
		_, _ = rand.Read(body) // never fails
		buf := vfs.AlignedBuffer(vfs.RangeBytes(size))
		var puts, gets []time.Duration
		for i := range count {
			key := fmt.Sprintf("%s/%d-%d", prefix, size, i)
			keys = append(keys, key)
			begin := time.Now()
			if err := store.PutIfAbsent(ctx, key, body); err != nil {
				return nil, err
			}
			written := time.Now()
			if err := readWhole(ctx, store, key, buf, size); err != nil {
				return nil, err
			}
			puts, gets = append(puts, written.Sub(begin)), append(gets, time.Since(written))
		}
		found = append(found, latencyOf("put", size, puts), latencyOf("get", size, gets))
	}
	return found, nil
}

func readWhole(ctx context.Context, store blob.Store, key string, buf []byte, size int) error {
	r, err := store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	_, err = r.ReadRange(buf, 0, size)
	return err
}

func latencyOf(op string, size int, took []time.Duration) Latency {
	slices.Sort(took)
	return Latency{Op: op, Bytes: size, Count: len(took), P50: took[(len(took)-1)/2], P99: took[(len(took)*99+99)/100-1]}
}
