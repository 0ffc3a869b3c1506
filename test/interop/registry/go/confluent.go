package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry"
	_ "github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/rules/cel" // carries out rules of type CEL
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde/avrov2"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde/jsonschema"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde/protobuf"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/apipb"
)

func confluentChecks(ctx context.Context) bool {
	return all(ctx, []check{
		{"confluent: avro", confluentAvro}, {"confluent: avro, a rule in CEL", confluentRule}, {"confluent: json schema", confluentJSON},
		{"confluent: protobuf, nested and with imports", confluentProtobuf}, {"confluent: subjects, levels, deletes", confluentSubjects},
	})
}

// confluent returns a client with an empty cache.
func confluent() (schemaregistry.Client, error) {
	return schemaregistry.NewClient(schemaregistry.NewConfig(url))
}

func confluentAvro(ctx context.Context) error {
	topic := run + "-c-avro"
	client, err := confluent()
	if err != nil {
		return err
	}
	if _, err := client.Register(topic+"-value", schemaregistry.SchemaInfo{Schema: fmt.Sprintf(avroUser, "")}, false); err != nil {
		return err
	}
	conf := avrov2.NewSerializerConfig()
	conf.AutoRegisterSchemas, conf.UseLatestVersion = false, true
	ser, err := avrov2.NewSerializer(client, serde.ValueSerde, conf)
	if err != nil {
		return err
	}
	in := user{"Ada", 36}
	raw, err := ser.Serialize(topic, &in)
	if err != nil {
		return err
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	reader, err := confluent()
	if err != nil {
		return err
	}
	de, err := avrov2.NewDeserializer(reader, serde.ValueSerde, avrov2.NewDeserializerConfig())
	if err != nil {
		return err
	}
	var out user
	if err := de.DeserializeInto(topic, got[0], &out); err != nil {
		return err
	}
	return equal("value", out, in)
}

// confluentRule names a field as this client does, by the name that it has in Go.
func confluentRule(context.Context) error {
	topic := run + "-c-rule"
	client, err := confluent()
	if err != nil {
		return err
	}
	rules := &schemaregistry.RuleSet{DomainRules: []schemaregistry.Rule{{Name: "adult", Kind: "CONDITION", Mode: "WRITE", Type: "CEL", Expr: "message.Age >= 18", OnFailure: "ERROR"}}}
	if _, err := client.Register(topic+"-value", schemaregistry.SchemaInfo{Schema: fmt.Sprintf(avroUser, ""), RuleSet: rules}, false); err != nil {
		return err
	}
	conf := avrov2.NewSerializerConfig()
	conf.AutoRegisterSchemas, conf.UseLatestVersion = false, true
	ser, err := avrov2.NewSerializer(client, serde.ValueSerde, conf)
	if err != nil {
		return err
	}
	if _, err := ser.Serialize(topic, &user{"Ada", 36}); err != nil {
		return err
	}
	_, err = ser.Serialize(topic, &user{"Kid", 7})
	return contains(err, "message.Age >= 18")
}

func confluentJSON(ctx context.Context) error {
	topic := run + "-c-json"
	client, err := confluent()
	if err != nil {
		return err
	}
	if _, err := client.Register(topic+"-value", schemaregistry.SchemaInfo{SchemaType: "JSON", Schema: fmt.Sprintf(point, "number", "")}, false); err != nil {
		return err
	}
	conf := jsonschema.NewSerializerConfig()
	conf.AutoRegisterSchemas, conf.UseLatestVersion, conf.EnableValidation = false, true, true
	ser, err := jsonschema.NewSerializer(client, serde.ValueSerde, conf)
	if err != nil {
		return err
	}
	raw, err := ser.Serialize(topic, &xy{1, 2})
	if err != nil {
		return err
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	de, err := jsonschema.NewDeserializer(client, serde.ValueSerde, jsonschema.NewDeserializerConfig())
	if err != nil {
		return err
	}
	var out xy
	if err := de.DeserializeInto(topic, got[0], &out); err != nil {
		return err
	}
	if err := equal("value", out, xy{1, 2}); err != nil {
		return err
	}
	if _, err := client.Register(topic+"-value", schemaregistry.SchemaInfo{SchemaType: "JSON", Schema: fmt.Sprintf(point, "number", `,"z":{"type":"string"}`)}, false); err != nil {
		return err
	}
	_, err = client.Register(topic+"-value", schemaregistry.SchemaInfo{SchemaType: "JSON", Schema: fmt.Sprintf(point, "string", "")}, false)
	return incompatible(err)
}

// confluentProtobuf writes a message of a file of Google's that imports two others, which the serializer registers too.
func confluentProtobuf(ctx context.Context) error {
	topic := run + "-c-protobuf"
	client, err := confluent()
	if err != nil {
		return err
	}
	ser, err := protobuf.NewSerializer(client, serde.ValueSerde, protobuf.NewSerializerConfig())
	if err != nil {
		return err
	}
	in := &apipb.Method{Name: "Get", RequestTypeUrl: "a"}
	raw, err := ser.Serialize(topic, in)
	if err != nil {
		return err
	}
	got, err := through(ctx, topic, raw)
	if err != nil {
		return err
	}
	reader, err := confluent()
	if err != nil {
		return err
	}
	de, err := protobuf.NewDeserializer(reader, serde.ValueSerde, protobuf.NewDeserializerConfig())
	if err != nil {
		return err
	}
	de.ProtoRegistry = protoregistry.GlobalTypes
	out, err := de.Deserialize(topic, got[0])
	if err != nil {
		return err
	}
	if !proto.Equal(out.(proto.Message), in) {
		return fmt.Errorf("got %v, want %v", out, in)
	}
	return nil
}

func incompatible(err error) error { return contains(err, "40901") }

func confluentSubjects(context.Context) error {
	subject := run + "-c-subject"
	client, err := confluent()
	if err != nil {
		return err
	}
	one := schemaregistry.SchemaInfo{Schema: fmt.Sprintf(avroUser, "")}
	bad := schemaregistry.SchemaInfo{Schema: fmt.Sprintf(avroUser, `,{"name":"must","type":"string"}`)}
	id, err := client.Register(subject, one, true)
	if err != nil {
		return err
	}
	if got, err := client.GetID(subject, one, true); err != nil || got != id {
		return fmt.Errorf("looked up: %d, %w", got, err)
	}
	if fits, err := client.TestCompatibility(subject, 1, bad); err != nil || fits {
		return fmt.Errorf("compatibility: %v, %w", fits, err)
	}
	if _, err := client.Register(subject, bad, false); incompatible(err) != nil {
		return incompatible(err)
	}
	subjects, err := client.GetAllSubjects()
	if err != nil || !slices.Contains(subjects, subject) {
		return fmt.Errorf("subjects: %v, %w", subjects, err)
	}
	if _, err := client.UpdateCompatibility(subject, schemaregistry.None); err != nil {
		return err
	}
	if _, err := client.Register(subject, bad, false); err != nil {
		return err
	}
	versions, err := client.DeleteSubject(subject, false)
	if err != nil || !slices.Equal(versions, []int{1, 2}) {
		return fmt.Errorf("deleted: %v, %w", versions, err)
	}
	_, err = client.DeleteSubject(subject, true)
	return err
}
