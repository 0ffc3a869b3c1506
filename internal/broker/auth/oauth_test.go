package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-stream/weir/internal/base/config"
)

const testIssuer = "https://issuer.test"

func bearerValues(t testing.TB, set ...string) *config.Values {
	t.Helper()
	schema, err := config.NewSchema(AuthenticationSettings()...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.WithScope(ListenerPrefix).Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// issuer signs tokens and publishes keys.
type issuer struct {
	rsa     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
	fetches atomic.Int32
	doc     atomic.Pointer[string]
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.publish(t, i.jwk("r1", "RS256"), i.ecJWK(t, "e1"))
	return i
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (i *issuer) jwk(kid, alg string) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "alg": alg, "use": "sig", "n": text(i.rsa.N.Bytes()), "e": text(big.NewInt(int64(i.rsa.E)).Bytes())}
}

func (i *issuer) ecJWK(t testing.TB, kid string) map[string]string {
	t.Helper()
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"kty": "EC", "kid": kid, "crv": "P-256", "x": text(point[1:33]), "y": text(point[33:])}
}

func (i *issuer) publish(t testing.TB, keys ...map[string]string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	i.doc.Store(&s)
}

func (i *issuer) fetch(_ context.Context, _ string, _ int64) ([]byte, error) {
	i.fetches.Add(1)
	return []byte(*i.doc.Load()), nil
}

// token signs claims; a nil value takes a claim away, and header values go into the header.
func (i *issuer) token(t testing.TB, now time.Time, method jwt.SigningMethod, key any, kid string, claims, header map[string]any) string {
	t.Helper()
	all := jwt.MapClaims{"iss": testIssuer, "aud": "weir", "sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
		if v == nil {
			delete(all, k)
		}
	}
	tok := jwt.NewWithClaims(method, all)
	if kid != "" {
		tok.Header["kid"] = kid
	}
	maps.Copy(tok.Header, header)
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyTheIssuersTokensInForceAreTaken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	b, err := newBearerValidator(bearerValues(t, "sasl.oauthbearer.expected.issuer="+testIssuer, "sasl.oauthbearer.expected.audience=weir,other"), func() time.Time { return now }, slog.New(slog.DiscardHandler), i.fetch)
	if err != nil {
		t.Fatal(err)
	}
	i.doc.Store(new(strings.Replace(*i.doc.Load(), `{"keys"`, `{"issuer":"`+testIssuer+`","jwks_uri":"`+testIssuer+`/keys","keys"`, 1)))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&i.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	type m = map[string]any
	rs := func(claims m) string { return i.token(t, now, jwt.SigningMethodRS256, i.rsa, "r1", claims, nil) }
	none := i.token(t, now, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "r1", nil, nil)
	parts := strings.Split(rs(nil), ".")
	confused := func(alg string, key []byte) string {
		head := text([]byte(`{"alg":"` + alg + `","kid":"r1"}`))
		h := hmac.New(sha256.New, key)
		h.Write([]byte(head + "." + parts[1]))
		return head + "." + parts[1] + "." + text(h.Sum(nil))
	}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"rsa":               {rs(nil), true},
		"ec":                {i.token(t, now, jwt.SigningMethodES256, i.ec, "e1", nil, nil), true},
		"list of audiences": {rs(m{"aud": []string{"x", "other"}}), true},
		"scopes":            {rs(m{"scope": []string{"a", "b"}}), true},
		"expired in skew":   {rs(m{"exp": at(-20 * time.Second)}), true},
		"none":              {none, false},
		"none, in capitals": {text([]byte(`{"alg":"NONE","kid":"r1"}`)) + "." + parts[1] + ".", false},
		"no signature":      {parts[0] + "." + parts[1] + ".", false},
		"hmac by der":       {confused("HS256", public), false},
		"hmac by modulus":   {confused("HS256", i.rsa.N.Bytes()), false},
		"hmac as rsa":       {confused("RS256", public), false},
		"other key":         {i.token(t, now, jwt.SigningMethodRS256, other, "r1", nil, nil), false},
		"unknown kid":       {i.token(t, now, jwt.SigningMethodRS256, i.rsa, "r9", nil, nil), false},
		"no kid":            {i.token(t, now, jwt.SigningMethodRS256, i.rsa, "", nil, nil), false},
		"kid of other kind": {i.token(t, now, jwt.SigningMethodRS256, i.rsa, "e1", nil, nil), false},
		"other algorithm":   {i.token(t, now, jwt.SigningMethodRS512, i.rsa, "r1", nil, nil), false},
		"jku":               {i.token(t, now, jwt.SigningMethodRS256, other, "x", nil, m{"jku": "https://evil.test/keys"}), false},
		"x5u":               {i.token(t, now, jwt.SigningMethodRS256, other, "x", nil, m{"x5u": "https://evil.test/keys"}), false},
		"jwk":               {i.token(t, now, jwt.SigningMethodRS256, other, "r1", nil, m{"jwk": m{"kty": "RSA", "n": text(other.N.Bytes()), "e": "AQAB"}}), false},
		"issuer":            {rs(m{"iss": testIssuer + "/"}), false},
		"no issuer":         {rs(m{"iss": nil}), false},
		"audience":          {rs(m{"aud": "kafka"}), false},
		"no audience":       {rs(m{"aud": nil}), false},
		"empty audience":    {rs(m{"aud": []string{}}), false},
		"expired":           {rs(m{"exp": at(-31 * time.Second)}), false},
		"no end":            {rs(m{"exp": nil}), false},
		"end is a text":     {rs(m{"exp": "9999999999"}), false},
		"not yet":           {rs(m{"nbf": at(time.Minute)}), false},
		"issued tomorrow":   {rs(m{"iat": at(24 * time.Hour)}), false},
		"no subject":        {rs(m{"sub": nil}), false},
		"empty subject":     {rs(m{"sub": " "}), false},
		"subject a number":  {rs(m{"sub": 5}), false},
		"scope a number":    {rs(m{"scope": 5}), false},
		"changed claims":    {parts[0] + "." + text([]byte(strings.Replace(string(decode(t, parts[1])), "alice", "admin", 1))) + "." + parts[2], false},
		"garbage":           {"a.b.c", false},
		"nothing":           {"..", false},
	} {
		id, err := b.check(t.Context(), c.token)
		if (err == nil) != c.ok || err == nil && id.Principal != user("alice") {
			t.Errorf("%s: got %v, %v", name, id, err)
		}
		if err != nil && len(parts[2]) > 0 && strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error tells the token: %v", name, err)
		}
	}
}

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeysOfTheIssuerAreFollowed(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	k := newKeySet("https://issuer.test/keys", testIssuer, time.Hour, 10*time.Second, func() time.Time { return now }, slog.New(slog.DiscardHandler), i.fetch)
	find := func(kid string, ok bool, fetches int32) {
		t.Helper()
		if _, err := k.find(t.Context(), kid, "RS256"); (err == nil) != ok || i.fetches.Load() != fetches {
			t.Errorf("%s: %v after %d fetches, want %d", kid, err, i.fetches.Load(), fetches)
		}
	}
	find("r1", true, 1)
	i.publish(t, i.jwk("r2", "RS256"))
	find("r2", false, 1) // asked a moment ago
	find("made up", false, 1)
	now = now.Add(10 * time.Second)
	find("r2", true, 2)
	find("r1", false, 2) // the old key is worth nothing
	now = now.Add(time.Hour)
	i.doc.Store(new("{}"))
	find("r2", true, 3) // old keys are better than none
	find("r2", true, 3)
}

func TestKeySetsAreBounded(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var many []map[string]string
	for n := range maxKeys + 1 {
		many = append(many, i.jwk(fmt.Sprint(n), ""))
	}
	short := map[string]string{"kty": "RSA", "kid": "s", "n": text(make([]byte, 128)), "e": "AQAB"}
	for name, keys := range map[string][]map[string]string{
		"many": many, "twice": {i.jwk("a", ""), i.jwk("a", "")}, "none": nil, "short": {short}, "no id": {i.jwk("", "")},
		"for encryption": {{"kty": "RSA", "kid": "a", "use": "enc", "n": text(i.rsa.N.Bytes()), "e": "AQAB"}},
		"shared":         {{"kty": "oct", "kid": "a", "k": "AAAA"}},
	} {
		i.publish(t, keys...)
		if got, err := parseKeySet([]byte(*i.doc.Load())); err == nil {
			t.Errorf("%s: got %d keys", name, len(got))
		}
	}
}

func TestAListenerNeedsAnIssuerAndAnAudience(t *testing.T) {
	t.Parallel()
	const iss, aud = "sasl.oauthbearer.expected.issuer=", "sasl.oauthbearer.expected.audience=weir"
	for name, c := range map[string]struct {
		set  []string
		want string
	}{
		"nothing":     {nil, "expected.issuer"},
		"no audience": {[]string{iss + testIssuer}, "expected.audience"},
		"no keys":     {[]string{iss + "some-name", aud}, "jwks.endpoint.url"},
		"file issuer": {[]string{iss + "file:///etc", aud}, "no address"},
		"http issuer": {[]string{iss + "http://10.0.0.1", aud}, "https"},
		"good":        {[]string{iss + testIssuer, aud}, ""},
		"keys":        {[]string{iss + "some-name", aud, "sasl.oauthbearer.jwks.endpoint.url=https://x/keys"}, ""},
	} {
		_, err := newBearerValidator(bearerValues(t, c.set...), time.Now, slog.New(slog.DiscardHandler), nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for _, address := range []string{"file:///etc/passwd", "ftp://x/y", "http://example.com/keys", "https://user:pw@x/", "//x"} {
		if checkKeyURL(address) == nil {
			t.Errorf("%s was accepted", address)
		}
	}
}

func TestTheFetcherStaysWhereItWasSent(t *testing.T) {
	t.Parallel()
	var big atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inner") }))
	t.Cleanup(inner.Close)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if big.Load() {
			fmt.Fprint(w, strings.Repeat("x", 2000))
			return
		}
		http.Redirect(w, r, inner.URL, http.StatusFound)
	}))
	t.Cleanup(outer.Close)
	fetch := HTTPFetcher()
	if b, err := fetch(t.Context(), inner.URL, 1000); err != nil || string(b) != "inner" {
		t.Errorf("got %q, %v", b, err)
	}
	if b, err := fetch(t.Context(), outer.URL, 1000); err == nil {
		t.Errorf("a redirect was followed: %q", b)
	}
	big.Store(true)
	if _, err := fetch(t.Context(), outer.URL, 1000); err == nil {
		t.Error("a large document was taken")
	}
	for _, address := range []string{"https://169.254.169.254/latest", "https://[fe80::1]/x", "https://0.0.0.0/"} {
		if _, err := fetch(t.Context(), address, 1000); err == nil || !strings.Contains(err.Error(), "not to be asked") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestARefusedTokenIsAcknowledged(t *testing.T) {
	t.Parallel()
	x := &oauthExchange{check: func(context.Context, string) (*Identity, error) { return nil, errors.New("refused") }}
	reply, id, err := x.Next(t.Context(), []byte("n,,\x01auth=Bearer abc\x01\x01"))
	if string(reply) != `{"status":"invalid_token"}` || id != nil || err != nil {
		t.Fatalf("got %q, %v, %v", reply, id, err)
	}
	if _, id, err := x.Next(t.Context(), []byte{1}); id != nil || err == nil {
		t.Errorf("got %v, %v", id, err)
	}
}
