package api

import (
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/invariant"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// Need is one thing that a caller of an API may have to be allowed: an operation on a kind of resource. Which of the
// needs of an entry a request has depends on what it names; the handler asks for each with allow.
type Need struct {
	Operation auth.Operation
	Resource  auth.ResourceType
}

// Needs of entries, spelled short for the table.
func need(op auth.Operation, resource auth.ResourceType) Need { return Need{op, resource} }

// nothing marks an API that every client may call.
func nothing() Need { return Need{} }

// decision is one answer that a request got to whether its client may do something.
type decision struct {
	Need
	name string
	acl.Decision
	// quiet marks a no that refuses nothing by itself, since the handler goes on to ask for something else.
	quiet bool
}

// allow says whether the client of c may do op to the named resource, and has the decision audited where that is asked
// for. A handler calls it for each resource that a request names, before it does anything and before it returns: never
// in a Reply, which runs beside the next request of the connection.
func (s *Server) allow(c *Conn, op auth.Operation, resource auth.ResourceType, name string) bool {
	return s.ask(c, Need{op, resource}, name, false)
}

// may is allow for a question whose no refuses nothing: the handler asks for something else then, or leaves something
// out of a list.
func (s *Server) may(c *Conn, op auth.Operation, resource auth.ResourceType, name string) bool {
	return s.ask(c, Need{op, resource}, name, true)
}

// allowCluster is allow for the cluster itself.
func (s *Server) allowCluster(c *Conn, op auth.Operation) bool {
	return s.allow(c, op, auth.Cluster, auth.ClusterName)
}

// mayCluster is may for the cluster itself.
func (s *Server) mayCluster(c *Conn, op auth.Operation) bool {
	return s.may(c, op, auth.Cluster, auth.ClusterName)
}

// allowAny says whether the client may do op to at least one resource of a kind.
func (s *Server) allowAny(c *Conn, op auth.Operation, resource auth.ResourceType) bool {
	if s.open() || c.isBroker() {
		return true
	}
	d := acl.Decision{Allowed: true}
	if s.access != nil {
		d = s.access.DecideAny(c.Principal, c.Peer, op, resource)
	}
	return c.decided(decision{Need: Need{op, resource}, name: acl.Wildcard, Decision: d})
}

// open tells that nothing is asked or recorded.
func (s *Server) open() bool { return s.access == nil && !s.records }

// isBroker says whether the other side is a broker of the cluster: it may do everything, no quota holds it, and what it asks
// for in the course of a client's request is not audited again. Nobody else can be on that listener.
func (c *Conn) isBroker() bool {
	return c.Listener == auth.BrokerListener && c.Principal == auth.Broker
}

func (s *Server) ask(c *Conn, n Need, name string, quiet bool) bool {
	if s.open() || c.isBroker() {
		return true
	}
	d := acl.Decision{Allowed: true}
	if s.access != nil {
		d = s.access.Decide(acl.Request{Principal: c.Principal, Host: c.Peer, Operation: n.Operation, Type: n.Resource, Name: name})
	}
	return c.decided(decision{Need: n, name: name, Decision: d, quiet: quiet})
}

// decided notes a decision for the audit of the request that is being handled.
func (c *Conn) decided(d decision) bool {
	invariant.Check(c.needs == nil || slices.Contains(c.needs, d.Need), "%s on %s is asked for and not declared in the table", d.Operation, d.Resource)
	c.decisions = append(c.decisions, d)
	return d.Allowed
}

// auditRequest hands the decisions about a request to the audit log. A quiet no is not one of them.
func (s *Server) auditRequest(c *Conn, h wire.RequestHeader, e *entry) {
	if s.audit == nil || len(c.decisions) == 0 {
		return
	}
	category := categoryOf(e)
	denied := slices.ContainsFunc(c.decisions, func(d decision) bool { return !d.Allowed && !d.quiet })
	if !s.audit.Wants(category) && !denied {
		return // most requests, where produce and consume are not asked for
	}
	r := audit.Request{
		Client: audit.Client{Principal: c.Principal, Address: c.Peer, Listener: c.Listener, ClientID: c.ClientID},
		API:    e.name, Category: category, CorrelationID: h.CorrelationID,
	}
	if r.Answered = c.answer != nil && category == audit.Management; r.Answered {
		r.Errors = errorsIn(reflect.ValueOf(c.answer), nil)
	}
	for i := range c.decisions {
		if d := &c.decisions[i]; d.Allowed || !d.quiet {
			r.Decisions = append(r.Decisions, audit.Decision{Decision: d.Decision, Operation: d.Operation, Type: d.Resource, Name: d.name})
		}
	}
	s.audit.Request(&r)
}

// errorsIn adds the error codes of an answer to those that were found, each once. Every message calls them ErrorCode.
func errorsIn(v reflect.Value, found []kafka.Error) []kafka.Error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			found = errorsIn(v.Elem(), found)
		}
	case reflect.Slice:
		if kind := v.Type().Elem().Kind(); kind == reflect.Struct || kind == reflect.Pointer {
			for i := range v.Len() {
				found = errorsIn(v.Index(i), found)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.Name == "ErrorCode" && field.Type.Kind() == reflect.Int16 {
				if code := kafka.Error(v.Field(i).Int()); code != kafka.None && !slices.Contains(found, code) {
					found = append(found, code)
				}
			} else if field.IsExported() {
				found = errorsIn(v.Field(i), found)
			}
		}
	}
	return found
}

// often are the categories of the APIs that are not about management.
var often = map[kmsg.Key]audit.Category{
	kmsg.Produce: audit.Produce, kmsg.InitProducerID: audit.Produce, kmsg.AddPartitionsToTxn: audit.Produce,
	kmsg.AddOffsetsToTxn: audit.Produce, kmsg.EndTxn: audit.Produce,

	kmsg.Fetch: audit.Consume, kmsg.JoinGroup: audit.Consume, kmsg.SyncGroup: audit.Consume, kmsg.Heartbeat: audit.Consume, kmsg.LeaveGroup: audit.Consume,
	kmsg.OffsetCommit: audit.Consume, kmsg.TxnOffsetCommit: audit.Consume, kmsg.OffsetFetch: audit.Consume, kmsg.ConsumerGroupHeartbeat: audit.Consume,
	kmsg.ShareGroupHeartbeat: audit.Consume, kmsg.ShareFetch: audit.Consume, kmsg.ShareAcknowledge: audit.Consume, kmsg.StreamsGroupHeartbeat: audit.Consume,
}

// categoryOf sorts an API for the audit log: what only asks by its name, the busy ones by the list, and all others are
// management.
func categoryOf(e *entry) audit.Category {
	if c, ok := often[e.key]; ok {
		return c
	}
	switch e.key {
	case kmsg.Metadata, kmsg.FindCoordinator, kmsg.OffsetForLeaderEpoch:
		return audit.Describe
	}
	if strings.HasPrefix(e.name, "Describe") || strings.HasPrefix(e.name, "List") || strings.HasSuffix(e.name, "Describe") {
		return audit.Describe
	}
	return audit.Management
}

// begin makes the connection ready for the decisions of one request.
func (c *Conn) begin(e *entry) {
	c.needs, c.answer = e.needs, nil
	clear(c.decisions)
	c.decisions = c.decisions[:0]
}

// operations is the bit field of what the client may do to a resource: bit n stands for the operation with code n. These
// are questions about the client's rights, not uses of them, so they are not audited.
func (s *Server) operations(c *Conn, resource auth.ResourceType, name string) int32 {
	var bits int32
	for _, op := range acl.Supported(resource) {
		if s.access == nil || s.access.Set().Decide(acl.Request{Principal: c.Principal, Host: c.Peer, Operation: op, Type: resource, Name: name}).Allowed {
			bits |= 1 << op
		}
	}
	return bits
}

// clusterOperations is operations for the cluster, as far as the client may describe it.
func (s *Server) clusterOperations(c *Conn) int32 {
	if !s.mayCluster(c, auth.Describe) {
		return 0
	}
	return s.operations(c, auth.Cluster, auth.ClusterName)
}

// refuseConfigs is the error for a client that may not describe, or alter, the configs of a resource. Configs of groups
// and topics are theirs; all others belong to the cluster.
func (s *Server) refuseConfigs(c *Conn, op auth.Operation, r topics.Resource) error {
	switch r.Type {
	case topics.TopicResource:
		if !s.allow(c, op, auth.Topic, r.Name) {
			return kafka.TopicAuthorizationFailed
		}
	case topics.Group:
		if !s.allow(c, op, auth.Group, r.Name) {
			return kafka.GroupAuthorizationFailed
		}
	case topics.Broker, topics.BrokerLogger, topics.ClientMetrics:
		if !s.allowCluster(c, op) {
			return kafka.ClusterAuthorizationFailed
		}
	}
	return nil // a kind that there is not is refused for that
}
