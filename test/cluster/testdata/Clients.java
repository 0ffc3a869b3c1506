import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's own clients and tools, each with the options it has by itself, against brokers that come and go: a producer, groups of both protocols, a share group, a
 * consumer that moves what it reads in transactions, an admin client and the tools of the command line.
 *
 * <p>Arguments: the addresses of all brokers, and the number of partitions. It prints "ready" when all of them work, and goes on until its input ends. Then it prints
 * a line "ERROR count what" for each kind of error that a client has shown, and for each record lost or moved twice, and a line "FIGURE ...".
 */
public final class Clients {
    private static final PrintStream OUT = System.out;
    private static final String TOPIC = "java", MOVED = "java-moved", MOVER = "java-mover";
    private static final Duration POLL = Duration.ofMillis(200);

    private static String brokers;
    private static int partitions;
    private static volatile boolean producing = true, working = true;

    private static final ConcurrentSkipListMap<String, Integer> errors = new ConcurrentSkipListMap<>();
    private static final Map<String, Set<String>> read = new ConcurrentHashMap<>(); // by group
    private static final Set<String> acknowledged = ConcurrentHashMap.newKeySet();
    private static final AtomicInteger sent = new AtomicInteger(), moves = new AtomicInteger(), asked = new AtomicInteger(), refusedAcks = new AtomicInteger();
    private static final AtomicLong longest = new AtomicLong();
    private static volatile String slowest = "";

    private Clients() { }

    /** EXIT is the code with which a tool wanted to end the process first: some catch what ends them, and complain. */
    private static final ThreadLocal<Integer> EXIT = new ThreadLocal<>();

    /** Ended is what a tool ends with in the place of the process. */
    private static final class Ended extends Error { }

    private interface Ask {
        void of(Admin admin) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        brokers = args[0];
        partitions = Integer.parseInt(args[1]);
        Exit.setExitProcedure((code, message) -> {
            EXIT.set(EXIT.get() == null ? code : EXIT.get());
            throw new Ended();
        });
        try (Admin admin = Admin.create(properties())) {
            admin.createTopics(List.of(new NewTopic(TOPIC, partitions, (short) 1), new NewTopic(MOVED, partitions, (short) 1))).all().get();
            var early = new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, "share"), List.of(early))).all().get();
        }
        List<Thread> workers = new ArrayList<>();
        for (String protocol : List.of("classic", "consumer")) {
            for (int i = 0; i < 2; i++) workers.add(start(protocol + "-" + i, () -> consume(protocol)));
        }
        workers.add(start("share", Clients::share));
        workers.add(start("mover", Clients::move));
        Thread producer = start("producer", Clients::produce);
        until(() -> read.size() == 4 && read.values().stream().noneMatch(Set::isEmpty), 60);
        workers.add(start("admin", Clients::administer));
        workers.add(start("tools", Clients::tools));
        until(() -> asked.get() >= 2, 60);
        errors.clear(); // groups that form are no part of this
        OUT.println("ready");
        var in = new BufferedReader(new InputStreamReader(System.in));
        while (in.readLine() != null) { }
        producing = false;
        producer.join();
        until(() -> read.values().stream().allMatch(r -> r.size() >= acknowledged.size()), 60);
        working = false;
        for (Thread w : workers) w.join(90_000);
        judge();
    }

    private static void judge() {
        if (acknowledged.size() != sent.get()) saw("lost: produced", (sent.get() - acknowledged.size()) + " of " + sent);
        read.forEach((group, values) -> {
            long missing = acknowledged.stream().filter(v -> !values.contains(v)).count();
            if (missing > 0) saw("lost: not read by " + group, missing + " of " + acknowledged.size());
        });
        Map<String, Integer> moved = new HashMap<>();
        try (var c = new KafkaConsumer<String, String>(consumer(Map.of("isolation.level", "read_committed", "auto.offset.reset", "earliest")))) {
            List<TopicPartition> all = new ArrayList<>();
            for (int i = 0; i < partitions; i++) all.add(new TopicPartition(MOVED, i));
            c.assign(all);
            Map<TopicPartition, Long> ends = c.endOffsets(all);
            while (all.stream().anyMatch(tp -> c.position(tp) < ends.get(tp))) {
                for (ConsumerRecord<String, String> r : c.poll(POLL)) moved.merge(r.value(), 1, Integer::sum);
            }
        }
        long twice = moved.values().stream().filter(n -> n > 1).count(), never = acknowledged.stream().filter(v -> !moved.containsKey(v)).count();
        if (twice > 0) saw("moved twice", twice + " records");
        if (never > 0) saw("never moved", never + " records");
        errors.forEach((what, n) -> OUT.println("ERROR " + n + " " + what));
        OUT.printf("FIGURE %d records produced, read by groups of three protocols and moved in %d transactions; %d questions and tools, longest %.1f s (%s); %d acknowledgements of the share group given back%n",
            acknowledged.size(), moves.get(), asked.get(), longest.get() / 1000.0, slowest, refusedAcks.get());
    }

    private static void produce() {
        try (var p = new KafkaProducer<String, String>(producer(Map.of()))) {
            for (int n = 0; producing; n++) {
                String value = "v" + n;
                sent.incrementAndGet();
                p.send(new ProducerRecord<>(TOPIC, n % partitions, null, value), (m, e) -> {
                    if (e == null) acknowledged.add(value);
                    else saw("produce", e);
                });
                pause(5);
            }
        }
    }

    private static void consume(String protocol) {
        Set<String> mine = values(protocol);
        try (var c = new KafkaConsumer<String, String>(consumer(Map.of("group.id", protocol, "group.protocol", protocol, "auto.offset.reset", "earliest")))) {
            c.subscribe(List.of(TOPIC));
            while (working) {
                try {
                    ConsumerRecords<String, String> records = c.poll(POLL);
                    for (ConsumerRecord<String, String> r : records) mine.add(r.value());
                    if (!records.isEmpty()) c.commitSync();
                } catch (Exception e) {
                    saw("consume " + protocol, e);
                }
            }
        } catch (Exception e) {
            saw("close " + protocol, e);
        }
    }

    private static void share() {
        Set<String> mine = values("share");
        Properties with = consumer(Map.of("group.id", "share"));
        with.remove("enable.auto.commit");
        try (var c = new KafkaShareConsumer<String, String>(with)) {
            // What could not be acknowledged is handed out again, as on Kafka.
            c.setAcknowledgementCommitCallback((offsets, e) -> { if (e != null) refusedAcks.incrementAndGet(); });
            c.subscribe(List.of(TOPIC));
            while (working) {
                try {
                    for (ConsumerRecord<String, String> r : c.poll(POLL)) mine.add(r.value());
                } catch (Exception e) {
                    saw("share", e);
                }
            }
        } catch (Exception e) {
            saw("close share", e);
        }
    }

    /** move consumes, produces and commits offsets in one transaction, until it is told to stop. An error is noted, and its transaction is done again. */
    private static void move() {
        Set<String> mine = values(MOVER);
        while (working) {
            try (var p = new KafkaProducer<String, String>(producer(Map.of("transactional.id", MOVER)));
                 var c = new KafkaConsumer<String, String>(consumer(Map.of("group.id", MOVER, "isolation.level", "read_committed", "auto.offset.reset", "earliest")))) {
                p.initTransactions();
                c.subscribe(List.of(TOPIC));
                while (working) transact(p, c, mine);
            } catch (Exception e) {
                saw("mover", e);
            }
        }
    }

    private static void transact(KafkaProducer<String, String> p, KafkaConsumer<String, String> c, Set<String> mine) {
        ConsumerRecords<String, String> records = c.poll(POLL);
        if (records.isEmpty()) return;
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        try {
            p.beginTransaction();
            for (ConsumerRecord<String, String> r : records) {
                p.send(new ProducerRecord<>(MOVED, r.partition(), null, r.value()));
                next.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
            }
            p.sendOffsetsToTransaction(next, c.groupMetadata());
            p.commitTransaction();
        } catch (ProducerFencedException e) {
            throw e;
        } catch (KafkaException e) {
            saw("transaction", e);
            p.abortTransaction();
            c.committed(c.assignment()).forEach((tp, at) -> c.seek(tp, at == null ? 0 : at.offset()));
            return;
        }
        for (ConsumerRecord<String, String> r : records) mine.add(r.value());
        moves.incrementAndGet();
    }

    /** administer asks what operators ask, by turns with a client that stays and with a new one for each question, as tools have. */
    private static void administer() {
        TreeMap<String, Ask> asks = new TreeMap<>();
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int i = 0; i < partitions; i++) ends.put(new TopicPartition(TOPIC, i), OffsetSpec.latest());
        asks.put("describeCluster", a -> a.describeCluster().nodes().get());
        asks.put("listTopics", a -> a.listTopics().names().get());
        asks.put("describeTopics", a -> a.describeTopics(List.of(TOPIC)).allTopicNames().get());
        asks.put("describeConfigs", a -> a.describeConfigs(List.of(topic)).all().get());
        asks.put("incrementalAlterConfigs", a -> a.incrementalAlterConfigs(Map.of(topic, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET)))).all().get());
        asks.put("listOffsets", a -> a.listOffsets(ends).all().get());
        asks.put("listGroups", a -> a.listGroups().all().get());
        asks.put("describeConsumerGroups", a -> a.describeConsumerGroups(List.of("classic", "consumer", MOVER)).all().get());
        asks.put("listConsumerGroupOffsets", a -> a.listConsumerGroupOffsets(Map.of("classic", new ListConsumerGroupOffsetsSpec(), "consumer", new ListConsumerGroupOffsetsSpec())).all().get());
        asks.put("describeShareGroups", a -> a.describeShareGroups(List.of("share")).all().get());
        asks.put("listTransactions", a -> a.listTransactions().all().get());
        asks.put("describeTransactions", a -> a.describeTransactions(List.of(MOVER)).all().get());
        asks.put("describeProducers", a -> a.describeProducers(List.of(new TopicPartition(MOVED, 0), new TopicPartition(MOVED, 1))).all().get());
        asks.put("describeFeatures", a -> a.describeFeatures().featureMetadata().get());
        asks.put("describeClientQuotas", a -> a.describeClientQuotas(org.apache.kafka.common.quota.ClientQuotaFilter.all()).entities().get());
        asks.put("describeLogDirs", a -> {
            Collection<Integer> nodes = a.describeCluster().nodes().get().stream().map(n -> n.id()).toList();
            a.describeLogDirs(nodes).allDescriptions().get();
        });
        int[] made = {0};
        asks.put("createTopics and deleteTopics", a -> {
            String name = "java-made-" + made[0]++;
            a.createTopics(List.of(new NewTopic(name, 3, (short) 1))).all().get();
            a.deleteTopics(List.of(name)).all().get();
        });
        try (Admin stays = Admin.create(properties())) {
            for (boolean fresh = false; working; fresh = !fresh) {
                for (var e : asks.entrySet()) {
                    if (!working) return;
                    Ask ask = e.getValue();
                    timed("admin " + e.getKey() + (fresh ? " of a new client" : ""), fresh ? () -> {
                        try (Admin a = Admin.create(properties())) {
                            ask.of(a);
                        }
                    } : () -> ask.of(stays));
                    pause(20);
                }
            }
        }
    }

    /** tools runs Kafka's tools, as from the command line. */
    private static void tools() {
        String[][] lines = {
            {"org.apache.kafka.tools.TopicCommand", "--list"},
            {"org.apache.kafka.tools.TopicCommand", "--describe", "--topic", TOPIC},
            {"kafka.admin.ConfigCommand", "--describe", "--entity-type", "topics", "--entity-name", TOPIC},
            {"kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", MOVED, "--add-config", "retention.ms=7200000"},
            {"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--list"},
            {"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", "classic"},
            {"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", "consumer", "--members"},
            {"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", MOVER, "--state"},
            {"org.apache.kafka.tools.consumer.group.ShareGroupCommand", "--describe", "--group", "share"},
            {"org.apache.kafka.tools.GroupsCommand", "--list"},
            {"org.apache.kafka.tools.TransactionsCommand", "list"},
            {"org.apache.kafka.tools.TransactionsCommand", "describe", "--transactional-id", MOVER},
            {"org.apache.kafka.tools.GetOffsetShell", "--topic", TOPIC},
            {"org.apache.kafka.tools.FeatureCommand", "describe"},
            {"org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", TOPIC},
        };
        while (working) {
            for (String[] line : lines) {
                if (!working) return;
                List<String> args = new ArrayList<>(List.of("--bootstrap-server", brokers));
                args.addAll(List.of(line).subList(1, line.length));
                String name = line[0].substring(line[0].lastIndexOf('.') + 1) + " " + String.join(" ", List.of(line).subList(1, line.length));
                timed("tool " + name, () -> run(line[0], args.toArray(new String[0])));
                pause(20);
            }
        }
    }

    /** run runs a tool's main. What it prints must tell of no error, whatever its exit code is. */
    private static void run(String tool, String[] args) throws Exception {
        var printed = new ByteArrayOutputStream();
        PrintStream capture = new PrintStream(printed, true);
        System.setOut(capture);
        System.setErr(capture);
        EXIT.remove();
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) throw e;
        }
        int code = EXIT.get() == null ? 0 : EXIT.get();
        String text = printed.toString().split("null Clients\\$Ended")[0];
        if (code != 0 || text.contains("Exception") || text.contains("Error")) {
            throw new IllegalStateException("exit code " + code + ": " + text.substring(0, Math.min(300, text.length())).replace('\n', ' '));
        }
    }

    private interface Work {
        void run() throws Exception;
    }

    private static void timed(String what, Work work) {
        long began = System.currentTimeMillis();
        try {
            work.run();
        } catch (Exception e) {
            saw(what, e.getCause() == null ? e : e.getCause());
        }
        long took = System.currentTimeMillis() - began;
        asked.incrementAndGet();
        if (took > longest.get()) {
            longest.set(took);
            slowest = what;
        }
    }

    private static void saw(String what, Throwable e) {
        saw(what, e.getClass().getSimpleName() + ": " + e.getMessage());
    }

    private static void saw(String what, String text) {
        errors.merge(what + ": " + text.replace('\n', ' '), 1, Integer::sum);
    }

    private static Set<String> values(String group) {
        return read.computeIfAbsent(group, g -> ConcurrentHashMap.newKeySet());
    }

    private static Properties properties() {
        Properties p = new Properties();
        p.put("bootstrap.servers", brokers);
        return p;
    }

    private static Properties producer(Map<String, String> more) {
        Properties p = properties();
        p.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        p.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        p.putAll(more);
        return p;
    }

    private static Properties consumer(Map<String, String> more) {
        Properties p = properties();
        p.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        p.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        p.put("enable.auto.commit", "false");
        p.putAll(more);
        return p;
    }

    private static Thread start(String name, Runnable work) {
        Thread t = new Thread(() -> {
            try {
                work.run();
            } catch (Exception e) {
                saw(name + " ended", e);
            }
        }, name);
        t.setDaemon(true);
        t.start();
        return t;
    }

    private static void until(java.util.function.BooleanSupplier done, int seconds) {
        for (int i = 0; i < seconds * 10 && !done.getAsBoolean(); i++) pause(100);
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
