package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/text"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/formats"
)

func newSchemaDiffCommand(s *session) *cobra.Command {
	var o schemaFile
	var lenient bool
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "Show how two schemas differ, by type, and what to do about it",
		Long: `Compare two schemas, each a file or SUBJECT[@VERSION], in both directions: what keeps a reader with the new one from reading what was
written with the old one (backward), and the other way round (forward). The comparison is made here; only what is not in a file is asked of
the registry. The exit code is 0 whatever differs: 'weir schema check' is the judge.`,
		Example: "  weir schema diff old.avsc new.avsc\n  weir schema diff orders-value order.avsc\n  weir schema diff orders-value@1 orders-value@3 -o json",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, format, err := s.schemaOf(cmd.Context(), &o, args[0])
			if err != nil {
				return err
			}
			now, other, err := s.schemaOf(cmd.Context(), &o, args[1])
			if err != nil {
				return err
			}
			if format.Type() != other.Type() {
				return usageErrorf("%s is %s and %s is %s: schemas of two formats cannot be compared", args[0], format.Type(), args[1], other.Type())
			}
			policy := schema.Strict
			if lenient {
				policy = schema.Lenient
			}
			d := schemaDiff{Backward: rowsOf(format.Compare(now, old, policy)), Forward: rowsOf(format.Compare(old, now, policy))}
			return s.printDocument(d, func(w io.Writer, _ bool) error { return writeDiff(w, d) })
		},
	}
	o.bind(s, cmd)
	cmd.Flags().BoolVar(&lenient, "lenient", false, "compare by the policy LENIENT")
	return cmd
}

// diffRow is one difference.
type diffRow struct {
	Type    string `json:"type"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}

type schemaDiff struct {
	Backward []diffRow `json:"backward"`
	Forward  []diffRow `json:"forward"`
}

func rowsOf(list []schema.Difference) []diffRow {
	out := []diffRow{}
	for _, d := range list {
		out = append(out, diffRow{d.Type, d.Path, d.Message, d.Advice})
	}
	return out
}

// schemaOf parses a file or a version of a subject.
func (s *session) schemaOf(ctx context.Context, o *schemaFile, arg string) (schema.Schema, schema.Format, error) {
	var v subjectVersion
	var source schema.Source
	_, err := os.Stat(arg)
	switch {
	case err == nil || arg == "-":
		if v, err = o.read(s, arg); err != nil {
			return nil, nil, err
		}
		source = schema.Source{Text: v.Schema, References: v.References}
		if len(v.References) > 0 {
			r, err := s.openRegistry()
			if err != nil {
				return nil, nil, err
			}
			if source, err = r.source(ctx, v); err != nil {
				return nil, nil, err
			}
		}
	case errors.Is(err, fs.ErrNotExist):
		r, err := s.openRegistry()
		if err != nil {
			return nil, nil, err
		}
		subject, version := splitVersion(arg)
		if v, err = r.version(ctx, subject, version, true); err != nil {
			return nil, nil, fmt.Errorf("%s is no file, and as a subject: %w", arg, err)
		}
		if source, err = r.source(ctx, v); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("look for the schema: %w", err)
	}
	format, ok := formats.Of(v.format())
	if !ok {
		return nil, nil, fmt.Errorf("%s has the format %s, which is not known here", arg, v.format())
	}
	parsed, err := format.Parse(source, false)
	if err != nil {
		return nil, nil, withFix(fmt.Errorf("%s: %w", arg, err), "correct the schema; what it refers to is given with --ref name=subject:version")
	}
	return parsed, format, nil
}

func writeDiff(w io.Writer, d schemaDiff) error {
	var b strings.Builder
	for _, side := range []struct {
		title string
		rows  []diffRow
	}{{"backward: the new schema reads what the old one wrote", d.Backward}, {"forward: the old schema reads what the new one writes", d.Forward}} {
		verdict := "yes"
		if len(side.rows) > 0 {
			verdict = "no"
		}
		fmt.Fprintf(&b, "%s: %s\n", side.title, verdict)
		for _, r := range side.rows {
			fmt.Fprintf(&b, "  %s at %s\n    %s\n", r.Type, text.Safe(r.Path), text.Safe(r.Message))
			if r.Advice != "" {
				fmt.Fprintf(&b, "    → %s\n", text.Safe(r.Advice))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
