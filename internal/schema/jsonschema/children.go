package jsonschema

import (
	"fmt"
	"math"
	"strconv"
)

// object checks an object and its members.
func (c *checker) object(n *node, m map[string]any, ev *seen) *failure {
	if n.minProperties >= 0 && len(m) < n.minProperties {
		return &failure{keyword: "minProperties", why: fmt.Sprintf("%d members, at least %d are needed", len(m), n.minProperties)}
	}
	if n.maxProperties >= 0 && len(m) > n.maxProperties {
		return &failure{keyword: "maxProperties", why: fmt.Sprintf("%d members, at most %d are allowed", len(m), n.maxProperties)}
	}
	for _, name := range n.required {
		if _, ok := m[name]; !ok {
			return &failure{keyword: "required", why: "the member " + strconv.Quote(name) + " is missing"}
		}
	}
	for _, name := range n.order {
		if v, ok := m[name]; ok {
			if f := c.check(n.properties[name], v, nil); f != nil {
				return f.at(name)
			}
			ev.prop(name)
		}
	}
	if n.patterns != nil || n.additional != nil || n.propertyNames != nil {
		if f := c.members(n, m, ev); f != nil {
			return f
		}
	}
	if len(n.depArrays)+len(n.depSchemas) == 0 {
		return nil
	}
	return c.dependencies(n, m, ev)
}

// members checks those that no name in properties speaks of. Of several that fail it tells the first by name.
func (c *checker) members(n *node, m map[string]any, ev *seen) *failure {
	var worst *failure
	worstName := ""
	for name, v := range m {
		if f := c.member(n, name, v, ev); f != nil && (worst == nil || name < worstName) {
			worst, worstName = f, name
		}
	}
	if worst != nil {
		return worst.at(worstName)
	}
	return nil
}

func (c *checker) member(n *node, name string, v any, ev *seen) *failure {
	if n.propertyNames != nil {
		if f := c.check(n.propertyNames, name, nil); f != nil {
			return &failure{keyword: "propertyNames", why: f.keyword + ": " + f.reason()}
		}
	}
	_, known := n.properties[name]
	for _, p := range n.patterns {
		c.left--
		matches, sure := p.re.match(name)
		if !matches && sure {
			continue
		}
		known = true
		if sure {
			if f := c.check(p.n, v, nil); f != nil {
				return f
			}
		}
		ev.prop(name)
	}
	if known || n.additional == nil {
		return nil
	}
	if n.additional.never {
		return &failure{keyword: "additionalProperties", why: "this member is not allowed"}
	}
	ev.prop(name)
	return c.check(n.additional, v, nil)
}

func (c *checker) dependencies(n *node, m map[string]any, ev *seen) *failure {
	for _, name := range sortedKeys(n.depArrays) {
		if _, ok := m[name]; !ok {
			continue
		}
		for _, need := range n.depArrays[name] {
			if _, ok := m[need]; !ok {
				return &failure{keyword: "dependentRequired", why: fmt.Sprintf("the member %q needs %q", name, need)}
			}
		}
	}
	for _, name := range sortedKeys(n.depSchemas) {
		if _, ok := m[name]; ok {
			if f := c.sub(n.depSchemas[name], m, ev); f != nil {
				return f
			}
		}
	}
	return nil
}

// array checks a list and its items.
func (c *checker) array(n *node, list []any, ev *seen) *failure {
	if n.minItems >= 0 && len(list) < n.minItems {
		return &failure{keyword: "minItems", why: fmt.Sprintf("%d items, at least %d are needed", len(list), n.minItems)}
	}
	if n.maxItems >= 0 && len(list) > n.maxItems {
		return &failure{keyword: "maxItems", why: fmt.Sprintf("%d items, at most %d are allowed", len(list), n.maxItems)}
	}
	for i, v := range list {
		item := n.items
		if i < len(n.prefix) {
			item = n.prefix[i]
		}
		if item == nil {
			break
		}
		if f := c.check(item, v, nil); f != nil {
			return f.at(strconv.Itoa(i))
		}
		ev.item(i)
	}
	if n.contains != nil {
		if f := c.containing(n, list, ev); f != nil {
			return f
		}
	}
	if n.unique {
		return c.unique(list)
	}
	return nil
}

func (c *checker) containing(n *node, list []any, ev *seen) *failure {
	count := 0
	for i, v := range list {
		if c.check(n.contains, v, nil) == nil {
			count++
			if n.src.DraftVersion >= 2020 {
				ev.item(i)
			}
		}
	}
	least := max(n.minContains, 0)
	if n.minContains < 0 {
		least = 1
	}
	if count < least {
		return &failure{keyword: "contains", why: fmt.Sprintf("%d matching items, at least %d are needed", count, least)}
	}
	if n.maxContains >= 0 && count > n.maxContains {
		return &failure{keyword: "maxContains", why: fmt.Sprintf("%d matching items, at most %d are allowed", count, n.maxContains)}
	}
	return nil
}

// unique compares items by a text that equal ones share, so that its time does not grow with their square.
func (c *checker) unique(list []any) *failure {
	at := make(map[string]int, len(list))
	var b []byte
	for i, v := range list {
		var err error
		if b, err = appendPlain(b[:0], comparable(v), 0); err != nil {
			return &failure{keyword: "uniqueItems", why: err.Error()}
		}
		if j, twice := at[string(b)]; twice {
			return &failure{keyword: "uniqueItems", why: fmt.Sprintf("the items %d and %d are the same", j, i)}
		}
		at[string(b)] = i
	}
	return nil
}

// comparable makes floats that are integers into integers, all the way down.
func comparable(v any) any {
	switch x := v.(type) {
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<63 {
			return int64(x)
		}
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = comparable(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = comparable(e)
		}
		return out
	}
	return v
}
