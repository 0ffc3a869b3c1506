package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Mem is a Store in memory, for tests and for servers that keep nothing. Everything in it counts as durable.
// It does not mind a key that is the folder of another.
type Mem struct {
	mu      sync.RWMutex
	objects map[string][]byte // bodies never change once they are here
}

// NewMem returns an empty store.
func NewMem() *Mem { return &Mem{objects: make(map[string][]byte)} }

// PutIfAbsent implements Store.
func (m *Mem) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	body = bytes.Clone(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[key]; taken {
		return fmt.Errorf("put %s: %w", key, ErrExists)
	}
	m.objects[key] = body
	return nil
}

// Put implements Store.
func (m *Mem) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	body = bytes.Clone(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = body
	return nil
}

// Create implements Store.
func (m *Mem) Create(ctx context.Context, key string) (Writer, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	return &memWriter{mem: m, key: key}, nil
}

// Open implements Store.
func (m *Mem) Open(ctx context.Context, key string) (Reader, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	body, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", key, ErrNotFound)
	}
	return &memReader{Reader: bytes.NewReader(body)}, nil
}

// Delete implements Store.
func (m *Mem) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// List implements Store.
func (m *Mem) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []Info
	for key, body := range m.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			found = append(found, Info{Key: key, Size: int64(len(body))})
		}
	}
	slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	return found, nil
}

type memReader struct{ *bytes.Reader }

func (*memReader) Close() error { return nil }

func (r *memReader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	if got, err := r.ReadAt(buf[:n], off); got < n {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at %d: %w", n, off, err)
	}
	return buf[:n], nil
}

type memWriter struct {
	mem      *Mem
	key      string
	body     []byte
	finished bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	if w.finished {
		return 0, ErrFinished
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *memWriter) Commit(ctx context.Context) error {
	if w.finished {
		return ErrFinished
	}
	w.finished = true
	return w.mem.PutIfAbsent(ctx, w.key, w.body)
}

func (w *memWriter) Abort() error {
	w.finished, w.body = true, nil
	return nil
}
