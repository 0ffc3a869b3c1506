package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

type aclCreateOptions struct {
	resources   resourceFlags
	allow, deny []string
	operations  []string
	host        string
	dryRun      bool
}

func newACLCreateCommand(s *session) *cobra.Command {
	var o aclCreateOptions
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create access control entries",
		Long: `Create entries: one for each principal, operation and resource that is named. What there is already stays as it is. An
entry counts from the next request on, of all connections.`,
		Example: `  weir acl create --allow alice --operation read --topic orders --group billing
  weir acl create --allow 'User:*' --operation describe --topic prefix:public-
  weir acl create --deny mallory --operation all --topic '*'
  weir acl create --allow User:ci --operation create --cluster --host 10.0.0.7`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			bindings, err := o.bindings()
			if err != nil {
				return err
			}
			return s.createACLs(cmd.Context(), bindings, o.dryRun)
		},
	}
	s.addOutput(cmd)
	o.resources.add(cmd, "entries about this")
	f := cmd.Flags()
	f.StringArrayVar(&o.allow, "allow", nil, "`principal` to allow it to, such as alice, User:alice or 'User:*'; repeatable")
	f.StringArrayVar(&o.deny, "deny", nil, "`principal` to deny it to; repeatable")
	f.StringSliceVar(&o.operations, "operation", nil, "`operation`: read, write, create, delete, alter, describe, describe-configs, alter-configs, cluster-action, idempotent-write, all; repeatable")
	f.StringVar(&o.host, "host", acl.Wildcard, "`address` of the client, * for any")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show the entries")
	return cmd
}

func (o *aclCreateOptions) bindings() ([]acl.Binding, error) {
	targets, err := o.resources.targets()
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 || len(o.operations) == 0 || len(o.allow)+len(o.deny) == 0 {
		return nil, usageErrorf("name who (--allow or --deny), what (--operation) and on which resource (--topic, --group, --transactional-id, --user, --cluster)")
	}
	var out []acl.Binding
	for permission, principals := range map[acl.Permission][]string{acl.Allow: o.allow, acl.Deny: o.deny} {
		for _, p := range principals {
			if p, err = principalOf(p); err != nil {
				return nil, err
			}
			for _, name := range o.operations {
				op, err := acl.ParseOperation(name)
				if err != nil || op == acl.AnyOperation {
					return nil, usageErrorf("unknown operation %q", name)
				}
				for _, t := range targets {
					out = append(out, acl.Binding{Type: t.Type, Pattern: t.Pattern, Name: t.Name, Principal: p, Host: o.host, Operation: op, Permission: permission})
				}
			}
		}
	}
	return acl.NewSet(out, acl.Rules{}).All(), nil
}

// createACLs creates entries and prints them.
func (s *session) createACLs(ctx context.Context, bindings []acl.Binding, dryRun bool) error {
	if dryRun {
		s.progressf("dry run: nothing was changed")
		return s.printACLs(bindings)
	}
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, b := range bindings {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(b.Type), b.Name, kmsg.ACLResourcePatternType(b.Pattern)
		c.Principal, c.Host, c.Operation, c.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("create access control entries: %w", err)
	}
	var failed []error
	var done []acl.Binding
	for i, r := range res.Results {
		if err := aclError(r.ErrorCode, r.ErrorMessage); err != nil && i < len(bindings) {
			failed = append(failed, fmt.Errorf("create entry %q: %w", bindings[i], err))
		} else if i < len(bindings) {
			done = append(done, bindings[i])
		}
	}
	if len(done) > 0 {
		failed = append(failed, s.printACLs(done))
	}
	return errors.Join(failed...)
}

type aclDeleteOptions struct {
	resources   resourceFlags
	principal   string
	operation   string
	host        string
	yes, dryRun bool
}

func newACLDeleteCommand(s *session) *cobra.Command {
	var o aclDeleteOptions
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Delete access control entries",
		Long: `Delete the entries that all of the given flags select; a resource selects the entries with just this name and pattern.
What would be deleted is shown first.`,
		Example: `  weir acl delete --principal bob                show what would go
  weir acl delete --principal bob --yes
  weir acl delete --topic prefix:orders- --operation write --yes`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filters, err := o.filters()
			if err != nil {
				return err
			}
			return s.deleteACLs(cmd.Context(), filters, o.yes, o.dryRun)
		},
	}
	s.addOutput(cmd)
	o.resources.add(cmd, "only entries with this")
	f := cmd.Flags()
	f.StringVar(&o.principal, "principal", "", "only entries of this `principal`")
	f.StringVar(&o.operation, "operation", "", "only entries with this `operation`")
	f.StringVar(&o.host, "host", "", "only entries for this `address`")
	f.BoolVar(&o.yes, "yes", false, "do it without asking")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

func (o *aclDeleteOptions) filters() ([]acl.Filter, error) {
	targets, err := o.resources.targets()
	if err != nil {
		return nil, err
	}
	base := acl.AnyFilter()
	if o.principal != "" {
		p, err := principalOf(o.principal)
		if err != nil {
			return nil, err
		}
		base.Principal = &p
	}
	if o.host != "" {
		base.Host = &o.host
	}
	if o.operation != "" {
		if base.Operation, err = acl.ParseOperation(o.operation); err != nil {
			return nil, usageErrorf("%v", err)
		}
	}
	if len(targets) == 0 {
		if base == acl.AnyFilter() {
			return nil, usageErrorf("say which entries: --principal, --operation, --host, or a resource")
		}
		return []acl.Filter{base}, nil
	}
	var out []acl.Filter
	for _, t := range targets {
		f := base
		f.Type, f.Pattern, f.Name = t.Type, t.Pattern, &t.Name
		out = append(out, f)
	}
	return out, nil
}

// deleteACLs shows what the filters select, asks, and deletes it.
func (s *session) deleteACLs(ctx context.Context, filters []acl.Filter, yes, dryRun bool) error {
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	var found []acl.Binding
	for _, f := range filters {
		some, err := describeACLs(ctx, cl, f)
		if err != nil {
			return err
		}
		found = append(found, some...)
	}
	found = acl.NewSet(found, acl.Rules{}).All()
	if err := s.printACLs(found); err != nil {
		return err
	}
	if len(found) == 0 {
		s.progressf("no entry is selected")
		return nil
	}
	ok, err := s.confirm(yes, dryRun)
	if err != nil || !ok {
		return err
	}
	return removeACLs(ctx, cl, found)
}

// removeACLs deletes just these entries.
func removeACLs(ctx context.Context, cl *kgo.Client, bindings []acl.Binding) error {
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, b := range bindings {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = kmsg.ACLResourceType(b.Type), &b.Name, kmsg.ACLResourcePatternType(b.Pattern)
		f.Principal, f.Host, f.Operation, f.PermissionType = &b.Principal, &b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		req.Filters = append(req.Filters, f)
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("delete access control entries: %w", err)
	}
	var failed []error
	for i, r := range res.Results {
		if err := aclError(r.ErrorCode, r.ErrorMessage); err != nil && i < len(bindings) {
			failed = append(failed, fmt.Errorf("delete entry %q: %w", bindings[i], err))
		}
	}
	return errors.Join(failed...)
}

type aclGrantOptions struct {
	resources             resourceFlags
	role, principal, host string
	rolesFile             string
	yes, dryRun           bool
}

// newACLGrantCommand is grant and, without the grant, revoke.
func newACLGrantCommand(s *session, grant bool) *cobra.Command {
	var o aclGrantOptions
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "Give a principal a role",
		Long: `Give a principal a role: create the entries that the role consists of. 'weir acl roles' lists the roles. Roles of your own
stand in a YAML file:

  auditors:
    topic: [read, describe-configs]
    group: [read]`,
		Example: `  weir acl grant --role DeveloperRead --principal alice --topic prefix:orders- --group billing
  weir acl grant --role ClusterAdmin --principal ops
  weir acl grant --roles-file roles.yaml --role auditors --principal carol --topic ledger`,
		Args: args(0, 0),
	}
	if !grant {
		cmd.Use, cmd.Short = "revoke", "Take a role from a principal"
		cmd.Long = "Delete the entries that the role consists of, for the same resources as in the grant. Entries that other roles share go too."
		cmd.Example = `  weir acl revoke --role DeveloperRead --principal alice --topic prefix:orders- --group billing --yes`
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		bindings, err := o.bindings()
		if err != nil {
			return err
		}
		if grant {
			return s.createACLs(cmd.Context(), bindings, o.dryRun)
		}
		var filters []acl.Filter
		for _, b := range bindings {
			filters = append(filters, acl.Filter{Type: b.Type, Pattern: b.Pattern, Name: &b.Name, Principal: &b.Principal, Host: &b.Host, Operation: b.Operation, Permission: b.Permission})
		}
		return s.deleteACLs(cmd.Context(), filters, o.yes, o.dryRun)
	}
	s.addOutput(cmd)
	o.resources.add(cmd, "for this")
	f := cmd.Flags()
	f.StringVar(&o.role, "role", "", "`name` of the role")
	f.StringVar(&o.principal, "principal", "", "`principal`, such as alice or User:alice")
	f.StringVar(&o.host, "host", acl.Wildcard, "`address` of the client, * for any")
	f.StringVar(&o.rolesFile, "roles-file", "", "YAML `file` with further roles")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show the entries")
	if !grant {
		f.BoolVar(&o.yes, "yes", false, "do it without asking")
	}
	return cmd
}

func (o *aclGrantOptions) bindings() ([]acl.Binding, error) {
	if o.role == "" || o.principal == "" {
		return nil, usageErrorf("name the role (--role) and who has it (--principal)")
	}
	principal, err := principalOf(o.principal)
	if err != nil {
		return nil, err
	}
	roles := acl.Roles()
	if o.rolesFile != "" {
		own, err := loadRoles(o.rolesFile)
		if err != nil {
			return nil, err
		}
		roles = append(own, roles...)
	}
	role, err := acl.FindRole(roles, o.role)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	targets, err := o.resources.targets()
	if err != nil {
		return nil, err
	}
	bindings, err := role.Bindings(principal, o.host, targets)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return bindings, nil
}

// loadRoles reads roles of the user's own.
func loadRoles(file string) ([]acl.Role, error) {
	b, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	var raw map[string]map[string][]string
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("read roles from %s: %w", file, err)
	}
	var out []acl.Role
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		role := acl.Role{Name: name}
		for _, kind := range slices.Sorted(maps.Keys(raw[name])) {
			t, err := acl.ParseResourceType(kind)
			if err != nil {
				return nil, fmt.Errorf("role %s in %s: %w", name, file, err)
			}
			g := acl.Grant{Type: t}
			for _, op := range raw[name][kind] {
				o, err := acl.ParseOperation(op)
				if err != nil {
					return nil, fmt.Errorf("role %s in %s: %w", name, file, err)
				}
				g.Operations = append(g.Operations, o)
			}
			if t == acl.Cluster {
				g.Name = acl.ClusterName
				role.Everywhere = append(role.Everywhere, g)
			} else {
				role.OnResource = append(role.OnResource, g)
			}
		}
		out = append(out, role)
	}
	return out, nil
}

type roleRow struct {
	Role     string   `json:"role"`
	Means    string   `json:"means"`
	Resource bool     `json:"takes_resources"`
	Grants   []string `json:"grants"`
}

func newACLRolesCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "List the roles and what they consist of",
		Long:  "List the roles that grant knows, what they mean, and with -o wide the operations of each. A role never overrides an entry that denies.",
		Example: `  weir acl roles
  weir acl roles -o wide`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			rows := []roleRow{}
			t := &table.Table{Columns: []table.Column{{Title: "ROLE"}, {Title: "MEANS"}, {Title: "GRANTS", Wide: true}}}
			for _, r := range acl.Roles() {
				row := roleRow{Role: r.Name, Means: r.Doc, Resource: len(r.OnResource) > 0}
				for _, g := range slices.Concat(r.Everywhere, r.OnResource) {
					var ops []string
					for _, op := range g.Operations {
						ops = append(ops, lower(op))
					}
					row.Grants = append(row.Grants, strings.TrimSpace(lower(g.Type)+" "+g.Name)+": "+strings.Join(ops, ","))
				}
				rows = append(rows, row)
				t.Add(row.Role, row.Means, strings.Join(row.Grants, "; "))
			}
			return s.print(rows, t)
		},
	}
	s.addOutput(cmd)
	return cmd
}
