//go:build cluster && linux

package servertest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Time for an answer: of a server that does not answer, and of one that does, on a machine that may be busy.
const (
	silence  = time.Second / 4
	patience = time.Minute
)

// answers reports whether anything comes back from url in time.
func answers(t *testing.T, url string, within time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return true
}

func wantLife(t *testing.T, url string, s *Server) {
	t.Helper()
	s.Stop()
	if answers(t, url, silence) {
		t.Error("a stopped server answers")
	}
	s.Continue()
	s.Restart()
	if !answers(t, url, patience) {
		t.Error("no answer after a restart")
	}
	s.Kill()
	if answers(t, url, silence) {
		t.Error("a killed server answers")
	}
	s.Restart()
	if !answers(t, url, patience) {
		t.Error("no answer after a kill and a start")
	}
}

func TestS3ServerStopsAndStartsOverItsData(t *testing.T) {
	t.Parallel()
	s := StartS3(t)
	wantLife(t, s.Endpoint+"/health", s.Server)
	if _, err := os.Stat(filepath.Join(s.Dir)); err != nil {
		t.Error(err)
	}
}

func TestEtcdStopsAndStartsOverItsData(t *testing.T) {
	t.Parallel()
	endpoint, ctl := StartEtcd(t)
	wantLife(t, endpoint+"/version", ctl)
}
