package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Entry is what a registry says of a schema. Source holds the texts of all references.
type Entry struct {
	ID, Version int
	Type        schema.Type
	Source      schema.Source
}

// Registry is asked for schemas, as the caller whom the context knows. Errors are of type Error.
type Registry interface {
	ByID(ctx context.Context, id int) (Entry, error)
	// ByGUID finds a schema by its content; the ID of the entry may be 0.
	ByGUID(ctx context.Context, guid string) (Entry, error)
	// Version is a number, or Latest.
	Version(ctx context.Context, subject string, version int) (Entry, error)
	// Register looks a schema up, and registers it if it is new.
	Register(ctx context.Context, subject string, t schema.Type, text string) (Entry, error)
	// Caller names whose rights decide over the answers; it is the same for all whom the registry cannot tell apart.
	Caller(ctx context.Context) string
}

// HTTP is a registry that answers to Confluent's API.
type HTTP struct {
	// URL is the base of its API.
	URL string
	// Client defaults to one without time-outs but the context's. It should not follow redirects.
	Client *http.Client
	// Authorize adds the credentials of the context's caller to a request; nil adds none.
	Authorize func(ctx context.Context, r *http.Request)
	// Who names the context's caller, if Authorize adds his credentials and not somebody's for all; nil: it does not.
	Who func(ctx context.Context) string
}

// Caller implements Registry.
func (h *HTTP) Caller(ctx context.Context) string {
	if h.Who == nil {
		return ""
	}
	return h.Who(ctx)
}

// Bounds of what a registry may answer.
const (
	maxAnswerBytes = schema.MaxTextBytes + 1<<20
	maxReferences  = 1000
	registryType   = "application/vnd.schemaregistry.v1+json"
)

// wire is a schema in answers and requests of the API.
type wire struct {
	ID         int                `json:"id,omitempty"`
	Version    int                `json:"version,omitempty"`
	Schema     string             `json:"schema"`
	SchemaType schema.Type        `json:"schemaType,omitempty"`
	References []schema.Reference `json:"references,omitempty"`
}

// ByID implements Registry.
func (h *HTTP) ByID(ctx context.Context, id int) (Entry, error) {
	var w wire
	if err := h.ask(ctx, http.MethodGet, "/schemas/ids/"+strconv.Itoa(id), nil, &w); err != nil {
		return Entry{}, err
	}
	w.ID = id
	return h.entry(ctx, w)
}

// ByGUID implements Registry.
func (h *HTTP) ByGUID(ctx context.Context, guid string) (Entry, error) {
	var w wire
	if err := h.ask(ctx, http.MethodGet, "/schemas/guids/"+url.PathEscape(guid), nil, &w); err != nil {
		return Entry{}, err
	}
	return h.entry(ctx, w)
}

// Version implements Registry.
func (h *HTTP) Version(ctx context.Context, subject string, version int) (Entry, error) {
	name := "latest"
	if version != Latest {
		name = strconv.Itoa(version)
	}
	var w wire
	if err := h.ask(ctx, http.MethodGet, "/subjects/"+url.PathEscape(subject)+"/versions/"+name, nil, &w); err != nil {
		return Entry{}, err
	}
	return h.entry(ctx, w)
}

// Register implements Registry.
func (h *HTTP) Register(ctx context.Context, subject string, t schema.Type, text string) (Entry, error) {
	in := wire{Schema: text}
	if t != schema.Avro {
		in.SchemaType = t
	}
	path := "/subjects/" + url.PathEscape(subject)
	var out wire
	err := h.ask(ctx, http.MethodPost, path, in, &out)
	if KindOf(err) == NotFound {
		if err = h.ask(ctx, http.MethodPost, path+"/versions", in, &out); err == nil && out.Version == 0 {
			// Older registries answer with the id alone.
			id := out.ID
			err = h.ask(ctx, http.MethodPost, path, in, &out)
			out.ID = id
		}
	}
	return Entry{ID: out.ID, Version: out.Version, Type: t, Source: schema.Source{Text: text}}, err
}

// entry adds the texts of all references, and of theirs.
func (h *HTTP) entry(ctx context.Context, w wire) (Entry, error) {
	if w.SchemaType == "" {
		w.SchemaType = schema.Avro
	}
	e := Entry{ID: w.ID, Version: w.Version, Type: w.SchemaType, Source: schema.Source{Text: w.Schema, References: w.References}}
	left := w.References
	for n := 0; len(left) > 0; n++ {
		if n == maxReferences {
			return Entry{}, &Error{Kind: InvalidSchema, Message: fmt.Sprintf("schema %d refers to more than %d others", w.ID, maxReferences)}
		}
		next := left[0]
		left = left[1:]
		if _, known := e.Source.Resolved[next.Name]; known {
			continue
		}
		var r wire
		if err := h.ask(ctx, http.MethodGet, "/subjects/"+url.PathEscape(next.Subject)+"/versions/"+strconv.Itoa(next.Version)+"?deleted=true", nil, &r); err != nil {
			return Entry{}, err
		}
		if e.Source.Resolved == nil {
			e.Source.Resolved = map[string]string{}
		}
		e.Source.Resolved[next.Name] = r.Schema
		left = append(left, r.References...)
	}
	return e, nil
}

// ask sends one request.
func (h *HTTP) ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode a request to the registry: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(h.URL, "/")+path, body)
	if err != nil {
		return &Error{Kind: Unavailable, Message: fmt.Sprintf("schema registry: %v", err)}
	}
	req.Header.Set("Accept", registryType)
	if in != nil {
		req.Header.Set("Content-Type", registryType)
	}
	if h.Authorize != nil {
		h.Authorize(ctx, req)
	}
	client := h.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return &Error{Kind: Unavailable, Message: "the schema registry cannot be reached"}
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return &Error{Kind: Unavailable, Message: "the schema registry broke its answer off"}
	}
	if res.StatusCode/100 != 2 {
		return refusal(res.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return &Error{Kind: Unavailable, Message: "the schema registry's answer is not JSON"}
	}
	return nil
}

// refusal is the error that an answer tells of.
func refusal(status int, text []byte) error {
	var said struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = "HTTP " + strconv.Itoa(status)
	}
	e := &Error{Kind: Unavailable, Message: fmt.Sprintf("the schema registry says: %s (%d)", said.Message, max(said.Code, status))}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = Forbidden
	case http.StatusNotFound:
		e.Kind = NotFound
	case http.StatusUnprocessableEntity, http.StatusConflict, http.StatusBadRequest:
		e.Kind = InvalidSchema
	}
	return e
}
