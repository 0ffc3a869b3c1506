package fieldcrypt

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Options are what an Executor works with.
type Options struct {
	Registry Registry
	KMS      KMSes
	// KeyTTL is how long keys stay in memory; 0 means 10 minutes. It is also how long a reader may go on when a KEK was deleted.
	KeyTTL time.Duration
	// MaxKeys bounds the keys in memory; 0 means 1000. When it is reached, all are looked up anew.
	MaxKeys int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Executor encrypts and decrypts by rules. It is safe for concurrent use.
type Executor struct {
	o Options

	mu   sync.Mutex
	keks map[string]held[KEK]
	deks map[dekID]held[*openDEK]
}

type held[T any] struct {
	value T
	since time.Time
}

type dekID struct {
	kek, subject string
	algorithm    Algorithm
	version      int
	write        bool
}

// openDEK is a DEK whose key is at hand.
type openDEK struct {
	DEK
	cipher *Cipher
}

// NewExecutor opens nothing.
func NewExecutor(o Options) *Executor {
	if o.KeyTTL <= 0 {
		o.KeyTTL = 10 * time.Minute
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Executor{o: o, keks: map[string]held[KEK]{}, deks: map[dekID]held[*openDEK]{}}
}

// Rule is what the parameters of an encryption rule say.
type Rule struct {
	KEK string
	// KMSType and KMSKeyID make the KEK if there is none; else they must be what it has, if given.
	KMSType, KMSKeyID string
	Algorithm         Algorithm
	// ExpiryDays is after how many days a writer makes a new version of the DEK; 0 means never.
	ExpiryDays int
}

// ParseRule reads the parameters; param returns the empty text for one that is not set.
func ParseRule(param func(name string) string) (Rule, error) {
	r := Rule{KEK: param("encrypt.kek.name"), KMSType: param("encrypt.kms.type"), KMSKeyID: param("encrypt.kms.key.id"), Algorithm: AES256GCM}
	if r.KEK == "" {
		return r, errors.New("the parameter encrypt.kek.name is missing")
	}
	if a := param("encrypt.dek.algorithm"); a != "" {
		r.Algorithm = Algorithm(a)
	}
	if !r.Algorithm.Valid() {
		return r, fmt.Errorf("the parameter encrypt.dek.algorithm is %q, expected AES128_GCM, AES256_GCM or AES256_SIV", r.Algorithm)
	}
	if days := param("encrypt.dek.expiry.days"); days != "" {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 {
			return r, fmt.Errorf("the parameter encrypt.dek.expiry.days is %q, expected a number of days", days)
		}
		r.ExpiryDays = n
	}
	return r, nil
}

// Encrypt encrypts a value of a subject. The first write under a rule makes the KEK and the DEK that are missing.
func (e *Executor) Encrypt(ctx context.Context, r Rule, subject string, plain []byte) ([]byte, error) {
	version := 1
	if r.ExpiryDays > 0 {
		version = Latest
	}
	d, err := e.dek(ctx, r, dekID{r.KEK, subject, r.Algorithm, version, true})
	if err != nil {
		return nil, err
	}
	sealed, err := d.cipher.Seal(plain)
	if err != nil || r.ExpiryDays == 0 {
		return sealed, err
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(d.Version)), sealed...), nil //nolint:gosec // versions are positive
}

// Decrypt is the inverse of Encrypt. What is not encrypted, or was under a key that is gone, is an error.
func (e *Executor) Decrypt(ctx context.Context, r Rule, subject string, sealed []byte) ([]byte, error) {
	version := 1
	if r.ExpiryDays > 0 {
		if len(sealed) < 5 || sealed[0] != 0 {
			return nil, fmt.Errorf("a value of %s has no version of its key in front: %w", subject, ErrDecrypt)
		}
		version = int(int32(binary.BigEndian.Uint32(sealed[1:]))) //nolint:gosec // checked below
		if version < 1 {
			return nil, fmt.Errorf("a value of %s names version %d of its key: %w", subject, version, ErrDecrypt)
		}
		sealed = sealed[5:]
	}
	d, err := e.dek(ctx, r, dekID{r.KEK, subject, r.Algorithm, version, false})
	if err != nil {
		return nil, err
	}
	plain, err := d.cipher.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("a value of %s under key encryption key %s: %w", subject, r.KEK, err)
	}
	return plain, nil
}

// EncryptField encrypts a field's value, which must be a string or bytes: kind is the Type of a schema.Field. A string becomes base64;
// nil stays nil.
func (e *Executor) EncryptField(ctx context.Context, r Rule, subject, kind string, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		if kind == "STRING" {
			sealed, err := e.Encrypt(ctx, r, subject, []byte(v))
			return base64.StdEncoding.EncodeToString(sealed), err
		}
	case []byte:
		if kind == "BYTES" {
			return e.Encrypt(ctx, r, subject, v)
		}
	}
	return nil, fmt.Errorf("a field of type %s cannot be encrypted, only STRING and BYTES can", kind)
}

// DecryptField is the inverse of EncryptField.
func (e *Executor) DecryptField(ctx context.Context, r Rule, subject, kind string, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		if kind == "STRING" {
			sealed, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				return nil, fmt.Errorf("a value of %s is not base64: %w", subject, ErrDecrypt)
			}
			plain, err := e.Decrypt(ctx, r, subject, sealed)
			return string(plain), err
		}
	case []byte:
		if kind == "BYTES" {
			return e.Decrypt(ctx, r, subject, v)
		}
	}
	return value, nil // of another type: never encrypted
}

// Forget drops all keys from memory.
func (e *Executor) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.keks)
	clear(e.deks)
}

func (e *Executor) dek(ctx context.Context, r Rule, id dekID) (*openDEK, error) {
	now := e.o.Now()
	e.mu.Lock()
	h, ok := e.deks[id]
	e.mu.Unlock()
	if ok && now.Sub(h.since) < e.o.KeyTTL && !expired(r, id, h.value.DEK, now) {
		return h.value, nil
	}
	k, err := e.kek(ctx, r, id.write, now)
	if err != nil {
		return nil, err
	}
	d, err := e.lookUp(ctx, r, k, id, now)
	if err != nil {
		return nil, err
	}
	if len(d.Material) == 0 {
		if d.Material, err = e.o.KMS.Unwrap(ctx, k, d.Wrapped); err != nil {
			return nil, fmt.Errorf("unwrap version %d of the data encryption key of %s: %w", d.Version, id.subject, err)
		}
	}
	c, err := id.algorithm.Cipher(d.Material)
	if err != nil {
		return nil, fmt.Errorf("version %d of the data encryption key of %s: %w", d.Version, id.subject, err)
	}
	d.Material = nil // the cipher has it
	open := &openDEK{DEK: d, cipher: c}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.deks) >= e.o.MaxKeys {
		clear(e.deks)
	}
	e.deks[id] = held[*openDEK]{open, now}
	return open, nil
}

func expired(r Rule, id dekID, d DEK, now time.Time) bool {
	return id.write && r.ExpiryDays > 0 && now.Sub(d.Created) > time.Duration(r.ExpiryDays)*24*time.Hour
}

// lookUp finds the DEK, and makes one if a writer finds none or one that is too old. If the old one cannot be replaced, a writer goes on with it.
func (e *Executor) lookUp(ctx context.Context, r Rule, k KEK, id dekID, now time.Time) (DEK, error) {
	d, err := e.o.Registry.DEK(ctx, k.Name, id.subject, id.algorithm, id.version, !id.write)
	missing := errors.Is(err, ErrNotFound)
	switch {
	case err != nil && !missing:
		return d, fmt.Errorf("look up the data encryption key of %s: %w", id.subject, err)
	case missing && !id.write:
		return d, fmt.Errorf("data encryption key of %s, version %d, under %s: %w", id.subject, id.version, k.Name, err)
	case !missing && !expired(r, id, d, now):
		return d, nil
	}
	made, err := e.create(ctx, k, id, d.Version+1)
	if err != nil && !missing {
		return d, nil //nolint:nilerr // an old key is better than none
	}
	return made, err
}

// create makes a version. If another was faster, that is what it returns.
func (e *Executor) create(ctx context.Context, k KEK, id dekID, version int) (DEK, error) {
	d := DEK{KEK: k.Name, Subject: id.subject, Algorithm: id.algorithm, Version: version}
	if !k.Shared {
		material, err := id.algorithm.NewMaterial()
		if err != nil {
			return d, err
		}
		if d.Wrapped, err = e.o.KMS.Wrap(ctx, k, material); err != nil {
			return d, fmt.Errorf("wrap a data encryption key of %s: %w", id.subject, err)
		}
	}
	made, err := e.o.Registry.CreateDEK(ctx, d)
	if errors.Is(err, ErrExists) {
		made, err = e.o.Registry.DEK(ctx, k.Name, id.subject, id.algorithm, version, false)
	}
	if err != nil {
		return d, fmt.Errorf("register the data encryption key of %s: %w", id.subject, err)
	}
	return made, nil
}

func (e *Executor) kek(ctx context.Context, r Rule, write bool, now time.Time) (KEK, error) {
	e.mu.Lock()
	h, ok := e.keks[r.KEK]
	e.mu.Unlock()
	if !ok || now.Sub(h.since) >= e.o.KeyTTL {
		k, err := e.findKEK(ctx, r, write)
		if err != nil {
			return k, err
		}
		h = held[KEK]{k, now}
		e.mu.Lock()
		if len(e.keks) >= e.o.MaxKeys {
			clear(e.keks)
		}
		e.keks[r.KEK] = h
		e.mu.Unlock()
	}
	if r.KMSType != "" && r.KMSType != h.value.KMSType || r.KMSKeyID != "" && r.KMSKeyID != h.value.KMSKeyID {
		return h.value, fmt.Errorf("key encryption key %s is %s://%s in the registry, and %s://%s in the rule", r.KEK, h.value.KMSType, h.value.KMSKeyID, r.KMSType, r.KMSKeyID)
	}
	return h.value, nil
}

func (e *Executor) findKEK(ctx context.Context, r Rule, write bool) (KEK, error) {
	k, err := e.o.Registry.KEK(ctx, r.KEK)
	if errors.Is(err, ErrNotFound) && write && r.KMSType != "" && r.KMSKeyID != "" {
		k, err = e.o.Registry.CreateKEK(ctx, KEK{Name: r.KEK, KMSType: r.KMSType, KMSKeyID: r.KMSKeyID})
		if errors.Is(err, ErrExists) {
			k, err = e.o.Registry.KEK(ctx, r.KEK)
		}
	}
	if err != nil {
		return k, fmt.Errorf("key encryption key %s: %w", r.KEK, err)
	}
	return k, nil
}
