package protobuf

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/weir-stream/weir/internal/schema"
)

// Differences lists what a reader's schema has changed against a writer's, compatible or not, in the order of the reader's text; what only
// the writer has comes behind. Paths are those of Confluent's registry: #/Order/3 is field 3 of message Order, #/Order/payment a
// oneof, #/Order/payment/3 a field of it, #/ the file.
func Differences(reader, writer *Schema) []schema.Difference {
	c := &comparison{reader: reader.file, writer: writer.file, compared: map[[2]protoreflect.FullName]*verdict{}}
	if reader.file.Package() != writer.file.Package() {
		c.add(nil, packageChanged, named(string(writer.file.Package())), named(string(reader.file.Package())))
	}
	c.types(nil, reader.file, writer.file)
	return c.found
}

// holder is a file or a message: what contains messages and enums.
type holder interface {
	Messages() protoreflect.MessageDescriptors
	Enums() protoreflect.EnumDescriptors
}

// comparison compares two files. Every pair of messages is compared once, so that its work is bounded by the product of their number
// where each names all, and is their sum in life.
type comparison struct {
	reader, writer protoreflect.FileDescriptor
	found          []schema.Difference
	compared       map[[2]protoreflect.FullName]*verdict
}

// verdict is what became of a pair of messages. While they are being compared they count as compatible.
type verdict struct{ bad bool }

func (c *comparison) add(path []string, kind string, details ...string) {
	c.found = append(c.found, difference(path, kind, details))
}

// under returns the path of a thing in what has a path. The result shares no memory with other paths.
func under(path []string, name string) []string { return append(slices.Clip(path), name) }

func (c *comparison) types(path []string, reader, writer holder) {
	readerPlaces, writerPlaces := places(reader), places(writer)
	for i := range reader.Messages().Len() {
		r := reader.Messages().Get(i)
		if r.IsMapEntry() {
			continue
		}
		here := under(path, string(r.Name()))
		w := writer.Messages().ByName(r.Name())
		if w == nil || w.IsMapEntry() {
			c.add(here, messageAdded)
			continue
		}
		c.message(here, r, w)
		if readerPlaces[r.Index()] != writerPlaces[w.Index()] {
			c.add(here, messageMoved)
		}
	}
	for i := range writer.Messages().Len() {
		w := writer.Messages().Get(i)
		if r := reader.Messages().ByName(w.Name()); !w.IsMapEntry() && (r == nil || r.IsMapEntry()) {
			c.add(under(path, string(w.Name())), messageRemoved)
		}
	}
	for i := range reader.Enums().Len() {
		r := reader.Enums().Get(i)
		here := under(path, string(r.Name()))
		if w := writer.Enums().ByName(r.Name()); w != nil {
			c.enum(here, r, w)
		} else {
			c.add(here, enumAdded)
		}
	}
	for i := range writer.Enums().Len() {
		if w := writer.Enums().Get(i); reader.Enums().ByName(w.Name()) == nil {
			c.add(under(path, string(w.Name())), enumRemoved)
		}
	}
}

// places counts for each message those before it, without those behind maps, which the text does not show.
func places(in holder) []int {
	all := make([]int, in.Messages().Len())
	n := 0
	for i := range all {
		all[i] = n
		if !in.Messages().Get(i).IsMapEntry() {
			n++
		}
	}
	return all
}

func (c *comparison) enum(path []string, r, w protoreflect.EnumDescriptor) {
	for i := range r.Values().Len() {
		v := r.Values().Get(i)
		here := under(path, strconv.Itoa(int(v.Number())))
		was := w.Values().ByNumber(v.Number())
		switch {
		case was == nil:
			c.add(here, enumConstAdded, named(string(v.Name())))
		case w.Values().ByName(v.Name()) == nil || w.Values().ByName(v.Name()).Number() != v.Number():
			if r.Values().ByNumber(v.Number()) == v { // an alias more is no change
				c.add(here, enumConstChanged, named(string(was.Name())), named(string(v.Name())))
			}
		}
	}
	for i := range w.Values().Len() {
		if v := w.Values().Get(i); r.Values().ByNumber(v.Number()) == nil {
			c.add(under(path, strconv.Itoa(int(v.Number()))), enumConstRemoved, named(string(v.Name())))
		}
	}
}

// message compares a pair of messages, and what is within them.
func (c *comparison) message(path []string, r, w protoreflect.MessageDescriptor) *verdict {
	pair := [2]protoreflect.FullName{r.FullName(), w.FullName()}
	if v, ok := c.compared[pair]; ok {
		return v
	}
	v := &verdict{}
	c.compared[pair] = v
	before := len(c.found)
	c.oneofs(path, r, w)
	for i := range r.Fields().Len() {
		c.field(path, r.Fields().Get(i), w)
	}
	for i := range w.Fields().Len() {
		if f := w.Fields().Get(i); r.Fields().ByNumber(f.Number()) == nil {
			c.removed(path, f, r)
		}
	}
	c.types(path, r, w)
	v.bad = slices.ContainsFunc(c.found[before:], func(d schema.Difference) bool { return !Compatible(d.Type) })
	return v
}

// realOneof returns the oneof of a field, unless that only stands for the word optional.
func realOneof(f protoreflect.FieldDescriptor) protoreflect.OneofDescriptor {
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		return o
	}
	return nil
}

// oneofs compares which oneofs there are, and finds fields that could be set together before and exclude each other now: those of a oneof that
// come from more than one place, where a place is a oneof of the writer's or a field on its own.
func (c *comparison) oneofs(path []string, r, w protoreflect.MessageDescriptor) {
	for i := range r.Oneofs().Len() {
		o := r.Oneofs().Get(i)
		if o.IsSynthetic() {
			continue
		}
		here := under(path, string(o.Name()))
		origins := map[string]bool{}
		var alone []string
		for j := range o.Fields().Len() {
			f := w.Fields().ByNumber(o.Fields().Get(j).Number())
			switch {
			case f == nil:
			case realOneof(f) != nil:
				origins["oneof "+string(realOneof(f).Name())] = true
			default:
				origins["field "+string(f.Name())] = true
				alone = append(alone, string(f.Name()))
			}
		}
		switch {
		case len(origins) > 1 && len(alone) > 1:
			c.add(here, multipleFieldsMovedToOneof, strings.Join(alone, ", "))
		case len(origins) > 1:
			c.add(here, fieldMovedToExistingOneof)
		}
		if was := w.Oneofs().ByName(o.Name()); was == nil || was.IsSynthetic() {
			c.add(here, oneofAdded)
		}
	}
	for i := range w.Oneofs().Len() {
		o := w.Oneofs().Get(i)
		if is := r.Oneofs().ByName(o.Name()); !o.IsSynthetic() && (is == nil || is.IsSynthetic()) {
			c.add(under(path, string(o.Name())), oneofRemoved)
		}
	}
}

// fieldPath is the path of a field: within its oneof, if it is in one.
func fieldPath(path []string, f protoreflect.FieldDescriptor) []string {
	if o := realOneof(f); o != nil {
		path = under(path, string(o.Name()))
	}
	return under(path, strconv.Itoa(int(f.Number())))
}

// field compares a field of the reader with the writer's of the same number.
func (c *comparison) field(path []string, r protoreflect.FieldDescriptor, writer protoreflect.MessageDescriptor) {
	here := fieldPath(path, r)
	w := writer.Fields().ByNumber(r.Number())
	if w == nil {
		switch {
		case realOneof(r) != nil:
			c.add(here, oneofFieldAdded, string(r.Name()))
		case r.Cardinality() == protoreflect.Required:
			c.add(here, requiredFieldAdded, string(r.Name()))
		default:
			c.add(here, fieldAdded, string(r.Name()))
		}
		return
	}
	if realOneof(w) != nil && realOneof(r) == nil {
		c.add(here, oneofFieldMovedToTopLevel, string(r.Name()), string(realOneof(w).Name()))
	}
	if r.Name() != w.Name() {
		c.add(here, fieldNameChanged, string(w.Name()), string(r.Name()))
	}
	c.fieldTypes(here, r, w, true)
}

// removed reports a field of the writer that the reader has not. When a whole oneof has gone, with all its fields, that is no loss of
// one of several.
func (c *comparison) removed(path []string, w protoreflect.FieldDescriptor, reader protoreflect.MessageDescriptor) {
	o := realOneof(w)
	switch {
	case o == nil && w.Cardinality() == protoreflect.Required:
		c.add(fieldPath(path, w), requiredFieldRemoved, string(w.Name()))
	case o == nil:
		c.add(fieldPath(path, w), fieldRemoved, string(w.Name()))
	default:
		gone := reader.Oneofs().ByName(o.Name()) == nil
		for i := range o.Fields().Len() {
			gone = gone && reader.Fields().ByNumber(o.Fields().Get(i).Number()) == nil
		}
		if !gone {
			c.add(fieldPath(path, w), oneofFieldRemoved, string(w.Name()))
		}
	}
}

// fieldTypes compares the types of a field, of a map's keys or of its values. Labels say nothing about the latter two.
func (c *comparison) fieldTypes(path []string, r, w protoreflect.FieldDescriptor, labels bool) {
	switch {
	case shape(r) != shape(w):
		c.add(path, fieldKindChanged, typeText(w), typeText(r))
	case r.IsMap():
		c.fieldTypes(path, r.MapKey(), w.MapKey(), false)
		c.fieldTypes(path, r.MapValue(), w.MapValue(), false)
	case r.Message() != nil:
		c.messageTypes(path, r, w)
	case scalarGroup(r.Kind()) != scalarGroup(w.Kind()):
		c.add(path, fieldScalarKindChanged, typeText(w), typeText(r))
	case labels && r.Cardinality() != w.Cardinality() && labelled(r) && labelled(w):
		kind := fieldNumericLabelChanged
		if scalarGroup(r.Kind()) == scalarGroup(protoreflect.StringKind) {
			kind = fieldStringOrBytesLabelChanged
		}
		c.add(path, kind, w.Cardinality().String(), r.Cardinality().String())
	}
}

// labelled says whether a label stands before the field. Confluent's registry compares those that are written: a number without one may become
// a list there, and what it takes is taken here.
func labelled(f protoreflect.FieldDescriptor) bool {
	return f.Cardinality() != protoreflect.Optional || f.HasOptionalKeyword()
}

// messageTypes compares the types of a field whose values are messages. Names are compared without their packages: a type may move to
// another file that way. Types of the two files themselves are compared where they are declared.
func (c *comparison) messageTypes(path []string, r, w protoreflect.FieldDescriptor) {
	rm, wm := r.Message(), w.Message()
	rl, wl := local(rm), local(wm)
	if rl != wl {
		c.add(path, fieldNamedTypeChanged, typeText(w), typeText(r))
		return
	}
	if rm.ParentFile().Path() == c.reader.Path() && wm.ParentFile().Path() == c.writer.Path() {
		return
	}
	if c.message(strings.Split(rl, "."), rm, wm).bad {
		c.add(path, fieldNamedTypeChanged, typeText(w), typeText(r))
	}
}

// local is the name of a message within its package.
func local(m protoreflect.MessageDescriptor) string {
	name := string(m.FullName())
	if p := string(m.ParentFile().Package()); p != "" {
		name = strings.TrimPrefix(name, p+".")
	}
	return name
}

// shape is what kind of thing a field holds. Groups are written unlike other messages.
func shape(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map"
	case f.Kind() == protoreflect.GroupKind:
		return "group"
	case f.Message() != nil:
		return "message"
	default:
		return "scalar"
	}
}

// scalarGroup returns the first of the kinds whose values are written alike, so that one can be read as the other.
func scalarGroup(k protoreflect.Kind) protoreflect.Kind {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.BoolKind, protoreflect.EnumKind:
		return protoreflect.Int32Kind
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protoreflect.Sint32Kind
	case protoreflect.StringKind, protoreflect.BytesKind:
		return protoreflect.StringKind
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.Fixed32Kind
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.Fixed64Kind
	default:
		return k
	}
}

// typeText writes the type of a field as its author would.
func typeText(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map<" + typeText(f.MapKey()) + ", " + typeText(f.MapValue()) + ">"
	case f.Kind() == protoreflect.GroupKind:
		return "group " + string(f.Message().FullName())
	case f.Message() != nil:
		return string(f.Message().FullName())
	case f.Enum() != nil:
		return string(f.Enum().FullName())
	default:
		return f.Kind().String()
	}
}
