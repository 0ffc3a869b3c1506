package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// canRow is the answer to weir can.
type canRow struct {
	Allowed   bool   `json:"allowed"`
	Principal string `json:"principal"`
	Operation string `json:"operation"`
	Resource  string `json:"resource"`
	Name      string `json:"name"`
	Host      string `json:"host,omitempty"`
	Why       string `json:"why"`
}

func newCanCommand(s *session) *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "can PRINCIPAL OPERATION RESOURCE [NAME]",
		Short: "Tell whether somebody may do something, and why",
		Long: `Tell whether a principal may do an operation on a resource, by the rules of the broker and the entries that it has now: yes
with the entry that allows it, or no with the entry that denies it or the command that would allow it. The exit code is 0 for
yes and 1 for no. Without --from, entries for single hosts are passed over.`,
		Example: `  weir can alice read topic orders
  weir can User:ci create cluster
  weir can bob write topic orders --from 10.0.0.7`,
		Args: args(3, 4),
		RunE: func(cmd *cobra.Command, args []string) error { return can(cmd.Context(), s, host, args) },
	}
	s.addOutput(cmd)
	cmd.Flags().StringVar(&host, "from", "", "`address` that the client comes from")
	return cmd
}

func can(ctx context.Context, s *session, host string, args []string) error {
	r, err := canRequest(host, args)
	if err != nil {
		return err
	}
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	about := acl.AnyFilter()
	if r.Type == acl.Subject {
		about.Type = acl.Subject
	}
	bindings, err := describeACLs(ctx, cl, about)
	if errors.Is(err, kerr.SecurityDisabled) {
		return s.printCan(r, acl.Decision{Allowed: true}, "the broker has no authorizer: everybody may do everything")
	}
	if err != nil {
		return err
	}
	d := acl.NewSet(bindings, s.rules(ctx, cl)).Decide(r)
	return s.printCan(r, d, why(d))
}

func canRequest(host string, args []string) (acl.Request, error) {
	r := acl.Request{Host: host}
	principal, err := principalOf(args[0])
	if err == nil {
		r.Principal, err = acl.ParsePrincipal(principal)
	}
	if err == nil {
		r.Operation, err = acl.ParseOperation(args[1])
	}
	if err == nil {
		r.Type, err = acl.ParseResourceType(args[2])
	}
	switch {
	case err != nil:
		return r, usageErrorf("%v", err)
	case len(args) == 4:
		r.Name = args[3]
	case r.Type == acl.Cluster:
		r.Name = acl.ClusterName
	default:
		return r, usageErrorf("name the %s", lower(r.Type))
	}
	return r, nil
}

// rules are what the broker's settings say, as far as it tells them.
func (s *session) rules(ctx context.Context, cl *kgo.Client) acl.Rules {
	var rules acl.Rules
	adm := kadm.NewClient(cl)
	brokers, err := adm.ListBrokers(ctx)
	if err != nil || len(brokers) == 0 {
		s.progressf("the broker does not tell its settings (%v): super users are not known", err)
		return rules
	}
	configs, err := adm.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	for _, resource := range configs {
		err = errors.Join(err, resource.Err)
	}
	if err != nil {
		s.progressf("the broker does not tell its settings (%v): super users are not known", err)
		return rules
	}
	for _, resource := range configs {
		for _, c := range resource.Configs {
			switch c.Key {
			case "allow.everyone.if.no.acl.found":
				rules.AllowIfNone = c.MaybeValue() == "true"
			case "super.users":
				for name := range strings.SplitSeq(c.MaybeValue(), ";") {
					if p, err := acl.ParsePrincipal(strings.TrimSpace(name)); err == nil {
						rules.SuperUsers = append(rules.SuperUsers, p)
					}
				}
			}
		}
	}
	return rules
}

func why(d acl.Decision) string {
	switch d.Reason {
	case acl.ByAllow, acl.ByDeny:
		return "by the entry: " + d.By.String()
	case acl.BySuperUser:
		return "a super user may do everything"
	case acl.ByNone:
		if d.Allowed {
			return "no entry is about it, and allow.everyone.if.no.acl.found lets everybody do it"
		}
		return "no entry is about it"
	}
	return "no entry allows it"
}

// printCan prints the answer. No is an error with the way out.
func (s *session) printCan(r acl.Request, d acl.Decision, because string) error {
	row := canRow{d.Allowed, r.Principal.String(), lower(r.Operation), lower(r.Type), r.Name, r.Host, because}
	t := &table.Table{Columns: []table.Column{{Title: "ALLOWED"}, {Title: "WHY"}}}
	answer := "no"
	if d.Allowed {
		answer = "yes"
	}
	t.Add(answer, because)
	if err := s.print(row, t); err != nil || d.Allowed {
		return err
	}
	no := fmt.Errorf("%s may not %s %s %s: %s", row.Principal, row.Operation, row.Resource, row.Name, because)
	flag := "--" + row.Resource + " " + row.Name
	if r.Type == acl.Cluster {
		flag = "--cluster"
	}
	if d.Reason == acl.ByDeny {
		return withFix(no, "an entry that denies wins over all others; delete it: weir acl delete --principal '%s' --operation %s %s", d.By.Principal, lower(d.By.Operation), deniedBy(d.By))
	}
	return withFix(no, "weir acl create --allow %s --operation %s %s", row.Principal, row.Operation, flag)
}

// deniedBy is the flag that selects the resource of an entry.
func deniedBy(b *acl.Binding) string {
	switch {
	case b.Type == acl.Cluster:
		return "--cluster"
	case b.Pattern == acl.Prefixed:
		return "--" + lower(b.Type) + " prefix:" + b.Name
	}
	return "--" + lower(b.Type) + " '" + b.Name + "'"
}
