package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/platform/contract"
)

func newContractCommand(s *session) *cobra.Command {
	return newNoun("contract", "See what breaks the contracts of topics, try one, and send dead letters back",
		`A topic with the config weir.contract.mode asks that its records obey what the Schema Registry holds for its subjects: that the schema is
registered, that the bytes can be read by it, that its rules hold. The modes are observe, mark, dlq and reject; docs/ops/contracts.md tells all.`,
		`  weir contract test orders --last 10000                    would it hold?
  weir topic alter orders --set weir.contract.mode=observe
  weir contract violations orders
  weir topic alter orders --set weir.contract.mode=dlq
  weir contract redrive orders --yes`,
		newContractViolationsCommand(s), newContractTestCommand(s), newContractRedriveCommand(s))
}

func newContractViolationsCommand(s *session) *cobra.Command {
	var (
		at adminFlags
		n  int
	)
	cmd := &cobra.Command{
		Use:   "violations TOPIC",
		Short: "Show the last records that broke a topic's contract",
		Long: `Show the last records that broke the contract of a topic, the newest first, as one broker has noted them since it was started: who leads
the topic's partitions notes them. Values are not kept; keys are shown to callers on the broker's own machine alone.
The metrics weir_contract_* count all of them.`,
		Example: `  weir contract violations orders
  weir contract violations orders --admin 10.0.0.7:9644 -o json`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := at.client(s)
			if err != nil {
				return err
			}
			var v app.ContractViolations
			if err := c.ask(cmd.Context(), http.MethodGet, "/v1/contracts/"+url.PathEscape(args[0])+"/violations", &v); err != nil {
				return err
			}
			all := v.Violations[:min(len(v.Violations), n)]
			return s.print(all, violationsTable(all))
		},
	}
	at.bind(cmd)
	s.addOutput(cmd)
	cmd.Flags().IntVarP(&n, "num", "n", 20, "show at most this many")
	cmd.ValidArgsFunction = s.completeTopics(1)
	return cmd
}

func violationsTable(all []contract.Sample) *table.Table {
	t := &table.Table{Columns: []table.Column{
		{Title: "TIME"}, {Title: "PARTITION", Right: true}, {Title: "OFFSET", Right: true}, {Title: "KEY"}, {Title: "PART"}, {Title: "REASON"}, {Title: "SCHEMA"}, {Title: "RULE"}, {Title: "MODE", Wide: true},
	}}
	for i := range all {
		v := &all[i]
		offset, id := "-", v.GUID
		if v.Offset >= 0 {
			offset = strconv.FormatInt(v.Offset, 10)
		}
		if id == "" && v.SchemaID != 0 {
			id = strconv.Itoa(int(v.SchemaID))
		}
		t.Add(v.Time.Format(time.DateTime), strconv.Itoa(int(v.Partition)), offset, string(v.Key), v.Part, string(v.Reason), id, v.Rule, v.Mode)
	}
	return t
}

// topicTerms reads what a topic asks of its records. A broker that knows nothing of contracts leaves the defaults.
func topicTerms(ctx context.Context, adm *kadm.Client, topic string) (terms.Terms, error) {
	if _, err := topicDetails(ctx, adm, []string{topic}); err != nil {
		return terms.Terms{}, err
	}
	found, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return terms.Terms{}, fmt.Errorf("read the configs of %s: %w", topic, err)
	}
	set := map[string]string{}
	for _, r := range found {
		if r.Err != nil {
			return terms.Terms{}, fmt.Errorf("read the configs of %s: %w", topic, r.Err)
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				set[c.Key] = *c.Value // those of contracts are told only where they are set
			}
		}
	}
	return terms.OfConfigs(topic, func(name string) (string, bool) { v, ok := set[name]; return v, ok }), nil
}

var errBroken = errors.New("records break the contract")
