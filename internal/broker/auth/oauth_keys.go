package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of what an issuer may send.
const (
	keyFetchTimeout = 5 * time.Second
	maxKeySetBytes  = 1 << 20
	maxKeys         = 100
	maxKeyIDBytes   = 1000
)

var (
	errNoKey           = errors.New("the token names no key of the issuer")
	errKeysUnreachable = errors.New("the keys of the issuer cannot be fetched")
)

// Fetcher gets the document at an address, at most limit bytes of it.
type Fetcher func(ctx context.Context, address string, limit int64) ([]byte, error)

// checkKeyURL allows https, and http to this machine: keys that came over an open network prove nothing.
func checkKeyURL(v any) error {
	text, _ := v.(string)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("not an address of the form https://host/path")
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		ip, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			return nil
		}
		return errors.New("http is for this machine only: use https")
	}
	return fmt.Errorf("%s addresses are not fetched: use https", u.Scheme)
}

// HTTPFetcher gets documents over the network: no redirects, and no address that stands for machine-local services, such as
// the metadata service of a cloud, whatever a name resolves to.
func HTTPFetcher() Fetcher {
	dialer := &net.Dialer{Timeout: keyFetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("address %s: %w", address, err)
		}
		if ip := at.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return fmt.Errorf("address %s is not to be asked", ip)
		}
		return nil
	}}
	client := &http.Client{
		Timeout:       keyFetchTimeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: keyFetchTimeout, MaxIdleConns: 1, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, address string, limit int64) ([]byte, error) {
		if err := checkKeyURL(address); err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", address, err)
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", address, err)
		}
		defer res.Body.Close() //nolint:errcheck // only read from
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", address, res.Status)
		}
		b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = fmt.Errorf("more than %d bytes", limit)
		}
		if err != nil {
			return nil, fmt.Errorf("read the answer of %s: %w", address, err)
		}
		return b, nil
	}
}

// keySet holds the keys of an issuer. They are fetched when they are first needed, when they are old, and when a token names
// one that is not there, but not more often than the time between attempts: tokens cost nobody else anything.
type keySet struct {
	url, issuer    string
	refresh, retry time.Duration
	now            func() time.Time
	logger         *slog.Logger
	fetch          Fetcher

	turn chan struct{} // held by who fetches

	mu      sync.Mutex
	keys    map[string]issuerKey
	fetched time.Time // last success
	tried   time.Time // last attempt
}

type issuerKey struct {
	key crypto.PublicKey
	alg string // "": any that the kind of key takes
}

func newKeySet(address, issuer string, refresh, retry time.Duration, now func() time.Time, logger *slog.Logger, fetch Fetcher) *keySet {
	if fetch == nil {
		fetch = HTTPFetcher()
	}
	return &keySet{url: address, issuer: issuer, refresh: refresh, retry: retry, now: now, logger: logger, fetch: fetch, turn: make(chan struct{}, 1)}
}

// find returns the key of an id for an algorithm.
func (k *keySet) find(ctx context.Context, id, alg string) (crypto.PublicKey, error) {
	if id == "" || len(id) > maxKeyIDBytes {
		return nil, errNoKey
	}
	key, ok, fresh := k.known(id)
	if !ok || !fresh {
		if err := k.update(ctx, ok); err != nil && !ok {
			return nil, err
		}
		key, ok, _ = k.known(id)
	}
	if !ok || key.alg != "" && key.alg != alg {
		return nil, errNoKey
	}
	return key.key, nil
}

func (k *keySet) known(id string) (key issuerKey, ok, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok = k.keys[id]
	return key, ok, !k.fetched.IsZero() && k.now().Sub(k.fetched) < k.refresh
}

// update fetches the keys unless that was tried a moment ago. Who has a key, though an old one, does not wait for another's
// attempt.
func (k *keySet) update(ctx context.Context, have bool) error {
	if have {
		select {
		case k.turn <- struct{}{}:
		default:
			return nil
		}
	} else {
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-k.turn }()
	k.mu.Lock()
	early := !k.tried.IsZero() && k.now().Sub(k.tried) < k.retry
	never := k.fetched.IsZero()
	k.mu.Unlock()
	if early {
		if never {
			return errKeysUnreachable
		}
		return nil
	}
	keys, err := k.load(ctx)
	k.mu.Lock()
	k.tried = k.now()
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	k.mu.Unlock()
	if err != nil {
		k.logger.Warn("keys of the issuer of tokens cannot be fetched", "issuer", k.issuer, "err", err)
		return errKeysUnreachable
	}
	return nil
}

func (k *keySet) load(ctx context.Context) (map[string]issuerKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keyFetchTimeout)
	defer cancel()
	address := k.url
	if address == "" {
		var err error
		if address, err = k.discover(ctx); err != nil {
			return nil, err
		}
	}
	b, err := k.fetch(ctx, address, maxKeySetBytes)
	if err != nil {
		return nil, err
	}
	return parseKeySet(b)
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0).
func (k *keySet) discover(ctx context.Context) (string, error) {
	b, err := k.fetch(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", maxKeySetBytes)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if json.Unmarshal(b, &doc) != nil || doc.Issuer != k.issuer || doc.JWKSURI == "" {
		return "", errors.New("the discovery document is not the issuer's, or names no keys")
	}
	if err := checkKeyURL(doc.JWKSURI); err != nil {
		return "", fmt.Errorf("jwks_uri of the issuer: %w", err)
	}
	return doc.JWKSURI, nil
}

// jwk is a key of RFC 7517.
type jwk struct {
	Kty, Kid, Use, Alg, Crv string
	N, E, X, Y              string
}

// parseKeySet reads the keys that can check signatures; others in the set are passed over. Two of one id are an error.
func parseKeySet(b []byte) (map[string]issuerKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("the keys of the issuer are not of the form of RFC 7517")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	out := map[string]issuerKey{}
	for _, j := range set.Keys {
		if j.Kid == "" || j.Use != "" && j.Use != "sig" {
			continue
		}
		key, ok := j.public()
		if !ok {
			continue
		}
		if _, twice := out[j.Kid]; twice {
			return nil, errors.New("two keys of the issuer have one id")
		}
		out[j.Kid] = issuerKey{key, j.Alg}
	}
	if len(out) == 0 {
		return nil, errors.New("the issuer has no key that can check a signature")
	}
	return out, nil
}

// Bounds of RSA keys: shorter ones are broken, longer ones make checking a signature an attack.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

func (j jwk) public() (crypto.PublicKey, bool) {
	switch j.Kty {
	case "RSA":
		n, e := bytesOf(j.N), bytesOf(j.E)
		if len(e) == 0 || len(e) > 4 || len(n) > maxRSABits/8+1 {
			return nil, false
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits || key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 {
			return nil, false
		}
		return key, true
	case "EC":
		curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Crv]
		x, y := bytesOf(j.X), bytesOf(j.Y)
		if !ok {
			return nil, false
		}
		size := (curve.Params().BitSize + 7) / 8
		if len(x) != size || len(y) != size {
			return nil, false
		}
		key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		return key, err == nil
	case "OKP":
		x := bytesOf(j.X)
		if j.Crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
			return nil, false
		}
		return ed25519.PublicKey(x), true
	}
	return nil, false
}

func bytesOf(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil
	}
	return b
}
