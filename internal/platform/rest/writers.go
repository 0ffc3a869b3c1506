package rest

import (
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// writers counts who writes what. A client that was refused a topic, or found none, goes on asking for it as long as it lives, and each
// time that is an event of the audit: when the last writer of such a topic has ended, the client is made to forget it.
type writers struct {
	mu sync.Mutex
	by map[writing]int
}

// writing is a topic that a client writes to.
type writing struct {
	client *kgo.Client
	topic  string
}

// begin counts a writer; end has to be called with the errors that he met.
func (w *writers) begin(client *kgo.Client, topic string) (end func(errs ...error)) {
	at := writing{client, topic}
	w.mu.Lock()
	w.by[at]++
	w.mu.Unlock()
	return func(errs ...error) {
		w.mu.Lock()
		w.by[at]--
		last := w.by[at] == 0
		if last {
			delete(w.by, at)
		}
		w.mu.Unlock()
		for _, err := range errs {
			if last && isHopeless(err) {
				client.PurgeTopicsFromProducing(topic)
				return
			}
		}
	}
}

// isHopeless is for errors that a client tries to overcome and cannot.
func isHopeless(err error) bool {
	return err != nil && (errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidTopicException))
}
