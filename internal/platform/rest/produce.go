package rest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// anyPartition is the partition of a record whose client left the choice to us.
const anyPartition = -1

// partitioner takes the partition that a record names, and for the others chooses as Kafka's producers do: by the key's hash, or
// whole batches to one partition after the other.
type partitioner struct{}

// ForTopic implements kgo.Partitioner.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &topicPartitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type topicPartitioner struct{ sticky kgo.TopicPartitioner }

// RequiresConsistency implements kgo.TopicPartitioner.
func (p *topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.sticky.RequiresConsistency(r)
}

// Partition implements kgo.TopicPartitioner.
func (p *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.sticky.Partition(r, n)
}

// OnNewBatch implements kgo.TopicPartitionerOnNewBatch.
func (p *topicPartitioner) OnNewBatch() {
	if s, ok := p.sticky.(kgo.TopicPartitionerOnNewBatch); ok {
		s.OnNewBatch()
	}
}

// deliveryTimeout is how long the records of a request may take.
const deliveryTimeout = 60 * time.Second

// produceAll sends records of one topic and waits until each is acknowledged or has failed; errors come by index.
// by is the API that they came by.
func (s *Server) produceAll(ctx context.Context, cl *kgo.Client, by string, records []*kgo.Record) []error {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	errs := make([]error, len(records))
	if len(records) == 0 {
		return errs
	}
	end := s.writers.begin(cl, records[0].Topic)
	defer func() {
		end(errs...)
		s.metrics.wrote(by, errs...)
	}()
	var left sync.WaitGroup
	left.Add(len(records))
	for i, record := range records {
		cl.Produce(ctx, record, func(_ *kgo.Record, err error) {
			errs[i] = err
			left.Done()
		})
	}
	left.Wait()
	return errs
}

// body reads a body with records, as bytes that count against the bound on all of them until done is called.
func (s *Server) body(r *http.Request) (b []byte, done func(), err error) {
	weight := r.ContentLength
	if weight < 0 || weight > s.o.Limits.RequestBytes {
		weight = s.o.Limits.RequestBytes
	}
	if err := s.buffer.Acquire(r.Context(), weight); err != nil {
		return nil, nil, err
	}
	done = func() { s.buffer.Release(weight) }
	// A body of known length is read into one piece.
	if r.ContentLength > 0 {
		b = make([]byte, 0, r.ContentLength+1)
		b, err = appendAll(b, r.Body)
	} else {
		b, err = io.ReadAll(r.Body)
	}
	if err != nil {
		done()
		return nil, nil, bodyError(err)
	}
	return b, done, nil
}

func appendAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF { //nolint:errorlint // a Reader's end is io.EOF itself
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// bodyError is for a body that ends before it should, which is the client's doing.
func bodyError(err error) error {
	if strings.Contains(err.Error(), "unexpected EOF") {
		return gate.Errorf(http.StatusBadRequest, "The body ends before its end")
	}
	return err
}
