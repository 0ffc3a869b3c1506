package interop;

import static interop.Main.check;
import static interop.Main.client;
import static interop.Main.equal;
import static interop.Main.refused;
import static interop.Main.settings;

import io.confluent.connect.avro.AvroConverter;
import java.math.BigDecimal;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Timestamp;

/** Connect's AvroConverter, with what it writes sent through a topic. */
public final class Connect implements Runnable {
  private static final Schema PLACE = SchemaBuilder.struct().name("interop.Place").field("city", Schema.STRING_SCHEMA).optional().build();

  @Override
  public void run() {
    check("converter: structs, logical types, optional fields", Connect::structs);
    check("converter: keys, values without a schema of their own, no value", Connect::plain);
    check("converter: a schema that changes", Connect::evolves);
  }

  private static AvroConverter converter(boolean key, Object... pairs) {
    AvroConverter c = new AvroConverter();
    c.configure(settings(pairs), key);
    return c;
  }

  private static SchemaBuilder order() {
    return SchemaBuilder.struct().name("interop.Order").version(3).doc("an order").field("id", Schema.INT64_SCHEMA).field("small", Schema.INT8_SCHEMA)
        .field("price", Decimal.schema(2)).field("at", Timestamp.SCHEMA).field("to", PLACE).field("note", Schema.OPTIONAL_STRING_SCHEMA)
        .field("tags", SchemaBuilder.map(Schema.STRING_SCHEMA, Schema.INT32_SCHEMA).build()).field("numbers", SchemaBuilder.map(Schema.INT32_SCHEMA, Schema.STRING_SCHEMA).build())
        .field("lines", SchemaBuilder.array(Schema.FLOAT64_SCHEMA).build());
  }

  private static Struct fill(Schema schema) {
    return new Struct(schema).put("id", 7L).put("small", (byte) 3).put("price", new BigDecimal("9.99")).put("at", new Date(1234567890123L)).put("to", new Struct(PLACE).put("city", "Oslo"))
        .put("tags", Map.of("a", 1)).put("numbers", Map.of(1, "one")).put("lines", List.of(1.5, 2.5));
  }

  private static void structs() throws Exception {
    String topic = Main.run + "-structs";
    Struct in = fill(order().build());
    Topics.write(topic, settings("value.serializer", ByteArraySerializer.class.getName()), false, List.of(converter(false).fromConnectData(topic, in.schema(), in)));
    List<ConsumerRecord<Object, Object>> got = Topics.read(topic, settings("value.deserializer", ByteArrayDeserializer.class.getName()), 1);
    SchemaAndValue out = converter(false).toConnectData(topic, (byte[]) got.get(0).value());
    equal(out.value(), in);
    equal(out.schema().version(), 3);
    String text = client().getLatestSchemaMetadata(topic + "-value").getSchema();
    if (!text.contains("connect.version") || !text.contains("connect.name")) {
      throw new AssertionError("the text has lost what Connect has put into it: " + text);
    }
  }

  private static void plain() throws Exception {
    String topic = Main.run + "-plain";
    AvroConverter key = converter(true);
    equal(key.toConnectData(topic, key.fromConnectData(topic, Schema.STRING_SCHEMA, "k")).value(), "k");
    equal(client().getLatestSchemaMetadata(topic + "-key").getSchema(), "\"string\"");
    AvroConverter value = converter(false);
    equal(value.toConnectData(topic, value.fromConnectData(topic, Schema.OPTIONAL_INT32_SCHEMA, 5)).value(), 5);
    equal(value.fromConnectData(topic, null, null), null);
    equal(value.toConnectData(topic, null), SchemaAndValue.NULL);
  }

  private static void evolves() throws Exception {
    String topic = Main.run + "-evolves";
    AvroConverter c = converter(false);
    Struct one = fill(order().build());
    Struct two = fill(order().field("more", Schema.OPTIONAL_INT32_SCHEMA).build()).put("more", 4);
    equal(c.toConnectData(topic, c.fromConnectData(topic, one.schema(), one)).value(), one);
    equal(c.toConnectData(topic, c.fromConnectData(topic, two.schema(), two)).value(), two);
    equal(client().getAllVersions(topic + "-value"), List.of(1, 2));
    Struct bad = fill(order().field("must", Schema.INT32_SCHEMA).build()).put("must", 4);
    refused(409, 40901, () -> c.fromConnectData(topic, bad.schema(), bad));
  }
}
