package protobuf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/schema"
)

// The script lists every difference of a reader against a writer, by type and path; behind those that break the reader stand the
// message and the advice. Texts without a syntax are proto3.
func TestDifferences(t *testing.T) {
	t.Parallel()
	told := map[string]bool{}
	runScript(t, "compare.txt", func(t *testing.T, s *scene) map[string]string {
		read := func(of string) *Schema {
			text := s.sections[of]
			if !strings.HasPrefix(text, "syntax") && !strings.HasPrefix(text, "edition") {
				text = "syntax = \"proto3\";\n" + text
			}
			return mustParse(t, text, s.resolved(of))
		}
		writer, reader := read("writer"), read("reader")
		broken := Format().Compare(reader, writer, schema.Strict)
		if lenient := Format().Compare(reader, writer, schema.Lenient); len(lenient) != len(broken) {
			t.Errorf("lenient: %v, strict: %v", lenient, broken)
		}
		var out strings.Builder
		for _, d := range Differences(reader, writer) {
			told[d.Type] = true
			fmt.Fprintf(&out, "%s %s\n", d.Type, d.Path)
			if Compatible(d.Type) {
				continue
			}
			if len(broken) == 0 || broken[0] != d {
				t.Errorf("Compare lists %v where Differences has %v", broken, d)
			} else {
				broken = broken[1:]
			}
			fmt.Fprintf(&out, "  %s\n  %s\n", d.Message, d.Advice)
			if d.Message == "" || d.Advice == "" || strings.Contains(d.Message, "%!") || strings.Contains(d.Message, "PATH") {
				t.Errorf("%s is not explained: %q, %q", d.Type, d.Message, d.Advice)
			}
		}
		for name, same := range map[string]*Schema{"reader": reader, "writer": writer} {
			if ds := Differences(same, same); len(ds) > 0 {
				t.Errorf("the %s differs from itself: %v", name, ds)
			}
		}
		return map[string]string{"differences": out.String()}
	})
	for _, kind := range []string{
		packageChanged, messageAdded, messageRemoved, messageMoved, enumAdded, enumRemoved, enumConstAdded, enumConstChanged, enumConstRemoved,
		fieldAdded, fieldRemoved, fieldNameChanged, fieldKindChanged, fieldScalarKindChanged, fieldNamedTypeChanged, fieldNumericLabelChanged,
		fieldStringOrBytesLabelChanged, requiredFieldAdded, requiredFieldRemoved, oneofAdded, oneofRemoved, oneofFieldAdded, oneofFieldRemoved,
		oneofFieldMovedToTopLevel, multipleFieldsMovedToOneof, fieldMovedToExistingOneof,
	} {
		if !told[kind] {
			t.Errorf("no case shows %s", kind)
		}
	}
}
