/* The tables of /proc/net: what they say of sockets that this program has made. */
#include "check.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned long inode(int socket) {
    struct stat status;
    fstat(socket, &status);
    return status.st_ino;
}

static int port(int socket) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return ntohs(address.sin6_port);
}

/* Finds the socket's line by its inode and prints it, with names instead of the ports. */
static void show(const char *file, const char *what, int socket, int own, int other) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/net/%s", file);
    FILE *table = fopen(path, "r");
    printf("%s of %s: ", what, file);
    while (table && fgets(line, sizeof line, table)) {
        char local[64], remote[64];
        unsigned state, sending, receiving, uid, timeout, when[2], retransmissions;
        unsigned long number;
        if (sscanf(line, " %*d: %63s %63s %x %x:%x %x:%x %x %u %u %lu", local, remote, &state, &sending, &receiving,
                   &when[0], &when[1], &retransmissions, &uid, &timeout, &number) != 11 || number != inode(socket))
            continue;
        char *colon = strchr(local, ':'), *far = strchr(remote, ':');
        printf("%.*s:%s %.*s:%s state %02X sending %u receiving %d\n", (int)(colon - local), local,
               strtol(colon + 1, NULL, 16) == own ? "own" : "?", (int)(far - remote), remote,
               strtol(far + 1, NULL, 16) == other ? "other" : "?", state, sending, receiving != 0);
        fclose(table);
        return;
    }
    printf("not there\n");
    if (table)
        fclose(table);
}

static void internet(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    show("tcp", "new", client, 0, 0);
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 5);
    getsockname(listener, (struct sockaddr *)&own, &length);
    show("tcp", "listener", listener, port(listener), 0);
    connect(client, (struct sockaddr *)&own, sizeof own);
    usleep(10000);
    show("tcp", "listener", listener, port(listener), 0);
    int server = accept(listener, NULL, NULL);
    show("tcp", "client", client, port(client), port(listener));
    if (write(client, "bytes", 5) != 5)
        perror("write");
    usleep(10000);
    show("tcp", "server", server, port(listener), port(client));
    shutdown(client, SHUT_WR);
    /* Until the end was acknowledged, for which Linux takes its time. */
    usleep(200000);
    show("tcp", "client", client, port(client), port(listener));
    show("tcp", "server", server, port(listener), port(client));
    int six = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    bind(six, (struct sockaddr *)&any, sizeof any);
    listen(six, 1);
    show("tcp6", "listener", six, port(six), 0);
    show("tcp", "listener", six, port(six), 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    own.sin_port = 0;
    bind(udp, (struct sockaddr *)&own, sizeof own);
    getsockname(udp, (struct sockaddr *)&own, &length);
    show("udp", "bound", udp, port(udp), 0);
    connect(sender, (struct sockaddr *)&own, sizeof own);
    if (send(sender, "x", 1, 0) != 1)
        perror("send");
    show("udp", "sender", sender, port(sender), port(udp));
    show("udp", "receiver", udp, port(udp), 0);
}

static void local(void) {
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0proc net"};
    /* Another run of this program may have the name, on the same host. */
    while (bind(one, (struct sockaddr *)&name, sizeof(sa_family_t) + 9) < 0 && errno == EADDRINUSE)
        usleep(10000);
    listen(one, 1);
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    int sockets[] = {one, pair[0]};
    for (int i = 0; i < 2; i++) {
        char line[512];
        FILE *table = fopen("/proc/net/unix", "r");
        while (table && fgets(line, sizeof line, table)) {
            unsigned protocol, flags, kind, state;
            unsigned long number;
            char path[108] = "";
            if (sscanf(line, "%*x: %*x %x %x %x %x %lu %107[^\n]", &protocol, &flags, &kind, &state, &number, path) < 5 ||
                number != inode(sockets[i]))
                continue;
            printf("unix: protocol %u flags %#x kind %u state %u [%s]\n", protocol, flags, kind, state, path);
        }
        if (table)
            fclose(table);
    }
}

/* Lines of a file that contain a word. */
static void lines(const char *path, const char *word) {
    char line[512];
    FILE *file = fopen(path, "r");
    printf("%s: %s\n", path, file ? "opened" : strerror(errno));
    while (file && fgets(line, sizeof line, file))
        if (strstr(line, word))
            printf("%s", line);
    if (file)
        fclose(file);
}

struct counts {
    int used, in_use, orphans, late, allocated, memory, datagrams;
};

static struct counts counts(void) {
    struct counts now = {0};
    char text[512] = "";
    FILE *file = fopen("/proc/net/sockstat", "r");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
    }
    if (sscanf(text, "sockets: used %d TCP: inuse %d orphan %d tw %d alloc %d mem %d UDP: inuse %d mem %*d UDPLITE:", &now.used,
               &now.in_use, &now.orphans, &now.late, &now.allocated, &now.memory, &now.datagrams) != 7)
        printf("sockstat: %s\n", text);
    return now;
}

/* What sockstat counts grows by this, unless others on the machine do something at the same time. */
static int statistics(int report) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    static char bytes[1 << 20];
    struct counts before = counts();
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), idle = socket(AF_INET, SOCK_STREAM, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&own, sizeof own);
    bind(udp, (struct sockaddr *)&own, sizeof own);
    listen(listener, 5);
    getsockname(listener, (struct sockaddr *)&own, &length);
    connect(client, (struct sockaddr *)&own, sizeof own);
    int server = accept(listener, NULL, NULL);
    struct counts open = counts();
    send(client, bytes, sizeof bytes, MSG_DONTWAIT);
    usleep(10000);
    /* Nobody reads, so that the client can't end. */
    close(client);
    usleep(10000);
    struct counts orphaned = counts();
    /* Of two connections that end in order one is remembered. */
    int second = socket(AF_INET, SOCK_STREAM, 0);
    connect(second, (struct sockaddr *)&own, sizeof own);
    int other = accept(listener, NULL, NULL);
    close(second);
    usleep(10000);
    close(other);
    usleep(10000);
    struct counts late = counts();
    close(server);
    close(listener);
    close(idle);
    close(udp);
    close(local);
    usleep(10000);
    int right = open.used - before.used == 6 && open.in_use - before.in_use == 3 && open.allocated - before.allocated == 4 &&
                open.datagrams - before.datagrams == 1 &&
                orphaned.orphans - before.orphans == 1 && orphaned.used - before.used == 6 && late.late - before.late == 1;
    if (report && !right)
        printf("used %d %d, in use %d, allocated %d, datagrams %d, orphans %d, late %d\n", open.used - before.used,
               orphaned.used - before.used, open.in_use - before.in_use, open.allocated - before.allocated,
               open.datagrams - before.datagrams, orphaned.orphans - before.orphans,
               late.late - before.late);
    return right;
}

/* The counts, away from others on the machine where that can be had: a part of the counts is the whole machine's still. */
static void alone(void) {
    struct ifreq loopback = {.ifr_name = "lo"};
    int tries = 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
        int control = socket(AF_INET, SOCK_DGRAM, 0);
        ioctl(control, SIOCGIFFLAGS, &loopback);
        loopback.ifr_flags |= IFF_UP;
        ioctl(control, SIOCSIFFLAGS, &loopback);
        close(control);
    }
    while (tries < 100 && !statistics(tries == 99))
        usleep((getpid() * 7919 + tries * 104729) % 50000), tries++;
    printf("sockstat counts: %d\n", tries < 100);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    internet();
    local();
    lines("/proc/net/sockstat6", "LITE6");
    lines("/proc/net/dev", "face");
    lines("/proc/net/route", "Iface");
    lines("/proc/net/arp", "IP address");
    lines("/proc/net/if_inet6", "00000000000000000000000000000001");
    lines("/proc/net/igmp", "Device");
    lines("/proc/net/igmp6", "lo              ff0");
    lines("/proc/sys/net/core/somaxconn", "");
    lines("/proc/sys/net/ipv4/ip_local_port_range", "");
    lines("/proc/sys/net/ipv4/ip_default_ttl", "");
    lines("/proc/sys/net/ipv4/tcp_keepalive_time", "");
    lines("/proc/sys/net/ipv4/tcp_keepalive_intvl", "");
    lines("/proc/sys/net/ipv4/tcp_keepalive_probes", "");
    lines("/proc/sys/net/core/rmem_default", "");
    char link[64] = "";
    RESULT(readlink("/proc/net", link, sizeof link));
    printf("%s\n", link);
    alone();
    return 0;
}
