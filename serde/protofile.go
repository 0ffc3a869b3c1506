package serde

import (
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

// fileOf makes a schema of the file that a message was generated from. The registry reads the base64 of its descriptor.
func fileOf(m proto.Message) (Schema, error) {
	file := m.ProtoReflect().Descriptor().ParentFile()
	for i := range file.Imports().Len() {
		if path := file.Imports().Get(i).Path(); !strings.HasPrefix(path, "google/protobuf/") && !strings.HasPrefix(path, "google/type/") && !strings.HasPrefix(path, "confluent/") {
			return Schema{}, fmt.Errorf("%s imports %s: register both, and set the option Schema with its references", file.Path(), path)
		}
	}
	b, err := proto.Marshal(protodesc.ToFileDescriptorProto(file))
	if err != nil {
		return Schema{}, fmt.Errorf("descriptor of %s: %w", file.Path(), err)
	}
	return Schema{Text: base64.StdEncoding.EncodeToString(b), Type: Protobuf}, nil
}
