package protobuf

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/weir-stream/weir/internal/schema"
)

// metaNumber is the number of Confluent's annotations among the options of fields, messages, enums and files; tagsNumber that of the
// tags within.
const (
	metaNumber = 1088
	tagsNumber = 3
)

// message is what the codec has to know of a message, looked up once.
type message struct {
	name     string
	fields   []*field // in the order of the text
	byNumber map[protowire.Number]*field
	byName   map[string]*field // by name, JSON name, and [full.name] of extensions
	required bool              // it or a message below it has required fields
}

// field is one of a message or an extension of it.
type field struct {
	key      string // in a plain value: the name, or [full.name] of an extension
	number   protowire.Number
	kind     protoreflect.Kind
	list     bool
	packed   bool // when written
	presence bool // tells unset from the zero value
	required bool
	utf8     bool // strings are checked
	message  *message
	mapKey   *field // of a map, with mapValue
	mapValue *field
	enum     *enum
	oneof    string       // the name of the oneof that it is in, unless that stands for optional
	visited  schema.Field // what Walk tells of it
}

// enum maps symbols to numbers and back.
type enum struct {
	symbols map[int32]string
	numbers map[string]int32
}

// plans are the messages of a schema by full name, with the extensions that the file can see.
type plans struct {
	messages   map[protoreflect.FullName]*message
	extensions map[protoreflect.FullName][]protoreflect.ExtensionDescriptor
}

// newPlans plans every message that can be the root of a payload, and what these contain.
func newPlans(file protoreflect.FileDescriptor, roots protoreflect.MessageDescriptors) *plans {
	p := &plans{messages: map[protoreflect.FullName]*message{}, extensions: map[protoreflect.FullName][]protoreflect.ExtensionDescriptor{}}
	p.collectExtensions(file, map[string]bool{})
	var visit func(ms protoreflect.MessageDescriptors)
	visit = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			p.plan(ms.Get(i))
			visit(ms.Get(i).Messages())
		}
	}
	visit(roots)
	p.spreadRequired()
	return p
}

func (p *plans) collectExtensions(f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] || strings.HasPrefix(f.Path(), "google/protobuf/") {
		return
	}
	seen[f.Path()] = true
	add := func(es protoreflect.ExtensionDescriptors) {
		for i := range es.Len() {
			name := es.Get(i).ContainingMessage().FullName()
			p.extensions[name] = append(p.extensions[name], es.Get(i))
		}
	}
	var visit func(ms protoreflect.MessageDescriptors)
	visit = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			add(ms.Get(i).Extensions())
			visit(ms.Get(i).Messages())
		}
	}
	add(f.Extensions())
	visit(f.Messages())
	for i := range f.Imports().Len() {
		p.collectExtensions(f.Imports().Get(i).FileDescriptor, seen)
	}
}

// plan returns the plan of a message, which it makes if there is none yet. Its depth is bounded by the number of messages, and each is
// entered once.
func (p *plans) plan(md protoreflect.MessageDescriptor) *message {
	if m, ok := p.messages[md.FullName()]; ok {
		return m
	}
	m := &message{name: string(md.FullName()), byNumber: map[protowire.Number]*field{}, byName: map[string]*field{}}
	p.messages[md.FullName()] = m
	add := func(fd protoreflect.FieldDescriptor) *field {
		f := p.field(fd)
		m.fields = append(m.fields, f)
		m.byNumber[f.number] = f
		m.byName[f.key] = f
		m.required = m.required || f.required
		return f
	}
	for i := range md.Fields().Len() {
		add(md.Fields().Get(i))
	}
	for i := range md.Fields().Len() {
		if name := md.Fields().Get(i).JSONName(); m.byName[name] == nil {
			m.byName[name] = m.fields[i]
		}
	}
	for _, fd := range p.extensions[md.FullName()] {
		add(fd)
	}
	return m
}

func (p *plans) field(fd protoreflect.FieldDescriptor) *field {
	f := &field{
		key:      string(fd.Name()),
		number:   fd.Number(),
		kind:     fd.Kind(),
		list:     fd.IsList(),
		packed:   fd.IsPacked(),
		presence: fd.HasPresence(),
		required: fd.Cardinality() == protoreflect.Required,
		utf8:     fd.Kind() == protoreflect.StringKind && checksUTF8(fd),
	}
	if fd.IsExtension() {
		f.key = "[" + string(fd.FullName()) + "]"
	}
	switch {
	case fd.IsMap():
		f.mapKey, f.mapValue = p.field(fd.MapKey()), p.field(fd.MapValue())
	case fd.Message() != nil:
		f.message = p.plan(fd.Message())
	case fd.Enum() != nil:
		f.enum = newEnum(fd.Enum())
	}
	if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
		f.oneof = string(o.Name())
	}
	f.visited = schema.Field{FullName: string(fd.FullName()), Name: string(fd.Name()), Type: typeOf(fd), Tags: tagsOf(fd.Options())}
	return f
}

// checksUTF8 says whether a string must be valid: of proto3 and the editions it must, of proto2 nobody looks.
func checksUTF8(fd protoreflect.FieldDescriptor) bool {
	if v, ok := fd.(interface{ EnforceUTF8() bool }); ok {
		return v.EnforceUTF8()
	}
	return fd.ParentFile().Syntax() != protoreflect.Proto2
}

func newEnum(ed protoreflect.EnumDescriptor) *enum {
	e := &enum{symbols: map[int32]string{}, numbers: map[string]int32{}}
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		e.numbers[string(v.Name())] = int32(v.Number())
		if _, alias := e.symbols[int32(v.Number())]; !alias {
			e.symbols[int32(v.Number())] = string(v.Name())
		}
	}
	return e
}

// spreadRequired marks the messages above those with required fields.
func (p *plans) spreadRequired() {
	for changed := true; changed; {
		changed = false
		for _, m := range p.messages {
			if !m.required && slices.ContainsFunc(m.fields, (*field).leadsToRequired) {
				m.required, changed = true, true
			}
		}
	}
}

func (f *field) leadsToRequired() bool {
	return f.message != nil && f.message.required || f.mapValue != nil && f.mapValue.leadsToRequired()
}

// typeOf names the type of a field, of its elements, or of the values of a map, in the words of rules.
func typeOf(fd protoreflect.FieldDescriptor) string {
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		return "STRING"
	case protoreflect.BytesKind:
		return "BYTES"
	case protoreflect.BoolKind:
		return "BOOLEAN"
	case protoreflect.EnumKind:
		return "ENUM"
	case protoreflect.FloatKind:
		return "FLOAT"
	case protoreflect.DoubleKind:
		return "DOUBLE"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return "RECORD"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return "INT"
	default:
		return "LONG"
	}
}

// tagsOf reads the tags in (confluent.field_meta). It looks at the bytes, so that it does not matter in which form the option is held.
func tagsOf(options proto.Message) []string {
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil
	}
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil {
		return nil
	}
	var tags []string
	eachBytes(b, metaNumber, func(meta []byte) {
		eachBytes(meta, tagsNumber, func(tag []byte) { tags = append(tags, string(tag)) })
	})
	return tags
}

// eachBytes calls f with each value of a field of type bytes, string or message.
func eachBytes(b []byte, number protowire.Number, f func([]byte)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if num == number && typ == protowire.BytesType {
			if v, n := protowire.ConsumeBytes(b); n >= 0 {
				f(v)
			}
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return
		}
		b = b[n:]
	}
}

// root returns the plan of the message that indexes pick; none stand for the first.
func (s *Schema) root(at []int) (*message, error) {
	md, err := s.descriptor(at)
	if err != nil {
		return nil, err
	}
	return s.plans().messages[md.FullName()], nil
}

// descriptor returns the message that indexes pick; none stand for the first.
func (s *Schema) descriptor(at []int) (protoreflect.MessageDescriptor, error) {
	if len(at) == 0 {
		at = []int{0}
	}
	in := s.messages
	var md protoreflect.MessageDescriptor
	for _, i := range at {
		if i < 0 || i >= in.Len() {
			return nil, fmt.Errorf("%w: it has no message at the indexes %v", schema.ErrPayload, at)
		}
		md = in.Get(i)
		in = md.Messages()
	}
	return md, nil
}

// MessageName returns the full name of the message at the indexes.
func (s *Schema) MessageName(at []int) (string, bool) {
	md, err := s.descriptor(at)
	if err != nil {
		return "", false
	}
	return string(md.FullName()), true
}

// Message finds the indexes of the message with this full name.
func (s *Schema) Message(name string) ([]int, bool) {
	if s.messages.Len() == 0 {
		return nil, false
	}
	name = strings.TrimPrefix(name, ".")
	if prefix := string(s.messages.Get(0).ParentFile().Package()); prefix != "" {
		local, ok := strings.CutPrefix(name, prefix+".")
		if !ok {
			return nil, false
		}
		name = local
	}
	var at []int
	in := s.messages
	for part := range strings.SplitSeq(name, ".") {
		md := in.ByName(protoreflect.Name(part))
		if md == nil {
			return nil, false
		}
		at = append(at, md.Index())
		in = md.Messages()
	}
	return at, true
}
