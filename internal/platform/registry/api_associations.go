package registry

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// AssociationAnswer is an association as lists have it.
type AssociationAnswer struct {
	state.Association
	Updated int64 `json:"updateTs,omitempty"`
}

// AssociationBatch is the body of :batchMutate.
type AssociationBatch struct {
	Requests []AssociationRequest `json:"requests"`
}

// AssociationResults is the answer to a batch: one result or error for each request.
type AssociationResults struct {
	Results []AssociationResult `json:"results"`
}

// AssociationResult is one of them.
type AssociationResult struct {
	Error  *gate.ErrorBody   `json:"error,omitempty"`
	Result *ResourceSubjects `json:"result,omitempty"`
}

// ResourceSubjects are the subjects of a resource.
type ResourceSubjects struct {
	ResourceName      string            `json:"resourceName,omitempty"`
	ResourceNamespace string            `json:"resourceNamespace,omitempty"`
	ResourceID        string            `json:"resourceId,omitempty"`
	ResourceType      string            `json:"resourceType,omitempty"`
	Associations      []ResourceSubject `json:"associations,omitempty"`
}

// ResourceSubject is one of them, with the schema that the request registered.
type ResourceSubject struct {
	Subject         string        `json:"subject"`
	AssociationType string        `json:"associationType"`
	Lifecycle       string        `json:"lifecycle"`
	Frozen          bool          `json:"frozen"`
	Schema          *SchemaAnswer `json:"schema,omitempty"`
}

// AssociationQuery is the body of :batchGet.
type AssociationQuery struct {
	Requests []struct {
		ResourceName      string   `json:"resourceName"`
		ResourceNamespace string   `json:"resourceNamespace"`
		ResourceID        string   `json:"resourceId"`
		ResourceType      string   `json:"resourceType"`
		AssociationTypes  []string `json:"associationTypes"`
		Lifecycle         string   `json:"lifecycle"`
	} `json:"requests"`
}

func (a *API) associationRoutes() []gate.Route {
	by := func(more ...gate.Param) []gate.Param {
		return append(more, gate.Param{Name: "resourceType"}, gate.Param{Name: "associationType", Type: "array"}, gate.Param{Name: "lifecycle"})
	}
	errors := []int{40901, 40903, 40904, 40905, 40907, 40908, 42201, 42205, 42206, 42208, 42212, 50001, 50002}
	return []gate.Route{
		{Method: "GET", Path: "/associations/subjects/{subject}", Name: "listAssociationsBySubject", Summary: "Resources that a subject belongs to", Tag: "Associations", Answer: []AssociationAnswer{}, Query: paged(by()...), Handle: a.associationsBySubject},
		{Method: "GET", Path: "/associations/resources/{resourceNamespace}/{resourceName}", Name: "listAssociationsByName", Summary: "Subjects of a resource, by its name; - stands for every namespace", Tag: "Associations", Answer: []AssociationAnswer{}, Query: paged(by()...), Handle: a.associationsByName},
		{Method: "GET", Path: "/associations/resources/{resourceId}", Name: "listAssociationsById", Summary: "Subjects of a resource, by its id", Tag: "Associations", Answer: []AssociationAnswer{}, Query: paged(by()...), Handle: a.associationsByID},
		{Method: "POST", Path: "/associations", Name: "createAssociation", Summary: "Bind subjects to a resource", Tag: "Associations", Body: AssociationRequest{}, Answer: ResourceSubjects{}, Errors: errors, Query: []gate.Param{{Name: "dryRun", Type: "boolean"}}, Handle: a.associate(false)},
		{Method: "PUT", Path: "/associations/resources/{resourceId}", Name: "createOrUpdateAssociation", Summary: "Bind subjects to a resource, or change how they are bound", Tag: "Associations", Body: AssociationRequest{}, Answer: ResourceSubjects{}, Errors: errors, Query: []gate.Param{{Name: "dryRun", Type: "boolean"}}, Handle: a.associate(true)},
		{Method: "DELETE", Path: "/associations/resources/{resourceId}", Name: "deleteAssociations", Summary: "Free the subjects of a resource", Tag: "Associations", Errors: []int{40410, 40908}, Query: by(gate.Param{Name: "cascadeLifecycle", Type: "boolean", Doc: "Whether the resource's own subjects are deleted"}, gate.Param{Name: "dryRun", Type: "boolean"}), Handle: a.dissociate},
		{Method: "POST", Path: "/associations:batchGet", Name: "batchGetAssociations", Summary: "Subjects of several resources", Tag: "Associations", Status: http.StatusMultiStatus, Body: AssociationQuery{}, Answer: AssociationResults{}, Handle: a.batchGet},
		{Method: "POST", Path: "/associations:batchMutate", Name: "batchMutateAssociations", Summary: "Change the subjects of several resources", Tag: "Associations", Status: http.StatusMultiStatus, Body: AssociationBatch{}, Answer: AssociationResults{}, Errors: []int{42213}, Query: []gate.Param{{Name: "dryRun", Type: "boolean"}}, Handle: a.batchMutate},
	}
}

// listAssociations answers with those that are wanted, that the query asks for, and whose subjects the caller may see.
func (a *API) listAssociations(w http.ResponseWriter, r *http.Request, wanted func(*state.Association) bool) error {
	q := r.URL.Query()
	types := q["associationType"]
	list, err := read(r.Context(), a.registry, func(s *state.State) ([]*state.Association, error) {
		return s.Associations(func(x *state.Association) bool {
			return wanted(x) && (q.Get("resourceType") == "" || x.ResourceType == q.Get("resourceType")) && (len(types) == 0 || slices.Contains(types, x.AssociationType)) &&
				(q.Get("lifecycle") == "" || strings.EqualFold(x.Lifecycle, q.Get("lifecycle")))
		}), nil
	})
	if err != nil {
		return err
	}
	var out []AssociationAnswer
	for _, x := range list {
		switch err := a.sees(r, acl.Describe, x.Subject); {
		case err == nil:
			out = append(out, AssociationAnswer{*x, x.Time})
		case !isForbidden(err):
			return err
		}
	}
	if out, err = page(r, out, mostSchemas); err != nil {
		return err
	}
	return answer(w, r, out)
}

func (a *API) associationsBySubject(w http.ResponseWriter, r *http.Request) error {
	name, err := a.name(r, true)
	if err != nil {
		return err
	}
	return a.listAssociations(w, r, func(x *state.Association) bool { return x.Subject == name })
}

func (a *API) associationsByName(w http.ResponseWriter, r *http.Request) error {
	space, name := r.PathValue("resourceNamespace"), r.PathValue("resourceName")
	return a.listAssociations(w, r, func(x *state.Association) bool {
		return x.ResourceName == name && (space == "-" || x.ResourceNamespace == space)
	})
}

func (a *API) associationsByID(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("resourceId")
	return a.listAssociations(w, r, func(x *state.Association) bool { return x.ResourceID == id })
}

func (a *API) associate(upsert bool) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var q AssociationRequest
		if err := gate.ReadJSON(r, &q, false); err != nil {
			return err
		}
		if id := r.PathValue("resourceId"); upsert {
			q.ResourceID = id
		}
		out, err := a.associateOne(r, &q, upsert)
		if err != nil {
			return err
		}
		return answer(w, r, out)
	}
}

func (a *API) associateOne(r *http.Request, q *AssociationRequest, upsert bool) (*ResourceSubjects, error) {
	prefix, err := contextIn(r)
	if err != nil {
		return nil, err
	}
	if text := r.URL.Query().Get("context"); prefix == "" && text != "" {
		var ok bool
		if prefix, ok = state.ContextPrefix(text); !ok {
			return nil, errInvalidSubject(text)
		}
	}
	if err := q.check(prefix); err != nil {
		return nil, err
	}
	for i := range q.Associations {
		subject := q.Associations[i].Subject
		if subject == "" {
			subject = q.subjectFor(q.Associations[i].AssociationType)
		}
		if err := a.may(r, acl.Write, subject); err != nil {
			return nil, err
		}
	}
	done, err := a.registry.Associate(r.Context(), q, upsert, gate.QueryBool(r, "dryRun"))
	if err != nil {
		return nil, err
	}
	return resultOf(q, done), nil
}

// resultOf says what came of a request.
func resultOf(q *AssociationRequest, done []Associated) *ResourceSubjects {
	out := &ResourceSubjects{ResourceName: q.ResourceName, ResourceNamespace: q.ResourceNamespace, ResourceID: q.ResourceID, ResourceType: q.ResourceType}
	for _, x := range done {
		one := ResourceSubject{Subject: x.Subject, AssociationType: x.AssociationType, Lifecycle: x.Lifecycle, Frozen: x.Frozen}
		if x.Registered != nil {
			one.Schema = answerOf(x.Registered)
		}
		out.Associations = append(out.Associations, one)
	}
	return out
}

func (a *API) dissociate(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := a.dissociateOne(r, r.PathValue("resourceId"), q.Get("resourceType"), q["associationType"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) dissociateOne(r *http.Request, id, resourceType string, types []string) error {
	list, err := read(r.Context(), a.registry, func(s *state.State) ([]*state.Association, error) {
		return s.Associations(func(x *state.Association) bool { return x.ResourceID == id }), nil
	})
	if err != nil {
		return err
	}
	for _, x := range list {
		if err := a.may(r, acl.Delete, x.Subject); err != nil {
			return err
		}
	}
	_, err = a.registry.Dissociate(r.Context(), id, resourceType, types, gate.QueryBool(r, "cascadeLifecycle"), gate.QueryBool(r, "dryRun"))
	return err
}

func (a *API) batchGet(w http.ResponseWriter, r *http.Request) error {
	var q AssociationQuery
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	if len(q.Requests) == 0 {
		return errAssociation("requests", "a batch has at least one")
	}
	if len(q.Requests) > maxAssociations {
		return gate.Errorf(42213, "A batch has at most %d requests", maxAssociations)
	}
	out := AssociationResults{Results: []AssociationResult{}}
	for _, one := range q.Requests {
		list, err := read(r.Context(), a.registry, func(s *state.State) ([]*state.Association, error) {
			return s.Associations(func(x *state.Association) bool {
				named := x.ResourceID == one.ResourceID && one.ResourceID != "" || one.ResourceID == "" && x.ResourceName == one.ResourceName && (one.ResourceNamespace == "-" || x.ResourceNamespace == one.ResourceNamespace)
				return named && (one.ResourceType == "" || x.ResourceType == one.ResourceType) && (len(one.AssociationTypes) == 0 || slices.Contains(one.AssociationTypes, x.AssociationType)) && (one.Lifecycle == "" || x.Lifecycle == one.Lifecycle)
			}), nil
		})
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(x *state.Association) bool { return a.sees(r, acl.Describe, x.Subject) != nil })
		found := make([]Associated, len(list))
		for i, x := range list {
			found[i].Association = x
		}
		out.Results = append(out.Results, AssociationResult{Result: resultOf(&AssociationRequest{
			ResourceName: one.ResourceName, ResourceNamespace: one.ResourceNamespace, ResourceID: one.ResourceID, ResourceType: one.ResourceType,
		}, found)})
	}
	return gate.WriteJSON(w, r, Types(), http.StatusMultiStatus, out)
}

// batchMutate carries out requests one after another, each for itself.
func (a *API) batchMutate(w http.ResponseWriter, r *http.Request) error {
	var q AssociationBatch
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	if len(q.Requests) == 0 {
		return errAssociation("requests", "a batch has at least one")
	}
	if len(q.Requests) > maxAssociations {
		return gate.Errorf(42213, "Associations batchMutate request exceeded a configured limit")
	}
	out := AssociationResults{Results: []AssociationResult{}}
	for i := range q.Requests {
		result, err := a.mutateOne(r, &q.Requests[i])
		switch e := gate.Explain(err, translate); {
		case err == nil:
			out.Results = append(out.Results, AssociationResult{Result: result})
		case e == nil:
			return err
		default:
			out.Results = append(out.Results, AssociationResult{Error: e})
		}
	}
	return gate.WriteJSON(w, r, Types(), http.StatusMultiStatus, out)
}

// mutateOne carries out the operations of one request: what is to be deleted first, then what is made and changed.
func (a *API) mutateOne(r *http.Request, q *AssociationRequest) (*ResourceSubjects, error) {
	var gone []string
	create, upsert := *q, *q
	create.Associations, upsert.Associations = nil, nil
	for _, info := range q.Associations {
		switch strings.ToUpper(info.Op) {
		case "DELETE":
			gone = append(gone, info.AssociationType)
		case "CREATE":
			create.Associations = append(create.Associations, info)
		case "", "UPSERT":
			upsert.Associations = append(upsert.Associations, info)
		default:
			return nil, errAssociation("opType", "must be CREATE, UPSERT or DELETE")
		}
	}
	if len(q.Associations) == 0 {
		return nil, errAssociation("associations", "cannot be null or empty, nor too many")
	}
	if len(gone) > 0 {
		if err := a.dissociateOne(r, q.ResourceID, q.ResourceType, gone); err != nil {
			return nil, err
		}
	}
	out := &ResourceSubjects{ResourceName: q.ResourceName, ResourceNamespace: q.ResourceNamespace, ResourceID: q.ResourceID, ResourceType: q.ResourceType}
	for _, part := range []struct {
		q      *AssociationRequest
		upsert bool
	}{{&create, false}, {&upsert, true}} {
		if len(part.q.Associations) == 0 {
			continue
		}
		done, err := a.associateOne(r, part.q, part.upsert)
		if err != nil {
			return nil, err
		}
		out.Associations = append(out.Associations, done.Associations...)
	}
	return out, nil
}

// associationFilter is what the list of schemas asks of associations; nil if it does not.
func associationFilter(r *http.Request) func(*state.State, *SchemaAnswer) bool {
	q := r.URL.Query()
	resource, types, lifecycles := q.Get("resourceType"), q["associationType"], q["lifecycle"]
	if resource == "" && len(types) == 0 && len(lifecycles) == 0 {
		return nil
	}
	return func(s *state.State, x *SchemaAnswer) bool {
		all := s.Associations(func(y *state.Association) bool {
			return y.Subject == x.Subject && (resource == "" || y.ResourceType == resource) && (len(types) == 0 || slices.Contains(types, y.AssociationType))
		})
		if len(all) == 0 {
			return slices.Contains(lifecycles, "NONE")
		}
		for _, y := range all {
			if len(lifecycles) == 0 || slices.Contains(lifecycles, y.Lifecycle) {
				x.Associations = append(x.Associations, AssociationAnswer{*y, y.Time})
			}
		}
		return len(x.Associations) > 0
	}
}
