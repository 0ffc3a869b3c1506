package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// Kind says what went wrong.
type Kind uint8

// The kinds of errors.
const (
	Payload       Kind = iota + 1 // data that is not of its format, or does not obey its schema
	SchemaMissing                 // data of a format with schemas, and no schema
	InvalidSchema                 // a text that is no schema
	BadArguments                  // schema, id, version, type and subject in a combination that means nothing
	NotFound                      // the registry has no such schema
	Forbidden                     // the registry does not let the caller do it
	Unavailable                   // the registry cannot be asked, or there is none
	Unreadable                    // bytes of a record that are not of the format asked for
)

// Error is an error of this package.
type Error struct {
	Kind    Kind
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Registered is a schema as the registry has it. Version is 0 where nobody asked.
type Registered struct {
	Subject     string
	ID, Version int
	Schema      schema.Schema
}

// Format returns the format of data that is written by the schema.
func (r *Registered) Format() Format { return formatOf(r.Schema.Type()) }

// Spec names a schema as requests do. See Resolve for what may be left out.
type Spec struct {
	Topic               string
	IsKey               bool
	Format              Format // empty: not said
	Subject             string
	SubjectNameStrategy string // TOPIC_NAME (the default), RECORD_NAME or TOPIC_RECORD_NAME
	ID, Version         *int
	Text                *string
}

// Options of a Codec.
type Options struct {
	// Registry is asked for schemas; nil if there is none, then formats with schemas are Unavailable.
	Registry Registry
	// Formats is the table of the formats.
	Formats func(schema.Type) (schema.Format, bool)
	// Cached bounds the schemas that are kept; 0: 1,000.
	Cached int
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// Codec converts. Schemas that it knows are shared by all callers, and what the registry lets them do is not: it is asked again for each caller, and for each
// after rightsLast.
type Codec struct {
	o Options

	mu      sync.Mutex
	byID    map[wireformat.ID]schema.Schema
	mayRead map[right]time.Time // until when
	written map[writtenKey]writtenSchema
}

// rightsLast is how long a caller is taken to be allowed what the registry allowed him.
const rightsLast = 10 * time.Second

// right is that of a caller to a schema.
type right struct {
	caller string
	id     wireformat.ID
}

// maxRights bounds Codec.mayRead.
const maxRights = 10_000

// writtenKey is a schema that a caller has given as text, for a subject.
type writtenKey struct {
	caller  string
	subject string
	format  Format
	text    string
}

type writtenSchema struct {
	Registered
	until time.Time
}

// New returns a codec that knows no schema yet.
func New(o Options) *Codec {
	o.Cached = cmp.Or(o.Cached, 1000)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Codec{o: o, byID: map[wireformat.ID]schema.Schema{}, mayRead: map[right]time.Time{}, written: map[writtenKey]writtenSchema{}}
}

// Resolve finds the schema that a request speaks of: by id; by version of a subject; by its text with a format, which is registered if it
// is new; or else the latest of the subject. A subject that is not said is that of the topic.
func (c *Codec) Resolve(ctx context.Context, s Spec) (*Registered, error) {
	if c.o.Registry == nil {
		return nil, &Error{Kind: Unavailable, Message: "no schema registry is configured: set schema.registry.url"}
	}
	switch {
	case s.ID != nil:
		if s.Format != "" || s.Version != nil || s.Text != nil {
			return nil, &Error{Kind: BadArguments, Message: "schema_id stands alone: type, schema_version and schema cannot be given beside it"}
		}
		return c.resolveID(ctx, s)
	case s.Version != nil:
		if s.Format != "" || s.Text != nil {
			return nil, &Error{Kind: BadArguments, Message: "schema_version stands alone: type and schema cannot be given beside it"}
		}
		subject, err := subjectOf(s, nil)
		if err != nil {
			return nil, err
		}
		return c.entry(ctx, subject, *s.Version)
	case s.Text != nil:
		if !s.Format.NeedsSchema() {
			return nil, &Error{Kind: BadArguments, Message: "a schema needs a type that has schemas: AVRO, JSONSCHEMA or PROTOBUF"}
		}
		return c.resolveText(ctx, s)
	case s.Format != "":
		return nil, &Error{Kind: BadArguments, Message: fmt.Sprintf("type %s needs a schema: give schema, or leave out the type and give schema_id, schema_version or nothing for the latest", s.Format)}
	}
	subject, err := subjectOf(s, nil)
	if err != nil {
		return nil, err
	}
	return c.entry(ctx, subject, Latest)
}

// Latest is the version that is the newest one of a subject.
const Latest = -1

func (c *Codec) resolveID(ctx context.Context, s Spec) (*Registered, error) {
	parsed, err := c.schemaByID(ctx, wireformat.ID{Number: *s.ID})
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(s, parsed)
	if err != nil {
		return nil, err
	}
	return &Registered{Subject: subject, ID: *s.ID, Schema: parsed}, nil
}

func (c *Codec) resolveText(ctx context.Context, s Spec) (*Registered, error) {
	f, ok := c.o.Formats(s.Format.Type())
	if !ok {
		return nil, &Error{Kind: BadArguments, Message: fmt.Sprintf("schemas of type %s are not supported", s.Format)}
	}
	key := writtenKey{c.o.Registry.Caller(ctx), s.Subject + "\x00" + s.SubjectNameStrategy + "\x00" + s.Topic + fmt.Sprint(s.IsKey), s.Format, *s.Text}
	c.mu.Lock()
	known, ok := c.written[key]
	c.mu.Unlock()
	if ok && c.o.Now().Before(known.until) {
		return &known.Registered, nil
	}
	parsed, err := f.Parse(schema.Source{Text: *s.Text}, true)
	if err != nil {
		return nil, &Error{Kind: InvalidSchema, Message: fmt.Sprintf("type %s: %v", s.Format, err)}
	}
	subject, err := subjectOf(s, parsed)
	if err != nil {
		return nil, err
	}
	e, err := c.o.Registry.Register(ctx, subject, s.Format.Type(), *s.Text)
	if err != nil {
		return nil, fmt.Errorf("register the schema under %s: %w", subject, err)
	}
	out := Registered{Subject: subject, ID: e.ID, Version: e.Version, Schema: parsed}
	c.mu.Lock()
	if len(c.written) >= c.o.Cached {
		clear(c.written)
	}
	c.written[key] = writtenSchema{out, c.o.Now().Add(rightsLast)}
	c.mu.Unlock()
	return &out, nil
}

// entry asks for a version of a subject.
func (c *Codec) entry(ctx context.Context, subject string, version int) (*Registered, error) {
	e, err := c.o.Registry.Version(ctx, subject, version)
	if err != nil {
		return nil, fmt.Errorf("schema of subject %s: %w", subject, err)
	}
	parsed, err := c.parse(wireformat.ID{Number: e.ID}, e)
	if err != nil {
		return nil, err
	}
	return &Registered{Subject: subject, ID: e.ID, Version: e.Version, Schema: parsed}, nil
}

// schemaByID returns a schema of the registry. One that was seen before is not read again, but the registry is asked whether this caller may have it.
func (c *Codec) schemaByID(ctx context.Context, id wireformat.ID) (schema.Schema, error) {
	if c.o.Registry == nil {
		return nil, &Error{Kind: Unavailable, Message: "no schema registry is configured: set schema.registry.url"}
	}
	now, asks := c.o.Now(), right{c.o.Registry.Caller(ctx), id}
	c.mu.Lock()
	parsed, may := c.byID[id], now.Before(c.mayRead[asks]) || asks.caller == "" // who is everybody may read what was read
	c.mu.Unlock()
	if parsed != nil && may {
		return parsed, nil
	}
	var e Entry
	var err error
	if id.ByGUID() {
		e, err = c.o.Registry.ByGUID(ctx, id.GUID.String())
	} else {
		e, err = c.o.Registry.ByID(ctx, id.Number)
		e.ID = id.Number
	}
	if err != nil {
		return nil, fmt.Errorf("schema with %s: %w", id, err)
	}
	c.mu.Lock()
	if len(c.mayRead) >= maxRights {
		clear(c.mayRead)
	}
	c.mayRead[asks] = now.Add(rightsLast)
	c.mu.Unlock()
	if parsed != nil {
		return parsed, nil
	}
	return c.parse(id, e)
}

func (c *Codec) parse(id wireformat.ID, e Entry) (schema.Schema, error) {
	f, ok := c.o.Formats(e.Type)
	if !ok {
		return nil, &Error{Kind: InvalidSchema, Message: fmt.Sprintf("the schema with %s is of type %s, which is not supported", id, e.Type)}
	}
	parsed, err := f.Parse(e.Source, false)
	if err != nil {
		return nil, &Error{Kind: InvalidSchema, Message: fmt.Sprintf("the registry's schema with %s: %v", id, err)}
	}
	c.mu.Lock()
	if len(c.byID) >= c.o.Cached {
		clear(c.byID)
	}
	c.byID[id] = parsed
	c.mu.Unlock()
	return parsed, nil
}

// subjectOf names the subject of a spec. Parsed is nil where the schema is still to be found by its subject.
func subjectOf(s Spec, parsed schema.Schema) (string, error) {
	if s.Subject != "" {
		return s.Subject, nil
	}
	suffix := "-value"
	if s.IsKey {
		suffix = "-key"
	}
	switch s.SubjectNameStrategy {
	case "", "TOPIC_NAME", "TOPIC_NAME_STRATEGY":
		return s.Topic + suffix, nil
	case "RECORD_NAME", "TOPIC_RECORD_NAME":
		if parsed == nil {
			return "", &Error{Kind: BadArguments, Message: fmt.Sprintf("subject_name_strategy=%s needs schema_id or schema: the name of the record is not known without", s.SubjectNameStrategy)}
		}
		name := recordName(parsed)
		if name == "" {
			return "", &Error{Kind: BadArguments, Message: fmt.Sprintf("subject_name_strategy=%s needs a schema with a name", s.SubjectNameStrategy)}
		}
		if s.SubjectNameStrategy == "TOPIC_RECORD_NAME" {
			return s.Topic + "-" + name, nil
		}
		return name, nil
	}
	return "", &Error{Kind: BadArguments, Message: fmt.Sprintf("subject_name_strategy %q is not one of TOPIC_NAME, RECORD_NAME, TOPIC_RECORD_NAME", s.SubjectNameStrategy)}
}

// recordName returns the full name of what an Avro or JSON schema describes; empty where there is none.
func recordName(s schema.Schema) string {
	var top struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Title     string `json:"title"`
	}
	if json.Unmarshal([]byte(s.Canonical()), &top) != nil {
		return ""
	}
	if s.Type() == schema.JSON {
		return top.Title
	}
	if top.Namespace != "" && top.Name != "" {
		return top.Namespace + "." + top.Name
	}
	return top.Name
}

// Encode makes the bytes of data: nil for null. R is the schema for formats that have one.
func (c *Codec) Encode(f Format, r *Registered, isKey bool, data json.RawMessage) ([]byte, error) {
	if r == nil && !f.NeedsSchema() {
		return encodePlain(f, data)
	}
	if isNull(data) {
		return nil, nil
	}
	if r == nil {
		what := "values but does not include value schema"
		if isKey {
			what = "keys but does not include key schema"
		}
		return nil, &Error{Kind: SchemaMissing, Message: "Request includes " + what}
	}
	payload, err := r.Schema.FromJSON(data, nil)
	if err != nil {
		return nil, &Error{Kind: Payload, Message: err.Error()}
	}
	out := wireformat.Append(make([]byte, 0, len(payload)+wireformat.NumberBytes+1), wireformat.ID{Number: r.ID})
	if r.Schema.Type() == schema.Protobuf {
		out = wireformat.AppendIndexes(out, nil)
	}
	return append(out, payload...), nil
}

// Decode shows the bytes of a key or value as JSON. Header is the record header that names the schema, nil if there is none. Auto looks
// for the id of a schema where a registry is there, and guesses else; it does not fail.
func (c *Codec) Decode(ctx context.Context, f Format, header, b []byte) (json.RawMessage, Format, error) {
	switch {
	case b == nil:
		return null, f, nil
	case f == Auto:
		if header != nil || len(b) > wireformat.NumberBytes && b[0] == 0 {
			if out, format, err := c.decodeFramed(ctx, header, b); err == nil {
				return out, format, nil
			} else if ctx.Err() != nil {
				return nil, "", ctx.Err()
			}
		}
		out, format := Guess(b)
		return out, format, nil
	case f.NeedsSchema():
		return c.decodeFramed(ctx, header, b)
	}
	out, err := decodePlain(f, b)
	return out, f, err
}

func (c *Codec) decodeFramed(ctx context.Context, header, b []byte) (json.RawMessage, Format, error) {
	frame, err := wireformat.Parse(header, b)
	if err != nil {
		return nil, "", &Error{Kind: Unreadable, Message: err.Error()}
	}
	s, err := c.schemaByID(ctx, frame.ID)
	if err != nil {
		return nil, "", err
	}
	payload, at := frame.Payload, []int(nil)
	if s.Type() == schema.Protobuf {
		if at, payload, err = frame.Message(); err != nil {
			return nil, "", &Error{Kind: Unreadable, Message: err.Error()}
		}
	}
	out, err := s.ToJSON(payload, at)
	if err != nil {
		return nil, "", &Error{Kind: Unreadable, Message: err.Error()}
	}
	return out, formatOf(s.Type()), nil
}

// KindOf returns the kind of an error, 0 if it is none of this package.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}
