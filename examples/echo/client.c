/*
 * A client for TCP echo servers: opens many connections, holds all of them at once, sends on each what no other
 * sends, and checks what comes back.
 *
 *     gcc -O2 -o client client.c
 *     ./client 127.0.0.1 5555 100             a hundred connections, one message on each
 *     ./client 127.0.0.1 5555 100 10 4096     ten messages of 4096 bytes on each
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Connections that may be on their way to being opened, and messages that may be on their way, at once. */
enum { OPENING = 100, ASKING = 200 };
/* After so many milliseconds without any answer the server is given up. */
enum { PATIENCE = 30000 };

struct connection {
    int descriptor;
    unsigned number, rounds;
    size_t sent, received;
};

static size_t size = 64;

static unsigned char byte_at(const struct connection *connection, size_t offset) {
    uint32_t mixed = (connection->number * 2654435761u) ^ (connection->rounds * 40503u) ^ (uint32_t)(offset * 2246822519u);
    return (unsigned char)(mixed >> 13);
}

static void fail(const struct connection *connection, const char *what) {
    fprintf(stderr, "connection %u, message %u: %s\n", connection->number, connection->rounds, what);
    exit(1);
}

static void watch(int poll, int operation, struct connection *connection, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poll, operation, connection->descriptor, &event) != 0)
        fail(connection, strerror(errno));
}

static void start(int poll, struct connection *connection, const struct sockaddr_in *address) {
    connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->descriptor < 0)
        fail(connection, strerror(errno));
    int yes = 1;
    setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(connection->descriptor, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS)
        fail(connection, strerror(errno));
    watch(poll, EPOLL_CTL_ADD, connection, EPOLLOUT);
}

static void opened(int poll, struct connection *connection) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0)
        fail(connection, strerror(error));
    watch(poll, EPOLL_CTL_MOD, connection, 0);
}

/* Sends and receives what can be now. Tells whether the message is complete. */
static int proceed(int poll, struct connection *connection) {
    unsigned char bytes[65536];
    while (connection->sent < size) {
        size_t length = size - connection->sent < sizeof bytes ? size - connection->sent : sizeof bytes;
        for (size_t index = 0; index < length; index++)
            bytes[index] = byte_at(connection, connection->sent + index);
        ssize_t written = write(connection->descriptor, bytes, length);
        if (written < 0) {
            if (errno == EAGAIN)
                break;
            fail(connection, strerror(errno));
        }
        connection->sent += (size_t)written;
    }
    while (connection->received < size) {
        size_t length = size - connection->received < sizeof bytes ? size - connection->received : sizeof bytes;
        ssize_t got = read(connection->descriptor, bytes, length);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0)
            fail(connection, strerror(errno));
        if (got == 0)
            fail(connection, "the server closed it");
        for (ssize_t index = 0; index < got; index++)
            if (bytes[index] != byte_at(connection, connection->received + (size_t)index))
                fail(connection, "other bytes came back");
        connection->received += (size_t)got;
    }
    if (connection->received < size) {
        watch(poll, EPOLL_CTL_MOD, connection, EPOLLIN | (connection->sent < size ? EPOLLOUT : 0));
        return 0;
    }
    connection->sent = connection->received = 0;
    connection->rounds++;
    watch(poll, EPOLL_CTL_MOD, connection, 0);
    return 1;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int wait_for(int poll, struct epoll_event *events, int count) {
    int ready = epoll_wait(poll, events, count, PATIENCE);
    if (ready > 0)
        return ready;
    fprintf(stderr, "no answer for %d s\n", PATIENCE / 1000);
    exit(1);
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned wanted = count > 3 ? (unsigned)strtoul(arguments[3], NULL, 10) : 0;
    unsigned rounds = count > 4 ? (unsigned)strtoul(arguments[4], NULL, 10) : 1;
    if (count > 5)
        size = strtoul(arguments[5], NULL, 10);
    if (wanted == 0 || size == 0 || inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDRESS PORT CONNECTIONS [MESSAGES [BYTES]]\n", arguments[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct connection *connections = calloc(wanted, sizeof *connections);
    int poll = epoll_create1(0);
    if (!connections || poll < 0) {
        perror(arguments[0]);
        return 1;
    }
    struct epoll_event events[64];
    double begin = now();
    for (unsigned started = 0, open = 0; open < wanted;) {
        for (; started < wanted && started - open < OPENING; started++) {
            connections[started].number = started;
            start(poll, &connections[started], &address);
        }
        for (int ready = wait_for(poll, events, 64); ready > 0; open++)
            opened(poll, events[--ready].data.ptr);
    }
    double all_open = now();
    printf("%u connections are open after %.2f s\n", wanted, all_open - begin);

    for (unsigned round = 0; round < rounds; round++)
        for (unsigned asked = 0, answered = 0; answered < wanted;) {
            for (; asked < wanted && asked - answered < ASKING; asked++)
                answered += (unsigned)proceed(poll, &connections[asked]);
            if (answered < wanted)
                for (int ready = wait_for(poll, events, 64); ready > 0;)
                    answered += (unsigned)proceed(poll, events[--ready].data.ptr);
        }
    double seconds = now() - all_open;
    unsigned long long messages = (unsigned long long)wanted * rounds;
    printf("%llu messages of %zu bytes came back as they were sent in %.2f s, %.0f a second\n", messages, size, seconds,
           (double)messages / seconds);
    return 0;
}
