package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newSchemaListCommand(s *session) *cobra.Command {
	var deleted bool
	cmd := &cobra.Command{
		Use: "list [PREFIX]", Short: "List subjects, or the versions of one",
		Long: `List subjects with their latest versions. A PREFIX chooses those whose names begin so; if it is the whole name of one, its versions are
listed. ':*:' stands for the subjects of all contexts, ':.name:' for those of one.`,
		Example: `  weir schema list
  weir schema list orders-value --deleted       its versions, also the deleted ones
  weir schema list ':*:'`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			return listSchemas(cmd.Context(), s, r, strings.Join(args, ""), deleted)
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	cmd.Flags().BoolVar(&deleted, "deleted", false, "also what is soft-deleted")
	return cmd
}

// schemaRow is a version in a list.
type schemaRow struct {
	Subject    string `json:"subject"`
	Version    int    `json:"version"`
	ID         int    `json:"id"`
	Type       string `json:"type"`
	References int    `json:"references,omitempty"`
	Deleted    bool   `json:"deleted,omitempty"`
	GUID       string `json:"guid,omitempty"`
}

func listSchemas(ctx context.Context, s *session, r registryAt, prefix string, deleted bool) error {
	found, err := r.all(ctx, prefix, deleted, false)
	if err != nil {
		return err
	}
	// Of one subject all versions are wanted, of several the latest.
	whole := slices.ContainsFunc(found, func(v subjectVersion) bool { return v.Subject == prefix })
	rows := []schemaRow{}
	t := &table.Table{Columns: []table.Column{{Title: "SUBJECT"}, {Title: "VERSION", Right: true}, {Title: "ID", Right: true}, {Title: "TYPE"}, {Title: "REFERS TO", Right: true}, {Title: "STATE"}, {Title: "GUID", Wide: true}}}
	for i, v := range found {
		last := i+1 == len(found) || found[i+1].Subject != v.Subject
		if whole && v.Subject != prefix || !whole && !last {
			continue
		}
		row := schemaRow{v.Subject, v.Version, v.ID, string(v.format()), len(v.References), v.Deleted, v.GUID}
		rows = append(rows, row)
		state := ""
		if v.Deleted {
			state = "deleted"
		}
		t.Add(row.Subject, strconv.Itoa(row.Version), strconv.Itoa(row.ID), row.Type, strconv.Itoa(row.References), state, row.GUID)
	}
	return s.print(rows, t)
}

func newSchemaGetCommand(s *session) *cobra.Command {
	var id int
	var deleted, textOnly bool
	var format string
	cmd := &cobra.Command{
		Use: "get SUBJECT[@VERSION] | --id ID", Short: "Show a schema",
		Long: `Show a version of a subject, the latest if none is named, or the schema with an id. To a person the text is shown; --text writes nothing
but the text, so that it can be kept in a file.`,
		Example: `  weir schema get orders-value
  weir schema get orders-value@3 --text > order.avsc
  weir schema get --id 42
  weir schema get orders-value --format resolved     with what it refers to put in its place`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (id == 0) {
				return usageErrorf("name a subject, or an id with --id")
			}
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			v, err := r.find(cmd.Context(), strings.Join(args, ""), id, deleted, format)
			if err != nil {
				return err
			}
			if textOnly {
				_, err := fmt.Fprintln(s.out, strings.TrimRight(v.Schema, "\n"))
				return err
			}
			return s.printDocument(v, func(w io.Writer, _ bool) error { return writeSchema(w, v) })
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.IntVar(&id, "id", 0, "the schema with this id")
	f.BoolVar(&deleted, "deleted", false, "also if it is soft-deleted")
	f.BoolVar(&textOnly, "text", false, "nothing but the text")
	f.StringVar(&format, "format", "", "`form` of the text: resolved (Avro), serialized (Protobuf)")
	return cmd
}

// find reads a version by subject or a schema by its id.
func (r registryAt) find(ctx context.Context, arg string, id int, deleted bool, format string) (subjectVersion, error) {
	query := url.Values{}
	if format != "" {
		query.Set("format", format)
	}
	if deleted {
		query.Set("deleted", "true")
	}
	var v subjectVersion
	if id != 0 {
		err := r.call(ctx, http.MethodGet, "/schemas/ids/"+strconv.Itoa(id), query, nil, &v)
		v.ID = id
		return v, err
	}
	subject, version := splitVersion(arg)
	if format == "" {
		return r.version(ctx, subject, version, deleted)
	}
	if version == "" {
		version = "latest"
	}
	err := r.call(ctx, http.MethodGet, subjectPath(subject, "/versions/", url.PathEscape(version)), query, nil, &v)
	return v, err
}

func writeSchema(w io.Writer, v subjectVersion) error {
	var b strings.Builder
	if v.Subject != "" {
		fmt.Fprintf(&b, "%s, version %d, ", text.Safe(v.Subject), v.Version)
	}
	fmt.Fprintf(&b, "id %d, %s\n", v.ID, v.format())
	for _, ref := range v.References {
		fmt.Fprintf(&b, "refers to %s: %s@%d\n", text.Safe(ref.Name), text.Safe(ref.Subject), ref.Version)
	}
	b.WriteByte('\n')
	for line := range strings.Lines(strings.TrimRight(v.Schema, "\n") + "\n") {
		b.WriteString(text.Safe(strings.TrimSuffix(line, "\n")) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newSchemaDepsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deps SUBJECT[@VERSION]", Short: "Draw what a schema refers to, and what refers to it",
		Long: `Draw the tree of references of a version, the latest if none is named: first what it refers to, then what refers to it. A version that
others refer to cannot be deleted.`,
		Example: "  weir schema deps orders-value\n  weir schema deps common.Address@2 -o json",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			subject, version := splitVersion(args[0])
			v, err := r.version(cmd.Context(), subject, version, false)
			if err != nil {
				return err
			}
			d := schemaDeps{depNode: depNode{Subject: v.Subject, Version: v.Version, ID: v.ID}}
			budget := maxDeps
			if d.RefersTo, err = r.refersTo(cmd.Context(), v, &budget); err != nil {
				return err
			}
			if d.ReferredToBy, err = r.referredToBy(cmd.Context(), v, &budget); err != nil {
				return err
			}
			return s.printDocument(d, func(w io.Writer, _ bool) error { return writeDeps(w, d) })
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	return cmd
}

// maxDeps bounds a tree: one schema can be reached in many ways.
const maxDeps = 2000

// depNode is a schema in a tree of references. Name is what the reference calls it.
type depNode struct {
	Name     string    `json:"name,omitempty"`
	Subject  string    `json:"subject"`
	Version  int       `json:"version"`
	ID       int       `json:"id"`
	Children []depNode `json:"children,omitempty"`
}

type schemaDeps struct {
	depNode
	RefersTo     []depNode `json:"refers_to"`
	ReferredToBy []depNode `json:"referred_to_by"`
}

func (r registryAt) refersTo(ctx context.Context, v subjectVersion, budget *int) ([]depNode, error) {
	out := []depNode{}
	for _, ref := range v.References {
		if *budget--; *budget < 0 {
			return nil, fmt.Errorf("the tree of references has more than %d schemas", maxDeps)
		}
		to, err := r.version(ctx, ref.Subject, strconv.Itoa(ref.Version), true)
		if err != nil {
			return nil, fmt.Errorf("reference %s: %w", ref.Name, err)
		}
		n := depNode{Name: ref.Name, Subject: to.Subject, Version: to.Version, ID: to.ID}
		if n.Children, err = r.refersTo(ctx, to, budget); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (r registryAt) referredToBy(ctx context.Context, v subjectVersion, budget *int) ([]depNode, error) {
	var ids []int
	if err := r.call(ctx, http.MethodGet, subjectPath(v.Subject, "/versions/", strconv.Itoa(v.Version), "/referencedby"), nil, nil, &ids); err != nil {
		return nil, err
	}
	out := []depNode{}
	for _, id := range ids {
		var places []subjectVersion
		if err := r.call(ctx, http.MethodGet, "/schemas/ids/"+strconv.Itoa(id)+"/versions", contextQuery(v.Subject), nil, &places); err != nil {
			return nil, err
		}
		for _, p := range places {
			if *budget--; *budget < 0 {
				return nil, fmt.Errorf("the tree of references has more than %d schemas", maxDeps)
			}
			n := depNode{Subject: p.Subject, Version: p.Version, ID: id}
			var err error
			if n.Children, err = r.referredToBy(ctx, subjectVersion{Subject: p.Subject, Version: p.Version}, budget); err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// contextQuery says in which context an id is to be looked up: that of a subject.
func contextQuery(subject string) url.Values {
	if !strings.HasPrefix(subject, ":.") {
		return nil
	}
	return url.Values{"subject": {inContextOf(subject, "")}}
}

func writeDeps(w io.Writer, d schemaDeps) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%d (id %d)\n", text.Safe(d.Subject), d.Version, d.ID)
	for _, side := range []struct {
		title string
		nodes []depNode
	}{{"refers to", d.RefersTo}, {"referred to by", d.ReferredToBy}} {
		if len(side.nodes) == 0 {
			fmt.Fprintf(&b, "%s: nothing\n", side.title)
			continue
		}
		fmt.Fprintf(&b, "%s:\n", side.title)
		drawDeps(&b, "", side.nodes)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func drawDeps(b *strings.Builder, indent string, nodes []depNode) {
	for i, n := range nodes {
		branch, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintf(b, "%s%s%s@%d (id %d)", indent, branch, text.Safe(n.Subject), n.Version, n.ID)
		if n.Name != "" {
			fmt.Fprintf(b, " as %s", text.Safe(n.Name))
		}
		b.WriteByte('\n')
		drawDeps(b, indent+below, n.Children)
	}
}
