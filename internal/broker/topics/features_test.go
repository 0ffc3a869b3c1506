package topics

import (
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
)

func TestLevelsOfFeaturesAreKept(t *testing.T) {
	t.Parallel()
	m := meta.NewMem(nil)
	s := openStore(t, m)
	if levels, epoch := s.FeatureLevels(); len(levels) != 0 || epoch != 0 {
		t.Fatalf("a new store has %v, epoch %d", levels, epoch)
	}
	for _, change := range []map[string]int16{{"a": 1, "b": 2}, {"b": 0}} {
		before := s.View().features.revision
		if err := s.SetFeatureLevels(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if _, epoch := s.FeatureLevels(); epoch <= before {
			t.Errorf("the epoch went from %d to %d", before, epoch)
		}
	}
	_, want := s.FeatureLevels()
	for _, s := range []*Store{s, openStore(t, m)} {
		levels, epoch := s.FeatureLevels()
		if len(levels) != 2 || levels["a"] != 1 || levels["b"] != 0 || epoch != want {
			t.Errorf("got %v, epoch %d, want epoch %d", levels, epoch, want)
		}
	}
}
