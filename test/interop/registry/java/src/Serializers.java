package interop;

import static interop.Main.check;
import static interop.Main.client;
import static interop.Main.equal;
import static interop.Main.refused;
import static interop.Main.settings;

import io.confluent.kafka.schemaregistry.avro.AvroSchema;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import io.confluent.kafka.serializers.subject.RecordNameStrategy;
import io.confluent.kafka.serializers.subject.TopicRecordNameStrategy;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.util.Utf8;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.serialization.StringSerializer;

/** KafkaAvroSerializer and KafkaAvroDeserializer, within Kafka's producer and consumer. */
public final class Serializers implements Runnable {
  private static final String NICK = ",{\"name\":\"nick\",\"type\":\"string\",\"default\":\"none\"}";
  private static final String MUST = ",{\"name\":\"must\",\"type\":\"string\"}";

  @Override
  public void run() {
    check("serializer: generic records, keys, no value", Serializers::generic);
    check("serializer: specific records", Serializers::specific);
    check("serializer: logical types, unions, nested types", Serializers::types);
    check("serializer: no registering by itself", Serializers::registeredOnly);
    check("serializer: the latest version", Serializers::latest);
    check("serializer: what does not fit is refused", Serializers::incompatible);
    check("serializer: two types in a topic", Serializers::strategies);
    check("serializer: references", Serializers::references);
    check("serializer: a second address when the first is dead", Serializers::failover);
    check("serializer: a schema that is nowhere", Serializers::unknown);
    check("serializer: a topic that demands a schema", Serializers::demanded);
    check("serializer: weir reads what Java wrote, and Java what weir wrote", Serializers::weir);
  }

  static GenericRecord user(Schema schema, Object... values) {
    GenericRecord r = new GenericData.Record(schema);
    for (int i = 0; i < values.length; i++) {
      r.put(i, values[i] instanceof String ? new Utf8((String) values[i]) : values[i]);
    }
    return r;
  }

  private static void generic() throws Exception {
    String topic = Main.run + "-generic";
    GenericRecord ada = user(User.SCHEMA$, "Ada", 36L);
    Topics.write(topic, settings(), true, List.of(ada, user(User.SCHEMA$, "", -1L)));
    Topics.write(topic, settings(), false, Arrays.asList((Object) null));
    List<ConsumerRecord<Object, Object>> got = Topics.read(topic, settings(), 3);
    equal(got.size(), 3);
    equal(got.get(0).value(), ada);
    equal(got.get(0).key(), ada);
    equal(got.get(2).value(), null);
    SchemaRegistryClient client = client();
    equal(client.getAllVersions(topic + "-key"), List.of(1));
    equal(client.getId(topic + "-key", new AvroSchema(User.SCHEMA$)), client.getId(topic + "-value", new AvroSchema(User.SCHEMA$)));
  }

  private static void specific() throws Exception {
    String topic = Main.run + "-specific";
    List<User> in = List.of(new User("Ada", 36), new User("Bob", 1L << 40));
    Topics.write(topic, settings(), false, in);
    List<Object> got = Topics.values(topic, settings("specific.avro.reader", true), 2);
    equal(got, in);
    equal(got.get(0).getClass(), User.class);
  }

  private static void types() throws Exception {
    String topic = Main.run + "-types";
    Schema schema = new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"All\",\"namespace\":\"interop\",\"fields\":["
        + "{\"name\":\"price\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}},"
        + "{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
        + "{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"Kind\",\"symbols\":[\"A\",\"B\"]}},"
        + "{\"name\":\"sum\",\"type\":{\"type\":\"fixed\",\"name\":\"Sum\",\"size\":4}},"
        + "{\"name\":\"next\",\"type\":[\"null\",\"All\"],\"default\":null},"
        + "{\"name\":\"tags\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"int\"}}},"
        + "{\"name\":\"raw\",\"type\":[\"string\",\"bytes\"]}]}");
    GenericRecord inner = all(schema, null);
    GenericRecord outer = all(schema, inner);
    Topics.write(topic, settings("avro.use.logical.type.converters", true), false, List.of(outer));
    equal(Topics.values(topic, settings("avro.use.logical.type.converters", true), 1), List.of(outer));
  }

  private static GenericRecord all(Schema schema, GenericRecord next) {
    return new GenericRecordBuilder(schema).set("price", new BigDecimal("12.34")).set("at", Instant.ofEpochMilli(1234567890123L))
        .set("kind", new GenericData.EnumSymbol(schema.getField("kind").schema(), "B"))
        .set("sum", new GenericData.Fixed(schema.getField("sum").schema(), new byte[] {1, 2, 3, 4})).set("next", next)
        .set("tags", Map.of(new Utf8("x"), List.of(1, 2))).set("raw", ByteBuffer.wrap(new byte[] {0, -1})).build();
  }

  private static void registeredOnly() throws Exception {
    String topic = Main.run + "-only";
    Map<String, Object> conf = settings("auto.register.schemas", false);
    List<GenericRecord> in = List.of(user(User.SCHEMA$, "Ada", 36L));
    refused(404, 40401, () -> Topics.write(topic, conf, false, in));
    SchemaRegistryClient client = client();
    client.register(topic + "-value", new AvroSchema(User.schema(NICK)));
    refused(404, 40403, () -> Topics.write(topic, conf, false, in));
    client.register(topic + "-value", new AvroSchema(User.SCHEMA$));
    Topics.write(topic, conf, false, in);
    equal(Topics.values(topic, settings(), 1), in);
  }

  private static void latest() throws Exception {
    String topic = Main.run + "-latest";
    SchemaRegistryClient client = client();
    client.register(topic + "-value", new AvroSchema(User.SCHEMA$));
    Schema two = new Schema.Parser().parse(User.schema(NICK));
    int id = client.register(topic + "-value", new AvroSchema(two));
    Map<String, Object> conf = settings("auto.register.schemas", false, "use.latest.version", true);
    GenericRecord in = user(two, "Ada", 36L, "ace");
    KafkaAvroSerializer serializer = new KafkaAvroSerializer();
    serializer.configure(conf, false);
    equal(ByteBuffer.wrap(serializer.serialize(topic, in)).getInt(1), id);
    Topics.write(topic, conf, false, List.of(in));
    equal(Topics.values(topic, settings(), 1), List.of(in));
    equal(Topics.values(topic, settings("specific.avro.reader", true), 1), List.of(new User("Ada", 36)));
  }

  private static void incompatible() throws Exception {
    String topic = Main.run + "-incompatible";
    Topics.write(topic, settings(), false, List.of(new User("Ada", 36)));
    Schema two = new Schema.Parser().parse(User.schema(NICK));
    Topics.write(topic, settings(), false, List.of(user(two, "Bob", 7L, "bo")));
    Schema bad = new Schema.Parser().parse(User.schema(MUST));
    refused(409, 40901, () -> Topics.write(topic, settings(), false, List.of(user(bad, "Eve", 7L, "x"))));
    equal(Topics.values(topic, settings("specific.avro.reader", true), 2), List.of(new User("Ada", 36), new User("Bob", 7)));
    equal(client().getAllVersions(topic + "-value"), List.of(1, 2));
  }

  private static void strategies() throws Exception {
    String topic = Main.run + "-two";
    Schema other = new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"Other" + Math.abs(Main.run.hashCode()) + "\",\"fields\":[{\"name\":\"n\",\"type\":\"int\"}]}");
    List<GenericRecord> in = List.of(user(User.SCHEMA$, "Ada", 36L), user(other, 1));
    Topics.write(topic, settings("value.subject.name.strategy", TopicRecordNameStrategy.class.getName()), false, in);
    Topics.write(topic, settings("value.subject.name.strategy", RecordNameStrategy.class.getName()), false, List.of(in.get(1)));
    equal(Topics.values(topic, settings(), 3), List.of(in.get(0), in.get(1), in.get(1)));
    SchemaRegistryClient client = client();
    equal(client.getAllVersions(topic + "-interop.User"), List.of(1));
    equal(client.getAllVersions(topic + "-" + other.getName()), List.of(1));
    equal(client.getAllVersions(other.getName()), List.of(1));
  }

  private static void references() throws Exception {
    String topic = Main.run + "-references";
    String subject = Main.run + "-user";
    SchemaRegistryClient client = client();
    client.register(subject, new AvroSchema(User.SCHEMA$));
    String text = "{\"type\":\"record\",\"name\":\"Order\",\"namespace\":\"interop\",\"fields\":[{\"name\":\"by\",\"type\":\"interop.User\"},{\"name\":\"n\",\"type\":\"int\"}]}";
    AvroSchema order = new AvroSchema(text, List.of(new SchemaReference("interop.User", subject, 1)), Map.of("interop.User", User.schema("")), null);
    int id = client.register(topic + "-value", order);
    GenericRecord in = user(order.rawSchema(), user(User.SCHEMA$, "Ada", 36L), 3);
    Topics.write(topic, settings("auto.register.schemas", false, "use.latest.version", true), false, List.of(in));
    equal(Topics.values(topic, settings(), 1), List.of(in));
    equal(((AvroSchema) client().getSchemaById(id)).references().size(), 1);
    refused(422, 42206, () -> client().deleteSchemaVersion(subject, "1"));
  }

  private static void failover() throws Exception {
    String topic = Main.run + "-failover";
    String urls = "http://127.0.0.1:1," + Main.REGISTRY;
    Topics.write(topic, settings("schema.registry.url", urls), false, List.of(new User("Ada", 36)));
    equal(Topics.values(topic, settings("schema.registry.url", urls, "specific.avro.reader", true), 1), List.of(new User("Ada", 36)));
  }

  private static void unknown() throws Exception {
    io.confluent.kafka.serializers.KafkaAvroDeserializer d = new io.confluent.kafka.serializers.KafkaAvroDeserializer();
    d.configure(settings(), false);
    refused(404, 40403, () -> d.deserialize("t", new byte[] {0, 127, 0, 0, 1, 2}));
  }

  /** The setting is the one of Confluent's broker. */
  private static void demanded() throws Exception {
    String topic = Main.run + "-demanded";
    Topics.create(topic, Map.of("confluent.value.schema.validation", "true"));
    Topics.write(topic, settings(), false, List.of(new User("Ada", 36)));
    try {
      Topics.write(topic, settings("value.serializer", StringSerializer.class.getName()), false, List.of("no schema"));
      throw new AssertionError("a record without a schema was taken");
    } catch (ExecutionException e) {
      equal(e.getCause().getClass(), InvalidRecordException.class);
    }
    equal(Topics.values(topic, settings("specific.avro.reader", true), 1), List.of(new User("Ada", 36)));
  }

  private static void weir() throws Exception {
    String topic = Main.run + "-weir";
    Topics.write(topic, settings(), false, List.of(new User("Ada", 36)));
    String at = " --bootstrap " + Main.BOOTSTRAP + " --schema-registry " + Main.REGISTRY;
    String read = shell("consume " + topic + at + " --until-end");
    equal(read.replaceAll("\\s", "").contains("{\"name\":\"Ada\",\"age\":36}"), true);
    shell("produce " + topic + at + " --value-format avro <<<'{\"name\":\"Bob\",\"age\":7}'");
    equal(Topics.values(topic, settings("specific.avro.reader", true), 2), List.of(new User("Ada", 36), new User("Bob", 7)));
  }

  /** What weir's command about topics prints. */
  private static String shell(String command) throws Exception {
    Process p = new ProcessBuilder("bash", "-c", System.getenv("WEIR") + " topic " + command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    p.getOutputStream().close();
    String out = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    equal(p.waitFor(), 0);
    return out;
  }
}
