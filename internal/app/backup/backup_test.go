package backup

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// oneTopic is a shard.Topics with one topic of one partition.
type oneTopic struct{ config partition.Config }

var topicID = kafka.TopicID{1}

func (o *oneTopic) LogConfig(id kafka.TopicID) (*partition.Config, int32, bool) {
	return &o.config, 1, id == topicID
}
func (o *oneTopic) Sync(context.Context) error       { return nil }
func (o *oneTopic) Shard(kafka.TopicID, int32) int32 { return 1 }

// server runs storage on a disk, a bucket and a metadata store.
func server(t *testing.T, disk vfs.FS, bucket blob.Store, store meta.Store) (*shard.Store, func()) {
	t.Helper()
	if err := vfs.MakeDirs(disk, "wal"); err != nil {
		t.Fatal(err)
	}
	s := shard.New(shard.Options{
		FS: disk, WALDir: "wal", Blob: bucket, Meta: store, Topics: &oneTopic{plainConfig()},
		Shards: 2, Now: time.Now, Nonce: func() [16]byte { return [16]byte{1} }, Logger: slog.New(slog.DiscardHandler), WALFileBytes: 1 << 20,
		Remote: true, UploadMaxAge: time.Minute,
	})
	return s, running(t, s)
}

func plainConfig() partition.Config {
	return partition.Config{
		MaxMessageBytes: 1 << 20, DecompressedBytesMax: 1 << 20, SegmentBytes: 1 << 30, RetentionMs: -1, RetentionBytes: -1, Delete: true,
		SegmentMs: 1 << 40, TimestampBeforeMaxMs: 1 << 60, TimestampAfterMaxMs: 1 << 60,
	}
}

// running runs storage and returns what stops it.
func running(t *testing.T, s *shard.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, s *shard.Store, value string) int64 {
	t.Helper()
	l, err := s.Log(topicID, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := record.NewBuilder(record.None, 0)
	b.Append(time.Now().UnixMilli(), nil, []byte(value), nil)
	a, err := l.Append(b.Build(record.BuildOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a.BaseOffset
}

// A disk and the metadata on it are lost: what was uploaded, and the metadata as of the last backup, are there again.
func TestRestoreFromTheBucketAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		bucket := blob.NewMem()
		old := meta.NewMem(meta.SystemClock())
		for _, key := range []string{"t/orders", "acl/1", "b/7"} {
			if _, err := old.Txn(ctx, nil, []meta.Op{{Kind: meta.Put, Key: key, Value: []byte("value of " + key)}}); err != nil {
				t.Fatal(err)
			}
		}
		s, stop := server(t, vfs.NewMem(), bucket, old)
		for range 100 {
			write(t, s, "uploaded")
		}
		<-time.After(5 * time.Minute)
		if bytes, _ := s.Pending(); bytes != 0 {
			t.Fatalf("%d bytes are not uploaded", bytes)
		}
		for range 10 {
			write(t, s, "lost")
		}
		<-time.After(30 * time.Second)
		epoch := s.LeaderEpoch(1)
		stop() // it checkpoints what the disk holds, and the disk is lost
		if _, err := Create(ctx, old, bucket, time.Now(), 2); err != nil {
			t.Fatal(err)
		}

		fresh := meta.NewMem(meta.SystemClock())
		o := Options{Store: fresh, Objects: bucket, Now: time.Now(), Open: func() (meta.Store, blob.Store, error) { return fresh, bucket, nil }}
		r, err := Restore(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.DroppedBytes == 0 || r.Shards == 0 || len(r.Passed) > 0 {
			t.Errorf("restored %+v, want some lost bytes", r)
		}
		for key, want := range map[string]bool{"t/orders": true, "acl/1": true, "b/7": false} {
			if _, err := fresh.Get(ctx, key); (err == nil) != want {
				t.Errorf("%s is there: %v, want %v", key, err == nil, want)
			}
		}
		if _, err := Restore(ctx, o); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("restore over a metadata store in use: %v, want %v", err, ErrNotEmpty)
		}
		s, stop = server(t, vfs.NewMem(), bucket, fresh)
		defer stop()
		l, err := s.Log(topicID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if o := l.Offsets(); o.HighWatermark != 100 || o.LogEnd != 100 {
			t.Fatalf("the log ends at %+v, want 100", o)
		}
		for from := int64(0); from < 100; {
			b, next, err := l.ReadBytes(ctx, from, 1<<20)
			if err != nil || !bytes.Contains(b, []byte("uploaded")) || bytes.Contains(b, []byte("lost")) {
				t.Fatalf("read at %d: %v", from, err)
			}
			from = next
		}
		if at := write(t, s, "new"); at != 100 || s.LeaderEpoch(1) <= epoch {
			t.Errorf("a new record has offset %d in epoch %d, want 100 in one above %d", at, s.LeaderEpoch(1), epoch)
		}
	})
}

func TestBackupsAreKeptAndListed(t *testing.T) {
	t.Parallel()
	ctx, bucket, store := t.Context(), blob.NewMem(), meta.NewMem(meta.SystemClock())
	for i := range 5 {
		if _, err := Create(ctx, store, bucket, time.UnixMilli(int64(i)), 3); err != nil {
			t.Fatal(err)
		}
	}
	list, err := List(ctx, bucket)
	if err != nil || len(list) != 3 || list[0].Number != 3 || list[2].Number != 5 || !list[2].Time.Equal(time.UnixMilli(4)) {
		t.Errorf("got %+v, %v; want backups 3 to 5", list, err)
	}
}

func TestDamagedBackupIsRefused(t *testing.T) {
	t.Parallel()
	sound := encode([]meta.Entry{{Key: "a", Value: []byte("b")}, {Key: "c", Value: nil}}, time.UnixMilli(77))
	if e, at, err := decode(sound); err != nil || len(e) != 2 || at.UnixMilli() != 77 {
		t.Fatalf("%v, %v, %v", e, at, err)
	}
	for i := range sound {
		b := slices.Clone(sound)
		b[i] ^= 1
		if _, _, err := decode(b); err == nil {
			t.Errorf("byte %d was flipped and nobody noticed", i)
		}
		if _, _, err := decode(sound[:i]); err == nil {
			t.Errorf("a backup of %d bytes of %d was taken", i, len(sound))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode([]meta.Entry{{Key: "a", Value: []byte("b")}}, time.UnixMilli(1)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, at, err := decode(b)
		if err != nil {
			return
		}
		if again, _, err := decode(encode(entries, at)); err != nil || len(again) != len(entries) {
			t.Errorf("read, written and read again: %v", err)
		}
	})
}
