// A server of HTTP: GET /hello greets, POST /echo sends back what was sent.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Web {
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", 8080), 128);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> answer(exchange, 404, "there is no such page\n".getBytes()));
        server.createContext("/hello", exchange -> answer(exchange, 200, "hello from Pith\n".getBytes()));
        server.createContext("/echo",
                exchange -> answer(exchange, 200, exchange.getRequestBody().readAllBytes()));
        server.start();
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
