package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// Keys in the metadata store: u/USER/MECHANISM holds a credential, k/ID a delegation token, ids/salt the seed of the salts that
// unknown users are told. USER is escaped as a path segment.
const (
	userPrefix  = "u/"
	tokenPrefix = "k/"
	seedKey     = "ids/salt"
)

// Limits of what clients may store.
const (
	maxUsers         = 100_000
	maxUserNameBytes = 256
	maxSaltBytes     = 1024
)

// Users keeps the credentials of users and the delegation tokens in the metadata store. Readers see an immutable snapshot;
// changes are durable, and seen here, when the call returns. All methods may be called from any goroutine.
//
// Nothing that it stores lets anybody log in: credentials are salted and hashed (RFC 5802), and what proves a token is
// derived from its id and a secret that is in the settings alone.
type Users struct {
	meta   meta.Store
	rand   io.Reader
	logger *slog.Logger
	seed   [32]byte

	view atomic.Pointer[usersView]
	// turn holds one token: who has taken it may change the view.
	turn chan struct{}
}

// usersView is a snapshot.
type usersView struct {
	users  map[string]map[ScramMechanism]Credential
	tokens map[string]Token
	// revisions are those of the tokens' keys.
	revisions map[string]int64
	// usual is what most credentials look like, for the answer to an unknown user.
	usual map[ScramMechanism]credentialShape
}

type credentialShape struct{ iterations, saltBytes int }

// OpenUsers reads all credentials. random is where salts and ids come from; nil means crypto/rand.
func OpenUsers(ctx context.Context, store meta.Store, random io.Reader, logger *slog.Logger) (*Users, error) {
	if random == nil {
		random = rand.Reader
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	u := &Users{meta: store, rand: random, logger: logger, turn: make(chan struct{}, 1)}
	if err := u.loadSeed(ctx); err != nil {
		return nil, fmt.Errorf("seed of salts: %w", err)
	}
	if err := u.reload(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *Users) loadSeed(ctx context.Context) error {
	for {
		e, err := u.meta.Get(ctx, seedKey)
		if err == nil {
			body, err := unsealValue(e.Value)
			if err != nil || len(body) != len(u.seed) {
				return fmt.Errorf("metadata key %s: %w", seedKey, errBadValue)
			}
			copy(u.seed[:], body)
			return nil
		}
		if !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		var seed [32]byte
		if _, err := io.ReadFull(u.rand, seed[:]); err != nil {
			return err
		}
		// If another broker is faster, its seed is read in the next round.
		if _, err := u.meta.Txn(ctx, []meta.Compare{{Key: seedKey}}, []meta.Op{{Kind: meta.Put, Key: seedKey, Value: sealValue(seed[:])}}); err != nil {
			return err
		}
	}
}

// Run follows what other brokers change in a shared metadata store. It is a service.Service.
func (u *Users) Run(ctx context.Context, ready func()) error {
	f := meta.Follower{
		Store: u.meta, What: "credentials", Prefixes: []string{userPrefix, tokenPrefix}, Reload: u.refresh, Logger: u.logger,
		Apply: func(ctx context.Context, _ []meta.Event) error { return u.refresh(ctx) },
	}
	return f.Run(ctx, ready)
}

func (u *Users) begin(ctx context.Context) error {
	select {
	case u.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *Users) end() { <-u.turn }

func (u *Users) refresh(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	defer u.end()
	return u.reload(ctx)
}

// reload is for who has the turn. A damaged value is an error: who may log in must not be a guess.
func (u *Users) reload(ctx context.Context) error {
	v := &usersView{users: map[string]map[ScramMechanism]Credential{}, tokens: map[string]Token{}, revisions: map[string]int64{}}
	entries, err := u.meta.Range(ctx, userPrefix, "", 0)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	for _, e := range entries {
		name, m, err := parseUserKey(e.Key)
		if err != nil {
			return fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
		c, err := decodeCredential(e.Value)
		if err != nil {
			return fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
		if v.users[name] == nil {
			v.users[name] = map[ScramMechanism]Credential{}
		}
		v.users[name][m] = c
	}
	if entries, err = u.meta.Range(ctx, tokenPrefix, "", 0); err != nil {
		return fmt.Errorf("read delegation tokens: %w", err)
	}
	for _, e := range entries {
		t, err := decodeToken(strings.TrimPrefix(e.Key, tokenPrefix), e.Value)
		if err != nil {
			return fmt.Errorf("metadata key %q: %w", e.Key, err)
		}
		v.tokens[t.ID], v.revisions[t.ID] = t, e.Revision
	}
	v.usual = usualShapes(v.users)
	u.view.Store(v)
	return nil
}

func usualShapes(users map[string]map[ScramMechanism]Credential) map[ScramMechanism]credentialShape {
	count := map[ScramMechanism]map[credentialShape]int{}
	for _, byMechanism := range users {
		for m, c := range byMechanism {
			if count[m] == nil {
				count[m] = map[credentialShape]int{}
			}
			count[m][credentialShape{c.Iterations, len(c.Salt)}]++
		}
	}
	out := map[ScramMechanism]credentialShape{}
	for m, shapes := range count {
		out[m] = slices.MaxFunc(slices.Collect(maps.Keys(shapes)), func(a, b credentialShape) int {
			return cmp.Or(shapes[a]-shapes[b], a.iterations-b.iterations, a.saltBytes-b.saltBytes)
		})
	}
	return out
}

func userKey(name string, m ScramMechanism) string {
	return userPrefix + url.PathEscape(name) + "/" + m.String()
}

func parseUserKey(key string) (string, ScramMechanism, error) {
	escaped, mechanism, _ := strings.Cut(strings.TrimPrefix(key, userPrefix), "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", err, errBadValue)
	}
	m, ok := ScramMechanismOf(mechanism)
	if !ok {
		return "", 0, fmt.Errorf("mechanism %q: %w", mechanism, errBadValue)
	}
	return name, m, nil
}

// Names are the names of all users who have a credential, sorted.
func (u *Users) Names() []string { return slices.Sorted(maps.Keys(u.view.Load().users)) }

// Credentials are those of a user, nil if there are none. The map must not be changed.
func (u *Users) Credentials(name string) map[ScramMechanism]Credential {
	return u.view.Load().users[name]
}

// CredentialChange sets the credential of a user for one mechanism, or deletes it.
type CredentialChange struct {
	User      string
	Mechanism ScramMechanism
	Delete    bool
	// SaltedPassword is what the client derived from the password, the salt and the iterations.
	Iterations           int
	Salt, SaltedPassword []byte
}

// ChangeCredential makes one change. The errors are Kafka's, as *kafka.Detail: UnacceptableCredential,
// UnsupportedSASLMechanism, ResourceNotFound.
func (u *Users) ChangeCredential(ctx context.Context, c CredentialChange) error {
	if err := u.Check(c); err != nil {
		return err
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	defer u.end()
	if err := u.Check(c); err != nil { // again: another change may have been faster
		return err
	}
	op := meta.Op{Kind: meta.Delete, Key: userKey(c.User, c.Mechanism)}
	if !c.Delete {
		op.Kind, op.Value = meta.Put, encodeCredential(NewCredential(c.Mechanism, c.Salt, c.SaltedPassword, c.Iterations))
	}
	if _, err := u.meta.Txn(ctx, nil, []meta.Op{op}); err != nil {
		return fmt.Errorf("write credential: %w", err)
	}
	return u.reload(ctx)
}

// Check tells what ChangeCredential would refuse, in the words of Kafka where Kafka refuses it too.
func (u *Users) Check(c CredentialChange) error {
	switch {
	case c.User == "":
		return kafka.Errorf(kafka.UnacceptableCredential, "Username must not be empty")
	case c.Mechanism != ScramSHA256 && c.Mechanism != ScramSHA512:
		return kafka.Errorf(kafka.UnsupportedSASLMechanism, "Unknown SCRAM mechanism")
	case c.Delete:
		if _, ok := u.Credentials(c.User)[c.Mechanism]; !ok {
			return kafka.Errorf(kafka.ResourceNotFound, "Attempt to delete a user credential that does not exist")
		}
		return nil
	case c.User == BrokerUser:
		return kafka.Errorf(kafka.UnacceptableCredential, "The name %s is reserved for brokers", BrokerUser)
	case c.Iterations < MinScramIterations:
		return kafka.Errorf(kafka.UnacceptableCredential, "Too few iterations")
	case c.Iterations > MaxScramIterations:
		return kafka.Errorf(kafka.UnacceptableCredential, "Too many iterations")
	case len(c.User) > maxUserNameBytes:
		return kafka.Errorf(kafka.UnacceptableCredential, "Username is longer than %d bytes", maxUserNameBytes)
	case len(c.Salt) == 0 || len(c.Salt) > maxSaltBytes:
		return kafka.Errorf(kafka.UnacceptableCredential, "Salt must have 1 to %d bytes", maxSaltBytes)
	case len(c.SaltedPassword) == 0 || len(c.SaltedPassword) > maxSaltBytes: // of any other length nobody can log in by it, as on Kafka
		return kafka.Errorf(kafka.UnacceptableCredential, "Salted password must have 1 to %d bytes", maxSaltBytes)
	case u.Credentials(c.User) == nil && len(u.view.Load().users) >= maxUsers:
		return kafka.Errorf(kafka.PolicyViolation, "%d users have credentials; no more are kept", maxUsers)
	}
	return nil
}

// AddUser gives a user who has no credential yet one for each mechanism. It tells whether it did.
func (u *Users) AddUser(ctx context.Context, name, password string) (bool, error) {
	if u.Credentials(name) != nil {
		return false, nil
	}
	for _, m := range []ScramMechanism{ScramSHA256, ScramSHA512} {
		salt := make([]byte, newSaltBytes)
		if _, err := io.ReadFull(u.rand, salt); err != nil {
			return false, fmt.Errorf("make a salt: %w", err)
		}
		salted, err := m.SaltPassword(password, salt, NewScramIterations)
		if err != nil {
			return false, err
		}
		if err := u.ChangeCredential(ctx, CredentialChange{User: name, Mechanism: m, Iterations: NewScramIterations, Salt: salt, SaltedPassword: salted}); err != nil {
			return false, fmt.Errorf("user %q: %w", name, err)
		}
	}
	return true, nil
}
