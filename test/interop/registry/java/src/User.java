package interop;

import org.apache.avro.Schema;
import org.apache.avro.specific.SpecificRecordBase;

/** A specific record, in the shape of what Avro's compiler generates; Avro finds it by the name and the namespace of the schema. */
public class User extends SpecificRecordBase {
  public static final Schema SCHEMA$ = new Schema.Parser().parse(schema(""));
  public CharSequence name;
  public long age;

  public User() {}

  User(String name, long age) {
    this.name = name;
    this.age = age;
  }

  /** The text of the schema with further fields, each after a comma. */
  static String schema(String more) {
    return "{\"type\":\"record\",\"name\":\"User\",\"namespace\":\"interop\",\"fields\":[{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"age\",\"type\":\"long\"}" + more + "]}";
  }

  @Override
  public Schema getSchema() {
    return SCHEMA$;
  }

  @Override
  public Object get(int field) {
    return field == 0 ? name : (Object) age;
  }

  @Override
  public void put(int field, Object value) {
    if (field == 0) {
      name = (CharSequence) value;
    } else {
      age = (Long) value;
    }
  }
}
