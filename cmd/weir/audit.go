package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

func newAuditCommand(s *session) *cobra.Command {
	return newNoun("audit", "The audit log: who did, or was refused, what",
		`Read and verify the audit log, which a broker with audit.enable=true writes into the topic `+auditevent.Topic+`.

Each event carries the hash of the one before it, so what is changed or taken out afterwards shows.`,
		`  weir audit tail
  weir audit tail -n 100 --follow
  weir audit verify`,
		newAuditTailCommand(s), newAuditVerifyCommand(s))
}

func newAuditTailCommand(s *session) *cobra.Command {
	var n int64
	var follow bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the newest audit events",
		Long:  "Show the newest audit events, and with --follow those that come. In a pipe they are written as they are, one line each.",
		Example: `  weir audit tail
  weir audit tail -n 1000 | jq -r 'select(.data.authorizationInfo.granted == false) | .data.authenticationInfo.principal'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := s.format() == "table" || s.format() == "wide"
			return s.eachAuditEvent(cmd.Context(), n, follow, func(_ int64, value []byte) error {
				if !table {
					_, err := fmt.Fprintf(s.out, "%s\n", value)
					return err
				}
				return writeAuditLine(s.out, value)
			})
		},
	}
	s.addOutput(cmd)
	cmd.Flags().Int64VarP(&n, "number", "n", 20, "how many events; 0 for all")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events that come")
	return cmd
}

// writeAuditLine is an event for people.
func writeAuditLine(w io.Writer, value []byte) error {
	var e auditevent.Event
	if err := json.Unmarshal(value, &e); err != nil {
		_, err := fmt.Fprintf(w, "not an audit event: %q\n", value)
		return err
	}
	who, what, outcome, from := "-", e.Subject, "", ""
	if a := e.Data.Authentication; a != nil {
		who = a.Principal
		if a.Granted != nil {
			what, outcome = "authenticated by "+a.Mechanism, granted(*a.Granted)+" "+a.Reason
		}
	}
	if a := e.Data.Authorization; a != nil {
		what = fmt.Sprintf("%s %s %s:%s", strings.TrimPrefix(e.Data.MethodName, "kafka."), a.Operation, a.ResourceType, a.ResourceName)
		outcome = granted(a.Granted)
		if more := len(e.Data.Decisions) + e.Data.Omitted - 1; more > 0 {
			outcome += fmt.Sprintf(" and %d more", more)
		}
	}
	if c := e.Data.Client; c != nil {
		from = c.Address
	}
	_, err := fmt.Fprintf(w, "%s  %-8s %s  %s  %s\n", e.Time.Format("2006-01-02 15:04:05"), outcome, who, what, from)
	return err
}

func granted(ok bool) string {
	if ok {
		return "granted"
	}
	return "denied"
}

// auditVerdict is the outcome of verify.
type auditVerdict struct {
	Events   int64  `json:"events"`
	First    int64  `json:"first_event"`
	Last     int64  `json:"last_event"`
	LastHash string `json:"last_hash"`
	Whole    bool   `json:"whole"`
	Offset   *int64 `json:"broken_at_offset,omitempty"`
	Problem  string `json:"problem,omitempty"`
}

func newAuditVerifyCommand(s *session) *cobra.Command {
	var hash string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the chain of the audit log",
		Long: `Read the whole audit log and check that each event follows the one before it. The first that does not is named, and the exit
code is 1. Keep the last hash elsewhere and give it to a later run: without it nobody can tell whether the newest events were
cut off.`,
		Example: `  weir audit verify
  weir audit verify --has 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.verifyAudit(cmd.Context(), hash) },
	}
	s.addOutput(cmd)
	cmd.Flags().StringVar(&hash, "has", "", "`hash` of an event that must be in the log")
	return cmd
}

func (s *session) verifyAudit(ctx context.Context, hash string) error {
	var v auditevent.Verifier
	verdict := auditVerdict{Whole: true}
	seen := hash == ""
	err := s.eachAuditEvent(ctx, 0, false, func(offset int64, value []byte) error {
		verdict.Events++
		if _, err := v.Check(value); err != nil && verdict.Whole {
			verdict.Whole, verdict.Offset, verdict.Problem = false, &offset, err.Error()
		}
		seen = seen || auditevent.Hash(value) == hash
		return nil
	})
	if err != nil {
		return err
	}
	if !seen && verdict.Whole {
		verdict.Whole, verdict.Problem = false, "the event with the given hash is not in the log"
	}
	verdict.First, verdict.Last, verdict.LastHash = v.First, v.Last, v.LastHash
	t := &table.Table{Columns: []table.Column{{Title: "EVENTS", Right: true}, {Title: "FIRST", Right: true}, {Title: "LAST", Right: true}, {Title: "WHOLE"}, {Title: "LAST HASH"}}}
	t.Add(strconv.FormatInt(verdict.Events, 10), strconv.FormatInt(v.First, 10), strconv.FormatInt(v.Last, 10), strconv.FormatBool(verdict.Whole), v.LastHash)
	if err := s.print(verdict, t); err != nil {
		return err
	}
	switch {
	case verdict.Whole:
		return nil
	case verdict.Offset != nil:
		return fmt.Errorf("the audit log was changed at offset %d: %s", *verdict.Offset, verdict.Problem)
	}
	return fmt.Errorf("the audit log was changed: %s", verdict.Problem)
}

// eachAuditEvent visits the newest n events (0: all), oldest first, up to the end of the log as it is now, or for ever.
func (s *session) eachAuditEvent(ctx context.Context, n int64, follow bool, visit func(offset int64, value []byte) error) error {
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, auditevent.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return withFix(fmt.Errorf("read the audit log: %w", err), "start the broker with --set audit.enable=true; the log begins with the first event")
	}
	ends, err := adm.ListEndOffsets(ctx, auditevent.Topic)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	first, _ := starts.Lookup(auditevent.Topic, 0)
	end, _ := ends.Lookup(auditevent.Topic, 0)
	next := first.Offset
	if n > 0 {
		next = max(next, end.Offset-n)
	}
	if next >= end.Offset && !follow {
		return nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{auditevent.Topic: {0: kgo.NewOffset().At(next)}})
	for follow || next < end.Offset {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil && follow {
			return nil //nolint:nilerr // asked to end
		}
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read the audit log: %w", e.Err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			next = r.Offset + 1
			if err := visit(r.Offset, r.Value); err != nil {
				return err
			}
		}
	}
	return nil
}
