package avro

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// The differences that Avro knows, by the names that its Java library and Confluent's registry give them.
const (
	NameMismatch           = "NAME_MISMATCH"
	FixedSizeMismatch      = "FIXED_SIZE_MISMATCH"
	MissingEnumSymbols     = "MISSING_ENUM_SYMBOLS"
	MissingDefault         = "READER_FIELD_MISSING_DEFAULT_VALUE"
	TypeMismatch           = "TYPE_MISMATCH"
	MissingUnionBranch     = "MISSING_UNION_BRANCH"
	maxDifferences         = 100
	maxComparisons         = 2_000_000
	adviceForNewField      = "give the field a default, so that records written before it can be read; if it was renamed, name the old one in its aliases"
	adviceForType          = "keep the type, or add a new field with a default and leave the old one"
	adviceForBranch        = "add the branch to the union, or keep the type as it was"
	adviceForTooManyDetail = "compare smaller schemas: take unions of many records apart"
)

// widening lists what a reader takes besides its own type.
var widening = map[kind][]kind{
	kLong: {kInt}, kFloat: {kInt, kLong}, kDouble: {kInt, kLong, kFloat}, kString: {kBytes}, kBytes: {kString},
}

// comparison finds out whether a reader can read all that a writer may write. Pairs of types are compared once: a pair that is
// met again within itself is taken for compatible, which it is if nothing else says otherwise, so that recursive types end.
type comparison struct {
	pairs map[pair]*verdict
	left  int
}

type pair struct{ reader, writer *typ }

// verdict is what is known of a pair: differences, with paths below the pair, at most maxDifferences of them.
type verdict struct{ found []schema.Difference }

func compare(reader, writer *typ) []schema.Difference {
	c := &comparison{pairs: map[pair]*verdict{}, left: maxComparisons}
	found := slices.Clone(c.pair(reader, writer))
	if c.left < 0 {
		found = append(found, schema.Difference{Type: TypeMismatch, Path: "/", Message: "the schemas are too large to be compared", Advice: adviceForTooManyDetail})
	}
	for i := range found {
		if found[i].Path == "" {
			found[i].Path = "/"
		}
	}
	return found
}

func (c *comparison) pair(reader, writer *typ) []schema.Difference {
	if c.left--; c.left < 0 {
		return nil
	}
	if reader == writer || reader.kind.primitive() && writer.kind.primitive() && reader.kind == writer.kind {
		return nil
	}
	key := pair{reader, writer}
	if v := c.pairs[key]; v != nil {
		return v.found
	}
	v := &verdict{}
	c.pairs[key] = v
	v.found = c.compute(reader, writer)
	return v.found
}

// below returns differences with a path in front, as part of a list that has some already.
func below(list []schema.Difference, path string, found []schema.Difference) []schema.Difference {
	for _, d := range found {
		if len(list) == maxDifferences {
			break
		}
		d.Path = path + d.Path
		list = append(list, d)
	}
	return list
}

func (c *comparison) compute(reader, writer *typ) []schema.Difference {
	switch {
	case writer.kind == kUnion && reader.kind == kUnion:
		return c.unions(reader, writer)
	case writer.kind == kUnion:
		// A reader without a union has to read every branch.
		var all []schema.Difference
		for _, b := range writer.branches {
			all = below(all, "", c.pair(reader, b))
		}
		return all
	case reader.kind == kUnion:
		if d := c.branch(reader, writer); d != nil {
			return []schema.Difference{*d}
		}
		return nil
	case reader.kind != writer.kind:
		if slices.Contains(widening[reader.kind], writer.kind) {
			return nil
		}
		return []schema.Difference{mismatch(reader, writer)}
	}
	switch reader.kind {
	case kArray:
		return below(nil, "/items", c.pair(reader.items, writer.items))
	case kMap:
		return below(nil, "/values", c.pair(reader.items, writer.items))
	}
	var all []schema.Difference
	if !sameName(reader, writer) {
		all = append(all, schema.Difference{
			Type: NameMismatch, Path: "/name",
			Message: fmt.Sprintf("the %s is called %s, and was written as %s", reader.kind, reader.name, writer.name),
			Advice:  fmt.Sprintf("call it %s again, or add that name to its aliases", writer.name),
		})
	}
	switch reader.kind {
	case kFixed:
		if reader.size != writer.size {
			all = append(all, schema.Difference{
				Type: FixedSizeMismatch, Path: "/size",
				Message: fmt.Sprintf("%s has %d bytes, and was written with %d", reader.name, reader.size, writer.size),
				Advice:  "a fixed never changes its size: add a new type under another name",
			})
		}
	case kEnum:
		all = append(all, symbols(reader, writer)...)
	case kRecord:
		all = c.fields(all, reader, writer)
	}
	return all
}

// sameName compares the names without namespace, as Avro does, and the reader's aliases with the full name.
func sameName(reader, writer *typ) bool {
	return reader.name.name == writer.name.name || slices.Contains(reader.aliases, writer.name.String())
}

func mismatch(reader, writer *typ) schema.Difference {
	advice := adviceForType
	if slices.Contains(widening[writer.kind], reader.kind) {
		advice = fmt.Sprintf("%s can become %s, but not the other way: %s", reader.kind, writer.kind, adviceForType)
	}
	return schema.Difference{Type: TypeMismatch, Message: fmt.Sprintf("the type is %s, which cannot read what was written as %s", reader.branchName(), writer.branchName()), Advice: advice}
}

func symbols(reader, writer *typ) []schema.Difference {
	if reader.otherwise != nil {
		return nil
	}
	var missing []string
	for _, s := range writer.symbols {
		if _, known := reader.symbolSet[s]; !known {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []schema.Difference{{
		Type: MissingEnumSymbols, Path: "/symbols",
		Message: fmt.Sprintf("enum %s lacks the symbols [%s], which may have been written", reader.name, shorten(strings.Join(missing, ", "))),
		Advice:  "keep the symbols, or give the enum a default, which stands for all that it does not know",
	}}
}

func (c *comparison) fields(all []schema.Difference, reader, writer *typ) []schema.Difference {
	for i, f := range reader.fields {
		path := "/fields/" + strconv.Itoa(i)
		from := writer.fieldFor(f)
		switch {
		case from != nil:
			all = below(all, path+"/type", c.pair(f.typ, from.typ))
		case f.def == nil:
			all = below(all, path, []schema.Difference{{
				Type:    MissingDefault,
				Message: fmt.Sprintf("field %s of %s has no default, and records without it may have been written", f.name, reader.name),
				Advice:  adviceForNewField,
			}})
		}
	}
	return all
}

// fieldFor finds the field of the writer that a reader's field is filled from, by its name or else its aliases.
func (t *typ) fieldFor(f *field) *field {
	if i, ok := t.fieldIndex[f.name]; ok {
		return t.fields[i]
	}
	for _, a := range f.aliases {
		if i, ok := t.fieldIndex[a]; ok {
			return t.fields[i]
		}
	}
	return nil
}

// unions reports the writer's branches that no branch of the reader takes. Paths lead to the writer's branch, as in Java.
func (c *comparison) unions(reader, writer *typ) []schema.Difference {
	var all []schema.Difference
	for i, b := range writer.branches {
		if d := c.branch(reader, b); d != nil {
			all = below(all, "/"+strconv.Itoa(i), []schema.Difference{*d})
		}
	}
	return all
}

// branch returns nil if one of the reader's branches takes what was written, else the difference, with the reason of the branch
// that comes nearest.
func (c *comparison) branch(reader, writer *typ) *schema.Difference {
	var near []schema.Difference
	for _, b := range reader.branches {
		// Branches that cannot fit are passed over before anything is compared: unions may be long.
		if b.kind != writer.kind && !slices.Contains(widening[b.kind], writer.kind) || b.kind.named() && !sameName(b, writer) {
			if c.left--; c.left < 0 {
				return nil
			}
			continue
		}
		found := c.pair(b, writer)
		if len(found) == 0 {
			return nil
		}
		near = found
	}
	message := fmt.Sprintf("the union lacks a branch for %s", writer.branchName())
	advice := adviceForBranch
	if len(near) > 0 {
		message = fmt.Sprintf("the union has %s, but not as it was written: %s (at %s below it)", writer.branchName(), near[0].Message, near[0].Path)
		advice = near[0].Advice
	}
	return &schema.Difference{Type: MissingUnionBranch, Message: message, Advice: advice}
}
