package avro

import (
	"errors"
	"fmt"
	"strconv"
)

// maxFitSteps bounds the work of judging one default: where unions meet unions, there may be many ways to try.
const maxFitSteps = 1_000_000

// fits tells whether a default has the form that Java demands of new schemas: the right sort of JSON value, and of integers the
// right range. The default of a union may be of any branch. A record may leave out fields that have a default of their own.
func fits(t *typ, n *node) bool {
	f := fitting{known: map[fit]bool{}, left: maxFitSteps}
	return f.fits(t, n)
}

type fit struct {
	typ  *typ
	node *node
}

type fitting struct {
	known map[fit]bool
	left  int
}

func (f *fitting) fits(t *typ, n *node) bool {
	if f.left--; f.left < 0 {
		return false
	}
	switch t.kind {
	case kNull:
		return n.kind == isNull
	case kBoolean:
		return n.kind == isTrue || n.kind == isFalse
	case kInt:
		_, err := strconv.ParseInt(n.text, 10, 32)
		return n.isInteger() && err == nil
	case kLong:
		_, err := strconv.ParseInt(n.text, 10, 64)
		return n.isInteger() && err == nil
	case kFloat, kDouble:
		return n.kind == isNumber || n.kind == isString && (n.text == "NaN" || n.text == "Infinity" || n.text == "-Infinity")
	case kBytes, kString, kEnum, kFixed:
		return n.kind == isString
	}
	key := fit{t, n}
	if ok, known := f.known[key]; known {
		return ok
	}
	ok := f.composed(t, n)
	f.known[key] = ok
	return ok
}

func (f *fitting) composed(t *typ, n *node) bool {
	switch t.kind {
	case kArray, kMap:
		if t.kind == kArray && n.kind != isArray || t.kind == kMap && n.kind != isObject {
			return false
		}
		for _, m := range n.items {
			if !f.fits(t.items, m) {
				return false
			}
		}
		return true
	case kUnion:
		for _, b := range t.branches {
			if f.fits(b, n) {
				return true
			}
		}
		return false
	}
	if n.kind != isObject {
		return false
	}
	for _, field := range t.fields {
		v := n.get(field.name)
		if v == nil && field.def == nil || v != nil && !f.fits(field.typ, v) {
			return false
		}
	}
	return true
}

// maxDefaultBytes bounds all defaults of a schema together, as bytes: records full of records with defaults grow fast.
const maxDefaultBytes = 16 << 20

// fill is the default of a field as it stands in a payload, or why it cannot.
type fill struct {
	bytes []byte
	err   error
}

var errEndless = errors.New("the default contains itself")

// fillDefaults turns the defaults of all fields into bytes. One that does not fit is an error for who needs it, not of the schema.
func fillDefaults(fields []placedField) {
	f := filler{left: maxDefaultBytes}
	for _, p := range fields {
		f.fill(p.field, 0)
	}
}

type filler struct{ left int }

func (f *filler) fill(of *field, depth int) *fill {
	if of.filled != nil {
		return of.filled
	}
	of.filled = &fill{err: errEndless}
	e := &encoder{left: freeSteps, depth: depth, filler: f}
	err := e.json(of.typ, of.def, asDefault)
	if f.left -= len(e.out); err == nil && f.left < 0 {
		err = fmt.Errorf("defaults of more than %d bytes", maxDefaultBytes)
	}
	if err != nil {
		of.filled = &fill{err: fmt.Errorf("its default: %w", err)}
	} else {
		of.filled = &fill{bytes: e.out}
	}
	return of.filled
}

// defaultValue writes the default of a field.
func (e *encoder) defaultValue(f *field) error {
	d := f.filled
	if d == nil && e.filler != nil {
		d = e.filler.fill(f, e.depth)
	}
	if d.err != nil {
		return d.err
	}
	if len(e.out)+len(d.bytes) > maxPayloadBytes {
		return errGrown
	}
	e.out = append(e.out, d.bytes...)
	return nil
}
