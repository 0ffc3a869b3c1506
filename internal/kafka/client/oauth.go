package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Limits of the answer of an issuer of tokens.
const (
	tokenTimeout    = 10 * time.Second
	maxTokenBytes   = 1 << 20
	tokenEndsEarly  = 30 * time.Second // a token is asked for anew that long before its end
	tokenEndUnknown = time.Minute
)

// tokenSource gets tokens by OAuth's client credentials grant (RFC 6749 section 4.4), and keeps one until it is about to end.
type tokenSource struct {
	endpoint, id, scope string
	secret              secret.Text
	client              *http.Client

	mu    sync.Mutex
	token string
	until time.Time
}

// clientCredentials is OAUTHBEARER with tokens of sasl.oauthbearer.token.endpoint.url. Id, secret and scope are properties, as
// in Kafka since 4.1, or options of the login module, as before.
func (s *settings) clientCredentials(login map[string]string) (sasl.Mechanism, error) {
	const name = "sasl.oauthbearer.token.endpoint.url"
	source := &tokenSource{
		endpoint: s.get(name),
		id:       cmp.Or(s.get("sasl.oauthbearer.client.credentials.client.id"), login["clientId"]),
		secret:   secret.New(cmp.Or(s.values["sasl.oauthbearer.client.credentials.client.secret"], login["clientSecret"])),
		scope:    cmp.Or(s.get("sasl.oauthbearer.scope"), login["scope"]),
		client: &http.Client{
			Timeout:       tokenTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	u, err := url.Parse(source.endpoint)
	switch {
	case source.endpoint == "":
		return nil, fmt.Errorf("OAUTHBEARER needs the option token in sasl.jaas.config, or %s with a client's id and secret", name)
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("property %s: want https://host/path", name)
	case source.id == "" || source.secret.IsEmpty():
		return nil, errors.New("OAUTHBEARER needs sasl.oauthbearer.client.credentials.client.id and .secret, or clientId and clientSecret in sasl.jaas.config")
	}
	return oauth.Oauth(source.get), nil
}

func (t *tokenSource) get(ctx context.Context) (oauth.Auth, error) {
	t.mu.Lock()
	token, fresh := t.token, time.Now().Before(t.until)
	t.mu.Unlock()
	if fresh {
		return oauth.Auth{Token: token}, nil
	}
	token, lifetime, err := t.ask(ctx)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("token of %s: %w", t.endpoint, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.until = token, time.Now().Add(lifetime-tokenEndsEarly)
	return oauth.Auth{Token: token}, nil
}

// ask never quotes the answer, which may hold a token.
func (t *tokenSource) ask(ctx context.Context) (string, time.Duration, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.scope != "" {
		form.Set("scope", t.scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(t.id), url.QueryEscape(t.secret.Reveal()))
	res, err := t.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	if res.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("the issuer answers %s", res.Status)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxTokenBytes))
	if err != nil {
		return "", 0, err
	}
	if json.Unmarshal(b, &answer) != nil || answer.Token == "" {
		return "", 0, errors.New("the answer holds no access_token")
	}
	if answer.Seconds <= 0 {
		return answer.Token, tokenEndUnknown, nil
	}
	return answer.Token, time.Duration(min(answer.Seconds, 1<<31)) * time.Second, nil
}
