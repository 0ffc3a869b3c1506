package serde_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/weir-stream/weir/serde"
)

func TestJSONIsValidatedWhenItIsWritten(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	text := `{"title":"Customer","type":"object","properties":{"name":{"type":"string","minLength":2},"card":{"type":["string","null"]}},"required":["name"]}`
	s := writer(t, f.client(t), serde.SerializerOptions{Schema: &serde.Schema{Text: text, Type: serde.JSON}, Key: true, Subject: serde.TopicRecordName})
	data, _, err := s.Serialize(t.Context(), "orders", Customer{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"Ada","card":null}`; string(data[5:]) != want {
		t.Errorf("got %s, want %s", data[5:], want)
	}
	var got Customer
	if err := reader(t, f.client(t), serde.DeserializerOptions{Validate: true}).Deserialize(t.Context(), "orders", data, nil, &got); err != nil || got.Name != "Ada" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, _, err := s.Serialize(t.Context(), "orders", Customer{Name: "A"}); err == nil {
		t.Error("a name that is too short is written")
	}
	if len(f.subjects["orders-Customer"]) != 1 {
		t.Errorf("subjects %v", f.subjects)
	}
}

func TestRulesRunOnJSON(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	text := `{"title":"Person","type":"object","properties":{"name":{"type":"string"},"ssn":{"type":"string","confluent:tags":["PII"]},"age":{"type":"integer"}}}`
	set := encrypting(serde.Rule{Name: "adult", Kind: "CONDITION", Type: "CEL", Mode: "WRITE", Expr: "message.age >= 18"})
	s := writer(t, f.client(t, withKMS(t)), serde.SerializerOptions{Schema: &serde.Schema{Text: text, Type: serde.JSON, RuleSet: set}})
	type person struct {
		Name string `json:"name"`
		SSN  string `json:"ssn"`
		Age  int    `json:"age"`
	}
	want := person{"Ada", "123-45", 36}
	data, _, err := s.Serialize(t.Context(), "people", want)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("123-45")) || !bytes.Contains(data, []byte("Ada")) {
		t.Errorf("written as %s", data[5:])
	}
	var got person
	if err := reader(t, f.client(t, withKMS(t)), serde.DeserializerOptions{Validate: true}).Deserialize(t.Context(), "people", data, nil, &got); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, _, err := s.Serialize(t.Context(), "people", person{Name: "Kid", Age: 3}); !errors.Is(err, serde.ErrCondition) {
		t.Errorf("a child: %v", err)
	}
}
