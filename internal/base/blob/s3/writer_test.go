package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// someParts is a body of three parts, the last of one byte.
func someParts() []byte {
	body := make([]byte, 2*minPartBytes+1)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(body)
	return body
}

func smallParts(o *Options) { o.PartBytes = minPartBytes }

// begin starts a writer of key k and gives it body in pieces of odd size.
func begin(t *testing.T, s *Store, body []byte) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Abort() })
	for rest := body; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 777_777)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return w
}

func wantObject(t *testing.T, f *fakeS3, want []byte) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.objects[fullKey].body; !bytes.Equal(got, want) {
		t.Errorf("object of %d bytes is not the one of %d that was written", len(got), len(want))
	}
}

func TestLargeBodiesGoInParts(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, minPartBytes, minPartBytes + 1, 2 * minPartBytes, 2*minPartBytes + 1} {
		f := newFake(t)
		body := someParts()[:n]
		if err := begin(t, f.open(t, smallParts), body).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantObject(t, f, body)
		want := 0
		if n > minPartBytes {
			want = (n + minPartBytes - 1) / minPartBytes
		}
		if got := f.requests(opPart); got != want {
			t.Errorf("%d bytes: %d parts, want %d", n, got, want)
		}
	}
}

func TestUploadSurvivesWhatPasses(t *testing.T) {
	t.Parallel()
	body := someParts()
	tests := map[string]func(http.ResponseWriter, *http.Request, string, int, http.HandlerFunc) bool{
		"initiate lost": loseAnswers(opInitiate, 1),
		"parts lost":    loseAnswers(opPart, 2),
		"parts refused": answerFirst(opPart, 3, http.StatusServiceUnavailable, "SlowDown"),
		"complete lost": loseAnswers(opComplete, 1),
		"complete lost again, and what became of it": loseAll(3, opComplete, opHead),
		"complete refused":                           answerFirst(opComplete, 1, http.StatusInternalServerError, "InternalError"),
		"complete conflict":                          answerFirst(opComplete, 1, http.StatusConflict, "ConditionalRequestConflict"),
		"complete late":                              answerFirst(opComplete, 1, http.StatusOK, "InternalError"),
	}
	for name, intercept := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = intercept
			s := f.open(t, smallParts, func(o *Options) { o.RetryFor = time.Minute }) // a slow machine takes its time for some MiB
			if err := begin(t, s, body).Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantObject(t, f, body)
		})
	}
}

func TestTakenKeyRefusesAnUploadAndItsPartsGo(t *testing.T) {
	t.Parallel()
	late := func(w http.ResponseWriter, _ *http.Request, op string, _ int, _ http.HandlerFunc) bool {
		if op == opComplete {
			refuse(w, http.StatusOK, "PreconditionFailed") // after the status had been sent
			return true
		}
		return false
	}
	tests := map[string]struct {
		intercept func(http.ResponseWriter, *http.Request, string, int, http.HandlerFunc) bool
	}{
		"at once":          {},
		"late":             {late},
		"after a conflict": {answerFirst(opComplete, 1, http.StatusConflict, "ConditionalRequestConflict")},
		"after an error":   {answerFirst(opComplete, 1, http.StatusInternalServerError, "InternalError")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.intercept = tt.intercept
			w := begin(t, f.open(t, smallParts), someParts())
			f.put(fullKey, "theirs", "another nonce")
			if err := w.Commit(t.Context()); !errors.Is(err, blob.ErrExists) {
				t.Errorf("got %v, want ErrExists", err)
			}
			wantObject(t, f, []byte("theirs"))
			if n := f.openUploads(); n != 0 {
				t.Errorf("%d uploads are left", n)
			}
		})
	}
}

func TestUploadThatAConflictEndedIsAnError(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = func(w http.ResponseWriter, _ *http.Request, op string, n int, _ http.HandlerFunc) bool {
		if op != opComplete {
			return false
		}
		if n == 1 {
			refuse(w, http.StatusConflict, "ConditionalRequestConflict")
		} else {
			refuse(w, http.StatusNotFound, "NoSuchUpload")
		}
		return true
	}
	err := begin(t, f.open(t, smallParts), someParts()).Commit(t.Context())
	if err == nil || errors.Is(err, blob.ErrExists) {
		t.Errorf("got %v, want that it did not happen", err)
	}
}

func TestPartThatFailsEndsTheUpload(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = answerFirst(opPart, 1<<30, http.StatusForbidden, "AccessDenied")
	s := f.open(t, smallParts)
	w, err := s.Create(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(someParts())
	if err == nil {
		err = w.Commit(t.Context())
	} else if abortErr := w.Abort(); abortErr != nil {
		t.Error(abortErr)
	}
	if !hasStatus(err, http.StatusForbidden) {
		t.Errorf("got %v, want the refusal", err)
	}
	if len(f.stored()) != 0 || f.openUploads() != 0 {
		t.Errorf("left: %q and %d uploads", f.stored(), f.openUploads())
	}
}

func TestEndOfAContextEndsAnUpload(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"of Create", "of Commit"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			ctx, cancel := context.WithCancel(t.Context())
			f.intercept = func(_ http.ResponseWriter, r *http.Request, op string, n int, _ http.HandlerFunc) bool {
				if op != opPart || n < 3 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the connection end
				cancel()
				<-r.Context().Done()
				return true
			}
			s := f.open(t, smallParts)
			create, commit := ctx, t.Context()
			if which == "of Commit" {
				create, commit = commit, create
			}
			w, err := s.Create(create, "k")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(someParts()); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(commit); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			if len(f.stored()) != 0 || f.openUploads() != 0 {
				t.Errorf("left: %q and %d uploads", f.stored(), f.openUploads())
			}
		})
	}
}

func TestPartsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var now, most int
	f.intercept = func(_ http.ResponseWriter, r *http.Request, op string, _ int, _ http.HandlerFunc) bool {
		if op != opPart {
			return false
		}
		f.mu.Lock()
		now++
		most = max(most, now)
		f.mu.Unlock()
		select { // long enough for another to come
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
		f.mu.Lock()
		now--
		f.mu.Unlock()
		return false
	}
	s := f.open(t, smallParts, func(o *Options) { o.PartsInFlight = 2 })
	body := bytes.Repeat(someParts()[:minPartBytes], 6)
	if err := begin(t, s, body).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantObject(t, f, body)
	if most > 2 {
		t.Errorf("%d parts in flight, want at most 2", most)
	}
}

func TestUploadThatIsGoneMayHaveBecomeTheObject(t *testing.T) {
	t.Parallel()
	body := someParts()
	f := newFake(t)
	f.blind = true // the upload is looked for first
	f.intercept = loseAnswers(opComplete, 1)
	if err := begin(t, f.open(t, smallParts), body).Commit(t.Context()); err != nil {
		t.Error(err)
	}
	wantObject(t, f, body)
}
