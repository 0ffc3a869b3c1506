package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newTopicCommand(s *session) *cobra.Command {
	return newNoun("topic", "Topics and the records in them",
		"List, describe, make, change and delete topics; write records to them, read them, and cut off their beginning.",
		`  weir topic list
  weir topic create orders --partitions 6 --config retention.ms=86400000
  echo 'k1:hello' | weir topic produce orders --key-sep :
  weir topic consume orders -o -10 -f '%p@%o %k %v\n'`,
		newTopicListCommand(s), newTopicCreateCommand(s), newTopicDescribeCommand(s), newTopicAlterCommand(s), newTopicDeleteCommand(s),
		newTopicProduceCommand(s), newTopicConsumeCommand(s), newTopicTrimCommand(s), newTopicOffsetsCommand(s))
}

// topicRow is a topic in a list.
type topicRow struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Internal   bool   `json:"internal"`
	Records    *int64 `json:"records,omitempty"`
	Bytes      *int64 `json:"bytes,omitempty"`
}

func newTopicListCommand(s *session) *cobra.Command {
	var internal, sizes bool
	cmd := &cobra.Command{
		Use:   "list [REGEX]",
		Short: "List topics",
		Long: `List topics, those only whose name matches REGEX if one is given. Internal topics are left out unless asked for.

--sizes, and -o wide, also ask for offsets and log sizes: records counts offsets from start to end, which is more than can
be read where the topic is compacted or holds transactions; bytes are those of one replica.`,
		Example: `  weir topic list
  weir topic list '^orders' --sizes
  weir topic list -o json | jq -r '.[].name'`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern := regexp.MustCompile("")
			if len(args) == 1 {
				var err error
				if pattern, err = regexp.Compile(args[0]); err != nil {
					return usageErrorf("%q is no regular expression: %v", args[0], err)
				}
			}
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			rows, err := listTopics(cmd.Context(), adm, pattern, internal, sizes || s.wide())
			if err != nil {
				return err
			}
			return s.print(rows, topicTable(rows, sizes || s.wide()))
		},
	}
	s.addOutput(cmd)
	cmd.Flags().BoolVar(&internal, "internal", false, "also list internal topics")
	cmd.Flags().BoolVar(&sizes, "sizes", false, "also show numbers of records and bytes")
	return cmd
}

func listTopics(ctx context.Context, adm *kadm.Client, pattern *regexp.Regexp, internal, sizes bool) ([]topicRow, error) {
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	rows := []topicRow{}
	for _, t := range topics.Sorted() {
		if t.IsInternal && !internal || !pattern.MatchString(t.Topic) {
			continue
		}
		rows = append(rows, topicRow{Name: t.Topic, ID: topicID(t.ID), Partitions: len(t.Partitions), Replicas: t.Partitions.NumReplicas(), Internal: t.IsInternal})
	}
	slices.SortFunc(rows, func(a, b topicRow) int { return cmp.Compare(a.Name, b.Name) })
	if !sizes || len(rows) == 0 {
		return rows, nil
	}
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].Name
	}
	records, err := recordCounts(ctx, adm, names)
	if err != nil {
		return nil, err
	}
	// A broker may refuse to tell log sizes; the list is useful without.
	bytes, _ := logBytes(ctx, adm)
	for i := range rows {
		n := records[rows[i].Name]
		rows[i].Records = &n
		if b, ok := bytes[rows[i].Name]; ok {
			rows[i].Bytes = &b
		}
	}
	return rows, nil
}

func topicTable(rows []topicRow, sizes bool) *table.Table {
	t := &table.Table{Columns: []table.Column{
		{Title: "NAME"}, {Title: "PARTITIONS", Right: true}, {Title: "REPLICAS", Right: true}, {Title: "RECORDS", Right: true, Wide: true}, {Title: "SIZE", Right: true, Wide: true}, {Title: "ID", Wide: true},
	}}
	t.Columns[3].Wide, t.Columns[4].Wide = !sizes, !sizes
	for _, r := range rows {
		t.Add(r.Name, strconv.Itoa(r.Partitions), strconv.Itoa(r.Replicas), optional(r.Records, text.Count), optional(r.Bytes, text.Bytes), r.ID)
	}
	return t
}

// optional writes a number that may not be known.
func optional(n *int64, format func(int64) string) string {
	if n == nil {
		return "-"
	}
	return format(*n)
}

// topicID writes an id as Kafka does, or nothing for a broker without ids.
func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// recordCounts returns the distance from start to end offset for each topic.
func recordCounts(ctx context.Context, adm *kadm.Client, topics []string) (map[string]int64, error) {
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	counts := map[string]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && start.Err == nil && end.Err == nil {
			counts[end.Topic] += end.Offset - start.Offset
		}
	})
	return counts, nil
}

// logBytes returns the bytes of the largest replica of each topic's partitions, summed.
func logBytes(ctx context.Context, adm *kadm.Client) (map[string]int64, error) {
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("describe log directories: %w", err)
	}
	type partition struct {
		topic string
		n     int32
	}
	largest := map[partition]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			key := partition{p.Topic, p.Partition}
			largest[key] = max(largest[key], p.Size)
		})
	})
	bytes := map[string]int64{}
	for p, n := range largest {
		bytes[p.topic] += n
	}
	return bytes, nil
}

// topicDescription is what 'topic describe' tells of one topic.
type topicDescription struct {
	Name       string           `json:"name"`
	ID         string           `json:"id,omitempty"`
	Internal   bool             `json:"internal"`
	Records    int64            `json:"records"`
	Partitions []partitionState `json:"partitions"`
	Configs    []configValue    `json:"configs"`
}

type partitionState struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"in_sync"`
	Start     int64   `json:"start"`
	End       int64   `json:"end"`
	Error     string  `json:"error,omitempty"`
}

type configValue struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

func newTopicDescribeCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe TOPIC...",
		Short: "Show a topic's partitions, offsets and settings",
		Long: `Show each topic's partitions with their owner and offsets, and its settings: on a terminal those that the topic itself
sets, with -o wide all of them. Other forms of output always hold all settings with their source.`,
		Example: `  weir topic describe orders
  weir topic describe orders -o wide
  weir topic describe orders -o json | jq '.[0].partitions | length'`,
		Args:              args(1, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			all, err := describeTopics(cmd.Context(), adm, args)
			if err != nil {
				return err
			}
			return s.printDocument(all, func(w io.Writer, wide bool) error {
				for i := range all {
					if err := all[i].write(w, wide, i > 0); err != nil {
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

// topicDetails returns the metadata of topics that all exist.
func topicDetails(ctx context.Context, adm *kadm.Client, names []string) (kadm.TopicDetails, error) {
	details, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	for _, name := range names {
		d := details[name]
		if errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return nil, withFix(fmt.Errorf("topic %q does not exist", name), "'weir topic list' shows the topics, 'weir topic create %s' makes it", name)
		}
		if d.Err != nil {
			return nil, fmt.Errorf("topic %q: %w", name, d.Err)
		}
	}
	return details, nil
}

func describeTopics(ctx context.Context, adm *kadm.Client, names []string) ([]topicDescription, error) {
	details, err := topicDetails(ctx, adm, names)
	if err != nil {
		return nil, err
	}
	starts, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	configs, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe settings: %w", err)
	}
	var all []topicDescription
	for _, name := range names {
		t := details[name]
		d := topicDescription{Name: name, ID: topicID(t.ID), Internal: t.IsInternal, Configs: []configValue{}}
		for _, p := range t.Partitions.Sorted() {
			state := partitionState{Partition: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas, InSync: p.ISR, Start: -1, End: -1}
			if p.Err != nil {
				state.Error = p.Err.Error()
			}
			start, okStart := starts.Lookup(name, p.Partition)
			end, okEnd := ends.Lookup(name, p.Partition)
			if okStart && okEnd && start.Err == nil && end.Err == nil {
				state.Start, state.End = start.Offset, end.Offset
				d.Records += end.Offset - start.Offset
			}
			d.Partitions = append(d.Partitions, state)
		}
		rc, err := configs.On(name, nil)
		if err == nil {
			err = brokerError(rc.Err, rc.ErrMessage)
		}
		if err != nil {
			return nil, fmt.Errorf("describe settings of %s: %w", name, err)
		}
		for _, c := range rc.Configs {
			d.Configs = append(d.Configs, configValue{c.Key, c.Value, sourceName(c.Source)})
		}
		slices.SortFunc(d.Configs, func(a, b configValue) int { return cmp.Compare(a.Name, b.Name) })
		all = append(all, d)
	}
	return all, nil
}

func sourceName(source kmsg.ConfigSource) string {
	switch source {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceStaticBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return strings.ToLower(source.String())
}

func (d *topicDescription) write(w io.Writer, wide, further bool) error {
	if further {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "topic %s  %s  %s records  id %s\n\n", text.Safe(d.Name), plural(int64(len(d.Partitions)), "partition"), text.Count(d.Records), d.ID); err != nil {
		return err
	}
	t := &table.Table{Columns: []table.Column{
		{Title: "PARTITION", Right: true},
		{Title: "LEADER", Right: true},
		{Title: "EPOCH", Right: true},
		{Title: "REPLICAS"},
		{Title: "IN SYNC"},
		{Title: "START", Right: true},
		{Title: "END", Right: true},
		{Title: "RECORDS", Right: true},
		{Title: "NOTE"},
	}}
	for _, p := range d.Partitions {
		t.Add(strconv.Itoa(int(p.Partition)), strconv.Itoa(int(p.Leader)), strconv.Itoa(int(p.Epoch)), joinInts(p.Replicas), joinInts(p.InSync),
			strconv.FormatInt(p.Start, 10), strconv.FormatInt(p.End, 10), text.Count(p.End-p.Start), p.Error)
	}
	if err := t.Write(w, wide); err != nil {
		return err
	}
	settings := &table.Table{Columns: []table.Column{{Title: "SETTING"}, {Title: "VALUE"}, {Title: "SOURCE"}}}
	for _, c := range d.Configs {
		if !wide && c.Source != "topic" {
			continue
		}
		value := "(hidden)"
		if c.Value != nil {
			value = *c.Value
		}
		settings.Add(c.Name, value, c.Source)
	}
	if len(settings.Rows) == 0 {
		_, err := fmt.Fprintln(w, "\nevery setting is the broker's; -o wide lists them")
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return settings.Write(w, wide)
}

func joinInts(ns []int32) string {
	words := make([]string, len(ns))
	for i, n := range ns {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ",")
}
