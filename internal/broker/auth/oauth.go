package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-stream/weir/internal/base/config"
)

// Settings of OAUTHBEARER, as Kafka has them. Each may be set for one listener as listener.name.NAME.oauthbearer.SETTING.
var (
	JWKSURL = config.String("sasl.oauthbearer.jwks.endpoint.url", "", config.NoDefault, config.Scoped, config.Check("https://…, or http:// to this machine", checkKeyURL),
		"Where the keys of the issuer of tokens are. If it is not set, the issuer's discovery document (OpenID Connect) names it.")
	ExpectedIssuer = config.String("sasl.oauthbearer.expected.issuer", "", config.NoDefault, config.Scoped,
		"The issuer that tokens must name. A listener with OAUTHBEARER does not start without it.")
	ExpectedAudience = config.List("sasl.oauthbearer.expected.audience", nil, config.Unique, config.Scoped,
		"Audiences of which tokens must name one. A listener with OAUTHBEARER does not start without it.")
	ScopeClaim = config.String("sasl.oauthbearer.scope.claim.name", "scope", config.NonEmpty, config.Scoped,
		"Claim of a token that holds its scopes.")
	SubClaim = config.String("sasl.oauthbearer.sub.claim.name", "sub", config.NonEmpty, config.Scoped,
		"Claim of a token that names the principal.")
	ClockSkew = config.Int("sasl.oauthbearer.clock.skew.seconds", 30, config.Range(0, 600), config.Scoped,
		"Seconds by which the clocks of issuer and broker may differ.")
	JWKSRefresh = config.Millis("sasl.oauthbearer.jwks.endpoint.refresh.ms", time.Hour, config.AtLeast(1000), config.Scoped,
		"Time after which the keys of the issuer are fetched anew.")
	JWKSRetry = config.Millis("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", 10*time.Second, config.AtLeast(100), config.Scoped,
		"Time between two attempts to fetch the keys of the issuer: after a failed one, and when a token names a key that is not among them.")
)

// oauthExchange is RFC 7628: the client shows a token. A failed one is answered with a document, which the client
// acknowledges before the login is over.
type oauthExchange struct {
	check func(ctx context.Context, token string) (*Identity, error)
	user  string
	why   error // the token was refused for
	over  bool
}

func (x *oauthExchange) User() string { return x.user }

// refused is why the token was refused, though the client has not acknowledged it yet.
func (x *oauthExchange) refused() error { return x.why }

func (x *oauthExchange) Next(ctx context.Context, message []byte) ([]byte, *Identity, error) {
	if x.why != nil || x.over {
		return nil, nil, &Failure{Text: `{"status":"invalid_token"}`, Cause: errOr(x.why, errors.New("the exchange has ended"))}
	}
	x.over = true
	authzid, token, err := parseBearer(string(message))
	if err != nil {
		return nil, nil, err
	}
	id, refused := x.check(ctx, token)
	if refused != nil {
		x.why = refused
		return []byte(`{"status":"invalid_token"}`), nil, nil //nolint:nilerr // the client has to be told first
	}
	x.user = id.Principal.Name
	if authzid != "" && authzid != id.Principal.Name {
		return nil, nil, &Failure{
			Text:  "Authentication failed: Client requested an authorization id that is different from the token's principal name",
			Cause: errors.New("another authorization id"),
		}
	}
	return nil, id, nil
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// maxBearerBytes bounds a token with what is around it.
const maxBearerBytes = 48 << 10

var errBearerForm = errors.New("the message is not of the form of RFC 7628")

// parseBearer reads "n,a=authzid,^Aauth=Bearer TOKEN^Akey=value^A^A", where ^A is the byte 1. Extensions have names of letters;
// nobody asks for any, so they have no effect.
func parseBearer(message string) (authzid, token string, err error) {
	if len(message) > maxBearerBytes {
		return "", "", errBearerForm
	}
	header, rest, ok := strings.Cut(message, "\x01")
	fields := strings.Split(header, ",")
	if !ok || len(fields) != 3 || fields[0] != "n" && fields[0] != "y" || fields[2] != "" {
		return "", "", errBearerForm
	}
	if fields[1] != "" {
		name, isName := strings.CutPrefix(fields[1], "a=")
		if authzid, err = saslName(name); err != nil || !isName {
			return "", "", errBearerForm
		}
	}
	pairs, ok := strings.CutSuffix(rest, "\x01\x01")
	if !ok {
		return "", "", errBearerForm
	}
	for pair := range strings.SplitSeq(pairs, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		letters := key != "" && !strings.ContainsFunc(key, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
		if !ok || !letters || key == "auth" && token != "" {
			return "", "", errBearerForm
		}
		if key != "auth" {
			continue
		}
		kind, text, ok := strings.Cut(value, " ")
		if !ok || !strings.EqualFold(kind, "bearer") || text == "" {
			return "", "", errBearerForm
		}
		token = strings.TrimLeft(text, " ")
	}
	if token == "" {
		return "", "", errBearerForm
	}
	return authzid, token, nil
}

// bearerValidator checks tokens (JWT, RFC 7519 and 8725): signed with a key of the issuer by a public-key algorithm, for this
// audience, and in force. There is no way to configure one that takes unsigned tokens.
type bearerValidator struct {
	parser   *jwt.Parser
	keys     *keySet
	audience []string
	sub      string
	scope    string
	skew     time.Duration
	now      func() time.Time
}

// bearerAlgorithms leaves out all that need no key or a shared one.
var bearerAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func newBearerValidator(v *config.Values, now func() time.Time, logger *slog.Logger, fetch Fetcher) (*bearerValidator, error) {
	issuer, audience, url := ExpectedIssuer.Get(v), ExpectedAudience.Get(v), JWKSURL.Get(v)
	switch {
	case issuer == "":
		return nil, fmt.Errorf("%s is not set: tokens of any issuer would be taken", ExpectedIssuer.Name())
	case len(audience) == 0:
		return nil, fmt.Errorf("%s is not set: tokens for any service would be taken", ExpectedAudience.Name())
	case url == "":
		if err := checkKeyURL(issuer); err != nil {
			return nil, fmt.Errorf("%s is not set, and the issuer %q is no address to ask for it: %w", JWKSURL.Name(), issuer, err)
		}
	}
	skew := time.Duration(ClockSkew.Get(v)) * time.Second
	return &bearerValidator{
		parser: jwt.NewParser(jwt.WithValidMethods(bearerAlgorithms), jwt.WithIssuer(issuer), jwt.WithLeeway(skew), jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(), jwt.WithTimeFunc(now), jwt.WithStrictDecoding()),
		keys:     newKeySet(url, issuer, JWKSRefresh.Get(v), JWKSRetry.Get(v), now, logger, fetch),
		audience: audience, sub: SubClaim.Get(v), scope: ScopeClaim.Get(v), skew: skew, now: now,
	}, nil
}

// check validates a token. Its errors hold nothing of the token but the names of claims.
func (b *bearerValidator) check(ctx context.Context, token string) (*Identity, error) {
	claims := jwt.MapClaims{}
	// The header's jku, jwk, x5u and x5c are what the token says of its own key: they are not looked at.
	_, err := b.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return b.keys.find(ctx, kid, t.Method.Alg())
	})
	if err != nil {
		return nil, tokenError(err)
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		if v, ok := claims[name]; ok {
			if _, isNumber := v.(float64); !isNumber {
				return nil, fmt.Errorf("the claim %s is no number", name)
			}
		}
	}
	named, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(named, func(a string) bool { return slices.Contains(b.audience, a) }) {
		return nil, errors.New("the token is for another audience")
	}
	if err := checkScopes(claims[b.scope]); err != nil {
		return nil, fmt.Errorf("the claim %s: %w", b.scope, err)
	}
	sub, _ := claims[b.sub].(string)
	if strings.TrimSpace(sub) == "" || len(sub) > maxUserNameBytes {
		return nil, fmt.Errorf("the claim %s names no principal", b.sub)
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil {
		return nil, errors.New("the claim exp is missing")
	}
	return &Identity{Principal: Principal{Type: "User", Name: sub}, Expires: exp.Time}, nil
}

// tokenError keeps what the library says of a token out of logs, but for the kind of mistake.
func tokenError(err error) error {
	for _, kind := range []error{
		errNoKey, errKeysUnreachable, jwt.ErrTokenMalformed, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued,
		jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenInvalidClaims, jwt.ErrTokenUnverifiable,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return errors.New("the token cannot be read")
}

// checkScopes refuses what is neither a text nor a list of texts. A token without scopes is fine: nothing here asks for one.
func checkScopes(v any) error {
	switch v := v.(type) {
	case nil, string:
		return nil
	case []any:
		for _, s := range v {
			if _, ok := s.(string); !ok {
				return errors.New("not a list of texts")
			}
		}
		return nil
	}
	return errors.New("neither a text nor a list")
}
