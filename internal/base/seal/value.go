package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
)

// valueMark begins a sealed value; ring key u32, nonce 12 and the sealed bytes follow.
var valueMark = []byte{0xf5, 'S', 'E', 'A', 'L', 1}

// ValueOverheadBytes is how much longer a value is when it is sealed; it counts in meta.MaxTxnBytes.
const ValueOverheadBytes = 6 + 4 + nonceBytes + tagBytes

// Meta seals the values of a metadata store. Keys stay readable, since the store sorts and compares by them.
type Meta struct {
	inner meta.Store
	ring  *Ring
	// watching are the goroutines that unseal what watches tell; each ends with its watch, or with closed.
	watching sync.WaitGroup
	closed   chan struct{}
	close    func()
}

// NewMeta returns inner with sealed values.
func NewMeta(inner meta.Store, ring *Ring) *Meta {
	m := &Meta{inner: inner, ring: ring, closed: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.closed) })
	return m
}

// SealValue returns the sealed value of key.
func (r *Ring) SealValue(key string, value []byte) []byte {
	b := make([]byte, 0, len(value)+ValueOverheadBytes)
	b = append(b, valueMark...)
	b = binary.LittleEndian.AppendUint32(b, r.active)
	var nonce [nonceBytes]byte
	rand.Read(nonce[:]) //nolint:errcheck // crypto/rand.Read never fails
	b = append(b, nonce[:]...)
	return r.keys[r.active].Seal(b, nonce[:], value, []byte(key))
}

// OpenValue returns the value of key in the clear. A value that is not sealed is returned as it is; on a nil ring a sealed
// one is ErrNoKey.
func (r *Ring) OpenValue(key string, b []byte) ([]byte, error) {
	rest, sealed := bytes.CutPrefix(b, valueMark)
	if !sealed {
		return b, nil
	}
	if r == nil {
		return nil, fmt.Errorf("value of %q: %w", key, ErrNoKey)
	}
	if len(rest) < 4+nonceBytes+tagBytes {
		return nil, fmt.Errorf("value of %q: %w", key, ErrCorrupt)
	}
	id := binary.LittleEndian.Uint32(rest)
	aead := r.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("value of %q is sealed by key %d, which is not in the ring: %w", key, id, ErrKey)
	}
	value, err := aead.Open(nil, rest[4:4+nonceBytes], rest[4+nonceBytes:], []byte(key))
	if err != nil {
		return nil, fmt.Errorf("value of %q: %w", key, ErrCorrupt)
	}
	return value, nil
}

// Get returns the entry of key with its value in the clear.
func (m *Meta) Get(ctx context.Context, key string) (meta.Entry, error) {
	e, err := m.inner.Get(ctx, key)
	if err != nil {
		return e, err
	}
	return m.open(e)
}

// Range is Store.Range with values in the clear.
func (m *Meta) Range(ctx context.Context, prefix, after string, limit int) ([]meta.Entry, error) {
	entries, err := m.inner.Range(ctx, prefix, after, limit)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if entries[i], err = m.open(entries[i]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (m *Meta) open(e meta.Entry) (meta.Entry, error) {
	var err error
	e.Value, err = m.ring.OpenValue(e.Key, e.Value)
	return e, err
}

// Txn is Store.Txn; values are sealed, which adds ValueOverheadBytes to each.
func (m *Meta) Txn(ctx context.Context, compares []meta.Compare, ops []meta.Op) (meta.Result, error) {
	sealed := make([]meta.Op, len(ops))
	for i, op := range ops {
		if op.Kind == meta.Put {
			op.Value = m.ring.SealValue(op.Key, op.Value)
		}
		sealed[i] = op
	}
	return m.inner.Txn(ctx, compares, sealed)
}

// Watch is Store.Watch with values in the clear. The channel is also closed by a value that cannot be opened: whoever
// reads again gets the error.
func (m *Meta) Watch(ctx context.Context, prefix string, after int64) (<-chan meta.Event, error) {
	events, err := m.inner.Watch(ctx, prefix, after)
	if err != nil {
		return nil, err
	}
	out := make(chan meta.Event)
	m.watching.Go(func() {
		defer close(out)
		for e := range events {
			if e.Kind == meta.Put {
				if e.Entry, err = m.open(e.Entry); err != nil {
					return
				}
			}
			select {
			case out <- e:
			case <-ctx.Done():
				return
			case <-m.closed:
				return
			}
		}
	})
	return out, nil
}

// Grant is Store.Grant.
func (m *Meta) Grant(ctx context.Context, ttl time.Duration) (meta.Lease, error) {
	return m.inner.Grant(ctx, ttl)
}

// Close closes the store below and waits until all watches have ended.
func (m *Meta) Close() error {
	err := m.inner.Close()
	m.EndWatches()
	return err
}

// EndWatches ends all watches and returns when they have ended.
func (m *Meta) EndWatches() {
	m.close()
	m.watching.Wait()
}
