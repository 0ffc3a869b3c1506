package registry

import (
	"context"
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// Types are the content types of the API, the preferred first. Bodies are taken whatever they are called: clients differ.
func Types() []string {
	return []string{"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}
}

// GlobalName is the subject that stands for global settings in access control.
const GlobalName = "__GLOBAL"

// API is the HTTP face of a registry.
type API struct {
	registry *Registry
	bridge   gate.Bridge
}

// NewAPI returns the face of a registry; the bridge says what callers may.
func NewAPI(r *Registry, b gate.Bridge) *API { return &API{r, b} }

// Translate is the gate's translation of errors.
func Translate(err error) *gate.Error { return translate(err) }

// Routes are the table of the API, and the rows of others who share its port: each at its own path, and inside of a context.
func (a *API) Routes(others ...gate.Route) []gate.Route {
	rows := slices.Concat(a.subjectRoutes(), a.versionRoutes(), a.schemaRoutes(), a.settingRoutes(), a.associationRoutes())
	for i := range rows {
		if !fixed[rows[i].Name] {
			rows[i].Handle = a.registry.freshly(rows[i].Handle)
		}
	}
	rows = append(rows, others...)
	out := slices.Clone(rows)
	for _, r := range rows {
		inside := r
		inside.Path, inside.Name, inside.Hidden = "/contexts/{context}"+r.Path, r.Name+"InContext", true
		if r.Path == "/contexts" {
			continue
		}
		out = append(out, inside)
	}
	out = append(out, a.rootRoutes()...)
	for i := range out {
		if out[i].Body != nil {
			out[i].Accepts = append(Types(), gate.AnyJSON) // clients have types of their own
		}
	}
	return out
}

func answer(w http.ResponseWriter, r *http.Request, v any) error {
	return gate.WriteJSON(w, r, Types(), http.StatusOK, v)
}

// name is the subject that a path names, in the context that the path or the name says, and the one that it is an alias for.
func (a *API) name(r *http.Request, follow bool) (string, error) {
	subject := r.PathValue("subject")
	prefix, err := contextIn(r)
	if err != nil {
		return "", err
	}
	return a.resolve(r.Context(), state.Qualify(prefix, subject), follow)
}

func contextIn(r *http.Request) (string, error) {
	prefix, ok := state.ContextPrefix(r.PathValue("context"))
	if !ok {
		return "", errInvalidSubject(r.PathValue("context"))
	}
	return prefix, nil
}

func (a *API) resolve(ctx context.Context, name string, follow bool) (string, error) {
	if len(name) > maxNameBytes {
		return "", errInvalidSubject(name[:100] + "…")
	}
	name = state.Normalize(name)
	if !follow {
		return name, nil
	}
	return read(ctx, a.registry, func(s *state.State) (string, error) {
		if c := s.Config(name); c != nil && c.Alias != "" {
			return state.Qualify(name, c.Alias), nil
		}
		return name, nil
	})
}

// maxNameBytes bounds the name of a subject.
const maxNameBytes = 4096

// may asks whether the caller may do something to a subject.
func (a *API) may(r *http.Request, op acl.Operation, subject string) error {
	if subject == "" || subject == "." {
		subject = GlobalName
	}
	return a.bridge.Allowed(r.Context(), gate.CallerOf(r.Context()), op, acl.Subject, subject)
}

// sees is may where a no refuses nothing: something is left out then.
func (a *API) sees(r *http.Request, op acl.Operation, subject string) error {
	return a.may(r.WithContext(gate.Filtering(r.Context())), op, subject)
}

// page cuts a list. A limit that is not given, or more than the most, is the most.
func page[T any](r *http.Request, list []T, most int) ([]T, error) {
	offset, err := gate.QueryInt(r, "offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := gate.QueryInt(r, "limit", -1)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || limit > most {
		limit = most
	}
	offset = min(max(offset, 0), len(list))
	list = list[offset:]
	return append([]T{}, list[:min(limit, len(list))]...), nil
}

// The most that one answer lists.
const (
	mostSchemas  = 1000
	mostSubjects = 20_000
)

func filterOf(r *http.Request) state.Filter {
	switch {
	case gate.QueryBool(r, "deletedOnly"):
		return state.Deleted
	case gate.QueryBool(r, "deleted"):
		return state.All
	}
	return state.Live
}

// Parameters that many routes have.
func paged(params ...gate.Param) []gate.Param {
	return append(params, gate.Param{Name: "offset", Type: "integer", Default: 0, Doc: "How many entries are passed over"}, gate.Param{Name: "limit", Type: "integer", Default: -1, Doc: "Most entries; -1 is as many as are given at once"})
}

func deletedParam() gate.Param {
	return gate.Param{Name: "deleted", Type: "boolean", Doc: "Whether deleted versions count, too"}
}

func formatParam() gate.Param {
	return gate.Param{Name: "format", Doc: "Form of the schema's text, such as serialized or resolved; what the format does not know is the usual one"}
}

// rootRoutes are those that are in no context.
func (a *API) rootRoutes() []gate.Route {
	return []gate.Route{
		{Method: "GET", Path: "/", Name: "root", Summary: "Nothing, to see that the server is there", Tag: "Server", Answer: map[string]string{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, r, map[string]string{})
		}},
		{Method: "POST", Path: "/", Name: "echo", Summary: "Nothing, whatever is sent", Tag: "Server", Body: map[string]string{}, Answer: map[string]string{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if err := gate.ReadJSON(r, &map[string]string{}, true); err != nil {
				return err
			}
			return answer(w, r, map[string]string{})
		}},
		{Method: "GET", Path: "/v1/metadata/id", Name: "getClusterId", Summary: "Which cluster this is", Tag: "Server", Answer: ClusterID{}, Handle: a.clusterID},
		{Method: "GET", Path: "/v1/metadata/version", Name: "getVersion", Summary: "Version of the server", Tag: "Server", Answer: ServerVersion{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, r, ServerVersion{Version: apiVersion, CommitID: a.registry.o.Version})
		}},
		{Method: "GET", Path: "/v1/metadata/deployment", Name: "getDeployment", Summary: "How the server is deployed", Tag: "Server", Answer: Deployment{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, r, Deployment{Attributes: []string{"deployment:weir"}})
		}},
	}
}

// apiVersion is the version of Confluent's API that clients may count on.
const apiVersion = "8.0.0"

// ServerVersion is an answer of /v1/metadata/version.
type ServerVersion struct {
	Version  string `json:"version"`
	CommitID string `json:"commitId"`
}

// Deployment is an answer of /v1/metadata/deployment.
type Deployment struct {
	Attributes []string `json:"attributes"`
}

// ClusterID is an answer of /v1/metadata/id.
type ClusterID struct {
	Scope ClusterScope `json:"scope"`
	ID    string       `json:"id"`
}

// ClusterScope names the clusters that a registry belongs to.
type ClusterScope struct {
	Path     []string          `json:"path"`
	Clusters map[string]string `json:"clusters"`
}

func (a *API) clusterID(w http.ResponseWriter, r *http.Request) error {
	id, err := a.registry.o.ClusterID(r.Context())
	if err != nil {
		return err
	}
	return answer(w, r, ClusterID{Scope: ClusterScope{Path: []string{}, Clusters: map[string]string{"kafka-cluster": id, "schema-registry-cluster": "schema-registry"}}})
}

// visible keeps the names that the caller may see.
func (a *API) visible(r *http.Request, names []string) ([]string, error) {
	out := names[:0]
	for _, name := range names {
		switch err := a.sees(r, acl.Describe, name); {
		case err == nil:
			out = append(out, name)
		case !isForbidden(err):
			return nil, err
		}
	}
	return out, nil
}
