package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// SchemasTopic is the topic whose rights stand for those of all subjects on a cluster that knows no subjects.
const SchemasTopic = "_schemas"

// rightsKey is a question that was asked of the cluster.
type rightsKey struct {
	caller string
	kind   acl.ResourceType
	name   string
}

// rights is its answer: a bit for each operation, by its code.
type rights struct {
	bits  int32
	until time.Time
}

// unknownRights is what clusters answer that do not tell, and everything is what follows from it: the cluster itself refuses what
// the caller may not.
const (
	unknownRights = math.MinInt32
	everything    = math.MaxInt32
)

// Allowed implements Bridge.
func (b *Outside) Allowed(ctx context.Context, c Caller, op acl.Operation, kind acl.ResourceType, name string) error {
	if c.IsService() || b.o.Authentication == "none" {
		return nil
	}
	if kind == acl.Subject {
		kind, name, op = acl.Topic, SchemasTopic, onSchemas(op)
	}
	bits, err := b.rightsOn(ctx, c, kind, name)
	if err != nil {
		return fmt.Errorf("%w: ask what %s may do to %s: %w", ErrUnavailable, c.Principal, kind, err)
	}
	if bits&(1<<op) == 0 {
		return fmt.Errorf("%w: %s on %s %s", ErrForbidden, op, kind, name)
	}
	return nil
}

// onSchemas is what an operation on a subject is to the topic that holds all of them.
func onSchemas(op acl.Operation) acl.Operation {
	switch op {
	case acl.Read, acl.Describe, acl.DescribeConfigs:
		return acl.Read
	}
	return acl.Write
}

func (b *Outside) rightsOn(ctx context.Context, c Caller, kind acl.ResourceType, name string) (int32, error) {
	key := rightsKey{b.clients.keyOf(c), kind, name}
	b.mu.Lock()
	known := b.rights[key]
	b.mu.Unlock()
	if time.Now().Before(known.until) {
		return known.bits, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := b.clients.Client(ctx, c)
	if err != nil {
		return 0, err
	}
	bits, err := ask(ctx, client, kind, name)
	if err != nil {
		return 0, err
	}
	if bits == unknownRights {
		bits = everything
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rights) >= maxKept {
		clear(b.rights)
	}
	b.rights[key] = rights{bits, time.Now().Add(rightsAge)}
	return bits, nil
}

// ask asks the cluster what the client may do to a resource. Of kinds that the protocol does not tell of nothing is known.
func ask(ctx context.Context, client *kgo.Client, kind acl.ResourceType, name string) (int32, error) {
	switch kind {
	case acl.Topic:
		return askTopic(ctx, client, name)
	case acl.Group:
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{name}, true
		res, err := req.RequestWith(ctx, client)
		if err != nil || len(res.Groups) != 1 {
			return 0, err
		}
		return denied(res.Groups[0].ErrorCode, res.Groups[0].AuthorizedOperations)
	case acl.Cluster:
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		res, err := req.RequestWith(ctx, client)
		if err != nil {
			return 0, err
		}
		return denied(res.ErrorCode, res.ClusterAuthorizedOperations)
	}
	return everything, nil
}

func askTopic(ctx context.Context, client *kgo.Client, name string) (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req.Topics, req.IncludeTopicAuthorizedOperations = append(req.Topics, topic), true
	res, err := req.RequestWith(ctx, client)
	if err != nil || len(res.Topics) != 1 {
		return 0, err
	}
	t := res.Topics[0]
	if !errors.Is(kerr.ErrorForCode(t.ErrorCode), kerr.UnknownTopicOrPartition) {
		return denied(t.ErrorCode, t.AuthorizedOperations)
	}
	if name != SchemasTopic {
		return everything, nil // the operation itself says that there is none
	}
	bits, err := ask(ctx, client, acl.Cluster, acl.ClusterName)
	if err == nil && bits != unknownRights && bits&(1<<acl.Create) == 0 {
		return 1 << acl.Read, nil
	}
	return everything, err
}

// denied is an answer's bits; an answer that is refused has none.
func denied(code int16, bits int32) (int32, error) {
	err := kerr.ErrorForCode(code)
	switch {
	case err == nil:
		return bits, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return 0, nil
	case errors.Is(err, kerr.GroupIDNotFound):
		return everything, nil
	}
	return 0, err
}
