package app

import (
	"sync"

	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// moves tells coordinators that a topic has come or gone, or that this broker has got or lost a shard: reasons to look
// again at which partitions are theirs.
type moves struct {
	mu   sync.Mutex
	next chan struct{} // closed at the next change
}

func newMoves(store *topics.Store) *moves {
	m := &moves{next: make(chan struct{})}
	store.OnChange(func(before, after *topics.View) {
		for _, name := range []string{kafka.GroupMetadataTopic, kafka.TransactionStateTopic, kafka.ShareGroupStateTopic} {
			was, _ := before.ByName(name)
			if is, _ := after.ByName(name); is != was {
				m.tell()
				return
			}
		}
	})
	return m
}

func (m *moves) changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next
}

func (m *moves) tell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.next)
	m.next = make(chan struct{})
}
