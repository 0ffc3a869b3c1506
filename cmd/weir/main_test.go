package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/load"
	"github.com/weir-stream/weir/internal/cli/position"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var testNow = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// testSession returns a session without a terminal, and what it writes.
func testSession(in string) (s *session, out, errOut *bytes.Buffer) {
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return &session{in: strings.NewReader(in), out: out, errOut: errOut, env: func(string) string { return "" }, now: func() time.Time { return testNow }}, out, errOut
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		everyCommand(c, visit)
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	t.Parallel()
	s, _, _ := testSession("")
	everyCommand(newRootCommand(s), func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("'%s' lacks a short text, a long text or an example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("'%s': the short text ends in a full stop", c.CommandPath())
		}
		if c.RunE == nil || c.Args == nil {
			t.Errorf("'%s' does not check its arguments, or cannot fail", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("'%s --%s' has no help", c.CommandPath(), f.Name)
			}
		})
	})
}

func TestVerbsOfTheContractExist(t *testing.T) {
	t.Parallel()
	s, _, _ := testSession("")
	for _, line := range []string{
		"topic list", "topic create", "topic describe", "topic alter", "topic delete", "topic produce", "topic consume", "topic trim", "topic offsets",
		"group list", "group describe", "group lag", "group reset", "group delete", "cluster health", "cluster nodes",
		"bench produce", "bench consume", "bench e2e", "demo", "version", "completion",
		"dump wal", "dump segment", "dump manifest", "dump checkpoint", "dump meta", "config show", "config docs", "server",
	} {
		words := strings.Fields(line)
		cmd, rest, err := newRootCommand(s).Find(words)
		if err != nil || len(rest) > 0 || cmd.Name() != words[len(words)-1] {
			t.Errorf("'weir %s' is not there: %v", line, err)
		}
	}
}

func TestMisuseExitsWithTwoAndNamesTheWayOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"topc", "did you mean 'weir topic'?"},
		{"topic lst", "did you mean 'weir topic list'?"},
		{"topic frobnicate", "see 'weir topic --help'"},
		{"topic list --szies", "did you mean --sizes?"},
		{"topic list --frob", "see 'weir topic list --help'"},
		{"topic list -o xml", "table, wide, json, yaml, ndjson"},
		{"topic list (", "is no regular expression"},
		{"topic create", "an argument is missing: weir topic create TOPIC..."},
		{"topic create t -c x", `setting "x" is not name=value`},
		{"topic alter t", "--set, --delete"},
		{"topic trim t", "--to is missing"},
		{"topic trim t --to x", "use earliest, latest"},
		{"topic produce a b", `argument "b" is one too many`},
		{"topic produce t -f hello", "nothing to read"},
		{"topic produce t -z brotli", `there is no codec "brotli"`},
		{"topic produce t --acks 2", "none of all, 1, 0"},
		{"topic produce t -H x", `header "x" is not key=value`},
		{"topic produce t --input ndjson --key-sep :", "exclude each other"},
		{"topic consume t -o yesterday", "use earliest, latest"},
		{"topic consume t --since whenever", "--since"},
		{"topic consume t --until 2999-01-01", "lies in the future"},
		{"topic consume t -f hello", "has no verb"},
		{"topic consume t --match (", "--match"},
		{"topic consume t -g g -p 1", "excludes --partition"},
		{"group reset g", "one of --to, --shift or --undo"},
		{"group reset g --to latest --shift 1", "one of --to, --shift or --undo"},
		{"bench produce --seconds 0", "--seconds"},
		{"bench e2e --payload x", "letters, text, random"},
		{"demo cats", "use hashtags, earthquakes or flights"},
		{"demo --speed fast", "neither a number above 0 nor max"},
		{"completion tcsh", "use bash, zsh or fish"},
		{"-X novalue topic list", `-X "novalue" is not key=value`},
	} {
		s, _, errOut := testSession("")
		if code := run(t.Context(), s, strings.Fields(c.line)); code != exitUsage || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("weir %s: exit code %d, %q; want 2 and %q", c.line, code, errOut, c.want)
		}
	}
}

func TestARefusedConnectionNamesTheFix(t *testing.T) {
	t.Parallel()
	s, _, errOut := testSession("")
	if code := run(t.Context(), s, []string{"topic", "list", "--bootstrap", "127.0.0.1:1"}); code != exitFailed {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(errOut.String(), "start a server with 'weir server'") {
		t.Errorf("no fix in %q", errOut)
	}
}

func TestHelpAndCompletionNeedNoBroker(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "--help", "topic", "topic consume --help", "version", "version -o json", "completion bash", "completion zsh", "completion fish"} {
		s, out, errOut := testSession("")
		if code := run(t.Context(), s, strings.Fields(line)); code != exitDone || out.Len() == 0 {
			t.Errorf("weir %s: exit code %d, %q", line, code, errOut)
		}
	}
}

func TestErrorsOfABrokerCarryItsTextAndAFix(t *testing.T) {
	t.Parallel()
	s, _, _ := testSession("")
	err := brokerError(kerr.InvalidPartitions, "The topic has 4 partitions.")
	text := describeError(err, s)
	if !strings.Contains(text, "The topic has 4 partitions (INVALID_PARTITIONS") || !strings.Contains(text, "fix: partitions can only grow") {
		t.Errorf("got %q", text)
	}
	if exitCode(errors.Join(usageErrorf("x"), io.EOF)) != exitUsage || exitCode(err) != exitFailed || exitCode(nil) != exitDone {
		t.Error("exit codes are wrong")
	}
}

func TestSeedsFollowTheOrderOfPrecedence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(file, []byte("bootstrap.servers=file:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, _ := testSession("")
	check := func(want ...string) {
		t.Helper()
		if got := s.seeds(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	check(defaultBootstrap)
	s.kafkaConfig = file
	check("file:1")
	s.env = func(name string) string { return map[string]string{"WEIR_BOOTSTRAP": "env:1"}[name] }
	check("env:1")
	s.properties = []string{"bootstrap.servers=x:1"}
	check("x:1")
	s.bootstrap = "a:1, b:2"
	check("a:1", "b:2")
}

func TestDangerIsConfirmedOrRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer                string
		terminal, yes, dryRun bool
		want                  bool
		code                  int
	}{
		{"", false, true, false, true, exitDone},
		{"", false, false, true, false, exitDone},
		{"", false, false, false, false, exitUsage},
		{"y\n", true, false, false, true, exitDone},
		{"yes", true, false, false, true, exitDone},
		{"\n", true, false, false, false, exitFailed},
		{"", true, false, false, false, exitFailed},
	} {
		s, _, _ := testSession(c.answer)
		s.inTerminal, s.errTerminal = c.terminal, c.terminal
		ok, err := s.confirm(c.yes, c.dryRun)
		if ok != c.want || exitCode(err) != c.code {
			t.Errorf("%+v: got %v, %v", c, ok, err)
		}
	}
}

func TestOutputHasAllForms(t *testing.T) {
	t.Parallel()
	n := int64(1234567)
	rows := []topicRow{{Name: "orders", ID: "abc", Partitions: 6, Replicas: 1, Records: &n}, {Name: "原神", Partitions: 1, Replicas: 3, Internal: true}}
	var all strings.Builder
	for _, form := range append([]string{""}, outputFormats...) {
		s, out, _ := testSession("")
		s.output = outputFormat(form)
		if err := s.print(rows, topicTable(rows, s.wide())); err != nil {
			t.Fatal(err)
		}
		all.WriteString("-o " + form + "\n" + out.String() + "\n")
	}
	s, out, _ := testSession("")
	s.output = "json"
	if err := s.print([]topicRow(nil), topicTable(nil, false)); err != nil {
		t.Fatal(err)
	}
	compare(t, "output.txt", all.String()+"none\n"+out.String())
}

func TestHealthIsJudgedFromMetadata(t *testing.T) {
	t.Parallel()
	m := kadm.Metadata{Cluster: "c1", Controller: 1, Brokers: kadm.BrokerDetails{{NodeID: 1}}, Topics: kadm.TopicDetails{
		"a": {Topic: "a", Partitions: kadm.PartitionDetails{0: {Partition: 0, Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}}},
	}}
	if h := judge(m); !h.Healthy || h.Partitions != 1 {
		t.Errorf("a healthy cluster is judged %+v", h)
	}
	m.Controller = -1
	m.Topics["b"] = kadm.TopicDetail{Topic: "b", Partitions: kadm.PartitionDetails{0: {Leader: -1, Replicas: []int32{1, 2}, ISR: []int32{1}}}}
	if h := judge(m); h.Healthy || h.Leaderless != 1 || h.UnderReplicated != 1 || len(h.Problems) != 3 {
		t.Errorf("a sick cluster is judged %+v", h)
	}
	dead := kadm.BrokersApiVersions{2: {NodeID: 2, Err: io.EOF}, 1: {NodeID: 1}}
	if got := silent(dead); len(got) != 1 || !strings.Contains(got[0], "broker 2 does not answer") {
		t.Errorf("silent brokers: %q", got)
	}
}

func TestConsumeCombinesItsBounds(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) position.Point {
		return position.Point{Kind: position.Time, Value: testNow.Add(d).UnixMilli()}
	}
	latest := position.Point{Kind: position.Latest}
	for _, c := range []struct {
		o    consumeOptions
		want position.Range
	}{
		{consumeOptions{offset: "earliest"}, position.Range{}},
		{consumeOptions{offset: "-5", untilEnd: true}, position.Range{From: position.Point{Kind: position.FromEnd, Value: 5}, To: latest, HasTo: true}},
		{consumeOptions{offset: "earliest", since: "10m", until: "now"}, position.Range{From: at(-10 * time.Minute), To: latest, HasTo: true}},
		{consumeOptions{offset: "latest", since: "2h", until: "1h"}, position.Range{From: at(-2 * time.Hour), To: at(-time.Hour), HasTo: true}},
	} {
		if got, err := c.o.span(testNow); err != nil || got != c.want {
			t.Errorf("%+v: got %+v, %v", c.o, got, err)
		}
	}
}

func TestPointsAreResolvedWithinWhatAPartitionHolds(t *testing.T) {
	t.Parallel()
	within := map[int32]bounds{0: {10, 20}, 1: {0, 0}}
	for _, c := range []struct {
		p    position.Point
		want [2]int64
	}{
		{position.Point{Kind: position.Earliest}, [2]int64{10, 0}},
		{position.Point{Kind: position.Latest}, [2]int64{20, 0}},
		{position.Point{Kind: position.Offset, Value: 15}, [2]int64{15, 0}},
		{position.Point{Kind: position.Offset, Value: 5}, [2]int64{10, 0}},
		{position.Point{Kind: position.FromStart, Value: 3}, [2]int64{13, 0}},
		{position.Point{Kind: position.FromEnd, Value: 3}, [2]int64{17, 0}},
		{position.Point{Kind: position.FromEnd, Value: 300}, [2]int64{10, 0}},
	} {
		got, err := resolvePoint(t.Context(), nil, "t", within, c.p)
		if err != nil || got[0] != c.want[0] || got[1] != c.want[1] {
			t.Errorf("%+v: got %v, %v; want %v", c.p, got, err, c.want)
		}
	}
}

func TestRecordsHaveAFormForPeople(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "t", Partition: 1, Offset: 42, Timestamp: testNow, Key: []byte("k"), Value: []byte("a\x1b[2J"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}}
	if got, want := string(appendForPeople(nil, r, false, true)), "t 1@42   2026-03-04 12:00:00.000  k  a␛[2J  h=x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Value = nil
	if got, want := string(appendForPeople(nil, r, true, false)), "\x1b[2m1@42     2026-03-04 12:00:00.000\x1b[0m  \x1b[36mk\x1b[0m  \x1b[2m(null)\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBenchResultIsOneLineOfJSON(t *testing.T) {
	t.Parallel()
	res := &benchResult{
		Mode: "e2e", Topic: "t", Partitions: 6, RecordBytes: 1024, Clients: 1, Rate: 1000, Acks: "all", Compression: "none",
		Result: load.Result{Seconds: 10, Records: 10000, PerSecond: 1000, MBPerSecond: 1.02, Latency: &load.Latency{Mean: 1, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}},
	}
	var all strings.Builder
	for _, form := range []string{"json", "ndjson", "table"} {
		s, out, _ := testSession("")
		s.output = outputFormat(form)
		if err := s.printBench(res); err != nil {
			t.Fatal(err)
		}
		if form == "json" && strings.Count(out.String(), "\n") != 1 {
			t.Errorf("-o json has more than one line: %q", out)
		}
		all.WriteString(out.String())
	}
	all.WriteString(progressLine(5*time.Second, 10*time.Second, load.Snapshot{Records: 10, Bytes: 1e6}, load.Snapshot{Records: 1010, Bytes: 3e6, P50: time.Millisecond, P99: 2 * time.Millisecond}) + "\n")
	compare(t, "bench.txt", all.String())
}
