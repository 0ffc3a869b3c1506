package interop;

import io.confluent.kafka.serializers.KafkaAvroDeserializer;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.TopicExistsException;

/** Records into a topic and out of it, by Apache Kafka's producer and consumer, which make Confluent's serializers of the settings, as users have them do. */
final class Topics {
  private Topics() {}

  static void create(String topic, Map<String, String> configs) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", Main.BOOTSTRAP))) {
      admin.createTopics(List.of(new NewTopic(topic, Optional.of(1), Optional.of((short) 1)).configs(configs))).all().get();
    } catch (ExecutionException e) {
      if (!(e.getCause() instanceof TopicExistsException)) { // a check before may have made it
        throw e;
      }
    }
  }

  /** Writes each value with itself as the key if keys is set, else without a key. */
  static void write(String topic, Map<String, Object> settings, boolean keys, List<?> values) throws Exception {
    create(topic, Map.of());
    Map<String, Object> conf = new HashMap<>(settings);
    conf.put("bootstrap.servers", Main.BOOTSTRAP);
    conf.put("acks", "all");
    conf.put("key.serializer", KafkaAvroSerializer.class.getName());
    conf.putIfAbsent("value.serializer", KafkaAvroSerializer.class.getName());
    try (KafkaProducer<Object, Object> producer = new KafkaProducer<>(conf)) {
      for (Object v : values) {
        producer.send(new ProducerRecord<>(topic, keys ? v : null, v)).get();
      }
    }
  }

  /** Reads as many records as n, or what has come after 30 seconds. */
  static List<ConsumerRecord<Object, Object>> read(String topic, Map<String, Object> settings, int n) {
    Map<String, Object> conf = new HashMap<>(settings);
    conf.put("bootstrap.servers", Main.BOOTSTRAP);
    conf.put("group.id", topic + "-" + System.nanoTime());
    conf.put("auto.offset.reset", "earliest");
    conf.put("key.deserializer", KafkaAvroDeserializer.class.getName());
    conf.putIfAbsent("value.deserializer", KafkaAvroDeserializer.class.getName());
    List<ConsumerRecord<Object, Object>> got = new ArrayList<>();
    try (KafkaConsumer<Object, Object> consumer = new KafkaConsumer<>(conf)) {
      consumer.subscribe(List.of(topic));
      for (long end = System.currentTimeMillis() + 30_000; got.size() < n && System.currentTimeMillis() < end; ) {
        consumer.poll(Duration.ofMillis(200)).forEach(got::add);
      }
    }
    return got;
  }

  static List<Object> values(String topic, Map<String, Object> settings, int n) {
    List<Object> values = new ArrayList<>();
    read(topic, settings, n).forEach(r -> values.add(r.value()));
    return values;
  }
}
