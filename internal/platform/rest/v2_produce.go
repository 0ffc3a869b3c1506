package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
)

// Content types of v2 with data in them.
var v2Formats = map[string]embedded.Format{
	"application/vnd.kafka.binary.v2+json":     embedded.Binary,
	"application/vnd.kafka.json.v2+json":       embedded.JSON,
	"application/vnd.kafka.avro.v2+json":       embedded.Avro,
	"application/vnd.kafka.jsonschema.v2+json": embedded.JSONSchema,
	"application/vnd.kafka.protobuf.v2+json":   embedded.Protobuf,
}

// v2DataTypes lists them, the one that stands for none first.
var v2DataTypes = []string{
	"application/vnd.kafka.binary.v2+json", "application/vnd.kafka.json.v2+json", "application/vnd.kafka.avro.v2+json",
	"application/vnd.kafka.jsonschema.v2+json", "application/vnd.kafka.protobuf.v2+json",
}

// What v2 takes and answers when records are produced.
type (
	// V2Produce is a request with records.
	V2Produce struct {
		Records       []V2Record `json:"records" openapi:"required"`
		KeySchema     *string    `json:"key_schema,omitempty"`
		KeySchemaID   *int       `json:"key_schema_id,omitempty"`
		ValueSchema   *string    `json:"value_schema,omitempty"`
		ValueSchemaID *int       `json:"value_schema_id,omitempty"`
	}
	// V2Record is one record; the form of key and value is that of the content type.
	V2Record struct {
		Partition *int32          `json:"partition,omitempty"`
		Key       json.RawMessage `json:"key,omitempty"`
		Value     json.RawMessage `json:"value,omitempty"`
	}
	// V2Produced is the answer.
	V2Produced struct {
		Offsets       []V2ProducedRecord `json:"offsets"`
		KeySchemaID   *int               `json:"key_schema_id"`
		ValueSchemaID *int               `json:"value_schema_id"`
	}
	// V2ProducedRecord tells of one record: where it is, or why it is not.
	V2ProducedRecord struct {
		Partition *int32  `json:"partition"`
		Offset    *int64  `json:"offset"`
		ErrorCode *int    `json:"error_code"`
		Error     *string `json:"error"`
	}
)

func (s *Server) v2ProduceToTopic(w http.ResponseWriter, r *http.Request) error {
	return s.v2Produce(w, r, anyPartition)
}

func (s *Server) v2ProduceToPartition(w http.ResponseWriter, r *http.Request) error {
	n, err := partitionOf(r)
	if err != nil {
		return err
	}
	if n < 0 {
		return errPartitionNotFound()
	}
	return s.v2Produce(w, r, n)
}

func (s *Server) v2Produce(w http.ResponseWriter, r *http.Request, partition int32) error {
	b, done, err := s.body(r)
	if err != nil {
		return err
	}
	defer done()
	in, err := decodeV2Produce(b, s.o.Limits.Records)
	if err != nil {
		return err
	}
	topic, format := r.PathValue("topic"), v2FormatOf(r)
	if err := checkTopicName(topic); err != nil {
		return err
	}
	key, err := s.v2Schema(r.Context(), format, topic, true, in.KeySchemaID, in.KeySchema)
	if err != nil {
		return err
	}
	value, err := s.v2Schema(r.Context(), format, topic, false, in.ValueSchemaID, in.ValueSchema)
	if err != nil {
		return err
	}
	records := make([]*kgo.Record, len(in.Records))
	for i, record := range in.Records {
		out := &kgo.Record{Topic: topic, Partition: partition}
		if record.Partition != nil {
			if out.Partition = *record.Partition; out.Partition < 0 {
				return errPartitionNotFound()
			}
		}
		if out.Key, err = s.codec.Encode(format, key, true, record.Key); err != nil {
			return v2Conversion(format, err)
		}
		if out.Value, err = s.codec.Encode(format, value, false, record.Value); err != nil {
			return v2Conversion(format, err)
		}
		records[i] = out
	}
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	errs := s.produceAll(r.Context(), cl, byV2, records)
	status, body, err := v2Report(records, errs, key, value)
	if err != nil {
		return err
	}
	return gate.WriteJSON(w, r, []string{typeV2, typeJSON}, status, json.RawMessage(body))
}

// v2FormatOf reads the content type, which the gate has checked.
func v2FormatOf(r *http.Request) embedded.Format {
	name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if f, ok := v2Formats[name]; err == nil && ok {
		return f
	}
	if name == typeJSON || name == typeV2 {
		return embedded.JSON
	}
	return embedded.Binary
}

// decodeV2Produce reads a body with records.
func decodeV2Produce(b []byte, maxRecords int) (*V2Produce, error) {
	var in V2Produce
	if err := decodeJSON(b, &in); err != nil {
		return nil, err
	}
	switch {
	case len(in.Records) == 0:
		return nil, gate.Errorf(http.StatusUnprocessableEntity, "records must not be empty")
	case len(in.Records) > maxRecords:
		return nil, gate.Errorf(http.StatusRequestEntityTooLarge, "The request has %d records, more than %d", len(in.Records), maxRecords)
	}
	return &in, nil
}

// decodeJSON reads a body that must be there.
func decodeJSON(b []byte, v any) error {
	if len(b) == 0 {
		return gate.Errorf(codeInvalidPayload, "Payload error. Request body is empty. Data is required.")
	}
	if err := json.Unmarshal(b, v); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return badRequest("Error processing JSON: %s at %s, where a %s belongs", wrong.Value, wrong.Field, wrong.Type)
		}
		return badRequest("Error processing JSON: %v", err)
	}
	return nil
}

// v2Schema finds the schema that a request names, nil if it names none.
func (s *Server) v2Schema(ctx context.Context, f embedded.Format, topic string, isKey bool, id *int, text *string) (*embedded.Registered, error) {
	if !f.NeedsSchema() || id == nil && text == nil {
		return nil, nil
	}
	spec := embedded.Spec{Topic: topic, IsKey: isKey, ID: id}
	if id == nil {
		spec.Text, spec.Format = text, f
	}
	return s.codec.Resolve(ctx, spec)
}

// v2Conversion gives data that does not fit its schema the code of v2.
func v2Conversion(f embedded.Format, err error) error {
	if f.NeedsSchema() && embedded.KindOf(err) == embedded.Payload {
		return gate.Errorf(codeConversion, "Conversion of JSON to Object failed: %v", err)
	}
	return err
}

// v2Report tells of each record. The status is that of a record that the caller was not allowed to write; where there is no such
// topic, or the partition that all records name is not there, that is the answer.
func v2Report(records []*kgo.Record, errs []error, key, value *embedded.Registered) (status int, body []byte, err error) {
	status = http.StatusOK
	b := make([]byte, 0, 64+64*len(records))
	b = append(b, `{"offsets":[`...)
	unknown, noPartition := 0, 0
	for i, record := range records {
		if i > 0 {
			b = append(b, ',')
		}
		if errs[i] == nil {
			b = append(b, `{"partition":`...)
			b = strconv.AppendInt(b, int64(record.Partition), 10)
			b = append(b, `,"offset":`...)
			b = strconv.AppendInt(b, record.Offset, 10)
			b = append(b, `,"error_code":null,"error":null}`...)
			continue
		}
		if errors.Is(errs[i], kerr.UnknownTopicOrPartition) || errors.Is(errs[i], kerr.InvalidTopicException) {
			unknown++
		}
		if isPartitionChoice(errs[i]) {
			noPartition++
		}
		code, message := recordCode(errs[i])
		switch code / 100 {
		case http.StatusUnauthorized, http.StatusForbidden:
			status = code / 100
		}
		text, merr := json.Marshal(message)
		if merr != nil {
			return 0, nil, fmt.Errorf("encode an error: %w", merr)
		}
		b = fmt.Appendf(b, `{"partition":null,"offset":null,"error_code":%d,"error":%s}`, code, text)
	}
	switch len(records) {
	case unknown:
		return 0, nil, errTopicNotFound()
	case noPartition:
		return 0, nil, errPartitionNotFound()
	}
	b = append(b, `],"key_schema_id":`...)
	b = appendSchemaID(b, key)
	b = append(b, `,"value_schema_id":`...)
	b = appendSchemaID(b, value)
	return status, append(b, '}'), nil
}

func appendSchemaID(b []byte, r *embedded.Registered) []byte {
	if r == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(r.ID), 10)
}
