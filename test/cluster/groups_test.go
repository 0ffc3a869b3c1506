//go:build clusterchaos && linux

package cluster

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Keys of requests by which members tell that they live.
var beats = []int16{int16(kmsg.Heartbeat), int16(kmsg.ConsumerGroupHeartbeat)}

const (
	session = 45 * time.Second // the default of group.consumer.session.timeout.ms
	// forgets is after how long a member of the consumer protocol asks for the brokers again, and with that forgets one that has ended. By itself franz-go 1.22.2 goes on to
	// send such a member's heartbeats there for up to its default of 5 minutes, on Kafka too: docs/benchmarks.md.
	forgets = 10 * time.Second
)

// crowd is a group of many members, each a client of its own.
type crowd struct {
	c       *nodes
	name    string
	clients []*kgo.Client
	polling sync.WaitGroup

	mu      sync.Mutex
	has     []int                 // partitions by member
	changes int                   // partitions given to members, taken from them, or lost by them
	errs    map[string]int        // what members were told by their group management
	beaten  []map[int32]time.Time // by member and broker: when it first answered a heartbeat since the last mark
}

// member is the hook of one client.
type member struct {
	*crowd
	i int
}

func (m member) OnGroupManageError(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[err.Error()]++
}

func (m member) OnBrokerE2E(b kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if !slices.Contains(beats, key) || e.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.beaten[m.i][b.NodeID]; !ok {
		m.beaten[m.i][b.NodeID] = time.Now()
	}
}

// changed returns the hook for partitions that come (sign 1) or go (-1).
func (m member) changed(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, partitions := range topics {
			m.has[m.i] += sign * len(partitions)
			m.changes += len(partitions)
		}
	}
}

// gather has n members join a group of a topic with as many partitions, and waits until each has one.
func (c *nodes) gather(name string, n int, opts ...kgo.Opt) *crowd {
	c.t.Helper()
	g := &crowd{c: c, name: name, has: make([]int, n), errs: map[string]int{}, beaten: make([]map[int32]time.Time, n)}
	c.t.Cleanup(g.leave)
	at := time.Now()
	for i := range n {
		g.beaten[i] = map[int32]time.Time{}
		m := member{g, i}
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...), kgo.ConsumeTopics(name), kgo.ConsumerGroup(name),
			kgo.DisableAutoCommit(), kgo.WithHooks(m), kgo.OnPartitionsAssigned(m.changed(1)), kgo.OnPartitionsRevoked(m.changed(-1)), kgo.OnPartitionsLost(m.changed(-1)))...)
		if err != nil {
			c.t.Fatal(err)
		}
		g.clients = append(g.clients, cl)
		g.polling.Go(func() {
			for !cl.PollFetches(c.t.Context()).IsClientClosed() && c.t.Context().Err() == nil {
			}
		})
	}
	for !g.even() {
		if time.Since(at) > 3*time.Minute {
			c.t.Fatalf("%s: after %v members have %s", name, time.Since(at), g.shape())
		}
		c.rest(20 * time.Millisecond)
	}
	c.t.Logf("FIGURE %s: %d members have a partition each %.1f s after the first one came, errors %v", name, n, time.Since(at).Seconds(), g.mark())
	return g
}

// leave ends all members. A second call does nothing.
func (g *crowd) leave() {
	var leaving sync.WaitGroup
	for _, cl := range g.clients {
		leaving.Go(cl.Close)
	}
	leaving.Wait()
	g.polling.Wait()
}

// even says whether every member has one partition.
func (g *crowd) even() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !slices.ContainsFunc(g.has, func(n int) bool { return n != 1 })
}

// shape says how many members have how many partitions.
func (g *crowd) shape() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	count := map[int]int{}
	for _, n := range g.has {
		count[n]++
	}
	return fmt.Sprint(count)
}

// mark forgets what has happened, and returns the errors.
func (g *crowd) mark() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := g.errs
	g.errs, g.changes = map[string]int{}, 0
	for i := range g.beaten {
		g.beaten[i] = map[int32]time.Time{}
	}
	return maps.Clone(errs)
}

// heard returns when each member's heartbeat was answered by a broker, in order, and how many never were.
func (g *crowd) heard(broker int32) (at []time.Time, missing int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.beaten {
		if t, ok := m[broker]; ok {
			at = append(at, t)
		} else {
			missing++
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at, missing
}

// coordinator returns the broker that has the group.
func (g *crowd) coordinator(adm *kadm.Client) int32 {
	for {
		found := adm.FindGroupCoordinators(g.c.t.Context(), g.name)
		if f := found[g.name]; f.Err == nil {
			return f.NodeID
		}
		if g.c.t.Context().Err() != nil {
			g.c.t.Fatal("the group has no coordinator")
		}
		g.c.rest(10 * time.Millisecond)
	}
}

// pauses asks the coordinator for the group's offsets all the time until end is called, which returns the longest time without an answer.
func (g *crowd) pauses(cl *kgo.Client) (end func() time.Duration) {
	ctx, cancel := context.WithCancel(g.c.t.Context())
	done := make(chan time.Duration, 1)
	adm := kadm.NewClient(cl)
	go func() {
		longest, last := time.Duration(0), time.Now()
		for ctx.Err() == nil {
			if g.asked(ctx, cl, adm) {
				longest, last = max(longest, time.Since(last)), time.Now()
			}
			_ = pause(ctx, 10*time.Millisecond)
		}
		done <- max(longest, time.Since(last))
	}()
	return func() time.Duration { cancel(); return <-done }
}

// asked asks whoever is said to be the coordinator; the client by itself would stay with a broker that has ended.
func (g *crowd) asked(ctx context.Context, cl *kgo.Client, adm *kadm.Client) bool {
	found := adm.FindGroupCoordinators(ctx, g.name)[g.name]
	if found.Err != nil {
		return false
	}
	req, group := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestGroup()
	group.Group = g.name
	req.Groups = append(req.Groups, group)
	res, err := cl.Broker(int(found.NodeID)).Request(ctx, req)
	if err != nil {
		return false
	}
	groups := res.(*kmsg.OffsetFetchResponse).Groups //nolint:forcetypeassert // the answer to this request
	return len(groups) == 1 && groups[0].ErrorCode == 0
}

// spent is the processor time of the brokers that run, but for one.
func (c *nodes) spent(but *node) (total time.Duration) {
	for _, b := range c.all {
		if b == but || !b.broker.Running() {
			continue
		}
		n, err := b.broker.ProcessorTime()
		if err != nil {
			c.t.Error(err)
		}
		total += n
	}
	return total
}

// resident is the memory of the largest broker, in MiB.
func (c *nodes) resident() (most int64) {
	for _, b := range c.all {
		if n, err := b.broker.ResidentBytes(); err == nil {
			most = max(most, n>>20)
		}
	}
	return most
}

// A group of many members whose coordinator moves keeps its assignment: nobody rejoins, and each member has been heard by the new coordinator after a heartbeat
// or two. After a kill some members of the classic protocol join again, and get what they had; those of the consumer protocol keep it. GROUP_MEMBERS (500) is how many there are.
func TestMeasureGroupOfManyMoves(t *testing.T) {
	n := int(number(t, "GROUP_MEMBERS", 500))
	c := start(t, 3, restless()...)
	cl, err := kgo.NewClient(append(eager(), kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	for _, protocol := range []struct {
		name string
		opts []kgo.Opt
	}{{"classic", nil}, {"consumer", []kgo.Opt{kgo.ServerSideBalancer(), kgo.MetadataMaxAge(forgets)}}} {
		if _, err := adm.CreateTopic(t.Context(), int32(n), 1, nil, protocol.name); err != nil {
			t.Fatal(err)
		}
		g := c.gather(protocol.name, n, protocol.opts...)
		for _, how := range []string{"drain", "kill -9"} {
			c.rest(10 * time.Second) // shards have come to rest, and this is what the group costs
			g.mark()
			before, from := c.spent(nil), time.Now()
			c.rest(10 * time.Second)
			idle, idleFor := c.spent(nil)-before, time.Since(from)
			if calm := g.mark(); len(calm) > 0 {
				t.Logf("errors while nothing happens: %v", calm)
			}
			old := g.coordinator(adm)
			b := c.all[slices.IndexFunc(c.all, func(b *node) bool { return int32(b.id) == old })]
			dead := b
			if how == "drain" {
				dead = nil
			}
			before = c.spent(dead)
			end := g.pauses(cl)
			at := time.Now()
			if dead == nil {
				c.drain(b, http.MethodPost)
			} else {
				b.broker.Kill()
			}
			next := old
			for next == old {
				if next = g.coordinator(adm); time.Since(at) > time.Minute {
					t.Fatalf("the group is still at broker %d", old)
				}
				c.rest(5 * time.Millisecond)
			}
			heard, missing := g.heard(next)
			for missing > 0 || !g.even() {
				if time.Since(at) > 2*time.Minute {
					t.Fatalf("%s, %s: %d members were not heard by the new coordinator, shape %s, errors %v", protocol.name, how, missing, g.shape(), g.mark())
				}
				c.rest(20 * time.Millisecond)
				heard, missing = g.heard(next)
			}
			stable := time.Since(at)
			c.rest(max(0, 15*time.Second-stable)) // a rebalance would begin in that time
			work, workFor := c.spent(dead)-before, time.Since(at)
			g.mu.Lock()
			changes := g.changes
			g.mu.Unlock()
			t.Logf("FIGURE %s, %s of %d members' coordinator: without answers for %.2f s; members heard by the new one: half after %.1f s, the last after %.1f s; %d partitions changed hands; errors %v; "+
				"brokers' processor %.2f s a second, %.2f in quiet; largest broker %d MiB", protocol.name, how, n, end().Seconds(), heard[len(heard)/2].Sub(at).Seconds(), heard[len(heard)-1].Sub(at).Seconds(),
				changes, g.mark(), work.Seconds()/workFor.Seconds(), idle.Seconds()/idleFor.Seconds(), c.resident())
			// Members of the classic protocol that are refused a connection in the moment after a kill join again, as clients do. The other protocol's keep what
			// they have for as long as their session lasts.
			if changes > 0 && (dead == nil || protocol.name == "consumer" && stable < session) {
				t.Errorf("%s, %s: %d partitions changed hands, want none", protocol.name, how, changes)
			}
			if dead == nil {
				c.drain(b, http.MethodDelete)
			} else {
				c.restart(b)
			}
		}
		g.leave()
	}
}

// drain asks a broker that is another's to be drained, or no longer.
func (c *nodes) drain(b *node, method string) {
	c.t.Helper()
	by := c.all[slices.IndexFunc(c.all, func(o *node) bool { return o != b })]
	req, err := http.NewRequestWithContext(c.t.Context(), method, fmt.Sprintf("http://%s/v1/cluster/drain/%d", by.broker.Addresses["admin"], b.id), http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode/100 != 2 {
		c.t.Fatalf("drain: %s, %v", res.Status, err)
	}
}
