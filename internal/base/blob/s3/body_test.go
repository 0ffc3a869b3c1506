package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// countedConn counts the writes of bodies.
type countedConn struct {
	bodyConn
	t      *testing.T
	writes *int
}

func (c countedConn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		c.t.Errorf("the body comes as %T", r)
	} else if _, ok := limited.R.(*body); !ok {
		c.t.Errorf("the body comes as %T", limited.R)
	}
	*c.writes++
	return c.bodyConn.ReadFrom(r)
}

// net/http could come to wrap bodies in another way: then they would be copied again, by 32 KiB.
func TestBodyLeavesInOneWrite(t *testing.T) {
	t.Parallel()
	want := make([]byte, 4<<20+5)
	rand.NewChaCha8([32]byte{}).Read(want)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, want) || r.ContentLength != int64(len(want)) {
			t.Errorf("got %d bytes, content length %d, error %v; want the %d that were sent", len(got), r.ContentLength, err, len(want))
		}
	}))
	defer server.Close()
	writes := 0
	transport := &http.Transport{WriteBufferSize: 64 << 10}
	dial := dialBodies(&net.Dialer{})
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countedConn{c.(bodyConn), t, &writes}, nil
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	p := &payload{bytes: want}
	p.attach(req)
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	res.Body.Close() //nolint:errcheck // read to its end
	p.end()
	if writes != 1 {
		t.Errorf("the body took %d writes, want 1", writes)
	}
}

// What has ended may lie in memory that holds something else by now.
func TestBodyOfAnEndedRequestIsNotRead(t *testing.T) {
	t.Parallel()
	p := &payload{bytes: []byte("abc")}
	b := &body{p, p.bytes}
	if n, err := b.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	p.end()
	if n, err := b.Read(make([]byte, 2)); n != 0 || !errors.Is(err, errEnded) {
		t.Errorf("got %d bytes, %v; want %v", n, err, errEnded)
	}
}
