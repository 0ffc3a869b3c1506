// Package certstore reads private keys and certificates from where Kafka's settings keep them: PEM text or files, PKCS#12
// and Java's JKS files, keys with and without a password.
//
// A store of type JKS or PKCS12 is recognised by its content, as Java does; PEM must be named. Errors tell what is wrong
// with which part, and never what a file or a setting holds. The package reads files when it is asked and keeps nothing;
// who wants to follow a file asks again when Stamp changes.
package certstore

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/weir-stream/weir/internal/base/secret"
)

// maxStoreBytes bounds a file of certificates.
const maxStoreBytes = 4 << 20

// Store says where key or certificates are. The texts and Location exclude each other.
type Store struct {
	// Type is JKS, PKCS12 or PEM, in any case; "" is JKS. Texts are always PEM.
	Type     string
	Location string
	Password secret.Text
	// Key and Chain are the PEM texts of a key store, Trusted that of a trust store.
	Key, Chain, Trusted secret.Text
	// KeyPassword opens the private key, where it is not the Password of the store.
	KeyPassword secret.Text
}

// IsZero tells whether nothing is configured.
func (s Store) IsZero() bool {
	return s.Location == "" && s.Key.IsEmpty() && s.Chain.IsEmpty() && s.Trusted.IsEmpty()
}

// Stamp changes when the file of the store does; it is empty for texts, and for a file that cannot be seen.
func (s Store) Stamp() string {
	if s.Location == "" {
		return ""
	}
	fi, err := os.Stat(s.Location)
	if err != nil {
		return ""
	}
	return fmt.Sprint(fi.ModTime().UnixNano(), " ", fi.Size())
}

// KeyPair reads the private key and its chain of certificates, the own one first. Leaf is set.
func (s Store) KeyPair() (tls.Certificate, error) {
	chain, key, err := s.keyAndChain()
	if err != nil {
		return tls.Certificate{}, err
	}
	if len(chain) == 0 || key == nil {
		return tls.Certificate{}, errors.New("the key store needs a private key and its certificates")
	}
	out := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, errors.New("the private key is of no kind that TLS can use")
	}
	own, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !own.Equal(signer.Public()) {
		return tls.Certificate{}, errors.New("the private key does not belong to the first certificate")
	}
	return out, nil
}

func (s Store) keyAndChain() ([]*x509.Certificate, crypto.PrivateKey, error) {
	if s.Location == "" {
		return parseKeyPair([]byte(s.Chain.Reveal()), []byte(s.Key.Reveal()), s.KeyPassword)
	}
	data, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case s.isPEM():
		return parseKeyPair(data, data, s.KeyPassword)
	case isJKS(data):
		return jksKeyPair(data, s.Password, s.KeyPassword)
	}
	key, leaf, rest, err := pkcs12.DecodeChain(data, s.Password.Reveal())
	if err != nil {
		return nil, nil, storeError(err)
	}
	return append([]*x509.Certificate{leaf}, rest...), key, nil
}

// Trust reads the certificates of authorities.
func (s Store) Trust() ([]*x509.Certificate, error) {
	certs, err := s.readTrust()
	if err == nil && len(certs) == 0 {
		err = errors.New("the trust store holds no certificate")
	}
	return certs, err
}

func (s Store) readTrust() ([]*x509.Certificate, error) {
	if s.Location == "" {
		return parseCertificates([]byte(s.Trusted.Reveal()))
	}
	data, err := s.read()
	switch {
	case err != nil:
		return nil, err
	case s.isPEM():
		return parseCertificates(data)
	case isJKS(data):
		return jksTrust(data, s.Password)
	}
	return pkcs12Trust(data, s.Password.Reveal())
}

func (s Store) isPEM() bool { return strings.EqualFold(s.Type, "PEM") }

func (s Store) read() ([]byte, error) {
	switch strings.ToUpper(s.Type) {
	case "", "JKS", "PKCS12", "PEM":
	default:
		return nil, fmt.Errorf("stores of type %s cannot be read: use PEM, PKCS12 or JKS", s.Type)
	}
	f, err := os.Open(s.Location)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxStoreBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxStoreBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", s.Location, maxStoreBytes)
	}
	return data, nil
}

func isJKS(data []byte) bool { return bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}) }

func storeError(err error) error {
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return errors.New("the password does not open the store")
	}
	return errors.New("the store is not a PKCS#12 or JKS file that can be read")
}

// pkcs12Trust reads trust stores as keytool makes them, and key stores for their authorities.
func pkcs12Trust(data []byte, password string) ([]*x509.Certificate, error) {
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err == nil {
		return certs, nil
	}
	if _, _, rest, chainErr := pkcs12.DecodeChain(data, password); chainErr == nil {
		return rest, nil
	}
	return nil, storeError(err)
}

func openJKS(data []byte, password secret.Text) (ks keystore.KeyStore, err error) {
	// The library reads lengths off the file; it must not take the program with it on a broken one.
	defer func() {
		if recover() != nil {
			err = errors.New("the JKS store is broken")
		}
	}()
	ks = keystore.New(keystore.WithOrderedAliases())
	if ks.Load(bytes.NewReader(data), []byte(password.Reveal())) != nil {
		return ks, errors.New("the JKS store is broken, or its password is another")
	}
	return ks, nil
}

func jksKeyPair(data []byte, password, keyPassword secret.Text) ([]*x509.Certificate, crypto.PrivateKey, error) {
	ks, err := openJKS(data, password)
	if err != nil {
		return nil, nil, err
	}
	if keyPassword.IsEmpty() {
		keyPassword = password
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := ks.GetPrivateKeyEntry(alias, []byte(keyPassword.Reveal()))
		if err != nil {
			return nil, nil, errors.New("the password of the key does not open it")
		}
		key, err := x509.ParsePKCS8PrivateKey(entry.PrivateKey)
		if err != nil {
			return nil, nil, errors.New("the private key in the store cannot be read")
		}
		var chain []*x509.Certificate
		for _, c := range entry.CertificateChain {
			cert, err := x509.ParseCertificate(c.Content)
			if err != nil {
				return nil, nil, fmt.Errorf("certificate of the key: %w", err)
			}
			chain = append(chain, cert)
		}
		return chain, key, nil
	}
	return nil, nil, errors.New("the store holds no private key")
}

func jksTrust(data []byte, password secret.Text) ([]*x509.Certificate, error) {
	ks, err := openJKS(data, password)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, alias := range ks.Aliases() {
		if !ks.IsTrustedCertificateEntry(alias) {
			continue
		}
		entry, err := ks.GetTrustedCertificateEntry(alias)
		if err != nil {
			return nil, fmt.Errorf("trusted certificate: %w", err)
		}
		cert, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return nil, fmt.Errorf("trusted certificate: %w", err)
		}
		out = append(out, cert)
	}
	return out, nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(normalize(data)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func parseKeyPair(chain, key []byte, password secret.Text) ([]*x509.Certificate, crypto.PrivateKey, error) {
	certs, err := parseCertificates(chain)
	if err != nil {
		return nil, nil, err
	}
	for block, rest := pem.Decode(normalize(key)); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			k, err := parseKey(block, password)
			return certs, k, err
		}
	}
	return nil, nil, errors.New("there is no private key in PEM form")
}

// normalize gives PEM text that was written on one line, as property files have it, its line ends back.
func normalize(text []byte) []byte {
	if bytes.ContainsRune(bytes.TrimSpace(text), '\n') {
		return text
	}
	s := strings.TrimSpace(string(text))
	var out strings.Builder
	for {
		begin, rest, ok := strings.Cut(s, "-----BEGIN ")
		out.WriteString(begin)
		if !ok {
			return []byte(out.String())
		}
		kind, rest, ok := strings.Cut(rest, "-----")
		body, after, ok2 := strings.Cut(rest, "-----END "+kind+"-----")
		if !ok || !ok2 {
			return text
		}
		fmt.Fprintf(&out, "-----BEGIN %s-----\n%s\n-----END %s-----\n", kind, strings.Join(strings.Fields(body), "\n"), kind)
		s = after
	}
}
