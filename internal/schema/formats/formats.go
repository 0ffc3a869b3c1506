// Package formats is the table of the formats that schemas come in. Whoever handles schemas of any format finds the one at hand
// here, by the type that the registry keeps with it; nothing else in the tree lists them.
package formats

import (
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/avro"
	"github.com/weir-stream/weir/internal/schema/jsonschema"
	"github.com/weir-stream/weir/internal/schema/protobuf"
)

// Of returns the format of a type. The empty type is Avro, which answers of the registry leave out.
func Of(t schema.Type) (schema.Format, bool) {
	switch t {
	case schema.Avro, "":
		return avro.Format(), true
	case schema.JSON:
		return jsonschema.Format(), true
	case schema.Protobuf:
		return protobuf.Format(), true
	}
	return nil, false
}

// Types lists all types, in the order in which the API names them.
func Types() []schema.Type {
	return []schema.Type{schema.JSON, schema.Protobuf, schema.Avro}
}
