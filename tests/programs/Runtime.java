import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** Several things that a runtime does, one after the other; what is printed depends on nothing but the program. */
public class Runtime {
    private static int steps(int start) {
        int steps = 0;
        for (long value = start; value != 1; steps++) {
            value = value % 2 == 0 ? value / 2 : 3 * value + 1;
        }
        return steps;
    }

    private static int length(String text) {
        return text.length();
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("hello from Java");
        // On all processors, with garbage for the collector's threads.
        long sum = IntStream.range(1, 20000).parallel().mapToObj(Integer::valueOf).mapToLong(Runtime::steps).sum();
        System.out.println(sum);

        var timers = Executors.newScheduledThreadPool(2);
        long begin = System.nanoTime();
        for (int time : new int[] {60, 20, 40}) {
            var elapsed = timers.schedule(() -> System.nanoTime() - begin, time, TimeUnit.MILLISECONDS);
            System.out.println(elapsed.get() >= time * 1_000_000L);
        }
        timers.shutdown();

        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/page", exchange -> {
            byte[] body = ("you asked for " + exchange.getRequestURI()).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (String path : new String[] {"/page", "/other"}) {
            var uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + path);
            var answer = client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + (answer.statusCode() == 200 ? answer.body() : ""));
        }
        server.stop(0);

        // Compiled code has no check: it runs into SIGSEGV, of which the machine makes the exception.
        int caught = 0;
        for (int turn = 0; turn < 20000; turn++) {
            try {
                length(turn % 100 == 0 ? null : "text");
            } catch (NullPointerException exception) {
                caught++;
            }
        }
        System.out.println(caught);
    }
}
