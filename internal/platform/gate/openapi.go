package gate

import (
	"cmp"
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Document makes the OpenAPI 3.1 document of a service out of its table.
func Document(o *Options) map[string]any {
	d := &document{schemas: map[string]any{}}
	paths := map[string]map[string]any{}
	for i := range o.Routes {
		r := &o.Routes[i]
		if r.Hidden {
			continue
		}
		path := strings.ReplaceAll(r.Path, "...}", "}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.Method)] = d.operation(o, r)
	}
	d.schemas["Error"] = d.of(reflect.TypeFor[ErrorBody]())
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": o.Title, "description": o.Description, "version": cmp.Or(o.Version, "unknown"), "license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"servers": []any{map[string]any{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         d.schemas,
			"securitySchemes": map[string]any{"basic": map[string]any{"type": "http", "scheme": "basic"}, "bearer": map[string]any{"type": "http", "scheme": "bearer"}},
		},
		"security": []any{map[string]any{}, map[string]any{"basic": []any{}}, map[string]any{"bearer": []any{}}},
	}
}

// document gathers the schemas of named types.
type document struct{ schemas map[string]any }

func (d *document) operation(o *Options, r *Route) map[string]any {
	out := map[string]any{"operationId": r.Name, "summary": r.Summary}
	if r.Tag != "" {
		out["tags"] = []any{r.Tag}
	}
	if r.Open {
		out["security"] = []any{}
	}
	params := []any{}
	for segment := range strings.SplitSeq(r.Path, "/") {
		name, ok := strings.CutPrefix(segment, "{")
		if !ok {
			continue
		}
		p := Param{Name: strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")}
		if i := slices.IndexFunc(r.PathParams, func(x Param) bool { return x.Name == p.Name }); i >= 0 {
			p = r.PathParams[i]
		}
		p.Required = true
		params = append(params, p.document("path"))
	}
	for _, p := range r.Query {
		params = append(params, p.document("query"))
	}
	if len(params) > 0 {
		out["parameters"] = params
	}
	if r.Body != nil {
		out["requestBody"] = map[string]any{"required": true, "content": d.content(orTypes(r.Accepts, o.Types), r.Body)}
	}
	out["responses"] = d.responses(o, r)
	return out
}

func orTypes(types, others []string) []string {
	if len(types) == 0 || types[0] == "*/*" {
		return others
	}
	return types
}

func (d *document) content(types []string, v any) map[string]any {
	out := map[string]any{}
	for _, t := range types {
		out[t] = map[string]any{"schema": d.of(reflect.TypeOf(v))}
	}
	return out
}

func (d *document) responses(o *Options, r *Route) map[string]any {
	good := map[string]any{"description": "Done."}
	status := r.Status
	if r.Answer != nil {
		good["content"] = d.content(orTypes(r.Answers, o.Types), r.Answer)
	} else if status == 0 {
		status = http.StatusNoContent
	}
	out := map[string]any{strconv.Itoa(cmp.Or(status, http.StatusOK)): good}
	codes := slices.Clone(r.Errors)
	codes = append(codes, http.StatusBadRequest, http.StatusInternalServerError)
	if !r.Open {
		codes = append(codes, 40101, 40301)
	}
	if r.Body != nil {
		codes = append(codes, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(codes)
	byStatus := map[int][]string{}
	for _, code := range slices.Compact(codes) {
		s := Errorf(code, "").Status
		byStatus[s] = append(byStatus[s], strconv.Itoa(code))
	}
	for s, list := range byStatus {
		out[strconv.Itoa(s)] = map[string]any{
			"description": "error_code " + strings.Join(list, ", ") + ": " + http.StatusText(s),
			"content":     map[string]any{o.Types[0]: map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Error"}}},
		}
	}
	return out
}

func (p *Param) document(in string) map[string]any {
	s := map[string]any{"type": cmp.Or(p.Type, "string")}
	if p.Type == "array" {
		s["items"] = map[string]any{"type": "string"}
	}
	if p.Default != nil {
		s["default"] = p.Default
	}
	if len(p.Enum) > 0 {
		s["enum"] = p.Enum
	}
	out := map[string]any{"name": p.Name, "in": in, "schema": s}
	if p.Doc != "" {
		out["description"] = p.Doc
	}
	if p.Required {
		out["required"] = true
	}
	return out
}

// of makes the JSON schema of a Go type as encoding/json writes it. Named structs become components; what is optional in Go's
// tags is optional here.
func (d *document) of(t reflect.Type) any {
	switch {
	case t.Kind() == reflect.Pointer:
		return d.of(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.structure(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "format": "byte"}
		}
		return map[string]any{"type": "array", "items": d.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer", "format": "int64"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return map[string]any{"type": "integer", "format": "int32"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{}
}

func (d *document) structure(t reflect.Type) any {
	name := t.Name()
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if _, ok := d.schemas[name]; ok && name != "" {
		return ref
	}
	if name != "" {
		d.schemas[name] = nil // for types that hold themselves
	}
	properties, required := map[string]any{}, []string{}
	d.fields(t, properties, &required)
	s := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	if name == "" {
		return s
	}
	d.schemas[name] = s
	return ref
}

func (d *document) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			d.fields(f.Type, properties, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		name = cmp.Or(name, f.Name)
		properties[name] = d.of(f.Type)
		if !strings.Contains(options, "omit") && f.Type.Kind() != reflect.Pointer && f.Tag.Get("openapi") == "required" {
			*required = append(*required, name)
		}
	}
}
