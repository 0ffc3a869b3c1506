// Package awskms is the fieldcrypt.KMS in AWS's key management service. It stands apart so that only those who use it are linked
// with AWS's library.
//
// A key id is the key's ARN, which also says the region. Credentials are found as AWS's tools find them; a KEK may name its own in its
// properties (access.key.id and secret.access.key, or profile), and a role to take (role.arn, role.session.name, role.external.id).
// Whether a KEK may do so is the caller's choice: a registry, where others make KEKs, leaves FromKEK off.
package awskms

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	gocloudkms "gocloud.dev/secrets/awskms"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// KMS wraps and unwraps by keys in AWS. The zero value is ready. It is safe for concurrent use.
type KMS struct {
	// FromKEK lets the properties of a KEK choose credentials and role.
	FromKEK bool

	mu sync.Mutex
	// keepers by key id and properties; all are dropped when there are maxKeepers. They hold no connection of their own.
	keepers map[string]*secrets.Keeper
}

const maxKeepers = 100

var _ fieldcrypt.KMS = (*KMS)(nil)

// Wrap implements fieldcrypt.KMS.
func (s *KMS) Wrap(ctx context.Context, k fieldcrypt.KEK, keyID string, material []byte) ([]byte, error) {
	keeper, err := s.keeper(ctx, k, keyID)
	if err != nil {
		return nil, err
	}
	out, err := keeper.Encrypt(ctx, material)
	return out, judge(err)
}

// Unwrap implements fieldcrypt.KMS.
func (s *KMS) Unwrap(ctx context.Context, k fieldcrypt.KEK, keyID string, wrapped []byte) ([]byte, error) {
	keeper, err := s.keeper(ctx, k, keyID)
	if err != nil {
		return nil, err
	}
	out, err := keeper.Decrypt(ctx, wrapped)
	return out, judge(err)
}

func judge(err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.PermissionDenied || strings.Contains(err.Error(), "AccessDenied"):
		return fmt.Errorf("aws-kms: %w: %w", fieldcrypt.ErrDenied, err)
	}
	return fmt.Errorf("aws-kms: %w", err)
}

// region is the fourth part of an ARN: arn:aws:kms:eu-west-1:111122223333:key/…
func region(keyID string) (string, error) {
	parts := strings.Split(keyID, ":")
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "kms" || parts[3] == "" {
		return "", fmt.Errorf("aws-kms: key id %q is not the ARN of a key", keyID)
	}
	return parts[3], nil
}

func (s *KMS) keeper(ctx context.Context, k fieldcrypt.KEK, keyID string) (*secrets.Keeper, error) {
	where, err := region(keyID)
	if err != nil {
		return nil, err
	}
	ids := []string{keyID}
	props := map[string]string{}
	if s.FromKEK {
		for _, name := range []string{"access.key.id", "secret.access.key", "profile", "role.arn", "role.session.name", "role.external.id"} {
			props[name] = k.Props[name]
			ids = append(ids, k.Props[name])
		}
	}
	id := strings.Join(ids, "\x00")
	s.mu.Lock()
	keeper := s.keepers[id]
	s.mu.Unlock()
	if keeper != nil {
		return keeper, nil
	}
	client, err := open(ctx, where, props)
	if err != nil {
		return nil, err
	}
	keeper = gocloudkms.OpenKeeper(client, keyID, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepers == nil || len(s.keepers) >= maxKeepers {
		s.keepers = map[string]*secrets.Keeper{}
	}
	s.keepers[id] = keeper
	return keeper, nil
}

func open(ctx context.Context, where string, props map[string]string) (*kms.Client, error) {
	opts := []func(*config.LoadOptions) error{config.WithRegion(where)}
	if props["access.key.id"] != "" && props["secret.access.key"] != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(props["access.key.id"], props["secret.access.key"], "")))
	} else if props["profile"] != "" {
		opts = append(opts, config.WithSharedConfigProfile(props["profile"]))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("aws-kms: %w", err)
	}
	if role := props["role.arn"]; role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = props["role.session.name"]
			if id := props["role.external.id"]; id != "" {
				o.ExternalID = aws.String(id)
			}
		}))
	}
	return kms.NewFromConfig(cfg), nil
}
