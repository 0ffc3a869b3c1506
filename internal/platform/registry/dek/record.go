package dek

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// tenant is what all keys of a registry with one tenant carry.
const tenant = "default"

// The keys of records. The order of fields is Confluent's: the topic is compacted by these bytes.
type (
	kekKey struct {
		Tenant string `json:"tenant"`
		Name   string `json:"name"`
		Type   string `json:"type"`
	}
	dekKey struct {
		Tenant    string               `json:"tenant"`
		KEK       string               `json:"kekName"`
		Subject   string               `json:"subject"`
		Algorithm fieldcrypt.Algorithm `json:"algorithm"`
		Version   int                  `json:"version"`
		Type      string               `json:"type"`
	}
)

// KEK is a key encryption key, in the form of records and, without Type, of answers.
type KEK struct {
	Name     string            `json:"name"`
	KMSType  string            `json:"kmsType"`
	KMSKeyID string            `json:"kmsKeyId"`
	KMSProps map[string]string `json:"kmsProps"`
	Doc      string            `json:"doc,omitempty"`
	Shared   bool              `json:"shared"`
	Deleted  bool              `json:"deleted,omitempty"`
	Type     string            `json:"type,omitempty"`
	// Timestamp is when the record was written, in milliseconds; 0 in records themselves.
	Timestamp int64 `json:"ts,omitempty"`
}

// DEK is one version of a data encryption key, likewise. Wrapped and Material are in base64; Material is never in a record.
type DEK struct {
	KEK       string               `json:"kekName"`
	Subject   string               `json:"subject"`
	Algorithm fieldcrypt.Algorithm `json:"algorithm"`
	Version   int                  `json:"version"`
	Wrapped   string               `json:"encryptedKeyMaterial,omitempty"`
	Material  string               `json:"keyMaterial,omitempty"`
	Deleted   bool                 `json:"deleted,omitempty"`
	Type      string               `json:"type,omitempty"`
	Timestamp int64                `json:"ts,omitempty"`
}

func (d *DEK) key() dekKey { return dekKey{tenant, d.KEK, d.Subject, d.Algorithm, d.Version, "DEK"} }

// crypt is the KEK as package fieldcrypt knows it.
func (k *KEK) crypt() fieldcrypt.KEK {
	return fieldcrypt.KEK{Name: k.Name, KMSType: k.KMSType, KMSKeyID: k.KMSKeyID, Props: k.KMSProps, Doc: k.Doc, Shared: k.Shared, Deleted: k.Deleted}
}

func (k *KEK) record() (Record, error) {
	v := *k
	v.Type, v.Timestamp = "KEK", 0
	if v.KMSProps == nil {
		v.KMSProps = map[string]string{}
	}
	return encode(kekKey{tenant, k.Name, "KEK"}, struct {
		KEK
		Deleted bool `json:"deleted"` // written also if false
	}{v, v.Deleted})
}

func (d *DEK) record() (Record, error) {
	v := *d
	v.Type, v.Timestamp, v.Material = "DEK", 0, ""
	return encode(d.key(), struct {
		DEK
		Deleted bool `json:"deleted"`
	}{v, v.Deleted})
}

func encode(key, value any) (Record, error) {
	k, err := marshal(key)
	if err != nil {
		return Record{}, err
	}
	if value == nil {
		return Record{Key: k}, nil
	}
	v, err := marshal(value)
	return Record{Key: k, Value: v}, err
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode a record of a key: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// anyKey reads both kinds of keys of records.
type anyKey struct {
	dekKey
	Name string `json:"name"`
}

func parseKey(b []byte) (anyKey, error) {
	var k anyKey
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fmt.Errorf("key of a record of %s: %w", Topic, err)
	}
	if k.Type != "KEK" && k.Type != "DEK" || k.Type == "KEK" && k.Name == "" || k.Type == "DEK" && (k.KEK == "" || !k.Algorithm.Valid()) {
		return k, fmt.Errorf("key of a record of %s: type %q names no key", Topic, k.Type)
	}
	return k, nil
}

func decode64(text string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	return b, err == nil
}
