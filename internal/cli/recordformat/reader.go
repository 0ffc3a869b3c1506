package recordformat

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

type envelopeReader struct{ lines *lines }

func (r *envelopeReader) Next() (*kgo.Record, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		rec, err := parseEnvelope(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.lines.number, err)
		}
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

// envelope is the JSON form of a record. Bytes that are not UTF-8 are carried in base64 under the second name, so that
// nothing is lost between a reader and a writer of envelopes.
type envelope struct {
	Topic       string           `json:"topic,omitempty"`
	Partition   *int32           `json:"partition,omitempty"`
	Offset      *int64           `json:"offset,omitempty"`
	Timestamp   *int64           `json:"timestamp,omitempty"`
	Key         *string          `json:"key"`
	KeyBase64   *string          `json:"key_base64,omitempty"`
	Value       *string          `json:"value"`
	ValueBase64 *string          `json:"value_base64,omitempty"`
	Headers     []envelopeHeader `json:"headers,omitempty"`
}

type envelopeHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 *string `json:"value_base64,omitempty"`
}

// AppendEnvelope appends r as one JSON object, with a line for each field if indent is not empty, without a final
// newline. Null keys and values are null; text that is not UTF-8 appears as key_base64 or value_base64.
func AppendEnvelope(dst []byte, r *kgo.Record, indent string) ([]byte, error) {
	timestamp := r.Timestamp.UnixMilli()
	e := envelope{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &timestamp}
	e.Key, e.KeyBase64 = textOrBase64(r.Key)
	e.Value, e.ValueBase64 = textOrBase64(r.Value)
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

func parseEnvelope(line []byte) (*kgo.Record, error) {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("not an envelope {\"key\":..., \"value\":...}: %w", err)
	}
	r := &kgo.Record{Topic: e.Topic}
	if e.Partition != nil {
		r.Partition = *e.Partition
	}
	if e.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*e.Timestamp)
	}
	var err error
	if r.Key, err = fromTextOrBase64(e.Key, e.KeyBase64); err != nil {
		return nil, fmt.Errorf("key_base64: %w", err)
	}
	if r.Value, err = fromTextOrBase64(e.Value, e.ValueBase64); err != nil {
		return nil, fmt.Errorf("value_base64: %w", err)
	}
	for _, h := range e.Headers {
		value, err := fromTextOrBase64(h.Value, h.ValueBase64)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	return r, nil
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
