package interop;

import static interop.Main.check;
import static interop.Main.client;
import static interop.Main.equal;
import static interop.Main.settings;

import com.fasterxml.jackson.core.type.TypeReference;
import io.confluent.kafka.schemaregistry.avro.AvroSchema;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.RestService;
import io.confluent.kafka.schemaregistry.client.rest.entities.Config;
import io.confluent.kafka.schemaregistry.client.rest.entities.Metadata;
import io.confluent.kafka.schemaregistry.client.rest.entities.Rule;
import io.confluent.kafka.schemaregistry.client.rest.entities.RuleKind;
import io.confluent.kafka.schemaregistry.client.rest.entities.RuleMode;
import io.confluent.kafka.schemaregistry.client.rest.entities.RuleSet;
import io.confluent.kafka.schemaregistry.encryption.FieldEncryptionExecutor;
import io.confluent.kafka.schemaregistry.rules.RuleConditionException;
import io.confluent.kafka.serializers.KafkaAvroDeserializer;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What is newer than version 7.0: contracts in the schema, that the serializers carry out, and encryption of fields by keys of the registry's. */
public final class Rules implements Runnable {
  private static final String TEXT = "{\"type\":\"record\",\"name\":\"User\",\"namespace\":\"interop\",\"fields\":[{\"name\":\"name\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]},{\"name\":\"age\",\"type\":\"long\"}]}";
  private static final Schema SCHEMA = new Schema.Parser().parse(TEXT);
  private static final Object[] LATEST = {"auto.register.schemas", false, "use.latest.version", true};

  @Override
  public void run() {
    check("rules: a condition in CEL", Rules::condition);
    check("rules: a change of a field in CEL", Rules::transform);
    check("rules: migrations in JSONata", Rules::migration);
    check("encryption: fields with a tag, keys in the registry", Rules::encryption);
    check("encryption: keys and records of Weir's serializers in Go", Rules::encryptionInGo);
    check("client: metadata, aliases, normal forms", Rules::metadata);
  }

  private static Rule rule(RuleKind kind, RuleMode mode, String type, String expression) {
    return new Rule("rule" + mode, null, kind, mode, type, null, null, expression, null, null, false);
  }

  private static AvroSchema schema(String text, Map<String, String> properties, List<Rule> migrations, List<Rule> rules) {
    return new AvroSchema(text, List.of(), Map.of(), new Metadata(null, properties, null), new RuleSet(migrations, rules), null, true);
  }

  private static void condition() throws Exception {
    String topic = Main.run + "-condition";
    client().register(topic + "-value", schema(TEXT, Map.of("owner", "x"), null, List.of(rule(RuleKind.CONDITION, RuleMode.WRITE, "CEL", "message.age >= 18"))));
    List<GenericRecord> good = List.of(Serializers.user(SCHEMA, "Ada", 36L));
    Topics.write(topic, settings(LATEST), false, good);
    try {
      Topics.write(topic, settings(LATEST), false, List.of(Serializers.user(SCHEMA, "Kid", 7L)));
      throw new AssertionError("a record that the rule forbids was written");
    } catch (SerializationException e) {
      Throwable root = e;
      while (root.getCause() != null) {
        root = root.getCause();
      }
      equal(root.getClass(), RuleConditionException.class);
    }
    equal(Topics.values(topic, settings(), 1), good);
  }

  private static void transform() throws Exception {
    String topic = Main.run + "-transform";
    client().register(topic + "-value", schema(TEXT, Map.of("owner", "x"), null, List.of(rule(RuleKind.TRANSFORM, RuleMode.WRITE, "CEL_FIELD", "name == 'name' ; value + '!'"))));
    Topics.write(topic, settings(LATEST), false, List.of(Serializers.user(SCHEMA, "Ada", 36L)));
    equal(((GenericRecord) Topics.values(topic, settings(), 1).get(0)).get("name").toString(), "Ada!");
  }

  private static void migration() throws Exception {
    String topic = Main.run + "-migration";
    String subject = topic + "-value";
    SchemaRegistryClient client = client();
    Config config = new Config("BACKWARD");
    config.setCompatibilityGroup("major");
    equal(client.updateConfig(subject, config).getCompatibilityGroup(), "major");
    client.register(subject, schema(TEXT, Map.of("major", "1"), null, null));
    String two = TEXT.replace("\"name\":\"name\"", "\"name\":\"full\"");
    client.register(subject, schema(two, Map.of("major", "2"), List.of(
        rule(RuleKind.TRANSFORM, RuleMode.UPGRADE, "JSONATA", "$merge([$sift($, function($v, $k) {$k != 'name'}), {'full': $.name}])"),
        rule(RuleKind.TRANSFORM, RuleMode.DOWNGRADE, "JSONATA", "$merge([$sift($, function($v, $k) {$k != 'full'}), {'name': $.full}])")), null));
    Schema after = new Schema.Parser().parse(two);
    Map<String, Object> old = settings("auto.register.schemas", false, "use.latest.with.metadata", "major=1", "latest.compatibility.strict", false);
    Map<String, Object> now = settings("auto.register.schemas", false, "use.latest.with.metadata", "major=2", "latest.compatibility.strict", false);
    Topics.write(topic, old, false, List.of(Serializers.user(SCHEMA, "Ada", 36L)));
    Topics.write(topic, now, false, List.of(Serializers.user(after, "Bob", 7L)));
    List<Object> olds = Topics.values(topic, old, 2);
    List<Object> nows = Topics.values(topic, now, 2);
    for (int i = 0; i < 2; i++) {
      String name = i == 0 ? "Ada" : "Bob";
      equal(((GenericRecord) olds.get(i)).get("name").toString(), name);
      equal(((GenericRecord) nows.get(i)).get("full").toString(), name);
    }
  }

  /** Registers the schema with a rule that encrypts names, and returns the settings of those who have the secret. */
  private static Map<String, Object> secret(String topic, String kek) throws Exception {
    Rule rule = new Rule("secret", null, RuleKind.TRANSFORM, RuleMode.WRITEREAD, "ENCRYPT", Set.of("PII"),
        Map.of("encrypt.kek.name", kek, "encrypt.kms.type", "local-kms", "encrypt.kms.key.id", "main"), null, null, "ERROR,NONE", false);
    client().register(topic + "-value", schema(TEXT, Map.of("owner", "x"), null, List.of(rule)));
    Map<String, Object> conf = settings(LATEST);
    conf.put("rule.executors", "secret");
    conf.put("rule.executors.secret.class", FieldEncryptionExecutor.class.getName());
    conf.put("rule.executors.secret.param.secret", "a secret of this test");
    return conf;
  }

  private static void encryption() throws Exception {
    String topic = Main.run + "-encryption";
    String kek = topic.replace(".", "_"); // such a name has no dots
    Map<String, Object> conf = secret(topic, kek);
    Topics.write(topic, conf, false, List.of(Serializers.user(SCHEMA, "Ada Lovelace", 36L)));
    byte[] raw = (byte[]) Topics.values(topic, settings("value.deserializer", ByteArrayDeserializer.class.getName()), 1).get(0);
    equal(new String(raw, StandardCharsets.ISO_8859_1).contains("Lovelace"), false);
    equal(Topics.values(topic, conf, 1), List.of(Serializers.user(SCHEMA, "Ada Lovelace", 36L)));
    RestService rest = new RestService(Main.REGISTRY);
    equal(rest.httpRequest("/dek-registry/v1/keks", "GET", null, Map.of(), new TypeReference<List<String>>() {}).contains(kek), true);
    equal(rest.httpRequest("/dek-registry/v1/keks/" + kek + "/deks", "GET", null, Map.of(), new TypeReference<List<String>>() {}), List.of(topic + "-value"));
    equal(go("read", topic, hex(raw)), "Ada Lovelace 36");
  }

  /** Here Go makes the keys, and in the check above Java does. */
  private static void encryptionInGo() throws Exception {
    String topic = Main.run + "-encryption-go";
    KafkaAvroDeserializer d = new KafkaAvroDeserializer();
    d.configure(secret(topic, topic.replace(".", "_")), false);
    String written = go("write", topic, "Grace Hopper", "85");
    equal(written.contains(hex("Hopper".getBytes(StandardCharsets.UTF_8))), false);
    byte[] raw = new BigInteger("1" + written, 16).toByteArray();
    equal(d.deserialize(topic, Arrays.copyOfRange(raw, 1, raw.length)), Serializers.user(SCHEMA, "Grace Hopper", 85L));
  }

  private static String hex(byte[] bytes) {
    StringBuilder s = new StringBuilder();
    for (byte b : bytes) {
      s.append(String.format("%02x", b));
    }
    return s.toString();
  }

  /** What the program serde prints, which uses Weir's own serializers. */
  private static String go(String... args) throws Exception {
    List<String> command = new ArrayList<>(List.of(System.getenv("SERDE")));
    command.addAll(List.of(args));
    ProcessBuilder b = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
    b.environment().put("LOCAL_SECRET", "a secret of this test");
    Process p = b.start();
    String out = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    equal(p.waitFor(), 0);
    return out.trim();
  }

  private static void metadata() throws Exception {
    String subject = Main.run + "-metadata";
    SchemaRegistryClient client = client();
    int one = client.register(subject, schema(TEXT, Map.of("team", "a"), null, null));
    int two = client.register(subject, schema(TEXT, Map.of("team", "b"), null, null));
    equal(one == two, false);
    equal(client().getLatestWithMetadata(subject, Map.of("team", "a"), false).getVersion(), 1);
    equal(client().getLatestSchemaMetadata(subject).getMetadata().getProperties(), Map.of("team", "b"));
    Config alias = new Config();
    alias.setAlias(subject);
    client.updateConfig(subject + "-alias", alias);
    equal(client().getLatestSchemaMetadata(subject + "-alias").getId(), two);
    equal(client.getConfig(subject + "-alias").getAlias(), subject);
    RestService rest = new RestService(Main.REGISTRY);
    String wordy = "{\"fields\":[{\"type\":{\"type\":\"int\"},\"name\":\"n\"}],\"name\":\"Normal\",\"type\":\"record\"}";
    int id = rest.registerSchema("{\"type\":\"record\",\"name\":\"Normal\",\"fields\":[{\"name\":\"n\",\"type\":\"int\"}]}", subject + "-normal", false).getId();
    equal(rest.registerSchema(wordy, subject + "-normal", true).getId(), id);
  }
}
