package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
	"github.com/weir-stream/weir/internal/schema"
)

// schemaFile are the flags that make a schema of a file.
type schemaFile struct {
	kind      string
	refs      []string
	normalize bool
}

func (o *schemaFile) bind(s *session, cmd *cobra.Command) {
	s.addOutput(cmd)
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.StringVar(&o.kind, "type", "", "`format`: avro, json or protobuf (default: by the file's name, .avsc, .json or .proto)")
	f.StringArrayVar(&o.refs, "ref", nil, "what the schema refers to, `name=subject:version`; repeatable")
	f.BoolVar(&o.normalize, "normalize", false, "put into order what has no order, so that fewer texts differ")
	completeFrom(cmd, "type", "avro", "json", "protobuf")
}

// read makes the request of a file; - is standard input.
func (o *schemaFile) read(s *session, file string) (subjectVersion, error) {
	var v subjectVersion
	var err error
	if v.Type, err = formatOf(o.kind, file); err != nil {
		return v, err
	}
	for _, ref := range o.refs {
		r, err := parseReference(ref)
		if err != nil {
			return v, err
		}
		v.References = append(v.References, r)
	}
	in := s.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return v, withFix(err, "name the file of the schema, or - for standard input")
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, schema.MaxTextBytes+1))
	if err != nil {
		return v, fmt.Errorf("read the schema: %w", err)
	}
	if len(body) > schema.MaxTextBytes {
		return v, fmt.Errorf("the schema has more than %d bytes", schema.MaxTextBytes)
	}
	v.Schema = string(body)
	return v, nil
}

func (o *schemaFile) query() url.Values {
	q := url.Values{}
	if o.normalize {
		q.Set("normalize", "true")
	}
	return q
}

// formatOf is the format that was named, or that a file's name tells.
func formatOf(name, file string) (schema.Type, error) {
	if name == "" {
		name = map[string]string{".avsc": "avro", ".json": "json", ".proto": "protobuf"}[strings.ToLower(filepath.Ext(file))]
	}
	switch strings.ToLower(name) {
	case "avro":
		return schema.Avro, nil
	case "json", "json-schema", "jsonschema":
		return schema.JSON, nil
	case "protobuf", "proto":
		return schema.Protobuf, nil
	case "":
		return "", usageErrorf("the name of %s does not tell its format: add --type avro, json or protobuf", file)
	}
	return "", usageErrorf("%q is no format: use avro, json or protobuf", name)
}

// parseReference reads name=subject:version. A subject may have colons, a version may be left out for the latest.
func parseReference(arg string) (schema.Reference, error) {
	name, rest, ok := strings.Cut(arg, "=")
	i := strings.LastIndexByte(rest, ':')
	if !ok || name == "" || i < 1 {
		return schema.Reference{}, usageErrorf("--ref %q is not of the form name=subject:version", arg)
	}
	version, err := strconv.Atoi(rest[i+1:])
	if rest[i+1:] == "latest" {
		version, err = -1, nil
	}
	if err != nil || version == 0 || version < -1 {
		return schema.Reference{}, usageErrorf("--ref %q: %q is no version: use a number from 1 on, or latest", arg, rest[i+1:])
	}
	return schema.Reference{Name: name, Subject: rest[:i], Version: version}, nil
}

func newSchemaRegisterCommand(s *session) *cobra.Command {
	var o schemaFile
	var dryRun bool
	cmd := &cobra.Command{
		Use: "register SUBJECT FILE", Short: "Register a schema",
		Long: `Register the schema in a file under a subject. A schema that the subject has already keeps its id and version. One that is not compatible
is refused: 'weir schema check' tells why.`,
		Example: `  weir schema register orders-value order.avsc
  weir schema register orders-value order.proto --ref common.proto=common:1
  weir schema register orders-value - --type json < order.json
  weir schema register orders-value order.avsc --dry-run`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := o.read(s, args[1])
			if err != nil {
				return err
			}
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			if dryRun {
				return s.checkSchema(cmd.Context(), r, args[0], "", v, o.query())
			}
			if err := r.call(cmd.Context(), http.MethodPost, subjectPath(args[0], "/versions"), o.query(), v, &v); err != nil {
				return err
			}
			var found subjectVersion
			if err := r.call(cmd.Context(), http.MethodPost, subjectPath(args[0]), o.query(), subjectVersion{Type: v.Type, References: v.References, Schema: v.Schema}, &found); err != nil {
				return err
			}
			row := schemaRow{found.Subject, found.Version, found.ID, string(found.format()), len(found.References), false, found.GUID}
			t := &table.Table{Columns: []table.Column{{Title: "SUBJECT"}, {Title: "VERSION", Right: true}, {Title: "ID", Right: true}, {Title: "TYPE"}}}
			t.Add(row.Subject, strconv.Itoa(row.Version), strconv.Itoa(row.ID), row.Type)
			return s.print(row, t)
		},
	}
	o.bind(s, cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only ask whether it would be compatible")
	return cmd
}

func newSchemaCheckCommand(s *session) *cobra.Command {
	var o schemaFile
	cmd := &cobra.Command{
		Use: "check SUBJECT[@VERSION] FILE", Short: "Ask whether a schema would be accepted, and if not, why",
		Long: `Ask the registry whether the schema in a file is compatible with a subject, at the subject's level: with all versions that the level looks
at, or with the one that is named. Nothing is registered. The exit code is 1 if it is not compatible, which suits a build.`,
		Example: "  weir schema check orders-value order.avsc\n  weir schema check orders-value@1 order.avsc",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := o.read(s, args[1])
			if err != nil {
				return err
			}
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			subject, version := splitVersion(args[0])
			return s.checkSchema(cmd.Context(), r, subject, version, v, o.query())
		},
	}
	o.bind(s, cmd)
	return cmd
}

// compatibilityRow is the outcome of a check.
type compatibilityRow struct {
	Subject    string   `json:"subject"`
	Compatible bool     `json:"compatible"`
	Messages   []string `json:"messages"`
}

func (s *session) checkSchema(ctx context.Context, r registryAt, subject, version string, v subjectVersion, query url.Values) error {
	path := "/compatibility" + subjectPath(subject, "/versions")
	if version != "" {
		path += "/" + url.PathEscape(version)
	}
	query.Set("verbose", "true")
	var answer struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages"`
	}
	if err := r.call(ctx, http.MethodPost, path, query, v, &answer); err != nil {
		return err
	}
	row := compatibilityRow{subject, answer.Compatible, answer.Messages}
	if row.Messages == nil {
		row.Messages = []string{}
	}
	err := s.printDocument(row, func(w io.Writer, _ bool) error {
		var b strings.Builder
		if row.Compatible {
			fmt.Fprintf(&b, "%s would be accepted\n", text.Safe(subject))
		}
		for _, m := range row.Messages {
			b.WriteString(text.Safe(m) + "\n")
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
	if err != nil || row.Compatible {
		return err
	}
	return withFix(fmt.Errorf("the schema is not compatible with %s", subject), "'weir schema diff %s FILE' shows each difference and what to do about it", subject)
}

func newSchemaDeleteCommand(s *session) *cobra.Command {
	var permanent, yes, dryRun bool
	cmd := &cobra.Command{
		Use: "delete SUBJECT[@VERSION]", Short: "Delete a subject, or one of its versions",
		Long: `Delete a version, or all of a subject. They are soft-deleted: nothing can be registered against them, but records that were written with
them can be read, and they come back when they are registered again. --permanent then removes for good what is soft-deleted: records
that need it cannot be read any more.`,
		Example: "  weir schema delete orders-value@3 --yes\n  weir schema delete orders-value --permanent --dry-run",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.openRegistry()
			if err != nil {
				return err
			}
			subject, version := splitVersion(args[0])
			var what string
			path := subjectPath(subject)
			if version != "" {
				v, err := r.version(cmd.Context(), subject, version, true)
				if err != nil {
					return err
				}
				what = fmt.Sprintf("version %d of %s, id %d", v.Version, subject, v.ID)
				path = subjectPath(subject, "/versions/", strconv.Itoa(v.Version))
			} else {
				var versions []int
				if err := r.call(cmd.Context(), http.MethodGet, path+"/versions", url.Values{"deleted": {"true"}}, nil, &versions); err != nil {
					return err
				}
				what = fmt.Sprintf("%s with all its versions, %d with those that are soft-deleted", subject, len(versions))
			}
			query := url.Values{}
			how := "to be deleted: "
			if permanent {
				query.Set("permanent", "true")
				how = "to be removed for good: "
			}
			s.progressf("%s%s", how, what)
			if ok, err := s.confirm(yes, dryRun); !ok {
				return err
			}
			return r.call(cmd.Context(), http.MethodDelete, path, query, nil, nil)
		},
	}
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.BoolVar(&permanent, "permanent", false, "remove for good what is soft-deleted")
	f.BoolVarP(&yes, "yes", "y", false, "delete without asking")
	f.BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}
