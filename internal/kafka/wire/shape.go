package wire

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// requestShape describes a request as the decoder reads it. The notation of text is a list of fields:
//
//	1 2 4 8 16     that many bytes
//	s S            string, nullable string
//	b B            bytes, nullable bytes
//	[n field]      array whose elements take n bytes of memory once decoded
//	{fields}       structure, which ends with tags in flexible versions
//	?{fields}      structure after a byte that is -1 if there is none
//	field@a-b      only in versions a to b; without b, in all from a
//	#t:field       not in its place but under tag t
type requestShape struct {
	name          string
	firstFlexible int16
	newest        int16 // version
	structBytes   int32 // memory of the request itself
	text          string
}

type fieldKind uint8

const (
	kindFixed fieldKind = iota
	kindString
	kindNullableString
	kindBytes
	kindNullableBytes
	kindArray
	kindStruct
	kindNullableStruct
)

// field is the parsed form of one field.
type field struct {
	kind        fieldKind
	width       int32 // bytes on the wire of a fixed field; bytes in memory of an array's element
	first, last int16 // versions
	tag         int32 // -1: in its place
	parts       []field
}

// parsedShapes holds the fields of each request, read from the notation at the first use.
var parsedShapes = sync.OnceValue(func() [][]field {
	all := make([][]field, len(requestShapes))
	for key, s := range requestShapes {
		p := shapeParser{rest: s.text}
		all[key] = p.fields()
		if p.rest != "" {
			panic(fmt.Sprintf("wire: shape of request %d is not understood at %q", key, p.rest))
		}
	}
	return all
})

type shapeParser struct{ rest string }

func (p *shapeParser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *shapeParser) number() int {
	end := 0
	for end < len(p.rest) && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(p.rest[:end])
	if err != nil {
		panic(fmt.Sprintf("wire: want a number in a shape at %q", p.rest))
	}
	p.rest = p.rest[end:]
	return n
}

func (p *shapeParser) fields() []field {
	var out []field
	for p.rest != "" && p.rest[0] != '}' && p.rest[0] != ']' {
		out = append(out, p.field())
		p.take(" ")
	}
	return out
}

const lastVersion = 1<<15 - 1

func (p *shapeParser) field() field {
	f := field{last: lastVersion, tag: -1}
	if p.take("#") {
		f.tag = int32(p.number())
		p.take(":")
	}
	switch {
	case p.take("s"):
		f.kind = kindString
	case p.take("S"):
		f.kind = kindNullableString
	case p.take("b"):
		f.kind = kindBytes
	case p.take("B"):
		f.kind = kindNullableBytes
	case p.take("["):
		f.kind, f.width = kindArray, int32(p.number())
		p.take(" ")
		f.parts = []field{p.field()}
		p.take("]")
	case p.take("{"):
		f.kind, f.parts = kindStruct, p.fields()
		p.take("}")
	case p.take("?{"):
		f.kind, f.parts = kindNullableStruct, p.fields()
		p.take("}")
	default:
		f.kind, f.width = kindFixed, int32(p.number())
	}
	if p.take("@") {
		f.first = int16(p.number())
		p.take("-")
		if p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' {
			f.last = int16(p.number())
		}
	}
	return f
}
