package streamsgroup

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

var began = time.UnixMilli(1_700_000_000_000)

// topicMap is a view of topics.
type topicMap struct {
	revision int64
	topics   map[string]int32
}

func (t *topicMap) Revision() int64              { return t.revision }
func (t *topicMap) Partitions(name string) int32 { return t.topics[name] }
func (t *topicMap) Names() []string              { return slices.Sorted(maps.Keys(t.topics)) }

func (t *topicMap) with(name string, partitions int32) *topicMap {
	n := &topicMap{t.revision + 1, maps.Clone(t.topics)}
	n.topics[name] = partitions
	return n
}

// world is a machine with clients that do as they are told.
type world struct {
	t        *testing.T
	m        *Machine
	now      time.Time
	request  machine.RequestID
	log      []machine.Record
	topics   *topicMap
	settings Settings
	offsets  map[string]bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, now: began, topics: &topicMap{1, map[string]int32{"in": 4}}, offsets: map[string]bool{},
		settings: Settings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second},
	}
	w.m = w.newMachine()
	w.m.Activate(w.now)
	return w
}

func (w *world) newMachine() *Machine {
	return New(Options{SessionTimeout: 45 * time.Second, CleanupInterval: time.Hour, HasOffsets: func(g string) bool { return w.offsets[g] }})
}

func (w *world) handle(event any) any {
	w.t.Helper()
	w.request++
	d := w.m.Handle(w.request, event, w.now)
	for _, r := range d.Records {
		w.log = append(w.log, machine.Record{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)})
		if r.Value == nil {
			w.log[len(w.log)-1].Value = nil
		}
	}
	w.check()
	if _, tick := event.(machine.Tick); tick {
		return nil
	}
	if len(d.Replies) != 1 || d.Replies[0].Request != w.request {
		w.t.Fatalf("%T: replies %+v, want one to %d", event, d.Replies, w.request)
	}
	return d.Replies[0].Body
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.handle(machine.Tick{})
}

// check holds what must always hold, and compares the state with that of a replay.
func (w *world) check() {
	w.t.Helper()
	for _, g := range w.m.groups {
		owners := map[Task]string{}
		copies := map[string]string{}
		for _, mem := range g.sortedMembers() {
			for _, has := range []*Tasks{&mem.holding.owned, &mem.holding.revoking} {
				for r := range roles {
					for task := range has[r] {
						if r == Active {
							if o, taken := owners[task]; taken {
								w.t.Fatalf("task %v is active at %s and %s", task, o, mem.id)
							}
							owners[task] = mem.id
						}
						at := fmt.Sprintf("%s %v", mem.said.ProcessID, task)
						if o, taken := copies[at]; taken {
							w.t.Fatalf("process and task %s: copies at %s and %s", at, o, mem.id)
						}
						copies[at] = mem.id
					}
				}
			}
		}
	}
	if w.request%8 != 0 && len(w.log) > 100 {
		return // a replay of everything after each step takes long
	}
	fresh := w.newMachine()
	for _, r := range w.log {
		if err := fresh.Replay(r, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	if got, want := durableOf(fresh), durableOf(w.m); !reflect.DeepEqual(got, want) {
		w.t.Fatalf("replayed state\n%+v\nlive state\n%+v", got, want)
	}
}

// durableOf returns what records make of a machine.
func durableOf(m *Machine) map[string]any {
	out := map[string]any{}
	for id, g := range m.groups {
		members := map[string]any{}
		for _, mem := range g.members {
			h := mem.holding
			members[mem.id] = fmt.Sprintf("%+v %d %d %d %v %v", mem.said.ProcessID, h.epoch, h.previousEpoch, h.state, h.owned.record(true), h.revoking.record(true))
		}
		target := map[string]any{}
		for id, t := range g.target {
			target[id] = fmt.Sprint(t.record(false))
		}
		out[id] = []any{g.epoch, g.hash, g.validated, fmt.Sprint(g.configs), g.topology, members, g.targetEpoch, g.targetMillis, target}
	}
	return out
}

// client is a member as its process sees it.
type client struct {
	w        *world
	id       string
	process  string
	epoch    int32
	topology *Topology
	owned    Tasks
	tell     bool // whether the next heartbeat says what is owned
	edit     func(*Heartbeat)
	last     HeartbeatReply
}

func (w *world) client(id, process string, t *Topology) *client {
	return &client{w: w, id: id, process: process, topology: t}
}

// beat sends a heartbeat and does what the answer asks for.
func (c *client) beat() error {
	c.w.t.Helper()
	e := Heartbeat{Group: "g", MemberID: c.id, Epoch: c.epoch, RebalanceTimeout: -1, EndpointEpoch: c.last.EndpointEpoch, Settings: c.w.settings, Topics: c.w.topics, ClientID: c.id, ClientHost: "/h"}
	if c.epoch == JoinEpoch {
		e.Topology, e.ProcessID, e.RebalanceTimeout, e.Tags, e.Owned = c.topology, &c.process, 60*time.Second, []KeyValue{}, &Tasks{}
	}
	if c.tell {
		e.Owned = &c.owned
		c.tell = false
	}
	if c.edit != nil {
		c.edit(&e)
	}
	c.last = c.w.handle(e).(HeartbeatReply)
	if c.last.Err != nil {
		return c.last.Err
	}
	c.epoch = c.last.Epoch
	if c.last.Assigned != nil {
		c.tell = !c.last.Assigned.same(&c.owned)
		c.owned = copyOf(c.last.Assigned)
	}
	return nil
}

func copyOf(t *Tasks) Tasks {
	var out Tasks
	for r := range roles {
		for task := range t[r] {
			out.add(r, task, 0)
		}
	}
	return out
}

func (c *client) must() HeartbeatReply {
	c.w.t.Helper()
	if err := c.beat(); err != nil {
		c.w.t.Fatalf("heartbeat of %s in epoch %d: %v", c.id, c.epoch, err)
	}
	return c.last
}

// settle lets clients beat until nothing changes any more.
func (w *world) settle(clients ...*client) {
	w.t.Helper()
	for range 20 {
		for _, c := range clients {
			c.must()
		}
		if d := w.handle(Describe{"g", w.topics}).(Description); d.State == Stable {
			return
		}
	}
	w.t.Fatalf("the group does not settle: %+v", w.handle(Describe{"g", w.topics}))
}

// simple reads in and counts: one subtopology with state.
func simple(epoch int32) *Topology {
	return &Topology{Epoch: epoch, Subtopologies: []streamsrecord.Subtopology{{
		ID: "0", SourceTopics: []string{"in"}, StateChangelogTopics: []streamsrecord.TopicInfo{{Name: "app-store-changelog"}},
	}}}
}

func statuses(r HeartbeatReply) string {
	var out []string
	for _, s := range r.Statuses {
		out = append(out, fmt.Sprintf("%d %s", s.Code, s.Detail))
	}
	return strings.Join(out, "; ")
}

func TestInternalTopicsAreAskedForAndThenTasksAssigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("m", "p", simple(0))
	r := c.must()
	if want := []NewTopic{{Name: "app-store-changelog", Partitions: 4}}; !reflect.DeepEqual(r.Create, want) || r.Epoch != 2 || !strings.HasPrefix(statuses(r), "3 ") {
		t.Fatalf("first answer %+v, %s", r, statuses(r))
	}
	if d := w.handle(Describe{"g", w.topics}).(Description); d.State != NotReady {
		t.Errorf("state %v, want NotReady", d.State)
	}
	w.topics = w.topics.with("app-store-changelog", 4)
	if r = c.must(); len(r.Create) != 0 || r.Epoch != 3 || len(c.owned[Active]) != 4 || len(r.Statuses) != 0 {
		t.Fatalf("after the topic was made %+v, %s", r, statuses(r))
	}
	w.settle(c)
}

func TestTasksMoveOnlyWhenTheirOwnerGaveThemUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	a, b := w.client("a", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a)
	b.must()
	if len(b.owned[Active]) != 0 {
		t.Fatalf("b got %v while a has all", b.owned)
	}
	a.must() // is told to give up
	if len(a.owned[Active]) != 2 || !a.tell {
		t.Fatalf("a was left %v", a.owned)
	}
	b.must()
	if len(b.owned[Active]) != 0 {
		t.Fatalf("b got %v before a gave up", b.owned)
	}
	a.must() // has given up
	b.must()
	if len(b.owned[Active]) != 2 {
		t.Fatalf("b has %v", b.owned)
	}
	w.settle(a, b)
	kept := copyOf(&a.owned)
	// A third process takes from both, and each keeps what it can.
	c := w.client("c", "pc", simple(0))
	w.settle(a, b, c)
	if !a.owned.within(&kept) || len(c.owned[Active]) != 1 {
		t.Errorf("a had %v and has %v, c has %v", kept, a.owned, c.owned)
	}
}

func TestMemberThatDoesNotGiveUpIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	a, b := w.client("a", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a)
	b.must()
	a.must()
	a.tell = false // it is told, and goes on
	for range 13 {
		w.pass(5 * time.Second)
		b.must()
		if err := a.beat(); err != nil {
			if !errors.Is(err, kafka.UnknownMemberID) {
				t.Fatal(err)
			}
			break
		}
		a.tell = false
	}
	w.settle(b)
	if len(b.owned[Active]) != 4 {
		t.Errorf("b has %v, want all", b.owned)
	}
}

func TestSilentMemberLosesItsTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	a, b := w.client("a", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a)
	for range 4 {
		b.must()
		a.must()
	}
	for range 10 {
		w.pass(5 * time.Second)
		b.must()
	}
	w.settle(b)
	if len(b.owned[Active]) != 4 {
		t.Errorf("b has %v, want all", b.owned)
	}
	if err := a.beat(); !errors.Is(err, kafka.UnknownMemberID) {
		t.Errorf("heartbeat of the lost member: %v", err)
	}
}

func TestEpochsFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	c := w.client("m", "p", simple(0))
	w.settle(c)
	w.topics = w.topics.with("in", 5).with("app-store-changelog", 5)
	w.settle(c)
	w.topics = w.topics.with("in", 6).with("app-store-changelog", 6)
	w.settle(c)
	good := c.epoch
	for _, k := range []struct {
		id    string
		epoch int32
		want  kafka.Error
	}{{"m", good + 1, kafka.FencedMemberEpoch}, {"m", good - 2, kafka.FencedMemberEpoch}, {"m", good - 1, kafka.FencedMemberEpoch}, {"other", 3, kafka.UnknownMemberID}} {
		o := w.client(k.id, "p", nil)
		o.epoch = k.epoch
		if err := o.beat(); !errors.Is(err, k.want) {
			t.Errorf("heartbeat of %s in epoch %d: %v, want %v", k.id, k.epoch, err, k.want)
		}
	}
	if r := w.handle(Heartbeat{Group: "none", MemberID: "m", Epoch: 3, Topics: w.topics}).(HeartbeatReply); !errors.Is(r.Err, kafka.GroupIDNotFound) {
		t.Errorf("heartbeat to an unknown group: %v", r.Err)
	}
	// The answer that brought the last epoch may have been lost.
	w.topics = w.topics.with("in", 7).with("app-store-changelog", 7)
	c.must()
	old := w.client("m", "p", nil)
	old.epoch, old.owned, old.tell = good, Tasks{}, true
	if c.epoch == good {
		t.Fatal("the change of topics made no epoch")
	}
	if err := old.beat(); err != nil {
		t.Errorf("heartbeat in the previous epoch with a part of the tasks: %v", err)
	}
}

func TestStandbysLieOnOtherProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.StandbyReplicas = 1
	w.topics = w.topics.with("app-store-changelog", 4)
	a1, a2, b := w.client("a1", "pa", simple(0)), w.client("a2", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a1, a2, b)
	active := len(a1.owned[Active]) + len(a2.owned[Active]) + len(b.owned[Active])
	standby := len(a1.owned[Standby]) + len(a2.owned[Standby]) + len(b.owned[Standby])
	if active != 4 || standby != 4 {
		t.Errorf("%d active and %d standby tasks, want 4 and 4: %v %v %v", active, standby, a1.owned, a2.owned, b.owned)
	}
	// When b goes, its standbys at a become active without a move.
	had := copyOf(&a1.owned)
	w.handle(Heartbeat{Group: "g", MemberID: "b", Epoch: LeaveEpoch, Topics: w.topics})
	w.settle(a1, a2)
	for task := range had[Standby] {
		if !a1.owned[Active].has(task) && !a2.owned[Active].has(task) {
			t.Errorf("standby %v did not become active at its process", task)
		}
	}
}

func TestStatefulTasksWarmUpBeforeTheyMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	a, b := w.client("a", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a)
	lag := int64(AcceptableRecoveryLag + 1)
	b.edit = func(e *Heartbeat) {
		e.Offsets, e.EndOffsets = map[Task]int64{}, map[Task]int64{}
		for task := range b.owned[Warmup] {
			e.Offsets[task], e.EndOffsets[task] = 1000, 1000+lag
		}
	}
	b.must()
	// b tells its offsets from its first heartbeat on, so it is known to lack the state.
	w.settle(a, b)
	if len(a.owned[Active]) != 4 || len(b.owned[Warmup]) != maxWarmups {
		t.Fatalf("a has %v, b has %v; want all with a and %d warming up", a.owned, b.owned, maxWarmups)
	}
	lag = 10
	for range 5 {
		b.must()
		a.must()
	}
	w.settle(a, b)
	if len(a.owned[Active]) != 2 || len(b.owned[Active]) != 2 || len(b.owned[Warmup]) != 0 {
		t.Errorf("a has %v, b has %v; want two each", a.owned, b.owned)
	}
}

func TestTopologyIsReplacedInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4).with("in2", 2)
	a, b := w.client("a", "pa", simple(0)), w.client("b", "pb", simple(0))
	w.settle(a, b)
	next := simple(1)
	next.Subtopologies = append(next.Subtopologies, streamsrecord.Subtopology{ID: "1", SourceTopics: []string{"in2"}})
	// b is restarted with the new topology; a, which is not, keeps nothing and is told.
	w.handle(Heartbeat{Group: "g", MemberID: "b", Epoch: LeaveEpoch, Topics: w.topics})
	b = w.client("b2", "pb", next)
	w.settle(a, b)
	if !a.owned.empty() || len(b.owned[Active]) != 6 || !strings.HasPrefix(statuses(a.last), "0 ") {
		t.Fatalf("a has %v and %q, b has %v", a.owned, statuses(a.last), b.owned)
	}
	w.handle(Heartbeat{Group: "g", MemberID: "a", Epoch: LeaveEpoch, Topics: w.topics})
	a = w.client("a2", "pa", next)
	w.settle(a, b)
	if len(a.owned[Active]) != 3 {
		t.Errorf("a has %v, b has %v", a.owned, b.owned)
	}
	// The same epoch for another topology is a mistake.
	if err := w.client("c", "pc", simple(1)).beat(); !errors.Is(err, kafka.InvalidRequest) {
		t.Errorf("another topology of the same epoch: %v", err)
	}
}

func TestStaticMemberKeepsItsTasksWhileItIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	static := func(id string) *client {
		c := w.client(id, "pa", simple(0))
		c.edit = func(e *Heartbeat) { e.InstanceID = new("i") }
		return c
	}
	a, b := static("a"), w.client("b", "pb", simple(0))
	w.settle(a, b)
	had := copyOf(&a.owned)
	if err := static("a-other").beat(); !errors.Is(err, kafka.UnreleasedInstanceID) {
		t.Errorf("second member with the instance id: %v", err)
	}
	w.handle(Heartbeat{Group: "g", MemberID: "a", InstanceID: new("i"), Epoch: LeaveStaticEpoch, Topics: w.topics})
	b.must()
	if len(b.owned[Active]) != 2 {
		t.Errorf("b took %v while the static member was away", b.owned)
	}
	again := static("a-again")
	w.settle(again, b)
	if !again.owned.same(&had) {
		t.Errorf("came back to %v, had %v", again.owned, had)
	}
	if err := a.beat(); !errors.Is(err, kafka.FencedInstanceID) {
		t.Errorf("heartbeat of the member before: %v", err)
	}
}

func TestCommitsAreCheckedByEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics = w.topics.with("app-store-changelog", 4)
	a := w.client("a", "pa", simple(0))
	w.settle(a)
	first := a.epoch
	w.topics = w.topics.with("in", 5).with("app-store-changelog", 5)
	w.settle(a)
	check := func(member string, epoch int32, partition int32) kafka.Error {
		code, of := w.m.CheckCommit("g", member, epoch)
		if code == kafka.None {
			code = of("in", partition)
		}
		return code
	}
	for _, c := range []struct {
		member    string
		epoch     int32
		partition int32
		want      kafka.Error
	}{
		{"a", a.epoch, 0, kafka.None},
		{"a", a.epoch + 1, 0, kafka.StaleMemberEpoch},
		{"x", a.epoch, 0, kafka.UnknownMemberID},
		{"a", first, 0, kafka.None},
		{"a", first, 4, kafka.StaleMemberEpoch},
		{"a", first - 1, 0, kafka.StaleMemberEpoch},
		{"", -1, 0, kafka.UnknownMemberID},
	} {
		if got := check(c.member, c.epoch, c.partition); got != c.want {
			t.Errorf("commit of %q in epoch %d for partition %d: %v, want %v", c.member, c.epoch, c.partition, got, c.want)
		}
	}
}

func TestGroupsWithoutMembersAndOffsetsAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("m", "p", simple(0))
	c.must()
	if code := w.handle(Delete{"g"}); code != kafka.NonEmptyGroup {
		t.Errorf("Delete of a group with a member: %v", code)
	}
	w.offsets["g"] = true
	w.handle(Heartbeat{Group: "g", MemberID: "m", Epoch: LeaveEpoch, Topics: w.topics})
	w.pass(2 * time.Hour)
	if list := w.handle(List{}).([]Listing); len(list) != 1 || list[0].State != Empty {
		t.Errorf("with offsets: %v", list)
	}
	w.offsets["g"] = false
	w.pass(2 * time.Hour)
	if list := w.handle(List{}).([]Listing); len(list) != 0 {
		t.Errorf("without offsets: %v", list)
	}
	for _, r := range w.log[len(w.log)-3:] {
		if r.Value != nil {
			t.Errorf("the last records are no tombstones: %x", r.Key)
		}
	}
}

// Members come, go, fall silent and change in any order; what must hold is checked after each step, and in the end the
// group comes to rest with every task at work.
func TestRandomLivesOfAGroup(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t)
			w.settings.StandbyReplicas = rng.IntN(3)
			w.settings.InitialRebalanceDelay = time.Duration(rng.IntN(2)) * 3 * time.Second
			w.topics = w.topics.with("app-store-changelog", 4)
			var clients []*client
			topology := simple(0)
			for step := range 400 {
				w.pass(time.Duration(rng.IntN(3)) * time.Second)
				switch n := rng.IntN(20); {
				case n == 0 && len(clients) < 8:
					clients = append(clients, w.client(fmt.Sprintf("m%d", step), fmt.Sprintf("p%d", rng.IntN(4)), topology))
				case n == 1 && len(clients) > 1:
					i := rng.IntN(len(clients))
					if rng.IntN(2) == 0 && clients[i].epoch > 0 {
						w.handle(Heartbeat{Group: "g", MemberID: clients[i].id, Epoch: LeaveEpoch, Topics: w.topics})
					}
					clients = slices.Delete(clients, i, i+1)
				case n == 2 && rng.IntN(4) == 0:
					p := w.topics.topics["in"] + 1
					w.topics = w.topics.with("in", p).with("app-store-changelog", p)
				case n == 3 && rng.IntN(6) == 0:
					topology = simple(topology.Epoch + 1)
				case len(clients) > 0:
					c := clients[rng.IntN(len(clients))]
					if err := c.beat(); err != nil {
						c.epoch, c.owned, c.tell, c.topology = JoinEpoch, Tasks{}, false, topology
					}
				}
			}
			// Those who still run an old topology are restarted.
			if len(clients) == 0 {
				clients = append(clients, w.client("last", "p0", topology))
			}
			for _, c := range clients {
				if c.topology.Epoch != topology.Epoch || c.epoch == JoinEpoch {
					c.epoch, c.owned, c.tell, c.topology = JoinEpoch, Tasks{}, false, topology
				}
			}
			for range 15 {
				w.pass(5 * time.Second)
				for _, c := range clients {
					if err := c.beat(); err != nil {
						c.epoch, c.owned, c.tell = JoinEpoch, Tasks{}, false
					}
				}
			}
			w.settle(clients...)
			active := 0
			for _, c := range clients {
				active += len(c.owned[Active])
			}
			if want := int(w.topics.topics["in"]); active != want {
				t.Errorf("%d active tasks, want %d", active, want)
			}
		})
	}
}
