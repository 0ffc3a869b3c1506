// Package awskms is the serde.KMS of AWS: for the type aws-kms in ClientOptions.KMS. It stands apart so that only programs that use it are
// linked with AWS's library.
package awskms

import (
	"context"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt/awskms"
	"github.com/weir-stream/weir/serde"
)

// Options say where credentials come from.
type Options struct {
	// FromKey lets the properties of a key in the registry choose credentials and role (access.key.id, secret.access.key, profile, role.arn): only for
	// registries where nobody but its owner makes keys.
	FromKey bool
}

// New returns a KMS that uses AWS's credentials as AWS's own tools find them. Key ids are ARNs.
func New(o Options) serde.KMS { return &keys{&awskms.KMS{FromKEK: o.FromKey}} }

type keys struct{ k *awskms.KMS }

func (s *keys) Wrap(ctx context.Context, k serde.KeyRef, material []byte) ([]byte, error) {
	return s.k.Wrap(ctx, fieldcrypt.KEK{Name: k.KEK, Props: k.Props}, k.ID, material)
}

func (s *keys) Unwrap(ctx context.Context, k serde.KeyRef, wrapped []byte) ([]byte, error) {
	return s.k.Unwrap(ctx, fieldcrypt.KEK{Name: k.KEK, Props: k.Props}, k.ID, wrapped)
}
