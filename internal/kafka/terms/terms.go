// Package terms holds the nouns that the broker, which enforces the contracts of topics, and the platform, which judges records by
// them, have in common: what a topic asks of its records, how a record breaks that, and the headers in which it is told.
//
// The broker reads Terms from a topic's configs and decides what becomes of a batch; whoever judges knows schemas and returns a
// Violation. Neither knows the other. All of it is plain data: nothing here checks, fetches or counts.
package terms

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// Mode is what becomes of records that break the contract.
type Mode int8

// The modes, from the mildest on.
const (
	Off        Mode = iota // nothing is looked at
	Observe                // counted, with samples
	Mark                   // written with headers that say what is wrong
	DeadLetter             // written to another topic instead
	Reject                 // their whole batch is refused
)

// Modes are their names in the config, by number.
var Modes = []string{"off", "observe", "mark", "dlq", "reject"}

func (m Mode) String() string { return name(Modes, int(m)) }

// Level is how far a record is looked into. Each includes those before it.
type Level int8

// The levels.
const (
	ID     Level = iota // the id of the schema is known and belongs to the subject
	Schema              // the bytes can be read by the schema, to the last
	Rules               // the conditions of the schema's rule set hold
)

// Levels are their names in the config, by number.
var Levels = []string{"id", "schema", "rules"}

func (l Level) String() string { return name(Levels, int(l)) }

// Strategy gives the subject under which a schema must be registered.
type Strategy int8

// The strategies, as Confluent names them.
const (
	TopicName       Strategy = iota // topic-key, topic-value
	RecordName                      // the full name of the record
	TopicRecordName                 // topic, a dash, the full name
)

// Strategies are their names in the config, by number.
var Strategies = []string{"TopicName", "RecordName", "TopicRecordName"}

func (s Strategy) String() string { return name(Strategies, int(s)) }

// Part is the half of a record that a contract is about.
type Part int8

// The parts.
const (
	Key Part = iota
	Value
)

func (p Part) String() string { return name([]string{"key", "value"}, int(p)) }

func name(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return strconv.Itoa(i)
	}
	return names[i]
}

// Terms are what a topic asks of its records. They do not change: a topic whose configs change gets new ones.
type Terms struct {
	Mode  Mode
	Level Level
	// Key and Value say which parts are checked. A part that is null is right.
	Key, Value                 bool
	KeyStrategy, ValueStrategy Strategy
	// DeadLetters is the topic for what is taken out in mode DeadLetter.
	DeadLetters string
}

// Checks says whether the terms ask for a part, and by which strategy.
func (t *Terms) Checks(p Part) (Strategy, bool) {
	if p == Key {
		return t.KeyStrategy, t.Key
	}
	return t.ValueStrategy, t.Value
}

// Reason is why a record breaks a contract; it is also the label of a metric.
type Reason string

// The reasons. There are no others.
const (
	NoSchema     Reason = "no-schema"     // neither the bytes nor a header name a schema
	UnknownID    Reason = "unknown-id"    // the schema that is named is not registered
	WrongSubject Reason = "wrong-subject" // it is, but not under the subject
	Undecodable  Reason = "undecodable"   // the bytes cannot be read by the schema
	RuleFailed   Reason = "rule-failed"   // a condition of the rule set does not hold
	RuleBroken   Reason = "rule-broken"   // a condition cannot be evaluated
	Unreadable   Reason = "unreadable"    // the batch cannot be decompressed: it counts as one record
	Unchecked    Reason = "unchecked"     // the schemas were not known at the time, and the mode lets pass
)

// Reasons are all of them.
var Reasons = []Reason{NoSchema, UnknownID, WrongSubject, Undecodable, RuleFailed, RuleBroken, Unreadable, Unchecked}

// Violation says how one record breaks its contract. Nothing in it shows the record's contents.
type Violation struct {
	// Index is the place of the record in its batch, from 0.
	Index   int32
	Part    Part
	Reason  Reason
	Subject string
	// SchemaID is 0 where none was found; GUID is the other name of a schema, where that was used.
	SchemaID int32
	GUID     string
	// Rule is the name of the rule that does not hold.
	Rule string
	// Detail says more, without values.
	Detail string
	// Mild: the rule says that its failure shall be noted only. DeadLetter: it asks for the dead letter topic. Both are the rule's
	// onFailure; without either the topic's mode decides.
	Mild, DeadLetter bool
}

// String is one sentence for the producer and the operator.
func (v *Violation) String() string {
	of := "schema " + cmp.Or(v.GUID, strconv.Itoa(int(v.SchemaID)))
	var s string
	switch v.Reason {
	case NoSchema:
		s = fmt.Sprintf("the %s names no schema; subject %s has one", v.Part, v.Subject)
	case UnknownID:
		s = fmt.Sprintf("the %s names %s, which is not registered (subject %s)", v.Part, of, v.Subject)
	case WrongSubject:
		s = fmt.Sprintf("the %s names %s, which is no version of subject %s", v.Part, of, v.Subject)
	case Undecodable:
		s = fmt.Sprintf("the %s cannot be read by %s of subject %s", v.Part, of, v.Subject)
	case RuleFailed:
		s = fmt.Sprintf("the %s does not obey rule %s of %s, subject %s", v.Part, v.Rule, of, v.Subject)
	case RuleBroken:
		s = fmt.Sprintf("rule %s of %s, subject %s, cannot be evaluated on the %s", v.Rule, of, v.Subject, v.Part)
	case Unreadable:
		s = "the records cannot be decompressed"
	case Unchecked:
		s = "the schemas could not be had"
	}
	if v.Detail != "" {
		s += ": " + v.Detail
	}
	return fmt.Sprintf("%s (%s)", s, v.Reason)
}

// Judged is what became of a batch whose records were judged.
type Judged struct {
	Partition int32
	// BaseOffset is -1 for a batch that was refused.
	BaseOffset int64
	// Mode is that of the topic at the time.
	Mode Mode
	// Obeyed counts the records that obey.
	Obeyed int
	// Violations are the records that do not, by their place. There are no more than some thousands; More counts the rest, as far as
	// they were looked at: a batch that will be refused is not read to its end.
	Violations []Violation
	More       int
	// Keys are those of the records of the first few of Violations; nil for null.
	Keys [][]byte
}

// Names of the headers that a marked record and a dead letter carry after their own. Of several headers of one name the last is the
// broker's.
const (
	HeaderReason    = "weir.contract.reason"    // a Reason
	HeaderMessage   = "weir.contract.message"   // a sentence
	HeaderPart      = "weir.contract.part"      // key or value
	HeaderSubject   = "weir.contract.subject"   // under which the schema should be registered
	HeaderSchemaID  = "weir.contract.schema.id" // decimal; left out if there is none
	HeaderRule      = "weir.contract.rule"      // left out if it was none
	HeaderTopic     = "weir.contract.topic"     // dead letters: where the record was sent
	HeaderPartition = "weir.contract.partition" // dead letters: decimal
	HeaderClient    = "weir.contract.client.id" // dead letters: the client id of the producer
)

// HeaderPrefix is what the names of all those headers begin with.
const HeaderPrefix = "weir.contract."

// Headers are those of a marked record.
func (v *Violation) Headers() []record.RecordHeader {
	h := make([]record.RecordHeader, 0, 9)
	add := func(key, value string) {
		if value != "" {
			h = append(h, record.RecordHeader{Key: key, Value: []byte(value)})
		}
	}
	add(HeaderReason, string(v.Reason))
	add(HeaderMessage, v.String())
	add(HeaderPart, v.Part.String())
	add(HeaderSubject, v.Subject)
	switch {
	case v.GUID != "":
		add(HeaderSchemaID, v.GUID)
	case v.SchemaID != 0:
		add(HeaderSchemaID, strconv.Itoa(int(v.SchemaID)))
	}
	add(HeaderRule, v.Rule)
	return h
}
