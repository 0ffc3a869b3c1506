package serde

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// KMS is a key management service: it wraps and unwraps the keys that records are encrypted with. It is safe for concurrent use.
// Key ids and properties come from the registry, that is, from whoever may register keys there.
type KMS interface {
	Wrap(ctx context.Context, k KeyRef, material []byte) ([]byte, error)
	Unwrap(ctx context.Context, k KeyRef, wrapped []byte) ([]byte, error)
}

// KeyRef names a key in a KMS.
type KeyRef struct {
	// KEK is its name in the registry, ID the KMS's own: an ARN, a URL.
	KEK, ID string
	Props   map[string]string
}

// LocalKMS is the KMS local-kms, whose one key is made of a secret text, as Confluent's clients do.
func LocalKMS(text string) (KMS, error) {
	l, err := fieldcrypt.NewLocal(secret.New(text))
	return ownKMS{l}, err
}

// VaultKMS is the KMS hcvault: keys in the transit engine of Vault at address (http or https). Key ids that lie on another server are refused.
func VaultKMS(address, token string) (KMS, error) {
	v, err := fieldcrypt.NewVault(fieldcrypt.VaultOptions{Address: address, Token: secret.New(token)})
	return ownKMS{v}, err
}

// ownKMS shows one of ours as a KMS, kmsAdapter the reverse.
type (
	ownKMS     struct{ fieldcrypt.KMS }
	kmsAdapter struct{ KMS }
)

func (o ownKMS) Wrap(ctx context.Context, k KeyRef, material []byte) ([]byte, error) {
	return o.KMS.Wrap(ctx, fieldcrypt.KEK{Name: k.KEK, Props: k.Props}, k.ID, material)
}

func (o ownKMS) Unwrap(ctx context.Context, k KeyRef, wrapped []byte) ([]byte, error) {
	return o.KMS.Unwrap(ctx, fieldcrypt.KEK{Name: k.KEK, Props: k.Props}, k.ID, wrapped)
}

func (a kmsAdapter) Wrap(ctx context.Context, k fieldcrypt.KEK, keyID string, material []byte) ([]byte, error) {
	return a.KMS.Wrap(ctx, KeyRef{k.Name, keyID, k.Props}, material)
}

func (a kmsAdapter) Unwrap(ctx context.Context, k fieldcrypt.KEK, keyID string, wrapped []byte) ([]byte, error) {
	return a.KMS.Unwrap(ctx, KeyRef{k.Name, keyID, k.Props}, wrapped)
}

// subjectKey is under which a context carries the subject that rules run for: keys belong to subjects.
type subjectKey struct{}

func withSubject(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, subjectKey{}, subject)
}

func subjectOf(ctx context.Context) string {
	s, _ := ctx.Value(subjectKey{}).(string)
	return s
}

// encryptFields carries out a rule of type ENCRYPT.
func (c *Client) encryptFields(ctx context.Context, r rules.Request) (any, error) {
	rule, err := fieldcrypt.ParseRule(r.Param)
	if err != nil {
		return nil, err
	}
	subject := subjectOf(ctx)
	return r.Fields(func(f schema.Field, v any) (any, error) {
		if r.Mode == rules.Write {
			return c.crypt.EncryptField(ctx, rule, subject, f.Type, v)
		}
		return c.crypt.DecryptField(ctx, rule, subject, f.Type, v)
	})
}

// encryptPayload carries out a rule of type ENCRYPT_PAYLOAD.
func (c *Client) encryptPayload(ctx context.Context, r rules.Request) (any, error) {
	rule, err := fieldcrypt.ParseRule(r.Param)
	if err != nil {
		return nil, err
	}
	payload, ok := r.Value.([]byte)
	if !ok {
		return nil, errors.New("ENCRYPT_PAYLOAD belongs among the encoding rules: it is about bytes")
	}
	if r.Mode == rules.Write {
		return c.crypt.Encrypt(ctx, rule, subjectOf(ctx), payload)
	}
	return c.crypt.Decrypt(ctx, rule, subjectOf(ctx), payload)
}

// ForgetKeys drops all keys of rules that encrypt from memory: what was deleted in the registry can then no longer be used.
func (c *Client) ForgetKeys() { c.crypt.Forget() }

// keyRegistry is the part of a registry where keys are.
type keyRegistry struct{ c *Client }

const keysPath = "/dek-registry/v1/keks"

type wireKEK struct {
	Name     string            `json:"name"`
	KMSType  string            `json:"kmsType"`
	KMSKeyID string            `json:"kmsKeyId"`
	KMSProps map[string]string `json:"kmsProps,omitempty"`
	Shared   bool              `json:"shared"`
	Deleted  bool              `json:"deleted,omitempty"`
}

type wireDEK struct {
	KEK       string `json:"kekName,omitempty"`
	Subject   string `json:"subject"`
	Version   int    `json:"version"`
	Algorithm string `json:"algorithm"`
	Wrapped   []byte `json:"encryptedKeyMaterial,omitempty"` // encoding/json reads and writes base64
	Material  []byte `json:"keyMaterial,omitempty"`
	Timestamp int64  `json:"ts,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"`
}

func keyError(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Status {
		case http.StatusNotFound:
			return fmt.Errorf("%w: %w", fieldcrypt.ErrNotFound, err)
		case http.StatusConflict:
			return fmt.Errorf("%w: %w", fieldcrypt.ErrExists, err)
		}
	}
	return err
}

func (r keyRegistry) KEK(ctx context.Context, name string) (fieldcrypt.KEK, error) {
	return r.kek(ctx, http.MethodGet, keysPath+"/"+url.PathEscape(name), nil)
}

func (r keyRegistry) CreateKEK(ctx context.Context, k fieldcrypt.KEK) (fieldcrypt.KEK, error) {
	return r.kek(ctx, http.MethodPost, keysPath, wireKEK{Name: k.Name, KMSType: k.KMSType, KMSKeyID: k.KMSKeyID, KMSProps: k.Props, Shared: k.Shared})
}

func (r keyRegistry) kek(ctx context.Context, method, path string, in any) (fieldcrypt.KEK, error) {
	var w wireKEK
	if err := r.c.do(ctx, method, path, nil, in, &w); err != nil {
		return fieldcrypt.KEK{}, keyError(err)
	}
	return fieldcrypt.KEK{Name: w.Name, KMSType: w.KMSType, KMSKeyID: w.KMSKeyID, Props: w.KMSProps, Shared: w.Shared, Deleted: w.Deleted}, nil
}

func (r keyRegistry) DEK(ctx context.Context, kek, subject string, a fieldcrypt.Algorithm, version int, deleted bool) (fieldcrypt.DEK, error) {
	at := "latest"
	if version != fieldcrypt.Latest {
		at = strconv.Itoa(version)
	}
	q := url.Values{"algorithm": {string(a)}}
	if deleted {
		q.Set("deleted", "true")
	}
	return r.dek(ctx, http.MethodGet, dekPath(kek, subject)+"/versions/"+at, q, nil)
}

func (r keyRegistry) CreateDEK(ctx context.Context, d fieldcrypt.DEK) (fieldcrypt.DEK, error) {
	return r.dek(ctx, http.MethodPost, dekPath(d.KEK, d.Subject), nil, wireDEK{Subject: d.Subject, Version: d.Version, Algorithm: string(d.Algorithm), Wrapped: d.Wrapped})
}

func dekPath(kek, subject string) string {
	return keysPath + "/" + url.PathEscape(kek) + "/deks/" + url.PathEscape(subject)
}

func (r keyRegistry) dek(ctx context.Context, method, path string, q url.Values, in any) (fieldcrypt.DEK, error) {
	var w wireDEK
	if err := r.c.do(ctx, method, path, q, in, &w); err != nil {
		return fieldcrypt.DEK{}, keyError(err)
	}
	return fieldcrypt.DEK{KEK: w.KEK, Subject: w.Subject, Algorithm: fieldcrypt.Algorithm(w.Algorithm), Version: w.Version, Wrapped: w.Wrapped, Material: w.Material, Created: time.UnixMilli(w.Timestamp), Deleted: w.Deleted}, nil
}
