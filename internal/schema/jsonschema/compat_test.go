package jsonschema

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

var rewrite = flag.Bool("rewrite", false, "write the answers of testdata anew")

func mustParse(t testing.TB, text string) *parsed {
	t.Helper()
	p, err := parse(schema.Source{Text: text})
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return p
}

// TestCompat runs testdata/compat.txt.
func TestCompat(t *testing.T) {
	t.Parallel()
	const file = "testdata/compat.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(data), "\n\n")
	out, cases, seen := head+"\n", 0, map[string]bool{}
	for block := range strings.SplitSeq(strings.TrimSpace(rest), "\n\n") {
		question, want, ok := strings.Cut(block, "\n----")
		lines := strings.Split(question, "\n")
		if !ok || len(lines) != 3 {
			t.Fatalf("case is not of three lines and an answer:\n%s", block)
		}
		if cases++; seen[lines[0]] {
			t.Errorf("case %q is there twice", lines[0])
		}
		seen[lines[0]] = true
		got := answer(t, mustParse(t, lines[1]), mustParse(t, lines[2]))
		if out += "\n" + question + "\n----\n" + got + "\n"; !*rewrite && strings.TrimSpace(want) != got {
			t.Errorf("%s\n got:\n%s\nwant:%s", lines[0], got, want)
		}
	}
	if cases < 104 {
		t.Errorf("%d cases, want at least 104", cases)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(t *testing.T, writer, reader *parsed) string {
	var lines []string
	for _, d := range compareAll(writer.root, reader.root, schema.Strict) {
		lines = append(lines, d.typ+" "+d.at())
		if m := meaningOf(d.typ); m.message == d.typ || (m.advice == "") != m.strict {
			t.Errorf("%s has no message, or no advice though it is refused", d.typ)
		}
	}
	verdict := "never"
	if len(Format().Compare(reader, writer, schema.Strict)) == 0 {
		verdict = "strict, lenient"
	} else if len(Format().Compare(reader, writer, schema.Lenient)) == 0 {
		verdict = "lenient"
	}
	return strings.Join(append(lines, fmt.Sprintf("passes: %s", verdict)), "\n")
}

// TestWhatPassesIsRead: where a reader passes strictly, it takes every payload that the writer takes, but where upstream means more
// than a validator knows.
func TestWhatPassesIsRead(t *testing.T) {
	t.Parallel()
	meant := map[string]string{
		"required property with default added, closed": "readers fill in defaults",
		"property made required, with a default":       "readers fill in defaults",
		"bytes of Kafka Connect":                       "Connect has both",
	}
	data, err := os.ReadFile("testdata/compat.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\n\n")
	taken := 0
	for block := range strings.SplitSeq(strings.TrimSpace(rest), "\n\n") {
		lines := strings.Split(block, "\n")
		if !strings.HasSuffix(block, "passes: strict, lenient") || meant[lines[0]] != "" {
			continue
		}
		writer, reader := mustParse(t, lines[1]), mustParse(t, lines[2])
		for _, payload := range checkPayloads {
			if writer.Validate([]byte(payload), nil) != nil {
				continue
			}
			taken++
			if err := reader.Validate([]byte(payload), nil); err != nil {
				t.Errorf("%s: the writer takes %s, the reader does not: %v", lines[0], payload, err)
			}
		}
	}
	if taken < 500 {
		t.Errorf("only %d payloads were taken", taken)
	}
}
