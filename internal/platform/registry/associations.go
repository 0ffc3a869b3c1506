package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// AssociationRequest binds subjects to a resource. Of a resource there is one association of each type.
type AssociationRequest struct {
	ResourceName      string            `json:"resourceName,omitempty"`
	ResourceNamespace string            `json:"resourceNamespace,omitempty"`
	ResourceID        string            `json:"resourceId,omitempty"`
	ResourceType      string            `json:"resourceType,omitempty"`
	Associations      []AssociationInfo `json:"associations,omitempty"`
}

// AssociationInfo is one association of a request. A schema is registered under the subject. What is left out stays, or is the default:
// a subject of the resource's own, owned STRONGly; a subject that is named, WEAKly.
type AssociationInfo struct {
	Op              string           `json:"opType,omitempty"` // CREATE, UPSERT or DELETE, of :batchMutate
	Subject         string           `json:"subject,omitempty"`
	AssociationType string           `json:"associationType,omitempty"`
	Lifecycle       string           `json:"lifecycle,omitempty"`
	Frozen          *bool            `json:"frozen,omitempty"`
	Schema          *RegisterRequest `json:"schema,omitempty"`
	Normalize       *bool            `json:"normalize,omitempty"`
}

// topicResource is the type of resources that are not called otherwise.
const topicResource = "topic"

// maxAssociations bounds the associations of one request.
const maxAssociations = 100

func errAssociation(property, reason string) error {
	return gate.Errorf(42212, "The specified value for property '%s' is invalid: %s", property, reason)
}

// check fills in what a request leaves out and refuses what makes no sense.
func (q *AssociationRequest) check(context string) error {
	q.ResourceType = cmp.Or(q.ResourceType, topicResource)
	switch {
	case q.ResourceName == "":
		return errAssociation("resourceName", "cannot be null or empty")
	case q.ResourceNamespace == "":
		return errAssociation("resourceNamespace", "cannot be null or empty")
	case q.ResourceID == "":
		return errAssociation("resourceId", "cannot be null or empty")
	case q.ResourceType != topicResource:
		return errAssociation("resourceType", "must be topic")
	case len(q.Associations) == 0 || len(q.Associations) > maxAssociations:
		return errAssociation("associations", "cannot be null or empty, nor too many")
	}
	seen := map[string]bool{}
	for i := range q.Associations {
		info := &q.Associations[i]
		info.AssociationType = cmp.Or(info.AssociationType, "value")
		if info.AssociationType != "key" && info.AssociationType != "value" {
			return errAssociation("associationType", "must be key or value")
		}
		if seen[info.AssociationType] {
			return errAssociation("associationType", "may only appear once per request")
		}
		seen[info.AssociationType] = true
		if info.Lifecycle != "" && info.Lifecycle != strong && info.Lifecycle != weak {
			return errAssociation("lifecycle", "must be STRONG or WEAK")
		}
		if info.Subject != "" {
			info.Subject = state.Qualify(context, info.Subject)
			if !state.ValidSubject(info.Subject, false) {
				return errInvalidSubject(info.Subject)
			}
		}
	}
	return nil
}

// subjectFor is the resource's own subject for a type of association.
func (q *AssociationRequest) subjectFor(kind string) string {
	return state.Normalize(":." + q.ResourceNamespace + ":" + q.ResourceName + "-" + kind)
}

// Associate makes associations, or with upsert changes those that there are. With dryRun it says what it would do.
func (r *Registry) Associate(ctx context.Context, q *AssociationRequest, upsert, dryRun bool) ([]*state.Association, error) {
	var out []*state.Association
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		out = nil
		var records []state.Record
		for i := range q.Associations {
			a, some, err := r.associate(s, q, &q.Associations[i], upsert)
			if err != nil {
				return nil, err
			}
			out, records = append(out, a), append(records, some...)
		}
		if dryRun {
			return nil, nil
		}
		return records, nil
	})
	return out, err
}

// associate decides about one association.
func (r *Registry) associate(s *state.State, q *AssociationRequest, info *AssociationInfo, upsert bool) (*state.Association, []state.Record, error) {
	var old *state.Association
	if list := s.Associations(func(a *state.Association) bool {
		return a.ResourceID == q.ResourceID && a.ResourceType == q.ResourceType && a.AssociationType == info.AssociationType
	}); len(list) > 0 {
		old = list[0]
	}
	a := &state.Association{
		Subject: cmp.Or(info.Subject, q.subjectFor(info.AssociationType)), GUID: newGUID(), ResourceName: q.ResourceName, ResourceNamespace: q.ResourceNamespace, ResourceID: q.ResourceID,
		ResourceType: q.ResourceType, AssociationType: info.AssociationType, Lifecycle: info.Lifecycle, Frozen: info.Frozen != nil && *info.Frozen,
	}
	if old != nil {
		if info.Subject != "" && info.Subject != old.Subject || !upsert && (info.Lifecycle != "" && info.Lifecycle != old.Lifecycle) {
			return nil, nil, gate.Errorf(40903, "An association of type '%s' already exists for resource '%s'", info.AssociationType, q.ResourceName)
		}
		a.Subject, a.GUID, a.Lifecycle = old.Subject, old.GUID, cmp.Or(info.Lifecycle, old.Lifecycle)
		if info.Frozen == nil {
			a.Frozen = old.Frozen
		}
		if old.Frozen && (a.Lifecycle != old.Lifecycle || !a.Frozen || info.Schema != nil) {
			return nil, nil, gate.Errorf(40908, "The association of type  '%s' is frozen for subject '%s'", info.AssociationType, old.Subject)
		}
	}
	if a.Lifecycle == "" {
		if a.Lifecycle = weak; info.Subject == "" {
			a.Lifecycle = strong
		}
	}
	if a.Frozen && a.Lifecycle != strong {
		return nil, nil, errAssociation("frozen", "only a STRONG association can be frozen")
	}
	if err := mayOwn(s, a, old); err != nil {
		return nil, nil, err
	}
	var records []state.Record
	switch {
	case info.Schema != nil:
		if err := validateRuleSet(info.Schema.RuleSet); err != nil {
			return nil, nil, err
		}
		_, some, err := r.decideRegister(s, a.Subject, info.Schema.candidate(), RegisterOptions{Normalize: info.Normalize != nil && *info.Normalize})
		if err != nil {
			return nil, nil, err
		}
		records = some
	case !s.Has(a.Subject, state.Live):
		return nil, nil, gate.Errorf(40907, "No active (non-deleted) version exists for subject '%s'", a.Subject)
	}
	if old != nil && old.Lifecycle == a.Lifecycle && old.Frozen == a.Frozen && len(records) == 0 {
		return old, nil, nil
	}
	return a, append(records, state.PutAssociation(a)), nil
}

// mayOwn refuses a second owner of a subject, and an owner of one that others refer to.
func mayOwn(s *state.State, a, old *state.Association) error {
	others := s.Associations(func(x *state.Association) bool { return x.Subject == a.Subject && (old == nil || x.GUID != old.GUID) })
	switch {
	case slices.ContainsFunc(others, func(x *state.Association) bool { return x.Lifecycle == strong }):
		return gate.Errorf(40905, "A strong association already exists for subject '%s'", a.Subject)
	case len(others) > 0 && a.Lifecycle == strong:
		return gate.Errorf(40904, "An association already exists for subject '%s'", a.Subject)
	case a.Lifecycle != strong:
		return nil
	}
	for _, v := range s.Versions(a.Subject, state.All) {
		if len(s.ReferencedBy(a.Subject, v.Version, state.All)) > 0 {
			return errNotPermitted("Subject '%s' is referenced and cannot have a strong association", a.Subject)
		}
	}
	return nil
}

// Dissociate ends the associations of a resource, all or those of some types. With cascade the subjects that were the resource's own
// are deleted.
func (r *Registry) Dissociate(ctx context.Context, resourceID, resourceType string, types []string, cascade, dryRun bool) ([]*state.Association, error) {
	var out []*state.Association
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		out = s.Associations(func(a *state.Association) bool {
			return a.ResourceID == resourceID && (resourceType == "" || a.ResourceType == resourceType) && (len(types) == 0 || slices.Contains(types, a.AssociationType))
		})
		var records []state.Record
		for _, a := range out {
			if a.Frozen && !cascade {
				return nil, gate.Errorf(40908, "The association of type  '%s' is frozen for subject '%s'", a.AssociationType, a.Subject)
			}
			records = append(records, state.RemoveAssociation(a))
			if live := s.Versions(a.Subject, state.Live); cascade && a.Lifecycle == strong && len(live) > 0 {
				records = append(records, state.DeleteSubject(a.Subject, live[len(live)-1].Version))
			}
		}
		if dryRun {
			return nil, nil
		}
		return records, nil
	})
	return out, err
}

// newGUID is a random UUID.
func newGUID() string {
	var g state.GUID
	rand.Read(g[:]) //nolint:errcheck // crypto/rand.Read never fails
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g.String()
}
