package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Listener is the name of the listener for brokers, as auth.BrokerListener has it.
const Listener = "WEIR"

// secretKey holds the secret of the cluster in the metadata store: a version byte, which is 1, and 32 bytes.
const secretKey = "ids/peer"

const secretVersion = 1

// Secret proves that its owner is a broker of the cluster.
type Secret [32]byte

// String hides the secret from logs.
func (Secret) String() string { return "[hidden]" }

// LoadSecret reads the secret of the cluster, and makes it if there is none yet.
func LoadSecret(ctx context.Context, store meta.Store, random io.Reader) (Secret, error) {
	for {
		e, err := store.Get(ctx, secretKey)
		if err == nil {
			if len(e.Value) != 1+len(Secret{}) || e.Value[0] != secretVersion {
				return Secret{}, fmt.Errorf("metadata key %s holds no secret of version %d", secretKey, secretVersion)
			}
			return Secret(e.Value[1:]), nil
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return Secret{}, fmt.Errorf("read the secret of the cluster: %w", err)
		}
		var made Secret
		if _, err := io.ReadFull(random, made[:]); err != nil {
			return Secret{}, fmt.Errorf("make the secret of the cluster: %w", err)
		}
		// If another broker is faster, its secret is read in the next round.
		put := meta.Op{Kind: meta.Put, Key: secretKey, Value: append([]byte{secretVersion}, made[:]...)}
		if _, err := store.Txn(ctx, []meta.Compare{{Key: secretKey}}, []meta.Op{put}); err != nil {
			return Secret{}, fmt.Errorf("keep the secret of the cluster: %w", err)
		}
	}
}
