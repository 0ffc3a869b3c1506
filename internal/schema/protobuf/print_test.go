package protobuf

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/weir-stream/weir/internal/schema"
)

// Every text in the scripts is printed canonically and normalized. Both forms must be fixed points, and the canonical one must make the
// descriptor that the text makes; so must the serialized form.
func TestTextsArePrintedAlikeForEver(t *testing.T) {
	t.Parallel()
	runScript(t, "print.txt", func(t *testing.T, s *scene) map[string]string {
		imports := s.resolved("")
		first := mustParse(t, s.sections["schema"], imports)
		again := mustParse(t, first.Canonical(), imports)
		if again.Canonical() != first.Canonical() {
			t.Errorf("canonical is no fixed point:\n%s\nthen\n%s", first.Canonical(), again.Canonical())
		}
		if a, b := unnamed(first), unnamed(again); !proto.Equal(a, b) {
			t.Errorf("the canonical text makes another descriptor:\n%v\nthan\n%v", b, a)
		}
		normal := mustParse(t, first.Normalized(), imports)
		if normal.Normalized() != first.Normalized() {
			t.Errorf("normalized is no fixed point:\n%s\nthen\n%s", first.Normalized(), normal.Normalized())
		}
		serialized := mustParse(t, first.Serialized(), imports)
		if a, b := unnamed(first), unnamed(serialized); !proto.Equal(a, b) {
			t.Errorf("the serialized form makes another descriptor:\n%v\nthan\n%v", b, a)
		}
		if serialized.Normalized() != first.Normalized() {
			t.Errorf("the serialized form is normalized to\n%s\nwant\n%s", serialized.Normalized(), first.Normalized())
		}
		sameMessages(t, first, normal)
		return map[string]string{"canonical": first.Canonical(), "normalized": first.Normalized()}
	})
}

func unnamed(s *Schema) *descriptorpb.FileDescriptorProto {
	p := proto.CloneOf(s.linked)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		panic(err)
	}
	out := &descriptorpb.FileDescriptorProto{}
	if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// sameMessages says whether declared messages have the same indexes in both.
func sameMessages(t *testing.T, a, b *Schema) {
	t.Helper()
	for name := range a.plans().messages {
		at, ok := a.Message(string(name))
		if !ok {
			continue // of an import
		}
		if md, err := a.descriptor(at); err != nil || md.IsMapEntry() {
			continue
		}
		if got, ok := b.MessageName(at); !ok || got != string(name) {
			t.Errorf("message %s stands at %v, where the other has %q", name, at, got)
		}
	}
}

func TestTextsThatAreNoSchemasAreRefused(t *testing.T) {
	t.Parallel()
	runScript(t, "refused.txt", func(t *testing.T, s *scene) map[string]string {
		got, err := Format().Parse(schema.Source{Text: s.sections["schema"], Resolved: s.resolved("")}, true)
		if err == nil {
			t.Fatalf("got a schema:\n%s", got.Canonical())
		}
		return map[string]string{"error": err.Error() + "\n"}
	})
}
