import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.HashMap;
import java.util.stream.Collectors;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;
import org.apache.kafka.storage.internals.log.RecordValidationException;

/**
 * Asks Apache Kafka itself what it makes of the batches in cases.tsv and prints answers.tsv. See README.md here.
 */
public class Oracle {
    static final TopicPartition TP = new TopicPartition("orders", 0);

    public static void main(String[] args) throws Exception {
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] columns = line.split("\t", -1);
            Map<String, String> rules = new HashMap<>();
            for (String rule : columns[1].split(" "))
                rules.put(rule.substring(0, rule.indexOf('=')), rule.substring(rule.indexOf('=') + 1));
            System.out.println(columns[0] + "\t" + answer(rules, HexFormat.of().parseHex(columns[2])));
        }
    }

    static String answer(Map<String, String> rules, byte[] bytes) {
        try {
            return "NONE\t\t\t" + HexFormat.of().formatHex(append(rules, bytes));
        } catch (RecordValidationException e) {
            String errors = e.recordErrors().stream()
                .map(r -> r.batchIndex + ":" + r.message).collect(Collectors.joining("|"));
            return Errors.forException(e.invalidException()) + "\t" + e.invalidException().getMessage() + "\t" + errors + "\t";
        } catch (Throwable e) {
            return Errors.forException(e) + "\t" + e.getMessage() + "\t\t";
        }
    }

    static byte[] append(Map<String, String> rules, byte[] bytes) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        AppendOrigin origin = AppendOrigin.valueOf(rules.get("origin"));
        if (origin == AppendOrigin.CLIENT)
            ProduceRequest.validateRecords(Short.parseShort(rules.get("version")), records);
        CompressionType source = analyze(records, origin, Integer.parseInt(rules.get("maxMessageBytes")));
        int valid = 0;
        for (MutableRecordBatch batch : records.batches())
            valid += batch.sizeInBytes();
        records = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes, 0, valid).slice());

        String target = rules.get("compression");
        Compression compression = Compression.of(target.equals("producer") ? source.name : target).build();
        long now = Long.parseLong(rules.get("now"));
        LogValidator.ValidationResult result = new LogValidator(records, TP, clock(now), source, compression,
            rules.get("compacted").equals("true"), (byte) 2, TimestampType.forName(rules.get("timestampType")),
            Long.parseLong(rules.get("before")), Long.parseLong(rules.get("after")), 0, origin)
            .validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), recorder(), BufferSupplier.NO_CACHING);
        ByteBuffer out = result.validatedRecords().buffer();
        if (result.messageSizeMaybeChanged() && out.remaining() > Integer.parseInt(rules.get("maxMessageBytes")))
            throw new RecordTooLargeException("Message batch size is " + out.remaining() + " bytes in append to partition "
                + TP + " which exceeds the maximum configured size of " + rules.get("maxMessageBytes") + "."); // as UnifiedLog
        byte[] copy = new byte[out.remaining()];
        out.get(copy);
        return copy;
    }

    /** UnifiedLog.analyzeAndValidateRecords, which is private: its checks of a leader's append, in its order and words. */
    static CompressionType analyze(MemoryRecords records, AppendOrigin origin, int maxMessageBytes) {
        CompressionType source = CompressionType.NONE;
        for (MutableRecordBatch batch : records.batches()) {
            if (origin == AppendOrigin.CLIENT && batch.baseOffset() != 0)
                throw new InvalidRecordException("The baseOffset of the record batch in the append to " + TP
                    + " should be 0, but it is " + batch.baseOffset());
            if (batch.sizeInBytes() > maxMessageBytes)
                throw new RecordTooLargeException("The record batch size in the append to " + TP + " is "
                    + batch.sizeInBytes() + " bytes which exceeds the maximum configured value of " + maxMessageBytes + ").");
            if (!batch.isValid())
                throw new CorruptRecordException("Record is corrupt (stored crc = " + batch.checksum()
                    + ") in topic partition " + TP + ".");
            CompressionType type = CompressionType.forId(batch.compressionType().id);
            if (type != CompressionType.NONE)
                source = type;
        }
        return source;
    }

    static Time clock(long now) {
        return (Time) java.lang.reflect.Proxy.newProxyInstance(Oracle.class.getClassLoader(), new Class<?>[]{Time.class},
            (proxy, method, args) -> method.getName().equals("milliseconds") ? now : 0L);
    }

    static LogValidator.MetricsRecorder recorder() {
        return (LogValidator.MetricsRecorder) java.lang.reflect.Proxy.newProxyInstance(Oracle.class.getClassLoader(),
            new Class<?>[]{LogValidator.MetricsRecorder.class}, (proxy, method, args) -> null);
    }
}
