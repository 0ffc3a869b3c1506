package s3

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
)

func TestProbeFindsNothingWrongWithStoresThatWork(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for name, s := range map[string]blob.Store{"fake": f.open(t), "mem": blob.NewMem()} {
		report, err := Probe(t.Context(), s)
		if want := map[string]int{"fake": 9, "mem": 8}[name]; err != nil || len(report) != want {
			t.Errorf("%s: %d checks, %v", name, len(report), err)
		}
		if _, err := Measure(t.Context(), s, 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := s.List(t.Context(), "", "", 0); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	if f.requests(opComplete) != 3 {
		t.Errorf("%d uploads in parts, want 3", f.requests(opComplete))
	}
}

func TestProbeTellsAStoreThatDoesNotLetUsInFromAnUnfitOne(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"AccessDenied", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "NoSuchBucket"} {
		f := newFake(t)
		f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
			refuse(w, map[bool]int{true: http.StatusNotFound, false: http.StatusForbidden}[code == "NoSuchBucket"], code)
			return true
		}
		report, err := Probe(t.Context(), f.open(t))
		if err == nil || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), KnownToWork) || !IsRefusal(err) || IsAway(err) {
			t.Errorf("got %v, want a refusal with %s that says nothing of the store's fitness", err, code)
		}
		if len(report) != 1 || report[0].Err == nil {
			t.Errorf("the report is %+v", report)
		}
	}
}

func TestProbeNamesWhatAStoreDoesNotDo(t *testing.T) {
	t.Parallel()
	type intercept = func(w http.ResponseWriter, r *http.Request, op string, n int, next http.HandlerFunc) bool
	without := func(header, of string) intercept {
		return func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op == of {
				r.Header.Del(header)
			}
			return false
		}
	}
	tests := map[string]struct {
		intercept intercept
		want      string
	}{
		"writes to taken keys": {without(ifNoneMatch, opPut), "write to a taken key is refused"},
		"races": {func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op == opPut && strings.Contains(r.URL.Path, "/race-3") {
				r.Header.Del(ifNoneMatch)
			}
			return false
		}, "one of 16 racing writers wins"},
		"uploads": {without(ifNoneMatch, opComplete), "upload in parts to a taken key is refused"},
		"ranges":  {without("Range", opGet), "read after write"},
		"lists": {func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op == opList {
				q := r.URL.Query()
				q.Del("start-after")
				r.URL.RawQuery = q.Encode()
			}
			return false
		}, "list after write, sorted, in pages"},
		"conditions that are answered and not kept": {func(w http.ResponseWriter, r *http.Request, op string, _ int, next http.HandlerFunc) bool {
			if op != opPut || !strings.Contains(r.URL.Path, "/taken") || r.ContentLength == probeBody {
				return false
			}
			r.Header.Del(ifNoneMatch)
			next(httptest.NewRecorder(), r) // it is overwritten all the same
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return true
		}, "write to a taken key is refused"},
		"the last writer wins": {func(w http.ResponseWriter, r *http.Request, op string, _ int, next http.HandlerFunc) bool {
			if op != opPut || !strings.Contains(r.URL.Path, "/race-") {
				return false
			}
			r.Header.Del(ifNoneMatch)
			next(w, r)
			return true
		}, "one of 16 racing writers wins"},
		"metadata after a write": {func(w http.ResponseWriter, _ *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op == opHead {
				w.WriteHeader(http.StatusNotFound)
			}
			return op == opHead
		}, "read after write"},
		"ranges that begin a byte late": {func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if from, rest, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); ok && op == opGet && from != "0" {
				n, err := strconv.Atoi(from)
				if err != nil {
					return false
				}
				end, err := strconv.Atoi(rest)
				if err != nil {
					return false
				}
				r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", n+1, end+1))
			}
			return false
		}, "read after write"},
		"lists that come late": {func(w http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
			if op == opList && n == 1 {
				_, _ = w.Write([]byte("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"))
				return true
			}
			return false
		}, "list after write, sorted, in pages"},
		"deletes": {func(w http.ResponseWriter, _ *http.Request, op string, _ int, _ http.HandlerFunc) bool {
			if op == opDelete {
				w.WriteHeader(http.StatusNoContent)
			}
			return op == opDelete
		}, "gone after delete"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = tt.intercept
			report, err := Probe(t.Context(), f.open(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), KnownToWork) {
				t.Fatalf("got %v, want the check %q and stores that work", err, tt.want)
			}
			if name == "races" && !strings.Contains(err.Error(), "both won") {
				t.Errorf("got %v, want two winners", err)
			}
			if last := report[len(report)-1]; last.Name != tt.want || last.Err == nil {
				t.Errorf("the report ends with %+v", last)
			}
		})
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newFake(t)
	f.intercept = func(_ http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
		if op == opPut && n == 20 {
			cancel()
		}
		return false
	}
	if _, err := Probe(ctx, f.open(t)); err == nil {
		t.Error("no error")
	}
	if left := f.stored(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
