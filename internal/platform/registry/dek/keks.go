package dek

import (
	"context"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// createKEK is the body of the request that makes a KEK.
type createKEK struct {
	Name     string            `json:"name"`
	KMSType  string            `json:"kmsType"`
	KMSKeyID string            `json:"kmsKeyId"`
	KMSProps map[string]string `json:"kmsProps,omitempty"`
	Doc      string            `json:"doc,omitempty"`
	Shared   bool              `json:"shared,omitempty"`
	Deleted  bool              `json:"deleted,omitempty"`
}

// Bounds of what a KEK may hold.
const (
	maxNameRunes  = 256
	maxTextBytes  = 16 << 10 // of doc, key id, and of all properties together
	maxMaterial   = 64 << 10 // of a wrapped key, in base64
	maxSubject    = 4 << 10
	testedSubject = "__TEST"
)

func checkName(name string) error {
	if name == "" || utf8.RuneCountInString(name) > maxNameRunes {
		return invalid("name")
	}
	for i, r := range name {
		if !unicode.IsLetter(r) && r != '_' && (i == 0 || !unicode.IsDigit(r) && r != '-') {
			return invalid("name")
		}
	}
	return nil
}

func checkProps(props map[string]string) error {
	n := 0
	for k, v := range props {
		n += len(k) + len(v)
	}
	if n > maxTextBytes {
		return invalid("kmsProps")
	}
	return nil
}

// check refuses what cannot be the name of a key in a KMS of this type. Types that nobody here knows pass: clients may.
func (r *createKEK) check() error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	if r.KMSKeyID == "" || len(r.KMSKeyID) > maxTextBytes {
		return invalid("kmsKeyId")
	}
	if r.KMSType == "" || len(r.KMSType) > maxNameRunes {
		return invalid("kmsType")
	}
	if len(r.Doc) > maxTextBytes {
		return invalid("doc")
	}
	id, ok := r.KMSKeyID, true
	switch r.KMSType {
	case fieldcrypt.TypeAWS:
		ok = strings.HasPrefix(id, "arn:aws:kms:")
	case "azure-kms":
		ok = strings.HasPrefix(id, "https://")
	case "gcp-kms":
		ok = strings.HasPrefix(id, "projects/")
	case fieldcrypt.TypeVault:
		ok = strings.HasPrefix(id, "https://") || strings.HasPrefix(id, "http://")
	}
	if !ok {
		return invalid("kmsKeyId")
	}
	return checkProps(r.KMSProps)
}

func (r *createKEK) kek() KEK {
	k := KEK{Name: r.Name, KMSType: r.KMSType, KMSKeyID: r.KMSKeyID, KMSProps: r.KMSProps, Doc: r.Doc, Shared: r.Shared, Deleted: r.Deleted}
	for _, known := range []string{"aws", "azure", "gcp"} {
		if strings.HasPrefix(strings.ToLower(k.KMSType), known) {
			k.KMSType = known + "-kms"
		}
	}
	return k
}

// same compares all but whether they are deleted, and when they were written.
func (k KEK) same(o KEK) bool {
	return k.Name == o.Name && k.KMSType == o.KMSType && k.KMSKeyID == o.KMSKeyID && maps.Equal(k.KMSProps, o.KMSProps) && k.Doc == o.Doc && k.Shared == o.Shared
}

// updateKEK is the body of the request that changes one. What is left out stays; null takes it away.
type updateKEK struct {
	KMSProps optional[map[string]string] `json:"kmsProps"`
	Doc      optional[string]            `json:"doc"`
	Shared   optional[bool]              `json:"shared"`
}

func (u *updateKEK) applied(k KEK) KEK {
	k.KMSProps, k.Doc, k.Shared = u.KMSProps.or(k.KMSProps), u.Doc.or(k.Doc), u.Shared.or(k.Shared)
	return k
}

// makeKEK creates a KEK. One that is deleted comes back if nothing about it is different.
func (s *Service) makeKEK(ctx context.Context, r createKEK) (KEK, error) {
	k := r.kek()
	err := s.o.Log.Change(ctx, func() ([]Record, error) {
		old, was := s.o.Keys.KEK(k.Name, true)
		if was && (old.Deleted == k.Deleted || !old.same(k)) {
			return nil, exists(k.Name)
		}
		if n, _ := s.o.Keys.Counts(); !was && n >= s.o.MaxKeys {
			return nil, tooMany(s.o.MaxKeys)
		}
		return records(k.record())
	})
	return s.writtenKEK(k.Name, err)
}

// changeKEK writes what change makes of a KEK, if that is anything else than it was. It must be there, and not be deleted unless asked for.
func (s *Service) changeKEK(ctx context.Context, name string, deleted bool, change func(KEK) (KEK, error)) (KEK, error) {
	err := s.o.Log.Change(ctx, func() ([]Record, error) {
		old, ok := s.o.Keys.KEK(name, deleted)
		if !ok {
			return nil, notFound(name)
		}
		k, err := change(old)
		if err != nil || k.same(old) && k.Deleted == old.Deleted {
			return nil, err
		}
		return records(k.record())
	})
	return s.writtenKEK(name, err)
}

func (s *Service) writtenKEK(name string, err error) (KEK, error) {
	if err != nil {
		return KEK{}, err
	}
	k, ok := s.o.Keys.KEK(name, true)
	if !ok {
		return KEK{}, notFound(name) // deleted since
	}
	return k, nil
}

// removeKEK deletes one softly, or for good. Neither is done to a KEK that has DEKs.
func (s *Service) removeKEK(ctx context.Context, name string, permanent bool) error {
	return s.o.Log.Change(ctx, func() ([]Record, error) {
		k, ok := s.o.Keys.KEK(name, true)
		switch {
		case !ok:
			return nil, notFound(name)
		case len(s.o.Keys.DEKs(name, "", "", permanent)) > 0:
			return nil, referenced(name)
		case permanent && !k.Deleted:
			return nil, notDeleted(name)
		case permanent:
			return records(encode(kekKey{tenant, name, "KEK"}, nil))
		case k.Deleted:
			return nil, nil
		}
		k.Deleted = true
		return records(k.record())
	})
}

func records(r Record, err error) ([]Record, error) {
	if err != nil {
		return nil, err
	}
	return []Record{r}, nil
}

// testKEK makes a key and wraps and unwraps it.
func (s *Service) testKEK(ctx context.Context, k KEK) error {
	if !k.Shared {
		return invalid("shared")
	}
	material, err := fieldcrypt.AES256GCM.NewMaterial()
	if err != nil {
		return err
	}
	wrapped, err := s.o.KMS.Wrap(ctx, k.crypt(), material)
	if err != nil {
		return generation("encrypted", testedSubject, err)
	}
	if _, err := s.o.KMS.Unwrap(ctx, k.crypt(), wrapped); err != nil {
		return generation("raw", testedSubject, err)
	}
	return nil
}
