import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Share consumers of the Java client with explicit acknowledgement: one of three records is released twice, one is rejected, one is
 * accepted; two consumers share one partition. Exit code 0 when all came as it must.
 */
public class ShareDriver {
    private static final Duration WAIT = Duration.ofMillis(500);

    public static void main(String[] args) throws Exception {
        String address = args[0];
        String topic = args[1];
        String group = args[2];
        Properties common = new Properties();
        common.put("bootstrap.servers", address);
        try (Admin admin = Admin.create(common)) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
            ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET)))).all().get();
        }
        produce(common, topic, 0, 3);
        acknowledge(consumer(common, group, "explicit"), topic);
        produce(common, topic, 100, 200);
        divide(common, topic, group);
    }

    private static void produce(Properties common, String topic, int from, int to) throws Exception {
        Properties p = new Properties();
        p.putAll(common);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            for (int i = from; i < to; i++) {
                producer.send(new ProducerRecord<>(topic, String.valueOf(i), "v" + i)).get();
            }
        }
    }

    private static KafkaShareConsumer<String, String> consumer(Properties common, String group, String mode) {
        Properties p = new Properties();
        p.putAll(common);
        p.put("group.id", group);
        p.put("share.acknowledgement.mode", mode);
        p.put("max.poll.records", "20");
        return new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    /** Record 0 is released until it came three times, record 1 rejected, record 2 accepted. */
    private static void acknowledge(KafkaShareConsumer<String, String> consumer, String topic) {
        Map<String, List<Integer>> counts = new TreeMap<>();
        List<String> faults = new ArrayList<>();
        try (consumer) {
            consumer.setAcknowledgementCommitCallback((offsets, fault) -> {
                if (fault != null) {
                    faults.add(offsets + ": " + fault);
                }
            });
            consumer.subscribe(Set.of(topic));
            long end = System.currentTimeMillis() + 60_000;
            int released = 0;
            while (released < 3 && System.currentTimeMillis() < end) {
                for (ConsumerRecord<String, String> r : consumer.poll(WAIT)) {
                    counts.computeIfAbsent(r.key(), k -> new ArrayList<>()).add((int) r.deliveryCount().orElse((short) -1));
                    switch (r.key()) {
                        case "0" -> consumer.acknowledge(r, ++released < 3 ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT);
                        case "1" -> consumer.acknowledge(r, AcknowledgeType.REJECT);
                        default -> consumer.acknowledge(r, AcknowledgeType.ACCEPT);
                    }
                }
                Map<TopicIdPartition, java.util.Optional<KafkaException>> outcome = consumer.commitSync();
                outcome.forEach((p, fault) -> fault.ifPresent(f -> faults.add(p + ": " + f)));
            }
        }
        if (!faults.isEmpty()) {
            throw new IllegalStateException("acknowledgements were refused: " + faults);
        }
        if (!counts.toString().equals("{0=[1, 2, 3], 1=[1], 2=[1]}")) {
            throw new IllegalStateException("records came with the delivery counts " + counts);
        }
    }

    /** Two consumers with implicit acknowledgement get all records between them, none twice. */
    private static void divide(Properties common, String topic, String group) {
        Map<String, Integer> seen = new TreeMap<>();
        int[] by = new int[2];
        try (KafkaShareConsumer<String, String> a = consumer(common, group, "implicit"); KafkaShareConsumer<String, String> b = consumer(common, group, "implicit")) {
            List<KafkaShareConsumer<String, String>> both = List.of(a, b);
            both.forEach(c -> c.subscribe(Set.of(topic)));
            long end = System.currentTimeMillis() + 90_000;
            while (seen.size() < 100 && System.currentTimeMillis() < end) {
                for (int i = 0; i < 2; i++) {
                    for (ConsumerRecord<String, String> r : both.get(i).poll(WAIT)) {
                        seen.merge(r.key(), 1, Integer::sum);
                        by[i]++;
                    }
                }
            }
        }
        if (seen.size() != 100 || by[0] + by[1] != 100) {
            throw new IllegalStateException(seen.size() + " of 100 records came, " + by[0] + " and " + by[1] + " to the two");
        }
    }
}
