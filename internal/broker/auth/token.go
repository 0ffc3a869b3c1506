package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/kafka"
)

// Settings of delegation tokens, as Kafka has them.
var (
	TokenSecret = config.Password("delegation.token.secret.key",
		"Secret from which delegation tokens are made. Without it there are none. With another one the old tokens are worth nothing.")
	TokenMaxLifetime = config.Millis("delegation.token.max.lifetime.ms", 7*24*time.Hour, config.AtLeast(1),
		"Longest time for which a delegation token can be renewed.")
	TokenExpiry = config.Millis("delegation.token.expiry.time.ms", 24*time.Hour, config.AtLeast(1),
		"Time after which a delegation token ends unless it is renewed.")
	TokenCheckInterval = config.Millis("delegation.token.expiry.check.interval.ms", time.Hour, config.AtLeast(1),
		"Time between looks for delegation tokens that have ended.")
)

// Limits of what clients may store.
const (
	maxTokens   = 10_000
	maxRenewers = 100
)

// Token is a delegation token (KIP-48): who has it may act as its owner until it expires.
type Token struct {
	ID               string
	Owner, Requester Principal
	Renewers         []Principal
	Issued, Expires  time.Time
	Latest           time.Time // Expires can be moved up to it
}

// BelongsTo tells whether p may renew and end the token.
func (t Token) BelongsTo(p Principal) bool { return t.Owner == p || slices.Contains(t.Renewers, p) }

// Tokens makes, renews and ends delegation tokens. They are kept by Users; what proves one, its HMAC, is derived from its id
// and the secret of the settings, and is stored nowhere.
type Tokens struct {
	users  *Users
	key    secret.Text
	values *config.Values
	now    func() time.Time
	logger *slog.Logger
}

// NewTokens returns the tokens that are kept by users.
func NewTokens(users *Users, values *config.Values, now func() time.Time, logger *slog.Logger) *Tokens {
	return &Tokens{users: users, key: TokenSecret.Get(values), values: values, now: now, logger: logger}
}

// Enabled tells whether there are tokens at all. The other methods yield DelegationTokenAuthDisabled if not.
func (t *Tokens) Enabled() bool { return !t.key.IsEmpty() }

var errTokensDisabled = kafka.DelegationTokenAuthDisabled

// HMAC is what proves a token.
func (t *Tokens) HMAC(id string) []byte {
	h := hmac.New(sha512.New, []byte(t.key.Reveal()))
	h.Write([]byte(id))
	return h.Sum(nil)
}

// login is the credential of a token that is in force: the password is its HMAC, in base64.
func (t *Tokens) login(id string, m ScramMechanism) (Credential, Token, bool) {
	token, ok := t.users.view.Load().tokens[id]
	if !ok || !t.Enabled() || !t.now().Before(token.Expires) {
		return Credential{}, Token{}, false
	}
	// The salt needs no chance: no two tokens have one password.
	salt := ScramSHA512.hmac(t.users.seed[:], []byte{0, byte(m)}, []byte(id))[:newSaltBytes]
	salted, err := m.SaltPassword(base64.StdEncoding.EncodeToString(t.HMAC(id)), salt, MinScramIterations)
	if err != nil {
		return Credential{}, Token{}, false
	}
	return NewCredential(m, salt, salted, MinScramIterations), token, true
}

// Create makes a token of owner. maxLifetime 0 or less is the longest there is.
func (t *Tokens) Create(ctx context.Context, owner, requester Principal, renewers []Principal, maxLifetime time.Duration) (Token, error) {
	if !t.Enabled() {
		return Token{}, errTokensDisabled
	}
	if len(renewers) > maxRenewers {
		return Token{}, kafka.Errorf(kafka.InvalidRequest, "A token may have %d renewers", maxRenewers)
	}
	var id [16]byte
	if _, err := io.ReadFull(t.users.rand, id[:]); err != nil {
		return Token{}, fmt.Errorf("make a token: %w", err)
	}
	now := t.now().Truncate(time.Millisecond)
	latest := TokenMaxLifetime.Get(t.values)
	if maxLifetime > 0 {
		latest = min(latest, maxLifetime)
	}
	token := Token{
		ID: base64.RawURLEncoding.EncodeToString(id[:]), Owner: owner, Requester: requester, Renewers: renewers,
		Issued: now, Latest: now.Add(latest), Expires: now.Add(min(latest, TokenExpiry.Get(t.values))),
	}
	return token, t.change(ctx, token.ID, func(_ Token, exists bool) (*Token, error) {
		if exists || len(t.users.view.Load().tokens) >= maxTokens {
			return nil, kafka.Errorf(kafka.PolicyViolation, "%d tokens are in force; no more are kept", maxTokens)
		}
		return &token, nil
	})
}

// Renew moves the end of the token that has the HMAC to period from now, or by the usual time if period is negative, but not
// beyond its latest end. by must be its owner or one of its renewers.
func (t *Tokens) Renew(ctx context.Context, proof []byte, by Principal, period time.Duration) (time.Time, error) {
	if period < 0 {
		period = TokenExpiry.Get(t.values)
	}
	return t.move(ctx, proof, by, func(token Token, now time.Time) (time.Time, bool) {
		return earlier(now.Add(period), token.Latest), true
	})
}

// Expire moves the end of a token to period from now; a negative period ends it at once.
func (t *Tokens) Expire(ctx context.Context, proof []byte, by Principal, period time.Duration) (time.Time, error) {
	return t.move(ctx, proof, by, func(token Token, now time.Time) (time.Time, bool) {
		if period < 0 {
			return now, false
		}
		return earlier(now.Add(period), token.Latest), true
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// move changes the end of a token; keep false deletes it.
func (t *Tokens) move(ctx context.Context, proof []byte, by Principal, end func(Token, time.Time) (at time.Time, keep bool)) (time.Time, error) {
	if !t.Enabled() {
		return time.Time{}, errTokensDisabled
	}
	id, ok := t.idOf(proof)
	if !ok {
		return time.Time{}, kafka.DelegationTokenNotFound
	}
	var at time.Time
	err := t.change(ctx, id, func(token Token, exists bool) (*Token, error) {
		now := t.now().Truncate(time.Millisecond)
		var keep bool
		at, keep = end(token, now)
		switch {
		case !exists:
			return nil, kafka.DelegationTokenNotFound
		case !token.BelongsTo(by):
			return nil, kafka.DelegationTokenOwnerMismatch
		case !keep:
			return nil, nil
		case token.Expires.Before(now) || token.Latest.Before(now):
			return nil, kafka.DelegationTokenExpired
		}
		token.Expires = at
		return &token, nil
	})
	return at, err
}

// idOf finds the token that an HMAC proves.
func (t *Tokens) idOf(proof []byte) (string, bool) {
	found := ""
	for id := range t.users.view.Load().tokens {
		if hmac.Equal(t.HMAC(id), proof) {
			found = id
		}
	}
	return found, found != ""
}

// changeAttempts is how often a change is tried again because another broker changed the same token.
const changeAttempts = 5

// change makes one token what f says; nil deletes it. f is asked again if another broker has changed the token meanwhile.
func (t *Tokens) change(ctx context.Context, id string, f func(Token, bool) (*Token, error)) error {
	u := t.users
	if err := u.begin(ctx); err != nil {
		return err
	}
	defer u.end()
	for range changeAttempts {
		v := u.view.Load()
		old, exists := v.tokens[id]
		next, err := f(old, exists)
		if err != nil {
			return err
		}
		op := meta.Op{Kind: meta.Delete, Key: tokenPrefix + id}
		if next != nil {
			op.Kind, op.Value = meta.Put, encodeToken(*next)
		}
		r, err := u.meta.Txn(ctx, []meta.Compare{{Key: op.Key, Revision: v.revisions[id]}}, []meta.Op{op})
		if err != nil {
			return fmt.Errorf("write delegation token: %w", err)
		}
		if err := u.reload(ctx); err != nil || r.Succeeded {
			return err
		}
	}
	return fmt.Errorf("delegation token %s: %w", id, errContended)
}

var errContended = errors.New("changed by others at the same time")

// List returns the tokens in force for which keep says yes, in order of id.
func (t *Tokens) List(keep func(Token) bool) []Token {
	var out []Token
	now := t.now()
	for _, token := range t.users.view.Load().tokens {
		if now.Before(token.Expires) && keep(token) {
			out = append(out, token)
		}
	}
	slices.SortFunc(out, func(a, b Token) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Run deletes tokens that have ended. It is a service.Service.
func (t *Tokens) Run(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(TokenCheckInterval.Get(t.values))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := t.sweep(ctx); err != nil && ctx.Err() == nil {
			t.logger.Warn("delegation tokens that ended stay for now", "err", err)
		}
	}
}

func (t *Tokens) sweep(ctx context.Context) error {
	var errs []error
	for id, token := range t.users.view.Load().tokens {
		if t.now().Before(token.Expires) {
			continue
		}
		errs = append(errs, t.change(ctx, id, func(token Token, exists bool) (*Token, error) {
			if exists && t.now().Before(token.Expires) {
				return &token, nil // renewed just now
			}
			return nil, nil
		}))
	}
	return errors.Join(errs...)
}
