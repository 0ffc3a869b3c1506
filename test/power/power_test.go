package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/vfs"
)

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
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

// Limits of a round. workTime is how long the clients of the first work, which no operation ends. cutTime is for a server that comes to do less than the
// operation at which it was to be cut: more than a busy machine needs, for what is done is to depend on the operations and not on the clock.
const (
	checkTime = time.Minute
	workTime  = 2 * time.Second
	cutTime   = 20 * time.Second
)

// run is a machine and what its users know.
type run struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	on      image
	ledger  *ledger
	checked int // restarts after which everything was looked at
	early   int // cuts before that
	looks   int
	cleaned int // compactions, as far as they were seen
}

func TestPowerCutsBreakNoPromise(t *testing.T) {
	t.Parallel()
	seed := fromEnvironment(t, "POWER_SEED", uint64(time.Now().UnixNano()))
	rounds := int(fromEnvironment(t, "POWER_ROUNDS", 6))
	t.Logf("POWER_SEED=%d", seed)
	r := &run{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), ledger: newLedger(),
		on: image{vfs.NewMem(), pebblevfs.NewCrashableMem()},
	}
	r.round(0, r.begin)
	for range rounds {
		at := 300 + r.rng.Int64N(1500)
		if r.rng.IntN(4) == 0 {
			at = 1 + r.rng.Int64N(100) // while it starts, or is being checked
		}
		r.round(at, r.check)
	}
	s := r.start(0)
	if err := r.check(t.Context(), s.addr); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if err := s.end(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	ends, records, offsets := r.ledger.count()
	t.Logf("%d cuts, %d of them before the server was checked; %d transactions committed, %d aborted; %d records, %d offsets, %d compactions",
		rounds+1, r.early, ends[committed], ends[aborted], records, offsets, r.cleaned)
	if ends[committed] < rounds*5 || ends[aborted] < rounds || records < int64(rounds*20) || offsets < int64(rounds*20) || r.checked < rounds/3 || r.cleaned == 0 {
		t.Errorf("seed %d: invalid: too little was done between the cuts, or checked %d times only", seed, r.checked)
	}
}

func (r *run) start(at int64) *server {
	s, err := startServer(r.t.Context(), r.on, r.rng, at, r.ledger.freeze)
	if err != nil {
		r.t.Fatalf("seed %d: %v", r.seed, err)
	}
	return s
}

// round starts the server, does what comes first, lets clients work until the power goes, and takes what that leaves.
func (r *run) round(at int64, first func(context.Context, string) error) {
	s := r.start(at)
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	go func() {
		<-s.dead
		cancel()
	}()
	if !s.isDead() {
		err := first(ctx, s.addr)
		switch {
		case s.isDead():
			r.early++
		case err != nil:
			r.t.Fatalf("seed %d: %v", r.seed, err)
		}
		length := cutTime
		if at == 0 {
			length = workTime
		}
		limit := time.AfterFunc(length, s.cut)
		seen := make(chan int, 1)
		go func() {
			n := 0
			for ctx.Err() == nil {
				n = max(n, s.cleanings(ctx))
				_ = pause(ctx, 100*time.Millisecond) // the loop sees the end of ctx
			}
			seen <- n
		}()
		// The choices of clients have a source of their own: that of the cut is in use by now.
		work(ctx, s.addr, r.ledger, rand.New(rand.NewPCG(r.seed, uint64(r.checked+r.early))))
		<-s.dead
		limit.Stop()
		r.cleaned += <-seen
	} else {
		r.early++
	}
	if err := s.end(); err != nil {
		r.t.Fatalf("seed %d: %v", r.seed, err)
	}
	r.on = s.left
	r.ledger.thaw()
}

// begin makes the topics.
func (r *run) begin(ctx context.Context, addr string) error {
	cl, err := newClient(ctx, options(addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	megabyte, compact := "1048576", "compact"
	for topic, configs := range map[string]map[string]*string{
		transactional: nil, plain: nil,
		compacted: {"cleanup.policy": &compact, "segment.bytes": &megabyte},
	} {
		if _, err := adm.CreateTopic(ctx, partitions, -1, configs, topic); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	// The topic of groups comes with the first group.
	for {
		_, err := adm.FetchOffsets(ctx, "g0")
		if err == nil {
			break
		}
		if !kerr.IsRetriable(err) {
			return err
		}
	}
	_, err = adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "segment.bytes", Value: &megabyte}}, "__consumer_offsets")
	return err
}

// check looks at everything, and tells of what is wrong.
func (r *run) check(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	v, err := r.look(ctx, addr)
	if err == nil {
		err = r.checkMember(ctx, addr)
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err() // what was seen is of a server without power
	}
	if err != nil {
		return err
	}
	r.checked++
	for _, s := range r.ledger.check(v) {
		r.t.Errorf("seed %d, check %d: %s", r.seed, r.checked, s)
	}
	if r.t.Failed() {
		return errors.New("a promise was broken")
	}
	return nil
}

// look reads all that there is, once no transaction is open.
func (r *run) look(ctx context.Context, addr string) (v view, err error) {
	v = view{items: map[place]item{}, keys: map[string]int64{}, offsets: map[string]int64{}}
	r.looks++
	workers, groups := []string{}, []string{"g0", "g1", "m"}
	r.ledger.with(func() {
		for name := range r.ledger.txns {
			workers = append(workers, name)
		}
	})
	for _, name := range workers {
		if err := endWhatIsOpen(ctx, addr, name); err != nil {
			return v, fmt.Errorf("end what %s had open: %w", name, err)
		}
	}
	for _, topic := range []string{transactional, plain, compacted} {
		if err := readAll(ctx, addr, topic, r.looks, v); err != nil {
			return v, err
		}
	}
	cl, err := newClient(ctx, options(addr)...)
	if err != nil {
		return v, err
	}
	defer cl.Close()
	for _, group := range append(groups, workers...) {
		for {
			got, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
			if kerr.IsRetriable(err) {
				continue
			}
			if err = errors.Join(err, got.Error()); err != nil {
				return v, fmt.Errorf("fetch the offset of %s: %w", group, err)
			}
			if o, ok := got.Lookup(transactional, 0); ok && o.At >= 0 {
				v.offsets[group] = o.At
			}
			break
		}
	}
	return v, nil
}

// endWhatIsOpen ends the transaction that a worker may have open, as its next life would.
func endWhatIsOpen(ctx context.Context, addr, worker string) error {
	cl, err := (&transactor{name: worker}).client(ctx, addr)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, _, err = cl.ProducerID(ctx)
	return err
}

// checkMember asks whether the member of a group still is one.
func (r *run) checkMember(ctx context.Context, addr string) error {
	var m member
	r.ledger.with(func() { m = r.ledger.member })
	if m.id == "" {
		return nil
	}
	cl, err := newClient(ctx, options(addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	res, err := heartbeat(ctx, cl, m.id, m.epoch)
	if err != nil {
		return fmt.Errorf("heartbeat of member %s in epoch %d: %w", m.id, m.epoch, err)
	}
	if res.MemberEpoch < m.epoch {
		return fmt.Errorf("member %s was in epoch %d and is in %d", m.id, m.epoch, res.MemberEpoch)
	}
	return nil
}

// readAll reads a topic with read_committed up to records that it writes at the end, which shows that nothing holds up the
// last stable offset.
func readAll(ctx context.Context, addr, topic string, look int, v view) error {
	cl, err := newClient(ctx, options(addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	end := fmt.Sprint("end ", look)
	for p := range int32(partitions) {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Key: []byte("end"), Value: []byte(end)}).FirstErr(); err != nil {
			return fmt.Errorf("write to the end of %s: %w", topic, err)
		}
	}
	var wrong error
	for ended := 0; ended < partitions; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read %s to the end, of %d partitions of %d: %w", topic, ended, partitions, ctx.Err())
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			value := string(rec.Value)
			switch {
			case value == end:
				ended++
			case strings.HasPrefix(value, "end "):
			case topic == compacted:
				word, _, _ := strings.Cut(value, " ")
				n, err := strconv.ParseInt(word, 10, 64)
				wrong = errors.Join(wrong, err)
				v.keys[string(rec.Key)] = n
			default:
				it, err := parseItem(value)
				wrong = errors.Join(wrong, err)
				v.items[place{topic, rec.Partition, rec.Offset}] = it
			}
		})
	}
	return wrong
}
