package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type user struct {
	Name string `avro:"name" json:"name"`
	Age  int64  `avro:"age" json:"age"`
}

type xy struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

func franzChecks(ctx context.Context) bool {
	client, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		fmt.Printf("FAIL sr: %v\n", err)
		return false
	}
	f := franz{client}
	return all(ctx, []check{
		{"sr: avro", f.avro}, {"sr: json schema", f.json}, {"sr: protobuf, message indexes", f.protobuf}, {"sr: compatibility, lookup, deletes", f.subjects},
		{"sr: modes, contexts, types", f.modes},
	})
}

type franz struct{ *sr.Client }

func (f franz) avro(ctx context.Context) error {
	topic := run + "-sr-avro"
	made, err := f.CreateSchema(ctx, topic+"-value", sr.Schema{Type: sr.TypeAvro, Schema: fmt.Sprintf(avroUser, "")})
	if err != nil {
		return err
	}
	schema, err := avro.Parse(made.Schema.Schema)
	if err != nil {
		return err
	}
	var serde sr.Serde
	serde.Register(made.ID, user{},
		sr.EncodeFn(func(v any) ([]byte, error) { return avro.Marshal(schema, v) }),
		sr.DecodeFn(func(b []byte, v any) error { return avro.Unmarshal(schema, b, v) }))
	in := user{"Ada", 36}
	raw, err := serde.Encode(in)
	if err != nil {
		return err
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	var out user
	if err := serde.Decode(got[0], &out); err != nil {
		return err
	}
	return equal("value", out, in)
}

func (f franz) json(ctx context.Context) error {
	topic := run + "-sr-json"
	made, err := f.CreateSchema(ctx, topic+"-value", sr.Schema{Type: sr.TypeJSON, Schema: fmt.Sprintf(point, "number", "")})
	if err != nil {
		return err
	}
	var serde sr.Serde
	serde.Register(made.ID, xy{}, sr.EncodeFn(json.Marshal), sr.DecodeFn(json.Unmarshal))
	raw, err := serde.Encode(xy{1, 2})
	if err != nil {
		return err
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	var out xy
	if err := serde.Decode(got[0], &out); err != nil {
		return err
	}
	return equal("value", out, xy{1, 2})
}

func (f franz) protobuf(ctx context.Context) error {
	topic := run + "-sr-protobuf"
	made, err := f.CreateSchema(ctx, topic+"-value", sr.Schema{Type: sr.TypeProtobuf, Schema: "syntax = \"proto3\"; package google.protobuf; message Other {} message Timestamp { int64 seconds = 1; int32 nanos = 2; }"})
	if err != nil {
		return err
	}
	var serde sr.Serde
	serde.Register(made.ID, &timestamppb.Timestamp{},
		sr.EncodeFn(func(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }),
		sr.DecodeFn(func(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }), sr.Index(1))
	raw, err := serde.Encode(&timestamppb.Timestamp{Seconds: 7})
	if err != nil {
		return err
	}
	if !bytes.Equal(raw[5:7], []byte{2, 2}) {
		return fmt.Errorf("indexes: got %x", raw[5:7])
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	out := &timestamppb.Timestamp{}
	if err := serde.Decode(got[0], out); err != nil {
		return err
	}
	return equal("seconds", out.Seconds, 7)
}

func (f franz) subjects(ctx context.Context) error {
	subject := run + "-sr-subject"
	one := sr.Schema{Type: sr.TypeProtobuf, Schema: fmt.Sprintf(note, "")}
	two := sr.Schema{Type: sr.TypeProtobuf, Schema: fmt.Sprintf(note, "bool done = 3;")}
	bad := sr.Schema{Type: sr.TypeProtobuf, Schema: fmt.Sprintf(note, "double done = 3;")}
	first, err := f.CreateSchema(ctx, subject, one)
	if err != nil {
		return err
	}
	if _, err := f.CreateSchema(ctx, subject, two); err != nil {
		return err
	}
	fits, err := f.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, -1, bad)
	if err != nil {
		return err
	}
	if fits.Is || len(fits.Messages) == 0 {
		return fmt.Errorf("compatibility: got %+v", fits)
	}
	_, err = f.CreateSchema(ctx, subject, bad)
	if re, ok := errors.AsType[*sr.ResponseError](err); !ok || re.StatusCode != 409 || re.ErrorCode != 40901 {
		return fmt.Errorf("incompatible: got %w", err)
	}
	found, err := f.LookupSchema(ctx, subject, one)
	if err != nil {
		return err
	}
	if err := equal("looked up", found.ID, first.ID); err != nil {
		return err
	}
	versions, err := f.DeleteSubject(ctx, subject, sr.SoftDelete)
	if err != nil {
		return err
	}
	if !slices.Equal(versions, []int{1, 2}) {
		return fmt.Errorf("deleted: got %v", versions)
	}
	_, err = f.DeleteSubject(ctx, subject, sr.HardDelete)
	return err
}

func (f franz) modes(ctx context.Context) error {
	subject := run + "-sr-mode"
	for _, r := range f.SetMode(ctx, sr.ModeReadOnly, subject) {
		if r.Err != nil {
			return r.Err
		}
	}
	_, err := f.CreateSchema(ctx, subject, sr.Schema{Schema: fmt.Sprintf(avroUser, "")})
	if re, ok := errors.AsType[*sr.ResponseError](err); !ok || re.ErrorCode != 42205 {
		return fmt.Errorf("read only: got %w", err)
	}
	for _, r := range f.ResetMode(ctx, subject) {
		if r.Err != nil {
			return r.Err
		}
	}
	in := ":." + run + ":one"
	id, err := f.RegisterSchema(ctx, in, sr.Schema{Schema: fmt.Sprintf(avroUser, "")}, -1, -1)
	if err != nil {
		return err
	}
	if err := equal("id in a context of its own", id, 1); err != nil {
		return err
	}
	types, err := f.SupportedTypes(ctx)
	if err != nil {
		return err
	}
	for _, t := range []sr.SchemaType{sr.TypeAvro, sr.TypeProtobuf, sr.TypeJSON} {
		if !slices.Contains(types, t) {
			return fmt.Errorf("types: got %v", types)
		}
	}
	return nil
}
