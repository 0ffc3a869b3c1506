"""confluent-kafka's serializers against the broker at $BOOTSTRAP and the registry at $REGISTRY. Prints PASS or FAIL lines; see ../../README.md."""

import json
import os
import sys
import time
import traceback

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

SERVER, REGISTRY = os.environ["BOOTSTRAP"], os.environ["REGISTRY"]
RUN = os.environ["RUN"] + "-registry-python"
registry = SchemaRegistryClient({"url": REGISTRY})
failed = False


def check(name, func):
    global failed
    try:
        func()
        print("PASS", name, flush=True)
    except Exception as e:  # any failure of a check is a line, and the next check runs
        failed = True
        print(f"FAIL {name}: {type(e).__name__}: {str(e)[:300]}".replace("\n", " "), flush=True)
        traceback.print_exc()


def refused(status, code, func, *args):
    try:
        got = func(*args)
    except SchemaRegistryError as e:
        assert (e.http_status_code, e.error_code) == (status, code), f"got {e.http_status_code} {e.error_code}, want {status} {code}: {e.error_message}"
        return e.error_message
    raise AssertionError(f"got {got!r} instead of error {code}")


def through(topic, values, serialize, deserialize):
    """What comes out of the topic when values have gone in, each by its side's serializer."""
    admin = AdminClient({"bootstrap.servers": SERVER})
    for f in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        try:
            f.result(60)
        except Exception:
            pass  # it is there from a check before
    ctx = SerializationContext(topic, MessageField.VALUE)
    producer, errors = Producer({"bootstrap.servers": SERVER, "acks": "all"}), []
    for v in values:
        producer.produce(topic, serialize(v, ctx), on_delivery=lambda err, _: errors.append(err) if err else None)
    assert producer.flush(60) == 0 and not errors, errors
    consumer = Consumer({"bootstrap.servers": SERVER, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    got, end = [], time.time() + 90
    while len(got) < len(values) and time.time() < end:
        m = consumer.poll(0.2)
        if m is not None:
            assert not m.error(), m.error()
            got.append(deserialize(m.value(), ctx))
    consumer.close()
    return got


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


# Avro

USER = {"type": "record", "name": "User", "namespace": "weir", "fields": [{"name": "name", "type": "string"}, {"name": "age", "type": ["null", "int"], "default": None}]}
USER2 = {**USER, "fields": USER["fields"] + [{"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}, "default": "RED"}]}
USER_BAD = {**USER, "fields": USER["fields"] + [{"name": "must", "type": "string"}]}


def avro():
    topic = RUN + "-avro"
    users = [{"name": "Ada", "age": 36}, {"name": "Bob", "age": None}]
    equal(through(topic, users, AvroSerializer(registry, json.dumps(USER)), AvroDeserializer(registry)), users)


def avro_evolves():
    topic = RUN + "-avro"
    subject = topic + "-value"
    assert registry.test_compatibility(subject, Schema(json.dumps(USER2), "AVRO"))
    ctx = SerializationContext(topic, MessageField.VALUE)
    old = AvroSerializer(registry, json.dumps(USER), conf={"auto.register.schemas": False})({"name": "Eve", "age": 1}, ctx)
    new = AvroSerializer(registry, json.dumps(USER2))({"name": "Fay", "age": None, "colour": "BLUE"}, ctx)
    reader = AvroDeserializer(registry, json.dumps(USER2))
    equal(reader(old, ctx), {"name": "Eve", "age": 1, "colour": "RED"})
    equal(reader(new, ctx), {"name": "Fay", "age": None, "colour": "BLUE"})
    equal(AvroDeserializer(registry, json.dumps(USER))(new, ctx), {"name": "Fay", "age": None})
    equal(registry.get_versions(subject), [1, 2])


def avro_incompatible():
    subject = RUN + "-avro-value"
    assert not registry.test_compatibility(subject, Schema(json.dumps(USER_BAD), "AVRO"))
    message = refused(409, 40901, registry.register_schema, subject, Schema(json.dumps(USER_BAD), "AVRO"))
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in message, message
    ctx = SerializationContext(RUN + "-avro", MessageField.VALUE)
    try:
        AvroSerializer(registry, json.dumps(USER_BAD))({"name": "x", "age": 1, "must": "y"}, ctx)
    except Exception:
        return
    raise AssertionError("a serializer registered what does not fit")


def avro_references():
    topic, subject = RUN + "-avroref", RUN + "-address"
    registry.register_schema(subject, Schema(json.dumps({"type": "record", "name": "Address", "namespace": "weir", "fields": [{"name": "city", "type": "string"}]}), "AVRO"))
    order = {"type": "record", "name": "Order", "namespace": "weir", "fields": [{"name": "to", "type": "weir.Address"}, {"name": "n", "type": "long"}]}
    schema = Schema(json.dumps(order), "AVRO", [SchemaReference("weir.Address", subject, 1)])
    orders = [{"to": {"city": "Oslo"}, "n": 1 << 40}]
    equal(through(topic, orders, AvroSerializer(registry, schema), AvroDeserializer(registry)), orders)
    refused(422, 42206, lambda: registry.delete_version(subject, 1))


# JSON Schema

POINT = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Point", "type": "object", "additionalProperties": False, "required": ["x"], "properties": {"x": {"type": "number"}, "y": {"type": "number"}}}
POINT2 = {**POINT, "properties": {**POINT["properties"], "z": {"type": "number"}}}
POINT_BAD = {**POINT, "properties": {"x": {"type": "string"}, "y": {"type": "number"}}}


def json_schema():
    topic = RUN + "-json"
    points = [{"x": 1, "y": 2.5}, {"x": -1}]
    equal(through(topic, points, JSONSerializer(json.dumps(POINT), registry), JSONDeserializer(None, schema_registry_client=registry)), points)
    try:
        JSONSerializer(json.dumps(POINT), registry)({"y": 1}, SerializationContext(topic, MessageField.VALUE))
    except Exception:
        return
    raise AssertionError("a value without what is required was written")


def json_schema_evolves():
    subject = RUN + "-json-value"
    registry.register_schema(subject, Schema(json.dumps(POINT2), "JSON"))
    equal(registry.get_versions(subject), [1, 2])
    message = refused(409, 40901, registry.register_schema, subject, Schema(json.dumps(POINT_BAD), "JSON"))
    assert "TYPE_CHANGED" in message, message


def json_schema_references():
    topic, subject = RUN + "-jsonref", RUN + "-point"
    registry.register_schema(subject, Schema(json.dumps(POINT), "JSON"))
    line = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Line", "type": "object", "properties": {"from": {"$ref": "point.json"}, "to": {"$ref": "point.json"}}}
    lines = [{"from": {"x": 0}, "to": {"x": 1, "y": 1}}]
    schema = Schema(json.dumps(line), "JSON", [SchemaReference("point.json", subject, 1)])
    equal(through(topic, lines, JSONSerializer(schema, registry), JSONDeserializer(schema, schema_registry_client=registry)), lines)


# Protobuf: the classes are made here of descriptors, which is what generated code does too.

T = descriptor_pb2.FieldDescriptorProto


def protobuf_file(name, messages, imports=()):
    f = descriptor_pb2.FileDescriptorProto(name=name, package="weir", syntax="proto3", dependency=list(imports))
    for message, nested, fields in messages:
        m = f.message_type.add(name=message)
        for n, inner in nested:
            into = m.nested_type.add(name=n)
            for field in inner:
                into.field.add(**field)
        for field in fields:
            m.field.add(**field)
    return f


def field(name, number, kind, type_name=None, label=T.LABEL_OPTIONAL):
    return {"name": name, "number": number, "type": kind, "label": label, **({"type_name": type_name} if type_name else {})}


def classes(files):
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for f in files:
        pool.Add(f)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName("weir." + name))


PLACE = protobuf_file("weir/place.proto", [("Place", [], [field("city", 1, T.TYPE_STRING)])])


def shipment(*more):
    return protobuf_file(
        "weir/shipment.proto",
        [
            ("First", [], [field("a", 1, T.TYPE_INT32)]),
            (
                "Shipment",
                [("Box", [field("weight", 1, T.TYPE_DOUBLE)]), ("Item", [field("sku", 1, T.TYPE_STRING)])],
                [
                    field("id", 1, T.TYPE_STRING),
                    field("to", 2, T.TYPE_MESSAGE, ".weir.Place"),
                    field("at", 3, T.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
                    field("items", 4, T.TYPE_MESSAGE, ".weir.Shipment.Item", T.LABEL_REPEATED),
                    *more,
                ],
            ),
        ],
        ["weir/place.proto", "google/protobuf/timestamp.proto"],
    )


def protobuf():
    topic = RUN + "-protobuf"
    of = classes([PLACE, shipment()])
    Shipment = of("Shipment")
    values = [Shipment(id="a", to={"city": "Rome"}, at={"seconds": 5}, items=[{"sku": "x"}]), Shipment()]
    equal(through(topic, values, ProtobufSerializer(Shipment, registry), ProtobufDeserializer(Shipment, schema_registry_client=registry)), values)
    latest = registry.get_latest_version(topic + "-value")
    equal([(r.name, r.subject) for r in latest.schema.references], [("weir/place.proto", "weir/place.proto")])
    assert "message Shipment" in latest.schema.schema_str, latest.schema.schema_str


def protobuf_nested():
    topic = RUN + "-protobufnested"
    Item = classes([PLACE, shipment()])("Shipment.Item")
    values = [Item(sku="1"), Item(sku="2")]
    ctx = SerializationContext(topic, MessageField.VALUE)
    raw = ProtobufSerializer(Item, registry)(values[0], ctx)
    equal(list(raw[5:8]), [4, 2, 2])  # two indexes, 1 and 1, zig-zag
    equal(through(topic, values, ProtobufSerializer(Item, registry), ProtobufDeserializer(Item, schema_registry_client=registry)), values)


def protobuf_evolves():
    topic = RUN + "-protobuf"
    ctx = SerializationContext(topic, MessageField.VALUE)
    Old, New = classes([PLACE, shipment()])("Shipment"), classes([PLACE, shipment(field("note", 5, T.TYPE_STRING))])("Shipment")
    raw = ProtobufSerializer(New, registry)(New(id="b", note="fragile"), ctx)
    equal(ProtobufDeserializer(Old, schema_registry_client=registry)(raw, ctx).id, "b")
    equal(registry.get_versions(topic + "-value"), [1, 2])
    Bad = classes([PLACE, shipment(field("note", 5, T.TYPE_DOUBLE))])("Shipment")
    try:
        ProtobufSerializer(Bad, registry)(Bad(id="c"), ctx)
    except SchemaRegistryError as e:
        equal((e.http_status_code, e.error_code), (409, 40901))
        assert "FIELD_SCALAR_KIND_CHANGED" in e.error_message, e.error_message
        return
    raise AssertionError("a serializer registered what does not fit")


def protobuf_text():
    subject = RUN + "-text"
    text = 'syntax = "proto3";\npackage weir;\nmessage Note { string text = 1; map<string, int64> counts = 2; }'
    n = registry.register_schema(subject, Schema(text, "PROTOBUF"))
    equal(registry.register_schema(subject, Schema(text.replace("; ", ";\n\n  "), "PROTOBUF")), n)
    serialized = registry.get_schema(n, fmt="serialized").schema_str
    f = descriptor_pb2.FileDescriptorProto.FromString(__import__("base64").b64decode(serialized))
    equal([m.name for m in f.message_type], ["Note"])
    equal(registry.register_schema(subject, Schema(serialized, "PROTOBUF")), n)


# The client


def subjects():
    subject = RUN + "-subject"
    one, two = Schema(json.dumps(USER), "AVRO"), Schema(json.dumps(USER2), "AVRO")
    n = registry.register_schema(subject, one)
    equal(registry.register_schema(subject, one), n)
    registry.register_schema(subject, two)
    assert subject in registry.get_subjects()
    equal(registry.lookup_schema(subject, two).version, 2)
    equal(registry.get_latest_version(subject).version, 2)
    equal(registry.get_version(subject, 1).schema_id, n)
    equal(json.loads(registry.get_schema(n).schema_str)["name"], "User")
    refused(404, 40402, registry.get_version, subject, 3)
    refused(404, 40401, registry.get_latest_version, subject + "-none")
    refused(422, 42201, registry.register_schema, subject, Schema('{"type": "nothing"}', "AVRO"))
    equal(registry.delete_version(subject, 1), 1)
    equal(registry.get_versions(subject), [2])
    equal(registry.delete_subject(subject), [2])
    refused(404, 40404, registry.delete_subject, subject)
    equal(registry.delete_subject(subject, permanent=True), [1, 2])
    refused(404, 40401, registry.get_versions, subject)


def settings():
    subject = RUN + "-settings"
    registry.register_schema(subject, Schema(json.dumps(USER), "AVRO"))
    equal(registry.get_compatibility(), "BACKWARD")
    registry.set_compatibility(subject, "NONE")
    equal(registry.get_compatibility(subject), "NONE")
    registry.register_schema(subject, Schema(json.dumps(USER_BAD), "AVRO"))
    registry.set_compatibility(subject, "FULL")
    refused(409, 40901, registry.register_schema, subject, Schema(json.dumps({**USER, "fields": USER["fields"][:1]}), "AVRO"))
    refused(422, 42203, registry.set_compatibility, subject, "SOMEHOW")


def strategies():
    topic = RUN + "-strategy"
    s = AvroSerializer(registry, json.dumps({**USER, "name": "Named", "namespace": RUN.replace("-", "_")}), conf={"subject.name.strategy": record_subject_name_strategy, "normalize.schemas": True})
    s({"name": "a", "age": 1}, SerializationContext(topic, MessageField.VALUE))
    assert RUN.replace("-", "_") + ".Named" in registry.get_subjects()


for name, func in [
    ("avro", avro),
    ("avro: new schema, old data", avro_evolves),
    ("avro: incompatible", avro_incompatible),
    ("avro: references", avro_references),
    ("json schema", json_schema),
    ("json schema: new schema, incompatible", json_schema_evolves),
    ("json schema: references", json_schema_references),
    ("protobuf with imports", protobuf),
    ("protobuf: nested message", protobuf_nested),
    ("protobuf: new schema, incompatible", protobuf_evolves),
    ("protobuf: text and serialized", protobuf_text),
    ("subjects, versions, ids, deletes", subjects),
    ("compatibility levels", settings),
    ("subject by record, normalized", strategies),
]:
    check(name, func)
sys.exit(failed)
