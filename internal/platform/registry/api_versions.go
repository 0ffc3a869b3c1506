package registry

import (
	"cmp"
	"io"
	"net/http"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

func (a *API) versionRoutes() []gate.Route {
	store := []int{42205, 50001, 50002, 50004}
	return []gate.Route{
		{
			Method: "GET", Path: "/subjects/{subject}/versions", Name: "listVersions", Summary: "Numbers of the versions of a subject", Tag: "Versions", Answer: []int{}, Errors: []int{40401}, Handle: a.listVersions,
			Query: paged(deletedParam(), gate.Param{Name: "deletedOnly", Type: "boolean"}, gate.Param{Name: "deletedAsNegative", Type: "boolean"}),
		},
		{
			Method: "POST", Path: "/subjects/{subject}/versions", Name: "registerSchema", Summary: "Register a schema", Tag: "Versions", Body: RegisterRequest{}, Answer: SchemaAnswer{}, Errors: append([]int{40901, 42201, 42207, 42208, 42209, 42210}, store...), Handle: a.registerSchema,
			Query: []gate.Param{{Name: "normalize", Type: "boolean"}, formatParam(), {Name: "force", Type: "boolean", Doc: "Whether compatibility is not looked at"}},
		},
		{
			Method: "GET", Path: "/subjects/{subject}/versions/{version}", Name: "getVersionOfSubject", Summary: "A version", Tag: "Versions", Answer: SchemaAnswer{}, Errors: []int{40401, 40402, 42202}, Handle: a.getVersion,
			Query: []gate.Param{formatParam(), {Name: "referenceFormat"}, deletedParam(), {Name: "findTags", Type: "array"}},
		},
		{
			Method: "GET", Path: "/subjects/{subject}/versions/{version}/schema", Name: "getSchemaOfVersion", Summary: "The text of a version's schema", Tag: "Versions", Answer: map[string]any{}, Errors: []int{40401, 40402, 42202}, Handle: a.getText,
			Query: []gate.Param{formatParam(), deletedParam()},
		},
		{
			Method: "GET", Path: "/subjects/{subject}/versions/{version}/referencedby", Name: "listReferences", Summary: "Ids of the schemas that refer to a version", Tag: "Versions", Answer: []int{}, Errors: []int{40401, 40402, 42202}, Handle: a.referencedBy,
			Query: paged(deletedParam()),
		},
		{
			Method: "DELETE", Path: "/subjects/{subject}/versions/{version}", Name: "deleteVersion", Summary: "Delete a version", Tag: "Versions", Answer: 0, Errors: append([]int{40401, 40402, 40406, 40407, 40907, 42202, 42206}, store...), Handle: a.deleteVersion,
			Query: []gate.Param{{Name: "permanent", Type: "boolean", Doc: "For good; it must have been deleted before"}},
		},
		{Method: "POST", Path: "/subjects/{subject}/versions/{version}/tags", Name: "modifyTags", Summary: "Make a new version with other tags, metadata or rules", Tag: "Versions", Body: TagRequest{}, Answer: SchemaAnswer{}, Errors: append([]int{40401, 40402, 40901, 42201, 42202, 42210}, store...), Handle: a.modifyTags},
		{
			Method: "POST", Path: "/compatibility/subjects/{subject}/versions/{version}", Name: "testCompatibilityWithVersion", Summary: "Whether a schema is compatible with a version", Tag: "Compatibility", Body: RegisterRequest{}, Answer: CompatibilityAnswer{}, Errors: []int{40402, 42201, 42202}, Handle: a.compatible,
			Query: []gate.Param{{Name: "normalize", Type: "boolean"}, {Name: "verbose", Type: "boolean", Doc: "Whether the answer says why not"}},
		},
		{
			Method: "POST", Path: "/compatibility/subjects/{subject}/versions", Name: "testCompatibility", Summary: "Whether a schema is compatible with the versions that the level asks for", Tag: "Compatibility", Body: RegisterRequest{}, Answer: CompatibilityAnswer{}, Errors: []int{42201}, Handle: a.compatible,
			Query: []gate.Param{{Name: "normalize", Type: "boolean"}, {Name: "verbose", Type: "boolean", Doc: "Whether the answer says why not"}},
		},
	}
}

func (a *API) listVersions(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Read, name); err != nil {
		return err
	}
	f, exists := filterOf(r), filterOf(r)
	if exists == state.Deleted {
		exists = state.All
	}
	negative := gate.QueryBool(r, "deletedAsNegative")
	if negative {
		f = state.All
	}
	numbers, err := read(r.Context(), a.registry, func(s *state.State) ([]int, error) {
		if !s.Has(name, exists) {
			return nil, errSubject(name)
		}
		var out []int
		for _, v := range s.Versions(name, f) {
			n := v.Version
			if negative && v.Deleted {
				n = -n
			}
			out = append(out, n)
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	if numbers, err = page(r, numbers, mostSubjects); err != nil {
		return err
	}
	return answer(w, r, numbers)
}

func (a *API) registerSchema(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Write, name); err != nil {
		return err
	}
	var q RegisterRequest
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	v, err := a.registry.Register(r.Context(), name, q.candidate(), RegisterOptions{Normalize: gate.QueryBool(r, "normalize"), Force: gate.QueryBool(r, "force")})
	if err != nil {
		return err
	}
	return a.registered(w, r, v, sentAs(v, q.Schema))
}

// sentAs is the form in which a text came, if that is another than the usual one. A Protobuf schema may come as the base64 of a descriptor, and
// confluent-kafka for Python, which sends that, keeps the text of the answer for its deserializers, which read nothing else.
func sentAs(v *state.Version, text string) string {
	if v.Type == schema.Protobuf && !strings.ContainsAny(text, " ;{}\"") {
		return "serialized"
	}
	return ""
}

// registered is the answer to who registers, who knows the subject. The schema is in the form that the request asks for, or in the one given.
func (a *API) registered(w http.ResponseWriter, r *http.Request, v *state.Version, form string) error {
	out := answerOf(v)
	out.Subject = ""
	if format := cmp.Or(r.URL.Query().Get("format"), form); format != "" {
		text, err := read(r.Context(), a.registry, func(s *state.State) (string, error) { return a.registry.formatted(s, v, format) })
		if err != nil {
			return err
		}
		out.Schema = text
	}
	return answer(w, r, out)
}

// find finds the version that a path names, with the operation that is needed for it. A bare name is looked for in all contexts.
func (a *API) find(r *http.Request, op acl.Operation, f state.Filter) (*state.Version, error) {
	name, err := a.name(r, true)
	if err != nil {
		return nil, err
	}
	number, err := parseVersion(r.PathValue("version"))
	if err != nil {
		return nil, err
	}
	if err := a.may(r, op, name); err != nil {
		return nil, err
	}
	v, err := read(r.Context(), a.registry, func(s *state.State) (*state.Version, error) {
		if v := s.Get(name, number, f); v != nil {
			return v, nil
		}
		if state.ContextOf(name) == "" {
			for _, context := range s.Contexts()[1:] {
				if v := s.Get(state.Prefix(context)+name, number, f); v != nil {
					return v, nil
				}
			}
		}
		if !s.Has(name, f) {
			return nil, errSubject(name)
		}
		return nil, errVersion(number)
	})
	if err == nil && v.Subject != name {
		err = a.may(r, op, v.Subject)
	}
	return v, err
}

func (a *API) getVersion(w http.ResponseWriter, r *http.Request) error {
	v, err := a.find(r, acl.Read, filterOf(r))
	if err != nil {
		return err
	}
	return a.version(w, r, v)
}

func (a *API) getText(w http.ResponseWriter, r *http.Request) error {
	v, err := a.find(r, acl.Read, filterOf(r))
	if err != nil {
		return err
	}
	return a.text(w, r, v)
}

// text answers with nothing but the text of a schema.
func (a *API) text(w http.ResponseWriter, r *http.Request, v *state.Version) error {
	text, err := read(r.Context(), a.registry, func(s *state.State) (string, error) { return a.registry.formatted(s, v, r.URL.Query().Get("format")) })
	if err != nil {
		return err
	}
	contentType, _ := gate.Acceptable(r, Types())
	if contentType == "" {
		contentType = Types()[0]
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, text) // the client has gone
	return nil
}

func (a *API) referencedBy(w http.ResponseWriter, r *http.Request) error {
	v, err := a.find(r, acl.Read, state.All)
	if err != nil {
		return err
	}
	f := filterOf(r)
	ids, err := read(r.Context(), a.registry, func(s *state.State) ([]int, error) {
		var out []int
		for _, id := range s.ReferencedBy(v.Subject, v.Version, f) {
			out = append(out, id.ID)
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	if ids, err = page(r, ids, mostSchemas); err != nil {
		return err
	}
	return answer(w, r, ids)
}

func (a *API) deleteVersion(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	if err := a.may(r, acl.Delete, name); err != nil {
		return err
	}
	n, err := a.registry.DeleteVersion(r.Context(), name, r.PathValue("version"), gate.QueryBool(r, "permanent"))
	if err != nil {
		return err
	}
	return answer(w, r, n)
}

func (a *API) compatible(w http.ResponseWriter, r *http.Request) error {
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
	verbose := gate.QueryBool(r, "verbose")
	content, err := a.content(r, name, &q)
	if err != nil {
		return err
	}
	messages, err := a.registry.Compatible(r.Context(), name, r.PathValue("version"), content, gate.QueryBool(r, "normalize"), verbose)
	if err != nil {
		return err
	}
	out := CompatibilityAnswer{Compatible: len(messages) == 0}
	if verbose {
		out.Messages = append([]string{}, messages...)
	}
	return answer(w, r, out)
}
