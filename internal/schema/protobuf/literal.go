package protobuf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// literal is the value of an option: a scalar as it is written, a list, or a message.
type literal struct {
	scalar   string
	elements []literal // of a list
	list     bool
	fields   []member // of a message
	message  bool
}

// member is a field of a message literal: its name, with the brackets of an extension's.
type member struct {
	name  string
	value literal
}

// String writes the value in the layout of Confluent's registry: a line for each field and each element.
func (l literal) String() string {
	var b strings.Builder
	l.write(&b, "")
	return b.String()
}

func (l literal) write(b *strings.Builder, indent string) {
	switch {
	case l.list && len(l.elements) == 0:
		b.WriteString("[]")
	case l.message && len(l.fields) == 0:
		b.WriteString("{}")
	case l.list:
		b.WriteString("[\n")
		for i, e := range l.elements {
			b.WriteString(indent + "  ")
			e.write(b, indent+"  ")
			comma(b, i, len(l.elements))
		}
		b.WriteString(indent + "]")
	case l.message:
		b.WriteString("{\n")
		for i, f := range l.fields {
			b.WriteString(indent + "  " + f.name + ": ")
			f.value.write(b, indent+"  ")
			comma(b, i, len(l.fields))
		}
		b.WriteString(indent + "}")
	default:
		b.WriteString(l.scalar)
	}
}

// comma ends the line of element i of count.
func comma(b *strings.Builder, i, count int) {
	if i < count-1 {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
}

// valueLiteral writes a value of a field, or an element of it if it is a list.
func valueLiteral(fd protoreflect.FieldDescriptor, v protoreflect.Value) literal {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageLiteral(v.Message())
	case protoreflect.EnumKind:
		if e := fd.Enum().Values().ByNumber(v.Enum()); e != nil {
			return literal{scalar: string(e.Name())}
		}
		return literal{scalar: number(int32(v.Enum()))}
	case protoreflect.StringKind:
		return literal{scalar: quote(v.String())}
	case protoreflect.BytesKind:
		return literal{scalar: quoteBytes(string(v.Bytes()))}
	case protoreflect.FloatKind:
		return literal{scalar: float(v.Float(), 32)}
	case protoreflect.DoubleKind:
		return literal{scalar: float(v.Float(), 64)}
	default:
		return literal{scalar: v.String()}
	}
}

// messageLiteral writes a message: fields in the order of their numbers, keys of maps sorted.
func messageLiteral(m protoreflect.Message) literal {
	l := literal{message: true}
	type set struct {
		fd protoreflect.FieldDescriptor
		v  protoreflect.Value
	}
	var all []set
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		all = append(all, set{fd, v})
		return true
	})
	slices.SortFunc(all, func(a, b set) int { return cmp.Compare(a.fd.Number(), b.fd.Number()) })
	for _, s := range all {
		name := string(s.fd.Name())
		if s.fd.IsExtension() {
			name = "[" + string(s.fd.FullName()) + "]"
		} else if s.fd.Kind() == protoreflect.GroupKind {
			name = string(s.fd.Message().Name())
		}
		switch {
		case s.fd.IsMap():
			l.fields = append(l.fields, member{name, mapLiteral(s.fd, s.v.Map())})
		case s.fd.IsList():
			list := literal{list: true}
			for i := range s.v.List().Len() {
				list.elements = append(list.elements, valueLiteral(s.fd, s.v.List().Get(i)))
			}
			l.fields = append(l.fields, member{name, list})
		default:
			l.fields = append(l.fields, member{name, valueLiteral(s.fd, s.v)})
		}
	}
	return l
}

// mapLiteral writes a map as the list of messages that it is.
func mapLiteral(fd protoreflect.FieldDescriptor, m protoreflect.Map) literal {
	list := literal{list: true}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		list.elements = append(list.elements, literal{message: true, fields: []member{
			{"key", valueLiteral(fd.MapKey(), k.Value())}, {"value", valueLiteral(fd.MapValue(), v)},
		}})
		return true
	})
	slices.SortFunc(list.elements, func(a, b literal) int {
		x, y := a.fields[0].value.scalar, b.fields[0].value.scalar
		if i, err := strconv.ParseInt(x, 10, 64); err == nil {
			if j, err := strconv.ParseInt(y, 10, 64); err == nil {
				return cmp.Compare(i, j)
			}
		}
		return cmp.Compare(x, y)
	})
	return list
}
