package serde_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weir-stream/weir/serde"
)

const orderSchema = `{"type":"record","name":"Order","namespace":"shop","fields":[
	{"name":"id","type":"long"},
	{"name":"customer","type":{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"},{"name":"card","type":["null","string"],"default":null}]}},
	{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},{"name":"price","type":"double"}]}}},
	{"name":"labels","type":{"type":"map","values":"string"},"default":{}},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"raw","type":"bytes","default":""}]}`

type Line struct {
	SKU   string  `avro:"sku"`
	Price float64 `avro:"price"`
}

type Customer struct {
	Name string  `json:"name"`
	Card *string `json:"card"`
}

type Order struct {
	ID       int64             `avro:"id"`
	Customer Customer          `avro:"customer"`
	Lines    []Line            `avro:"lines"`
	Labels   map[string]string `avro:"labels,omitempty"`
	At       time.Time         `avro:"at,timestamp-micros"`
	Raw      []byte            `avro:"raw,omitempty"`
	hidden   int
}

func order() Order {
	card := "4111"
	return Order{
		ID: 7, Customer: Customer{"Ada", &card}, Lines: []Line{{"a", 1.5}, {"b", 2}}, Labels: map[string]string{"x": "y"},
		At: time.UnixMicro(1_700_000_000_123_456).UTC(), Raw: []byte{1, 2},
	}
}

func writer(t testing.TB, c *serde.Client, o serde.SerializerOptions) *serde.Serializer {
	t.Helper()
	s, err := serde.NewSerializer(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func reader(t testing.TB, c *serde.Client, o serde.DeserializerOptions) *serde.Deserializer {
	t.Helper()
	d, err := serde.NewDeserializer(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAvroStructsGoThereAndBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, place := range []serde.Place{serde.Prefix, serde.GUIDHeader} {
		s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: orderSchema}, ID: place})
		data, headers, err := s.Serialize(t.Context(), "orders", order())
		if err != nil {
			t.Fatal(err)
		}
		if place == serde.Prefix && (!bytes.HasPrefix(data, []byte{0, 0, 0, 0, 1}) || headers != nil) {
			t.Errorf("prefix %x, headers %v", data[:5], headers)
		}
		if place == serde.GUIDHeader && (len(headers) != 1 || headers[0].Key != "__value_schema_id" || len(headers[0].Value) != 17 || headers[0].Value[0] != 1) {
			t.Errorf("headers %v", headers)
		}
		d := reader(t, f.client(t), serde.DeserializerOptions{})
		var got Order
		if err := d.Deserialize(t.Context(), "orders", data, headers, &got); err != nil {
			t.Fatal(err)
		}
		if want := order(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		var plain any
		if err := d.Deserialize(t.Context(), "orders", data, headers, &plain); err != nil {
			t.Fatal(err)
		}
		if m := plain.(map[string]any); m["id"] != int64(7) || m["customer"].(map[string]any)["card"] != "4111" {
			t.Errorf("plain value %v", plain)
		}
		again, _, err := s.Serialize(t.Context(), "orders", plain)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("the plain value is written as %x, %v, want %x", again, err, data)
		}
	}
}

func TestDefaultsTakeThePlaceOfWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: orderSchema}})
	o := order()
	o.Labels, o.Raw, o.Customer.Card, o.Lines = nil, nil, nil, nil
	data, _, err := s.Serialize(t.Context(), "orders", &o)
	if err != nil {
		t.Fatal(err)
	}
	got := Order{Labels: map[string]string{"old": "x"}, hidden: 1}
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "orders", data, nil, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Labels) != 0 || len(got.Lines) != 0 || got.Customer.Card != nil {
		t.Errorf("got %+v", got)
	}
	if _, _, err := s.Serialize(t.Context(), "orders", map[string]any{"id": 1}); err == nil || !strings.Contains(err.Error(), "customer") {
		t.Errorf("a record without a customer: %v", err)
	}
}

func TestProtobufMessagesGoThereAndBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := writer(t, f.client(t), serde.SerializerOptions{Subject: serde.RecordName})
	d := reader(t, f.client(t), serde.DeserializerOptions{})
	for _, m := range []proto.Message{timestamppb.New(time.Unix(5, 6)), durationpb.New(time.Minute), &durationpb.Duration{}} {
		data, _, err := s.Serialize(t.Context(), "orders", m)
		if err != nil {
			t.Fatal(err)
		}
		if data[5] != 0 {
			t.Errorf("indexes of the first message start with %x", data[5])
		}
		got := m.ProtoReflect().New().Interface()
		if err := d.Deserialize(t.Context(), "orders", data, nil, got); err != nil || !proto.Equal(got, m) {
			t.Errorf("got %v, %v, want %v", got, err, m)
		}
		var plain any
		if err := d.Deserialize(t.Context(), "orders", data, nil, &plain); err != nil {
			t.Fatal(err)
		}
		if _, ok := plain.(map[string]any); !ok {
			t.Errorf("plain value %v", plain)
		}
	}
	if len(f.subjects["google.protobuf.Timestamp"]) != 1 || len(f.subjects["google.protobuf.Duration"]) != 1 {
		t.Errorf("subjects %v", f.subjects)
	}
	data, _, err := s.Serialize(t.Context(), "orders", durationpb.New(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Deserialize(t.Context(), "orders", data, nil, &timestamppb.Timestamp{}); err == nil {
		t.Error("a Duration is read as a Timestamp")
	}
}

func TestNestedProtobufMessageHasIndexes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	text := `syntax = "proto3"; package p; message A { string s = 1; } message B { int64 n = 1; message C { string x = 1; repeated int32 r = 2; } }`
	f.put(t, "t-value", serde.Schema{Text: text, Type: serde.Protobuf})
	s := writer(t, f.client(t), serde.SerializerOptions{Use: serde.UseLatest})
	data, _, err := s.Serialize(t.Context(), "t", map[string]any{"s": "x"})
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "t", data, nil, &got); err != nil || fmt.Sprint(got) != "map[s:x]" {
		t.Errorf("got %v, %v", got, err)
	}
	nested := append([]byte{0, 0, 0, 0, 1, 4, 2, 0}, 0x0a, 1, 'y') // two indexes: 1, 0
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "t", nested, nil, &got); err != nil || !strings.Contains(fmt.Sprint(got), "x:y") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReferencesAreFetched(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put(t, "customer", serde.Schema{Text: `{"type":"record","name":"Customer","namespace":"shop","fields":[{"name":"name","type":"string"}]}`})
	own := serde.Schema{Text: `{"type":"record","name":"O","namespace":"shop","fields":[{"name":"customer","type":"shop.Customer"}]}`, References: []serde.Reference{{Name: "shop.Customer", Subject: "customer", Version: 1}}}
	data, _, err := writer(t, f.client(t), serde.SerializerOptions{Schema: &own}).Serialize(t.Context(), "t", map[string]any{"customer": Customer{Name: "Ada"}.onlyName()})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Customer struct{ Name string }
	}
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "t", data, nil, &got); err != nil || got.Customer.Name != "Ada" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func (c Customer) onlyName() map[string]string { return map[string]string{"name": c.Name} }

func TestRegistryIsAskedOncePerSchema(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: orderSchema}})
	d := reader(t, f.client(t), serde.DeserializerOptions{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				data, _, err := s.Serialize(t.Context(), "orders", order())
				if err != nil {
					t.Error(err)
					return
				}
				var got Order
				if err := d.Deserialize(t.Context(), "orders", data, nil, &got); err != nil || got.ID != 7 {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if f.asked > 8 { // at most once by each of four that start together
		t.Errorf("%d requests for one schema", f.asked)
	}
}

func TestFailedRequestsAreSentAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fail = 3
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: `"string"`}})
	if _, _, err := s.Serialize(t.Context(), "t", "x"); err != nil {
		t.Error(err)
	}
	f.fail = 2
	s = writer(t, f.client(t, func(o *serde.ClientOptions) { o.Retries = 1 }), serde.SerializerOptions{Schema: &serde.Schema{Text: `"string"`}})
	_, _, err := s.Serialize(t.Context(), "t", "x")
	if e, ok := errors.AsType[*serde.Error](err); !ok || e.Code != 50302 {
		t.Errorf("after two failures: %v, want 50302", err)
	}
}

func TestLookUpRegistersNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: `"string"`}, Use: serde.LookUp})
	if _, _, err := s.Serialize(t.Context(), "t", "x"); !errors.Is(err, serde.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	f.put(t, "t-value", serde.Schema{Text: `"string"`})
	if _, _, err := s.Serialize(t.Context(), "t", "x"); err != nil {
		t.Error(err)
	}
}

func TestNewestIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.client(t, func(o *serde.ClientOptions) { o.LatestTTL = 1 })
	f.put(t, "t-value", serde.Schema{Text: `"string"`, Metadata: &serde.Metadata{Properties: map[string]string{"major": "1"}}})
	s, old := writer(t, c, serde.SerializerOptions{Use: serde.UseLatest}), writer(t, c, serde.SerializerOptions{Use: serde.UseLatest, LatestWith: map[string]string{"major": "1"}})
	for want := range 2 {
		data, _, err := s.Serialize(t.Context(), "t", "x")
		if err != nil || data[4] != byte(want+1) {
			t.Errorf("got %x, %v", data, err)
		}
		if data, _, err = old.Serialize(t.Context(), "t", "x"); err != nil || data[4] != 1 {
			t.Errorf("of major 1: %x, %v", data, err)
		}
		f.put(t, "t-value", serde.Schema{Text: `{"type":"string","x":1}`, Metadata: &serde.Metadata{Properties: map[string]string{"major": "2"}}})
	}
}

func TestReadingByTheNewestVersionResolves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	v1 := `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"gone","type":"string"},{"name":"old","type":"string"},{"name":"u","type":["null",{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}]}]}`
	v2 := `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"double"},{"name":"new","type":"string","default":"d"},{"name":"name","aliases":["old"],"type":"bytes"},{"name":"u","type":["null",{"type":"record","name":"I","fields":[{"name":"x","type":"long"},{"name":"y","type":"long","default":9}]}]}]}`
	data, _, err := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: v1}}).Serialize(t.Context(), "t",
		map[string]any{"a": 3, "gone": "g", "old": "o", "u": map[string]int{"x": 1}})
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, "t-value", serde.Schema{Text: v2})
	var got any
	if err := reader(t, f.client(t), serde.DeserializerOptions{UseLatest: true}).Deserialize(t.Context(), "t", data, nil, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": 3.0, "new": "d", "name": []byte("o"), "u": map[string]any{"x": int64(1), "y": int64(9)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBytesWithoutAnIDAreRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	d := reader(t, f.client(t), serde.DeserializerOptions{})
	var got any
	for _, data := range [][]byte{{}, []byte("plain"), {0, 0}} {
		if err := d.Deserialize(t.Context(), "t", data, nil, &got); !errors.Is(err, serde.ErrNotFramed) {
			t.Errorf("%x: %v, want ErrNotFramed", data, err)
		}
	}
	if err := d.Deserialize(t.Context(), "t", []byte{0, 0, 0, 0, 99}, nil, &got); !errors.Is(err, serde.ErrNotFound) {
		t.Errorf("an unknown id: %v, want ErrNotFound", err)
	}
	got = "kept"
	if err := d.Deserialize(t.Context(), "t", nil, nil, &got); err != nil || got != "kept" {
		t.Errorf("a tombstone: %v, %v", got, err)
	}
}

func TestOptionsThatContradictAreRefused(t *testing.T) {
	t.Parallel()
	c := newFake(t).client(t)
	if _, err := serde.NewSerializer(c, serde.SerializerOptions{LatestWith: map[string]string{}}); err == nil {
		t.Error("LatestWith without UseLatest")
	}
	if _, err := serde.NewSerializer(nil, serde.SerializerOptions{}); err == nil {
		t.Error("no client")
	}
	if _, err := serde.NewDeserializer(nil, serde.DeserializerOptions{}); err == nil {
		t.Error("no client")
	}
	if _, _, err := writer(t, c, serde.SerializerOptions{}).Serialize(t.Context(), "t", 1); err == nil {
		t.Error("no schema")
	}
}
