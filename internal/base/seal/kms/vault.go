package kms

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

	"github.com/weir-stream/weir/internal/base/seal"
)

// vault wraps by a key of Vault's transit engine, over its HTTP API. The library for it is not used: its licence is a
// copyleft one, and two calls are all that is needed.
type vault struct {
	client         *http.Client
	address, token string
	engine, key    string
}

const (
	vaultTimeout = 10 * time.Second
	// vaultAnswerBytes bounds an answer; a wrapped key takes some hundred bytes.
	vaultAnswerBytes = 64 << 10
)

// openVault opens the key name, or ENGINE/keys/NAME where the engine is not mounted at transit.
func openVault(name string, env func(string) string) (*vault, error) {
	v := &vault{client: &http.Client{Timeout: vaultTimeout}, address: env("VAULT_ADDR"), token: env("VAULT_TOKEN"), engine: "transit", key: name}
	if engine, key, ok := strings.Cut(name, "/keys/"); ok {
		v.engine, v.key = engine, key
	}
	if v.address == "" || v.token == "" {
		return nil, errors.New("encryption key hashivault://: VAULT_ADDR and VAULT_TOKEN must be set in the environment")
	}
	if u, err := url.Parse(v.address); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("encryption key hashivault://: VAULT_ADDR is not an http or https URL")
	}
	return v, nil
}

func (v *vault) Close() error {
	v.client.CloseIdleConnections()
	return nil
}

func (v *vault) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	out, err := v.call(ctx, "encrypt", map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	return []byte(out.Ciphertext), err
}

func (v *vault) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	if !bytes.HasPrefix(wrapped, []byte("vault:")) {
		return nil, fmt.Errorf("it was not wrapped by Vault: %w", seal.ErrKey)
	}
	out, err := v.call(ctx, "decrypt", map[string]string{"ciphertext": string(wrapped)})
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(out.Plaintext)
	if err != nil {
		return nil, fmt.Errorf("vault's answer to decrypt: %w", err)
	}
	return plain, nil
}

// vaultData is the data of an answer.
type vaultData struct{ Ciphertext, Plaintext string }

func (v *vault) call(ctx context.Context, verb string, body map[string]string) (vaultData, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return vaultData{}, fmt.Errorf("encode vault's %s: %w", verb, err)
	}
	address := strings.TrimSuffix(v.address, "/") + "/v1/" + v.engine + "/" + verb + "/" + url.PathEscape(v.key)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		return vaultData{}, fmt.Errorf("call vault's %s: %w", verb, err)
	}
	req.Header.Set("X-Vault-Token", v.token)
	res, err := v.client.Do(req)
	if err != nil {
		return vaultData{}, fmt.Errorf("call vault's %s: %w", verb, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	answer, err := io.ReadAll(io.LimitReader(res.Body, vaultAnswerBytes))
	if err != nil {
		return vaultData{}, fmt.Errorf("read vault's answer to %s: %w", verb, err)
	}
	var out struct {
		Data   vaultData
		Errors []string
	}
	// An answer that is no JSON, from a proxy say, is told by its status.
	jsonErr := json.Unmarshal(answer, &out)
	switch {
	case res.StatusCode == http.StatusBadRequest && verb == "decrypt":
		return vaultData{}, fmt.Errorf("vault refuses to decrypt: %s: %w", strings.Join(out.Errors, "; "), seal.ErrKey)
	case res.StatusCode != http.StatusOK:
		return vaultData{}, fmt.Errorf("vault's %s with key %s: %s: %s", verb, v.key, res.Status, strings.Join(out.Errors, "; "))
	case jsonErr != nil:
		return vaultData{}, fmt.Errorf("vault's answer to %s: %w", verb, jsonErr)
	}
	return out.Data, nil
}
