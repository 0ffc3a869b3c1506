package recordformat

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reader reads records one by one. Next returns io.EOF after the last; the record's bytes belong to the caller.
type Reader interface {
	Next() (*kgo.Record, error)
}

// NewReader returns a reader of records in layout, in which kcat's %s stands for the value and %T for the timestamp.
func NewReader(r io.Reader, layout string) (Reader, error) {
	pieces, err := split(layout)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	verbs := 0
	for _, p := range pieces {
		verbs += p.verbs
		switch p.verb {
		case 0:
			b.WriteString(p.text)
			continue
		case 's':
			b.WriteString("%v")
		case 'T':
			b.WriteString("%d")
		case 'S':
			b.WriteString("%V")
		case 'R':
			b.WriteString("%V{big32}")
		case 'h':
			return nil, fmt.Errorf("format %q: to read headers write %%H first and their form in braces, for example '%%H %%h{%%k=%%v }'", layout)
		}
		verbs++
	}
	if verbs == 0 {
		return nil, fmt.Errorf("format %q: %w", layout, errNoValueVerb)
	}
	inner, err := kgo.NewRecordReader(r, b.String())
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", layout, err)
	}
	return layoutReader{inner}, nil
}

type layoutReader struct{ inner *kgo.RecordReader }

func (r layoutReader) Next() (*kgo.Record, error) { return r.inner.ReadRecord() }

// NewLineReader returns a reader that makes each line's text the value, or, with a key separator, divides each line at
// the first separator into key and value. Lines end in \n or \r\n; the last may lack its end. A line longer than
// limitBytes is an error.
func NewLineReader(r io.Reader, keySeparator string, limitBytes int) Reader {
	return &lineReader{lines: newLines(r, limitBytes), separator: []byte(keySeparator)}
}

type lineReader struct {
	lines     *lines
	separator []byte
}

func (r *lineReader) Next() (*kgo.Record, error) {
	line, err := r.lines.next()
	if err != nil {
		return nil, err
	}
	if len(r.separator) == 0 {
		return &kgo.Record{Value: line}, nil
	}
	key, value, ok := bytes.Cut(line, r.separator)
	if !ok {
		return nil, fmt.Errorf("line %d has no key separator %q", r.lines.number, r.separator)
	}
	return &kgo.Record{Key: key, Value: value}, nil
}

// NewEnvelopeReader returns a reader of envelopes, one on each line, as AppendEnvelope writes them. Offsets in them are
// ignored; empty lines are skipped.
func NewEnvelopeReader(r io.Reader, limitBytes int) Reader {
	return &envelopeReader{lines: newLines(r, limitBytes)}
}

type envelopeReader struct {
	lines *lines
	typed Typed
}

// Typed says which parts of the last record are JSON by a schema.
func (r *envelopeReader) Typed() Typed { return r.typed }

func (r *envelopeReader) Next() (*kgo.Record, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		rec, typed, err := parseEnvelope(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.lines.number, err)
		}
		r.typed = typed
		return rec, nil
	}
}

// lines cuts input into lines of bounded length.
type lines struct {
	in     *bufio.Reader
	limit  int
	number int
}

func newLines(r io.Reader, limitBytes int) *lines {
	return &lines{in: bufio.NewReaderSize(r, 64<<10), limit: limitBytes}
}

func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		chunk, err := l.in.ReadSlice('\n')
		line = append(line, chunk...)
		if len(line) > l.limit+2 {
			return nil, fmt.Errorf("line %d is longer than %d bytes", l.number+1, l.limit)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0, err == nil:
			l.number++
			line = bytes.TrimSuffix(line, []byte("\n"))
			line = bytes.TrimSuffix(line, []byte("\r"))
			if line == nil {
				line = []byte{}
			}
			return line, nil
		default:
			return nil, err
		}
	}
}

// Typed says which parts of a record are JSON text that was decoded by a schema, or is to be encoded by one.
type Typed struct{ Key, Value *SchemaRef }

// SchemaRef names a schema, and the message of a Protobuf one by its indexes in the file.
type SchemaRef struct {
	ID      string // a number, or a GUID; empty for JSON that no schema stands behind
	Message []int
}

// envelope is the JSON form of a record. Bytes that are not UTF-8 are carried in base64 under the second name, so that
// nothing is lost between a reader and a writer of envelopes. What was decoded by a schema is JSON of its own, not a string
// with JSON in it, and the schema stands beside it.
type envelope struct {
	Topic         string           `json:"topic,omitempty"`
	Partition     *int32           `json:"partition,omitempty"`
	Offset        *int64           `json:"offset,omitempty"`
	Timestamp     *int64           `json:"timestamp,omitempty"`
	Key           json.RawMessage  `json:"key"`
	KeyBase64     *string          `json:"key_base64,omitempty"`
	KeySchemaID   json.RawMessage  `json:"key_schema_id,omitempty"`
	KeyMessage    []int            `json:"key_message,omitempty"`
	Value         json.RawMessage  `json:"value"`
	ValueBase64   *string          `json:"value_base64,omitempty"`
	ValueSchemaID json.RawMessage  `json:"value_schema_id,omitempty"`
	ValueMessage  []int            `json:"value_message,omitempty"`
	Headers       []envelopeHeader `json:"headers,omitempty"`
}

type envelopeHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 *string `json:"value_base64,omitempty"`
}

// AppendEnvelope appends r as one JSON object, with a line for each field if indent is not empty, without a final
// newline. Null keys and values are null; text that is not UTF-8 appears as key_base64 or value_base64; parts that are typed
// have to be JSON.
func AppendEnvelope(dst []byte, r *kgo.Record, typed Typed, indent string) ([]byte, error) {
	timestamp := r.Timestamp.UnixMilli()
	e := envelope{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &timestamp}
	e.Key, e.KeyBase64, e.KeySchemaID, e.KeyMessage = part(r.Key, typed.Key)
	e.Value, e.ValueBase64, e.ValueSchemaID, e.ValueMessage = part(r.Value, typed.Value)
	for _, h := range r.Headers {
		eh := envelopeHeader{Key: h.Key}
		eh.Value, eh.ValueBase64 = textOrBase64(h.Value)
		e.Headers = append(e.Headers, eh)
	}
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(e); err != nil {
		return dst, fmt.Errorf("encode record %d of %s-%d: %w", r.Offset, r.Topic, r.Partition, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// part returns the members of an envelope for a key or value.
func part(b []byte, by *SchemaRef) (text json.RawMessage, asBase64 *string, id json.RawMessage, message []int) {
	if by != nil && b != nil {
		if by.ID == "" {
			return b, nil, nil, nil
		}
		id = json.RawMessage(by.ID)
		if _, err := strconv.Atoi(by.ID); err != nil {
			id = quote(by.ID)
		}
		return b, nil, id, by.Message
	}
	asText, asBase64 := textOrBase64(b)
	if asText != nil {
		text = quote(*asText)
	}
	return text, asBase64, nil, nil
}

// quote returns a JSON string, in which <, > and & stand for themselves.
func quote(s string) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // neither strings nor buffers fail
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func parseEnvelope(line []byte) (*kgo.Record, Typed, error) {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, Typed{}, fmt.Errorf("not an envelope {\"key\":..., \"value\":...}: %w", err)
	}
	r := &kgo.Record{Topic: e.Topic}
	if e.Partition != nil {
		r.Partition = *e.Partition
	}
	if e.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*e.Timestamp)
	}
	var typed Typed
	var err error
	if typed.Key, err = schemaRef(e.KeySchemaID, e.KeyMessage, e.KeyBase64); err != nil {
		return nil, Typed{}, fmt.Errorf("key_schema_id: %w", err)
	}
	if typed.Value, err = schemaRef(e.ValueSchemaID, e.ValueMessage, e.ValueBase64); err != nil {
		return nil, Typed{}, fmt.Errorf("value_schema_id: %w", err)
	}
	if r.Key, err = parsePart(e.Key, e.KeyBase64, typed.Key); err != nil {
		return nil, Typed{}, fmt.Errorf("key_base64: %w", err)
	}
	if r.Value, err = parsePart(e.Value, e.ValueBase64, typed.Value); err != nil {
		return nil, Typed{}, fmt.Errorf("value_base64: %w", err)
	}
	for _, h := range e.Headers {
		value, err := fromTextOrBase64(h.Value, h.ValueBase64)
		if err != nil {
			return nil, Typed{}, fmt.Errorf("header %q: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	return r, typed, nil
}

// schemaRef reads the id of a schema: a number, or a GUID in quotes. Bytes in base64 are what they are, whatever stands beside them.
func schemaRef(id json.RawMessage, message []int, asBase64 *string) (*SchemaRef, error) {
	if id == nil || string(id) == "null" || asBase64 != nil {
		return nil, nil
	}
	text := string(id)
	if id[0] == '"' {
		if err := json.Unmarshal(id, &text); err != nil {
			return nil, err
		}
	} else if _, err := strconv.Atoi(text); err != nil {
		return nil, errors.New("neither a number nor a string")
	}
	if text == "" {
		return nil, nil
	}
	return &SchemaRef{ID: text, Message: message}, nil
}

// parsePart reads a key or value. A string stands for its text, unless a schema says what it is; other JSON is taken as it is.
func parsePart(text json.RawMessage, asBase64 *string, by *SchemaRef) ([]byte, error) {
	switch {
	case asBase64 != nil:
		return base64.StdEncoding.DecodeString(*asBase64)
	case len(text) == 0 || string(text) == "null" && by == nil:
		return nil, nil
	case text[0] == '"' && by == nil:
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
		return []byte(s), nil
	}
	return text, nil
}

func textOrBase64(b []byte) (asText, asBase64 *string) {
	if b == nil {
		return nil, nil
	}
	if utf8.Valid(b) {
		s := string(b)
		return &s, nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return nil, &s
}

func fromTextOrBase64(asText, asBase64 *string) ([]byte, error) {
	switch {
	case asBase64 != nil:
		return base64.StdEncoding.DecodeString(*asBase64)
	case asText != nil:
		return []byte(*asText), nil
	}
	return nil, nil
}
