package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
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
	Late   float64       // share of PUTs that get no answer and are done up to Gateway.LateMax later
}

// lateMax is the default of Gateway.LateMax: longer than a lease.
const lateMax = 12 * time.Second

// Counts of what a Gateway did.
type Counts struct{ Refused, Lost, Late, Passed atomic.Int64 }

// Gateway is an HTTP proxy in front of an S3 server that can be made to fail. It passes requests on as they are, so that their
// signatures hold. Its methods may be called from any goroutine.
type Gateway struct {
	Counts Counts
	// LateMax is how long a PUT may be under way after its sender has given it up, 12 s if it is not set before the first.
	LateMax time.Duration

	ln     net.Listener
	server *http.Server
	proxy  *httputil.ReverseProxy
	target *url.URL
	late   sync.WaitGroup
	served sync.WaitGroup

	mu      sync.Mutex
	rng     *rand.Rand
	trouble Trouble
	change  chan struct{} // closed when the trouble changes
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
	g := &Gateway{LateMax: lateMax, ln: ln, target: target, rng: rng, change: make(chan struct{})}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	g.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Context().Value(loseKey{}) != nil {
				return errLost
			}
			return nil
		},
	}
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	g.served.Go(func() { _ = g.server.Serve(ln) }) // it ends by Close
	return g, nil
}

// loseKey marks the context of requests whose answers are lost.
type loseKey struct{}

// Endpoint is the URL where the gateway listens.
func (g *Gateway) Endpoint() string { return "http://" + g.ln.Addr().String() }

// Set changes the trouble.
func (g *Gateway) Set(t Trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble = t
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
	cut, refuse, lose, late bool
	delay, lateBy           time.Duration
	frozen                  <-chan struct{}
}

func (g *Gateway) draw(method string) fate {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.trouble
	writes := method == http.MethodPut || method == http.MethodPost || method == http.MethodDelete
	f := fate{cut: t.Cut, refuse: g.rng.Float64() < t.Refuse, lose: writes && g.rng.Float64() < t.Lose, late: method == http.MethodPut && g.rng.Float64() < t.Late}
	if t.Delay > 0 {
		f.delay = time.Duration(g.rng.Int64N(2 * int64(t.Delay)))
	}
	f.lateBy = time.Duration(g.rng.Int64N(int64(g.LateMax)))
	if t.Frozen {
		f.frozen = g.change
	}
	return f
}

// ServeHTTP passes a request on, or does what the trouble says.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := g.draw(r.Method)
	for f.frozen != nil {
		select {
		case <-f.frozen:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		f = g.draw(r.Method)
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.cut:
		panic(http.ErrAbortHandler)
	case f.refuse:
		g.Counts.Refused.Add(1)
		refuse(w, r)
	case f.late:
		g.Counts.Late.Add(1)
		g.deliverLate(r, f.lateBy)
		panic(http.ErrAbortHandler)
	case f.lose:
		g.Counts.Lost.Add(1)
		// What was asked is done even if the client goes away meanwhile.
		g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(context.WithoutCancel(r.Context()), loseKey{}, true)))
	default:
		g.Counts.Passed.Add(1)
		g.proxy.ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be used again
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
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
			_, err = io.Copy(io.Discard, res.Body)
			_ = errors.Join(err, res.Body.Close()) // nobody waits for the answer
		}
	})
}
