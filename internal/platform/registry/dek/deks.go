package dek

import (
	"context"
	"encoding/base64"
	"unicode"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// createDEK is the body of the request that makes a DEK.
type createDEK struct {
	Subject   string               `json:"subject"`
	Version   *int                 `json:"version,omitempty"`
	Algorithm fieldcrypt.Algorithm `json:"algorithm,omitempty"`
	Wrapped   string               `json:"encryptedKeyMaterial,omitempty"`
	Deleted   bool                 `json:"deleted,omitempty"`
}

func checkSubject(subject string) error {
	if subject == "" || len(subject) > maxSubject {
		return invalid("subject")
	}
	for _, r := range subject {
		if unicode.IsControl(r) {
			return invalid("subject")
		}
	}
	return nil
}

func (r *createDEK) dek(kek string) (DEK, error) {
	d := DEK{KEK: kek, Subject: r.Subject, Algorithm: r.Algorithm, Version: 1, Wrapped: r.Wrapped, Deleted: r.Deleted}
	if d.Algorithm == "" {
		d.Algorithm = fieldcrypt.AES256GCM
	}
	if r.Version != nil {
		d.Version = *r.Version
	}
	if !d.Algorithm.Valid() {
		return d, invalid("algorithm")
	}
	if d.Version < 1 {
		return d, invalid("version")
	}
	if _, ok := decode64(d.Wrapped); !ok || len(d.Wrapped) > maxMaterial {
		return d, invalid("encryptedKeyMaterial")
	}
	return d, nil
}

// makeDEK creates a DEK. If its KEK is shared and no material is given, the key is made here, or wrapped anew if rewrap asks for that; the
// answer then has the material unwrapped. A deleted DEK comes back if nothing about it is different.
func (s *Service) makeDEK(ctx context.Context, kek string, r createDEK, rewrap bool) (DEK, error) {
	d, err := r.dek(kek)
	if err != nil {
		return d, err
	}
	k, ok := s.o.Keys.KEK(kek, r.Deleted)
	if !ok {
		return d, notFound(kek)
	}
	old, was := s.o.Keys.DEK(kek, d.Subject, d.Algorithm, d.Version, true)
	if err := mayReplace(k, old, was, d, rewrap); err != nil {
		return d, err
	}
	// The KMS is asked before the log is held, for it may take seconds.
	material := ""
	if k.Shared {
		if d, material, err = s.wrapShared(ctx, k, old, was, d); err != nil {
			return d, err
		}
	}
	err = s.o.Log.Change(ctx, func() ([]Record, error) {
		kNow, ok := s.o.Keys.KEK(kek, r.Deleted)
		now, is := s.o.Keys.DEK(kek, d.Subject, d.Algorithm, d.Version, true)
		switch {
		case !ok:
			return nil, notFound(kek)
		case is != was || now != old || !kNow.same(k):
			return nil, exists(d.Subject) // somebody was faster: who asks again finds the other's key
		}
		if _, n := s.o.Keys.Counts(); !was && n >= s.o.MaxKeys {
			return nil, tooMany(s.o.MaxKeys)
		}
		return records(d.record())
	})
	if err != nil {
		return d, err
	}
	if written, ok := s.o.Keys.DEK(kek, d.Subject, d.Algorithm, d.Version, true); ok {
		d.Timestamp = written.Timestamp
	}
	if !s.o.Importing(d.Subject) {
		d.Material = material
	}
	return d, nil
}

// mayReplace says whether d may take the place of what there is.
func mayReplace(k KEK, old DEK, was bool, d DEK, rewrap bool) error {
	switch {
	case !rewrap && was && (d.Deleted == old.Deleted || d.Wrapped != old.Wrapped):
		return exists(d.Subject)
	case d.Wrapped != "" && k.Shared && was:
		return exists(d.Subject)
	case d.Wrapped == "" && !k.Shared:
		return invalid("encryptedKeyMaterial")
	}
	return nil
}

// wrapShared wraps the material of old anew, or of a new key if there is none, and proves that it can be unwrapped.
func (s *Service) wrapShared(ctx context.Context, k KEK, old DEK, was bool, d DEK) (DEK, string, error) {
	if d.Wrapped == "" {
		var material []byte
		var err error
		if was {
			if material, err = s.unwrap(ctx, k, old); err != nil {
				return d, "", err
			}
		} else if material, err = d.Algorithm.NewMaterial(); err != nil {
			return d, "", err
		}
		wrapped, err := s.o.KMS.Wrap(ctx, k.crypt(), material)
		if err != nil {
			return d, "", generation("encrypted", d.Subject, err)
		}
		d.Wrapped = base64.StdEncoding.EncodeToString(wrapped)
	}
	if s.o.Importing(d.Subject) {
		return d, "", nil
	}
	material, err := s.unwrap(ctx, k, d)
	return d, base64.StdEncoding.EncodeToString(material), err
}

func (s *Service) unwrap(ctx context.Context, k KEK, d DEK) ([]byte, error) {
	wrapped, ok := decode64(d.Wrapped)
	if !ok {
		return nil, invalid("encryptedKeyMaterial")
	}
	material, err := s.o.KMS.Unwrap(ctx, k.crypt(), wrapped)
	if err != nil {
		return nil, generation("raw", d.Subject, err)
	}
	return material, nil
}

// findDEK looks one up; of a shared KEK the material is unwrapped.
func (s *Service) findDEK(ctx context.Context, kek, subject string, a fieldcrypt.Algorithm, version int, deleted bool) (DEK, error) {
	k, ok := s.o.Keys.KEK(kek, deleted)
	if !ok {
		return DEK{}, notFound(kek)
	}
	d, ok := s.o.Keys.DEK(kek, subject, a, version, deleted)
	if !ok {
		return DEK{}, notFound(subject)
	}
	if k.Shared {
		material, err := s.unwrap(ctx, k, d)
		if err != nil {
			return DEK{}, err
		}
		d.Material = base64.StdEncoding.EncodeToString(material)
	}
	return d, nil
}

// removeDEKs deletes all versions, or one, softly or for good. A version of 0 stands for all.
func (s *Service) removeDEKs(ctx context.Context, kek, subject string, a fieldcrypt.Algorithm, version int, permanent bool) error {
	return s.o.Log.Change(ctx, func() ([]Record, error) {
		all, err := s.chosen(kek, subject, a, version)
		if err != nil {
			return nil, err
		}
		var out []Record
		for _, d := range all {
			var r Record
			switch {
			case permanent && !d.Deleted:
				return nil, notDeleted(subject)
			case permanent:
				r, err = encode(d.key(), nil)
			case d.Deleted:
				continue
			default:
				d.Deleted = true
				r, err = d.record()
			}
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		return out, nil
	})
}

// restoreDEKs takes back a soft deletion. The KEK must not be deleted.
func (s *Service) restoreDEKs(ctx context.Context, kek, subject string, a fieldcrypt.Algorithm, version int) error {
	return s.o.Log.Change(ctx, func() ([]Record, error) {
		all, err := s.chosen(kek, subject, a, version)
		if err != nil {
			return nil, err
		}
		if k, _ := s.o.Keys.KEK(kek, true); k.Deleted {
			return nil, stillDeleted(kek)
		}
		var out []Record
		for _, d := range all {
			if !d.Deleted {
				continue
			}
			d.Deleted = false
			r, err := d.record()
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		return out, nil
	})
}

// chosen are the versions that a request is about, deleted ones too; there is at least one.
func (s *Service) chosen(kek, subject string, a fieldcrypt.Algorithm, version int) ([]DEK, error) {
	if _, ok := s.o.Keys.KEK(kek, true); !ok {
		return nil, notFound(kek)
	}
	if version == 0 {
		if all := s.o.Keys.DEKs(kek, subject, a, true); len(all) > 0 {
			return all, nil
		}
	} else if d, ok := s.o.Keys.DEK(kek, subject, a, version, true); ok {
		return []DEK{d}, nil
	}
	return nil, notFound(subject)
}
