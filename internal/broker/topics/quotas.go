package topics

import (
	"context"
	"fmt"
	"maps"
	"net/url"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// Quotas of clients are kept like the configs of a resource: c/quota/<entity>. What an entity is, and which quotas it may
// have, is up to package quota; here both are texts.
const quotaKind = "quota"

// quotas are all quotas, by entity. They are made anew with every change, so that two views can be compared by pointer.
type quotas struct{ byEntity map[string]override }

// QuotaChange changes the quotas of one entity; a nil value takes one away.
type QuotaChange struct {
	Entity string
	Values map[string]*string
}

// SameQuotas says whether two views have the same quotas.
func (v *View) SameQuotas(o *View) bool { return v.quotas == o.quotas }

// Quotas calls f for every entity that has quotas. The map must not be changed.
func (v *View) Quotas(f func(entity string, values map[string]string)) {
	for e, o := range v.quotas.byEntity {
		f(e, o.texts)
	}
}

// SetQuotas changes the quotas of entities, each of which may stand in changes once, and returns one error for each: nil
// if it is durable and in the view, INVALID_REQUEST for a name that is too long, POLICY_VIOLATION if there are too many.
func (s *Store) SetQuotas(ctx context.Context, changes []QuotaChange) []error {
	errs := make([]error, len(changes))
	err := s.begin(ctx)
	if err == nil {
		defer s.endTurn()
	}
	for next := 0; next < len(changes); {
		end := min(next+txnTopics, len(changes))
		if err == nil {
			err = s.setQuotas(ctx, changes[next:end], errs[next:end])
		}
		if err != nil {
			for i := range errs[next:] {
				errs[next+i] = err
			}
			return errs
		}
		next = end
	}
	return errs
}

// setQuotas changes quotas in one transaction. It fills errs for what cannot be kept; its error is of all.
func (s *Store) setQuotas(ctx context.Context, changes []QuotaChange, errs []error) error {
	for range attempts {
		v := s.View()
		var t txnBuilder
		all := maps.Clone(v.quotas.byEntity)
		if all == nil {
			all = map[string]override{}
		}
		var written []string
		for i, c := range changes {
			key := configPrefix + quotaKind + "/" + url.PathEscape(c.Entity)
			old := all[c.Entity]
			texts := changed(old.texts, c.Values)
			switch {
			case len(key) > meta.MaxKeyBytes:
				errs[i] = kafka.Errorf(kafka.InvalidRequest, "The name of the entity is too long.")
			case len(all) >= maxResources && old.revision == 0:
				errs[i] = kafka.Errorf(kafka.PolicyViolation, "%d entities have quotas; no more are kept.", maxResources)
			case maps.Equal(texts, old.texts):
			case len(texts) == 0:
				t.delete(key, old.revision)
				delete(all, c.Entity)
			default:
				t.put(key, old.revision, encodeConfigs(texts))
				all[c.Entity] = override{texts: texts}
				written = append(written, c.Entity)
			}
		}
		if len(t.ops) == 0 {
			return nil
		}
		revision, ok, err := s.txn(ctx, t.compares, t.ops)
		if err != nil {
			return err
		}
		if ok {
			for _, e := range written {
				all[e] = override{all[e].texts, revision}
			}
			next := *v
			next.quotas, next.Revision = &quotas{all}, revision
			s.publish(&next)
			return nil
		}
	}
	return fmt.Errorf("quotas: %w", errContended)
}

// changed is old with values set, or taken away where they are nil; old stays as it is.
func changed(old map[string]string, values map[string]*string) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	for name, value := range values {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = *value
		}
	}
	return out
}
