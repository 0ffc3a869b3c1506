package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"
)

// delay passes requests on at once and answers back when their time has come, until ctx ends.
func delay(ctx context.Context, listen, server string, d distribution) error {
	if listen == "" || server == "" {
		return errors.New("delay: want two addresses")
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same delays in each run
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server})
			r.Out.Host = r.In.Host // the signature holds for it
		},
		Transport:  &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		BufferPool: &buffers{},
	}
	front := &http.Server{Addr: listen, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		wait := d.sample(random)
		mu.Unlock()
		if r.Method != http.MethodPut {
			wait /= 4
		}
		until := time.After(wait)
		proxy.ServeHTTP(&late{ResponseWriter: w, until: until, done: r.Context().Done()}, r)
	})}
	stop := context.AfterFunc(ctx, func() { _ = front.Close() })
	defer stop()
	if err := front.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// late holds the answer back.
type late struct {
	http.ResponseWriter
	until <-chan time.Time
	done  <-chan struct{}
}

func (l *late) WriteHeader(status int) {
	select {
	case <-l.until:
	case <-l.done:
	}
	l.ResponseWriter.WriteHeader(status)
}

// buffers are those of a proxy, which would make one for each answer.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 64<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// governor is the flush governor as an arithmetic of its own: records come one after the other, and the rules say which object each is in.
type governor struct {
	*distribution
	interval time.Duration
	inFlight int
	requests int
	rate     int
}

func (g *governor) flags(f *flag.FlagSet) {
	f.DurationVar(&g.interval, "interval", 250*time.Millisecond, "storage.flush.interval.ms")
	f.IntVar(&g.inFlight, "in-flight", 8, "objects on their way at the same time")
	f.IntVar(&g.requests, "requests", 5, "produce requests that the client has on their way")
	f.IntVar(&g.rate, "rate", 1000, "records a second, small ones")
}

func (g *governor) print(w io.Writer) {
	took, objects := g.calculate(600 * time.Second)
	at := func(q float64) time.Duration {
		return took[int(q*float64(len(took)-1))].Round(time.Millisecond)
	}
	fmt.Fprintf(w, "{\"on\":\"paper\",\"workload\":\"ack-%d\",\"puts_per_s\":%.1f,\"latency_ms\":{\"p50\":%d,\"p99\":%d,\"p999\":%d}}\n",
		g.rate, float64(objects)/600, at(0.5).Milliseconds(), at(0.99).Milliseconds(), at(0.999).Milliseconds())
}

// calculate returns the sorted latencies of the records of a stretch of time, and how many objects they took. A client has some requests on its
// way, and what comes meanwhile waits for the next. An object goes when a request is there and none is on its way, or its oldest request has
// waited for the interval and there is room; it is acknowledged with those before it, after which the client sends on.
func (g *governor) calculate(length time.Duration) (took []time.Duration, objects int) {
	type object struct {
		end      time.Duration
		requests int
	}
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same figures in each run
	step := time.Second / time.Duration(g.rate)
	var flying []object                // oldest first, ends ascending
	var waiting, group []time.Duration // when records came: those in the client, those in the open group
	var requests, sent int             // of the open group; on their way in all
	var since time.Duration            // when the first request of the group came
	flush := func(now time.Duration) {
		if requests == 0 || len(flying) >= g.inFlight || len(flying) > 0 && now < since+g.interval {
			return
		}
		end := now + g.sample(random)
		if n := len(flying); n > 0 {
			end = max(end, flying[n-1].end)
		}
		for _, came := range group {
			took = append(took, end-came)
		}
		flying = append(flying, object{end, requests})
		group, requests, objects = group[:0], 0, objects+1
	}
	for now := time.Duration(0); now < length; now += step {
		waiting = append(waiting, now)
		for len(flying) > 0 && flying[0].end <= now {
			sent -= flying[0].requests
			flying = flying[1:]
		}
		flush(now)
		if sent < g.requests {
			if requests == 0 {
				since = now
			}
			group, waiting = append(group, waiting...), waiting[:0]
			requests, sent = requests+1, sent+1
		}
		flush(now)
	}
	slices.Sort(took)
	return took, objects
}
