package etcd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/weir-stream/weir/internal/base/meta"
)

const (
	// maxSlots is how many changing transactions run at once; more wait for one of them.
	maxSlots = 64
	// pageBytes is what a page of a Range should hold, so that neither side needs much memory for it; pages begin small,
	// with firstPage entries.
	pageBytes = 4 << 20
	firstPage = 64
	lastPage  = 2000
)

// kv is what a store asks of etcd's keys: a part of pb.KVClient.
type kv interface {
	Range(ctx context.Context, in *pb.RangeRequest, opts ...grpc.CallOption) (*pb.RangeResponse, error)
	Txn(ctx context.Context, in *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error)
	Compact(ctx context.Context, in *pb.CompactionRequest, opts ...grpc.CallOption) (*pb.CompactionResponse, error)
}

// leaser is what a store asks of etcd's leases. Its errors are judged like those of kv.
type leaser interface {
	grant(ctx context.Context, seconds int64) (id int64, err error)
	// renew and lives return false for a lease that is not there.
	renew(ctx context.Context, id int64) (bool, error)
	lives(ctx context.Context, id int64) (bool, error)
	revoke(ctx context.Context, id int64) error
}

// Store is a meta.Store in etcd.
type Store struct {
	o       Options
	kv      kv
	leases  leaser
	watcher clientv3.Watcher
	metrics *metrics
	closers []func() error

	keys   string // what the users' keys begin with
	guards string // what those of guards do
	name   string // of this store, random; names of its sessions begin with it

	life  context.Context //nolint:containedctx // ends everything that the store does, with Close
	end   context.CancelFunc
	slots chan *slot
	// sessions counts those begun; names counts guards, numbers transactions.
	names, numbers, sessions atomic.Int64
	session                  atomic.Pointer[session]
	renewing                 chan struct{} // one token

	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup // begun under mu, while not closed
}

// Open connects to etcd, and returns once it has answered, or with ctx. The store lives until Close.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, o)
	if err != nil {
		return nil, err
	}
	// Two connections: what floods one does not delay the leases' renewals on the other.
	var data, leases *clientv3.Client
	for _, c := range []**clientv3.Client{&data, &leases} {
		err := s.ask(ctx, func(context.Context) (err error) {
			*c, err = o.dial(s.life, config) //nolint:contextcheck // a client lives until Close
			return err
		})
		if err != nil {
			return nil, s.notOpened(err) //nolint:contextcheck // closing has its own, short time
		}
		s.closers = append(s.closers, (*c).Close)
	}
	s.kv = pb.NewKVClient(data.ActiveConnection())
	s.watcher = data
	s.leases = &leaseClient{pb.NewLeaseClient(leases.ActiveConnection())}
	if err := s.Check(ctx); err != nil {
		return nil, s.notOpened(err) //nolint:contextcheck // closing has its own, short time
	}
	s.begin()
	return s, nil
}

func (s *Store) notOpened(err error) error {
	return errors.Join(fmt.Errorf("open metadata in etcd at %s: %w", s.o.Location, err), s.Close())
}

// newStore returns a store that has no connection yet.
func newStore(ctx context.Context, o Options) (*Store, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	var name [16]byte
	rand.Read(name[:]) //nolint:errcheck // crypto/rand.Read never fails
	s := &Store{
		o: o, metrics: m, keys: o.Prefix + "/k/", guards: o.Prefix + "/g/", name: hex.EncodeToString(name[:]),
		slots: make(chan *slot, maxSlots), renewing: make(chan struct{}, 1),
	}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	for range maxSlots {
		s.slots <- &slot{}
	}
	return s, nil
}

// begin starts what runs beside requests.
func (s *Store) begin() {
	s.task(s.keepSession)
	if s.o.Compact {
		s.task(s.compact)
	}
}

// task runs f, which must end with s.life, and reports false if the store is closed.
func (s *Store) task(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.tasks.Go(f)
	return true
}

// Close implements meta.Store. Leases that were granted end when they have had their time.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return meta.ErrClosed
	}
	if ss := s.session.Load(); ss != nil {
		// A courtesy to etcd, which would keep the guards for some minutes.
		ctx, cancel := context.WithTimeout(s.life, min(s.o.Attempt, time.Second))
		_ = s.leases.revoke(ctx, ss.lease) // if it fails the lease ends by its time
		cancel()
	}
	s.end()
	s.tasks.Wait()
	s.metrics.unregister(s.o.Registerer)
	var err error
	for _, c := range s.closers {
		if e := c(); e != nil && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// enter begins an operation: its context ends with ctx and with the store. leave must be called.
func (s *Store) enter(ctx context.Context) (op context.Context, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, nil, meta.ErrClosed
	}
	op, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return op, func() { stop(); cancel() }, nil
}

// told is what the caller of an operation is told of err: refusals in the words of package meta, and the end of its
// own context, or of the store, where that is why it ended.
func (s *Store) told(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		if errors.Is(err, ctx.Err()) {
			return err
		}
		return fmt.Errorf("%w: %w", ctx.Err(), plain(err))
	case s.life.Err() != nil:
		return meta.ErrClosed
	}
	switch judge(err) {
	case noLease:
		return meta.ErrLeaseNotFound
	case full:
		return meta.ErrNoSpace
	case compacted:
		return meta.ErrCompacted
	default:
		return refusal(err)
	}
}

// Check returns nil if etcd answers with what a majority of its members has agreed on.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.revision(ctx)
	return err
}

// revision is etcd's present one.
func (s *Store) revision(ctx context.Context) (int64, error) {
	op, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	res, err := s.read(op, &pb.RangeRequest{Key: []byte(s.guards), CountOnly: true})
	if err != nil {
		return 0, s.told(ctx, err)
	}
	return res.Header.GetRevision(), nil
}

// read asks until there is an answer.
func (s *Store) read(ctx context.Context, req *pb.RangeRequest) (res *pb.RangeResponse, err error) {
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		res, err = s.kv.Range(ctx, req, callOptions()...)
		return err
	})
	return res, err
}

// Get implements meta.Store.
func (s *Store) Get(ctx context.Context, key string) (e meta.Entry, err error) {
	defer s.metrics.observe("get", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return meta.Entry{}, err
	}
	defer leave()
	if err := meta.CheckKey(key); err != nil {
		return meta.Entry{}, err
	}
	res, err := s.read(op, &pb.RangeRequest{Key: []byte(s.keys + key)})
	if err != nil {
		return meta.Entry{}, fmt.Errorf("get %q: %w", key, s.told(ctx, err))
	}
	if len(res.Kvs) == 0 {
		return meta.Entry{}, fmt.Errorf("get %q: %w", key, meta.ErrNotFound)
	}
	return meta.Entry{Key: key, Value: res.Kvs[0].Value, Revision: res.Kvs[0].ModRevision}, nil
}

// Range implements meta.Store. It reads pages of a few MiB, all as of the revision of the first.
func (s *Store) Range(ctx context.Context, prefix, after string, limit int) (entries []meta.Entry, err error) {
	defer s.metrics.observe("range", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for {
		entries, err = s.scan(op, prefix, after, limit)
		if err == nil {
			return entries, nil
		}
		if op.Err() != nil || judge(err) != compacted {
			return nil, fmt.Errorf("range %q: %w", prefix, s.told(ctx, err))
		}
		// It took so long that its revision is forgotten: begin anew with the present one.
		s.metrics.retries.Inc()
	}
}

func (s *Store) scan(ctx context.Context, prefix, after string, limit int) ([]meta.Entry, error) {
	var entries []meta.Entry
	req := &pb.RangeRequest{RangeEnd: []byte(clientv3.GetPrefixRangeEnd(s.keys + prefix)), Limit: firstPage}
	start := s.keys + max(prefix, after)
	if after >= prefix && after != "" {
		start += "\x00"
	}
	if start >= string(req.RangeEnd) {
		return nil, nil
	}
	for {
		if req.Key = []byte(start); limit > 0 {
			req.Limit = min(req.Limit, int64(limit-len(entries)))
		}
		res, err := s.read(ctx, req)
		if err != nil {
			return nil, err
		}
		bytes := 0
		for _, kv := range res.Kvs {
			bytes += len(kv.Key) + len(kv.Value)
			entries = append(entries, meta.Entry{Key: strings.TrimPrefix(string(kv.Key), s.keys), Value: kv.Value, Revision: kv.ModRevision})
		}
		if !res.More || len(res.Kvs) == 0 || limit > 0 && len(entries) >= limit {
			return entries, nil
		}
		req.Revision = res.Header.GetRevision()
		if revision := req.Revision; revision == 0 {
			return nil, errors.New("an answer of etcd has no revision")
		}
		start = string(res.Kvs[len(res.Kvs)-1].Key) + "\x00"
		mean := bytes/len(res.Kvs) + 1
		req.Limit = int64(min(max(pageBytes/mean, 1), lastPage))
	}
}
