package schema

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of places in a schema that can have tags.
const (
	RecordEntity = "sr_record" // a record, message or object
	FieldEntity  = "sr_field"  // a field or property of one
)

// Entity is a place in a schema. Avro calls it by the full name of the record, com.acme.Order, and of its field, com.acme.Order.customer;
// Protobuf by the names of the messages around it without the package, Order.Line.price; JSON Schema by the way to it,
// object.lines.array.object.price. A dot before the path means nothing.
type Entity struct {
	Path string `json:"entityPath"`
	Type string `json:"entityType"`
}

// EntityTags are the tags of a place in a schema.
type EntityTags struct {
	Entity Entity   `json:"schemaEntity"`
	Tags   []string `json:"tags"`
}

// Tagger is a Schema whose text can hold tags (confluent:tags).
type Tagger interface {
	// Tags lists the places that have tags, in the order of the text. Those of schemas that it refers to are not among them.
	Tags() []EntityTags
	// Tagged is the canonical text with tags added, and then others removed. A place that the text does not have is an error that
	// wraps ErrInvalid; a tag that is not there, or is there already, is none.
	Tagged(add, remove []EntityTags) (string, error)
}

// Limits of one change of tags.
const (
	maxRetags      = 10_000
	MaxEntityBytes = 4096 // of the path of a place
)

// Retag changes the tags of one place.
type Retag struct {
	Entity
	Add, Remove []string
}

// Retags puts the changes of each place together, in the order in which the places are named first.
func Retags(add, remove []EntityTags) ([]Retag, error) {
	if len(add)+len(remove) > maxRetags {
		return nil, fmt.Errorf("%w: the tags of more than %d places are to change", ErrInvalid, maxRetags)
	}
	var out []Retag
	at := map[Entity]int{}
	for i, e := range slices.Concat(add, remove) {
		entity := Entity{strings.TrimPrefix(e.Entity.Path, "."), e.Entity.Type}
		if entity.Type != RecordEntity && entity.Type != FieldEntity {
			return nil, fmt.Errorf("%w: entityType %q is neither %s nor %s", ErrInvalid, entity.Type, RecordEntity, FieldEntity)
		}
		if len(entity.Path) > MaxEntityBytes {
			return nil, fmt.Errorf("%w: an entityPath has more than %d bytes", ErrInvalid, MaxEntityBytes)
		}
		n, known := at[entity]
		if !known {
			n = len(out)
			at[entity] = n
			out = append(out, Retag{Entity: entity})
		}
		if i < len(add) {
			out[n].Add = append(out[n].Add, e.Tags...)
		} else {
			out[n].Remove = append(out[n].Remove, e.Tags...)
		}
	}
	return out, nil
}

// Of returns what becomes of the tags that a place has: each once, in their order, new ones behind.
func (r *Retag) Of(tags []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, tag := range r.Remove {
		seen[tag] = true
	}
	for _, tag := range slices.Concat(tags, r.Add) {
		if !seen[tag] {
			seen[tag] = true
			out = append(out, tag)
		}
	}
	return out
}

// Missing is the error for a place that a text does not have.
func (e Entity) Missing() error {
	return fmt.Errorf("%w: no matching path '%s' found in the schema", ErrInvalid, e.Path)
}
