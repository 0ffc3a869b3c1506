package dek

import (
	"context"
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
)

func (s *Service) listKEKs(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := s.o.Log.Sync(ctx); err != nil {
		return err
	}
	names, err := s.visible(ctx, s.o.Keys.KEKs(r.URL.Query()["subjectPrefix"], gate.QueryBool(r, "deleted")), func(ctx context.Context, name string) error {
		return s.o.Allow(gate.Filtering(ctx), acl.Describe, name, "")
	})
	if err == nil {
		names, err = page(r, names)
	}
	return answer(w, r, names, err)
}

func (s *Service) postKEK(w http.ResponseWriter, r *http.Request) error {
	var body createKEK
	if err := gate.ReadJSON(r, &body, false); err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	if err := s.o.Allow(r.Context(), acl.Write, body.Name, ""); err != nil {
		return err
	}
	if body.Shared && gate.QueryBool(r, "testSharing") {
		if err := s.testKEK(r.Context(), body.kek()); err != nil {
			return err
		}
	}
	k, err := s.makeKEK(r.Context(), body)
	return answer(w, r, k, err)
}

func (s *Service) getKEK(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Describe)
	if err != nil {
		return err
	}
	k, ok := s.o.Keys.KEK(t.kek, t.deleted)
	if !ok {
		return notFound(t.kek)
	}
	return answer(w, r, k, nil)
}

func (s *Service) putKEK(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Write)
	if err != nil {
		return err
	}
	var body updateKEK
	if err := gate.ReadJSON(r, &body, false); err != nil {
		return err
	}
	old, ok := s.o.Keys.KEK(t.kek, false)
	if !ok {
		return notFound(t.kek)
	}
	if err := checkProps(body.KMSProps.or(nil)); err != nil {
		return err
	}
	if len(body.Doc.or("")) > maxTextBytes {
		return invalid("doc")
	}
	if tried := body.applied(old); tried.Shared && gate.QueryBool(r, "testSharing") {
		if err := s.testKEK(r.Context(), tried); err != nil {
			return err
		}
	}
	k, err := s.changeKEK(r.Context(), t.kek, false, func(k KEK) (KEK, error) { return body.applied(k), nil })
	return answer(w, r, k, err)
}

func (s *Service) deleteKEK(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Delete)
	if err != nil {
		return err
	}
	return done(w, s.removeKEK(r.Context(), t.kek, gate.QueryBool(r, "permanent")))
}

func (s *Service) undeleteKEK(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Write)
	if err != nil {
		return err
	}
	_, err = s.changeKEK(r.Context(), t.kek, true, func(k KEK) (KEK, error) {
		k.Deleted = false
		return k, nil
	})
	return done(w, err)
}

func (s *Service) postTest(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Write)
	if err != nil {
		return err
	}
	k, ok := s.o.Keys.KEK(t.kek, false)
	if !ok {
		return notFound(t.kek)
	}
	return answer(w, r, k, s.testKEK(r.Context(), k))
}

func (s *Service) listSubjects(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Describe)
	if err != nil {
		return err
	}
	if _, ok := s.o.Keys.KEK(t.kek, t.deleted); !ok {
		return notFound(t.kek)
	}
	names := []string{}
	for _, d := range s.o.Keys.DEKs(t.kek, "", "", t.deleted) {
		names = append(names, d.Subject)
	}
	names, err = s.visible(r.Context(), slices.Compact(names), func(ctx context.Context, subject string) error {
		return s.o.Allow(gate.Filtering(ctx), acl.Describe, t.kek, subject)
	})
	if err == nil {
		names, err = page(r, names)
	}
	return answer(w, r, names, err)
}

func (s *Service) listVersions(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Describe)
	if err != nil {
		return err
	}
	if _, ok := s.o.Keys.KEK(t.kek, t.deleted); !ok {
		return notFound(t.kek)
	}
	versions := []int{}
	for _, d := range s.o.Keys.DEKs(t.kek, t.subject, t.algorithm, t.deleted) {
		versions = append(versions, d.Version)
	}
	versions, err = page(r, versions)
	return answer(w, r, versions, err)
}

func (s *Service) postDEK(w http.ResponseWriter, r *http.Request) error {
	var body createDEK
	if err := gate.ReadJSON(r, &body, false); err != nil {
		return err
	}
	kek := r.PathValue("name")
	if subject := r.PathValue("subject"); subject != "" {
		body.Subject = subject
	}
	if err := checkName(kek); err != nil {
		return err
	}
	var err error
	if body.Subject, err = inContext(r, body.Subject); err != nil {
		return err
	}
	if err := s.ask(r.Context(), acl.Write, kek, body.Subject); err != nil {
		return err
	}
	d, err := s.makeDEK(r.Context(), kek, body, gate.QueryBool(r, "rewrap"))
	return answer(w, r, d, err)
}

func (s *Service) getDEK(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Read)
	if err != nil {
		return err
	}
	version := t.version
	if version == 0 {
		version = 1
	}
	d, err := s.findDEK(r.Context(), t.kek, t.subject, t.algorithm, version, t.deleted)
	return answer(w, r, d, err)
}

func (s *Service) deleteDEKs(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Delete)
	if err != nil {
		return err
	}
	return done(w, s.removeDEKs(r.Context(), t.kek, t.subject, t.algorithm, t.version, gate.QueryBool(r, "permanent")))
}

func (s *Service) undeleteDEKs(w http.ResponseWriter, r *http.Request) error {
	t, err := s.read(r, acl.Write)
	if err != nil {
		return err
	}
	return done(w, s.restoreDEKs(r.Context(), t.kek, t.subject, t.algorithm, t.version))
}
