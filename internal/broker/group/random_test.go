package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// world drives a shard with random requests and remembers what was promised to whom.
type world struct {
	t       *rapid.T
	options Options
	shard   *Shard
	log     []entry
	now     time.Time
	request RequestID
	drawn   int

	waiting map[RequestID]Event
	// members are the identities that clients use, right ones and stale ones.
	members map[string][]identity
	// given is what a member was assigned in a generation; owners is whose a share of a generation is.
	given map[string]string
	// model is what the log says of offsets, worked out the slow way.
	model offsetModel
}

type identity struct {
	member, instance string
	generation       int32
}

func TestRandomHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, now: epoch, waiting: map[RequestID]Event{}, members: map[string][]identity{},
			given: map[string]string{},
		}
		w.options = Options{Retention: rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "retention"), InitialRebalanceDelay: rapid.SampledFrom([]time.Duration{-1, 3 * time.Second}).Draw(t, "delay")}
		if rapid.Bool().Draw(t, "small") {
			w.options.MaxSize = 2
		}
		w.restart()
		t.Repeat(map[string]func(*rapid.T){
			"":         w.check,
			"join":     w.join,
			"joinNew":  w.joinNew,
			"sync":     w.sync,
			"syncTrue": w.sync,
			"request":  w.other,
			"commit":   w.commit,
			"stage":    w.stage,
			"end":      w.end,
			"advance":  w.advance,
			"restart":  func(*rapid.T) { w.restart() },
		})
	})
}

func (w *world) group(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group")
}

func (w *world) identity(t *rapid.T, group string) identity {
	known := w.members[group]
	if len(known) == 0 {
		return identity{"nobody", "", 1}
	}
	// The newest ones are right most often.
	i := max(len(known)-1-rapid.IntRange(0, 6).Draw(t, "age"), 0)
	return known[i]
}

func (w *world) restart() {
	w.shard = NewShard(w.options)
	for _, e := range w.log {
		e.replay(w.shard)
	}
	clear(w.waiting)
	w.take(w.shard.Activate(w.now))
}

func (w *world) handle(e Event) {
	w.request++
	w.waiting[w.request] = e
	w.take(w.shard.Handle(w.request, e, w.now))
}

func (w *world) joinEvent(t *rapid.T, group string, id identity) Join {
	w.drawn++
	return Join{
		Group: group, MemberID: id.member, InstanceID: id.instance, ClientID: "c", ClientHost: "/h",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: rapid.SampledFrom([]time.Duration{20 * time.Second, 5 * time.Second, 0, -1}).Draw(t, "timeout"),
		ProtocolType: "consumer",
		Protocols: rapid.SampledFrom([][]Protocol{
			{{"range", subscription("t")}},
			{{"range", subscription("t")}, {"sticky", subscription("t")}},
			{{"sticky", subscription("t")}, {"range", subscription("u")}},
		}).Draw(t, "protocols"),
		NewMemberID: fmt.Sprintf("c-%d", w.drawn), RequireKnownMember: rapid.Bool().Draw(t, "v4"), CanSkipAssignment: rapid.Bool().Draw(t, "v9"),
	}
}

func (w *world) join(t *rapid.T) {
	group := w.group(t)
	w.handle(w.joinEvent(t, group, w.identity(t, group)))
}

func (w *world) joinNew(t *rapid.T) {
	id := identity{instance: rapid.SampledFrom([]string{"", "i", "j"}).Draw(t, "instance")}
	w.handle(w.joinEvent(t, w.group(t), id))
}

// sync sends a share for every member that was ever seen, each with a name of its own.
func (w *world) sync(t *rapid.T) {
	group := w.group(t)
	id := w.identity(t, group)
	e := Sync{Group: group, MemberID: id.member, InstanceID: id.instance, Generation: id.generation, Assignments: map[string][]byte{}}
	for _, other := range w.members[group] {
		e.Assignments[other.member] = fmt.Appendf(nil, "%s/%d by request %d", other.member, id.generation, w.request+1)
	}
	w.handle(e)
}

func (w *world) other(t *rapid.T) {
	group := w.group(t)
	id := w.identity(t, group)
	topics := []FetchTopic{{Topic: "t", Partitions: []int32{0, 1}}, {Topic: "x", Partitions: []int32{0}}}
	w.handle(rapid.SampledFrom([]Event{
		Heartbeat{Group: group, MemberID: id.member, InstanceID: id.instance, Generation: id.generation},
		Leave{Group: group, Members: []Leaver{{MemberID: id.member, InstanceID: id.instance}}},
		Leave{Group: group, Members: []Leaver{{InstanceID: id.instance}, {MemberID: id.member}}},
		DeleteOffsets{Group: group, Topics: topics},
		DeleteGroup{Group: group},
		Describe{Group: group},
		List{},
	}).Draw(t, "event"))
}

func (w *world) commit(t *rapid.T) {
	group := w.group(t)
	id := w.identity(t, group)
	if rapid.Bool().Draw(t, "simple") {
		id = identity{generation: NoGeneration}
	}
	w.handle(Commit{Group: group, MemberID: id.member, InstanceID: id.instance, Generation: id.generation, Retention: -1, Offsets: []CommitOffset{
		{Topic: rapid.SampledFrom([]string{"t", "x"}).Draw(t, "topic"), Partition: rapid.Int32Range(0, 1).Draw(t, "partition"), Offset: int64(w.request)},
	}})
}

// committed checks that an acknowledged commit is in the log.
func (w *world) committed(event Event, reply CommitReply) {
	var group string
	var at CommitOffset
	switch e := event.(type) {
	case Commit:
		group, at = e.Group, e.Offsets[0]
	case TxnCommit:
		group, at = e.Group, e.Offsets[0]
	}
	if reply.Err == kafka.None && reply.Offsets[0] == kafka.None && !w.model.holds(offsetKey{group, at.Topic, at.Partition}, at.Offset) {
		w.t.Fatalf("commit %+v was acknowledged and is not in the log", at)
	}
}

func (w *world) producer(t *rapid.T) machine.Producer {
	return machine.Producer{ID: rapid.Int64Range(1, 2).Draw(t, "pid"), Epoch: int16(rapid.IntRange(0, 1).Draw(t, "epoch"))}
}

func (w *world) stage(t *rapid.T) {
	group := w.group(t)
	id := w.identity(t, group)
	if rapid.Bool().Draw(t, "simple") {
		id = identity{generation: NoGeneration}
	}
	p := w.producer(t)
	w.handle(TxnCommit{Group: group, Producer: p, Guard: w.shard.txnBegin(p).Guard, MemberID: id.member, InstanceID: id.instance, Generation: id.generation, Offsets: []CommitOffset{
		{Topic: rapid.SampledFrom([]string{"t", "x"}).Draw(t, "topic"), Partition: rapid.Int32Range(0, 1).Draw(t, "partition"), Offset: int64(w.request)},
	}})
}

func (w *world) end(t *rapid.T) {
	w.handle(EndTransaction{machine.Marker{Producer: w.producer(t), Commit: rapid.Bool().Draw(t, "commit")}})
}

func (w *world) advance(t *rapid.T) {
	target := w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 3, 8, 12, 700}).Draw(t, "seconds")) * time.Second)
	for at := w.shard.NextAlarm(); !at.IsZero() && !at.After(target); at = w.shard.NextAlarm() {
		if at.After(w.now) {
			w.now = at
		}
		w.take(w.shard.Handle(NoRequest, Tick{}, w.now))
	}
	w.now = target
}

// take checks each reply against what was promised before.
func (w *world) take(d Decision) {
	written := entriesOf(d)
	w.log = append(w.log, written...)
	for _, e := range written {
		w.model.write(e)
	}
	for _, reply := range d.Replies {
		event, ok := w.waiting[reply.Request]
		if !ok {
			w.t.Fatalf("request %d is answered twice, now with %+v", reply.Request, reply.Body)
		}
		delete(w.waiting, reply.Request)
		switch body := reply.Body.(type) {
		case JoinReply:
			w.joined(event.(Join), body)
		case SyncReply:
			w.synced(event.(Sync), body)
		case CommitReply:
			w.committed(event, body)
		case DeleteOffsetsReply:
			e := event.(DeleteOffsets)
			for i, errs := range body.Topics {
				for j, err := range errs {
					if key := (offsetKey{e.Group, e.Topics[i].Topic, e.Topics[i].Partitions[j]}); err == kafka.None && w.model.has(key) {
						w.t.Fatalf("%v was deleted and is there", key)
					}
				}
			}
		case kafka.Error:
			if e, ok := event.(DeleteGroup); ok && body == kafka.None && w.model.hasGroup(e.Group) {
				w.t.Fatalf("group %s was deleted and has offsets", e.Group)
			}
		}
	}
}

func (w *world) joined(e Join, reply JoinReply) {
	switch reply.Err {
	case kafka.None:
		if len(reply.Members) > 0 && !slices.ContainsFunc(reply.Members, func(m JoinedMember) bool { return m.ID == reply.MemberID }) {
			w.t.Fatalf("leader %s is not among the members %v", reply.MemberID, reply.Members)
		}
		w.members[e.Group] = append(w.members[e.Group], identity{reply.MemberID, e.InstanceID, reply.Generation})
	case kafka.MemberIDRequired:
		w.members[e.Group] = append(w.members[e.Group], identity{reply.MemberID, "", NoGeneration})
	}
}

// synced checks that a share of a generation is given to the member that it was made for, and no other.
func (w *world) synced(e Sync, reply SyncReply) {
	if reply.Err != kafka.None || len(reply.Assignment) == 0 {
		return
	}
	share := fmt.Sprintf("%s: %s", e.Group, reply.Assignment)
	holder := e.MemberID
	if e.InstanceID != "" {
		holder = "instance " + e.InstanceID
	}
	if before, ok := w.given[share]; ok && before != holder {
		w.t.Fatalf("share %q was given to %s and to %s", share, before, holder)
	}
	w.given[share] = holder
}

func (w *world) check(t *rapid.T) {
	if err := checkShard(w.shard, w.log, w.options); err != nil {
		t.Fatal(err)
	}
	for id := range w.waiting {
		if !w.isParked(id) {
			t.Fatalf("request %d (%+v) is neither answered nor waiting", id, w.waiting[id])
		}
	}
	got := map[offsetKey]int64{}
	for _, o := range w.shard.snapshot(false) {
		got[offsetKey{o.Group, o.Topic, o.Partition}] = o.Offset
	}
	if want := w.model.visible(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("committed offsets\n got %v\nwant %v", got, want)
	}
	if compacted := w.model.compacted(); !w.model.anyOpen() && fmt.Sprint(got) != fmt.Sprint(compacted) {
		t.Fatalf("committed offsets\n got %v\na replay of the compacted log makes %v", got, compacted)
	}
}

func (w *world) isParked(id RequestID) bool {
	for _, g := range w.shard.live {
		for _, m := range g.members {
			if m.joining == id || m.syncing == id {
				return true
			}
		}
	}
	return false
}

func TestReadSubscriptionRefusesLyingLengths(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, {0, 0, 0, 0, 0}, {0, 0, 0xff, 0xff, 0xff, 0xff}, {0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0}, {0, 0, 0, 0, 0, 1, 0, 9, 'x'}, {0xff, 0xff, 0, 0, 0, 0}} {
		if readSubscription(b, map[string]struct{}{}) {
			t.Errorf("readSubscription(%x) = true", b)
		}
	}
	topics := map[string]struct{}{}
	if !readSubscription(subscription("a", "bc"), topics) || len(topics) != 2 {
		t.Errorf("readSubscription found %v, want a and bc", topics)
	}
}

func FuzzReadSubscription(f *testing.F) {
	f.Add(subscription("a", "b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]struct{}{}
		if readSubscription(b, topics) && 2*len(topics) > len(b) {
			t.Errorf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}

// A replay of records for groups that are gone, in any order of kinds, leaves nothing behind.
func TestReplayOfTombstonesLeavesNothing(t *testing.T) {
	t.Parallel()
	s := NewShard(Options{})
	for _, r := range []Record{
		{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t"},
		{Kind: offsetrecord.KindMetadata, Group: "g"},
		{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t", Offset: &offsetrecord.Offset{Offset: 1}},
		{Kind: offsetrecord.KindMetadata, Group: "g"},
		{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t"},
	} {
		s.Replay(r, nil)
	}
	if len(s.durable.groups) != 0 {
		t.Errorf("groups left: %v", s.durable.groups)
	}
}
