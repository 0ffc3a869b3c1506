package interop;

import io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Runs the parts that it is given by name, each a Runnable of this package, and prints PASS or FAIL lines; see ../../../README.md. The first argument is the
 * version of Confluent's classes: it stands before every name, and keeps the topics and subjects of two versions apart.
 */
public final class Main {
  static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
  static final String REGISTRY = System.getenv("REGISTRY");
  static String version;
  static String run;
  private static boolean failed;

  /** What a check does; any exception is its failure. */
  interface Body {
    void run() throws Exception;
  }

  private Main() {}

  public static void main(String[] args) throws Exception {
    version = args[0];
    run = System.getenv("RUN") + "-java-" + version;
    for (String part : List.of(args).subList(1, args.length)) {
      ((Runnable) Class.forName("interop." + part).getDeclaredConstructor().newInstance()).run();
    }
    System.exit(failed ? 1 : 0);
  }

  static void check(String name, Body body) {
    try {
      body.run();
      System.out.println("PASS " + version + ": " + name);
    } catch (Throwable e) { // a class that is missing is a line too, and the next check runs
      failed = true;
      String why = e + (e.getCause() == null ? "" : " because of " + e.getCause());
      System.out.println("FAIL " + version + ": " + name + ": " + why.substring(0, Math.min(400, why.length())).replace('\n', ' '));
      e.printStackTrace();
    }
  }

  static void equal(Object got, Object want) {
    if (!Objects.equals(got, want)) {
      throw new AssertionError("got " + got + ", want " + want);
    }
  }

  /** The registry has to refuse what body asks for, with this status and code, be it told at once or as a cause. */
  static void refused(int status, int code, Body body) throws Exception {
    try {
      body.run();
    } catch (Exception e) {
      for (Throwable t = e; t != null; t = t.getCause()) {
        if (t instanceof RestClientException) {
          RestClientException r = (RestClientException) t;
          if (r.getStatus() == status && r.getErrorCode() == code) {
            return;
          }
        }
      }
      throw e;
    }
    throw new AssertionError("nothing was refused, want " + code);
  }

  /** A client with an empty cache. */
  static SchemaRegistryClient client() {
    return new CachedSchemaRegistryClient(REGISTRY, 100);
  }

  /** Settings of a serializer, by pairs of a key and a value after those that all have. */
  static Map<String, Object> settings(Object... pairs) {
    Map<String, Object> m = new HashMap<>(Map.of("schema.registry.url", REGISTRY));
    for (int i = 0; i < pairs.length; i += 2) {
      m.put((String) pairs[i], pairs[i + 1]);
    }
    return m;
  }
}
