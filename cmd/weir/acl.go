package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func newACLCommand(s *session) *cobra.Command {
	return newNoun("acl", "Who may do what: access control entries and roles",
		`List, create and delete access control entries, and grant and revoke roles, which are bundles of entries.

An entry allows or denies a principal an operation on resources: those of a literal name, those that begin with a prefix
(prefix:orders-), or all (*). An entry that denies wins over every one that allows. The broker needs an authorizer:
authorizer.class.name=weir.`,
		`  weir acl list
  weir acl grant --role DeveloperRead --principal User:alice --topic prefix:orders- --group billing
  weir acl create --allow User:bob --operation write --topic orders
  weir acl delete --principal User:bob --yes
  weir can alice read topic orders`,
		newACLListCommand(s), newACLCreateCommand(s), newACLDeleteCommand(s), newACLGrantCommand(s, true), newACLGrantCommand(s, false), newACLRolesCommand(s))
}

// aclRow is an entry as it is printed.
type aclRow struct {
	Permission string `json:"permission"`
	Principal  string `json:"principal"`
	Host       string `json:"host"`
	Operation  string `json:"operation"`
	Resource   string `json:"resource"`
	Pattern    string `json:"pattern"`
	Name       string `json:"name"`
}

func (s *session) printACLs(bindings []acl.Binding) error {
	rows := []aclRow{}
	t := &table.Table{Columns: []table.Column{{Title: "PERMISSION"}, {Title: "PRINCIPAL"}, {Title: "OPERATION"}, {Title: "RESOURCE"}, {Title: "PATTERN"}, {Title: "NAME"}, {Title: "HOST"}}}
	for _, b := range bindings {
		r := aclRow{lower(b.Permission), b.Principal, b.Host, lower(b.Operation), lower(b.Type), lower(b.Pattern), b.Name}
		rows = append(rows, r)
		t.Add(r.Permission, r.Principal, r.Operation, r.Resource, r.Pattern, r.Name, r.Host)
	}
	return s.print(rows, t)
}

// lower is how the command line writes the names of codes: describe-configs.
func lower(name fmt.Stringer) string {
	return strings.ReplaceAll(strings.ToLower(name.String()), "_", "-")
}

// resourceFlags name resources on the command line.
type resourceFlags struct {
	topics, groups, transactionalIDs, users, subjects []string
	cluster                                           bool
}

func (r *resourceFlags) add(cmd *cobra.Command, what string) {
	f := cmd.Flags()
	f.StringSliceVar(&r.topics, "topic", nil, what+" topic `name`, prefix:NAME, or '*' for all; repeatable")
	f.StringSliceVar(&r.groups, "group", nil, what+" consumer group, named like a topic")
	f.StringSliceVar(&r.transactionalIDs, "transactional-id", nil, what+" transactional id, named like a topic")
	f.StringSliceVar(&r.users, "user", nil, what+" user whose tokens are meant, such as User:alice")
	f.StringSliceVar(&r.subjects, "subject", nil, what+" subject of the Schema Registry, named like a topic")
	f.BoolVar(&r.cluster, "cluster", false, what+" the cluster itself")
}

// targets are the patterns that the flags name.
func (r *resourceFlags) targets() ([]acl.Target, error) {
	var out []acl.Target
	for _, x := range []struct {
		kind  acl.ResourceType
		names []string
	}{{acl.Topic, r.topics}, {acl.Group, r.groups}, {acl.TransactionalID, r.transactionalIDs}, {acl.User, r.users}, {acl.Subject, r.subjects}} {
		for _, name := range x.names {
			t := acl.Target{Type: x.kind, Pattern: acl.Literal, Name: name}
			if prefix, ok := strings.CutPrefix(name, "prefix:"); ok {
				t.Pattern, t.Name = acl.Prefixed, prefix
			}
			if t.Name == "" {
				return nil, usageErrorf("a %s needs a name", lower(x.kind))
			}
			out = append(out, t)
		}
	}
	if r.cluster {
		out = append(out, acl.Target{Type: acl.Cluster, Pattern: acl.Literal, Name: acl.ClusterName})
	}
	return out, nil
}

// principalOf takes alice for User:alice.
func principalOf(s string) (string, error) {
	if !strings.Contains(s, ":") {
		s = acl.UserType + ":" + s
	}
	if _, err := acl.ParsePrincipal(s); err != nil {
		return "", usageErrorf("%v", err)
	}
	return s, nil
}

func newACLListCommand(s *session) *cobra.Command {
	var resources resourceFlags
	var principal string
	var subjects bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List access control entries",
		Long:  "List access control entries: all, those of a principal, or those that are about a resource, however they name it.",
		Example: `  weir acl list
  weir acl list --topic orders                 by this name, by a prefix of it, and for all topics
  weir acl list --principal alice -o json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filters, err := listFilters(&resources, principal, subjects)
			if err != nil {
				return err
			}
			cl, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			var found []acl.Binding
			for _, f := range filters {
				some, err := describeACLs(cmd.Context(), cl, f)
				if err != nil {
					return err
				}
				found = append(found, some...)
			}
			return s.printACLs(acl.NewSet(found, acl.Rules{}).All())
		},
	}
	s.addOutput(cmd)
	resources.add(cmd, "only entries about this")
	cmd.Flags().StringVar(&principal, "principal", "", "only entries of this `principal`, such as User:alice")
	cmd.Flags().BoolVar(&subjects, "subjects", false, "entries about all subjects, which are not listed else: Kafka has none")
	return cmd
}

// listFilters select what is about each named resource, or everything; all is for everything about subjects, which Kafka does not know
// and which is left out else.
func listFilters(resources *resourceFlags, principal string, all bool) ([]acl.Filter, error) {
	targets, err := resources.targets()
	if err != nil {
		return nil, err
	}
	base := acl.AnyFilter()
	if principal != "" {
		if principal, err = principalOf(principal); err != nil {
			return nil, err
		}
		base.Principal = &principal
	}
	if len(targets) == 0 {
		if all {
			base.Type = acl.Subject
		}
		return []acl.Filter{base}, nil
	}
	var out []acl.Filter
	for _, t := range targets {
		f := base
		f.Type, f.Name, f.Pattern = t.Type, &t.Name, t.Pattern
		if t.Pattern == acl.Literal && t.Name != acl.Wildcard {
			f.Pattern = acl.Match
		}
		out = append(out, f)
	}
	return out, nil
}

// describeACLs asks a broker for the entries that a filter selects.
func describeACLs(ctx context.Context, cl *kgo.Client, f acl.Filter) ([]acl.Binding, error) {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourceName, req.ResourcePatternType = kmsg.ACLResourceType(f.Type), f.Name, kmsg.ACLResourcePatternType(f.Pattern)
	req.Principal, req.Host, req.Operation, req.PermissionType = f.Principal, f.Host, kmsg.ACLOperation(f.Operation), kmsg.ACLPermissionType(f.Permission)
	res, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = aclError(res.ErrorCode, res.ErrorMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("list access control entries: %w", err)
	}
	var out []acl.Binding
	for _, r := range res.Resources {
		for _, a := range r.ACLs {
			out = append(out, acl.Binding{
				Type: acl.ResourceType(r.ResourceType), Pattern: acl.PatternType(r.ResourcePatternType), Name: r.ResourceName,
				Principal: a.Principal, Host: a.Host, Operation: acl.Operation(a.Operation), Permission: acl.Permission(a.PermissionType),
			})
		}
	}
	return out, nil
}

// aclError is the error of an answer, with what to do about it.
func aclError(code int16, text *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return nil
	}
	err = brokerError(err, *cmp.Or(text, new("")))
	if code == kerr.SecurityDisabled.Code {
		return withFix(err, "start the broker with --set authorizer.class.name=weir --set super.users=User:YOU")
	}
	return err
}
