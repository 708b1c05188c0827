/* Internet sockets within one machine: what calls answer, and that every byte arrives. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES = 1000000 };

static struct sockaddr_in address(const char *ip, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
}

static struct sockaddr_in name(int socket) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return address;
}

static int serve(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = address("127.0.0.1", 0);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 16) != 0)
        perror("listen");
    return listener;
}

/* Sends everything back, turned around. */
static void *turn_around(void *argument) {
    static unsigned char bytes[BYTES];
    int connection = accept(*(int *)argument, NULL, NULL);
    size_t length = 0;
    ssize_t got;
    while ((got = read(connection, bytes + length, BYTES - length)) > 0)
        length += got;
    for (size_t i = 0; i < length / 2; i++) {
        unsigned char byte = bytes[i];
        bytes[i] = bytes[length - 1 - i];
        bytes[length - 1 - i] = byte;
    }
    if (write(connection, bytes, length) != (ssize_t)length)
        perror("write");
    close(connection);
    return NULL;
}

static void stream(void) {
    int listener = serve(), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = name(listener);
    pthread_t thread;
    pthread_create(&thread, NULL, turn_around, &listener);
    RESULT(connect(client, (struct sockaddr *)&to, sizeof to));
    static unsigned char sent[BYTES], received[BYTES];
    for (int i = 0; i < BYTES; i++)
        sent[i] = i * 7 ^ i >> 8;
    RESULT(write(client, sent, BYTES));
    RESULT(shutdown(client, SHUT_WR));
    RESULT(recv(client, received, BYTES, MSG_WAITALL));
    int wrong = 0;
    for (int i = 0; i < BYTES; i++)
        wrong += received[i] != sent[BYTES - 1 - i];
    printf("wrong bytes: %d\n", wrong);
    RESULT(recv(client, received, 1, 0));
    pthread_join(thread, NULL);
    signal(SIGPIPE, SIG_IGN);
    RESULT(send(client, sent, 1, 0));
    close(client);
    close(listener);
}

static void errors(void) {
    int listener = serve(), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in taken = name(listener), foreign = address("9.9.9.9", 1000), nobody = address("127.0.0.1", 1);
    char byte;
    RESULT(bind(client, (struct sockaddr *)&taken, sizeof taken));
    RESULT(bind(client, (struct sockaddr *)&foreign, sizeof foreign));
    RESULT(bind(client, (struct sockaddr *)&foreign, 4));
    RESULT(recv(client, &byte, 1, 0));
    RESULT(getpeername(client, (struct sockaddr *)&foreign, &(socklen_t){sizeof foreign}));
    RESULT(shutdown(client, SHUT_WR));
    RESULT(accept(client, NULL, NULL));
    RESULT(connect(client, (struct sockaddr *)&nobody, sizeof nobody));
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    RESULT(connect(client, (struct sockaddr *)&taken, sizeof taken));
    struct pollfd poller = {client, POLLOUT, 0};
    RESULT(poll(&poller, 1, 5000));
    printf("events %#x\n", poller.revents);
    int error = -1;
    socklen_t length = sizeof error;
    RESULT(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length));
    printf("error %d\n", error);
    RESULT(connect(client, (struct sockaddr *)&taken, sizeof taken));
    RESULT(connect(client, (struct sockaddr *)&taken, sizeof taken));
    RESULT(recv(client, &byte, 1, 0));
    poller = (struct pollfd){listener, POLLIN, 0};
    RESULT(poll(&poller, 1, 5000));
    printf("events %#x\n", poller.revents);
    int server = accept(listener, NULL, NULL);
    struct sockaddr_in own = name(client), peer = {0};
    length = sizeof peer;
    RESULT(getpeername(server, (struct sockaddr *)&peer, &length));
    CHECK(peer.sin_port == own.sin_port && peer.sin_addr.s_addr == own.sin_addr.s_addr);
    RESULT(write(server, "hello", 5));
    poller = (struct pollfd){client, POLLIN | POLLRDHUP, 0};
    RESULT(poll(&poller, 1, 5000));
    printf("events %#x\n", poller.revents);
    int bytes = 0;
    RESULT(ioctl(client, FIONREAD, &bytes));
    printf("bytes %d\n", bytes);
    char text[8] = "";
    RESULT(recv(client, text, 2, MSG_PEEK));
    RESULT(recv(client, text, 8, 0));
    printf("%.5s\n", text);
    close(server);
    RESULT(poll(&poller, 1, 5000));
    printf("events %#x\n", poller.revents);
    RESULT(recv(client, text, 8, 0));
    int on = 0;
    length = sizeof on;
    RESULT(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, &length));
    printf("%d\n", on);
    on = 1;
    RESULT(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    RESULT(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, &length));
    printf("%d\n", on);
    close(client);
    close(listener);
    RESULT(socket(AF_INET, SOCK_STREAM, 17));
    RESULT(socket(AF_INET, SOCK_SEQPACKET, 0));
}

static void datagrams(void) {
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = address("127.0.0.1", 0), from;
    RESULT(bind(one, (struct sockaddr *)&own, sizeof own));
    struct sockaddr_in to = name(one);
    char bytes[2000] = "datagram";
    RESULT(send(other, bytes, 8, 0));
    RESULT(sendto(other, bytes, 1000, 0, (struct sockaddr *)&to, sizeof to));
    RESULT(sendto(other, bytes, 0, 0, (struct sockaddr *)&to, sizeof to));
    socklen_t length = sizeof from;
    RESULT(recvfrom(one, bytes, 10, MSG_TRUNC, (struct sockaddr *)&from, &length));
    CHECK(from.sin_port == name(other).sin_port);
    RESULT(recvfrom(one, bytes, 10, 0, NULL, NULL));
    RESULT(recvfrom(one, bytes, 10, MSG_DONTWAIT, NULL, NULL));
    RESULT(connect(other, (struct sockaddr *)&to, sizeof to));
    RESULT(send(other, "x", 1, 0));
    RESULT(recv(one, bytes, 10, 0));
    close(one);
    RESULT(send(other, "x", 1, 0));
    usleep(10000);
    RESULT(send(other, "x", 1, 0));
    static char large[70000];
    RESULT(send(other, large, sizeof large, 0));
    close(other);
}

static void *echo_one(void *argument) {
    int connection = (int)(long)argument;
    char bytes[100];
    ssize_t length;
    while ((length = read(connection, bytes, sizeof bytes)) > 0)
        if (write(connection, bytes, length) != length)
            break;
    close(connection);
    return NULL;
}

static void *accept_many(void *argument) {
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, echo_one, (void *)(long)accept(*(int *)argument, NULL, NULL));
        pthread_detach(thread);
    }
    return NULL;
}

/* A hundred connections under epoll. */
static void many(void) {
    int listener = serve(), poll = epoll_create1(0), right = 0;
    struct sockaddr_in to = name(listener);
    pthread_t thread;
    pthread_create(&thread, NULL, accept_many, &listener);
    for (int i = 0; i < 100; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (struct sockaddr *)&to, sizeof to) != 0)
            perror("connect");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = client};
        epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
        char text[10];
        snprintf(text, sizeof text, "%8d", i);
        if (write(client, text, 8) != 8)
            perror("write");
    }
    int seen[100] = {0};
    while (right < 100) {
        struct epoll_event event;
        if (epoll_wait(poll, &event, 1, 5000) != 1)
            break;
        char text[10] = "";
        if (read(event.data.u32, text, 8) == 8)
            right += !seen[atoi(text)]++;
        close(event.data.u32);
    }
    pthread_join(thread, NULL);
    printf("answers: %d\n", right);
    close(listener);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    stream();
    errors();
    datagrams();
    many();
    return 0;
}
