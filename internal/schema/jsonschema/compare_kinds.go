package jsonschema

import (
	"math/big"
	"slices"
	"strconv"
)

// compareNotes finds what has no influence on any value.
func compareNotes(r *result, original, update *node) {
	if original == nil || update == nil {
		return
	}
	for _, note := range []struct {
		keys []string
		typ  string
	}{{[]string{"$id", "id"}, idChanged}, {[]string{"title"}, titleChanged}, {[]string{"description"}, descriptionChanged}, {[]string{"default"}, defaultChanged}} {
		if noteOf(original, note.keys) != noteOf(update, note.keys) {
			r.add(note.typ)
		}
	}
}

func noteOf(n *node, keys []string) string {
	for _, k := range keys {
		if v := n.text.get(k); v != nil {
			return string(v.append(nil, true))
		}
	}
	return ""
}

// change is how a limit differs: the four types of its keyword.
type change struct{ added, removed, increased, decreased string }

// limits compares lengths and counts, of which -1 is none.
func limits(r *result, keyword string, original, update int, t change) {
	switch {
	case original == update:
	case original < 0:
		r.add(t.added, keyword)
	case update < 0:
		r.add(t.removed, keyword)
	case original < update:
		r.add(t.increased, keyword)
	default:
		r.add(t.decreased, keyword)
	}
}

func bounds(r *result, keyword string, original, update *bound, t change) {
	switch {
	case original == nil && update == nil:
	case original == nil:
		r.add(t.added, keyword)
	case update == nil:
		r.add(t.removed, keyword)
	default:
		switch original.rat.Cmp(update.rat) {
		case -1:
			r.add(t.increased, keyword)
		case 1:
			r.add(t.decreased, keyword)
		}
	}
}

func compareStrings(r *result, original, update *node) {
	limits(r, "maxLength", original.maxLength, update.maxLength, change{maxLengthAdded, maxLengthRemoved, maxLengthIncreased, maxLengthDecreased})
	limits(r, "minLength", original.minLength, update.minLength, change{minLengthAdded, minLengthRemoved, minLengthIncreased, minLengthDecreased})
	switch a, b := original.pattern, update.pattern; {
	case a == nil && b == nil:
	case a == nil:
		r.add(patternAdded, "pattern")
	case b == nil:
		r.add(patternRemoved, "pattern")
	case a.text != b.text:
		r.add(patternChanged, "pattern")
	}
}

func compareNumbers(r *result, original, update *shape) {
	a, b := original.n, update.n
	bounds(r, "maximum", a.maximum, b.maximum, change{maximumAdded, maximumRemoved, maximumIncreased, maximumDecreased})
	bounds(r, "minimum", a.minimum, b.minimum, change{minimumAdded, minimumRemoved, minimumIncreased, minimumDecreased})
	bounds(r, "exclusiveMaximum", a.exclusiveMaximum, b.exclusiveMaximum,
		change{exclusiveMaximumAdded, exclusiveMaximumRemoved, exclusiveMaximumIncreased, exclusiveMaximumDecreased})
	bounds(r, "exclusiveMinimum", a.exclusiveMinimum, b.exclusiveMinimum,
		change{exclusiveMinimumAdded, exclusiveMinimumRemoved, exclusiveMinimumIncreased, exclusiveMinimumDecreased})
	switch {
	case a.multipleOf == nil && b.multipleOf == nil:
	case a.multipleOf == nil:
		r.add(multipleOfAdded, "multipleOf")
	case b.multipleOf == nil:
		r.add(multipleOfRemoved, "multipleOf")
	case a.multipleOf.rat.Cmp(b.multipleOf.rat) == 0:
	case new(big.Rat).Quo(b.multipleOf.rat, a.multipleOf.rat).IsInt():
		r.add(multipleOfExpanded, "multipleOf")
	case new(big.Rat).Quo(a.multipleOf.rat, b.multipleOf.rat).IsInt():
		r.add(multipleOfReduced, "multipleOf")
	default:
		r.add(multipleOfChanged, "multipleOf")
	}
	switch {
	case original.integer && !update.integer:
		r.add(typeExtended)
	case !original.integer && update.integer:
		r.add(typeNarrowed)
	}
}

func compareEnums(r *result, original, update *node) {
	has := func(list, part []any) bool {
		return !slices.ContainsFunc(part, func(v any) bool {
			return !slices.ContainsFunc(list, func(w any) bool { return same(v, w) })
		})
	}
	more, less := has(update.enum, original.enum), has(original.enum, update.enum)
	switch {
	case more && less:
	case more:
		r.add(enumExtended, "enum")
	case less:
		r.add(enumNarrowed, "enum")
	default:
		r.add(enumChanged, "enum")
	}
}

// model is the content model of an object or of a tuple: what may stand where no name or place is spoken of.
type model struct {
	closed bool
	schema *node // of a partially open one
}

func (m model) open() bool { return !m.closed && m.schema == nil }

// contentModel decides by the keyword for additional content, and where that is absent by the one for unevaluated content.
func contentModel(additional, unevaluated *node) model {
	rest := additional
	if rest == nil {
		rest = unevaluated
	}
	switch {
	case rest == nil || rest.isTrue():
		return model{}
	case rest.never:
		return model{closed: true}
	case rest == unevaluated && rest.always:
		return model{}
	}
	return model{schema: rest}
}

// isTrue says whether the text is true, and not {}: a schema that says nothing still makes a content model partially open.
func (n *node) isTrue() bool {
	return n.always && (n.src == nil || n.text != nil && n.text.kind == 't')
}

// propertyModel is the content model of an object for one name.
func propertyModel(n *node, name string) model {
	for _, p := range n.patterns {
		if p.re.has(name) {
			return model{schema: p.n}
		}
	}
	m := contentModel(n.additional, n.unevaluatedProps)
	if m.open() && n.patterns != nil {
		return model{closed: true} // what no pattern takes: neither promised nor refused, as upstream has it
	}
	return m
}

func compareObjects(r *result, original, update *node) {
	for _, name := range update.order {
		if _, both := original.properties[name]; both {
			compareRequired(r, original, update, name)
		}
	}
	for _, name := range update.order {
		if a := original.properties[name]; a != nil {
			r.below(a, update.properties[name], "properties", name)
		} else {
			propertyAdded(r, original, update, name)
		}
	}
	for _, name := range original.order {
		if update.properties[name] == nil {
			propertyRemoved(r, original, update, name)
		}
	}
	compareDependencies(r, original, update)
	compareRest(r, "additionalProperties", original.additional, update.additional,
		rest{additionalPropertiesAdded, additionalPropertiesRemoved, additionalPropertiesExtended, additionalPropertiesNarrowed})
	compareUnevaluated(r, "unevaluatedProperties", original.unevaluatedProps, update.unevaluatedProps,
		rest{unevaluatedPropertiesAdded, unevaluatedPropertiesRemoved, unevaluatedPropertiesExtended, unevaluatedPropertiesNarrowed})
	limits(r, "maxProperties", original.maxProperties, update.maxProperties,
		change{maxPropertiesAdded, maxPropertiesRemoved, maxPropertiesIncreased, maxPropertiesDecreased})
	limits(r, "minProperties", original.minProperties, update.minProperties,
		change{minPropertiesAdded, minPropertiesRemoved, minPropertiesIncreased, minPropertiesDecreased})
}

func compareRequired(r *result, original, update *node, name string) {
	was, is := slices.Contains(original.required, name), slices.Contains(update.required, name)
	switch {
	case was && !is:
		r.add(requiredRemoved, "required", name)
	case !was && is && hasDefault(update.properties[name]):
		r.add(requiredWithDefaultAdded, "required", name)
	case !was && is:
		r.add(requiredAdded, "required", name)
	}
}

func hasDefault(n *node) bool {
	for hops := 0; n != nil && hops < maxRecursion; hops++ {
		if n.text.get("default") != nil {
			return true
		}
		n = n.ref
	}
	return false
}

func propertyAdded(r *result, original, update *node, name string) {
	at := []string{"properties", name}
	p := update.properties[name]
	required := slices.Contains(update.required, name)
	m := propertyModel(original, name)
	if m.open() {
		switch {
		case p.always:
			r.add(propertyEmptyAddedToOpen, at...)
		case required && hasDefault(p):
			r.add(propertyRequiredWithDefaultAddedToOpen, at...)
		case required:
			r.add(propertyRequiredAddedToOpen, at...)
		default:
			r.add(propertyOptionalAddedToOpen, at...)
		}
		return
	}
	if m.schema != nil {
		list := r.c.nodes(m.schema, p)
		r.take(list, at...)
		if r.c.fine(list) {
			r.add(propertyAddedCovered, at...)
		} else {
			r.add(propertyAddedNotCovered, at...)
		}
	}
	switch {
	case required && hasDefault(p):
		r.add(propertyRequiredWithDefaultAddedToUnopen, at...)
	case required:
		r.add(propertyRequiredAddedToUnopen, at...)
	default:
		r.add(propertyOptionalAddedToUnopen, at...)
	}
}

func propertyRemoved(r *result, original, update *node, name string) {
	at := []string{"properties", name}
	p := original.properties[name]
	m := propertyModel(update, name)
	switch {
	case m.open():
		r.add(propertyRemovedFromOpen, at...)
	case m.schema != nil:
		list := r.c.nodes(p, m.schema)
		r.take(list, at...)
		if r.c.fine(list) {
			r.add(propertyRemovedCovered, at...)
		} else {
			r.add(propertyRemovedNotCovered, at...)
		}
	case p.never:
		r.add(propertyFalseRemovedFromClosed, at...)
	default:
		r.add(propertyRemovedFromClosed, at...)
	}
}

func compareDependencies(r *result, original, update *node) {
	for _, name := range union(original.depArrays, update.depArrays) {
		a, was := original.depArrays[name]
		b, is := update.depArrays[name]
		missing := func(list, part []string) bool {
			return slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(list, s) })
		}
		at := []string{"dependencies", name}
		switch {
		case !is:
			r.add(dependencyArrayRemoved, at...)
		case !was:
			r.add(dependencyArrayAdded, at...)
		case !missing(a, b) && !missing(b, a):
		case !missing(b, a):
			r.add(dependencyArrayExtended, at...)
		case !missing(a, b):
			r.add(dependencyArrayNarrowed, at...)
		default:
			r.add(dependencyArrayChanged, at...)
		}
	}
	for _, name := range union(original.depSchemas, update.depSchemas) {
		a, b := original.depSchemas[name], update.depSchemas[name]
		switch {
		case b == nil:
			r.add(dependencySchemaRemoved, "dependencies", name)
		case a == nil:
			r.add(dependencySchemaAdded, "dependencies", name)
		default:
			r.below(a, b, "dependencies", name)
		}
	}
}

func union[V any](a, b map[string]V) []string {
	names := append(sortedKeys(a), sortedKeys(b)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// rest is how a keyword for further content differs.
type rest struct{ added, removed, extended, narrowed string }

func compareRest(r *result, keyword string, original, update *node, t rest) {
	allows := func(n *node) bool { return n == nil || !n.never }
	schemaOf := func(n *node) *node {
		if n == nil || n.isTrue() || n.never {
			return nil
		}
		return n
	}
	a, b := schemaOf(original), schemaOf(update)
	switch {
	case allows(original) && !allows(update):
		r.add(t.removed, keyword)
	case !allows(original) && allows(update):
		r.add(t.added, keyword)
	case a == nil && b != nil:
		r.add(t.narrowed, keyword)
	case a != nil && b == nil:
		r.add(t.extended, keyword)
	default:
		r.below(a, b, keyword)
	}
}

func compareUnevaluated(r *result, keyword string, original, update *node, t rest) {
	open := func(n *node) bool { return n == nil || n.always }
	never := func(n *node) bool { return n != nil && n.never }
	switch {
	case original == nil && update == nil:
	case !never(original) && never(update):
		r.add(t.removed, keyword)
	case never(original) && !never(update):
		r.add(t.added, keyword)
	case open(original) && !open(update):
		r.add(t.narrowed, keyword)
	case !open(original) && open(update):
		r.add(t.extended, keyword)
	case open(original) && open(update):
	default:
		r.below(original, update, keyword)
	}
}

// tuple splits the items of an array: the schema of all, or the places of a tuple and what may follow them.
func tuple(n *node) (all *node, places []*node, following *node) {
	if n.prefix == nil && !n.additionalItems {
		return n.items, nil, nil
	}
	return nil, n.prefix, n.items
}

func compareArrays(r *result, original, update *node) {
	allA, placesA, restA := tuple(original)
	allB, placesB, restB := tuple(update)
	r.below(allA, allB, "items")
	for i := range max(len(placesA), len(placesB)) {
		at := []string{"items", strconv.Itoa(i)}
		switch {
		case i >= len(placesB):
			itemRemoved(r, placesA[i], contentModel(restB, update.unevaluatedItems), at)
		case i >= len(placesA):
			itemAdded(r, placesB[i], contentModel(restA, original.unevaluatedItems), at)
		default:
			r.below(placesA[i], placesB[i], at...)
		}
	}
	compareRest(r, "additionalItems", restA, restB, rest{additionalItemsAdded, additionalItemsRemoved, additionalItemsExtended, additionalItemsNarrowed})
	compareUnevaluated(r, "unevaluatedItems", original.unevaluatedItems, update.unevaluatedItems,
		rest{unevaluatedItemsAdded, unevaluatedItemsRemoved, unevaluatedItemsExtended, unevaluatedItemsNarrowed})
	limits(r, "maxItems", original.maxItems, update.maxItems, change{maxItemsAdded, maxItemsRemoved, maxItemsIncreased, maxItemsDecreased})
	limits(r, "minItems", original.minItems, update.minItems, change{minItemsAdded, minItemsRemoved, minItemsIncreased, minItemsDecreased})
	switch {
	case original.unique && !update.unique:
		r.add(uniqueItemsRemoved, "uniqueItems")
	case !original.unique && update.unique:
		r.add(uniqueItemsAdded, "uniqueItems")
	}
	limits(r, "maxContains", original.maxContains, update.maxContains, change{maxContainsAdded, maxContainsRemoved, maxContainsIncreased, maxContainsDecreased})
	limits(r, "minContains", original.minContains, update.minContains, change{minContainsAdded, minContainsRemoved, minContainsIncreased, minContainsDecreased})
}

func itemRemoved(r *result, item *node, m model, at []string) {
	switch {
	case m.open():
		r.add(itemRemovedFromOpen, at...)
	case m.schema != nil:
		list := r.c.nodes(item, m.schema)
		r.take(list, at...)
		if r.c.fine(list) {
			r.add(itemRemovedCovered, at...)
		} else {
			r.add(itemRemovedNotCovered, at...)
		}
	case item.never:
		r.add(itemFalseRemovedFromClosed, at...)
	default:
		r.add(itemRemovedFromClosed, at...)
	}
}

func itemAdded(r *result, item *node, m model, at []string) {
	switch {
	case m.open() && item.always:
		r.add(itemEmptyAddedToOpen, at...)
	case m.open():
		r.add(itemAddedToOpen, at...)
	case m.schema != nil:
		list := r.c.nodes(m.schema, item)
		r.take(list, at...)
		if r.c.fine(list) {
			r.add(itemAddedCovered, at...)
		} else {
			r.add(itemAddedNotCovered, at...)
		}
	default:
		r.add(itemAddedToClosed, at...)
	}
}
