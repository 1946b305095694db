import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/**
 * Drives Apache's Java client. The features are those of scenario/ in Go; see README.md.
 *
 * <p>java -cp CLASSPATH Driver.java FEATURE --bootstrap HOST:PORT --topic NAME [...]; exit 0: as expected; exit 1: the
 * reason on standard error.
 */
public class Driver {
    static final Map<String, String> options = new HashMap<>();
    static final long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(100);
    static String topic, group;
    static int count;

    interface Feature {
        void run() throws Exception;
    }

    public static void main(String[] args) {
        for (int i = 1; i < args.length; i++) {
            String[] option = args[i].substring(2).split("=", 2);
            options.put(option[0], option.length == 2 ? option[1] : args[++i]);
        }
        topic = options.get("topic");
        group = options.get("group");
        count = Integer.parseInt(options.getOrDefault("count", "0"));
        Map<String, Feature> features = new HashMap<>();
        features.put("produce", Driver::produce);
        features.put("fields", Driver::fields);
        features.put("idempotence", () -> send(values("idempotent/", count), Map.of("enable.idempotence", true)));
        features.put("start", () -> expectValues(read(count, Long.MIN_VALUE, () -> {}), "fill/", 0));
        features.put("end", () -> expectValues(read(5, -1, () -> send(values("after/", 5), Map.of())), "after/", 0));
        features.put("time", () -> expectValues(read(count / 2, Long.parseLong(options.get("time")), () -> {}), "fill/", count / 2));
        features.put("group", Driver::group);
        features.put("commits", Driver::commits);
        features.put("transactions", Driver::transactions);
        features.put("topics", Driver::topics);
        features.put("configs", Driver::configs);
        features.put("groups", Driver::groups);
        features.put("records", Driver::deleteRecords);
        try {
            features.get(args[0]).run();
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    static void expect(boolean condition, String text) {
        if (!condition) throw new IllegalStateException(text);
    }

    static void until(String what, BooleanSupplier done) throws InterruptedException {
        while (!done.getAsBoolean()) {
            expect(System.nanoTime() < deadline, "waited for: " + what);
            Thread.sleep(20);
        }
    }

    static byte[] bytes(String s) {
        return s == null ? null : s.getBytes(StandardCharsets.UTF_8);
    }

    static ProducerRecord<byte[], byte[]> record(int partition, Long at, String key, String value, Header... headers) {
        return new ProducerRecord<>(topic, partition, at, bytes(key), bytes(value), List.of(headers));
    }

    static List<ProducerRecord<byte[], byte[]>> values(String prefix, int n) {
        List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
        for (int i = 0; i < n; i++) out.add(record(0, null, null, prefix + i));
        return out;
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, Object> with) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", options.get("bootstrap"));
        config.put("enable.idempotence", false);
        config.put("max.in.flight.requests.per.connection", 1);
        config.put("linger.ms", 5);
        config.putAll(with);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static void send(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> with) throws Exception {
        try (KafkaProducer<byte[], byte[]> p = producer(with)) {
            sendWith(p, records);
        }
    }

    static void sendWith(KafkaProducer<byte[], byte[]> p, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> r : records) sent.add(p.send(r));
        p.flush();
        for (Future<RecordMetadata> f : sent) f.get(30, TimeUnit.SECONDS);
    }

    static void produce() throws Exception {
        for (String codec : options.get("codecs").split(",")) {
            for (String acks : options.get("acks").split(",")) {
                List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
                for (int i = 0; i < count; i++) out.add(record(0, null, "" + i, codec + "/" + acks + "/" + i + " " + "payload ".repeat(20)));
                send(out, Map.of("compression.type", codec, "acks", acks));
            }
        }
    }

    static KafkaConsumer<byte[], byte[]> consumer(String group) {
        return consumer(group, Map.of());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> with) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", options.get("bootstrap"), "enable.auto.commit", false,
            "auto.offset.reset", "earliest", "session.timeout.ms", 10000, "heartbeat.interval.ms", 300, "fetch.max.wait.ms", 100));
        if (group != null) config.put("group.id", group);
        config.putAll(with);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Reads n records from the start (MIN_VALUE), the end (-1) or a time. */
    static List<ConsumerRecord<byte[], byte[]>> read(int n, long from, Feature ready) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
            c.assign(List.of(tp));
            if (from == Long.MIN_VALUE) c.seekToBeginning(List.of(tp));
            else if (from == -1) c.seekToEnd(List.of(tp));
            else c.seek(tp, c.offsetsForTimes(Map.of(tp, from)).get(tp).offset());
            c.position(tp);
            ready.run();
            List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
            while (got.size() < n) {
                expect(System.nanoTime() < deadline, got.size() + " of " + n + " records");
                c.poll(Duration.ofSeconds(1)).forEach(got::add);
            }
            return got.subList(0, n);
        }
    }

    static void expectValues(List<ConsumerRecord<byte[], byte[]>> got, String prefix, int first) {
        for (int i = 0; i < got.size(); i++) {
            String value = new String(got.get(i).value(), StandardCharsets.UTF_8);
            expect(value.equals(prefix + (first + i)), "record " + i + " is " + value);
        }
    }

    static void fields() throws Exception {
        long at = System.currentTimeMillis() - 3600000;
        List<ProducerRecord<byte[], byte[]>> sent = List.of(
            record(0, at, "key", "value", new RecordHeader("one", bytes("1")), new RecordHeader("two", new byte[] {0, -1}), new RecordHeader("one", bytes("again")), new RecordHeader("null", (byte[]) null)),
            record(0, at + 1, null, "no key"), record(0, at + 2, "no value", null), record(0, at - 5000, "empty", ""), record(0, at + 4, "ключ", "0123456789".repeat(90000)));
        send(sent, Map.of("max.request.size", 2000000));
        List<ConsumerRecord<byte[], byte[]>> got = read(sent.size(), Long.MIN_VALUE, () -> {});
        for (int i = 0; i < sent.size(); i++) {
            expect(Arrays.equals(sent.get(i).key(), got.get(i).key()), "key of record " + i);
            expect(Arrays.equals(sent.get(i).value(), got.get(i).value()), "value of record " + i);
            expect(sent.get(i).timestamp() == got.get(i).timestamp(), "timestamp of record " + i);
            expect(Arrays.equals(sent.get(i).headers().toArray(), got.get(i).headers().toArray()), "headers of record " + i);
        }
    }

    /** A member that polls and commits until it is told to leave. */
    static class Worker extends Thread {
        final Set<String> seen;
        volatile int received;
        volatile boolean leave;
        volatile Throwable failed;

        Worker(Set<String> seen) {
            this.seen = seen;
            start();
        }

        @Override
        public void run() {
            try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
                c.subscribe(List.of(topic));
                while (!leave) {
                    ConsumerRecords<byte[], byte[]> records = c.poll(Duration.ofMillis(300));
                    for (ConsumerRecord<byte[], byte[]> r : records) {
                        seen.add(new String(r.value(), StandardCharsets.UTF_8));
                        received++;
                    }
                    try {
                        c.commitSync();
                    } catch (CommitFailedException | org.apache.kafka.common.errors.RebalanceInProgressException e) {
                        // the group rebalances: the records come again, which is allowed
                    }
                }
            } catch (Throwable e) {
                failed = e;
            }
        }

        void finish() throws Exception {
            leave = true;
            join(30000);
            if (failed != null) throw new IllegalStateException("a member failed", failed);
        }
    }

    static void group() throws Exception {
        Set<String> seen = ConcurrentHashMap.newKeySet();
        boolean[] stop = {false};
        ExecutorService pool = Executors.newSingleThreadExecutor();
        Future<Integer> load = pool.submit(() -> {
            int n = 0;
            try (KafkaProducer<byte[], byte[]> p = producer(Map.of())) {
                for (; !stop[0]; n += 12, Thread.sleep(20)) {
                    List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
                    for (int i = 0; i < 12; i++) out.add(record(i % 6, null, null, "load/" + (n + i)));
                    sendWith(p, out);
                }
            }
            return n;
        });
        Worker a = new Worker(seen);
        until("a receives", () -> a.received > 50);
        Worker b = new Worker(seen);
        until("b receives", () -> b.received > 50);
        a.finish();
        Worker d = new Worker(seen);
        until("d receives", () -> d.received > 50);
        int before = b.received;
        until("b still receives", () -> b.received > before + 50);
        stop[0] = true;
        int sent = load.get(30, TimeUnit.SECONDS);
        until("all " + sent + " are seen", () -> seen.size() == sent);
        b.finish();
        d.finish();
    }

    static void commits() throws Exception {
        for (int half = 0; half < 2; half++) {
            send(values("half/" + half + "/", count), Map.of());
            try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
                c.subscribe(List.of(topic));
                List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
                while (got.size() < count) {
                    expect(System.nanoTime() < deadline, got.size() + " of " + count + " records");
                    c.poll(Duration.ofSeconds(1)).forEach(got::add);
                }
                expectValues(got, "half/" + half + "/", 0);
                c.commitSync();
            }
        }
    }

    /** Copies a filled topic in transactions of 30; the second is aborted and done again by another client. */
    static void transactions() throws Exception {
        boolean aborted = false;
        for (int next = 0; next < count; ) {
            try (KafkaConsumer<byte[], byte[]> c = consumer(group, Map.of("isolation.level", "read_committed"));
                    KafkaProducer<byte[], byte[]> p = producer(Map.of("enable.idempotence", true, "transactional.id", topic))) {
                c.subscribe(List.of(topic));
                p.initTransactions();
                List<ConsumerRecord<byte[], byte[]>> waiting = new ArrayList<>();
                for (boolean commit = true; commit && next < count; ) {
                    int n = Math.min(30, count - next);
                    while (waiting.size() < n) {
                        expect(System.nanoTime() < deadline, waiting.size() + " of " + n + " records");
                        c.poll(Duration.ofSeconds(1)).forEach(waiting::add);
                    }
                    List<ConsumerRecord<byte[], byte[]>> chunk = waiting.subList(0, n);
                    expectValues(chunk, "fill/", next);
                    long end = chunk.get(n - 1).offset() + 1;
                    chunk.clear();
                    commit = aborted || next != 30;
                    p.beginTransaction();
                    List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
                    for (int i = 0; i < n; i++) out.add(new ProducerRecord<>(topic + ".out", null, bytes((commit ? "kept/" : "dropped/") + (next + i))));
                    sendWith(p, out);
                    p.sendOffsetsToTransaction(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(end)), c.groupMetadata());
                    if (commit) {
                        p.commitTransaction();
                        next += n;
                    } else {
                        p.abortTransaction();
                        aborted = true;
                    }
                }
            }
        }
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", options.get("bootstrap")));
    }

    static boolean refused(Feature f) {
        try {
            f.run();
            return false;
        } catch (Exception e) {
            return true;
        }
    }

    static void topics() throws Exception {
        try (Admin a = admin()) {
            a.createTopics(List.of(new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "3600000")))).all().get();
            until("3 partitions", () -> partitions(a) == 3);
            expect(refused(() -> a.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get()), "a topic was created twice");
            a.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            until("5 partitions", () -> partitions(a) == 5);
            a.deleteTopics(List.of(topic)).all().get();
            until("no topic", () -> partitions(a) == 0);
        }
    }

    static int partitions(Admin a) {
        try {
            if (!a.listTopics().names().get().contains(topic)) return 0;
            return a.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        } catch (Exception e) {
            return -1;
        }
    }

    static void configs() throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin a = admin()) {
            expect(retention(a, resource).equals("604800000"), "retention.ms is not its default");
            alter(a, resource, "7200000");
            until("the change is seen", () -> retention(a, resource).equals("7200000"));
            expect(refused(() -> alter(a, resource, "soon")), "retention.ms=soon was accepted");
        }
    }

    static String retention(Admin a, ConfigResource resource) {
        try {
            return a.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
        } catch (Exception e) {
            return e.toString();
        }
    }

    static void alter(Admin a, ConfigResource resource, String value) throws Exception {
        a.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", value), AlterConfigOp.OpType.SET)))).all().get();
    }

    static void groups() throws Exception {
        count = 10;
        commits();
        try (Admin a = admin()) {
            expect(listed(a), "the group is not listed");
            until("the group is empty", () -> state(a).equals("Empty"));
            long committed = a.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(new TopicPartition(topic, 0)).offset();
            expect(committed == 20, "committed " + committed);
            a.deleteConsumerGroups(List.of(group)).all().get();
            expect(!listed(a), "the group is still there");
        }
    }

    static boolean listed(Admin a) throws Exception {
        return a.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group));
    }

    static String state(Admin a) {
        try {
            return a.describeConsumerGroups(List.of(group)).all().get().get(group).groupState().toString();
        } catch (Exception e) {
            return e.toString();
        }
    }

    static void deleteRecords() throws Exception {
        try (Admin a = admin()) {
            a.deleteRecords(Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(count / 2))).all().get();
        }
        expectValues(read(count / 2, Long.MIN_VALUE, () -> {}), "fill/", count / 2);
    }
}
