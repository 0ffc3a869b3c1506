package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newClusterBalanceCommand(s *session) *cobra.Command {
	var (
		at      adminFlags
		explain bool
	)
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "Show how load lies on the brokers, and with --explain why shards move or stay",
		Long: `Show the shards and the load of each broker as the controller sees them. USE is a share of what a broker can do, of which bytes written and
partitions count. With --explain: which shards move next and why, why no more do, and what the loss of a rack would mean.

Any broker of the cluster can be asked. Nothing is moved by this command: the controller moves shards by itself.`,
		Example: `  weir cluster balance
  weir cluster balance --explain
  weir cluster balance --explain -o json --admin broker-2:9644`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := at.client(s)
			if err != nil {
				return err
			}
			var b app.ClusterBalance
			if err := c.ask(cmd.Context(), http.MethodGet, "/v1/cluster/balance", &b); err != nil {
				return err
			}
			return s.printDocument(b, func(w io.Writer, wide bool) error { return writeBalance(w, wide, &b, explain) })
		},
	}
	at.bind(cmd)
	s.addOutput(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "say why shards move or stay")
	return cmd
}

func writeBalance(w io.Writer, wide bool, b *app.ClusterBalance, explain bool) error {
	t := &table.Table{Columns: []table.Column{
		{Title: "ID", Right: true},
		{Title: "RACK"},
		{Title: "ROLE"},
		{Title: "SHARDS", Right: true},
		{Title: "PARTITIONS", Right: true},
		{Title: "WRITTEN/S", Right: true},
		{Title: "USE", Right: true},
		{Title: "NOTE"},
	}}
	for i := range b.Brokers {
		r := &b.Brokers[i]
		shards := strconv.Itoa(r.Shards)
		if r.ShardsThen != r.Shards {
			shards += " → " + strconv.Itoa(r.ShardsThen)
		}
		role := ""
		if r.ID == b.Controller {
			role = "controller"
		}
		t.Add(strconv.Itoa(int(r.ID)), text.Safe(r.Rack), role, shards, text.Count(r.Partitions), text.Bytes(int64(r.BytesInPerSecond)), share(r.Use), text.Safe(r.Note))
	}
	if err := t.Write(w, wide); err != nil || !explain {
		return err
	}
	if len(b.Brokers) > 1 {
		if _, err := fmt.Fprintf(w, "\ntarget %s; %s\n", share(b.Target), text.Safe(b.Why)); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(w, "\n%s\n", text.Safe(b.Why)); err != nil {
		return err
	}
	if b.Unplaced > 0 {
		if _, err := fmt.Fprintf(w, "%s without an owner, and nobody to take them\n", plural(int64(b.Unplaced), "shard")); err != nil {
			return err
		}
	}
	for i := range b.Moves {
		m := &b.Moves[i]
		from := "nobody"
		if m.From >= 0 {
			from = strconv.Itoa(int(m.From))
		}
		if _, err := fmt.Fprintf(w, "  shard %d: %s → %d (%s) %s\n", m.Shard, from, m.To, m.Kind, text.Safe(m.Reason)); err != nil {
			return err
		}
	}
	if len(b.Racks) < 2 {
		return nil
	}
	racks := &table.Table{Columns: []table.Column{{Title: "RACK"}, {Title: "BROKERS", Right: true}, {Title: "SHARDS", Right: true}, {Title: "USE", Right: true}, {Title: "OTHERS WITHOUT IT", Right: true}}}
	for _, r := range b.Racks {
		without := "nobody"
		if r.WithoutIt > 0 {
			without = share(r.WithoutIt)
		}
		racks.Add(text.Safe(r.Name), strconv.Itoa(r.Brokers), strconv.Itoa(r.Shards), share(r.Use), without)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return racks.Write(w, wide)
}

func share(v float64) string { return strconv.FormatFloat(v*100, 'f', 1, 64) + " %" }
