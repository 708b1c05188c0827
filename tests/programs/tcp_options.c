/* Options of TCP, urgent data, shared ports: what a program sees of them, within one machine. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
/* Of the two headers that define it this one has all of struct tcp_info. */
#include <linux/tcp.h>

static struct sockaddr_in local(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    return address;
}

static int listen_anywhere(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = local(0);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 16) != 0)
        perror("listen");
    return listener;
}

static struct sockaddr_in name(int socket) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return address;
}

/* A connection within the machine. */
static void pair(int ends[2]) {
    int listener = listen_anywhere();
    struct sockaddr_in to = name(listener);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(ends[0], (struct sockaddr *)&to, sizeof to) != 0)
        perror("connect");
    ends[1] = accept(listener, NULL, NULL);
    close(listener);
}

static void show(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static int get(int socket, int level, int option) {
    int value = -77;
    socklen_t length = sizeof value;
    if (getsockopt(socket, level, option, &value, &length) != 0)
        return -errno;
    return value;
}

static void try_values(int socket, const char *what, int option, const int *values, int count) {
    printf("%s at first: %d\n", what, get(socket, IPPROTO_TCP, option));
    for (int i = 0; i < count; i++) {
        int value = values[i];
        int result = setsockopt(socket, IPPROTO_TCP, option, &value, sizeof value);
        printf("%s %d: %s, then %d\n", what, value, result == 0 ? "ok" : strerrorname_np(errno),
               get(socket, IPPROTO_TCP, option));
    }
}

#define TRY(socket, option, ...)                                                                                       \
    do {                                                                                                               \
        int values[] = {__VA_ARGS__};                                                                                  \
        try_values(socket, #option, option, values, sizeof values / sizeof *values);                                   \
    } while (0)

static void numbers(void) {
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    TRY(fresh, TCP_NODELAY, 1, 0, 7);
    TRY(fresh, TCP_CORK, 1, 0);
    TRY(fresh, TCP_MAXSEG, 87, 88, 1000, 32767, 32768, 0, -1);
    TRY(fresh, TCP_SYNCNT, 0, 1, 127, 128);
    TRY(fresh, TCP_LINGER2, -1, 0, 1, 120, 121);
    TRY(fresh, TCP_DEFER_ACCEPT, 0, 1, 2, 3, 10, 60, -1);
    TRY(fresh, TCP_USER_TIMEOUT, 0, 5000, -1);
    TRY(fresh, TCP_NOTSENT_LOWAT, 1000, 0);
    TRY(fresh, TCP_WINDOW_CLAMP, 100, 5000);
    TRY(fresh, TCP_KEEPIDLE, 0, 1, 32767, 32768);
    TRY(fresh, TCP_KEEPINTVL, 0, 1, 32767, 32768);
    TRY(fresh, TCP_KEEPCNT, 0, 1, 127, 128);
    close(fresh);
    int ends[2];
    pair(ends);
    TRY(ends[0], TCP_QUICKACK, 0, 1);
    TRY(ends[0], TCP_NODELAY, 1);
    close(ends[0]);
    close(ends[1]);
}

static void congestion(void) {
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    char text[16];
    for (const char **word = (const char *[]){"reno", "cubic", "nothing", "", NULL}; *word; word++) {
        int result = setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, *word, strlen(*word));
        socklen_t length = sizeof text;
        getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, text, &length);
        printf("congestion '%s': %s, then %.16s of %u\n", *word, result == 0 ? "ok" : strerrorname_np(errno), text,
               length);
    }
    close(fresh);
}

static void information(void) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    int listener = listen_anywhere(), fresh = socket(AF_INET, SOCK_STREAM, 0);
    getsockopt(fresh, IPPROTO_TCP, TCP_INFO, &info, &length);
    printf("a new socket is in state %d\n", info.tcpi_state);
    getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
    printf("a listener is in state %d, with %u of %u\n", info.tcpi_state, info.tcpi_unacked, info.tcpi_sacked);
    close(listener);
    close(fresh);
    int ends[2];
    pair(ends);
    char bytes[10000] = {0};
    for (int round = 0; round < 3; round++) {
        show("write", write(ends[0], bytes, sizeof bytes));
        show("read", recv(ends[1], bytes, sizeof bytes, MSG_WAITALL));
    }
    usleep(100000);
    length = sizeof info;
    show("info", getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &length));
    printf("state %d, ca_state %d, retransmits %d, options %d\n", info.tcpi_state, info.tcpi_ca_state,
           info.tcpi_retransmits, info.tcpi_options & 7);
    printf("scales %d %d\n", info.tcpi_snd_wscale != 0, info.tcpi_rcv_wscale != 0);
    printf("unacked %u, sacked %u, lost %u, retrans %u, total %u\n", info.tcpi_unacked, info.tcpi_sacked,
           info.tcpi_lost, info.tcpi_retrans, info.tcpi_total_retrans);
    printf("bytes sent %llu, acked %llu, received %llu, again %llu, notsent %u\n",
           (unsigned long long)info.tcpi_bytes_sent, (unsigned long long)info.tcpi_bytes_acked,
           (unsigned long long)info.tcpi_bytes_received, (unsigned long long)info.tcpi_bytes_retrans,
           info.tcpi_notsent_bytes);
    printf("rto %d, rtt %d, cwnd %d, mss %d, data out %d, segments %d\n", info.tcpi_rto >= 200000,
           info.tcpi_rtt < 100000, info.tcpi_snd_cwnd >= 10, info.tcpi_snd_mss > 500, info.tcpi_data_segs_out >= 3,
           info.tcpi_segs_in >= 2);
    length = 8;
    show("short info", getsockopt(ends[1], IPPROTO_TCP, TCP_INFO, &info, &length));
    printf("%u bytes\n", length);
    close(ends[0]);
    close(ends[1]);
}

static void mark(int socket) {
    int at = -1, waiting = -1;
    ioctl(socket, SIOCATMARK, &at);
    ioctl(socket, FIONREAD, &waiting);
    struct pollfd wait = {.fd = socket, .events = POLLPRI | POLLIN};
    poll(&wait, 1, 0);
    printf("at mark %d, %d waiting, events %x\n", at, waiting, wait.revents);
}

static void urgent(void) {
    for (int in_line = 0; in_line < 2; in_line++) {
        int ends[2];
        char bytes[64];
        pair(ends);
        setsockopt(ends[1], SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof in_line);
        show("nothing urgent", recv(ends[1], bytes, 1, MSG_OOB | MSG_DONTWAIT));
        send(ends[0], "abc", 3, 0);
        send(ends[0], "XY", 2, MSG_OOB);
        send(ends[0], "def", 3, 0);
        usleep(50000);
        mark(ends[1]);
        show("urgent, looked at", recv(ends[1], bytes, 1, MSG_OOB | MSG_PEEK));
        show("urgent", recv(ends[1], bytes, 1, MSG_OOB));
        printf("it is %c\n", in_line ? '-' : bytes[0]);
        show("urgent again", recv(ends[1], bytes, 1, MSG_OOB));
        for (int round = 0; round < 2; round++) {
            ssize_t got = recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT);
            show("read", got);
            printf("%.*s\n", got > 0 ? (int)got : 0, bytes);
            mark(ends[1]);
        }
        close(ends[0]);
        close(ends[1]);
    }
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = local(9);
    show("urgent datagram", sendto(datagrams, "x", 1, MSG_OOB, (struct sockaddr *)&to, sizeof to));
    close(datagrams);
}

static int bound(int port, int reuse_address, int reuse_port) {
    int made = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = local(port);
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &reuse_address, sizeof reuse_address);
    setsockopt(made, SOL_SOCKET, SO_REUSEPORT, &reuse_port, sizeof reuse_port);
    if (bind(made, (struct sockaddr *)&own, sizeof own) != 0) {
        close(made);
        return -1;
    }
    return made;
}

static void sharing(void) {
    for (int kinds = 0; kinds < 16; kinds++) {
        int first = bound(0, kinds & 1, kinds >> 1 & 1);
        int port = ntohs(name(first).sin_port);
        int second = bound(port, kinds >> 2 & 1, kinds >> 3 & 1);
        printf("sharing %d%d with %d%d: %s", kinds & 1, kinds >> 1 & 1, kinds >> 2 & 1, kinds >> 3 & 1,
               second < 0 ? strerrorname_np(errno) : "bound");
        if (second >= 0) {
            printf(", listen %s", listen(first, 5) == 0 ? "ok" : strerrorname_np(errno));
            printf(", listen %s", listen(second, 5) == 0 ? "ok" : strerrorname_np(errno));
            close(second);
        } else {
            listen(first, 5);
        }
        printf("\n");
        /* A connection that is left over when the listener is gone. */
        int client = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in to = local(port);
        if (connect(client, (struct sockaddr *)&to, sizeof to) != 0)
            perror("connect");
        int server = accept(first, NULL, NULL);
        close(first);
        second = bound(port, kinds >> 2 & 1, kinds >> 3 & 1);
        printf("  beside its connection: %s\n", second < 0 ? strerrorname_np(errno) : "bound");
        close(second);
        close(server);
        close(client);
        usleep(1000);
        second = bound(port, kinds >> 2 & 1, kinds >> 3 & 1);
        printf("  after its end: %s\n", second < 0 ? strerrorname_np(errno) : "bound");
        close(second);
    }
    int pair_of_local[2];
    int on = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair_of_local);
    show("SO_REUSEPORT of a local socket", setsockopt(pair_of_local[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
}

static void balance(void) {
    enum { LISTENERS = 4, CLIENTS = 200 };
    int listeners[LISTENERS], port = 0, counts[LISTENERS] = {0};
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = bound(port, 0, 1);
        port = ntohs(name(listeners[i]).sin_port);
        listen(listeners[i], CLIENTS);
        fcntl(listeners[i], F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < CLIENTS; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in to = local(port);
        if (connect(client, (struct sockaddr *)&to, sizeof to) != 0)
            perror("connect");
        close(client);
    }
    int all = 0, none = 0;
    for (int i = 0; i < LISTENERS; i++) {
        int server;
        while ((server = accept(listeners[i], NULL, NULL)) >= 0) {
            counts[i]++;
            close(server);
        }
        all += counts[i];
        none += counts[i] < CLIENTS / LISTENERS / 3;
    }
    printf("%d connections came, %d listeners had almost none\n", all, none);
}

static void more(void) {
    int ends[2];
    char bytes[64];
    pair(ends);
    send(ends[0], "first ", 6, MSG_MORE);
    usleep(20000);
    show("before the rest", recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT));
    send(ends[0], "second", 6, 0);
    usleep(20000);
    show("with the rest", recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT));
}

/* What was chosen for a listener is so for the connections that it accepts. */
static void inherited(void) {
    int listener = listen_anywhere(), client = socket(AF_INET, SOCK_STREAM, 0), on = 1, seconds = 77;
    struct linger linger = {.l_onoff = 1, .l_linger = 5};
    struct timeval time = {.tv_sec = 3};
    struct sockaddr_in to = name(listener);
    setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(listener, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (connect(client, (struct sockaddr *)&to, sizeof to) != 0)
        perror("connect");
    int server = accept(listener, NULL, NULL);
    char text[16];
    socklen_t length = sizeof text;
    getsockopt(server, IPPROTO_TCP, TCP_CONGESTION, text, &length);
    printf("inherited: keepalive %d, inline %d, idle %d, nodelay %d, %s", get(server, SOL_SOCKET, SO_KEEPALIVE),
           get(server, SOL_SOCKET, SO_OOBINLINE), get(server, IPPROTO_TCP, TCP_KEEPIDLE),
           get(server, IPPROTO_TCP, TCP_NODELAY), text);
    length = sizeof linger;
    memset(&linger, 0, sizeof linger);
    getsockopt(server, SOL_SOCKET, SO_LINGER, &linger, &length);
    length = sizeof time;
    memset(&time, 0, sizeof time);
    getsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &time, &length);
    printf(", linger %d %d, timeout %d\n", linger.l_onoff, linger.l_linger, (int)time.tv_sec);
    close(server);
    close(client);
    close(listener);
}

/* The peer ends its direction in order, and then breaks the connection: the end stays an end. */
static void broken_after_end(void) {
    for (int how = 0; how < 4; how++) {
        int ends[2];
        char bytes[16];
        pair(ends);
        if (how == 3)
            send(ends[1], "left", 4, 0);
        if (how != 2)
            shutdown(ends[1], SHUT_WR);
        /* What nobody reads is answered with a reset. */
        send(ends[0], "unread", 6, 0);
        usleep(20000);
        close(ends[1]);
        usleep(20000);
        struct pollfd poller = {.fd = ends[0], .events = POLLIN | POLLOUT | POLLRDHUP};
        poll(&poller, 1, 0);
        printf("how %d: poll %#x\n", how, poller.revents);
        if (how == 1)
            show("error", get(ends[0], SOL_SOCKET, SO_ERROR));
        show("first", recv(ends[0], bytes, sizeof bytes, 0));
        show("second", recv(ends[0], bytes, sizeof bytes, 0));
        show("send", send(ends[0], "x", 1, MSG_NOSIGNAL));
        show("again", send(ends[0], "x", 1, MSG_NOSIGNAL));
        show("error", get(ends[0], SOL_SOCKET, SO_ERROR));
        show("last", recv(ends[0], bytes, sizeof bytes, 0));
        close(ends[0]);
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    numbers();
    congestion();
    information();
    urgent();
    sharing();
    balance();
    more();
    inherited();
    broken_after_end();
    return 0;
}
