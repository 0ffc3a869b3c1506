package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

// lagRow is how far a group is behind in a partition. Committed and Lag are -1 where nothing was committed.
type lagRow struct {
	Group     string   `json:"group"`
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Committed int64    `json:"committed"`
	Start     int64    `json:"start"`
	End       int64    `json:"end"`
	Lag       int64    `json:"lag"`
	LagSec    *float64 `json:"lag_seconds,omitempty"`
	Client    string   `json:"client,omitempty"`
	Host      string   `json:"host,omitempty"`
	Member    string   `json:"member,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// coordinatorPause is the wait before a coordinator that was not ready is asked again.
const coordinatorPause = 200 * time.Millisecond

// committedOffsets returns a group's offsets. The first group of a cluster makes its coordinator start, which takes a
// moment in which it refuses: such answers are asked for again.
func committedOffsets(ctx context.Context, adm *kadm.Client, group string) (kadm.OffsetResponses, error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	for {
		offsets, err := adm.FetchOffsets(ctx, group)
		if err == nil {
			return offsets, nil
		}
		if !kerr.IsRetriable(err) {
			return nil, fmt.Errorf("fetch offsets of group %s: %w", group, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("fetch offsets of group %s: %w", group, err)
		case <-time.After(coordinatorPause):
		}
	}
}

// addLag fills in the group's partitions: those it has offsets for and those its members read.
func (g *groupState) addLag(ctx context.Context, adm *kadm.Client) error {
	committed, err := committedOffsets(ctx, adm, g.Group)
	var lags map[string]map[int32]int64
	if err == nil && g.Type == typeShare {
		committed, lags, err = shareOffsets(ctx, adm, g.Group)
	}
	if err != nil {
		return err
	}
	set := committed.Partitions()
	for _, m := range g.Members {
		for topic, partitions := range m.Partitions {
			set.Add(topic, partitions...)
		}
	}
	g.Partitions = []lagRow{}
	if len(set) == 0 {
		return nil
	}
	starts, err := adm.ListStartOffsets(ctx, set.Topics()...)
	if err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, set.Topics()...)
	if err != nil {
		return fmt.Errorf("list end offsets: %w", err)
	}
	for topic, partitions := range set {
		for p := range partitions {
			row := lagRow{Group: g.Group, Topic: topic, Partition: p, Committed: -1, Start: starts[topic][p].Offset, End: ends[topic][p].Offset, Lag: -1}
			if m := g.owner(topic, p); m != nil {
				row.Client, row.Host, row.Member = m.Client, m.Host, m.Member
			}
			c, ok := committed.Lookup(topic, p)
			if ok && c.Err == nil {
				row.Committed = c.At
			}
			if end, ok := ends.Lookup(topic, p); !ok || end.Err != nil {
				row.Error = "the topic is gone"
				if ok {
					row.Error = end.Err.Error()
				}
			} else if row.Committed >= 0 {
				row.Lag = max(0, end.Offset-max(row.Committed, row.Start))
				if lag, ok := lags[topic][p]; ok && lag >= 0 {
					row.Lag = lag
				}
				g.Lag += row.Lag
			}
			g.Partitions = append(g.Partitions, row)
		}
	}
	slices.SortFunc(g.Partitions, func(a, b lagRow) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return nil
}

func lagTable(rows []lagRow, withGroup bool) *table.Table {
	t := &table.Table{}
	if withGroup {
		t.Columns = append(t.Columns, table.Column{Title: "GROUP"})
	}
	t.Columns = append(t.Columns, []table.Column{
		{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "COMMITTED", Right: true}, {Title: "END", Right: true}, {Title: "LAG", Right: true},
	}...)
	timed := slices.ContainsFunc(rows, func(r lagRow) bool { return r.LagSec != nil })
	if timed {
		t.Columns = append(t.Columns, table.Column{Title: "BEHIND", Right: true})
	}
	t.Columns = append(t.Columns, []table.Column{{Title: "START", Right: true, Wide: true}, {Title: "CLIENT"}, {Title: "HOST", Wide: true}, {Title: "MEMBER", Wide: true}, {Title: "NOTE", Wide: true}}...)
	number := func(n int64) string {
		if n < 0 {
			return "-"
		}
		return text.Count(n)
	}
	for _, r := range rows {
		var cells []string
		if withGroup {
			cells = append(cells, r.Group)
		}
		cells = append(cells, r.Topic, strconv.Itoa(int(r.Partition)), number(r.Committed), number(r.End), number(r.Lag))
		if timed {
			behind := "-"
			if r.LagSec != nil {
				behind = text.Duration(time.Duration(*r.LagSec * float64(time.Second)))
			}
			cells = append(cells, behind)
		}
		t.Add(append(cells, number(r.Start), r.Client, r.Host, r.Member, r.Error)...)
	}
	return t
}

// groupTotal is the lag of a whole group.
type groupTotal struct {
	Group      string   `json:"group"`
	State      string   `json:"state"`
	Members    int      `json:"members"`
	Partitions int      `json:"partitions"`
	Lag        int64    `json:"lag"`
	LagSec     *float64 `json:"lag_seconds,omitempty"`
}

func newGroupLagCommand(s *session) *cobra.Command {
	var inTime bool
	cmd := &cobra.Command{
		Use:   "lag [GROUP...]",
		Short: "Show how far groups are behind",
		Long: `Show how many records groups are behind: without names one line for each group, with names one for each partition.

--time also reads the first record that each partition waits for and shows how old it is, which says more than a number of
records: a group that is 2 s behind is well at any rate.`,
		Example: `  weir group lag
  weir group lag billing --time
  weir group lag -o json | jq '[.[].lag] | add'`,
		Args:              args(0, -1),
		ValidArgsFunction: s.completeGroups(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showLag(cmd.Context(), s, args, inTime)
		},
	}
	s.addOutput(cmd)
	cmd.Flags().BoolVar(&inTime, "time", false, "also show the age of the oldest record that waits")
	return cmd
}

func showLag(ctx context.Context, s *session, names []string, inTime bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	totals := len(names) == 0
	if totals {
		groups, err := listGroups(ctx, adm, nil)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if g.Type == "classic" || g.Type == "consumer" {
				names = append(names, g.Group)
			}
		}
	}
	var rows []lagRow
	sums := []groupTotal{}
	for _, name := range names {
		g, err := describeGroup(ctx, adm, name)
		if err == nil {
			err = g.addLag(ctx, adm)
		}
		if err == nil && inTime {
			err = s.addLagTimes(ctx, g.Partitions)
		}
		if err != nil {
			return err
		}
		rows = append(rows, g.Partitions...)
		sums = append(sums, groupTotal{name, g.State, len(g.Members), len(g.Partitions), g.Lag, longestLag(g.Partitions)})
	}
	if !totals {
		return s.print(rows, lagTable(rows, len(names) > 1))
	}
	t := &table.Table{Columns: []table.Column{{Title: "GROUP"}, {Title: "STATE"}, {Title: "MEMBERS", Right: true}, {Title: "PARTITIONS", Right: true}, {Title: "LAG", Right: true}}}
	if inTime {
		t.Columns = append(t.Columns, table.Column{Title: "BEHIND", Right: true})
	}
	for _, g := range sums {
		behind := "-"
		if g.LagSec != nil {
			behind = text.Duration(time.Duration(*g.LagSec * float64(time.Second)))
		}
		t.Add(g.Group, g.State, strconv.Itoa(g.Members), strconv.Itoa(g.Partitions), text.Count(g.Lag), behind)
	}
	return s.print(sums, t)
}

func longestLag(rows []lagRow) *float64 {
	var longest *float64
	for _, r := range rows {
		if r.LagSec != nil && (longest == nil || *r.LagSec > *longest) {
			longest = r.LagSec
		}
	}
	return longest
}

// lagTimePatience bounds the reading of the records that wait.
const lagTimePatience = 5 * time.Second

// addLagTimes reads the first waiting record of each partition that lags, and notes its age.
func (s *session) addLagTimes(ctx context.Context, rows []lagRow) error {
	waiting := map[topicPartition]*lagRow{}
	assign := map[string]map[int32]kgo.Offset{}
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Lag == 0:
			r.LagSec = new(float64)
		case r.Lag > 0:
			waiting[topicPartition{r.Topic, r.Partition}] = r
			if assign[r.Topic] == nil {
				assign[r.Topic] = map[int32]kgo.Offset{}
			}
			assign[r.Topic][r.Partition] = kgo.NewOffset().At(max(r.Committed, r.Start))
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	cl, err := s.client(kgo.ConsumePartitions(assign), kgo.FetchMaxPartitionBytes(1<<10), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	pollCtx, cancel := context.WithTimeout(ctx, lagTimePatience)
	defer cancel()
	for len(waiting) > 0 && pollCtx.Err() == nil {
		cl.PollFetches(pollCtx).EachPartition(func(p kgo.FetchTopicPartition) {
			tp := topicPartition{p.Topic, p.Partition}
			row, ok := waiting[tp]
			if !ok || len(p.Records) == 0 {
				return
			}
			age := max(0, s.now().Sub(p.Records[0].Timestamp).Seconds())
			row.LagSec = &age
			delete(waiting, tp)
			cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
		})
	}
	return ctx.Err()
}
