package cluster

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// etcdLike answers like etcd as far as a Gate looks: by HTTP/2, with trailers, and a watch that tells what it is told.
func etcdLike(t *testing.T, done chan<- string, events <-chan string) string {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		if strings.HasSuffix(r.URL.Path, "/Watch") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			for e := range events {
				_, _ = io.WriteString(w, e)
				w.(http.Flusher).Flush()
			}
		} else {
			body, _ := io.ReadAll(r.Body)
			done <- r.URL.Path + " " + string(body)
			_, _ = io.WriteString(w, "answer")
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = &protocols
	s.Start()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestGateMakesEtcdSlowAndLosesOutcomes(t *testing.T) {
	t.Parallel()
	done, events := make(chan string, 16), make(chan string, 1)
	target := etcdLike(t, done, events)
	g, err := NewGate(t.Context(), target, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	link, err := NewLink(t.Context(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := link.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	link.To(g.Address())
	if link.Target() != g.Address() {
		t.Errorf("the link leads to %s", link.Target())
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: &http.Transport{Protocols: &protocols}}
	post := func(method string, body io.Reader) (*http.Response, error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+link.Address()+"/etcdserverpb."+method, body)
		if err != nil {
			t.Fatal(err)
		}
		return client.Do(req)
	}
	whole := func(method string) (string, error) {
		res, err := post(method, strings.NewReader("question"))
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return string(b) + " " + res.Trailer.Get("Grpc-Status"), err
	}
	if got, err := whole("KV/Txn"); err != nil || got != "answer 0" {
		t.Fatalf("got %q, %v", got, err)
	}
	if got := <-done; got != "/etcdserverpb.KV/Txn question" {
		t.Errorf("etcd got %q", got)
	}

	g.Set(Slowness{From: 50 * time.Millisecond, To: 60 * time.Millisecond})
	began := time.Now()
	if got, err := whole("KV/Range"); err != nil || got != "answer 0" || time.Since(began) < 50*time.Millisecond {
		t.Errorf("slow: got %q, %v after %v", got, err, time.Since(began))
	}
	<-done

	g.Set(Slowness{Lose: 1})
	if got, err := whole("KV/Range"); err != nil || got != "answer 0" {
		t.Errorf("a read while outcomes are lost: got %q, %v", got, err)
	}
	<-done
	if got, err := whole("KV/Txn"); err == nil {
		t.Errorf("a transaction whose outcome is lost: got %q", got)
	}
	if got := <-done; got != "/etcdserverpb.KV/Txn question" {
		t.Errorf("etcd got %q", got)
	}

	g.Set(Slowness{Events: 50 * time.Millisecond})
	res, err := post("Watch/Watch", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	events <- "event"
	b := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "event" || time.Since(began) < 50*time.Millisecond {
		t.Errorf("late: got %q, %v after %v", b, err, time.Since(began))
	}
	close(events)
	_ = res.Body.Close()
	client.CloseIdleConnections()
	if slow, lost, held := g.Slow.Load(), g.Lost.Load(), g.Held.Load(); slow != 1 || lost < 1 || held < 1 {
		t.Errorf("counted %d slow answers, %d lost outcomes, %d late events", slow, lost, held)
	}
}

func TestLinkLeadsWhereItIsTold(t *testing.T) {
	t.Parallel()
	first, _ := echo(t)
	second, arrived := echo(t)
	l, err := NewLink(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c, b := dial(t, l), make([]byte, 1)
	trip := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte{'x'}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	trip(c)
	l.To(second)
	if _, err := c.Read(b); err == nil {
		t.Error("a connection outlived the change of its link's target")
	}
	trip(dial(t, l))
	if x := <-arrived; x != 'x' {
		t.Errorf("%q arrived", x)
	}
}
