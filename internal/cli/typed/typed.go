// Package typed turns keys and values of records into text by the schemas they were written with, and text into keys and values.
//
// The text is JSON in the form that the format of the schema defines: Avro's JSON encoding, Protobuf's JSON mapping, JSON itself. Bytes carry
// the id of their schema as package wireformat says, in front or in a record header. Schemas come from a registry by their ids; each is asked
// for and parsed once. A Schemas, and the Encoders and Decoders on top of it, belong to one goroutine.
package typed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/formats"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// Side is the part of a record that is meant.
type Side uint8

// The two parts of a record that have schemas.
const (
	Value Side = iota
	Key
)

// String returns key or value.
func (s Side) String() string {
	if s == Key {
		return "key"
	}
	return "value"
}

func (s Side) header() string {
	if s == Key {
		return wireformat.KeyHeader
	}
	return wireformat.ValueHeader
}

// Of returns the key or the value of a record.
func (s Side) Of(r *kgo.Record) []byte {
	if s == Key {
		return r.Key
	}
	return r.Value
}

func (s Side) set(r *kgo.Record, b []byte) {
	if s == Key {
		r.Key = b
	} else {
		r.Value = b
	}
}

// headerOf returns the last header that names a schema, nil if there is none.
func (s Side) headerOf(r *kgo.Record) []byte {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == s.header() {
			return h.Value
		}
	}
	return nil
}

// Schema is a schema that is ready for use.
type Schema struct {
	ID     wireformat.ID
	Type   schema.Type
	Parsed schema.Schema
}

// ErrUnknown is wrapped by what Schemas returns for an id that the registry does not know, or a schema that cannot be parsed.
var ErrUnknown = errors.New("no usable schema")

// ErrUnreachable is wrapped by what Schemas returns when the registry gave no answer, or one that is no answer.
var ErrUnreachable = errors.New("the schema registry does not answer")

// Schemas finds schemas by their ids.
type Schemas struct {
	client *registryclient.Client
	byID   map[wireformat.ID]parsed
}

type parsed struct {
	schema Schema
	err    error
}

// NewSchemas returns the schemas of a registry.
func NewSchemas(client *registryclient.Client) *Schemas {
	return &Schemas{client: client, byID: map[wireformat.ID]parsed{}}
}

// ByID returns the schema with an id.
func (s *Schemas) ByID(ctx context.Context, id wireformat.ID) (Schema, error) {
	if p, known := s.byID[id]; known {
		return p.schema, p.err
	}
	var p parsed
	found, err := s.client.ByID(ctx, id)
	if err != nil {
		p.err = Classify(err)
	} else {
		p.schema, p.err = Parse(found.Type, found.Source, false)
	}
	p.schema.ID = id
	s.byID[id] = p
	return p.schema, p.err
}

// Classify wraps an error of a registry's client with ErrUnknown or ErrUnreachable.
func Classify(err error) error {
	if answer, ok := errors.AsType[*sr.ResponseError](err); ok && answer.StatusCode == 404 && answer.ErrorCode != 0 {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// Parse reads a schema of any format.
func Parse(t schema.Type, source schema.Source, fresh bool) (Schema, error) {
	format, ok := formats.Of(t)
	if !ok {
		return Schema{}, fmt.Errorf("%w: schemas of type %s cannot be read", ErrUnknown, t)
	}
	p, err := format.Parse(source, fresh)
	if err != nil {
		return Schema{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return Schema{Type: format.Type(), Parsed: p}, nil
}

// Encoder turns the text of one part of records into bytes.
type Encoder struct {
	side   Side
	schema Schema
	at     []int
	front  []byte // before each payload
	header []byte // nil if the id stands in front
}

// At finds the message of a Protobuf schema with this full name; "" stands for the first of its file.
func (s Schema) At(message string) ([]int, error) {
	if message == "" {
		return nil, nil
	}
	at, ok := s.Parsed.Message(message)
	if !ok || s.Type != schema.Protobuf {
		return nil, fmt.Errorf("the schema with %s has no message %s", s.ID, message)
	}
	return at, nil
}

// NewEncoder returns an encoder by a schema whose ID is set. At picks the message of a Protobuf schema, nil the first.
func NewEncoder(side Side, s Schema, at []int) *Encoder {
	e := &Encoder{side: side, schema: s, at: at}
	id := wireformat.Append(nil, s.ID)
	if s.Type == schema.Protobuf {
		id = wireformat.AppendIndexes(id, e.at)
	}
	if s.ID.ByGUID() {
		e.header = id
	} else {
		e.front = id
	}
	return e
}

// Encode replaces the text in a record. Null stays null: it is a tombstone, or no key.
func (e *Encoder) Encode(r *kgo.Record) error {
	text := e.side.Of(r)
	if text == nil {
		return nil
	}
	payload, err := e.schema.Parsed.FromJSON(text, e.at)
	if err != nil {
		return fmt.Errorf("%s, by the schema with %s: %w", e.side, e.schema.ID, err)
	}
	if e.header != nil {
		if e.side.headerOf(r) == nil {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: e.side.header(), Value: e.header})
		}
		e.side.set(r, payload)
		return nil
	}
	framed := make([]byte, 0, len(e.front)+len(payload))
	e.side.set(r, append(append(framed, e.front...), payload...))
	return nil
}

const (
	// patience bounds the wait for a registry that nobody has named.
	patience = 3 * time.Second
	// maxStrangers is how many ids may be unknown one after the other before bytes are no longer taken for framed ones.
	maxStrangers = 100
)

// Text is a key or value that was turned into JSON, with the id of its schema and the message of a Protobuf schema.
type Text struct {
	JSON []byte
	ID   wireformat.ID
	At   []int
}

// Decoder turns one part of records into text.
type Decoder struct {
	side    Side
	schemas *Schemas
	o       DecoderOptions

	strangers int
	givenUp   bool
}

// DecoderOptions say how far a decoder goes.
type DecoderOptions struct {
	// Strict makes an error of what cannot be decoded. Else it is left as it is.
	Strict bool
	// Want is the format that schemas have to be of, empty for any.
	Want schema.Type
	// Bare, if not nil, is the schema of bytes that show no id.
	Bare *Schema
	// Note is told once why framed bytes are not decoded, if the registry is the reason. It may be nil.
	Note func(error)
}

// NewDecoder returns a decoder. Schemas may be nil if all bytes are decoded by o.Bare.
func NewDecoder(side Side, schemas *Schemas, o DecoderOptions) *Decoder {
	return &Decoder{side: side, schemas: schemas, o: o}
}

// Side returns which part of records is decoded.
func (d *Decoder) Side() Side { return d.side }

// Decode returns the text of the decoder's part of a record; ok is false if it has none: null, bytes that show no schema, or, if the decoder
// is not strict, bytes that do not obey it.
func (d *Decoder) Decode(ctx context.Context, r *kgo.Record) (t Text, ok bool, err error) {
	data := d.side.Of(r)
	if data == nil {
		return Text{}, false, nil
	}
	t, err = d.decode(ctx, r, data)
	if err == nil {
		return t, true, nil
	}
	if d.o.Strict {
		return Text{}, false, fmt.Errorf("%s: %w", d.side, err)
	}
	return Text{}, false, nil
}

func (d *Decoder) decode(ctx context.Context, r *kgo.Record, data []byte) (Text, error) {
	frame, err := wireformat.Parse(d.side.headerOf(r), data)
	if err != nil || d.schemas == nil {
		if d.o.Bare == nil {
			return Text{}, err
		}
		text, err := d.o.Bare.Parsed.ToJSON(data, nil)
		return Text{JSON: text, ID: d.o.Bare.ID}, err
	}
	s, err := d.find(ctx, frame.ID)
	if err != nil {
		return Text{}, err
	}
	if d.o.Want != "" && s.Type != d.o.Want {
		return Text{}, fmt.Errorf("the schema with %s is of type %s, not %s", frame.ID, s.Type, d.o.Want)
	}
	payload, at := frame.Payload, []int(nil)
	if s.Type == schema.Protobuf {
		if at, payload, err = frame.Message(); err != nil {
			return Text{}, err
		}
	}
	text, err := s.Parsed.ToJSON(payload, at)
	return Text{JSON: text, ID: frame.ID, At: at}, err
}

// find asks for a schema. A decoder that is not strict gives up on a registry that does not answer, or that knows none of many ids: what
// looks like ids is none then.
func (d *Decoder) find(ctx context.Context, id wireformat.ID) (Schema, error) {
	if d.o.Strict {
		return d.schemas.ByID(ctx, id)
	}
	if d.givenUp {
		return Schema{}, ErrUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := d.schemas.ByID(ctx, id)
	switch {
	case err == nil:
		d.strangers = 0
	case errors.Is(err, ErrUnreachable):
		d.givenUp = true
		if d.o.Note != nil {
			d.o.Note(err)
		}
	default:
		d.strangers++
		d.givenUp = d.strangers >= maxStrangers
	}
	return s, err
}
