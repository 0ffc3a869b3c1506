package protobuf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// The printer writes a descriptor as a .proto file, in the layout in which Confluent's registry keeps them: no comments, two spaces,
// first what is reserved, options, fields and extensions of a message, then the messages and enums within it, and an empty line
// between those kinds. Reading the text again makes the same descriptor; above all every message keeps its index, for payloads carry it.

// The ends of ranges that the language writes as max.
const (
	maxField = 536870912 // exclusive
	maxEnum  = 2147483647
)

type printer struct {
	lines  strings.Builder
	depth  int
	opts   optionNames
	normal bool
	syntax string // proto2, proto3 or editions
}

// printFile prints f. Known names the options that f holds interpreted; an unlinked file has none, and known may be nil. The normal form
// has sorted imports, options, fields and constants.
func printFile(f *descriptorpb.FileDescriptorProto, known extensionFinder, normal bool) string {
	p := &printer{normal: normal, syntax: f.GetSyntax(), opts: newOptionNames(f, known, normal)}
	switch {
	case f.Edition != nil && f.GetSyntax() != "proto2" && f.GetSyntax() != "proto3":
		p.syntax = "editions"
		p.line("edition = " + quote(strings.TrimPrefix(f.GetEdition().String(), "EDITION_")) + ";")
	case p.syntax == "proto3":
		p.line(`syntax = "proto3";`)
	default:
		p.syntax = "proto2"
		p.line(`syntax = "proto2";`)
	}
	if f.Package != nil {
		p.line("package " + f.GetPackage() + ";")
	}
	p.imports(f)
	if options := p.opts.of(f.GetOptions()); len(options) > 0 {
		p.line("")
		p.options(options)
	}
	if len(f.GetMessageType())+len(f.GetEnumType()) > 0 {
		p.line("")
	}
	groups := groupNames(nil, f.GetExtension(), p.syntax)
	for _, m := range f.GetMessageType() {
		if !groups[m.GetName()] {
			p.message(m)
		}
	}
	for _, e := range f.GetEnumType() {
		p.enum(e)
	}
	if len(f.GetExtension()) > 0 {
		p.line("")
		p.extensions(f.GetExtension(), f.GetMessageType())
	}
	if len(f.GetService()) > 0 {
		p.line("")
		for _, s := range f.GetService() {
			p.service(s)
		}
	}
	return p.lines.String()
}

func (p *printer) line(s string) {
	if s != "" {
		for range p.depth {
			p.lines.WriteString("  ")
		}
	}
	p.lines.WriteString(s)
	p.lines.WriteByte('\n')
}

// block prints a head, what body prints one step further in, and the bracket that closes it.
func (p *printer) block(head string, body func()) {
	p.line(head + " {")
	p.depth++
	body()
	p.depth--
	p.line("}")
}

func (p *printer) imports(f *descriptorpb.FileDescriptorProto) {
	var imports []string
	for i, path := range f.GetDependency() {
		kind := ""
		if slices.Contains(f.GetPublicDependency(), int32(i)) { //nolint:gosec // at most maxImports of them
			kind = "public "
		} else if slices.Contains(f.GetWeakDependency(), int32(i)) { //nolint:gosec // at most maxImports of them
			kind = "weak "
		}
		imports = append(imports, "import "+kind+quote(path)+";")
	}
	if p.normal {
		slices.Sort(imports) // a public import sorts behind the others, for p follows the quotation mark
		imports = slices.Compact(imports)
	}
	if len(imports) > 0 {
		p.line("")
	}
	for _, line := range imports {
		p.line(line)
	}
}

// options prints options as statements.
func (p *printer) options(options []option) {
	for _, o := range options {
		p.text("option "+o.name+" = ", o.value, ";")
	}
}

// text prints a value that may take several lines.
func (p *printer) text(head string, v literal, tail string) {
	lines := strings.Split(v.String(), "\n")
	lines[0] = head + lines[0]
	lines[len(lines)-1] += tail
	for _, l := range lines {
		p.line(l)
	}
}

// brackets prints options in brackets behind what they belong to: one on the same line, several on a line each.
func (p *printer) brackets(head string, options []option, tail string) {
	switch len(options) {
	case 0:
		p.line(head + tail)
	case 1:
		p.text(head+" ["+options[0].name+" = ", options[0].value, "]"+tail)
	default:
		p.line(head + " [")
		p.depth++
		for i, o := range options {
			comma := ","
			if i == len(options)-1 {
				comma = ""
			}
			p.text(o.name+" = ", o.value, comma)
		}
		p.depth--
		p.line("]" + tail)
	}
}

func (p *printer) enum(e *descriptorpb.EnumDescriptorProto) {
	p.block("enum "+e.GetName(), func() {
		p.options(p.opts.of(e.GetOptions()))
		values := e.GetValue()
		if p.normal {
			// The first value is the default: it stays the first.
			values = slices.Clone(values)
			if len(values) > 1 {
				slices.SortStableFunc(values[1:], func(a, b *descriptorpb.EnumValueDescriptorProto) int {
					return cmp.Or(cmp.Compare(a.GetNumber(), b.GetNumber()), cmp.Compare(a.GetName(), b.GetName()))
				})
			}
		}
		for _, v := range values {
			p.brackets(v.GetName()+" = "+number(v.GetNumber()), p.opts.of(v.GetOptions()), ";")
		}
		var ranges [][2]int32
		for _, r := range e.GetReservedRange() {
			ranges = append(ranges, [2]int32{r.GetStart(), r.GetEnd()})
		}
		p.reserved(ranges, e.GetReservedName(), maxEnum)
	})
}

// reserved prints ranges, both ends of which are in them, and names.
func (p *printer) reserved(ranges [][2]int32, names []string, most int32) {
	if p.normal {
		ranges, names = slices.Clone(ranges), slices.Clone(names)
		slices.SortFunc(ranges, func(a, b [2]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		slices.Sort(names)
	}
	for _, r := range ranges {
		p.line("reserved " + rangeText(r, most) + ";")
	}
	for _, n := range names {
		if p.syntax != "editions" {
			n = quote(n)
		}
		p.line("reserved " + n + ";")
	}
}

func rangeText(r [2]int32, most int32) string {
	switch {
	case r[0] == r[1]:
		return number(r[0])
	case r[1] >= most:
		return number(r[0]) + " to max"
	default:
		return number(r[0]) + " to " + number(r[1])
	}
}

func (p *printer) service(s *descriptorpb.ServiceDescriptorProto) {
	p.block("service "+s.GetName(), func() {
		options := p.opts.of(s.GetOptions())
		p.options(options)
		if len(options) > 0 && len(s.GetMethod()) > 0 {
			p.line("")
		}
		for _, m := range s.GetMethod() {
			in, out := m.GetInputType(), m.GetOutputType()
			if m.GetClientStreaming() {
				in = "stream " + in
			}
			if m.GetServerStreaming() {
				out = "stream " + out
			}
			head := "rpc " + m.GetName() + " (" + in + ") returns (" + out + ")"
			if options := p.opts.of(m.GetOptions()); len(options) > 0 {
				p.block(head, func() { p.options(options) })
			} else {
				p.line(head + ";")
			}
		}
	})
}

func number(n int32) string { return strconv.Itoa(int(n)) }

// simple returns the last part of a dotted name.
func simple(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// quote writes a string as the language reads it. Bytes that are no UTF-8 become octal.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < ' ' || r == 0x7f || r == '\uFFFD':
			return quoteBytes(s)
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"'))
}

// quoteBytes writes every byte that is not printable ASCII as octal.
func quoteBytes(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
