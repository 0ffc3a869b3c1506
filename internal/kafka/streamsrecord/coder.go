package streamsrecord

import "github.com/twmb/franz-go/pkg/kbin"

// coder visits the fields of a value, to write them or to read them.
type coder struct {
	writing bool
	out     []byte
	in      kbin.Reader
}

func (c *coder) i8(p *int8) {
	if c.writing {
		c.out = kbin.AppendInt8(c.out, *p)
		return
	}
	*p = c.in.Int8()
}

func (c *coder) i16(p *int16) {
	if c.writing {
		c.out = kbin.AppendInt16(c.out, *p)
		return
	}
	*p = c.in.Int16()
}

func (c *coder) u16(p *uint16) {
	if c.writing {
		c.out = kbin.AppendUint16(c.out, *p)
		return
	}
	*p = c.in.Uint16()
}

func (c *coder) i32(p *int32) {
	if c.writing {
		c.out = kbin.AppendInt32(c.out, *p)
		return
	}
	*p = c.in.Int32()
}

func (c *coder) i64(p *int64) {
	if c.writing {
		c.out = kbin.AppendInt64(c.out, *p)
		return
	}
	*p = c.in.Int64()
}

func (c *coder) text(p *string) {
	if c.writing {
		c.out = kbin.AppendCompactString(c.out, *p)
		return
	}
	*p = c.in.CompactString()
}

func (c *coder) nullable(p **string) {
	if c.writing {
		c.out = kbin.AppendCompactNullableString(c.out, *p)
		return
	}
	*p = c.in.CompactNullableString()
}

// list visits an array whose items take at least itemBytes each. An empty one is read as nil.
func list[T any](c *coder, p *[]T, itemBytes int, item func(*T, *coder)) {
	if c.writing {
		c.out = kbin.AppendCompactArrayLen(c.out, len(*p))
	} else {
		n := max(int(c.in.CompactArrayLen()), 0)
		if n > len(c.in.Src)/itemBytes {
			c.in.Span(len(c.in.Src) + 1) // not enough bytes: the reader becomes invalid
			return
		}
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
	for i := range *p {
		item(&(*p)[i], c)
	}
}

func texts(c *coder, p *[]string) { list(c, p, 1, func(s *string, c *coder) { c.text(s) }) }

// tag is a tagged field, written if present is true.
type tag struct {
	number  uint32
	present bool
	field   func(*coder)
}

// tags visits tagged fields in order of their numbers. Those that are not known are passed over.
func (c *coder) tags(known ...tag) {
	if !c.writing {
		for n := c.in.Uvarint(); n > 0 && c.in.Ok(); n-- {
			number, size := c.in.Uvarint(), c.in.Uvarint()
			body := c.in.Span(int(size))
			for _, t := range known {
				if t.number == number && c.in.Ok() {
					in := coder{in: kbin.Reader{Src: body}}
					if t.field(&in); in.in.Complete() != nil {
						c.in.Span(len(c.in.Src) + 1)
					}
				}
			}
		}
		return
	}
	var present []tag
	for _, t := range known {
		if t.present {
			present = append(present, t)
		}
	}
	c.out = kbin.AppendUvarint(c.out, uint32(len(present)))
	for _, t := range present {
		body := coder{writing: true}
		t.field(&body)
		c.out = kbin.AppendUvarint(c.out, t.number)
		c.out = kbin.AppendUvarint(c.out, uint32(len(body.out)))
		c.out = append(c.out, body.out...)
	}
}
