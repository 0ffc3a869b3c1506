package datadir

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/kafka"
)

// Options of Open.
type Options struct {
	Root string
	// Objects is the folder of the object store; empty: that in Root.
	Objects string
	// Blob is the object store, if it is no folder.
	Blob blob.Store
	// Keeper opens what is encrypted; nil: nothing may be.
	Keeper seal.Keeper
	// Shown tells of a setting of brokers whether its value may be shown; nil: of none.
	Shown func(setting string) bool
}

// Dir is an open data directory.
type Dir struct {
	// Metadata holds all keys, sorted. It is empty if MetadataProblem is not nil.
	Metadata        []MetaEntry
	MetadataProblem error
	// Pointers are the shards' pointers that could be read, by shard.
	Pointers map[int32]Pointer

	fs      vfs.FS
	root    string
	objects blob.Store // nil if there is no folder of objects
	shown   func(setting string) bool
	cluster [16]byte
	names   map[[16]byte]string
	sealed  map[uint64]uint64
}

// Open reads the metadata of a data directory. The error is that of a directory that is none.
func Open(ctx context.Context, o Options) (*Dir, error) {
	d := &Dir{fs: readOnly{vfs.OS()}, root: o.Root, shown: o.Shown, names: map[[16]byte]string{}, sealed: map[uint64]uint64{}, Pointers: map[int32]Pointer{}}
	if o.Objects == "" {
		o.Objects = filepath.Join(o.Root, "segments")
	}
	found := 0
	for _, part := range []string{d.metaDir(), d.walDir(), o.Objects} {
		info, err := d.fs.Stat(part)
		switch {
		case err == nil && info.IsDir():
			found++
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("open data directory %s: %w", o.Root, err)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("%s holds no folder meta, wal or segments: it is no data directory", o.Root)
	}
	var ring *seal.Ring
	ring, d.MetadataProblem = d.readMetadata(ctx, o.Keeper)
	if errors.Is(d.MetadataProblem, seal.ErrNoKey) || errors.Is(d.MetadataProblem, seal.ErrKey) {
		return nil, fmt.Errorf("open data directory %s: %w", o.Root, d.MetadataProblem)
	}
	if ring != nil {
		d.fs = readOnly{seal.NewFS(vfs.OS(), ring)}
	}
	if d.cluster == [16]byte{} {
		d.cluster = d.clusterOfWAL()
	}
	if d.objects = o.Blob; d.objects != nil {
		if ring != nil {
			d.objects = seal.NewBlob(d.objects, ring)
		}
		return d, nil
	}
	if _, err := d.fs.Stat(o.Objects); err == nil {
		if d.objects, err = blob.NewDir(readOnly{vfs.OS()}, o.Objects); err != nil {
			return nil, fmt.Errorf("open data directory %s: %w", o.Root, err)
		}
		if ring != nil {
			d.objects = seal.NewBlob(d.objects, ring)
		}
	}
	return d, nil
}

func (d *Dir) metaDir() string { return filepath.Join(d.root, "meta") }
func (d *Dir) walDir() string  { return filepath.Join(d.root, "wal") }

// Store is the object store; nil if there is none.
func (d *Dir) Store() blob.Store { return d.objects }

// InUse tells whether the process that run.json names is there. It may be another one by now.
func (d *Dir) InUse() bool {
	b, err := os.ReadFile(filepath.Join(d.root, "run.json"))
	if err != nil {
		return false
	}
	var run struct{ PID int }
	if err := json.Unmarshal(b, &run); err != nil || run.PID <= 0 {
		return false
	}
	p, err := os.FindProcess(run.PID)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// Topic returns the name of a topic, and false and its id as text if no such topic is known: it was deleted.
func (d *Dir) Topic(id [16]byte) (string, bool) {
	if name, ok := d.names[id]; ok {
		return name, true
	}
	return kafka.TopicID(id).String(), false
}

// clusterOfWAL returns the cluster id that the first readable file of the log names.
func (d *Dir) clusterOfWAL() (id [16]byte) {
	names, err := d.fs.List(d.walDir())
	if err != nil {
		return id
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".wal") {
			continue
		}
		f, err := d.fs.Open(filepath.Join(d.walDir(), name))
		if err != nil {
			continue
		}
		head := make([]byte, 32)
		_, err = f.ReadAt(head, 0)
		f.Close() //nolint:errcheck // read only
		if err == nil && strings.HasPrefix(string(head), "WEIRWAL") && binary.LittleEndian.Uint16(head[8:]) <= 2 {
			return [16]byte(head[16:])
		}
	}
	return id
}

// readOnly lets nothing through that would change a file. What a store does to prepare its folder succeeds without effect.
type readOnly struct{ vfs.FS }

func refuse(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission} }

func (readOnly) OpenReadWrite(name string) (vfs.File, error) {
	return nil, refuse("open for writing", name)
}
func (readOnly) Create(name string) (vfs.File, error) { return nil, refuse("create", name) }
func (readOnly) Link(_, name string) error            { return refuse("link", name) }
func (readOnly) Rename(_, name string) error          { return refuse("rename", name) }
func (readOnly) Lock(name string) (io.Closer, error)  { return nil, refuse("lock", name) }
func (readOnly) Remove(string) error                  { return nil }
func (readOnly) MkdirAll(string) error                { return nil }
func (readOnly) SyncDir(string) error                 { return nil }
func (r readOnly) List(name string) ([]string, error) {
	names, err := r.FS.List(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}
