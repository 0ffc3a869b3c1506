package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/crc32c"
)

// A body travels with a checksum that the service looks at before it keeps the body. That is the SHA-256 which the signature holds, or, where
// the service was seen to refuse a wrong one, a CRC-32C in a header beside a signature that leaves the body out: SHA-256 costs either side
// 0.7 s of a core for a GB, and the CRC-64 that services make of a body which comes without a checksum as much again. The signature over the
// body is also what keeps it from being changed on purpose on its way, so it stays where the way is not encrypted and leaves the machine.
const (
	crcHeader       = "X-Amz-Checksum-Crc32c"
	algorithmHeader = "X-Amz-Checksum-Algorithm"
	algorithmCRC    = "CRC32C"
	unsigned        = "UNSIGNED-PAYLOAD"
)

// crcOf is the CRC-32C of a body as the header has it.
func crcOf(body []byte) string { return crcText(crc32c.Sum(body)) }

func crcText(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// checksum is what body travels with: its CRC-32C, or nothing if the hash in the signature is enough.
func (s *Store) checksum(body []byte) string {
	if !s.crc.Load() {
		return ""
	}
	return crcOf(body)
}

// private says that nobody can change what is sent to u on its way.
func private(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Names of the check of checksums in a Report, by what it found.
const (
	checkedByCRC    = "bodies are checked: CRC-32C"
	checkedBySHA256 = "bodies are checked: SHA-256"
)

// chooseChecksum makes the store send CRC-32Cs from now on if the service checks them, and says what bodies are checked by. A service that
// does not, or a request that fails, is no reason to refuse it.
func (p *probe) chooseChecksum(ctx context.Context, s *Store) string {
	if !s.private {
		return checkedBySHA256
	}
	if err := errors.Join(p.checksOfPut(ctx, s), p.checksOfParts(ctx, s)); err != nil {
		s.o.Log.Debug("the object store does not check a CRC-32C, bodies are signed", "err", err)
		return checkedBySHA256
	}
	s.crc.Store(true)
	return checkedByCRC
}

// checksOfPut puts an object under a wrong and under the right checksum.
func (p *probe) checksOfPut(ctx context.Context, s *Store) error {
	key := p.key("checksum")
	put := func(crc string) error {
		_, err := s.exchange(ctx, request{op: opPut, method: http.MethodPut, key: key, body: p.body, crc: crc, header: map[string]string{ifNoneMatch: "*"}})
		return err
	}
	if err := put(crcOf(p.body[1:])); !hasStatus(err, http.StatusBadRequest) {
		return fmt.Errorf("put with a wrong checksum: got %w, want status 400", orNil(err))
	}
	if _, err := s.Open(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("after a put with a wrong checksum: got %w, want %w", orNil(err), blob.ErrNotFound)
	}
	if err := put(crcOf(p.body)); err != nil {
		return err
	}
	return p.holds(ctx, key, p.body)
}

// checksOfParts does the same with an upload in parts.
func (p *probe) checksOfParts(ctx context.Context, s *Store) error {
	key := p.key("checksum-parts")
	w, err := s.create(ctx, key, false)
	if err != nil {
		return err
	}
	defer func() { _ = w.Abort() }() //nolint:contextcheck // No effect after Commit, and the clean-up has a time limit of its own.
	w.crc = true
	if err := w.initiate(); err != nil {
		return err
	}
	if _, err := w.uploadOnce(1, p.body, crcOf(p.body[1:])); !hasStatus(err, http.StatusBadRequest) {
		return fmt.Errorf("part with a wrong checksum: got %w, want status 400", orNil(err))
	}
	if _, err := w.Write(bytes.Clone(p.body)); err != nil {
		return err
	}
	if err := w.Commit(ctx); err != nil {
		return err
	}
	return p.holds(ctx, key, p.body)
}
