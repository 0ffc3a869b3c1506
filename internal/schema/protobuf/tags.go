package protobuf

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/weir-stream/weir/internal/schema"
)

// metaImport declares the options that hold tags.
const metaImport = "confluent/meta.proto"

// Tags lists the messages and fields of the file that have tags in (confluent.message_meta) and (confluent.field_meta).
func (s *Schema) Tags() []schema.EntityTags {
	var out []schema.EntityTags
	add := func(path, kind string, tags []string) {
		if len(tags) > 0 {
			out = append(out, schema.EntityTags{Entity: schema.Entity{Path: path, Type: kind}, Tags: tags})
		}
	}
	var visit func(list []*descriptorpb.DescriptorProto, scope string)
	visit = func(list []*descriptorpb.DescriptorProto, scope string) {
		for _, m := range list {
			name := scope + m.GetName()
			if m.GetOptions().GetMapEntry() || len(name) > schema.MaxEntityBytes {
				continue
			}
			add(name, schema.RecordEntity, tagsOf(m.GetOptions()))
			for _, f := range m.GetField() {
				add(name+"."+f.GetName(), schema.FieldEntity, tagsOf(f.GetOptions()))
			}
			visit(m.GetNestedType(), name+".")
		}
	}
	visit(s.linked.GetMessageType(), "")
	return out
}

// Tagged is the canonical text with other tags, and with the import that they need. A path may have the package before it, and the name
// of a oneof before that of its field.
func (s *Schema) Tagged(add, remove []schema.EntityTags) (string, error) {
	changes, err := schema.Retags(add, remove)
	if err != nil {
		return "", err
	}
	parsed, err := read(mainPath, s.canonical, true)
	if err != nil {
		return "", err
	}
	file := parsed.FileDescriptorProto()
	// The text has the options as somebody wrote them; which tags they come to is in the linked file.
	written, linked := newFinder(file), newFinder(s.linked)
	done := map[any][]string{}
	for i := range changes {
		c := &changes[i]
		m, f := written.find(c.Entity)
		lm, lf := linked.find(c.Entity)
		var owner any = f
		tags := tagsOf(lf.GetOptions())
		switch {
		case m == nil || lm == nil || (f == nil || lf == nil) != (c.Type == schema.RecordEntity):
			return "", c.Missing()
		case f == nil:
			owner, tags = m, tagsOf(lm.GetOptions())
		}
		if now, changed := done[owner]; changed { // by another of its names
			tags = now
		}
		tags = c.Of(tags)
		done[owner] = tags
		if f != nil {
			if f.Options == nil {
				f.Options = &descriptorpb.FieldOptions{}
			}
			f.Options.UninterpretedOption, err = retag(f.Options.UninterpretedOption, "confluent.field_meta", tags)
		} else {
			if m.Options == nil {
				m.Options = &descriptorpb.MessageOptions{}
			}
			m.Options.UninterpretedOption, err = retag(m.Options.UninterpretedOption, "confluent.message_meta", tags)
		}
		if err != nil {
			return "", err
		}
		if len(tags) > 0 && !slices.Contains(file.GetDependency(), metaImport) {
			file.Dependency = append(file.Dependency, metaImport)
		}
	}
	return printFile(file, nil, false), nil
}

// retag puts tags into the options of a message or field, those there as written. They go into the literal of the option meta; where
// other parts of it are written one by one, so are the tags.
func retag(options []*descriptorpb.UninterpretedOption, meta string, tags []string) ([]*descriptorpb.UninterpretedOption, error) {
	var out []*descriptorpb.UninterpretedOption
	at, parts, done := -1, false, len(tags) == 0
	for _, o := range options {
		name := o.GetName()
		if len(name) == 0 || !name[0].GetIsExtension() || strings.TrimPrefix(name[0].GetNamePart(), ".") != meta {
			out = append(out, o)
			continue
		}
		if len(name) == 2 && name[1].GetNamePart() == tagsField {
			if at < 0 {
				at = len(out)
			}
			continue
		}
		if len(name) > 1 {
			parts = true
			out = append(out, o)
			continue
		}
		value := readLiteral(o.GetAggregateValue())
		if !value.message {
			return nil, fmt.Errorf("%w: the value of option (%s) cannot be changed", schema.ErrInvalid, meta)
		}
		had := len(value.fields)
		value.fields = slices.DeleteFunc(value.fields, func(f member) bool { return f.name == tagsField })
		if !done {
			value.fields = append(value.fields, tagsMember(tags))
			done = true
		}
		if len(value.fields) > 0 || had == 0 {
			o.AggregateValue = new(inner(value))
			out = append(out, o)
		}
	}
	if done {
		return out, nil
	}
	if at < 0 || parts {
		at = len(out)
	}
	name := []*descriptorpb.UninterpretedOption_NamePart{{NamePart: new(meta), IsExtension: new(true)}}
	if !parts {
		value := literal{message: true, fields: []member{tagsMember(tags)}}
		return slices.Insert(out, at, &descriptorpb.UninterpretedOption{Name: name, AggregateValue: new(inner(value))}), nil
	}
	name = append(name, &descriptorpb.UninterpretedOption_NamePart{NamePart: new(tagsField), IsExtension: new(false)})
	for _, tag := range tags {
		out = append(out, &descriptorpb.UninterpretedOption{Name: name, StringValue: []byte(tag)})
	}
	return out, nil
}

const tagsField = "tags"

func tagsMember(tags []string) member {
	list := literal{list: true}
	for _, tag := range tags {
		list.elements = append(list.elements, literal{scalar: quote(tag)})
	}
	return member{tagsField, list}
}

// inner is a message literal without the brackets around it, as the parser keeps one.
func inner(l literal) string {
	text := l.String()
	return strings.TrimSpace(text[1 : len(text)-1])
}

// finder finds messages and fields by their names, each scope of which it goes through once.
type finder struct {
	prefix string // the package and a dot
	top    *descriptorpb.DescriptorProto
	scopes map[*descriptorpb.DescriptorProto]scope
}

type scope struct {
	messages map[string]*descriptorpb.DescriptorProto
	fields   map[string]*descriptorpb.FieldDescriptorProto
}

func newFinder(f *descriptorpb.FileDescriptorProto) *finder {
	out := &finder{top: &descriptorpb.DescriptorProto{NestedType: f.GetMessageType()}, scopes: map[*descriptorpb.DescriptorProto]scope{}}
	if f.GetPackage() != "" {
		out.prefix = f.GetPackage() + "."
	}
	return out
}

// find returns the message that an entity is or belongs to, and the field that it is. What is not there is nil.
func (f *finder) find(e schema.Entity) (*descriptorpb.DescriptorProto, *descriptorpb.FieldDescriptorProto) {
	if m, field := f.findLocal(e.Path, e.Type); m != nil {
		return m, field
	}
	if path, ok := strings.CutPrefix(e.Path, f.prefix); ok && f.prefix != "" {
		return f.findLocal(path, e.Type)
	}
	return nil, nil
}

func (f *finder) findLocal(path, kind string) (*descriptorpb.DescriptorProto, *descriptorpb.FieldDescriptorProto) {
	m, names := f.top, strings.Split(path, ".")
	for i, name := range names {
		s := f.scope(m)
		switch inner := s.messages[name]; {
		case inner != nil && (i < len(names)-1 || kind == schema.RecordEntity):
			m = inner
			continue
		case kind == schema.RecordEntity, m == f.top:
			return nil, nil
		case i == len(names)-1:
			return fieldOf(m, s.fields[name])
		case i == len(names)-2:
			field := s.fields[names[i+1]]
			if field != nil && field.OneofIndex != nil && m.GetOneofDecl()[field.GetOneofIndex()].GetName() == name {
				return m, field
			}
		}
		return nil, nil
	}
	return m, nil
}

func fieldOf(m *descriptorpb.DescriptorProto, f *descriptorpb.FieldDescriptorProto) (*descriptorpb.DescriptorProto, *descriptorpb.FieldDescriptorProto) {
	if f == nil {
		return nil, nil
	}
	return m, f
}

func (f *finder) scope(m *descriptorpb.DescriptorProto) scope {
	s, ok := f.scopes[m]
	if !ok {
		s = scope{map[string]*descriptorpb.DescriptorProto{}, map[string]*descriptorpb.FieldDescriptorProto{}}
		for _, inner := range m.GetNestedType() {
			if !inner.GetOptions().GetMapEntry() {
				s.messages[inner.GetName()] = inner
			}
		}
		for _, field := range m.GetField() {
			s.fields[field.GetName()] = field
		}
		f.scopes[m] = s
	}
	return s
}

// TopLevelFields implements schema.TopLevel: the fields of all messages that stand in no other. Those of oneofs are none, as with
// Confluent.
func (s *Schema) TopLevelFields() []string {
	var out []string
	for _, m := range s.linked.GetMessageType() {
		for _, f := range m.GetField() {
			if f.OneofIndex == nil || f.GetProto3Optional() {
				out = append(out, f.GetName())
			}
		}
	}
	return out
}
