//go:build clusterchaos && linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/servertest"
	"github.com/weir-stream/weir/test/fault"
)

// transactor writes transactions to all partitions of a topic and remembers how they ended, as far as it was told.
type transactor struct {
	topic string

	mu    sync.Mutex
	ended map[string]bool // by the value of its records: committed or not; not there while nobody knows
}

// run goes on until ctx ends: every third transaction is aborted, and each takes a while, so that uploads cut through some. Values begin with label.
func (x *transactor) run(ctx context.Context, address, id, label string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID(id), kgo.TransactionTimeout(30*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryTimeout(3*time.Second))
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%s-%06d", label, n)
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		var produced error
		for piece := range 4 {
			for partition := range int32(4) {
				cl.Produce(ctx, &kgo.Record{Topic: x.topic, Partition: partition, Value: []byte(value)}, func(_ *kgo.Record, err error) {
					if err != nil {
						produced = err
					}
				})
			}
			if err := errors.Join(cl.Flush(ctx), produced); err != nil {
				return ignoreEnd(ctx, err)
			}
			if piece%2 == n%2 {
				select {
				case <-time.After(30 * time.Millisecond):
				case <-ctx.Done():
					return nil
				}
			}
		}
		commit := n%3 != 2
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			return ignoreEnd(ctx, err)
		}
		x.mu.Lock()
		x.ended[value] = commit
		x.mu.Unlock()
	}
	return nil
}

// ignoreEnd returns err, unless ctx has ended, which is why there is one then.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// check reads what is committed, up to the end of each partition, and returns how many transactions it saw.
func (x *transactor) check(t *testing.T, address string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(x.topic), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	stable, err := adm.ListCommittedOffsets(ctx, x.topic)
	if err = errors.Join(err, stable.Error()); err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(ctx, x.topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if s, _ := stable.Lookup(o.Topic, o.Partition); s.Offset != o.Offset {
			t.Errorf("partition %d ends at %d and its last stable offset is %d: a transaction hangs", o.Partition, o.Offset, s.Offset)
		}
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	seen := map[string]bool{}
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("not everything can be read, %v: %v", left, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			value := string(r.Value)
			seen[value] = true
			if commit, known := x.ended[value]; strings.HasPrefix(value, "open-") || known && !commit {
				t.Errorf("a reader of committed records gets %s, which was never committed, at offset %d of partition %d", value, r.Offset, r.Partition)
			}
		})
	}
	return len(seen)
}

// A server with segments in S3 loses its disk while transactions are in flight. Of what comes back readers of committed records see only what was committed,
// nothing hangs, and the restore tells what it aborted.
func TestTieredServerIsRestoredWithTransactionsInFlight(t *testing.T) {
	dir := t.TempDir()
	s3 := servertest.StartS3(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	start := func(data string) *fault.Broker {
		b, err := fault.Start(context.WithoutCancel(t.Context()), os.Getenv("TEST_BINARY"), filepath.Join(dir, data), "127.0.0.1:0", "--blob", s3.URL("tier"),
			"--set", "storage.upload.max.age.ms=1000", "--set", "storage.checkpoint.interval.ms=1000", "--set", "storage.backup.interval.ms=1000")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Kill)
		return b
	}
	b := start("lost")
	x := &transactor{topic: "moved", ended: map[string]bool{}}
	plain, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := kadm.NewClient(plain).CreateTopic(t.Context(), 4, 1, nil, x.topic); err != nil {
		t.Fatal(err)
	}
	open, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka), kgo.TransactionalID("open"), kgo.DefaultProduceTopic(x.topic), kgo.TransactionTimeout(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer open.CloseAllowingRebalance()
	if err := errors.Join(open.BeginTransaction(), open.ProduceSync(t.Context(), kgo.StringRecord("open-0")).FirstErr()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			id := fmt.Sprintf("app%d", i)
			if err := x.run(ctx, b.Kafka, id, id); err != nil {
				t.Logf("producer %d: %v", i, err) // the server goes away under it
			}
		})
	}
	uploads := func(kind string) int { // segments, or copies of the metadata
		keys, _ := filepath.Glob(filepath.Join(s3.Dir, "tier", kind)) //nolint:errcheck // the pattern is right
		return len(keys)
	}
	for { // until so much was moved that several uploads have cut through it
		x.mu.Lock()
		n := len(x.ended)
		x.mu.Unlock()
		if n > 200 && uploads("l/*/*") > 8 && uploads("backup/meta/*") > 1 {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nothing goes on")
		}
	}
	b.Kill()
	cancel()
	running.Wait()

	out, err := exec.CommandContext(t.Context(), os.Getenv("TEST_BINARY"), "backup", "restore", "--blob", s3.URL("tier"), "--data", filepath.Join(dir, "new"), "-o", "json").Output() //nolint:gosec // the binary under test
	if err != nil {
		t.Fatalf("restore: %v: %s", err, out)
	}
	var r struct {
		Transactions struct {
			Aborted     int `json:"aborted"`
			Committed   int `json:"committed"`
			AbortedList []struct {
				TransactionalID string `json:"transactional_id"`
			} `json:"aborted_list"`
		} `json:"transactions"`
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Transactions.Aborted == 0 {
		t.Errorf("the restore says %s, %v; want a transaction aborted, of open at least", out, err)
	}
	b = start("new")
	seen := x.check(t, b.Kafka)
	t.Logf("FIGURE of %d transactions that ended %d are there; the restore has ended %+v", len(x.ended), seen, r.Transactions)
	if seen == 0 {
		t.Error("nothing came back")
	}
	// Producers of the same names go on.
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	before := len(x.ended)
	if err := x.run(ctx, b.Kafka, "app0", "again"); err != nil {
		t.Error(err)
	}
	if len(x.ended) == before {
		t.Error("no transaction ends after the restore")
	}
}
