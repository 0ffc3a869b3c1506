package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// large is a body that Open does not bring whole.
func large() []byte {
	b := make([]byte, 100_000)
	for i := range b {
		b[i] = byte(i / 7)
	}
	return b
}

func openKey(t *testing.T, s *Store, key string) blob.Reader {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func readRange(r blob.Reader, off int64, n int) ([]byte, error) {
	return r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), off, n)
}

func TestRangesOfALargeObjectAreRight(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	body := large()
	f.put(fullKey, string(body), "")
	r := openKey(t, f.open(t), "k")
	for _, off := range []int{0, 1, keptBytes - 1, keptBytes, keptBytes + 1, headBytes, 50_000, len(body) - 1, len(body)} {
		for _, n := range []int{0, 1, 2, 1000, 20_000, len(body)} {
			got, err := readRange(r, int64(off), n)
			if off+n > len(body) {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%d bytes at %d: got %v, want io.ErrUnexpectedEOF", n, off, err)
				}
			} else if err != nil || !bytes.Equal(got, body[off:off+n]) {
				t.Errorf("%d bytes at %d: wrong, or %v", n, off, err)
			}
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("whole: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := readRange(r, 50_000, 1); err == nil {
		t.Error("a closed reader reads")
	}
}

func TestReplacedAndDeletedObjectsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, blind := range []bool{false, true} {
		t.Run(fmt.Sprintf("blind=%t", blind), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.blind = blind
			f.put(fullKey, string(large()), "")
			s := f.open(t)
			r := openKey(t, s, "k")
			f.put(fullKey, strings.Repeat("other ", 20_000), "")
			if _, err := readRange(r, 50_000, 10); !errors.Is(err, ErrReplaced) {
				t.Errorf("got %v, want ErrReplaced", err)
			}
			if err := s.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			if _, err := readRange(r, 50_000, 10); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
		})
	}
}

// raw answers a request with these bytes and closes the connection.
func raw(w http.ResponseWriter, text string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, text)
	_ = c.Close()
}

func TestDamagedAnswersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	body := large()
	etag := etagOf(body)
	bad := map[string]string{
		"reset in the body":   "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 50000-50009/100000\r\nContent-Length: 10\r\n\r\nabc",
		"no length, cut":      "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 50000-50009/100000\r\n\r\nabc",
		"shorter length":      "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 50000-50009/100000\r\nContent-Length: 3\r\n\r\nabc",
		"longer length":       "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 50000-50009/100000\r\nContent-Length: 99999999\r\n\r\nabc",
		"another range":       "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 0-9/100000\r\nContent-Length: 10\r\n\r\n0123456789",
		"range without sense": "HTTP/1.1 206 x\r\nEtag: " + etag + "\r\nContent-Range: bytes 9-0/*\r\nContent-Length: 10\r\n\r\n0123456789",
		"no HTTP":             "garbage\r\n\r\n",
		"nothing":             "",
		"server error":        "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
	}
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.put(fullKey, string(body), "")
			f.intercept = func(w http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
				if op == opGet && n == 2 {
					raw(w, text)
					return true
				}
				return false
			}
			got, err := readRange(openKey(t, f.open(t), "k"), 50_000, 10)
			if err != nil || !bytes.Equal(got, body[50_000:50_010]) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestUnfitAnswersToOpenEndInAnError(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"gigantic":      "HTTP/1.1 206 x\r\nEtag: \"e\"\r\nContent-Range: bytes 0-16383/9223372036854775807\r\nContent-Length: 16384\r\n\r\n",
		"overflow":      "HTTP/1.1 206 x\r\nEtag: \"e\"\r\nContent-Range: bytes 0-16383/99999999999999999999\r\nContent-Length: 16384\r\n\r\n",
		"gigantic 200":  "HTTP/1.1 200 x\r\nEtag: \"e\"\r\nContent-Length: 9223372036854775807\r\n\r\n",
		"no size":       "HTTP/1.1 200 x\r\nEtag: \"e\"\r\n\r\nabc",
		"no ETag":       "HTTP/1.1 200 x\r\nContent-Length: 3\r\n\r\nabc",
		"endless error": "HTTP/1.1 403 x\r\n\r\n" + strings.Repeat("<a>", 100_000),
		"other begin":   "HTTP/1.1 206 x\r\nEtag: \"e\"\r\nContent-Range: bytes 1-3/4\r\nContent-Length: 3\r\n\r\nabc",
	}
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
				raw(w, text)
				return true
			}
			s := f.open(t, func(o *Options) { o.RetryFor = 10 * time.Millisecond })
			if _, err := s.Open(t.Context(), "k"); err == nil || errors.Is(err, blob.ErrNotFound) {
				t.Errorf("got %v, want another error", err)
			}
		})
	}
}

func TestServiceWithoutRangesIsRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put(fullKey, string(large()), "")
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
		r.Header.Del("Range")
		return false
	}
	r := openKey(t, f.open(t), "k") // the size is known all the same
	if _, err := readRange(r, 50_000, 10); err == nil || !strings.Contains(err.Error(), "does not serve ranges") {
		t.Errorf("got %v", err)
	}
	if got, err := readRange(r, 10, 10); err != nil || !bytes.Equal(got, large()[10:20]) {
		t.Errorf("what Open brought: %q, %v", got, err)
	}
}

func TestLateFirstByteIsHedged(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put(fullKey, string(large()), "")
	var late atomic.Bool
	f.intercept = func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
		if op == opGet && r.Header.Get("Range") == "bytes=50000-50009" && late.CompareAndSwap(false, true) {
			<-r.Context().Done() // until the loser is ended
			return true
		}
		return false
	}
	s := f.open(t, func(o *Options) { o.Registerer = prometheus.NewRegistry() })
	for range latencyEnough {
		s.latency.add(time.Millisecond)
	}
	r := openKey(t, s, "k")
	// Which of the two comes to the server first, and so is late, is not known.
	hedged := func() float64 {
		return testutil.ToFloat64(s.metrics.hedges.WithLabelValues("won")) + testutil.ToFloat64(s.metrics.hedges.WithLabelValues("lost"))
	}
	before := hedged() // Open was hedged too if the machine is slow
	begin := time.Now()
	got, err := readRange(r, 50_000, 10)
	if err != nil || !bytes.Equal(got, large()[50_000:50_010]) {
		t.Errorf("got %q, %v", got, err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v, want much less than the time limit of a try", took)
	}
	if n := hedged() - before; n != 1 {
		t.Errorf("%v hedges, want 1", n)
	}
	if n := testutil.ToFloat64(s.metrics.retries.WithLabelValues(opGet)); n != 0 {
		t.Errorf("%v retries, want 0", n)
	}
}

func TestHedgesAreFew(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.put(fullKey, string(large()), "")
	s := f.open(t)
	for range latencyEnough {
		s.latency.add(time.Millisecond)
	}
	for s.hedges.try() { // what there is at first
	}
	r := openKey(t, s, "k")
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
		select { // late, for every read
		case <-r.Context().Done():
		case <-time.After(2 * hedgeFloor):
		}
		return false
	}
	const reads = 20
	for range reads {
		if _, err := readRange(r, 50_000, 10); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.requests(opGet); n > 1+reads+2 {
		t.Errorf("%d requests for %d reads, want at most one in twenty more", n, reads)
	}
}
