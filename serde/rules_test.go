package serde_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/serde"
)

const personSchema = `{"type":"record","name":"Person","namespace":"n","fields":[
	{"name":"name","type":"string"},
	{"name":"ssn","type":["null","string"],"confluent:tags":["PII"],"default":null},
	{"name":"photo","type":"bytes","default":"","confluent:tags":["PII"]},
	{"name":"age","type":"int","default":0}]}`

type Person struct {
	Name  string  `avro:"name"`
	SSN   *string `avro:"ssn"`
	Photo []byte  `avro:"photo"`
	Age   int     `avro:"age"`
}

func person() Person {
	ssn := "123-45"
	return Person{"Ada", &ssn, []byte{9, 8}, 36}
}

func encrypting(extra ...serde.Rule) *serde.RuleSet {
	return &serde.RuleSet{DomainRules: append(extra, serde.Rule{
		Name: "pii", Kind: "TRANSFORM", Mode: "WRITEREAD", Type: "ENCRYPT", Tags: []string{"PII"}, OnFailure: "ERROR,NONE",
		Params: map[string]string{"encrypt.kek.name": "k1", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "mykey"},
	})}
}

func withKMS(t testing.TB) func(*serde.ClientOptions) {
	t.Helper()
	kms, err := serde.LocalKMS("mysecret")
	if err != nil {
		t.Fatal(err)
	}
	return func(o *serde.ClientOptions) { o.KMS = map[string]serde.KMS{"local-kms": kms} }
}

func TestTaggedFieldsAreEncrypted(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	schema := &serde.Schema{Text: personSchema, RuleSet: encrypting()}
	data, _, err := writer(t, f.client(t, withKMS(t)), serde.SerializerOptions{Schema: schema}).Serialize(t.Context(), "people", person())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("123-45")) || !bytes.Contains(data, []byte("Ada")) {
		t.Errorf("written as %q", data)
	}
	var got Person
	if err := reader(t, f.client(t, withKMS(t)), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || !reflect.DeepEqual(got, person()) {
		t.Errorf("got %+v, %v", got, err)
	}
	// Whoever has no key gets what is there: the rule says NONE for readers.
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || got.SSN == nil || *got.SSN == "123-45" || got.Name != "Ada" {
		t.Errorf("without a key: %+v, %v", got, err)
	}
	// Nor does anybody when the key is deleted.
	clear(f.keys.keks)
	if err := reader(t, f.client(t, withKMS(t)), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || *got.SSN == "123-45" {
		t.Errorf("after the key was deleted: %+v, %v", got, err)
	}
	_, _, err = writer(t, f.client(t), serde.SerializerOptions{Schema: schema}).Serialize(t.Context(), "others", person())
	if e, ok := errors.AsType[*serde.RuleError](err); !ok || e.Rule != "pii" || e.Mode != "WRITE" || e.Subject != "others-value" || e.Field != "n.Person.ssn" {
		t.Errorf("a writer without a key: %#v", err)
	}
}

func TestPayloadsAreEncrypted(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	rules := &serde.RuleSet{EncodingRules: []serde.Rule{{
		Name: "all", Type: "ENCRYPT_PAYLOAD", Mode: "WRITEREAD",
		Params: map[string]string{"encrypt.kek.name": "k1", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "x", "encrypt.dek.algorithm": "AES256_SIV"},
	}}}
	schema := &serde.Schema{Text: personSchema, RuleSet: rules}
	s := writer(t, f.client(t, withKMS(t)), serde.SerializerOptions{Schema: schema})
	first, _, err := s.Serialize(t.Context(), "people", person())
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := s.Serialize(t.Context(), "people", person())
	if err != nil || !bytes.Equal(first, second) || bytes.Contains(first, []byte("Ada")) {
		t.Errorf("written as %q and %q, %v", first, second, err)
	}
	var got Person
	if err := reader(t, f.client(t, withKMS(t)), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", first, nil, &got); err != nil || got.Name != "Ada" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestConditionsAndTransformsRun(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	schema := &serde.Schema{Text: personSchema, RuleSet: &serde.RuleSet{DomainRules: []serde.Rule{
		{Name: "adult", Kind: "CONDITION", Type: "CEL", Mode: "WRITE", Expr: "message.age >= 18"},
		{Name: "shout", Kind: "TRANSFORM", Type: "CEL_FIELD", Mode: "WRITE", Expr: "name == 'name' ; value + '!'"},
		{Name: "old", Kind: "CONDITION", Type: "CEL", Mode: "READ", Expr: "message.age < 100", OnFailure: "NONE"},
	}}}
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: schema})
	for _, p := range []Person{person(), {Name: "Eve", Age: 200}} {
		data, _, err := s.Serialize(t.Context(), "people", p)
		if err != nil {
			t.Fatal(err)
		}
		var got Person
		if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || got.Name != p.Name+"!" {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	_, _, err := s.Serialize(t.Context(), "people", Person{Name: "Kid", Age: 5})
	if e, ok := errors.AsType[*serde.RuleError](err); !ok || e.Rule != "adult" || !errors.Is(err, serde.ErrCondition) {
		t.Errorf("a child: %v", err)
	}
}

func TestStoppedRecordGoesToTheDeadLetterTopic(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	set := encrypting(serde.Rule{Name: "adult", Kind: "CONDITION", Type: "CEL", Mode: "WRITEREAD", Expr: "message.age >= 18", OnFailure: "DLQ", Params: map[string]string{"dlq.topic": "bad"}})
	schema := &serde.Schema{Text: personSchema, RuleSet: set}
	var sent []serde.DeadLetter
	keep := func(_ context.Context, d serde.DeadLetter) error {
		sent = append(sent, d)
		return nil
	}
	p := person()
	p.Age = 5
	_, _, err := writer(t, f.client(t, withKMS(t)), serde.SerializerOptions{Schema: schema, DeadLetters: keep}).Serialize(t.Context(), "people", p)
	if e, ok := errors.AsType[*serde.RuleError](err); !ok || e.DeadLetterTopic != "bad" || !errors.Is(err, serde.ErrCondition) {
		t.Errorf("got %v", err)
	}
	if len(sent) != 1 || sent[0].Topic != "bad" || strings.Contains(string(sent[0].Value), "123-45") || !strings.Contains(string(sent[0].Value), `"name":"Ada"`) {
		t.Fatalf("sent %+v", sent)
	}
	headers := map[string]string{}
	for _, h := range sent[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	if headers["__rule.name"] != "adult" || headers["__rule.mode"] != "WRITE" || headers["__rule.subject"] != "people-value" || headers["__rule.topic"] != "people" || headers["__rule.exception"] == "" {
		t.Errorf("headers %v", headers)
	}
	// Read: the bytes as they are.
	f.put(t, "people-value", *schema)
	data := append([]byte{0, 0, 0, 0, 1}, 2, 'K', 0, 0, 10)
	var got Person
	err = reader(t, f.client(t), serde.DeserializerOptions{DeadLetters: keep}).Deserialize(t.Context(), "people", data, nil, &got)
	if e, ok := errors.AsType[*serde.RuleError](err); !ok || e.Mode != "READ" || len(sent) != 2 || !bytes.Equal(sent[1].Value, data) {
		t.Errorf("read: %v, sent %d", err, len(sent))
	}
	if err := reader(t, f.client(t), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err == nil || !strings.Contains(err.Error(), "DeadLetters is not set") {
		t.Errorf("nowhere to send it: %v", err)
	}
}

func TestUnknownRulesFailClearly(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	schema := &serde.Schema{Text: personSchema, RuleSet: &serde.RuleSet{DomainRules: []serde.Rule{{Name: "x", Type: "MINE", Mode: "WRITE", Expr: "$"}}}}
	_, _, err := writer(t, f.client(t), serde.SerializerOptions{Schema: schema}).Serialize(t.Context(), "people", person())
	if !errors.Is(err, serde.ErrUnsupportedRule) || !strings.Contains(err.Error(), "MINE") {
		t.Errorf("got %v", err)
	}
}

func TestRecordsMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	version := func(major int, fields string, rules ...serde.Rule) serde.Schema {
		return serde.Schema{
			Text:     `{"type":"record","name":"R","fields":[` + fields + `]}`,
			Metadata: &serde.Metadata{Properties: map[string]string{"major": fmt.Sprint(major)}}, RuleSet: &serde.RuleSet{MigrationRules: rules},
		}
	}
	for i, s := range []serde.Schema{
		version(1, `{"name":"size","type":"int"}`),
		version(2, `{"name":"height","type":"int"}`,
			serde.Rule{Name: "up", Type: "CEL", Mode: "UPGRADE", Expr: `{"height": message.size}`},
			serde.Rule{Name: "down", Type: "CEL", Mode: "DOWNGRADE", Expr: `{"size": message.height}`}),
		version(3, `{"name":"tall","type":"int"}`,
			serde.Rule{Name: "up", Type: "JSONATA", Mode: "UPGRADE", Expr: `$merge([$sift($, function($v, $k) { $k != 'height' }), {'tall': height * 10}])`},
			serde.Rule{Name: "down", Type: "JSONATA", Mode: "DOWNGRADE", Expr: `{"height": tall / 10}`}),
	} {
		if r := f.put(t, "t-value", s); r.ID != i+1 {
			t.Fatalf("id %d", r.ID)
		}
	}
	written := map[string]map[string]any{"1": {"size": 4}, "3": {"tall": 50}}
	for major, want := range map[string]map[string]string{
		"1": {"1": "map[size:4]", "2": "map[height:4]", "3": "map[tall:40]"},
		"3": {"1": "map[size:5]", "2": "map[height:5]", "3": "map[tall:50]"},
	} {
		with := map[string]string{"major": major}
		data, _, err := writer(t, f.client(t), serde.SerializerOptions{Use: serde.UseLatest, LatestWith: with}).Serialize(t.Context(), "t", written[major])
		if err != nil {
			t.Fatal(err)
		}
		for to, want := range want {
			var got any
			d := reader(t, f.client(t), serde.DeserializerOptions{UseLatest: true, LatestWith: map[string]string{"major": to}})
			for range 2 { // looked up, then remembered
				if err := d.Deserialize(t.Context(), "t", data, nil, &got); err != nil || fmt.Sprint(got) != want {
					t.Errorf("from %s to %s: %v, %v, want %s", major, to, got, err, want)
				}
			}
		}
	}
}

func TestRulesRunOnProtobuf(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	text := `syntax = "proto3"; import "confluent/meta.proto"; message P { string name = 1; string ssn = 2 [(confluent.field_meta).tags = "PII"]; }`
	f.put(t, "people-value", serde.Schema{Text: text, Type: serde.Protobuf, RuleSet: encrypting()})
	data, _, err := writer(t, f.client(t, withKMS(t)), serde.SerializerOptions{Use: serde.UseLatest}).Serialize(t.Context(), "people", map[string]any{"name": "Ada", "ssn": "123-45"})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("123-45")) {
		t.Errorf("written as %q", data)
	}
	var got struct{ Name, SSN string }
	if err := reader(t, f.client(t, withKMS(t)), serde.DeserializerOptions{}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || got.SSN != "123-45" || got.Name != "Ada" {
		t.Errorf("got %+v, %v", got, err)
	}
}
