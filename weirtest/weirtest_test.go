package weirtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/weirtest"
)

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestARecordComesBack(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Topic("orders", 3))
	producer := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.DefaultProduceTopic("orders"))
	if err := producer.ProduceSync(t.Context(), kgo.KeySliceRecord([]byte("k"), []byte("v"))).FirstErr(); err != nil {
		t.Fatal(err)
	}
	consumer := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := consumer.PollRecords(t.Context(), 1).Records()
	if len(got) != 1 || string(got[0].Value) != "v" {
		t.Errorf("got %v, want the record", got)
	}
}

func TestSettingsReachTheServer(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Setting("auto.create.topics.enable", "false"))
	cl := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "absent"}).FirstErr(); err == nil {
		t.Error("a topic was made although the setting forbids it")
	}
}

func TestServersShareNothing(t *testing.T) {
	t.Parallel()
	a, b := weirtest.Start(t, weirtest.Topic("same", 1)), weirtest.Start(t, weirtest.Topic("same", 1))
	if a.Addr() == b.Addr() {
		t.Errorf("both listen on %s", a.Addr())
	}
}

func TestAdminPagesAnswer(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.AdminURL()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != "ok" {
		t.Errorf("got %s %q, %v", res.Status, body, err)
	}
}

func TestAStoppedServerRefusesConnections(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t)
	server.Stop(t)
	server.Stop(t)
	cl := newClient(t, kgo.SeedBrokers(server.Addr()))
	if err := cl.Ping(t.Context()); err == nil {
		t.Error("a stopped server answers")
	}
}

// failures gathers what a test would have failed with.
type failures struct {
	testing.TB
	text string
}

func (f *failures) Helper() {}

func (f *failures) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	panic(f)
}

func TestAnUnknownSettingFailsTheTestWithTheNearestName(t *testing.T) {
	t.Parallel()
	f := &failures{TB: t}
	defer func() {
		if r := recover(); r != f || !strings.Contains(f.text, `did you mean "num.partitions"`) {
			t.Errorf("got %v, %q", r, f.text)
		}
	}()
	weirtest.Start(f, weirtest.Setting("num.partition", "3"))
}
