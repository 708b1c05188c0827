// Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
#include <arpa/inet.h>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <future>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

extern "C++" void throw_from_library(int value);

static int steps(int from, int to)
{
    int steps = 0;
    for (int start = from; start < to; start++)
        for (long value = start; value != 1; steps++)
            value = value % 2 == 0 ? value / 2 : 3 * value + 1;
    return steps;
}

static void compute()
{
    std::vector<std::future<int>> parts;
    for (int index = 0; index < 4; index++)
        parts.push_back(std::async(std::launch::async, steps, index * 50000 + 1, (index + 1) * 50000));
    for (auto &part : parts)
        std::cout << part.get() << ' ';
    std::cout << (std::thread::hardware_concurrency() == static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN))) << '\n';
}

static void timers()
{
    auto begin = Clock::now();
    std::vector<std::future<bool>> sleepers;
    for (auto time : {60ms, 20ms, 40ms})
        sleepers.push_back(std::async(std::launch::async, [=] {
            std::this_thread::sleep_until(begin + time);
            return Clock::now() - begin >= time;
        }));
    for (auto &sleeper : sleepers)
        std::cout << sleeper.get() << ' ';
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    bool ended = never.wait_for(lock, 30ms, [] { return false; });
    std::cout << ended << ' ' << (Clock::now() - begin >= 90ms) << '\n';
}

// A TCP socket. What fails throws.
class Socket {
public:
    Socket() : Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
    explicit Socket(int descriptor) : descriptor(check(descriptor, "socket")) {}
    Socket(const Socket &) = delete;
    ~Socket() { close(descriptor); }

    // Listens on the loopback interface, and says at which port.
    uint16_t listen()
    {
        sockaddr_in address = loopback(0);
        socklen_t length = sizeof address;
        check(bind(descriptor, reinterpret_cast<sockaddr *>(&address), length), "bind");
        check(::listen(descriptor, 5), "listen");
        check(getsockname(descriptor, reinterpret_cast<sockaddr *>(&address), &length), "getsockname");
        return ntohs(address.sin_port);
    }

    void connect(uint16_t port)
    {
        sockaddr_in address = loopback(port);
        check(::connect(descriptor, reinterpret_cast<sockaddr *>(&address), sizeof address), "connect");
    }

    int accept() { return check(::accept(descriptor, nullptr, nullptr), "accept"); }

    void write(const std::string &text)
    {
        for (size_t sent = 0; sent < text.size();)
            sent += check(send(descriptor, text.data() + sent, text.size() - sent, MSG_NOSIGNAL), "send");
    }

    // Everything up to `end`, or to the end of the stream.
    std::string read(const std::string &end)
    {
        std::string text;
        char part[512];
        while (end.empty() || text.find(end) == std::string::npos) {
            auto length = check(recv(descriptor, part, sizeof part, 0), "recv");
            if (length == 0)
                break;
            text.append(part, length);
        }
        return text;
    }

private:
    int descriptor;

    static sockaddr_in loopback(uint16_t port)
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        return address;
    }

    static int check(ssize_t result, const char *what)
    {
        if (result < 0)
            throw std::system_error(errno, std::generic_category(), what);
        return result;
    }
};

// The library of C++ has no sockets: HTTP in a few lines, on both sides.
static void web()
{
    const std::vector<std::string> paths{"/page", "/other"};
    Socket listener;
    uint16_t port = listener.listen();
    std::thread server([&] {
        for (size_t turn = 0; turn < paths.size(); turn++) {
            Socket connection(listener.accept());
            std::istringstream request(connection.read("\r\n\r\n"));
            std::string method, path;
            request >> method >> path;
            std::string body = "you asked for " + path;
            std::ostringstream answer;
            answer << "HTTP/1.0 " << (path == "/page" ? "200 OK" : "404 Not Found") << "\r\nContent-Length: " << body.size()
                   << "\r\n\r\n" << body;
            connection.write(answer.str());
        }
    });
    for (const auto &path : paths) {
        Socket client;
        client.connect(port);
        client.write("GET " + path + " HTTP/1.0\r\n\r\n");
        std::string answer = client.read("");
        std::cout << answer.substr(9, 3) << ' ' << answer.substr(answer.find("\r\n\r\n") + 4) << '\n';
    }
    server.join();
    Socket nobody;
    try {
        nobody.connect(1);
    } catch (const std::system_error &error) {
        std::cout << error.what() << '\n';
    }
}

struct NullPointer : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Leaves the handler by an exception: the unwinder goes through the signal's frame into the code that was interrupted.
static void throw_null_pointer(int, siginfo_t *information, void *)
{
    if (information->si_addr != nullptr)
        _exit(1);
    throw NullPointer("followed a null pointer");
}

__attribute__((noinline)) static int follow(const volatile int *pointer)
{
    return *pointer;
}

static void null_pointers()
{
    struct sigaction action {};
    action.sa_sigaction = throw_null_pointer;
    // The signal is not left by sigreturn, so it must not be blocked.
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    int caught = 0;
    std::string last;
    for (int turn = 0; turn < 100; turn++) {
        try {
            follow(nullptr);
        } catch (const NullPointer &error) {
            caught++;
            last = error.what();
        }
    }
    std::cout << caught << ' ' << last << '\n';
}

int main()
{
    std::cout << std::boolalpha << "hello from C++\n";
    compute();
    timers();
    web();
    null_pointers();
    try {
        throw_from_library(7);
    } catch (const std::exception &error) {
        std::cout << error.what() << '\n';
    }
}
