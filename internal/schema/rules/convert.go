package rules

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weir-stream/weir/internal/schema"
)

// toCEL gives CEL a value of the plain model. Lists and maps are looked into when the expression does.
func toCEL(v any) any {
	if v == nil {
		return types.NullValue
	}
	return v
}

// toPlain turns a result into the plain model. Parts of it may be shared many times over; the budget counts each time.
func toPlain(v ref.Val) (any, error) {
	budget := maxElements
	return plain(v, 0, &budget)
}

func plain(v ref.Val, depth int, budget *int) (any, error) {
	if *budget--; *budget < 0 {
		return nil, fmt.Errorf("the result has more than %d values", maxElements)
	}
	if depth > schema.MaxDepth {
		return nil, fmt.Errorf("the result is nested deeper than %d", schema.MaxDepth)
	}
	switch x := v.(type) {
	case types.Bool:
		return bool(x), nil
	case types.Int:
		return int64(x), nil
	case types.Uint:
		return uint64(x), nil
	case types.Double:
		return float64(x), nil
	case types.String:
		return string(x), nil
	case types.Bytes:
		return []byte(x), nil
	case types.Null:
		return nil, nil
	case types.Timestamp:
		return x.Format(time.RFC3339Nano), nil
	case types.Duration:
		return strconv.FormatFloat(x.Seconds(), 'f', -1, 64) + "s", nil
	case traits.Mapper:
		return plainMap(x, depth, budget)
	case traits.Lister:
		out := []any{}
		for it := x.Iterator(); it.HasNext() == types.True; {
			e, err := plain(it.Next(), depth+1, budget)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a result of type %s has no place in a record", v.Type().TypeName())
}

func plainMap(m traits.Mapper, depth int, budget *int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		name := fmt.Sprint(k.Value())
		e, err := plain(m.Get(k), depth+1, budget)
		if err != nil {
			return nil, err
		}
		out[name] = e
	}
	return out, nil
}

// asField fits the result of a rule on a field to the type of the field: numbers become the kind of number that was there.
func asField(f schema.Field, old, result any) (any, error) {
	switch f.Type {
	case "INT", "LONG":
		if _, unsigned := old.(uint64); unsigned {
			return toUnsigned(result)
		}
		return toInteger(result) // an INT of JSON Schema has no 32 bits to fit; formats where it has refuse it when they encode
	case "FLOAT", "DOUBLE":
		switch n := result.(type) {
		case int64:
			return float64(n), nil
		case uint64:
			return float64(n), nil
		case float64, nil:
			return result, nil
		}
	case "STRING":
		if _, ok := result.(string); ok || result == nil {
			return result, nil
		}
	case "BYTES":
		if _, ok := result.([]byte); ok || result == nil {
			return result, nil
		}
	case "BOOLEAN":
		if _, ok := result.(bool); ok || result == nil {
			return result, nil
		}
	default:
		return result, nil
	}
	return nil, fmt.Errorf("the transform gave %s for a field of type %s", describe(result), f.Type)
}

func toInteger(v any) (any, error) {
	switch n := v.(type) {
	case int64, nil:
		return n, nil
	case uint64:
		if n <= math.MaxInt64 {
			return int64(n), nil
		}
	case float64:
		if n >= math.MinInt64 && n < math.MaxInt64 {
			return int64(n), nil
		}
	}
	return nil, fmt.Errorf("the transform gave %s for an integer", describe(v))
}

func toUnsigned(v any) (any, error) {
	switch n := v.(type) {
	case uint64, nil:
		return n, nil
	case int64:
		if n >= 0 {
			return uint64(n), nil
		}
	case float64:
		if n >= 0 && n < math.MaxUint64 {
			return uint64(n), nil
		}
	}
	return nil, fmt.Errorf("the transform gave %s for an unsigned integer", describe(v))
}

// describe names a value's kind for an error; the value itself may be secret.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case int64, uint64, float64:
		return "a number"
	case string:
		return "a string"
	case []byte:
		return "bytes"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}
