package interop;

import static interop.Main.check;
import static interop.Main.client;
import static interop.Main.equal;
import static interop.Main.refused;

import com.fasterxml.jackson.core.type.TypeReference;
import io.confluent.kafka.schemaregistry.avro.AvroSchema;
import io.confluent.kafka.schemaregistry.client.SchemaMetadata;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.rest.RestService;
import io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import io.confluent.kafka.schemaregistry.client.rest.entities.SubjectVersion;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** CachedSchemaRegistryClient, and RestService beneath it for what it has no call for. */
public final class Api implements Runnable {
  private static final AvroSchema ONE = new AvroSchema(User.schema(""));
  private static final AvroSchema TWO = new AvroSchema(User.schema(",{\"name\":\"nick\",\"type\":\"string\",\"default\":\"none\"}"));
  private static final AvroSchema BAD = new AvroSchema(User.schema(",{\"name\":\"must\",\"type\":\"string\"}"));

  @Override
  public void run() {
    check("client: register, ids, versions", Api::register);
    check("client: compatibility, levels", Api::compatibility);
    check("client: modes, ids of one's own", Api::modes);
    check("client: references", Api::references);
    check("client: soft and permanent deletes", Api::deletes);
    check("client: contexts", Api::contexts);
    check("client: other formats", Api::formats);
    check("client: what is refused", Api::refusals);
    check("client: about the registry", Api::about);
  }

  private static String subject(String name) {
    return Main.run + "-api-" + name;
  }

  /** Registers a text of any format; a client parses those formats alone that it has a library of. */
  private static void text(String type, String schema, String subject) throws Exception {
    new RestService(Main.REGISTRY).registerSchema(schema, type, List.of(), subject);
  }

  private static void register() throws Exception {
    String subject = subject("one");
    SchemaRegistryClient client = client();
    int one = client.register(subject, ONE);
    int two = client.register(subject, TWO);
    equal(client().register(subject, ONE), one);
    equal(client().register(subject("again"), ONE), one);
    SchemaRegistryClient fresh = client();
    equal(fresh.getId(subject, TWO), two);
    equal(fresh.getVersion(subject, TWO), 2);
    equal(fresh.getAllVersions(subject), List.of(1, 2));
    equal(fresh.getSchemaById(one).canonicalString(), ONE.canonicalString());
    equal(fresh.getSchemaBySubjectAndId(subject, two), TWO);
    equal(fresh.getByVersion(subject, 2, false).getSchema(), TWO.canonicalString());
    SchemaMetadata latest = fresh.getLatestSchemaMetadata(subject);
    equal(List.of(latest.getId(), latest.getVersion(), latest.getSchemaType()), List.of(two, 2, "AVRO"));
    equal(fresh.getSchemaMetadata(subject, 1).getSchema(), ONE.canonicalString());
    equal(new TreeSet<>(fresh.getAllSubjectsById(one)).containsAll(Set.of(subject, subject("again"))), true);
    equal(fresh.getAllVersionsById(two).contains(new SubjectVersion(subject, 2)), true);
    equal(fresh.getAllSubjects().contains(subject), true);
    equal(new TreeSet<>(fresh.getAllSubjectsByPrefix(subject("o"))), Set.of(subject));
    equal(fresh.getSchemas(subject, false, false).size(), 2);
    equal(fresh.getSchemas(subject, false, true), List.of(TWO));
  }

  private static void compatibility() throws Exception {
    String subject = subject("level");
    SchemaRegistryClient client = client();
    client.register(subject, ONE);
    equal(client.testCompatibility(subject, TWO), true);
    equal(client.testCompatibilityVerbose(subject, TWO), List.of());
    equal(client.testCompatibility(subject, BAD), false);
    List<String> why = client.testCompatibilityVerbose(subject, BAD);
    equal(why.toString().contains("READER_FIELD_MISSING_DEFAULT_VALUE"), true);
    refused(409, 40901, () -> client.register(subject, BAD));
    refused(404, 40408, () -> client.getCompatibility(subject));
    equal(client.updateCompatibility(subject, "FORWARD"), "FORWARD");
    equal(client.getCompatibility(subject), "FORWARD");
    equal(client.testCompatibility(subject, BAD), true);
    client.deleteCompatibility(subject);
    equal(client.testCompatibility(subject, BAD), false);
    refused(422, 42203, () -> client.updateCompatibility(subject, "SOMETIMES"));
    client.updateCompatibility(subject, "NONE");
    client.register(subject, BAD);
    equal(List.of("BACKWARD", "NONE", "FULL").contains(client.getCompatibility(null)), true);
  }

  private static void modes() throws Exception {
    String subject = subject("mode");
    SchemaRegistryClient client = client();
    equal(client.getMode(), "READWRITE");
    refused(404, 40409, () -> client.getMode(subject));
    equal(client.setMode("READONLY", subject), "READONLY");
    equal(client.getMode(subject), "READONLY");
    refused(422, 42205, () -> client.register(subject, ONE));
    equal(client.setMode("IMPORT", subject), "IMPORT");
    int id = 900_000_000 + Math.floorMod(Main.run.hashCode(), 90_000_000);
    AvroSchema own = new AvroSchema("{\"type\":\"fixed\",\"name\":\"Own" + id + "\",\"size\":4}");
    equal(client.register(subject, own, 5, id), id);
    client.deleteMode(subject);
    equal(client().getSchemaMetadata(subject, 5).getId(), id);
    equal(client().getSchemaById(id), own);
    refused(422, 42204, () -> client.setMode("SOMEHOW", subject));
  }

  private static void references() throws Exception {
    SchemaRegistryClient client = client();
    RestService rest = new RestService(Main.REGISTRY);
    client.register(subject("user"), ONE);
    SchemaReference to = new SchemaReference("interop.User", subject("user"), 1);
    String text = "{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"by\",\"type\":\"interop.User\"}]}";
    AvroSchema order = new AvroSchema(text, List.of(to), Map.of("interop.User", User.schema("")), null);
    int id = client.register(subject("order"), order);
    equal(client().getSchemaById(id), order);
    equal(client().getLatestSchemaMetadata(subject("order")).getReferences(), List.of(to));
    equal(rest.getReferencedBy(subject("user"), 1), List.of(id));
    equal(client().getId(subject("order"), order), id);
    refused(422, 42206, () -> client.deleteSubject(subject("user")));
    client.deleteSubject(subject("order"));
    equal(client.deleteSubject(subject("user")), List.of(1));
  }

  private static void deletes() throws Exception {
    String subject = subject("gone");
    SchemaRegistryClient client = client();
    int one = client.register(subject, ONE);
    client.register(subject, TWO);
    refused(404, 40407, () -> client.deleteSchemaVersion(subject, "1", true));
    equal(client.deleteSchemaVersion(subject, "1"), 1);
    equal(client().getAllVersions(subject), List.of(2));
    equal(client().getByVersion(subject, 1, true).getId(), one);
    equal(client().getSchemaById(one), ONE);
    equal(client.deleteSchemaVersion(subject, "1", true), 1);
    refused(404, 40405, () -> client.deleteSubject(subject, true));
    equal(client.deleteSubject(subject), List.of(2));
    refused(404, 40401, () -> client().getAllVersions(subject));
    refused(404, 40401, () -> client().getId(subject, TWO));
    equal(new RestService(Main.REGISTRY).getAllSubjects(true).contains(subject), true);
    equal(client.deleteSubject(subject, true), List.of(2));
    equal(new RestService(Main.REGISTRY).getAllSubjects(true).contains(subject), false);
  }

  private static void contexts() throws Exception {
    String context = "." + Main.run.replace(".", "_");
    String subject = ":" + context + ":one";
    int id = client().register(subject, ONE);
    equal(id, 1);
    equal(client().getSchemaBySubjectAndId(subject, id), ONE);
    equal(client().getLatestSchemaMetadata(subject).getVersion(), 1);
    equal(client().getAllSubjectsByPrefix(":" + context + ":"), List.of(subject));
    equal(new RestService(Main.REGISTRY).getAllContexts().contains(context), true);
    RestService within = new RestService(Main.REGISTRY + "/contexts/" + context);
    equal(within.getLatestVersion("one").getId(), id);
    equal(client().deleteSubject(subject), List.of(1));
  }

  private static void formats() throws Exception {
    RestService rest = new RestService(Main.REGISTRY);
    equal(rest.getSchemaTypes().stream().sorted().collect(Collectors.toList()), List.of("AVRO", "JSON", "PROTOBUF"));
    text("PROTOBUF", "syntax = \"proto3\";\nmessage M {\n  string a = 1;\n}\n", subject("proto"));
    equal(rest.getLatestVersion(subject("proto")).getSchemaType(), "PROTOBUF");
    text("JSON", "{\"type\":\"object\"}", subject("json"));
    equal(rest.getLatestVersion(subject("json")).getSchema(), "{\"type\":\"object\"}");
  }

  private static void refusals() throws Exception {
    SchemaRegistryClient client = client();
    refused(404, 40401, () -> client.getLatestSchemaMetadata(subject("none")));
    refused(404, 40401, () -> client.getAllVersions(subject("none")));
    refused(404, 40403, () -> client.getSchemaById(2_000_000_000));
    client.register(subject("few"), ONE);
    refused(404, 40402, () -> client.getSchemaMetadata(subject("few"), 9));
    refused(404, 40403, () -> client.getId(subject("few"), TWO));
    refused(422, 42202, () -> new RestService(Main.REGISTRY).deleteSchemaVersion(Map.of(), subject("few"), "x"));
    refused(422, 42201, () -> text("AVRO", "{\"type\":\"nothing\"}", subject("few")));
    refused(422, 42201, () -> text("XML", "<a/>", subject("few")));
  }

  private static void about() throws Exception {
    RestService rest = new RestService(Main.REGISTRY);
    equal(rest.getClusterId().getScope().keySet(), Set.of("path", "clusters"));
    equal(rest.httpRequest("/v1/metadata/version", "GET", null, Map.of(), new TypeReference<Map<String, String>>() {}).keySet().contains("version"), true);
    equal(client().getAllSubjects().isEmpty(), false);
  }
}
