package app

import (
	"context"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/base/service"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/dek"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt/awskms"
)

// Settings of the key management services that the registry uses for key encryption keys that are shared.
var (
	KeysSecretFile = config.String("registry.kms.local.secret.file", "",
		"File with the secret of the KMS local-kms, with which the registry wraps and unwraps keys of clients whose key encryption key is shared and of that type.")
	KeysVault = config.String("registry.kms.vault.address", "",
		"http or https URL of the one Vault that the registry uses for shared key encryption keys of type hcvault. The token is in the environment variable VAULT_TOKEN, a namespace in VAULT_NAMESPACE.")
	KeysAWS = config.Bool("registry.kms.aws", false,
		"Whether the registry uses AWS, with this machine's credentials, for shared key encryption keys of type aws-kms.")
)

// keyKMS opens what the settings name.
func (a *App) keyKMS() (fieldcrypt.KMSes, error) {
	v, kms := a.o.Values, fieldcrypt.KMSes{}
	if path := KeysSecretFile.Get(v); path != "" {
		l, err := fieldcrypt.OpenLocal(path)
		if err != nil {
			return nil, fmt.Errorf("setting %s: %w", KeysSecretFile.Name(), err)
		}
		kms[fieldcrypt.TypeLocal] = l
	}
	if address := KeysVault.Get(v); address != "" {
		vault, err := fieldcrypt.NewVault(fieldcrypt.VaultOptions{Address: address, Token: secret.New(os.Getenv("VAULT_TOKEN")), Namespace: os.Getenv("VAULT_NAMESPACE")})
		if err != nil {
			return nil, fmt.Errorf("setting %s: %w", KeysVault.Name(), err)
		}
		kms[fieldcrypt.TypeVault] = vault
	}
	if KeysAWS.Get(v) {
		kms[fieldcrypt.TypeAWS] = &awskms.KMS{}
	}
	return kms, nil
}

// keysLog is the log of a registry as that of keys: their records are alike.
type keysLog struct{ registry.Log }

func (l keysLog) Run(ctx context.Context, apply func(r dek.Record, offset, timeMs int64), restart, loaded func()) error {
	return l.Log.Run(ctx, func(r state.Record, offset, timeMs int64) { apply(dek.Record(r), offset, timeMs) }, restart, loaded)
}

func (l keysLog) Append(ctx context.Context, records []dek.Record) (int64, error) {
	out := make([]state.Record, len(records))
	for i, r := range records {
		out[i] = state.Record(r)
	}
	return l.Log.Append(ctx, out)
}

// addKeys makes the registry of keys for the encryption of fields, beside that of schemas.
func (a *App) addKeys(p *platform, b gate.Bridge, connect func(more ...kgo.Opt) (*kgo.Client, error)) (*dek.Service, error) {
	kms, err := a.keyKMS()
	if err != nil {
		return nil, err
	}
	keys := dek.NewKeys()
	noop := state.Record(dek.Noop())
	log := registry.NewKafkaLog(registry.LogOptions{
		Connect: connect, Topic: dek.Topic, TransactionalID: "weir-registry-" + dek.Topic, Replication: int16(RegistryReplication.Get(a.o.Values)), Noop: noop, Logger: a.o.Logger,
	})
	store := dek.NewStore(keysLog{registry.TakeTurns(log, noop)}, registry.ErrLost, keys, a.o.Logger)
	p.parts = append(p.parts, service.Member{Name: "keys", Needs: []string{"clients"}, Service: store})
	return dek.New(dek.Options{Keys: keys, Log: store, KMS: kms, Allow: dek.By(b), Logger: a.o.Logger})
}
