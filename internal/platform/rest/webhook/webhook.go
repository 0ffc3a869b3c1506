// Package webhook checks that a request really comes from the service that shares a secret with us: by the HMAC that it puts into a
// header. It knows three kinds:
//
//	github   X-Hub-Signature-256: sha256=HEX                      of the body
//	stripe   Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]          of "SECONDS.body", not older or newer than the tolerance
//	generic  X-Signature-256 (or another header): [sha256=]HEX    of the body; base64 is understood too
//
// Signatures are compared in constant time, and an error never says more than that the signature is wrong. Replays within
// Stripe's tolerance, and all of the others, are let through: what they bring is for the reader of the topic to tell apart, by the
// delivery's id, which becomes a header of the record. The package is pure.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Kind is how requests are signed.
type Kind string

// The kinds.
const (
	GitHub  Kind = "github"
	Stripe  Kind = "stripe"
	Generic Kind = "generic"
)

// Kinds lists all of them.
func Kinds() []string { return []string{string(GitHub), string(Stripe), string(Generic)} }

// ErrSignature is for a request without the right signature.
var ErrSignature = errors.New("the signature is missing or wrong")

// Check says how to check the requests of one sender.
type Check struct {
	Kind   Kind
	Secret secret.Text
	// Header replaces the generic kind's header, X-Signature-256.
	Header string
	// Tolerance is how far Stripe's time may be from ours; 0: 5 min.
	Tolerance time.Duration
}

const (
	defaultTolerance = 5 * time.Minute
	maxHeaderBytes   = 4 << 10
	maxSignatures    = 16
)

// Verify returns nil for a request with these headers and this body that was signed by the secret's owner, else ErrSignature.
func (c Check) Verify(h http.Header, body []byte, now time.Time) error {
	if c.Secret.Reveal() == "" {
		return fmt.Errorf("no secret is set: %w", ErrSignature)
	}
	name := c.headerName()
	text := h.Get(name)
	if text == "" || len(text) > maxHeaderBytes {
		return fmt.Errorf("header %s: %w", name, ErrSignature)
	}
	if c.Kind == Stripe {
		return c.verifyStripe(text, body, now)
	}
	encoded, prefixed := strings.CutPrefix(strings.TrimSpace(text), "sha256=")
	if c.Kind == GitHub && !prefixed {
		return fmt.Errorf("header %s: %w", name, ErrSignature)
	}
	if !hmac.Equal(decode(encoded), c.sum(body)) {
		return fmt.Errorf("header %s: %w", name, ErrSignature)
	}
	return nil
}

func (c Check) headerName() string {
	switch {
	case c.Kind == GitHub:
		return "X-Hub-Signature-256"
	case c.Kind == Stripe:
		return "Stripe-Signature"
	case c.Header != "":
		return c.Header
	}
	return "X-Signature-256"
}

func (c Check) verifyStripe(text string, body []byte, now time.Time) error {
	var at string
	var signatures []string
	for part := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case k == "t":
			at = v
		case k == "v1" && len(signatures) < maxSignatures:
			signatures = append(signatures, v)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("header Stripe-Signature: %w", ErrSignature)
	}
	tolerance := c.Tolerance
	if tolerance <= 0 {
		tolerance = defaultTolerance
	}
	signed := make([]byte, 0, len(at)+1+len(body))
	signed = append(append(append(signed, at...), '.'), body...)
	want, ok := c.sum(signed), false
	for _, s := range signatures {
		ok = hmac.Equal(decode(s), want) || ok
	}
	if apart := now.Unix() - seconds; !ok || apart > int64(tolerance/time.Second) || apart < -int64(tolerance/time.Second) {
		return fmt.Errorf("header Stripe-Signature: %w", ErrSignature)
	}
	return nil
}

func (c Check) sum(b []byte) []byte {
	m := hmac.New(sha256.New, []byte(c.Secret.Reveal()))
	m.Write(b)
	return m.Sum(nil)
}

// decode reads a signature in hexadecimal digits or base64; nil if it is neither.
func decode(s string) []byte {
	if b, err := hex.DecodeString(s); err == nil {
		return b
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b
	}
	return nil
}
