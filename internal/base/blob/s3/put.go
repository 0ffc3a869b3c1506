package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/weir-stream/weir/internal/base/blob"
)

const (
	nonceHeader = "X-Amz-Meta-Weir-Nonce"
	nonceBytes  = 16

	ifNoneMatch = "If-None-Match"
	ifMatch     = "If-Match"
)

func newNonce() string {
	var b [nonceBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// PutIfAbsent implements blob.Store.
func (s *Store) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	return s.put(ctx, key, body, newNonce(), s.checksum(body))
}

// PutSummed implements blob.Summed.
func (s *Store) PutSummed(ctx context.Context, key string, body []byte, crc uint32) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	sum := ""
	if s.crc.Load() {
		sum = crcText(crc)
	}
	return s.put(ctx, key, body, newNonce(), sum)
}

// put is PutIfAbsent of a key that has been checked. crc is what checksum returns for body.
func (s *Store) put(ctx context.Context, key string, body []byte, nonce, crc string) error {
	unsure := false // an earlier try may have made the object
	err := s.retry(ctx, opPut, func() error {
		_, err := s.exchange(ctx, request{
			op: opPut, method: http.MethodPut, key: key, body: body, crc: crc,
			header: map[string]string{ifNoneMatch: "*", nonceHeader: nonce},
		})
		if hasStatus(err, http.StatusPreconditionFailed) {
			return s.whose(ctx, key, nonce, body, unsure)
		}
		unsure = unsure || err != nil && maybeDone(err)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// errUnknown says that a write was refused and that it is not known whether by its own earlier try.
var errUnknown = errors.New("key is taken, perhaps by this write")

// whose is asked after a refusal because the key is taken. It returns nil if the object there is that of nonce, and
// blob.ErrExists if it is another's. Without a nonce there body decides, if unsure.
//
// The metadata is looked at also if this write has had no failed try: what lies between may have repeated it.
func (s *Store) whose(ctx context.Context, key, nonce string, body []byte, unsure bool) error {
	found, err := s.nonceOf(ctx, key)
	switch {
	case err == nil && found == nonce:
		return nil
	case err == nil && found != "", !unsure:
		return blob.ErrExists
	case errors.Is(err, blob.ErrNotFound):
		return fmt.Errorf("%w: and it is gone", errUnknown)
	case err != nil:
		return err
	case body == nil:
		return fmt.Errorf("%w: the store keeps no metadata", errUnknown)
	}
	same, err := s.holds(ctx, key, body)
	if err != nil {
		return err
	}
	if !same {
		return blob.ErrExists
	}
	return nil
}

// nonceOf returns the nonce in the metadata of an object, empty if there is none.
func (s *Store) nonceOf(ctx context.Context, key string) (string, error) {
	var nonce string
	err := s.retry(ctx, opHead, func() error {
		r, err := s.exchange(ctx, request{op: opHead, method: http.MethodHead, key: key})
		if err == nil {
			nonce = r.header.Get(nonceHeader)
		}
		return err
	})
	return nonce, absent(err)
}

// holds reports whether the object at key has exactly this body.
func (s *Store) holds(ctx context.Context, key string, body []byte) (bool, error) {
	same := false
	err := s.retry(ctx, opGet, func() error {
		a, err := s.send(ctx, &request{op: opGet, method: http.MethodGet, key: key, bytes: int64(len(body))})
		if err != nil {
			return err
		}
		defer func() { _ = a.body.Close() }()
		if a.length >= 0 && a.length != int64(len(body)) {
			same = false
			return nil
		}
		same, err = equalTo(a.body, body)
		return err
	})
	return same, absent(err)
}

// equalTo reports whether r gives exactly want. It reads no more than one byte beyond.
func equalTo(r io.Reader, want []byte) (bool, error) {
	piece := make([]byte, 32<<10)
	for {
		n, err := r.Read(piece)
		if n > len(want) || !bytes.Equal(piece[:n], want[:n]) {
			return false, nil
		}
		want = want[n:]
		if errors.Is(err, io.EOF) {
			return len(want) == 0, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// Put implements blob.Store. A try that was given up may still arrive after later calls have returned, so a key that is put
// more than once needs one writer that makes sure of what is there.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	crc := s.checksum(body)
	err := s.retry(ctx, opPut, func() error {
		_, err := s.exchange(ctx, request{op: opPut, method: http.MethodPut, key: key, body: body, crc: crc})
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}
