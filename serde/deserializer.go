package serde

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/weir-stream/weir/internal/schema/rules"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// DeserializerOptions say how records are read. The zero value reads values of records as they were written.
type DeserializerOptions struct {
	// Key says that it is for keys.
	Key bool
	// UseLatest brings records to the newest version of their subject: by the migration rules of the versions between, and in Avro by its rules of resolution.
	// LatestWith limits it to versions with these properties in their metadata.
	UseLatest  bool
	LatestWith map[string]string
	// Validate checks JSON against its schema. What is written with a Serializer obeys it.
	Validate bool
	Subject  SubjectName // nil is TopicName
	// DeadLetters is for rules whose action is DLQ.
	DeadLetters DeadLetters
}

// Deserializer makes values of the bytes of records. It is safe for concurrent use.
type Deserializer struct {
	c      *Client
	o      DeserializerOptions
	mapper mapper
}

// ErrNotFramed is wrapped by the error about bytes that name no schema: they were not written by a serializer of this kind.
var ErrNotFramed = wireformat.ErrNotFramed

// NewDeserializer checks the options. It asks for nothing yet.
func NewDeserializer(c *Client, o DeserializerOptions) (*Deserializer, error) {
	switch {
	case c == nil:
		return nil, errors.New("deserializer: there is no client")
	case o.LatestWith != nil && !o.UseLatest:
		return nil, errors.New("deserializer: LatestWith goes with UseLatest alone")
	}
	if o.Subject == nil {
		o.Subject = TopicName
	}
	return &Deserializer{c: c, o: o}, nil
}

// Deserialize reads a record's key or value into what into points to: a struct, a map, a proto.Message, or an any. Headers are those of
// the record. Nil data, a tombstone, leaves it alone. A record that a rule stops is a *RuleError. What it makes shares no memory with data.
func (d *Deserializer) Deserialize(ctx context.Context, topic string, data []byte, headers []Header, into any) error {
	if data == nil {
		return nil
	}
	if err := d.read(ctx, topic, data, headers, into); err != nil {
		return fmt.Errorf("deserialize from %s: %w", topic, err)
	}
	return nil
}

func (d *Deserializer) read(ctx context.Context, topic string, data []byte, headers []Header, into any) error {
	frame, err := wireformat.Parse(d.header(headers), data)
	if err != nil {
		return err
	}
	writer, err := d.c.schemaOf(ctx, frame.ID)
	if err != nil {
		return err
	}
	payload, at := frame.Payload, []int(nil)
	if writer.Type == Protobuf {
		if at, payload, err = frame.Message(); err != nil {
			return err
		}
	}
	m, _ := into.(proto.Message)
	reader := writer
	way := &pass{client: d.c, topic: topic, dead: d.o.DeadLetters, letter: func() ([]byte, error) { return data, nil }}
	if d.o.UseLatest || writer.RuleSet != nil {
		if way.subject, err = d.subject(topic, writer, at, m); err != nil {
			return err
		}
	}
	if d.o.UseLatest {
		if reader, err = d.newest(ctx, way.subject); err != nil {
			return err
		}
	}
	out, err := way.run(ctx, writer, rules.Encoding, rules.Read, payload, at)
	if err != nil {
		return err
	}
	payload, _ = out.([]byte)
	if reader == writer && !writer.rules.Has(rules.Domain, rules.Read) {
		return d.direct(writer, payload, at, m, into)
	}
	return d.through(ctx, way, writer, reader, payload, at, m, into)
}

// header finds the last header with the id of the schema.
func (d *Deserializer) header(headers []Header) []byte {
	name := wireformat.ValueHeader
	if d.o.Key {
		name = wireformat.KeyHeader
	}
	for _, h := range slices.Backward(headers) {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

func (d *Deserializer) subject(topic string, writer *compiled, at []int, m proto.Message) (string, error) {
	return d.o.Subject(topic, d.o.Key, func() (string, error) {
		if writer.Type != Protobuf {
			return writer.recordName()
		}
		if named, ok := writer.parsed.(interface{ MessageName(at []int) (string, bool) }); ok {
			if name, ok := named.MessageName(at); ok {
				return name, nil
			}
		}
		if m != nil {
			return string(m.ProtoReflect().Descriptor().FullName()), nil
		}
		return writer.recordName()
	})
}

func (d *Deserializer) newest(ctx context.Context, subject string) (*compiled, error) {
	var r Registered
	var err error
	if d.o.LatestWith != nil {
		r, err = d.c.LatestWith(ctx, subject, d.o.LatestWith)
	} else {
		r, err = d.c.Latest(ctx, subject)
	}
	if err != nil {
		return nil, err
	}
	return d.c.use(ctx, r)
}

// direct is for records that no rule looks at.
func (d *Deserializer) direct(s *compiled, payload []byte, at []int, m proto.Message, into any) error {
	_, plain := into.(*any)
	switch {
	case plain, s.Type == Avro, s.Type == Protobuf && m == nil:
		value, err := s.parsed.Decode(payload, at)
		if err != nil {
			return err
		}
		return d.mapper.assign(value, into)
	case s.Type == Protobuf:
		if err := checkMessage(s, at, m); err != nil {
			return err
		}
		return proto.Unmarshal(payload, m)
	}
	if d.o.Validate {
		if err := s.parsed.Validate(payload, at); err != nil {
			return err
		}
	}
	return json.Unmarshal(payload, into)
}

// checkMessage refuses to read one message as another.
func checkMessage(s *compiled, at []int, m proto.Message) error {
	name := string(m.ProtoReflect().Descriptor().FullName())
	named, ok := s.parsed.(interface{ MessageName(at []int) (string, bool) })
	if !ok {
		return nil
	}
	if wrote, ok := named.MessageName(at); ok && wrote != name {
		return fmt.Errorf("the record is a %s, not a %s", wrote, name)
	}
	return nil
}

// through decodes a record, migrates it to the reader's schema, and carries out rules.
func (d *Deserializer) through(ctx context.Context, way *pass, writer, reader *compiled, payload []byte, at []int, m proto.Message, into any) error {
	if d.o.Validate && writer.Type == JSON {
		if err := writer.parsed.Validate(payload, at); err != nil {
			return err
		}
	}
	value, err := writer.parsed.Decode(payload, at)
	if err != nil {
		return err
	}
	if reader != writer {
		if value, err = d.migrate(ctx, way, writer, reader, value, at); err != nil {
			return err
		}
		if reader.Type == Protobuf {
			if at, err = sameMessage(writer, reader, at, m); err != nil {
				return err
			}
		}
	}
	if value, err = way.run(ctx, reader, rules.Domain, rules.Read, value, at); err != nil {
		return err
	}
	if _, plain := into.(*any); plain || reader.Type == Avro || reader.Type == Protobuf && m == nil {
		return d.mapper.assign(value, into)
	}
	if payload, err = reader.parsed.Encode(value, at); err != nil {
		return err
	}
	if reader.Type == Protobuf {
		return proto.Unmarshal(payload, m)
	}
	return json.Unmarshal(payload, into)
}

// sameMessage finds the message of the writer in the file of the reader.
func sameMessage(writer, reader *compiled, at []int, m proto.Message) ([]int, error) {
	name := ""
	if named, ok := writer.parsed.(interface{ MessageName(at []int) (string, bool) }); ok {
		name, _ = named.MessageName(at)
	}
	if m != nil {
		name = string(m.ProtoReflect().Descriptor().FullName())
	}
	if name == "" {
		return at, nil
	}
	found, ok := reader.parsed.Message(name)
	if !ok {
		return nil, fmt.Errorf("the newest version has no message %s", name)
	}
	return found, nil
}
