package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// The setting validateFields: names of fields that a schema reserves in its metadata stay reserved from version to version, and no field
// at the top has one of them; and no property of a JSON Schema begins with two dollar signs.

// reservedProperty is the property of the metadata that lists reserved fields, with commas between them.
const reservedProperty = "confluent:reserved"

// restrictedPrefix is what names of properties must not begin with.
const restrictedPrefix = "$$"

func validatesFields(c *state.Config) bool { return c.ValidateFields != nil && *c.ValidateFields }

func reservedOf(c *state.Content) []string {
	var out []string
	if c.Metadata != nil {
		for name := range strings.SplitSeq(c.Metadata.Properties[reservedProperty], ",") {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func topLevelFields(p schema.Schema) []string {
	if top, ok := p.(schema.TopLevel); ok {
		return top.TopLevelFields()
	}
	return nil
}

// reservedFields says what is wrong with the reserved fields of a schema that is to follow others.
func reservedFields(p schema.Schema, c *state.Content, previous []*state.Version) []string {
	var out []string
	reserved := reservedOf(c)
	if len(previous) > 0 {
		for _, name := range reservedOf(previous[len(previous)-1].Content) {
			if !slices.Contains(reserved, name) {
				out = append(out, fmt.Sprintf("The new schema has reserved field %s removed from its metadata which is present in the old schema's metadata.", name))
			}
		}
	}
	fields := topLevelFields(p)
	for _, name := range reserved {
		if slices.Contains(fields, name) {
			out = append(out, fmt.Sprintf("The new schema has field that conflicts with the reserved field %s.", name))
		}
	}
	return out
}

// restrictedFields refuses names that nobody may give.
func restrictedFields(config *state.Config, p schema.Schema) error {
	if !validatesFields(config) || p.Type() != schema.JSON {
		return nil
	}
	for _, name := range topLevelFields(p) {
		if strings.HasPrefix(name, restrictedPrefix) {
			return errInvalidSchema("Invalid schema, details: property %s: Field names cannot start with $$ prefix", name)
		}
	}
	return nil
}
