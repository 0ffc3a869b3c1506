package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// CheckPassword says whose user and password these are, for who gets them in another way than by SASL: over HTTP. It is counted and
// told like a login with PLAIN, which the listener need not offer. The error is that of ctx, or ErrLogin.
func (a *Authenticator) CheckPassword(ctx context.Context, peer, user, password string) (*Identity, error) {
	ok, err := plainCheck(a.plainUsers, a.o.Passwords)(ctx, user, password)
	if err != nil {
		return nil, err
	}
	e := Event{Listener: a.o.Listener, Peer: peer, Mechanism: Plain, Principal: Principal{Type: "User", Name: user}, Success: ok}
	if !ok {
		e.Reason = "wrong password, or no such user"
	}
	a.tell(e)
	if !ok {
		return nil, ErrLogin
	}
	return &Identity{Principal: e.Principal}, nil
}

// CheckToken says whose token this is, for who gets it in another way than by SASL. ErrLogin: it is not good, or the listener takes none.
func (a *Authenticator) CheckToken(ctx context.Context, peer, token string) (*Identity, error) {
	if a.bearer == nil {
		return nil, ErrLogin
	}
	id, err := a.bearer.check(ctx, token)
	e := Event{Listener: a.o.Listener, Peer: peer, Mechanism: OAuthBearer, Success: err == nil}
	if err != nil {
		e.Reason = err.Error()
	} else {
		e.Principal = id.Principal
	}
	a.tell(e)
	if err != nil {
		return nil, errors.Join(ErrLogin, err)
	}
	return id, nil
}

// ErrLogin is wrapped by what CheckPassword and CheckToken return for what is wrong.
var ErrLogin = errors.New("the login failed")

// TakesPasswords tells whether clients of the listener have passwords.
func (a *Authenticator) TakesPasswords() bool {
	return slices.ContainsFunc(a.mechanisms, func(m string) bool { return m == Plain || strings.HasPrefix(m, "SCRAM-") })
}

// TakesTokens tells whether clients of the listener show tokens.
func (a *Authenticator) TakesTokens() bool { return a.bearer != nil }
