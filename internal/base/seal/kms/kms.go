// Package kms opens the keeper that an operator's URL names: a key file, Vault's transit engine, or the key management
// service of a cloud. It is the one place that imports the clouds' libraries, and is imported by the assembly alone.
//
//	file:PATH                                  32 bytes, raw, in base64 or in hexadecimal
//	hashivault://KEY                           Vault's transit engine at VAULT_ADDR with VAULT_TOKEN
//	awskms://ID?region=R                       AWS; credentials as AWS's tools find them
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
//	azurekeyvault://VAULT.vault.azure.net/keys/KEY
package kms

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"        // registers awskms://
	_ "gocloud.dev/secrets/azurekeyvault" // registers azurekeyvault://
	_ "gocloud.dev/secrets/gcpkms"        // registers gcpkms://

	"github.com/weir-stream/weir/internal/base/seal"
)

// Keeper is a seal.Keeper that holds connections until Close.
type Keeper interface {
	seal.Keeper
	Close() error
}

// schemes are what may stand before the colon of a URL.
var schemes = []string{"file", "hashivault", "awskms", "gcpkms", "azurekeyvault"}

// Check says what is wrong with a key URL, without opening it; an empty one is none.
func Check(keyURL string) error {
	if keyURL == "" {
		return nil
	}
	scheme, rest, found := strings.Cut(keyURL, ":")
	for _, s := range schemes {
		if found && s == scheme && strings.Trim(rest, "/") != "" {
			return nil
		}
	}
	return fmt.Errorf("not of the form %s", Form)
}

// Form is how key URLs look, for errors and help.
const Form = "file:PATH, hashivault://KEY, awskms://ID?region=REGION, gcpkms://KEY or azurekeyvault://KEY"

// Open returns the keeper of a key URL.
func Open(ctx context.Context, keyURL string) (Keeper, error) {
	if err := Check(keyURL); err != nil {
		return nil, fmt.Errorf("encryption key %q: %w", keyURL, err)
	}
	if path, ok := strings.CutPrefix(keyURL, "file:"); ok {
		k, err := seal.OpenKeyFile(strings.TrimPrefix(path, "//"))
		if err != nil {
			return nil, err
		}
		return noConnection{k}, nil
	}
	if name, ok := strings.CutPrefix(keyURL, "hashivault://"); ok {
		return openVault(name, os.Getenv)
	}
	k, err := secrets.OpenKeeper(ctx, keyURL)
	if err != nil {
		return nil, fmt.Errorf("open the encryption key %s: %w", redacted(keyURL), err)
	}
	return k, nil
}

// redacted is a URL without what may be secret in it.
func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "of a URL that cannot be parsed"
	}
	return u.Redacted()
}

type noConnection struct{ seal.Keeper }

func (noConnection) Close() error { return nil }
