//go:build cluster && linux

package s3

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/servertest"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// openReal opens a store on a real server, as the probe leaves one behind.
func openReal(t *testing.T, server *servertest.S3, prefix string, change ...func(*Options)) *Store {
	t.Helper()
	o, err := ParseURL(server.URL(prefix))
	if err != nil {
		t.Fatal(err)
	}
	o.CredentialsFile = filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", server.AccessKey, server.SecretKey)
	if err := os.WriteFile(o.CredentialsFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.crc.Store(true)
	return s
}

func TestRealStoreKeepsTheRules(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return openReal(t, server, fmt.Sprintf("test/%d", n.Add(1)))
	})
}

func TestRealStorePassesTheProbe(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	s := openReal(t, server, "")
	report, err := Probe(t.Context(), s)
	if err != nil {
		t.Error(err)
	}
	for _, c := range report {
		t.Logf("%-50s %v %v", c.Name, c.Took, c.Err)
	}
	found, err := Measure(t.Context(), s, 10)
	if err != nil {
		t.Error(err)
	}
	for _, l := range found {
		t.Logf("%+v", l)
	}
	left, err := s.List(t.Context(), "", "", 0)
	if err != nil || len(left) > 0 {
		t.Errorf("left after the probe: %v, %v", left, err)
	}
}

// TestRealStoreBehindAFrontThatWantsCertificates has the certificate renewed again and again, one file after the other, while objects are
// written, each over a connection of its own.
func TestRealStoreBehindAFrontThatWantsCertificates(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	front := a.front(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // it is signed
	}})
	a.write(t, "own", a.issue(t, "0"))
	s := openReal(t, server, "p", func(o *Options) {
		o.Endpoint, o.CAFile, o.CertFile, o.KeyFile = front.URL, a.file("ca.pem"), a.file("own.pem"), a.file("own.key")
	})
	if _, err := Probe(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for i := 1; i <= 20; i++ {
		writing.Go(func() {
			for j := range 10 {
				s.client.CloseIdleConnections()
				if err := s.PutIfAbsent(t.Context(), fmt.Sprintf("%d/%d", i, j), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
		a.write(t, "own", a.issue(t, fmt.Sprint(i)))
	}
	writing.Wait()
	s.client.CloseIdleConnections()
	if err := s.PutIfAbsent(t.Context(), "last", nil); err != nil || front.requests("20") == 0 {
		t.Errorf("%v, %d requests with the last certificate", err, front.requests("20"))
	}
}

func TestRealStoreKeepsNonces(t *testing.T) {
	t.Parallel()
	s := openReal(t, servertest.StartS3(t), "p")
	if err := s.PutIfAbsent(t.Context(), "put", []byte("x")); err != nil {
		t.Fatal(err)
	}
	w, err := s.create(t.Context(), "parts", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"put", "parts"} {
		if nonce, err := s.nonceOf(t.Context(), key); err != nil || len(nonce) != 2*nonceBytes {
			t.Errorf("%s: nonce %q, %v", key, nonce, err)
		}
	}
}

func TestRealStoreTakesLargeObjects(t *testing.T) {
	t.Parallel()
	s := openReal(t, servertest.StartS3(t), "p")
	const size = 2*defaultPartBytes + 12345
	want := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(want)
	w, err := s.Create(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			off, n := i*size/8, size/8+1
			n = min(n, size-off)
			got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), int64(off), n)
			if err != nil || !bytes.Equal(got, want[off:off+n]) {
				t.Errorf("[%d, %d): wrong, or %v", off, off+n, err)
			}
		})
	}
	wg.Wait()
}

// TestWritersAreNotLiedToWhileTheServerDies has writers take keys of their own while the server is killed, hangs and comes
// back. Nobody else writes, so no key may be found taken, and what was said to be written must be there.
func TestWritersAreNotLiedToWhileTheServerDies(t *testing.T) {
	t.Parallel()
	server := servertest.StartS3(t)
	s := openReal(t, server, "p")
	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int64
	var wg sync.WaitGroup
	const writers = 8
	counts := make([]int, writers)
	body := func(w, i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", w, i), 3000) }
	for w := range writers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := s.PutIfAbsent(t.Context(), fmt.Sprintf("%d/%06d", w, i), body(w, i))
				if err != nil {
					t.Errorf("writer %d, object %d: %v", w, i, err)
					return
				}
				counts[w]++
				written.Add(1)
			}
		})
	}
	wait := func(n int64) {
		for goal := written.Load() + n; written.Load() < goal && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
	}
	for range 4 {
		wait(100)
		server.Kill()
		server.Restart()
		wait(100)
		server.Stop()
		<-time.After(200 * time.Millisecond)
		server.Continue()
	}
	wait(100)
	stop()
	wg.Wait()
	total := 0
	for w, n := range counts {
		infos, err := s.List(t.Context(), fmt.Sprintf("%d/", w), "", 0)
		if err != nil || len(infos) != n {
			t.Errorf("writer %d: %d objects, %v, want %d", w, len(infos), err, n)
		}
		for i := 0; i < n; i += 17 {
			if same, err := s.holds(t.Context(), fmt.Sprintf("%d/%06d", w, i), body(w, i)); !same || err != nil {
				t.Errorf("writer %d, object %d: %t, %v", w, i, same, err)
			}
		}
		total += n
	}
	t.Logf("%d objects written", total)
}
