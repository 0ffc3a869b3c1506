package serde

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// resolve brings a value written with one Avro schema to another, by Avro's rules of resolution: fields that the reader does not know go, those
// that it calls otherwise get their name from its aliases, and its defaults take the place of what is missing.
func resolve(reader *compiled, value any) (any, error) {
	text := reader.parsed.Canonical()
	if f, ok := reader.parsed.(schema.Formatter); ok {
		text = f.Formatted("resolved") // with the types of other schemas in it
	}
	p := projector{named: map[string]any{}}
	var root any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return nil, fmt.Errorf("schema of the reader: %w", err)
	}
	p.collect(root, "")
	// What Encode writes has the defaults of the reader, and its types.
	payload, err := reader.parsed.Encode(p.project(root, "", value, 0), nil)
	if err != nil {
		return nil, fmt.Errorf("as version %d of %s: %w", reader.Version, reader.Subject, err)
	}
	return reader.parsed.Decode(payload, nil)
}

// projector walks a schema as JSON. It knows the named types by their full names.
type projector struct{ named map[string]any }

func fullName(t map[string]any, space string) (name, inner string) {
	name, _ = t["name"].(string)
	if ns, ok := t["namespace"].(string); ok {
		space = ns
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name, name[:i]
	}
	if space != "" {
		name = space + "." + name
	}
	return name, space
}

func (p *projector) collect(t any, space string) {
	switch t := t.(type) {
	case []any:
		for _, b := range t {
			p.collect(b, space)
		}
	case map[string]any:
		if _, named := t["name"]; named {
			var name string
			name, space = fullName(t, space)
			p.named[name] = t
		}
		fields, _ := t["fields"].([]any)
		for _, f := range fields {
			if f, ok := f.(map[string]any); ok {
				p.collect(f["type"], space)
			}
		}
		p.collect(t["items"], space)
		p.collect(t["values"], space)
		if inner, ok := t["type"].(map[string]any); ok {
			p.collect(inner, space)
		}
	}
}

// find follows a name to its type.
func (p *projector) find(t any, space string) any {
	name, ok := t.(string)
	if !ok {
		return t
	}
	if found, ok := p.named[name]; ok {
		return found
	}
	if found, ok := p.named[space+"."+name]; ok {
		return found
	}
	return t
}

func (p *projector) project(t any, space string, v any, depth int) any {
	if depth > schema.MaxDepth {
		return v // Encode says that it is too deep
	}
	switch t := p.find(t, space).(type) {
	case string:
		return convert(t, v)
	case []any:
		if b := p.branch(t, space, v); b != nil {
			return p.project(b, space, v, depth+1)
		}
	case map[string]any:
		switch kind, _ := t["type"].(string); kind {
		case "record", "error":
			if from, ok := v.(map[string]any); ok {
				return p.record(t, space, from, depth)
			}
		case "array":
			if list, ok := v.([]any); ok {
				out := make([]any, len(list))
				for i, x := range list {
					out[i] = p.project(t["items"], space, x, depth+1)
				}
				return out
			}
		case "map":
			if from, ok := v.(map[string]any); ok {
				out := make(map[string]any, len(from))
				for k, x := range from {
					out[k] = p.project(t["values"], space, x, depth+1)
				}
				return out
			}
		case "string", "bytes":
			return convert(kind, v)
		case "enum":
			return p.symbol(t, v)
		}
	}
	return v
}

// symbol is the default of an enum for a symbol that it does not have.
func (p *projector) symbol(t map[string]any, v any) any {
	symbols, _ := t["symbols"].([]any)
	if slices.Contains(symbols, v) {
		return v
	}
	if d, ok := t["default"]; ok {
		return d
	}
	return v
}

// convert does what Avro allows between strings and bytes.
func convert(kind string, v any) any {
	switch x := v.(type) {
	case string:
		if kind == "bytes" {
			return []byte(x)
		}
	case []byte:
		if kind == "string" {
			return string(x)
		}
	}
	return v
}

func (p *projector) record(t map[string]any, space string, from map[string]any, depth int) any {
	_, inner := fullName(t, space)
	fields, _ := t["fields"].([]any)
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		f, _ := f.(map[string]any)
		name, _ := f["name"].(string)
		x, ok := from[name]
		if !ok {
			x, ok = aliased(f, from)
		}
		if ok {
			out[name] = p.project(f["type"], inner, x, depth+1)
		}
	}
	return out
}

func aliased(f, from map[string]any) (any, bool) {
	aliases, _ := f["aliases"].([]any)
	for _, a := range aliases {
		if name, ok := a.(string); ok {
			if x, ok := from[name]; ok {
				return x, true
			}
		}
	}
	return nil, false
}

// branch picks the branch of a union that an object or array belongs to: of records the one with the most of its fields. Scalars are left to Encode.
func (p *projector) branch(union []any, space string, v any) any {
	var best any
	score := -1
	for _, b := range union {
		t, _ := p.find(b, space).(map[string]any)
		kind, _ := t["type"].(string)
		n := -1
		switch x := v.(type) {
		case []any:
			if kind == "array" {
				n = 0
			}
		case map[string]any:
			if kind == "map" {
				n = 0
			}
			if kind == "record" {
				n = 1 + known(t, x)
			}
		}
		if n > score {
			best, score = b, n
		}
	}
	return best
}

func known(record, v map[string]any) int {
	n := 0
	fields, _ := record["fields"].([]any)
	for _, f := range fields {
		f, _ := f.(map[string]any)
		if name, ok := f["name"].(string); ok && v[name] != nil {
			n++
		}
	}
	return n
}
