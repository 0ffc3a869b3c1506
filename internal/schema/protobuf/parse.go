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
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weir-stream/weir/internal/schema"
)

// mainPath is the name that the text of a schema goes by in messages. Nothing can import it.
const mainPath = "default"

// maxOneofWork bounds, for each message, the product of its oneofs, optional fields among them, and its fields: the linker goes through all
// fields for each oneof. It allows ten thousand fields that are all optional.
const maxOneofWork = 1e8

// maxImports bounds how many files a schema pulls in, itself included.
const maxImports = 1000

// Schema is a parsed file. Beside what schema.Schema promises it has a serialized form, and the names of its messages.
type Schema struct {
	file       protoreflect.FileDescriptor
	linked     *descriptorpb.FileDescriptorProto // options are interpreted in it, and names resolved; it must not be changed
	canonical  string
	normalized func() string
	serialized func() string
	messages   protoreflect.MessageDescriptors // those that indexes count
	resolver   *dynamicpb.Types
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
		f := proto.CloneOf(s.linked)
		f.Extension = nil
		return printFile(f, s.resolver, false)
	default:
		return s.canonical
	}
}

// loader links one schema and what it imports. The linker's own descriptors look names and numbers up by going through all of them, so what
// it has linked is made into those of the Protobuf library, which has tables: a message may have a hundred thousand fields.
type loader struct {
	texts    map[string]string
	files    map[string]linker.File
	symbols  *linker.Symbols
	registry *protoregistry.Files
	under    []string // paths from the schema to the file at hand, to find imports that loop
	bytes    int
	tokens   int
}

// fresh returns a loader that has read nothing.
func (l *loader) fresh() loader {
	f := *l
	f.files, f.symbols, f.registry = map[string]linker.File{}, &linker.Symbols{}, &protoregistry.Files{}
	return f
}

func parse(s schema.Source) (*Schema, error) {
	l := (&loader{texts: s.Resolved}).fresh()
	if strings.TrimSpace(s.Text) == "" {
		return nil, errors.New("the text is empty")
	}
	linked, canonical, err := l.load(mainPath, s.Text)
	if err != nil {
		return nil, err
	}
	file, err := l.registry.FindFileByPath(mainPath)
	if err != nil {
		return nil, err
	}
	f := linked.(linker.Result).FileDescriptorProto()
	resolver := dynamicpb.NewTypes(l.registry)
	messages := indexed(file)
	return &Schema{
		file:       file,
		linked:     f,
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
	if name := crowded(parsed.FileDescriptorProto().GetMessageType()); name != "" {
		return nil, "", fmt.Errorf("%s: message %s has too many oneofs and optional fields", path, name)
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

// crowded returns the name of a message that is beyond maxOneofWork, if there is one.
func crowded(ms []*descriptorpb.DescriptorProto) string {
	for _, m := range ms {
		if len(m.GetOneofDecl())*len(m.GetField()) > maxOneofWork {
			return m.GetName()
		}
		if name := crowded(m.GetNestedType()); name != "" {
			return name
		}
	}
	return ""
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
	described, err := protodesc.NewFile(file.FileDescriptorProto(), l.registry)
	if err != nil {
		// The library puts one kind of space or another behind its name, lest its texts be relied on.
		reason := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
		return nil, fmt.Errorf("%s: %s", path, reason)
	}
	if err := l.registry.RegisterFile(described); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// register makes a built-in file known, and what it imports.
func (l *loader) register(f protoreflect.FileDescriptor) error {
	if _, err := l.registry.FindFileByPath(f.Path()); err == nil {
		return nil
	}
	for i := range f.Imports().Len() {
		if err := l.register(f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return l.registry.RegisterFile(f)
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
		if err := l.register(google); err != nil {
			return nil, err
		}
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
	if proto.Equal(bare, f) {
		return l.load(path, printFile(f, nil, false))
	}
	names := l.fresh()
	if _, _, err := names.load(path, printFile(bare, nil, false)); err != nil {
		return nil, "", err
	}
	return l.load(path, printFile(f, dynamicpb.NewTypes(names.registry), false))
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
