package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/platform/registry/dek"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// What a registry knows beside schemas: the keys of field encryption, and which subjects belong to which topic.

// keySet are key encryption keys and data keys, soft-deleted ones too.
type keySet struct {
	KEKs []dek.KEK
	DEKs []dek.DEK // without their material
}

// association is one of a subject with a resource.
type association struct {
	Subject           string `json:"subject"`
	ResourceName      string `json:"resourceName,omitempty"`
	ResourceNamespace string `json:"resourceNamespace,omitempty"`
	ResourceID        string `json:"resourceId,omitempty"`
	ResourceType      string `json:"resourceType,omitempty"`
	AssociationType   string `json:"associationType"`
	Lifecycle         string `json:"lifecycle,omitempty"`
	Frozen            bool   `json:"frozen"`
}

const kekRoot = "/dek-registry/v1/keks"

func kekPath(name string, more ...string) string {
	parts := []string{kekRoot, url.PathEscape(name)}
	for _, m := range more {
		parts = append(parts, url.PathEscape(m))
	}
	return strings.Join(parts, "/")
}

// list reads a list to its end, from registries with pages and from those without.
func list[T comparable](ctx context.Context, r registryAt, path string, query url.Values) ([]T, error) {
	var out []T
	seen := map[T]bool{}
	query = maps.Clone(query)
	for {
		var page []T
		query.Set("offset", strconv.Itoa(len(out)))
		if err := r.call(ctx, http.MethodGet, path, query, nil, &page); err != nil {
			return nil, err
		}
		before := len(out)
		for _, x := range page {
			if !seen[x] {
				seen[x] = true
				out = append(out, x)
			}
		}
		if len(out) == before {
			return out, nil
		}
	}
}

// keys reads all keys; none from a registry that knows nothing of them.
func (r registryAt) keys(ctx context.Context) (keySet, error) {
	var all keySet
	deleted := url.Values{"deleted": {"true"}}
	names, err := list[string](ctx, r, kekRoot, deleted)
	if e, ok := errors.AsType[*registryError](err); ok && e.status == http.StatusNotFound {
		return all, nil
	}
	if err != nil {
		return all, fmt.Errorf("list the key encryption keys: %w", err)
	}
	for _, name := range names {
		var k dek.KEK
		if err := r.call(ctx, http.MethodGet, kekPath(name), deleted, nil, &k); err != nil {
			return all, fmt.Errorf("key encryption key %s: %w", name, err)
		}
		k.Timestamp = 0
		all.KEKs = append(all.KEKs, k)
		subjects, err := list[string](ctx, r, kekPath(name, "deks"), deleted)
		if err != nil {
			return all, fmt.Errorf("data keys under %s: %w", name, err)
		}
		for _, subject := range subjects {
			some, err := r.dataKeys(ctx, name, subject)
			if err != nil {
				return all, fmt.Errorf("data keys of %s under %s: %w", subject, name, err)
			}
			all.DEKs = append(all.DEKs, some...)
		}
	}
	return all, nil
}

// dataKeys reads the versions of a subject's data keys of each algorithm.
func (r registryAt) dataKeys(ctx context.Context, kek, subject string) ([]dek.DEK, error) {
	var out []dek.DEK
	for _, a := range []fieldcrypt.Algorithm{fieldcrypt.AES128GCM, fieldcrypt.AES256GCM, fieldcrypt.AES256SIV} {
		query := url.Values{"deleted": {"true"}, "algorithm": {string(a)}}
		versions, err := list[int](ctx, r, kekPath(kek, "deks", subject, "versions"), query)
		if hasCode(err, 40470) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			var d dek.DEK
			if err := r.call(ctx, http.MethodGet, kekPath(kek, "deks", subject, "versions", strconv.Itoa(v)), query, nil, &d); err != nil {
				return nil, err
			}
			d.Material, d.Timestamp = "", 0
			out = append(out, d)
		}
	}
	return out, nil
}

// associations reads those of subjects; none from a registry that knows nothing of them.
func (r registryAt) associations(ctx context.Context, subjects []string) ([]association, error) {
	var out []association
	for _, subject := range subjects {
		var some []association // few, on one page
		err := r.call(ctx, http.MethodGet, "/associations/subjects/"+url.PathEscape(subject), nil, nil, &some)
		if e, ok := errors.AsType[*registryError](err); ok && e.status == http.StatusNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("what %s belongs to: %w", subject, err)
		}
		out = append(out, some...)
	}
	return out, nil
}

// keys are those of the registry's other topic.
func (o topicOrigin) keys(context.Context) (keySet, error) {
	var all keySet
	for _, name := range o.Keys.KEKs(nil, true) {
		k, _ := o.Keys.KEK(name, true)
		k.Timestamp = 0
		all.KEKs = append(all.KEKs, k)
		for _, d := range o.Keys.DEKs(name, "", "", true) {
			d.Timestamp = 0
			all.DEKs = append(all.DEKs, d)
		}
	}
	return all, nil
}

func (o topicOrigin) associations(_ context.Context, subjects []string) ([]association, error) {
	var out []association
	for _, a := range o.State.Associations(func(a *state.Association) bool { return slices.Contains(subjects, a.Subject) }) {
		out = append(out, association{a.Subject, a.ResourceName, a.ResourceNamespace, a.ResourceID, a.ResourceType, a.AssociationType, a.Lifecycle, a.Frozen})
	}
	return out, nil
}

// readMore reads what the old registry has beside schemas, of the subjects that are copied, and takes out what the new one has already. What it has otherwise is
// an error, before anything is changed.
func (m *migration) readMore(ctx context.Context, whole bool) error {
	var subjects []string
	for _, v := range m.versions {
		subjects = append(subjects, v.Subject)
	}
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	var err error
	if m.associations, err = m.old.associations(ctx, subjects); err != nil {
		return err
	}
	there, err := m.target.associations(ctx, subjectsOf(m.associations))
	if err != nil {
		return err
	}
	m.associations = slices.DeleteFunc(m.associations, func(a association) bool { return slices.Contains(there, a) })
	if m.keys, err = m.old.keys(ctx); err != nil {
		return fmt.Errorf("read the keys of the old registry: %w", err)
	}
	if !whole {
		m.keys.DEKs = slices.DeleteFunc(m.keys.DEKs, func(d dek.DEK) bool { return !slices.Contains(subjects, d.Subject) })
		m.keys.KEKs = slices.DeleteFunc(m.keys.KEKs, func(k dek.KEK) bool {
			return !slices.ContainsFunc(m.keys.DEKs, func(d dek.DEK) bool { return d.KEK == k.Name })
		})
	}
	if len(m.keys.KEKs) == 0 {
		return nil
	}
	have, err := m.target.keys(ctx)
	if err != nil {
		return fmt.Errorf("read the keys of the new registry: %w", err)
	}
	return m.keys.without(have)
}

// without takes out what is there.
func (k *keySet) without(have keySet) error {
	var err error
	other := func(what, name string) {
		err = errors.Join(err, withFix(fmt.Errorf("the new registry has another %s %s", what, name), "delete it there for good, if nothing is encrypted by it"))
	}
	k.KEKs = slices.DeleteFunc(k.KEKs, func(a dek.KEK) bool {
		i := slices.IndexFunc(have.KEKs, func(b dek.KEK) bool { return a.Name == b.Name })
		if i < 0 {
			return false
		}
		b := have.KEKs[i]
		if a.KMSType != b.KMSType || a.KMSKeyID != b.KMSKeyID || a.Shared != b.Shared || a.Deleted != b.Deleted || !maps.Equal(a.KMSProps, b.KMSProps) {
			other("key encryption key", a.Name)
		}
		return true
	})
	k.DEKs = slices.DeleteFunc(k.DEKs, func(a dek.DEK) bool {
		i := slices.IndexFunc(have.DEKs, func(b dek.DEK) bool {
			return a.KEK == b.KEK && a.Subject == b.Subject && a.Algorithm == b.Algorithm && a.Version == b.Version
		})
		if i >= 0 && have.DEKs[i] != a {
			other("data key", fmt.Sprintf("%s of %s under %s, version %d", a.Algorithm, a.Subject, a.KEK, a.Version))
		}
		return i >= 0
	})
	return err
}

// carry copies what readMore has found. It opens subjects for import that are to be owned by a resource.
func (m *migration) carry(ctx context.Context, open func(subject string) error) error {
	for _, a := range m.associations {
		if err := open(a.Subject); err != nil {
			return err
		}
		body := map[string]any{
			"resourceName": a.ResourceName, "resourceNamespace": a.ResourceNamespace, "resourceId": a.ResourceID, "resourceType": a.ResourceType,
			"associations": []any{map[string]any{"subject": a.Subject, "associationType": a.AssociationType, "lifecycle": a.Lifecycle, "frozen": a.Frozen}},
		}
		if err := m.target.call(ctx, http.MethodPost, "/associations", nil, body, nil); err != nil {
			return fmt.Errorf("copy the association of %s with %s: %w", a.Subject, a.ResourceName, err)
		}
	}
	for _, k := range m.keys.KEKs {
		if err := m.target.call(ctx, http.MethodPost, kekRoot, nil, k, nil); err != nil {
			return fmt.Errorf("copy key encryption key %s: %w", k.Name, err)
		}
	}
	for _, d := range m.keys.DEKs {
		if err := m.target.call(ctx, http.MethodPost, kekPath(d.KEK, "deks"), nil, d, nil); err != nil {
			return withFix(fmt.Errorf("copy version %d of the data key of %s under %s: %w", d.Version, d.Subject, d.KEK, err),
				"for shared keys the new registry needs the KMS of the old one: registry.kms.* (docs/serde.md)")
		}
	}
	return nil
}

// verifyMore reads back what carry has copied.
func (m *migration) verifyMore(ctx context.Context) error {
	there, err := m.target.associations(ctx, subjectsOf(m.associations))
	if err != nil {
		return err
	}
	for _, a := range m.associations {
		if !slices.Contains(there, a) {
			return fmt.Errorf("after the copy the association of %s with %s is not there", a.Subject, a.ResourceName)
		}
	}
	if len(m.keys.KEKs)+len(m.keys.DEKs) == 0 {
		return nil
	}
	have, err := m.target.keys(ctx)
	if err != nil {
		return fmt.Errorf("read the keys back: %w", err)
	}
	left := keySet{slices.Clone(m.keys.KEKs), slices.Clone(m.keys.DEKs)}
	if err := left.without(have); err != nil {
		return err
	}
	if n := len(left.KEKs) + len(left.DEKs); n > 0 {
		return fmt.Errorf("after the copy %d keys are not there", n)
	}
	return nil
}

// subjectsOf names the subjects of associations, each once.
func subjectsOf(list []association) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.Subject)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
