package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
)

// Records of v3.
type (
	// ProduceRequest is one record.
	ProduceRequest struct {
		PartitionID *int32          `json:"partition_id,omitempty"`
		Headers     []ProduceHeader `json:"headers,omitempty"`
		Key         *ProduceData    `json:"key,omitempty"`
		Value       *ProduceData    `json:"value,omitempty"`
		Timestamp   *time.Time      `json:"timestamp,omitempty"`
	}
	// ProduceHeader is a header; its value is base64.
	ProduceHeader struct {
		Name  string  `json:"name" openapi:"required"`
		Value *string `json:"value"`
	}
	// ProduceData is a key or value: JSON in the form that Type, or the schema, says. Without either it is written by the latest schema
	// of the subject.
	ProduceData struct {
		Type                string          `json:"type,omitempty"`
		Subject             string          `json:"subject,omitempty"`
		SubjectNameStrategy string          `json:"subject_name_strategy,omitempty"`
		SchemaID            *int            `json:"schema_id,omitempty"`
		SchemaVersion       *int            `json:"schema_version,omitempty"`
		Schema              *string         `json:"schema,omitempty"`
		Data                json.RawMessage `json:"data,omitempty"`
	}
	// ProduceResponse tells of one record: error_code is 200 if it was produced.
	ProduceResponse struct {
		ErrorCode   int           `json:"error_code"`
		Message     string        `json:"message,omitempty"`
		ClusterID   string        `json:"cluster_id,omitempty"`
		TopicName   string        `json:"topic_name,omitempty"`
		PartitionID *int32        `json:"partition_id,omitempty"`
		Offset      *int64        `json:"offset,omitempty"`
		Timestamp   *time.Time    `json:"timestamp,omitempty"`
		Key         *ProducedData `json:"key,omitempty"`
		Value       *ProducedData `json:"value,omitempty"`
	}
	// ProducedData tells of a key or value.
	ProducedData struct {
		Type          string `json:"type"`
		Subject       string `json:"subject,omitempty"`
		SchemaID      *int   `json:"schema_id,omitempty"`
		SchemaVersion *int   `json:"schema_version,omitempty"`
		Size          int    `json:"size"`
	}
	// ProduceBatch is a request with many records.
	ProduceBatch struct {
		Entries []ProduceBatchEntry `json:"entries" openapi:"required"`
	}
	// ProduceBatchEntry is a record with a name.
	ProduceBatchEntry struct {
		ID json.RawMessage `json:"id" openapi:"required"`
		ProduceRequest
	}
	// ProduceBatchResponse tells of each.
	ProduceBatchResponse struct {
		Successes []ProduceBatchSuccess `json:"successes"`
		Failures  []ProduceBatchFailure `json:"failures"`
	}
	// ProduceBatchSuccess is a record that was produced.
	ProduceBatchSuccess struct {
		ID string `json:"id"`
		ProduceResponse
	}
	// ProduceBatchFailure is one that was not.
	ProduceBatchFailure struct {
		ID        string `json:"id"`
		ErrorCode int    `json:"error_code"`
		Message   string `json:"message,omitempty"`
	}
)

// prepared is a record that is ready to be sent, and what its answer says of key and value.
type prepared struct {
	record     *kgo.Record
	key, value *ProducedData
}

// prepare makes the record of a request.
func (s *Server) prepare(ctx context.Context, topic string, in *ProduceRequest) (*prepared, error) {
	p := &prepared{record: &kgo.Record{Topic: topic, Partition: anyPartition}}
	if in.PartitionID != nil {
		if p.record.Partition = *in.PartitionID; p.record.Partition < 0 {
			return nil, errPartitionNotFound()
		}
	}
	if in.Timestamp != nil {
		if ms := in.Timestamp.UnixMilli(); ms >= 0 {
			p.record.Timestamp = *in.Timestamp
		} else {
			return nil, badRequest("timestamp is before 1970")
		}
	}
	if len(in.Headers) > maxHeaders {
		return nil, badRequest("there are %d headers, more than %d", len(in.Headers), maxHeaders)
	}
	for _, h := range in.Headers {
		header := kgo.RecordHeader{Key: h.Name}
		if h.Value != nil {
			v, err := base64.StdEncoding.DecodeString(*h.Value)
			if err != nil {
				return nil, badRequest("the value of header %s is not a base64 string.", h.Name)
			}
			header.Value = append([]byte{}, v...)
		}
		p.record.Headers = append(p.record.Headers, header)
	}
	var err error
	if p.record.Key, p.key, err = s.encodeData(ctx, topic, true, in.Key); err != nil {
		return nil, err
	}
	if p.record.Value, p.value, err = s.encodeData(ctx, topic, false, in.Value); err != nil {
		return nil, err
	}
	return p, nil
}

// maxHeaders bounds the headers of a record.
const maxHeaders = 1000

// encodeData makes the bytes of a key or value.
func (s *Server) encodeData(ctx context.Context, topic string, isKey bool, in *ProduceData) ([]byte, *ProducedData, error) {
	if in == nil {
		return nil, nil, nil
	}
	var format embedded.Format
	if in.Type != "" {
		f, ok := embedded.ParseFormat(in.Type)
		if !ok {
			return nil, nil, badRequest("type %q is not one of BINARY, JSON, STRING, AVRO, JSONSCHEMA, PROTOBUF", in.Type)
		}
		format = f
	}
	if format != "" && !format.NeedsSchema() {
		if in.SchemaID != nil || in.SchemaVersion != nil || in.Schema != nil || in.Subject != "" {
			return nil, nil, badRequest("type %s has no schemas", format)
		}
		b, err := s.codec.Encode(format, nil, isKey, in.Data)
		return b, &ProducedData{Type: string(format), Size: len(b)}, err
	}
	schema, err := s.codec.Resolve(ctx, embedded.Spec{
		Topic: topic, IsKey: isKey, Format: format, Subject: in.Subject, SubjectNameStrategy: in.SubjectNameStrategy, ID: in.SchemaID, Version: in.SchemaVersion, Text: in.Schema,
	})
	if err != nil {
		return nil, nil, err
	}
	b, err := s.codec.Encode(schema.Format(), schema, isKey, in.Data)
	if err != nil {
		return nil, nil, err
	}
	out := &ProducedData{Type: string(schema.Format()), Subject: schema.Subject, SchemaID: &schema.ID, Size: len(b)}
	if schema.Version > 0 {
		out.SchemaVersion = &schema.Version
	}
	return b, out, nil
}

// success and failure are the answers about one record.
func (p *prepared) success(r inCluster) ProduceResponse {
	at := p.record.Timestamp.UTC()
	return ProduceResponse{
		ErrorCode: http.StatusOK, ClusterID: r.id, TopicName: p.record.Topic, PartitionID: &p.record.Partition, Offset: &p.record.Offset, Timestamp: &at, Key: p.key, Value: p.value,
	}
}

func failure(err error) ProduceResponse {
	e := Translate(err)
	if e == nil {
		e = gate.Errorf(codeKafka, "Kafka error: %v", err)
	}
	code := e.Code
	if code == 0 {
		code = e.Status
	}
	return ProduceResponse{ErrorCode: code, Message: e.Message}
}

// v3Produce takes JSON values, as many as the client sends on the connection, and answers each with one, in order, as soon as it is
// known. The client may keep the connection open for as long as it likes.
func (s *Server) v3Produce(w http.ResponseWriter, r inCluster) error {
	topic := r.PathValue("topic_name")
	if err := checkTopicName(topic); err != nil {
		return translateUnknown()
	}
	values := newValues(r.Body, s.o.Limits.RequestBytes)
	first, err := values.next()
	if errors.Is(err, io.EOF) {
		return gate.Errorf(http.StatusUnprocessableEntity, "Payload error. Request body is empty. Data is required.")
	}
	if err != nil {
		return valueError(err)
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 needs no leave
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	pending := make(chan func() ProduceResponse, s.o.Limits.StreamPending)
	var lastErr error // of those that were written; the goroutine's until it ends
	end := s.writers.begin(r.client, topic)
	defer func() { end(lastErr) }()
	var writing sync.WaitGroup
	writing.Go(func() {
		defer cancel()
		s.writeAnswers(w, control, pending)
	})
	for value := first; ; {
		answerOf, more := s.produceOne(ctx, r, topic, value, &lastErr)
		if !offer(ctx, pending, answerOf) || !more {
			break
		}
		if value, err = values.next(); err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				last := failure(valueError(err))
				offer(ctx, pending, func() ProduceResponse { return last })
			}
			break
		}
	}
	close(pending)
	writing.Wait()
	return nil
}

func translateUnknown() error {
	return gate.Errorf(codeUnknownTopic, "This server does not host this topic-partition.")
}

func offer[T any](ctx context.Context, to chan<- T, v T) bool {
	select {
	case to <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// produceOne sends one record; the function that it returns waits for the answer, and notes an error. More is false if nothing after it can be read.
func (s *Server) produceOne(ctx context.Context, r inCluster, topic string, value json.RawMessage, lastErr *error) (answerOf func() ProduceResponse, more bool) {
	now := func(p ProduceResponse) func() ProduceResponse { return func() ProduceResponse { return p } }
	var in ProduceRequest
	if len(value) == 0 || value[0] != '{' {
		return now(failure(badRequest("Error processing JSON: a record is an object"))), true
	}
	if err := decodeJSON(value, &in); err != nil {
		return now(failure(err)), true
	}
	p, err := s.prepare(ctx, topic, &in)
	if err != nil {
		return now(failure(err)), true
	}
	result := make(chan error, 1)
	r.client.Produce(ctx, p.record, func(_ *kgo.Record, err error) { result <- err })
	return func() ProduceResponse {
		err := <-result
		s.metrics.wrote(byV3, err)
		if err != nil {
			*lastErr = err
			return failure(err)
		}
		return p.success(r)
	}, true
}

// writeAnswers writes answers as they come, and flushes when there is none left to write at once.
func (s *Server) writeAnswers(w io.Writer, control *http.ResponseController, pending <-chan func() ProduceResponse) {
	var buf bytes.Buffer
	broken := false
	for next := range pending {
		out := next()
		if broken {
			continue
		}
		text, err := json.Marshal(out)
		if err != nil {
			text = []byte(`{"error_code":500,"message":"the answer cannot be encoded"}`)
		}
		buf.Write(text)
		buf.WriteString("\r\n")
		if len(pending) > 0 && buf.Len() < flushBytes {
			continue
		}
		_ = control.SetWriteDeadline(time.Now().Add(s.o.Limits.WriteTimeout)) // a recorder in a test has none
		_, werr := w.Write(buf.Bytes())
		broken = errors.Join(werr, control.Flush()) != nil
		buf.Reset()
	}
}

// flushBytes is how much of an answer is gathered before it is written.
const flushBytes = 32 << 10

// values reads JSON values, one after the other, from a stream. White space and commas may stand between them, and the whole may be
// one array.
type values struct {
	limit *io.LimitedReader
	max   int64
	in    *json.Decoder
}

func newValues(r io.Reader, maxBytes int64) *values {
	limit := &io.LimitedReader{R: r, N: maxBytes}
	return &values{limit, maxBytes, json.NewDecoder(limit)}
}

// errValueTooLarge is for one JSON value that is larger than a request may be.
var errValueTooLarge = errors.New("value too large")

// next returns the next value, io.EOF at the end.
func (v *values) next() (json.RawMessage, error) {
	v.limit.N = v.max
	var out json.RawMessage
	err := v.in.Decode(&out)
	if err != nil && v.limit.N == 0 {
		return nil, errValueTooLarge
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // io.EOF is the end
	}
	return out, nil
}

// valueError says what is wrong with a stream of values.
func valueError(err error) error {
	if e, ok := errors.AsType[*gate.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, errValueTooLarge) {
		return gate.Errorf(http.StatusRequestEntityTooLarge, "The request included a message larger than the maximum message size the server can accept.")
	}
	return badRequest("Error processing message: %v", err)
}

// v3ProduceBatch produces many records and tells of each.
func (s *Server) v3ProduceBatch(w http.ResponseWriter, r inCluster) error {
	topic := r.PathValue("topic_name")
	if err := checkTopicName(topic); err != nil {
		return translateUnknown()
	}
	b, done, err := s.body(r.Request)
	if err != nil {
		return err
	}
	defer done()
	entries, ids, err := decodeBatch(b, s.o.Limits.BatchEntries)
	if err != nil {
		return err
	}
	out := ProduceBatchResponse{Successes: []ProduceBatchSuccess{}, Failures: []ProduceBatchFailure{}}
	var ready []*prepared
	var records []*kgo.Record
	failed := make([]error, len(entries))
	for i := range entries {
		p, err := s.prepare(r.Context(), topic, &entries[i].ProduceRequest)
		failed[i] = err
		ready = append(ready, p)
		if err == nil {
			records = append(records, p.record)
		}
	}
	errs := s.produceAll(r.Context(), r.client, byV3, records)
	for i, p := range ready {
		if failed[i] == nil {
			failed[i], errs = errs[0], errs[1:]
		}
		if failed[i] == nil {
			out.Successes = append(out.Successes, ProduceBatchSuccess{ids[i], p.success(r)})
			continue
		}
		f := failure(failed[i])
		out.Failures = append(out.Failures, ProduceBatchFailure{ids[i], f.ErrorCode, f.Message})
	}
	return answer(w, r.Request, http.StatusMultiStatus, out)
}

// decodeBatch reads the entries of a batch and their ids, which are distinct strings of 1 to 80 bytes.
func decodeBatch(b []byte, most int) ([]ProduceBatchEntry, []string, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil, gate.Errorf(codeBatch, "Request body is empty. Data is required.")
	}
	var in ProduceBatch
	if err := decodeJSON(b, &in); err != nil {
		return nil, nil, err
	}
	switch {
	case len(in.Entries) == 0:
		return nil, nil, gate.Errorf(codeBatch, "Empty batch.")
	case len(in.Entries) > most:
		return nil, nil, gate.Errorf(codeBatch, "Too many entries in batch.")
	}
	seen, ids := map[string]bool{}, make([]string, len(in.Entries))
	for i, e := range in.Entries {
		var id string
		if err := json.Unmarshal(e.ID, &id); err != nil || id == "" || len(id) > 80 {
			return nil, nil, gate.Errorf(codeBatch, "Batch entry identifier is not a valid string.")
		}
		if seen[id] {
			return nil, nil, gate.Errorf(codeBatch, "Batch entry IDs are not distinct.")
		}
		seen[id], ids[i] = true, id
	}
	return in.Entries, ids, nil
}
