package group

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/kafka"
)

// consumers drives one group with clients of both protocols, which do what clients do: they give up what they are told to,
// some of them late, lose answers, go away without a word, and come back. What a client holds, between the answer that
// gave it and the request that gave it up, must never be held by two.
type consumers struct {
	t       *rapid.T
	options Options
	shard   *Shard
	log     []entry
	now     time.Time
	request RequestID
	picture *picture
	drawn   int
	clients map[string]*client
	parked  map[RequestID]*client
}

// client is a consumer. Holding a partition means that it may read records of it.
type client struct {
	id, instance string
	classic      bool
	epoch        int32 // or generation; 0: has to join
	topics       []string
	regex        string
	holds        map[string]bool
	joined       bool // a classic client that has joined and not synced
	lost         bool // its last answer got lost: it says everything again
	heard        time.Time
}

func TestConsumersNeverShareAPartition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &consumers{t: t, now: epoch, picture: (&picture{}).with("t", 5).with("u", 2), clients: map[string]*client{}, parked: map[RequestID]*client{}}
		w.options = Options{
			InitialRebalanceDelay: -1, ConsumerAssignmentInterval: rapid.SampledFrom([]time.Duration{-1, time.Second}).Draw(t, "interval"),
			Migration: MigrationPolicy{true, true},
		}
		w.restart()
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { w.check() },
			"arrive":  w.arrive,
			"beat":    w.beat,
			"beat2":   w.beat,
			"beat3":   w.beat,
			"depart":  w.depart,
			"die":     w.die,
			"topics":  w.change,
			"advance": w.advance,
			"restart": func(*rapid.T) { w.restart() },
		})
		w.settle()
	})
}

func (w *consumers) restart() {
	w.shard = NewShard(w.options)
	for _, e := range w.log {
		e.replay(w.shard)
	}
	w.shard.see(w.picture)
	clear(w.parked)
	w.take(w.shard.Activate(w.now))
}

func (w *consumers) take(d Decision) []Reply {
	w.log = append(w.log, entriesOf(d)...)
	var other []Reply
	for _, r := range d.Replies {
		if c := w.parked[r.Request]; c != nil {
			delete(w.parked, r.Request)
			w.answered(c, r.Body)
			continue
		}
		other = append(other, r)
	}
	return other
}

// ask sends a request and returns its answer, nil if it waits.
func (w *consumers) ask(c *client, e Event) any {
	w.request++
	id := w.request
	for _, r := range w.take(w.shard.Handle(id, e, w.now)) {
		if r.Request == id {
			return r.Body
		}
	}
	w.parked[id] = c
	return nil
}

func (w *consumers) arrive(t *rapid.T) {
	if len(w.clients) >= 5 {
		return
	}
	w.drawn++
	c := &client{id: fmt.Sprintf("m%d", w.drawn), classic: rapid.IntRange(0, 2).Draw(t, "classic") == 0, holds: map[string]bool{}, heard: w.now}
	if i := rapid.SampledFrom([]string{"", "", "i", "j"}).Draw(t, "instance"); i != "" {
		for _, other := range w.clients {
			if other.instance == i {
				return
			}
		}
		c.instance = i
	}
	c.topics = rapid.SampledFrom([][]string{{"t"}, {"t", "u"}, {"u"}}).Draw(t, "topics")
	if !c.classic && rapid.IntRange(0, 3).Draw(t, "regex") == 0 {
		c.topics, c.regex = []string{}, "[tuv]"
	}
	w.clients[c.id] = c
	w.send(c, false)
}

func (w *consumers) some(t *rapid.T) *client {
	if len(w.clients) == 0 {
		return nil
	}
	return w.clients[rapid.SampledFrom(slices.Sorted(maps.Keys(w.clients))).Draw(t, "client")]
}

func (w *consumers) beat(t *rapid.T) {
	if c := w.some(t); c != nil {
		w.send(c, rapid.IntRange(0, 5).Draw(t, "lost") == 0)
	}
}

// send makes the client's next request. Where the answer gets lost the client knows nothing of it.
func (w *consumers) send(c *client, lost bool) {
	for _, p := range w.parked {
		if p == c {
			return // it waits for an answer
		}
	}
	if c.classic {
		w.sendClassic(c)
		return
	}
	e := ConsumerHeartbeat{Group: "g", MemberID: c.id, MemberEpoch: c.epoch, ClientID: "c", ClientHost: "/h", RebalanceTimeout: -1, NeedsMemberID: true, Picture: w.picture}
	if c.instance != "" {
		e.InstanceID = &c.instance
	}
	e.HasOwned, e.Owned = true, w.owned(c)
	if c.epoch == joinEpoch || c.lost {
		e.RebalanceTimeout, e.Topics = 60_000, c.topics
		e.Regex = &c.regex
	}
	reply := w.ask(c, e).(ConsumerHeartbeatReply)
	c.heard = w.now
	if c.lost = lost; lost {
		return
	}
	w.answered(c, reply)
}

func (w *consumers) owned(c *client) []TopicPartitions {
	var topics []TopicPartitions
	for _, name := range []string{"t", "u", "v"} {
		t, ok := w.picture.ByName(name)
		owned := TopicPartitions{ID: t.ID}
		for p := range int32(9) {
			if c.holds[fmt.Sprintf("%s-%d", name, p)] {
				owned.Partitions = append(owned.Partitions, p)
			}
		}
		if ok && len(owned.Partitions) > 0 {
			topics = append(topics, owned)
		}
	}
	return topics
}

func (w *consumers) sendClassic(c *client) {
	switch {
	case c.joined:
		c.joined = false
		w.parkOr(c, w.ask(c, Sync{Group: "g", MemberID: c.id, InstanceID: c.instance, Generation: c.epoch, Assignments: w.shares()}))
	case c.epoch == joinEpoch:
		// An eager consumer gives everything up before it joins.
		clear(c.holds)
		id := c.id
		if w.shard.consumerOf("g") == nil || w.shard.consumerOf("g").members[c.id] == nil {
			if g := w.shard.live["g"]; g == nil || g.byID[c.id] == nil {
				id = ""
			}
		}
		w.drawn++
		w.parkOr(c, w.ask(c, Join{
			Group: "g", MemberID: id, InstanceID: c.instance, ClientID: "c", ClientHost: "/h", SessionTimeout: 30 * time.Second, RebalanceTimeout: 60 * time.Second,
			ProtocolType: "consumer", Protocols: []Protocol{{"range", subscription(c.topics...)}}, NewMemberID: fmt.Sprintf("n%d", w.drawn), Picture: w.picture,
		}))
	default:
		w.parkOr(c, w.ask(c, Heartbeat{Group: "g", MemberID: c.id, InstanceID: c.instance, Generation: c.epoch}))
	}
}

// shares is what the leader of a classic group makes: all to itself would do, but it deals them out.
func (w *consumers) shares() map[string][]byte {
	g := w.shard.live["g"]
	if g == nil || len(g.members) == 0 {
		return nil
	}
	out := map[string][]byte{}
	for i, m := range g.members {
		var owned []ownedTopic
		for _, name := range []string{"t", "u", "v"} {
			t, ok := w.picture.ByName(name)
			if !ok {
				continue
			}
			o := ownedTopic{topic: name}
			for p := range t.Partitions {
				if int(p)%len(g.members) == i {
					o.partitions = append(o.partitions, p)
				}
			}
			owned = append(owned, o)
		}
		out[m.id] = encodeAssignment(subscription(), owned)
	}
	return out
}

func (w *consumers) parkOr(c *client, body any) {
	c.heard = w.now
	if body != nil {
		w.answered(c, body)
	}
}

// answered is what a client makes of an answer.
func (w *consumers) answered(c *client, body any) {
	rename := func(id string) {
		if w.clients[c.id] == c {
			delete(w.clients, c.id)
			w.clients[id] = c
		}
		c.id = id
	}
	switch b := body.(type) {
	case ConsumerHeartbeatReply:
		switch b.Err {
		case kafka.None:
			c.epoch = b.MemberEpoch
			if b.Assignment != nil {
				w.hold(c, *b.Assignment)
			}
		case kafka.UnreleasedInstanceID, kafka.GroupMaxSizeReached:
		default: // it is fenced: it drops everything and joins again
			clear(c.holds)
			c.epoch = joinEpoch
		}
	case JoinReply:
		if b.Err != kafka.None {
			c.epoch = joinEpoch
			if b.Err == kafka.UnknownMemberID {
				clear(c.holds)
			}
			return
		}
		rename(b.MemberID)
		c.epoch, c.joined = b.Generation, true
	case SyncReply:
		if b.Err != kafka.None {
			c.epoch = joinEpoch
			return
		}
		owned, _ := parseAssignment(b.Assignment)
		w.hold(c, w.shard.ownedIDs(owned))
	case kafka.Error:
		if b != kafka.None {
			c.epoch = joinEpoch
			if b != kafka.RebalanceInProgress {
				clear(c.holds)
			}
		}
	}
}

func (w *consumers) hold(c *client, topics []TopicPartitions) {
	clear(c.holds)
	for _, t := range topics {
		if facts, ok := w.picture.ByID(t.ID); ok {
			for _, p := range t.Partitions {
				c.holds[fmt.Sprintf("%s-%d", facts.Name, p)] = true
			}
		}
	}
}

func (w *consumers) depart(t *rapid.T) {
	c := w.some(t)
	if c == nil {
		return
	}
	clear(c.holds)
	delete(w.clients, c.id)
	switch {
	case c.classic:
		w.ask(nil, Leave{Group: "g", Members: []Leaver{{MemberID: c.id, InstanceID: c.instance}}})
	case c.instance != "":
		w.ask(nil, ConsumerHeartbeat{Group: "g", MemberID: c.id, MemberEpoch: leaveStaticEpoch, InstanceID: &c.instance, RebalanceTimeout: -1, Picture: w.picture})
	default:
		w.ask(nil, ConsumerHeartbeat{Group: "g", MemberID: c.id, MemberEpoch: leaveEpoch, RebalanceTimeout: -1, Picture: w.picture})
	}
}

// die lets a client go without a word.
func (w *consumers) die(t *rapid.T) {
	if c := w.some(t); c != nil {
		delete(w.clients, c.id)
	}
}

func (w *consumers) change(t *rapid.T) {
	name := rapid.SampledFrom([]string{"t", "u", "v"}).Draw(t, "topic")
	before, _ := w.picture.ByName(name)
	partitions := before.Partitions + rapid.Int32Range(1, 2).Draw(t, "more")
	if before.Partitions >= 7 || rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		partitions = 0
	}
	w.picture = w.picture.with(name, partitions)
	if partitions == 0 {
		for _, c := range w.clients {
			maps.DeleteFunc(c.holds, func(p string, _ bool) bool { return p[:1] == name })
		}
	}
}

func (w *consumers) advance(t *rapid.T) {
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 20, 50}).Draw(t, "seconds")) * time.Second)
}

// pass lets time pass. A client that was silent for a session knows that it is out by then, as a real one does.
func (w *consumers) pass(d time.Duration) {
	target := w.now.Add(d)
	for _, c := range w.clients {
		session := 45 * time.Second
		if c.classic {
			session = 30 * time.Second
		}
		if !target.Before(c.heard.Add(session)) {
			clear(c.holds)
			c.epoch, c.joined = joinEpoch, false
		}
	}
	for at := w.shard.NextAlarm(); !at.IsZero() && !at.After(target); at = w.shard.NextAlarm() {
		if at.After(w.now) {
			w.now = at
		}
		w.take(w.shard.Handle(NoRequest, Tick{}, w.now))
	}
	w.now = target
}

func (w *consumers) check() {
	if err := checkShard(w.shard, w.log, w.options); err != nil {
		w.t.Fatal(err)
	}
	if w.shard.consumerOf("g") == nil {
		return // leaders of a classic group divide as they like
	}
	holders := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(w.clients)) {
		for p := range w.clients[id].holds {
			if other, ok := holders[p]; ok {
				w.t.Fatalf("%s and %s both hold %s", other, id, p)
			}
			holders[p] = id
		}
	}
}

// settle lets the clients that are left go on in peace: in the end every partition that somebody reads has one holder.
func (w *consumers) settle() {
	for range 60 {
		w.pass(3 * time.Second)
		for _, id := range slices.Sorted(maps.Keys(w.clients)) {
			if c := w.clients[id]; c != nil {
				w.send(c, false)
			}
		}
		w.check()
	}
	g := w.shard.consumerOf("g")
	if g == nil {
		return
	}
	want := map[string]bool{}
	for _, c := range w.clients {
		for name, t := range w.picture.topics {
			if slices.Contains(c.topics, name) || c.regex != "" {
				for p := range t.Partitions {
					want[fmt.Sprintf("%s-%d", name, p)] = true
				}
			}
		}
	}
	got := map[string]bool{}
	for _, c := range w.clients {
		maps.Copy(got, c.holds)
	}
	if len(w.clients) > 0 && !maps.Equal(got, want) {
		w.t.Fatalf("held are %v, want %v\n%s", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)), describeConsumer(g))
	}
}
