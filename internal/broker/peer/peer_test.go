package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/meta"
)

func TestAllBrokersHaveOneSecret(t *testing.T) {
	t.Parallel()
	store := meta.NewMem(nil)
	var secrets [8]Secret
	var loading sync.WaitGroup
	for i := range secrets {
		loading.Go(func() {
			var err error
			if secrets[i], err = LoadSecret(t.Context(), store, bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32))); err != nil {
				t.Error(err)
			}
		})
	}
	loading.Wait()
	for i, s := range secrets {
		if s != secrets[0] || s == (Secret{}) {
			t.Errorf("secret %d is not that of the others", i)
		}
	}
	if text := fmt.Sprintf("%v %s", secrets[0], secrets[0]); text != "[hidden] [hidden]" {
		t.Errorf("a log would show %s", text)
	}
	if _, err := store.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: secretKey, Value: []byte{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(t.Context(), store, nil); err == nil {
		t.Error("a damaged secret was taken")
	}
	if _, err := LoadSecret(t.Context(), meta.NewMem(nil), bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("without randomness: %v", err)
	}
}

func TestBatcherPutsTogetherWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		b := Batcher[int, int]{Most: 10, Requests: 2, Queue: 30, Send: func(_ context.Context, broker int32, batch []int) ([]int, error) {
			<-time.After(time.Second)
			mu.Lock()
			sizes = append(sizes, len(batch))
			mu.Unlock()
			out := make([]int, len(batch))
			for i, n := range batch {
				if n == 99 {
					return nil, errors.New("refused")
				}
				out[i] = n * int(broker)
			}
			return out, nil
		}}
		began := time.Now()
		var asking sync.WaitGroup
		for i := range 22 {
			asking.Go(func() {
				if got, err := b.Do(t.Context(), 3, i); err != nil || got != 3*i {
					t.Errorf("%d: %d, %v", i, got, err)
				}
			})
			synctest.Wait()
		}
		asking.Wait()
		// Two alone, then twice ten: two at a time.
		if took := time.Since(began); took != 2*time.Second || len(sizes) != 4 || sizes[2]+sizes[3] != 20 {
			t.Errorf("requests of %v in %v, want 1, 1, 10, 10 in 2 s", sizes, took)
		}
		if _, err := b.Do(t.Context(), 3, 99); err == nil {
			t.Error("a refusal was not told")
		}
		if len(b.lanes) != 0 {
			t.Errorf("%d lanes are left", len(b.lanes))
		}
		for range 2 + 30 {
			asking.Go(func() { b.Do(t.Context(), 3, 1) }) //nolint:errcheck // only fills the queue
			synctest.Wait()
		}
		if _, err := b.Do(t.Context(), 3, 1); !errors.Is(err, ErrBusy) {
			t.Errorf("beyond the queue: %v", err)
		}
		asking.Wait()
	})
}

// Whoever goes away, everybody else is answered, and each question asked once.
func TestBatcherForgetsNobody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			asked := map[int]int{}
			b := Batcher[int, int]{Most: 3, Requests: 2, Queue: 1000, Send: func(_ context.Context, _ int32, batch []int) ([]int, error) {
				mu.Lock()
				wait := time.Duration(random.Int64N(10))
				for _, n := range batch {
					asked[n]++
				}
				mu.Unlock()
				<-time.After(wait)
				return batch, nil
			}}
			var asking sync.WaitGroup
			for i := range 200 {
				mu.Lock()
				begin, end := time.Duration(random.Int64N(100)), time.Duration(random.Int64N(200))
				patient := random.IntN(2) == 0
				mu.Unlock()
				asking.Go(func() {
					<-time.After(begin)
					ctx := t.Context()
					if !patient {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, end)
						defer cancel()
					}
					if got, err := b.Do(ctx, 1, i); err == nil && got != i || err != nil && patient {
						t.Errorf("%d: %d, %v", i, got, err)
					}
				})
			}
			asking.Wait()
			for n, times := range asked {
				if times != 1 {
					t.Errorf("%d was asked %d times", n, times)
				}
			}
			if len(b.lanes) != 0 {
				t.Errorf("seed %d: %d lanes are left", seed, len(b.lanes))
			}
		})
	}
}

func FuzzResponse(f *testing.F) {
	requests := []kmsg.Request{kmsg.NewPtrWriteTxnMarkersRequest(), kmsg.NewPtrAddPartitionsToTxnRequest(), kmsg.NewPtrReadShareGroupStateRequest(), kmsg.NewPtrSASLAuthenticateRequest()}
	requests[0].SetVersion(2)
	requests[1].SetVersion(5)
	requests[3].SetVersion(2)
	for i, req := range requests {
		res := req.ResponseKind()
		res.SetVersion(req.GetVersion())
		f.Add(i, res.AppendTo([]byte{0, 0, 0, 7, 0}))
	}
	f.Add(0, []byte{0, 0, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(_ *testing.T, i int, b []byte) {
		parseResponse(requests[uint(i)%uint(len(requests))], 7, b) //nolint:errcheck // it must only not panic, nor take much memory
	})
}
