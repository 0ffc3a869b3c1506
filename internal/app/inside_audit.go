package app

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// trail is what was decided in the course of one request to a service. A request belongs to one goroutine.
type trail struct {
	decisions []audit.Decision
}

type trailKey struct{}

// noted notes a decision for the request that ctx is of. A no that refuses nothing is not one.
func noted(ctx context.Context, d audit.Decision) {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok && (d.Allowed || !gate.IsFiltering(ctx)) {
		t.decisions = append(t.decisions, d)
	}
}

// category is management where something may be changed by what was decided on.
func (t *trail) category() audit.Category {
	for i := range t.decisions {
		switch t.decisions[i].Operation {
		case acl.Read, acl.Describe, acl.DescribeConfigs:
		default:
			return audit.Management
		}
	}
	return audit.Describe
}

// Attend implements gate.Witness: what a service asks is audited as what a request of the Kafka protocol asks. What the service then
// does as its caller, by that protocol, the broker audits itself.
func (b *inside) Attend(ctx context.Context, request *gate.Attended) (of context.Context, done func(code int)) {
	if b.audit == nil {
		return ctx, func(int) {}
	}
	t := &trail{}
	return context.WithValue(ctx, trailKey{}, t), func(code int) {
		r := audit.Request{
			Client:  audit.Client{Principal: request.Caller.Principal, Address: request.Caller.Host, Listener: request.Service, ClientID: request.Client},
			Service: request.Service, API: request.Operation, Category: t.category(), Decisions: t.decisions,
		}
		if r.Answered = r.Category == audit.Management; r.Answered && code != 0 {
			r.Failure = strconv.Itoa(code)
		}
		b.audit.Request(&r)
	}
}

// How long a login that is repeated with each request is the same one to the audit log and in metrics, and how many are remembered.
const (
	sameLogin = 5 * time.Minute
	mostSame  = 10_000
)

// logins remembers who has come in a short time ago. Callers show who they are with every request, and that is one login.
type logins struct {
	now func() time.Time

	mu    sync.Mutex
	until map[auth.Event]time.Time
}

// first tells whether a login is to be told of.
func (l *logins) first(e auth.Event) bool {
	if !e.Success {
		return true
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.until[e]) {
		return false
	}
	if len(l.until) >= mostSame {
		clear(l.until)
	}
	l.until[e] = now.Add(sameLogin)
	return true
}

// tell counts and audits what a caller showed and what came of it.
func (b *inside) tell(shown *gate.Credentials, who acl.Principal, err error) {
	e := auth.Event{Listener: shown.Service, Peer: shown.Host, Principal: who, Success: err == nil}
	switch shown.Kind {
	case gate.BasicCredentials:
		e.Mechanism, e.Principal = auth.Plain, acl.Principal{Type: acl.UserType, Name: shown.User}
	case gate.BearerCredentials:
		e.Mechanism = auth.OAuthBearer
	default:
		e.Mechanism = "SSL"
	}
	if err != nil {
		if !errors.Is(err, auth.ErrLogin) {
			return // nobody knows
		}
		e.Reason = err.Error()
	}
	if b.logins.first(e) {
		auth.Tell(e, b.app.authn.metrics, b.app.o.Logger, b.app.authn.observe)
	}
}
