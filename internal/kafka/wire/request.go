package wire

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RequestHeader stands before every request.
type RequestHeader struct {
	Key           int16
	Version       int16
	CorrelationID int32 // chosen by the client, returned in the response
	ClientID      string
	HasClientID   bool // false: the client sent null
}

// MaxClientIDBytes is the longest client id, by the width of its length.
const MaxClientIDBytes = 1<<15 - 1

// ParseRequestHeader splits a frame's bytes (without the size) into header and body, which points into b. Key and
// version decide the form of the header; a key that is not known is taken to have the older one, so that the caller can
// name it. It fails with ErrMalformed.
func ParseRequestHeader(b []byte) (h RequestHeader, body []byte, err error) {
	if len(b) < 8 {
		return h, nil, fmt.Errorf("header in %d bytes: %w", len(b), ErrMalformed)
	}
	h.Key = int16(binary.BigEndian.Uint16(b))
	h.Version = int16(binary.BigEndian.Uint16(b[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(b[4:]))
	w := walker{rest: b[8:]}
	// The client id has a plain length in both forms of the header.
	n := w.length(2)
	if n >= 0 && n <= int64(len(w.rest)) {
		h.ClientID, h.HasClientID = string(w.rest[:n]), true
	}
	if n >= 0 {
		w.skip(n)
	}
	if FlexibleRequest(h.Key, h.Version) {
		w.flexible = true
		w.tags(nil)
	}
	if w.bad {
		return h, nil, fmt.Errorf("header of request %d version %d: %w", h.Key, h.Version, ErrMalformed)
	}
	return h, w.rest, nil
}

// FlexibleRequest tells whether a request of this key and version has compact lengths and tags (KIP-482); false for
// keys that are not known.
func FlexibleRequest(key, version int16) bool {
	return key >= 0 && int(key) < len(requestShapes) && version >= requestShapes[key].firstFlexible
}

// RequestName returns the name of an API key, or "Unknown(n)".
func RequestName(key int16) string {
	if key >= 0 && int(key) < len(requestShapes) && requestShapes[key].name != "" {
		return requestShapes[key].name
	}
	return fmt.Sprintf("Unknown(%d)", key)
}

// Limits of decoding. No real request comes near them.
const (
	// MaxControlRequestBytes bounds the body of every request but Produce.
	MaxControlRequestBytes = 16 << 20
	// MaxDecodedBytes bounds the memory of one decoded request, without the frame into which it points.
	MaxDecodedBytes = 64 << 20
)

// DecodeRequest decodes body as the request that h announces. Byte slices of the result point into body, strings are
// copies. Bytes after the request are ignored. It fails with ErrUnknownRequest, ErrMalformed or ErrRequestTooLarge, and
// takes no memory in proportion to anything but the bytes that are really there. Many calls at once are bounded by
// a Decoder.
func DecodeRequest(h RequestHeader, body []byte) (kmsg.Request, error) {
	if _, err := admit(h, body); err != nil {
		return nil, err
	}
	return decode(h, body)
}

// admit checks the limits and returns the memory that decoding will take.
func admit(h RequestHeader, body []byte) (int64, error) {
	if h.Key < 0 || int(h.Key) >= len(requestShapes) || h.Version < 0 || h.Version > requestShapes[h.Key].newest {
		return 0, fmt.Errorf("%s version %d: %w", RequestName(h.Key), h.Version, ErrUnknownRequest)
	}
	if h.Key != produceKey && len(body) > MaxControlRequestBytes {
		return 0, fmt.Errorf("%s of %d bytes: %w", RequestName(h.Key), len(body), ErrRequestTooLarge)
	}
	memory, err := MeasureRequest(h.Key, h.Version, body)
	if err != nil {
		return 0, fmt.Errorf("%s version %d: %w", RequestName(h.Key), h.Version, err)
	}
	if memory > MaxDecodedBytes {
		return 0, fmt.Errorf("%s takes %d bytes of memory: %w", RequestName(h.Key), memory, ErrRequestTooLarge)
	}
	return memory, nil
}

const produceKey = 0

func decode(h RequestHeader, body []byte) (req kmsg.Request, err error) {
	req = kmsg.RequestForKey(h.Key)
	// The walk before leaves nothing to panic about; a peer's bytes must not end the process if it missed a case.
	defer func() {
		if p := recover(); p != nil {
			req, err = nil, fmt.Errorf("%s version %d: decoding panicked (%v): %w", RequestName(h.Key), h.Version, p, ErrMalformed)
		}
	}()
	req.SetVersion(h.Version)
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s version %d: %s: %w", RequestName(h.Key), h.Version, err.Error(), ErrMalformed)
	}
	return req, nil
}

// Decoder bounds the memory of all decoded requests of a process by a Budget.
type Decoder struct{ budget *Budget }

// NewDecoder returns a decoder that draws on budget, which should be at least MaxDecodedBytes.
func NewDecoder(budget *Budget) *Decoder { return &Decoder{budget: budget} }

// Charge is a part of a budget; it is given back by Release, once. The zero value is nothing.
type Charge struct {
	budget *Budget
	bytes  int64
}

// Release gives the charge back.
func (c Charge) Release() {
	if c.budget != nil {
		c.budget.Release(c.bytes)
	}
}

// Decode is DecodeRequest, after waiting for room in the budget. The charge is to be released when the request is not
// used any more. It also fails with ctx's error.
func (d *Decoder) Decode(ctx context.Context, h RequestHeader, body []byte) (kmsg.Request, Charge, error) {
	memory, err := admit(h, body)
	if err != nil {
		return nil, Charge{}, err
	}
	if err := d.budget.Acquire(ctx, memory); err != nil {
		return nil, Charge{}, err
	}
	charge := Charge{d.budget, memory}
	req, err := decode(h, body)
	if err != nil {
		charge.Release()
		return nil, Charge{}, err
	}
	return req, charge, nil
}
