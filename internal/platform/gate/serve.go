package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	out := &recorder{ResponseWriter: w}
	name := "none"
	defer func() {
		g.o.Metrics.count(g.o.Name, name, out.status, time.Since(began))
		g.logger.Debug("request", "method", r.Method, "path", r.URL.Path, "route", name, "status", out.status, "peer", hostOf(r.RemoteAddr), "took", time.Since(began))
	}()
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			out.status = statusGone
			panic(cause)
		}
		g.logger.Error("a request broke its handler", "route", name, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		if out.status != 0 {
			panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
		}
		g.fail(out, r, errPanic)
	}()
	if done := g.cors(out, r); done {
		return
	}
	route, missing := g.tree.lookup(r)
	if missing != nil {
		g.fail(out, r, missing)
		return
	}
	name = route.Name
	if err := g.serve(out, r, route); err != nil {
		g.fail(out, r, err)
	}
}

// statusGone stands in metrics for an answer that was broken off, as nginx has it.
const statusGone = 499

var errPanic = Errorf(http.StatusInternalServerError, "Internal Server Error")

func (g *Gate) serve(w http.ResponseWriter, r *http.Request, route *Route) (failed error) {
	control := http.NewResponseController(w)
	if !route.Stream {
		deadline := time.Now().Add(requestTimeout)
		_ = control.SetReadDeadline(deadline)                      // HTTP/2 streams have none in tests
		_ = control.SetWriteDeadline(deadline.Add(requestTimeout)) // likewise
	}
	ctx := r.Context()
	if route.Stream {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		ended := make(chan struct{})
		defer close(ended)
		go func() { // ends with the request
			select {
			case <-g.ending:
				cancel()
			case <-ended:
			}
		}()
	}
	if err := g.fromPage(r); err != nil {
		return err
	}
	caller, err := g.authenticate(ctx, r, route)
	if err != nil {
		return err
	}
	if err := g.calledByName(r, caller); err != nil {
		return err
	}
	limit := g.o.MaxBodyBytes
	if route.MaxBodyBytes > 0 {
		limit = route.MaxBodyBytes
	}
	ctx = WithCaller(ctx, caller)
	if witness, ok := g.o.Bridge.(Witness); ok && !route.Open {
		var done func(int)
		ctx, done = witness.Attend(ctx, &Attended{Service: g.o.Name, Operation: route.Name, Client: r.UserAgent(), Caller: caller})
		defer func() { done(g.codeOf(failed)) }()
	}
	r = r.WithContext(ctx)
	if hasBody(r) {
		if types := route.accepts(&g.o); !acceptsBody(r, types) {
			return Errorf(http.StatusUnsupportedMediaType, "HTTP 415 Unsupported Media Type")
		}
		if err := openBody(w, r, limit); err != nil {
			return err
		}
	}
	if types := orTypes(route.Answers, g.o.Types); g.o.Strict && len(types) > 0 && !route.Open {
		if _, ok := Acceptable(r, types); !ok {
			return Errorf(http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
		}
	}
	return route.Handle(w, r)
}

func (r *Route) accepts(o *Options) []string {
	if len(r.Accepts) > 0 {
		return r.Accepts
	}
	return o.Types
}

// codeOf is what the client is told of an error, 0 for none.
func (g *Gate) codeOf(err error) int {
	if err == nil {
		return 0
	}
	e, _ := errorOf(err, g.o.Translate)
	return e.code()
}

func hasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}

// authenticate finds out who calls. An answer to wrong credentials is held back, so that guessing takes time.
func (g *Gate) authenticate(ctx context.Context, r *http.Request, route *Route) (Caller, error) {
	if route.Open {
		return Anonymous(hostOf(r.RemoteAddr)), nil
	}
	shown, ok := credentialsOf(r)
	err := ErrUnauthenticated
	if ok {
		shown.Service = g.o.Name
	}
	var caller Caller
	if ok && r.TLS != nil && g.o.TLS != nil {
		if shown.Certificate, err = g.o.TLS.Principal(*r.TLS); err != nil {
			return Caller{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
		}
		if shown.Certificate == acl.Anonymous {
			shown.Certificate = acl.Principal{}
		}
	}
	if ok {
		caller, err = g.o.Bridge.Authenticate(ctx, shown)
	}
	if errors.Is(err, ErrUnauthenticated) && r.Header.Get("Authorization") != "" {
		select {
		case g.wrong <- struct{}{}:
			hold := time.NewTimer(failureDelay)
			select {
			case <-hold.C:
			case <-ctx.Done():
			}
			hold.Stop()
			<-g.wrong
		default:
			return Caller{}, ErrBusy
		}
	}
	return caller, err
}

// fail answers with an error, or breaks the connection off where an answer has begun.
func (g *Gate) fail(w *recorder, r *http.Request, err error) {
	e, foreseen := errorOf(err, g.o.Translate)
	if !foreseen {
		g.logger.Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), e.Header)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="weir", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", "Bearer")
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	body := ErrorBody{Code: e.code(), Message: e.Message}
	_ = WriteJSON(w, r, g.o.Types, e.Status, body) // two plain fields
}

// ErrorBody is the shape of every answer that tells of a failure.
type ErrorBody struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

// cors answers for browsers. It returns true if the request was a question of a browser's own, which is answered.
func (g *Gate) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if len(g.o.Origins) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	allowed := origin != "" && (slices.Contains(g.o.Origins, "*") || slices.Contains(g.o.Origins, origin))
	if allowed {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Content-Type, Link, Retry-After")
	}
	switch {
	case preflight && allowed:
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Last-Event-ID")
		w.Header().Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return true
	case r.Method == http.MethodOptions:
		segments, ok := segmentsOf(r.URL)
		if at, _ := g.tree.find(segments, nil); ok && at != nil {
			w.Header().Set("Allow", strings.Join(at.allowed(), ", "))
			w.WriteHeader(http.StatusOK)
			return true
		}
	}
	return false
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher, which libraries ask for.
func (w *recorder) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // the client has gone
}

// Hijack implements http.Hijacker, for WebSockets.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// QueryInt reads a parameter that is a number; def stands for one that is left out.
func QueryInt(r *http.Request, name string, def int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		// Confluent's services answer so, too: their framework takes a value that is no number for a path that is not there.
		return 0, Errorf(http.StatusNotFound, "HTTP 404 Not Found")
	}
	return n, nil
}

// QueryBool reads a parameter that is true or false, in any case; everything else is false, as Java reads it.
func QueryBool(r *http.Request, name string) bool {
	return strings.EqualFold(strings.TrimSpace(r.URL.Query().Get(name)), "true")
}
