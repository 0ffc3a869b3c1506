package rules

import (
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

// BenchmarkRun is the price of rules for one record of ten fields.
func BenchmarkRun(b *testing.B) {
	for _, bb := range []struct{ name, typ, kind, expr string }{
		{"rule=CEL/kind=CONDITION/expr=compare", TypeCEL, Condition, `message.age > 18`},
		{"rule=CEL/kind=CONDITION/expr=typical", TypeCEL, Condition, `message.age > 18 && message.email.isEmail() && message.home.zip.matches("^[0-9]{5}$")`},
		{"rule=CEL/kind=CONDITION/expr=loop", TypeCEL, Condition, `message.tags.all(t, t in ["a", "b"])`},
		{"rule=CEL/kind=TRANSFORM", TypeCEL, Transform, `{"name": message.name, "age": message.age + 1}`},
		{"rule=CEL_FIELD/kind=CONDITION", TypeCELField, Condition, `name == "email" ; value.isEmail()`},
		{"rule=CEL_FIELD/kind=TRANSFORM", TypeCELField, Transform, `typeName == "STRING" ; value.upperAscii()`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			set := newEngine(b, Options{}).Prepare(&schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: bb.kind, Type: bb.typ, Expr: bb.expr}}}, nil)
			c := Call{Value: ada(), Schema: person}
			b.ReportAllocs()
			for b.Loop() {
				if o, err := set.Run(b.Context(), Domain, Write, c); err != nil || o.Stopped != nil {
					b.Fatal(o.Stopped, err)
				}
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	for _, bb := range []struct{ name, expr string }{
		{"expr=offset", `offset % 10 == 0`},
		{"expr=value", `value.age > 18 && value.name.startsWith("A")`},
		{"expr=header", `headers.source == "web"`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f, err := newEngine(b, Options{}).Filter(bb.expr)
			if err != nil {
				b.Fatal(err)
			}
			r := &Record{Offset: 10, Value: ada(), Headers: []Header{{"source", "web"}}}
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := f.Match(b.Context(), r); err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkPrepare is what a rule set costs once, when its schema is first seen.
func BenchmarkPrepare(b *testing.B) {
	e := newEngine(b, Options{})
	rs := &schema.RuleSet{DomainRules: []schema.Rule{{Name: "r", Kind: Condition, Type: TypeCEL, Expr: `message.age > 18 && message.email.isEmail()`}}}
	b.ReportAllocs()
	for b.Loop() {
		e.Prepare(rs, nil)
	}
}
