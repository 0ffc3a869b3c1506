package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/weir-stream/weir/weirtest"
)

// brokerSession returns a session that talks to a server, and what it writes.
func brokerSession(server *weirtest.Server, in string) (s *session, out, errOut *bytes.Buffer) {
	s, out, errOut = testSession(in)
	s.now = time.Now
	s.env = func(name string) string { return map[string]string{"WEIR_BOOTSTRAP": server.Addr()}[name] }
	return s, out, errOut
}

// TestScripts runs the command lines of testdata/script/*.txt, each file against a server of its own, and compares what they
// write. In a file
//
//	# comment
//	% name=value                 a setting of the server, before the first command
//	%% schema-registry           with a Schema Registry, whose address is REGISTRY
//	< a line of standard input for the command that follows
//	$ topic list -o table
//	$~ topic consume t -e        with the lines of its output sorted
//	standard output
//	! standard error
//	-> exit code, where it is not 0
//
// ADMIN in a command is the address of the admin server. What differs from run to run is replaced by a word in capitals. -rewrite writes the files anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			registry := ""
			if strings.Contains(string(text), "%% schema-registry\n") {
				r := srfake.New()
				t.Cleanup(r.Close)
				registry = r.URL()
			}
			compare(t, filepath.Join("script", filepath.Base(file)), runScript(t, weirtest.Start(t, scriptSettings(string(text))...), registry, string(text)))
		})
	}
}

func scriptSettings(script string) (out []weirtest.Option) {
	for line := range strings.Lines(script) {
		if setting, ok := strings.CutPrefix(line, "% "); ok {
			name, value, _ := strings.Cut(strings.TrimSpace(setting), "=")
			out = append(out, weirtest.Setting(name, value))
		}
	}
	return out
}

func runScript(t *testing.T, server *weirtest.Server, registry, script string) string {
	t.Helper()
	steady := func(text string) string {
		if registry != "" {
			text = strings.ReplaceAll(text, registry, "REGISTRY")
		}
		return steady(server, text)
	}
	var b, in strings.Builder
	for line := range strings.Lines(script) {
		switch {
		case line == "\n", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "%"):
			b.WriteString(line)
		case strings.HasPrefix(line, "< "):
			b.WriteString(line)
			in.WriteString(line[2:])
		case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "$~ "):
			b.WriteString(line)
			sorted, line := line[1] == '~', line[strings.IndexByte(line, ' '):]
			s, out, errOut := brokerSession(server, in.String())
			in.Reset()
			line = strings.ReplaceAll(strings.ReplaceAll(line, "REGISTRY", registry), "ADMIN", strings.TrimPrefix(server.AdminURL(), "http://"))
			code := run(t.Context(), s, words(t, line))
			b.WriteString(steady(withEnd(order(out.String(), sorted))))
			for l := range strings.Lines(errOut.String()) {
				b.WriteString(steady("! " + withEnd(l)))
			}
			if code != exitDone {
				fmt.Fprintf(&b, "-> %d\n", code)
			}
		}
	}
	return b.String()
}

// order sorts the lines where their order is not promised: records of several partitions.
func order(text string, sorted bool) string {
	if !sorted {
		return text
	}
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// withEnd marks empty lines, which would divide the script, and an output that ends within a line.
func withEnd(s string) string {
	s = strings.ReplaceAll(s, "\n\n", "\n⏎\n")
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "⏎\n"
}

// words divides a command line as a shell does; only single quotes quote.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	for i, part := range strings.Split(strings.TrimSpace(line), "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// unsteady is what differs from run to run, in JSON, YAML and tables.
var unsteady = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`("?(?:id|cluster_id)"?: *"?)[\w-]{22}\b`), "${1}ID"},
	{regexp.MustCompile(`\bid [\w-]{22}\b`), "id ID"},
	{regexp.MustCompile(`\bcluster [\w-]{22}( |$)`), "cluster ID "},
	{regexp.MustCompile(`(answer(?:s|ed) in )[\d.]+ \S?s\b`), "${1}SOME"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`("timestamp": *)\d{13}\b`), "${1}TIME"},
	{regexp.MustCompile(`("?(?:answer_ms|lag_seconds)"?: *)[\d.]+`), "${1}SOME"},
	{regexp.MustCompile(`("port": *)\d+`), "${1}PORT"},
	{regexp.MustCompile(`("(?:free_)?bytes": *)\d+`), "${1}BYTES"},
	{regexp.MustCompile(`("newest_offset": *)\d+`), "${1}OFFSET"}, // by time: which of several records of one moment, or of the next
}

func steady(server *weirtest.Server, text string) string {
	text = strings.ReplaceAll(text, server.Addr(), "ADDR")
	text = strings.ReplaceAll(text, strings.TrimPrefix(server.AdminURL(), "http://"), "ADMIN")
	for _, u := range unsteady {
		text = u.pattern.ReplaceAllString(text, u.text)
	}
	return text
}

// result runs a command that must succeed and decodes the document that it writes.
func result[T any](t *testing.T, server *weirtest.Server, line string) T {
	t.Helper()
	s, out, errOut := brokerSession(server, "")
	if code := run(t.Context(), s, words(t, line)); code != exitDone {
		t.Fatalf("weir %s: exit code %d, %s", line, code, errOut)
	}
	var v T
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("weir %s wrote %q: %v", line, out, err)
	}
	return v
}

func TestBenchMeasuresAServer(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t)
	p := result[benchResult](t, server, "bench produce --topic b --records 2000 --record-bytes 100 -o json")
	if p.Records != 2000 || p.Errors != 0 || p.PerSecond <= 0 || p.Latency == nil || p.Latency.P99 <= 0 {
		t.Errorf("produce: got %+v", p)
	}
	c := result[benchResult](t, server, "bench consume --topic b --records 2000 -o json")
	if c.Records != 2000 || c.PerSecond <= 0 {
		t.Errorf("consume: got %+v", c)
	}
	e := result[benchResult](t, server, "bench e2e --topic e --records 100 --rate 2000 --delete-topic -o json")
	if e.Records != 100 || e.Consumed != 100 || e.Latency == nil || e.Latency.P50 <= 0 {
		t.Errorf("e2e: got %+v", e)
	}
	if rows := result[[]topicRow](t, server, "topic list -o json"); len(rows) != 1 || rows[0].Name != "b" {
		t.Errorf("topics afterwards: %+v, want b alone", rows)
	}
}

func TestDemoCountsEveryRecordOnceAndCleansUp(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t)
	for _, c := range []struct {
		demo  string
		count int64
	}{{"hashtags", 2369}, {"earthquakes", 1707}, {"flights", 24951}} {
		d := result[demoResult](t, server, "demo "+c.demo+" --speed max -o json --bootstrap "+server.Addr())
		if d.Sent != c.count || d.Counted != c.count || d.Demo != c.demo {
			t.Errorf("%s: sent %d, counted %d, want %d", d.Demo, d.Sent, d.Counted, c.count)
		}
	}
	if rows := result[[]topicRow](t, server, "topic list -o json"); len(rows) != 0 {
		t.Errorf("the demo left %+v", rows)
	}
	if rows := result[[]groupRow](t, server, "group list -o json"); len(rows) != 0 {
		t.Errorf("the demo left %+v", rows)
	}
}

func TestDemoStartsItsOwnServer(t *testing.T) {
	t.Parallel()
	s, out, errOut := testSession("")
	if code := run(t.Context(), s, []string{"demo", "--speed", "max"}); code != exitDone {
		t.Fatalf("exit code %d, %s", code, errOut)
	}
	if !strings.Contains(out.String(), "2,369") && !strings.Contains(out.String(), "2369") {
		t.Errorf("no total in %q", out)
	}
}
