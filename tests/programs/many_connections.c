/*
 * An echo server on port 7 that holds as many connections as come, all in one thread with epoll. On SIGTERM it tells how
 * many were open at most.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t told_to_end;

static void end(int signal) {
    (void)signal;
    told_to_end = 1;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Sends all of it, waiting for room if need be: clients read what they asked for. */
static int send_all(int descriptor, const char *bytes, ssize_t length) {
    for (ssize_t done = 0; done < length;) {
        ssize_t written = send(descriptor, bytes + done, (size_t)(length - done), MSG_NOSIGNAL);
        if (written < 0)
            return -1;
        done += written;
    }
    return 0;
}

int main(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("setrlimit");
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(7)};
    if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 4096) != 0)
        fail("listen");
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);

    int open = 0, most = 0;
    static char bytes[65536];
    struct epoll_event events[256];
    while (!told_to_end) {
        int ready = epoll_wait(poll, events, 256, -1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int index = 0; index < ready; index++) {
            int descriptor = events[index].data.fd;
            if (descriptor == listener) {
                int connection = accept(listener, NULL, NULL);
                if (connection < 0)
                    fail("accept");
                event.data.fd = connection;
                if (epoll_ctl(poll, EPOLL_CTL_ADD, connection, &event) != 0)
                    fail("epoll_ctl");
                most = ++open > most ? open : most;
                continue;
            }
            ssize_t length = recv(descriptor, bytes, sizeof bytes, 0);
            if (length <= 0 || send_all(descriptor, bytes, length) != 0) {
                close(descriptor);
                open--;
            }
        }
    }
    printf("at most %d connections at once\n", most);
    return 0;
}
