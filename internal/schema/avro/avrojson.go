package avro

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/weir-stream/weir/internal/schema"
)

// Bounds of a JSON text of a value: a union within a record takes two levels of it.
const (
	maxJSONDepth  = 3 * schema.MaxDepth
	maxJSONValues = 2_000_000
)

// appendJSON reads one value and writes it in Avro's JSON encoding: values of unions but null as {"branch": value}, bytes as
// strings of characters up to U+00FF, numbers that are none as strings.
func (r *reader) appendJSON(dst []byte, t *typ) ([]byte, error) {
	if err := r.count(); err != nil {
		return nil, err
	}
	switch t.kind {
	case kNull:
		return append(dst, "null"...), nil
	case kBoolean:
		v, err := r.bool()
		return strconv.AppendBool(dst, v), err
	case kInt:
		v, err := r.int()
		return strconv.AppendInt(dst, v, 10), err
	case kLong:
		v, err := r.long()
		return strconv.AppendInt(dst, v, 10), err
	case kFloat, kDouble:
		v, err := r.float(t)
		bits := 64
		if t.kind == kFloat {
			bits = 32
		}
		return appendFloat(dst, v, bits), err
	case kString:
		b, err := r.bytes()
		return appendString(dst, string(b)), err
	case kEnum:
		s, err := r.symbol(t)
		return appendString(dst, s), err
	case kBytes, kFixed:
		b, err := r.opaque(t)
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return appendString(dst, string(runes)), err
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer func() { r.depth-- }()
	switch t.kind {
	case kRecord:
		return r.appendRecord(dst, t)
	case kArray, kMap:
		return r.appendItems(dst, t)
	}
	b, err := r.branch(t)
	if err != nil {
		return nil, err
	}
	if b.kind == kNull {
		return r.appendJSON(dst, b)
	}
	dst = append(appendString(append(dst, '{'), b.branchName()), ':')
	dst, err = r.appendJSON(dst, b)
	return append(dst, '}'), err
}

func (r *reader) appendRecord(dst []byte, t *typ) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i, f := range t.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, f.name), ':')
		if dst, err = r.appendJSON(dst, f.typ); err != nil {
			return nil, inside(f.name, err)
		}
	}
	return append(dst, '}'), nil
}

func (r *reader) appendItems(dst []byte, t *typ) ([]byte, error) {
	open, end := byte('['), byte(']')
	if t.kind == kMap {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for first := true; ; {
		n, err := r.block(t)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return append(dst, end), nil
		}
		for range n {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if t.kind == kMap {
				key, err := r.bytes()
				if err != nil {
					return nil, err
				}
				dst = append(appendString(dst, string(key)), ':')
			}
			if dst, err = r.appendJSON(dst, t.items); err != nil {
				return nil, err
			}
		}
	}
}

// jsonForm is the form of unions in a text.
type jsonForm uint8

const (
	asEncoding jsonForm = iota // {"branch": value}, or what only one branch takes
	asDefault                  // the value of one of the branches
)

// json appends what a JSON value stands for. A field that is missing is filled by its default. In a union a value without the name
// of a branch is taken for the first branch that takes it, which is how people write them.
func (e *encoder) json(t *typ, n *node, form jsonForm) error {
	if e.left--; e.left < 0 {
		return errSteps
	}
	switch t.kind {
	case kNull, kBoolean, kInt, kLong, kFloat, kDouble:
		return e.jsonScalar(t, n)
	case kString, kEnum, kBytes, kFixed:
		return e.jsonText(t, n)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer func() { e.depth-- }()
	switch t.kind {
	case kRecord:
		return e.jsonRecord(t, n, form)
	case kArray, kMap:
		return e.jsonItems(t, n, form)
	}
	return e.jsonUnion(t, n, form)
}

func wrongJSON(t *typ, n *node) error {
	return fmt.Errorf("want %s, got %s", t.branchName(), n.kind)
}

func (e *encoder) jsonScalar(t *typ, n *node) error {
	switch {
	case t.kind == kNull && n.kind == isNull:
		return nil
	case t.kind == kBoolean && (n.kind == isTrue || n.kind == isFalse):
		e.bool(n.kind == isTrue)
		return nil
	case (t.kind == kInt || t.kind == kLong) && n.kind == isNumber:
		bits := 64
		if t.kind == kInt {
			bits = 32
		}
		i, err := strconv.ParseInt(n.text, 10, bits)
		if err != nil && !n.isInteger() {
			// 5.0 and 5e0 are the integer 5.
			f, ferr := strconv.ParseFloat(n.text, 64)
			if ferr == nil && f == math.Trunc(f) && f >= -math.Ldexp(1, bits-1) && f < math.Ldexp(1, bits-1) && math.Abs(f) <= 1<<53 {
				i, err = int64(f), nil
			}
		}
		if err != nil {
			return fmt.Errorf("%s is no %s", shorten(n.text), t.kind)
		}
		e.varint(i)
		return nil
	case t.kind == kFloat || t.kind == kDouble:
		f, err := jsonFloat(n)
		if err != nil {
			return wrongJSON(t, n)
		}
		if t.kind == kFloat {
			e.float32(f)
		} else {
			e.float64(f)
		}
		return nil
	}
	return wrongJSON(t, n)
}

func jsonFloat(n *node) (float64, error) {
	if n.kind == isNumber || n.kind == isString && slices.Contains([]string{"NaN", "Infinity", "-Infinity"}, n.text) {
		f, err := strconv.ParseFloat(n.text, 64)
		if errors.Is(err, strconv.ErrRange) {
			err = nil // the infinity that it gives
		}
		return f, err
	}
	return 0, errors.New("no number")
}

func (e *encoder) jsonText(t *typ, n *node) error {
	if n.kind != isString {
		return wrongJSON(t, n)
	}
	if t.kind == kString || t.kind == kEnum {
		return e.simple(t, n.text)
	}
	b, err := latin1(n.text)
	if err != nil {
		return err
	}
	return e.simple(t, b)
}

func (e *encoder) jsonRecord(t *typ, n *node, form jsonForm) error {
	if n.kind != isObject {
		return wrongJSON(t, n)
	}
	members := make(map[string]*node, len(n.keys))
	for i, key := range n.keys {
		if _, ok := t.fieldIndex[key]; !ok {
			return fmt.Errorf("%s has no field %q", t.name, shorten(key))
		}
		members[key] = n.items[i]
	}
	for _, f := range t.fields {
		var err error
		switch v := members[f.name]; {
		case v != nil:
			err = e.json(f.typ, v, form)
		case f.def != nil:
			err = e.defaultValue(f)
		default:
			err = errors.New("is missing, and has no default")
		}
		if err != nil {
			return inside(f.name, err)
		}
	}
	return nil
}

func (e *encoder) jsonItems(t *typ, n *node, form jsonForm) error {
	if t.kind == kArray && n.kind != isArray || t.kind == kMap && n.kind != isObject {
		return wrongJSON(t, n)
	}
	if len(n.items) > 0 {
		e.varint(int64(len(n.items)))
		for i, m := range n.items {
			name := ""
			if t.kind == kMap {
				name = n.keys[i]
				e.string(name)
			}
			if err := e.json(t.items, m, form); err != nil {
				if name == "" {
					name = fmt.Sprint(i)
				}
				return inside(name, err)
			}
		}
	}
	e.varint(0)
	return nil
}

func (e *encoder) jsonUnion(t *typ, n *node, form jsonForm) error {
	var failed error // of the last branch that was tried
	try := func(i int, n *node) bool {
		from := len(e.out)
		e.varint(int64(i))
		err := e.json(t.branches[i], n, form)
		if err != nil {
			e.out = e.out[:from]
			failed = fmt.Errorf("as %s: %w", t.branches[i].branchName(), err)
		}
		return err == nil
	}
	if form == asEncoding && n.kind == isObject && len(n.keys) == 1 {
		i := slices.IndexFunc(t.branches, func(b *typ) bool { return b.branchName() == n.keys[0] })
		if i >= 0 {
			if try(i, n.items[0]) {
				return nil
			}
			if !slices.ContainsFunc(t.branches, func(b *typ) bool { return b.kind == kMap || b.kind == kRecord }) {
				return failed
			}
		}
	}
	named := failed // what was wrong with the branch that the text names
	for i := range t.branches {
		if try(i, n) {
			return nil
		}
	}
	switch {
	case named != nil:
		return named
	case failed == nil || len(t.branches) > 2:
		names := make([]string, len(t.branches))
		for i, b := range t.branches {
			names[i] = b.branchName()
		}
		return fmt.Errorf("no branch of %v takes %s", names, n.kind)
	}
	return failed
}
