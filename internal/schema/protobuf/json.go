package protobuf

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/weir-stream/weir/internal/schema"
)

// ToJSON writes a payload in Protobuf's JSON mapping, with the fields without presence that are not set, on one line.
func (s *Schema) ToJSON(payload []byte, at []int) ([]byte, error) {
	// Decoding first bounds what the payload unfolds into: a message of the library takes some fifty times the bytes of an empty one.
	if _, err := s.Decode(payload, at); err != nil {
		return nil, err
	}
	md, err := s.descriptor(at)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(md)
	// The outermost message counts as one level for the library.
	if err := (proto.UnmarshalOptions{Resolver: s.resolver, RecursionLimit: 2 * schema.MaxDepth}).Unmarshal(payload, m); err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	text, err := protojson.MarshalOptions{Resolver: s.resolver, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil { // the library puts spaces in by chance
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	return line.Bytes(), nil
}

// FromJSON reads Protobuf's JSON mapping. A name that is no field is an error.
func (s *Schema) FromJSON(text []byte, at []int) ([]byte, error) {
	md, err := s.descriptor(at)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(md)
	if err := (protojson.UnmarshalOptions{Resolver: s.resolver, RecursionLimit: schema.MaxDepth}).Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	if payload == nil {
		payload = []byte{}
	}
	return payload, nil
}
