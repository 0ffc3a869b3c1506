package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
)

// ACLs of v3.
type (
	// ACL is an ACL.
	ACL struct {
		Kind      string   `json:"kind"`
		Metadata  Metadata `json:"metadata"`
		ClusterID string   `json:"cluster_id"`
		ACLEntry
	}
	// ACLEntry is what an ACL says.
	ACLEntry struct {
		ResourceType string `json:"resource_type" openapi:"required"`
		ResourceName string `json:"resource_name" openapi:"required"`
		PatternType  string `json:"pattern_type" openapi:"required"`
		Principal    string `json:"principal" openapi:"required"`
		Host         string `json:"host" openapi:"required"`
		Operation    string `json:"operation" openapi:"required"`
		Permission   string `json:"permission" openapi:"required"`
	}
	// ACLList lists ACLs.
	ACLList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []ACL        `json:"data"`
	}
	// ACLEntries asks for many.
	ACLEntries struct {
		Data []ACLEntry `json:"data" openapi:"required"`
	}
	// DeletedACLs lists those that were.
	DeletedACLs struct {
		Data []ACL `json:"data"`
	}
)

// aclQuery are the parameters that pick ACLs.
var aclQuery = []gate.Param{
	{Name: "resource_type", Doc: "TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID, DELEGATION_TOKEN or ANY"},
	{Name: "resource_name"},
	{Name: "pattern_type", Doc: "LITERAL, PREFIXED, MATCH or ANY"},
	{Name: "principal", Doc: "such as User:alice"},
	{Name: "host"},
	{Name: "operation"},
	{Name: "permission", Doc: "ALLOW, DENY or ANY"},
}

// aclTypes are the enumerations of an ACL, as the protocol has them.
type aclTypes struct {
	resource   kmsg.ACLResourceType
	pattern    kmsg.ACLResourcePatternType
	operation  kmsg.ACLOperation
	permission kmsg.ACLPermissionType
}

// parseACL reads the enumerations; empty is def.
func parseACL(resource, pattern, operation, permission, def string) (t aclTypes, err error) {
	or := func(s string) string {
		if s == "" {
			return def
		}
		return s
	}
	kind, err := acl.ParseResourceType(or(resource)) // knows subjects, too
	if t.resource = kmsg.ACLResourceType(kind); err != nil || kind == acl.UnknownResource {
		return t, badRequest("resource_type cannot be unspecified or UNKNOWN")
	}
	if t.pattern, err = kmsg.ParseACLResourcePatternType(or(pattern)); err != nil || t.pattern == kmsg.ACLResourcePatternTypeUnknown {
		return t, badRequest("pattern_type cannot be unspecified or UNKNOWN")
	}
	if t.operation, err = kmsg.ParseACLOperation(or(operation)); err != nil || t.operation == kmsg.ACLOperationUnknown {
		return t, badRequest("operation cannot be unspecified or UNKNOWN")
	}
	if t.permission, err = kmsg.ParseACLPermissionType(or(permission)); err != nil || t.permission == kmsg.ACLPermissionTypeUnknown {
		return t, badRequest("permission cannot be unspecified or UNKNOWN")
	}
	return t, nil
}

func optional(q url.Values, name string) *string {
	if !q.Has(name) || q.Get(name) == "" {
		return nil
	}
	v := q.Get(name)
	return &v
}

// aclData shows an ACL. Its own place is a query that finds it.
func aclData(r inCluster, e ACLEntry) ACL {
	q := url.Values{
		"resource_type": {e.ResourceType}, "resource_name": {e.ResourceName}, "pattern_type": {e.PatternType}, "principal": {e.Principal},
		"host": {e.Host}, "operation": {e.Operation}, "permission": {e.Permission},
	}
	return ACL{Kind: "KafkaAcl", Metadata: Metadata{Self: r.at.at("", "acls").url + "?" + q.Encode()}, ClusterID: r.id, ACLEntry: e}
}

func (s *Server) v3SearchACLs(w http.ResponseWriter, r inCluster) error {
	q := r.URL.Query()
	t, err := parseACL(q.Get("resource_type"), q.Get("pattern_type"), q.Get("operation"), q.Get("permission"), "ANY")
	if err != nil {
		return err
	}
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = t.resource, t.pattern, t.operation, t.permission
	req.ResourceName, req.Principal, req.Host = optional(q, "resource_name"), optional(q, "principal"), optional(q, "host")
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("describe ACLs: %w", err)
	}
	if err := coded(res.ErrorCode, res.ErrorMessage); err != nil {
		return err
	}
	at := r.at.at("", "acls").list()
	if r.URL.RawQuery != "" {
		at.Self += "?" + r.URL.RawQuery
	}
	out := ACLList{"KafkaAclList", at, []ACL{}}
	for _, resource := range res.Resources {
		for _, a := range resource.ACLs {
			out.Data = append(out.Data, aclData(r, ACLEntry{
				acl.ResourceType(resource.ResourceType).String(), resource.ResourceName, resource.ResourcePatternType.String(), a.Principal, a.Host, a.Operation.String(), a.PermissionType.String(),
			}))
		}
	}
	slices.SortFunc(out.Data, func(a, b ACL) int { return strings.Compare(a.Metadata.Self, b.Metadata.Self) })
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3CreateACL(w http.ResponseWriter, r inCluster) error {
	var in ACLEntry
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	if err := createACLs(r, []ACLEntry{in}); err != nil {
		return err
	}
	w.Header().Set("Location", aclData(r, in).Metadata.Self)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *Server) v3CreateACLs(w http.ResponseWriter, r inCluster) error {
	var in ACLEntries
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	if len(in.Data) == 0 {
		return gate.Errorf(http.StatusUnprocessableEntity, "data must not be empty")
	}
	if err := createACLs(r, in.Data); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func createACLs(r inCluster, entries []ACLEntry) error {
	req := kmsg.NewPtrCreateACLsRequest()
	for _, e := range entries {
		t, err := parseACL(e.ResourceType, e.PatternType, e.Operation, e.Permission, "")
		if err != nil {
			return err
		}
		if t.resource == kmsg.ACLResourceTypeCluster && e.ResourceName != "" && e.ResourceName != "kafka-cluster" {
			return gate.Errorf(codeKafkaBadRequest, "The only valid name for the CLUSTER resource is kafka-cluster")
		}
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType, c.Operation, c.PermissionType = t.resource, t.pattern, t.operation, t.permission
		c.ResourceName, c.Principal, c.Host = e.ResourceName, e.Principal, e.Host
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("create ACLs: %w", err)
	}
	for _, result := range res.Results {
		if err := coded(result.ErrorCode, result.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

// v3DeleteACLs deletes what a query picks. What kind of ACLs must be said: an empty query would delete all.
func (s *Server) v3DeleteACLs(w http.ResponseWriter, r inCluster) error {
	q := r.URL.Query()
	t, err := parseACL(q.Get("resource_type"), q.Get("pattern_type"), q.Get("operation"), q.Get("permission"), "")
	if err != nil {
		return err
	}
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = t.resource, t.pattern, t.operation, t.permission
	f.ResourceName, f.Principal, f.Host = optional(q, "resource_name"), optional(q, "principal"), optional(q, "host")
	req.Filters = append(req.Filters, f)
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("delete ACLs: %w", err)
	}
	out := DeletedACLs{Data: []ACL{}}
	for _, result := range res.Results {
		if err := coded(result.ErrorCode, result.ErrorMessage); err != nil {
			return err
		}
		for _, a := range result.MatchingACLs {
			if err := coded(a.ErrorCode, a.ErrorMessage); err != nil {
				return err
			}
			out.Data = append(out.Data, aclData(r, ACLEntry{
				acl.ResourceType(a.ResourceType).String(), a.ResourceName, a.ResourcePatternType.String(), a.Principal, a.Host, a.Operation.String(), a.PermissionType.String(),
			}))
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}
