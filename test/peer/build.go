package peer

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiKeys maps the name of a request, as kmsg spells it, to its key.
func apiKeys() map[string]int16 {
	keys := map[string]int16{}
	for k := range int16(128) {
		if req := kmsg.RequestForKey(k); req != nil {
			keys[kmsg.NameForKey(k)] = k
		}
	}
	return keys
}

// build makes the request name at version, with the fields of v over the protocol's defaults.
func (e *env) build(name string, version int16, v value) (kmsg.Request, error) {
	key, ok := e.keys[name]
	if !ok {
		return nil, fmt.Errorf("no request is called %q", name)
	}
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	obj, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%s: want {fields}", name)
	}
	if err := e.fill(reflect.ValueOf(req).Elem(), obj); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return req, nil
}

// fill sets the fields of the struct dst that obj names.
func (e *env) fill(dst reflect.Value, obj object) error {
	for _, f := range obj {
		field := dst.FieldByName(f.name)
		if !field.IsValid() {
			return fmt.Errorf("%s has no field %q", dst.Type().Name(), f.name)
		}
		if err := e.set(field, f.value); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// set stores v, evaluated, in dst, converted to the type of dst.
func (e *env) set(dst reflect.Value, v value) error {
	if v == value(word("null")) {
		if dst.Kind() != reflect.Pointer && dst.Kind() != reflect.Slice {
			return fmt.Errorf("a %s cannot be null", dst.Type())
		}
		dst.SetZero()
		return nil
	}
	switch dst.Kind() {
	case reflect.Pointer:
		elem := newDefault(dst.Type().Elem())
		dst.Set(elem)
		return e.set(elem.Elem(), v)
	case reflect.Struct:
		obj, ok := v.(object)
		if !ok {
			return errors.New("want {fields}")
		}
		return e.fill(dst, obj)
	case reflect.Slice:
		if vs, ok := v.(list); ok {
			return e.setSlice(dst, vs)
		}
	}
	got, err := e.eval(v)
	if err != nil {
		return err
	}
	return assign(dst, got)
}

func (e *env) setSlice(dst reflect.Value, vs list) error {
	s := reflect.MakeSlice(dst.Type(), 0, len(vs))
	for i, v := range vs {
		elem := newDefault(dst.Type().Elem()).Elem()
		if err := e.set(elem, v); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		s = reflect.Append(s, elem)
	}
	dst.Set(s)
	return nil
}

// newDefault returns a pointer to a new t with the defaults that the protocol gives its fields.
func newDefault(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if d, ok := reflect.TypeAssert[interface{ Default() }](p); ok {
		d.Default()
	}
	return p
}

// assign converts an evaluated value (string, []byte, int64, or what a variable holds) to the type of dst.
func assign(dst reflect.Value, got any) error {
	switch g := got.(type) {
	case unset:
		return nil
	case string:
		switch dst.Kind() {
		case reflect.String:
			dst.SetString(g)
			return nil
		case reflect.Bool:
			b, err := strconv.ParseBool(g)
			dst.SetBool(b)
			return err
		case reflect.Slice:
			dst.SetBytes([]byte(g))
			return nil
		case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			n, err := strconv.ParseInt(g, 0, dst.Type().Bits())
			dst.SetInt(n)
			return err
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			n, err := strconv.ParseUint(g, 0, dst.Type().Bits())
			dst.SetUint(n)
			return err
		case reflect.Float64:
			f, err := strconv.ParseFloat(g, 64)
			dst.SetFloat(f)
			return err
		case reflect.Array:
			b, err := hex.DecodeString(g)
			if err != nil || len(b) != dst.Len() {
				return fmt.Errorf("%q is not %d bytes in hexadecimal", g, dst.Len())
			}
			reflect.Copy(dst, reflect.ValueOf(b))
			return nil
		}
	default:
		if rv := reflect.ValueOf(got); rv.IsValid() && rv.CanConvert(dst.Type()) {
			dst.Set(rv.Convert(dst.Type()))
			return nil
		}
	}
	return fmt.Errorf("a %T does not fit a %s", got, dst.Type())
}

// eval turns a word, a text or a call into a Go value. In a word, $name stands for a variable; a word that is one
// variable has the variable's type. $now+N and $now-N are milliseconds around the start of the run.
func (e *env) eval(v value) (any, error) {
	switch v := v.(type) {
	case text:
		return string(v), nil
	case word:
		return e.evalWord(string(v))
	case call:
		return e.evalCall(v)
	}
	return nil, fmt.Errorf("want a plain value, not %T", v)
}

func (e *env) evalWord(w string) (any, error) {
	if rest, ok := strings.CutPrefix(w, "$now"); ok {
		if rest == "" {
			return e.now, nil
		}
		n, err := strconv.ParseInt(rest, 10, 64)
		return e.now + n, err
	}
	if name, ok := strings.CutPrefix(w, "$"); ok {
		if got, ok := e.vars[name]; ok {
			return got, nil
		}
	}
	if strings.Contains(w, "$") {
		w = strings.ReplaceAll(w, "$run", e.run)
		if strings.Contains(w, "$") {
			return nil, fmt.Errorf("unknown variable in %q", w)
		}
	}
	return w, nil
}

func (e *env) evalCall(c call) (any, error) {
	if c.name == "batch" {
		obj, ok := c.args[0].(object)
		if !ok {
			return nil, errors.New("batch: want {fields}")
		}
		return e.buildBatch(obj)
	}
	args := make([]any, len(c.args))
	for i, a := range c.args {
		var err error
		if args[i], err = e.eval(a); err != nil {
			return nil, err
		}
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(fmt.Sprint(args[i]))
		return n
	}
	switch {
	case c.name == "repeat" && len(args) == 2: // repeat(text, times)
		return strings.Repeat(fmt.Sprint(args[0]), number(1)), nil
	case c.name == "hex": // hex(0a 0b): bytes
		b, err := hex.DecodeString(strings.ReplaceAll(joinArgs(args), " ", ""))
		return b, err
	case c.name == "join": // join(a, b): bytes one after the other
		var b []byte
		for _, a := range args {
			b = append(b, bytesOf(a)...)
		}
		return b, nil
	case c.name == "cut" && len(args) == 2: // cut(bytes, n): the first n bytes, or all but the last -n
		b, n := bytesOf(args[0]), number(1)
		if n < 0 {
			n += len(b)
		}
		return b[:max(0, min(n, len(b)))], nil
	case c.name == "poke" && len(args) == 3: // poke(bytes, position, byte)
		b := append([]byte(nil), bytesOf(args[0])...)
		b[number(1)] = byte(number(2))
		return b, nil
	case c.name == "i16" && len(args) == 1:
		return binary.BigEndian.AppendUint16(nil, uint16(number(0))), nil //nolint:gosec // wraps on purpose
	case c.name == "i32" && len(args) == 1:
		return binary.BigEndian.AppendUint32(nil, uint32(number(0))), nil //nolint:gosec // wraps on purpose
	}
	return nil, fmt.Errorf("unknown call %s with %d arguments", c.name, len(args))
}

// unset is what a variable holds whose path led nowhere in the answer. A field set to it keeps its default.
type unset struct{}

func joinArgs(args []any) string {
	var b strings.Builder
	for _, a := range args {
		fmt.Fprint(&b, a)
	}
	return b.String()
}

func bytesOf(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return fmt.Append(nil, v)
}
