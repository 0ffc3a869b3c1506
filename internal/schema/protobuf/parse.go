package protobuf

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/weir-stream/weir/internal/schema"
)

// mainPath is the name that the text of a schema goes by in messages. Nothing can import it.
const mainPath = "default"

// maxImports bounds how many files a schema pulls in, itself included.
const maxImports = 1000

// Schema is a parsed file. Beside what schema.Schema promises it has a serialized form, and the names of its messages.
type Schema struct {
	file       linker.File
	canonical  string
	normalized func() string
	serialized func() string
	messages   protoreflect.MessageDescriptors // those that indexes count
	resolver   linker.Resolver
	plans      func() *plans
}

func (s *Schema) Type() schema.Type  { return schema.Protobuf }
func (s *Schema) Canonical() string  { return s.canonical }
func (s *Schema) Normalized() string { return s.normalized() }

// Serialized is the base64 of the FileDescriptorProto: what the API answers to format=serialized.
func (s *Schema) Serialized() string { return s.serialized() }

// Formatted gives the schema in a form that the API knows by name: serialized, or ignore_extensions, which leaves out what extends
// other messages. Any other name stands for the canonical text.
func (s *Schema) Formatted(name string) string {
	switch name {
	case "serialized":
		return s.Serialized()
	case "ignore_extensions":
		f := proto.CloneOf(fileProto(s.file))
		f.Extension = nil
		return printFile(f, s.resolver, false)
	default:
		return s.canonical
	}
}

// loader links one schema and what it imports.
type loader struct {
	texts   map[string]string
	files   map[string]linker.File
	symbols *linker.Symbols
	under   []string // paths from the schema to the file at hand, to find imports that loop
	bytes   int
	tokens  int
}

func parse(s schema.Source) (*Schema, error) {
	l := &loader{texts: s.Resolved, files: map[string]linker.File{}, symbols: &linker.Symbols{}}
	if strings.TrimSpace(s.Text) == "" {
		return nil, errors.New("the text is empty")
	}
	file, canonical, err := l.load(mainPath, s.Text)
	if err != nil {
		return nil, err
	}
	f := fileProto(file)
	resolver := linker.ResolverFromFile(file)
	messages := indexed(file)
	return &Schema{
		file:       file,
		canonical:  canonical,
		normalized: sync.OnceValue(func() string { return printFile(f, resolver, true) }),
		serialized: sync.OnceValue(func() string {
			b, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(f)
			if err != nil {
				return "" // cannot be: the linker made it of valid strings
			}
			return base64.StdEncoding.EncodeToString(b)
		}),
		messages: messages,
		resolver: resolver,
		plans:    sync.OnceValue(func() *plans { return newPlans(file, messages) }),
	}, nil
}

// indexed returns the messages that the indexes of the wire format count. A file that has none but imports another publicly stands
// for that: so do Confluent's clients read a schema that only wraps another.
func indexed(f protoreflect.FileDescriptor) protoreflect.MessageDescriptors {
	imports := f.Imports()
	if f.Messages().Len() == 0 && imports.Len() == 1 && imports.Get(0).IsPublic {
		return imports.Get(0).Messages()
	}
	return f.Messages()
}

// fileProto returns the linked descriptor, in which options are interpreted and names resolved. It must not be changed.
func fileProto(f linker.File) *descriptorpb.FileDescriptorProto {
	return f.(linker.Result).FileDescriptorProto()
}

// load reads, imports and links a text. It returns its canonical form too.
func (l *loader) load(path, text string) (linker.File, string, error) {
	if err := l.admit(path, text); err != nil {
		return nil, "", err
	}
	if raw, ok := fromBase64(text); ok {
		return l.loadSerialized(path, raw)
	}
	parsed, err := read(path, text, true)
	if err != nil && strings.Contains(text, "map_entry") {
		// Java's serializer writes the messages behind maps out, with an option that the language reserves for itself.
		if unfolded, err := read(path, text, false); err == nil && foldMaps(unfolded.FileDescriptorProto()) {
			return l.load(path, printFile(unfolded.FileDescriptorProto(), nil, false))
		}
	}
	if err != nil {
		return nil, "", err
	}
	canonical := printFile(parsed.FileDescriptorProto(), nil, false)
	file, err := l.link(path, parsed)
	return file, canonical, err
}

// admit counts a text against the bounds.
func (l *loader) admit(path, text string) error {
	l.bytes += len(text)
	if l.bytes > schema.MaxTextBytes {
		return fmt.Errorf("%s: with what it imports the schema has more than %d bytes", path, schema.MaxTextBytes)
	}
	n, err := scan(text)
	if l.tokens += n; err == nil && l.tokens > maxTokens {
		err = fmt.Errorf("with what it imports the schema has more than %d words and signs", maxTokens)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// read parses a text without linking it. Its errors name the line and the column.
func read(path, text string, validate bool) (parser.Result, error) {
	handler := reporter.NewHandler(nil)
	tree, err := parser.Parse(path, strings.NewReader(text), handler)
	if err != nil {
		return nil, err
	}
	return parser.ResultFromAST(tree, validate, handler)
}

// link resolves the names of a parsed file, and interprets its options.
func (l *loader) link(path string, parsed parser.Result) (linker.File, error) {
	l.under = append(l.under, path)
	defer func() { l.under = l.under[:len(l.under)-1] }()
	var deps linker.Files
	for _, name := range parsed.FileDescriptorProto().GetDependency() {
		dep, err := l.imported(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		deps = append(deps, dep)
	}
	handler := reporter.NewHandler(nil)
	file, err := linker.Link(parsed, deps, l.symbols, handler)
	if err != nil {
		return nil, err
	}
	if _, err := options.InterpretOptions(file, handler); err != nil {
		return nil, err
	}
	if err := file.ValidateOptions(handler, l.symbols); err != nil {
		return nil, err
	}
	file.FileDescriptorProto().SourceCodeInfo = nil
	file.RemoveAST()
	return file, nil
}

// imported returns the file that an import names.
func (l *loader) imported(path string) (linker.File, error) {
	if f, ok := l.files[path]; ok {
		return f, nil
	}
	if slices.Contains(l.under, path) {
		return nil, fmt.Errorf("imports go round: %s -> %s", strings.Join(l.under, " -> "), path)
	}
	if len(l.under) > schema.MaxDepth || len(l.files) >= maxImports {
		return nil, fmt.Errorf("import %q: more than %d imports, or more than %d within each other", path, maxImports, schema.MaxDepth)
	}
	f, err := l.find(path)
	if err != nil {
		return nil, err
	}
	l.files[path] = f
	return f, nil
}

// find looks an import up. Google's own files are always the built-in ones, since options are interpreted by them; of the others a
// reference comes first.
func (l *loader) find(path string) (linker.File, error) {
	_, referred := l.texts[path]
	if google, ok := builtinFile(path); ok && (!referred || strings.HasPrefix(path, "google/protobuf/")) {
		return linker.NewFileRecursive(google)
	}
	text, ok := l.texts[path]
	if !ok {
		text, ok = builtinText(path)
	}
	if !ok {
		return nil, fmt.Errorf("import %q: no reference has this name", path)
	}
	f, _, err := l.load(path, text)
	return f, err
}

// loadSerialized prints a serialized descriptor and loads the text. Options of other files' making are bytes with numbers in it; to
// name them the file is linked without any options first.
func (l *loader) loadSerialized(path string, raw []byte) (linker.File, string, error) {
	f := &descriptorpb.FileDescriptorProto{}
	decode := proto.UnmarshalOptions{Resolver: (*protoregistry.Types)(nil), RecursionLimit: schema.MaxDepth, AllowPartial: true}
	if err := decode.Unmarshal(raw, f); err != nil {
		// The library's error says no more, and puts one kind of space or another into its text.
		return nil, "", fmt.Errorf("%s: neither a .proto file nor the base64 of a serialized one", path)
	}
	bare := proto.CloneOf(f)
	dropCustomOptions(bare.ProtoReflect())
	before := *l
	l.symbols = &linker.Symbols{}
	l.files = map[string]linker.File{}
	plain, canonical, err := l.load(path, printFile(bare, nil, false))
	if err != nil || proto.Equal(bare, f) {
		return plain, canonical, err
	}
	*l = before
	return l.load(path, printFile(f, linker.ResolverFromFile(plain), false))
}

// dropCustomOptions drops what it does not know of every message below m: in a descriptor, the options that other files define.
func dropCustomOptions(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				dropCustomOptions(v.List().Get(i).Message())
			}
		default:
			dropCustomOptions(v.Message())
		}
		return true
	})
}

// foldMaps turns messages that say option map_entry = true into what the keyword map would have made. It says whether there were any.
func foldMaps(f *descriptorpb.FileDescriptorProto) bool {
	found := false
	var visit func(ms []*descriptorpb.DescriptorProto)
	visit = func(ms []*descriptorpb.DescriptorProto) {
		for _, m := range ms {
			was := len(m.GetOptions().GetUninterpretedOption())
			if was > 0 {
				m.Options.UninterpretedOption = slices.DeleteFunc(m.Options.UninterpretedOption, func(o *descriptorpb.UninterpretedOption) bool {
					return len(o.GetName()) == 1 && o.Name[0].GetNamePart() == "map_entry" && o.GetIdentifierValue() == "true"
				})
			}
			if was != len(m.GetOptions().GetUninterpretedOption()) {
				m.Options.MapEntry = new(true)
				found = true
			}
			visit(m.GetNestedType())
		}
	}
	for _, m := range f.GetMessageType() {
		visit(m.GetNestedType())
	}
	return found
}
