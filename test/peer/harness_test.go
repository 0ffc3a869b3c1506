package peer

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func testEnv() *env {
	return NewRunner("", "00c0ffee", time.UnixMilli(1_800_000_000_000)).env
}

func TestBuildFillsNestedFieldsOverDefaults(t *testing.T) {
	t.Parallel()
	v, err := parseValue(`{Topics: [{Topic: a-$run, NumPartitions: 3, Configs: [{Name: "x y", Value: null}]}], ValidateOnly: true}`)
	if err != nil {
		t.Fatal(err)
	}
	req, err := testEnv().build("CreateTopics", 5, v)
	if err != nil {
		t.Fatal(err)
	}
	got := req.(*kmsg.CreateTopicsRequest)
	if got.Topics[0].Topic != "a-00c0ffee" || got.Topics[0].NumPartitions != 3 || !got.ValidateOnly || got.TimeoutMillis != 60000 {
		t.Errorf("got %+v", got)
	}
	if c := got.Topics[0].Configs[0]; c.Name != "x y" || c.Value != nil {
		t.Errorf("config is %+v", c)
	}
}

func TestBuildRefusesWhatTheProtocolDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, src := range []string{`{Topix: []}`, `{ValidateOnly: 7}`, `{TimeoutMillis: 99999999999}`, `{Topics: [{Topic: $nobody}]}`, `{Topics: {}}`} {
		v, err := parseValue(src)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := testEnv().build("CreateTopics", 5, v); err == nil {
			t.Errorf("%s was taken", src)
		}
	}
}

func TestParseValueRefusesHalfValues(t *testing.T) {
	t.Parallel()
	for _, src := range []string{``, `{`, `[1`, `"x`, `{a 1}`, `1 2`, `}`, `{a: }`} {
		if v, err := parseValue(src); err == nil {
			t.Errorf("%q gave %v", src, v)
		}
	}
}

func TestDumpHidesOnlyWhatDiffersFromRunToRun(t *testing.T) {
	t.Parallel()
	e := testEnv()
	e.vars["tid"], e.lets = [16]byte{9}, []string{"tid"}
	resp := kmsg.NewPtrMetadataResponse()
	name := "b-00c0ffee"
	for _, id := range [][16]byte{{9}, {8}} {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.TopicID, topic.ErrorCode = &name, id, 3
		topic.Partitions = []kmsg.MetadataResponseTopicPartition{{Leader: 4, LeaderEpoch: -1, Replicas: []int32{4}}}
		resp.Topics = append(resp.Topics, topic)
	}
	got := strings.Join(e.dumpResponse(resp), "\n")
	want := `ErrorCode=NONE
Topics:
  - ErrorCode=UNKNOWN_TOPIC_OR_PARTITION Topic=b-$run TopicID=$tid
    Partitions:
      - ErrorCode=NONE Partition=0 Leader=<node> Replicas=[<node>]
  - ErrorCode=UNKNOWN_TOPIC_OR_PARTITION Topic=b-$run TopicID=<id>
    Partitions:
      - ErrorCode=NONE Partition=0 Leader=<node> Replicas=[<node>]`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBatchesAreShownAsTheyWereBuilt(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		e := testEnv()
		v, err := parseValue(`batch{Values: [a, null, ""], Keys: [k, null], Headers: [h=1], Codec: ` + codec + `, Pid: 7, Epoch: 1, Seq: 2}`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.eval(v)
		if err != nil {
			t.Fatal(err)
		}
		b := got.([]byte)
		lines := e.dumpBatches(append(b, b[:40]...))
		want := []string{"batch 0..2 codec=" + codec + ` max=$now-9998 producer=<pid>/1/2 [k=a+h:1 null+h:1 ""+h:1]`, "(part of a batch)"}
		if strings.Join(lines, "|") != strings.Join(want, "|") {
			t.Errorf("got %q, want %q", lines, want)
		}
		b[len(b)-1] ^= 1
		if !strings.Contains(e.dumpBatches(b)[0], "BADCRC") {
			t.Errorf("a flipped bit under codec %s was not seen", codec)
		}
	}
}

func TestSceneFormatsAsItWasRead(t *testing.T) {
	t.Parallel()
	const src = "# about\nlet a = B\n\nApiVersions v0 {}\n  &\n----\n(sent)\n\n# two\n@x wait\n----\nErrorCode=NONE\n  more\n"
	s, err := parseScene("s", src)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Format(s.Golden()); got != src {
		t.Errorf("got\n%q\nwant\n%q", got, src)
	}
	if s.Exchanges() != 2 || s.Golden()[1].Line != 9 {
		t.Errorf("exchanges are %+v", s.Golden())
	}
	if _, err := parseScene("s", "----\nx\n"); err == nil {
		t.Error("an answer without a request was taken")
	}
}

func TestCompareTellsEachDifferenceAndWhatDidNotRun(t *testing.T) {
	t.Parallel()
	want := Transcript{{"s", 1, "a", []string{"1"}}, {"s", 2, "b", []string{"2"}}, {"s", 3, "c", []string{"3"}}}
	got := Transcript{{"s", 1, "a", []string{"1"}}, {"s", 2, "b", []string{"x"}}}
	ds := Compare(want, got)
	if len(ds) != 2 || ds[0].Line != 2 || ds[1].Answer[0] != "(not run)" {
		t.Errorf("got %v", ds)
	}
}

func TestAllowanceExcusesItsOwnLineOnly(t *testing.T) {
	t.Parallel()
	as, err := parseAllowances("# x\n\nreason: because\nscene: s\nrequest: Met\nkafka: A=1\nother: A=2\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Transcript{{"s", 1, "Metadata", []string{"head", "  A=1", "tail"}}}
	for _, c := range []struct {
		answer []string
		left   int
	}{
		{[]string{"head", "  A=2", "tail"}, 0},
		{[]string{"head", "  A=3", "tail"}, 1},
		{[]string{"  A=2", "head", "tail"}, 1},
		{[]string{"head", "  A=2", "tail", "A=2"}, 1},
	} {
		got := Transcript{{"s", 1, "Metadata", c.answer}}
		Excuse(as, want, got)
		if ds := Compare(want, got); len(ds) != c.left {
			t.Errorf("%q leaves %v", c.answer, ds)
		}
	}
	if len(Unused(as)) != 0 {
		t.Error("the allowance counts as unused")
	}
	for _, bad := range []string{"reason: x\nscene: s\nrequest: r\n", "reason: x\nscene: s\nrequest: r\nkafka: a\nother: b\ntext: T\n", "scene: s\nkafka: a\nother: b\n", "what: ever\n"} {
		if _, err := parseAllowances(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAllowanceOfTextExcusesOtherWordsButNotNone(t *testing.T) {
	t.Parallel()
	as, err := parseAllowances("reason: because\nscene: s\nrequest: Met\nrequest: Pro\ntext: ErrorMessage\n")
	if err != nil {
		t.Fatal(err)
	}
	const kafka = `  - Code=7 ErrorMessage="it was [\"so\"] today" Node=1`
	for _, c := range []struct {
		request, answer string
		left            int
	}{
		{"Metadata", `  - Code=7 ErrorMessage="no, otherwise" Node=1`, 0},
		{"Produce", `  - Code=7 ErrorMessage="no, otherwise" Node=1`, 0},
		{"Fetch", `  - Code=7 ErrorMessage="no, otherwise" Node=1`, 1},
		{"Metadata", `  - Code=7 ErrorMessage="no, otherwise" Node=2`, 1},
		{"Metadata", `  - Code=8 ErrorMessage="no, otherwise" Node=1`, 1},
		{"Metadata", `  - Code=7 Node=1`, 1},
		{"Metadata", `  - Code=7 ErrorMessage="" Node=1`, 1},
		{"Metadata", `  - Code=7 ErrorMessage=null Node=1`, 1},
	} {
		want, got := Transcript{{"s", 1, c.request, []string{kafka}}}, Transcript{{"s", 1, c.request, []string{c.answer}}}
		Excuse(as, want, got)
		if ds := Compare(want, got); len(ds) != c.left {
			t.Errorf("%s leaves %v", c.answer, ds)
		}
	}
	if len(Unused(as)) != 0 {
		t.Error("an allowance counts as unused")
	}
}

// TestRunnerShowsStrayBytesAndClosedConnections runs a scene on a server that answers once with a byte too many, and
// then hangs up.
func TestRunnerShowsStrayBytesAndClosedConnections(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for range 2 {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			answerOnce(nc)
		}
	}()
	s, err := parseScene("s", "ApiVersions v0 {}\n----\n\nApiVersions v0 {}\n----\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewRunner(ln.Addr().String(), "00c0ffee", time.Now()).Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if a := strings.Join(got[0].Answer, "|"); a != "ErrorCode=UNSUPPORTED_VERSION|(7 bytes that encode to 6)" {
		t.Errorf("first answer is %q", a)
	}
	if a := strings.Join(got[1].Answer, "|"); a != "closed" {
		t.Errorf("second answer is %q", a)
	}
}

func answerOnce(nc net.Conn) {
	defer nc.Close()
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return
	}
	req := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(nc, req); err != nil {
		return
	}
	var b bytes.Buffer
	b.Write([]byte{0, 0, 0, 11})
	b.Write(req[4:8])
	b.Write([]byte{0, 35, 0, 0, 0, 0, 0xee})
	_, _ = nc.Write(b.Bytes()) // the client sees what is wrong
}

func TestAnswersOfOneOfSeveralBrokersAreAsOfOne(t *testing.T) {
	t.Parallel()
	broker := "  - NodeID=<node> Host=<host> Port=<port>"
	in := Transcript{{Answer: []string{
		"Brokers:", broker, broker, broker, "Topics:", "  - Topic=a", "  - Topic=a",
		"  CurrentVoters:", "    - ReplicaID=3 LogEndOffset=<hidden>", "  Observers:", "    - ReplicaID=1 LogEndOffset=<hidden>", "    - ReplicaID=2 LogEndOffset=<hidden>",
		"    - Partition=0 LeaderEpoch=<epoch> Lag=3", "    - Partition=1 LeaderEpoch=$epoch1 EndOffset=5", "    - Partition=2 StartOffset=1 LeaderEpoch=2", "    - ProducerEpoch=1 CoordinatorEpoch=12", "batch 1..1 [0x00000001=0x00000000000c] [0x01=0x02]",
	}}}
	want := []string{
		"Brokers:", broker, "Topics:", "  - Topic=a", "  - Topic=a",
		"  CurrentVoters:", "    - ReplicaID=1 LogEndOffset=<hidden>",
		"    - Partition=0 Lag=3", "    - Partition=1 EndOffset=5", "    - Partition=2 StartOffset=1", "    - ProducerEpoch=1", "batch 1..1 [0x00000001=0x0000] [0x01=0x02]",
	}
	if got := withoutEpochs(asOfOneBroker(in))[0].Answer; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(in[0].Answer) != 17 || !strings.Contains(in[0].Answer[12], "LeaderEpoch") {
		t.Error("the answers that came in were changed")
	}
}
