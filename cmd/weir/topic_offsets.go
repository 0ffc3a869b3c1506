package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/cli/position"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

// bounds is what a partition holds: [start, end).
type bounds struct{ start, end int64 }

// topicBounds returns the bounds of the partitions of a topic that exists. With committed, end is the last stable
// offset instead of the high watermark. No partitions means all.
func topicBounds(ctx context.Context, adm *kadm.Client, topic string, partitions []int32, committed bool) (map[int32]bounds, error) {
	details, err := topicDetails(ctx, adm, []string{topic})
	if err != nil {
		return nil, err
	}
	have := details[topic].Partitions
	for _, p := range partitions {
		if _, ok := have[p]; !ok {
			return nil, withFix(fmt.Errorf("topic %q has no partition %d", topic, p), "it has partitions 0 to %d", len(have)-1)
		}
	}
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	listEnds := adm.ListEndOffsets
	if committed {
		listEnds = adm.ListCommittedOffsets
	}
	ends, err := listEnds(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	all := map[int32]bounds{}
	for p := range have {
		if len(partitions) > 0 && !slices.Contains(partitions, p) {
			continue
		}
		start, end := starts[topic][p], ends[topic][p]
		if err := errors.Join(start.Err, end.Err); err != nil {
			return nil, fmt.Errorf("offsets of %s-%d: %w", topic, p, err)
		}
		all[p] = bounds{start.Offset, end.Offset}
	}
	return all, nil
}

// resolvePoint turns a point into an offset for each partition in within, clamped to what the partition holds.
func resolvePoint(ctx context.Context, adm *kadm.Client, topic string, within map[int32]bounds, p position.Point) (map[int32]int64, error) {
	var atTime kadm.ListedOffsets
	if p.Kind == position.Time {
		var err error
		if atTime, err = adm.ListOffsetsAfterMilli(ctx, p.Value, topic); err != nil {
			return nil, fmt.Errorf("list offsets by time: %w", err)
		}
	}
	resolved := map[int32]int64{}
	for partition, b := range within {
		var offset int64
		switch p.Kind {
		case position.Earliest:
			offset = b.start
		case position.Latest:
			offset = b.end
		case position.Offset:
			offset = p.Value
		case position.FromStart:
			offset = b.start + min(p.Value, b.end-b.start)
		case position.FromEnd:
			offset = b.end - min(p.Value, b.end-b.start)
		case position.Time:
			at := atTime[topic][partition]
			if at.Err != nil {
				return nil, fmt.Errorf("offset of %s-%d by time: %w", topic, partition, at.Err)
			}
			if offset = at.Offset; offset < 0 {
				offset = b.end // nothing is that young
			}
		}
		resolved[partition] = min(max(offset, b.start), b.end)
	}
	return resolved, nil
}

// offsetRow is what a partition holds.
type offsetRow struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	Start        int64  `json:"start"`
	End          int64  `json:"end"`
	LastStable   int64  `json:"last_stable"`
	Records      int64  `json:"records"`
	At           *int64 `json:"at,omitempty"`
	NewestOffset *int64 `json:"newest_offset,omitempty"`
	NewestTime   string `json:"newest_time,omitempty"`
}

func newTopicOffsetsCommand(s *session) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "offsets TOPIC...",
		Short: "Show where partitions start and end, and what lies at a time",
		Long: `Show for each partition the first offset that can be read and the offset that the next record will get. --at adds the
offset of a time or of any position that 'topic consume -o' takes. Records is the distance between start and end.`,
		Example: `  weir topic offsets orders
  weir topic offsets orders --at @10m              the first record of the last ten minutes
  weir topic offsets orders --at @2026-01-02T15:04:05Z -o json`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var point *position.Point
			if at != "" {
				p, err := position.Parse(at, s.now())
				if err != nil {
					return usageErrorf("--at: %v", err)
				}
				point = &p
			}
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			var rows []offsetRow
			for _, topic := range args {
				more, err := topicOffsets(cmd.Context(), adm, topic, point)
				if err != nil {
					return err
				}
				rows = append(rows, more...)
			}
			return s.print(rows, offsetTable(rows, at))
		},
	}
	s.addOutput(cmd)
	cmd.Flags().StringVar(&at, "at", "", "also show the offset of a `position`: @time, -10, +10")
	return cmd
}

func topicOffsets(ctx context.Context, adm *kadm.Client, topic string, at *position.Point) ([]offsetRow, error) {
	within, err := topicBounds(ctx, adm, topic, nil, false)
	if err != nil {
		return nil, err
	}
	stable, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list last stable offsets: %w", err)
	}
	// Older brokers cannot tell the newest record; the rest is useful without.
	newest, _ := adm.ListMaxTimestampOffsets(ctx, topic)
	var resolved map[int32]int64
	if at != nil {
		if resolved, err = resolvePoint(ctx, adm, topic, within, *at); err != nil {
			return nil, err
		}
	}
	var rows []offsetRow
	for p, b := range within {
		row := offsetRow{Topic: topic, Partition: p, Start: b.start, End: b.end, LastStable: stable[topic][p].Offset, Records: b.end - b.start}
		if offset, ok := resolved[p]; ok {
			row.At = &offset
		}
		if n, ok := newest.Lookup(topic, p); ok && n.Err == nil && n.Timestamp >= 0 && n.Offset >= 0 {
			row.NewestOffset, row.NewestTime = &n.Offset, time.UnixMilli(n.Timestamp).UTC().Format(time.RFC3339Nano)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b offsetRow) int { return int(a.Partition - b.Partition) })
	return rows, nil
}

func offsetTable(rows []offsetRow, at string) *table.Table {
	t := &table.Table{Columns: []table.Column{
		{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "START", Right: true}, {Title: "END", Right: true}, {Title: "RECORDS", Right: true},
	}}
	if at != "" {
		t.Columns = append(t.Columns, table.Column{Title: "AT " + at, Right: true})
	}
	t.Columns = append(t.Columns, table.Column{Title: "STABLE", Right: true, Wide: true}, table.Column{Title: "NEWEST RECORD"})
	for _, r := range rows {
		cells := []string{r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Start, 10), strconv.FormatInt(r.End, 10), text.Count(r.Records)}
		if at != "" {
			cells = append(cells, optional(r.At, func(n int64) string { return strconv.FormatInt(n, 10) }))
		}
		t.Add(append(cells, strconv.FormatInt(r.LastStable, 10), r.NewestTime)...)
	}
	return t
}

func newTopicTrimCommand(s *session) *cobra.Command {
	var to string
	var partitions []int32
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "trim TOPIC --to POSITION",
		Short: "Delete the records before a position",
		Long: `Delete the records before a position: an offset, @time, latest (everything), or -N (all but the last N of each
partition). What would go is shown first; a person is asked, a script must pass --yes. There is no way back.`,
		Example: `  weir topic trim orders --to @7d --dry-run       what is older than a week
  weir topic trim orders --to 1000 -p 3 --yes
  weir topic trim orders --to latest --yes        empty the topic`,
		Args:              args(1, 1),
		ValidArgsFunction: s.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usageErrorf("--to is missing: name an offset, @time, -N or latest")
			}
			point, err := position.Parse(to, s.now())
			if err != nil {
				return usageErrorf("--to: %v", err)
			}
			return trimTopic(cmd.Context(), s, args[0], point, partitions, yes, dryRun)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "`position` of the first record to keep")
	f.Int32SliceVarP(&partitions, "partition", "p", nil, "only these partitions (default all)")
	f.BoolVarP(&yes, "yes", "y", false, "trim without asking")
	f.BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

// trimRow tells what a trim does to a partition.
type trimRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`
	NewStart  int64  `json:"new_start"`
	Deleted   int64  `json:"deleted"`
	Done      bool   `json:"done"`
}

func trimTopic(ctx context.Context, s *session, topic string, to position.Point, partitions []int32, yes, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	within, err := topicBounds(ctx, adm, topic, partitions, false)
	if err != nil {
		return err
	}
	resolved, err := resolvePoint(ctx, adm, topic, within, to)
	if err != nil {
		return err
	}
	var rows []trimRow
	var offsets kadm.Offsets
	for p, b := range within {
		rows = append(rows, trimRow{topic, p, b.start, resolved[p], resolved[p] - b.start, false})
		if resolved[p] > b.start {
			offsets.AddOffset(topic, p, resolved[p], -1)
		}
	}
	slices.SortFunc(rows, func(a, b trimRow) int { return int(a.Partition - b.Partition) })
	if len(offsets) == 0 {
		s.progressf("nothing lies before that position")
		return nil
	}
	if !yes {
		s.progressf("to be deleted:")
		if err := s.print(rows, trimTable(rows)); err != nil {
			return err
		}
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	answers, err := adm.DeleteRecords(ctx, offsets)
	if err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	if err := answers.Error(); err != nil {
		return fmt.Errorf("delete records of %s: %w", topic, err)
	}
	for i := range rows {
		if a, ok := answers.Lookup(topic, rows[i].Partition); ok {
			rows[i].NewStart, rows[i].Deleted = a.LowWatermark, a.LowWatermark-rows[i].Start
		}
		rows[i].Done = true
	}
	return s.print(rows, trimTable(rows))
}

func trimTable(rows []trimRow) *table.Table {
	t := &table.Table{Columns: []table.Column{
		{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "START", Right: true}, {Title: "NEW START", Right: true}, {Title: "DELETED", Right: true},
	}}
	for _, r := range rows {
		t.Add(r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Start, 10), strconv.FormatInt(r.NewStart, 10), text.Count(r.Deleted))
	}
	return t
}
