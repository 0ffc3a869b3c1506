package shard

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// slow is how long each request to the object store takes in these tests, where nothing else takes any time: what a client has to wait for can be counted in it.
const slow = 100 * time.Millisecond

// requests counts what a broker asks of the object store, each of which takes its time.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

// count slows the requests of a broker down and counts those whose name is not empty. What is read of an object that is open came with the answer to the open.
func (m *testMember) count(name func(blob.Op) string) *requests {
	r := &requests{count: map[string]int{}}
	m.blob.Inject(func(op blob.Op) error {
		if op.Kind == blob.OpRead || op.Kind == blob.OpWrite || op.Kind == blob.OpCreate {
			return nil
		}
		if n := name(op); n != "" {
			r.mu.Lock()
			r.count[n]++
			r.mu.Unlock()
		}
		<-time.After(slow)
		return nil
	})
	return r
}

func (r *requests) of(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[name]
}

// gaps notes for how long shards are served by nobody.
type gaps struct {
	mu      sync.Mutex
	since   map[int32]time.Time
	longest time.Duration
	moved   int
}

func (g *gaps) watch(s *Store) {
	s.OnOwnership(func(shard, _ int32, owned bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !owned {
			g.since[shard] = time.Now()
			return
		}
		if at, ok := g.since[shard]; ok {
			g.longest = max(g.longest, time.Since(at))
			g.moved++
			delete(g.since, shard)
		}
	})
}

// seen returns how many shards went from one broker to another, and for how long one of them was served by nobody.
func (g *gaps) seen() (moved int, longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.moved, g.longest
}

// What is between two owners of a shard: manifest and checkpoint are read beside each other and beside the look for claims, then the claim is written. More
// shards than one do not make it longer.
func TestAPlannedMoveTakesTwoRequestsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const shards = 12
		c := newTestCluster(t, shards, 0)
		c.gaps = &gaps{since: map[int32]time.Time{}}
		from, to := c.start(), c.start()
		c.topics.set(topicA, shards)
		<-time.After(20 * time.Second)
		c.settled(20 * time.Second)
		newProduced().spread(c, shards, 3)
		before, _ := c.gaps.seen()
		moving := len(from.store.Owned())
		synctest.Wait()
		from.count(func(blob.Op) string { return "" })
		asked := to.count(func(op blob.Op) string {
			switch {
			case op.Kind == blob.OpOpen && (strings.HasPrefix(op.Key, manifestPrefix) || strings.HasPrefix(op.Key, checkpointPrefix)):
				return "state"
			case op.Kind == blob.OpPutIfAbsent && strings.HasPrefix(op.Key, ownership.ClaimPrefix):
				return "claim"
			}
			return ""
		})
		if err := from.member.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.settled(5 * time.Second)
		moved, longest := c.gaps.seen()
		if moved-before != moving || moving == 0 {
			t.Errorf("%d of %d shards moved", moved-before, moving)
		}
		if longest >= 3*slow {
			t.Errorf("a shard was served by nobody for %v, that is %d requests one after the other; 2 are needed", longest, longest/slow)
		}
		if state, claims := asked.of("state"), asked.of("claim"); state != 2*moving || claims != moving {
			t.Errorf("%d manifests and checkpoints were read and %d claims written, for %d shards", state, claims, moving)
		}
	})
}

// The end of a dead broker's log is looked for once by each broker that takes over from it, however many shards it takes.
func TestADeadBrokerIsSealedOnceForAllItsShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const shards = 12
		c := newTestCluster(t, shards, 2)
		c.topics.set(topicA, shards)
		<-time.After(20 * time.Second)
		c.settled(20 * time.Second)
		newProduced().spread(c, shards, 3)
		victim, heir := c.members[0], c.members[1]
		incarnation := victim.store.present.Load().incarnation
		dead, far := wal.IncarnationPrefix(incarnation), wal.ObjectKey(incarnation, 512) // who looks for the end of a log of which nothing was trimmed asks whether it is so long
		moving := len(victim.store.Owned())
		asked := heir.count(func(op blob.Op) string {
			switch {
			case !strings.HasPrefix(op.Key, dead):
				return ""
			case op.Kind == blob.OpPutIfAbsent:
				return "seal"
			case op.Kind == blob.OpOpen && op.Key == far:
				return "end"
			}
			return ""
		})
		victim.cut(true, true)
		c.remove(victim)
		c.settled(20 * time.Second)
		if moving < 2 || len(heir.store.Owned()) != shards {
			t.Fatalf("%d shards had to move, the other has %v", moving, heir.store.Owned())
		}
		if seals, ends := asked.of("seal"), asked.of("end"); seals != 1 || ends != 1 {
			t.Errorf("%d seals were written and the end was looked for %d times, for %d shards; want one each", seals, ends, moving)
		}
	})
}
