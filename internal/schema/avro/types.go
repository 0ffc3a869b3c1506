package avro

// kind is one of Avro's fourteen.
type kind uint8

const (
	unresolved kind = iota // a name whose definition has not been met yet; gone once a schema is parsed
	kNull
	kBoolean
	kInt
	kLong
	kFloat
	kDouble
	kBytes
	kString
	kRecord
	kEnum
	kFixed
	kArray
	kMap
	kUnion
)

var kindNames = [...]string{
	unresolved: "unresolved", kNull: "null", kBoolean: "boolean", kInt: "int", kLong: "long", kFloat: "float", kDouble: "double", kBytes: "bytes",
	kString: "string", kRecord: "record", kEnum: "enum", kFixed: "fixed", kArray: "array", kMap: "map", kUnion: "union",
}

func (k kind) String() string  { return kindNames[k] }
func (k kind) primitive() bool { return k >= kNull && k <= kString }
func (k kind) named() bool     { return k == kRecord || k == kEnum || k == kFixed }

var primitives = func() map[string]*typ {
	m := map[string]*typ{}
	for k := kNull; k <= kString; k++ {
		m[k.String()] = &typ{kind: k, minBytes: minOfPrimitive[k]}
	}
	return m
}()

var minOfPrimitive = [...]int{kNull: 0, kBoolean: 1, kInt: 1, kLong: 1, kFloat: 4, kDouble: 8, kBytes: 1, kString: 1}

// typ is one type of a schema. It is not changed once the schema is parsed. Types with a name are met again by pointer, so a
// recursive schema is a graph with circles.
type typ struct {
	kind    kind
	isError bool // a record that calls itself an error
	foreign bool // defined by a schema that is referred to

	name    fullName
	doc     *string
	aliases []string // full names, as an alias without a dot is in the namespace of its type
	props   []prop   // attributes that Avro does not define, in the order of the text

	fields     []*field
	fieldIndex map[string]int
	symbols    []string
	symbolSet  map[string]int
	otherwise  *string // default of an enum
	size       int     // of a fixed, in bytes
	items      *typ    // of an array; values of a map
	branches   []*typ  // of a union

	minBytes int // of an encoded value, at least
}

type field struct {
	name     string
	fullName string // of the record, a dot, the name
	typ      *typ
	doc      *string
	def      *node // default, nil if there is none
	filled   *fill // the default as bytes
	order    string
	aliases  []string
	props    []prop
	tags     []string
}

// prop is an attribute.
type prop struct {
	key   string
	value *node
}

// fullName is the name of a type in its namespace, which may be none.
type fullName struct{ space, name string }

func (n fullName) String() string {
	if n.space == "" {
		return n.name
	}
	return n.space + "." + n.name
}

// branchName is how a branch of a union is called in JSON and in messages.
func (t *typ) branchName() string {
	if t.kind.named() {
		return t.name.String()
	}
	return t.kind.String()
}

// edges calls visit for each type that t is directly made of.
func (t *typ) edges(visit func(*typ)) {
	switch t.kind {
	case kRecord:
		for _, f := range t.fields {
			visit(f.typ)
		}
	case kArray, kMap:
		visit(t.items)
	case kUnion:
		for _, b := range t.branches {
			visit(b)
		}
	}
}
