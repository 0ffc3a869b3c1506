package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newGroupCommand(s *session) *cobra.Command {
	return newNoun("group", "Consumer groups, their members, offsets and lag",
		"List and describe consumer groups, see how far behind they are, move their offsets, and delete them.",
		`  weir group list
  weir group lag
  weir group describe billing
  weir group reset billing --to @1h            show what would change
  weir group reset billing --to @1h --yes      change it`,
		newGroupListCommand(s), newGroupDescribeCommand(s), newGroupLagCommand(s), newGroupResetCommand(s), newGroupDeleteCommand(s))
}

// groupRow is a group in a list.
type groupRow struct {
	Group       string `json:"group"`
	State       string `json:"state"`
	Type        string `json:"type"`
	Protocol    string `json:"protocol_type,omitempty"`
	Coordinator int32  `json:"coordinator"`
}

func newGroupListCommand(s *session) *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List groups with their state",
		Long: `List groups with their state and type: classic, consumer (the protocol of KIP-848), share or streams. An empty group has
offsets but no members.`,
		Example: `  weir group list
  weir group list --state Stable,Empty
  weir group list -o json | jq -r '.[].group'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			rows, err := listGroups(cmd.Context(), adm, states)
			if err != nil {
				return err
			}
			t := &table.Table{Columns: []table.Column{{Title: "GROUP"}, {Title: "STATE"}, {Title: "TYPE"}, {Title: "PROTOCOL", Wide: true}, {Title: "COORDINATOR", Right: true, Wide: true}}}
			for _, r := range rows {
				t.Add(r.Group, r.State, r.Type, r.Protocol, strconv.Itoa(int(r.Coordinator)))
			}
			return s.print(rows, t)
		},
	}
	s.addOutput(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these states: Stable, Empty, PreparingRebalance, ...")
	return cmd
}

// listGroups returns all groups in the order of their names. A group's type is found by asking for each type; brokers
// before KIP-848 know only classic ones.
func listGroups(ctx context.Context, adm *kadm.Client, states []string) ([]groupRow, error) {
	all, err := adm.ListGroups(ctx, states...)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	rows := []groupRow{}
	for _, g := range all.Sorted() {
		rows = append(rows, groupRow{g.Group, g.State, "classic", g.ProtocolType, g.Coordinator})
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		// A broker that cannot tell types fails here, or answers with every group.
		typed, err := adm.ListGroupsByType(ctx, []string{kind}, states...)
		if err != nil || len(typed) == len(all) && kind != "consumer" && !slices.ContainsFunc(rows, func(r groupRow) bool { return r.Protocol == kind }) {
			continue
		}
		for i := range rows {
			if _, ok := typed[rows[i].Group]; ok {
				rows[i].Type = kind
			}
		}
	}
	slices.SortFunc(rows, func(a, b groupRow) int { return cmp.Compare(a.Group, b.Group) })
	return rows, nil
}

// groupState is a group as far as any protocol tells it.
type groupState struct {
	Group       string        `json:"group"`
	State       string        `json:"state"`
	Type        string        `json:"type"`
	Assignor    string        `json:"assignor,omitempty"`
	Epoch       *int32        `json:"epoch,omitempty"`
	Coordinator int32         `json:"coordinator"`
	Lag         int64         `json:"lag"`
	Members     []groupMember `json:"members"`
	Partitions  []lagRow      `json:"partitions"`
}

type groupMember struct {
	Member     string             `json:"member"`
	Instance   string             `json:"instance,omitempty"`
	Client     string             `json:"client"`
	Host       string             `json:"host"`
	Partitions map[string][]int32 `json:"partitions"`
}

// describeGroup returns the state of one group, which must exist.
func describeGroup(ctx context.Context, adm *kadm.Client, name string) (*groupState, error) {
	groups, err := listGroups(ctx, adm, nil)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(groups, func(g groupRow) bool { return g.Group == name })
	if i < 0 {
		return nil, withFix(fmt.Errorf("group %q does not exist", name), "'weir group list' shows the groups; one appears with its first member or offset")
	}
	g := &groupState{Group: name, State: groups[i].State, Type: groups[i].Type, Coordinator: groups[i].Coordinator, Members: []groupMember{}}
	switch g.Type {
	case "consumer":
		err = g.addConsumerMembers(ctx, adm)
	case typeShare:
		err = g.addShareMembers(ctx, adm)
	case "classic":
		err = g.addClassicMembers(ctx, adm)
	}
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", name, err)
	}
	return g, nil
}

func (g *groupState) addConsumerMembers(ctx context.Context, adm *kadm.Client) error {
	answers, err := adm.DescribeConsumerGroups(ctx, g.Group)
	if err != nil {
		return err
	}
	d := answers[g.Group]
	if d.Err != nil {
		return d.Err
	}
	g.State, g.Assignor, g.Epoch, g.Coordinator = d.State, d.AssignorName, &d.Epoch, d.Coordinator.NodeID
	for _, m := range d.Members {
		g.addMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.Assignment)
	}
	return nil
}

func (g *groupState) addClassicMembers(ctx context.Context, adm *kadm.Client) error {
	answers, err := adm.DescribeGroups(ctx, g.Group)
	if err != nil {
		return err
	}
	d := answers[g.Group]
	if d.Err != nil {
		return brokerError(d.Err, d.ErrMessage)
	}
	g.State, g.Assignor, g.Coordinator = d.State, d.Protocol, d.Coordinator.NodeID
	for _, m := range d.Members {
		assigned := kadm.TopicsSet{}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		g.addMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, assigned)
	}
	return nil
}

func (g *groupState) addMember(member string, instance *string, client, host string, assigned kadm.TopicsSet) {
	m := groupMember{Member: member, Client: client, Host: strings.TrimPrefix(host, "/"), Partitions: map[string][]int32{}}
	if instance != nil {
		m.Instance = *instance
	}
	for _, t := range assigned.Sorted() {
		m.Partitions[t.Topic] = slices.Sorted(slices.Values(t.Partitions))
	}
	g.Members = append(g.Members, m)
}

// owner returns the member that reads a partition, or nil.
func (g *groupState) owner(topic string, partition int32) *groupMember {
	for i := range g.Members {
		if slices.Contains(g.Members[i].Partitions[topic], partition) {
			return &g.Members[i]
		}
	}
	return nil
}

func newGroupDescribeCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show a group's members, partitions and lag",
		Long: `Show who is in a group, which partitions each member reads, and for each partition the committed offset, the end, and
the lag between them.`,
		Example: `  weir group describe billing
  weir group describe billing -o json | jq '.[0].lag'`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeGroups(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			var groups []*groupState
			for _, name := range args {
				g, err := describeGroup(cmd.Context(), adm, name)
				if err == nil {
					err = g.addLag(cmd.Context(), adm)
				}
				if err != nil {
					return err
				}
				groups = append(groups, g)
			}
			return s.printDocument(groups, func(w io.Writer, wide bool) error {
				for i, g := range groups {
					if err := g.write(w, wide, i > 0); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	s.addOutput(cmd)
	return cmd
}

func (g *groupState) write(w io.Writer, wide, further bool) error {
	var b strings.Builder
	if further {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "group %s  %s  %s  lag %s  coordinator %d", text.Safe(g.Group), g.State, g.Type, text.Count(g.Lag), g.Coordinator)
	if g.Assignor != "" {
		fmt.Fprintf(&b, "  assignor %s", text.Safe(g.Assignor))
	}
	if g.Epoch != nil {
		fmt.Fprintf(&b, "  epoch %d", *g.Epoch)
	}
	b.WriteString("\n\n")
	members := &table.Table{Columns: []table.Column{{Title: "CLIENT"}, {Title: "HOST"}, {Title: "INSTANCE", Wide: true}, {Title: "PARTITIONS", Right: true}, {Title: "READS"}, {Title: "MEMBER", Wide: true}}}
	for _, m := range g.Members {
		total := 0
		var reads []string
		for _, topic := range sortedKeys(m.Partitions) {
			total += len(m.Partitions[topic])
			reads = append(reads, topic+"["+joinInts(m.Partitions[topic])+"]")
		}
		members.Add(m.Client, m.Host, m.Instance, strconv.Itoa(total), strings.Join(reads, " "), m.Member)
	}
	if len(g.Members) == 0 {
		b.WriteString("no members\n")
	} else if err := members.Write(&b, wide); err != nil {
		return err
	}
	if len(g.Partitions) > 0 {
		b.WriteByte('\n')
		if err := lagTable(g.Partitions, false).Write(&b, wide); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func newGroupDeleteCommand(s *session) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete groups with their offsets",
		Long: `Delete groups with their committed offsets. A group with members cannot be deleted. A person is asked, a script must
pass --yes.`,
		Example: `  weir group delete billing-test --dry-run
  weir group delete billing-test --yes`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeGroups(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return deleteGroups(cmd.Context(), s, args, yes, dryRun)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "delete without asking")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

func deleteGroups(ctx context.Context, s *session, names []string, yes, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, name := range names {
		g, err := describeGroup(ctx, adm, name)
		if err != nil {
			return err
		}
		if len(g.Members) > 0 {
			return withFix(fmt.Errorf("group %q has %s", name, plural(int64(len(g.Members)), "member")), "stop them first: 'weir group describe %s' lists them", name)
		}
		offsets, err := committedOffsets(ctx, adm, name)
		if err == nil && g.Type == typeShare {
			offsets, _, err = shareOffsets(ctx, adm, name)
		}
		if err != nil {
			return err
		}
		committed := int64(0)
		offsets.Each(func(kadm.OffsetResponse) { committed++ })
		if !yes {
			s.progressf("to be deleted: group %s (%s) with %s", name, g.State, plural(committed, "committed offset"))
		}
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	answers, err := adm.DeleteGroups(ctx, names...)
	if err != nil && len(answers) == 0 {
		return fmt.Errorf("delete groups: %w", err)
	}
	var failed []error
	for _, name := range names {
		a, ok := answers[name]
		switch {
		case !ok:
			failed = append(failed, fmt.Errorf("delete group %q: %w", name, kerr.GroupIDNotFound))
		case a.Err != nil:
			failed = append(failed, fmt.Errorf("delete group %q: %w", name, a.Err))
		default:
			s.progressf("deleted %s", name)
		}
	}
	return errors.Join(failed...)
}
