package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
	"github.com/weir-stream/weir/internal/platform/conformance"
)

// conformanceAnswer bounds the wait for one answer of the registry.
const conformanceAnswer = 30 * time.Second

func newSchemaConformanceCommand(s *session) *cobra.Command {
	var o conformance.Options
	var user string
	var list bool
	cmd := &cobra.Command{
		Use: "conformance URL", Short: "Check a registry against the whole API",
		Long: `Ask a Schema Registry some hundred questions and compare its answers with what Confluent's API 8.x says: status, error code, the
shape of the body; and for each format, which changes of a schema each of the seven levels of compatibility allows.

Every case works with subjects of its own, whose names begin with "cf", and removes them. So it can be run on a registry that is in
use. Cases that change what all subjects share are left out unless --global asks for them.

What failed is written with the request as a line for a shell. The exit code is 1 if anything failed.`,
		Example: `  weir schema conformance http://127.0.0.1:8081
  weir schema conformance http://127.0.0.1:8081 --group modes --group contexts
  weir schema conformance http://127.0.0.1:8081 --case 'soft-deleted' -o json
  weir schema conformance --list`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return listConformance(s)
			}
			if len(args) == 0 {
				return usageErrorf("name the registry: weir schema conformance http://127.0.0.1:8081")
			}
			if _, err := url.ParseRequestURI(args[0]); err != nil || !strings.HasPrefix(args[0], "http") {
				return usageErrorf("%q is no URL such as http://127.0.0.1:8081", args[0])
			}
			o.URL = strings.TrimRight(args[0], "/")
			if name, password, ok := strings.Cut(user, ":"); ok {
				r := http.Request{Header: http.Header{}}
				r.SetBasicAuth(name, password)
				o.Header = r.Header
			} else if user != "" {
				return usageErrorf("--user is not of the form NAME:PASSWORD")
			}
			return runConformance(cmd.Context(), s, o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.Groups, "group", nil, "only the cases of this `group`; repeatable")
	f.StringArrayVar(&o.Cases, "case", nil, "only cases with this in their `name`, or file:line; repeatable")
	f.BoolVar(&o.Global, "global", false, "also cases that change what all subjects of the registry share, and change it back")
	f.StringVar(&o.Peer, "peer", "", "take the known differences of this `registry` for what they are: confluent, srfake")
	f.IntVar(&o.Jobs, "jobs", 4, "cases at a time")
	f.StringVar(&user, "user", "", "`name:password` for basic authentication")
	f.BoolVar(&list, "list", false, "list the cases and ask nothing")
	return cmd
}

// conformanceRow is a case in the list.
type conformanceRow struct {
	Group string `json:"group"`
	Case  string `json:"case"`
	Where string `json:"where"`
}

func listConformance(s *session) error {
	cases, err := conformance.Cases()
	if err != nil {
		return err
	}
	rows := []conformanceRow{}
	t := &table.Table{Columns: []table.Column{{Title: "GROUP"}, {Title: "WHERE", Wide: true}, {Title: "CASE"}}}
	for _, c := range cases {
		r := conformanceRow{c.Group, c.Name, c.File + ":" + strconv.Itoa(c.Line)}
		rows = append(rows, r)
		t.Add(r.Group, r.Where, r.Case)
	}
	return s.print(rows, t)
}

func runConformance(ctx context.Context, s *session, o conformance.Options) error {
	o.Client = &http.Client{Timeout: conformanceAnswer}
	o.Run = strconv.FormatInt(s.now().UnixMilli(), 36)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL+"/schemas/types", nil)
	if err != nil {
		return usageErrorf("%v", err)
	}
	req.Header = o.Header.Clone()
	res, err := o.Client.Do(req)
	if err != nil {
		return withFix(fmt.Errorf("no registry answers: %w", err), "start one with 'weir server', or name another: weir schema conformance URL")
	}
	if err := res.Body.Close(); err != nil {
		return fmt.Errorf("no registry answers: %w", err)
	}
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return withFix(fmt.Errorf("%s refuses: %s", o.URL, res.Status), "log in with --user NAME:PASSWORD")
	}
	results, err := conformance.Run(ctx, o)
	if err != nil {
		return usageErrorf("%v", err)
	}
	count := map[conformance.Outcome]int{}
	for _, r := range results {
		count[r.Outcome]++
	}
	shown := results
	if f := s.format(); f == "table" || f == "wide" {
		shown = nil
	}
	if err := s.printDocument(shown, func(w io.Writer, wide bool) error { return writeConformance(w, results, wide) }); err != nil {
		return err
	}
	s.progressf("%s", conformanceSummary(count))
	if count[conformance.Failed] > 0 {
		return withFix(fmt.Errorf("%d of %d cases failed", count[conformance.Failed], len(results)-count[conformance.Skipped]),
			"run one again with --case NAME, or its request by hand")
	}
	return ctx.Err()
}

func conformanceSummary(count map[conformance.Outcome]int) string {
	parts := []string{fmt.Sprintf("%d passed", count[conformance.Passed])}
	for _, x := range []struct {
		outcome conformance.Outcome
		text    string
	}{
		{conformance.Failed, "failed"},
		{conformance.Differs, "differ as known"},
		{conformance.Agrees, "do not differ any more"},
		{conformance.Skipped, "left out"},
	} {
		if count[x.outcome] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[x.outcome], x.text))
		}
	}
	return strings.Join(parts, ", ")
}

// writeConformance shows people what needs their eyes: with -o wide also what differs as known.
func writeConformance(w io.Writer, results []conformance.Result, wide bool) error {
	var errs []error
	for _, r := range results {
		var err error
		switch {
		case r.Outcome == conformance.Failed, wide && r.Outcome == conformance.Differs:
			_, err = fmt.Fprintf(w, "%s  %s: %s (%s)\n  request   %s\n  expected  %s\n  got       %s\n", strings.ToUpper(string(r.Outcome)),
				r.Group, r.Case, r.Where, text.Safe(r.Request), text.Safe(r.Expected), text.Safe(r.Got))
			if r.Why != "" {
				_, err = fmt.Fprintf(w, "  known     %s\n", r.Why)
			}
		case r.Outcome == conformance.Agrees:
			_, err = fmt.Fprintf(w, "AGREES  %s: %s (%s)\n", r.Group, r.Case, r.Where)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
