package avro

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts into testdata")

// runScript hands the lines of each case to run, without those that are comments, and compares what it returns with what stands
// below the line of the case.
func runScript(t *testing.T, file string, run func(t *testing.T, name string, lines []string) string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if strings.HasPrefix(block, "#") {
			out = append(out, block)
			continue
		}
		input, want, ok := strings.Cut(block+"\n", "\n----\n")
		if !ok {
			t.Fatalf("%s: no line in %q", file, block)
		}
		lines := strings.Split(input, "\n")
		got := run(t, lines[0], lines[1:])
		if got != want && !*rewrite {
			t.Errorf("%s: %s\n---- got\n%s---- want\n%s", file, lines[0], got, want)
		}
		out = append(out, strings.TrimSuffix(input+"\n----\n"+got, "\n"))
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// source reads the lines "ref NAME TEXT" and "schema TEXT".
func source(t *testing.T, lines []string) schema.Source {
	t.Helper()
	var s schema.Source
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "ref":
			name, text, _ := strings.Cut(rest, " ")
			s.References = append(s.References, schema.Reference{Name: name, Subject: name, Version: 1})
			if s.Resolved == nil {
				s.Resolved = map[string]string{}
			}
			s.Resolved[name] = text
		case "schema", "reader", "writer":
			s.Text = rest
		default:
			t.Fatalf("line %q", line)
		}
	}
	return s
}

func mustParse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Format().Parse(schema.Source{Text: text}, false)
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return s.(*Schema)
}

func TestCompare(t *testing.T) {
	t.Parallel()
	cases := 0
	runScript(t, "testdata/compat.txt", func(t *testing.T, name string, lines []string) string {
		cases++
		if len(lines) != 2 {
			t.Fatalf("%s: want a reader and a writer", name)
		}
		reader, writer := mustParse(t, source(t, lines[:1]).Text), mustParse(t, source(t, lines[1:]).Text)
		for _, s := range []*Schema{reader, writer} {
			if d := Format().Compare(s, s, schema.Strict); d != nil {
				t.Errorf("%s: does not read itself: %v", name, d)
			}
			if d := Format().Compare(s, mustParse(t, s.Canonical()), schema.Strict); d != nil && !strings.Contains(s.Canonical(), "[]") {
				t.Errorf("%s: does not read its canonical text: %v", name, d)
			}
		}
		var out strings.Builder
		for _, d := range Format().Compare(reader, writer, schema.Strict) {
			fmt.Fprintf(&out, "%s %s\n  %s\n  advice: %s\n", d.Type, d.Path, d.Message, d.Advice)
		}
		return out.String()
	})
	if cases < 60 {
		t.Errorf("%d cases, want at least 60", cases)
	}
}

func TestCanonicalTextAndRefusals(t *testing.T) {
	t.Parallel()
	runScript(t, "testdata/canonical.txt", func(t *testing.T, name string, lines []string) string {
		s := source(t, lines)
		old, err := Format().Parse(s, false)
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("%s: %v does not wrap ErrInvalid", name, err)
			}
			return "refused: " + strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": ") + "\n"
		}
		out := old.Canonical() + "\n"
		if n := old.Normalized(); n != old.Canonical() {
			out += n + "\n"
		}
		if _, err := Format().Parse(s, true); err != nil {
			out += "fresh: " + strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": ") + "\n"
		}
		checkTexts(t, s, old)
		return out
	})
}

// checkTexts parses what a schema wrote: it must say the same of itself.
func checkTexts(t *testing.T, s schema.Source, first schema.Schema) {
	t.Helper()
	again := s
	again.Text = first.Canonical()
	second, err := Format().Parse(again, false)
	if err != nil || second.Canonical() != first.Canonical() || second.Normalized() != first.Normalized() {
		t.Errorf("%s\ncanonical text read again: %v\n%+v", first.Canonical(), err, second)
	}
	again.Text = first.Normalized()
	third, err := Format().Parse(again, false)
	if err != nil || third.Canonical() != first.Normalized() || third.Normalized() != first.Normalized() {
		t.Errorf("%s\nnormalized text read again: %v\n%+v", first.Normalized(), err, third)
	}
	alone, err := Format().Parse(schema.Source{Text: first.(*Schema).Formatted("resolved")}, false)
	if err != nil {
		t.Errorf("%s\nresolved text read alone: %v", first.(*Schema).Formatted("resolved"), err)
		return
	}
	if d := Format().Compare(alone, first, schema.Strict); d != nil && !strings.Contains(first.Canonical(), "[]") {
		t.Errorf("%s\nresolved text differs: %v", first.(*Schema).Formatted("resolved"), d)
	}
}
