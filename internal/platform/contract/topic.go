package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// topic is what is kept of a topic with one set of terms.
type topic struct {
	v     *Validator
	name  string
	terms terms.Terms
	// subjects are those by the strategy TopicName; for the others, what stands for any.
	subjects [2]string
	samples  *samples // nil where there are too many topics
	counts   counters

	mu    sync.Mutex // of changes to known
	known atomic.Pointer[known]
}

// known is a snapshot of the schemas that were looked up, at one revision of the registry. It does not change.
type known struct {
	revision int64
	byID     [2]map[int32]*bound
	byGUID   [2]map[wireformat.GUID]*bound
}

// bound is a schema as it serves one part of a topic's records.
type bound struct {
	// wrong, if not nil, is what is wrong with every record that names the schema.
	wrong *terms.Violation
	until time.Time // of an id that is not registered: when to look again
	id    int32
	// subject is the one under which the schema was found.
	subject string
	kind    schema.Type
	// schema is nil where only the id counts.
	schema     schema.Schema
	conditions Conditions
	// messages are those of a Protobuf file that have a subject, by their indexes; nil where the strategy asks for none.
	messages map[string]string
}

func newTopic(v *Validator, name string, t *terms.Terms) *topic {
	x := &topic{v: v, name: name, terms: *t, subjects: [2]string{name + "-key", name + "-value"}}
	for part := range x.subjects {
		switch s, _ := t.Checks(terms.Part(part)); s {
		case terms.RecordName:
			x.subjects[part] = "of the record's name"
		case terms.TopicRecordName:
			x.subjects[part] = name + "- and the record's name"
		}
	}
	x.counts = v.metrics.topic(name, t.Mode)
	x.known.Store(&known{revision: -1})
	return x
}

// find returns a schema from memory, if it is there and nothing has changed since.
func (x *topic) find(part terms.Part, id wireformat.ID) *bound {
	k := x.known.Load()
	if k.revision != x.v.o.Schemas.Revision() {
		return nil
	}
	var b *bound
	if id.ByGUID() {
		b = k.byGUID[part][id.GUID]
	} else {
		b = k.byID[part][int32(id.Number)]
	}
	if b != nil && !b.until.IsZero() && !x.v.o.Now().Before(b.until) {
		return nil
	}
	return b
}

// bind looks a schema up in the registry. mayWait says whether one that is not there is looked for at the end of _schemas; waited,
// whether that was done.
func (x *topic) bind(ctx context.Context, part terms.Part, id wireformat.ID, mayWait bool) (b *bound, waited bool, err error) {
	schemas := x.v.o.Schemas
	lookup := func() (Registered, bool) {
		if id.ByGUID() {
			return schemas.ByGUID(id.GUID)
		}
		return schemas.ByID(int32(id.Number))
	}
	revision := schemas.Revision()
	r, ok := lookup()
	b = x.make(part, id, r, ok)
	if (revision < 0 || b.wrong != nil) && mayWait {
		waited = true
		if err := x.v.catchUp(ctx); err != nil {
			return nil, true, err
		}
		revision = schemas.Revision()
		r, ok = lookup()
		b = x.make(part, id, r, ok)
	}
	if revision < 0 {
		return nil, waited, ErrUnavailable
	}
	x.remember(part, id, b, revision)
	return b, waited, nil
}

func (x *topic) remember(part terms.Part, id wireformat.ID, b *bound, revision int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.known.Load()
	if revision < old.revision {
		return
	}
	next := &known{revision: revision}
	if old.revision == revision {
		*next = *old
	}
	if id.ByGUID() {
		next.byGUID[part] = added(next.byGUID[part], id.GUID, b)
	} else {
		next.byID[part] = added(next.byID[part], int32(id.Number), b)
	}
	x.known.Store(next)
}

func added[K comparable](m map[K]*bound, k K, b *bound) map[K]*bound {
	if len(m) >= boundSchemas {
		m = nil
	}
	out := make(map[K]*bound, len(m)+1)
	maps.Copy(out, m)
	out[k] = b
	return out
}

// make says how a schema serves a part.
func (x *topic) make(part terms.Part, id wireformat.ID, r Registered, registered bool) *bound {
	b := &bound{id: int32(id.Number), subject: x.subjects[part], kind: r.Type}
	wrong := func(reason terms.Reason, detail string) *bound {
		b.wrong = &terms.Violation{Part: part, Reason: reason, Subject: b.subject, SchemaID: b.id, Detail: detail}
		if id.ByGUID() {
			b.wrong.GUID = id.GUID.String()
		}
		return b
	}
	if !registered {
		b.until = x.v.o.Now().Add(unknownFor)
		return wrong(terms.UnknownID, "")
	}
	b.id = r.ID
	strategy, _ := x.terms.Checks(part)
	if strategy == terms.TopicName && !slices.Contains(r.Subjects, b.subject) {
		return wrong(terms.WrongSubject, "")
	}
	opaque := r.Rules != nil && slices.ContainsFunc(r.Rules.EncodingRules, func(e schema.Rule) bool { return !e.Disabled })
	if strategy == terms.TopicName && (x.terms.Level == terms.ID || opaque) {
		return b
	}
	format, ok := x.v.o.Formats(r.Type)
	if !ok {
		return wrong(terms.Undecodable, fmt.Sprintf("nobody here reads the format %s", r.Type))
	}
	parsed, err := format.Parse(r.Source, false)
	if err != nil {
		return wrong(terms.Undecodable, cut(err.Error()))
	}
	if strategy != terms.TopicName && !x.bindName(b, strategy, parsed, r.Subjects) {
		return wrong(terms.WrongSubject, "")
	}
	if x.terms.Level >= terms.Schema && !opaque {
		b.schema = parsed
	}
	if x.terms.Level >= terms.Rules && !opaque && x.v.o.Rules != nil && r.Rules != nil {
		b.conditions = x.v.o.Rules.Prepare(r.Rules, r.Metadata)
	}
	return b
}

// bindName finds the subject of a schema by the name of its record; a Protobuf file has several, each with its own.
func (x *topic) bindName(b *bound, s terms.Strategy, parsed schema.Schema, subjects []string) bool {
	prefix := ""
	if s == terms.TopicRecordName {
		prefix = x.name + "-"
	}
	if parsed.Type() != schema.Protobuf {
		b.subject = prefix + recordName(parsed)
		return b.subject != prefix && slices.Contains(subjects, b.subject)
	}
	b.messages = map[string]string{}
	for _, subject := range subjects {
		name, ok := strings.CutPrefix(subject, prefix)
		if !ok || name == "" {
			continue
		}
		if at, ok := parsed.Message(name); ok {
			b.messages[indexes(at)] = subject
		}
	}
	return len(b.messages) > 0
}

// indexes is a key for the place of a message in its file. None is the first.
func indexes(at []int) string {
	if len(at) == 0 {
		return "[0]"
	}
	return fmt.Sprint(at)
}

// recordName is the full name of an Avro record, or the title of a JSON Schema; empty if it has none.
func recordName(s schema.Schema) string {
	var named struct{ Name, Namespace, Title string }
	if json.Unmarshal([]byte(s.Canonical()), &named) != nil {
		return "" // a union, or the name of a simple type
	}
	switch {
	case s.Type() == schema.JSON:
		return named.Title
	case named.Namespace == "" || strings.Contains(named.Name, "."):
		return named.Name
	}
	return named.Namespace + "." + named.Name
}

// cut shortens what is told of an error.
func cut(s string) string {
	if len(s) <= detailBytes {
		return s
	}
	return strings.ToValidUTF8(s[:detailBytes], "") + "..."
}
