import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Members of consumer groups that come and go as standard input says, and tell on standard output what they see. The lines are
 * in README.md.
 */
public class Members {
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        Map<String, Member> members = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] word = line.split(" ");
            if (word[0].equals("join")) members.put(word[1], new Member(word[1], word[2], word[3], word[4], word[5]));
            else members.get(word[1]).leave = true;
        }
        for (Member m : members.values()) m.leave = true;
        for (Member m : members.values()) m.join();
        System.exit(0);
    }

    static synchronized void tell(String what, String name, Collection<String> words) {
        System.out.println(what + " " + name + (words.isEmpty() ? "" : " " + String.join(" ", words)));
    }

    /** A member that polls and commits until it is told to leave. */
    static class Member extends Thread {
        final String protocol, group, instance, topics;
        volatile boolean leave;

        Member(String name, String protocol, String group, String instance, String topics) {
            super(name);
            this.protocol = protocol;
            this.group = group;
            this.instance = instance;
            this.topics = topics;
            start();
        }

        @Override
        public void run() {
            try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(config(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                if (!topics.startsWith("^")) c.subscribe(List.of(topics), inPoll);
                else c.subscribe(new SubscriptionPattern(topics.substring(1)), inPoll);
                work(c);
            } catch (Throwable e) {
                tell("failed", getName(), List.of(e.toString().replaceAll("\\s+", " ")));
                return;
            }
            tell("left", getName(), List.of());
        }

        Map<String, Object> config() {
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group, "group.protocol", protocol,
                "enable.auto.commit", false, "auto.offset.reset", "earliest", "fetch.max.wait.ms", 100));
            if (!instance.equals("-")) config.put("group.instance.id", instance);
            if (protocol.equals("classic")) config.putAll(Map.of("session.timeout.ms", 30000, "heartbeat.interval.ms", 300));
            return config;
        }

        /** With a listener partitions are taken away within a poll, and not between a poll and its commit. */
        final ConsumerRebalanceListener inPoll = new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        };

        void work(KafkaConsumer<byte[], byte[]> c) {
            Set<String> assigned = Set.of();
            while (!leave) {
                ConsumerRecords<byte[], byte[]> records = c.poll(Duration.ofMillis(100));
                Set<String> now = new TreeSet<>();
                for (TopicPartition p : c.assignment()) now.add(p.toString());
                if (!now.equals(assigned)) tell("assigned", getName(), assigned = now);
                List<String> values = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> r : records) values.add(new String(r.value(), StandardCharsets.UTF_8));
                if (values.isEmpty()) continue;
                tell("seen", getName(), values);
                try {
                    // A commit without offsets leaves out what is about to be validated because its leader has moved.
                    c.commitSync(records.nextOffsets());
                } catch (KafkaException e) {
                    tell("uncommitted", getName(), values); // they may come again
                }
            }
        }
    }
}
