package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Limits of a client that has not logged in.
const (
	// LoginBytesMax bounds each of its requests.
	LoginBytesMax = 64 << 10
	// LoginBytesMaxTLS does so where TLS holds some 40 KiB beside it. It is more than any token that passes by HTTP.
	LoginBytesMaxTLS = 24 << 10
	// LoginTimeout is how long it may take until it has.
	LoginTimeout = 10 * time.Second
)

// reauthInterval is how often a client may log in again. Kafka: MIN_REAUTH_INTERVAL_ONE_SECOND.
const reauthInterval = time.Second

// sessionState is where a connection stands.
type sessionState uint8

const (
	wantsHandshake sessionState = iota
	wantsToken
	loggedIn
	refused // nothing more is taken
)

// Session is the login of one connection: which mechanism was chosen, how far the exchange has come, and who it was. It
// belongs to the goroutine that handles the connection's requests, but for LoggedIn and Deadline.
//
//	wantsHandshake ── SaslHandshake ──> wantsToken ── SaslAuthenticate (one or two) ──> loggedIn
//	      any of them ── failure ──> refused            loggedIn ── SaslHandshake again (KIP-368) ──> wantsToken
type Session struct {
	a     *Authenticator
	peer  string
	now   func() time.Time
	state sessionState
	raw   bool // tokens come as bare frames: SaslHandshake 0

	mechanism string
	exchange  exchange
	identity  *Identity // of the last login that succeeded
	again     bool      // this is not the first login
	awaits    bool      // the SaslHandshake that is being served begins a login
	told      bool      // the end of this login was told of before its exchange was over
	began     time.Time // of the last login again
	expires   time.Time // of the session; zero: never

	in atomic.Bool // was loggedIn once
}

// NewSession returns the session of a new connection. peer is the client's address, for the log.
func (a *Authenticator) NewSession(peer string, now func() time.Time) *Session {
	return &Session{a: a, peer: peer, now: now}
}

// LoggedIn tells whether the client has logged in. Any goroutine may ask.
func (s *Session) LoggedIn() bool { return s.in.Load() }

// Identity is who logged in; nil before.
func (s *Session) Identity() *Identity { return s.identity }

// Mechanism is what the client chose last.
func (s *Session) Mechanism() string { return s.mechanism }

// TakesRaw tells whether the next frame is a bare token.
func (s *Session) TakesRaw() bool { return s.raw && s.state == wantsToken }

// Refused tells whether the login failed: the connection ends after what is to be sent.
func (s *Session) Refused() bool { return s.state == refused }

// Ready tells whether other requests than those of a login may be served now. Expired: the client should have logged in
// again, and did not.
func (s *Session) Ready() (ready, expired bool) {
	if s.state != loggedIn {
		return false, false
	}
	if !s.expires.IsZero() && !s.now().Before(s.expires) {
		s.state = refused
		s.a.o.Metrics.expired.Inc()
		return false, true
	}
	return true, false
}

// TakesHandshake tells whether a SaslHandshake begins a login now. If not, the request is answered as any other, with
// ILLEGAL_SASL_STATE: where sessions do not end, and for who asks too often.
func (s *Session) TakesHandshake() bool {
	switch s.state {
	case wantsHandshake:
		s.awaits = true
		return true
	case loggedIn:
		now := s.now()
		if s.expires.IsZero() || !s.began.IsZero() && now.Sub(s.began) < reauthInterval {
			return false
		}
		s.began, s.awaits = now, true
		return true
	}
	return false
}

// AwaitsHandshake tells what TakesHandshake said of the request that is being served.
func (s *Session) AwaitsHandshake() bool { return s.awaits }

// IsNew tells whether no login has begun; IsDone, whether one is over and well.
func (s *Session) IsNew() bool { return s.state == wantsHandshake }

// IsDone tells whether the client has logged in and is not about to do so again.
func (s *Session) IsDone() bool { return s.state == loggedIn }

// Mechanisms are those that the listener offers.
func (s *Session) Mechanisms() []string { return s.a.mechanisms }

// Delay is how long the answer to a failed login is held back.
func (s *Session) Delay() time.Duration { return s.a.Delay() }

// ErrMechanism refuses a mechanism that the listener does not offer. The connection ends after the answer.
var ErrMechanism = errors.New("the listener does not offer the mechanism")

// Handshake chooses a mechanism; TakesHandshake said yes just before.
func (s *Session) Handshake(mechanism string, version int16) error {
	s.again, s.awaits, s.told = s.state == loggedIn, false, false
	if s.again && mechanism != s.mechanism {
		s.fail(mechanism, errors.New("another mechanism than at the first login"))
		return ErrMechanism
	}
	if !s.a.offers(mechanism) {
		s.fail(known(mechanism), ErrMechanism)
		return ErrMechanism
	}
	x, err := s.a.newExchange(mechanism, rand.Reader)
	if err != nil {
		return err
	}
	s.mechanism, s.exchange, s.raw, s.state = mechanism, x, version == 0, wantsToken
	return nil
}

// known keeps what a client made up out of logs and metrics.
func known(mechanism string) string {
	for _, m := range append(Mechanisms(), gssapi) {
		if m == mechanism {
			return m
		}
	}
	return "unknown"
}

// Authenticate takes a token. lifetime is how long the session may last, 0: for ever; it is told once the login is done. A
// *Failure is told to the client, after FailureDelay; then the connection ends, as it does after any error.
func (s *Session) Authenticate(ctx context.Context, token []byte) (reply []byte, lifetime time.Duration, err error) {
	if s.state != wantsToken {
		s.state = refused
		return nil, 0, errors.New("a token without SaslHandshake before it")
	}
	reply, id, err := s.exchange.Next(ctx, token)
	if err == nil && id != nil && s.identity != nil && s.identity.Principal != id.Principal {
		err = &Failure{
			Text:  fmt.Sprintf("Cannot change principals during re-authentication from %s.%s: %s.%s", s.identity.Principal.Type, s.identity.Principal.Name, id.Principal.Type, id.Principal.Name),
			Cause: errors.New("another principal than at the first login"),
		}
	}
	if err != nil {
		return nil, 0, s.failed(err)
	}
	if id == nil {
		if x, ok := s.exchange.(interface{ refused() error }); ok && x.refused() != nil {
			// Clients may go away instead of acknowledging it.
			s.tellFailure(s.mechanism, x.refused())
			s.told = true
		}
		return reply, 0, nil
	}
	lifetime = s.a.lifetime(s.mechanism, id, s.now())
	s.expires = time.Time{}
	if lifetime > 0 || !id.Expires.IsZero() {
		s.expires = s.now().Add(lifetime)
	}
	s.state, s.identity = loggedIn, id
	s.in.Store(true)
	s.a.tell(Event{Listener: s.a.Listener(), Peer: s.peer, Mechanism: s.mechanism, Principal: id.Principal, Success: true, Again: s.again, Token: id.Token})
	return reply, lifetime, nil
}

// failed ends the login and returns what the client may know of it.
func (s *Session) failed(err error) error {
	s.fail(s.mechanism, err)
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	what := "authentication"
	if s.again {
		what = "re-authentication"
	}
	return &Failure{Text: "Authentication failed during " + what + " due to invalid credentials with SASL mechanism " + s.mechanism, Cause: err}
}

func (s *Session) fail(mechanism string, err error) {
	s.state = refused
	if !s.told {
		s.tellFailure(mechanism, err)
	}
}

func (s *Session) tellFailure(mechanism string, err error) {
	e := Event{Listener: s.a.Listener(), Peer: s.peer, Mechanism: mechanism, Reason: err.Error(), Again: s.again}
	if s.exchange != nil && s.exchange.User() != "" {
		e.Principal = Principal{Type: "User", Name: s.exchange.User()}
	}
	s.a.tell(e)
}
