package protobuf

import (
	"fmt"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// The types of differences, by Confluent's names.
const (
	packageChanged                 = "PACKAGE_CHANGED"
	messageAdded                   = "MESSAGE_ADDED"
	messageRemoved                 = "MESSAGE_REMOVED"
	messageMoved                   = "MESSAGE_MOVED"
	enumAdded                      = "ENUM_ADDED"
	enumRemoved                    = "ENUM_REMOVED"
	enumConstAdded                 = "ENUM_CONST_ADDED"
	enumConstChanged               = "ENUM_CONST_CHANGED"
	enumConstRemoved               = "ENUM_CONST_REMOVED"
	fieldAdded                     = "FIELD_ADDED"
	fieldRemoved                   = "FIELD_REMOVED"
	fieldNameChanged               = "FIELD_NAME_CHANGED"
	fieldKindChanged               = "FIELD_KIND_CHANGED"
	fieldScalarKindChanged         = "FIELD_SCALAR_KIND_CHANGED"
	fieldNamedTypeChanged          = "FIELD_NAMED_TYPE_CHANGED"
	fieldNumericLabelChanged       = "FIELD_NUMERIC_LABEL_CHANGED"
	fieldStringOrBytesLabelChanged = "FIELD_STRING_OR_BYTES_LABEL_CHANGED"
	requiredFieldAdded             = "REQUIRED_FIELD_ADDED"
	requiredFieldRemoved           = "REQUIRED_FIELD_REMOVED"
	oneofAdded                     = "ONEOF_ADDED"
	oneofRemoved                   = "ONEOF_REMOVED"
	oneofFieldAdded                = "ONEOF_FIELD_ADDED"
	oneofFieldRemoved              = "ONEOF_FIELD_REMOVED"
	oneofFieldMovedToTopLevel      = "ONEOF_FIELD_MOVED_TO_TOP_LEVEL"
	multipleFieldsMovedToOneof     = "MULTIPLE_FIELDS_MOVED_TO_ONEOF"
	fieldMovedToExistingOneof      = "FIELD_MOVED_TO_EXISTING_ONEOF"
)

// incompatible is what is said of a difference that breaks readers: a sentence with places for the details that the comparison adds, and
// what its author can do. PATH stands for the path.
type incompatible struct{ message, advice string }

// explain returns what to say of a type of difference; ok is false for one that breaks nobody.
func explain(kind string) (e incompatible, ok bool) {
	switch kind {
	case packageChanged:
		e = incompatible{"the package was %s and is %s: messages are found by their full names", "keep the package, or register the schema under another subject"}
	case messageRemoved:
		e = incompatible{"message PATH is gone: payloads of it cannot be read", "keep the message, be it unused; to move it into another file, leave a message of this name behind that holds it"}
	case fieldKindChanged:
		e = incompatible{"field PATH was of type %s and is of type %s: they are written in different ways", "give the new type to a field with a new name and a new number, and reserve the old number"}
	case fieldScalarKindChanged:
		e = incompatible{"field PATH was of type %s and is of type %s: values of one cannot be read as the other", "change types only within int32, uint32, int64, uint64, bool, enums; within sint32, sint64; string, bytes; fixed32, sfixed32; fixed64, sfixed64; or add a field with a new number"}
	case fieldNamedTypeChanged:
		e = incompatible{"field PATH was of type %s and is of type %s, by another name or with incompatible fields", "keep the type and change it compatibly, or add a field with a new number"}
	case fieldNumericLabelChanged:
		e = incompatible{"field PATH was %s and is %s: lists of numbers are written in one piece, which a single number is not", "keep the label, or add a field with a new number"}
	case requiredFieldAdded:
		e = incompatible{"field PATH, %s, is required and new: payloads written before do not have it", "make it optional"}
	case requiredFieldRemoved:
		e = incompatible{"field PATH, %s, was required and is gone", "keep it; make it optional first, if all readers can be changed"}
	case oneofFieldRemoved:
		e = incompatible{"field PATH, %s, is gone from its oneof: a reader cannot tell that it was set from nothing being set", "keep the field, with deprecated = true"}
	case multipleFieldsMovedToOneof:
		e = incompatible{"the fields %s could be set together and are now in oneof PATH, which keeps only one of them", "move one field at most into a oneof that has no others but new ones"}
	case fieldMovedToExistingOneof:
		e = incompatible{"a field that could be set together with those of oneof PATH is now one of them: only one of them is kept", "leave the field where it was, or add a new one to the oneof"}
	default:
		return e, false
	}
	return e, true
}

// Compatible says whether a reader gets along with a difference of the type.
func Compatible(kind string) bool {
	_, breaks := explain(kind)
	return !breaks
}

func difference(path []string, kind string, details []string) schema.Difference {
	d := schema.Difference{Type: kind, Path: "#/" + strings.Join(path, "/")}
	e, breaks := explain(kind)
	if !breaks {
		d.Message = strings.ToLower(strings.ReplaceAll(kind, "_", " ")) + " at " + d.Path
		if len(details) > 0 {
			d.Message += ": " + strings.Join(details, " -> ")
		}
		return d
	}
	text := strings.Replace(e.message, "PATH", strings.ReplaceAll(d.Path, "%", "%%"), 1)
	args := make([]any, 0, len(details))
	for _, a := range details {
		args = append(args, a)
	}
	d.Message, d.Advice = fmt.Sprintf(text, args...), e.advice
	return d
}

// named quotes a name; no name is said to be none.
func named(name string) string {
	if name == "" {
		return "none"
	}
	return name
}
