package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/text"
)

var schemaModes = []string{"READWRITE", "READONLY", "IMPORT"}

var schemaLevels = []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}

// settingPath is the path of the mode or the configuration of a subject, a context (:.name:) or, for "", the registry.
func settingPath(kind, subject string) string {
	if subject == "" {
		return kind
	}
	return kind + "/" + url.PathEscape(subject)
}

func newSchemaModeCommand(s *session) *cobra.Command {
	var set string
	var unset, force bool
	cmd := &cobra.Command{
		Use: "mode [SUBJECT]", Short: "Show or change what may be done: READWRITE, READONLY, IMPORT",
		Long: `Show the mode of a subject, of a context (':.name:') or, without a name, of the registry. READONLY refuses every change; IMPORT takes schemas
together with their ids and versions, checks no compatibility, and is what 'weir schema migrate' uses. A subject without a mode of its own
has that of its context, and that the registry's.`,
		Example: "  weir schema mode\n  weir schema mode orders-value --set READONLY\n  weir schema mode orders-value --unset",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := settingPath("/mode", strings.Join(args, ""))
			return s.setting(cmd.Context(), path, unset, set != "", map[string]any{"mode": strings.ToUpper(set)}, url.Values{"force": {fmt.Sprint(force)}})
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.StringVar(&set, "set", "", "the new `mode`: "+strings.Join(schemaModes, ", "))
	f.BoolVar(&unset, "unset", false, "take the mode away, so that the next more general one holds")
	f.BoolVar(&force, "force", false, "IMPORT also where schemas are registered already")
	completeFrom(cmd, "set", schemaModes...)
	return cmd
}

func newSchemaConfigCommand(s *session) *cobra.Command {
	var level, policy, alias, group string
	var normalize, unset bool
	cmd := &cobra.Command{
		Use: "config [SUBJECT]", Short: "Show or change which changes of a schema are allowed",
		Long: `Show the configuration of a subject, of a context (':.name:') or, without a name, of the registry; or change what is named by flags.

  NONE       every change is allowed
  BACKWARD   who has the new schema can read what was written with the last one: consumers are updated first
  FORWARD    who has the last schema can read what is written with the new one: producers are updated first
  FULL       both
  ..._TRANSITIVE  the same with all versions, not just the last`,
		Example: "  weir schema config\n  weir schema config orders-value --level FULL\n  weir schema config orders-value --policy LENIENT\n  weir schema config orders-value --unset",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := map[string]any{}
			for flag, x := range map[string]struct {
				name  string
				value any
			}{
				"level": {"compatibility", strings.ToUpper(level)}, "policy": {"compatibilityPolicy", strings.ToUpper(policy)},
				"alias": {"alias", alias}, "group": {"compatibilityGroup", group}, "normalize": {"normalize", normalize},
			} {
				if cmd.Flags().Changed(flag) {
					change[x.name] = x.value
				}
			}
			return s.setting(cmd.Context(), settingPath("/config", strings.Join(args, "")), unset, len(change) > 0, change, nil)
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.StringVar(&level, "level", "", "the new `level`: "+strings.Join(schemaLevels, ", "))
	f.StringVar(&policy, "policy", "", "how strict the comparison is: STRICT or LENIENT")
	f.StringVar(&alias, "alias", "", "the `subject` that this name stands for")
	f.StringVar(&group, "group", "", "compare only schemas that have the same value of this `property`")
	f.BoolVar(&normalize, "normalize", false, "normalize schemas when they are registered or looked up")
	f.BoolVar(&unset, "unset", false, "take the configuration away, so that the next more general one holds")
	completeFrom(cmd, "level", schemaLevels...)
	return cmd
}

// setting shows, changes or takes away a mode or a configuration.
func (s *session) setting(ctx context.Context, path string, unset, change bool, body map[string]any, query url.Values) error {
	if unset && change {
		return usageErrorf("--unset takes everything away: leave the other flags out")
	}
	r, err := s.openRegistry()
	if err != nil {
		return err
	}
	if change {
		if err := r.call(ctx, http.MethodPut, path, query, body, nil); err != nil {
			return err
		}
	}
	if unset {
		return r.call(ctx, http.MethodDelete, path, nil, nil, nil)
	}
	var now map[string]any
	if err := r.call(ctx, http.MethodGet, path, url.Values{"defaultToGlobal": {"true"}}, nil, &now); err != nil {
		return err
	}
	return s.printDocument(now, func(w io.Writer, _ bool) error {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(now)) {
			value, ok := now[name].(string)
			if !ok {
				encoded, err := json.Marshal(now[name])
				if err != nil {
					return fmt.Errorf("encode %s: %w", name, err)
				}
				value = string(encoded)
			}
			fmt.Fprintf(&b, "%s: %s\n", name, text.Safe(value))
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}
