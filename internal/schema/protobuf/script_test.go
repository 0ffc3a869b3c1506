package protobuf

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

var rewrite = flag.Bool("rewrite", false, "write what was got into the scripts")

// scene is a case of a script: a title behind ====, and sections, each behind a line -- NAME --.
type scene struct {
	title    string
	order    []string
	sections map[string]string
}

func readScript(t *testing.T, path string) []*scene {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var scenes []*scene
	section := ""
	for line := range strings.Lines(string(b)) {
		if title, ok := strings.CutPrefix(line, "==== "); ok {
			scenes = append(scenes, &scene{title: strings.TrimSpace(title), sections: map[string]string{}})
			section = ""
			continue
		}
		if len(scenes) == 0 {
			t.Fatalf("%s: it does not begin with ====", path)
		}
		s := scenes[len(scenes)-1]
		if name, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(strings.TrimSpace(line), " --") {
			section = strings.TrimSuffix(strings.TrimSpace(name), " --")
			s.order = append(s.order, section)
			s.sections[section] = ""
			continue
		}
		s.sections[section] += line
	}
	return scenes
}

func writeScript(t *testing.T, path string, scenes []*scene) {
	t.Helper()
	var b strings.Builder
	for _, s := range scenes {
		fmt.Fprintf(&b, "==== %s\n", s.title)
		for _, name := range s.order {
			fmt.Fprintf(&b, "-- %s --\n%s", name, s.sections[name])
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// resolved returns the sections that are imports, by path: those of both schemas, and those behind "import READER-OR-WRITER PATH".
func (s *scene) resolved(of string) map[string]string {
	texts := map[string]string{}
	for _, name := range s.order {
		if rest, ok := strings.CutPrefix(name, "import "); ok {
			texts[strings.TrimPrefix(rest, of+" ")] = s.sections[name]
		}
	}
	return texts
}

// runScript calls act for every scene of a script, which returns the sections that it makes out of the others.
func runScript(t *testing.T, name string, act func(t *testing.T, s *scene) map[string]string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	scenes := readScript(t, path)
	for _, s := range scenes {
		t.Run(s.title, func(t *testing.T) {
			for section, got := range act(t, s) {
				if *rewrite {
					if _, ok := s.sections[section]; !ok {
						s.order = append(s.order, section)
					}
					s.sections[section] = got
				} else if want := s.sections[section]; got != want {
					t.Errorf("%s: got\n%s\nwant\n%s", section, got, want)
				}
			}
		})
	}
	if *rewrite {
		writeScript(t, path, scenes)
	}
}

func mustParse(t *testing.T, text string, resolved map[string]string) *Schema {
	t.Helper()
	s, err := Format().Parse(schema.Source{Text: text, Resolved: resolved}, true)
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, text)
	}
	return s.(*Schema)
}
