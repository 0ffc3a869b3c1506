// Package auditevent is the form of audit events as they lie in the topic _weir_audit: CloudEvents 1.0 in JSON, chained by
// hashes.
//
// Each event carries a number, one higher than that of the event before it, and the SHA-256 of that event's bytes. Who
// changes, inserts or takes out an event breaks the chain at that place, and a [Verifier] finds it; what retention drops
// at the old end does not. The chain shows that something was changed, not by whom, and it cannot show that its newest
// end was cut off: for that an operator keeps the last hash elsewhere.
//
// The package is pure; the broker writes with it and the command line reads. Events hold names and decisions, never the
// contents of requests, so no secret can be in them.
package auditevent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Topic is the topic of audit events. It has one partition, so that there is one order.
const Topic = "_weir_audit"

// Types of events.
const (
	TypeAuthorization  = "io.weir.kafka.server/authorization"
	TypeAuthentication = "io.weir.kafka.server/authentication"
	TypeLost           = "io.weir.kafka.server/events-lost"
)

// Event is one event. Sequence and Previous are extension attributes, set when the event is chained.
type Event struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Sequence    int64     `json:"sequence"`
	Previous    string    `json:"previoushash"`
	Data        Data      `json:"data"`
}

// Data is what an event is about.
type Data struct {
	ServiceName    string          `json:"serviceName"`
	MethodName     string          `json:"methodName,omitempty"`
	ResourceName   string          `json:"resourceName,omitempty"`
	Category       string          `json:"category"`
	Authentication *Authentication `json:"authenticationInfo,omitempty"`
	// Authorization is the decision that counts: the first that denied, or else the first.
	Authorization *Authorization `json:"authorizationInfo,omitempty"`
	// Decisions are all decisions of the request, where there are several; Omitted how many of them are left out.
	Decisions []Authorization `json:"decisions,omitempty"`
	Omitted   int             `json:"omittedDecisions,omitempty"`
	// Result is what became of a request that changes something, once it was let in or refused.
	Result  *Result  `json:"result,omitempty"`
	Request *Request `json:"request,omitempty"`
	Client  *Client  `json:"requestMetadata,omitempty"`
	Lost    int64    `json:"lostEvents,omitempty"`
}

// Values of Result.Status.
const (
	Success = "SUCCESS"
	Failure = "FAILURE"
)

// Result is what became of a request. A failure may be one of a part: of one topic among several. Errors are Kafka's names of all
// errors in the answer, each once; of an HTTP service, the code of the error.
type Result struct {
	Status string   `json:"status"`
	Errors []string `json:"errors,omitempty"`
}

// Authentication is who a client is, or claims to be.
type Authentication struct {
	Principal string `json:"principal"`
	Mechanism string `json:"mechanism,omitempty"`
	// Granted and Reason stand in events about authentication itself.
	Granted *bool  `json:"granted,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Authorization is one decision.
type Authorization struct {
	Granted      bool              `json:"granted"`
	Operation    string            `json:"operation"`
	ResourceType string            `json:"resourceType"`
	ResourceName string            `json:"resourceName"`
	PatternType  string            `json:"patternType,omitempty"`
	ACL          *ACLAuthorization `json:"aclAuthorization,omitempty"`
	SuperUser    bool              `json:"superUserAuthorization,omitempty"`
	// Reason says what decided where neither an entry nor a super user did.
	Reason string `json:"reason,omitempty"`
}

// ACLAuthorization is the access control entry that decided.
type ACLAuthorization struct {
	PermissionType string `json:"permissionType"`
	Principal      string `json:"principal"`
	Host           string `json:"host"`
	Operation      string `json:"operation"`
	PatternType    string `json:"patternType"`
	Name           string `json:"name"`
}

// Request names the request as the client counts it.
type Request struct {
	CorrelationID int32  `json:"correlationId"`
	ClientID      string `json:"clientId,omitempty"`
}

// Client is where a request came from.
type Client struct {
	Address  string `json:"clientAddress"`
	Listener string `json:"listener,omitempty"`
}

// Chain links events. The zero value begins a new chain.
type Chain struct {
	last     int64
	previous string
}

// Resume continues the chain behind the event whose bytes are value.
func Resume(value []byte) (Chain, error) {
	var e Event
	if err := json.Unmarshal(value, &e); err != nil {
		return Chain{}, fmt.Errorf("the last audit event cannot be read: %w", err)
	}
	if e.Sequence < 1 {
		return Chain{}, fmt.Errorf("the last audit event has the number %d", e.Sequence)
	}
	return Chain{e.Sequence, Hash(value)}, nil
}

// Add sets the number and the hash of e and returns its bytes. scope makes the event's id unique over all chains.
func (c *Chain) Add(e *Event, scope string) ([]byte, error) {
	e.SpecVersion, e.ContentType = "1.0", "application/json"
	e.Sequence, e.Previous = c.last+1, c.previous
	e.ID = fmt.Sprintf("%s-%d", scope, e.Sequence)
	value, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode audit event: %w", err)
	}
	c.last, c.previous = e.Sequence, Hash(value)
	return value, nil
}

// Hash is the SHA-256 of an event's bytes, in hexadecimal.
func Hash(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

// Errors of a Verifier.
var (
	// ErrNotEvent marks bytes that are no audit event.
	ErrNotEvent = errors.New("not an audit event")
	// ErrBroken marks an event that does not follow the one before it.
	ErrBroken = errors.New("the chain is broken")
)

// Verifier checks events one after another, oldest first. The first event that it sees may have any number: what came
// before it may have been dropped by retention.
type Verifier struct {
	First, Last int64  // numbers of the first and the last event; 0 before the first
	LastHash    string // of the last event
}

// Check checks the next event and returns it. After an error it may go on: the event counts as the last one.
func (v *Verifier) Check(value []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(value, &e); err != nil || e.SpecVersion == "" || e.Sequence < 1 {
		return e, ErrNotEvent
	}
	first, last, hash := v.First, v.Last, v.LastHash
	v.Last, v.LastHash = e.Sequence, Hash(value)
	switch {
	case first == 0:
		v.First = e.Sequence
		if e.Sequence == 1 && e.Previous != "" {
			return e, fmt.Errorf("%w: the first event names one before it", ErrBroken)
		}
	case e.Sequence != last+1:
		return e, fmt.Errorf("%w: event %d follows event %d", ErrBroken, e.Sequence, last)
	case e.Previous != hash:
		return e, fmt.Errorf("%w: event %d was changed, or event %d was replaced", ErrBroken, last, e.Sequence)
	}
	return e, nil
}
