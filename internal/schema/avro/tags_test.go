package avro

import (
	"errors"
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func entity(path, kind string, tags ...string) schema.EntityTags {
	return schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags}
}

const taggable = `{"type":"record","name":"com.x.R","fields":[{"name":"s","type":"string","confluent:tags":["PII","OLD"],"more":1},{"name":"in","type":["null",{"type":"array","items":{"type":"record","name":"In","fields":[{"name":"a","type":"int"}]}}],"confluent:tags":["GONE"]},{"name":"again","type":["null","In"]}]}`

func TestTagsAreAddedAndRemovedInTheText(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable)
	got, err := s.Tagged([]schema.EntityTags{
		entity("com.x.R", schema.RecordEntity, "WHOLE"), entity(".com.x.R.s", schema.FieldEntity, "PII", "NEW"), entity("In", schema.RecordEntity, "INNER"), entity("In.a", schema.FieldEntity, "A"), entity("com.x.In.a", schema.FieldEntity, "B"),
	}, []schema.EntityTags{entity("com.x.R.s", schema.FieldEntity, "OLD"), entity("R.in", schema.FieldEntity, "GONE", "NEVER")})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"record","name":"R","namespace":"com.x","fields":[{"name":"s","type":"string","confluent:tags":["PII","NEW"],"more":1},{"name":"in","type":["null",{"type":"array","items":{"type":"record","name":"In","fields":[{"name":"a","type":"int","confluent:tags":["A","B"]}],"confluent:tags":["INNER"]}}]},{"name":"again","type":["null","In"]}],"confluent:tags":["WHOLE"]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again := mustParse(t, got)
	const tags = `[{{com.x.R sr_record} [WHOLE]} {{com.x.R.s sr_field} [PII NEW]} {{com.x.In sr_record} [INNER]} {{com.x.In.a sr_field} [A B]}]`
	if got := fmt.Sprint(again.Tags()); got != tags {
		t.Errorf("got  %s\nwant %s", got, tags)
	}
	if s.Canonical() == got || mustParse(t, taggable).Canonical() != s.Canonical() {
		t.Error("the schema itself was changed")
	}
}

func TestTagsOfPlacesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := mustParse(t, taggable)
	for _, e := range []schema.EntityTags{
		entity("R.none", schema.FieldEntity, "A"), entity("none", schema.RecordEntity, "A"), entity("s", schema.FieldEntity, "A"), entity("", schema.FieldEntity, "A"), entity("other.R", schema.RecordEntity, "A"), entity("R.s", schema.RecordEntity, "A"),
	} {
		if got, err := s.Tagged([]schema.EntityTags{e}, nil); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%+v: got %s, %v", e, got, err)
		}
	}
}

func TestTagsOfReferencesAreNotOfTheText(t *testing.T) {
	t.Parallel()
	s, err := Format().Parse(schema.Source{
		Text:     `{"type":"record","name":"R","fields":[{"name":"p","type":"P","confluent:tags":["T"]}]}`,
		Resolved: map[string]string{"P": `{"type":"record","name":"P","fields":[{"name":"x","type":"int","confluent:tags":["U"]}]}`},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.(*Schema).Tags()); got != `[{{R.p sr_field} [T]}]` {
		t.Errorf("got %s", got)
	}
	if _, err := s.(*Schema).Tagged([]schema.EntityTags{entity("P.x", schema.FieldEntity, "A")}, nil); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
