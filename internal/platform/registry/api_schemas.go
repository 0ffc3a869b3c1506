package registry

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

func (a *API) schemaRoutes() []gate.Route {
	subject := gate.Param{Name: "subject", Doc: "A subject, or a context, in which the id is looked for"}
	id := []gate.Param{{Name: "id", Type: "integer"}}
	return []gate.Route{
		{Method: "GET", Path: "/schemas/types", Name: "listTypes", Summary: "The formats of schemas", Tag: "Schemas", Answer: []string{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, r, []string{"JSON", "PROTOBUF", "AVRO"})
		}},
		{
			Method: "GET", Path: "/schemas", Name: "listSchemas", Summary: "Schemas of subjects", Tag: "Schemas", Answer: []SchemaAnswer{}, Handle: a.listSchemas,
			Query: paged(gate.Param{Name: "subjectPrefix"}, gate.Param{Name: "aliases", Type: "boolean"}, deletedParam(), gate.Param{Name: "latestOnly", Type: "boolean"}, gate.Param{Name: "ruleType"},
				gate.Param{Name: "resourceType"}, gate.Param{Name: "associationType", Type: "array"}, gate.Param{Name: "lifecycle", Type: "array"}),
		},
		{
			Method: "GET", Path: "/schemas/ids/{id}", Name: "getSchemaById", Summary: "The schema with an id", Tag: "Schemas", PathParams: id, Answer: SchemaAnswer{}, Errors: []int{40403}, Handle: a.byID,
			Query: []gate.Param{subject, formatParam(), {Name: "referenceFormat"}, {Name: "findTags", Type: "array"}, {Name: "fetchMaxId", Type: "boolean"}},
		},
		{Method: "GET", Path: "/schemas/ids/{id}/schema", Name: "getTextById", Summary: "The text of the schema with an id", Tag: "Schemas", PathParams: id, Answer: map[string]any{}, Errors: []int{40403}, Query: []gate.Param{subject, formatParam()}, Handle: a.textByID},
		{Method: "GET", Path: "/schemas/ids/{id}/subjects", Name: "listSubjectsById", Summary: "Subjects that have the schema with an id", Tag: "Schemas", PathParams: id, Answer: []string{}, Errors: []int{40403}, Query: paged(subject, deletedParam()), Handle: a.subjectsByID},
		{Method: "GET", Path: "/schemas/ids/{id}/versions", Name: "listVersionsById", Summary: "Versions that have the schema with an id", Tag: "Schemas", PathParams: id, Answer: []SubjectVersion{}, Errors: []int{40403}, Query: paged(subject, deletedParam()), Handle: a.versionsByID},
		{Method: "GET", Path: "/schemas/guids/{guid}", Name: "getSchemaByGuid", Summary: "The schema with a GUID", Tag: "Schemas", Answer: SchemaAnswer{}, Errors: []int{40403}, Query: []gate.Param{formatParam()}, Handle: a.byGUID},
		{Method: "GET", Path: "/schemas/guids/{guid}/ids", Name: "listIdsByGuid", Summary: "Ids of the schema with a GUID, by context; none if nobody has it", Tag: "Schemas", Answer: []state.ContextID{}, Errors: []int{40403}, Handle: a.idsByGUID},
	}
}

// subjectIn is the parameter subject, in the context of the path. It may be empty, or name a context alone.
func (a *API) subjectIn(r *http.Request) (string, error) {
	prefix, err := contextIn(r)
	if err != nil {
		return "", err
	}
	return a.resolve(r.Context(), state.Qualify(prefix, r.URL.Query().Get("subject")), true)
}

// versionByID finds the version with an id that a subject, or a context, means, and that the caller may read.
func (a *API) versionByID(r *http.Request) (*state.Version, error) {
	id, err := idIn(r)
	if err != nil {
		return nil, err
	}
	name, err := a.subjectIn(r)
	if err != nil {
		return nil, err
	}
	v, err := read(r.Context(), a.registry, func(s *state.State) (*state.Version, error) {
		if v := lookForID(s, name, id); v != nil {
			return v, nil
		}
		return nil, errSchemaID(id)
	})
	if err != nil {
		return nil, err
	}
	return v, a.mayReadID(r, v)
}

// lookForID finds an id: with a bare subject first among its own versions, then among those of the same name in other contexts, then
// in the default context.
func lookForID(s *state.State, name string, id int) *state.Version {
	prefix := state.ContextOf(name)
	if !state.IsContext(name) {
		for _, v := range s.ByID(prefix, id, state.All) {
			if v.Subject == name {
				return v
			}
		}
		if prefix == "" {
			for _, context := range s.Contexts()[1:] {
				for _, v := range s.ByID(state.Prefix(context), id, state.All) {
					if v.Subject == state.Prefix(context)+name {
						return v
					}
				}
			}
		}
	}
	return s.First(prefix, id)
}

// mayReadID asks whether the caller may read any subject that has the schema.
func (a *API) mayReadID(r *http.Request, v *state.Version) error {
	err := a.sees(r, acl.Read, v.Subject)
	if err == nil || !isForbidden(err) {
		return err
	}
	others, lookErr := read(r.Context(), a.registry, func(s *state.State) ([]*state.Version, error) {
		return s.ByID(state.ContextOf(v.Subject), v.ID, state.All), nil
	})
	if lookErr != nil {
		return lookErr
	}
	for _, other := range others {
		if other.Subject != v.Subject && a.sees(r, acl.Read, other.Subject) == nil {
			return nil
		}
	}
	return a.may(r, acl.Read, v.Subject)
}

func idIn(r *http.Request) (int, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, gate.Errorf(http.StatusNotFound, "HTTP 404 Not Found")
	}
	return int(id), nil
}

func (a *API) byID(w http.ResponseWriter, r *http.Request) error {
	v, err := a.versionByID(r)
	if err != nil {
		return err
	}
	if !gate.QueryBool(r, "fetchMaxId") {
		return a.version(w, r, v)
	}
	out := answerOf(v)
	highest, err := read(r.Context(), a.registry, func(s *state.State) (int, error) { return s.MaxID(state.ContextOf(v.Subject)), nil })
	if err != nil {
		return err
	}
	out.MaxID = &highest
	return answer(w, r, out)
}

func (a *API) textByID(w http.ResponseWriter, r *http.Request) error {
	v, err := a.versionByID(r)
	if err != nil {
		return err
	}
	return a.text(w, r, v)
}

// allByID lists the versions with an id that the caller may see.
func (a *API) allByID(r *http.Request) ([]*state.Version, error) {
	v, err := a.versionByID(r)
	if err != nil {
		if isMissing(err) {
			err = errSchema()
		}
		return nil, err
	}
	name, err := a.subjectIn(r)
	if err != nil {
		return nil, err
	}
	list, err := read(r.Context(), a.registry, func(s *state.State) ([]*state.Version, error) {
		return s.ByID(state.ContextOf(v.Subject), v.ID, filterOf(r)), nil
	})
	if err != nil {
		return nil, err
	}
	out := list[:0]
	for _, x := range list {
		if !state.IsContext(name) && r.URL.Query().Get("subject") != "" && x.Subject != name {
			continue
		}
		switch err := a.sees(r, acl.Describe, x.Subject); {
		case err == nil:
			out = append(out, x)
		case !isForbidden(err):
			return nil, err
		}
	}
	return out, nil
}

func (a *API) subjectsByID(w http.ResponseWriter, r *http.Request) error {
	list, err := a.allByID(r)
	if err != nil {
		return err
	}
	var names []string
	for _, v := range list {
		names = append(names, v.Subject)
	}
	if names, err = page(r, slices.Compact(names), mostSubjects); err != nil {
		return err
	}
	return answer(w, r, names)
}

func (a *API) versionsByID(w http.ResponseWriter, r *http.Request) error {
	list, err := a.allByID(r)
	if err != nil {
		return err
	}
	var out []SubjectVersion
	for _, v := range list {
		out = append(out, SubjectVersion{v.Subject, v.Version})
	}
	if out, err = page(r, out, mostSubjects); err != nil {
		return err
	}
	return answer(w, r, out)
}

// idsWith lists the ids of a content in all contexts.
func (a *API) idsWith(r *http.Request) ([]state.ContextID, error) {
	text := r.PathValue("guid")
	guid, ok := state.ParseGUID(text)
	if !ok {
		return nil, errSchemaGUID(text)
	}
	return read(r.Context(), a.registry, func(s *state.State) ([]state.ContextID, error) {
		out := []state.ContextID{}
		for _, context := range s.Contexts() {
			if id, ok := s.IDByGUID(state.Prefix(context), guid); ok {
				out = append(out, state.ContextID{Context: context, ID: id})
			}
		}
		return out, nil
	})
}

func (a *API) byGUID(w http.ResponseWriter, r *http.Request) error {
	ids, err := a.idsWith(r)
	if err == nil && len(ids) == 0 {
		err = errSchemaGUID(r.PathValue("guid"))
	}
	if err != nil {
		return err
	}
	v, err := read(r.Context(), a.registry, func(s *state.State) (*state.Version, error) {
		if v := s.First(state.Prefix(ids[0].Context), ids[0].ID); v != nil {
			return v, nil
		}
		return nil, errSchemaGUID(r.PathValue("guid"))
	})
	if err != nil {
		return err
	}
	if err := a.mayReadID(r, v); err != nil {
		return err
	}
	shown := *v
	shown.Subject, shown.Version = "", 0
	out := answerOf(&shown)
	out.ID = nil
	if format := r.URL.Query().Get("format"); format != "" {
		if out.Schema, err = read(r.Context(), a.registry, func(s *state.State) (string, error) { return a.registry.formatted(s, v, format) }); err != nil {
			return err
		}
	}
	return answer(w, r, out)
}

func (a *API) idsByGUID(w http.ResponseWriter, r *http.Request) error {
	ids, err := a.idsWith(r)
	if err != nil {
		return err
	}
	return answer(w, r, ids)
}

func (a *API) listSchemas(w http.ResponseWriter, r *http.Request) error {
	prefix := r.URL.Query().Get("subjectPrefix")
	inside, err := contextIn(r)
	if err != nil {
		return err
	}
	if r.PathValue("context") != "" {
		prefix = inside + prefix
	}
	f, latest, ruleType := filterOf(r), gate.QueryBool(r, "latestOnly"), r.URL.Query().Get("ruleType")
	names, err := read(r.Context(), a.registry, func(s *state.State) ([]string, error) { return s.Subjects(prefix, state.All), nil })
	if err != nil {
		return err
	}
	if names, err = a.visible(r, names); err != nil {
		return err
	}
	byAssociation := associationFilter(r)
	list, err := read(r.Context(), a.registry, func(s *state.State) ([]*SchemaAnswer, error) {
		var out []*SchemaAnswer
		for _, name := range names {
			versions := s.Versions(name, f)
			if latest && len(versions) > 0 {
				versions = versions[len(versions)-1:]
			}
			for _, v := range versions {
				if ruleType != "" && !hasRuleType(v.RuleSet, ruleType) {
					continue
				}
				x := answerOf(v)
				if byAssociation != nil && !byAssociation(s, x) {
					continue
				}
				if gate.QueryBool(r, "aliases") {
					x.Aliases = s.Aliases(name)
				}
				out = append(out, x)
			}
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	if list, err = page(r, list, mostSchemas); err != nil {
		return err
	}
	return answer(w, r, list)
}
