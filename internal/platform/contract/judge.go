package contract

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// Judge judges the records of one batch. It belongs to one goroutine.
type Judge struct {
	topic *topic
	terms *terms.Terms
	waits int // how often this batch has waited for schemas

	// last are the schemas, by part, of the records before: mostly all records of a batch have the same. Nil where there is
	// none yet. A batch is judged by one picture of the registry, as far as it goes.
	last [2]*bound
}

// Record says whether a record obeys its topic's terms, and if not, how. An error wraps ErrUnavailable or is that of ctx. Nothing of
// r is kept.
func (j *Judge) Record(ctx context.Context, r *record.Record) (terms.Violation, bool, error) {
	if j.terms.Value && r.Value != nil {
		if v, obeys, err := j.part(ctx, terms.Value, r.Value, r.Headers); !obeys || err != nil {
			return v, false, err
		}
	}
	if j.terms.Key && r.Key != nil {
		return j.part(ctx, terms.Key, r.Key, r.Headers)
	}
	return terms.Violation{}, true, nil
}

func (j *Judge) part(ctx context.Context, part terms.Part, data []byte, headers []record.RecordHeader) (terms.Violation, bool, error) {
	if b := j.last[part]; b != nil && len(headers) == 0 && b.names(data) {
		if b.schema == nil {
			return terms.Violation{}, true, nil
		}
		frame := wireformat.Frame{ID: wireformat.ID{Number: int(b.id)}, Payload: data[wireformat.NumberBytes:]}
		return j.contents(ctx, part, &frame, b)
	}
	frame, problem := wireformat.Parse(schemaHeader(part, headers), data)
	if problem != nil {
		return terms.Violation{Part: part, Reason: terms.NoSchema, Subject: j.topic.subjects[part]}, false, nil //nolint:nilerr // it is what the record is judged for
	}
	b := j.topic.find(part, frame.ID)
	if b == nil {
		var err error
		var waited bool
		if b, waited, err = j.topic.bind(ctx, part, frame.ID, j.waits < catchUpsPerBatch); waited {
			j.waits++
		}
		if err != nil {
			return terms.Violation{}, false, err
		}
	}
	switch {
	case b.wrong != nil:
		return *b.wrong, false, nil
	case b.messages == nil:
		j.last[part] = b
	}
	switch {
	case b.schema == nil && b.messages == nil:
		return terms.Violation{}, true, nil
	}
	return j.contents(ctx, part, &frame, b)
}

// names says whether data begins with the id of the schema, as a number.
func (b *bound) names(data []byte) bool {
	return len(data) >= wireformat.NumberBytes && data[0] == 0 && binary.BigEndian.Uint32(data[1:]) == uint32(b.id)
}

// contents looks at what follows the id.
func (j *Judge) contents(ctx context.Context, part terms.Part, frame *wireformat.Frame, b *bound) (terms.Violation, bool, error) {
	wrong := terms.Violation{Part: part, Reason: terms.Undecodable, Subject: b.subject, SchemaID: b.id}
	if frame.ID.ByGUID() {
		wrong.GUID = frame.ID.GUID.String()
	}
	var at []int
	payload := frame.Payload
	if b.kind == schema.Protobuf {
		var err error
		if at, payload, err = frame.Message(); err != nil {
			wrong.Detail = cut(err.Error())
			return wrong, false, nil
		}
		if b.messages != nil {
			subject, ok := b.messages[indexes(at)]
			if !ok {
				wrong.Reason, wrong.Detail = terms.WrongSubject, fmt.Sprintf("message %s of the file", indexes(at))
				return wrong, false, nil
			}
			wrong.Subject = subject
		}
	}
	switch {
	case b.schema == nil:
		return terms.Violation{}, true, nil
	case b.conditions == nil:
		if err := b.schema.Validate(payload, at); err != nil {
			wrong.Detail = cut(err.Error())
			return wrong, false, nil
		}
		return terms.Violation{}, true, nil
	}
	value, err := b.schema.Decode(payload, at)
	if err != nil {
		wrong.Detail = cut(err.Error())
		return wrong, false, nil
	}
	f, err := b.conditions.Check(ctx, value, b.schema, at)
	switch {
	case err != nil:
		return terms.Violation{}, false, errors.Join(ErrUnavailable, err)
	case f == nil:
		return terms.Violation{}, true, nil
	}
	wrong.Reason, wrong.Rule, wrong.Detail = terms.RuleFailed, f.Rule, cut(f.Detail)
	if f.Broken {
		wrong.Reason = terms.RuleBroken
	}
	wrong.Mild, wrong.DeadLetter = f.OnFailure == "NONE", f.OnFailure == "DLQ"
	return wrong, false, nil
}

// schemaHeader is the last header that names the schema of a part; nil if there is none.
func schemaHeader(part terms.Part, headers []record.RecordHeader) []byte {
	name := wireformat.ValueHeader
	if part == terms.Key {
		name = wireformat.KeyHeader
	}
	for _, h := range slices.Backward(headers) {
		if h.Key == name && h.Value != nil {
			return h.Value
		}
	}
	return nil
}

// Note counts what became of a batch and keeps samples of what was wrong.
func (j *Judge) Note(n *terms.Judged) {
	j.topic.counts.note(n)
	if j.topic.samples != nil && len(n.Violations) > 0 {
		j.topic.samples.add(n, j.topic.v.o.Now())
	}
}
