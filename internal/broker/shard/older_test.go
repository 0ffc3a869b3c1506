package shard

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/app/backup"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/partition"
)

// snapshot copies the metadata, without what ends with its lease.
func (c *testCluster) snapshot() []meta.Entry {
	c.t.Helper()
	entries, err := c.meta.Range(c.t.Context(), "", "", 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return slices.DeleteFunc(entries, func(e meta.Entry) bool {
		return strings.HasPrefix(e.Key, "b/") || strings.HasPrefix(e.Key, "load/") || e.Key == "controller"
	})
}

// reset ends all brokers as kill -9 does, and replaces the metadata store.
func (c *testCluster) reset(entries []meta.Entry) {
	c.t.Helper()
	for _, m := range c.all() {
		m.cut(true, true)
		c.remove(m)
	}
	fresh := meta.NewMem(meta.SystemClock())
	for _, e := range entries {
		if _, err := fresh.Txn(c.t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: e.Key, Value: e.Value}}); err != nil {
			c.t.Fatal(err)
		}
	}
	old := c.meta
	c.meta = fresh
	if err := old.Close(); err != nil {
		c.t.Error(err)
	}
}

// refused starts a broker and returns the error with which it ends.
func (c *testCluster) refused() error {
	c.t.Helper()
	m := c.start()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	select {
	case err := <-m.done:
		m.cancel()
		err = errors.Join(err, <-m.done)
		m.done <- nil // for the end of the test
		m.done <- nil
		return err
	case <-limit.C:
		return nil
	}
}

// Whatever happened to a shard after a copy of the metadata was made: brokers find out that the copy is old before they serve the shard.
func TestOlderMetadataIsRefused(t *testing.T) {
	t.Parallel()
	histories := map[string]func(c *testCluster, p *produced){
		"checkpoints": func(c *testCluster, p *produced) {
			p.spread(c, 12, 2)
			<-time.After(30 * time.Second)
		},
		"a take-over": func(c *testCluster, p *produced) {
			m := c.all()[0]
			m.cut(true, true)
			c.remove(m)
			c.settled(30 * time.Second)
			p.spread(c, 12, 1)
		},
		"a restart of all brokers": func(c *testCluster, p *produced) {
			c.reset(c.snapshot())
			c.start()
			c.settled(30 * time.Second)
			p.spread(c, 12, 1)
		},
	}
	for name, happen := range histories {
		for _, when := range []string{"before all", "before records", "after records"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newTestCluster(t, 6, 0)
					c.topics.set(topicA, 12)
					empty := c.snapshot()
					c.start()
					c.start()
					<-time.After(20 * time.Second)
					c.settled(20 * time.Second)
					old := c.snapshot()
					p := newProduced()
					p.spread(c, 12, 5)
					switch when {
					case "before all":
						old = empty
					case "after records":
						<-time.After(20 * time.Second)
						old = c.snapshot()
					}
					happen(c, p)
					c.reset(old)
					if err := c.refused(); !errors.Is(err, ErrOlderMetadata) {
						t.Errorf("got %v, want %v", err, ErrOlderMetadata)
					}
				})
			})
		}
	}
}

// anyLog returns a log that the broker serves, if it serves any.
func (m *testMember) anyLog() (log *partition.Log, ok bool) {
	for i := range int32(12) {
		if l, err := m.store.Log(topicA, i); err == nil {
			return l, true
		}
	}
	return nil, false
}

// putClusterID writes the id of the cluster as the metadata store keeps it; that of a testCluster is zero.
func (c *testCluster) putClusterID() {
	body := make([]byte, 16)
	value := binary.LittleEndian.AppendUint32([]byte{1}, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := c.meta.Txn(c.t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "ids/cluster", Value: append(value, body...)}}); err != nil {
		c.t.Fatal(err)
	}
}

// The metadata is lost at any moment; the bucket alone brings every acknowledged record back, and shuts out who still writes.
func TestBucketAloneRestoresEveryRecord(t *testing.T) {
	t.Parallel()
	for seed := range chaosSeeds() {
		synctest.Test(t, func(t *testing.T) {
			c := newTestCluster(t, 6, 3)
			c.putClusterID()
			c.topics.set(topicA, 12)
			<-time.After(20 * time.Second)
			c.settled(20 * time.Second)
			p := newProduced()
			for round := range 3 {
				if _, err := backup.Create(t.Context(), c.meta, c.blob, time.Now(), 2); err != nil {
					t.Fatal(err)
				}
				p.spread(c, 12, 1+int(seed)%7)
				<-time.After(time.Duration(seed%11) * 700 * time.Millisecond)
				if (uint64(round)+seed)%3 == 0 {
					m := c.all()[int(seed)%len(c.all())]
					m.cut(true, true)
					c.remove(m)
					c.settled(30 * time.Second)
					c.start()
					<-time.After(20 * time.Second)
					c.settled(20 * time.Second)
				}
				p.spread(c, 12, int(seed)%5)
				zombie := c.all()[0]
				zombie.cut(false, true)
				log, held := zombie.anyLog()
				for _, m := range c.all()[1:] {
					m.cut(true, true)
				}
				fresh := meta.NewMem(meta.SystemClock())
				r, err := backup.Restore(t.Context(), backup.Options{
					Store: fresh, Objects: c.blob, Cluster: true, Now: time.Now(), Open: func() (meta.Store, blob.Store, error) { return fresh, c.blob, nil },
				})
				if err != nil || r.Whole != r.Shards || r.Shards != 6 {
					t.Fatalf("restored %+v, %v; want six whole shards", r, err)
				}
				if held {
					if a, err := log.Append(testBatch("late;", 10)); err == nil && a.Ticket.Wait(t.Context()) == nil {
						t.Error("a broker of before acknowledges records")
					}
				}
				entries, err := fresh.Range(t.Context(), "", "", 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := fresh.Close(); err != nil {
					t.Error(err)
				}
				c.reset(entries)
				for range 3 {
					c.start()
				}
				<-time.After(20 * time.Second)
				c.settled(20 * time.Second)
				p.check(c, 12)
			}
			p.spread(c, 12, 1)
			p.check(c, 12)
		})
	}
}
