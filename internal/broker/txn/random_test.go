package txn

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// world is a machine, clients that use it honestly and others that do not, and what is known to have happened.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	machine *Machine
	log     []machine.Record
	now     time.Time
	nextID  int64

	// given are all producers that were ever given out, by id, with the transactional id that got them.
	given map[int64]string
	// epochs are the highest epochs ever seen of a producer id.
	epochs map[int64]int16
	// current is who may use a transactional id, as far as a client knows.
	current map[string]Producer
	// markers are the ends that were asked for and not yet reported.
	markers map[string]Complete
	// last is the newest record of each id.
	last map[string]*txnrecord.Transaction
}

// TestRandomEvents sends random events, restarts at random and lets the clock run. After each event: the log says what the
// machine says; no producer id belongs to two transactional ids; epochs do not fall; an outcome, once decided, stays, with
// its partitions; who was fenced changes nothing.
func TestRandomEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			w := &world{
				t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: epoch, nextID: 1, given: map[int64]string{}, epochs: map[int64]int16{},
				current: map[string]Producer{}, markers: map[string]Complete{}, last: map[string]*txnrecord.Transaction{},
			}
			w.restart()
			for range 400 {
				w.step()
			}
			w.settle()
		})
	}
}

// randomOptions are short enough for everything to happen.
var randomOptions = Options{Expiration: 5 * time.Minute, CleanupInterval: time.Minute}

func (w *world) restart() {
	w.machine = replayed(w.t, randomOptions, w.log)
	before := w.markers
	w.markers = map[string]Complete{}
	w.take(w.machine.Activate(w.now))
	if !reflect.DeepEqual(w.markers, before) {
		w.t.Fatalf("after a restart markers are asked for as %v, before it was %v", w.markers, before)
	}
}

func (w *world) step() {
	id := fmt.Sprintf("id-%d", w.rng.IntN(4))
	p, bumps := w.producer(id), w.rng.IntN(2) == 0
	switch n := w.rng.IntN(100); {
	case n < 12:
		w.init(id, nil)
	case n < 24:
		w.init(id, &p)
	case n < 50:
		w.ask(id, p, AddPartitions{TransactionalID: id, Producer: p, Partitions: w.partitions(), Bumps: bumps})
	case n < 55:
		w.ask(id, p, Verify{TransactionalID: id, Producer: p, Partitions: w.partitions()})
	case n < 75:
		w.end(id, p, bumps)
	case n < 90:
		w.written()
	case n < 95:
		w.restart()
	case n < 99:
		w.advance(time.Duration(w.rng.IntN(40)) * time.Second)
	default:
		w.advance(time.Duration(w.rng.IntN(8)) * time.Minute)
	}
	w.check()
}

// producer is mostly the one that has the id, at times an older one, or one from nowhere.
func (w *world) producer(id string) Producer {
	p, ok := w.current[id]
	switch {
	case !ok:
		return Producer{ID: 77_777, Epoch: 3}
	case w.rng.IntN(5) == 0:
		p.Epoch = int16(w.rng.IntN(int(p.Epoch) + 2))
	case w.rng.IntN(30) == 0:
		p.ID = w.rng.Int64N(w.nextID + 1)
	}
	return p
}

func (w *world) partitions() []kafka.TopicPartition {
	var all []kafka.TopicPartition
	for range 1 + w.rng.IntN(3) {
		all = append(all, kafka.TopicPartition{Topic: string(rune('a' + w.rng.IntN(2))), Partition: w.rng.Int32N(3)})
	}
	return all
}

// ask handles an event of a producer. Whoever is not the id's producer must not change it.
func (w *world) ask(id string, p Producer, event any) any {
	before := w.machine.ids[id]
	d := w.machine.Handle(1, event, w.now)
	w.take(d)
	if before != nil && len(d.Records) > 0 && p != producerOf(before) {
		w.t.Fatalf("%+v changed %s, which belongs to %+v", event, id, producerOf(before))
	}
	return d.Replies[0].Body
}

func (w *world) init(id string, known *Producer) {
	e := Init{TransactionalID: id, TimeoutMillis: 30_000, Known: known, NewProducerID: txnrecord.None}
	before := w.machine.ids[id]
	for range 2 {
		d := w.machine.Handle(1, e, w.now)
		w.take(d)
		r := d.Replies[0].Body.(InitReply)
		if r.NeedsProducerID {
			if len(d.Records) > 0 {
				w.t.Fatalf("%+v changed something although it needs an id", e)
			}
			e.NewProducerID = w.nextID
			w.nextID++
			continue
		}
		if r.Err != kafka.None {
			return
		}
		again := before != nil && known != nil && known.Epoch == before.LastProducerEpoch
		if r.Producer == w.current[id] && !again {
			w.t.Fatalf("%+v got %+v, which another has", e, r.Producer)
		}
		if r.Producer.Epoch > kafka.MaxProducerEpoch {
			w.t.Fatalf("%+v got the epoch %d", e, r.Producer.Epoch)
		}
		w.current[id] = r.Producer
		return
	}
	w.t.Fatalf("%+v needs an id although it has one", e)
}

func (w *world) end(id string, p Producer, bumps bool) {
	e := End{TransactionalID: id, Producer: p, Commit: w.rng.IntN(2) == 0, Bumps: bumps, NewProducerID: w.nextID}
	w.nextID++
	before := w.machine.ids[id]
	r := w.ask(id, p, e).(EndReply)
	if r.Err != kafka.None {
		return
	}
	if e.Commit && before.State != txnrecord.Ongoing && before.State != txnrecord.CompleteCommit {
		w.t.Fatalf("%+v succeeded in state %s", e, before.State)
	}
	if bumps {
		w.current[id] = r.Producer
	}
}

// written reports one of the ends, or one that is over.
func (w *world) written() {
	ids := make([]string, 0, len(w.markers))
	for id := range w.markers {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		w.take(w.machine.Handle(1, MarkersWritten{TransactionalID: "id-0", Producer: Producer{ID: 1}}, w.now))
		return
	}
	slices.Sort(ids)
	id := ids[w.rng.IntN(len(ids))]
	c := w.markers[id]
	delete(w.markers, id)
	w.take(w.machine.Handle(1, MarkersWritten{TransactionalID: id, Producer: c.Producer}, w.now))
	if t := w.machine.ids[id]; t.State.Prepared() {
		w.t.Fatalf("%s is %s with all markers written", id, t.State)
	}
}

func (w *world) advance(by time.Duration) {
	target := w.now.Add(by)
	for at := w.machine.NextAlarm(); !at.After(target); at = w.machine.NextAlarm() {
		if at.After(w.now) {
			w.now = at
		}
		w.take(w.machine.Handle(machine.NoRequest, machine.Tick{}, w.now))
	}
	w.now = target
	for id, t := range w.machine.ids {
		if isOpen(t.State) && !timesOut(t).After(w.now) {
			w.t.Fatalf("the transaction of %s is open for longer than its time-out", id)
		}
	}
}

// take notes records and effects, and what they say that must not change any more.
func (w *world) take(d machine.Decision) {
	for _, r := range d.Records {
		decoded, err := txnrecord.Decode(r.Key, r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.note(decoded.TransactionalID, decoded.Transaction)
	}
	w.log = append(w.log, d.Records...)
	for _, e := range d.Effects {
		c := e.(Complete)
		w.markers[c.TransactionalID] = c
	}
}

func (w *world) note(id string, t *txnrecord.Transaction) {
	before := w.last[id]
	w.last[id] = t
	if t == nil {
		delete(w.current, id)
		if isOpen(before.State) || before.State.Prepared() {
			w.t.Fatalf("%s was %s and is gone", id, before.State)
		}
		return
	}
	if before != nil && before.State.Prepared() && t.State != completeState(before.State == txnrecord.PrepareCommit) {
		w.t.Fatalf("%s went from %s to %s", id, before.State, t.State)
	}
	if t.State.Prepared() && before != nil && isOpen(before.State) && !slices.Equal(t.Partitions, before.Partitions) {
		w.t.Fatalf("%s has partitions %v at its end, before it had %v", id, t.Partitions, before.Partitions)
	}
	for _, pid := range []int64{t.ProducerID, t.NextProducerID} {
		if owner, ok := w.given[pid]; pid != txnrecord.None && ok && owner != id {
			w.t.Fatalf("producer id %d belongs to %s and %s", pid, owner, id)
		}
		w.given[pid] = id
	}
	if highest, ok := w.epochs[t.ProducerID]; ok && t.ProducerEpoch < highest {
		w.t.Fatalf("epoch %d of producer %d after %d", t.ProducerEpoch, t.ProducerID, highest)
	}
	w.epochs[t.ProducerID] = t.ProducerEpoch
}

func (w *world) check() {
	again := replayed(w.t, randomOptions, w.log)
	if !reflect.DeepEqual(again.ids, w.machine.ids) {
		w.t.Fatalf("the log says %+v, the machine %+v", again.list(), w.machine.list())
	}
	for id, t := range w.machine.ids {
		if _, asked := w.markers[id]; t.State.Prepared() != asked {
			w.t.Fatalf("%s is %s, markers asked for: %t", id, t.State, asked)
		}
		if !isOpen(t.State) && !t.State.Prepared() && len(t.Partitions) > 0 {
			w.t.Fatalf("%s is %s with partitions %v", id, t.State, t.Partitions)
		}
	}
}

// settle lets everything come to its end: nothing hangs.
func (w *world) settle() {
	w.advance(time.Minute)
	for len(w.markers) > 0 {
		w.written()
	}
	w.advance(7 * time.Minute)
	if left := w.machine.list(); len(left) > 0 {
		w.t.Fatalf("%d ids are left, first %s: %s", len(left), left[0].TransactionalID, left[0].Transaction.State)
	}
}
