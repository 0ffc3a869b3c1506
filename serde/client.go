package serde

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
	"github.com/weir-stream/weir/internal/schema/jsonata"
	"github.com/weir-stream/weir/internal/schema/rules"
)

// ClientOptions say where the registry is and how to be let in. The zero value is http://127.0.0.1:8081 with nobody's name.
type ClientOptions struct {
	// URLs are tried in their order.
	URLs []string
	// User and Password are sent as basic authentication, Token as a bearer token; it is asked for each request.
	User, Password string
	Token          func(ctx context.Context) (string, error)
	TLS            *tls.Config
	// HTTPClient is used as it is, with TLS above left out; nil is one that waits Timeout.
	HTTPClient *http.Client
	// Timeout of one request; 0 means 10 s.
	Timeout time.Duration
	// Context is the registry's context to work in, .name; empty is the default one.
	Context string
	// Retries is how often a request is sent again that failed in the network or with a status of 429 or 5xx; 0 means 3, negative none. Waits double from
	// RetryWait, 100 ms if 0, with a random part.
	Retries   int
	RetryWait time.Duration
	// LatestTTL is how long the newest version of a subject is taken for the newest; 0 means a minute.
	LatestTTL time.Duration
	// CacheSize bounds the schemas, subjects and keys in memory, each on its own; 0 means 1000. What exceeds it makes room by dropping all of the kind.
	CacheSize int
	// KMS are the key management services for rules that encrypt, by the type in their keys: local-kms, hcvault, aws-kms. KeyTTL is how long keys stay in
	// memory, and so how long records can be read after their key was deleted; 0 means 10 minutes.
	KMS    map[string]KMS
	KeyTTL time.Duration
}

// Error is what a registry answered.
type Error struct {
	Status  int // of HTTP
	Code    int // the registry's own, such as 40401
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("registry answers %d (%d): %s", e.Status, e.Code, e.Message)
}

// ErrNotFound is what an Error with the status 404 is.
var ErrNotFound = errors.New("not found in the registry")

// Is makes errors.Is work with ErrNotFound.
func (e *Error) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// Client asks a registry, remembers its answers, and holds the keys of rules that encrypt. Serializers and deserializers share one.
type Client struct {
	o      ClientOptions
	sr     *sr.Client
	rules  *rules.Engine
	crypt  *fieldcrypt.Executor
	caches caches
}

// maxAnswerBytes bounds an answer of the registry.
const maxAnswerBytes = 64 << 20

// NewClient connects to nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	if len(o.URLs) == 0 {
		o.URLs = []string{"http://127.0.0.1:8081"}
	}
	defaults(&o.Timeout, 10*time.Second)
	defaults(&o.RetryWait, 100*time.Millisecond)
	defaults(&o.LatestTTL, time.Minute)
	defaults(&o.CacheSize, 1000)
	defaults(&o.Retries, 3)
	c := &Client{o: o}
	hc := o.HTTPClient
	if hc == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's
		t.TLSClientConfig = o.TLS
		hc = &http.Client{Timeout: o.Timeout, Transport: bounded{t}}
	}
	opts := []sr.ClientOpt{sr.HTTPClient(hc), sr.URLs(append([]string(nil), o.URLs...)...), sr.UserAgent("weir-serde"), sr.LogLevel(sr.LogLevelNone), sr.DefaultSchemaContext(o.Context)}
	if o.User != "" {
		opts = append(opts, sr.BasicAuth(o.User, o.Password))
	}
	if o.Token != nil {
		opts = append(opts, sr.PreReq(func(r *http.Request) error {
			token, err := o.Token(r.Context())
			if err == nil {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return err
		}))
	}
	var err error
	if c.sr, err = sr.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("registry client: %w", err)
	}
	c.caches.bound = o.CacheSize
	kms := fieldcrypt.KMSes{}
	for name, k := range o.KMS {
		kms[name] = kmsAdapter{k}
	}
	c.crypt = fieldcrypt.NewExecutor(fieldcrypt.Options{Registry: keyRegistry{c}, KMS: kms, KeyTTL: o.KeyTTL, MaxKeys: o.CacheSize})
	c.rules, err = rules.New(rules.Options{Executors: map[string]rules.Executor{jsonata.Type: jsonata.New().Run, "ENCRYPT": c.encryptFields, "ENCRYPT_PAYLOAD": c.encryptPayload}})
	return c, err
}

func defaults[T int | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// bounded cuts answers that are larger than any schema.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswerBytes), res.Body}
	}
	return res, err
}

// do sends a request, again if that may help.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if len(query) > 0 {
		ctx = sr.WithParams(ctx, sr.RawParams(query))
	}
	wait := c.o.RetryWait
	for left := c.o.Retries; ; left-- {
		err := c.sr.Do(ctx, method, path, in, out)
		if err == nil {
			return nil
		}
		answer, answered := errors.AsType[*sr.ResponseError](err)
		if left <= 0 || ctx.Err() != nil || answered && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
			if answered {
				return &Error{Status: answer.StatusCode, Code: answer.ErrorCode, Message: answer.Message}
			}
			return fmt.Errorf("registry: %w", err)
		}
		t := time.NewTimer(wait + rand.N(wait)) //nolint:gosec // only spreads retries
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("registry: %w", context.Cause(ctx))
		case <-t.C:
		}
		wait *= 2
	}
}

func subjectPath(subject string) string { return "/subjects/" + url.PathEscape(subject) }

func normalized(on bool) url.Values {
	if !on {
		return nil
	}
	return url.Values{"normalize": {"true"}}
}

// Register registers a schema under a subject, if it is not there yet, and returns its id.
func (c *Client) Register(ctx context.Context, subject string, s Schema, normalize bool) (Registered, error) {
	return c.place(ctx, subject, s, normalize, "register")
}

// Lookup finds a schema under a subject; the error is ErrNotFound if it is not registered there.
func (c *Client) Lookup(ctx context.Context, subject string, s Schema, normalize bool) (Registered, error) {
	return c.place(ctx, subject, s, normalize, "lookup")
}

func (c *Client) place(ctx context.Context, subject string, s Schema, normalize bool, how string) (Registered, error) {
	text, err := s.key()
	if err != nil {
		return Registered{}, err
	}
	key := how + strconv.FormatBool(normalize) + "\x00" + subject + "\x00" + text
	if r, ok := c.caches.placed.get(key); ok {
		return r, nil
	}
	path := subjectPath(subject)
	if how == "register" {
		path += "/versions"
	}
	var w wire
	if err := c.do(ctx, http.MethodPost, path, normalized(normalize), s.wire(), &w); err != nil {
		return Registered{}, fmt.Errorf("%s schema under %s: %w", how, subject, err)
	}
	if w.Schema == "" { // an older registry: it answers with the id alone
		id := w.ID
		w = s.wire()
		w.ID = id
	}
	w.Subject = subject
	r := w.registered()
	c.caches.placed.put(c.caches.bound, key, r)
	return r, nil
}

// Latest is the newest version of a subject.
func (c *Client) Latest(ctx context.Context, subject string) (Registered, error) {
	return c.newest(ctx, subject, subjectPath(subject)+"/versions/latest", nil)
}

// LatestWith is the newest version of a subject whose metadata has these properties.
func (c *Client) LatestWith(ctx context.Context, subject string, properties map[string]string) (Registered, error) {
	q := url.Values{}
	for _, k := range sortedKeys(properties) {
		q["key"], q["value"] = append(q["key"], k), append(q["value"], properties[k])
	}
	return c.newest(ctx, subject, subjectPath(subject)+"/metadata", q)
}

func (c *Client) newest(ctx context.Context, subject, path string, q url.Values) (Registered, error) {
	key := path + "?" + q.Encode()
	if l, ok := c.caches.latest.get(key); ok && time.Since(l.since) < c.o.LatestTTL {
		return l.Registered, nil
	}
	var w wire
	if err := c.do(ctx, http.MethodGet, path, q, nil, &w); err != nil {
		return Registered{}, fmt.Errorf("newest schema of %s: %w", subject, err)
	}
	r := w.registered()
	c.caches.latest.put(c.caches.bound, key, seen{r, time.Now()})
	return r, nil
}

// Version is one version of a subject, deleted or not.
func (c *Client) Version(ctx context.Context, subject string, version int) (Registered, error) {
	path := subjectPath(subject) + "/versions/" + strconv.Itoa(version)
	if r, ok := c.caches.placed.get(path); ok {
		return r, nil
	}
	var w wire
	if err := c.do(ctx, http.MethodGet, path, url.Values{"deleted": {"true"}}, nil, &w); err != nil {
		return Registered{}, fmt.Errorf("version %d of %s: %w", version, subject, err)
	}
	r := w.registered()
	c.caches.placed.put(c.caches.bound, path, r)
	return r, nil
}

// ByID is the schema with an id.
func (c *Client) ByID(ctx context.Context, id int) (Registered, error) {
	var w wire
	if err := c.do(ctx, http.MethodGet, "/schemas/ids/"+strconv.Itoa(id), nil, nil, &w); err != nil {
		return Registered{}, fmt.Errorf("schema with id %d: %w", id, err)
	}
	w.ID = id
	return w.registered(), nil
}

// ByGUID is the schema with a GUID.
func (c *Client) ByGUID(ctx context.Context, guid string) (Registered, error) {
	var w wire
	if err := c.do(ctx, http.MethodGet, "/schemas/guids/"+url.PathEscape(guid), nil, nil, &w); err != nil {
		return Registered{}, fmt.Errorf("schema with GUID %s: %w", guid, err)
	}
	w.GUID = guid
	return w.registered(), nil
}
