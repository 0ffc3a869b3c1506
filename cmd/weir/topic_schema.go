package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/cli/recordformat"
	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/cli/typed"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// partOptions say how keys or values are encoded or decoded by a schema.
type partOptions struct {
	format, file, subject, message string
	id                             int
}

type direction bool

const (
	producing direction = false
	consuming direction = true
)

// formatTypes are the formats as people name them.
var formatTypes = map[string]schema.Type{"avro": schema.Avro, "protobuf": schema.Protobuf, "json-schema": schema.JSON}

// addFlags adds the flags of one part of records, named key or value.
func (o *partOptions) addFlags(cmd *cobra.Command, part string, d direction) {
	f := cmd.Flags()
	choices := []string{"avro", "protobuf", "json-schema"}
	if d == consuming {
		choices = append([]string{"auto", "raw"}, choices...)
		f.StringVar(&o.format, part+"-format", "auto", "auto, raw, avro, protobuf or json-schema")
		f.IntVar(&o.id, part+"-schema-id", 0, "schema of "+part+"s that show none, by its `id`")
		f.StringVar(&o.file, part+"-schema", "", "schema of "+part+"s that show none, in a `file`")
	} else {
		f.StringVar(&o.format, part+"-format", "", "encode "+part+"s by a schema: avro, protobuf or json-schema")
		f.IntVar(&o.id, part+"-schema-id", 0, "encode "+part+"s by the schema with this `id`")
		f.StringVar(&o.file, part+"-schema", "", "encode "+part+"s by the schema in this `file`, which is registered")
		f.StringVar(&o.subject, part+"-subject", "", "`subject` of the schema of "+part+"s (default TOPIC-"+part+")")
		f.StringVar(&o.message, part+"-message", "", "full `name` of the Protobuf message of "+part+"s (default the first of the schema)")
	}
	completeFrom(cmd, part+"-format", choices...)
}

// given tells whether anything was said about schemas.
func (o *partOptions) given() bool {
	return o.format != "" && o.format != "auto" && o.format != "raw" || o.file != "" || o.id != 0 || o.subject != "" || o.message != ""
}

// check returns the type that the format names, "" if it names none.
func (o *partOptions) check(part typed.Side, raw bool) (schema.Type, error) {
	t, known := formatTypes[o.format]
	switch {
	case !known && o.format != "" && o.format != "auto" && o.format != "raw":
		return "", usageErrorf("--%s-format %q is none of avro, protobuf, json-schema", part, o.format)
	case o.id != 0 && o.file != "":
		return "", usageErrorf("--%s-schema-id and --%s-schema exclude each other", part, part)
	case o.id < 0:
		return "", usageErrorf("--%s-schema-id %d is no id", part, o.id)
	case raw && o.given():
		return "", usageErrorf("--raw shows %ss as they are: it excludes --%s-format and --%s-schema", part, part, part)
	}
	return t, nil
}

// readFile reads the schema in the file, of type t or, if that is empty, of the type that the file's name tells.
func (o *partOptions) readFile(part typed.Side, t schema.Type) (typed.Schema, schema.Source, error) {
	text, err := os.ReadFile(o.file)
	if err != nil {
		return typed.Schema{}, schema.Source{}, fmt.Errorf("read --%s-schema: %w", part, err)
	}
	if t == "" {
		t = map[string]schema.Type{".avsc": schema.Avro, ".avro": schema.Avro, ".proto": schema.Protobuf, ".json": schema.JSON}[filepath.Ext(o.file)]
	}
	if t == "" {
		return typed.Schema{}, schema.Source{}, usageErrorf("the name of %s does not tell its format: say --%s-format", o.file, part)
	}
	source := schema.Source{Text: string(text)}
	s, err := typed.Parse(t, source, true)
	if err != nil {
		return s, source, fmt.Errorf("%s: %w", o.file, err)
	}
	return s, source, nil
}

// registryFix adds the way out to errors of a registry.
func registryFix(err error, cl *registryclient.Client) error {
	switch {
	case errors.Is(err, typed.ErrUnreachable):
		return withFix(err, "name the registry with --schema-registry or WEIR_SCHEMA_REGISTRY (tried %s)", strings.Join(cl.URLs(), ","))
	case errors.Is(err, typed.ErrUnknown):
		return withFix(err, "give the schema with --value-schema FILE or --value-schema-id (of keys: --key-schema, --key-schema-id)")
	}
	return err
}

// encoders returns what encodes the records that reader yields, by the schemas of the options or, for envelopes, by those that they name.
func (s *session) encoders(ctx context.Context, o *produceOptions, topic string, reader recordformat.Reader) (func(context.Context, *kgo.Record) error, error) {
	client, _, err := s.registry()
	if err != nil {
		return nil, err
	}
	schemas := typed.NewSchemas(client)
	fixed := map[typed.Side]*typed.Encoder{}
	for _, side := range []typed.Side{typed.Value, typed.Key} {
		part := &o.valuePart
		if side == typed.Key {
			part = &o.keyPart
		}
		want, err := part.check(side, false)
		if err != nil {
			return nil, err
		}
		if !part.given() {
			continue
		}
		if fixed[side], err = part.encoder(ctx, client, schemas, side, want, topic); err != nil {
			return nil, registryFix(err, client)
		}
	}
	named := &namedEncoders{schemas: schemas, known: map[string]*typed.Encoder{}}
	if r, ok := reader.(interface{ Typed() recordformat.Typed }); ok {
		named.typed = r.Typed
	}
	return func(ctx context.Context, r *kgo.Record) error {
		for _, side := range []typed.Side{typed.Key, typed.Value} {
			e := fixed[side]
			if e == nil {
				var err error
				if e, err = named.find(ctx, side); err != nil {
					return registryFix(err, client)
				}
			}
			if e == nil {
				continue
			}
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// encoder finds or registers the schema that the options name.
func (o *partOptions) encoder(ctx context.Context, client *registryclient.Client, schemas *typed.Schemas, side typed.Side, want schema.Type, topic string) (*typed.Encoder, error) {
	subject := o.subject
	if subject == "" {
		subject = topic + "-" + side.String()
	}
	var found typed.Schema
	var err error
	switch {
	case o.id != 0:
		found, err = schemas.ByID(ctx, wireformat.ID{Number: o.id})
	case o.file != "":
		var source schema.Source
		if found, source, err = o.readFile(side, want); err != nil {
			return nil, err
		}
		if found.ID, err = client.Register(ctx, subject, found.Type, source); err != nil {
			err = typed.Classify(err)
		}
	default:
		var latest registryclient.Schema
		if latest, err = client.ByVersion(ctx, subject, -1); err != nil {
			err = typed.Classify(err)
		} else if found, err = typed.Parse(latest.Type, latest.Source, false); err == nil {
			found.ID = latest.ID
		}
	}
	if err != nil {
		return nil, err
	}
	if want != "" && found.Type != want {
		return nil, usageErrorf("the schema of %ss with %s is of type %s, not %s", side, found.ID, found.Type, want)
	}
	at, err := found.At(o.message)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return typed.NewEncoder(side, found, at), nil
}

// namedEncoders encode what envelopes name schemas for.
type namedEncoders struct {
	schemas *typed.Schemas
	typed   func() recordformat.Typed // of the last record; nil if the input has no envelopes
	known   map[string]*typed.Encoder
}

// find returns the encoder for a part of the last record, nil if that is no JSON by a schema.
func (n *namedEncoders) find(ctx context.Context, side typed.Side) (*typed.Encoder, error) {
	if n.typed == nil {
		return nil, nil
	}
	ref := n.typed().Value
	if side == typed.Key {
		ref = n.typed().Key
	}
	if ref == nil {
		return nil, nil
	}
	key := fmt.Sprint(side, ref.ID, ref.Message)
	if e := n.known[key]; e != nil {
		return e, nil
	}
	id, err := parseSchemaID(ref.ID)
	if err != nil {
		return nil, err
	}
	s, err := n.schemas.ByID(ctx, id)
	if err != nil {
		return nil, err
	}
	n.known[key] = typed.NewEncoder(side, s, ref.Message)
	return n.known[key], nil
}

func parseSchemaID(text string) (wireformat.ID, error) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
		return wireformat.ID{Number: int(n)}, nil
	}
	guid, err := wireformat.ParseGUID(text)
	return wireformat.ID{GUID: guid}, err
}

// schemaIDText is what parseSchemaID reads.
func schemaIDText(id wireformat.ID) string {
	if id.ByGUID() {
		return id.GUID.String()
	}
	return strconv.Itoa(id.Number)
}

// decoders returns what decodes values and keys, where the options do not ask for bytes.
func (s *session) decoders(ctx context.Context, o *consumeOptions) ([]*typed.Decoder, error) {
	client, guessed, err := s.registry()
	if err != nil {
		return nil, err
	}
	schemas := typed.NewSchemas(client)
	noted := false
	note := func(err error) {
		if noted {
			return
		}
		noted = true
		if guessed {
			s.progressf("records show ids of schemas, and no Schema Registry answers at %s: they are shown as they are; name it with --schema-registry, or ask for --raw", strings.Join(client.URLs(), ","))
			return
		}
		s.progressf("records are shown as they are: %v", err)
	}
	var out []*typed.Decoder
	for _, side := range []typed.Side{typed.Value, typed.Key} {
		part := &o.value
		if side == typed.Key {
			part = &o.key
		}
		want, err := part.check(side, o.raw)
		if err != nil {
			return nil, err
		}
		if o.raw || part.format == "raw" {
			continue
		}
		options := typed.DecoderOptions{Strict: part.given(), Want: want, Note: note}
		switch {
		case part.file != "":
			bare, _, err := part.readFile(side, want)
			if err != nil {
				return nil, err
			}
			options.Bare = &bare
		case part.id != 0:
			bare, err := schemas.ByID(ctx, wireformat.ID{Number: part.id})
			if err != nil {
				return nil, registryFix(err, client)
			}
			options.Bare = &bare
		}
		out = append(out, typed.NewDecoder(side, schemas, options))
	}
	return out, nil
}

// decoded returns a record with JSON in the place of what the decoders can decode, and says which parts these are. The record given is not
// changed.
func decoded(ctx context.Context, decoders []*typed.Decoder, r *kgo.Record) (*kgo.Record, recordformat.Typed, error) {
	var by recordformat.Typed
	shown := r
	for _, d := range decoders {
		text, ok, err := d.Decode(ctx, r)
		if err != nil {
			return nil, by, err
		}
		if !ok {
			continue
		}
		if shown == r {
			c := *r
			shown = &c
		}
		ref := &recordformat.SchemaRef{ID: schemaIDText(text.ID), Message: text.At}
		if d.Side() == typed.Key {
			shown.Key, by.Key = text.JSON, ref
		} else {
			shown.Value, by.Value = text.JSON, ref
		}
	}
	return shown, by, nil
}
