package acl

import (
	"fmt"
	"strings"
)

// Names as Kafka's tools print them.
var (
	operationNames  = []string{"UNKNOWN", "ANY", "ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION", "DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE", "CREATE_TOKENS", "DESCRIBE_TOKENS", "TWO_PHASE_COMMIT"}
	resourceNames   = []string{"UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"}
	patternNames    = []string{"UNKNOWN", "ANY", "MATCH", "LITERAL", "PREFIXED"}
	permissionNames = []string{"UNKNOWN", "ANY", "DENY", "ALLOW"}
)

func (o Operation) String() string   { return nameOf(operationNames, int(o)) }
func (p PatternType) String() string { return nameOf(patternNames, int(p)) }
func (p Permission) String() string  { return nameOf(permissionNames, int(p)) }

// Valid tells whether the code is one that this package knows, UNKNOWN aside.
func (o Operation) Valid() bool   { return o > UnknownOperation && int(o) < len(operationNames) }
func (p PatternType) Valid() bool { return p > UnknownPattern && int(p) < len(patternNames) }
func (p Permission) Valid() bool  { return p > UnknownPermission && int(p) < len(permissionNames) }

// subjectName is how Confluent's tools call subjects.
const subjectName = "SUBJECT"

func (t ResourceType) String() string {
	if t == Subject {
		return subjectName
	}
	return nameOf(resourceNames, int(t))
}

// Valid tells whether the code is one that this package knows, UNKNOWN aside.
func (t ResourceType) Valid() bool {
	return t == Subject || t > UnknownResource && int(t) < len(resourceNames)
}

func nameOf(names []string, code int) string {
	if code < 0 || code >= len(names) {
		return names[0]
	}
	return names[code]
}

// ParseOperation reads the name of an operation, in any case and with or without separators: Read, describe-configs,
// DESCRIBE_CONFIGS.
func ParseOperation(s string) (Operation, error) {
	code, err := codeOf("operation", operationNames, s)
	return Operation(code), err
}

// ParseResourceType reads the name of a kind of resource, like ParseOperation.
func ParseResourceType(s string) (ResourceType, error) {
	if plain(s) == plain(subjectName) {
		return Subject, nil
	}
	code, err := codeOf("resource type", resourceNames, s)
	return ResourceType(code), err
}

func codeOf(what string, names []string, s string) (int, error) {
	for code, name := range names {
		if code > 0 && plain(name) == plain(s) {
			return code, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q; there are %s", what, s, strings.ToLower(strings.Join(names[2:], ", ")))
}

var separators = strings.NewReplacer("_", "", "-", "")

func plain(name string) string { return strings.ToLower(separators.Replace(name)) }
