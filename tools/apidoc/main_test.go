package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/api.md is not what go generate ./internal/broker/api writes")
	}
}
