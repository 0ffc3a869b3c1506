package main

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/internalrecord"
	"github.com/weir-stream/weir/internal/cli/recordformat"
	"github.com/weir-stream/weir/internal/cli/text"
)

// recordPrinter appends one record, as it is to be printed, to dst. Typed says which parts of it are JSON by a schema.
type recordPrinter func(dst []byte, p *kgo.FetchPartition, r *kgo.Record, typed recordformat.Typed) ([]byte, error)

// newRecordPrinter chooses the form of records: that of -f, or else that of --output.
func newRecordPrinter(s *session, layout string) (recordPrinter, error) {
	if layout != "" {
		if s.output != "" {
			return nil, usageErrorf("-f and --output exclude each other")
		}
		w, err := recordformat.NewWriter(layout)
		if err != nil {
			return nil, usageErrorf("-f: %v", err)
		}
		return func(dst []byte, p *kgo.FetchPartition, r *kgo.Record, _ recordformat.Typed) ([]byte, error) {
			return w.Append(dst, p, r), nil
		}, nil
	}
	switch s.format() {
	case "table", "wide":
		color, wide := s.color(), s.wide()
		return func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record, _ recordformat.Typed) ([]byte, error) {
			return appendForPeople(dst, r, color, wide), nil
		}, nil
	case "json":
		return envelopePrinter("  "), nil
	case "yaml":
		return appendYAML, nil
	}
	return envelopePrinter(""), nil
}

// internalDocument returns a record of an internal topic with the JSON that its key and value stand for. ok is false, and the record
// the same, if it is of another topic or not known.
func internalDocument(r *kgo.Record) (shown *kgo.Record, typed recordformat.Typed, ok bool) {
	key, value, ok := internalrecord.Document(r.Topic, r.Key, r.Value)
	if !ok {
		return r, typed, false
	}
	shown = new(kgo.Record)
	*shown = *r
	shown.Key, shown.Value = key, value
	return shown, recordformat.Typed{Key: &recordformat.SchemaRef{}, Value: &recordformat.SchemaRef{}}, true
}

func envelopePrinter(indent string) recordPrinter {
	return func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record, typed recordformat.Typed) ([]byte, error) {
		dst, err := recordformat.AppendEnvelope(dst, r, typed, indent)
		return append(dst, '\n'), err
	}
}

func appendYAML(dst []byte, _ *kgo.FetchPartition, r *kgo.Record, typed recordformat.Typed) ([]byte, error) {
	envelope, err := recordformat.AppendEnvelope(nil, r, typed, "")
	if err != nil {
		return dst, err
	}
	doc, err := yaml.JSONToYAML(envelope)
	if err != nil {
		return dst, fmt.Errorf("write record as YAML: %w", err)
	}
	return append(append(dst, "---\n"...), bytes.TrimLeft(doc, "\n")...), nil
}

const (
	colorDim   = "\x1b[2m"
	colorKey   = "\x1b[36m"
	colorReset = "\x1b[0m"
)

// appendForPeople writes a record on one line: where and when, the key, the value, and in wide output the headers.
func appendForPeople(dst []byte, r *kgo.Record, color, wide bool) []byte {
	paint := func(code, s string) {
		if color {
			dst = append(append(append(dst, code...), s...), colorReset...)
			return
		}
		dst = append(dst, s...)
	}
	where := fmt.Sprintf("%d@%d", r.Partition, r.Offset)
	if wide {
		where = text.Safe(r.Topic) + " " + where
	}
	paint(colorDim, text.PadRight(where, 8)+" "+r.Timestamp.Format("2006-01-02 15:04:05.000"))
	dst = append(dst, "  "...)
	if r.Key != nil {
		paint(colorKey, text.Safe(string(r.Key)))
		dst = append(dst, "  "...)
	}
	if r.Value == nil {
		paint(colorDim, "(null)")
	} else {
		dst = append(dst, text.Safe(string(r.Value))...)
	}
	if wide {
		for _, h := range r.Headers {
			dst = append(dst, "  "...)
			paint(colorDim, text.Safe(h.Key+"="+string(h.Value)))
		}
	}
	return append(dst, '\n')
}
