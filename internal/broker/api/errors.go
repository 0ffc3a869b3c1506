package api

import (
	"context"
	"errors"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

// codeOf turns any error of the layers below into the protocol's. A log that was closed under the request belongs to a
// deleted topic, unless Server.moved has found that the topic is still there; a full disk, and an object store that does not answer, are storage
// errors, which every client retries; a change of metadata of which nobody knows whether it was made has timed out, as it has in Kafka.
func codeOf(err error) kafka.Error {
	switch {
	case err == nil:
		return kafka.None
	case errors.Is(err, partition.ErrClosed):
		return kafka.UnknownTopicOrPartition
	case errors.Is(err, shard.ErrNotReady):
		return kafka.LeaderNotAvailable
	case errors.Is(err, wal.ErrNoSpace), errors.Is(err, wal.ErrFailed), errors.Is(err, wal.ErrClosed), errors.Is(err, blob.ErrAway):
		return kafka.StorageError
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, meta.ErrUnknown):
		return kafka.RequestTimedOut
	}
	return kafka.CodeOf(err)
}

// textOf returns what a client should read beside the code, or nil where the code says it all.
func textOf(err error) *string {
	if err == nil {
		return nil
	}
	if d, ok := errors.AsType[*kafka.Detail](err); ok {
		return &d.Text
	}
	if errors.Is(err, kafka.ThrottlingQuotaExceeded) {
		return nil // as Kafka has it: the throttle time says it all
	}
	if e, ok := errors.AsType[kafka.Error](err); ok {
		m := e.Message()
		return &m
	}
	return nil
}
