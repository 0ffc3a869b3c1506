package interop;

import static interop.Main.check;
import static interop.Main.equal;
import static interop.Main.refused;
import static interop.Main.settings;

import io.confluent.kafka.serializers.KafkaAvroDeserializer;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import java.util.Map;

/** The serializers at a registry that speaks TLS and asks for a name: $SECURE_REGISTRY, with the authority and joe's certificate in the folder $SECURE_FILES. */
public final class Login implements Runnable {
  private static final String URL = System.getenv("SECURE_REGISTRY");
  private static final String FILES = System.getenv("SECURE_FILES");

  @Override
  public void run() {
    check("login: a password in the settings", () -> through("password", with("basic.auth.credentials.source", "USER_INFO", "basic.auth.user.info", "admin:admin-secret")));
    check("login: a password in the URL", () -> through("url", with("basic.auth.credentials.source", "URL", "schema.registry.url", URL.replace("://", "://admin:admin-secret@"))));
    check("login: a certificate", () -> through("certificate", with("schema.registry.ssl.keystore.type", "PKCS12", "schema.registry.ssl.keystore.location", FILES + "/joe.p12",
        "schema.registry.ssl.keystore.password", "storepass", "schema.registry.ssl.key.password", "storepass")));
    check("login: refusals", Login::refusals);
  }

  /** Settings for this registry, with pairs of a key and a value that go before those. */
  private static Map<String, Object> with(String... pairs) {
    Map<String, Object> conf = settings("schema.registry.url", URL, "schema.registry.ssl.truststore.type", "PKCS12", "schema.registry.ssl.truststore.location", FILES + "/trust.p12",
        "schema.registry.ssl.truststore.password", "storepass");
    for (int i = 0; i < pairs.length; i += 2) {
      conf.put(pairs[i], pairs[i + 1]);
    }
    return conf;
  }

  private static void through(String topic, Map<String, Object> conf) {
    KafkaAvroSerializer in = new KafkaAvroSerializer();
    in.configure(conf, false);
    conf.put("specific.avro.reader", true);
    KafkaAvroDeserializer out = new KafkaAvroDeserializer();
    out.configure(conf, false);
    String name = Main.run + "-login-" + topic;
    equal(out.deserialize(name, in.serialize(name, new User("Ada", 36))), new User("Ada", 36));
  }

  private static void refusals() throws Exception {
    refused(401, 40101, () -> through("nobody", with()));
    refused(401, 40101, () -> through("wrong", with("basic.auth.credentials.source", "USER_INFO", "basic.auth.user.info", "admin:guess")));
    refused(403, 40301, () -> through("bob", with("basic.auth.credentials.source", "USER_INFO", "basic.auth.user.info", "bob:bob-secret")));
    try {
      through("stranger", settings("schema.registry.url", URL));
      throw new AssertionError("a server was trusted that nobody vouches for");
    } catch (org.apache.kafka.common.errors.SerializationException e) {
      equal(e.getCause() instanceof javax.net.ssl.SSLException, true);
    }
  }
}
