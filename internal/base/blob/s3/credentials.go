package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	keysTimeLimit = 10 * time.Second // to get keys from a role's endpoint
	keysPause     = 10 * time.Second // after a refresh that failed while the old keys still hold
	keysMargin    = time.Minute      // keys are not used in their last minute
	keysAgain     = time.Second      // after sources were asked because keys had been refused
)

// keyring hands out the keys that requests are signed with, and gets new ones before they expire. minio-go knows how to get
// them; its own chain answers "anonymous" when a source fails, so the chain is here: the first source that has keys is
// kept, and while the old keys hold a failed refresh is only tried again.
type keyring struct {
	sources []source
	client  *http.Client
	gate    chan struct{} // held by the one that asks a source

	mu      sync.Mutex
	value   credentials.Value
	from    credentials.Provider // nil before the first keys
	stale   bool                 // the service has refused value
	askedAt time.Time            // when that was found last
	pauseTo time.Time
}

// source is one place where keys may be.
type source struct {
	name     string
	provider credentials.Provider
}

func newKeyring(o *Options) *keyring {
	k := &keyring{
		client: &http.Client{Timeout: keysTimeLimit},
		gate:   make(chan struct{}, 1),
	}
	if o.CredentialsFile != "" {
		k.sources = []source{{"file " + o.CredentialsFile, &credentials.FileAWSCredentials{Filename: o.CredentialsFile, Profile: o.Profile}}}
		return k
	}
	k.sources = []source{
		{"environment", &credentials.EnvAWS{}},
		{"shared files", &credentials.FileAWSCredentials{Profile: o.Profile}},
	}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		k.sources = append(k.sources, source{"role of the container or machine", &credentials.IAM{Client: k.client, Region: o.Region}})
	}
	return k
}

// get returns keys to sign with now.
func (k *keyring) get(ctx context.Context) (credentials.Value, error) {
	value, fresh, usable := k.look()
	if fresh {
		return value, nil
	}
	if usable {
		select {
		case k.gate <- struct{}{}:
		default:
			return value, nil // another call gets new ones
		}
	} else {
		select {
		case k.gate <- struct{}{}:
		case <-ctx.Done():
			return credentials.Value{}, context.Cause(ctx)
		}
	}
	defer func() { <-k.gate }()
	if value, fresh, _ := k.look(); fresh {
		return value, nil
	}
	return k.refresh(ctx)
}

// look returns the keys, whether they can be used without a thought, and whether they can be used at all.
func (k *keyring) look() (value credentials.Value, fresh, usable bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.from == nil || k.stale {
		return credentials.Value{}, false, false
	}
	usable = k.value.Expiration.IsZero() || time.Until(k.value.Expiration) > keysMargin
	paused := time.Now().Before(k.pauseTo)
	return k.value, usable && (paused || !k.from.IsExpired()), usable
}

// refresh asks the sources, in order. The gate is held, so no provider is used by two goroutines.
func (k *keyring) refresh(ctx context.Context) (credentials.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeLimit)
	defer cancel()
	var errs []error
	for _, s := range k.sources {
		value, err := s.provider.RetrieveWithCredContext(&credentials.CredContext{Client: k.client, Context: ctx})
		if err == nil && (value.AccessKeyID == "" || value.SecretAccessKey == "") {
			err = errors.New("no keys")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		k.mu.Lock()
		k.value, k.from, k.stale = value, s.provider, false
		k.mu.Unlock()
		return value, nil
	}
	if value, _, usable := k.look(); usable {
		k.mu.Lock()
		k.pauseTo = time.Now().Add(keysPause)
		k.mu.Unlock()
		return value, nil
	}
	return credentials.Value{}, fmt.Errorf("%w: %w", ErrNoKeys, errors.Join(errs...))
}

// replaced is called when the service did not take the keys that a request was signed with. It asks the sources anew, unless another call has, and reports
// whether there are other keys now: a file that was rewritten, say.
func (k *keyring) replaced(ctx context.Context, used credentials.Value) bool {
	k.mu.Lock()
	if sameKeys(k.value, used) && time.Since(k.askedAt) > keysAgain {
		k.stale, k.askedAt = true, time.Now()
	}
	k.mu.Unlock()
	now, err := k.get(ctx)
	return err == nil && !sameKeys(now, used)
}

func sameKeys(a, b credentials.Value) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey && a.SessionToken == b.SessionToken
}
