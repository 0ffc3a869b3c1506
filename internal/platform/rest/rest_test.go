package rest_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest"
	"github.com/weir-stream/weir/internal/platform/rest/webhook"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/weirtest"
)

var rewrite = flag.Bool("rewrite", false, "write the answers into the scripts")

// proxy is a REST proxy before a server in memory.
type proxy struct {
	url     string
	kafka   *kgo.Client
	cluster string
}

// start runs a server and a proxy.
func start(t testing.TB, change func(*rest.Options), opts ...weirtest.Option) *proxy {
	t.Helper()
	broker := weirtest.Start(t, opts...)
	return before(t, broker.Addr(), nil, change)
}

// before runs a proxy before a cluster, to which it connects by Java's properties.
func before(t testing.TB, addr string, properties map[string]string, change func(*rest.Options)) *proxy {
	t.Helper()
	cluster := client.Options{Bootstrap: []string{addr}, Properties: properties}
	bridge, err := gate.NewOutside(gate.OutsideOptions{Cluster: cluster, Mechanism: "PLAIN", Authentication: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	clients := gate.NewClients(bridge, rest.ClientOptions()...)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	o := rest.Options{Clients: clients, Formats: func(schema.Type) (schema.Format, bool) { return nil, false }}
	if change != nil {
		change(&o)
	}
	s := rest.New(o)
	g, err := gate.New(gate.Options{Name: "rest", Title: "test", Address: "127.0.0.1:0", Routes: s.Routes(), Bridge: bridge, Types: rest.Types, Translate: rest.Translate, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	var all, ready sync.WaitGroup
	for _, run := range []func(context.Context, func()) error{g.Run, s.Run, clients.Run, bridge.Run} {
		ready.Add(1)
		all.Go(func() {
			if err := run(ctx, ready.Done); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	ready.Wait()
	p := &proxy{url: "http://" + g.Address()}
	if p.kafka, err = client.New(cluster); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kafka.Close()
		cancel()
		all.Wait()
	})
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), p.kafka)
	if err != nil {
		t.Fatal(err)
	}
	p.cluster = *res.ClusterID
	return p
}

// send sends a request and returns the answer; headers come in pairs.
func (p *proxy) send(t testing.TB, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
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
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// TestScripts sends the requests of testdata/*.txt and compares the answers.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			p := start(t, func(o *rest.Options) {
				o.Now = func() time.Time { return time.Unix(1_700_000_000, 0) }
				o.Webhooks = []rest.Webhook{{Name: "shop", Topic: "three", Check: webhook.Check{Kind: webhook.Generic, Secret: secret.New("s")}}}
			}, weirtest.Topic("one", 1), weirtest.Topic("three", 3))
			p.run(t, file)
		})
	}
}

// run plays a script: requests, each with its answer after a line of dashes, and an empty line behind it.
func (p *proxy) run(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, part := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if strings.HasPrefix(part, "#") && !strings.Contains(part, "\n----") {
			fmt.Fprintf(&out, "%s\n\n", part)
			continue
		}
		request, want, _ := strings.Cut(part, "\n----\n")
		request = strings.TrimSuffix(request, "\n----")
		got := p.play(t, request)
		if !*rewrite && got != want {
			t.Errorf("%s, part %d:\n%s\ngot:\n%s\nwant:\n%s", file, i, request, got, want)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n\n", request, got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var varying = []struct{ from, to string }{
	{`"timestamp":"[^"]*"`, `"timestamp":"TIME"`},
	{`"timestamp":[0-9]+`, `"timestamp":TIME`},
	{`"port":[0-9]+`, `"port":PORT`},
	{`rest-consumer-[0-9a-z-]+`, `INSTANCE`},
	{`[0-9a-z-]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, `MEMBER`},
}

// play sends one request of a script: the first line, headers, and the body.
func (p *proxy) play(t *testing.T, request string) string {
	t.Helper()
	request = strings.ReplaceAll(request, "clusters/CLUSTER", "clusters/"+p.cluster)
	lines := strings.Split(request, "\n")
	for strings.HasPrefix(lines[0], "#") {
		lines = lines[1:]
	}
	method, path, _ := strings.Cut(lines[0], " ")
	var headers []string
	rest := lines[1:]
	for len(rest) > 0 && regexp.MustCompile(`^[A-Za-z0-9-]+: `).MatchString(rest[0]) {
		name, value, _ := strings.Cut(rest[0], ": ")
		headers = append(headers, name, value)
		rest = rest[1:]
	}
	status, h, body := p.send(t, method, path, strings.Join(rest, "\n"), headers...)
	body = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(body, "\r", ""), p.url, "URL"), p.cluster, "CLUSTER"))
	for _, v := range varying {
		body = regexp.MustCompile(v.from).ReplaceAllString(body, v.to)
	}
	out := strings.TrimSpace(fmt.Sprintf("%d %s", status, h.Get("Content-Type")))
	if status >= 400 && !strings.Contains(body, `"error_code"`) {
		t.Errorf("%s: status %d without error_code: %s", lines[0], status, body)
	}
	if body != "" {
		out += "\n" + body
	}
	return out
}
