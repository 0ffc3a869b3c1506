//go:build clusterchaos && linux

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/servertest"
	"github.com/weir-stream/weir/test/fault"
)

// A server with segments in S3 outlives S3: it goes on until its log has what it may have, then tells producers to try again, takes no more of the disk however
// long it lasts, and goes on by itself when S3 is back.
func TestTieredServerOutlivesS3(t *testing.T) {
	const walMax, topic = 192 << 20, "tiered"
	dir := t.TempDir()
	s3 := servertest.StartS3(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	b, err := fault.Start(context.WithoutCancel(t.Context()), os.Getenv("TEST_BINARY"), filepath.Join(dir, "data"), "127.0.0.1:0", "--blob", s3.URL("tier"),
		"--set", "storage.wal.max.bytes=201326592", "--set", "storage.wal.keep.bytes=33554432", "--set", "storage.wal.file.bytes=16777216",
		"--set", "storage.upload.max.age.ms=1000", "--set", "storage.checkpoint.interval.ms=2000", "--set", "storage.cache.bytes=0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	p := newFiller(t, b.Kafka, topic)
	if err := p.fill(64 << 20); err != nil {
		t.Fatal(err)
	}
	s3.Kill()
	before := p.bytes
	refused := p.fill(4 * walMax)
	var ke *kerr.Error
	if !errors.As(refused, &ke) && !errors.Is(refused, kgo.ErrRecordTimeout) || ke != nil && !ke.Retriable {
		t.Fatalf("a log that has all that it may have gives %v, want an error that clients retry", refused)
	}
	t.Logf("FIGURE without S3 %d MiB more were taken, with a log of at most %d MiB", (p.bytes-before)>>20, walMax>>20)
	if p.bytes-before < walMax/4 {
		t.Errorf("only %d bytes were taken without S3", p.bytes-before)
	}
	var most int64
	for range 5 { // it stays like that, whoever tries
		if err := p.fill(walMax); err == nil {
			t.Error("records are taken beyond the limit")
		}
		most = max(most, size(t, b.Data))
	}
	if most > walMax+walMax/4 { // and what is no log
		t.Errorf("the data directory has %d MiB, the log at most %d", most>>20, walMax>>20)
	}
	if !b.Running() {
		t.Fatalf("the server has ended: %s", b.LogTail())
	}
	s3.Restart()
	at := time.Now()
	for p.fill(1<<20) != nil {
		if time.Since(at) > 2*time.Minute {
			t.Fatalf("nothing is taken %v after S3 is back: %s", time.Since(at), b.LogTail())
		}
	}
	t.Logf("FIGURE records are taken %.1f s after S3 is back; the data directory had %d MiB at most", time.Since(at).Seconds(), most>>20)
	// The log is full: for some time producers are as fast as the uploads, and whoever is impatient is refused.
	for wanted := p.bytes + 2*walMax; p.bytes < wanted; {
		if err := p.fill(8 << 20); err != nil && time.Since(at) > 3*time.Minute {
			t.Fatalf("%v after S3 is back: %v", time.Since(at), err)
		}
	}
	t.Logf("FIGURE %d MiB more were taken %.1f s after S3 is back", 2*walMax>>20, time.Since(at).Seconds())
	p.readAll(topic)
}

// A server with segments in S3 on a disk that is smaller than the log is meant to be, and nothing set: producers of more than the disk holds are slowed down or told to try again, for
// as long as S3 is slow or refuses everything, nothing else fails, health says what is wrong, and some of the disk stays free for what gets it out of there.
func TestTieredServerOnASmallDisk(t *testing.T) {
	const disk, topic = 300 << 20, "small"
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprint("size=", disk)); err != nil {
		t.Fatalf("this test mounts a tmpfs and needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s3 := servertest.StartS3(t)
	gateway, err := NewGateway(t.Context(), s3.Endpoint, mrand.New(mrand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Close() })
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	b, err := fault.Start(context.WithoutCancel(t.Context()), os.Getenv("TEST_BINARY"), filepath.Join(mount, "data"), "127.0.0.1:0",
		"--blob", strings.Replace(s3.URL("tier"), s3.Endpoint, gateway.Endpoint(), 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	p := newFiller(t, b.Kafka, topic)
	take := func(what string) { // more than the disk holds
		at, wanted := time.Now(), p.bytes+disk
		for p.bytes < wanted {
			if err := p.fill(8 << 20); err != nil && time.Since(at) > 4*time.Minute {
				t.Fatalf("%s: only %d MiB of %d were taken in %v: %v: %s", what, (disk-wanted+p.bytes)>>20, disk>>20, time.Since(at), err, b.LogTail())
			}
		}
		t.Logf("FIGURE %s: %d MiB taken in %.1f s", what, disk>>20, time.Since(at).Seconds())
	}
	take("S3 is well")
	gateway.Set(Trouble{Delay: 300 * time.Millisecond})
	take("S3 is slow")
	gateway.Set(Trouble{Refuse: 1})
	var ke *kerr.Error
	if refused := p.fill(2 * disk); !errors.As(refused, &ke) && !errors.Is(refused, kgo.ErrRecordTimeout) || ke != nil && !ke.Retriable {
		t.Fatalf("a log that has all that it may have gives %v, want an error that clients retry", refused)
	}
	res, err := http.Get("http://" + b.Addresses["admin"] + "/v1/cluster/health")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var health struct {
		Healthy bool
		Disk    struct {
			Full bool `json:"log_is_full"`
		} `json:"local_disk"`
		Problems []string
	}
	if err := json.NewDecoder(res.Body).Decode(&health); err != nil || health.Healthy || !health.Disk.Full || len(health.Problems) == 0 {
		t.Errorf("health of a server that refuses producers is %+v, %v", health, err)
	}
	var usage syscall.Statfs_t
	if err := syscall.Statfs(mount, &usage); err != nil || int64(usage.Bavail)*usage.Bsize < 32<<20 {
		t.Errorf("%d bytes are left of the disk, %v, want 32 MiB", int64(usage.Bavail)*usage.Bsize, err)
	}
	if !b.Running() {
		t.Fatalf("the server has ended: %s", b.LogTail())
	}
	gateway.Set(Trouble{})
	take("S3 is well again")
	p.readAll(topic)
}

// filler produces records of 64 KiB to four partitions.
type filler struct {
	t      *testing.T
	client *kgo.Client

	mu    sync.Mutex
	acked map[int32]int64 // records by partition
	bytes int64
}

// newFiller makes a topic of four partitions and a producer that gives a record up after 3 s.
func newFiller(t *testing.T, broker, topic string) *filler {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordDeliveryTimeout(3*time.Second), kgo.MaxBufferedRecords(64))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 4, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	return &filler{t: t, client: client, acked: map[int32]int64{}}
}

// fill produces so many bytes, and returns the first error, after everything has been answered.
func (p *filler) fill(n int64) error {
	p.t.Helper()
	value := make([]byte, 64<<10)
	rand.Read(value) //nolint:errcheck // it never fails
	var first error
	failed := func() bool { p.mu.Lock(); defer p.mu.Unlock(); return first != nil }
	for i := int64(0); i < n/int64(len(value)) && !failed(); i++ {
		p.client.Produce(p.t.Context(), &kgo.Record{Partition: int32(i % 4), Value: value}, func(r *kgo.Record, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil {
				if first == nil {
					first = err
				}
				return
			}
			p.acked[r.Partition]++
			p.bytes += int64(len(value))
		})
	}
	if err := p.client.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	return first
}

// readAll reads everything, and compares how much it is.
func (p *filler) readAll(topic string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(p.client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		p.t.Fatal(err)
	}
	left := int64(0)
	for i, n := range p.acked {
		o, _ := ends.Lookup(topic, i)
		if left += o.Offset; o.Offset < n {
			p.t.Errorf("partition %d ends at %d, %d records were acknowledged", i, o.Offset, n)
		}
	}
	p.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart(), 1: kgo.NewOffset().AtStart(), 2: kgo.NewOffset().AtStart(), 3: kgo.NewOffset().AtStart()}})
	for left > 0 {
		fetches := p.client.PollFetches(ctx)
		if ctx.Err() != nil {
			p.t.Fatalf("%d records were not read: %v", left, fetches.Err())
		}
		left -= int64(fetches.NumRecords())
	}
}

// size returns the bytes of the files below a folder.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // files come and go
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
