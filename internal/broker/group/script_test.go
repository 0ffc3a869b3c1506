package group

import (
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/machinetest"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts into testdata")

// epoch is when every script begins.
var epoch = time.UnixMilli(1_000_000_000_000)

// script runs the commands of one file against a shard. After each command a fresh shard that replays the log must
// have the same durable layer, and a live group that is Stable must be what the log says.
type script struct {
	t       *testing.T
	options Options
	shard   *Shard
	log     []entry
	now     time.Time
	request RequestID
	drawn   map[string]int // member ids by client
	picture *picture
	out     strings.Builder
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file)
		})
	}
}

func runScript(t *testing.T, file string) {
	s := &script{t: t, now: epoch, drawn: map[string]int{}, picture: &picture{}}
	s.reset()
	machinetest.Script(t, file, *rewrite, &s.out, func(line string) {
		s.run(line)
		s.check(line)
	})
}

func (s *script) reset() {
	s.shard = NewShard(s.options)
	for _, e := range s.log {
		e.replay(s.shard)
	}
	s.print(s.shard.Activate(s.now))
}

// args are the words of a command.
type args struct{ machinetest.Args }

// list splits "a:1,2;b:3" into pairs of a name and its values.
func (a args) list(key string) (pairs [][2]string) {
	for part := range strings.SplitSeq(a.Args[key], ";") {
		if part != "" {
			name, value, _ := strings.Cut(part, ":")
			pairs = append(pairs, [2]string{name, value})
		}
	}
	return pairs
}

func (s *script) run(line string) {
	words := strings.Fields(line)
	a := args{machinetest.ParseArgs(words[1:])}
	switch words[0] {
	case "options":
		s.options = Options{
			InitialRebalanceDelay: a.Duration("delay", "-1s"), MaxSize: int(a.Int("max-size", 0)),
			Retention: a.Duration("retention", "168h"), ConsumerMaxSize: int(a.Int("consumer-max-size", 0)),
			ConsumerAssignmentInterval: a.Duration("interval", "-1s"), Migration: MigrationPolicy{!a.Has("no-upgrade"), !a.Has("no-downgrade")},
		}
		s.reset()
	case "restart":
		s.reset()
	case "advance":
		s.advance(s.now.Add(a.Duration("by", "0s")))
	case "topic":
		s.picture = s.picture.with(a.Args["name"], int32(a.Int("partitions", 1)))
	case "log":
		for _, e := range s.log {
			fmt.Fprintln(&s.out, e)
		}
	default:
		s.request++
		s.print(s.shard.Handle(s.request, s.event(words[0], a), s.now))
	}
}

// advance moves the clock to the target, and lets each alarm ring at its time.
func (s *script) advance(target time.Time) {
	for at := s.shard.NextAlarm(); !at.IsZero() && !at.After(target); at = s.shard.NextAlarm() {
		if at.After(s.now) {
			s.now = at
		}
		d := s.shard.Handle(NoRequest, Tick{}, s.now)
		if len(d.Records)+len(d.Replies)+len(d.Changes) > 0 {
			fmt.Fprintf(&s.out, "at %v\n", s.now.Sub(epoch))
		}
		s.print(d)
	}
	s.now = target
}

func (s *script) event(verb string, a args) Event {
	group := a.Or("g", "g")
	generation := int32(a.Int("gen", -1))
	switch verb {
	case "join":
		return s.joinEvent(group, a)
	case "sync":
		e := Sync{Group: group, MemberID: a.Args["m"], InstanceID: a.Args["instance"], Generation: generation, ProtocolType: a.Args["type"], Protocol: a.Args["protocol"], Assignments: map[string][]byte{}}
		for _, pair := range a.list("assign") {
			e.Assignments[pair[0]] = []byte(pair[1])
			if words := strings.Split(pair[1], "/"); len(words) > 1 { // t/0/1
				o := ownedTopic{topic: words[0]}
				for _, p := range words[1:] {
					o.partitions = append(o.partitions, atoi32(p))
				}
				e.Assignments[pair[0]] = encodeAssignment(subscription(), []ownedTopic{o})
			}
		}
		return e
	case "heartbeat":
		return Heartbeat{Group: group, MemberID: a.Args["m"], InstanceID: a.Args["instance"], Generation: generation}
	case "leave":
		e := Leave{Group: group}
		for _, pair := range a.list("members") {
			e.Members = append(e.Members, Leaver{MemberID: pair[0], InstanceID: pair[1]})
		}
		return e
	case "commit":
		e := Commit{Group: group, MemberID: a.Args["m"], InstanceID: a.Args["instance"], Generation: generation, Retention: a.Duration("retention", "-1ns"), NamesMissingGroup: a.Has("v9")}
		e.Offsets = commitOffsets(a)
		return e
	case "hb":
		return s.heartbeatEvent(group, a)
	case "describe-consumer":
		return ConsumerDescribe{Group: group, Picture: s.picture}
	case "fetch":
		return Fetch{Group: group, MemberID: a.Args["m"], MemberEpoch: int32(a.Int("epoch", -1)), All: a.Has("all"), Topics: fetchTopics(a), RequireStable: a.Has("stable")}
	case "delete-offsets":
		return DeleteOffsets{Group: group, Topics: fetchTopics(a)}
	case "delete-group":
		return DeleteGroup{Group: group}
	case "describe":
		return Describe{Group: group}
	case "list":
		return List{}
	case "snapshot":
		return Snapshot{Pending: a.Has("pending")}
	case "topics-deleted":
		var e TopicsDeleted
		for name := range strings.SplitSeq(a.Args["topics"], ",") {
			e.Topics = append(e.Topics, DeletedTopic{name, topicID(a.Args["id"])})
		}
		return e
	case "txn-commit":
		guard := s.shard.txnBegin(producerOf(a)).Guard
		return TxnCommit{Group: group, Producer: producerOf(a), Guard: uint64(a.Int("guard", int64(guard))), MemberID: a.Args["m"], InstanceID: a.Args["instance"], Generation: generation, Offsets: commitOffsets(a)}
	case "end-txn":
		return EndTransaction{machine.Marker{Producer: producerOf(a), CoordinatorEpoch: int32(a.Int("coordinator", 0)), Commit: a.Has("commit")}}
	}
	s.t.Fatalf("unknown command %q", verb)
	return nil
}

func (s *script) joinEvent(group string, a args) Join {
	client := a.Or("client", "c")
	if a.Args["m"] == "" {
		s.drawn[client]++
	}
	e := Join{
		Group: group, MemberID: a.Args["m"], InstanceID: a.Args["instance"], ClientID: client, ClientHost: "/h",
		SessionTimeout: a.Duration("session", "10s"), RebalanceTimeout: a.Duration("rebalance", "60s"),
		ProtocolType: a.Or("type", "consumer"), Reason: a.Args["reason"],
		Picture:            s.picture,
		NewMemberID:        fmt.Sprintf("%s-%d", client, s.drawn[client]),
		RequireKnownMember: a.Has("v4"), CanSkipAssignment: a.Has("v9"),
	}
	protocols := a.list("protocols")
	if !a.Has("protocols") {
		protocols = [][2]string{{"range", "t"}}
	}
	for _, pair := range protocols {
		metadata := []byte(pair[1])
		if e.ProtocolType == "consumer" && pair[1] != "bad" {
			metadata = subscription(strings.Split(pair[1], ",")...)
		}
		e.Protocols = append(e.Protocols, Protocol{Name: pair[0], Metadata: metadata})
	}
	return e
}

// subscription encodes a consumer's metadata, version 0, without user data.
func subscription(topics ...string) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(len(topics))}
	for _, topic := range topics {
		b = append(b, 0, byte(len(topic)))
		b = append(b, topic...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

func producerOf(a args) machine.Producer {
	return machine.Producer{ID: a.Int("pid", 1), Epoch: int16(a.Int("epoch", 0))}
}

func commitOffsets(a args) (offsets []CommitOffset) {
	for _, pair := range a.list("offsets") {
		partition, offset, _ := strings.Cut(pair[1], "@")
		o := CommitOffset{Topic: pair[0], Partition: atoi32(partition), LeaderEpoch: -1, Metadata: strings.Repeat("x", int(a.Int("metadata", 0)))}
		o.Offset, _ = strconv.ParseInt(offset, 10, 64)
		o.TopicID = topicID(a.Args["id"])
		offsets = append(offsets, o)
	}
	return offsets
}

func fetchTopics(a args) (topics []FetchTopic) {
	for _, pair := range a.list("topics") {
		topic := FetchTopic{Topic: pair[0], TopicID: topicID(a.Args["id"])}
		for partition := range strings.SplitSeq(pair[1], ",") {
			topic.Partitions = append(topic.Partitions, atoi32(partition))
		}
		topics = append(topics, topic)
	}
	return topics
}

func topicID(s string) (id kafka.TopicID) { copy(id[:], s); return id }

func atoi32(s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		panic(err)
	}
	return int32(n)
}

func (s *script) print(d Decision) {
	written := entriesOf(d)
	s.log = append(s.log, written...)
	for _, c := range d.Changes {
		fmt.Fprintf(&s.out, "%s is %v, generation %d, %d members: %s\n", c.Group, c.State, c.Generation, c.Members, strings.TrimSpace(c.Reason))
	}
	for _, e := range written {
		fmt.Fprintln(&s.out, e)
	}
	for _, r := range d.Replies {
		fmt.Fprintf(&s.out, "#%d %s\n", r.Request, strings.TrimSpace(formatBody(r.Body)))
	}
}

func formatRecord(r Record) string {
	switch {
	case r.Kind == offsetrecord.KindOffset && r.Offset == nil:
		return fmt.Sprintf("record: offset %s %s-%d = deleted", r.Group, r.Topic, r.Partition)
	case r.Kind == offsetrecord.KindOffset:
		return fmt.Sprintf("record: offset %s %s-%d = %d", r.Group, r.Topic, r.Partition, r.Offset.Offset)
	case r.Metadata == nil:
		if r.Kind > offsetrecord.KindMetadata {
			return formatConsumerRecord(r)
		}
		return fmt.Sprintf("record: group %s = deleted", r.Group)
	}
	var members []string
	for _, m := range r.Metadata.Members {
		members = append(members, fmt.Sprintf("%s=%q", m.ID, m.Assignment))
	}
	return fmt.Sprintf("record: group %s = generation %d %s %s leader %q [%s]", r.Group, r.Metadata.Generation, r.Metadata.ProtocolType, r.Metadata.Protocol, r.Metadata.Leader, strings.Join(members, " "))
}

func formatBody(body any) string {
	switch b := body.(type) {
	case kafka.Error:
		return b.Name()
	case JoinReply:
		if b.Err != kafka.None {
			return fmt.Sprintf("join: %s member=%q", b.Err.Name(), b.MemberID)
		}
		text := fmt.Sprintf("join: member=%s generation=%d %s/%s leader=%s", b.MemberID, b.Generation, b.ProtocolType, b.Protocol, b.Leader)
		if b.SkipAssignment {
			text += " skip-assignment"
		}
		for _, m := range b.Members {
			text += " [" + strings.TrimSpace(m.ID+" "+m.InstanceID) + "]"
		}
		return text
	case SyncReply:
		if b.Err != kafka.None {
			return "sync: " + b.Err.Name()
		}
		return fmt.Sprintf("sync: %s/%s %q", b.ProtocolType, b.Protocol, b.Assignment)
	case LeaveReply:
		return "leave: " + b.Err.Name() + " " + formatErrors(b.Members)
	case CommitReply:
		return "commit: " + b.Err.Name() + " " + formatErrors(b.Offsets)
	case FetchReply:
		text := "fetch: " + b.Err.Name()
		for _, topic := range b.Topics {
			for _, p := range topic.Partitions {
				if p.Err != kafka.None {
					text += fmt.Sprintf(" %s-%d=%s", topic.Topic, p.Partition, p.Err.Name())
					continue
				}
				text += fmt.Sprintf(" %s-%d=%d", topic.Topic, p.Partition, p.Offset)
			}
		}
		return text
	case DeleteOffsetsReply:
		return "delete-offsets: " + b.Err.Name() + " " + formatErrors(slices.Concat(b.Topics...))
	case Description:
		text := fmt.Sprintf("describe: %s %v %s/%s", b.Err.Name(), b.State, b.ProtocolType, b.Protocol)
		for _, m := range b.Members {
			text += fmt.Sprintf(" [%s %s%s %q]", m.ID, m.InstanceID, m.ClientID+m.ClientHost, m.Assignment)
		}
		return text
	case ConsumerHeartbeatReply:
		return formatHeartbeat(b)
	case ConsumerDescription:
		return formatConsumerDescription(b)
	case []Listing:
		text := "list:"
		for _, l := range b {
			if l.Type != Classic {
				text += fmt.Sprintf(" [%s %s %v]", l.Group, l.Type, l.State)
				continue
			}
			text += fmt.Sprintf(" [%s %s %v]", l.Group, l.ProtocolType, l.State)
		}
		return text
	default:
		return fmt.Sprintf("%+v", body)
	}
}

func formatErrors(errs []kafka.Error) string {
	names := make([]string, len(errs))
	for i, e := range errs {
		names[i] = e.Name()
	}
	return strings.Join(names, " ")
}

// check compares the shard with one that replays its log.
func (s *script) check(step string) {
	s.t.Helper()
	if err := checkShard(s.shard, s.log, s.options); err != nil {
		s.t.Fatalf("after %q: %v", step, err)
	}
}

// checkShard returns what is wrong with a shard whose log is known.
func checkShard(live *Shard, log []entry, options Options) error {
	fresh := NewShard(options)
	for _, e := range log {
		// Through its bytes, as a restart would see it.
		if e.marker != nil {
			e.replay(fresh)
			continue
		}
		again, err := offsetrecord.Decode(e.record.AppendKey(nil), e.record.Value())
		if err != nil {
			return fmt.Errorf("decode %v: %w", e, err)
		}
		e.record = again
		e.replay(fresh)
	}
	if got, want := flatten(live.durable), flatten(fresh.durable); !reflect.DeepEqual(got, want) {
		return fmt.Errorf("durable state\n live     %v\n replayed %v", got, want)
	}
	for id, g := range live.durable.groups {
		if err := checkConsumer(live, id, g.consumer, fresh.consumerOf(id)); err != nil {
			return err
		}
	}
	for id, g := range live.live {
		if err := checkLive(g); err != nil {
			return fmt.Errorf("group %q in %v: %w", id, g.state, err)
		}
		stored := fresh.durable.groups[id]
		switch g.state {
		case Stable:
			if stored == nil || stored.metadata == nil {
				return fmt.Errorf("group %q is Stable, and nothing is in the log", id)
			}
			again := g.metadata()
			again.StateTimestamp = stored.metadata.StateTimestamp
			if got, want := metadataBytes(again), metadataBytes(stored.metadata); got != want {
				return fmt.Errorf("group %q is\n %q\nand in the log\n %q", id, got, want)
			}
		case Empty:
			if len(g.pending) == 0 {
				return fmt.Errorf("group %q is idle and was not settled", id)
			}
		}
	}
	return nil
}

// checkLive checks what must hold of the live layer of a group at all times.
func checkLive(g *live) error {
	joining, counts := 0, map[string]int{}
	for _, m := range g.members {
		if g.byID[m.id] != m || m.instanceID != "" && g.static[m.instanceID] != m {
			return fmt.Errorf("member %s is not found by its ids", m.id)
		}
		if m.joining != NoRequest {
			joining++
		}
		if m.joining != NoRequest && g.state != PreparingRebalance {
			return fmt.Errorf("member %s waits for a join phase that is over", m.id)
		}
		if m.syncing != NoRequest && g.state != CompletingRebalance {
			return fmt.Errorf("member %s waits for an assignment that is not to come", m.id)
		}
		if waits := (m.joining != NoRequest && !m.isNew) || m.syncing != NoRequest; waits == !m.expiry.Due().IsZero() {
			return fmt.Errorf("member %s: waits=%v, session ends %v", m.id, waits, m.expiry.Due())
		}
		for _, p := range m.protocols {
			counts[p.Name]++
		}
	}
	switch {
	case len(g.byID) != len(g.members):
		return fmt.Errorf("%d ids for %d members", len(g.byID), len(g.members))
	case joining != g.joining:
		return fmt.Errorf("%d members wait, counted are %d", joining, g.joining)
	case !maps.Equal(counts, g.supports):
		return fmt.Errorf("protocols %v, counted are %v", counts, g.supports)
	case g.leader != "" && g.byID[g.leader] == nil:
		return fmt.Errorf("leader %s is no member", g.leader)
	case g.state == PreparingRebalance && g.joinExpiry.Due().IsZero():
		return fmt.Errorf("nothing ends the join phase")
	case g.state != PreparingRebalance && !g.joinExpiry.Due().IsZero():
		return fmt.Errorf("a join phase is timed that is over")
	case g.state == CompletingRebalance && g.syncExpiry.Due().IsZero():
		return fmt.Errorf("nothing ends the sync phase")
	case (g.state == Stable || g.state == CompletingRebalance) && len(g.members) == 0:
		return fmt.Errorf("no members")
	case g.state == Empty && len(g.members) > 0:
		return fmt.Errorf("%d members", len(g.members))
	}
	return nil
}

func metadataBytes(m *offsetrecord.Metadata) string {
	return string(Record{Kind: offsetrecord.KindMetadata, Metadata: m}.Value())
}

// flatten makes a durable layer comparable.
func flatten(d durable) map[string]string {
	flat := map[string]string{}
	for id, g := range d.groups {
		if g.metadata != nil {
			flat[id] = metadataBytes(g.metadata)
		}
		flattenOffsets(flat, id, g.offsets)
		for producer := range g.open {
			flat[fmt.Sprintf("%s has open %d", id, producer)] = "open"
		}
		if g.consumer != nil {
			flat[id+" is a consumer group"] = ""
		}
		if g.metadata == nil && g.consumer == nil && len(g.offsets) == 0 && len(g.open) == 0 {
			flat[id] = "empty group that should be gone"
		}
	}
	for id, p := range d.producers {
		flat[fmt.Sprintf("producer %d", id)] = fmt.Sprintf("epoch %d, coordinator epoch %d, open %v", p.epoch, p.coordinatorEpoch, p.pending != nil)
		for group, staged := range p.pending {
			flattenOffsets(flat, fmt.Sprintf("producer %d for %s", id, group), staged)
		}
	}
	return flat
}

func flattenOffsets(flat map[string]string, prefix string, from offsets) {
	for topic, partitions := range from {
		for partition, o := range partitions {
			flat[fmt.Sprintf("%s/%s-%d", prefix, topic, partition)] = string(Record{Kind: offsetrecord.KindOffset, Offset: o.Offset}.Value())
		}
	}
}

// entry is one entry of a shard's log: a record, or the end of a transaction.
type entry struct {
	record Record
	in     *machine.Producer
	marker *machine.Marker
}

// entriesOf returns what the runtime writes for a decision.
func entriesOf(d Decision) (entries []entry) {
	for _, r := range d.Records {
		entries = append(entries, entry{record: r, in: d.Transaction})
	}
	if d.Marker != nil {
		entries = append(entries, entry{marker: d.Marker})
	}
	return entries
}

func (e entry) replay(s *Shard) {
	if e.marker != nil {
		s.ReplayMarker(*e.marker)
		return
	}
	s.Replay(e.record, e.in)
}

func (e entry) String() string {
	switch {
	case e.marker != nil:
		return fmt.Sprintf("marker: producer %d epoch %d commit %v", e.marker.ID, e.marker.Epoch, e.marker.Commit)
	case e.in != nil:
		return fmt.Sprintf("%s (producer %d epoch %d)", formatRecord(e.record), e.in.ID, e.in.Epoch)
	}
	return formatRecord(e.record)
}
