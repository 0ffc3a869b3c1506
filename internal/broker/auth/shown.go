package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// CheckPassword says whose user and password these are, for who gets them in another way than by SASL: over HTTP, say. The listener
// need not offer PLAIN. Nobody is told: see Tell. The error is that of ctx, or ErrLogin.
func (a *Authenticator) CheckPassword(ctx context.Context, user, password string) (*Identity, error) {
	ok, err := plainCheck(a.plainUsers, a.o.Passwords)(ctx, user, password)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrPassword
	}
	return &Identity{Principal: Principal{Type: "User", Name: user}}, nil
}

// CheckToken says whose token this is, for who gets it in another way than by SASL. Nobody is told: see Tell. ErrLogin: it is not good,
// or the listener takes none.
func (a *Authenticator) CheckToken(ctx context.Context, token string) (*Identity, error) {
	if a.bearer == nil {
		return nil, ErrLogin
	}
	id, err := a.bearer.check(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return id, nil
}

var (
	// ErrLogin is wrapped by what CheckPassword and CheckToken return for what is wrong.
	ErrLogin = errors.New("the login failed")
	// ErrPassword is the ErrLogin of CheckPassword.
	ErrPassword = fmt.Errorf("%w: wrong password, or no such user", ErrLogin)
)

// Tell counts and logs a login that was made in another way than by SASL, and hands it to observe, which may be nil.
func Tell(e Event, m *Metrics, logger *slog.Logger, observe Observer) {
	count(e, m, logger)
	if observe != nil {
		observe(e)
	}
}

// TakesPasswords tells whether clients of the listener have passwords.
func (a *Authenticator) TakesPasswords() bool {
	return slices.ContainsFunc(a.mechanisms, func(m string) bool { return m == Plain || strings.HasPrefix(m, "SCRAM-") })
}

// TakesTokens tells whether clients of the listener show tokens.
func (a *Authenticator) TakesTokens() bool { return a.bearer != nil }
