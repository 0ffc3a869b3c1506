package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/cli/table"
)

const quotaHelp = `A quota belongs to a user, a client id, a user together with a client id, or an address; --user-default,
--client-id-default and --ip-default stand for all who have none of their own. Of the quotas that fit a client the most
special one counts. The quotas, also by Kafka's names:

  produce     bytes a second, 10MiB/s          producer_byte_rate
  consume     bytes a second, 500KB/s          consumer_byte_rate
  request     share of the brokers' time, 50%  request_percentage
  mutation    partitions made or deleted, 10/s controller_mutation_rate
  connection  new connections, 20/s; --ip only connection_creation_rate`

func newQuotaCommand(s *session) *cobra.Command {
	return newNoun("quota", "The rates that clients are held to",
		"List, set and delete the quotas of clients. A client over its quota is told to wait, and not served until then.\n\n"+quotaHelp,
		`  weir quota list
  weir quota set --user alice produce=10MiB/s consume=20MiB/s
  weir quota set --user-default --client-id batch request=50%
  weir quota delete --user alice produce`,
		newQuotaListCommand(s), newQuotaSetCommand(s), newQuotaDeleteCommand(s))
}

// quotaSide is one side of an entity: what quotas call it, and the flags that name it.
type quotaSide struct {
	kind, what string
	name       string
	any        bool // the default of all who have none of their own
}

// quotaEntity are the flags that name an entity.
type quotaEntity struct{ sides [3]quotaSide }

func (e *quotaEntity) bind(s *session, cmd *cobra.Command) {
	for i, x := range [...]struct{ kind, what string }{{"user", "user"}, {"client-id", "client id"}, {"ip", "address"}} {
		side := &e.sides[i]
		side.kind, side.what = x.kind, x.what
		cmd.Flags().StringVar(&side.name, x.kind, "", "`name` of the "+x.what)
		cmd.Flags().BoolVar(&side.any, x.kind+"-default", false, "the default of every "+x.what+" without quotas of its own")
	}
	// The error means that the flag does not exist.
	_ = cmd.RegisterFlagCompletionFunc("user", s.completeUsers)
}

// named are the sides that were given.
func (e *quotaEntity) named() []quotaSide {
	return slices.DeleteFunc(slices.Clone(e.sides[:]), func(x quotaSide) bool { return x.name == "" && !x.any })
}

// check refuses a side that is given twice.
func (e *quotaEntity) check() error {
	for _, x := range e.named() {
		if x.any && x.name != "" {
			return usageErrorf("--%s and --%s-default are two entities: choose one", x.kind, x.kind)
		}
	}
	return nil
}

// entity is what quotas are set for.
func (e *quotaEntity) entity() (kadm.ClientQuotaEntity, error) {
	var out kadm.ClientQuotaEntity
	if err := e.check(); err != nil {
		return nil, err
	}
	for _, x := range e.named() {
		c := kadm.ClientQuotaEntityComponent{Type: x.kind}
		if !x.any {
			c.Name = &x.name
		}
		out = append(out, c)
	}
	switch ip := e.sides[2]; {
	case len(out) == 0:
		return nil, usageErrorf("name whose quotas: --user, --client-id, --ip, or one of them with -default")
	case len(out) > 1 && (ip.name != "" || ip.any):
		return nil, usageErrorf("an address has quotas by itself: leave --user and --client-id away")
	}
	return out, nil
}

// filter chooses the entities that have all the sides that were given.
func (e *quotaEntity) filter() []kadm.DescribeClientQuotaComponent {
	var out []kadm.DescribeClientQuotaComponent
	for _, x := range e.named() {
		c := kadm.DescribeClientQuotaComponent{Type: x.kind, MatchType: 1}
		if !x.any {
			c.MatchName, c.MatchType = &x.name, 0
		}
		out = append(out, c)
	}
	return out
}

// quotaPart is a side of an entity as a program reads it. A default has no name.
type quotaPart struct {
	Type    string `json:"type"`
	Name    string `json:"name,omitempty"`
	Default bool   `json:"default,omitempty"`
}

// quotaRow is an entity with its quotas, by Kafka's names, in bytes, percent or events a second.
type quotaRow struct {
	Entity []quotaPart        `json:"entity"`
	Quotas map[string]float64 `json:"quotas"`
}

func newQuotaListCommand(s *session) *cobra.Command {
	var e quotaEntity
	cmd := &cobra.Command{
		Use: "list", Short: "List quotas",
		Long:    "List all quotas, or those of entities that have every side that is named.\n\n" + quotaHelp,
		Example: "  weir quota list\n  weir quota list --user alice -o json\n  weir quota list --ip-default",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.check(); err != nil {
				return err
			}
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			found, err := describeQuotas(cmd.Context(), adm, false, e.filter())
			if err != nil {
				return err
			}
			return s.printQuotas(found)
		},
	}
	s.addOutput(cmd)
	e.bind(s, cmd)
	return cmd
}

// describeQuotas returns the quotas of the entities that fit, in the order of their names.
func describeQuotas(ctx context.Context, adm *kadm.Client, strict bool, filter []kadm.DescribeClientQuotaComponent) (kadm.DescribedClientQuotas, error) {
	found, err := adm.DescribeClientQuotas(ctx, strict, filter)
	if err != nil {
		return nil, fmt.Errorf("ask for quotas: %w", err)
	}
	for i := range found {
		slices.SortFunc(found[i].Entity, func(a, b kadm.ClientQuotaEntityComponent) int { return cmp.Compare(b.Type, a.Type) }) // user, ip, client id
		slices.SortFunc(found[i].Values, func(a, b kadm.ClientQuotaValue) int { return cmp.Compare(quotaOrder(a.Key), quotaOrder(b.Key)) })
	}
	slices.SortFunc(found, func(a, b kadm.DescribedClientQuota) int { return cmp.Compare(a.Entity.String(), b.Entity.String()) })
	return found, nil
}

func (s *session) printQuotas(found kadm.DescribedClientQuotas) error {
	rows := []quotaRow{}
	t := &table.Table{Columns: []table.Column{{Title: "USER"}, {Title: "CLIENT-ID"}, {Title: "IP"}, {Title: "QUOTA"}, {Title: "VALUE", Right: true}}}
	for _, q := range found {
		row := quotaRow{Entity: []quotaPart{}, Quotas: map[string]float64{}}
		cells := map[string]string{}
		for _, c := range q.Entity {
			p := quotaPart{Type: c.Type, Default: c.Name == nil}
			cells[c.Type] = "(default)"
			if c.Name != nil {
				p.Name, cells[c.Type] = *c.Name, *c.Name
			}
			row.Entity = append(row.Entity, p)
		}
		for _, v := range q.Values {
			row.Quotas[v.Key] = v.Value
			t.Add(cells["user"], cells["client-id"], cells["ip"], quotaName(v.Key), formatQuota(v.Key, v.Value))
		}
		rows = append(rows, row)
	}
	return s.print(rows, t)
}

func newQuotaSetCommand(s *session) *cobra.Command {
	var e quotaEntity
	var dryRun bool
	cmd := &cobra.Command{
		Use: "set QUOTA=VALUE...", Short: "Set quotas",
		Long: "Set quotas of one entity. Others that it has stay as they are. They count from the next request on.\n\n" + quotaHelp,
		Example: `  weir quota set --user alice produce=10MiB/s consume=20MiB/s
  weir quota set --user alice --client-id batch request=25%
  weir quota set --client-id-default consume=1MiB/s --dry-run
  weir quota set --ip 10.0.0.7 connection=5/s`,
		Args:              args(1, -1),
		ValidArgsFunction: completeQuotas("="),
		RunE: func(cmd *cobra.Command, args []string) error {
			entity, err := e.entity()
			if err != nil {
				return err
			}
			ops := make([]kadm.AlterClientQuotaOp, 0, len(args))
			for _, arg := range args {
				name, value, ok := strings.Cut(arg, "=")
				if !ok {
					return usageErrorf("%q is not of the form QUOTA=VALUE, such as produce=10MiB/s", arg)
				}
				key, err := quotaKey(name)
				if err != nil {
					return err
				}
				n, err := parseQuota(key, value)
				if err != nil {
					return err
				}
				if ofAddress := entity[0].Type == "ip"; ofAddress != (key == connectionQuota) {
					return usageErrorf("%s is no quota of %s: an address has connection, all others have the rest", quotaName(key), describeEntity(entity))
				}
				ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: n})
			}
			return s.setQuotas(cmd.Context(), kadm.AlterClientQuotaEntry{Entity: entity, Ops: ops}, dryRun)
		},
	}
	e.bind(s, cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only ask the cluster whether it would do it")
	return cmd
}

// setQuotas sets quotas, or has the cluster check them.
func (s *session) setQuotas(ctx context.Context, entry kadm.AlterClientQuotaEntry, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := alterQuotas(ctx, adm, entry, dryRun); err != nil {
		return err
	}
	for _, op := range entry.Ops {
		s.progressf("%s of %s: %s", quotaName(op.Key), describeEntity(entry.Entity), formatQuota(op.Key, op.Value))
	}
	if dryRun {
		s.progressf("dry run: nothing was changed")
	}
	return nil
}

func alterQuotas(ctx context.Context, adm *kadm.Client, entry kadm.AlterClientQuotaEntry, dryRun bool) error {
	alter := adm.AlterClientQuotas
	if dryRun {
		alter = adm.ValidateAlterClientQuotas
	}
	answers, err := alter(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return fmt.Errorf("change quotas: %w", err)
	}
	var failed []error
	for _, a := range answers {
		if a.Err != nil {
			failed = append(failed, fmt.Errorf("change quotas of %s: %w", describeEntity(a.Entity), brokerError(a.Err, a.ErrMessage)))
		}
	}
	return errors.Join(failed...)
}

// describeEntity names an entity in a sentence.
func describeEntity(e kadm.ClientQuotaEntity) string {
	sides := make([]string, len(e))
	for i, c := range e {
		what := map[string]string{"user": "user", "client-id": "client id", "ip": "address"}[c.Type]
		if c.Name == nil {
			sides[i] = "every " + what
		} else {
			sides[i] = what + " " + *c.Name
		}
	}
	return strings.Join(sides, " with ")
}

func newQuotaDeleteCommand(s *session) *cobra.Command {
	var e quotaEntity
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use: "delete [QUOTA...]", Short: "Delete quotas",
		Long: `Delete the named quotas of one entity, or all that it has. Clients are held by the next more general quota then, if there
is one. What would be deleted is shown first; a person is asked, a script must pass --yes.`,
		Example: `  weir quota delete --user alice produce --yes
  weir quota delete --client-id-default`,
		Args:              args(0, -1),
		ValidArgsFunction: completeQuotas(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			entity, err := e.entity()
			if err != nil {
				return err
			}
			var keys []string
			for _, name := range args {
				key, err := quotaKey(name)
				if err != nil {
					return err
				}
				keys = append(keys, key)
			}
			return s.deleteQuotas(cmd.Context(), entity, e.filter(), keys, yes, dryRun)
		},
	}
	e.bind(s, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "delete without asking")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

// deleteQuotas deletes the quotas of an entity by their keys; no keys means all.
func (s *session) deleteQuotas(ctx context.Context, entity kadm.ClientQuotaEntity, filter []kadm.DescribeClientQuotaComponent, keys []string, yes, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	found, err := describeQuotas(ctx, adm, true, filter)
	if err != nil {
		return err
	}
	entry := kadm.AlterClientQuotaEntry{Entity: entity}
	for _, q := range found {
		for _, v := range q.Values {
			if len(keys) == 0 || slices.Contains(keys, v.Key) {
				entry.Ops = append(entry.Ops, kadm.AlterClientQuotaOp{Key: v.Key, Remove: true})
				s.progressf("to be deleted: %s of %s, %s", quotaName(v.Key), describeEntity(entity), formatQuota(v.Key, v.Value))
			}
		}
	}
	for _, key := range keys {
		if !slices.ContainsFunc(entry.Ops, func(op kadm.AlterClientQuotaOp) bool { return op.Key == key }) {
			return withFix(fmt.Errorf("%s has no quota %s", describeEntity(entity), quotaName(key)), "weir quota list")
		}
	}
	if len(entry.Ops) == 0 {
		return withFix(fmt.Errorf("%s has no quotas", describeEntity(entity)), "weir quota list")
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	return alterQuotas(ctx, adm, entry, false)
}

// completeQuotas completes the names of quotas.
func completeQuotas(end string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, k := range quotaKinds {
			out = append(out, k.name+end)
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}
