package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// Content types of streams.
const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
)

// v3Stream and stream follow a topic: as Server-Sent Events, or NDJSON if the client accepts that, or by WebSocket if it asks for one.
func (s *Server) v3Stream(w http.ResponseWriter, r inCluster) error {
	return s.streamTo(w, r.Request, r.PathValue("topic_name"))
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	return s.streamTo(w, r, r.PathValue("topic"))
}

func (s *Server) streamTo(w http.ResponseWriter, r *http.Request, topic string) error {
	if err := checkTopicName(topic); err != nil {
		return translateUnknown()
	}
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	contentType, ok := gate.Acceptable(r, []string{typeSSE, typeNDJSON, "application/ndjson", typeJSON})
	if !ok && !upgrade {
		return gate.Errorf(http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
	}
	wish, err := s.readWish(r, topic)
	if err != nil {
		return err
	}
	reader, err := s.hub.Open(r.Context(), wish.Request)
	if err != nil {
		return err
	}
	defer reader.Close()
	kind := "ndjson"
	switch {
	case upgrade:
		kind = "websocket"
	case contentType == typeSSE:
		kind = "sse"
	}
	defer s.metrics.opened(kind)()
	if upgrade {
		return s.streamWebSocket(w, r, wish, func(ctx context.Context, to sink) error { return s.follow(ctx, wish, reader, to) })
	}
	out := &lines{w: w, control: http.NewResponseController(w), timeout: s.o.Limits.WriteTimeout, events: contentType == typeSSE}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that gather would make a stream of bursts
	w.WriteHeader(http.StatusOK)
	if out.events {
		out.buf = append(out.buf, "retry: 1000\n\n"...)
	}
	if out.flush() != nil {
		return nil
	}
	return s.follow(r.Context(), wish, reader, out)
}

// lines is the sink of Server-Sent Events and of NDJSON.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	events  bool
	buf     []byte
}

func (l *lines) record(text []byte, at *positions) error {
	if l.events {
		l.buf = append(l.buf, "id: "...)
		l.buf = at.append(l.buf)
		l.buf = append(l.buf, "\ndata: "...)
	}
	l.buf = append(l.buf, text...)
	l.buf = append(l.buf, '\n')
	if l.events {
		l.buf = append(l.buf, '\n')
	}
	if len(l.buf) >= flushBytes {
		return l.flush()
	}
	return nil
}

func (l *lines) quiet(at *positions, moved bool) error {
	switch {
	case l.events && moved:
		l.buf = append(l.buf, "id: "...)
		l.buf = at.append(l.buf)
		l.buf = append(l.buf, "\n\n"...)
	case l.events:
		l.buf = append(l.buf, ": heartbeat\n\n"...)
	default:
		l.buf = append(l.buf, '\n')
	}
	return l.flush()
}

// flush writes what was gathered. A reader that takes nothing for the time-out is cut off.
func (l *lines) flush() error {
	if len(l.buf) > 0 {
		_ = l.control.SetWriteDeadline(time.Now().Add(l.timeout)) // a recorder in a test has none
		if _, err := l.w.Write(l.buf); err != nil {
			return err
		}
	}
	if l.buf = l.buf[:0]; cap(l.buf) > 2*flushBytes {
		l.buf = nil
	}
	return l.control.Flush()
}

func (l *lines) fail(e *gate.Error) {
	text, err := json.Marshal(gate.ErrorBody{Code: codeOf(e), Message: e.Message})
	if err != nil {
		return
	}
	if l.events {
		l.buf = append(l.buf, "event: error\ndata: "...)
	}
	l.buf = append(append(l.buf, text...), "\n\n"...)
	_ = l.flush() // it ends either way
}

func codeOf(e *gate.Error) int {
	if e.Code == 0 {
		return e.Status
	}
	return e.Code
}

// streamWebSocket sends each record as a text message.
func (s *Server) streamWebSocket(w http.ResponseWriter, r *http.Request, _ *wish, follow func(context.Context, sink) error) error {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gate has looked whose page it is
	if err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			return gate.Errorf(http.StatusUpgradeRequired, "WebSockets need HTTP/1.1")
		}
		return nil //nolint:nilerr // the library has answered
	}
	defer conn.CloseNow() //nolint:errcheck // the connection has ended, or is ended here
	conn.SetReadLimit(maxSocketMessage)
	ctx := conn.CloseRead(r.Context())
	to := &socket{conn: conn, ctx: ctx, timeout: s.o.Limits.WriteTimeout}
	if err := follow(ctx, to); err == nil {
		conn.Close(websocket.StatusNormalClosure, "") //nolint:errcheck // likewise
	}
	return nil
}

// maxSocketMessage bounds what a reader may send; it has nothing to say.
const maxSocketMessage = 1 << 10

// socket is the sink of a WebSocket.
type socket struct {
	conn    *websocket.Conn
	ctx     context.Context //nolint:containedctx // one request
	timeout time.Duration
}

func (s *socket) record(text []byte, _ *positions) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

func (s *socket) quiet(*positions, bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	return s.conn.Ping(ctx)
}

func (s *socket) flush() error { return nil }

func (s *socket) fail(e *gate.Error) {
	text, err := json.Marshal(gate.ErrorBody{Code: codeOf(e), Message: e.Message})
	if err != nil {
		return
	}
	if s.record(text, nil) == nil {
		s.conn.Close(websocket.StatusTryAgainLater, "") //nolint:errcheck // it ends either way
	}
}
