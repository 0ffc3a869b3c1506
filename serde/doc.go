// Package serde turns Go values into the bytes of Kafka records and back, by schemas in a Schema Registry: Avro, Protobuf and JSON
// Schema, with the framing of Confluent's serializers, so that programs in other languages read what is written here and the other way
// round. It works with Weir's registry and with any that speaks Confluent's API.
//
//	client, err := serde.NewClient(serde.ClientOptions{URLs: []string{"http://127.0.0.1:8081"}})
//	out, err := serde.NewSerializer(client, serde.SerializerOptions{Schema: &serde.Schema{Text: order}})
//	data, headers, err := out.Serialize(ctx, "orders", Order{ID: 7})
//	in, err := serde.NewDeserializer(client, serde.DeserializerOptions{})
//	err = in.Deserialize(ctx, "orders", data, headers, &got)
//
// A serializer learns the id of its schema once per subject, by registering it, looking it up, or taking the newest; a deserializer learns
// each schema once per id. All else happens in this process. Rules that a schema carries run on the way: conditions and transforms in CEL
// (CEL, CEL_FIELD) and JSONata (JSONATA), encryption of fields and payloads (ENCRYPT, ENCRYPT_PAYLOAD), and migrations between versions. An
// expression is bounded in time, in depth and in the size of its result; one in JSONata is not bounded in what it builds on the way, so
// whoever registers schemas is trusted with the memory of those who read by them.
//
// # Values
//
// Avro: structs, with names of fields in tags (avro:"name"), maps, slices, and Go's plain types. A field's tag may have options: omitempty leaves
// out a zero value; timestamp-millis, timestamp-micros, timestamp-nanos and date say what a time.Time is, millis if nothing does;
// time-millis and time-micros the same of a time.Duration. A field without such a tag has the name in its json tag, or its own. Types
// with MarshalText and UnmarshalText are strings. Nil pointers are null.
// Protobuf: a proto.Message, or a map by the names of fields. JSON Schema: whatever encoding/json takes; it is validated when it is written.
//
// A *any receives the plain value: nil, bool, int64, uint64, float64, string, []byte, []any or map[string]any.
//
// Everything is safe for concurrent use, and nothing is kept but in what the caller made. Caches are bounded.
package serde
