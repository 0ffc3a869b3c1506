package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/rest"
	"github.com/weir-stream/weir/weirtest"
)

// sse is an open stream of Server-Sent Events.
type sse struct {
	t    *testing.T
	in   *bufio.Scanner
	body io.Closer
	// id is that of the last event.
	id string
}

// follow opens a stream.
func (p *proxy) follow(t *testing.T, path string, headers ...string) *sse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %d %s", path, res.StatusCode, b)
	}
	s := &sse{t: t, in: bufio.NewScanner(res.Body), body: res.Body}
	s.in.Buffer(nil, 1<<20)
	t.Cleanup(func() { res.Body.Close() })
	return s
}

// next returns the lines of the next block that is not empty, without the id.
func (s *sse) next() []string {
	s.t.Helper()
	var lines []string
	for s.in.Scan() {
		line := s.in.Text()
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			s.id = id
			continue
		}
		if line != "" {
			lines = append(lines, line)
			continue
		}
		if len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// record returns the next record.
func (s *sse) record() (r rest.StreamRecord) {
	s.t.Helper()
	for {
		lines := s.next()
		if lines == nil {
			s.t.Fatal("the stream has ended")
		}
		if data, ok := strings.CutPrefix(lines[0], "data: "); ok {
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				s.t.Fatal(err)
			}
			return r
		}
		if !strings.HasPrefix(lines[0], "retry:") && !strings.HasPrefix(lines[0], ":") {
			s.t.Fatalf("got %q", lines)
		}
	}
}

func (p *proxy) produce(t testing.TB, topic string, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	if err := p.kafka.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// A client that loses its connection goes on with the id of the last event that it got, in all partitions, whichever they are.
func TestAStreamIsResumedWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	p := start(t, nil, weirtest.Topic("t", 3))
	p.produce(t, "t", 0, 40)
	got := map[string]int{}
	id := ""
	for _, n := range []int{1, 7, 15, 17} {
		s := p.follow(t, "/topics/t/stream?from=earliest", "Last-Event-ID", id)
		for range n {
			got[string(s.record().Value)]++
		}
		id = s.id
		s.body.Close()
	}
	for i := range 40 {
		if v := fmt.Sprintf(`{"n":%d}`, i); got[v] != 1 {
			t.Errorf("%s came %d times", v, got[v])
		}
	}
	// All is read: what comes next is new.
	s := p.follow(t, "/v3/clusters/"+p.cluster+"/topics/t/records:stream?last_event_id="+url.QueryEscape(id))
	p.produce(t, "t", 40, 41)
	if r := s.record(); string(r.Value) != `{"n":40}` || r.KeyFormat != "string" || string(r.Key) != `"k40"` {
		t.Errorf("got %+v", r)
	}
}

func TestAFilterIsEvaluatedOnTheServer(t *testing.T) {
	t.Parallel()
	p := start(t, func(o *rest.Options) { o.Limits.Heartbeat = 20 * time.Millisecond }, weirtest.Topic("t", 1))
	p.produce(t, "t", 0, 100)
	filter := url.QueryEscape(`value.n % 10 == 3 && key.startsWith("k")`)
	s := p.follow(t, "/topics/t/stream?from=earliest&limit=5&filter="+filter)
	var got []string
	for range 5 {
		got = append(got, string(s.record().Value))
	}
	if want := []string{`{"n":3}`, `{"n":13}`, `{"n":23}`, `{"n":33}`, `{"n":43}`}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if lines := s.next(); lines != nil {
		t.Errorf("after the limit came %q", lines)
	}
	// Records that are left out move the id.
	s = p.follow(t, "/topics/t/stream?from=earliest&filter="+url.QueryEscape("offset < 0"))
	for s.id != "0:99" {
		if s.in.Scan(); s.in.Err() != nil {
			t.Fatal(s.in.Err())
		}
		if id, ok := strings.CutPrefix(s.in.Text(), "id: "); ok {
			s.id = id
		}
	}
	for _, wrong := range []string{"value.", "1 + 1", "nothing == 1", strings.Repeat("!", 5000) + "true"} {
		if status, _, body := p.send(t, "GET", "/topics/t/stream?filter="+url.QueryEscape(wrong), ""); status != 400 || !strings.Contains(body, "filter") {
			t.Errorf("%.20q: %d %s", wrong, status, body)
		}
	}
}

func TestStreamsOfLinesAndWebSockets(t *testing.T) {
	t.Parallel()
	p := start(t, nil, weirtest.Topic("t", 1))
	p.produce(t, "t", 0, 3)
	status, h, body := p.send(t, "GET", "/topics/t/stream?from=1&limit=2&key_format=binary&value_format=json", "", "Accept", "application/x-ndjson")
	if status != 200 || h.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %v", status, h)
	}
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"offset":1,`) || !strings.Contains(lines[0], `"key":"azE=","value":{"n":1}`) {
		t.Errorf("lines: %q", lines)
	}

	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/topics/t/stream?from=earliest&limit=4&value_format=string", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for i := range 4 {
		if i == 3 {
			p.produce(t, "t", 3, 4)
		}
		kind, text, err := conn.Read(t.Context())
		if err != nil || kind != websocket.MessageText || !strings.Contains(string(text), fmt.Sprintf(`"value":"{\"n\":%d}"`, i)) {
			t.Fatalf("message %d: %v %s %v", i, kind, text, err)
		}
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end: %v", err)
	}
	// Pages of other hosts get nothing.
	if _, res, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/topics/t/stream", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}}); err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %v %v", res, err)
	}
}

func TestQuietStreamsSendHeartbeats(t *testing.T) {
	t.Parallel()
	p := start(t, func(o *rest.Options) { o.Limits.Heartbeat = 10 * time.Millisecond }, weirtest.Topic("t", 1))
	s := p.follow(t, "/topics/t/stream")
	s.next() // retry
	if lines := s.next(); !slices.Equal(lines, []string{": heartbeat"}) {
		t.Errorf("got %q", lines)
	}
}

func TestWrongStreamsAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t, nil, weirtest.Topic("t", 1))
	for path, want := range map[string]string{
		"/topics/none/stream":                          `404 {"error_code":40403`,
		"/topics/a%20b/stream":                         `404 {"error_code":40403`,
		"/topics/t/stream?partition=4":                 `404 {"error_code":40402`,
		"/topics/t/stream?partition=x":                 `400 {"error_code":400`,
		"/topics/t/stream?partition=99999999999":       `400 {"error_code":400`,
		"/topics/t/stream?from=yesterday":              `400 {"error_code":400`,
		"/topics/t/stream?from=-1":                     `400 {"error_code":400`,
		"/topics/t/stream?from=@noon":                  `400 {"error_code":400`,
		"/topics/t/stream?value_format=xml":            `400 {"error_code":400`,
		"/topics/t/stream?format=xml":                  `400 {"error_code":400`,
		"/topics/t/stream?limit=x":                     `400 {"error_code":400`,
		"/topics/t/stream?last_event_id=0":             `400 {"error_code":400`,
		"/topics/t/stream?last_event_id=0:-2":          `400 {"error_code":400`,
		"/topics/t/stream?last_event_id=0:1,1:x":       `400 {"error_code":400`,
		"/v3/clusters/other/topics/t/records:stream":   `404 {"error_code":404`,
		"/v3/clusters/CLUSTER/topics/x/records:stream": `404 {"error_code":40403`,
	} {
		status, _, body := p.send(t, "GET", strings.ReplaceAll(path, "CLUSTER", p.cluster), "")
		if got := fmt.Sprintf("%d %s", status, body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if status, _, _ := p.send(t, "GET", "/topics/t/stream", "", "Accept", "image/png"); status != http.StatusNotAcceptable {
		t.Errorf("a picture: %d", status)
	}
}

// Records of a stream are answered while the request is still being sent.
func TestAProduceStreamIsAnsweredAsItGoes(t *testing.T) {
	t.Parallel()
	p := start(t, nil, weirtest.Topic("t", 1))
	in, out := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v3/clusters/"+p.cluster+"/topics/t/records", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	answers := make(chan *bufio.Scanner)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			close(answers)
			return
		}
		t.Cleanup(func() { res.Body.Close() })
		answers <- bufio.NewScanner(res.Body)
	}()
	var lines *bufio.Scanner
	for i := range 10 {
		fmt.Fprintf(out, `{"value":{"type":"JSON","data":%d}}`+"\n", i)
		if lines == nil {
			if lines = <-answers; lines == nil {
				t.FailNow()
			}
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"offset":%d,`, i)) {
			t.Fatalf("record %d: %s %v", i, lines.Text(), lines.Err())
		}
	}
	out.Close()
	if lines.Scan() {
		t.Errorf("after the end came %s", lines.Text())
	}
}
