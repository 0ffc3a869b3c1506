package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/platform/contract"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/schema/formats"
)

type contractTest struct {
	last  int
	level string
	key   bool
}

// contractFinding is what was found of the records that were tried, by what is wrong with them.
type contractFinding struct {
	Part    string `json:"part"`
	Reason  string `json:"reason"`
	Rule    string `json:"rule,omitempty"`
	Records int    `json:"records"`
	// The first such record, and what is said of it.
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Message   string `json:"message"`
}

func newContractTestCommand(s *session) *cobra.Command {
	var o contractTest
	cmd := &cobra.Command{
		Use:   "test TOPIC",
		Short: "Try a topic's contract on records that are there already",
		Long: `Read the last records of a topic and judge them by its contract, as the broker would, whatever the mode is. Nothing is changed. The schemas are
read from the topic _schemas, so the registry need not run, and the cluster need not be Weir.

What to check is taken from the topic's configs where they are set; --level and --key go before them. The command fails if records break the
contract, so that it can stand before a change of the mode in a script.`,
		Example: `  weir contract test orders
  weir contract test orders --last 100000 --level schema
  weir contract test orders && weir topic alter orders --set weir.contract.mode=reject`,
		Args:              args(1, 1),
		ValidArgsFunction: s.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.level != "" && !slices.Contains(terms.Levels, o.level) {
				return usageErrorf("--level %q is none of id, schema and rules", o.level)
			}
			if o.last < 1 {
				return usageErrorf("--last must be at least 1")
			}
			return testContract(cmd.Context(), s, args[0], o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.IntVar(&o.last, "last", 1000, "how many `records` to try, of all partitions together")
	f.StringVar(&o.level, "level", "", "how far to look: id, schema or rules (default: the topic's, or rules)")
	f.BoolVar(&o.key, "key", false, "check keys as well")
	completeFrom(cmd, "level", terms.Levels...)
	return cmd
}

func testContract(ctx context.Context, s *session, topic string, o contractTest) error {
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	t, err := topicTerms(ctx, adm, topic)
	if err != nil {
		return err
	}
	if o.level != "" {
		t.Level = terms.Level(slices.Index(terms.Levels, o.level))
	}
	t.Key = t.Key || o.key
	silent := slog.New(slog.DiscardHandler)
	log := registry.NewKafkaLog(registry.LogOptions{Connect: func(more ...kgo.Opt) (*kgo.Client, error) { return s.client(more...) }, Topic: gate.SchemasTopic, Logger: silent})
	schemas := contract.NewFollower(registry.New(registry.Options{Log: log, Formats: formats.Of, Logger: silent}))
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = schemas.Run(following, func() {}) }) // what it lacks, CatchUp tells
	defer wg.Wait()
	defer stop()
	v := contract.New(contract.Options{Schemas: schemas, Formats: formats.Of, Rules: contract.NewRules()})
	findings, tried, err := tryContract(ctx, s, adm, topic, &t, v, o.last)
	if err != nil {
		return err
	}
	return reportContract(s, topic, &t, findings, tried)
}

func reportContract(s *session, topic string, t *terms.Terms, findings []contractFinding, tried int) error {
	bad := 0
	tab := &table.Table{Columns: []table.Column{{Title: "PART"}, {Title: "REASON"}, {Title: "RULE"}, {Title: "RECORDS", Right: true}, {Title: "FIRST", Right: true}, {Title: "WHAT"}}}
	for i := range findings {
		f := &findings[i]
		bad += f.Records
		tab.Add(f.Part, f.Reason, f.Rule, strconv.Itoa(f.Records), fmt.Sprintf("%d:%d", f.Partition, f.Offset), f.Message)
	}
	s.progressf("%d of %d records of %s break the contract at level %s", bad, tried, topic, t.Level)
	if err := s.print(findings, tab); err != nil {
		return err
	}
	if bad > 0 {
		return errBroken
	}
	return nil
}

// quietTest is after how long without a record the end counts as reached: marks of transactions and what compaction took stand there.
const quietTest = 2 * time.Second

// tryContract judges the last records of a topic.
func tryContract(ctx context.Context, s *session, adm *kadm.Client, topic string, t *terms.Terms, v *contract.Validator, last int) ([]contractFinding, int, error) {
	within, err := topicBounds(ctx, adm, topic, nil, false)
	if err != nil {
		return nil, 0, err
	}
	from, until := map[int32]kgo.Offset{}, map[int32]int64{}
	each := int64(max(1, last/len(within)))
	for p, b := range within {
		if b.end > b.start {
			from[p], until[p] = kgo.NewOffset().At(max(b.start, b.end-each)), b.end
		}
	}
	if len(until) == 0 {
		return nil, 0, nil
	}
	cl, err := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.KeepControlRecords(), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return nil, 0, err
	}
	defer cl.Close()
	var found findings
	for len(until) > 0 {
		quiet, cancel := context.WithTimeout(ctx, quietTest)
		fetches := cl.PollFetches(quiet)
		cancel()
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if fetches.NumRecords() == 0 {
			break
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := until[r.Partition]
			if !open || failed != nil {
				return
			}
			if r.Offset+1 >= end {
				delete(until, r.Partition)
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				failed = found.judge(ctx, v.Judge(topic, t), r)
			}
		})
		if failed != nil {
			return nil, 0, withFix(failed, "the topic _schemas must be readable for this user, and on this cluster")
		}
	}
	return found.list, found.tried, nil
}

// findings gathers what is wrong, by kind.
type findings struct {
	list  []contractFinding
	tried int
}

func (f *findings) judge(ctx context.Context, j *contract.Judge, r *kgo.Record) error {
	f.tried++
	x := record.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		x.Headers = append(x.Headers, record.RecordHeader(h))
	}
	v, obeys, err := j.Record(ctx, &x)
	if err != nil || obeys {
		return err
	}
	i := slices.IndexFunc(f.list, func(c contractFinding) bool {
		return c.Part == v.Part.String() && c.Reason == string(v.Reason) && c.Rule == v.Rule
	})
	if i < 0 {
		i = len(f.list)
		f.list = append(f.list, contractFinding{Part: v.Part.String(), Reason: string(v.Reason), Rule: v.Rule, Partition: r.Partition, Offset: r.Offset, Message: v.String()})
	}
	f.list[i].Records++
	return nil
}
