package invariant_test

import (
	"testing"

	"github.com/weir-stream/weir/internal/base/invariant"
)

func TestCheckPanicsOnlyWhenEnabledAndBroken(t *testing.T) {
	t.Parallel()
	invariant.Check(true, "fine")
	defer func() {
		got := recover()
		if !invariant.Enabled && got != nil {
			t.Errorf("a check that is not compiled in panics: %v", got)
		}
		if want := "broken invariant: offset 3 after 5"; invariant.Enabled && got != want {
			t.Errorf("got panic %v, want %q", got, want)
		}
	}()
	invariant.Check(false, "offset %d after %d", 3, 5)
}
