package certstore

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // keys that older tools made are protected so
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2 in the format
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/weir-stream/weir/internal/base/secret"
)

func parseKey(block *pem.Block, password secret.Text) (crypto.PrivateKey, error) {
	der := block.Bytes
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		if password.IsEmpty() {
			return nil, errors.New("the private key has a password, and ssl.key.password is not set")
		}
		var err error
		if der, err = decryptPKCS8(der, password.Reveal()); err != nil {
			return nil, err
		}
	case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errors.New("the private key is encrypted in OpenSSL's old form: convert it with 'openssl pkcs8 -topk8'")
	}
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, errors.New("the password does not open the private key")
	}
	return nil, errors.New("the private key is neither PKCS#8, PKCS#1 nor SEC 1")
}

// The structures of RFC 5958 and RFC 8018.
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF, Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// maxIterations bounds the work that a broken file can ask for.
const maxIterations = 10_000_000

func prfOf(oid asn1.ObjectIdentifier) (func() hash.Hash, bool) {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, true
	case "1.2.840.113549.2.8":
		return sha256.New224, true
	case "1.2.840.113549.2.9":
		return sha256.New, true
	case "1.2.840.113549.2.10":
		return sha512.New384, true
	case "1.2.840.113549.2.11":
		return sha512.New, true
	}
	return nil, false
}

func cipherOf(oid asn1.ObjectIdentifier) (keyBytes int, block func([]byte) (cipher.Block, error), ok bool) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher, true
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher, true
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher, true
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher, true
	}
	return 0, nil, false
}

var errKeyForm = errors.New("the encrypted private key cannot be read: want PBES2 with PBKDF2 and AES or triple DES in CBC mode, as 'openssl pkcs8 -topk8' makes it")

// decryptPKCS8 opens an EncryptedPrivateKeyInfo. A wrong password shows here by the padding, or else in the key that
// comes out.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info encryptedKey
	var params pbes2Params
	var kdf pbkdf2Params
	var iv []byte
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil || !params.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(params.KDF.Parameters.FullBytes, &kdf); err != nil || kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, errKeyForm
	}
	prf, ok := prfOf(kdf.PRF.Algorithm)
	keyBytes, newBlock, ok2 := cipherOf(params.Cipher.Algorithm)
	if !ok || !ok2 {
		return nil, errKeyForm
	}
	key, err := pbkdf2.Key(prf, password, kdf.Salt, kdf.Iterations, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	block, err := newBlock(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	size := block.BlockSize()
	if len(iv) != size || len(info.Data) == 0 || len(info.Data)%size != 0 {
		return nil, errKeyForm
	}
	out := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, info.Data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > size {
		return nil, errors.New("the password does not open the private key")
	}
	return out[:len(out)-pad], nil
}
