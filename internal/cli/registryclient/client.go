// Package registryclient is how the command line reaches a Schema Registry: Weir's own or any other that speaks Confluent's API.
//
// It finds the addresses, the login and the certificates in what a person gave (a flag, the environment, a properties file with
// Confluent's names), and hands out franz-go's client, which knows the calls. On top of it stand the two things that more than
// one command needs: a schema together with the texts of all it refers to, and a cache of schemas by their ids.
//
// A Client is safe for concurrent use. Its cache lives as long as it does, which is one command. Nothing is retried but by
// another of the addresses; a call ends with its context, or after ten seconds.
package registryclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/weir-stream/weir/internal/kafka/client"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

const (
	// DefaultPort is where a registry listens if nobody says otherwise.
	DefaultPort = "8081"
	callTimeout = 10 * time.Second
	// maxReferences bounds how many schemas one schema may bring along.
	maxReferences = 1000
)

// Options say where a registry is and who asks.
type Options struct {
	// URLs are tried in turn; http:// is put in front of those that have no scheme, and a user and password in one of them
	// are the login. Empty takes the property schema.registry.url.
	URLs []string
	// Properties are a client's, in Confluent's names: schema.registry.url, basic.auth.user.info, bearer.auth.token and
	// schema.registry.ssl.*, which are Kafka's ssl.* for this connection. Others are not looked at.
	Properties map[string]string
	// UserAgent is what requests say of their program.
	UserAgent string
}

// Client asks a registry. The embedded client has a method for each call of the API.
type Client struct {
	*sr.Client

	urls []string

	mu   sync.Mutex
	byID map[wireformat.ID]*lookup
}

// lookup is one schema that was asked for; done is closed once source or err is there.
type lookup struct {
	done   chan struct{}
	source Schema
	err    error
}

// Schema is a schema with the texts of all it refers to, and where it was found, as far as the question told.
type Schema struct {
	Type    schema.Type
	Source  schema.Source
	Subject string
	Version int
	ID      wireformat.ID
}

// IsProperty says whether a client's property is about the registry, and so not one that a Kafka client knows.
func IsProperty(name string) bool {
	return strings.HasPrefix(name, "schema.registry.") || strings.HasPrefix(name, "basic.auth.") || strings.HasPrefix(name, "bearer.auth.")
}

// Beside returns the address at which a registry is most probably found next to a broker: the same host, the usual port.
func Beside(broker string) string {
	host, _, err := net.SplitHostPort(broker)
	if err != nil {
		host = broker
	}
	return "http://" + net.JoinHostPort(host, DefaultPort)
}

// New checks the options and returns a client. It asks nothing yet.
func New(o Options) (*Client, error) {
	urls := o.URLs
	if len(urls) == 0 {
		urls = strings.Split(o.Properties["schema.registry.url"], ",")
	}
	login := o.Properties["basic.auth.user.info"]
	if login == "" {
		login = o.Properties["schema.registry.basic.auth.user.info"]
	}
	addresses, login, err := cleanURLs(urls, login)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = tlsConfig(o.Properties); err != nil {
		return nil, err
	}
	opts := []sr.ClientOpt{sr.URLs(addresses...), sr.UserAgent(o.UserAgent), sr.HTTPClient(&http.Client{Transport: transport, Timeout: callTimeout}), sr.LogLevel(sr.LogLevelNone)}
	if user, password, ok := strings.Cut(login, ":"); ok {
		opts = append(opts, sr.BasicAuth(user, password))
	} else if login != "" {
		return nil, errors.New("property basic.auth.user.info is not user:password")
	}
	if token := o.Properties["bearer.auth.token"]; token != "" {
		opts = append(opts, sr.BearerToken(token))
	}
	cl, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("make a client of the schema registry: %w", err)
	}
	return &Client{Client: cl, urls: addresses, byID: map[wireformat.ID]*lookup{}}, nil
}

// URLs returns the addresses that are tried, without login.
func (c *Client) URLs() []string { return slices.Clone(c.urls) }

func cleanURLs(urls []string, login string) ([]string, string, error) {
	var out []string
	for _, u := range urls {
		if u = strings.TrimSpace(u); u == "" {
			continue
		}
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		parsed, err := url.Parse(u)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return nil, "", fmt.Errorf("schema registry %q is no address such as http://localhost:8081", u)
		}
		if password, ok := parsed.User.Password(); ok && login == "" {
			login = parsed.User.Username() + ":" + password
		}
		parsed.User = nil
		out = append(out, strings.TrimSuffix(parsed.String(), "/"))
	}
	if len(out) == 0 {
		return nil, "", errors.New("no address of a schema registry is given")
	}
	return out, login, nil
}

func tlsConfig(properties map[string]string) (*tls.Config, error) {
	own := map[string]string{}
	for name, value := range properties {
		if name, ok := strings.CutPrefix(name, "schema.registry."); ok && strings.HasPrefix(name, "ssl.") {
			own[name] = value
		}
	}
	config, err := client.TLS(own)
	if err != nil {
		return nil, fmt.Errorf("schema registry: %w", err)
	}
	return config, nil
}

// ByID returns the schema with an id, with all it refers to. What was found, or was found not to be there, is kept: the
// registry is asked once for each id, also if it cannot be reached. The errors are sr's: an *sr.ResponseError if the registry
// answered.
func (c *Client) ByID(ctx context.Context, id wireformat.ID) (Schema, error) {
	c.mu.Lock()
	l := c.byID[id]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		c.byID[id] = l
		c.mu.Unlock()
		l.source, l.err = c.findID(ctx, id)
		close(l.done)
		return l.source, l.err
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.source, l.err
	case <-ctx.Done():
		return Schema{}, ctx.Err()
	}
}

func (c *Client) findID(ctx context.Context, id wireformat.ID) (Schema, error) {
	var found sr.SubjectSchema
	var err error
	if id.ByGUID() {
		found, err = c.SchemaByGUID(ctx, id.GUID.String())
	} else {
		found.Schema, err = c.SchemaByID(ctx, id.Number)
	}
	if err != nil {
		return Schema{}, fmt.Errorf("schema with %s: %w", id, err)
	}
	s, err := c.complete(ctx, found)
	s.ID = id
	return s, err
}

// ByVersion returns a version of a subject, with all it refers to; version -1 is the latest.
func (c *Client) ByVersion(ctx context.Context, subject string, version int) (Schema, error) {
	found, err := c.SchemaByVersion(ctx, subject, version)
	if err != nil {
		return Schema{}, fmt.Errorf("schema of subject %s: %w", subject, err)
	}
	return c.complete(ctx, found)
}

// Register gives a schema to a subject and returns its id, which is that of an equal one if the subject has it already.
func (c *Client) Register(ctx context.Context, subject string, t schema.Type, s schema.Source) (wireformat.ID, error) {
	wire := sr.Schema{Schema: s.Text}
	if err := wire.Type.UnmarshalText([]byte(t)); err != nil {
		return wireformat.ID{}, fmt.Errorf("register a schema of %s: %w", subject, err)
	}
	for _, r := range s.References {
		wire.References = append(wire.References, sr.SchemaReference{Name: r.Name, Subject: r.Subject, Version: r.Version})
	}
	id, err := c.RegisterSchema(ctx, subject, wire, -1, -1)
	if err != nil {
		return wireformat.ID{}, fmt.Errorf("register a schema of %s: %w", subject, err)
	}
	return wireformat.ID{Number: id}, nil
}

// Resolve fetches the texts of all that references name, and of what those refer to, by the names that references give them.
func (c *Client) Resolve(ctx context.Context, references []schema.Reference) (map[string]string, error) {
	texts := map[string]string{}
	open := slices.Clone(references)
	for len(open) > 0 {
		r := open[0]
		open = open[1:]
		if _, known := texts[r.Name]; known {
			continue
		}
		if len(texts) == maxReferences {
			return nil, fmt.Errorf("the schema refers to more than %d others", maxReferences)
		}
		found, err := c.SchemaByVersion(ctx, r.Subject, r.Version)
		if err != nil {
			return nil, fmt.Errorf("reference %s, version %d of subject %s: %w", r.Name, r.Version, r.Subject, err)
		}
		texts[r.Name] = found.Schema.Schema
		open = append(open, referencesOf(found.Schema)...)
	}
	return texts, nil
}

func (c *Client) complete(ctx context.Context, found sr.SubjectSchema) (Schema, error) {
	s := Schema{
		Type: schema.Type(found.Type.String()), Subject: found.Subject, Version: found.Version, ID: wireformat.ID{Number: found.ID},
		Source: schema.Source{Text: found.Schema.Schema, References: referencesOf(found.Schema)},
	}
	if len(s.Source.References) == 0 {
		return s, nil
	}
	resolved, err := c.Resolve(ctx, s.Source.References)
	s.Source.Resolved = resolved
	return s, err
}

func referencesOf(s sr.Schema) []schema.Reference {
	var out []schema.Reference
	for _, r := range s.References {
		out = append(out, schema.Reference{Name: r.Name, Subject: r.Subject, Version: r.Version})
	}
	return out
}
