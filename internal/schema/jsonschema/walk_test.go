package jsonschema

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

const customer = `{"type":"object","properties":{
	"name":{"type":"string","confluent:tags":["PII","NAME"]},
	"age":{"type":"integer"}, "score":{"type":"number"}, "ok":{"type":"boolean"}, "color":{"enum":["red"]}, "gone":{"type":["null","string"]},
	"emails":{"type":"array","confluent:tags":["PII"],"items":{"type":"string"}},
	"home":{"$ref":"#/definitions/address"},
	"pay":{"oneOf":[{"type":"object","properties":{"iban":{"type":"string","confluent:tags":["BANK"]}},"required":["iban"]},{"type":"object","properties":{"card":{"type":"string","confluent:tags":["CARD"]}},"required":["card"]}]},
	"map":{"additionalProperties":{"type":"string","confluent:tags":["ANY"]},"patternProperties":{"^x_":{"type":"integer","confluent:tags":["X"]}}},
	"grid":{"items":{"items":{"type":"integer"}}},
	"free":true},
	"definitions":{"address":{"properties":{"zip":{"type":"string"}},"allOf":[{"properties":{"zip":{"confluent:tags":["ZIP"]}}}]}}}`

func TestWalk(t *testing.T) {
	t.Parallel()
	p := mustParse(t, customer)
	const payload = `{"free":{"a":1},"extra":"x","map":{"b":"1","a":"2","x_n":3},"pay":{"card":"4111"},"home":{"zip":"10115","more":1},"emails":["a","b"],
		"gone":null,"color":"red","ok":true,"score":1,"age":7,"name":"Ada","grid":[[1,2],[3]]}`
	v, err := p.Decode([]byte(payload), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	out, err := p.Walk(v, nil, func(f schema.Field, v any) (any, error) {
		got = append(got, fmt.Sprintf("%s %s %s %v %v", f.FullName, f.Name, f.Type, f.Tags, v))
		if _, ok := f.Message.(map[string]any); !ok {
			t.Errorf("%s has no message", f.FullName)
		}
		if s, ok := v.(string); ok {
			return s + "!", nil
		}
		return v, nil
	})
	want := []string{
		"$.name name STRING [PII NAME] Ada",
		"$.age age INT [] 7",
		"$.score score DOUBLE [] 1",
		"$.ok ok BOOLEAN [] true",
		"$.color color ENUM [] red",
		"$.emails[0] emails STRING [PII] a",
		"$.emails[1] emails STRING [PII] b",
		"$.home.zip zip STRING [ZIP] 10115",
		"$.pay.card card STRING [CARD] 4111",
		"$.map.a a STRING [ANY] 2",
		"$.map.b b STRING [ANY] 1",
		"$.map.x_n x_n INT [X] 3",
		"$.grid[0][0] grid INT [] 1",
		"$.grid[0][1] grid INT [] 2",
		"$.grid[1][0] grid INT [] 3",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("visited, %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b, err := p.Encode(out, nil)
	if err == nil || !strings.Contains(err.Error(), "#/color") {
		t.Errorf("the enum changed and nobody saw it: %v", err)
	}
	if !strings.Contains(string(b), `"zip":"10115!"`) || !strings.Contains(string(b), `"extra":"x"`) {
		t.Errorf("value after the walk: %s", b)
	}
	if again, _ := p.Decode([]byte(payload), nil); !reflect.DeepEqual(v, again) {
		t.Error("the value given has changed")
	}
}

func TestWalkEndsWithTheVisitorsError(t *testing.T) {
	t.Parallel()
	p := mustParse(t, customer)
	stop := errors.New("stop")
	if _, err := p.Walk(map[string]any{"name": "x"}, nil, func(schema.Field, any) (any, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestWalkLeavesScalarsAtTheTop(t *testing.T) {
	t.Parallel()
	p := mustParse(t, `{"type":"string","confluent:tags":["PII"]}`)
	out, err := p.Walk("x", nil, func(schema.Field, any) (any, error) { return nil, errors.New("visited") })
	if err != nil || out != "x" {
		t.Errorf("%v, %v", out, err)
	}
}
