package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// A binding is one key of the metadata store, so that transactions stay small however many there are:
//
//	key    acl/ | first 16 bytes of SHA-256 of the body, in hexadecimal
//	value  version 1 B = 1 | CRC-32C of the body 4 B little endian | body
//	body   type | pattern | operation | permission, 1 B each | name | principal | host, each uvarint length and bytes
//
// The key follows from the binding, so one that is there already is not written twice.
const (
	bindingPrefix  = "acl/"
	bindingVersion = 1

	bindingHeaderBytes = 5
	bindingKeyBytes    = 16
	bindingCodesBytes  = 4
)

// Bounds of the parts of a binding, in bytes. Kafka has none but the size of a request.
const (
	maxNameBytes      = 1024
	maxPrincipalBytes = 4096
	maxHostBytes      = 255
)

// errBadBinding marks a stored value that this package cannot have written.
var errBadBinding = fmt.Errorf("damaged access control binding: %w", meta.ErrCorrupt)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeBinding returns the key and the value of a binding.
func encodeBinding(b acl.Binding) (key string, value []byte) {
	body := []byte{byte(b.Type), byte(b.Pattern), byte(b.Operation), byte(b.Permission)}
	for _, s := range []string{b.Name, b.Principal, b.Host} {
		body = binary.AppendUvarint(body, uint64(len(s)))
		body = append(body, s...)
	}
	sum := sha256.Sum256(body)
	value = binary.LittleEndian.AppendUint32([]byte{bindingVersion}, crc32.Checksum(body, castagnoli))
	return bindingPrefix + hex.EncodeToString(sum[:bindingKeyBytes]), append(value, body...)
}

// DecodeBinding reads the value of a binding's key.
func DecodeBinding(value []byte) (acl.Binding, error) {
	var none acl.Binding
	if len(value) < bindingHeaderBytes+bindingCodesBytes {
		return none, fmt.Errorf("%d bytes: %w", len(value), errBadBinding)
	}
	if value[0] != bindingVersion {
		return none, fmt.Errorf("version %d, this program knows %d: %w", value[0], bindingVersion, errBadBinding)
	}
	body := value[bindingHeaderBytes:]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(value[1:]); got != want {
		return none, fmt.Errorf("checksum %08x, want %08x: %w", got, want, errBadBinding)
	}
	b := acl.Binding{
		Type: acl.ResourceType(body[0]), Pattern: acl.PatternType(body[1]),
		Operation: acl.Operation(body[2]), Permission: acl.Permission(body[3]),
	}
	rest := body[bindingCodesBytes:]
	for _, s := range []*string{&b.Name, &b.Principal, &b.Host} {
		n, width := binary.Uvarint(rest)
		if width <= 0 || n > uint64(len(rest)-width) {
			return none, fmt.Errorf("cut short: %w", errBadBinding)
		}
		*s, rest = string(rest[width:width+int(n)]), rest[width+int(n):]
	}
	if len(rest) > 0 {
		return none, fmt.Errorf("%d bytes left over: %w", len(rest), errBadBinding)
	}
	if err := Validate(b); err != nil {
		return none, fmt.Errorf("%w: %w", err, errBadBinding)
	}
	return b, nil
}

// IsBindingKey tells whether a key of the metadata store holds a binding.
func IsBindingKey(key string) bool { return strings.HasPrefix(key, bindingPrefix) }
