package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/compaction"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// compactNode is a node whose topics are compacted, and whose cleaner does nothing by itself.
func compactNode(t *testing.T, change func(*partition.Config)) *node {
	t.Helper()
	return newNode(t, vfs.NewMem(), "wal", func(o *Options) {
		o.Cleaner = func() CleanerOptions { return CleanerOptions{Disabled: true} }
		o.ReserveBytes = 64 << 10
		f := o.Topics.(*fakeTopics)
		f.compact()
		f.set(topicA, 2)
		if change != nil {
			change(&f.config)
		}
	})
}

// put appends KEY=VALUE, or KEY for a tombstone, each as a batch of its own.
func (n *node) put(topic kafka.TopicID, p int32, records ...string) {
	n.t.Helper()
	l, err := n.Log(topic, p)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, r := range records {
		key, value, ok := strings.Cut(r, "=")
		b := record.NewBuilder(record.LZ4, 0)
		if ok {
			b.Append(n.o.Now().UnixMilli(), []byte(key), []byte(value), nil)
		} else {
			b.Append(n.o.Now().UnixMilli(), []byte(key), nil, nil)
		}
		if err := n.Admit(n.t.Context(), int64(b.Len())); err != nil {
			n.t.Fatal(err)
		}
		a, err := l.Append(b.Build(record.BuildOptions{}))
		if err == nil {
			err = a.Ticket.Wait(n.t.Context())
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// roll ends the active segment of a log.
func (n *node) roll(topic kafka.TopicID, p int32) {
	n.t.Helper()
	l, err := n.Log(topic, p)
	if err != nil {
		n.t.Fatal(err)
	}
	c := *l.Config()
	small := c
	small.SegmentBytes = 1
	l.SetConfig(&small)
	n.put(topic, p, "rolled=x")
	l.SetConfig(&c)
}

func (n *node) cleanNow(o CleanerOptions) {
	n.t.Helper()
	if err := n.cleanAll(n.t.Context(), o); err != nil {
		n.t.Fatal(err)
	}
}

func gauge(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetGauge().GetValue() + out.GetCounter().GetValue()
}

func TestCompactionKeepsTheLastOfEachKeyOverRestarts(t *testing.T) {
	t.Parallel()
	n := compactNode(t, nil)
	n.put(topicA, 0, "a=1", "b=2", "a=3", "c=4", "b", "c=5")
	n.put(topicA, 1, "a=1", "a=2")
	n.roll(topicA, 0)
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "2=3 4= 5=5 6=x")
	n.want(topicA, 1, "0=1 1=2") // nothing but an active segment
	n.restart(true)
	n.want(topicA, 0, "2=3 4= 5=5 6=x")
	l, err := n.Log(topicA, 0)
	if err != nil || l.CleanedOffset() != 6 {
		t.Errorf("cleaned up to %d, %v, want 6", l.CleanedOffset(), err)
	}
	n.put(topicA, 0, "a=6", "c")
	n.roll(topicA, 0)
	n.maintenance(n.cutAll)
	n.cleanNow(CleanerOptions{}) // delete.retention.ms is 0: the tombstone of b, met by the first cleaning, goes
	n.want(topicA, 0, "6=x 7=6 8= 9=x")
	n.maintenance(n.mergeIfDue)
	n.restart(true)
	n.want(topicA, 0, "6=x 7=6 8= 9=x")
	if l, err = n.Log(topicA, 0); err != nil || l.Offsets().HighWatermark != 10 || l.Offsets().LogStart != 0 {
		t.Errorf("offsets %+v, %v", l.Offsets(), err)
	}
	objects := 0
	for _, sh := range n.shards {
		objects += len(sh.objects)
	}
	infos, err := n.o.Blob.List(t.Context(), objectPrefix+"/", "", 100)
	if err != nil || len(infos) != objects {
		t.Errorf("%d objects in the store, %v, the manifests name %d", len(infos), err, objects)
	}
}

func TestTombstonesStayForDeleteRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := compactNode(t, func(c *partition.Config) { c.DeleteRetentionMs = 60_000 })
		defer func() { n.restart(false) }()
		n.put(topicA, 0, "a=1", "a")
		for _, want := range []string{"1= 2=x", "1= 2=x 3=x", "3=x 4=x"} {
			n.roll(topicA, 0)
			n.cleanNow(CleanerOptions{})
			n.want(topicA, 0, want)
			<-time.After(59 * time.Second)
		}
	})
}

func TestOnlyWhatMayBeIsCleaned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*partition.Config)
		wait   time.Duration
		want   string
	}{
		{"dirty enough", func(c *partition.Config) { c.MinDirtyRatio = 0.9 }, 0, "1=2 2=x 3=3"},
		{"never dirty enough", func(c *partition.Config) { c.MinDirtyRatio = 1 }, 0, "0=1 1=2 2=x 3=3"},
		{"old enough", func(c *partition.Config) { c.MinDirtyRatio, c.MaxCompactionLagMs = 1, 60_000 }, time.Minute + time.Second, "1=2 2=x 3=3"},
		{"not old enough", func(c *partition.Config) { c.MinDirtyRatio, c.MaxCompactionLagMs = 1, 60_000 }, time.Minute - time.Second, "0=1 1=2 2=x 3=3"},
		{"too young", func(c *partition.Config) { c.MinCompactionLagMs = 60_000 }, time.Minute - time.Second, "0=1 1=2 2=x 3=3"},
		{"not too young", func(c *partition.Config) { c.MinCompactionLagMs = 60_000 }, time.Minute + time.Second, "1=2 2=x 3=3"},
		{"another policy", func(c *partition.Config) { c.Compact = false }, 0, "0=1 1=2 2=x 3=3"},
		{"both policies", func(c *partition.Config) { c.Delete = true }, 0, "1=2 2=x 3=3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := compactNode(t, c.change)
				defer func() { n.restart(false) }()
				n.put(topicA, 0, "a=1", "a=2")
				n.roll(topicA, 0)
				n.put(topicA, 0, "a=3")
				<-time.After(c.wait)
				n.cleanNow(CleanerOptions{})
				n.want(topicA, 0, c.want)
			})
		})
	}
}

// A memory for two keys cleans the log all the same, two keys at a time.
func TestKeysThatDoNotFitAreCleanedInSeveralGoes(t *testing.T) {
	t.Parallel()
	n := compactNode(t, nil)
	for i := range 5 {
		n.put(topicA, 0, fmt.Sprint("a=", i), fmt.Sprint("b=", i), fmt.Sprint("c=", i), fmt.Sprint("d=", i))
	}
	n.roll(topicA, 0)
	n.cleanNow(CleanerOptions{MapBytes: 3 * 24})
	l, err := n.Log(topicA, 0)
	if err != nil || l.CleanedOffset() != 20 {
		t.Fatalf("cleaned up to %d, %v, want 20", l.CleanedOffset(), err)
	}
	if runs := gauge(t, n.metrics.cleaner.runs); runs < 5 {
		t.Errorf("%v cleanings, too few for a memory of two keys", runs)
	}
	got := n.contents(topicA, 0)
	for _, want := range []string{"16=4", "17=4", "18=4", "19=4", "20=x"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not hold %s", got, want)
		}
	}
	n.put(topicA, 0, "e=1")
	n.roll(topicA, 0)
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "16=4 17=4 18=4 19=4 20=x 21=1 22=x")
}

// A log with damage is left alone, and reported; others are cleaned.
func TestDamageMakesALogUncleanable(t *testing.T) {
	t.Parallel()
	n := compactNode(t, nil)
	for p := range int32(2) {
		n.put(topicA, p, "a=1", "a=2", "a=3")
		n.roll(topicA, p)
	}
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	l.Quarantine(1)
	n.maintenance(n.cutAll)
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 1, "2=3 3=x")
	c := n.newCleaner()
	for range 3 {
		if _, err := c.cleanOne(t.Context(), CleanerOptions{}.withDefaults()); err != nil {
			t.Fatal(err)
		}
	}
	if got := gauge(t, n.metrics.cleaner.uncleanable); got != 1 || l.CleanedOffset() != 0 {
		t.Errorf("%v uncleanable partitions, cleaned up to %d", got, l.CleanedOffset())
	}
	if _, err := l.Read(t.Context(), partition.ReadRequest{Offset: 0, MaxBytes: 1, AtLeastOne: true}); err != nil {
		t.Errorf("what is before the damage: %v", err)
	}
	_, ticket, err := l.DeleteRecords(2)
	if err = errors.Join(err, ticket.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.cleanOne(t.Context(), CleanerOptions{}.withDefaults()); err != nil {
			t.Fatal(err)
		}
	}
	if got := gauge(t, n.metrics.cleaner.uncleanable); got != 0 || l.CleanedOffset() != 3 {
		t.Errorf("after the damage was dropped: %v uncleanable, cleaned up to %d", got, l.CleanedOffset())
	}
	n.want(topicA, 0, "2=3 3=x")
}

// A cut or a merge that joins what is being cleaned with what comes after it makes the result void, and nothing else.
func TestCleaningThatWasOvertakenIsDropped(t *testing.T) {
	t.Parallel()
	n := compactNode(t, nil)
	n.put(topicA, 0, "a=1", "a=2")
	n.roll(topicA, 0)
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	plan := l.Cleanable(n.o.Now().UnixMilli())
	c := &cleaning{s: n.Store, l: l, plan: plan, o: CleanerOptions{}.withDefaults(), pace: pace{now: n.o.Now}}
	keys, end, err := c.index(t.Context())
	if err != nil || end != 2 {
		t.Fatalf("index up to %d: %v", end, err)
	}
	filter := compaction.NewFilter(compaction.Options{Keys: keys, End: end, LimitBytes: 1 << 20, Level: func(record.Codec) int { return 0 }})
	g := groupStretches(l.Stretches(end), 1<<30)
	if len(g) != 1 || g[0].End != 2 {
		t.Fatalf("groups %+v", g)
	}
	n.maintenance(n.cutAll) // joins the active segment's extent with those of the first one
	if err := c.rewrite(t.Context(), filter, &g[0]); !errors.Is(err, errMoved) {
		t.Errorf("rewrite after a cut: %v, want %v", err, errMoved)
	}
	n.want(topicA, 0, "0=1 1=2 2=x")
	infos, err := n.o.Blob.List(t.Context(), objectPrefix+"/", "", 100)
	if err != nil || len(infos) != 1 {
		t.Errorf("%d objects, %v, want that of the cut alone", len(infos), err)
	}
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "1=2 2=x")
}

// Records without a key, from before the topic was compacted, go; and a topic that is not compacted any more is not cleaned.
func TestPolicyMayChangeBothWays(t *testing.T) {
	t.Parallel()
	n := compactNode(t, func(c *partition.Config) { c.Compact, c.Delete = false, true })
	n.append(topicA, 0, "keyless", 0)
	n.put(topicA, 0, "a=1", "a=2")
	n.roll(topicA, 0)
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "0=keyless 1=1 2=2 3=x")
	n.topics.compact()
	n.Reconfigure(topicA)
	n.cleanNow(CleanerOptions{})
	n.want(topicA, 0, "2=2 3=x")
	n.topics.mu.Lock()
	n.topics.config.Compact, n.topics.config.Delete, n.topics.config.RetentionMs = false, true, 0
	n.topics.mu.Unlock()
	n.Reconfigure(topicA)
	n.retain(n.o.Now().Add(time.Hour))
	if err := n.present.Load().wal.Barrier().Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.want(topicA, 0, "")
}

func TestCleanerKeepsToItsRateAndRunsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o CleanerOptions
		n := newNode(t, vfs.NewMem(), "wal", func(no *Options) {
			no.Cleaner = func() CleanerOptions { return o }
			f := no.Topics.(*fakeTopics)
			f.compact()
			f.config.SegmentBytes = 1 << 20
			f.set(topicA, 1)
		})
		defer func() { n.restart(false) }()
		for i := range 100 {
			n.put(topicA, 0, "a="+strings.Repeat(fmt.Sprint(i, "random"), 300))
		}
		n.roll(topicA, 0)
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		dirty := l.Cleanable(math.MaxInt64 / 2).DirtyBytes
		o.BytesPerSecond = float64(dirty) / 10 // both readings of it take 20 s
		synctest.Wait()
		started := time.Now()
		for l.CleanedOffset() == 0 && time.Since(started) < 10*time.Minute {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(started); took < 19*time.Second || took > 19*time.Second+15*time.Second+5*time.Second {
			t.Errorf("the cleaning ended after %v, want 20 s and up to the 15 s of a back-off", took)
		}
		n.want(topicA, 0, "99=99"+strings.Repeat("random99", 299)+"random 100=x")
	})
}

func TestStoreEndsWhileItCleans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, vfs.NewMem(), "wal", func(o *Options) {
			o.Cleaner = func() CleanerOptions { return CleanerOptions{BytesPerSecond: 1, Backoff: time.Second} }
			f := o.Topics.(*fakeTopics)
			f.compact()
			f.set(topicA, 1)
		})
		n.put(topicA, 0, "a=1", "a=2")
		n.roll(topicA, 0)
		<-time.After(5 * time.Second)
		n.restart(true)
		n.want(topicA, 0, "0=1 1=2 2=x")
		n.restart(false)
	})
}

// A merge may come between two cleanings, and a cut may join what a cleaning left in the write-ahead log: every record stays.
func TestObjectsOfACompactedLogStayInOrder(t *testing.T) {
	t.Parallel()
	n := compactNode(t, nil)
	n.topics.set(topicB, 1)
	for i := range 6 {
		for k := range 20 {
			n.put(topicA, 0, fmt.Sprintf("key%d=%d", k, i))
			n.put(topicB, 0, fmt.Sprintf("key%d=%d", k, i))
		}
		n.roll(topicA, 0)
		switch i % 3 {
		case 0:
			n.maintenance(n.cutAll)
		case 1:
			n.maintenance(func(ctx context.Context) error {
				for _, sh := range n.shards {
					if len(sh.objects) > 1 {
						return n.merge(ctx, sh, nil, 0, len(sh.objects))
					}
				}
				return nil
			})
		}
		n.cleanNow(CleanerOptions{})
		for _, sh := range n.shards {
			checkOrder(t, n, sh)
		}
	}
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.contents(topicA, 0); strings.Count(got, "=5") != 20 || l.Offsets().HighWatermark != 126 {
		t.Errorf("%q up to %d", got, l.Offsets().HighWatermark)
	}
}

// checkOrder says whether the runs of each log lie in the order of the manifest's objects: merges of neighbours rely on it.
func checkOrder(t *testing.T, n *node, sh *shardState) {
	t.Helper()
	at := map[*partition.Object]int{}
	for i, o := range sh.objects {
		at[o] = i
	}
	for _, l := range n.logsOf(sh.id) {
		last := -1
		l.RunsIn(func(*partition.Object) bool { return true }, func(o *partition.Object, _ segment.RunInfo) {
			i, ok := at[o]
			if !ok || i <= last {
				t.Fatalf("a run of %s lies in object %d of the manifest, the one before in %d", l.Identity(), i, last)
			}
			last = i
		})
	}
}

// Under LogAppendTime all records of a batch have one time: a lookup gives the first that compaction has left.
func TestTimeOfTheAppendFindsARecordThatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := compactNode(t, func(c *partition.Config) { c.LogAppendTime = true })
		defer func() { n.restart(false) }()
		l, err := n.Log(topicA, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := record.NewBuilder(record.Zstd, 0)
		for _, r := range []string{"a", "b", "c"} {
			b.Append(1, []byte(r), []byte(r), nil)
		}
		a, err := l.Append(b.Build(record.BuildOptions{}))
		if err := errors.Join(err, a.Ticket.Wait(t.Context())); err != nil {
			t.Fatal(err)
		}
		first := a.LogAppendTime
		<-time.After(time.Second)
		n.put(topicA, 0, "a=2", "c=2")
		n.roll(topicA, 0)
		n.cleanNow(CleanerOptions{})
		n.want(topicA, 0, "1=b 3=2 4=2 5=x")
		for ts, want := range map[int64]int64{0: 1, first: 1, first + 1: 3} {
			if f, err := l.OffsetForTime(t.Context(), ts, false); err != nil || f.Offset != want || want == 1 && f.Timestamp != first {
				t.Errorf("record at or after %d: %+v, %v, want offset %d", ts, f, err, want)
			}
		}
	})
}

// Lookups by time, while the log start moves, cuts, merges and cleanings move the bytes: a record that is there is found, and
// nothing below the log start.
func TestTimeLookupsRaceEverything(t *testing.T) {
	t.Parallel()
	n := compactNode(t, func(c *partition.Config) { c.Delete = true })
	l, err := n.Log(topicA, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.put(topicA, 0, "newest=0")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 60 {
			n.put(topicA, 0, fmt.Sprint("k", i%7, "=", i), fmt.Sprint("newest=", i))
			n.roll(topicA, 0)
			switch i % 4 {
			case 0:
				n.maintenance(n.cutAll)
			case 1:
				n.cleanNow(CleanerOptions{})
			case 2:
				n.maintenance(n.mergeIfDue)
			default:
				if _, _, err := l.DeleteRecords(l.Offsets().HighWatermark - 2); err != nil {
					n.t.Error(err)
				}
			}
		}
	})
	for {
		start := l.Offsets().LogStart
		f, err := l.OffsetForTime(t.Context(), 1, false)
		if err != nil || f.Offset < start {
			t.Errorf("first record since 1970: %+v, %v; the log start was %d", f, err, start)
		}
		if f, err = l.MaxTimestamp(t.Context(), false); err != nil || f.Offset < start {
			t.Errorf("newest record: %+v, %v; the log start was %d", f, err, start)
		}
		select {
		case <-done:
			wg.Wait()
			return
		default:
		}
	}
}
