package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Expel takes a broker out of the cluster before its lease ends, if its record still is that of the process; false means that it is not. It is for
// whoever has seen that process end (docs/design/0038). If it lives all the same nothing is lost: its log is sealed like a dead one's, and it comes back
// with its next renewal.
func (m *Member) Expel(ctx context.Context, id int32, process string) (bool, error) {
	key := brokerKey(id)
	e, err := m.o.Meta.Get(ctx, key)
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read broker %d: %w", id, err)
	}
	var there record
	if err := json.Unmarshal(e.Value, &there); err != nil {
		return false, fmt.Errorf("metadata key %s: %w", key, err)
	}
	if process == "" || there.Nonce != process {
		return false, nil
	}
	compares, ops := []meta.Compare{{Key: key, Revision: e.Revision}}, []meta.Op{{Kind: meta.Delete, Key: key}}
	// The controller's key goes with it, in one transaction: without a controller nobody is given its shards.
	switch c, err := m.o.Meta.Get(ctx, controllerKey); {
	case err == nil && bytes.Equal(c.Value, encode(id)):
		compares, ops = append(compares, meta.Compare{Key: controllerKey, Revision: c.Revision}), append(ops, meta.Op{Kind: meta.Delete, Key: controllerKey})
	case err != nil && !errors.Is(err, meta.ErrNotFound):
		return false, fmt.Errorf("read the controller: %w", err)
	}
	r, err := m.o.Meta.Txn(ctx, compares, ops)
	return err == nil && r.Succeeded, err
}

// Named reports whether this broker's record is there, as far as the view tells: if not, others take it for dead.
func (m *Member) Named() bool {
	_, ok := m.directory.View().Broker(m.o.ID)
	return ok
}
