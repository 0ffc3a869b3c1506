package etcd

import (
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// maxRequestBytes is above all that meta's limits allow; what etcd takes, 1.5 MiB unless told otherwise, is too.
const maxRequestBytes = 2 << 20

// callOptions are those of every request: answers are bounded by what was asked for.
func callOptions() []grpc.CallOption {
	return []grpc.CallOption{grpc.MaxCallSendMsgSize(maxRequestBytes), grpc.MaxCallRecvMsgSize(math.MaxInt32)}
}

// requireLeader lets a member that has lost the others refuse at once, instead of having the request wait.
func requireLeader(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// leaseClient is a leaser on one connection.
type leaseClient struct{ pb.LeaseClient }

func (c *leaseClient) grant(ctx context.Context, seconds int64) (int64, error) {
	res, err := c.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: seconds})
	return res.GetID(), err
}

func (c *leaseClient) renew(ctx context.Context, id int64) (bool, error) {
	// Without it the stream would outlive the call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.LeaseKeepAlive(ctx)
	if err != nil {
		return false, err
	}
	// An error of Send says no more than that Recv will tell why.
	_ = stream.Send(&pb.LeaseKeepAliveRequest{ID: id})
	res, err := stream.Recv()
	return res.GetTTL() > 0, err
}

func (c *leaseClient) lives(ctx context.Context, id int64) (bool, error) {
	res, err := c.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
	return res.GetTTL() > 0, err
}

func (c *leaseClient) revoke(ctx context.Context, id int64) error {
	_, err := c.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
	return err
}
