//go:build torture

package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/test/fault"
)

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// run is one torture of a broker.
type run struct {
	t       *testing.T
	rng     *rand.Rand
	binary  string
	data    string
	addr    string
	broker  *fault.Broker
	history *History
	zombies []*zombies
	groups  []*groupChaos
	kills   int

	feeding, moving context.CancelFunc
	feeders, others sync.WaitGroup
}

// topics that values pass through, in order, and those of the zombies.
var (
	path   = []string{"in", "mid", "out"}
	beside = []string{"graves"}
	// Of groups whose members come and go; a topic has its group's name.
	groupTopics = []string{"classic", "consumer"}
)

func TestTransactionsSurviveKillsAndZombies(t *testing.T) {
	length := time.Duration(number(t, "TORTURE_SECONDS", 300)) * time.Second
	seed := number(t, "TORTURE_SEED", uint64(time.Now().UnixNano()))
	t.Logf("TORTURE_SEED=%d", seed)
	binary := os.Getenv("TEST_BINARY")
	if binary == "" {
		t.Fatal("set TEST_BINARY to the path of a built weir")
	}
	r := &run{t: t, rng: rand.New(rand.NewPCG(seed, 1)), binary: binary, data: filepath.Join(t.TempDir(), "data"), history: NewHistory()}
	r.addr = r.freeAddress()
	r.start()
	t.Cleanup(func() { r.broker.Kill() })
	if err := createTopics(t.Context(), r.addr, slices.Concat(path, beside, groupTopics)...); err != nil {
		t.Fatal(err)
	}
	r.begin()
	r.kill(length)
	r.drain()
	r.judge(length)
}

// freeAddress returns an address below the ports that the system gives to clients, so that none takes it while the broker
// is down.
func (r *run) freeAddress() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+r.rng.IntN(12000))
		ln, err := new(net.ListenConfig).Listen(r.t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			r.t.Fatal(err)
		}
		return addr
	}
}

func (r *run) start() {
	b, err := fault.Start(context.WithoutCancel(r.t.Context()), r.binary, r.data, r.addr, groupSettings()...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker = b
}

// begin starts all clients.
func (r *run) begin() {
	feeding, stopFeeding := context.WithCancel(r.t.Context())
	moving, stopMoving := context.WithCancel(r.t.Context())
	r.feeding, r.moving = stopFeeding, stopMoving
	r.t.Cleanup(func() {
		stopFeeding()
		stopMoving()
		r.feeders.Wait()
		r.others.Wait()
	})
	note := func(err error) {
		if err != nil {
			r.t.Error(err)
		}
	}
	for i := range 2 {
		r.feeders.Go(func() { note(feed(feeding, r.addr, path[0], fmt.Sprintf("f%d", i), 3, r.history)) })
	}
	for step := range path[1:] {
		for i := range 2 {
			m := &mover{
				addr: r.addr, from: path[step], to: path[step+1], group: "to-" + path[step+1], name: fmt.Sprintf("m%d%d", step, i), old: i == 1,
				rng: rand.New(rand.NewPCG(r.rng.Uint64(), 2)), history: r.history,
			}
			r.others.Go(func() { note(m.run(moving)) })
		}
		r.others.Go(func() { note(watch(moving, r.addr, path[step+1], r.history)) })
	}
	for i := range 3 {
		z := &zombies{addr: r.addr, topic: beside[0], name: fmt.Sprintf("z%d", i), rng: rand.New(rand.NewPCG(r.rng.Uint64(), 3)), history: r.history}
		r.zombies = append(r.zombies, z)
		r.feeders.Go(func() { note(z.run(feeding)) })
	}
	r.others.Go(func() { note(watch(moving, r.addr, beside[0], r.history)) })
	for i, kind := range []func() protocol{func() protocol { return &classicProtocol{} }, func() protocol { return consumerProtocol{} }} {
		g := &groupChaos{addr: r.addr, name: groupTopics[i], newProtocol: kind, rng: rand.New(rand.NewPCG(r.rng.Uint64(), 4))}
		r.groups = append(r.groups, g)
		r.others.Go(func() { g.run(moving) })
	}
}

// kill kills the broker at random for so long, and leaves it running.
func (r *run) kill(length time.Duration) {
	end := time.After(length)
	for {
		// Mostly there is time for some transactions, and at times not even for a start.
		alive := time.Duration(500+r.rng.IntN(9000)) * time.Millisecond
		if r.rng.IntN(6) == 0 {
			alive = time.Duration(r.rng.IntN(300)) * time.Millisecond
		}
		select {
		case <-time.After(alive):
		case <-end:
			return
		}
		if !r.broker.Running() {
			r.t.Fatalf("the broker ended by itself:\n%s", r.broker.LogTail())
		}
		r.broker.Kill()
		r.kills++
		r.start()
	}
}

// drainTime is how long everything may take to come to its end.
const drainTime = 90 * time.Second

// drain lets the zombies end and the movers finish, and then reads what is there.
func (r *run) drain() {
	r.feeding()
	for _, g := range r.groups {
		g.steady.Store(true)
	}
	r.feeders.Wait()
	ctx, cancel := context.WithTimeout(r.t.Context(), drainTime)
	defer cancel()
	for {
		first, err := read(ctx, r.addr, path[0])
		if err != nil {
			r.t.Fatal(err)
		}
		last, err := read(ctx, r.addr, path[len(path)-1])
		if err != nil {
			r.t.Fatal(err)
		}
		if len(last) >= len(first) {
			break
		}
		if pause(ctx, 500*time.Millisecond) != nil {
			r.t.Errorf("%d of %d values have come through after %v", len(last), len(first), drainTime)
			break
		}
	}
	for _, g := range r.groups {
		if err := g.converge(ctx); err != nil {
			r.t.Error(err)
		}
	}
	r.moving()
	r.others.Wait()
	r.settle(ctx)
	for _, topic := range append(path, beside...) {
		records, err := read(context.WithoutCancel(ctx), r.addr, topic)
		if err != nil {
			r.t.Fatal(err)
		}
		r.history.Final(topic, records)
	}
}

// settle waits until no transaction is open.
func (r *run) settle(ctx context.Context) {
	for {
		open, err := hanging(ctx, r.addr, append(path, beside...)...)
		if err == nil && len(open) == 0 {
			return
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			r.t.Errorf("hanging: %q, %v", open, err)
			return
		}
	}
}

func (r *run) judge(length time.Duration) {
	var replaced, timedOut, late int64
	for _, z := range r.zombies {
		replaced, timedOut, late = replaced+z.replaced.Load(), timedOut+z.timedOut.Load(), late+z.late.Load()
	}
	committed, aborted, unknown := r.history.Count(Committed), r.history.Count(Aborted), r.history.Count(Unknown)
	r.t.Logf("%d kills; %d values moved twice; transactions: %d committed, %d aborted, %d of which nobody knows; zombies: %d replaced, %d timed out, %d late ends",
		r.kills, r.history.AckedCount(), committed, aborted, unknown, replaced, timedOut, late)
	for _, s := range r.history.Check(path, beside) {
		r.t.Error(s)
	}
	seconds := int(length / time.Second)
	for _, g := range r.groups {
		claims, commits := g.ownership.Count()
		left, killed, paused, refused, grown := g.left.Load(), g.killed.Load(), g.paused.Load(), g.refused.Load(), g.grown.Load()
		r.t.Logf("group %s: %d partitions taken, %d commits; members: %d left, %d killed, %d paused; %d late commits refused; %d kills, topic grown %d times",
			g.name, claims, commits, left, killed, paused, refused, r.kills, grown)
		for _, s := range g.ownership.Check() {
			r.t.Errorf("group %s: %s", g.name, s)
		}
		for what, enough := range map[string]bool{
			"partitions taken": claims >= seconds, "commits": commits >= 5*seconds, "members that left": left >= int64(seconds/30),
			"members killed": killed >= int64(seconds/30), "members paused": paused >= int64(seconds/30),
			"late commits": refused >= int64(seconds/60), "growths of the topic": grown >= int64(seconds/60),
		} {
			if !enough {
				r.t.Errorf("invalid: too few %s in group %s for %d s", what, g.name, seconds)
			}
		}
	}
	for what, enough := range map[string]bool{
		"kills":                  r.kills >= seconds/15,
		"values":                 r.history.AckedCount() >= seconds*20,
		"committed transactions": committed >= seconds,
		"aborted transactions":   aborted >= seconds/15,
		"replaced producers":     replaced >= int64(seconds/30),
		"time-outs":              timedOut >= int64(seconds/60),
		"late ends":              late >= int64(seconds/30),
	} {
		if !enough {
			r.t.Errorf("invalid: too few %s for %d s", what, seconds)
		}
	}
}
