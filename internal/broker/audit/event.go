package audit

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// Category sorts events by how often they come and who wants them.
type Category string

// The categories.
const (
	Management      Category = "management"
	Authentications Category = "authentication"
	Denied          Category = "denied"
	Describe        Category = "describe"
	Produce         Category = "produce"
	Consume         Category = "consume"
)

func categories() []Category {
	return []Category{Management, Authentications, Denied, Describe, Produce, Consume}
}

func categoryNames() []string {
	var out []string
	for _, c := range categories() {
		out = append(out, string(c))
	}
	return out
}

// Client is where a request came from, and from whom.
type Client struct {
	Principal auth.Principal
	Address   string
	Listener  string
	ClientID  string
}

// Decision is one answer to whether a client may do something.
type Decision struct {
	acl.Decision
	Operation auth.Operation
	Type      auth.ResourceType
	Name      string
}

// Request is one request with what was decided about it. Decisions is not kept.
type Request struct {
	Client
	Service       string   // that was asked; "" is kafka
	API           string   // its name, such as CreateTopics
	Category      Category // of the API
	CorrelationID int32
	Decisions     []Decision
	// Answered: Errors are all errors of the answer, each once. Such a request gets a result. Failure is the error of an answer that is
	// none of Kafka's; "" is none.
	Answered bool
	Errors   []kafka.Error
	Failure  string
}

// Authentication is one attempt of a client to say who it is. Reason is for operators, and must not hold a secret.
type Authentication struct {
	Client
	Mechanism string // PLAIN, SCRAM-SHA-256, ..., or SSL
	Granted   bool
	Reason    string
}

// Bounds of what a client can put into an event.
const (
	maxDecisions = 50
	maxNameBytes = 512
	maxErrors    = 10
)

// short bounds a text that a client has chosen.
func short(s string) string {
	if len(s) > maxNameBytes {
		s = s[:maxNameBytes] + "…"
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "�")
}

func (l *Log) requestEvent(r *Request, category Category) *auditevent.Event {
	e := &auditevent.Event{
		Source: l.o.Source, Type: auditevent.TypeAuthorization, Time: l.o.Now().UTC(),
		Data: auditevent.Data{
			ServiceName: l.o.Source, MethodName: cmp.Or(r.Service, "kafka") + "." + r.API, Category: string(category),
			Authentication: &auditevent.Authentication{Principal: short(r.Principal.String())},
			Request:        &auditevent.Request{CorrelationID: r.CorrelationID, ClientID: short(r.ClientID)},
			Client:         &auditevent.Client{Address: r.Address, Listener: r.Listener},
		},
	}
	primary := 0
	for i := range r.Decisions {
		if !r.Decisions[i].Allowed {
			primary = i
			break
		}
	}
	first := authorization(&r.Decisions[primary])
	e.Data.Authorization = &first
	e.Data.ResourceName = first.ResourceType + ":" + first.ResourceName
	e.Subject = e.Data.ResourceName
	if r.Answered {
		e.Data.Result = &auditevent.Result{Status: auditevent.Success}
		for i, err := range r.Errors {
			if e.Data.Result.Status = auditevent.Failure; i < maxErrors {
				e.Data.Result.Errors = append(e.Data.Result.Errors, err.Name())
			}
		}
		if r.Failure != "" {
			e.Data.Result.Status, e.Data.Result.Errors = auditevent.Failure, append(e.Data.Result.Errors, r.Failure)
		}
	}
	if len(r.Decisions) > 1 {
		for i := range r.Decisions[:min(len(r.Decisions), maxDecisions)] {
			e.Data.Decisions = append(e.Data.Decisions, authorization(&r.Decisions[i]))
		}
		e.Data.Omitted = max(len(r.Decisions)-maxDecisions, 0)
	}
	return e
}

func authorization(d *Decision) auditevent.Authorization {
	out := auditevent.Authorization{Granted: d.Allowed, Operation: d.Operation.String(), ResourceType: d.Type.String(), ResourceName: short(d.Name), PatternType: acl.Literal.String()}
	switch d.Reason {
	case acl.ByAllow, acl.ByDeny:
		b := d.By
		out.ACL = &auditevent.ACLAuthorization{
			PermissionType: b.Permission.String(), Principal: short(b.Principal), Host: short(b.Host), Operation: b.Operation.String(),
			PatternType: b.Pattern.String(), Name: short(b.Name),
		}
	case acl.BySuperUser:
		out.SuperUser = true
	case acl.ByNone:
		out.Reason = "no ACL is about the resource"
	case acl.ByNoMatch:
		out.Reason = "no ACL allows it"
	default:
		out.Reason = "there is no authorizer"
	}
	return out
}

func (l *Log) authenticationEvent(a *Authentication) *auditevent.Event {
	granted, who := a.Granted, ""
	if a.Principal.Name != "" {
		who = short(a.Principal.String())
	}
	return &auditevent.Event{
		Source: l.o.Source, Type: auditevent.TypeAuthentication, Time: l.o.Now().UTC(), Subject: who,
		Data: auditevent.Data{
			ServiceName: l.o.Source, MethodName: "kafka.Authentication", Category: string(Authentications),
			Authentication: &auditevent.Authentication{Principal: who, Mechanism: a.Mechanism, Granted: &granted, Reason: short(a.Reason)},
			Request:        &auditevent.Request{ClientID: short(a.ClientID)},
			Client:         &auditevent.Client{Address: a.Address, Listener: a.Listener},
		},
	}
}

func (l *Log) lostEvent(n int64) *auditevent.Event {
	return &auditevent.Event{
		Source: l.o.Source, Type: auditevent.TypeLost, Time: l.o.Now().UTC(), Subject: fmt.Sprintf("%d events lost", n),
		Data: auditevent.Data{ServiceName: l.o.Source, Category: string(Management), Lost: n},
	}
}

// clock is the default of Options.Now.
func clock() time.Time { return time.Now() }
