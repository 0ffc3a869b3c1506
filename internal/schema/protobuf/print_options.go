package protobuf

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// option is one as it is printed.
type option struct {
	name  string
	value literal
}

// extensionFinder names options that other files define.
type extensionFinder interface {
	protoregistry.ExtensionTypeResolver
}

// optionNames turns the options of a descriptor, as written or as interpreted, into text.
type optionNames struct {
	known  extensionFinder
	normal bool
	// ambiguous are the names that the file declares: an option whose full name begins with one of them needs a dot before it, or the
	// linker would look for it there.
	ambiguous map[string]bool
}

func newOptionNames(f *descriptorpb.FileDescriptorProto, known extensionFinder, normal bool) optionNames {
	n := optionNames{known: known, normal: normal, ambiguous: map[string]bool{}}
	if known == nil {
		return n
	}
	if parts := strings.Split(f.GetPackage(), "."); len(parts) > 1 {
		for _, p := range parts[1:] {
			n.ambiguous[p] = true
		}
	}
	var visit func(ms []*descriptorpb.DescriptorProto)
	visit = func(ms []*descriptorpb.DescriptorProto) {
		for _, m := range ms {
			n.ambiguous[m.GetName()] = true
			for _, f := range slices.Concat(m.GetField(), m.GetExtension()) {
				n.ambiguous[f.GetName()] = true
			}
			for _, o := range m.GetOneofDecl() {
				n.ambiguous[o.GetName()] = true
			}
			for _, e := range m.GetEnumType() {
				n.ambiguous[e.GetName()] = true
				for _, v := range e.GetValue() {
					n.ambiguous[v.GetName()] = true
				}
			}
			visit(m.GetNestedType())
		}
	}
	visit(f.GetMessageType())
	return n
}

// of returns the options that m, a message of options, holds: first those as written, in their order, then those interpreted, in the order of
// their numbers; in the normal form all by name.
func (n optionNames) of(m proto.Message) []option {
	if !m.ProtoReflect().IsValid() {
		return nil
	}
	options := n.sorted(append(asWritten(m), n.interpreted(m)...))
	return options
}

// ofField returns the options of a field, with its default value and its JSON name, which the language writes like options.
func (n optionNames) ofField(f *descriptorpb.FieldDescriptorProto) []option {
	var options []option
	if f.Options != nil {
		options = append(asWritten(f.GetOptions()), n.interpreted(f.GetOptions())...)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(options, func(o option) bool { return o.name == name })
	}
	if f.DefaultValue != nil && !has("default") {
		options = append(options, option{"default", defaultValue(f)})
	}
	if f.JsonName != nil && f.Extendee == nil && f.GetJsonName() != jsonName(f.GetName()) && !has("json_name") {
		options = append(options, option{"json_name", literal{scalar: quote(f.GetJsonName())}})
	}
	return n.sorted(options)
}

func (n optionNames) sorted(options []option) []option {
	if n.normal {
		slices.SortStableFunc(options, func(a, b option) int { return cmp.Compare(a.name, b.name) })
	}
	return options
}

// interpreted lists the options that m holds as fields. An option that known cannot name is left out.
func (n optionNames) interpreted(m proto.Message) []option {
	if n.known != nil {
		m = resolved(m, n.known)
	}
	type set struct {
		fd protoreflect.FieldDescriptor
		v  protoreflect.Value
	}
	var all []set
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Name() != "uninterpreted_option" && (fd.Name() != "map_entry" || fd.IsExtension()) {
			all = append(all, set{fd, v})
		}
		return true
	})
	slices.SortFunc(all, func(a, b set) int { return cmp.Compare(a.fd.Number(), b.fd.Number()) })
	var options []option
	for _, s := range all {
		name := string(s.fd.Name())
		if s.fd.IsExtension() {
			name = n.extensionName(s.fd)
		}
		if !s.fd.IsList() {
			options = append(options, option{name, valueLiteral(s.fd, s.v)})
			continue
		}
		for i := range s.v.List().Len() {
			options = append(options, option{name, valueLiteral(s.fd, s.v.List().Get(i))})
		}
	}
	return options
}

func (n optionNames) extensionName(fd protoreflect.FieldDescriptor) string {
	full := string(fd.FullName())
	first, _, _ := strings.Cut(full, ".")
	if n.ambiguous[first] {
		full = "." + full
	}
	return "(" + full + ")"
}

// resolved returns a copy of m in which extensions are fields rather than unknown bytes.
func resolved(m proto.Message, known extensionFinder) proto.Message {
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil {
		return m
	}
	named := m.ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: known, AllowPartial: true}).Unmarshal(b, named); err != nil {
		return m
	}
	return named
}

// asWritten lists the options that nobody has interpreted yet.
func asWritten(m proto.Message) []option {
	holder, ok := m.(interface {
		GetUninterpretedOption() []*descriptorpb.UninterpretedOption
	})
	if !ok {
		return nil
	}
	var options []option
	for _, o := range holder.GetUninterpretedOption() {
		var parts []string
		for _, p := range o.GetName() {
			name := p.GetNamePart()
			if p.GetIsExtension() {
				name = "(" + name + ")"
			}
			parts = append(parts, name)
		}
		options = append(options, option{strings.Join(parts, "."), writtenValue(o)})
	}
	return options
}

func writtenValue(o *descriptorpb.UninterpretedOption) literal {
	switch {
	case o.IdentifierValue != nil:
		return literal{scalar: o.GetIdentifierValue()}
	case o.PositiveIntValue != nil:
		return literal{scalar: strconv.FormatUint(o.GetPositiveIntValue(), 10)}
	case o.NegativeIntValue != nil:
		return literal{scalar: strconv.FormatInt(o.GetNegativeIntValue(), 10)}
	case o.DoubleValue != nil:
		return literal{scalar: float(o.GetDoubleValue(), 64)}
	case o.StringValue != nil:
		return literal{scalar: quote(string(o.GetStringValue()))}
	default:
		return readLiteral(o.GetAggregateValue())
	}
}

// defaultValue writes the default of a field, which the descriptor holds as text: bytes are escaped in it, strings are not.
func defaultValue(f *descriptorpb.FieldDescriptorProto) literal {
	v := f.GetDefaultValue()
	switch f.GetType() {
	case descriptorpb.FieldDescriptorProto_TYPE_STRING:
		v = quote(v)
	case descriptorpb.FieldDescriptorProto_TYPE_BYTES:
		v = `"` + v + `"`
	}
	return literal{scalar: v}
}

// float writes a number so that it is read back to the bit.
func float(v float64, bits int) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	default:
		return strconv.FormatFloat(v, 'g', -1, bits)
	}
}

// jsonName is the name that the JSON mapping gives a field unless told otherwise: no underscores, and a capital letter behind each.
func jsonName(name string) string {
	var b []byte
	up := false
	for i := range len(name) {
		c := name[i]
		if c == '_' {
			up = true
			continue
		}
		if up && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		b = append(b, c)
	}
	return string(b)
}
