//go:build clusterchaos && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// treasure is what a restore has to bring back, as clients were told that it is there: values of a plain topic by place, values of committed transactions,
// the newest value of each key of a compacted topic, offsets of a group, an access control entry and a user.
type treasure struct {
	t      *testing.T
	addr   string
	plain  map[kgoPlace]string
	moved  map[string]bool // values of committed transactions
	hidden map[string]bool // of aborted ones
	newest map[string]string
	group  map[int32]int64
	rounds int
}

type kgoPlace struct {
	partition int32
	offset    int64
}

const treasurePartitions = 12

func newTreasure(t *testing.T, addr string) *treasure {
	return &treasure{t: t, addr: addr, plain: map[kgoPlace]string{}, moved: map[string]bool{}, hidden: map[string]bool{}, newest: map[string]string{}, group: map[int32]int64{}}
}

func (x *treasure) client(opts ...kgo.Opt) *kgo.Client {
	x.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(x.addr, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		x.t.Fatal(err)
	}
	return cl
}

func (x *treasure) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// begin makes the topics, the entry and the user.
func (x *treasure) begin(ctx context.Context) {
	x.t.Helper()
	cl := x.client()
	defer cl.Close()
	adm := kadm.NewClient(cl)
	x.must(makeTopic(ctx, adm, "plain", treasurePartitions))
	x.must(makeTopic(ctx, adm, "moves", treasurePartitions))
	compact, soon := "compact", "1000"
	_, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"cleanup.policy": &compact, "segment.ms": &soon, "max.compaction.lag.ms": &soon}, "states")
	x.must(err)
	acls, err := adm.CreateACLs(ctx, kadm.NewACLs().Allow("User:alice").AllowHosts().Topics("plain").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral))
	x.must(errors.Join(err, acls[0].Err))
	users, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "alice", Mechanism: kadm.ScramSha256, Iterations: 5000, Password: "secret"}})
	x.must(errors.Join(err, users["alice"].Err))
}

// write adds to all of it.
func (x *treasure) write(ctx context.Context) {
	x.t.Helper()
	x.rounds++
	cl := x.client()
	defer cl.Close()
	for i := range 20 {
		var rs []*kgo.Record
		for p := range int32(treasurePartitions) {
			rs = append(rs, &kgo.Record{Topic: "plain", Partition: p, Value: fmt.Appendf(nil, "plain-%d-%d-%d", x.rounds, i, p)})
		}
		for k := range 30 {
			key := fmt.Sprint("key-", k)
			rs = append(rs, &kgo.Record{Topic: "states", Partition: int32(k % 3), Key: []byte(key), Value: fmt.Appendf(nil, "%s-%d-%d", key, x.rounds, i)})
		}
		for _, r := range cl.ProduceSync(ctx, rs...) {
			x.must(r.Err)
			if r.Record.Topic == "plain" {
				x.plain[kgoPlace{r.Record.Partition, r.Record.Offset}] = string(r.Record.Value)
			} else {
				x.newest[string(r.Record.Key)] = string(r.Record.Value)
			}
		}
	}
	x.move(ctx)
	var os kadm.Offsets
	for p := range int32(treasurePartitions) {
		x.group[p] = int64(20*x.rounds - int(p))
		os.Add(kadm.Offset{Topic: "plain", Partition: p, At: x.group[p], LeaderEpoch: -1, Metadata: "m"})
	}
	x.must(kadm.NewClient(cl).CommitAllOffsets(ctx, "readers", os))
}

// move makes transactions, of which each third is aborted, with the same transactional id in every round.
func (x *treasure) move(ctx context.Context) {
	x.t.Helper()
	cl := x.client(kgo.TransactionalID("mover"))
	defer cl.Close()
	for i := range 15 {
		x.must(cl.BeginTransaction())
		var rs []*kgo.Record
		for p := range int32(4) {
			rs = append(rs, &kgo.Record{Topic: "moves", Partition: (int32(i) + 3*p) % treasurePartitions, Value: fmt.Appendf(nil, "move-%d-%d-%d", x.rounds, i, p)})
		}
		x.must(cl.ProduceSync(ctx, rs...).FirstErr())
		commit := i%3 != 2
		x.must(cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
		for _, r := range rs {
			if commit {
				x.moved[string(r.Value)] = true
			} else {
				x.hidden[string(r.Value)] = true
			}
		}
	}
}

// check reads everything that it should find.
func (x *treasure) check(ctx context.Context) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cl := x.client()
	defer cl.Close()
	adm := kadm.NewClient(cl)
	plain, states := map[kgoPlace]string{}, map[string]string{}
	x.read(ctx, adm, "plain", treasurePartitions, func(r *kgo.Record) { plain[kgoPlace{r.Partition, r.Offset}] = string(r.Value) })
	x.read(ctx, adm, "states", 3, func(r *kgo.Record) { states[string(r.Key)] = string(r.Value) })
	moves := map[string]int{}
	x.read(ctx, adm, "moves", treasurePartitions, func(r *kgo.Record) { moves[string(r.Value)]++ })
	lost := 0
	for at, v := range x.plain {
		if plain[at] != v {
			lost++
		}
	}
	for k, v := range x.newest {
		if states[k] != v {
			x.t.Errorf("key %s has %q, want %q", k, states[k], v)
		}
	}
	for v := range x.moved {
		if moves[v] != 1 {
			x.t.Errorf("%s, which was committed, is there %d times", v, moves[v])
		}
	}
	for v := range x.hidden {
		if moves[v] != 0 {
			x.t.Errorf("%s, which was aborted, is seen", v)
		}
	}
	if lost > 0 || len(plain) != len(x.plain) {
		x.t.Errorf("%d of %d acknowledged records are lost, %d are there", lost, len(x.plain), len(plain))
	}
	offsets, err := adm.FetchOffsets(ctx, "readers")
	x.must(err)
	for p, at := range x.group {
		if o, ok := offsets.Lookup("plain", p); !ok || o.Err != nil || o.At != at || o.Metadata != "m" {
			x.t.Errorf("group readers is at %+v of partition %d, want %d", o, p, at)
		}
	}
	acls, err := adm.DescribeACLs(ctx, kadm.NewACLs().Allow("User:alice").AllowHosts().Topics("plain").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral))
	x.must(err)
	if len(acls) != 1 || len(acls[0].Described) != 1 {
		x.t.Errorf("access control entries: %+v", acls)
	}
	users, err := adm.DescribeUserSCRAMs(ctx, "alice")
	x.must(err)
	if u := users["alice"]; u.Err != nil || len(u.CredInfos) != 1 || u.CredInfos[0].Iterations != 5000 {
		x.t.Errorf("user alice: %+v", u)
	}
	x.t.Logf("found %d records, %d keys, %d records of committed transactions", len(plain), len(states), len(moves))
}

// read calls see with all records of a topic that are there for readers of what is committed.
func (x *treasure) read(ctx context.Context, adm *kadm.Client, topic string, partitions int32, see func(*kgo.Record)) {
	x.t.Helper()
	var ends kadm.ListedOffsets
	for { // partitions may be on their way
		var err error
		if ends, err = adm.ListCommittedOffsets(ctx, topic); errors.Join(err, ends.Error()) == nil && len(ends[topic]) == int(partitions) {
			break
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			x.t.Fatalf("ends of %s: %v", topic, errors.Join(err, ends.Error()))
		}
	}
	from := map[int32]kgo.Offset{}
	missing := map[int32]bool{}
	for p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
		if o, _ := ends.Lookup(topic, p); o.Offset > 0 {
			missing[p] = true
		}
	}
	cl := x.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	for len(missing) > 0 {
		fetches := cl.PollFetches(ctx)
		x.must(ctx.Err())
		x.must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				see(r)
			}
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset >= end.Offset-1 {
				delete(missing, r.Partition)
			}
		})
	}
}
