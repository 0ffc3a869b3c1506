package api

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
)

func TestEveryErrorHasTheCodeThatClientsActOnRightly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want kafka.Error
	}{
		{nil, kafka.None},
		{partition.ErrClosed, kafka.UnknownTopicOrPartition},
		{shard.ErrNotReady, kafka.LeaderNotAvailable},
		{wal.ErrNoSpace, kafka.StorageError},
		{wal.ErrFailed, kafka.StorageError},
		{wal.ErrClosed, kafka.StorageError},
		{context.Canceled, kafka.RequestTimedOut},
		{context.DeadlineExceeded, kafka.RequestTimedOut},
		{meta.ErrUnknown, kafka.RequestTimedOut},
		{kafka.OffsetOutOfRange, kafka.OffsetOutOfRange},
		{kafka.Errorf(kafka.InvalidConfig, "no"), kafka.InvalidConfig},
		{&partition.RecordsError{Err: kafka.InvalidTimestamp}, kafka.InvalidTimestamp},
		{errors.New("what"), kafka.UnknownServerError},
	} {
		for _, err := range []error{c.err, fmt.Errorf("append to t-0: %w", c.err)} {
			if c.err == nil {
				err = nil
			}
			if got := codeOf(err); got != c.want {
				t.Errorf("%v is %s, want %s", err, got.Name(), c.want.Name())
			}
		}
	}
	if textOf(nil) != nil || textOf(errors.New("internal details")) != nil {
		t.Error("a text leaked out of an unknown error")
	}
	if got := textOf(fmt.Errorf("create topic: %w", kafka.Errorf(kafka.InvalidConfig, "no"))); got == nil || *got != "no" {
		t.Errorf("the text for the client is %v", got)
	}
	if got := textOf(kafka.InvalidConfig); got == nil || *got == "" {
		t.Error("a code alone has no sentence")
	}
}
