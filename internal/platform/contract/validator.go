package contract

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
)

// Options of a Validator. Schemas and Formats are required.
type Options struct {
	Schemas Schemas
	// Formats is the table of the formats (formats.Of).
	Formats func(schema.Type) (schema.Format, bool)
	// Rules carries out rule sets. Nil: level rules asks for no more than level schema.
	Rules      Rules
	Now        func() time.Time // default: time.Now
	Registerer prometheus.Registerer
}

// Bounds of what is remembered and waited for.
const (
	// boundSchemas is how many schemas are remembered for each topic and part; beyond it all are forgotten.
	boundSchemas = 1000
	// unknownFor is how long an id that is not registered is not looked for again.
	unknownFor = time.Second
	// catchUpTimeout bounds one look at the end of _schemas, catchUpEvery their rate, and catchUpsPerBatch their number for one batch.
	catchUpTimeout   = 2 * time.Second
	catchUpEvery     = 50 * time.Millisecond
	catchUpsPerBatch = 3
	// detailBytes is the most that is told of an error.
	detailBytes = 300
	// samplesPerTopic violations are kept of each topic, of samplesTopics topics; keys are cut at sampleKeyBytes.
	samplesPerTopic = 100
	samplesTopics   = 1000
	sampleKeyBytes  = 256
)

// Validator judges records. Its methods may be called from many goroutines.
type Validator struct {
	o       Options
	metrics *metrics

	mu     sync.RWMutex
	topics map[string]*topic

	// turn is taken by who looks at the end of _schemas.
	turn chan struct{}
	// last is when the last look began. It belongs to who has the turn.
	last time.Time
}

// New returns a validator that knows nothing yet.
func New(o Options) *Validator {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Validator{o: o, metrics: newMetrics(o.Registerer), topics: map[string]*topic{}, turn: make(chan struct{}, 1)}
}

// Judge returns who judges a batch of records of a topic.
func (v *Validator) Judge(name string, t *terms.Terms) *Judge {
	return &Judge{topic: v.topic(name, t), terms: t}
}

// topic returns what is kept of a topic. Terms that changed begin anew, but for counters and samples.
func (v *Validator) topic(name string, t *terms.Terms) *topic {
	v.mu.RLock()
	x := v.topics[name]
	v.mu.RUnlock()
	if x != nil && x.terms == *t {
		return x
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if x = v.topics[name]; x != nil && x.terms == *t {
		return x
	}
	made := newTopic(v, name, t)
	if x != nil {
		made.samples = x.samples
	} else if len(v.topics) < samplesTopics {
		made.samples = &samples{}
	}
	v.topics[name] = made
	return made
}

// Forget drops what is kept of deleted topics.
func (v *Validator) Forget(topics []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range topics {
		if _, ok := v.topics[name]; ok {
			delete(v.topics, name)
			v.metrics.forget(name)
		}
	}
}

// catchUp makes sure that everything is known that was registered before it was called. Calls share the work of others.
func (v *Validator) catchUp(ctx context.Context) error {
	asked := v.o.Now()
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	defer func() { <-v.turn }()
	if v.last.After(asked) {
		return nil // somebody began to look after we were called
	}
	if wait := catchUpEvery - asked.Sub(v.last); wait > 0 && !v.last.IsZero() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
	began := v.o.Now()
	if err := v.o.Schemas.CatchUp(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v.last = began
	return nil
}
