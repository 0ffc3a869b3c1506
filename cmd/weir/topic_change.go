package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

type createOptions struct {
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	dryRun      bool
}

func newTopicCreateCommand(s *session) *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Make topics",
		Long:  "Make one or more topics with the same number of partitions and the same settings. What is not named is the broker's default.",
		Example: `  weir topic create orders
  weir topic create orders payments --partitions 12 --config retention.ms=604800000
  weir topic create users --config cleanup.policy=compact --if-not-exists
  weir topic create 'bad name' --dry-run       only ask the broker whether it would`,
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return createTopics(cmd.Context(), s, o, args) },
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.Int32VarP(&o.partitions, "partitions", "p", -1, "number of partitions (-1: the broker's default)")
	f.Int16VarP(&o.replicas, "replicas", "r", -1, "replication factor (-1: the broker's default)")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "setting of the topic, `name=value`; repeatable")
	f.BoolVar(&o.ifNotExists, "if-not-exists", false, "topics that exist already are no error")
	f.BoolVar(&o.dryRun, "dry-run", false, "let the broker check the request without doing it")
	return cmd
}

// createdRow is the outcome for one topic.
type createdRow struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int32  `json:"partitions,omitempty"`
	Outcome    string `json:"outcome"`
}

func createTopics(ctx context.Context, s *session, o createOptions, names []string) error {
	configs, err := configMap(o.configs)
	if err != nil {
		return err
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	create, outcome := adm.CreateTopics, "created"
	if o.dryRun {
		create, outcome = adm.ValidateCreateTopics, "would be created"
	}
	answers, err := create(ctx, o.partitions, o.replicas, configs, names...)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var rows []createdRow
	var failed []error
	for _, name := range names {
		a := answers[name]
		switch {
		case o.ifNotExists && errors.Is(a.Err, kerr.TopicAlreadyExists):
			rows = append(rows, createdRow{Name: name, Outcome: "exists already"})
		case a.Err != nil:
			failed = append(failed, fmt.Errorf("create topic %q: %w", name, brokerError(a.Err, a.ErrMessage)))
		default:
			rows = append(rows, createdRow{name, topicID(a.ID), max(a.NumPartitions, 0), outcome})
		}
	}
	t := &table.Table{Columns: []table.Column{{Title: "NAME"}, {Title: "PARTITIONS", Right: true}, {Title: "OUTCOME"}, {Title: "ID", Wide: true}}}
	for _, r := range rows {
		partitions := "-"
		if r.Partitions > 0 {
			partitions = strconv.Itoa(int(r.Partitions))
		}
		t.Add(r.Name, partitions, r.Outcome, r.ID)
	}
	if len(rows) > 0 {
		failed = append(failed, s.print(rows, t))
	}
	return errors.Join(failed...)
}

func configMap(pairs []string) (map[string]*string, error) {
	configs := map[string]*string{}
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usageErrorf("setting %q is not name=value", p)
		}
		configs[name] = &value
	}
	return configs, nil
}

type alterOptions struct {
	set, deleted, appended, subtracted []string
	partitions                         int
	dryRun                             bool
}

func newTopicAlterCommand(s *session) *cobra.Command {
	var o alterOptions
	cmd := &cobra.Command{
		Use:   "alter TOPIC...",
		Short: "Change settings or add partitions",
		Long: `Change settings of topics, or add partitions. Only the settings that are named change; --delete makes one the broker's
default again; --append and --subtract change lists such as cleanup.policy. Added partitions change where keys go.`,
		Example: `  weir topic alter orders --set retention.ms=3600000 --set max.message.bytes=2097152
  weir topic alter orders --delete retention.ms
  weir topic alter users --append cleanup.policy=compact
  weir topic alter orders --partitions 24 --dry-run`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE:              func(cmd *cobra.Command, args []string) error { return alterTopics(cmd.Context(), s, o, args) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.set, "set", nil, "set a setting, `name=value`; repeatable")
	f.StringArrayVar(&o.deleted, "delete", nil, "make a setting the default again, `name`; repeatable")
	f.StringArrayVar(&o.appended, "append", nil, "add to a list, `name=value`; repeatable")
	f.StringArrayVar(&o.subtracted, "subtract", nil, "take from a list, `name=value`; repeatable")
	f.IntVar(&o.partitions, "partitions", 0, "raise the number of partitions to this")
	f.BoolVar(&o.dryRun, "dry-run", false, "let the broker check the request without doing it")
	return cmd
}

func (o *alterOptions) changes() ([]kadm.AlterConfig, error) {
	var changes []kadm.AlterConfig
	for _, kind := range []struct {
		op    kadm.IncrementalOp
		pairs []string
	}{{kadm.SetConfig, o.set}, {kadm.AppendConfig, o.appended}, {kadm.SubtractConfig, o.subtracted}} {
		for _, p := range kind.pairs {
			name, value, ok := strings.Cut(p, "=")
			if !ok || name == "" {
				return nil, usageErrorf("setting %q is not name=value", p)
			}
			changes = append(changes, kadm.AlterConfig{Op: kind.op, Name: name, Value: &value})
		}
	}
	for _, name := range o.deleted {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	return changes, nil
}

func alterTopics(ctx context.Context, s *session, o alterOptions, names []string) error {
	changes, err := o.changes()
	if err != nil {
		return err
	}
	if len(changes) == 0 && o.partitions == 0 {
		return usageErrorf("nothing to change: use --set, --delete, --append, --subtract or --partitions")
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, err := topicDetails(ctx, adm, names); err != nil {
		return err
	}
	var failed []error
	if len(changes) > 0 {
		alter := adm.AlterTopicConfigs
		if o.dryRun {
			alter = adm.ValidateAlterTopicConfigs
		}
		answers, err := alter(ctx, changes, names...)
		if err != nil {
			return fmt.Errorf("alter settings: %w", err)
		}
		for _, a := range answers {
			if a.Err != nil {
				failed = append(failed, fmt.Errorf("alter topic %q: %w", a.Name, brokerError(a.Err, a.ErrMessage)))
			}
		}
	}
	if o.partitions > 0 && len(failed) == 0 {
		update := adm.UpdatePartitions
		if o.dryRun {
			update = adm.ValidateUpdatePartitions
		}
		answers, err := update(ctx, o.partitions, names...)
		if err != nil {
			return fmt.Errorf("add partitions: %w", err)
		}
		for _, a := range answers.Sorted() {
			if a.Err != nil {
				failed = append(failed, fmt.Errorf("add partitions to topic %q: %w", a.Topic, brokerError(a.Err, a.ErrMessage)))
			}
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if o.dryRun {
		s.progressf("dry run: the broker would accept this; nothing was changed")
		return nil
	}
	s.progressf("altered %s", strings.Join(names, ", "))
	return nil
}

func newTopicDeleteCommand(s *session) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "delete TOPIC...",
		Short: "Delete topics with all their records",
		Long: `Delete topics with all their records. What would be lost is shown first; a person is asked, a script must pass --yes.
There is no way back.`,
		Example: `  weir topic delete orders --dry-run
  weir topic delete orders payments --yes`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return deleteTopics(cmd.Context(), s, slices.Compact(slices.Sorted(slices.Values(args))), yes, dryRun)
		},
	}
	s.addOutput(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "delete without asking")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

// deletedRow tells what is lost with a topic.
type deletedRow struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	Records    int64  `json:"records"`
	Deleted    bool   `json:"deleted"`
}

func deleteTopics(ctx context.Context, s *session, names []string, yes, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	details, err := topicDetails(ctx, adm, names)
	if err != nil {
		return err
	}
	records, err := recordCounts(ctx, adm, names)
	if err != nil {
		return err
	}
	var rows []deletedRow
	t := &table.Table{Columns: []table.Column{{Title: "NAME"}, {Title: "PARTITIONS", Right: true}, {Title: "RECORDS", Right: true}}}
	for _, name := range names {
		n := len(details[name].Partitions)
		rows = append(rows, deletedRow{name, n, records[name], false})
		t.Add(name, strconv.Itoa(n), text.Count(records[name]))
	}
	if !yes {
		s.progressf("to be deleted:")
		if err := s.print(rows, t); err != nil {
			return err
		}
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	answers, err := adm.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	var failed []error
	var deleted []deletedRow
	for _, r := range rows {
		if a := answers[r.Name]; a.Err != nil {
			failed = append(failed, fmt.Errorf("delete topic %q: %w", r.Name, brokerError(a.Err, a.ErrMessage)))
			continue
		}
		r.Deleted = true
		deleted = append(deleted, r)
		s.progressf("deleted %s", r.Name)
	}
	if yes && s.format() != "table" && s.format() != "wide" {
		failed = append(failed, s.print(deleted, t))
	}
	return errors.Join(failed...)
}
