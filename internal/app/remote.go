package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/peer"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// Bounds of what is put into one request between brokers, how many of them are on their way to one, and how many may wait.
const (
	batchMost     = 1000
	batchRequests = 4
	batchQueue    = 100_000
)

// Versions of what brokers ask each other.
const (
	markersVersion = 2
	claimsVersion  = 5
)

// marker is what one partition of another broker is to be told.
type marker struct {
	tp kafka.TopicPartition
	machine.Marker
	bumps bool
}

// clusterMarkers ends transactions in partitions wherever they are: at this broker through markers, at others by
// WriteTxnMarkers, for as many transactions at once as wait.
type clusterMarkers struct {
	local  markers
	peers  *peers
	remote peer.Batcher[marker, kafka.Error]
}

func newClusterMarkers(local markers, p *peers) *clusterMarkers {
	m := &clusterMarkers{local: local, peers: p}
	m.remote = peer.Batcher[marker, kafka.Error]{Send: m.send, Most: batchMost, Requests: batchRequests, Queue: batchQueue}
	return m
}

// Write is coordinator.Markers'. That a partition is gone for good is only said by a view that is known to be new: the
// transaction would hang in a partition that was merely not known yet.
func (m *clusterMarkers) Write(ctx context.Context, tp kafka.TopicPartition, in machine.Marker, bumps bool) error {
	err := m.write(ctx, tp, in, bumps)
	if !errors.Is(err, kafka.UnknownTopicOrPartition) {
		return err
	}
	if err := m.peers.topics.Refresh(ctx); err != nil {
		return err
	}
	if t, ok := m.peers.topics.View().ByName(tp.Topic); ok && tp.Partition < t.Partitions {
		return fmt.Errorf("%s was not known yet: %w", tp, kafka.NotLeaderOrFollower)
	}
	return err
}

func (m *clusterMarkers) write(ctx context.Context, tp kafka.TopicPartition, in machine.Marker, bumps bool) error {
	t, ok := m.peers.topics.View().ByName(tp.Topic)
	if !ok || tp.Partition < 0 || tp.Partition >= t.Partitions {
		return kafka.UnknownTopicOrPartition
	}
	broker, remote, err := m.peers.owner(t, tp.Partition)
	if err != nil {
		return err
	}
	if !remote {
		return m.local.Write(ctx, tp, in, bumps)
	}
	code, err := m.remote.Do(ctx, broker, marker{tp, in, bumps})
	if err != nil {
		return err
	}
	return code.Err()
}

// send asks a broker to write markers: those of each transaction one after another, as the request has them.
func (m *clusterMarkers) send(ctx context.Context, broker int32, batch []marker) ([]kafka.Error, error) {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = markersVersion
	for _, b := range batch {
		out := kmsg.NewWriteTxnMarkersRequestMarker()
		out.ProducerID, out.ProducerEpoch, out.Committed, out.CoordinatorEpoch = b.ID, b.Epoch, b.Commit, b.CoordinatorEpoch
		if b.bumps {
			out.TransactionVersion = 2
		}
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic, topic.Partitions = b.tp.Topic, []int32{b.tp.Partition}
		out.Topics = append(out.Topics, topic)
		req.Markers = append(req.Markers, out)
	}
	answer, err := m.peers.client.Do(ctx, broker, req)
	if err != nil {
		return nil, err
	}
	res := answer.(*kmsg.WriteTxnMarkersResponse)
	if len(res.Markers) != len(batch) {
		return nil, errAnswer
	}
	codes := make([]kafka.Error, len(batch))
	for i, r := range res.Markers {
		if r.ProducerID != batch[i].ID || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return nil, errAnswer
		}
		codes[i] = kafka.Error(r.Topics[0].Partitions[0].ErrorCode)
	}
	return codes, nil
}

// errAnswer is for an answer that does not fit its request.
var errAnswer = errors.New("the answer does not name what was asked for")

// clusterClaims is the coordinator of transactions as produces and commits of offsets ask it, wherever it is.
type clusterClaims struct {
	*coordinator.Transactions
	peers  *peers
	groups *coordinator.Groups
	remote peer.Batcher[api.TransactionClaim, []error]
}

func newClusterClaims(t *coordinator.Transactions, groups *coordinator.Groups, p *peers) *clusterClaims {
	c := &clusterClaims{Transactions: t, peers: p, groups: groups}
	c.remote = peer.Batcher[api.TransactionClaim, []error]{Send: c.send, Most: batchMost, Requests: batchRequests, Queue: batchQueue}
	return c
}

func (c *clusterClaims) AddPartitions(ctx context.Context, claim api.TransactionClaim) []error {
	broker, remote, err := c.peers.coordinatorOf(kafka.TransactionStateTopic, claim.TransactionalID)
	if err == nil && !remote {
		return c.here(ctx, claim)
	}
	var errs []error
	if err == nil {
		errs, err = c.remote.Do(ctx, broker, claim)
	}
	if err != nil {
		return slices.Repeat([]error{coordinatorError(err)}, len(claim.Partitions))
	}
	return errs
}

// here asks this broker's coordinator.
func (c *clusterClaims) here(ctx context.Context, claim api.TransactionClaim) []error {
	errs := make([]error, len(claim.Partitions))
	var err error
	if claim.VerifyOnly {
		var each []kafka.Error
		each, err = c.Verify(ctx, txn.Verify{TransactionalID: claim.TransactionalID, Producer: claim.Producer, Partitions: claim.Partitions})
		for i, code := range each {
			errs[i] = code.Err()
		}
	} else {
		err = c.Transactions.AddPartitions(ctx, txn.AddPartitions{TransactionalID: claim.TransactionalID, Producer: claim.Producer, Partitions: claim.Partitions, Bumps: true})
	}
	if err != nil {
		return slices.Repeat([]error{err}, len(errs))
	}
	return errs
}

// VerifyGroup and AddGroup make a claim of the partition that keeps the group's offsets.

// VerifyGroup returns nil if the offsets of a group are part of the producer's open transaction.
func (c *clusterClaims) VerifyGroup(ctx context.Context, id string, p txn.Producer, group string) error {
	return c.claimGroup(ctx, id, p, group, true)
}

// AddGroup makes the offsets of a group part of the producer's transaction.
func (c *clusterClaims) AddGroup(ctx context.Context, id string, p txn.Producer, group string) error {
	return c.claimGroup(ctx, id, p, group, false)
}

func (c *clusterClaims) claimGroup(ctx context.Context, id string, p txn.Producer, group string, verify bool) error {
	at, err := c.groups.Partition(ctx, group)
	if err != nil {
		return err
	}
	offsets := []kafka.TopicPartition{{Topic: kafka.GroupMetadataTopic, Partition: at}}
	return c.AddPartitions(ctx, api.TransactionClaim{TransactionalID: id, Producer: p, Partitions: offsets, VerifyOnly: verify})[0]
}

// send asks a broker about many claims. A claim names each partition once, so the answers are found by name.
func (c *clusterClaims) send(ctx context.Context, broker int32, batch []api.TransactionClaim) ([][]error, error) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = claimsVersion
	for _, claim := range batch {
		out := kmsg.NewAddPartitionsToTxnRequestTransaction()
		out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.VerifyOnly = claim.TransactionalID, claim.Producer.ID, claim.Producer.Epoch, claim.VerifyOnly
		for _, tp := range claim.Partitions {
			if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != tp.Topic {
				topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
				topic.Topic = tp.Topic
				out.Topics = append(out.Topics, topic)
			}
			topic := &out.Topics[len(out.Topics)-1]
			topic.Partitions = append(topic.Partitions, tp.Partition)
		}
		req.Transactions = append(req.Transactions, out)
	}
	answer, err := c.peers.client.Do(ctx, broker, req)
	if err != nil {
		return nil, err
	}
	res := answer.(*kmsg.AddPartitionsToTxnResponse)
	if err := kafka.Error(res.ErrorCode).Err(); err != nil {
		return nil, err
	}
	if len(res.Transactions) != len(batch) {
		return nil, errAnswer
	}
	out := make([][]error, len(batch))
	for i := range res.Transactions {
		if out[i], err = claimAnswer(&batch[i], &res.Transactions[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// claimAnswer puts the answer to a claim into the order of its partitions.
func claimAnswer(claim *api.TransactionClaim, res *kmsg.AddPartitionsToTxnResponseTransaction) ([]error, error) {
	var errs []error
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if i := len(errs); i >= len(claim.Partitions) || claim.Partitions[i] != (kafka.TopicPartition{Topic: t.Topic, Partition: p.Partition}) {
				return nil, errAnswer
			}
			code := kafka.Error(p.ErrorCode)
			if code == kafka.OperationNotAttempted || code == kafka.UnknownTopicOrPartition {
				code = kafka.CoordinatorNotAvailable // the coordinator's broker has not heard of a topic yet
			}
			errs = append(errs, code.Err())
		}
	}
	if res.TransactionalID != claim.TransactionalID || len(errs) != len(claim.Partitions) {
		return nil, errAnswer
	}
	return errs, nil
}
