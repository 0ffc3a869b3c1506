package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/cli/position"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

type resetOptions struct {
	to      string
	shift   int64
	undo    string
	topics  []string
	yes     bool
	shifted bool
}

func newGroupResetCommand(s *session) *cobra.Command {
	var o resetOptions
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "reset GROUP (--to POSITION | --shift N | --undo FILE)",
		Short: "Move a group's offsets, after showing what would change",
		Long: `Move the committed offsets of a group that has no members. Without --yes nothing changes: the plan is shown.

--to takes earliest, latest, an offset, +N after the start, -N before the end, or @time. --shift moves by N from where the
group is. All topics with offsets are meant unless --topic names some, with partitions if wanted: orders or orders:0,3.
New offsets are kept within what each partition holds.

What a reset prints as NDJSON is its way back: --undo FILE sets the offsets of that file's "committed" fields again.`,
		Example: `  weir group reset billing --to earliest                     only show
  weir group reset billing --to @2026-01-02T15:00:00Z --yes > before.ndjson
  weir group reset billing --undo before.ndjson --yes
  weir group reset billing --shift -100 --topic orders:0,1 --yes`,
		Args:              args(1, 1),
		ValidArgsFunction: s.completeGroups(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.shifted = cmd.Flags().Changed("shift")
			if dryRun && o.yes {
				return usageErrorf("--dry-run and --yes exclude each other")
			}
			return resetGroup(cmd.Context(), s, args[0], o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "`position` to move to: earliest, latest, N, +N, -N, @time")
	f.Int64Var(&o.shift, "shift", 0, "move by `N` records, forward or (negative) back")
	f.StringVar(&o.undo, "undo", "", "set the committed offsets of this `file` of an earlier reset's NDJSON")
	f.StringArrayVarP(&o.topics, "topic", "t", nil, "only this topic, `TOPIC[:partition,...]`; repeatable")
	f.BoolVarP(&o.yes, "yes", "y", false, "do it")
	f.BoolVar(&dryRun, "dry-run", false, "only show what would change (the default)")
	return cmd
}

// resetRow is what a reset does to one partition. Committed is -1 where nothing was committed.
type resetRow struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
	New       int64  `json:"new"`
	Change    int64  `json:"change"`
	Done      bool   `json:"done"`
}

func resetGroup(ctx context.Context, s *session, group string, o resetOptions) error {
	ways := 0
	for _, given := range []bool{o.to != "", o.shifted, o.undo != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return usageErrorf("say where to move: one of --to, --shift or --undo")
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	committed, err := committedOffsets(ctx, adm, group)
	share := isShare(ctx, adm, group)
	if err == nil && share {
		committed, _, err = shareOffsets(ctx, adm, group)
	}
	if err != nil {
		return err
	}
	var rows []resetRow
	if o.undo != "" {
		rows, err = planUndo(group, committed, o.undo)
	} else {
		rows, err = planReset(ctx, s, adm, group, committed, o)
	}
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return withFix(fmt.Errorf("group %q has no committed offsets", group), "name the topics to set offsets for with --topic, or see 'weir group list'")
	}
	if !o.yes {
		if err := s.print(rows, resetTable(rows)); err != nil {
			return err
		}
		s.progressf("dry run: nothing was changed; repeat with --yes to do it")
		return nil
	}
	if err := refuseMembers(ctx, adm, group); err != nil {
		return err
	}
	var offsets kadm.Offsets
	for _, r := range rows {
		offsets.AddOffset(r.Topic, r.Partition, r.New, -1)
	}
	if share {
		err = moveShareGroup(ctx, adm, group, offsets)
	} else if err = adm.CommitAllOffsets(ctx, group, offsets); err != nil {
		err = fmt.Errorf("commit offsets of group %s: %w", group, err)
	}
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Done = true
	}
	s.progressf("moved %s of group %s", plural(int64(len(rows)), "partition"), group)
	return s.print(rows, resetTable(rows))
}

// refuseMembers makes sure that no member would overwrite, or be confused by, a reset.
func refuseMembers(ctx context.Context, adm *kadm.Client, group string) error {
	groups, err := listGroups(ctx, adm, nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(groups, func(g groupRow) bool { return g.Group == group }) {
		return nil // its first offsets make it
	}
	g, err := describeGroup(ctx, adm, group)
	if err != nil {
		return err
	}
	if len(g.Members) > 0 {
		return withFix(fmt.Errorf("group %q has %s: they would go on from where they are", group, plural(int64(len(g.Members)), "member")),
			"stop them first: 'weir group describe %s' lists them", group)
	}
	return nil
}

func planReset(ctx context.Context, s *session, adm *kadm.Client, group string, committed kadm.OffsetResponses, o resetOptions) ([]resetRow, error) {
	var to position.Point
	if !o.shifted {
		var err error
		if to, err = position.Parse(o.to, s.now()); err != nil {
			return nil, usageErrorf("--to: %v", err)
		}
	}
	wanted, err := wantedPartitions(committed, o.topics)
	if err != nil {
		return nil, err
	}
	var rows []resetRow
	for _, topic := range slices.Sorted(maps.Keys(wanted)) {
		within, err := topicBounds(ctx, adm, topic, wanted[topic], false)
		if err != nil {
			return nil, err
		}
		resolved, err := resolvePoint(ctx, adm, topic, within, to)
		if err != nil {
			return nil, err
		}
		for _, p := range slices.Sorted(maps.Keys(within)) {
			row := resetRow{Group: group, Topic: topic, Partition: p, Committed: -1, New: resolved[p]}
			if c, ok := committed.Lookup(topic, p); ok && c.Err == nil {
				row.Committed = c.At
			}
			if o.shifted {
				if row.Committed < 0 {
					continue // nothing to count from
				}
				row.New = min(max(row.Committed+o.shift, within[p].start), within[p].end)
			}
			row.Change = row.New - max(row.Committed, 0)
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// wantedPartitions returns what --topic names, or every partition that has a committed offset. No partitions of a topic
// means all.
func wantedPartitions(committed kadm.OffsetResponses, topics []string) (map[string][]int32, error) {
	wanted := map[string][]int32{}
	if len(topics) == 0 {
		for _, t := range committed.Partitions().Sorted() {
			wanted[t.Topic] = t.Partitions
		}
		return wanted, nil
	}
	for _, spec := range topics {
		topic, list, some := strings.Cut(spec, ":")
		wanted[topic] = append(wanted[topic], []int32{}...)
		if !some {
			continue
		}
		for word := range strings.SplitSeq(list, ",") {
			n, err := strconv.ParseInt(word, 10, 32)
			if err != nil || n < 0 {
				return nil, usageErrorf("--topic %q: %q is no partition; use TOPIC or TOPIC:0,3", spec, word)
			}
			wanted[topic] = append(wanted[topic], int32(n))
		}
	}
	return wanted, nil
}

func planUndo(group string, committed kadm.OffsetResponses, file string) ([]resetRow, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read --undo: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	var rows []resetRow
	for dec := json.NewDecoder(f); ; {
		var before resetRow
		err := dec.Decode(&before)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, withFix(fmt.Errorf("read %s: %w", file, err), "it must be what 'weir group reset -o ndjson' printed")
		}
		if before.Group != group {
			return nil, usageErrorf("%s is of group %q, not of %q", file, before.Group, group)
		}
		if before.Committed < 0 {
			continue
		}
		row := resetRow{Group: group, Topic: before.Topic, Partition: before.Partition, Committed: -1, New: before.Committed}
		if c, ok := committed.Lookup(row.Topic, row.Partition); ok && c.Err == nil {
			row.Committed = c.At
		}
		row.Change = row.New - max(row.Committed, 0)
		rows = append(rows, row)
	}
}

func resetTable(rows []resetRow) *table.Table {
	t := &table.Table{Columns: []table.Column{{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "COMMITTED", Right: true}, {Title: "NEW", Right: true}, {Title: "CHANGE", Right: true}}}
	for _, r := range rows {
		now, sign := "-", ""
		if r.Committed >= 0 {
			now = text.Count(r.Committed)
		}
		if r.Change > 0 {
			sign = "+"
		}
		t.Add(r.Topic, strconv.Itoa(int(r.Partition)), now, text.Count(r.New), sign+text.Count(r.Change))
	}
	return t
}
