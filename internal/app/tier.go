package app

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/app/backup"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/diskcache"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/shard"
)

// Settings of a server whose segments are in an object store.
var (
	WALMaxBytes = config.Long("storage.wal.max.bytes", 0, config.AtLeast(0),
		"Bytes that the write-ahead log may take on the local disk while what it holds cannot be moved into segments; producers are told to try again then. 0: half of what the disk has for it when the server starts with segments in an object store, else whatever the disk has.")
	UploadMaxAge = config.Millis("storage.upload.max.age.ms", 5*time.Minute, config.AtLeast(0),
		"Age at which records on the local disk are moved into segments, however few they are, where segments are in an object store: a lost disk loses no older ones. 0 is never.")
	BlockCacheBytes = config.Long("storage.cache.memory.bytes", 0, config.AtLeast(0),
		"Memory for blocks of segments that were read or will be soon. 0 is 48 MiB, and 256 MiB where segments are in an object store.")
	BackupInterval = config.Millis("storage.backup.interval.ms", time.Minute, config.AtLeast(0),
		"Time between copies of the metadata into the object store, where segments are in one; topics and settings that are younger are lost with the metadata. 0 is never.")
	BackupKeep = config.Int("storage.backup.keep", 10, config.Range(1, 10_000),
		"Copies of the metadata that are kept.")
	CacheDir = config.String("storage.cache.dir", "",
		"Directory for blocks of segments that are read more than once, where segments are in an object store; empty: cache in the data directory.")
	CacheBytes = config.Long("storage.cache.bytes", -1, config.AtLeast(-1),
		"Bytes of the local disk for them; 0 is none, -1 is a tenth of what is free when the server starts, at most 1 GiB.")
)

// remoteObjects says whether segments are in an object store on the network.
func (a *App) remoteObjects() bool { return strings.HasPrefix(Blob.Get(a.o.Values), "s3://") }

// tiered says whether the log is on the local disk and segments are not.
func (a *App) tiered() bool { return a.remoteObjects() && !a.inCluster() }

func (a *App) uploadMaxAge() time.Duration {
	if !a.tiered() {
		return 0
	}
	return UploadMaxAge.Get(a.o.Values)
}

// walFileBytesLeast is the smallest file that a small disk makes of storage.wal.file.bytes. It holds any batch that a topic takes by default.
const walFileBytesLeast = 16 << 20

// walSizes is what the log in files may take, 0 for no limit, and how large its files are. Half of the disk leaves the other half to metadata, caches and
// whatever else is there. Only whole files are given back, so eight of them have room at least.
func (a *App) walSizes() (most, file int64) {
	most, file = WALMaxBytes.Get(a.o.Values), WALFileBytes.Get(a.o.Values)
	bound := most
	if bound == 0 {
		usage, err := a.o.FS.Usage(a.data)
		if err != nil {
			return 0, file
		}
		have := int64(usage.FreeBytes)
		dir := filepath.Join(a.data, "wal")
		names, err := a.o.FS.List(dir)
		if err != nil {
			return 0, file
		}
		for _, name := range names {
			if info, err := a.o.FS.Stat(filepath.Join(dir, name)); err == nil {
				have += info.Size()
			}
		}
		bound = have / 2
	}
	file = min(file, max(walFileBytesLeast, bound/8&^4095))
	if most == 0 && a.tiered() {
		most = max(bound, 4*file)
	}
	return most, file
}

// cacheBytesMost is what the cache of segments takes at most if nothing is said.
const cacheBytesMost = 1 << 30

// cached puts the cache of segments on the local disk before an object store. The cache is an aid: what is wrong with its directory is told, and
// the server does without.
func (a *App) cached(store blob.Store, c *closers, registry prometheus.Registerer) blob.Store {
	v := a.o.Values
	dir, n := CacheDir.Get(v), CacheBytes.Get(v)
	if dir == "" {
		dir = filepath.Join(a.data, "cache")
	}
	if n < 0 {
		usage, err := a.o.FS.Usage(a.data)
		if err != nil {
			return store
		}
		n = min(int64(usage.FreeBytes/10), cacheBytesMost)
	}
	if n < diskcache.BlockBytes {
		return store
	}
	cache, err := diskcache.Open(store, diskcache.Options{FS: a.o.FS, Dir: dir, MaxBytes: n, Cacheable: shard.Immutable, Logger: a.o.Logger, Registerer: registry})
	if err != nil {
		a.o.Logger.Warn("no cache of segments on the local disk", "err", err)
		return store
	}
	c.add(cache)
	return cache
}

// backups copies the metadata into the object store now and then: a server alone its own, in a cluster the controller that of all.
type backups struct {
	a       *App
	store   meta.Store // below encryption
	objects blob.Store // below encryption
}

// Run implements service.Service.
func (b *backups) Run(ctx context.Context, ready func()) error {
	ready()
	interval := BackupInterval.Get(b.a.o.Values)
	if !b.a.remoteObjects() || interval <= 0 || b.store == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if m := b.a.member; m != nil {
			if v := m.Directory().View(); v.Controller != v.Self {
				continue
			}
		}
		if _, err := backup.Create(ctx, b.store, b.objects, b.a.o.Now(), BackupKeep.Get(b.a.o.Values)); err != nil && ctx.Err() == nil {
			b.a.o.Logger.Warn("no copy of the metadata in the object store; that is tried again", "err", err)
		}
	}
}
