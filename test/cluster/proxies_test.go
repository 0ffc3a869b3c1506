package cluster

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo answers every byte with itself, and tells what arrived.
func echo(t *testing.T) (address string, arrived <-chan byte) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan byte, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close() //nolint:errcheck // the test is over
				b := make([]byte, 1)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					got <- b[0]
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String(), got
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestLinkFailsAsItsStateSays(t *testing.T) {
	t.Parallel()
	address, arrived := echo(t)
	l, err := NewLink(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c, b := dial(t, l), make([]byte, 1)
	ask := func(x byte) {
		t.Helper()
		if _, err := c.Write([]byte{x}); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(x byte) {
		t.Helper()
		if _, err := io.ReadFull(c, b); err != nil || b[0] != x {
			t.Fatalf("got %q, %v, want %q", b, err, x)
		}
	}
	ask('a')
	answered('a')
	<-arrived

	l.Set(Frozen)
	ask('b')
	select {
	case x := <-arrived:
		t.Fatalf("%q came through a frozen link", x)
	case <-time.After(50 * time.Millisecond):
	}
	l.Set(Open)
	answered('b')
	<-arrived

	l.Set(Mute)
	ask('c')
	if x := <-arrived; x != 'c' {
		t.Fatalf("%q arrived over a mute link", x)
	}
	l.Set(Open)
	if n, err := c.Read(b); err == nil {
		t.Fatalf("the answer %q came although it was lost", b[:n])
	}

	c = dial(t, l)
	ask('d')
	answered('d')
	l.Set(Cut)
	if _, err := c.Read(b); err == nil {
		t.Fatal("a connection outlived the cut of its link")
	}
	c = dial(t, l)
	if _, err := c.Read(b); err == nil {
		t.Fatal("a new connection over a link that is cut")
	}
}

func TestGatewayMakesTheTroubleItIsTold(t *testing.T) {
	t.Parallel()
	done := make(chan string, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an error shows in what was got
		done <- r.Method + " " + r.Host + r.URL.RequestURI() + " " + string(body)
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	g, err := NewGateway(t.Context(), server.URL, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	put := func(patience time.Duration) (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, g.Endpoint()+"/a%20b?x=y", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	// The host is signed by clients: it must arrive as they sent it.
	want := "PUT " + strings.TrimPrefix(g.Endpoint(), "http://") + "/a%20b?x=y body"
	for _, x := range []struct {
		name    string
		trouble Trouble
		code    int // 0: no answer
		done    bool
	}{
		{"none", Trouble{}, http.StatusCreated, true},
		{"refuse", Trouble{Refuse: 1}, http.StatusServiceUnavailable, false},
		{"cut", Trouble{Cut: true}, 0, false},
		{"lose", Trouble{Lose: 1}, 0, true},
		{"frozen", Trouble{Frozen: true}, 0, false}, // the last: what is frozen may arrive later
	} {
		g.Set(x.trouble)
		patience := time.Minute
		if x.trouble.Frozen {
			patience = 200 * time.Millisecond // nothing else ends it
		}
		code, err := put(patience)
		if code != x.code || (err == nil) != (x.code != 0) {
			t.Errorf("%s: got %d, %v, want %d", x.name, code, err, x.code)
		}
		// What comes to the server comes before the end of the request.
		select {
		case got := <-done:
			if !x.done || got != want {
				t.Errorf("%s: the server got %q, want %q: %t", x.name, got, want, x.done)
			}
		default:
			if x.done {
				t.Errorf("%s: nothing came to the server", x.name)
			}
		}
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if n := len(done); n > 0 {
		t.Errorf("%d requests more came to the server: %q", n, <-done)
	}
}

func TestGatewayDeliversLatePutsAfterItsSenderGaveUp(t *testing.T) {
	t.Parallel()
	done := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an error shows in what was got
		done <- string(body)
	}))
	t.Cleanup(server.Close)
	g, err := NewGateway(t.Context(), server.URL, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	g.LateMax = 10 * time.Millisecond
	g.Set(Trouble{Late: 1})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.Endpoint()+"/x", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		_ = res.Body.Close()
		t.Errorf("a late PUT was answered: %s", res.Status)
	}
	if got := <-done; got != "body" {
		t.Errorf("the server got %q", got)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
