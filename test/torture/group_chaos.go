package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupSettings are those of a broker whose groups notice soon that a member is gone.
func groupSettings() []string {
	return []string{
		"--set", "group.min.session.timeout.ms=1000", "--set", "group.initial.rebalance.delay.ms=200",
		"--set", fmt.Sprint("group.consumer.session.timeout.ms=", session.Milliseconds()), "--set", "group.consumer.heartbeat.interval.ms=500",
	}
}

// Bounds of a group.
const (
	membersMax    = 4
	partitionsMax = 16
)

// groupChaos is a group whose members come and go. Its topic has its name.
type groupChaos struct {
	addr, name  string
	newProtocol func() protocol
	rng         *rand.Rand
	ownership   Ownership
	// steady ends the coming and going.
	steady atomic.Bool
	// Members by how they ended; commits of members after their time that were refused; how often the topic grew.
	left, killed, paused, refused, grown atomic.Int64

	mu      sync.Mutex
	members [membersMax]*member
}

// run runs the group until ctx ends.
func (g *groupChaos) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range membersMax {
		rng := rand.New(rand.NewPCG(g.rng.Uint64(), 5))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				g.live(ctx, i, fmt.Sprintf("%s-%d-%d", g.name, i, n), ending((n+i)%4), rng)
				_ = pause(ctx, time.Duration(rng.IntN(1000))*time.Millisecond) // the loop sees the end of ctx
			}
		})
	}
	wg.Go(func() { g.grow(ctx) })
	wg.Wait()
}

// ending is how a member ends: in turn, so that there is enough of each.
type ending int

const (
	leaves ending = iota
	isKilled
	isPaused // and whatever is above
)

// live is the life of one member.
func (g *groupChaos) live(ctx context.Context, slot int, name string, kind ending, rng *rand.Rand) {
	m, err := newMember(g.addr, g.name, g.name, name, &g.ownership)
	if err != nil {
		return
	}
	defer m.client.Close()
	defer m.giveUp()
	g.mu.Lock()
	g.members[slot] = m
	g.mu.Unlock()
	p := g.newProtocol()
	for end := time.Now().Add(time.Duration(1000+rng.IntN(8000)) * time.Millisecond); ctx.Err() == nil; {
		if !g.steady.Load() && m.joined && time.Now().After(end) {
			g.end(ctx, m, p, kind, rng)
			return
		}
		err := g.step(ctx, m, p)
		m.note(err)
		if errors.Is(err, errGone) {
			return
		}
		_ = pause(ctx, beat) // the loop sees the end of ctx
	}
}

// step sends a heartbeat, and commits for what the member has. Of errors only errGone matters: the next step tries again.
func (g *groupChaos) step(ctx context.Context, m *member, p protocol) error {
	if m.joined && time.Now().After(m.lease) {
		m.giveUp()
		m.joined = false // it cannot know what became of its partitions
	}
	if !m.joined {
		err := p.join(ctx, m)
		if errors.Is(err, kerr.NotCoordinator) {
			// The client asks anew for the coordinator after a commit that was sent to the wrong broker, not after a consumer's heartbeat; a member that
			// has nothing to commit would ask the wrong one for ever. Another with a client of its own takes its place.
			return fmt.Errorf("%w: %w", errGone, err)
		}
		return err
	}
	if err := p.beat(ctx, m); err != nil {
		return err
	}
	if time.Now().After(m.lease) {
		return nil
	}
	_, err := m.commit(ctx, m.owned())
	return err
}

// end ends a member.
func (g *groupChaos) end(ctx context.Context, m *member, p protocol, kind ending, rng *rand.Rand) {
	had := m.owned()
	switch kind {
	case leaves:
		if p.leave(ctx, m) == nil {
			g.left.Add(1)
		}
	case isKilled:
		m.drop(m.lease) // the group must hold its place that long
		g.killed.Add(1)
	default:
		m.drop(m.lease)
		g.comeBack(ctx, m, had, rng)
	}
}

// comeBack lets a member be silent for longer than its session, and then commit for what it had. A broker that was killed meanwhile has
// closed the connection, which the commit finds out, and has begun every session anew, so that it may still take the commit: the
// member asks once more, and is silent once more, until it is refused.
func (g *groupChaos) comeBack(ctx context.Context, m *member, had []int32, rng *rand.Rand) {
	for range 5 {
		if pause(ctx, session*3/2+time.Duration(rng.Int64N(int64(session)))) != nil {
			return
		}
		n, err := m.commit(ctx, had)
		if err != nil && !errors.Is(err, errGone) {
			n, err = m.commit(ctx, had)
		}
		if n == 0 && errors.Is(err, errGone) {
			g.refused.Add(1)
			break
		}
		if len(had) == 0 {
			break // nothing that could be refused
		}
	}
	g.paused.Add(1)
}

// grow adds partitions to the topic now and then.
func (g *groupChaos) grow(ctx context.Context) {
	cl, err := kgo.NewClient(options(g.addr, false)...)
	if err != nil {
		return
	}
	defer cl.Close()
	for total := partitions; total < partitionsMax && pause(ctx, 15*time.Second) == nil && !g.steady.Load(); {
		// A broker that was killed may have made them and not said so: then there are as many already.
		if res, err := kadm.NewClient(cl).UpdatePartitions(ctx, total+2, g.name); err == nil && (res.Error() == nil || errors.Is(res.Error(), kerr.InvalidPartitions)) {
			total += 2
			g.grown.Add(1)
		}
	}
}

// converge waits until each partition has one owner, and then reads the committed offsets once more.
func (g *groupChaos) converge(ctx context.Context) error {
	reader, err := newMember(g.addr, g.name, g.name, "reader", &g.ownership)
	if err != nil {
		return err
	}
	defer reader.client.Close()
	for {
		total, err := reader.findTopic(ctx)
		var all []int32
		var last []string
		g.mu.Lock()
		for _, m := range g.members {
			if m != nil {
				all = append(all, m.owned()...)
				last = append(last, m.String())
			}
		}
		g.mu.Unlock()
		slices.Sort(all)
		if err == nil && total > 0 && len(all) == total && len(slices.Compact(slices.Clone(all))) == total {
			_, err = reader.readCommitted(ctx, all)
			return err
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("group %s does not come to rest: of %d partitions %v are owned, members %s: %w", g.name, total, all, strings.Join(last, "; "), errors.Join(err, ctx.Err()))
		}
	}
}
