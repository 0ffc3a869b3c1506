package share

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

// fixedTopics are the topics t0, t1, …, by name.
type fixedTopics map[string]int32

func (f fixedTopics) Topic(name string) (kafka.TopicID, int32, bool) {
	n, ok := f[name]
	return topicID(name), n, ok
}

func topicID(name string) kafka.TopicID {
	var id kafka.TopicID
	copy(id[:], name)
	id[15] = 1
	return id
}

// durableOf is what of a machine must survive a replay.
func durableOf(g *Groups) map[string]group {
	out := map[string]group{}
	for id, s := range g.groups {
		c := *s
		c.members = map[string]*member{}
		for m, of := range s.members {
			x := *of
			x.due, x.queued, x.gone = time.Time{}, false, false
			c.members[m] = &x
		}
		strip := func(from map[kafka.TopicID]*partitions) map[kafka.TopicID]*partitions {
			to := map[kafka.TopicID]*partitions{}
			for k, p := range from {
				to[k] = &partitions{name: p.name, list: p.list}
			}
			return to
		}
		c.initializing, c.ready = strip(s.initializing), strip(s.ready)
		out[id] = c
	}
	return out
}

func randomGroupEvent(rng *rand.Rand, g *Groups, topics fixedTopics) any {
	group := fmt.Sprintf("g%d", rng.IntN(2))
	names := []string{"t0", "t1", "t2", "none"}
	some := func() []NamedPartitions {
		var out []NamedPartitions
		for _, n := range names[:3] {
			if rng.IntN(2) == 0 {
				out = append(out, NamedPartitions{ID: topicID(n), Name: n, Partitions: []int32{0}})
			}
		}
		return out
	}
	ids := []kafka.TopicID{topicID(names[rng.IntN(3)])}
	switch rng.IntN(12) {
	case 0:
		return BeginAlter{Group: group, Topics: some()}
	case 1:
		return Initialized{Group: group, Topics: some()}
	case 2:
		return Uninitialized{Group: group, Topics: some()}
	case 3:
		return BeginDelete{Group: group, All: rng.IntN(2) == 0, Topics: ids}
	case 4:
		return DeleteOffsets{Group: group, Topics: ids}
	case 5:
		return DeleteGroup{Group: group}
	case 6:
		return TopicsDeleted{Topics: ids}
	case 7:
		return machine.Tick{}
	}
	e := Heartbeat{
		Group: group, Member: fmt.Sprintf("m%d", rng.IntN(5)), Topics: topics, Session: 45 * time.Second, AssignmentInterval: time.Second,
		ClientID: "c", ClientHost: "/h",
	}
	if s := g.groups[group]; s != nil && s.members[e.Member] != nil {
		e.Epoch = s.members[e.Member].epoch
		switch rng.IntN(8) {
		case 0:
			e.Epoch = -1
		case 1:
			e.Epoch = 0
		}
	}
	if e.Epoch == 0 || rng.IntN(4) == 0 {
		e.Subscribed = []string{names[rng.IntN(4)], names[rng.IntN(4)]}
	}
	return e
}

func TestReplayOfGroupsEqualsWhatRan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 3))
		topics := fixedTopics{"t0": 3, "t1": 1, "t2": 4}
		live := NewGroups(GroupOptions{MaxSize: 4})
		now := time.Unix(100, 0)
		live.Activate(now)
		var log []Record
		for step := range 400 {
			now = now.Add(time.Duration(rng.IntN(9000)) * time.Millisecond)
			d := live.Handle(machine.RequestID(step+1), randomGroupEvent(rng, live, topics), now)
			log = append(log, d.Records...)
			for _, e := range d.Effects {
				if i, ok := e.(Initialize); ok && rng.IntN(3) > 0 {
					log = append(log, live.Handle(machine.NoRequest, Initialized{Group: i.Group, Topics: i.Topics}, now).Records...)
				}
			}
			checkAssignment(t, live, topics)
			if step%40 != 0 {
				continue
			}
			for _, records := range [][]Record{log, compacted(log)} {
				again := NewGroups(GroupOptions{MaxSize: 4})
				for _, r := range records {
					if err := again.Replay(r, nil); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
				if got, want := durableOf(again), durableOf(live); !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, step %d: replayed %+v, want %+v", seed, step, got, want)
				}
			}
		}
	}
}

// compacted keeps the newest record of each key, in order, and no tombstones.
func compacted(log []Record) []Record {
	newest := map[string]int{}
	for i, r := range log {
		newest[string(r.Key)] = i
	}
	var out []Record
	for i, r := range log {
		if newest[string(r.Key)] == i && r.Value != nil {
			out = append(out, r)
		}
	}
	return out
}

// checkAssignment checks a target that was just made: each partition has members, evenly.
func checkAssignment(t *testing.T, g *Groups, topics fixedTopics) {
	t.Helper()
	for _, s := range g.groups {
		if s.assignmentEpoch != s.epoch || len(s.members) == 0 || s.unassigned() {
			continue
		}
		for id, p := range s.ready {
			if _, n, ok := topics.Topic(p.name); !ok || n == 0 {
				continue
			}
			for _, i := range p.list {
				holders := 0
				for m, target := range s.targets {
					j := slices.IndexFunc(target, func(t TopicPartitions) bool { return t.ID == id })
					if j >= 0 && slices.Contains(target[j].Partitions, i) {
						holders++
						if !slices.Contains(s.members[m].info.SubscribedTopics, p.name) {
							t.Fatalf("%s has partition %d of %s, which it does not read", m, i, p.name)
						}
					}
				}
				readers := 0
				for _, m := range s.members {
					if slices.Contains(m.info.SubscribedTopics, p.name) {
						readers++
					}
				}
				if readers > 0 && holders == 0 {
					t.Fatalf("partition %d of %s has no member of %d", i, p.name, readers)
				}
			}
		}
	}
}

func TestAssignmentsAreEvenAndKeepWhatMembersHave(t *testing.T) {
	t.Parallel()
	for members := 1; members <= 9; members++ {
		for partitions := int32(1); partitions <= 7; partitions++ {
			s := newGroup("g")
			var list []int32
			for p := range partitions {
				list = append(list, p)
			}
			s.ready[topicID("t")] = partitionsOf("t", list)
			topics := fixedTopics{"t": partitions}
			for m := range members {
				s.member(fmt.Sprintf("m%d", m)).info.SubscribedTopics = []string{"t"}
				s.targets = assignSimple(s, topics)
			}
			perMember, perPartition := map[int]int{}, map[int32]int{}
			for _, target := range s.targets {
				n := 0
				for _, t := range target {
					n += len(t.Partitions)
					for _, p := range t.Partitions {
						perPartition[p]++
					}
				}
				perMember[n]++
			}
			if len(perMember) > 2 || len(perPartition) != int(partitions) {
				t.Errorf("%d members of %d partitions: %v members by number of partitions, %v members of each", members, partitions, perMember, perPartition)
			}
			low, high := members, 0
			for _, n := range perPartition {
				low, high = min(low, n), max(high, n)
			}
			if want := (members + int(partitions) - 1) / int(partitions); high > want || low < 1 {
				t.Errorf("%d members of %d partitions: between %d and %d members of a partition, want at most %d", members, partitions, low, high, want)
			}
			if again := assignSimple(s, topics); !reflect.DeepEqual(again, s.targets) {
				t.Errorf("%d members of %d partitions: a second assignment differs", members, partitions)
			}
		}
	}
}

func partitionsOf(name string, list []int32) *partitions { return &partitions{name: name, list: list} }

func TestReplayOfStatesEqualsWhatRan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 4))
		live := NewStates(StateOptions{UpdatesPerSnapshot: 1 + rng.IntN(6), PruneInterval: time.Minute})
		now := time.Unix(100, 0)
		live.Activate(now)
		var log []Record
		noted := -1 // length of the log when the last round was noted
		for step := range 1500 {
			now = now.Add(time.Duration(rng.IntN(3)) * time.Second)
			d := live.Handle(machine.RequestID(step+1), randomStateEvent(rng), now)
			log = append(log, d.Records...)
			if len(d.Effects) > 0 {
				if noted >= 0 {
					log = log[noted:]
				}
				noted = len(log)
				live.Handle(machine.NoRequest, RoundNoted{}, now)
			}
			if step%50 != 0 {
				continue
			}
			again := NewStates(StateOptions{})
			for _, r := range log {
				if err := again.Replay(r, nil); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if len(again.states) != len(live.states) {
				t.Fatalf("seed %d, step %d: %d states after replay, want %d", seed, step, len(again.states), len(live.states))
			}
			for k, want := range live.states {
				got := again.states[k]
				if got == nil || !reflect.DeepEqual(got.Snapshot, want.Snapshot) || got.leader != want.leader {
					t.Fatalf("seed %d, step %d, %v: replayed %+v, want %+v", seed, step, k, got, want)
				}
			}
		}
		if noted < 0 {
			t.Errorf("seed %d: no round of snapshots", seed)
		}
	}
}

func randomStateEvent(rng *rand.Rand) any {
	k := Key{Group: fmt.Sprintf("g%d", rng.IntN(2)), Topic: topicID("t"), Partition: int32(rng.IntN(2))}
	first := int64(rng.IntN(50))
	switch rng.IntN(20) {
	case 0:
		return InitState{Key: k, StateEpoch: int32(rng.IntN(6)), Start: first, Exists: true}
	case 1:
		return DeleteState{Key: k, Exists: rng.IntN(3) > 0}
	case 2:
		return ReadState{Key: k, LeaderEpoch: int32(rng.IntN(3)), Exists: true}
	case 3:
		return machine.Tick{}
	}
	return WriteState{
		Key: k, StateEpoch: -1, LeaderEpoch: -1, Start: cmp.Or(int64(rng.IntN(2)), NoOffset), DeliveryComplete: int32(rng.IntN(5)), Exists: true,
		Batches: []Batch{{First: first, Last: first + int64(rng.IntN(8)), State: int8(2 * rng.IntN(3)), DeliveryCount: int16(1 + rng.IntN(3))}},
	}
}
