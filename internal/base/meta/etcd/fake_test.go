package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-stream/weir/internal/base/meta"
)

// fake is as much of etcd as a store needs but watches, with faults. It evaluates transactions as etcd does: nested ones
// too, and nothing happens if a put on the way taken names a lease that is not there.
type fake struct {
	mu        sync.Mutex
	revision  int64
	keys      map[string]*mvccpb.KeyValue
	leases    map[int64]bool
	lastLease int64
	compacted int64
	late      []*pb.TxnRequest // copies still under way
	txns      int              // copies that arrived
	// fault decides about a transaction that arrives.
	fault func() fault
	// done is told the keys that each copy which acts puts.
	done func(keys []string)
	// ranges, if not nil, may fail a Range.
	ranges func(*pb.RangeRequest) error
}

// fault is what goes wrong with a request.
type fault uint8

const (
	none     fault = iota
	lost           // it does not arrive
	answer         // its answer does not
	slow           // it arrives later, long after its sender has given up
	twice          // it arrives now, without an answer, and later again
	busy           // it is refused
	full1          // it is refused for lack of space
	lastFull       // it uses up the last space: done, and answered by an error
)

var errLost = status.Error(codes.Unavailable, "connection is gone")

func newFake() *fake {
	return &fake{revision: 1, keys: map[string]*mvccpb.KeyValue{}, leases: map[int64]bool{}, lastLease: 1000}
}

// newFakeStore returns a store on f. It is closed by the test.
func newFakeStore(t *testing.T, f *fake, o Options) *Store {
	t.Helper()
	o.Location = Location{Endpoints: []string{"fake:1"}, Prefix: "p"}
	o.Logger = slog.New(slog.DiscardHandler)
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newStore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.kv, s.leases = f, f
	s.begin()
	return s
}

func (f *fake) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: f.revision} }

func (f *fake) Range(ctx context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if f.ranges != nil {
		if err := f.ranges(in); err != nil {
			return nil, err
		}
	}
	if in.Revision > 0 && in.Revision < f.compacted {
		return nil, rpctypes.ErrGRPCCompacted
	}
	return f.scan(in), nil
}

func (f *fake) scan(in *pb.RangeRequest) *pb.RangeResponse {
	res := &pb.RangeResponse{Header: f.header()}
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		if key != string(in.Key) && (len(in.RangeEnd) == 0 || key < string(in.Key) || key >= string(in.RangeEnd)) {
			continue
		}
		if in.Limit > 0 && int64(len(res.Kvs)) == in.Limit {
			res.More = true
			break
		}
		res.Kvs = append(res.Kvs, f.keys[key])
	}
	return res
}

func (f *fake) Compact(_ context.Context, in *pb.CompactionRequest, _ ...grpc.CallOption) (*pb.CompactionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.Revision <= f.compacted {
		return nil, rpctypes.ErrGRPCCompacted
	}
	f.compacted = in.Revision
	return &pb.CompactionResponse{Header: f.header()}, nil
}

func (f *fake) Txn(ctx context.Context, in *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	what := none
	if f.fault != nil {
		what = f.fault()
	}
	switch what {
	case lost:
		return nil, errLost
	case slow:
		f.late = append(f.late, in)
		return nil, errLost
	case busy:
		return nil, rpctypes.ErrGRPCRequestTooManyRequests
	case full1:
		return nil, rpctypes.ErrGRPCNoSpace
	}
	res, err := f.apply(in)
	switch what {
	case twice:
		f.late = append(f.late, in)
		return nil, errLost
	case answer:
		return nil, errLost
	case lastFull:
		if err == nil {
			err = rpctypes.ErrGRPCNoSpace
		}
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// arrive lets one of the copies still under way arrive; false if there is none.
func (f *fake) arrive(pick func(n int) int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.late) == 0 {
		return false
	}
	i := pick(len(f.late))
	in := f.late[i]
	f.late = slices.Delete(f.late, i, i+1)
	_, _ = f.apply(in) // nobody waits for the answer
	return true
}

// apply does a transaction.
func (f *fake) apply(in *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.txns++
	var changes []*pb.RequestOp
	res := f.plan(in, &changes)
	for _, op := range changes {
		if p := op.GetRequestPut(); p != nil && p.Lease != 0 && !f.leases[p.Lease] {
			return nil, rpctypes.ErrGRPCLeaseNotFound
		}
	}
	acts := false
	for _, op := range changes {
		_, there := f.keys[string(op.GetRequestDeleteRange().GetKey())]
		acts = acts || op.GetRequestPut() != nil || there
	}
	if acts {
		f.revision++
	}
	var put []string
	for _, op := range changes {
		if p := op.GetRequestPut(); p != nil {
			f.keys[string(p.Key)] = &mvccpb.KeyValue{Key: p.Key, Value: p.Value, ModRevision: f.revision, Lease: p.Lease}
			put = append(put, string(p.Key))
		} else {
			delete(f.keys, string(op.GetRequestDeleteRange().Key))
		}
	}
	if f.done != nil {
		f.done(put)
	}
	res.Header = f.header()
	return res, nil
}

// plan evaluates comparisons and gathers the changes of the way taken.
func (f *fake) plan(in *pb.TxnRequest, changes *[]*pb.RequestOp) *pb.TxnResponse {
	res := &pb.TxnResponse{Succeeded: true}
	for _, c := range in.Compare {
		var mod int64
		if kv := f.keys[string(c.Key)]; kv != nil {
			mod = kv.ModRevision
		}
		res.Succeeded = res.Succeeded && mod == c.GetModRevision()
	}
	way := in.Failure
	if res.Succeeded {
		way = in.Success
	}
	for _, op := range way {
		out := &pb.ResponseOp{}
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestTxn:
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: f.plan(r.RequestTxn, changes)}
		case *pb.RequestOp_RequestRange:
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: f.scan(r.RequestRange)}
		default:
			*changes = append(*changes, op)
		}
		res.Responses = append(res.Responses, out)
	}
	return res
}

func (f *fake) grant(context.Context, int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastLease++
	f.leases[f.lastLease] = true
	return f.lastLease, nil
}

func (f *fake) lives(_ context.Context, id int64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leases[id], nil
}

func (f *fake) renew(ctx context.Context, id int64) (bool, error) { return f.lives(ctx, id) }

func (f *fake) revoke(_ context.Context, id int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.leases[id] {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	delete(f.leases, id)
	acts := false
	for key, kv := range f.keys {
		if kv.Lease == id {
			delete(f.keys, key)
			acts = true
		}
	}
	if acts {
		f.revision++
	}
	return nil
}

// endSession ends the lease of whoever has guards, as an outage of minutes does.
func (f *fake) endSession(s *Store) {
	if ss := s.session.Load(); ss != nil {
		_ = f.revoke(context.Background(), ss.lease) // it may have ended before
	}
}

// mix draws faults: each fault with probability 1/of.
func mix(rng *rand.Rand, of int, kinds ...fault) func() fault {
	return func() fault {
		if rng.IntN(of) == 0 {
			return kinds[rng.IntN(len(kinds))]
		}
		return none
	}
}

// tally checks what transactions were told against what copies of them did. Each transaction puts a key of its own.
type tally struct {
	mu    sync.Mutex
	acted map[string]int
	told  map[string]string
}

func newTally(f *fake) *tally {
	y := &tally{acted: map[string]int{}, told: map[string]string{}}
	f.done = func(keys []string) {
		y.mu.Lock()
		defer y.mu.Unlock()
		for _, key := range keys {
			if tag, ok := strings.CutPrefix(key, "p/k/tag/"); ok {
				y.acted[tag]++
			}
		}
	}
	return y
}

func (y *tally) tell(tag string, res meta.Result, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case errors.Is(err, meta.ErrUnknown):
		y.told[tag] = "unknown"
	case err != nil, !res.Succeeded:
		y.told[tag] = "not done"
	default:
		y.told[tag] = "done"
	}
}

func (y *tally) check(t *testing.T, what string) map[string]int {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	counts := map[string]int{}
	for tag, told := range y.told {
		counts[told]++
		n := y.acted[tag]
		if n > 1 || told == "done" && n != 1 || told == "not done" && n != 0 {
			t.Errorf("%s: transaction %s was told to be %s, and happened %d times", what, tag, told, n)
		}
	}
	return counts
}

func tag(parts ...any) meta.Op { return meta.Op{Kind: meta.Put, Key: "tag/" + fmt.Sprint(parts...)} }
