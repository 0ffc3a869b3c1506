package consumers

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The messages of a commit stop in this file.
type (
	kmsgCommitRequest  = kmsg.OffsetCommitRequest
	kmsgCommitResponse = kmsg.OffsetCommitResponse
)

// withMetadata notes what clients want noted beside offsets.
func withMetadata(offsets map[Partition]Offset) func(*kmsg.OffsetCommitRequest) error {
	return func(req *kmsg.OffsetCommitRequest) error {
		for t := range req.Topics {
			topic := &req.Topics[t]
			for p := range topic.Partitions {
				o := offsets[Partition{topic.Topic, topic.Partitions[p].Partition}]
				topic.Partitions[p].Metadata = &o.Metadata
			}
		}
		return nil
	}
}

// commitError returns the first error of a commit.
func commitError(group string, res *kmsg.OffsetCommitResponse, err error) error {
	if err != nil {
		return fmt.Errorf("commit for group %s: %w", group, err)
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit of %s-%d for group %s: %w", t.Topic, p.Partition, group, err)
			}
		}
	}
	return nil
}
