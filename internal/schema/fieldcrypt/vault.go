package fieldcrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Vault is the KMS in Vault's transit engine, over its HTTP API. The library for it is not used: its licence is a copyleft one.
//
// A key id is a URL, http://host:8200/transit/keys/NAME. It comes from a registry, that is from others: it must lie on the one
// server that Vault was made for, so that a key id can neither be used to reach other hosts nor to collect the token.
type Vault struct {
	client  *http.Client
	address *url.URL
	token   secret.Text
	ns      string
}

const (
	vaultTimeout     = 10 * time.Second
	vaultAnswerBytes = 64 << 10 // a wrapped key takes some hundred bytes
)

// VaultOptions says which server to ask. Address and Token are needed.
type VaultOptions struct {
	Address   string // http or https, without a path
	Token     secret.Text
	Namespace string       // Vault Enterprise's; empty for none
	Client    *http.Client // nil for one that waits 10 s
}

// NewVault opens nothing.
func NewVault(o VaultOptions) (*Vault, error) {
	u, err := url.Parse(o.Address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("hcvault: the address is not an http or https URL")
	}
	if o.Token.IsEmpty() {
		return nil, errors.New("hcvault: there is no token")
	}
	v := &Vault{client: o.Client, address: u, token: o.Token, ns: o.Namespace}
	if v.client == nil {
		v.client = &http.Client{Timeout: vaultTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return v, nil
}

// Wrap implements KMS.
func (v *Vault) Wrap(ctx context.Context, _ KEK, keyID string, material []byte) ([]byte, error) {
	text, err := v.call(ctx, "encrypt", keyID, "plaintext", base64.StdEncoding.EncodeToString(material), "ciphertext")
	return []byte(text), err
}

// Unwrap implements KMS.
func (v *Vault) Unwrap(ctx context.Context, _ KEK, keyID string, wrapped []byte) ([]byte, error) {
	text, err := v.call(ctx, "decrypt", keyID, "ciphertext", string(wrapped), "plaintext")
	if err != nil {
		return nil, err
	}
	material, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("hcvault: the plain text in the answer is not base64")
	}
	return material, nil
}

// call asks for one operation of the transit engine; field goes in and answer comes out.
func (v *Vault) call(ctx context.Context, operation, keyID, field, value, answer string) (string, error) {
	target, err := v.target(operation, keyID)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("hcvault: %w", err)
	}
	req.Header.Set("X-Vault-Token", v.token.Reveal())
	req.Header.Set("X-Vault-Request", "true")
	if v.ns != "" {
		req.Header.Set("X-Vault-Namespace", v.ns)
	}
	res, err := v.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("hcvault: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // nothing is lost: it is only read
	b, err := io.ReadAll(io.LimitReader(res.Body, vaultAnswerBytes))
	if err != nil {
		return "", fmt.Errorf("hcvault: read the answer: %w", err)
	}
	var out struct {
		Data   map[string]any `json:"data"`
		Errors []string       `json:"errors"`
	}
	_ = json.Unmarshal(b, &out) // what is no JSON has neither data nor errors
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("hcvault: %s answers %d: %s", operation, res.StatusCode, strings.Join(out.Errors, "; "))
		if res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusUnauthorized {
			err = fmt.Errorf("%w: %w", ErrDenied, err)
		}
		return "", err
	}
	text, _ := out.Data[answer].(string)
	if text == "" {
		return "", fmt.Errorf("hcvault: the answer to %s holds no %s", operation, answer)
	}
	return text, nil
}

// target is the URL of an operation with a key.
func (v *Vault) target(operation, keyID string) (string, error) {
	u, err := url.Parse(keyID)
	if err != nil {
		return "", errors.New("hcvault: the key id is not a URL")
	}
	if u.Scheme != v.address.Scheme || !strings.EqualFold(u.Host, v.address.Host) || u.User != nil {
		return "", fmt.Errorf("hcvault: the key id is on %s://%s, and %s://%s is the server to ask", u.Scheme, u.Host, v.address.Scheme, v.address.Host)
	}
	engine, key, ok := strings.Cut(strings.Trim(u.Path, "/"), "/keys/")
	if !ok || engine == "" || key == "" || strings.Contains(key, "/") || strings.Contains(u.Path, "..") {
		return "", fmt.Errorf("hcvault: the key id has the path %q, expected /ENGINE/keys/NAME", u.Path)
	}
	return v.address.JoinPath("v1", engine, operation, key).String(), nil
}
