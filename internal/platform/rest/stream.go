package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/platform/rest/tail"
	"github.com/weir-stream/weir/internal/schema/rules"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// StreamRecord is a record as streams send it. The formats stand there where the reader left the choice to us.
type StreamRecord struct {
	Topic       string          `json:"topic"`
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Timestamp   int64           `json:"timestamp"`
	Key         json.RawMessage `json:"key"`
	Value       json.RawMessage `json:"value"`
	KeyFormat   string          `json:"key_format,omitempty"`
	ValueFormat string          `json:"value_format,omitempty"`
	Headers     []ProduceHeader `json:"headers,omitempty"`
}

// streamQuery are the parameters of a stream.
var streamQuery = []gate.Param{
	{Name: "from", Doc: "earliest, latest, an offset, or @ and a time: milliseconds since 1970 or RFC 3339", Default: "latest"},
	{Name: "partition", Doc: "partitions to read, with commas between them; all if it is left out"},
	{Name: "format", Doc: "json sends the record with key and value; cloudevents sends events"},
	{Name: "key_format", Doc: "auto, json, string, binary, avro, jsonschema or protobuf", Default: "auto"},
	{Name: "value_format", Doc: "as key_format", Default: "auto"},
	{Name: "filter", Doc: "a CEL expression over topic, partition, offset, timestamp, key, value and headers; records for which it is false are left out"},
	{Name: "read_committed", Type: "boolean", Doc: "leave out records of transactions that are open or aborted", Default: true},
	{Name: "limit", Type: "integer", Doc: "end after so many records; 0 never ends", Default: 0},
	{Name: "last_event_id", Doc: "go on after these positions: the id of the last event, for clients that cannot send the header Last-Event-ID"},
}

// wish is what a reader asks for.
type wish struct {
	tail.Request
	key, value  embedded.Format
	cloudEvents bool
	filter      *rules.Filter
	limit       int64
}

// Bounds of a reader's parameters.
const (
	maxPartitions = 10_000
	maxEventID    = 256 << 10
)

// readWish reads the parameters of a stream.
func (s *Server) readWish(r *http.Request, topic string) (*wish, error) {
	q := r.URL.Query()
	caller := gate.CallerOf(r.Context())
	dial := s.dialer(r)
	out := &wish{Request: tail.Request{
		Principal: principal(r) + "\x00" + caller.Host, Topic: topic, Committed: !strings.EqualFold(q.Get("read_committed"), "false"),
		Dial: func(_ context.Context, opts ...kgo.Opt) (*kgo.Client, error) { return dial(opts...) },
	}}
	var err error
	if out.From, err = readFrom(q.Get("from")); err != nil {
		return nil, err
	}
	if out.Partitions, err = readPartitionList(q["partition"]); err != nil {
		return nil, err
	}
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = q.Get("last_event_id")
	}
	if out.Offsets, err = parseEventID(id); err != nil {
		return nil, badRequest("Last-Event-ID: %v", err)
	}
	if out.key, err = readFormat(q, "key_format"); err != nil {
		return nil, err
	}
	if out.value, err = readFormat(q, "value_format"); err != nil {
		return nil, err
	}
	switch strings.ToLower(q.Get("format")) {
	case "", "json":
	case "cloudevents":
		out.cloudEvents = true
	default:
		return nil, badRequest("format %q is not json or cloudevents", q.Get("format"))
	}
	if out.limit, err = int64Query(r, "limit", 0); err != nil || out.limit < 0 {
		return nil, badRequest("limit is not a number of records")
	}
	if text := q.Get("filter"); text != "" {
		if out.filter, err = s.compile(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readFormat(q url.Values, name string) (embedded.Format, error) {
	text := q.Get(name)
	if text == "" || strings.EqualFold(text, "auto") {
		return embedded.Auto, nil
	}
	f, ok := embedded.ParseFormat(text)
	if !ok {
		return "", badRequest("%s %q is not one of auto, json, string, binary, avro, jsonschema, protobuf", name, text)
	}
	return f, nil
}

// readFrom reads where to begin.
func readFrom(text string) (tail.From, error) {
	switch text {
	case "", "latest":
		return tail.End, nil
	case "earliest":
		return tail.Start, nil
	}
	if at, ok := strings.CutPrefix(text, "@"); ok {
		if ms, err := strconv.ParseInt(at, 10, 64); err == nil && ms >= 0 {
			return tail.At(ms), nil
		}
		if t, err := time.Parse(time.RFC3339, at); err == nil && t.UnixMilli() >= 0 {
			return tail.At(t.UnixMilli()), nil
		}
		return tail.From{}, badRequest("from: %q is no time: give @ and milliseconds since 1970, or @ and a time such as 2026-01-31T12:00:00Z", text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return tail.From{}, badRequest("from: %q is not earliest, latest, an offset or @ and a time", text)
	}
	return tail.Offset(n), nil
}

func readPartitionList(texts []string) ([]int32, error) {
	var out []int32
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ",") {
			if one == "" {
				continue
			}
			n, err := strconv.ParseInt(one, 10, 32)
			if err != nil || n < 0 || len(out) >= maxPartitions {
				return nil, badRequest("partition: %q is no partition", one)
			}
			out = append(out, int32(n))
		}
	}
	return out, nil
}

// parseEventID reads the id of an event: the offset of the last record of each partition that was sent, as partition:offset with
// commas between them. It returns the offsets of the next records. An offset of -1 stands for none.
func parseEventID(id string) (map[int32]int64, error) {
	if id == "" {
		return nil, nil
	}
	if len(id) > maxEventID {
		return nil, errors.New("too long")
	}
	out := map[int32]int64{}
	for one := range strings.SplitSeq(id, ",") {
		partition, offset, ok := strings.Cut(one, ":")
		p, perr := strconv.ParseInt(partition, 10, 32)
		o, oerr := strconv.ParseInt(offset, 10, 64)
		if !ok || perr != nil || oerr != nil || p < 0 || o < -1 || o == 1<<63-1 || len(out) >= maxPartitions {
			return nil, fmt.Errorf("%.40q is not partition:offset", one)
		}
		out[int32(p)] = o + 1
	}
	return out, nil
}

// positions are what a reader was sent, as the id of its last event.
type positions struct {
	order []int32
	last  map[int32]int64
}

func newPositions(next map[int32]int64) *positions {
	p := &positions{order: slices.Sorted(maps.Keys(next)), last: map[int32]int64{}}
	for n, at := range next {
		p.last[n] = at - 1
	}
	return p
}

// sent notes that a record was sent, or left out by the filter.
func (p *positions) sent(partition int32, offset int64) {
	if _, known := p.last[partition]; !known {
		p.order = append(p.order, partition)
		slices.Sort(p.order)
	}
	p.last[partition] = offset
}

// append writes the id.
func (p *positions) append(b []byte) []byte {
	for i, n := range p.order {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, ':')
		b = strconv.AppendInt(b, p.last[n], 10)
	}
	return b
}

// form names the form in which the reader gets records, for all who want the same.
func (w *wish) form() string {
	if w.cloudEvents {
		return "cloudevents"
	}
	return string(w.key) + "/" + string(w.value)
}

// render makes the JSON of a record, on one line. A key or value that cannot be read in the format asked for is shown as base64, with its
// format beside it, as a stream cannot stop at one record.
func (s *Server) render(ctx context.Context, w *wish, r *kgo.Record) []byte {
	if w.cloudEvents {
		return eventOfRecord(r).structured()
	}
	out := StreamRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	out.Key, out.KeyFormat = s.show(ctx, w.key, headerOf(r, wireformat.KeyHeader), r.Key)
	out.Value, out.ValueFormat = s.show(ctx, w.value, headerOf(r, wireformat.ValueHeader), r.Value)
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, headerData(h))
	}
	text, err := json.Marshal(out)
	if err != nil { // a registry's schema made JSON that is none
		return fmt.Appendf(nil, `{"topic":%q,"partition":%d,"offset":%d,"error":"the record cannot be shown"}`, r.Topic, r.Partition, r.Offset)
	}
	return text
}

func (s *Server) show(ctx context.Context, f embedded.Format, header, b []byte) (json.RawMessage, string) {
	out, got, err := s.codec.Decode(ctx, f, header, b)
	if err != nil {
		out, _, err = s.codec.Decode(ctx, embedded.Binary, nil, b)
		if err != nil {
			return json.RawMessage("null"), ""
		}
		return out, strings.ToLower(string(embedded.Binary))
	}
	if f != embedded.Auto || b == nil {
		return out, ""
	}
	return out, strings.ToLower(string(got))
}

// sink is where a stream goes: one per kind of stream.
type sink interface {
	// record takes a record's JSON; it may keep it until flush.
	record(text []byte, at *positions) error
	// quiet says that there was nothing to send for a while; moved that records were left out since.
	quiet(at *positions, moved bool) error
	flush() error
	// fail tells why the stream ends.
	fail(e *gate.Error)
}

// nextRecords is how many records are taken at a time.
const nextRecords = 256

// follow sends records to a sink until the reader has gone, has enough, or the topic cannot be read any more.
func (s *Server) follow(ctx context.Context, w *wish, reader *tail.Reader, to sink) error {
	at, left, moved := newPositions(reader.Positions()), w.limit, false
	form, delivered := w.form(), s.metrics.delivered.WithLabelValues(byStream)
	for {
		wait, cancel := context.WithTimeout(ctx, s.o.Limits.Heartbeat)
		records, err := reader.Next(wait, nextRecords)
		silent := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the reader has gone
		case err != nil && silent && errors.Is(err, context.DeadlineExceeded):
			if err := to.quiet(at, moved); err != nil {
				return nil //nolint:nilerr // likewise
			}
			moved = false
			continue
		case err != nil:
			return s.endStream(to, err)
		}
		for _, r := range records {
			at.sent(r.Partition, r.Offset)
			if !s.passes(ctx, w, r) {
				moved = true
				continue
			}
			text, _ := r.Memo(form, func(record *kgo.Record) any { return s.render(ctx, w, record) }).([]byte)
			if err := to.record(text, at); err != nil {
				return nil //nolint:nilerr // likewise
			}
			delivered.Inc()
			moved = false
			if left--; left == 0 {
				return to.flush()
			}
		}
		if err := to.flush(); err != nil {
			return nil //nolint:nilerr // likewise
		}
	}
}

// endStream tells the reader why.
func (s *Server) endStream(to sink, err error) error {
	e := Translate(err)
	if e == nil {
		s.o.Logger.Error("a stream failed", "err", err)
		e = gate.Errorf(http.StatusInternalServerError, "Internal Server Error")
	}
	to.fail(e)
	return nil
}
