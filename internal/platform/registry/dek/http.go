package dek

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// types are what answers come as; the first is preferred.
var types = []string{"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}

const (
	root = "/dek-registry/v1/keks"
	tag  = "Key encryption"
)

// Parameters of queries.
var (
	pDeleted   = gate.Param{Name: "deleted", Type: "boolean", Doc: "Look at deleted keys too."}
	pPermanent = gate.Param{Name: "permanent", Type: "boolean", Doc: "Delete for good what was deleted before."}
	pOffset    = gate.Param{Name: "offset", Type: "integer", Default: 0, Doc: "How many to leave out at the start."}
	pLimit     = gate.Param{Name: "limit", Type: "integer", Default: -1, Doc: "How many at most; all if it is not positive."}
	pPrefix    = gate.Param{Name: "subjectPrefix", Type: "array", Doc: "Only of keys with a DEK for such a subject."}
	pSharing   = gate.Param{Name: "testSharing", Type: "boolean", Doc: "Try the KMS first, if the key is shared."}
	pRewrap    = gate.Param{Name: "rewrap", Type: "boolean", Doc: "Wrap the key anew if it is there already."}
	pAlgorithm = gate.Param{Name: "algorithm", Enum: []string{string(fieldcrypt.AES128GCM), string(fieldcrypt.AES256GCM), string(fieldcrypt.AES256SIV)}, Doc: "AES256_GCM if it is left out."}
)

// Routes are the table of the API.
func (s *Service) Routes() []gate.Route {
	one, deks := root+"/{name}", root+"/{name}/deks"
	subject := deks + "/{subject}"
	versions, version := subject+"/versions", subject+"/versions/{version}"
	wrong := []int{codeNotFound, codeInvalid}
	routes := []gate.Route{
		{Method: "GET", Path: root, Name: "getKekNames", Summary: "Names of key encryption keys", Query: []gate.Param{pPrefix, pDeleted, pOffset, pLimit}, Answer: []string{}, Handle: s.listKEKs},
		{Method: "POST", Path: root, Name: "registerKek", Summary: "Make a key encryption key", Query: []gate.Param{pSharing}, Body: createKEK{}, Answer: KEK{}, Errors: []int{codeExists, codeTooMany, codeInvalid}, Handle: s.postKEK},
		{Method: "GET", Path: one, Name: "getKek", Summary: "A key encryption key", Query: []gate.Param{pDeleted}, Answer: KEK{}, Errors: wrong, Handle: s.getKEK},
		{Method: "PUT", Path: one, Name: "updateKek", Summary: "Change a key encryption key", Query: []gate.Param{pSharing}, Body: updateKEKDoc{}, Answer: KEK{}, Errors: wrong, Handle: s.putKEK},
		{Method: "DELETE", Path: one, Name: "deregisterKek", Summary: "Delete a key encryption key", Query: []gate.Param{pPermanent}, Errors: []int{codeNotFound, codeNotDeleted, codeInvalid, codeReferenced}, Handle: s.deleteKEK},
		{Method: "POST", Path: one + "/test", Name: "testKek", Summary: "Try the KMS of a shared key", Answer: KEK{}, Errors: []int{codeNotFound, codeInvalid, codeForbidden, codeGeneration}, Handle: s.postTest},
		{Method: "POST", Path: one + "/undelete", Name: "undeleteKek", Summary: "Take back the deletion of a key encryption key", Errors: wrong, Handle: s.undeleteKEK},
		{Method: "GET", Path: deks, Name: "getDekSubjects", Summary: "Subjects with a data encryption key", Query: []gate.Param{pDeleted, pOffset, pLimit}, Answer: []string{}, Errors: wrong, Handle: s.listSubjects},
		{Method: "POST", Path: deks, Name: "registerDek", Summary: "Make a data encryption key", Body: createDEK{}, Answer: DEK{}, Errors: []int{codeNotFound, codeExists, codeTooMany, codeInvalid, codeForbidden, codeGeneration}, Handle: s.postDEK},
		{Method: "POST", Path: subject, Name: "registerDekWithSubject", Summary: "Make a data encryption key of a subject", Query: []gate.Param{pRewrap}, Body: createDEK{}, Answer: DEK{}, Errors: []int{codeNotFound, codeExists, codeTooMany, codeInvalid, codeForbidden, codeGeneration}, Handle: s.postDEK},
		{Method: "GET", Path: subject, Name: "getDek", Summary: "The first version of a data encryption key", Query: []gate.Param{pAlgorithm, pDeleted}, Answer: DEK{}, Errors: wrong, Handle: s.getDEK},
		{Method: "DELETE", Path: subject, Name: "deregisterDekVersions", Summary: "Delete all versions of a data encryption key", Query: []gate.Param{pAlgorithm, pPermanent}, Errors: []int{codeNotFound, codeNotDeleted, codeInvalid}, Handle: s.deleteDEKs},
		{Method: "POST", Path: subject + "/undelete", Name: "undeleteDekVersions", Summary: "Take back the deletion of a data encryption key", Query: []gate.Param{pAlgorithm}, Errors: []int{codeNotFound, codeDeleted, codeInvalid}, Handle: s.undeleteDEKs},
		{Method: "GET", Path: versions, Name: "getAllDekVersions", Summary: "Versions of a data encryption key", Query: []gate.Param{pAlgorithm, pDeleted, pOffset, pLimit}, Answer: []int{}, Errors: wrong, Handle: s.listVersions},
		{Method: "GET", Path: version, Name: "getDekByVersion", Summary: "A version of a data encryption key", Query: []gate.Param{pAlgorithm, pDeleted}, Answer: DEK{}, Errors: []int{codeNotFound, codeInvalidVersion, codeInvalid}, Handle: s.getDEK},
		{Method: "DELETE", Path: version, Name: "deregisterDekVersion", Summary: "Delete a version of a data encryption key", Query: []gate.Param{pAlgorithm, pPermanent}, Errors: []int{codeNotFound, codeNotDeleted, codeInvalidVersion, codeInvalid}, Handle: s.deleteDEKs},
		{Method: "POST", Path: version + "/undelete", Name: "undeleteDekVersion", Summary: "Take back the deletion of a version", Query: []gate.Param{pAlgorithm}, Errors: []int{codeNotFound, codeDeleted, codeInvalidVersion, codeInvalid}, Handle: s.undeleteDEKs},
	}
	for i := range routes {
		routes[i].Tag, routes[i].Accepts, routes[i].Answers, routes[i].MaxBodyBytes = tag, types, types, maxBody
	}
	return routes
}

const maxBody = 256 << 10

// updateKEKDoc is updateKEK as the document of the API shows it.
type updateKEKDoc struct {
	KMSProps map[string]string `json:"kmsProps,omitempty"`
	Doc      string            `json:"doc,omitempty"`
	Shared   bool              `json:"shared,omitempty"`
}

// target is what a request is about.
type target struct {
	kek, subject string
	algorithm    fieldcrypt.Algorithm // empty if it was not given
	version      int                  // fieldcrypt.Latest, or 0 without one in the path
	deleted      bool
}

// read checks the path and the query, asks whether the caller may do op, and sees to it that Keys is up to date.
func (s *Service) read(r *http.Request, op acl.Operation) (target, error) {
	t := target{kek: r.PathValue("name"), subject: r.PathValue("subject"), deleted: gate.QueryBool(r, "deleted")}
	if err := checkName(t.kek); err != nil {
		return t, err
	}
	if t.subject != "" {
		var err error
		if t.subject, err = inContext(r, t.subject); err != nil {
			return t, err
		}
	}
	if text := r.PathValue("version"); text != "" {
		n, err := strconv.Atoi(text)
		switch {
		case text == "latest", n == -1:
			n = fieldcrypt.Latest
		case err != nil || n < 1:
			return t, gate.Errorf(codeInvalidVersion, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)
		}
		t.version = n
	}
	if text := r.URL.Query().Get("algorithm"); text != "" {
		if t.algorithm = fieldcrypt.Algorithm(text); !t.algorithm.Valid() {
			return t, gate.Errorf(http.StatusNotFound, "HTTP 404 Not Found")
		}
	} else if t.subject != "" {
		t.algorithm = fieldcrypt.AES256GCM
	}
	return t, s.ask(r.Context(), op, t.kek, t.subject)
}

// inContext qualifies a subject by the context in the path, if there is one, and checks it.
func inContext(r *http.Request, subject string) (string, error) {
	if err := checkSubject(subject); err != nil {
		return "", err
	}
	context := strings.Trim(r.PathValue("context"), ":")
	if strings.Contains(context, ":") {
		return "", invalid("subject")
	}
	if !strings.HasPrefix(context, ".") {
		context = "." + context
	}
	if name, ok := strings.CutPrefix(subject, ":.:"); ok {
		return name, nil // the default context, spelled out
	}
	if context == "." || strings.HasPrefix(subject, ":.") {
		return subject, nil
	}
	return ":" + context + ":" + subject, nil
}

func (s *Service) ask(ctx context.Context, op acl.Operation, kek, subject string) error {
	if err := s.o.Allow(ctx, op, kek, subject); err != nil {
		return err
	}
	return s.o.Log.Sync(ctx)
}

// page cuts the part out of a list that offset and limit ask for.
func page[T any](r *http.Request, all []T) ([]T, error) {
	offset, err := gate.QueryInt(r, "offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := gate.QueryInt(r, "limit", -1)
	if err != nil {
		return nil, err
	}
	all = all[min(max(offset, 0), len(all)):]
	if limit > 0 && limit < len(all) {
		all = all[:limit]
	}
	return all, nil
}

func answer(w http.ResponseWriter, r *http.Request, v any, err error) error {
	if err != nil {
		return err
	}
	return gate.WriteJSON(w, r, types, http.StatusOK, v)
}

func done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// optional is a field of JSON that may be left out, or null.
type optional[T any] struct {
	given bool
	value *T
}

// UnmarshalJSON implements json.Unmarshaler; it is not called for a field that is left out.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.value)
}

func (o *optional[T]) or(old T) T {
	if !o.given {
		return old
	}
	if o.value == nil {
		var zero T
		return zero
	}
	return *o.value
}

// visible leaves out what the caller may not see.
func (s *Service) visible(ctx context.Context, names []string, ask func(ctx context.Context, name string) error) ([]string, error) {
	out := []string{}
	for _, name := range names {
		if err := ask(ctx, name); err == nil {
			out = append(out, name)
		} else if !errors.Is(err, gate.ErrForbidden) {
			return nil, err
		}
	}
	return out, nil
}
