package shard

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// unsynced passes syncs of data by: a benchmark has a large log to make before it starts.
type unsynced struct{ vfs.FS }

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

func (u unsynced) OpenReadWrite(name string) (vfs.File, error) {
	f, err := u.FS.OpenReadWrite(name)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) SyncData() error { return nil }
func (unsyncedFile) Sync() error     { return nil }

// BenchmarkRecovery measures the time from nothing to ready, over a WAL of which no part is in a checkpoint. Each frame
// holds one batch.
func BenchmarkRecovery(b *testing.B) {
	for _, c := range []struct{ partitions, frames, bytes int }{
		{1, 1000, 1 << 20}, {100, 90_000, 1000}, {5000, 5000, 1000}, {5000, 50_000, 1000},
	} {
		b.Run(fmt.Sprintf("partitions=%d/frames=%d/bytes=%d", c.partitions, c.frames, c.bytes), func(b *testing.B) {
			o := benchOptions(b, int32(c.partitions))
			before := benchFill(b, o, c.partitions, c.frames, c.bytes)
			for b.Loop() {
				b.StopTimer()
				o.Meta = copyMeta(before) // so the checkpoint at the end has not happened
				n := &node{t: b, o: o, topics: o.Topics.(*fakeTopics)}
				b.StartTimer()
				n.start()
				b.StopTimer()
				if l, err := n.Log(topicA, 0); err != nil || l.Offsets().HighWatermark != int64(c.frames/c.partitions) {
					b.Fatalf("recovered %v, %v", l, err)
				}
				n.restart(false)
				b.StartTimer()
			}
		})
	}
}

// benchFill appends frames without waiting for the disk, and returns the metadata as of before the orderly end.
func benchFill(b *testing.B, o Options, partitions, frames, bytes int) *meta.Mem {
	b.Helper()
	o.FS = unsynced{o.FS}
	n := &node{t: b, o: o, topics: o.Topics.(*fakeTopics)}
	n.start()
	for i := range frames {
		n.append(topicA, int32(i%partitions), "v", bytes-100)
	}
	before := copyMeta(o.Meta)
	n.restart(false)
	return before
}

// BenchmarkCheckpoint measures a checkpoint of all shards.
func BenchmarkCheckpoint(b *testing.B) {
	for _, partitions := range []int{100, 5000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			o := benchOptions(b, int32(partitions))
			o.FS = unsynced{o.FS}
			n := &node{t: b, o: o, topics: o.Topics.(*fakeTopics)}
			n.start()
			defer n.restart(false)
			for i := range 4 * partitions {
				n.append(topicA, int32(i%partitions), "v", 100)
			}
			for b.Loop() {
				n.maintenance(n.checkpointAll)
			}
		})
	}
}

func benchOptions(b *testing.B, partitions int32) Options {
	b.Helper()
	dir := b.TempDir()
	objects, err := blob.NewDir(vfs.OS(), dir+"/objects")
	if err != nil {
		b.Fatal(err)
	}
	if err := vfs.MakeDirs(vfs.OS(), dir+"/wal"); err != nil {
		b.Fatal(err)
	}
	t := newFakeTopics()
	t.set(topicA, partitions)
	return Options{
		FS: vfs.OS(), WALDir: dir + "/wal", Blob: objects, Meta: meta.NewMem(meta.SystemClock()), Topics: t, Shards: 2, Now: time.Now,
		Nonce: func() [16]byte { return [16]byte{1} }, Logger: slog.New(slog.DiscardHandler), CheckpointInterval: time.Hour, WALKeepBytes: 1 << 40, ExtentsMax: 1 << 30,
	}
}
