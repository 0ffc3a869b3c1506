package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/seal/kms"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// stores are what everything is kept in, encrypted where that is asked for.
type stores struct {
	files   vfs.FS
	objects blob.Store
	meta    meta.Store
}

// openStores takes the data directory and opens what keeps metadata, objects and the log.
func (a *App) openStores(ctx context.Context, c *closers, registry prometheus.Registerer) (s stores, err error) {
	if a.o.Blob == nil && a.inCluster() && Blob.Get(a.o.Values) == "" {
		return s, fmt.Errorf("setting %s is empty: the brokers of a cluster share an object store, s3://BUCKET/PREFIX or, on one machine, file:DIR", Blob.Name())
	}
	dirs := []string{a.data}
	if !a.inCluster() {
		dirs = append(dirs, filepath.Join(a.data, "wal"))
	}
	for _, dir := range dirs {
		if err := vfs.MakeDirs(a.o.FS, dir); err != nil {
			return s, fmt.Errorf("make %s: %w", dir, err)
		}
	}
	lock, err := a.o.FS.Lock(filepath.Join(a.data, "lock"))
	if errors.Is(err, vfs.ErrLocked) {
		return s, a.inUse()
	}
	if err != nil {
		return s, fmt.Errorf("take the data directory %s: %w", a.data, err)
	}
	c.add(lock)
	s = stores{files: a.o.FS, objects: a.o.Blob, meta: a.o.Meta}
	if s.meta == nil && a.inCluster() {
		told := a.tellIfSlow("metadata store", Meta)
		store, err := a.openEtcd(ctx, registry)
		told()
		if err != nil {
			return s, &StoreError{Setting: Meta.Name(), Value: Meta.Get(a.o.Values), err: err}
		}
		c.add(store)
		s.meta = store
	}
	if s.meta == nil {
		if s.meta, err = meta.OpenPebble(filepath.Join(a.data, "meta"), meta.PebbleOptions{Logger: a.o.Logger}); err != nil {
			return s, fmt.Errorf("open the metadata store: %w", err)
		}
		c.add(s.meta)
	}
	if s.objects == nil && strings.HasPrefix(Blob.Get(a.o.Values), "s3://") {
		told := a.tellIfSlow("object store", Blob)
		store, err := a.openS3(ctx, registry)
		told()
		if err != nil {
			return s, &StoreError{Setting: Blob.Name(), Value: Blob.Get(a.o.Values), err: err}
		}
		c.add(store)
		s.objects = a.cached(blob.NewRemote(store), c, registry)
	}
	if s.objects == nil {
		root := filepath.Join(a.data, "segments")
		if dir, ok := strings.CutPrefix(Blob.Get(a.o.Values), "file:"); ok {
			root = dir
		}
		if s.objects, err = blob.NewDir(a.o.FS, root); err != nil {
			return s, fmt.Errorf("open the object store: %w", err)
		}
	}
	a.backups = &backups{a, s.meta, s.objects}
	ring, err := OpenRing(ctx, s.meta, a.o.Values)
	if err != nil {
		return s, fmt.Errorf("data directory %s: %w", a.data, err)
	}
	if ring != nil {
		sealed := seal.NewMeta(s.meta, ring)
		c.add(watches{sealed})
		s = stores{files: seal.NewFS(s.files, ring), objects: seal.NewBlob(s.objects, ring), meta: sealed}
	}
	return s, nil
}

// slowStore is after how long a start that waits for a store says so.
const slowStore = 3 * time.Second

// StoreError is the error of an object store or an etcd that was not opened.
type StoreError struct {
	Setting, Value string // what names the store; no secret stands in it
	err            error
}

func (e *StoreError) Error() string {
	return fmt.Sprintf("setting %s, %s: %v", e.Setting, e.Value, e.err)
}
func (e *StoreError) Unwrap() error { return e.err }

// tellIfSlow logs once that a store does not answer yet, unless what it returns is called before.
func (a *App) tellIfSlow(store string, setting config.Key[string]) (done func()) {
	t := time.AfterFunc(slowStore, func() {
		a.o.Logger.Warn("a store has not answered yet; the start waits for it: is it up, and is its address right?", "store", store, "setting", setting.Name(), "address", setting.Get(a.o.Values))
	})
	return func() { t.Stop() }
}

// watches ends the watches of a store, whose own end comes later.
type watches struct{ store *seal.Meta }

func (w watches) Close() error {
	w.store.EndWatches()
	return nil
}

// OpenRing returns the ring of keys of a metadata store by the settings of encryption, or nil where nothing is encrypted.
func OpenRing(ctx context.Context, store meta.Store, v *config.Values) (*seal.Ring, error) {
	var keepers [2]seal.Keeper
	for i, keyURL := range []string{EncryptionKey.Get(v), EncryptionKeyPrevious.Get(v)} {
		if keyURL == "" {
			continue
		}
		k, err := kms.Open(ctx, keyURL)
		if err != nil {
			return nil, err
		}
		// The ring holds the keys from here on: keepers are needed for a moment only.
		defer k.Close() //nolint:errcheck // nothing is written through it
		keepers[i] = k
	}
	ring, err := seal.OpenRing(ctx, store, keepers[0], keepers[1])
	switch {
	case errors.Is(err, seal.ErrNoKey):
		return nil, fmt.Errorf("%w: set encryption.key (or WEIR_ENCRYPTION_KEY) to the key it was made with", err)
	case errors.Is(err, seal.ErrKey):
		return nil, fmt.Errorf("%w: encryption.key is not the key of this data; to change keys, name the old one by encryption.key.previous", err)
	}
	return ring, err
}

func checkKeyURL(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	return kms.Check(s)
}
