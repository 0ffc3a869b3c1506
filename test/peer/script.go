package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Scene is one parsed file of blocks.
type Scene struct {
	Name   string // the file's name without folder and .txt
	blocks []block
}

// block is a comment, a directive or an exchange.
type block struct {
	line     int      // where it starts, from 1
	lead     []string // comment lines before it, kept for rewriting
	command  string   // the command, its lines joined by a blank
	lines    []string // the command as it is in the file
	exchange bool     // has "----"
	want     []string // golden answer
}

// Load reads the scenes in dir, sorted by name.
func Load(dir string) ([]*Scene, error) {
	files, err := filepath.Glob(filepath.Join(dir, "[0-9]*.txt"))
	if err != nil {
		return nil, err
	}
	var scenes []*Scene
	for _, f := range files {
		b, err := os.ReadFile(f) //nolint:gosec // a file of ours
		if err != nil {
			return nil, err
		}
		s, err := parseScene(strings.TrimSuffix(filepath.Base(f), ".txt"), string(b))
		if err != nil {
			return nil, err
		}
		scenes = append(scenes, s)
	}
	return scenes, nil
}

func parseScene(name, src string) (*Scene, error) {
	s := &Scene{Name: name}
	var cur block
	flush := func() error {
		if len(cur.lines) == 0 && cur.exchange {
			return fmt.Errorf("%s:%d: an answer without a request", name, cur.line)
		}
		if len(cur.lines) > 0 || len(cur.lead) > 0 {
			cur.command = strings.Join(cur.lines, " ")
			s.blocks = append(s.blocks, cur)
		}
		cur = block{}
		return nil
	}
	for i, line := range strings.Split(strings.TrimRight(src, "\n"), "\n") {
		if cur.line == 0 {
			cur.line = i + 1
		}
		switch {
		case strings.TrimSpace(line) == "":
			if err := flush(); err != nil {
				return nil, err
			}
		case cur.exchange:
			cur.want = append(cur.want, line)
		case line == "----":
			cur.exchange = true
		case strings.HasPrefix(line, "#") && len(cur.lines) == 0:
			cur.lead = append(cur.lead, line)
		default:
			cur.lines = append(cur.lines, strings.TrimSpace(line))
		}
	}
	return s, flush()
}

// Exchanges returns how many exchanges the scene has.
func (s *Scene) Exchanges() int {
	n := 0
	for _, b := range s.blocks {
		if b.exchange {
			n++
		}
	}
	return n
}

// Golden returns the recorded transcript.
func (s *Scene) Golden() Transcript {
	var t Transcript
	for _, b := range s.blocks {
		if b.exchange {
			t = append(t, Exchange{s.Name, b.line, b.command, b.want})
		}
	}
	return t
}

// Format returns the scene's text with t's answers as the golden ones.
func (s *Scene) Format(t Transcript) string {
	var out strings.Builder
	n := 0
	for i, b := range s.blocks {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, l := range b.lead {
			out.WriteString(l + "\n")
		}
		for j, l := range b.lines {
			if j > 0 {
				out.WriteString("  ")
			}
			out.WriteString(l + "\n")
		}
		if b.exchange {
			out.WriteString("----\n" + strings.Join(t[n].Answer, "\n") + "\n")
			n++
		}
	}
	return out.String()
}

// Exchange is one request and its answer as text.
type Exchange struct {
	Scene   string
	Line    int // where the request stands in the scene's file
	Request string
	Answer  []string
}

// Transcript is what a scene gave on one broker.
type Transcript []Exchange

// Difference is an answer that two brokers do not share.
type Difference struct {
	Exchange
	Want []string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s.txt:%d: %s\n  want:\n    %s\n  got:\n    %s", d.Scene, d.Line, d.Request,
		strings.Join(d.Want, "\n    "), strings.Join(d.Answer, "\n    "))
}

// Compare returns where got differs from want. Both are transcripts of the same scene.
func Compare(want, got Transcript) []Difference {
	var ds []Difference
	for i := range min(len(want), len(got)) {
		if strings.Join(want[i].Answer, "\n") != strings.Join(got[i].Answer, "\n") {
			ds = append(ds, Difference{got[i], want[i].Answer})
		}
	}
	for _, e := range want[min(len(want), len(got)):] {
		ds = append(ds, Difference{Exchange{e.Scene, e.Line, e.Request, []string{"(not run)"}}, e.Answer})
	}
	return ds
}
