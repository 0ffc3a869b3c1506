package app_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-stream/weir/internal/app"
)

func TestDocumentsAreUpToDate(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(io.Writer) error{
		"config.md":  app.ConfigDocs,
		"metrics.md": func(w io.Writer) error { return app.MetricsDocs(t.Context(), w) },
	} {
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("docs/%s is stale (%v): run go generate ./internal/app", name, err)
		}
	}
}
