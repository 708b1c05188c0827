/*
 * A call that does not wait, or not for long, is not held up by another thread that waits for the same socket.
 */
#include "check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct waiting {
    int socket;
    char byte;
    ssize_t result;
};

static void *receive_one(void *argument) {
    struct waiting *waiting = argument;
    waiting->result = recv(waiting->socket, &waiting->byte, 1, 0);
    return NULL;
}

static void *send_much(void *argument) {
    static char bytes[8 << 20];
    int socket = *(int *)argument;
    ssize_t sent = send(socket, bytes, sizeof bytes, 0);
    return (void *)(size_t)(sent == sizeof bytes);
}

static void together(const char *name, int sender, int receiver) {
    struct waiting waiting = {.socket = receiver};
    pthread_t thread;
    pthread_create(&thread, NULL, receive_one, &waiting);
    usleep(100 * 1000);
    char byte;
    errno = 0;
    ssize_t got = recv(receiver, &byte, 1, MSG_DONTWAIT);
    printf("%s: without waiting %zd, %s\n", name, got, strerror(errno));
    struct timeval brief = {0, 50 * 1000};
    CHECK(setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief) == 0);
    errno = 0;
    got = recv(receiver, &byte, 1, 0);
    printf("%s: for a while %zd, %s\n", name, got, strerror(errno));
    CHECK(send(sender, "x", 1, 0) == 1);
    pthread_join(thread, NULL);
    printf("%s: the other %zd %c\n", name, waiting.result, waiting.byte);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), small = 32768;
    CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    CHECK(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    CHECK(bind(listener, (struct sockaddr *)&own, length) == 0);
    CHECK(listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&own, &length) == 0);
    CHECK(connect(client, (struct sockaddr *)&own, length) == 0);
    int server = accept(listener, NULL, NULL);
    together("TCP", client, server);

    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    together("local stream", pair[0], pair[1]);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    together("local datagrams", pair[0], pair[1]);

    /* Sending likewise: a thread waits for room. */
    pthread_t thread;
    pthread_create(&thread, NULL, send_much, &client);
    usleep(100 * 1000);
    errno = 0;
    ssize_t sent = send(client, "x", 1, MSG_DONTWAIT);
    printf("full: %zd, %s\n", sent, strerror(errno));
    static char bytes[1 << 16];
    struct timeval none = {0, 0};
    CHECK(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none) == 0);
    for (long received = 0; received < 8 << 20;) {
        ssize_t got = recv(server, bytes, sizeof bytes, 0);
        if (got <= 0) {
            perror("recv");
            return 1;
        }
        received += got;
    }
    void *all;
    pthread_join(thread, &all);
    printf("all sent: %s\n", all ? "yes" : "no");
    return 0;
}
