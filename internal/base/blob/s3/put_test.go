package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
)

func TestStoreKeepsTheRules(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return newFake(t).open(t) })
}

const fullKey = "some/prefix/k"

// loseAnswers has the first n requests of op done and their answers lost.
func loseAnswers(op string, lost int) func(http.ResponseWriter, *http.Request, string, int, http.HandlerFunc) bool {
	return func(w http.ResponseWriter, r *http.Request, o string, n int, next http.HandlerFunc) bool {
		if o != op || n > lost {
			return false
		}
		next(httptest.NewRecorder(), r)
		hangUp(w)
		return true
	}
}

// loseAll loses the answers to the first n requests of each operation.
func loseAll(n int, ops ...string) func(http.ResponseWriter, *http.Request, string, int, http.HandlerFunc) bool {
	return func(w http.ResponseWriter, r *http.Request, o string, i int, next http.HandlerFunc) bool {
		return slices.Contains(ops, o) && loseAnswers(o, n)(w, r, o, i, next)
	}
}

// What was asked for is done, and known to be, however often in a row the answers are lost: to the write, to its repetitions, and to the question whose object is there.
func TestWritesWhoseAnswersAreLostAgainAndAgainAreDoneOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = loseAll(4, opPut, opHead, opDelete)
	s := f.open(t, func(o *Options) { o.RetryFor = time.Minute })
	if err := s.PutIfAbsent(t.Context(), "k", []byte("mine")); err != nil {
		t.Errorf("put: %v", err)
	}
	if err := s.PutIfAbsent(t.Context(), "k", []byte("mine")); !errors.Is(err, blob.ErrExists) {
		t.Errorf("a second call with the same body: got %v, want ErrExists", err)
	}
	if err := s.Delete(t.Context(), "k"); err != nil || len(f.stored()) > 0 {
		t.Errorf("delete: %v, left %q", err, f.stored())
	}
}

// answer refuses the first n requests of op.
func answerFirst(op string, first, status int, code string) func(http.ResponseWriter, *http.Request, string, int, http.HandlerFunc) bool {
	return func(w http.ResponseWriter, _ *http.Request, o string, n int, _ http.HandlerFunc) bool {
		if o != op || n > first {
			return false
		}
		refuse(w, status, code)
		return true
	}
}

func TestPutWhoseAnswerIsLostIsKnownForItsOwn(t *testing.T) {
	t.Parallel()
	for _, noMeta := range []bool{false, true} {
		t.Run(fmt.Sprintf("noMeta=%t", noMeta), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.noMeta = noMeta
			f.intercept = loseAnswers(opPut, 2)
			s := f.open(t)
			if err := s.PutIfAbsent(t.Context(), "k", []byte("mine")); err != nil {
				t.Errorf("got %v, want the lost answer to be found out", err)
			}
			if err := s.PutIfAbsent(t.Context(), "k", []byte("mine")); !errors.Is(err, blob.ErrExists) {
				t.Errorf("a second call with the same body: got %v, want ErrExists", err)
			}
		})
	}
}

func TestRefusalAfterAFailedTryMayBeForAnother(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		noMeta bool
		theirs string
	}{
		"nonce": {theirs: "mine"}, // equal bodies are told apart
		"body":  {noMeta: true, theirs: "miNe"},
		"size":  {noMeta: true, theirs: "mine and more"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.noMeta = tt.noMeta
			nonce := "0123"
			if tt.noMeta {
				nonce = ""
			}
			f.intercept = func(w http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
				if op != opPut || n > 1 {
					return false
				}
				f.put(fullKey, tt.theirs, nonce)
				hangUp(w)
				return true
			}
			s := f.open(t)
			if err := s.PutIfAbsent(t.Context(), "k", []byte("mine")); !errors.Is(err, blob.ErrExists) {
				t.Errorf("got %v, want ErrExists", err)
			}
		})
	}
}

func TestRequestRepeatedOnItsWayIsKnownForItsOwn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = func(_ http.ResponseWriter, r *http.Request, op string, _ int, next http.HandlerFunc) bool {
		if op == opPut {
			next(httptest.NewRecorder(), r.Clone(r.Context())) // and then once more, with what is left of the body
		}
		return false
	}
	s := f.open(t)
	if err := s.PutIfAbsent(t.Context(), "k", nil); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestAnswerThatNeverComesIsNeitherSuccessNorRefusal(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = loseAnswers(opPut, 1000)
	s := f.open(t, func(o *Options) { o.RetryFor = 100 * time.Millisecond })
	if err := s.PutIfAbsent(t.Context(), "k", []byte("x")); err == nil || errors.Is(err, blob.ErrExists) {
		t.Errorf("all answers lost: got %v, want another error", err)
	}
	gone := newFake(t)
	gone.intercept = func(w http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
		switch {
		case op == opPut && n == 1:
			hangUp(w)
		case op == opPut:
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		default:
			return false
		}
		return true
	}
	if err := gone.open(t).PutIfAbsent(t.Context(), "k", []byte("x")); err == nil || errors.Is(err, blob.ErrExists) || !errors.Is(err, errUnknown) {
		t.Errorf("taken by an object that is gone: got %v, want that it is unknown", err)
	}
}

func TestConflictIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = answerFirst(opPut, 2, http.StatusConflict, "ConditionalRequestConflict")
	if err := f.open(t).PutIfAbsent(t.Context(), "k", []byte("x")); err != nil {
		t.Error(err)
	}
	if n := f.requests(opPut); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestWhatWillNotPassIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		code   string
	}{{http.StatusForbidden, "AccessDenied"}, {http.StatusNotFound, "NoSuchBucket"}, {http.StatusMovedPermanently, "PermanentRedirect"}, {http.StatusNotImplemented, "NotImplemented"}}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
				w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
				refuse(w, tt.status, tt.code)
				return true
			}
			s := f.open(t)
			for op, err := range map[string]error{
				opPut: s.PutIfAbsent(t.Context(), "k", nil),
				opGet: func() error { _, err := s.Open(t.Context(), "k"); return err }(),
			} {
				if err == nil || errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), tt.code) {
					t.Errorf("%s: got %v, want %s", op, err, tt.code)
				}
				if n := f.requests(op); n != 1 {
					t.Errorf("%s: %d requests, want 1", op, n)
				}
				if tt.status == http.StatusMovedPermanently && !strings.Contains(err.Error(), "region eu-north-1") {
					t.Errorf("%s: %v does not name the bucket's region", op, err)
				}
			}
		})
	}
}

func TestStormIsNotAmplified(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = answerFirst(opPut, 1<<30, http.StatusServiceUnavailable, "SlowDown")
	s := f.open(t, func(o *Options) { o.RetryFor = time.Second })
	const callers = 100
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			err := s.PutIfAbsent(t.Context(), fmt.Sprint("k", i), nil)
			if !hasStatus(err, http.StatusServiceUnavailable) {
				t.Errorf("got %v, want the service's refusal", err)
			}
		})
	}
	wg.Wait()
	most := callers + int(retryBurst+retryPerSecond*(time.Since(begin).Seconds()+1))
	if n := f.requests(opPut); n > most || n < callers+10 {
		t.Errorf("%d requests of %d callers, want at most %d, and some more than one each", n, callers, most)
	}
}

func TestStormThatPassesHurtsNobody(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = answerFirst(opPut, 40, http.StatusServiceUnavailable, "SlowDown")
	s := f.open(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := s.PutIfAbsent(t.Context(), fmt.Sprint("k", i), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(f.stored()); n != 20 {
		t.Errorf("%d objects, want 20", n)
	}
}

func TestEndOfTheCallersContextEndsATry(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ string, _ int, _ http.HandlerFunc) bool {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the connection end
		cancel()
		<-r.Context().Done()
		return true
	}
	if err := f.open(t).Put(ctx, "k", bytes.Repeat([]byte("x"), 1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestTryWithoutAnAnswerEndsInItsTime(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = func(_ http.ResponseWriter, r *http.Request, op string, n int, next http.HandlerFunc) bool {
		if op != opPut || n > 1 {
			return false
		}
		next(httptest.NewRecorder(), r) // done, and then nothing more is heard
		<-r.Context().Done()
		return true
	}
	s := f.open(t, func(o *Options) { o.Registerer = prometheus.NewRegistry() })
	s.firstByte = 100 * time.Millisecond
	if err := s.PutIfAbsent(t.Context(), "k", []byte("x")); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(s.metrics.requests.WithLabelValues(opPut, "timeout")); n < 1 { // the next one may, too, on a slow machine
		t.Errorf("%v requests timed out, want the first one to", n)
	}
}
