package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// topics that values pass through, in order, and those of the zombies.
var (
	path   = []string{"in", "mid", "out"}
	beside = []string{"graves"}
	// Of groups whose members come and go; a topic has its group's name.
	groupTopics = []string{"classic", "consumer"}
)

// BrokerArguments are those of a broker under a Load: its groups notice soon that a member is gone.
func BrokerArguments() []string { return groupSettings() }

// Load is all the work that torture puts on a broker, or on a cluster, and what it saw. Make it with NewLoad, then call Create,
// Begin, Drain and Check in turn, from one goroutine.
type Load struct {
	addr    string
	rng     *rand.Rand
	history *History
	zombies []*zombies
	groups  []*groupChaos

	began                 time.Time
	endFeeding, endMoving context.CancelFunc
	feeders, others       sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

// NewLoad returns a load for the brokers at addr, with commas between them. It makes its choices by rng.
func NewLoad(addr string, rng *rand.Rand) *Load {
	return &Load{addr: addr, rng: rng, history: NewHistory()}
}

// Create makes the topics, and returns when each partition has a leader.
func (l *Load) Create(ctx context.Context) error {
	return createTopics(ctx, l.addr, slices.Concat(path, beside, groupTopics)...)
}

// Acked returns how many values were acknowledged so far, and how many transactions were committed: what moves while all is well.
func (l *Load) Acked() (values, committed int) {
	return l.history.AckedCount(), l.history.Count(Committed)
}

func (l *Load) note(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// Begin starts all clients. They run until Drain, or until ctx ends; Stop waits for them.
func (l *Load) Begin(ctx context.Context) {
	l.began = time.Now()
	var feeding, moving context.Context
	feeding, l.endFeeding = context.WithCancel(ctx)
	moving, l.endMoving = context.WithCancel(ctx)
	for i := range 2 {
		l.feeders.Go(func() { l.note(feed(feeding, l.addr, path[0], fmt.Sprintf("f%d", i), 3, l.history)) })
	}
	for step := range path[1:] {
		for i := range 2 {
			m := &mover{
				addr: l.addr, from: path[step], to: path[step+1], group: "to-" + path[step+1], name: fmt.Sprintf("m%d%d", step, i), old: i == 1,
				rng: rand.New(rand.NewPCG(l.rng.Uint64(), 2)), history: l.history,
			}
			l.others.Go(func() { l.note(m.run(moving)) })
		}
		l.others.Go(func() { l.note(watch(moving, l.addr, path[step+1], l.history)) })
	}
	for i := range 3 {
		z := &zombies{addr: l.addr, topic: beside[0], name: fmt.Sprintf("z%d", i), rng: rand.New(rand.NewPCG(l.rng.Uint64(), 3)), history: l.history}
		l.zombies = append(l.zombies, z)
		l.feeders.Go(func() { l.note(z.run(feeding)) })
	}
	l.others.Go(func() { l.note(watch(moving, l.addr, beside[0], l.history)) })
	for i, kind := range []func() protocol{func() protocol { return &classicProtocol{} }, func() protocol { return consumerProtocol{} }} {
		g := &groupChaos{addr: l.addr, name: groupTopics[i], newProtocol: kind, rng: rand.New(rand.NewPCG(l.rng.Uint64(), 4))}
		l.groups = append(l.groups, g)
		l.others.Go(func() { g.run(moving) })
	}
}

// Stop ends all clients that still run.
func (l *Load) Stop() {
	if l.endFeeding == nil {
		return
	}
	l.endFeeding()
	l.endMoving()
	l.feeders.Wait()
	l.others.Wait()
}

// drainTime is how long everything may take to come to its end, and then to be read: so much, and a third of the time in which it was made, since the more
// there is, the longer a busy machine reads.
const drainTime = 90 * time.Second

// Drain lets the zombies end and the movers finish, and then reads what is there. What went wrong on the way is in the error.
func (l *Load) Drain(ctx context.Context) error {
	l.endFeeding()
	for _, g := range l.groups {
		g.steady.Store(true)
	}
	l.feeders.Wait()
	patience := drainTime + time.Since(l.began)/3
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.note(l.moveAll(limit))
	for _, g := range l.groups {
		l.note(g.converge(limit))
	}
	l.Stop()
	l.note(l.settle(limit))
	last, stop := context.WithTimeout(ctx, patience) // also of what has not come to its end
	defer stop()
	for _, topic := range slices.Concat(path, beside) {
		read, err := read(last, l.addr, topic)
		if err != nil {
			l.note(err)
			continue
		}
		l.history.Final(topic, read)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// moveAll waits until all values have come through.
func (l *Load) moveAll(ctx context.Context) error {
	for {
		first, err := read(ctx, l.addr, path[0])
		if err != nil {
			return err
		}
		last, err := read(ctx, l.addr, path[len(path)-1])
		if err != nil {
			return err
		}
		if len(last) >= len(first) {
			return nil
		}
		if pause(ctx, 500*time.Millisecond) != nil {
			return fmt.Errorf("%d of %d values have come through in time", len(last), len(first))
		}
	}
}

// settle waits until no transaction is open.
func (l *Load) settle(ctx context.Context) error {
	for {
		open, err := hanging(ctx, l.addr, slices.Concat(path, beside)...)
		if err == nil && len(open) == 0 {
			return nil
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("hanging: %q, %w", open, errors.Join(err, ctx.Err()))
		}
	}
}

// Result is what a Load did and what was found.
type Result struct {
	Lines  []string       // a line each about transactions and groups
	Broken []string       // promises that were broken
	Counts map[string]int // of work and of faults, by what they are; for each group with its name before it
}

// Check returns what the load saw. It is called after Drain.
func (l *Load) Check() Result {
	var replaced, timedOut, late int64
	for _, z := range l.zombies {
		replaced, timedOut, late = replaced+z.replaced.Load(), timedOut+z.timedOut.Load(), late+z.late.Load()
	}
	committed, aborted, unknown := l.history.Count(Committed), l.history.Count(Aborted), l.history.Count(Unknown)
	r := Result{Counts: map[string]int{
		"values": l.history.AckedCount(), "committed transactions": committed, "aborted transactions": aborted,
		"replaced producers": int(replaced), "time-outs": int(timedOut), "late ends": int(late),
	}}
	r.Lines = append(r.Lines, fmt.Sprintf("%d values moved twice; transactions: %d committed, %d aborted, %d of which nobody knows; zombies: %d replaced, %d timed out, %d late ends",
		l.history.AckedCount(), committed, aborted, unknown, replaced, timedOut, late))
	r.Lines = append(r.Lines, l.history.Failures()...)
	r.Broken = l.history.Check(path, beside)
	for _, g := range l.groups {
		claims, commits := g.ownership.Count()
		r.Lines = append(r.Lines, fmt.Sprintf("group %s: %d partitions taken, %d commits; members: %d left, %d killed, %d paused; %d late commits refused; topic grown %d times",
			g.name, claims, commits, g.left.Load(), g.killed.Load(), g.paused.Load(), g.refused.Load(), g.grown.Load()))
		for what, n := range map[string]int64{
			"partitions taken": int64(claims), "commits": int64(commits), "members that left": g.left.Load(), "members killed": g.killed.Load(),
			"members paused": g.paused.Load(), "late commits refused": g.refused.Load(), "growths of the topic": g.grown.Load(),
		} {
			r.Counts[g.name+": "+what] = int(n)
		}
		for _, s := range g.ownership.Check() {
			r.Broken = append(r.Broken, fmt.Sprintf("group %s: %s", g.name, s))
		}
	}
	return r
}

// TooFew returns what a run that took so many seconds did too little of to have shown anything. share, above 0 and up to 1, is how
// much of the work of a broker alone that is only killed is asked for.
func (r *Result) TooFew(seconds int, share float64) []string {
	floors := map[string]float64{
		"values": 20, "committed transactions": 1, "aborted transactions": 1. / 15, "replaced producers": 1. / 30, "time-outs": 1. / 60, "late ends": 1. / 30,
	}
	for _, g := range groupTopics {
		for what, floor := range map[string]float64{
			"partitions taken": 1, "commits": 5, "members that left": 1. / 60, "members killed": 1. / 60, "members paused": 1. / 60,
			"late commits refused": 1. / 60, "growths of the topic": 1. / 60,
		} {
			floors[g+": "+what] = floor
		}
	}
	var few []string
	for what, floor := range floors {
		if got, want := r.Counts[what], int(floor*share*float64(seconds)); got < want {
			few = append(few, fmt.Sprintf("%s: %d, fewer than %d in %d s", what, got, want, seconds))
		}
	}
	slices.Sort(few)
	return few
}
