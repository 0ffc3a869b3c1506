package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
)

// errLostShard says that another incarnation has taken a shard: everything known of it is void.
var errLostShard = errors.New("shard was taken over by another incarnation")

// publish moves the shard's pointer to p. It fails without effect if anyone else has moved it.
func (s *Store) publish(ctx context.Context, sh *shardState, p ownership.Pointer) error {
	key := ownership.ShardKey(sh.id)
	r, err := s.o.Meta.Txn(ctx, []meta.Compare{{Key: key, Revision: sh.revision}}, []meta.Op{{Kind: meta.Put, Key: key, Value: p.Encode()}})
	if err != nil {
		return fmt.Errorf("move pointer of shard %d: %w", sh.id, err)
	}
	if !r.Succeeded {
		return fmt.Errorf("move pointer of shard %d: %w", sh.id, errLostShard)
	}
	sh.pointer, sh.revision, sh.movedAt = p, r.Revision, time.Now()
	sh.published.Store(r.Revision)
	return nil
}
