// Package fieldcrypt encrypts fields and payloads as the rules ENCRYPT and ENCRYPT_PAYLOAD of a schema demand, so that any
// of Confluent's clients reads what it wrote and the other way round.
//
// Two kinds of keys take part. A data encryption key (DEK) encrypts values of one subject; it is kept in the registry, wrapped
// by a key encryption key (KEK). Of a KEK the registry knows the name and where it is: the key itself never leaves its key
// management service (KMS), which wraps and unwraps. If a KEK is shared, the registry may use the KMS too, and hands out DEKs
// unwrapped; else only clients that the KMS obeys can read. Whoever deletes a KEK makes unreadable whatever was
// written under it, in every copy there is.
//
//	value ──▶ DEK (AES-GCM or AES-SIV) ──▶ iv ∥ ciphertext ∥ tag ──▶ base64 in a string field, as it is in a bytes field
//	            │ wrapped by the KEK in its KMS
//	            └▶ registry: (KEK, subject, algorithm, version) → wrapped key
//
// Where keys are rotated (encrypt.dek.expiry.days), the ciphertext has in front a zero byte and the version of its DEK in four
// bytes, big-endian. Key material is the serialized key message of Tink: AesGcmKey or AesSivKey.
//
// Keys are kept in memory for Options.KeyTTL: so long a reader may go on after a KEK was deleted. Nothing here logs, and no error
// holds a key or a plain value. Everything is safe for concurrent use.
package fieldcrypt

import (
	"context"
	"errors"
	"time"
)

// The errors of a Registry that an Executor acts on.
var (
	ErrNotFound = errors.New("key not found")
	ErrExists   = errors.New("key already exists")
)

// ErrDecrypt is wrapped when a value does not open under its key: it is not encrypted, was changed, or belongs to another key.
var ErrDecrypt = errors.New("cannot be decrypted")

// ErrDenied is wrapped by a KMS that refuses the caller, in contrast to one that cannot be reached.
var ErrDenied = errors.New("access denied by the key management service")

// KEK names a key encryption key and says where it is.
type KEK struct {
	Name string
	// KMSType is the kind of KMS as Confluent's clients name it: local-kms, hcvault, aws-kms.
	KMSType string
	// KMSKeyID is the KMS's own name of the key: an ARN, a URL, anything for local-kms.
	KMSKeyID string
	// Props are settings for the KMS; encrypt.alternate.kms.key.ids names keys to try when KMSKeyID fails.
	Props  map[string]string
	Doc    string
	Shared bool
	// Deleted is a KEK that can be undeleted and is not used.
	Deleted bool
}

// DEK is one version of the data encryption key of a subject.
type DEK struct {
	KEK, Subject string
	Algorithm    Algorithm
	Version      int // from 1
	// Wrapped is the key material as the KMS wrapped it; Material the unwrapped one, which a registry adds if the KEK is shared.
	Wrapped, Material []byte
	Created           time.Time
	Deleted           bool
}

// Latest stands for the newest version of a DEK.
const Latest = -1

// Registry is where keys are looked up and made. Its errors wrap ErrNotFound and ErrExists.
type Registry interface {
	KEK(ctx context.Context, name string) (KEK, error)
	CreateKEK(ctx context.Context, k KEK) (KEK, error)
	// DEK finds a version, or the Latest; deleted ones too if asked to.
	DEK(ctx context.Context, kek, subject string, a Algorithm, version int, deleted bool) (DEK, error)
	// CreateDEK makes the version that d names. Wrapped is empty if the KEK is shared: the registry makes the key.
	CreateDEK(ctx context.Context, d DEK) (DEK, error)
}

// KMS wraps and unwraps key material by the key that a KEK and a key id name. It is safe for concurrent use.
type KMS interface {
	Wrap(ctx context.Context, k KEK, keyID string, material []byte) ([]byte, error)
	Unwrap(ctx context.Context, k KEK, keyID string, wrapped []byte) ([]byte, error)
}

// KMSes finds a KMS by the type in a KEK.
type KMSes map[string]KMS
