//go:build clusterchaos && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// witness gathers what clients see of a rolling restart.
type witness struct {
	mu       sync.Mutex
	errs     map[string]int
	read     map[string]int // values, by how often they were read
	asked    int
	outdated map[string]int // admin requests to a broker that had gone, or had lost a partition, by what was asked and the error
	longest  time.Duration
}

func (w *witness) saw(what string, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// A client may not have heard yet that a broker went, or that it has a partition no more. franz-go tries that again for producers, consumers and
	// coordinators; to a tool that asks for offsets or lists groups it hands on what two tries brought. A broker that goes spares it that: it is named to
	// nobody before it closes its listeners, and asks the owner for offsets itself. On a machine that is too slow for that one may still come too late.
	reasons := []string{"unable to dial", "NOT_LEADER", "EOF"}
	if i := slices.IndexFunc(reasons, func(s string) bool { return strings.Contains(err.Error(), s) }); i >= 0 {
		w.outdated[what+": "+reasons[i]]++
		return
	}
	w.errs[what+": "+err.Error()]++
}

func TestRollingRestartIsNoErrorToClients(t *testing.T) {
	c := start(t, 3, restless()...)
	p := c.beat("rolling", everyShard) // with the retries of a stock client
	c.settled(p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &witness{errs: map[string]int{}, outdated: map[string]int{}, read: map[string]int{}}
	var watching sync.WaitGroup
	for i := range 2 {
		watching.Go(func() { w.consume(ctx, c, fmt.Sprint("c", i)) })
	}
	w.await(1) // the group is there
	watching.Go(func() { w.administer(ctx, c) })
	c.rest(2 * time.Second)
	at := time.Now()
	for range 2 {
		for _, b := range c.all {
			c.cycle(b)
			c.rest(2 * time.Second)
		}
	}
	took := time.Since(at)
	p.flowing(time.Now(), time.Minute)
	everything := make([]int32, len(p.acks))
	for i := range everything {
		everything[i] = int32(i)
	}
	gap, _ := p.gap(at, everything)
	sent, failed := p.end()
	w.await(sent)
	cancel()
	watching.Wait()
	for _, err := range failed {
		t.Errorf("a record failed: %v", err)
	}
	lost, again := 0, 0
	for _, n := range w.read {
		if n > 1 {
			again++
		}
	}
	lost = sent - len(w.read)
	for err, n := range w.errs {
		t.Errorf("%d times %s", n, err)
	}
	refused := 0
	for _, n := range w.outdated {
		refused += n
	}
	if refused > w.asked/100 {
		t.Errorf("%v of %d admin requests were refused since the client asked the wrong broker", w.outdated, w.asked)
	}
	if lost != 0 {
		t.Errorf("%d of %d records were not read", lost, sent)
	}
	t.Logf("FIGURE rolling restart of 3 brokers, twice, in %.0f s: %d records, %d failed, %d read again; %d admin requests, longest %.2f s, %v refused since the client asked the wrong broker; %d kinds of errors; longest gap of acknowledgements %.2f s",
		took.Seconds(), sent, len(failed), again, w.asked, w.longest.Seconds(), w.outdated, len(w.errs), gap.Seconds())
}

// consume reads as a member of a group, with the options of a stock client.
func (w *witness) consume(ctx context.Context, c *nodes, name string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...), kgo.ClientID(name), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("rolling"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(),
		kgo.AutoCommitCallback(func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
			w.saw("commit", err)
		}))
	if err != nil {
		w.saw("consumer", err)
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) {
				w.saw(fmt.Sprintf("fetch %s-%d", topic, partition), err)
			}
		})
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { w.read[string(r.Value)]++ })
		w.mu.Unlock()
		cl.MarkCommitRecords(fetches.Records()...)
	}
}

// administer asks what an operator's tools ask, with the options of a stock client.
func (w *witness) administer(ctx context.Context, c *nodes) {
	adm, err := kadm.NewOptClient(kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...))
	if err != nil {
		w.saw("admin", err)
		return
	}
	defer adm.Close()
	asks := map[string]func() error{
		"metadata":       func() error { _, err := adm.Metadata(ctx); return err },
		"list groups":    func() error { _, err := adm.ListGroups(ctx); return err },
		"describe group": func() error { g, err := adm.DescribeGroups(ctx, "readers"); return errors.Join(err, g.Error()) },
		"offsets":        func() error { o, err := adm.FetchOffsets(ctx, "readers"); return errors.Join(err, o.Error()) },
		"end offsets":    func() error { o, err := adm.ListEndOffsets(ctx, "rolling"); return errors.Join(err, o.Error()) },
		"configs": func() error {
			r, err := adm.DescribeTopicConfigs(ctx, "rolling")
			if err == nil {
				_, err = r.On("rolling", nil)
			}
			return err
		},
	}
	for pause(ctx, 100*time.Millisecond) == nil {
		for what, ask := range asks {
			began := time.Now()
			err := ask()
			if ctx.Err() != nil {
				return
			}
			w.saw(what, err)
			w.mu.Lock()
			w.asked++
			w.longest = max(w.longest, time.Since(began))
			w.mu.Unlock()
		}
	}
}

// await waits until so many values were read.
func (w *witness) await(n int) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		w.mu.Lock()
		got := len(w.read)
		w.mu.Unlock()
		if got >= n {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
