package cluster

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tear makes the body of an answer one that does not come whole: it breaks off, or is shorter than its range says, or ends early where no
// length was told. way is 0, 1 or 2, and share the part of it that comes, below 1.
func tear(r *http.Response, way int, share float64) {
	whole := r.ContentLength
	if whole <= 0 {
		return
	}
	n := int64(share * float64(whole))
	switch way {
	case 0:
		r.Body = &brokenBody{ReadCloser: r.Body, left: n}
		return
	case 1:
		r.ContentLength = n
		r.Header.Set("Content-Length", strconv.FormatInt(n, 10))
	default:
		r.ContentLength = -1
		r.Header.Del("Content-Length")
	}
	r.Body = &shortBody{io.LimitReader(r.Body, n), r.Body}
}

var errTorn = errors.New("the body breaks off")

// brokenBody fails after some bytes, so that the connection is closed in the midst.
type brokenBody struct {
	io.ReadCloser
	left int64
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTorn
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// shortBody ends early.
type shortBody struct {
	io.Reader
	io.Closer
}

// Recent remembers what was written and deleted in a bucket a short while ago, through any of the gateways that share it. Its methods may
// be called from any goroutine.
type Recent struct {
	mu      sync.Mutex
	changes map[string]recentChange // by key
}

type recentChange struct {
	at      time.Time
	deleted bool
	size    int64
}

// recentMax is how long a change is remembered.
const recentMax = 30 * time.Second

// NewRecent returns one that remembers nothing.
func NewRecent() *Recent { return &Recent{changes: map[string]recentChange{}} }

// note remembers what a request that was done has changed.
func (c *Recent) note(r *http.Request, size int64, now time.Time) {
	q := r.URL.Query()
	change := recentChange{at: now, size: size}
	switch {
	case r.Method == http.MethodPut && !q.Has("partNumber"), r.Method == http.MethodPost && q.Has("uploadId"):
	case r.Method == http.MethodDelete && !q.Has("uploadId"):
		change.deleted = true
	default:
		return
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // behind the bucket
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, x := range c.changes {
		if now.Sub(x.at) > recentMax {
			delete(c.changes, k)
		}
	}
	if change.deleted {
		change.size = c.changes[key].size
	}
	c.changes[key] = change
}

// within returns what was changed since a moment and lies in (after, to], by key; an empty to is the end.
func (c *Recent) within(prefix, after, to string, since time.Time) (written map[string]bool, deleted []listed) {
	written = map[string]bool{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, x := range c.changes {
		switch {
		case x.at.Before(since) || !strings.HasPrefix(key, prefix) || key <= after || to != "" && key > to:
		case x.deleted:
			deleted = append(deleted, listed{Key: key, Size: x.size})
		default:
			written[key] = true
		}
	}
	return written, deleted
}

// listing is an answer to ListObjectsV2, as far as anybody here reads it.
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	Prefix                string
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	NextContinuationToken string   `xml:",omitempty"`
	Contents              []listed `xml:"Contents"`
}

type listed struct {
	Key          string
	Size         int64
	ETag         string `xml:",omitempty"`
	LastModified string `xml:",omitempty"`
	StorageClass string `xml:",omitempty"`
}

// isListing tells whether a request asks for a list of objects.
func isListing(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2"
}

// age makes a listing one from a short while ago, and cuts it into pages of at most t.Page keys. It returns how many keys it left out and
// added, and whether it made the page smaller.
func (l *listing) age(t *Trouble, r *http.Request, recent *Recent, now time.Time) (hidden, ghosts int, cut bool) {
	q := r.URL.Query()
	if t.Stale > 0 {
		last := ""
		if n := len(l.Contents); l.IsTruncated && n > 0 {
			last = l.Contents[n-1].Key
		}
		written, deleted := recent.within(q.Get("prefix"), q.Get("start-after"), last, now.Add(-t.Stale))
		before := len(l.Contents)
		l.Contents = slices.DeleteFunc(l.Contents, func(o listed) bool { return written[o.Key] })
		hidden = before - len(l.Contents)
		if !l.IsTruncated || last != "" {
			for _, o := range deleted {
				if !slices.ContainsFunc(l.Contents, func(x listed) bool { return x.Key == o.Key }) {
					l.Contents, ghosts = append(l.Contents, o), ghosts+1
				}
			}
		}
		slices.SortFunc(l.Contents, func(a, b listed) int { return cmp.Compare(a.Key, b.Key) })
	}
	most, err := strconv.Atoi(q.Get("max-keys"))
	if err != nil || most <= 0 {
		most = 1000
	}
	if t.Page > 0 {
		most = min(most, t.Page)
	}
	if len(l.Contents) > most {
		l.Contents, l.IsTruncated, l.NextContinuationToken, cut = l.Contents[:most], true, "not-to-be-used", t.Page > 0
	}
	l.KeyCount = len(l.Contents)
	return hidden, ghosts, cut
}

// relist rewrites a listing as the trouble says.
func (g *Gateway) relist(t *Trouble, r *http.Response) error {
	if t.Stale == 0 && t.Page == 0 || r.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return err
	}
	var l listing
	if err := xml.Unmarshal(body, &l); err != nil {
		return fmt.Errorf("a listing that is none: %w", err)
	}
	hidden, ghosts, cut := l.age(t, r.Request, g.Recent, time.Now())
	g.Counts.Hidden.Add(int64(hidden))
	g.Counts.Ghosts.Add(int64(ghosts))
	if cut {
		g.Counts.Paged.Add(1)
	}
	if body, err = xml.Marshal(&l); err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// answerInstead is an answer of S3's that is no good news.
func answerInstead(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be used again
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s, for a while.</Message></Error>`, code, code)
	}
}
