package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/base/meta"
)

var (
	// ErrKey is returned where the key encryption key is not the one that wrapped the ring.
	ErrKey = errors.New("the encryption key does not open this data")
	// ErrCorrupt is returned for sealed bytes that are not what was sealed.
	ErrCorrupt = errors.New("sealed data is corrupt")
	// ErrNoKey is returned for sealed data where no key is configured.
	ErrNoKey = errors.New("the data is encrypted, and no encryption key is configured")
)

// RingKey is the metadata key that holds the ring. Its value is not sealed, since all others are sealed by it.
const RingKey = "seal/ring"

// Keeper wraps and unwraps keys by a key encryption key that never comes here.
type Keeper interface {
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
}

const keyBytes = 32

// Ring is the keys that wrap data keys and seal values.
type Ring struct {
	active uint32
	keys   map[uint32]cipher.AEAD
}

// storedRing is the value of RingKey.
type storedRing struct {
	Version int
	Active  uint32
	Keys    []storedKey
}

type storedKey struct {
	ID      uint32
	Wrapped []byte
}

const ringVersion = 1

// maxRingKeys bounds what one ring holds; each rotation adds a key.
const maxRingKeys = 4096

// OpenRing returns the ring of a store, made if there is none. previous, if not nil, is the keeper that wrapped it before:
// where keeper cannot unwrap the ring and previous can, the ring is rotated. Without a keeper the ring is nil; ErrNoKey if
// the store has one.
func OpenRing(ctx context.Context, store meta.Store, keeper, previous Keeper) (*Ring, error) {
	e, err := store.Get(ctx, RingKey)
	switch {
	case errors.Is(err, meta.ErrNotFound) && keeper == nil:
		return nil, nil
	case errors.Is(err, meta.ErrNotFound):
		return rotate(ctx, store, keeper, nil, 0)
	case err != nil:
		return nil, fmt.Errorf("read the ring of keys: %w", err)
	case keeper == nil:
		return nil, ErrNoKey
	}
	plain, err := unwrapAll(ctx, keeper, e.Value)
	if err == nil {
		return newRing(plain)
	}
	if previous == nil || !errors.Is(err, ErrKey) {
		return nil, err
	}
	if plain, err = unwrapAll(ctx, previous, e.Value); err != nil {
		return nil, err
	}
	return rotate(ctx, store, keeper, plain, e.Revision)
}

// Description is what a stored ring tells without being opened.
type Description struct {
	Active uint32 `json:"active"`
	Keys   int    `json:"keys"`
}

// DescribeRing reads the value of RingKey.
func DescribeRing(value []byte) (Description, error) {
	var s storedRing
	if err := json.Unmarshal(value, &s); err != nil {
		return Description{}, fmt.Errorf("ring of keys: %w: %w", ErrCorrupt, err)
	}
	return Description{Active: s.Active, Keys: len(s.Keys)}, nil
}

// plainRing is a ring with its keys in the clear.
type plainRing struct {
	active uint32
	keys   map[uint32][]byte
}

func unwrapAll(ctx context.Context, keeper Keeper, value []byte) (*plainRing, error) {
	var s storedRing
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("ring of keys: %w: %w", ErrCorrupt, err)
	}
	if s.Version != ringVersion || len(s.Keys) == 0 || len(s.Keys) > maxRingKeys {
		return nil, fmt.Errorf("ring of keys of version %d with %d keys: %w", s.Version, len(s.Keys), ErrCorrupt)
	}
	p := &plainRing{active: s.Active, keys: map[uint32][]byte{}}
	for _, k := range s.Keys {
		key, err := keeper.Decrypt(ctx, k.Wrapped)
		if err != nil {
			return nil, fmt.Errorf("unwrap key %d: %w", k.ID, err)
		}
		if len(key) != keyBytes {
			return nil, fmt.Errorf("key %d has %d bytes, not %d: %w", k.ID, len(key), keyBytes, ErrCorrupt)
		}
		p.keys[k.ID] = key
	}
	if p.keys[p.active] == nil {
		return nil, fmt.Errorf("active key %d is not in the ring: %w", p.active, ErrCorrupt)
	}
	return p, nil
}

// rotate adds a key to old, which may be nil, makes it the active one, and keeps the ring wrapped by keeper.
func rotate(ctx context.Context, store meta.Store, keeper Keeper, old *plainRing, revision int64) (*Ring, error) {
	if old == nil {
		old = &plainRing{keys: map[uint32][]byte{}}
	}
	if len(old.keys) >= maxRingKeys {
		return nil, fmt.Errorf("ring of keys holds %d keys already, at most %d are kept", len(old.keys), maxRingKeys)
	}
	for id := range old.keys {
		old.active = max(old.active, id)
	}
	old.active++
	key := make([]byte, keyBytes)
	rand.Read(key) //nolint:errcheck // crypto/rand.Read never fails
	old.keys[old.active] = key
	s := storedRing{Version: ringVersion, Active: old.active}
	for id := uint32(1); id <= old.active; id++ {
		if old.keys[id] == nil {
			continue
		}
		wrapped, err := keeper.Encrypt(ctx, old.keys[id])
		if err != nil {
			return nil, fmt.Errorf("wrap key %d: %w", id, err)
		}
		s.Keys = append(s.Keys, storedKey{id, wrapped})
	}
	value, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the ring of keys: %w", err)
	}
	res, err := store.Txn(ctx, []meta.Compare{{Key: RingKey, Revision: revision}}, []meta.Op{{Kind: meta.Put, Key: RingKey, Value: value}})
	if err != nil {
		return nil, fmt.Errorf("keep the ring of keys: %w", err)
	}
	if !res.Succeeded {
		return nil, errors.New("the ring of keys was changed by another server at the same time")
	}
	return newRing(old)
}

func newRing(p *plainRing) (*Ring, error) {
	r := &Ring{active: p.active, keys: map[uint32]cipher.AEAD{}}
	for id, key := range p.keys {
		aead, err := newGCM(key)
		if err != nil {
			return nil, err
		}
		r.keys[id] = aead
	}
	return r, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return aead, nil
}
