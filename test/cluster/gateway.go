package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Trouble is what a Gateway does to requests. Shares are of 1.
type Trouble struct {
	Cut    bool          // connections are closed without an answer
	Frozen bool          // requests wait until the trouble is over, also those whose sender has given up
	Delay  time.Duration // before each request, up to twice as long
	Refuse float64       // share of requests that are answered 503 SlowDown
	Lose   float64       // share of PUTs, POSTs and DELETEs that are done and not answered
	Again  int           // how many answers more are lost of a request that has lost one, as it is repeated, and of the question what its object is
	Late   float64       // share of PUTs that get no answer and are done up to Gateway.LateMax later

	LoseUploads float64       // the same of what makes an object of parts alone
	Tear        float64       // share of GETs whose bodies do not come whole
	Deny        string        // code of S3 with which everything is answered 403, if it is not empty
	Throttle    float64       // share of requests that are answered 429, to be repeated after a second
	Redirect    float64       // share of requests that are answered 307, with another name of the same place
	Stale       time.Duration // listings do not tell of what was written or deleted so short a time ago
	Page        int           // most keys on a page of a listing, whatever was asked for; 0: as asked for
}

// lateMax is the default of Gateway.LateMax: longer than a lease.
const lateMax = 12 * time.Second

// Counts of what a Gateway did.
type Counts struct {
	Refused, Lost, LostAgain, Late, Passed       atomic.Int64
	LostUploads, LostDeletes                     atomic.Int64 // of Lost and LostAgain
	Torn, Denied, Throttled, Redirected          atomic.Int64
	Hidden, Ghosts /* keys in listings */, Paged atomic.Int64
}

// Gateway is an HTTP proxy in front of an S3 server that can be made to fail. It passes requests on as they are, so that their
// signatures hold. Its methods may be called from any goroutine.
type Gateway struct {
	Counts Counts
	// LateMax is how long a PUT may be under way after its sender has given it up, 12 s if it is not set before the first.
	LateMax time.Duration
	// Recent is what Stale listings do not tell of. Gateways to the same bucket share one; it may be replaced before the first request.
	Recent *Recent

	ln     net.Listener
	server *http.Server
	proxy  *httputil.ReverseProxy
	target *url.URL
	late   sync.WaitGroup
	served sync.WaitGroup

	mu      sync.Mutex
	rng     *rand.Rand
	trouble Trouble
	change  chan struct{}  // closed when the trouble changes
	again   map[string]int // by request: how many of its answers are to be lost yet
}

// NewGateway listens on a free loopback port and passes on to the server at endpoint, a URL without a path, until Close.
func NewGateway(ctx context.Context, endpoint string, rng *rand.Rand) (*Gateway, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &Gateway{LateMax: lateMax, ln: ln, target: target, rng: rng, change: make(chan struct{}), Recent: NewRecent(), again: map[string]int{}}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	g.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // that bodies break off is meant
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: g.answered,
	}
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	g.served.Go(func() { _ = g.server.Serve(ln) }) // it ends by Close
	return g, nil
}

// fateKey is the key of a request's fate in its context.
type fateKey struct{}

// answered is called with each answer of the server. An error is that it is lost.
func (g *Gateway) answered(r *http.Response) error {
	f, _ := r.Request.Context().Value(fateKey{}).(fate)
	if r.StatusCode/100 == 2 {
		g.Recent.note(r.Request, r.Request.ContentLength, time.Now())
	}
	if f.lose {
		return errLost
	}
	if isListing(r.Request) {
		if err := g.relist(&f.trouble, r); err != nil {
			return err
		}
	}
	if f.tear && r.ContentLength > 0 && r.StatusCode/100 == 2 {
		g.Counts.Torn.Add(1)
		tear(r, f.way, f.share)
	}
	return nil
}

// Endpoint is the URL where the gateway listens.
func (g *Gateway) Endpoint() string { return "http://" + g.ln.Addr().String() }

// Set changes the trouble.
func (g *Gateway) Set(t Trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble = t
	clear(g.again)
	close(g.change)
	g.change = make(chan struct{})
}

// Close ends the gateway, when PUTs that are late have been done.
func (g *Gateway) Close() error {
	g.Set(Trouble{Cut: true})
	g.late.Wait()
	err := g.server.Close()
	g.served.Wait()
	return err
}

// fate is what is to become of one request.
type fate struct {
	trouble                  Trouble
	cut, refuse, lose, late  bool
	throttle, redirect, tear bool
	way                      int     // in which a body is torn
	share                    float64 // of the body that comes
	delay, lateBy            time.Duration
	frozen                   <-chan struct{}
}

func (g *Gateway) draw(r *http.Request) fate {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, chance := g.trouble, func(share float64) bool { return g.rng.Float64() < share }
	writes := r.Method == http.MethodPut || r.Method == http.MethodPost || r.Method == http.MethodDelete
	f := fate{trouble: t, cut: t.Cut, refuse: chance(t.Refuse), lose: writes && chance(t.Lose) || ofUpload(r) && chance(t.LoseUploads), late: r.Method == http.MethodPut && chance(t.Late)}
	f.throttle, f.redirect, f.tear = chance(t.Throttle), chance(t.Redirect), r.Method == http.MethodGet && chance(t.Tear)
	f.way, f.share = g.rng.IntN(3), g.rng.Float64()
	if t.Delay > 0 {
		f.delay = time.Duration(g.rng.Int64N(2 * int64(t.Delay)))
	}
	f.lateBy = time.Duration(g.rng.Int64N(int64(g.LateMax)))
	if t.Frozen {
		f.frozen = g.change
	}
	if t.Again > 0 {
		g.drawAgain(r, &f)
	}
	return f
}

// ofUpload tells whether a request is one of those that make an object of parts.
func ofUpload(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method != http.MethodGet && (q.Has("uploads") || q.Has("uploadId"))
}

// drawAgain loses the answer to a request that has lost one before, and to the question what is there now. g.mu is held.
func (g *Gateway) drawAgain(r *http.Request, f *fate) {
	same := r.Method + " " + r.URL.RequestURI()
	switch left, known := g.again[same]; {
	case left > 0:
		g.again[same] = left - 1
		g.Counts.LostAgain.Add(1)
		f.lose = true
	case known:
		f.lose = false // its time is over
	case f.lose:
		g.again[same] = f.trouble.Again
		g.again[http.MethodHead+" "+r.URL.Path] = f.trouble.Again
	}
}

// ServeHTTP passes a request on, or does what the trouble says.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := g.draw(r)
	for f.frozen != nil {
		select {
		case <-f.frozen:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		f = g.draw(r)
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if !g.instead(w, r, &f) {
		return
	}
	ctx := r.Context()
	if f.lose {
		g.countLoss(r)
		ctx = context.WithoutCancel(ctx) // what was asked is done even if the client goes away meanwhile
	} else {
		g.Counts.Passed.Add(1)
	}
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, fateKey{}, f)))
}

// countLoss counts a request that is done and not answered.
func (g *Gateway) countLoss(r *http.Request) {
	g.Counts.Lost.Add(1)
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
		g.Counts.LostUploads.Add(1)
	case r.Method == http.MethodDelete:
		g.Counts.LostDeletes.Add(1)
	}
}

// instead answers a request that the server is not to see, and reports whether it is to see it.
func (g *Gateway) instead(w http.ResponseWriter, r *http.Request, f *fate) bool {
	switch {
	case f.cut:
		panic(http.ErrAbortHandler)
	case f.trouble.Deny != "":
		g.Counts.Denied.Add(1)
		answerInstead(w, r, http.StatusForbidden, f.trouble.Deny)
	case f.refuse:
		g.Counts.Refused.Add(1)
		answerInstead(w, r, http.StatusServiceUnavailable, "SlowDown")
	case f.throttle:
		g.Counts.Throttled.Add(1)
		w.Header().Set("Retry-After", "1")
		answerInstead(w, r, http.StatusTooManyRequests, "TooManyRequests")
	case f.redirect:
		g.Counts.Redirected.Add(1)
		w.Header().Set("Location", strings.Replace(g.Endpoint(), "127.0.0.1", "localhost", 1)+r.URL.RequestURI())
		answerInstead(w, r, http.StatusTemporaryRedirect, "TemporaryRedirect")
	case f.late:
		g.Counts.Late.Add(1)
		g.deliverLate(r, f.lateBy)
		panic(http.ErrAbortHandler)
	default:
		return true
	}
	return false
}

// deliverLate takes a request over, and sends it after a while.
func (g *Gateway) deliverLate(r *http.Request, after time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it never arrived whole
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", g.target.Scheme, g.target.Host
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.Header.Del("Connection")
	out.Header.Del("Expect")
	g.late.Go(func() {
		<-time.After(after)
		res, err := g.proxy.Transport.RoundTrip(out)
		if err == nil {
			if res.StatusCode/100 == 2 {
				g.Recent.note(out, out.ContentLength, time.Now())
			}
			_, err = io.Copy(io.Discard, res.Body)
			_ = errors.Join(err, res.Body.Close()) // nobody waits for the answer
		}
	})
}
