package rest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// Content types of CloudEvents.
const (
	typeEvent  = "application/cloudevents+json"
	typeEvents = "application/cloudevents-batch+json"
)

// event is a CloudEvent 1.0: its attributes, and its data.
type event struct {
	attributes map[string]string // without datacontenttype
	// values are attributes that were written as a number or a bool, which structured events keep; nil for none.
	values   map[string]json.RawMessage
	dataType string // datacontenttype, empty if it is not said
	data     []byte // nil if there is none
}

// Bounds of an event.
const (
	maxAttributes     = 100
	maxAttributeBytes = 16 << 10
)

// check says what is wrong with an event's attributes.
func (e *event) check() error {
	for _, name := range []string{"id", "source", "specversion", "type"} {
		if e.attributes[name] == "" {
			return badRequest("the CloudEvent has no %s", name)
		}
	}
	if v := e.attributes["specversion"]; v != "1.0" {
		return badRequest("the CloudEvent has specversion %q, not 1.0", v)
	}
	if len(e.attributes) > maxAttributes {
		return badRequest("the CloudEvent has more than %d attributes", maxAttributes)
	}
	for name, v := range e.attributes {
		if !isAttribute(name) || len(v) > maxAttributeBytes {
			return badRequest("%.40q is no attribute of a CloudEvent: names are of a-z and 0-9", name)
		}
	}
	if at, ok := e.attributes["time"]; ok {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return badRequest("the CloudEvent's time %.40q is not of RFC 3339", at)
		}
	}
	return nil
}

func isAttribute(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// eventOfHeaders reads an event in binary mode from a request.
func eventOfHeaders(h http.Header, body []byte) (*event, error) {
	e := &event{attributes: map[string]string{}, dataType: h.Get("Content-Type"), data: body}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		v, err := url.PathUnescape(values[0])
		if err != nil || !utf8.ValidString(v) {
			return nil, badRequest("the value of header %s cannot be read", name)
		}
		e.attributes[attribute] = v
	}
	if len(body) == 0 {
		e.data = nil
	}
	return e, e.check()
}

// eventOfJSON reads an event in structured mode.
func eventOfJSON(text []byte) (*event, error) {
	var fields map[string]json.RawMessage
	if err := decodeJSON(text, &fields); err != nil {
		return nil, err
	}
	e := &event{attributes: map[string]string{}}
	data, encoded := fields["data"], fields["data_base64"]
	delete(fields, "data")
	delete(fields, "data_base64")
	if len(fields) > maxAttributes {
		return nil, badRequest("the CloudEvent has more than %d attributes", maxAttributes)
	}
	for name, raw := range fields {
		if string(raw) == "null" {
			continue
		}
		v := strings.TrimSpace(string(raw))
		if strings.HasPrefix(v, `"`) {
			if err := json.Unmarshal(raw, &v); err != nil {
				return nil, badRequest("the attribute %.40q cannot be read", name)
			}
		} else if strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[") {
			return nil, badRequest("the attribute %.40q is not a plain value", name)
		} else {
			if e.values == nil {
				e.values = map[string]json.RawMessage{}
			}
			e.values[name] = raw
		}
		if name == "datacontenttype" {
			e.dataType = v
			continue
		}
		e.attributes[name] = v
	}
	switch {
	case len(encoded) > 0 && string(encoded) != "null":
		if err := json.Unmarshal(encoded, &e.data); err != nil {
			return nil, badRequest("data_base64 is not a base64 string.")
		}
	case len(data) > 0 && string(data) != "null":
		e.data = data
		var text string
		if !isJSONType(e.dataType) && json.Unmarshal(data, &text) == nil {
			e.data = []byte(text)
		}
	}
	return e, e.check()
}

// isJSONType says whether data of a type is JSON itself; data without a type is.
func isJSONType(t string) bool {
	t, _, _ = strings.Cut(strings.ToLower(t), ";")
	t = strings.TrimSpace(t)
	return t == "" || t == typeJSON || strings.HasSuffix(t, "+json") || t == "text/json"
}

// eventOfRecord reads a record as the Kafka binding says; a record that is no event becomes one.
func eventOfRecord(r *kgo.Record) *event {
	contentType := string(headerOf(r, "content-type"))
	if strings.HasPrefix(strings.ToLower(contentType), typeEvent) {
		if e, err := eventOfJSON(r.Value); err == nil {
			return e
		}
	}
	e := &event{attributes: map[string]string{}, dataType: contentType, data: r.Value}
	for _, h := range r.Headers {
		if name, ok := strings.CutPrefix(h.Key, "ce_"); ok && isAttribute(name) && utf8.Valid(h.Value) {
			e.attributes[name] = string(h.Value)
		}
	}
	if e.check() == nil {
		return e
	}
	at := strconv.Itoa(int(r.Partition)) + "-" + strconv.FormatInt(r.Offset, 10)
	e.attributes = map[string]string{
		"specversion": "1.0", "id": r.Topic + "-" + at, "source": "/topics/" + url.PathEscape(r.Topic), "type": "io.weir.record", "time": r.Timestamp.UTC().Format(time.RFC3339Nano),
	}
	if len(r.Key) > 0 && utf8.Valid(r.Key) {
		e.attributes["partitionkey"] = string(r.Key)
	}
	return e
}

// structured writes the event as JSON on one line.
func (e *event) structured() []byte {
	fields := map[string]any{}
	for name, v := range e.attributes {
		fields[name] = v
	}
	for name, v := range e.values {
		fields[name] = v
	}
	if e.dataType != "" {
		fields["datacontenttype"] = e.dataType
	}
	switch {
	case e.data == nil:
	case isJSONType(e.dataType) && json.Valid(e.data):
		fields["data"] = json.RawMessage(e.data)
	case utf8.Valid(e.data) && strings.HasPrefix(e.dataType, "text/"):
		fields["data"] = string(e.data)
	default:
		fields["data_base64"] = base64.StdEncoding.EncodeToString(e.data)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return []byte("{}") // strings and valid JSON always can be
	}
	return text
}

// record makes the record of an event, in binary mode or structured.
func (e *event) record(topic string, structured bool) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: anyPartition}
	if key := e.attributes["partitionkey"]; key != "" {
		r.Key = []byte(key)
	}
	if structured {
		r.Value = e.structured()
		r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte(typeEvent + "; charset=UTF-8")}}
		return r
	}
	r.Value = e.data
	names := []string{}
	for name := range e.attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_" + name, Value: []byte(e.attributes[name])})
	}
	if e.dataType != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "content-type", Value: []byte(e.dataType)})
	}
	return r
}

// postEvents takes events in any of the three modes. They are written in the mode that they came in, unless mode says otherwise; a batch
// is written as structured events.
func (s *Server) postEvents(w http.ResponseWriter, r *http.Request) error {
	topic := r.PathValue("topic")
	if err := checkTopicName(topic); err != nil {
		return err
	}
	b, done, err := s.body(r)
	if err != nil {
		return err
	}
	defer done()
	events, structured, err := eventsIn(r, b, s.o.Limits.Records)
	if err != nil {
		return err
	}
	switch strings.ToLower(r.URL.Query().Get("mode")) {
	case "":
	case "binary":
		structured = false
	case "structured":
		structured = true
	default:
		return badRequest("mode %q is not binary or structured", r.URL.Query().Get("mode"))
	}
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = e.record(topic, structured)
	}
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	status, body, err := v2Report(records, s.produceAll(r.Context(), cl, byEvents, records), nil, nil)
	if err != nil {
		return err
	}
	return gate.WriteJSON(w, r, []string{typeJSON, typeV2}, status, json.RawMessage(body))
}

// eventsIn reads the events of a request; structured says how they came.
func eventsIn(r *http.Request, b []byte, most int) (events []*event, structured bool, err error) {
	switch mediaType(r) {
	case typeEvent:
		e, err := eventOfJSON(b)
		return []*event{e}, true, err
	case typeEvents:
		var texts []json.RawMessage
		if err := decodeJSON(b, &texts); err != nil {
			return nil, false, err
		}
		if len(texts) == 0 || len(texts) > most {
			return nil, false, gate.Errorf(http.StatusUnprocessableEntity, "A batch has 1 to %d events", most)
		}
		for i, text := range texts {
			e, err := eventOfJSON(text)
			if err != nil {
				return nil, false, fmt.Errorf("event %d of the batch: %w", i, err)
			}
			events = append(events, e)
		}
		return events, true, nil
	}
	e, err := eventOfHeaders(r.Header, b)
	return []*event{e}, false, err
}

// getEvent answers with one record as an event: structured if the client wants that, else in binary mode.
func (s *Server) getEvent(w http.ResponseWriter, r *http.Request) error {
	record, err := s.oneRecord(r)
	if err != nil {
		return err
	}
	e := eventOfRecord(record)
	if best, ok := gate.Acceptable(r, []string{"*/*", typeEvent}); ok && best == typeEvent {
		w.Header().Set("Content-Type", typeEvent+"; charset=UTF-8")
		_, _ = w.Write(e.structured()) // the client has gone
		return nil
	}
	for name, v := range e.attributes {
		w.Header().Set("ce-"+name, escapeHeader(v))
	}
	w.Header()["Content-Type"] = nil
	if e.dataType != "" {
		w.Header().Set("Content-Type", e.dataType)
	}
	_, _ = w.Write(e.data) // likewise
	return nil
}

// escapeHeader escapes what a header cannot hold, as the HTTP binding says: everything but printable ASCII, and space, quote and percent.
func escapeHeader(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
