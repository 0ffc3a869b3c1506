package api

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEveryHandlersFileHasARowAndEveryRowAFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("[0-9][0-9]_*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
	var rows []string
	for _, r := range Served() {
		rows = append(rows, r.File)
	}
	if !slices.Equal(files, rows) {
		t.Errorf("files are\n%q\nrows are\n%q", files, rows)
	}
}

// TestEveryHandlersFileSaysWhatItServes looks for the name and the range of versions at the top of each file.
func TestEveryHandlersFileSaysWhatItServes(t *testing.T) {
	t.Parallel()
	for _, e := range table() {
		b, err := os.ReadFile(fileOf(e.key))
		if err != nil {
			t.Error(err)
			continue
		}
		head, _, _ := strings.Cut(string(b), "import (")
		if !strings.Contains(head, "(key ") && !strings.Contains(head, ", key ") {
			t.Errorf("%s does not name its key at the top", fileOf(e.key))
		}
	}
}

func TestTheTableHoldsWhatCanBeDecoded(t *testing.T) {
	t.Parallel()
	last := int16(-1)
	for _, e := range table() {
		if int16(e.key) <= last {
			t.Errorf("%s is out of order or twice", e.name)
		}
		last = int16(e.key)
		req := kmsg.RequestForKey(int16(e.key))
		if req == nil || e.handle == nil || e.min > e.max || e.max > req.MaxVersion() || e.advertised > e.min {
			t.Errorf("%s %d-%d advertised from %d", e.name, e.min, e.max, e.advertised)
		}
	}
}
