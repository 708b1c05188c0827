/* Options of sockets: which there are, what they are at first, what may be set, and what they do. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static struct sockaddr_in any_port = {.sin_family = AF_INET};
static struct sockaddr_in6 any_port6 = {.sin6_family = AF_INET6};

static int bound(int family) {
    int one = socket(family, SOCK_DGRAM, 0);
    any_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    any_port6.sin6_addr = in6addr_loopback;
    int result = family == AF_INET ? bind(one, (struct sockaddr *)&any_port, sizeof any_port)
                                   : bind(one, (struct sockaddr *)&any_port6, sizeof any_port6);
    if (result != 0)
        perror("bind");
    return one;
}

static void connect_to(int from, int to) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    getsockname(to, (struct sockaddr *)&name, &length);
    if (connect(from, (struct sockaddr *)&name, length) != 0)
        perror("connect");
}

static void show(const char *what, int socket, int level, int name) {
    unsigned char value[64] = {0};
    socklen_t length = sizeof value;
    errno = 0;
    int result = getsockopt(socket, level, name, value, &length);
    printf("%s: %d %s", what, result, result ? strerror(errno) : "");
    for (unsigned i = 0; result == 0 && i < length; i++)
        printf(" %02x", value[i]);
    printf("\n");
}

#define SHOW(socket, level, name) show(#socket " " #name, socket, level, name)

static int set(int socket, int level, int name, int value) {
    return setsockopt(socket, level, name, &value, sizeof value);
}

static void general(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    int sockets[] = {udp, tcp, local};
    for (int i = 0; i < 3; i++) {
        int one = sockets[i];
        SHOW(one, SOL_SOCKET, SO_TYPE);
        SHOW(one, SOL_SOCKET, SO_DOMAIN);
        SHOW(one, SOL_SOCKET, SO_PROTOCOL);
        SHOW(one, SOL_SOCKET, SO_ERROR);
        SHOW(one, SOL_SOCKET, SO_ACCEPTCONN);
        SHOW(one, SOL_SOCKET, SO_BROADCAST);
        SHOW(one, SOL_SOCKET, SO_PRIORITY);
        SHOW(one, SOL_SOCKET, SO_RCVLOWAT);
        SHOW(one, SOL_SOCKET, SO_SNDLOWAT);
        SHOW(one, SOL_SOCKET, SO_RCVTIMEO);
        SHOW(one, SOL_SOCKET, SO_BSDCOMPAT);
        SHOW(one, SOL_SOCKET, SO_PEERCRED);
        SHOW(one, SOL_SOCKET, SO_BUSY_POLL);
        SHOW(one, SOL_SOCKET, SO_TIMESTAMP);
        SHOW(one, SOL_SOCKET, SO_TIMESTAMPNS);
        SHOW(one, SOL_SOCKET, SO_MARK);
        SHOW(one, SOL_SOCKET, 28 /* SO_PEERNAME */);
        SHOW(one, SOL_SOCKET, 12345);
        RESULT(set(one, SOL_SOCKET, SO_TYPE, 1));
        RESULT(set(one, SOL_SOCKET, SO_ERROR, 1));
        RESULT(set(one, SOL_SOCKET, SO_TIMESTAMPNS, 1));
        SHOW(one, SOL_SOCKET, SO_TIMESTAMP);
        SHOW(one, SOL_SOCKET, SO_TIMESTAMPNS);
        RESULT(set(one, SOL_SOCKET, SO_TIMESTAMP, 1));
        SHOW(one, SOL_SOCKET, SO_TIMESTAMP);
        SHOW(one, SOL_SOCKET, SO_TIMESTAMPNS);
        RESULT(set(one, SOL_SOCKET, SO_RCVLOWAT, 0));
        SHOW(one, SOL_SOCKET, SO_RCVLOWAT);
        RESULT(set(one, SOL_SOCKET, SO_RCVLOWAT, 100));
        SHOW(one, SOL_SOCKET, SO_RCVLOWAT);
        RESULT(set(one, SOL_SOCKET, SO_SNDLOWAT, 10));
        RESULT(set(one, SOL_SOCKET, SO_PRIORITY, 6));
        SHOW(one, SOL_SOCKET, SO_PRIORITY);
        RESULT(set(one, SOL_SOCKET, SO_RCVBUF, 5000));
        SHOW(one, SOL_SOCKET, SO_RCVBUF);
        RESULT(set(one, SOL_SOCKET, SO_SNDBUF, 1));
        SHOW(one, SOL_SOCKET, SO_SNDBUF);
        RESULT(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, "x", 1));
        RESULT(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, NULL, 4));
        RESULT(set(one, SOL_SOCKET, 12345, 1));
        struct timeval time = {1, 500000}, wrong = {0, 2000000};
        RESULT(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
        RESULT(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong));
        RESULT(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &time, 4));
        RESULT(set(one, SOL_SOCKET, SO_BUSY_POLL, -1));
        close(one);
    }
}

static void devices(void) {
    int udp = bound(AF_INET), client = socket(AF_INET, SOCK_DGRAM, 0);
    char name[IFNAMSIZ] = "";
    socklen_t length = sizeof name;
    RESULT(getsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
    printf("[%s] %d\n", name, length);
    RESULT(setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
    length = sizeof name;
    RESULT(getsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
    printf("[%s] %d\n", name, length);
    SHOW(udp, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */);
    connect_to(client, udp);
    char byte;
    RESULT(send(client, "x", 1, 0));
    RESULT(recv(udp, &byte, 1, 0));
    RESULT(setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "absent", 7));
    RESULT(setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
    SHOW(udp, SOL_SOCKET, 62);
    RESULT(set(udp, SOL_SOCKET, 62, 12345));
    RESULT(set(udp, SOL_SOCKET, 62, -1));
    close(udp);
    close(client);
}

static void broadcast(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
    RESULT(sendto(udp, "x", 1, 0, (struct sockaddr *)&all, sizeof all));
    RESULT(connect(udp, (struct sockaddr *)&all, sizeof all));
    RESULT(set(udp, SOL_SOCKET, SO_BROADCAST, 1));
    RESULT(connect(udp, (struct sockaddr *)&all, sizeof all));
    close(udp);
}

static void options_of_ip(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), udp6 = socket(AF_INET6, SOCK_DGRAM, 0);
    int names[] = {IP_TOS, IP_TTL, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IP_RECVTOS, IP_TRANSPARENT,
                   IP_RECVORIGDSTADDR, IP_BIND_ADDRESS_NO_PORT, IP_MTU};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        printf("option %d\n", names[i]);
        SHOW(udp, IPPROTO_IP, names[i]);
        SHOW(tcp, IPPROTO_IP, names[i]);
        SHOW(udp6, IPPROTO_IP, names[i]);
        if (names[i] == IP_TRANSPARENT)
            continue; /* depends on privileges */
        RESULT(set(udp, IPPROTO_IP, names[i], 2));
        SHOW(udp, IPPROTO_IP, names[i]);
        RESULT(setsockopt(udp, IPPROTO_IP, names[i], "\1", 1));
        SHOW(udp, IPPROTO_IP, names[i]);
        RESULT(set(udp, IPPROTO_IP, names[i], 0));
        RESULT(set(udp, IPPROTO_IP, names[i], -1));
        RESULT(set(udp, IPPROTO_IP, names[i], 256));
    }
    int names6[] = {IPV6_UNICAST_HOPS, IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT,
                    IPV6_DONTFRAG, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_V6ONLY, IPV6_MTU};
    for (unsigned i = 0; i < sizeof names6 / sizeof *names6; i++) {
        printf("option of IPv6 %d\n", names6[i]);
        SHOW(udp6, IPPROTO_IPV6, names6[i]);
        SHOW(udp, IPPROTO_IPV6, names6[i]);
        if (names6[i] == IPV6_MTU)
            continue;
        RESULT(set(udp6, IPPROTO_IPV6, names6[i], 1));
        SHOW(udp6, IPPROTO_IPV6, names6[i]);
        RESULT(set(udp6, IPPROTO_IPV6, names6[i], 0));
        RESULT(set(udp, IPPROTO_IPV6, names6[i], 0));
    }
    RESULT(set(udp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1));
    SHOW(udp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
    RESULT(set(udp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256));
    RESULT(set(udp6, IPPROTO_IPV6, IPV6_TCLASS, 256));
    SHOW(udp, IPPROTO_UDP, UDP_SEGMENT);
    SHOW(tcp, IPPROTO_UDP, UDP_SEGMENT);
    SHOW(udp, IPPROTO_UDP, 77);
    SHOW(udp, 999, 1);
    SHOW(tcp, 999, 1);
    RESULT(set(udp, IPPROTO_TCP, 1, 1));
    int other = bound(AF_INET);
    connect_to(udp, other);
    SHOW(udp, IPPROTO_IP, IP_MTU);
    close(other);
    close(udp);
    close(tcp);
    close(udp6);
}

/* Receives a message and prints what came with it. */
static void receive(int socket, int flags) {
    char data[64] = "", control[512];
    struct sockaddr_storage from = {0};
    struct iovec piece = {data, sizeof data - 1};
    struct msghdr message = {&from, sizeof from, &piece, 1, control, sizeof control, 0};
    errno = 0;
    int length = recvmsg(socket, &message, flags | MSG_DONTWAIT);
    printf("received %d [%s] %s flags %#x, family %d, %d bytes\n", length, data, length < 0 ? strerror(errno) : "",
           length < 0 ? 0 : message.msg_flags, length < 0 ? 0 : from.ss_family, length < 0 ? 0 : message.msg_namelen);
    if (length < 0)
        return;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        unsigned bytes = one->cmsg_len - CMSG_LEN(0);
        printf("  level %d kind %d, %u bytes:", one->cmsg_level, one->cmsg_type, bytes);
        unsigned char *content = CMSG_DATA(one);
        if (one->cmsg_level == SOL_SOCKET) {
            struct timespec now, *at = (void *)content;
            clock_gettime(CLOCK_REALTIME, &now);
            printf(" recent: %d", at->tv_sec <= now.tv_sec && at->tv_sec + 10 > now.tv_sec);
        } else if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_ORIGDSTADDR) {
            printf(" family %d", *(short *)content);
        } else {
            for (unsigned i = 0; i < bytes; i++)
                printf(" %02x", content[i]);
        }
        printf("\n");
    }
}

static void ancillary(int family) {
    int server = bound(family), client = socket(family, SOCK_DGRAM, 0);
    connect_to(client, server);
    set(server, SOL_SOCKET, SO_TIMESTAMP, 1);
    if (family == AF_INET) {
        set(server, IPPROTO_IP, IP_PKTINFO, 1);
        set(server, IPPROTO_IP, IP_RECVTTL, 1);
        set(server, IPPROTO_IP, IP_RECVTOS, 1);
        set(server, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
        set(client, IPPROTO_IP, IP_TTL, 7);
        set(client, IPPROTO_IP, IP_TOS, 0x28);
    } else {
        set(server, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set(server, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        set(server, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 7);
        set(client, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
    }
    RESULT(send(client, "one", 3, 0));
    receive(server, MSG_PEEK);
    receive(server, 0);
    /* Chosen for one message. */
    struct {
        struct cmsghdr header;
        int value;
        int padding;
    } control[2] = {{{CMSG_LEN(4), family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                      family == AF_INET ? IP_TTL : IPV6_HOPLIMIT}, 99, 0},
                    {{CMSG_LEN(4), family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                      family == AF_INET ? IP_TOS : IPV6_TCLASS}, 4, 0}};
    struct iovec piece = {"two", 3};
    struct msghdr message = {NULL, 0, &piece, 1, control, sizeof control, 0};
    RESULT(sendmsg(client, &message, 0));
    receive(server, 0);
    control[0].value = 1000;
    RESULT(sendmsg(client, &message, 0));
    control[0].header.cmsg_type = 999;
    RESULT(sendmsg(client, &message, 0));
    set(server, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    RESULT(send(client, "three", 5, 0));
    receive(server, 0);
    struct timeval when;
    RESULT(ioctl(server, SIOCGSTAMP, &when));
    RESULT(ioctl(client, SIOCGSTAMP, &when));
    close(server);
    close(client);
}

static void source_address(void) {
    int server = bound(AF_INET), client = socket(AF_INET, SOCK_DGRAM, 0);
    connect_to(client, server);
    struct {
        struct cmsghdr header;
        struct in_pktinfo value;
    } control = {{CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO}, {0, {htonl(0x7f000005)}, {0}}};
    struct iovec piece = {"x", 1};
    struct msghdr message = {NULL, 0, &piece, 1, &control, sizeof control, 0};
    RESULT(sendmsg(client, &message, 0));
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char byte;
    RESULT(recvfrom(server, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &length));
    printf("from %s\n", inet_ntoa(from.sin_addr));
    control.value.ipi_spec_dst.s_addr = htonl(0x09090909);
    RESULT(sendmsg(client, &message, 0));
    close(server);
    close(client);
}

static void errors(int family) {
    int gone = bound(family), client = socket(family, SOCK_DGRAM, 0);
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    getsockname(gone, (struct sockaddr *)&name, &length);
    close(gone);
    receive(client, MSG_ERRQUEUE);
    RESULT(sendto(client, "quiet", 5, 0, (struct sockaddr *)&name, length));
    struct pollfd poller = {client, POLLIN, 0};
    RESULT(poll(&poller, 1, 20));
    int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    RESULT(set(client, level, family == AF_INET ? IP_RECVERR : IPV6_RECVERR, 1));
    RESULT(sendto(client, "told", 4, 0, (struct sockaddr *)&name, length));
    RESULT(poll(&poller, 1, 1000));
    printf("events %#x\n", poller.revents);
    RESULT(sendto(client, "not sent", 8, 0, (struct sockaddr *)&name, length));
    RESULT(sendto(client, "again", 5, 0, (struct sockaddr *)&name, length));
    usleep(20000);
    SHOW(client, SOL_SOCKET, SO_ERROR);
    SHOW(client, SOL_SOCKET, SO_ERROR);
    RESULT(poll(&poller, 1, 0));
    char control[512], data[2];
    struct sockaddr_storage from;
    struct iovec piece = {data, sizeof data};
    struct msghdr message = {&from, sizeof from, &piece, 1, control, sizeof control, 0};
    RESULT(recvmsg(client, &message, MSG_ERRQUEUE));
    printf("flags %#x, to the same: %d\n", message.msg_flags, memcmp(&from, &name, length) == 0);
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        struct sock_extended_err *error = (void *)CMSG_DATA(one);
        printf("level %d kind %d, %zu bytes: %s origin %d type %d code %d info %u data %u, offender of family %d\n",
               one->cmsg_level, one->cmsg_type, (size_t)one->cmsg_len, strerror(error->ee_errno), error->ee_origin,
               error->ee_type, error->ee_code, error->ee_info, error->ee_data, SO_EE_OFFENDER(error)->sa_family);
    }
    receive(client, 0);
    message.msg_controllen = sizeof control;
    RESULT(recvmsg(client, &message, MSG_ERRQUEUE));
    RESULT(recvmsg(client, &message, MSG_ERRQUEUE));
    RESULT(poll(&poller, 1, 0));
    close(client);
}

static void filters(void) {
    int server = bound(AF_INET), client = socket(AF_INET, SOCK_DGRAM, 0);
    connect_to(client, server);
    /* Datagrams whose first byte is 'y', behind the header of UDP; of them the first three bytes. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 8 + 3),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {4, code};
    RESULT(set(server, SOL_SOCKET, SO_DETACH_FILTER, 0));
    RESULT(setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    RESULT(send(client, "no", 2, 0));
    RESULT(send(client, "yes, please", 11, 0));
    receive(server, 0);
    receive(server, 0);
    program.len = 3;
    RESULT(setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    program.len = 0;
    RESULT(setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    RESULT(setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, 4));
    program = (struct sock_fprog){4, (void *)8};
    RESULT(setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    RESULT(set(server, SOL_SOCKET, SO_LOCK_FILTER, 1));
    RESULT(set(server, SOL_SOCKET, SO_DETACH_FILTER, 0));
    RESULT(set(server, SOL_SOCKET, SO_LOCK_FILTER, 0));
    close(server);
    close(client);
}

static void pieces(void) {
    int server = bound(AF_INET), client = socket(AF_INET, SOCK_DGRAM, 0);
    connect_to(client, server);
    RESULT(set(client, IPPROTO_UDP, UDP_SEGMENT, 4));
    RESULT(send(client, "abcdefghij", 10, 0));
    receive(server, 0);
    receive(server, 0);
    receive(server, 0);
    receive(server, 0);
    RESULT(set(client, IPPROTO_UDP, UDP_SEGMENT, 0));
    RESULT(send(client, "more ", 5, MSG_MORE));
    receive(server, 0);
    RESULT(send(client, "data", 4, 0));
    receive(server, 0);
    RESULT(set(client, IPPROTO_UDP, UDP_CORK, 1));
    RESULT(send(client, "corked, ", 8, 0));
    RESULT(send(client, "twice", 5, 0));
    receive(server, 0);
    RESULT(set(client, IPPROTO_UDP, UDP_CORK, 0));
    receive(server, 0);
    close(server);
    close(client);
}

static void without_copies(void) {
    int server = bound(AF_INET), client = socket(AF_INET, SOCK_DGRAM, 0);
    connect_to(client, server);
    RESULT(send(client, "a", 1, MSG_ZEROCOPY));
    receive(client, MSG_ERRQUEUE);
    RESULT(set(client, SOL_SOCKET, SO_ZEROCOPY, 1));
    SHOW(client, SOL_SOCKET, SO_ZEROCOPY);
    for (int i = 0; i < 3; i++)
        RESULT(send(client, "b", 1, MSG_ZEROCOPY));
    for (int i = 0; i < 4; i++)
        receive(server, 0);
    struct pollfd poller = {client, 0, 0};
    RESULT(poll(&poller, 1, 1000));
    printf("events %#x\n", poller.revents);
    receive(client, MSG_ERRQUEUE);
    receive(client, MSG_ERRQUEUE);
    close(server);
    close(client);
}

static void show_name(const char *what, int socket) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    getsockname(socket, (struct sockaddr *)&name, &length);
    printf("%s: %s, %s port\n", what, inet_ntoa(name.sin_addr), name.sin_port ? "a" : "no");
}

/* A port is chosen only when it is needed. */
static void later_ports(void) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, to;
    socklen_t length = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0), fixed = socket(AF_INET, SOCK_STREAM, 0);
    int all[] = {listener, client, udp, sender, fixed};
    for (int i = 0; i < 5; i++) {
        RESULT(set(all[i], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1));
        RESULT(bind(all[i], (struct sockaddr *)&own, sizeof own));
        show_name("bound", all[i]);
    }
    RESULT(listen(listener, 5));
    show_name("listener", listener);
    getsockname(listener, (struct sockaddr *)&to, &length);
    RESULT(connect(client, (struct sockaddr *)&to, sizeof to));
    show_name("client", client);
    RESULT(bind(client, (struct sockaddr *)&own, sizeof own));
    RESULT(connect(udp, (struct sockaddr *)&to, sizeof to));
    show_name("connected", udp);
    RESULT(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    show_name("sender", sender);
    /* It may have another address as long as it has no port. */
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    RESULT(bind(fixed, (struct sockaddr *)&own, sizeof own));
    show_name("again", fixed);
    own.sin_port = to.sin_port;
    RESULT(bind(fixed, (struct sockaddr *)&own, sizeof own));
    RESULT(bind(fixed, (struct sockaddr *)&own, sizeof own));
    show_name("at last", fixed);
    for (int i = 0; i < 5; i++)
        close(all[i]);
}

/* What the packets of connections say; the two lowest bits of the service are not the program's there. */
static void streams(int family) {
    struct sockaddr_in6 name = {.sin6_family = family};
    socklen_t length = sizeof name;
    int listener = socket(family, SOCK_STREAM, 0), client = socket(family, SOCK_STREAM, 0);
    RESULT(set(listener, IPPROTO_IP, IP_TOS, 0xff));
    RESULT(set(listener, IPPROTO_IP, IP_TTL, 33));
    RESULT(set(listener, IPPROTO_IPV6, IPV6_TCLASS, 0x7f));
    RESULT(set(listener, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44));
    RESULT(listen(listener, 5));
    getsockname(listener, (struct sockaddr *)&name, &length);
    RESULT(connect(client, (struct sockaddr *)&name, length));
    int accepted = accept(listener, NULL, NULL);
    SHOW(accepted, IPPROTO_IP, IP_TOS);
    SHOW(accepted, IPPROTO_IP, IP_TTL);
    SHOW(accepted, IPPROTO_IPV6, IPV6_TCLASS);
    SHOW(accepted, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
    close(accepted);
    close(client);
    close(listener);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    general();
    devices();
    broadcast();
    options_of_ip();
    ancillary(AF_INET);
    ancillary(AF_INET6);
    source_address();
    errors(AF_INET);
    errors(AF_INET6);
    filters();
    pieces();
    without_copies();
    later_ports();
    streams(AF_INET);
    streams(AF_INET6);
    return 0;
}
