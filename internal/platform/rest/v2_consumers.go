package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/consumers"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// What v2 takes and answers about consumers.
type (
	// V2CreateConsumer asks for an instance.
	V2CreateConsumer struct {
		ID              string  `json:"id,omitempty"`
		Name            string  `json:"name,omitempty"`
		Format          string  `json:"format,omitempty"`
		AutoOffsetReset string  `json:"auto.offset.reset,omitempty"`
		AutoCommit      boolish `json:"auto.commit.enable,omitempty"`
		FetchMinBytes   *int    `json:"fetch.min.bytes,omitempty"`
		TimeoutMs       *int    `json:"consumer.request.timeout.ms,omitempty"`
	}
	// V2Consumer is an instance.
	V2Consumer struct {
		InstanceID string `json:"instance_id"`
		BaseURI    string `json:"base_uri"`
	}
	// V2Subscription names topics, or a pattern of their names.
	V2Subscription struct {
		Topics       []string `json:"topics,omitempty"`
		TopicPattern string   `json:"topic_pattern,omitempty"`
	}
	// V2Topics lists the topics of a subscription.
	V2Topics struct {
		Topics []string `json:"topics"`
	}
	// V2TopicPartition names a partition.
	V2TopicPartition struct {
		Topic     string `json:"topic" openapi:"required"`
		Partition int32  `json:"partition" openapi:"required"`
	}
	// V2Partitions lists partitions.
	V2Partitions struct {
		Partitions []V2TopicPartition `json:"partitions" openapi:"required"`
	}
	// V2Offset is an offset of a partition.
	V2Offset struct {
		Topic     string `json:"topic" openapi:"required"`
		Partition int32  `json:"partition" openapi:"required"`
		Offset    int64  `json:"offset" openapi:"required"`
		Metadata  string `json:"metadata"`
	}
	// V2OffsetList lists offsets.
	V2OffsetList struct {
		Offsets []V2Offset `json:"offsets"`
	}
	// V2Timestamp is a time in a partition.
	V2Timestamp struct {
		Topic     string    `json:"topic" openapi:"required"`
		Partition int32     `json:"partition" openapi:"required"`
		Timestamp time.Time `json:"timestamp" openapi:"required"`
	}
	// V2Positions sets where to read on.
	V2Positions struct {
		Offsets    []V2Offset    `json:"offsets,omitempty"`
		Timestamps []V2Timestamp `json:"timestamps,omitempty"`
	}
	// V2Consumed is a record.
	V2Consumed struct {
		Topic     string          `json:"topic"`
		Key       json.RawMessage `json:"key"`
		Value     json.RawMessage `json:"value"`
		Partition int32           `json:"partition"`
		Offset    int64           `json:"offset"`
	}
)

// boolish is a bool that clients also write as a string.
type boolish string

// UnmarshalJSON implements json.Unmarshaler.
func (b *boolish) UnmarshalJSON(text []byte) error {
	*b = boolish(strings.Trim(string(text), `"`))
	return nil
}

// consumerTypes are what consumer routes take and answer.
var consumerTypes = append([]string{typeV2, typeJSON}, v2DataTypes...)

func (s *Server) instance(r *http.Request) (*consumers.Instance, error) {
	return s.consumers.Get(principal(r), r.PathValue("group"), r.PathValue("instance"))
}

func (s *Server) v2CreateConsumer(w http.ResponseWriter, r *http.Request) error {
	var in V2CreateConsumer
	if err := gate.ReadJSON(r, &in, true); err != nil {
		return err
	}
	config, err := in.config(s.o.Now())
	if err != nil {
		return err
	}
	group := r.PathValue("group")
	dial := s.dialer(r)
	instance, err := s.consumers.Create(principal(r), group, config, consumers.Dial(dial))
	if err != nil {
		return err
	}
	name := instance.Config().Name
	return answerV2(w, r, V2Consumer{InstanceID: name, BaseURI: baseOf(r) + "/consumers/" + url.PathEscape(group) + "/instances/" + url.PathEscape(name)})
}

// maxConsumerWait bounds how long a request for records may wait.
const maxConsumerWait = time.Minute

// config reads what a client wants of its instance.
func (in *V2CreateConsumer) config(now time.Time) (consumers.Config, error) {
	c := consumers.Config{Name: in.Name, OffsetReset: in.AutoOffsetReset, AutoCommit: !strings.EqualFold(string(in.AutoCommit), "false")}
	if c.Name == "" {
		c.Name = in.ID
	}
	if c.Name == "" {
		c.Name = "rest-consumer-" + instanceID(now)
	}
	if len(c.Name) > maxNameBytes {
		return c, gate.Errorf(codeConsumerConfig, "Invalid consumer configuration: the name is longer than %d bytes", maxNameBytes)
	}
	switch strings.ToLower(string(in.AutoCommit)) {
	case "", "true", "false", "null":
	default:
		return c, gate.Errorf(codeConsumerConfig, "Invalid consumer configuration: auto.commit.enable is %q, not true or false", in.AutoCommit)
	}
	format := embedded.Binary
	if in.Format != "" {
		f, ok := embedded.ParseFormat(in.Format)
		if !ok || f == embedded.String {
			return c, gate.Errorf(http.StatusUnprocessableEntity, "Invalid format type.")
		}
		format = f
	}
	c.Format = string(format)
	if in.FetchMinBytes != nil {
		if *in.FetchMinBytes < -1 || *in.FetchMinBytes > 10_000_000 {
			return c, &gate.Error{Status: http.StatusUnprocessableEntity, Code: codeConsumerConstraint, Message: "Invalid consumer configuration. It does not abide by the constraints: fetch.min.bytes is not in [-1, 10000000]"}
		}
		c.MinBytes = max(*in.FetchMinBytes, 0)
	}
	if in.TimeoutMs != nil {
		if *in.TimeoutMs < 0 {
			return c, gate.Errorf(codeConsumerConfig, "Invalid consumer configuration: consumer.request.timeout.ms is negative")
		}
		c.Wait = max(min(time.Duration(*in.TimeoutMs)*time.Millisecond, maxConsumerWait), time.Millisecond)
	}
	return c, nil
}

// maxNameBytes bounds names that clients give.
const maxNameBytes = 249

func (s *Server) v2DeleteConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := s.consumers.Delete(r.Context(), principal(r), r.PathValue("group"), r.PathValue("instance")); err != nil {
		return err
	}
	return noContent(w)
}

func (s *Server) v2Subscribe(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	var in V2Subscription
	if err := gate.ReadJSON(r, &in, false); err != nil {
		return err
	}
	if len(in.Topics) > s.o.Limits.Records || len(in.TopicPattern) > maxPatternBytes {
		return gate.Errorf(http.StatusUnprocessableEntity, "The subscription is too large")
	}
	if slices.Contains(in.Topics, "") {
		return gate.Errorf(http.StatusUnprocessableEntity, "topics must not hold an empty name")
	}
	if err := instance.Subscribe(r.Context(), in.Topics, in.TopicPattern); err != nil {
		return err
	}
	return noContent(w)
}

// maxPatternBytes bounds a pattern of topic names.
const maxPatternBytes = 1000

func (s *Server) v2Subscription(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	topics, err := instance.Subscription(r.Context())
	if err != nil {
		return err
	}
	return answerV2(w, r, V2Topics{Topics: append([]string{}, topics...)})
}

func (s *Server) v2Unsubscribe(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	if err := instance.Unsubscribe(r.Context()); err != nil {
		return err
	}
	return noContent(w)
}

// readPartitions reads a body with partitions.
func (s *Server) readPartitions(r *http.Request) ([]consumers.Partition, error) {
	var in V2Partitions
	if err := gate.ReadJSON(r, &in, false); err != nil {
		return nil, err
	}
	if len(in.Partitions) > s.o.Limits.Records {
		return nil, gate.Errorf(http.StatusUnprocessableEntity, "There are too many partitions in the request")
	}
	var out []consumers.Partition
	for _, p := range in.Partitions {
		if p.Topic == "" || p.Partition < 0 {
			return nil, gate.Errorf(http.StatusUnprocessableEntity, "topic must not be empty and partition must not be negative")
		}
		out = append(out, consumers.Partition{Topic: p.Topic, Partition: p.Partition})
	}
	return out, nil
}

func (s *Server) v2Assign(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	partitions, err := s.readPartitions(r)
	if err != nil {
		return err
	}
	if err := instance.Assign(r.Context(), partitions); err != nil {
		return v2Missing(err)
	}
	return noContent(w)
}

func (s *Server) v2Assignment(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	partitions, err := instance.Assignment(r.Context())
	if err != nil {
		return err
	}
	out := V2Partitions{Partitions: []V2TopicPartition{}}
	for _, p := range partitions {
		out.Partitions = append(out.Partitions, V2TopicPartition(p))
	}
	return answerV2(w, r, out)
}

func (s *Server) v2Seek(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	var in V2Positions
	if err := gate.ReadJSON(r, &in, false); err != nil {
		return err
	}
	offsets := map[consumers.Partition]int64{}
	for _, o := range in.Offsets {
		if o.Topic == "" || o.Partition < 0 || o.Offset < 0 {
			return gate.Errorf(http.StatusUnprocessableEntity, "topic must not be empty, partition and offset must not be negative")
		}
		offsets[consumers.Partition{Topic: o.Topic, Partition: o.Partition}] = o.Offset
	}
	if len(offsets) > 0 {
		if err := instance.Seek(r.Context(), offsets); err != nil {
			return err
		}
	}
	for _, at := range in.Timestamps {
		p := consumers.Partition{Topic: at.Topic, Partition: at.Partition}
		if err := instance.SeekTo(r.Context(), []consumers.Partition{p}, consumers.Time, at.Timestamp.UnixMilli()); err != nil {
			return err
		}
	}
	return noContent(w)
}

func (s *Server) v2SeekTo(place consumers.Place) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		instance, err := s.instance(r)
		if err != nil {
			return err
		}
		partitions, err := s.readPartitions(r)
		if err != nil {
			return err
		}
		if err := instance.SeekTo(r.Context(), partitions, place, 0); err != nil {
			return err
		}
		return noContent(w)
	}
}

func (s *Server) v2Commit(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	var in V2OffsetList
	if err := gate.ReadJSON(r, &in, true); err != nil {
		return err
	}
	offsets := map[consumers.Partition]consumers.Offset{}
	for _, o := range in.Offsets {
		if o.Topic == "" || o.Partition < 0 || o.Offset < 0 || o.Offset == math.MaxInt64 {
			return gate.Errorf(http.StatusUnprocessableEntity, "topic must not be empty, partition and offset must not be negative")
		}
		// A client commits the last record that it has worked on; Kafka notes the next one.
		offsets[consumers.Partition{Topic: o.Topic, Partition: o.Partition}] = consumers.Offset{At: o.Offset + 1, Metadata: o.Metadata}
	}
	if _, err := instance.Commit(r.Context(), offsets); err != nil {
		return v2Missing(err)
	}
	return answerV2(w, r, []struct{}{})
}

func (s *Server) v2Committed(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	partitions, err := s.readPartitions(r)
	if err != nil {
		return err
	}
	committed, err := instance.Committed(r.Context(), partitions)
	if err != nil {
		return v2Missing(err)
	}
	out := V2OffsetList{Offsets: []V2Offset{}}
	for _, p := range partitions {
		if o, ok := committed[p]; ok {
			out.Offsets = append(out.Offsets, V2Offset{Topic: p.Topic, Partition: p.Partition, Offset: o.At, Metadata: o.Metadata})
		}
	}
	return answerV2(w, r, out)
}

func (s *Server) v2Records(w http.ResponseWriter, r *http.Request) error {
	instance, err := s.instance(r)
	if err != nil {
		return err
	}
	format := embedded.Format(instance.Config().Format)
	contentType, ok := recordsType(r, format)
	if !ok {
		return gate.Errorf(codeFormatMismatch, "The requested embedded data format does not match the deserializer for this consumer instance")
	}
	wait, err := int64Query(r, "timeout", -1)
	if err != nil {
		return err
	}
	maxBytes, err := int64Query(r, "max_bytes", -1)
	if err != nil {
		return err
	}
	if wait == 0 { // as if it were not said
		wait = -1
	}
	patience := min(time.Duration(min(wait, int64(maxConsumerWait/time.Millisecond)))*time.Millisecond, maxConsumerWait)
	out := []V2Consumed{}
	err = instance.Records(r.Context(), patience, int(min(max(maxBytes, 0), math.MaxInt32)), func(record *kgo.Record) error { //nolint:contextcheck // it shows records for this request alone
		v, err := s.v2Consumed(r.Context(), format, record)
		if err == nil {
			out = append(out, v)
		}
		return err
	})
	if err != nil {
		return v2Missing(err)
	}
	s.metrics.delivered.WithLabelValues(byConsumer).Add(float64(len(out)))
	return gate.WriteJSON(w, r, []string{contentType}, http.StatusOK, out)
}

// recordsType is the content type for records of a format. Whoever asks for no embedded format gets that of the instance.
func recordsType(r *http.Request, format embedded.Format) (string, bool) {
	own := "application/vnd.kafka." + strings.ToLower(string(format)) + ".v2+json"
	if got, ok := gate.Acceptable(r, []string{own, typeV2, typeJSON, "application/vnd.kafka+json"}); ok {
		return got, true
	}
	return "", false
}

// v2Consumed shows a record. Bytes that are not of the instance's format are the writer's doing, not the reader's: the answer says so.
func (s *Server) v2Consumed(ctx context.Context, format embedded.Format, record *kgo.Record) (V2Consumed, error) {
	out := V2Consumed{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset}
	var err error
	if out.Key, _, err = s.codec.Decode(ctx, format, headerOf(record, wireformat.KeyHeader), record.Key); err == nil {
		out.Value, _, err = s.codec.Decode(ctx, format, headerOf(record, wireformat.ValueHeader), record.Value)
	}
	if err != nil {
		return out, gate.Errorf(codeSerialization, "Error deserializing %s-%d at offset %d: %v", record.Topic, record.Partition, record.Offset, err)
	}
	return out, nil
}

// headerOf returns the last header of a name, nil if there is none.
func headerOf(r *kgo.Record, name string) []byte {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

// baseOf is where the client reached us.
func baseOf(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s", scheme, r.Host)
}

// mediaType is the content type of a request, without its parameters.
func mediaType(r *http.Request) string {
	name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return name
}
