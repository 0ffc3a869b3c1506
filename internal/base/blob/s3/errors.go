package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// ErrReplaced is returned by a Reader whose object was replaced after it was opened.
var ErrReplaced = errors.New("object was replaced since it was opened")

// ErrNoKeys is in the error of a request for which there were no keys to sign it with.
var ErrNoKeys = errors.New("no keys for the object store (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a credentials_file)")

// errAnswer marks an answer that does not hold what the protocol says; another try may bring a better one.
var errAnswer = errors.New("unfit answer of the object store")

// errSlow is the cause of the end of a try that took too long.
var errSlow = errors.New("no answer in time")

// Error is a refusal by the service.
type Error struct {
	Status    int    // of HTTP
	Code      string // of S3, "SlowDown" for one; empty if the answer had no body
	Message   string
	RequestID string

	newKeys bool          // the keys that it refuses have been replaced since
	after   time.Duration // which it wants to pass before another try
}

// forKeys reports whether a refusal may be for the keys. An answer to HEAD has no body that could say so.
func (e *Error) forKeys(method string) bool {
	switch e.Code {
	case "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired":
		return true
	case "":
		return method == http.MethodHead && e.Status == http.StatusForbidden
	}
	return false
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d", e.Status)
	for _, s := range []string{e.Code, e.Message} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// IsRefusal reports whether the service does not let the caller in: it does not know the keys, finds the signature or its time wrong, has
// no such bucket, or does not allow what was asked.
func IsRefusal(err error) bool {
	if errors.Is(err, ErrNoKeys) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Code == "NoSuchBucket" || e.Code == "XAdminUserNotFound")
}

// IsAway reports whether no answer came: nobody listens, the name is not known, or what answers speaks something else.
func IsAway(err error) bool {
	_, ok := errors.AsType[*sendError](err)
	return ok && !errors.Is(err, ErrNoKeys)
}

// sendError is a try that brought no answer, or no whole one.
type sendError struct {
	err  error
	sent bool // the service may have got the request, and done it
}

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

const (
	maxErrorBytes = 64 << 10 // of the body of a refusal
	maxTextBytes  = 500      // of each text taken from it
)

// refusal makes an Error of an answer and the begin of its body.
func refusal(status int, header http.Header, body []byte) *Error {
	var parsed struct {
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}
	e := &Error{Status: status, RequestID: header.Get("X-Amz-Request-Id")}
	if seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31); err == nil { // else there is none, or a date, which nobody sends
		e.after = time.Duration(seconds) * time.Second
	}
	if err := xml.Unmarshal(body, &parsed); err == nil { // else it is some proxy's page, which tells nothing
		e.Code, e.Message = clip(parsed.Code), clip(parsed.Message)
		if e.RequestID == "" {
			e.RequestID = parsed.RequestID
		}
	}
	e.RequestID = clip(e.RequestID)
	if region := header.Get("X-Amz-Bucket-Region"); region != "" && status >= 300 && status < 500 && status != http.StatusNotFound {
		e.Message = strings.TrimSpace(e.Message + "; the bucket is in region " + clip(region))
	}
	return e
}

// clip makes a peer's text fit for an error: of bounded length and without control characters.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s[:min(len(s), maxTextBytes)])
	return strings.ToValidUTF8(s, "?")
}

// isErrorBody reports whether a body that came with status 200 is a refusal all the same, as CompleteMultipartUpload may
// answer.
func isErrorBody(body []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local == "Error"
		}
	}
}

// passing reports whether the same request may be answered better a moment later.
func passing(err error) bool {
	if errors.Is(err, errAnswer) {
		return true
	}
	if _, ok := errors.AsType[*sendError](err); ok {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	if e.newKeys {
		return true
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	case http.StatusTemporaryRedirect: // the bucket's name leads elsewhere for now; a signature holds for the one it was made for
		return true
	case http.StatusNotImplemented:
		return false
	}
	switch e.Code {
	case "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody", "ExpiredToken", "SlowDown", "Throttling":
		return true
	}
	return e.Status >= 500
}

// maybeDone reports whether a write that ended with err may have happened. A conflict (409) is the service's word that it
// did not.
func maybeDone(err error) bool {
	if s, ok := errors.AsType[*sendError](err); ok {
		return s.sent
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests
	}
	return errors.Is(err, errAnswer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func hasStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

// absent turns the answer "no such key" into blob.ErrNotFound. A bucket that does not exist has the same status and is
// something else.
func absent(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Code != "NoSuchBucket" {
		return blob.ErrNotFound
	}
	return err
}
