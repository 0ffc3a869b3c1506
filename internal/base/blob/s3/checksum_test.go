package s3

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/crc32c"
)

func TestBodiesTravelWithWhatTheServiceChecks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*fakeS3)
		want   string
	}{
		"a service that checks CRC-32Cs": {func(*fakeS3) {}, checkedByCRC},
		"one that does not look":         {func(f *fakeS3) { f.careless = true }, checkedBySHA256},
		"one that looks at PUTs only": {func(f *fakeS3) {
			f.intercept = func(w http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
				if op == opPart && r.Header.Get(crcHeader) != "" {
					refuse(w, http.StatusNotImplemented, "NotImplemented")
					return true
				}
				return false
			}
		}, checkedBySHA256},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c.change(f)
			s := f.open(t, func(o *Options) { o.PartBytes = minPartBytes })
			report, err := Probe(t.Context(), s)
			if err != nil || report[len(report)-1].Name != c.want {
				t.Fatalf("%v, %v; want %q", report, err, c.want)
			}
			before := f.intercept
			var signed, summed atomic.Int64
			f.intercept = func(w http.ResponseWriter, r *http.Request, op string, n int, next http.HandlerFunc) bool {
				if op == opPut || op == opPart {
					if r.Header.Get(crcHeader) != "" {
						summed.Add(1)
					}
					if r.Header.Get("X-Amz-Content-Sha256") != unsigned {
						signed.Add(1)
					}
				}
				return before != nil && before(w, r, op, n, next)
			}
			writeAll(t, s)
			if byCRC := c.want == checkedByCRC; byCRC != (summed.Load() == 4) || byCRC != (signed.Load() == 0) {
				t.Errorf("%d bodies with a CRC-32C, %d signed", summed.Load(), signed.Load())
			}
		})
	}
}

// writeAll makes four requests with bodies: two objects, and one in two parts.
func writeAll(t *testing.T, s *Store) {
	t.Helper()
	if err := s.PutIfAbsent(t.Context(), "a", []byte("one")); err != nil {
		t.Error(err)
	}
	if err := s.Put(t.Context(), "b", []byte("two")); err != nil {
		t.Error(err)
	}
	w, err := s.Create(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("part"), minPartBytes/4+1)
	if _, err := w.Write(body); err != nil {
		t.Error(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (&probe{store: s}).holds(t.Context(), "c", body); err != nil {
		t.Error(err)
	}
}

func TestBodiesStaySignedOnAnOpenWay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"https://s3.example.com": true, "http://127.0.0.1:9000": true, "http://[::1]:9000": true, "http://localhost": true,
		"http://s3.example.com": false, "http://10.0.0.7:9000": false, "http://127.0.0.1.example.com": false,
	} {
		u, err := url.Parse(text)
		if err != nil || private(u) != want {
			t.Errorf("%s: %v, %v", text, private(u), err)
		}
	}
}

// The caller's checksum is what the service compares: nobody computes another one on the way, through all that wraps the store.
func TestPutSummedTravelsWithTheChecksumOfTheCaller(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, func(o *Options) { o.RetryFor = 1 })
	if _, err := Probe(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wrapped := blob.NewRemote(s)
	body := []byte("a body")
	if err := blob.PutSummed(t.Context(), wrapped, "wrong", body, crc32c.Sum(body)+1); err == nil {
		t.Error("a body with a wrong checksum was taken")
	}
	if err := blob.PutSummed(t.Context(), wrapped, "right", body, crc32c.Sum(body)); err != nil {
		t.Error(err)
	}
	if err := blob.PutSummed(t.Context(), wrapped, "right", body, crc32c.Sum(body)); !errors.Is(err, blob.ErrExists) {
		t.Errorf("got %v, want %v", err, blob.ErrExists)
	}
	if err := (&probe{store: s}).holds(t.Context(), "right", body); err != nil {
		t.Error(err)
	}
}
