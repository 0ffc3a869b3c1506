package fieldcrypt

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Types of KMS, as Confluent's clients name them.
const (
	TypeLocal = "local-kms"
	TypeVault = "hcvault"
	TypeAWS   = "aws-kms"
)

// alternateKeyIDs is the property of a KEK with further key ids, separated by commas.
const alternateKeyIDs = "encrypt.alternate.kms.key.ids"

// maxAlternates bounds how many keys are tried for one DEK.
const maxAlternates = 8

// Wrap wraps material by the KEK, or by the first of its alternates that can.
func (m KMSes) Wrap(ctx context.Context, k KEK, material []byte) ([]byte, error) {
	return m.each(k, func(s KMS, keyID string) ([]byte, error) { return s.Wrap(ctx, k, keyID, material) })
}

// Unwrap is the inverse of Wrap.
func (m KMSes) Unwrap(ctx context.Context, k KEK, wrapped []byte) ([]byte, error) {
	return m.each(k, func(s KMS, keyID string) ([]byte, error) { return s.Unwrap(ctx, k, keyID, wrapped) })
}

func (m KMSes) each(k KEK, try func(s KMS, keyID string) ([]byte, error)) ([]byte, error) {
	s, ok := m[k.KMSType]
	if !ok {
		return nil, fmt.Errorf("key encryption key %s is in a %s, for which nothing is configured", k.Name, k.KMSType)
	}
	ids := []string{k.KMSKeyID}
	for id := range strings.SplitSeq(k.Props[alternateKeyIDs], ",") {
		if id = strings.TrimSpace(id); id != "" && !slices.Contains(ids, id) && len(ids) <= maxAlternates {
			ids = append(ids, id)
		}
	}
	var errs error
	for _, id := range ids {
		out, err := try(s, id)
		if err == nil {
			return out, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, fmt.Errorf("key encryption key %s: %w", k.Name, errs)
}

// Local is the KMS whose only key is derived from a secret text: for development, and for those who guard one file. The secret is
// the whole protection, and it cannot be changed without rewrapping. All key ids name the same key.
type Local struct{ cipher *Cipher }

// NewLocal derives the key: HKDF with SHA-256, no salt, no info, 16 bytes for AES-GCM. The text must not be empty.
func NewLocal(text secret.Text) (*Local, error) {
	if text.IsEmpty() {
		return nil, errors.New("local-kms: the secret is empty")
	}
	key, err := hkdf.Key(sha256.New, []byte(text.Reveal()), nil, "", 16)
	if err != nil {
		return nil, fmt.Errorf("local-kms: derive the key: %w", err)
	}
	c, err := gcmCipher(key)
	if err != nil {
		return nil, fmt.Errorf("local-kms: %w", err)
	}
	return &Local{cipher: c}, nil
}

// maxSecretBytes bounds the file with a secret.
const maxSecretBytes = 64 << 10

// OpenLocal is NewLocal with the secret in a file; white space around it does not count.
func OpenLocal(path string) (*Local, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("local-kms: %w", err)
	}
	if st.Size() > maxSecretBytes {
		return nil, fmt.Errorf("local-kms: %s has %d bytes, more than %d: not a secret", path, st.Size(), maxSecretBytes)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("local-kms: %w", err)
	}
	return NewLocal(secret.New(strings.TrimSpace(string(b))))
}

// Wrap implements KMS.
func (l *Local) Wrap(_ context.Context, _ KEK, _ string, material []byte) ([]byte, error) {
	return l.cipher.Seal(material)
}

// Unwrap implements KMS.
func (l *Local) Unwrap(_ context.Context, _ KEK, _ string, wrapped []byte) ([]byte, error) {
	out, err := l.cipher.Open(wrapped)
	if err != nil {
		return nil, fmt.Errorf("local-kms: wrapped by another secret: %w", err)
	}
	return out, nil
}
