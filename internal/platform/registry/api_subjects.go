package registry

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

func (a *API) subjectRoutes() []gate.Route {
	return []gate.Route{
		{
			Method: "GET", Path: "/subjects", Name: "listSubjects", Summary: "Names of subjects", Tag: "Subjects", Answer: []string{}, Handle: a.listSubjects,
			Query: paged(gate.Param{Name: "subjectPrefix", Default: state.Wildcard, Doc: "What the names begin with; :*: before it looks in all contexts"}, deletedParam(), gate.Param{Name: "deletedOnly", Type: "boolean"}),
		},
		{
			Method: "POST", Path: "/subjects/{subject}", Name: "lookUpSchema", Summary: "The version of a subject that has a schema", Tag: "Subjects", Body: RegisterRequest{}, Answer: SchemaAnswer{}, Errors: []int{40401, 40403, 42201}, Handle: a.lookUp,
			Query: []gate.Param{{Name: "normalize", Type: "boolean"}, formatParam(), deletedParam()},
		},
		{
			Method: "DELETE", Path: "/subjects/{subject}", Name: "deleteSubject", Summary: "Delete the versions of a subject", Tag: "Subjects", Answer: []int{}, Errors: []int{40401, 40404, 40405, 40904, 42205, 42206, 50001, 50002}, Handle: a.deleteSubject,
			Query: []gate.Param{{Name: "permanent", Type: "boolean", Doc: "For good; they must have been deleted before"}},
		},
		{
			Method: "GET", Path: "/subjects/{subject}/metadata", Name: "getLatestWithMetadata", Summary: "The newest version with properties of its metadata", Tag: "Subjects", Answer: SchemaAnswer{}, Errors: []int{40401, 40403}, Handle: a.withMetadata,
			Query: []gate.Param{{Name: "key", Type: "array"}, {Name: "value", Type: "array"}, formatParam(), deletedParam()},
		},
		{
			Method: "GET", Path: "/contexts", Name: "listContexts", Summary: "Names of contexts", Tag: "Contexts", Answer: []string{}, Handle: a.listContexts, Query: paged(gate.Param{Name: "contextPrefix"}),
		},
		{Method: "DELETE", Path: "/contexts/{context}", Name: "deleteContext", Summary: "Forget a context that holds nothing", Tag: "Contexts", Errors: []int{42211}, Handle: a.deleteContext},
	}
}

func (a *API) listSubjects(w http.ResponseWriter, r *http.Request) error {
	prefix := state.Wildcard
	if q := r.URL.Query(); q.Has("subjectPrefix") {
		prefix = q.Get("subjectPrefix")
	}
	inside, err := contextIn(r)
	if err != nil {
		return err
	}
	if r.PathValue("context") != "" {
		prefix = inside + strings.TrimPrefix(prefix, state.Wildcard)
	}
	names, err := read(r.Context(), a.registry, func(s *state.State) ([]string, error) { return s.Subjects(prefix, filterOf(r)), nil })
	if err != nil {
		return err
	}
	if names, err = a.visible(r, names); err != nil {
		return err
	}
	if names, err = page(r, names, mostSubjects); err != nil {
		return err
	}
	return answer(w, r, names)
}

func (a *API) lookUp(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Read, name); err != nil {
		return err
	}
	var q RegisterRequest
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	content, err := a.content(r, name, &q)
	if err != nil {
		return err
	}
	v, err := a.registry.Lookup(r.Context(), name, content, gate.QueryBool(r, "normalize"), gate.QueryBool(r, "deleted"))
	if err != nil {
		return err
	}
	return a.version(w, r, v)
}

// version answers with a version in the form that was asked for.
func (a *API) version(w http.ResponseWriter, r *http.Request, v *state.Version) error {
	out := answerOf(v)
	if format := r.URL.Query().Get("format"); format != "" {
		text, err := read(r.Context(), a.registry, func(s *state.State) (string, error) { return a.registry.formatted(s, v, format) })
		if err != nil {
			return err
		}
		out.Schema = text
	}
	if r.URL.Query().Get("referenceFormat") == "qualified" {
		out.References = slices.Clone(out.References)
		for i := range out.References {
			out.References[i].Subject = state.Qualify(v.Subject, out.References[i].Subject)
		}
	}
	if tags := r.URL.Query()["findTags"]; len(tags) > 0 {
		found, err := a.findTags(r, v, tags)
		if err != nil {
			return err
		}
		out.SchemaTags = found
	}
	return answer(w, r, out)
}

func (a *API) deleteSubject(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Delete, name); err != nil {
		return err
	}
	versions, err := a.registry.DeleteSubject(r.Context(), name, gate.QueryBool(r, "permanent"))
	if err != nil {
		return err
	}
	return answer(w, r, versions)
}

func (a *API) withMetadata(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Read, name); err != nil {
		return err
	}
	keys, values := r.URL.Query()["key"], r.URL.Query()["value"]
	f := filterOf(r)
	v, err := read(r.Context(), a.registry, func(s *state.State) (*state.Version, error) {
		for _, v := range slices.Backward(s.Versions(name, f)) {
			if v.Metadata == nil || v.Metadata.Properties == nil {
				continue
			}
			has := true
			for i := range min(len(keys), len(values)) {
				value, ok := v.Metadata.Properties[keys[i]]
				has = has && ok && value == values[i]
			}
			if has {
				return v, nil
			}
		}
		if !s.Has(name, f) {
			return nil, errSubject(name)
		}
		return nil, errSchema()
	})
	if err != nil {
		return err
	}
	return a.version(w, r, v)
}

func (a *API) listContexts(w http.ResponseWriter, r *http.Request) error {
	prefix := r.URL.Query().Get("contextPrefix")
	names, err := read(r.Context(), a.registry, func(s *state.State) ([]string, error) { return s.Contexts(), nil })
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
	if names, err = page(r, names, mostSubjects); err != nil {
		return err
	}
	return answer(w, r, names)
}

func (a *API) deleteContext(w http.ResponseWriter, r *http.Request) error {
	prefix, err := contextIn(r)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Delete, prefix); err != nil {
		return err
	}
	if err := a.registry.DeleteContext(r.Context(), prefix); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
