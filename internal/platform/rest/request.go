package rest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/platform/gate"
)

func errNoPath() error { return gate.Errorf(http.StatusNotFound, "HTTP 404 Not Found") }

// checkTopicName refuses a name that no topic can have, before a client waits for it.
func checkTopicName(name string) error {
	if err := kafka.ValidateTopicName(name); err != nil {
		return errTopicNotFound()
	}
	return nil
}

// int64Query reads a parameter that is a number.
func int64Query(r *http.Request, name string, def int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errNoPath() // as Confluent's framework does
	}
	return n, nil
}

// instanceID makes a name that no other instance has.
func instanceID(now time.Time) string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails
	return strconv.FormatInt(now.UnixMilli(), 36) + "-" + hex.EncodeToString(b[:])
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

type requestKey struct{}

// withRequest puts a request into its own context, for RequestOf.
func withRequest(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, r))
}

// RequestOf returns the request that a context belongs to, nil outside of one. A service in the same process is asked with what it shows of
// its caller.
func RequestOf(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}
