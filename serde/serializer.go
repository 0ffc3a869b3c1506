package serde

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weir-stream/weir/internal/schema/rules"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// Use is how a serializer comes to the id of its schema.
type Use int

// The ways.
const (
	// AutoRegister registers SerializerOptions.Schema, if it is not there yet.
	AutoRegister Use = iota
	// LookUp finds SerializerOptions.Schema, and fails if it is not registered.
	LookUp
	// UseLatest writes with the newest version of the subject, and looks again after ClientOptions.LatestTTL.
	UseLatest
)

// Place is where the id of the schema goes.
type Place int

// The places.
const (
	// Prefix puts the number of the schema in front of the bytes.
	Prefix Place = iota
	// GUIDHeader puts the GUID of the schema into a header, and leaves the bytes alone.
	GUIDHeader
)

// SerializerOptions say how values are written. The zero value writes values of records by the newest Avro schema that Use finds: with the zero Use a Schema is needed.
type SerializerOptions struct {
	// Key says that it is for keys.
	Key bool
	// Schema is what to write with. It may be left out with UseLatest, and for a proto.Message, whose file is then registered as it is, if it imports
	// nothing but well-known files.
	Schema *Schema
	Use    Use
	// LatestWith limits UseLatest to versions with these properties in their metadata.
	LatestWith map[string]string
	// Normalize asks the registry to take schemas for the same that mean the same.
	Normalize bool
	Subject   SubjectName // nil is TopicName
	ID        Place
	// DeadLetters is for rules whose action is DLQ.
	DeadLetters DeadLetters
}

// Serializer makes the bytes of records. It is safe for concurrent use.
type Serializer struct {
	c      *Client
	o      SerializerOptions
	plans  cache[planKey, *plan]
	mapper mapper
}

type planKey struct{ topic, message string }

// plan is how values are written to one subject.
type plan struct {
	*compiled
	subject string
	at      []int
	header  []byte // in front, or in the header
	until   time.Time
}

// NewSerializer checks the options. It asks for nothing yet.
func NewSerializer(c *Client, o SerializerOptions) (*Serializer, error) {
	switch {
	case c == nil:
		return nil, errors.New("serializer: there is no client")
	case o.LatestWith != nil && o.Use != UseLatest:
		return nil, errors.New("serializer: LatestWith goes with UseLatest alone")
	}
	if o.Subject == nil {
		o.Subject = TopicName
	}
	return &Serializer{c: c, o: o, mapper: mapper{}}, nil
}

// Serialize returns the bytes of v for a record of the topic, and the headers that belong to them, if the id goes there. A nil v is a tombstone: no
// bytes. A record that a rule stops is a *RuleError. v is not changed.
func (s *Serializer) Serialize(ctx context.Context, topic string, v any) (data []byte, headers []Header, err error) {
	if v == nil {
		return nil, nil, nil
	}
	m, _ := v.(proto.Message)
	p, err := s.plan(ctx, topic, m)
	if err != nil {
		return nil, nil, fmt.Errorf("serialize for %s: %w", topic, err)
	}
	if s.o.ID == Prefix {
		data = p.header
	} else {
		name := wireformat.ValueHeader
		if s.o.Key {
			name = wireformat.KeyHeader
		}
		headers = []Header{{name, p.header}}
	}
	payload, err := s.payload(ctx, topic, p, v, m)
	if err != nil {
		return nil, nil, fmt.Errorf("serialize for %s: %w", topic, err)
	}
	if len(data) == 0 {
		return payload, headers, nil
	}
	out := make([]byte, 0, len(data)+len(payload))
	return append(append(out, data...), payload...), headers, nil
}

// payload converts a value. Without rules it goes the shortest way.
func (s *Serializer) payload(ctx context.Context, topic string, p *plan, v any, m proto.Message) ([]byte, error) {
	domain, encoding := p.rules.Has(rules.Domain, rules.Write), p.rules.Has(rules.Encoding, rules.Write)
	way := &pass{client: s.c, topic: topic, subject: p.subject, dead: s.o.DeadLetters}
	payload, value, err := s.encode(p, v, m, domain || encoding)
	if err != nil {
		return nil, err
	}
	way.letter = func() ([]byte, error) { return redacted(p.compiled, value, p.at) }
	if domain {
		if value, err := way.run(ctx, p.compiled, rules.Domain, rules.Write, value, p.at); err != nil {
			return nil, err
		} else if payload, err = p.parsed.Encode(value, p.at); err != nil {
			return nil, err
		}
	} else if payload == nil {
		if payload, err = p.parsed.Encode(value, p.at); err != nil {
			return nil, err
		}
	}
	if encoding {
		out, err := way.run(ctx, p.compiled, rules.Encoding, rules.Write, payload, p.at)
		if err != nil {
			return nil, err
		}
		payload, _ = out.([]byte)
	}
	return payload, nil
}

// encode returns the payload of a value where that is had without the plain value, and the plain value where it is wanted or there is no other way.
func (s *Serializer) encode(p *plan, v any, m proto.Message, wanted bool) (payload []byte, value any, err error) {
	switch {
	case p.Type == JSON:
		if payload, err = json.Marshal(v); err != nil {
			return nil, nil, err
		}
		if !wanted {
			return payload, nil, p.parsed.Validate(payload, p.at)
		}
	case m != nil && p.Type == Protobuf:
		if payload, err = proto.Marshal(m); err != nil {
			return nil, nil, err
		}
		if payload == nil {
			payload = []byte{} // an empty message is no tombstone
		}
	case m != nil:
		return nil, nil, fmt.Errorf("a proto.Message cannot be written by a schema of type %s", p.Type)
	default:
		value, err = s.mapper.plain(v)
		return nil, value, err
	}
	if wanted {
		value, err = p.parsed.Decode(payload, p.at)
	}
	return payload, value, err
}

// plan finds or makes the plan for a topic and a kind of message.
func (s *Serializer) plan(ctx context.Context, topic string, m proto.Message) (*plan, error) {
	key := planKey{topic: topic}
	if m != nil {
		key.message = string(m.ProtoReflect().Descriptor().FullName())
	}
	if p, ok := s.plans.get(key); ok && (p.until.IsZero() || time.Now().Before(p.until)) {
		return p, nil
	}
	subject, err := s.o.Subject(topic, s.o.Key, func() (string, error) {
		switch {
		case m != nil:
			return key.message, nil
		case s.o.Schema == nil:
			return "", errors.New("the name of the subject is made of the record's name: the option Schema is needed")
		}
		return s.o.Schema.recordName()
	})
	if err != nil {
		return nil, err
	}
	r, err := s.registered(ctx, subject, m)
	if err != nil {
		return nil, err
	}
	p := &plan{subject: subject}
	if p.compiled, err = s.c.use(ctx, r); err != nil {
		return nil, err
	}
	if s.o.Use == UseLatest {
		p.until = time.Now().Add(s.c.o.LatestTTL)
	}
	if m != nil {
		var ok bool
		if p.at, ok = p.parsed.Message(key.message); !ok {
			return nil, fmt.Errorf("schema %d of %s has no message %s", r.ID, subject, key.message)
		}
	}
	if p.header, err = s.header(p, r); err != nil {
		return nil, err
	}
	s.plans.put(s.c.o.CacheSize, key, p)
	return p, nil
}

func (s *Serializer) header(p *plan, r Registered) ([]byte, error) {
	id := wireformat.ID{Number: r.ID}
	if s.o.ID == GUIDHeader {
		guid := r.GUID
		if guid == "" {
			guid = p.GUID
		}
		if guid == "" {
			return nil, fmt.Errorf("the registry gives schema %d no GUID: write its id in front of the bytes", r.ID)
		}
		var err error
		if id.GUID, err = wireformat.ParseGUID(guid); err != nil {
			return nil, err
		}
	}
	header := wireformat.Append(nil, id)
	if r.Type == Protobuf {
		header = wireformat.AppendIndexes(header, p.at)
	}
	return header, nil
}

func (s *Serializer) registered(ctx context.Context, subject string, m proto.Message) (Registered, error) {
	if s.o.Use == UseLatest {
		if s.o.LatestWith != nil {
			return s.c.LatestWith(ctx, subject, s.o.LatestWith)
		}
		return s.c.Latest(ctx, subject)
	}
	var own Schema
	switch {
	case s.o.Schema != nil:
		own = *s.o.Schema
		own.Type = own.typ()
	case m != nil:
		var err error
		if own, err = fileOf(m); err != nil {
			return Registered{}, err
		}
	default:
		return Registered{}, errors.New("there is no schema: set the option Schema, or UseLatest")
	}
	if s.o.Use == LookUp {
		return s.c.Lookup(ctx, subject, own, s.o.Normalize)
	}
	return s.c.Register(ctx, subject, own, s.o.Normalize)
}
