package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/schema"
)

func newSchemaCommand(s *session) *cobra.Command {
	return newNoun("schema", "Schemas in a Schema Registry",
		`List, read, register, check and delete schemas in a Schema Registry that speaks Confluent's API: the one of 'weir server', or any other.

A subject is the name under which versions of a schema are kept: TOPIC-value and TOPIC-key, unless clients are told otherwise. A subject
in a context is written ':.context:subject'. The registry is that of --schema-registry, of WEIR_SCHEMA_REGISTRY, of the property
schema.registry.url, or else port 8081 of the broker's host.`,
		`  weir schema list
  weir schema register orders-value order.avsc
  weir schema check orders-value order.avsc          would it be accepted, and if not, why?
  weir schema get orders-value
  weir schema deps common.Address                     who refers to it, and to whom does it refer?
  weir schema migrate --from https://old:8081 --dry-run`,
		newSchemaListCommand(s), newSchemaGetCommand(s), newSchemaRegisterCommand(s), newSchemaCheckCommand(s), newSchemaDiffCommand(s), newSchemaDepsCommand(s),
		newSchemaDeleteCommand(s), newSchemaModeCommand(s), newSchemaConfigCommand(s), newSchemaMigrateCommand(s), newSchemaConformanceCommand(s))
}

// subjectVersion is a version of a subject as the registry keeps and answers it; nothing that a registry knows of it gets lost.
type subjectVersion struct {
	Subject    string             `json:"subject,omitempty"`
	Version    int                `json:"version,omitempty"`
	ID         int                `json:"id,omitempty"`
	GUID       string             `json:"guid,omitempty"`
	Type       schema.Type        `json:"schemaType,omitempty"`
	References []schema.Reference `json:"references,omitempty"`
	Metadata   *schema.Metadata   `json:"metadata,omitempty"`
	RuleSet    *schema.RuleSet    `json:"ruleSet,omitempty"`
	Schema     string             `json:"schema"`
	Deleted    bool               `json:"deleted,omitempty"`
}

// format names the type, which answers may leave out for Avro.
func (v subjectVersion) format() schema.Type {
	if v.Type == "" {
		return schema.Avro
	}
	return v.Type
}

// registryAt asks one registry.
type registryAt struct{ client *registryclient.Client }

// openRegistry returns the registry of the command.
func (s *session) openRegistry() (registryAt, error) {
	cl, _, err := s.registry()
	return registryAt{cl}, err
}

// call asks the registry; in and out may be nil. Its errors name the fix.
func (r registryAt) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if len(query) > 0 {
		ctx = sr.WithParams(ctx, sr.RawParams(query))
	}
	err := r.client.Do(ctx, method, path, in, out)
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return withFix(fmt.Errorf("ask the schema registry: %w", err), "name the registry with --schema-registry or WEIR_SCHEMA_REGISTRY (tried %s)", strings.Join(r.client.URLs(), ","))
	}
	text := strings.TrimSuffix(answer.Message, ".")
	if text == "" {
		text = http.StatusText(answer.StatusCode)
	}
	return withFix(&registryError{text: fmt.Sprintf("%s (error %d)", text, max(answer.ErrorCode, answer.StatusCode)), code: answer.ErrorCode, status: answer.StatusCode},
		"%s", registryFixes[answer.ErrorCode])
}

// registryError is what a registry answered in the place of what was asked for.
type registryError struct {
	text         string
	code, status int
}

func (e *registryError) Error() string { return e.text }

// hasCode tells whether a registry refused with one of the codes.
func hasCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*registryError](err)
	for _, c := range codes {
		if ok && e.code == c {
			return true
		}
	}
	return false
}

// registryFixes names the way out of the errors that people meet.
var registryFixes = map[int]string{
	40401: "'weir schema list' shows the subjects, with --deleted also those that are soft-deleted",
	40402: "'weir schema list SUBJECT' shows the versions",
	40403: "'weir schema list' shows what is registered",
	40404: "it is deleted already: --permanent removes it for good",
	40405: "delete it without --permanent first",
	40406: "it is deleted already: --permanent removes it for good",
	40407: "delete it without --permanent first",
	40408: "the registry's own level holds: 'weir schema config'",
	40409: "the registry's own mode holds: 'weir schema mode'",
	40901: "'weir schema check SUBJECT FILE' tells what differs and what to do; 'weir schema config SUBJECT --level' chooses another level",
	42201: "correct the schema; what it refers to is given with --ref name=subject:version",
	42205: "'weir schema mode' shows the mode, 'weir schema mode SUBJECT --set READWRITE' changes it",
	42206: "'weir schema deps SUBJECT' shows what refers to it: delete that first",
	401:   "log in with the property basic.auth.user.info=user:password or bearer.auth.token, in --kafka-config or -X",
	403:   "ask for an ACL on the subject",
}

// subjectPath is the path of a subject.
func subjectPath(subject string, more ...string) string {
	return "/subjects/" + url.PathEscape(subject) + strings.Join(more, "")
}

// version reads a version of a subject: a number, "latest" or "".
func (r registryAt) version(ctx context.Context, subject, version string, deleted bool) (subjectVersion, error) {
	if version == "" {
		version = "latest"
	}
	if n, err := strconv.Atoi(version); version != "latest" && (err != nil || n < 1) {
		return subjectVersion{}, usageErrorf("%q is no version: use a number from 1 on, or latest", version)
	}
	var v subjectVersion
	query := url.Values{}
	if deleted {
		query.Set("deleted", "true")
	}
	err := r.call(ctx, http.MethodGet, subjectPath(subject, "/versions/", version), query, nil, &v)
	return v, err
}

// resolved is a version as a format reads it: with the texts of all it refers to.
func (r registryAt) source(ctx context.Context, v subjectVersion) (schema.Source, error) {
	texts, err := r.client.Resolve(ctx, v.References)
	if err != nil {
		return schema.Source{}, fmt.Errorf("what %s refers to: %w", v.Subject, err)
	}
	return schema.Source{Text: v.Schema, References: v.References, Resolved: texts}, nil
}

// all lists versions: of subjects with a prefix, with deleted ones, the latest alone.
func (r registryAt) all(ctx context.Context, prefix string, deleted, latest bool) ([]subjectVersion, error) {
	query := url.Values{"subjectPrefix": {prefix}}
	if deleted {
		query.Set("deleted", "true")
	}
	if latest {
		query.Set("latestOnly", "true")
	}
	// A registry gives as many at once as it likes. One that knows no pages gives all, and the same again.
	var out []subjectVersion
	seen := map[placeOf]bool{}
	for {
		var page []subjectVersion
		query.Set("offset", strconv.Itoa(len(out)))
		if err := r.call(ctx, http.MethodGet, "/schemas", query, nil, &page); err != nil {
			return nil, err
		}
		if len(page) == 0 || seen[page[0].place()] {
			return out, nil
		}
		for _, v := range page {
			seen[v.place()] = true
		}
		out = append(out, page...)
	}
}

// splitVersion divides SUBJECT or SUBJECT@VERSION.
func splitVersion(arg string) (subject, version string) {
	if i := strings.LastIndexByte(arg, '@'); i > 0 {
		return arg[:i], arg[i+1:]
	}
	return arg, ""
}
