package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/cli/table"
)

func newConfigCommand(s *session) *cobra.Command {
	return newNoun("config", "Settings of a server: what is in force, what there is",
		`Show the settings that a server started here, with these flags, variables and this file, would have, or describe every
setting there is. A server that runs is asked by 'weir topic describe' and Kafka's own tools instead.`,
		"  weir config show --origin\n  weir config docs",
		newConfigShowCommand(s), newConfigDocsCommand(s))
}

// settingRow is a setting with its value.
type settingRow struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Null     bool   `json:"null,omitempty"`
	Origin   string `json:"origin"`
	Where    string `json:"where,omitempty"`
	NoEffect bool   `json:"no_effect,omitempty"`
}

func newConfigShowCommand(s *session) *cobra.Command {
	settings := &settingFlags{}
	var all, changed, origin bool
	cmd := &cobra.Command{
		Use:   "show [NAME...]",
		Short: "Show the settings in force and where they come from",
		Long: `Show the settings that 'weir server' would have with the same flags, variables and file. A name, or the begin of one,
shows only those.

Settings of Kafka that Weir takes and that change nothing here are shown if they were set, marked as without effect, and with
--all in any case. -o yaml writes a file that -c reads back. Secrets are never shown.`,
		Example: `  weir config show --origin -c weir.yaml
  weir config show log.retention
  weir config show --changed -o yaml > weir.yaml`,
		Args: args(0, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			values, err := settings.load(cmd)
			if err != nil {
				return err
			}
			if err := app.Check(values); err != nil {
				return usageErrorf("%v", err)
			}
			rows, err := settingRows(values, names, all, changed)
			if err != nil {
				return err
			}
			if s.format() == "yaml" {
				return writeSettings(s.out, values, rows, origin)
			}
			return s.print(rows, settingTable(rows, origin))
		},
	}
	s.addOutput(cmd)
	settings.bind(cmd, s)
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "also settings that have no effect here and were not set")
	f.BoolVar(&changed, "changed", false, "only settings that were set")
	f.BoolVar(&origin, "origin", false, "also tell where each value comes from")
	return cmd
}

func settingRows(v *config.Values, names []string, all, changed bool) ([]settingRow, error) {
	out := []settingRow{}
	found := map[string]bool{}
	for _, r := range config.Rows(v, true) {
		_, set := v.Explicit(r.Name)
		asked := len(names) == 0
		for _, n := range names {
			if r.Name == n || strings.HasPrefix(r.Name, strings.TrimSuffix(n, ".")+".") {
				found[n], asked = true, true
			}
		}
		hidden := r.Inert && !set && !all && !slices.Contains(names, r.Name)
		if asked && !hidden && (set || !changed) {
			out = append(out, settingRow{r.Name, r.Value, r.Null, r.Origin, r.Where, r.Inert})
		}
	}
	for _, n := range names {
		if !found[n] {
			return nil, usageErrorf("there is no setting %q%s", n, nearest(v.Schema(), n))
		}
	}
	return out, nil
}

func nearest(schema *config.Schema, name string) string {
	if near := schema.Nearest(name); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; 'weir config docs' lists them"
}

func settingTable(rows []settingRow, origin bool) *table.Table {
	t := &table.Table{Columns: []table.Column{{Title: "NAME"}, {Title: "VALUE"}, {Title: "NOTE"}}}
	if origin {
		t.Columns = slices.Insert(t.Columns, 2, table.Column{Title: "ORIGIN"})
	}
	for _, r := range rows {
		cells := []string{r.Name, r.Value, r.note()}
		if origin {
			cells = slices.Insert(cells, 2, r.from())
		}
		t.Add(cells...)
	}
	return t
}

// from says where the value comes from, as exactly as is known.
func (r settingRow) from() string {
	if r.Where != "" {
		return r.Where
	}
	return r.Origin
}

func (r settingRow) note() string {
	if r.NoEffect {
		return "has no effect in Weir"
	}
	return ""
}

// writeSettings writes the rows as a settings file that Load reads back.
func writeSettings(w io.Writer, v *config.Values, rows []settingRow, origin bool) error {
	var all, out strings.Builder
	if err := config.Show(&all, v, true, origin); err != nil {
		return err
	}
	wanted := make(map[string]settingRow, len(rows))
	for _, r := range rows {
		wanted[r.Name] = r
	}
	for line := range strings.Lines(all.String()) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# "), ":")
		r, ok := wanted[name]
		if !ok {
			continue
		}
		out.WriteString(strings.TrimSuffix(line, "\n"))
		if r.NoEffect {
			out.WriteString("  # " + r.note())
		}
		out.WriteByte('\n')
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func newConfigDocsCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "docs",
		Short:   "Describe every setting, in Markdown",
		Long:    "Write the reference of all settings, in Markdown: name, type, default, what is allowed, and what it does.",
		Example: "  weir config docs | less",
		Args:    args(0, 0),
		RunE:    func(*cobra.Command, []string) error { return app.ConfigDocs(s.out) },
	}
}
