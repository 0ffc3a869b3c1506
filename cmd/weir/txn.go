package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newTxnCommand(s *session) *cobra.Command {
	return newNoun("txn", "Transactions, and those that hang",
		"List and describe transactional ids, find transactions that hold readers up, and abort those that hang.",
		`  weir txn list
  weir txn list --state Ongoing --older-than 5m
  weir txn describe billing-1
  weir txn hanging
  weir txn abort orders 3 --producer-id 1042 --yes`,
		newTxnListCommand(s), newTxnDescribeCommand(s), newTxnHangingCommand(s), newTxnAbortCommand(s))
}

// txnRow is a transactional id with the state of its transaction.
type txnRow struct {
	ID          string             `json:"transactional_id"`
	State       string             `json:"state"`
	ProducerID  int64              `json:"producer_id"`
	Epoch       int16              `json:"epoch"`
	TimeoutMs   int32              `json:"timeout_ms"`
	Started     *time.Time         `json:"started,omitempty"`
	Coordinator int32              `json:"coordinator"`
	Partitions  map[string][]int32 `json:"partitions"`
}

// isOpen says whether the transaction holds readers up.
func (r *txnRow) isOpen() bool {
	return r.State == "Ongoing" || r.State == "PrepareCommit" || r.State == "PrepareAbort"
}

func (r *txnRow) partitionCount() int {
	n := 0
	for _, p := range r.Partitions {
		n += len(p)
	}
	return n
}

func newTxnRow(d *kadm.DescribedTransaction) txnRow {
	r := txnRow{
		ID: d.TxnID, State: d.State, ProducerID: d.ProducerID, Epoch: d.ProducerEpoch, TimeoutMs: d.TimeoutMillis,
		Coordinator: d.Coordinator, Partitions: map[string][]int32{},
	}
	if d.StartTimestamp >= 0 {
		at := time.UnixMilli(d.StartTimestamp).UTC()
		r.Started = &at
	}
	for _, t := range d.Topics.Sorted() {
		r.Partitions[t.Topic] = slices.Sorted(slices.Values(t.Partitions))
	}
	return r
}

func newTxnListCommand(s *session) *cobra.Command {
	var states []string
	var match string
	var older time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List transactional ids with their state",
		Long: `List transactional ids with their producer, the state of their last transaction and when it began. Only Ongoing,
PrepareCommit and PrepareAbort are open: readers with read_committed wait for them.`,
		Example: `  weir txn list
  weir txn list --state Ongoing --older-than 5m
  weir txn list --match 'billing-.*' -o json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pattern, err := regexp.Compile(`\A(?:` + match + `)\z`)
			if err != nil {
				return usageErrorf("--match: %v", err)
			}
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			rows, err := listTransactions(cmd.Context(), adm, states, func(r *txnRow) bool {
				return (match == "" || pattern.MatchString(r.ID)) && (older == 0 || r.isOpen() && r.Started != nil && s.now().Sub(*r.Started) >= older)
			})
			if err != nil {
				return err
			}
			return s.print(rows, txnTable(rows))
		},
	}
	s.addOutput(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only those in these states: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort")
	cmd.Flags().StringVar(&match, "match", "", "only ids that this pattern matches as a whole")
	cmd.Flags().DurationVar(&older, "older-than", 0, "only transactions that have been open for so long, such as 5m")
	return cmd
}

// listTransactions returns the transactional ids in some states, or all, that want returns true for.
func listTransactions(ctx context.Context, adm *kadm.Client, states []string, want func(*txnRow) bool) ([]txnRow, error) {
	listed, err := adm.ListTransactions(ctx, nil, states)
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	rows := []txnRow{}
	if len(listed) == 0 {
		return rows, nil
	}
	described, err := adm.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return nil, fmt.Errorf("describe transactions: %w", err)
	}
	for _, d := range described.Sorted() {
		// One that is gone by now, or in another state, is left out.
		if r := newTxnRow(&d); d.Err == nil && (len(states) == 0 || slices.Contains(states, d.State)) && want(&r) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func txnTable(rows []txnRow) *table.Table {
	t := &table.Table{Columns: []table.Column{
		{Title: "TRANSACTIONAL ID"},
		{Title: "STATE"},
		{Title: "PRODUCER", Right: true},
		{Title: "EPOCH", Right: true},
		{Title: "PARTITIONS", Right: true},
		{Title: "STARTED"},
		{Title: "TIMEOUT", Right: true, Wide: true},
		{Title: "COORDINATOR", Right: true, Wide: true},
	}}
	for i := range rows {
		r := &rows[i]
		started := "-"
		if r.Started != nil {
			started = r.Started.Format("2006-01-02 15:04:05.000Z")
		}
		t.Add(r.ID, r.State, strconv.FormatInt(r.ProducerID, 10), strconv.Itoa(int(r.Epoch)), strconv.Itoa(r.partitionCount()), started,
			text.Duration(time.Duration(r.TimeoutMs)*time.Millisecond), strconv.Itoa(int(r.Coordinator)))
	}
	return t
}

func newTxnDescribeCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe ID...",
		Short: "Show the state of transactional ids, and their partitions",
		Long:  `Show the producer of a transactional id, the state of its last transaction, and the partitions of the open one.`,
		Example: `  weir txn describe billing-1
  weir txn describe billing-1 -o json | jq '.[0].partitions'`,
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			described, err := adm.DescribeTransactions(cmd.Context(), ids...)
			if err != nil {
				return fmt.Errorf("describe transactions: %w", err)
			}
			rows := []txnRow{}
			for _, id := range ids {
				d := described[id]
				if d.Err != nil {
					return withFix(fmt.Errorf("describe transactional id %q: %w", id, d.Err), "'weir txn list' shows the ids")
				}
				rows = append(rows, newTxnRow(&d))
			}
			return s.printDocument(rows, func(w io.Writer, wide bool) error {
				if err := txnTable(rows).Write(w, wide); err != nil {
					return err
				}
				for _, r := range rows {
					var parts []string
					for _, topic := range sortedKeys(r.Partitions) {
						parts = append(parts, topic+"["+joinInts(r.Partitions[topic])+"]")
					}
					if len(parts) > 0 {
						if _, err := fmt.Fprintf(w, "\n%s: %s\n", text.Safe(r.ID), strings.Join(parts, " ")); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	s.addOutput(cmd)
	return cmd
}

// openRow is an open transaction in a partition.
type openRow struct {
	Topic      string    `json:"topic"`
	Partition  int32     `json:"partition"`
	ProducerID int64     `json:"producer_id"`
	Epoch      int16     `json:"epoch"`
	Start      int64     `json:"start_offset"`
	Last       time.Time `json:"last_timestamp"`
	ID         string    `json:"transactional_id,omitempty"`
	State      string    `json:"state,omitempty"`
	// Hanging says that no coordinator will ever end it.
	Hanging bool `json:"hanging"`

	coordinatorEpoch int32
}

func newTxnHangingCommand(s *session) *cobra.Command {
	var older time.Duration
	var all bool
	cmd := &cobra.Command{
		Use:   "hanging [TOPIC...]",
		Short: "Find transactions that nobody will end",
		Long: `Look for transactions that are open in a partition, of which no coordinator knows: readers with read_committed wait there
for ever. They come from old clients and from faults of brokers. 'weir txn abort' ends them.`,
		Example: `  weir txn hanging
  weir txn hanging orders --older-than 1m
  weir txn hanging --all                 also those that their coordinator will end`,
		Args:              args(0, -1),
		ValidArgsFunction: s.completeTopics(-1),
		RunE: func(cmd *cobra.Command, topics []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			open, err := openTransactions(cmd.Context(), adm, topics)
			if err != nil {
				return err
			}
			open = slices.DeleteFunc(open, func(r openRow) bool { return !all && !r.Hanging || s.now().Sub(r.Last) < older })
			t := &table.Table{Columns: []table.Column{
				{Title: "TOPIC"},
				{Title: "PARTITION", Right: true},
				{Title: "PRODUCER", Right: true},
				{Title: "EPOCH", Right: true},
				{Title: "SINCE OFFSET", Right: true},
				{Title: "LAST RECORD"},
				{Title: "HANGING"},
				{Title: "TRANSACTIONAL ID"},
			}}
			for _, r := range open {
				t.Add(r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.ProducerID, 10), strconv.Itoa(int(r.Epoch)), strconv.FormatInt(r.Start, 10),
					r.Last.Format("2006-01-02 15:04:05.000Z"), strconv.FormatBool(r.Hanging), r.ID)
			}
			return s.print(open, t)
		},
	}
	s.addOutput(cmd)
	cmd.Flags().DurationVar(&older, "older-than", 0, "only those without a record for so long; 15m is the longest time-out that brokers allow by default")
	cmd.Flags().BoolVar(&all, "all", false, "show every open transaction")
	return cmd
}

// openTransactions returns the open transactions of topics, or of all, by place. Transactions are looked up at their
// coordinators after the partitions, so one that began in between does not look as if it were hanging.
func openTransactions(ctx context.Context, adm *kadm.Client, topics []string) ([]openRow, error) {
	set := kadm.TopicsSet{}
	if len(topics) > 0 {
		details, err := adm.ListTopics(ctx, topics...)
		if err = errors.Join(err, details.Error()); err != nil {
			return nil, fmt.Errorf("look up topics: %w", err)
		}
		set = details.TopicsSet()
	}
	described, err := adm.DescribeProducers(ctx, set)
	if err != nil {
		return nil, fmt.Errorf("describe producers: %w", err)
	}
	open := []openRow{}
	var failed []error
	for _, p := range described.SortedPartitions() {
		if p.Err != nil {
			failed = append(failed, fmt.Errorf("describe producers of %s, partition %d: %w", p.Topic, p.Partition, p.Err))
		}
	}
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, openRow{
				Topic: p.Topic, Partition: p.Partition, ProducerID: p.ProducerID, Epoch: p.ProducerEpoch, Start: p.CurrentTxnStartOffset,
				Last: time.UnixMilli(p.LastTimestamp).UTC(), Hanging: true, coordinatorEpoch: p.CoordinatorEpoch,
			})
		}
	}
	if len(open) == 0 {
		return open, errors.Join(failed...)
	}
	known, err := listTransactions(ctx, adm, nil, func(r *txnRow) bool { return r.isOpen() })
	if err != nil {
		return nil, err
	}
	for i := range open {
		r := &open[i]
		for j := range known {
			if k := &known[j]; k.ProducerID == r.ProducerID && slices.Contains(k.Partitions[r.Topic], r.Partition) {
				r.ID, r.State, r.Hanging = k.ID, k.State, false
			}
		}
	}
	slices.SortFunc(open, func(a, b openRow) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Start, b.Start))
	})
	return open, errors.Join(failed...)
}

func newTxnAbortCommand(s *session) *cobra.Command {
	var yes, dryRun, force bool
	var producerID int64
	cmd := &cobra.Command{
		Use:   "abort TOPIC PARTITION --producer-id ID",
		Short: "Abort a hanging transaction in one partition",
		Long: `Abort the transaction that a producer has open in a partition, so that readers get on. Its records there are lost to
readers with read_committed. Only transactions that hang are aborted, unless --force is given: what a coordinator knows of it ends by
itself, and would be torn. A person is asked, a script must pass --yes.`,
		Example: `  weir txn hanging
  weir txn abort orders 3 --producer-id 1042 --dry-run
  weir txn abort orders 3 --producer-id 1042 --yes`,
		Args:              args(2, 2),
		ValidArgsFunction: s.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			partition, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || partition < 0 {
				return usageErrorf("%q is no partition", args[1])
			}
			if producerID < 0 {
				return usageErrorf("--producer-id is missing: 'weir txn hanging' shows it")
			}
			return s.abortTransaction(cmd.Context(), openRow{Topic: args[0], Partition: int32(partition), ProducerID: producerID}, yes, dryRun, force)
		},
	}
	cmd.Flags().Int64Var(&producerID, "producer-id", -1, "producer of the transaction, as 'weir txn hanging' shows it")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "abort without asking")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be aborted")
	cmd.Flags().BoolVar(&force, "force", false, "abort also what its coordinator knows")
	return cmd
}

func (s *session) abortTransaction(ctx context.Context, which openRow, yes, dryRun, force bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	open, err := openTransactions(ctx, adm, []string{which.Topic})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(r openRow) bool { return r.Partition == which.Partition && r.ProducerID == which.ProducerID })
	if i < 0 {
		return withFix(fmt.Errorf("producer %d has no open transaction in %s, partition %d", which.ProducerID, which.Topic, which.Partition),
			"'weir txn hanging --all' shows those that are open")
	}
	r := open[i]
	if !r.Hanging && !force {
		return withFix(fmt.Errorf("the transaction belongs to %q, which is %s: it will end by itself", r.ID, r.State),
			"wait for its time-out ('weir txn describe %s'), or tear it apart with --force", r.ID)
	}
	if !yes {
		s.progressf("to be aborted: the transaction of producer %d, epoch %d, in %s, partition %d, since offset %d", r.ProducerID, r.Epoch, r.Topic, r.Partition, r.Start)
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	at := kadm.TopicsSet{}
	at.Add(r.Topic, r.Partition)
	answers, err := adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: r.ProducerID, ProducerEpoch: r.Epoch, CoordinatorEpoch: max(r.coordinatorEpoch, 0), Topics: at})
	if err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	if err := answers[r.ProducerID].Topics[r.Topic].Partitions[r.Partition].Err; err != nil {
		return fmt.Errorf("write the marker in %s, partition %d: %w", r.Topic, r.Partition, err)
	}
	s.progressf("aborted the transaction of producer %d in %s, partition %d", r.ProducerID, r.Topic, r.Partition)
	return nil
}
