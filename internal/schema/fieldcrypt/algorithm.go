package fieldcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
	"google.golang.org/protobuf/encoding/protowire"
)

// Algorithm is how a DEK encrypts, as the API spells it.
type Algorithm string

// The algorithms. AES256_SIV is deterministic: equal values have equal ciphertexts, so that encrypted fields can be keys and joined on.
const (
	AES128GCM Algorithm = "AES128_GCM"
	AES256GCM Algorithm = "AES256_GCM"
	AES256SIV Algorithm = "AES256_SIV"
)

// Valid says whether it is one of the three.
func (a Algorithm) Valid() bool { return a.keyBytes() > 0 }

func (a Algorithm) keyBytes() int {
	switch a {
	case AES128GCM:
		return 16
	case AES256GCM:
		return 32
	case AES256SIV:
		return subtle.AESSIVKeySize
	}
	return 0
}

// Fields of Tink's key messages: AesGcmKey holds its key in field 3, AesSivKey in field 2; both have a version in field 1 that is zero
// and therefore left out.
const (
	gcmKeyField = 3
	sivKeyField = 2
)

func (a Algorithm) keyField() protowire.Number {
	if a == AES256SIV {
		return sivKeyField
	}
	return gcmKeyField
}

// NewMaterial makes a new key and returns its material.
func (a Algorithm) NewMaterial() ([]byte, error) {
	if !a.Valid() {
		return nil, fmt.Errorf("algorithm %q of a data encryption key is none of AES128_GCM, AES256_GCM and AES256_SIV", a)
	}
	key := make([]byte, a.keyBytes())
	_, _ = rand.Read(key) // never fails
	return a.material(key), nil
}

func (a Algorithm) material(key []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, a.keyField(), protowire.BytesType), key)
}

// key reads material.
func (a Algorithm) key(material []byte) ([]byte, error) {
	var key []byte
	for b := material; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errors.New("key material is not a key message")
		}
		b = b[n:]
		if number == a.keyField() && kind == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return nil, errors.New("key material is cut off")
			}
			key, b = v, b[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return nil, errors.New("key material is cut off")
		}
		b = b[n:]
	}
	if len(key) != a.keyBytes() || len(key) == 0 {
		return nil, fmt.Errorf("key material holds a key of %d bytes, %s has %d", len(key), a, a.keyBytes())
	}
	return key, nil
}

// Cipher seals and opens values under one DEK. It is safe for concurrent use.
type Cipher struct {
	gcm cipher.AEAD // one that puts a random nonce in front
	siv *subtle.AESSIV
}

// Cipher makes one of key material. It copies what it keeps of it.
func (a Algorithm) Cipher(material []byte) (*Cipher, error) {
	key, err := a.key(material)
	if err != nil {
		return nil, err
	}
	if a == AES256SIV {
		siv, err := subtle.NewAESSIV(append([]byte(nil), key...))
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", a, err)
		}
		return &Cipher{siv: siv}, nil
	}
	return gcmCipher(key)
}

func gcmCipher(key []byte) (*Cipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Cipher{gcm: gcm}, nil
}

// Seal encrypts.
func (c *Cipher) Seal(plain []byte) ([]byte, error) {
	if c.siv != nil {
		return c.siv.EncryptDeterministically(plain, nil)
	}
	return c.gcm.Seal(nil, nil, plain, nil), nil
}

// Open decrypts; its error is ErrDecrypt, which says nothing of the bytes.
func (c *Cipher) Open(sealed []byte) ([]byte, error) {
	var plain []byte
	var err error
	if c.siv != nil {
		plain, err = c.siv.DecryptDeterministically(sealed, nil)
	} else {
		plain, err = c.gcm.Open(nil, nil, sealed, nil)
	}
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}
