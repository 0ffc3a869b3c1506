package power

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// Time limits, far above what is needed, for machines that are busy.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
)

// settings make the little work of a round pass through all that a server does in a week.
var settings = []string{
	"data=/weir", "roles=broker", "kafka.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "group.initial.rebalance.delay.ms=0",
	"offsets.topic.num.partitions=2", "transaction.state.log.num.partitions=2", "transaction.state.log.segment.bytes=1048576",
	"storage.shards=2", "storage.wal.file.bytes=2097152", "storage.wal.keep.bytes=8388608", "storage.checkpoint.interval.ms=100",
	"log.cleaner.backoff.ms=20", "log.cleaner.min.cleanable.ratio=0", "log.cleaner.dedupe.buffer.size=1048576",
}

// image is what is on a machine's disks.
type image struct {
	disk *vfs.Mem
	meta *pebblevfs.MemFS
}

var errPower = errors.New("the power is gone")

// server is a server on an image, up to its power cut.
type server struct {
	addr, admin string
	// dead is closed when the power is gone; then left is what is on the disks.
	dead chan struct{}
	left image

	on     image
	rng    *rand.Rand
	before func() // called at the cut, before the disks are looked at
	at     int64  // the operation of the disk at which the power goes

	mu    sync.Mutex
	ops   int64
	isCut bool

	gate  sync.RWMutex // held for reading by transactions of the metadata store
	stop  context.CancelFunc
	ended chan struct{}
	err   error // of the server; read it after ended
}

// gated is the metadata store of a server.
type gated struct {
	meta.Store
	s *server
}

// Txn lets the power go before a transaction or after it; what Pebble makes of a cut in the middle is tested beside it.
func (g gated) Txn(ctx context.Context, compares []meta.Compare, ops []meta.Op) (meta.Result, error) {
	g.s.gate.RLock()
	defer g.s.gate.RUnlock()
	select {
	case <-g.s.dead:
		return meta.Result{}, errPower
	default:
		return g.Store.Txn(ctx, compares, ops)
	}
}

// changesDisk says which operations of a disk leave something that a cut may keep or lose.
func changesDisk(k vfs.Kind) bool {
	switch k {
	case vfs.OpCreate, vfs.OpLink, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir, vfs.OpWrite, vfs.OpTruncate, vfs.OpAllocate, vfs.OpSyncData, vfs.OpSync:
		return true
	}
	return false
}

// inject cuts the power at the operation that was chosen.
func (s *server) inject(op vfs.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isCut && changesDisk(op.Kind) {
		if s.ops++; s.ops == s.at {
			s.cutLocked()
		}
	}
	if s.isCut {
		return errPower
	}
	return nil
}

// cut cuts the power now, if it is not gone yet.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isCut {
		s.cutLocked()
	}
}

func (s *server) cutLocked() {
	s.isCut = true
	s.before()
	s.gate.Lock()
	defer s.gate.Unlock()
	clone := s.on.disk.CrashClone
	if s.rng.IntN(2) == 0 {
		clone = s.on.disk.CrashCloneKeepingNames
	}
	s.left = image{clone(s.rng), s.on.meta.CrashClone(pebblevfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: s.rng})}
	close(s.dead)
}

// startServer starts a server on an image. Its power goes at its operation at, and before is called then; at 0 it never
// goes. If it goes before the server is ready that is no error.
func startServer(ctx context.Context, on image, rng *rand.Rand, at int64, before func()) (*server, error) {
	schema, err := app.Schema()
	if err != nil {
		return nil, err
	}
	values, err := schema.Load(config.Sources{Set: settings})
	if err != nil {
		return nil, err
	}
	store, err := meta.OpenPebble("meta", meta.PebbleOptions{FS: on.meta})
	if err != nil {
		return nil, fmt.Errorf("open the metadata store: %w", err)
	}
	s := &server{dead: make(chan struct{}), on: on, rng: rng, before: before, at: at, ended: make(chan struct{})}
	a := app.New(app.Options{Values: values, Version: "test", FS: vfs.NewFault(on.disk, s.inject), Meta: gated{store, s}, NoRunFile: true})
	ctx, s.stop = context.WithCancel(ctx)
	ready := make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = errors.Join(a.Run(ctx, func() { close(ready) }), store.Close())
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-ready:
		s.addr, s.admin = a.Addresses()["kafka"], a.Addresses()["admin"]
		return s, nil
	case <-s.dead:
		return s, nil
	case <-s.ended:
		if s.isDead() {
			return s, nil
		}
		s.stop()
		return nil, fmt.Errorf("the server ended: %w", s.err)
	case <-timeout.C:
		s.stop()
		return nil, fmt.Errorf("the server was not ready after %v", startTimeout)
	}
}

// isDead tells whether the power is gone.
func (s *server) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// cleanings returns how many times logs were compacted since the start, or 0 if the server does not say.
func (s *server) cleanings(ctx context.Context) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/metrics", nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close() //nolint:errcheck // nothing is written
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "weir_compaction_runs_total "); ok {
			runs, _ := strconv.Atoi(n) // 0 if it is none
			return runs
		}
	}
	return 0
}

// end ends what is left of a server. One whose power was cut may end with any error.
func (s *server) end() error {
	s.stop()
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-s.ended:
		if s.err != nil && !s.isDead() {
			return fmt.Errorf("the server failed: %w", s.err)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("the server does not stop within %v", stopTimeout)
	}
}
