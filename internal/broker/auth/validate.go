package auth

import (
	"strings"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// Validate returns what is wrong with a binding, as InvalidRequest with a text, or nil.
func Validate(b acl.Binding) error {
	wrong := func(format string, args ...any) error { return kafka.Errorf(kafka.InvalidRequest, format, args...) }
	switch {
	case b.Type == Cluster && b.Name != ClusterName:
		return wrong("The only valid name for the CLUSTER resource is %s", ClusterName)
	case b.Name == "":
		return wrong("Invalid empty resource name")
	case !b.Type.Valid() || b.Type == AnyResource:
		return wrong("Invalid resourceType %s", b.Type)
	case b.Pattern != acl.Literal && b.Pattern != acl.Prefixed:
		return wrong("Invalid patternType %s", b.Pattern)
	case !b.Operation.Valid() || b.Operation == AnyOperation:
		return wrong("Invalid operation %s", b.Operation)
	case b.Permission != acl.Allow && b.Permission != acl.Deny:
		return wrong("Invalid permissionType %s", b.Permission)
	case !strings.Contains(b.Principal, ":"):
		return wrong("Could not parse principal from `%s` (no colon is present separating the principal type from the principal name)", b.Principal)
	case len(b.Name) > maxNameBytes || len(b.Principal) > maxPrincipalBytes || len(b.Host) > maxHostBytes:
		return wrong("A name of %d, a principal of %d or a host of %d bytes is too long: the most are %d, %d and %d.",
			len(b.Name), len(b.Principal), len(b.Host), maxNameBytes, maxPrincipalBytes, maxHostBytes)
	}
	return nil
}

// ValidateFilter returns what is wrong with a filter, as InvalidRequest with a text, or nil.
func ValidateFilter(f acl.Filter) error {
	switch {
	case !f.Type.Valid() || !f.Pattern.Valid():
		return kafka.Errorf(kafka.InvalidRequest, "Unknown patternFilter.")
	case !f.Operation.Valid() || !f.Permission.Valid():
		return kafka.Errorf(kafka.InvalidRequest, "Unknown entryFilter.")
	}
	return nil
}
