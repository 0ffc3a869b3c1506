package archtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// linesMax is where a file is looked at hard; see CONTRIBUTING.md. Generated files and tests may be longer.
const linesMax = 800

func TestFilesStayReadable(t *testing.T) {
	t.Parallel()
	total := map[string]int{}
	walk(t, filepath.Join("..", ".."), func(path, dir string) {
		if strings.HasSuffix(path, "_gen.go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		lines := bytes.Count(b, []byte("\n"))
		total[dir] += lines
		if lines > linesMax {
			t.Errorf("%s has %d lines, over %d: has it two subjects?", path, lines, linesMax)
		}
	})
	for dir, n := range total {
		if n > 4000 {
			t.Logf("package %s has %d lines: look for the seam inside", dir, n)
		}
	}
}
