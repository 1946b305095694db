import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Members of share groups that do what standard input says, and answer each line with one on standard output; see README.md. */
public class Sharers {
    static final Map<String, Member> members = new HashMap<>();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer;
            try {
                answer = obey(args[0], line.split(" "));
            } catch (Exception e) {
                answer = "failed " + e.toString().replaceAll("\\s+", " ");
            }
            System.out.println(answer);
        }
        System.exit(0);
    }

    static String obey(String bootstrap, String[] word) {
        Member m = members.get(word[1]);
        switch (word[0]) {
            case "join":
                members.put(word[1], new Member(bootstrap, word[2], word[3], word[4]));
                return "ok";
            case "poll":
                return m.poll();
            case "ack":
                if (word[3].equals("renew")) m.renewing.add(word[2]);
                m.consumer.acknowledge(m.held.get(word[2]), AcknowledgeType.valueOf(word[3].toUpperCase(Locale.ROOT)));
                return "ok";
            case "commit":
                return m.commit();
            default:
                m.consumer.close();
                return "ok";
        }
    }

    static class Member {
        final KafkaShareConsumer<String, String> consumer;
        final Map<String, ConsumerRecord<String, String>> held = new HashMap<>();
        final Set<String> renewing = new HashSet<>();
        final List<String> refused = new ArrayList<>(); // what the callback told

        Member(String bootstrap, String mode, String group, String topic) {
            Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", group, "share.acknowledgement.mode", mode, "max.poll.records", 20);
            consumer = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
            consumer.setAcknowledgementCommitCallback((offsets, fault) -> {
                if (fault != null) refused.add(fault.getClass().getSimpleName());
            });
            consumer.subscribe(List.of(topic));
        }

        String poll() {
            StringBuilder out = new StringBuilder("got");
            for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(300))) {
                held.put(r.key(), r);
                out.append(' ').append(r.key()).append('/').append(r.deliveryCount().orElse((short) -1));
            }
            return out.toString();
        }

        String commit() {
            consumer.commitSync().forEach((p, fault) -> fault.ifPresent(f -> refused.add(f.getClass().getSimpleName())));
            if (refused.isEmpty()) renewed();
            String answer = refused.isEmpty() ? "ok" : "refused " + String.join(" ", refused);
            refused.clear();
            renewing.clear();
            return answer;
        }

        /** What was renewed comes again from poll before anything else can be said of it. */
        void renewed() {
            for (int i = 0; i < 100 && !renewing.isEmpty(); i++) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(300))) {
                    held.put(r.key(), r);
                    renewing.remove(r.key());
                }
            }
            if (!renewing.isEmpty()) refused.add("renewed-but-gone");
        }
    }
}
