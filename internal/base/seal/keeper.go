package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// fileKeeper wraps by a key that lies in a file.
type fileKeeper struct{ aead cipher.AEAD }

// maxKeyFileBytes is the most that a key file may hold: 32 bytes in hexadecimal, and room for line ends.
const maxKeyFileBytes = 256

// OpenKeyFile returns a keeper whose key is in a file: 32 bytes, raw, in base64 or in hexadecimal.
func OpenKeyFile(path string) (Keeper, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	if info.Size() > maxKeyFileBytes {
		return nil, fmt.Errorf("encryption key file %s holds %d bytes; it must hold 32 bytes, raw, in base64 or in hexadecimal", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	key := decodeKey(b)
	if key == nil {
		return nil, fmt.Errorf("encryption key file %s does not hold 32 bytes, raw, in base64 or in hexadecimal: make one by 'openssl rand -base64 32'", path)
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return fileKeeper{aead}, nil
}

// decodeKey returns the 32 bytes that b stands for, or nil.
func decodeKey(b []byte) []byte {
	if len(b) == keyBytes {
		return b
	}
	text := strings.TrimSpace(string(b))
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.URLEncoding.DecodeString} {
		if key, err := decode(text); err == nil && len(key) == keyBytes {
			return key
		}
	}
	return nil
}

// wrappedMark begins what a fileKeeper wrapped.
var wrappedMark = []byte("weir1")

func (k fileKeeper) Encrypt(_ context.Context, plain []byte) ([]byte, error) {
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce) //nolint:errcheck // crypto/rand.Read never fails
	return k.aead.Seal(append(bytes.Clone(wrappedMark), nonce...), nonce, plain, wrappedMark), nil
}

func (k fileKeeper) Decrypt(_ context.Context, wrapped []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(wrapped, wrappedMark)
	if !ok || len(rest) < k.aead.NonceSize() {
		return nil, fmt.Errorf("it was wrapped by a key of another kind: %w", ErrKey)
	}
	n := k.aead.NonceSize()
	plain, err := k.aead.Open(nil, rest[:n], rest[n:], wrappedMark)
	if err != nil {
		return nil, ErrKey
	}
	return plain, nil
}
