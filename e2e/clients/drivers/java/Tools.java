import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Apache's command-line tools one after the other, in one process because starting a JVM for each costs more than what
 * they do. Each line of standard input is the tool's class and its arguments, separated by tabs; standard output is what the
 * tool prints, on either stream, and a line of an EOT and the exit code.
 */
public class Tools {
    static final LinkedBlockingQueue<Integer> ends = new LinkedBlockingQueue<>();

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream capture = new PrintStream(printed, true, StandardCharsets.UTF_8); // one for all: Scala keeps the first it sees
        System.setOut(capture);
        System.setErr(capture);
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split("\t");
            Thread tool = new Thread(() -> run(words), words[0]);
            tool.setDaemon(true);
            tool.start();
            int code = ends.take();
            answers.write(printed.toByteArray());
            answers.println("\u0004" + code);
            answers.flush();
            printed.reset();
        }
    }

    /** Ends a tool where it ends its process: its thread goes on no more, since tools catch whatever could be thrown here. */
    static void exit(int code) {
        ends.add(code);
        while (true) {
            LockSupport.park();
        }
    }

    static void run(String[] words) {
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            ends.add(0);
        } catch (InvocationTargetException e) {
            e.getCause().printStackTrace();
            ends.add(1);
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            ends.add(2);
        }
    }
}
