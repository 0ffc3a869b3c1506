package cluster

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// bucketServer keeps objects of a bucket, lists them all on one page, and counts what comes.
type bucketServer struct {
	mu      sync.Mutex
	objects map[string]string
	came    map[string]int // by method
}

func (s *bucketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came[r.Method]++
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	switch {
	case isListing(r):
		l := listing{Name: "bucket"}
		for k, body := range s.objects {
			if strings.HasPrefix(k, r.URL.Query().Get("prefix")) && k > r.URL.Query().Get("start-after") {
				l.Contents = append(l.Contents, listed{Key: k, Size: int64(len(body))})
			}
		}
		slices.SortFunc(l.Contents, func(a, b listed) int { return strings.Compare(a.Key, b.Key) })
		_ = xml.NewEncoder(w).Encode(&l)
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		s.objects[key] = string(body)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.objects[key]))
	}
}

func (s *bucketServer) seen(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came[method]
}

// gatewayTo starts a gateway to a bucket of its own.
func gatewayTo(t *testing.T) (*Gateway, *bucketServer) {
	t.Helper()
	s := &bucketServer{objects: map[string]string{}, came: map[string]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	g, err := NewGateway(t.Context(), server.URL, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, s
}

// exchange sends a request to a bucket behind a gateway. The code is 0 if no answer came, and err that of the body.
func exchange(t *testing.T, g *Gateway, method, target, body string) (res *http.Response, text string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.Endpoint()+"/bucket"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // a request on a connection that was used before is repeated by net/http itself
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err = client.Do(req)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	return res, string(b), errors.Join(err, res.Body.Close())
}

func TestGatewayLosesTheAnswersToRepetitionsToo(t *testing.T) {
	t.Parallel()
	g, s := gatewayTo(t)
	g.Set(Trouble{Lose: 1, Again: 2})
	for try := range 4 {
		_, _, err := exchange(t, g, http.MethodPut, "/k", "body")
		if lost := err != nil; lost != (try < 3) {
			t.Errorf("try %d: %v", try, err)
		}
	}
	for try := range 3 {
		_, _, err := exchange(t, g, http.MethodHead, "/k", "")
		if lost := err != nil; lost != (try < 2) {
			t.Errorf("question %d: %v", try, err)
		}
	}
	if _, _, err := exchange(t, g, http.MethodPut, "/other", "body"); err == nil {
		t.Error("another request was answered")
	}
	if n := s.seen(http.MethodPut); n != 5 {
		t.Errorf("%d PUTs were done, want all 5", n)
	}
	if lost, again := g.Counts.Lost.Load(), g.Counts.LostAgain.Load(); lost != 6 || again != 4 {
		t.Errorf("counted %d lost answers, %d of them to repetitions, want 6 and 4", lost, again)
	}
}

func TestGatewayLosesTheAnswersOfUploadsAlone(t *testing.T) {
	t.Parallel()
	g, s := gatewayTo(t)
	g.Set(Trouble{LoseUploads: 1})
	for target, lost := range map[string]bool{"/k": false, "/k?partNumber=1&uploadId=u": true} {
		if _, _, err := exchange(t, g, http.MethodPut, target, "body"); (err != nil) != lost {
			t.Errorf("PUT %s: %v", target, err)
		}
	}
	if _, _, err := exchange(t, g, http.MethodPost, "/k?uploadId=u", "body"); err == nil {
		t.Error("the end of an upload was answered")
	}
	if puts, posts, uploads := s.seen(http.MethodPut), s.seen(http.MethodPost), g.Counts.LostUploads.Load(); puts != 2 || posts != 1 || uploads != 1 {
		t.Errorf("%d PUTs and %d POSTs were done, and %d uploads counted as lost", puts, posts, uploads)
	}
}

func TestGatewayAnswersInThePlaceOfTheServer(t *testing.T) {
	t.Parallel()
	g, s := gatewayTo(t)
	for _, x := range []struct {
		trouble Trouble
		status  int
		header  string
		text    string
	}{
		{Trouble{Deny: "ExpiredToken"}, http.StatusForbidden, "", "<Code>ExpiredToken</Code>"},
		{Trouble{Throttle: 1}, http.StatusTooManyRequests, "Retry-After", "<Code>TooManyRequests</Code>"},
		{Trouble{Redirect: 1}, http.StatusTemporaryRedirect, "Location", "<Code>TemporaryRedirect</Code>"},
	} {
		g.Set(x.trouble)
		res, text, err := exchange(t, g, http.MethodPut, "/k", "body")
		if err != nil || res.StatusCode != x.status || !strings.Contains(text, x.text) || x.header != "" && res.Header.Get(x.header) == "" {
			t.Errorf("%+v: got %v, %q, %v", x.trouble, res, text, err)
		}
	}
	if n := s.seen(http.MethodPut); n != 0 {
		t.Errorf("%d PUTs came to the server", n)
	}
}

func TestGatewayTearsBodies(t *testing.T) {
	t.Parallel()
	g, s := gatewayTo(t)
	whole := strings.Repeat("0123456789", 5000)
	s.objects["k"] = whole
	g.Set(Trouble{Tear: 1})
	ways := map[string]bool{}
	for range 40 {
		res, text, err := exchange(t, g, http.MethodGet, "/k", "")
		if len(text) >= len(whole) || !strings.HasPrefix(whole, text) {
			t.Fatalf("%d bytes came of %d", len(text), len(whole))
		}
		ways[fmt.Sprint(err != nil, res != nil && res.ContentLength < 0)] = true
	}
	if len(ways) != 3 {
		t.Errorf("bodies were torn in these ways alone: %v", ways)
	}
	if n := g.Counts.Torn.Load(); n != 40 {
		t.Errorf("counted %d, want 40", n)
	}
}

func TestGatewayListsWhatWas(t *testing.T) {
	t.Parallel()
	g, s := gatewayTo(t)
	s.objects = map[string]string{"a/1": "x", "a/2": "xx", "b/1": "x"}
	for _, x := range []struct{ method, key string }{{http.MethodDelete, "/a/1"}, {http.MethodPut, "/a/3"}, {http.MethodPut, "/b/2"}} {
		if _, _, err := exchange(t, g, x.method, x.key, "new"); err != nil {
			t.Fatal(err)
		}
	}
	list := func(after string) (keys string, truncated bool) {
		t.Helper()
		_, text, err := exchange(t, g, http.MethodGet, "/?list-type=2&prefix=a/&max-keys=1000&start-after="+after, "")
		if err != nil {
			t.Fatal(err)
		}
		var l listing
		if err := xml.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Contents {
			keys += o.Key + " "
		}
		return keys, l.IsTruncated
	}
	for _, x := range []struct {
		trouble   Trouble
		after     string
		want      string
		truncated bool
	}{
		{Trouble{}, "", "a/2 a/3 ", false},
		{Trouble{Stale: time.Hour}, "", "a/1 a/2 ", false},
		{Trouble{Stale: time.Hour}, "a/1", "a/2 ", false},
		{Trouble{Stale: time.Nanosecond}, "", "a/2 a/3 ", false},
		{Trouble{Page: 1}, "", "a/2 ", true},
		{Trouble{Page: 1}, "a/2", "a/3 ", false},
		{Trouble{Page: 1, Stale: time.Hour}, "", "a/1 ", true},
	} {
		g.Set(x.trouble)
		if got, truncated := list(x.after); got != x.want || truncated != x.truncated {
			t.Errorf("%+v after %q: listed %q, truncated %t; want %q, %t", x.trouble, x.after, got, truncated, x.want, x.truncated)
		}
	}
}
