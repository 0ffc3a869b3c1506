package schema_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

func entity(path, kind string, tags ...string) schema.EntityTags {
	return schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags}
}

func TestRetagsPutsTheChangesOfAPlaceTogether(t *testing.T) {
	t.Parallel()
	got, err := schema.Retags(
		[]schema.EntityTags{entity(".R.x", schema.FieldEntity, "A", "B"), entity("R", schema.RecordEntity, "C"), entity("R.x", schema.FieldEntity, "D")},
		[]schema.EntityTags{entity("R.x", schema.FieldEntity, "B")},
	)
	want := []schema.Retag{
		{Entity: schema.Entity{Path: "R.x", Type: schema.FieldEntity}, Add: []string{"A", "B", "D"}, Remove: []string{"B"}},
		{Entity: schema.Entity{Path: "R", Type: schema.RecordEntity}, Add: []string{"C"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if tags := got[0].Of([]string{"B", "Z", "A"}); fmt.Sprint(tags) != "[Z A D]" {
		t.Errorf("got %v", tags)
	}
}

func TestRetagsRefusesWhatIsNoPlaceOrTooMuch(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]schema.EntityTags{
		"kind": {entity("R", "sr_file")}, "path": {entity(strings.Repeat("x", schema.MaxEntityBytes+1), schema.FieldEntity)}, "many": make([]schema.EntityTags, 10_001),
	} {
		if _, err := schema.Retags(nil, list); !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
