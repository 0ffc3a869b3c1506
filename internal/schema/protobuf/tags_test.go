package protobuf

import (
	"errors"
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func entity(path, kind string, tags ...string) schema.EntityTags {
	return schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags}
}

const taggable = `syntax = "proto3";
package com.x;

import "confluent/meta.proto";

message Order {
  option (confluent.message_meta).doc = "an order";

  string a = 1 [(confluent.field_meta) = { doc: "d" tags: "OLD" tags: "PII" }];
  string b = 2 [(confluent.field_meta).tags = "ONE", deprecated = true];
  string c = 3 [(confluent.field_meta).doc = "c", (confluent.field_meta).tags = "GONE"];
  map<string, int32> m = 4;
  oneof which {
    int32 d = 5;
  }
  message Line {
    int32 n = 1;
  }
}
`

func TestTagsAreAddedAndRemovedInTheText(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable, nil)
	before := s.Canonical()
	got, err := s.Tagged([]schema.EntityTags{
		entity("Order", schema.RecordEntity, "WHOLE", `W"2`), entity(".com.x.Order.a", schema.FieldEntity, "NEW"), entity("Order.b", schema.FieldEntity, "TWO"), entity("Order.m", schema.FieldEntity, "MAP"),
		entity("Order.which.d", schema.FieldEntity, "D"), entity("Order.d", schema.FieldEntity, "E"), entity("Order.Line", schema.RecordEntity, "LINE"), entity("Order.Line.n", schema.FieldEntity, "N"),
	}, []schema.EntityTags{entity("Order.a", schema.FieldEntity, "OLD"), entity("Order.c", schema.FieldEntity, "GONE")})
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, got, nil)
	if again.Canonical() != got {
		t.Errorf("the text is not canonical:\n%s\nwant\n%s", got, again.Canonical())
	}
	const want = `syntax = "proto3";
package com.x;

import "confluent/meta.proto";

message Order {
  option (confluent.message_meta).doc = "an order";
  option (confluent.message_meta).tags = "WHOLE";
  option (confluent.message_meta).tags = "W\"2";

  string a = 1 [(confluent.field_meta) = {
    doc: "d",
    tags: [
      "PII",
      "NEW"
    ]
  }];
`
	if len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const tags = `[{{Order sr_record} [WHOLE W"2]} {{Order.a sr_field} [PII NEW]} {{Order.b sr_field} [ONE TWO]} {{Order.m sr_field} [MAP]} {{Order.d sr_field} [D E]} {{Order.Line sr_record} [LINE]} {{Order.Line.n sr_field} [N]}]`
	if got := fmt.Sprint(again.Tags()); got != tags {
		t.Errorf("got  %s\nwant %s", got, tags)
	}
	if s.Canonical() != before {
		t.Error("the schema itself was changed")
	}
	none, err := again.Tagged(nil, again.Tags())
	if err != nil {
		t.Fatal(err)
	}
	if left := mustParse(t, none, nil).Tags(); len(left) > 0 {
		t.Errorf("%v are left in\n%s", left, none)
	}
}

func TestTheFirstTagBringsItsImport(t *testing.T) {
	t.Parallel()
	s := mustParse(t, `syntax = "proto3"; message A { string a = 1; }`, nil)
	got, err := s.Tagged([]schema.EntityTags{entity("A.a", schema.FieldEntity, "PII")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `syntax = "proto3";

import "confluent/meta.proto";

message A {
  string a = 1 [(confluent.field_meta) = {
    tags: [
      "PII"
    ]
  }];
}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if tags := fmt.Sprint(mustParse(t, got, nil).Tags()); tags != `[{{A.a sr_field} [PII]}]` {
		t.Errorf("got %s", tags)
	}
}

func TestTagsOfPlacesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable, nil)
	for _, e := range []schema.EntityTags{
		entity("Order.none", schema.FieldEntity, "A"), entity("None", schema.RecordEntity, "A"), entity("", schema.RecordEntity, "A"), entity("Order.which", schema.FieldEntity, "A"), entity("a", schema.FieldEntity, "A"),
		entity("Order.none.d", schema.FieldEntity, "A"), entity("Order.a", schema.RecordEntity, "A"), entity("Order.Line", schema.FieldEntity, "A"), entity("Order.MEntry", schema.RecordEntity, "A"), entity("com.x", schema.RecordEntity, "A"),
	} {
		if got, err := s.Tagged([]schema.EntityTags{e}, nil); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%+v: got %s, %v", e, got, err)
		}
	}
}
