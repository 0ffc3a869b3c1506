package gate

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// errTooLarge is for a body that is too large once it is unpacked.
func errTooLarge(limit int64) error { return &http.MaxBytesError{Limit: limit} }

// openBody puts a bound on what a handler can read, and unpacks gzip. What it expands to is bounded alike, as it is read.
func openBody(w http.ResponseWriter, r *http.Request, limit int64) error {
	if r.ContentLength > limit {
		return errTooLarge(limit)
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		r.Body = &unpacked{packed: r.Body, left: limit, limit: limit}
		r.ContentLength = -1
		r.Header.Del("Content-Encoding")
	default:
		return Errorf(http.StatusUnsupportedMediaType, "Content-Encoding %q is not understood: send gzip, or leave it out", encoding)
	}
	return nil
}

// unpacked reads what a gzip stream expands to, up to a limit.
type unpacked struct {
	packed io.ReadCloser
	zip    *gzip.Reader
	left   int64
	limit  int64
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.zip == nil {
		zip, err := gzip.NewReader(u.packed)
		if err != nil {
			return 0, gzipError(err)
		}
		u.zip = zip
	}
	n, err := u.zip.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, errTooLarge(u.limit)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader's end is io.EOF itself
		err = gzipError(err)
	}
	return n, err
}

func gzipError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return Errorf(http.StatusBadRequest, "The body is not what Content-Encoding: gzip says")
	}
	return fmt.Errorf("unpack the body: %w", err)
}

func (u *unpacked) Close() error { return u.packed.Close() }

// ReadJSON reads the whole body into v. Fields that v does not have are passed over, as clients of other versions send them. An
// empty body is an error unless empty is allowed, which leaves v as it is.
func ReadJSON(r *http.Request, v any, emptyAllowed bool) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		if emptyAllowed {
			return nil
		}
		return Errorf(http.StatusUnprocessableEntity, "The request has no body")
	}
	if err := json.Unmarshal(b, v); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Errorf(http.StatusBadRequest, "The body has a %s at %s, where a %s belongs", wrong.Value, wrong.Field, wrong.Type)
		}
		return Errorf(http.StatusBadRequest, "The body is not JSON: %v", err)
	}
	return nil
}

// WriteJSON answers with v. The content type is the one that the request's Accept header likes best of types, the first if it does
// not say; see Acceptable.
func WriteJSON(w http.ResponseWriter, r *http.Request, types []string, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	contentType, ok := Acceptable(r, types)
	if !ok {
		contentType = types[0]
	}
	w.Header().Set("Content-Type", contentType)
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone
	return nil
}

// Acceptable returns the one of types that the Accept header prefers: by quality, then in the order of types. ok is false if it
// accepts none of them. A header that cannot be read accepts everything.
func Acceptable(r *http.Request, types []string) (best string, ok bool) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return types[0], true
	}
	bestQuality := 0.0
	for _, t := range types {
		if q := qualityOf(header, t); q > bestQuality {
			best, bestQuality = t, q
		}
	}
	return best, bestQuality > 0
}

// qualityOf is how much a header wants a type: that of the most specific range that matches.
func qualityOf(header, want string) float64 {
	quality, specific := 0.0, -1
	for part := range strings.SplitSeq(header, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			if strings.TrimSpace(part) == "" {
				continue
			}
			name, params = "*/*", nil
		}
		rank := 2
		switch major, minor, _ := strings.Cut(name, "/"); {
		case name == want:
		case minor == "*" && strings.HasPrefix(want, major+"/"):
			rank = 1
		case name == "*/*", name == "*":
			rank = 0
		default:
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				q = 1
			}
		}
		if rank > specific {
			quality, specific = q, rank
		}
	}
	return quality
}

// acceptsBody says whether the content type of a request is one of types. None, and plain bytes, are taken for the first of them.
func acceptsBody(r *http.Request, types []string) bool {
	header := r.Header.Get("Content-Type")
	if header == "" || len(types) == 0 {
		return true
	}
	name, _, err := mime.ParseMediaType(header)
	if err != nil {
		return false
	}
	return slices.Contains(types, "*/*") || slices.Contains(types, name) || name == "application/octet-stream" ||
		slices.Contains(types, AnyJSON) && strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json")
}

// AnyJSON among the types that a route accepts stands for every application/…+json.
const AnyJSON = "application/*+json"
