// Command appdoc writes config.md and metrics.md: the settings and metrics of a server, from their declarations.
//
// Usage: appdoc DIR
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weir-stream/weir/internal/app"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: appdoc DIR")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "appdoc:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, dir string) error {
	for name, document := range map[string]func(io.Writer) error{
		"config.md":  app.ConfigDocs,
		"metrics.md": func(w io.Writer) error { return app.MetricsDocs(ctx, w) },
	} {
		var b bytes.Buffer
		if err := document(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil { //nolint:gosec // a document for everybody
			return err
		}
	}
	return nil
}
