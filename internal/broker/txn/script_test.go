package txn

import (
	"flag"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/machinetest"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts into testdata")

// epoch is when every script begins.
var epoch = time.UnixMilli(1_000_000_000_000)

// script runs the commands of one file against a machine. After each command a fresh machine that replays the log must
// have the same state.
type script struct {
	t       *testing.T
	options Options
	machine *Machine
	log     []machine.Record
	now     time.Time
	nextID  int64
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
	s := &script{t: t, now: epoch}
	s.restart()
	machinetest.Script(t, file, *rewrite, &s.out, func(line string) {
		s.run(line)
		s.check(line)
	})
}

// replayed returns a machine that has replayed the log and is not active yet.
func replayed(t *testing.T, options Options, log []machine.Record) *Machine {
	t.Helper()
	m := NewMachine(options)
	for _, r := range log {
		if err := m.Replay(r, nil); err != nil {
			t.Fatalf("replay: %v", err)
		}
	}
	return m
}

func (s *script) restart() {
	s.machine = replayed(s.t, s.options, s.log)
	s.print(s.machine.Activate(s.now))
}

func (s *script) check(line string) {
	if again := replayed(s.t, s.options, s.log); !reflect.DeepEqual(again.ids, s.machine.ids) {
		s.t.Fatalf("after %q the log says %v, the machine %v", line, again.list(), s.machine.list())
	}
}

// args are the words of a command.
type args struct{ machinetest.Args }

// producer reads "7/2".
func (a args) producer(key string) Producer {
	id, epoch, _ := strings.Cut(a.Args[key], "/")
	return Producer{ID: atoi(id), Epoch: int16(atoi(epoch))}
}

// partitions reads "a-0,a-1,b-0".
func (a args) partitions() (all []kafka.TopicPartition) {
	for s := range strings.SplitSeq(a.Or("to", "t-0"), ",") {
		topic, index, _ := strings.Cut(s, "-")
		all = append(all, kafka.TopicPartition{Topic: topic, Partition: int32(atoi(index))})
	}
	return all
}

func atoi(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *script) run(line string) {
	words := strings.Fields(line)
	a := args{machinetest.ParseArgs(words[1:])}
	switch words[0] {
	case "options":
		s.options = Options{Expiration: a.Duration("expiration", "0s"), CleanupInterval: a.Duration("cleanup", "0s")}
		s.restart()
	case "restart":
		s.restart()
	case "advance":
		s.advance(s.now.Add(a.Duration("by", "0s")))
	case "stall":
		s.now = s.now.Add(a.Duration("by", "0s")) // alarms are late
	case "record":
		// What another broker may have left in the log.
		r := txnrecord.Record{TransactionalID: a.Or("id", "x")}
		if !a.Has("tombstone") {
			p := a.producer("p")
			state, _ := txnrecord.ParseState(a.Args["state"])
			r.Transaction = &txnrecord.Transaction{
				ProducerID: p.ID, ProducerEpoch: p.Epoch, TimeoutMillis: 60_000, State: state, LastUpdate: s.now.UnixMilli(), Start: s.now.UnixMilli(),
				PreviousProducerID: p.ID, NextProducerID: txnrecord.None, LastProducerEpoch: txnrecord.None,
			}
			if isOpen(state) || state.Prepared() {
				r.Transaction.Partitions = a.partitions()
			}
		}
		s.log = append(s.log, machine.Record{Key: r.AppendKey(nil), Value: r.Value()})
		s.restart()
	default:
		s.ask(words[0], a, txnrecord.None)
	}
}

// ask hands an event over, a second time with a producer id if need be.
func (s *script) ask(verb string, a args, newID int64) {
	d := s.machine.Handle(1, s.event(verb, a, newID), s.now)
	switch r := d.Replies[0].Body.(type) {
	case InitReply:
		if r.NeedsProducerID {
			s.nextID++
			s.ask(verb, a, s.nextID*100)
			return
		}
	case EndReply:
		if r.NeedsProducerID {
			s.nextID++
			s.ask(verb, a, s.nextID*100)
			return
		}
	}
	s.print(d)
}

func (s *script) event(verb string, a args, newID int64) any {
	id := a.Or("id", "x")
	switch verb {
	case "init":
		e := Init{TransactionalID: id, TimeoutMillis: int32(a.Duration("timeout", "60s").Milliseconds()), NewProducerID: newID}
		if a.Has("known") {
			p := a.producer("known")
			e.Known = &p
		}
		return e
	case "add":
		return AddPartitions{TransactionalID: id, Producer: a.producer("p"), Partitions: a.partitions(), Bumps: a.Has("v2")}
	case "verify":
		return Verify{TransactionalID: id, Producer: a.producer("p"), Partitions: a.partitions()}
	case "commit", "abort":
		return End{TransactionalID: id, Producer: a.producer("p"), Commit: verb == "commit", Bumps: a.Has("v2"), NewProducerID: newID}
	case "written":
		return MarkersWritten{TransactionalID: id, Producer: a.producer("p")}
	case "pending":
		return Pending{TransactionalID: id}
	case "describe":
		return Describe{TransactionalID: id}
	case "list":
		return List{}
	}
	s.t.Fatalf("unknown command %q", verb)
	return nil
}

// advance moves the clock to the target, and lets each alarm ring at its time.
func (s *script) advance(target time.Time) {
	for at := s.machine.NextAlarm(); !at.After(target); at = s.machine.NextAlarm() {
		if at.After(s.now) {
			s.now = at
		}
		d := s.machine.Handle(machine.NoRequest, machine.Tick{}, s.now)
		if len(d.Records) > 0 {
			fmt.Fprintf(&s.out, "at %v\n", s.now.Sub(epoch))
		}
		s.print(d)
	}
	s.now = target
}

func (s *script) print(d machine.Decision) {
	s.log = append(s.log, d.Records...)
	for i, r := range d.Records {
		decoded, err := txnrecord.Decode(r.Key, r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&s.out, "record: %s %s (%s)\n", decoded.TransactionalID, describe(decoded.Transaction), d.Changes[i].Reason)
	}
	for _, r := range d.Replies {
		fmt.Fprintf(&s.out, "reply: %s\n", strings.TrimSpace(formatReply(r.Body)))
	}
	for _, e := range d.Effects {
		fmt.Fprintf(&s.out, "markers: %s\n", formatCompletion(e.(Complete)))
	}
}

func describe(t *txnrecord.Transaction) string {
	if t == nil {
		return "gone"
	}
	s := fmt.Sprintf("%d/%d %s v%d", t.ProducerID, t.ProducerEpoch, t.State, t.ClientVersion)
	if t.PreviousProducerID != t.ProducerID {
		s += fmt.Sprintf(" previous=%d", t.PreviousProducerID)
	}
	if t.NextProducerID != txnrecord.None {
		s += fmt.Sprintf(" next=%d", t.NextProducerID)
	}
	if t.LastProducerEpoch != txnrecord.None {
		s += fmt.Sprintf(" last=%d", t.LastProducerEpoch)
	}
	if len(t.Partitions) > 0 {
		s += fmt.Sprintf(" %v", t.Partitions)
	}
	return s
}

func formatReply(body any) string {
	switch r := body.(type) {
	case kafka.Error:
		return r.Name()
	case InitReply:
		return fmt.Sprintf("%s %d/%d", r.Err.Name(), r.Producer.ID, r.Producer.Epoch)
	case EndReply:
		return fmt.Sprintf("%s %d/%d", r.Err.Name(), r.Producer.ID, r.Producer.Epoch)
	case VerifyReply:
		s := r.Err.Name()
		for _, p := range r.Partitions {
			s += " " + p.Name()
		}
		return s
	case *Complete:
		if r == nil {
			return "nothing"
		}
		return formatCompletion(*r)
	case *txnrecord.Transaction:
		return describe(r)
	case []Listing:
		var s strings.Builder
		for _, l := range r {
			fmt.Fprintf(&s, "%s=%s ", l.TransactionalID, l.Transaction.State)
		}
		return s.String()
	}
	return fmt.Sprintf("%+v", body)
}

func formatCompletion(c Complete) string {
	return fmt.Sprintf("%s %d/%d commit=%t bumps=%t %v", c.TransactionalID, c.Producer.ID, c.Producer.Epoch, c.Commit, c.Bumps, c.Partitions)
}
