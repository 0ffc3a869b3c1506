package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
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
// with a schema, a subject of the resource's own, owned STRONGly; without, a subject that is named, WEAKly.
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

// Associated is an association that a request made or found, and the version that has the schema it brought.
type Associated struct {
	*state.Association
	Registered *state.Version
}

// Associate makes associations, or with upsert changes those that there are. With dryRun it says what it would do.
func (r *Registry) Associate(ctx context.Context, q *AssociationRequest, upsert, dryRun bool) ([]Associated, error) {
	var out []Associated
	err := r.change(ctx, func(s *state.State) ([]state.Record, error) {
		out = nil
		var records []state.Record
		var pending []*state.Version
		for i := range q.Associations {
			a, some, err := r.associate(s, q, &q.Associations[i], upsert, pending)
			if err != nil {
				return nil, err
			}
			if a.Registered != nil {
				pending = append(pending, a.Registered)
			}
			out, records = append(out, a), append(records, some...)
		}
		if err := uniform(s, q.ResourceID, out); err != nil {
			return nil, err
		}
		if dryRun {
			return nil, nil
		}
		return records, nil
	})
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, a := range out {
		if a.Registered == nil {
			continue
		}
		if v := r.state.Get(a.Registered.Subject, a.Registered.Version, state.All); v != nil {
			out[i].Registered = v // with its time
		}
	}
	return out, nil
}

// uniform refuses that a resource owns some subjects and shares others.
func uniform(s *state.State, resourceID string, done []Associated) error {
	all := s.Associations(func(a *state.Association) bool { return a.ResourceID == resourceID })
	all = slices.DeleteFunc(all, func(a *state.Association) bool {
		return slices.ContainsFunc(done, func(d Associated) bool {
			return d.ResourceType == a.ResourceType && d.AssociationType == a.AssociationType
		})
	})
	for _, d := range done {
		all = append(all, d.Association)
	}
	for _, a := range all {
		if a.Lifecycle != all[0].Lifecycle {
			return errAssociation("lifecycle", "all associations of a resource have the same")
		}
	}
	return nil
}

// associate decides about one association.
func (r *Registry) associate(s *state.State, q *AssociationRequest, info *AssociationInfo, upsert bool, pending []*state.Version) (Associated, []state.Record, error) {
	var old *state.Association
	if list := s.Associations(func(a *state.Association) bool {
		return a.ResourceID == q.ResourceID && a.ResourceType == q.ResourceType && a.AssociationType == info.AssociationType
	}); len(list) > 0 {
		old = list[0]
	}
	var out Associated
	var err error
	if old == nil {
		out.Association, err = r.newAssociation(s, q, info, upsert)
	} else {
		out.Association, err = r.changedAssociation(s, q, info, old, upsert)
	}
	if err != nil {
		return out, nil, err
	}
	if err := mayOwn(s, q, out.Association, old); err != nil {
		return out, nil, err
	}
	var records []state.Record
	switch {
	case info.Schema != nil:
		if s.ModeFor(out.Subject).Imports() {
			return out, nil, errAssociation("schema", "cannot be provided while the subject is in IMPORT mode")
		}
		if err := validateRuleSet(info.Schema.RuleSet); err != nil {
			return out, nil, err
		}
		o := RegisterOptions{Normalize: info.Normalize != nil && *info.Normalize, pending: pending}
		if out.Registered, records, err = r.decideRegister(s, out.Subject, info.Schema.candidate(), o); err != nil {
			return out, nil, err
		}
	case !s.Has(out.Subject, state.Live):
		return out, nil, gate.Errorf(40907, "No active (non-deleted) version exists for subject '%s'", out.Subject)
	}
	if out.Association != old {
		records = append(records, state.PutAssociation(out.Association))
	}
	return out, records, nil
}

// newAssociation makes one, by the rules that a STRONG association is frozen and a WEAK one is not, that a STRONG one has the resource's
// own subject and comes with its first schema, and that it is made together with its resource: not by upsert.
func (r *Registry) newAssociation(s *state.State, q *AssociationRequest, info *AssociationInfo, upsert bool) (*state.Association, error) {
	a := &state.Association{
		Subject: info.Subject, GUID: newGUID(), ResourceName: q.ResourceName, ResourceNamespace: q.ResourceNamespace, ResourceID: q.ResourceID,
		ResourceType: q.ResourceType, AssociationType: info.AssociationType, Lifecycle: cmp.Or(info.Lifecycle, weak),
	}
	if info.Schema != nil {
		a.Lifecycle = cmp.Or(info.Lifecycle, strong)
	}
	a.Frozen = a.Lifecycle == strong
	own := q.subjectFor(info.AssociationType)
	if a.Subject == "" && a.Frozen {
		a.Subject = own
	}
	imports := s.ModeFor(a.Subject).Imports() // replication brings what was made elsewhere
	switch {
	case info.Schema != nil && upsert:
		return nil, errAssociation("schema", "cannot be provided for a resource that is there already")
	case info.Schema != nil && !a.Frozen:
		return nil, errAssociation("lifecycle", "cannot be WEAK when schema is provided")
	case info.Frozen != nil && *info.Frozen != a.Frozen:
		return nil, errFrozen(a.Lifecycle, *info.Frozen)
	case a.Subject == "":
		return nil, errAssociation("subject", "must be provided for WEAK associations")
	case a.Frozen && a.Subject != own:
		return nil, errAssociation("subject", "frozen associations must use subject '"+own+"'")
	case !a.Frozen && a.Subject == own:
		return nil, errAssociation("subject", "WEAK associations cannot use subject '"+own+"'")
	case !a.Frozen || imports:
		return a, nil
	case upsert:
		return nil, errAssociation("lifecycle", "cannot be STRONG for a resource that is there already")
	case info.Schema == nil:
		return nil, errAssociation("schema", "schema must be provided when creating a frozen association")
	}
	if latest := s.Get(a.Subject, -1, state.Live); latest != nil {
		there, err := r.registered(s, a.Subject, info)
		if err != nil {
			return nil, err
		}
		if latest.Version != 1 || !there {
			return nil, errAssociation("frozen", "cannot create a frozen association when schemas already exist in the subject")
		}
	}
	return a, nil
}

// changedAssociation is what becomes of one that is there: the same, if nothing else is asked for.
func (r *Registry) changedAssociation(s *state.State, q *AssociationRequest, info *AssociationInfo, old *state.Association, upsert bool) (*state.Association, error) {
	a := *old
	a.Lifecycle = cmp.Or(info.Lifecycle, old.Lifecycle)
	own, subject := q.subjectFor(info.AssociationType), cmp.Or(info.Subject, old.Subject)
	if info.Frozen != nil {
		a.Frozen = *info.Frozen
	}
	same := subject == old.Subject && a.Lifecycle == old.Lifecycle && a.Frozen == old.Frozen
	exists := gate.Errorf(40903, "An association of type '%s' already exists for resource '%s'", info.AssociationType, q.ResourceName)
	switch {
	case a.Lifecycle == weak && info.Schema != nil:
		return nil, errAssociation("lifecycle", "cannot be WEAK when schema is provided")
	case a.Lifecycle == weak && subject == own:
		return nil, errAssociation("subject", "WEAK associations cannot use subject '"+own+"'")
	case a.Frozen != (a.Lifecycle == strong):
		return nil, errFrozen(a.Lifecycle, a.Frozen)
	case old.Frozen && subject != own:
		return nil, errAssociation("subject", "frozen associations must use subject '"+own+"'")
	case same && !upsert && info.Schema != nil:
		there, err := r.registered(s, old.Subject, info)
		if err == nil && !there {
			err = exists
		}
		return old, err
	case same:
		return old, nil
	case !upsert:
		return nil, exists
	case subject != old.Subject:
		return nil, errAssociation("subject", "subject of association cannot be changed from '"+old.Subject+"' to '"+subject+"'")
	case a.Frozen != old.Frozen:
		return nil, errAssociation("frozen", "frozen attribute of association cannot be changed")
	case old.Frozen:
		return nil, gate.Errorf(40908, "The association of type  '%s' is frozen for subject '%s'", info.AssociationType, old.Subject)
	}
	return &a, nil
}

func errFrozen(lifecycle string, frozen bool) error {
	return errAssociation("frozen", fmt.Sprintf("association with lifecycle of %s cannot be frozen=%t", lifecycle, frozen))
}

// registered tells whether the schema that an association brings is one of a subject already.
func (r *Registry) registered(s *state.State, subject string, info *AssociationInfo) (bool, error) {
	c := info.Schema.candidate()
	if err := r.retag(s, subject, &c.Content, c.Tags); err != nil {
		return false, err
	}
	v, err := r.lookup(s, subject, &c.Content, info.Normalize != nil && *info.Normalize, state.Live)
	return v != nil, err
}

// mayOwn refuses a second owner of a subject, and an owner of one that others refer to, now or by the same request.
func mayOwn(s *state.State, q *AssociationRequest, a, old *state.Association) error {
	others := s.Associations(func(x *state.Association) bool { return x.Subject == a.Subject && (old == nil || x.GUID != old.GUID) })
	switch {
	case len(others) > 0 && a.Lifecycle == strong:
		return gate.Errorf(40904, "An association already exists for subject '%s'", a.Subject)
	case slices.ContainsFunc(others, func(x *state.Association) bool { return x.Lifecycle == strong }):
		return gate.Errorf(40905, "A strong association already exists for subject '%s'", a.Subject)
	case a.Lifecycle != strong:
		return nil
	}
	referred := slices.ContainsFunc(s.Versions(a.Subject, state.All), func(v *state.Version) bool {
		return len(s.ReferencedBy(a.Subject, v.Version, state.All)) > 0
	})
	for i := range q.Associations {
		if other := &q.Associations[i]; other.Schema != nil {
			from := cmp.Or(other.Subject, q.subjectFor(other.AssociationType))
			referred = referred || slices.ContainsFunc(other.Schema.References, func(ref schema.Reference) bool {
				return state.Qualify(from, ref.Subject) == a.Subject
			})
		}
	}
	if referred {
		return gate.Errorf(42206, "One or more references exist to the schema %s.", a.Subject)
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
