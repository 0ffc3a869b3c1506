package rest

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/rest/tail"
	"github.com/weir-stream/weir/internal/schema/rules"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// maxFilterBytes bounds the expression of a reader's filter; what it may cost is bounded by package rules.
const maxFilterBytes = 4 << 10

// compile makes a filter of a reader's expression.
func (s *Server) compile(text string) (*rules.Filter, error) {
	if len(text) > maxFilterBytes {
		return nil, badRequest("filter: the expression is longer than %d bytes", maxFilterBytes)
	}
	engine, err := s.engine()
	if err != nil {
		return nil, err
	}
	f, err := engine.Filter(text)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return f, nil
}

// passes evaluates the reader's filter. A record for which it fails, as it has no such field, is left out.
func (s *Server) passes(ctx context.Context, w *wish, r *tail.Record) bool {
	if w.filter == nil {
		return true
	}
	seen, ok := r.Memo("filter/"+w.form(), func(record *kgo.Record) any { return s.filtered(ctx, w, record) }).(*rules.Record)
	if !ok {
		return false
	}
	pass, err := w.filter.Match(ctx, seen)
	return err == nil && pass
}

// filtered is a record as filters see it.
func (s *Server) filtered(ctx context.Context, w *wish, r *kgo.Record) *rules.Record {
	key, _ := s.show(ctx, w.key, headerOf(r, wireformat.KeyHeader), r.Key)
	value, _ := s.show(ctx, w.value, headerOf(r, wireformat.ValueHeader), r.Value)
	out := &rules.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Key: plain(key), Value: plain(value)}
	for _, h := range r.Headers {
		v := any(h.Value)
		switch {
		case h.Value == nil:
			v = nil
		case utf8.Valid(h.Value):
			v = string(h.Value)
		}
		out.Headers = append(out.Headers, rules.Header{Key: h.Key, Value: v})
	}
	return out
}

// plain reads JSON into the plain model of values: whole numbers stay whole.
func plain(text json.RawMessage) any {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return numbers(v)
}

func numbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		f, err := x.Float64()
		if err != nil {
			return x.String()
		}
		return f
	case []any:
		for i := range x {
			x[i] = numbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = numbers(x[k])
		}
	}
	return v
}
