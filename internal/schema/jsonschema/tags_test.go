package jsonschema

import (
	"errors"
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func entity(path, kind string, tags ...string) schema.EntityTags {
	return schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags}
}

const taggable = `{"type":"object","properties":{"a.b":{"type":"string","confluent:tags":["OLD","PII"]},"list":{"type":"array","items":{"type":"object","properties":{"x":{"type":"integer"}}}},"any":true},` +
	`"definitions":{"D":{"type":["null","object"],"properties":{"y":{"oneOf":[{"type":"string"},{"properties":{"z":{}}}]}}}},"if":{"properties":{"k":{}}},"not":{"properties":{"n":{}}}}`

func TestTagsAreAddedAndRemovedInTheText(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable)
	before := s.Canonical()
	got, err := s.Tagged([]schema.EntityTags{
		entity("object", schema.RecordEntity, "WHOLE"), entity(".object.a.b", schema.FieldEntity, "PII", "NEW"), entity("object.list.array.object.x", schema.FieldEntity, "X"), entity("object.list.array.object", schema.RecordEntity, "ITEM"),
		entity("object.definitions.D.object.y.oneof.1.object.z", schema.FieldEntity, "Z"), entity("conditional.if.object.k", schema.FieldEntity, "K"), entity("not.object.n", schema.FieldEntity, "N"),
	}, []schema.EntityTags{entity("object.a.b", schema.FieldEntity, "OLD")})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"object","properties":{"a.b":{"type":"string","confluent:tags":["PII","NEW"]},"list":{"type":"array","items":{"type":"object","properties":{"x":{"type":"integer","confluent:tags":["X"]}},"confluent:tags":["ITEM"]}},"any":true},` +
		`"definitions":{"D":{"type":["null","object"],"properties":{"y":{"oneOf":[{"type":"string"},{"properties":{"z":{"confluent:tags":["Z"]}}}]}}}},"if":{"properties":{"k":{"confluent:tags":["K"]}}},"not":{"properties":{"n":{"confluent:tags":["N"]}}},"confluent:tags":["WHOLE"]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s.Canonical() != before {
		t.Error("the schema itself was changed")
	}
	const tags = `[{{object sr_record} [WHOLE]} {{object.a.b sr_field} [PII NEW]} {{object.list.array.object sr_record} [ITEM]} {{object.list.array.object.x sr_field} [X]} ` +
		`{{object.definitions.D.object.y.oneof.1.object.z sr_field} [Z]} {{conditional.if.object.k sr_field} [K]} {{not.object.n sr_field} [N]}]`
	if got := fmt.Sprint(mustParse(t, got).Tags()); got != tags {
		t.Errorf("got  %s\nwant %s", got, tags)
	}
}

func TestAnObjectThatIsAPropertyHasTheTagsOfBoth(t *testing.T) {
	t.Parallel()
	s := mustParse(t, `{"type":"object","properties":{"in":{"type":"object"}}}`)
	got, err := s.Tagged([]schema.EntityTags{entity("object.in", schema.FieldEntity, "A"), entity("object.in.object", schema.RecordEntity, "B")}, nil)
	if err != nil || got != `{"type":"object","properties":{"in":{"type":"object","confluent:tags":["A","B"]}}}` {
		t.Fatalf("got %s, %v", got, err)
	}
	if got := fmt.Sprint(mustParse(t, got).Tags()); got != `[{{object.in sr_field} [A B]}]` {
		t.Errorf("got %s", got)
	}
}

func TestTagsOfPlacesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable)
	for _, e := range []schema.EntityTags{
		entity("object.none", schema.FieldEntity, "A"), entity("object.any", schema.FieldEntity, "A"), entity("", schema.RecordEntity, "A"), entity("object.list", schema.RecordEntity, "A"),
	} {
		if got, err := s.Tagged([]schema.EntityTags{e}, nil); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%+v: got %s, %v", e, got, err)
		}
	}
	if _, err := mustParse(t, `true`).Tagged([]schema.EntityTags{entity("object", schema.RecordEntity, "A")}, nil); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
