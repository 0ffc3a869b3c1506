package jsonschema

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of one validation. A schema can ask for work that grows with the power of the depth of a payload; a step is one
// schema looked at for one value.
const (
	maxSteps     = 500_000
	stepsPerByte = 16   // of the payload: what an honest schema asks of a large one
	maxRecursion = 4000 // of schemas within schemas, references included
)

var (
	errSteps     = errors.New("the schema takes too many steps for this payload")
	errRecursion = errors.New("the schema refers to itself without end")
)

// failure is where and why a value does not obey. The path is built on the way out, innermost first.
type failure struct {
	keyword string
	why     string // or, for the keyword type:
	got     types
	want    types
	first   *failure // of a list of schemas that all fail, why the first does
	path    []string
}

func (f *failure) at(token string) *failure {
	f.path = append(f.path, token)
	return f
}

func (f *failure) Error() string {
	slices.Reverse(f.path)
	for i, token := range f.path {
		f.path[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
	}
	why := f.reason()
	if first := f.first; first != nil {
		for first.first != nil {
			first = first.first
		}
		why += ", the first because " + first.keyword + ": " + first.reason()
	}
	return fmt.Sprintf("#/%s: %s: %s", strings.Join(f.path, "/"), f.keyword, why)
}

// reason is made when it is asked for: most failures are of alternatives, and nobody reads them.
func (f *failure) reason() string {
	if f.want != 0 {
		return fmt.Sprintf("got %s, want %s", f.got, f.want)
	}
	return f.why
}

// checker is one validation.
type checker struct {
	left, depth int // steps left
	stopped     error
}

// seen notes which parts of an object or a list some schema has looked at; unevaluated keywords ask for it.
type seen struct {
	all   bool
	props map[string]bool
	items map[int]bool
}

func (s *seen) prop(name string) {
	if s != nil && !s.all {
		if s.props == nil {
			s.props = map[string]bool{}
		}
		s.props[name] = true
	}
}

func (s *seen) item(i int) {
	if s != nil && !s.all {
		if s.items == nil {
			s.items = map[int]bool{}
		}
		s.items[i] = true
	}
}

func (s *seen) merge(o *seen) {
	if s == nil || o == nil {
		return
	}
	s.all = s.all || o.all
	for name := range o.props {
		s.prop(name)
	}
	for i := range o.items {
		s.item(i)
	}
}

// validate says whether a value of the plain model, read from so many bytes, obeys the schema.
func validate(n *node, v any, size int) error {
	c := &checker{left: maxSteps + stepsPerByte*size}
	f := c.check(n, v, nil)
	switch {
	case c.stopped != nil:
		return c.stopped
	case f != nil:
		return f
	}
	return nil
}

// matches is validate for a branch that is to be chosen.
func (c *checker) matches(n *node, v any) bool {
	return c.check(n, v, nil) == nil && c.stopped == nil
}

var stop = &failure{keyword: "stopped"}

// check looks at one value with one schema. Ev is nil if nobody asks what was looked at.
func (c *checker) check(n *node, v any, ev *seen) *failure {
	if n.always {
		return nil
	}
	if n.never {
		return &failure{keyword: "false", why: "nothing is allowed here"}
	}
	if c.stopped != nil {
		return stop
	}
	if c.left--; c.left < 0 {
		c.stopped = errSteps
		return stop
	}
	if c.depth++; c.depth > maxRecursion {
		c.stopped = errRecursion
		return stop
	}
	f := c.node(n, v, ev)
	c.depth--
	return f
}

func (c *checker) node(n *node, v any, ev *seen) *failure {
	if n.refOnly {
		return c.check(n.ref, v, ev)
	}
	if f := c.scalar(n, v); f != nil {
		return f
	}
	own := ev
	if own == nil && (n.unevaluatedProps != nil || n.unevaluatedItems != nil) {
		own = &seen{}
	}
	switch x := v.(type) {
	case map[string]any:
		if f := c.object(n, x, own); f != nil {
			return f
		}
	case []any:
		if f := c.array(n, x, own); f != nil {
			return f
		}
	}
	if f := c.combined(n, v, own); f != nil {
		return f
	}
	return c.unevaluated(n, v, own)
}

func typesOf(v any) types {
	switch x := v.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case int64, uint64:
		return typeInteger | typeNumber
	case float64:
		if x == math.Trunc(x) {
			return typeInteger | typeNumber
		}
		return typeNumber
	case string:
		return typeString
	case []any:
		return typeArray
	case map[string]any:
		return typeObject
	}
	return 0
}

func (t types) String() string {
	var names []string
	for _, name := range sortedKeys(typeNames) {
		if t&typeNames[name] != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// scalar checks what does not go down into the value.
func (c *checker) scalar(n *node, v any) *failure {
	t := typesOf(v)
	if t == 0 {
		return &failure{keyword: "type", why: fmt.Sprintf("a value of type %T is not in the plain model", v)}
	}
	if n.types != 0 && n.types&t == 0 {
		if t&typeInteger != 0 {
			t = typeInteger
		}
		return &failure{keyword: "type", got: t, want: n.types}
	}
	if n.constant != nil && !same(v, *n.constant) {
		return &failure{keyword: "const", why: "the value is another"}
	}
	if n.enum != nil && !slices.ContainsFunc(n.enum, func(e any) bool { return same(v, e) }) {
		return &failure{keyword: "enum", why: "the value is none of those allowed"}
	}
	if n.format != nil {
		if err := n.format.Validate(v); err != nil {
			return &failure{keyword: "format", why: "this is no " + n.format.Name}
		}
	}
	switch x := v.(type) {
	case string:
		return n.str(x)
	case int64, uint64, float64:
		return n.number(x)
	}
	return nil
}

func (n *node) str(s string) *failure {
	if n.minLength >= 0 || n.maxLength >= 0 {
		l := utf8.RuneCountInString(s)
		if n.minLength >= 0 && l < n.minLength {
			return &failure{keyword: "minLength", why: fmt.Sprintf("%d characters, at least %d are needed", l, n.minLength)}
		}
		if n.maxLength >= 0 && l > n.maxLength {
			return &failure{keyword: "maxLength", why: fmt.Sprintf("%d characters, at most %d are allowed", l, n.maxLength)}
		}
	}
	if n.pattern != nil && !n.pattern.MatchString(s) {
		return &failure{keyword: "pattern", why: "the text does not match " + n.pattern.text}
	}
	return nil
}

func (n *node) number(v any) *failure {
	if n.maximum != nil && n.maximum.cmp(v) > 0 {
		return &failure{keyword: "maximum", why: "more than " + n.maximum.text}
	}
	if n.minimum != nil && n.minimum.cmp(v) < 0 {
		return &failure{keyword: "minimum", why: "less than " + n.minimum.text}
	}
	if n.exclusiveMaximum != nil && n.exclusiveMaximum.cmp(v) >= 0 {
		return &failure{keyword: "exclusiveMaximum", why: "not less than " + n.exclusiveMaximum.text}
	}
	if n.exclusiveMinimum != nil && n.exclusiveMinimum.cmp(v) <= 0 {
		return &failure{keyword: "exclusiveMinimum", why: "not more than " + n.exclusiveMinimum.text}
	}
	if n.multipleOf != nil && !n.multipleOf.divides(v) {
		return &failure{keyword: "multipleOf", why: "no multiple of " + n.multipleOf.text}
	}
	return nil
}

// cmp compares v with the bound: -1 if v is less.
func (b *bound) cmp(v any) int {
	if i, ok := v.(int64); ok && b.isI {
		switch {
		case i < b.i:
			return -1
		case i > b.i:
			return 1
		}
		return 0
	}
	if f, ok := v.(float64); ok && f != b.f {
		// Rounding keeps the order: only if both round to the same float the exact numbers decide.
		if f < b.f {
			return -1
		}
		return 1
	}
	return rat(v).Cmp(b.rat)
}

func (b *bound) divides(v any) bool {
	if b.rat.Sign() == 0 {
		return true
	}
	if i, ok := v.(int64); ok && b.isI {
		return i%b.i == 0
	}
	return new(big.Rat).Quo(rat(v), b.rat).IsInt()
}

// rat is the number exactly as its shortest decimal form says: 0.1 is a tenth.
func rat(v any) *big.Rat {
	r := new(big.Rat)
	switch x := v.(type) {
	case int64:
		return r.SetInt64(x)
	case uint64:
		return r.SetUint64(x)
	case float64:
		if _, ok := r.SetString(strconv.FormatFloat(x, 'g', -1, 64)); ok {
			return r
		}
	}
	return r
}

// same compares two values; numbers are equal if they are the same number, whatever their kind.
func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, e := range x {
			if f, ok := y[k]; !ok || !same(e, f) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case int64, uint64, float64:
		switch b.(type) {
		case int64, uint64, float64:
			if _, ok := a.(float64); ok || a != b {
				return rat(a).Cmp(rat(b)) == 0
			}
			return true
		}
		return false
	case []byte:
		return false
	}
	switch b.(type) {
	case map[string]any, []any, []byte:
		return false
	}
	return a == b
}

// combined checks what looks at the same value with further schemas.
func (c *checker) combined(n *node, v any, ev *seen) *failure {
	for _, ref := range [...]*node{n.ref, n.dynamic} {
		if ref != nil {
			if f := c.sub(ref, v, ev); f != nil {
				return f
			}
		}
	}
	for _, s := range n.allOf {
		if f := c.sub(s, v, ev); f != nil {
			return f
		}
	}
	if n.anyOf != nil {
		if f := c.any(n.anyOf, v, ev); f != nil {
			return f
		}
	}
	if n.oneOf != nil {
		if f := c.one(n.oneOf, v, ev); f != nil {
			return f
		}
	}
	if n.not != nil && c.check(n.not, v, nil) == nil {
		return &failure{keyword: "not", why: "the value is one that is excluded"}
	}
	if n.cond != nil {
		branch := n.otherwise
		if c.sub(n.cond, v, ev) == nil {
			branch = n.then
		}
		if branch != nil {
			return c.sub(branch, v, ev)
		}
	}
	return nil
}

// sub checks with another schema and takes over what it has looked at only if it holds.
func (c *checker) sub(n *node, v any, ev *seen) *failure {
	if ev == nil {
		return c.check(n, v, nil)
	}
	own := &seen{}
	f := c.check(n, v, own)
	if f == nil {
		ev.merge(own)
	}
	return f
}

func (c *checker) any(list []*node, v any, ev *seen) *failure {
	var first *failure
	ok := false
	for _, s := range list {
		f := c.sub(s, v, ev)
		if f == nil {
			if ok = true; ev == nil {
				return nil
			}
		} else if first == nil {
			first = f
		}
	}
	if ok {
		return nil
	}
	return wrap("anyOf", "none of the schemas allows the value", first)
}

func (c *checker) one(list []*node, v any, ev *seen) *failure {
	var first *failure
	found := -1
	for i, s := range list {
		f := c.sub(s, v, ev)
		switch {
		case f == nil && found >= 0:
			return &failure{keyword: "oneOf", why: fmt.Sprintf("the schemas %d and %d both allow the value", found, i)}
		case f == nil:
			found = i
		case first == nil:
			first = f
		}
	}
	if found >= 0 {
		return nil
	}
	return wrap("oneOf", "none of the schemas allows the value", first)
}

// wrap tells of a list of schemas that all fail.
func wrap(keyword, why string, first *failure) *failure {
	if first == stop {
		return stop
	}
	return &failure{keyword: keyword, why: why, first: first}
}

func (c *checker) unevaluated(n *node, v any, ev *seen) *failure {
	switch x := v.(type) {
	case map[string]any:
		if n.unevaluatedProps == nil {
			return nil
		}
		for _, name := range sortedKeys(x) {
			if !ev.all && !ev.props[name] {
				if f := c.check(n.unevaluatedProps, x[name], nil); f != nil {
					return f.at(name)
				}
			}
		}
		ev.all = true
	case []any:
		if n.unevaluatedItems == nil {
			return nil
		}
		for i, e := range x {
			if !ev.all && !ev.items[i] {
				if f := c.check(n.unevaluatedItems, e, nil); f != nil {
					return f.at(strconv.Itoa(i))
				}
			}
		}
		ev.all = true
	}
	return nil
}
