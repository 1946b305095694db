import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;

/** Counts words, counts them in windows of ten seconds, and joins orders with payments; exactly once. */
public class Pipeline {
  /** Nothing is too late: what is left out would be a loss. */
  static final Duration LATE = Duration.ofHours(24);

  public static void main(String[] args) throws Exception {
    Properties settings = settings(args[0], args[1], args[2], args[3]);
    KafkaStreams streams = new KafkaStreams(topology().build(settings), settings);
    CountDownLatch end = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(fault -> {
      fault.printStackTrace();
      return StreamThreadExceptionResponse.REPLACE_THREAD;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> { streams.close(Duration.ofSeconds(20)); end.countDown(); }));
    streams.start();
    end.await();
  }

  static Properties settings(String servers, String application, String stateDirectory, String protocol) {
    Properties p = new Properties();
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    p.put(StreamsConfig.STATE_DIR_CONFIG, stateDirectory);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // every update comes out
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, -1);
    p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    p.put(StreamsConfig.GROUP_PROTOCOL_CONFIG, protocol);
    if (protocol.equals("classic")) { // in streams groups these are the broker's
      p.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 6000);
      p.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 1500);
    }
    return p;
  }

  static StreamsBuilder topology() {
    StreamsBuilder builder = new StreamsBuilder();
    KGroupedStream<String, String> words = builder.<String, String>stream("lines")
        .flatMap((key, line) -> Arrays.stream(line.split(" ")).map(w -> KeyValue.pair(w, w)).toList())
        .groupByKey(Grouped.as("words"));
    words.count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts"))
        .toStream().mapValues(String::valueOf).to("counts");
    words.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), LATE)).count(Materialized.as("windowed"))
        .toStream((window, n) -> window.key() + "@" + window.window().start())
        .mapValues(String::valueOf).to("windowed");
    KStream<String, String> payments = builder.stream("payments");
    builder.<String, String>stream("orders")
        .join(payments, (order, payment) -> order + "+" + payment,
            JoinWindows.ofTimeDifferenceAndGrace(Duration.ofHours(1), LATE), StreamJoined.as("joined"))
        .to("joined");
    return builder;
  }
}
