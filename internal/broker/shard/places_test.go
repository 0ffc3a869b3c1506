package shard

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// write fills a log with plain batches and with transactions that end one way or the other, and at times moves it into segments.
func writeMixed(t *testing.T, m *testMember, l *partition.Log, rng *rand.Rand) {
	t.Helper()
	wait := func(a partition.Appended, err error) {
		t.Helper()
		if err == nil {
			err = a.Ticket.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 120 {
		switch pid := int64(1 + rng.IntN(3)); rng.IntN(8) {
		case 0, 1, 2:
			wait(l.Append(testBatch(fmt.Sprintf("v%d", i), rng.IntN(3000))))
		case 3, 4:
			build := record.NewBuilder(record.None, 0)
			build.Append(1, nil, fmt.Appendf(nil, "%d", i), nil)
			b := build.Build(record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: pid, Epoch: int16(i), Sequence: 0}})
			wait(l.AppendVerified(b, l.BeginVerification(pid, int16(i), 0, true)))
			wait(l.AppendMarker(partition.Marker{ProducerID: pid, ProducerEpoch: int16(i) + 1, Commit: rng.IntN(2) == 0, Version: 2}))
		case 5:
			if rng.IntN(4) == 0 {
				if err := m.store.inMaintenance(t.Context(), m.store.cutAll); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func taken(t *testing.T, r *partition.ReadResult) []byte {
	t.Helper()
	var b []byte
	for i := range r.Chunks {
		var err error
		if b, err = r.Chunks[i].AppendTo(b); err != nil {
			t.Fatal(err)
		}
	}
	r.Drop()
	return b
}

// What another broker reads by places is what the owner reads.
func TestPlacesLeadToWhatTheOwnerReads(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 77))
			c := newTestCluster(t, 1, 2)
			c.topics.set(topicA, 2)
			c.settled(20 * time.Second)
			owner, other := c.members[0], c.members[1]
			if len(owner.store.Owned()) == 0 {
				owner, other = other, owner
			}
			l, err := owner.store.Log(topicA, 1)
			if err != nil {
				t.Fatal(err)
			}
			writeMixed(t, owner, l, rng)
			end := l.Offsets().HighWatermark
			for range 300 {
				req := partition.ReadRequest{Offset: rng.Int64N(end + 1), MaxBytes: rng.Int64N(20_000), AtLeastOne: rng.IntN(2) == 0, Committed: rng.IntN(2) == 0}
				want, err := l.Read(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				told, err := l.Places(req)
				if err != nil {
					t.Fatal(err)
				}
				if told.Offsets != want.Offsets || want.Bytes > 0 && told.Bytes == 0 {
					t.Fatalf("%+v: told %+v and %d bytes, want %+v and %d", req, told.Offsets, told.Bytes, want.Offsets, want.Bytes)
				}
				if told.Bytes == 0 {
					want.Drop()
					continue
				}
				got, err := other.store.ReadPlaces(t.Context(), topicA, 1, told.Chunks[0].Bytes, req)
				if err != nil {
					t.Fatalf("%+v: %v", req, err)
				}
				if got.NextOffset != want.NextOffset || !slices.Equal(got.Aborted, want.Aborted) || !bytes.Equal(taken(t, &got), taken(t, &want)) {
					t.Fatalf("%+v: got up to %d without %v, want up to %d without %v", req, got.NextOffset, got.Aborted, want.NextOffset, want.Aborted)
				}
			}
		})
	}
}

func TestPlacesOfObjectsThatAreGoneSendBackToTheOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, 1)
		c.topics.set(topicA, 1)
		c.settled(20 * time.Second)
		p := newProduced()
		p.spread(c, 1, 3)
		m := c.members[0]
		l, err := m.store.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		req := partition.ReadRequest{MaxBytes: 1 << 20}
		told, err := l.Places(req)
		if err != nil {
			t.Fatal(err)
		}
		infos, err := c.blob.List(t.Context(), "w/", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if err := c.blob.Delete(context.WithoutCancel(t.Context()), i.Key); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.store.ReadPlaces(t.Context(), topicA, 0, told.Chunks[0].Bytes, req); err != kafka.NotLeaderOrFollower { //nolint:errorlint // it is answered as it is
			t.Errorf("places that are gone: %v", err)
		}
	})
}
