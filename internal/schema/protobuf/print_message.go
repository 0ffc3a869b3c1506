package protobuf

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// fieldKind tells parts of a message apart, between which an empty line is printed.
type fieldKind int

const (
	nothing fieldKind = iota
	someReserved
	someOptions
	plainFields
	oneofFields
	groupFields
	someRanges
	someExtensions
	someTypes
)

// body is a message while it is printed.
type body struct {
	*printer
	m       *descriptorpb.DescriptorProto
	last    fieldKind
	entries map[string]*descriptorpb.DescriptorProto // messages behind maps, by name
	groups  map[string]bool                          // messages behind groups
	nested  int                                      // nested messages up to here are printed, or stand with their field
}

func (p *printer) message(m *descriptorpb.DescriptorProto) {
	p.block("message "+m.GetName(), func() { p.messageBody(m) })
}

func (p *printer) messageBody(m *descriptorpb.DescriptorProto) {
	b := &body{printer: p, m: m, entries: map[string]*descriptorpb.DescriptorProto{}, groups: groupNames(m.GetField(), m.GetExtension(), p.syntax)}
	for _, n := range m.GetNestedType() {
		if n.GetOptions().GetMapEntry() && len(n.GetField()) == 2 {
			b.entries[n.GetName()] = n
		}
	}
	if len(m.GetReservedRange())+len(m.GetReservedName()) > 0 {
		b.part(someReserved)
		var ranges [][2]int32
		for _, r := range m.GetReservedRange() {
			ranges = append(ranges, [2]int32{r.GetStart(), r.GetEnd() - 1})
		}
		p.reserved(ranges, m.GetReservedName(), maxField-1)
	}
	if options := p.opts.of(m.GetOptions()); len(options) > 0 {
		b.part(someOptions)
		p.options(options)
	}
	b.fields()
	for _, r := range m.GetExtensionRange() {
		b.part(someRanges)
		p.brackets("extensions "+rangeText([2]int32{r.GetStart(), r.GetEnd() - 1}, maxField-1), p.opts.of(r.GetOptions()), ";")
	}
	if len(m.GetExtension()) > 0 {
		b.part(someExtensions)
		p.extensions(m.GetExtension(), m.GetNestedType())
	}
	b.types(len(m.GetNestedType()))
	for _, e := range m.GetEnumType() {
		b.part(someTypes)
		p.enum(e)
	}
}

// part begins a part of the message, with an empty line before it if there is another.
func (b *body) part(kind fieldKind) {
	if b.last != nothing && b.last != kind {
		b.line("")
	}
	b.last = kind
}

// fields prints fields and oneofs, each oneof in the place of its first field.
func (b *body) fields() {
	fields := b.m.GetField()
	if b.normal {
		fields = slices.Clone(fields)
		slices.SortStableFunc(fields, func(x, y *descriptorpb.FieldDescriptorProto) int { return cmp.Compare(x.GetNumber(), y.GetNumber()) })
	}
	oneofs := map[int32][]*descriptorpb.FieldDescriptorProto{}
	for _, f := range fields {
		if f.OneofIndex != nil && !f.GetProto3Optional() {
			oneofs[f.GetOneofIndex()] = append(oneofs[f.GetOneofIndex()], f)
		}
	}
	for _, f := range fields {
		if f.OneofIndex == nil || f.GetProto3Optional() {
			b.field(f, b.label(f))
			continue
		}
		i := f.GetOneofIndex()
		members := oneofs[i]
		if members[0] != f || int(i) >= len(b.m.GetOneofDecl()) || i < 0 {
			continue
		}
		o := b.m.GetOneofDecl()[i]
		b.beforeSynthetic(members...)
		b.part(oneofFields)
		b.block("oneof "+o.GetName(), func() {
			b.options(b.opts.of(o.GetOptions()))
			for _, member := range members {
				b.member(member)
			}
		})
	}
}

// field prints a field that is not in a oneof.
func (b *body) field(f *descriptorpb.FieldDescriptorProto, label string) {
	b.beforeSynthetic(f)
	if b.isGroup(f) {
		b.part(groupFields)
	} else {
		b.part(plainFields)
	}
	b.fieldLine(f, label)
}

func (b *body) member(f *descriptorpb.FieldDescriptorProto) { b.fieldLine(f, "") }

func (b *body) fieldLine(f *descriptorpb.FieldDescriptorProto, label string) {
	if entry, ok := b.entries[simple(f.GetTypeName())]; ok && f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED {
		kind := "map<" + typeName(entry.GetField()[0]) + ", " + typeName(entry.GetField()[1]) + ">"
		b.brackets(kind+" "+f.GetName()+" = "+number(f.GetNumber()), b.opts.ofField(f), ";")
		return
	}
	b.printField(f, label, b.m.GetNestedType())
}

// printField prints a field, with the message in its place if it is a group: one of the messages beside it.
func (p *printer) printField(f *descriptorpb.FieldDescriptorProto, label string, beside []*descriptorpb.DescriptorProto) {
	options := p.opts.ofField(f)
	if p.isGroup(f) {
		name := simple(f.GetTypeName())
		i := slices.IndexFunc(beside, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == name })
		if i >= 0 {
			p.brackets(label+"group "+name+" = "+number(f.GetNumber()), options, " {")
			p.depth++
			p.messageBody(beside[i])
			p.depth--
			p.line("}")
			return
		}
	}
	p.brackets(label+typeName(f)+" "+f.GetName()+" = "+number(f.GetNumber()), options, ";")
}

// beforeSynthetic prints the messages that come before the one which the first of fields brings with it, if it does: a map its entry, a group
// itself. So all nested messages keep their indexes. If fields are sorted, as many come before them as did, though not the same.
func (b *body) beforeSynthetic(fields ...*descriptorpb.FieldDescriptorProto) {
	for _, f := range fields {
		name := simple(f.GetTypeName())
		if b.entries[name] == nil && !(b.isGroup(f) && b.groups[name]) {
			continue
		}
		next := b.nested
		for next < len(b.m.GetNestedType()) && !b.synthetic(b.m.GetNestedType()[next]) {
			next++
		}
		if next < len(b.m.GetNestedType()) {
			b.types(next)
			b.nested = next + 1
		}
	}
}

// types prints nested messages up to an index, but for those that stand with a field.
func (b *body) types(end int) {
	for ; b.nested < end; b.nested++ {
		if n := b.m.GetNestedType()[b.nested]; !b.synthetic(n) {
			b.part(someTypes)
			b.message(n)
		}
	}
}

func (b *body) synthetic(m *descriptorpb.DescriptorProto) bool {
	return b.entries[m.GetName()] != nil || b.groups[m.GetName()]
}

// label returns what stands before the type of a field, with a space.
func (p *printer) label(f *descriptorpb.FieldDescriptorProto) string {
	switch {
	case f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED:
		return "repeated "
	case p.syntax == "editions":
		return ""
	case f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REQUIRED && f.Label != nil:
		return "required "
	case p.syntax == "proto2" || f.GetProto3Optional():
		return "optional "
	default:
		return ""
	}
}

// isGroup says whether a field is written as a group; edition 2023 has only a feature for that.
func (p *printer) isGroup(f *descriptorpb.FieldDescriptorProto) bool { return isGroup(f, p.syntax) }

func isGroup(f *descriptorpb.FieldDescriptorProto, syntax string) bool {
	return f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_GROUP && f.Type != nil && syntax != "editions"
}

// groupNames returns the names of messages that are written where a field or extension is.
func groupNames(fields, extensions []*descriptorpb.FieldDescriptorProto, syntax string) map[string]bool {
	names := map[string]bool{}
	for _, f := range slices.Concat(fields, extensions) {
		if isGroup(f, syntax) {
			names[simple(f.GetTypeName())] = true
		}
	}
	return names
}

// extensions prints extend blocks, one for each run of fields that extend the same message.
func (p *printer) extensions(fields []*descriptorpb.FieldDescriptorProto, beside []*descriptorpb.DescriptorProto) {
	for len(fields) > 0 {
		run := 1
		for run < len(fields) && fields[run].GetExtendee() == fields[0].GetExtendee() {
			run++
		}
		p.block("extend "+fields[0].GetExtendee(), func() {
			for _, f := range fields[:run] {
				p.printField(f, p.label(f), beside)
			}
		})
		fields = fields[run:]
	}
}

// typeName returns the type of a field as the language writes it: a keyword, or a name as it stands in the descriptor.
func typeName(f *descriptorpb.FieldDescriptorProto) string {
	if f.TypeName != nil {
		return f.GetTypeName()
	}
	return strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
}
