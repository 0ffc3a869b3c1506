package etcd

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/weir-stream/weir/internal/base/meta"
)

func (s *Store) compares(in []meta.Compare) []*pb.Compare {
	out := make([]*pb.Compare, len(in))
	for i, c := range in {
		out[i] = compareRevision(s.keys+c.Key, c.Revision)
	}
	return out
}

func (s *Store) ops(in []meta.Op) []*pb.RequestOp {
	out := make([]*pb.RequestOp, len(in))
	for i, op := range in {
		if op.Kind == meta.Delete {
			out[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(s.keys + op.Key)},
			}}
			continue
		}
		out[i] = putOp(s.keys+op.Key, op.Value, op.Lease)
	}
	return out
}

// compareRevision holds if the key's last change has the revision; absent keys have 0.
func compareRevision(key string, revision int64) *pb.Compare {
	return &pb.Compare{
		Key: []byte(key), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
		TargetUnion: &pb.Compare_ModRevision{ModRevision: revision},
	}
}

func putOp(key string, value []byte, lease int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: value, Lease: lease}}}
}

func rangeOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}
