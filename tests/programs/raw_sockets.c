/* Raw sockets, sockets of echoes, and what they see of packets that the machine sends to itself. */
#include "alone.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of linux/icmp.h, which does not go together with net/if.h. */
#ifndef ICMP_FILTER
#define ICMP_FILTER 1
#endif

static struct sockaddr_in here = {.sin_family = AF_INET};
static struct sockaddr_in6 here6 = {.sin6_family = AF_INET6};

static unsigned short sum_of(const void *bytes, size_t length) {
    const unsigned char *next = bytes;
    unsigned sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? next[i] : next[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum & 0xffff);
}

/* An echo with `length` bytes of data. */
static size_t echo(unsigned char *message, int kind, unsigned id, unsigned sequence, size_t length) {
    memset(message, 0, 8);
    message[0] = kind;
    message[4] = id >> 8, message[5] = id;
    message[6] = sequence >> 8, message[7] = sequence;
    for (size_t i = 0; i < length; i++)
        message[8 + i] = i * 7;
    unsigned short sum = sum_of(message, 8 + length);
    memcpy(message + 2, &sum, 2);
    return 8 + length;
}

static void print_address(struct sockaddr_storage *from, socklen_t length) {
    char text[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    if (from->ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)from;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = ntohs(v4->sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)from;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        port = ntohs(v6->sin6_port);
    }
    printf(" [%s]:%d (%u)", text, port, (unsigned)length);
}

/* Prints everything that waits. Identifications of packets are left out, and with them checksums of headers. */
static void drain(const char *what, int socket, int with_header) {
    static unsigned char bytes[70000];
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    printf("%s:\n", what);
    for (;;) {
        if (poll(&wait, 1, 0) != 1)
            break;
        struct sockaddr_storage from;
        memset(&from, 0, sizeof from);
        socklen_t length = sizeof from;
        ssize_t count = recvfrom(socket, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (count < 0) {
            printf("  %s\n", strerror(errno));
            break;
        }
        printf("  %zd from", count);
        print_address(&from, length);
        size_t start = 0;
        if (with_header) {
            CHECK(sum_of(bytes, 20) == 0);
            memset(bytes + 4, 0, 2);
            memset(bytes + 10, 0, 2);
        }
        for (ssize_t i = start; i < count && i < 48; i++)
            printf("%s%02x", i % 16 ? " " : "\n    ", bytes[i]);
        printf(" sum %04x\n", sum_of(bytes, count));
    }
}

static void name_of(const char *what, int socket, int peer) {
    struct sockaddr_storage name;
    memset(&name, 0, sizeof name);
    socklen_t length = sizeof name;
    int result = peer ? getpeername(socket, (struct sockaddr *)&name, &length)
                      : getsockname(socket, (struct sockaddr *)&name, &length);
    printf("%s:", what);
    if (result != 0)
        printf(" %s", strerror(errno));
    else
        print_address(&name, length);
    printf("\n");
}

static int send_to(int socket, const void *bytes, size_t length) {
    return sendto(socket, bytes, length, 0, (struct sockaddr *)&here, sizeof here);
}

static int send_to6(int socket, const void *bytes, size_t length) {
    return sendto(socket, bytes, length, 0, (struct sockaddr *)&here6, sizeof here6);
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

static void kinds(void) {
    RESULT(socket(AF_INET, SOCK_RAW, 0));
    RESULT(socket(AF_INET6, SOCK_RAW, 0));
    RESULT(socket(AF_INET, SOCK_RAW, -1));
    RESULT(socket(AF_INET, SOCK_RAW, 300));
    RESULT(socket(AF_INET, SOCK_STREAM, 300));
    RESULT(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6));
    RESULT(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMP));
    RESULT(socket(AF_INET, SOCK_STREAM, IPPROTO_ICMP));
    RESULT(socket(AF_INET, SOCK_RDM, 0));
}

static void raw4(void) {
    unsigned char message[3000];
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), other = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    SHOW(raw, SOL_SOCKET, SO_TYPE);
    SHOW(raw, SOL_SOCKET, SO_PROTOCOL);
    SHOW(raw, SOL_RAW, ICMP_FILTER);
    SHOW(raw, IPPROTO_IP, IP_HDRINCL);
    SHOW(raw, IPPROTO_IP, IP_TTL);
    SHOW(raw, IPPROTO_UDP, 1);
    name_of("name", raw, 0);
    name_of("peer", raw, 1);
    RESULT(listen(raw, 1));
    SHOW(raw, SOL_SOCKET, SO_REUSEADDR);
    RESULT(send(raw, message, 8, 0));
    size_t length = echo(message, ICMP_ECHO, 0x1234, 1, 20);
    RESULT(send_to(raw, message, length));
    drain("request and reply", raw, 1);
    drain("the same", other, 1);
    /* The kernel does not answer what is wrong, but shows it. */
    message[2] ^= 1;
    RESULT(send_to(raw, message, length));
    drain("wrong checksum", raw, 1);
    drain("wrong checksum", other, 1);
    int block = 1 << ICMP_ECHO;
    RESULT(setsockopt(other, SOL_RAW, ICMP_FILTER, &block, sizeof block));
    SHOW(other, SOL_RAW, ICMP_FILTER);
    RESULT(set(other, SOL_RAW, 2, 1));
    length = echo(message, ICMP_ECHO, 0x1234, 2, 5);
    RESULT(send_to(raw, message, length));
    drain("all", raw, 1);
    drain("replies", other, 1);
    /* Addresses choose. */
    struct sockaddr_in address = here;
    address.sin_port = htons(99);
    RESULT(bind(raw, (struct sockaddr *)&address, sizeof address));
    name_of("bound", raw, 0);
    inet_pton(AF_INET, "127.0.0.2", &address.sin_addr);
    RESULT(bind(raw, (struct sockaddr *)&address, sizeof address));
    name_of("bound again", raw, 0);
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    RESULT(bind(raw, (struct sockaddr *)&address, sizeof address));
    RESULT(bind(raw, (struct sockaddr *)&address, 8));
    RESULT(connect(other, (struct sockaddr *)&here, sizeof here));
    name_of("connected", other, 0);
    name_of("to", other, 1);
    RESULT(bind(other, (struct sockaddr *)&here, sizeof here));
    address.sin_addr = here.sin_addr;
    address.sin_port = htons(7);
    RESULT(connect(other, (struct sockaddr *)&address, sizeof address));
    name_of("to", other, 1);
    length = echo(message, ICMP_ECHO, 0x1234, 3, 0);
    RESULT(send(other, message, length, 0));
    drain("bound to 127.0.0.2", raw, 1);
    drain("connected to 127.0.0.1", other, 1);
    RESULT(send_to(raw, message, length));
    drain("from 127.0.0.2", raw, 1);
    drain("connected to 127.0.0.1", other, 1);
    RESULT(shutdown(other, SHUT_RD));
    /* What does not fit is cut. */
    close(other);
    other = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    int hops = 9, service = 0x10;
    RESULT(setsockopt(other, IPPROTO_IP, IP_TTL, &hops, sizeof hops));
    RESULT(setsockopt(other, IPPROTO_IP, IP_TOS, &service, sizeof service));
    length = echo(message, ICMP_ECHO, 0x4321, 3, 2000);
    RESULT(send_to(other, message, length));
    RESULT(recv(other, message, 30, MSG_PEEK));
    RESULT(recv(other, message, 30, MSG_TRUNC));
    CHECK(message[8] == 9 && message[1] == 0x10);
    RESULT(recv(other, message, 30, MSG_OOB));
    RESULT(recv(other, message, sizeof message, 0));
    RESULT(recv(other, message, sizeof message, MSG_DONTWAIT));
    static unsigned char large[70000];
    RESULT(send_to(other, large, 65516));
    RESULT(send_to(other, large, 65536));
    RESULT(send_to(other, large, 65515));
    RESULT(recv(other, large, sizeof large, MSG_DONTWAIT));
    /* A queue holds only so much. */
    RESULT(set(other, SOL_SOCKET, SO_RCVBUF, 1));
    for (int i = 0; i < 100; i++)
        send_to(other, message, echo(message, ICMP_ECHOREPLY, 1, i, 200));
    int count = 0;
    while (recv(other, large, sizeof large, MSG_DONTWAIT) > 0)
        count++;
    CHECK(count > 0 && count < 20);
    close(raw);
    close(other);
}

/* Other protocols are seen as well, and who sees them keeps the kernel from complaining. */
static void protocols(void) {
    unsigned char data[16] = "some data";
    int raw = socket(AF_INET, SOCK_RAW, 253), icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    SHOW(raw, SOL_RAW, ICMP_FILTER);
    RESULT(set(raw, SOL_RAW, ICMP_FILTER, 1));
    RESULT(send_to(raw, data, sizeof data));
    drain("253", raw, 1);
    drain("no complaint", icmp, 1);
    int udp = socket(AF_INET, SOCK_RAW, IPPROTO_UDP), sender = socket(AF_INET, SOCK_DGRAM, 0);
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = here;
    address.sin_port = htons(4567);
    RESULT(bind(receiver, (struct sockaddr *)&address, sizeof address));
    struct sockaddr_in own = here;
    own.sin_port = htons(4568);
    RESULT(bind(sender, (struct sockaddr *)&own, sizeof own));
    RESULT(sendto(sender, "hello", 5, 0, (struct sockaddr *)&address, sizeof address));
    unsigned char bytes[100];
    RESULT(recv(udp, bytes, sizeof bytes, 0));
    CHECK(memcmp(bytes + 28, "hello", 5) == 0 && bytes[20] == 4568 >> 8);
    RESULT(recv(receiver, bytes, sizeof bytes, 0));
    close(receiver);
    /* Nobody listens there now: a raw socket sees the complaint. */
    RESULT(sendto(sender, "hello", 5, 0, (struct sockaddr *)&address, sizeof address));
    RESULT(recv(icmp, bytes, sizeof bytes, MSG_DONTWAIT));
    CHECK(bytes[20] == ICMP_DEST_UNREACH && bytes[21] == ICMP_PORT_UNREACH);
    /* A stream goes on when somebody looks. */
    int tcp = socket(AF_INET, SOCK_RAW, IPPROTO_TCP), listener = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof address;
    RESULT(bind(listener, (struct sockaddr *)&here, sizeof here));
    RESULT(listen(listener, 1));
    RESULT(getsockname(listener, (struct sockaddr *)&address, &length));
    RESULT(connect(client, (struct sockaddr *)&address, sizeof address));
    SUCCESS(tcp >= 0 ? accept(listener, NULL, NULL) : -1);
    RESULT(recv(tcp, bytes, sizeof bytes, MSG_DONTWAIT) > 40);
    CHECK(bytes[33] == 2);
    int all[] = {raw, icmp, udp, sender, tcp, listener, client};
    for (int i = 0; i < 7; i++)
        close(all[i]);
}

static void raw6(void) {
    unsigned char message[3000];
    int raw = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), other = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    SHOW(raw, SOL_SOCKET, SO_PROTOCOL);
    SHOW(raw, IPPROTO_ICMPV6, ICMP6_FILTER);
    SHOW(raw, IPPROTO_IPV6, IPV6_CHECKSUM);
    RESULT(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, 4));
    name_of("name", raw, 0);
    size_t length = echo(message, ICMP6_ECHO_REQUEST, 0x1234, 1, 20);
    RESULT(send_to6(raw, message, length));
    drain("request and reply", raw, 0);
    struct icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    RESULT(setsockopt(other, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
    SHOW(other, IPPROTO_ICMPV6, ICMP6_FILTER);
    drain("both", other, 0);
    RESULT(send_to6(raw, message, length));
    drain("replies", other, 0);
    RESULT(send_to6(raw, message, 3));
    struct sockaddr_in6 address = here6;
    address.sin6_port = htons(58);
    RESULT(sendto(raw, message, length, 0, (struct sockaddr *)&address, sizeof address));
    address.sin6_port = htons(59);
    RESULT(sendto(raw, message, length, 0, (struct sockaddr *)&address, sizeof address));
    RESULT(connect(other, (struct sockaddr *)&address, sizeof address));
    name_of("connected", other, 0);
    name_of("to", other, 1);
    RESULT(bind(raw, (struct sockaddr *)&here6, sizeof here6));
    name_of("bound", raw, 0);
    close(raw);
    close(other);
    /* A checksum where the program wants one. */
    raw = socket(AF_INET6, SOCK_RAW, 253);
    SHOW(raw, IPPROTO_IPV6, IPV6_CHECKSUM);
    RESULT(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, 3));
    RESULT(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, 10));
    SHOW(raw, IPPROTO_IPV6, IPV6_CHECKSUM);
    RESULT(send_to6(raw, message, 11));
    RESULT(send_to6(raw, message, 13));
    drain("checksum", raw, 0);
    RESULT(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, -5));
    SHOW(raw, IPPROTO_IPV6, IPV6_CHECKSUM);
    RESULT(send_to6(raw, message, 13));
    drain("none", raw, 0);
    SHOW(raw, IPPROTO_ICMPV6, ICMP6_FILTER);
    close(raw);
}

static void allow(const char *range) {
    int file = open("/proc/sys/net/ipv4/ping_group_range", O_RDWR);
    printf("groups %s: %zd\n", range, write(file, range, strlen(range)));
    char text[64] = {0};
    lseek(file, 0, SEEK_SET);
    ssize_t length = read(file, text, sizeof text - 1);
    printf("%zd %s", length, text);
    close(file);
}

static void echoes(void) {
    unsigned char message[200];
    RESULT(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
    RESULT(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
    allow("5 3");
    allow("0 x");
    allow("0 2147483647\n");
    int one = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), other = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    SHOW(one, SOL_SOCKET, SO_PROTOCOL);
    name_of("name", one, 0);
    struct sockaddr_in address = here;
    address.sin_port = htons(777);
    RESULT(bind(one, (struct sockaddr *)&address, sizeof address));
    name_of("bound", one, 0);
    RESULT(bind(one, (struct sockaddr *)&address, sizeof address));
    RESULT(bind(other, (struct sockaddr *)&address, sizeof address));
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    RESULT(bind(other, (struct sockaddr *)&address, sizeof address));
    size_t length = echo(message, ICMP_ECHO, 0x1234, 1, 20);
    RESULT(send_to(one, message, length));
    drain("another has the same", one, 0);
    drain("the newest", other, 0);
    close(other);
    other = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    RESULT(set(other, SOL_SOCKET, SO_REUSEADDR, 0));
    address.sin_addr = here.sin_addr;
    RESULT(bind(other, (struct sockaddr *)&address, sizeof address));
    RESULT(send(one, message, length, 0));
    RESULT(send_to(one, message, length));
    RESULT(send_to(other, message, length));
    drain("a reply", one, 0);
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    getsockname(other, (struct sockaddr *)&name, &size);
    CHECK(((struct sockaddr_in *)&name)->sin_port != 0);
    RESULT(recv(other, message, sizeof message, 0));
    CHECK(memcmp(message + 4, &((struct sockaddr_in *)&name)->sin_port, 2) == 0);
    message[0] = ICMP_ECHOREPLY;
    RESULT(send_to(one, message, length));
    RESULT(send_to(one, message, 7));
    echo(message, ICMP_ECHO, 0, 2, 0);
    RESULT(connect(one, (struct sockaddr *)&here, sizeof here));
    name_of("to", one, 1);
    RESULT(send(one, message, 8, 0));
    drain("connected", one, 0);
    close(one);
    close(other);
    one = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
    struct sockaddr_in6 own = here6;
    own.sin6_port = htons(778);
    RESULT(bind(one, (struct sockaddr *)&own, sizeof own));
    name_of("bound", one, 0);
    length = echo(message, ICMP6_ECHO_REQUEST, 0x1234, 1, 20);
    RESULT(send_to6(one, message, length));
    drain("a reply", one, 0);
    message[0] = ICMP_ECHO;
    RESULT(send_to6(one, message, length));
    close(one);
}

static void print_link(const struct sockaddr_ll *from, socklen_t length) {
    printf(" family %d protocol %04x interface %d device %d kind %d address", from->sll_family, ntohs(from->sll_protocol),
           from->sll_ifindex, from->sll_hatype, from->sll_pkttype);
    for (int i = 0; i < from->sll_halen; i++)
        printf(" %02x", from->sll_addr[i]);
    printf(" (%u)\n", (unsigned)length);
}

/* Frames that wait: their first bytes, without what differs. */
static void frames(const char *what, int socket, size_t header) {
    static unsigned char bytes[70000];
    printf("%s:\n", what);
    for (;;) {
        struct sockaddr_ll from;
        memset(&from, 0, sizeof from);
        socklen_t length = sizeof from;
        ssize_t count = recvfrom(socket, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &length);
        if (count < 0)
            break;
        printf("  %zd from", count);
        print_link(&from, length);
        if (from.sll_protocol == htons(ETH_P_IP))
            memset(bytes + header + 4, 0, 2), memset(bytes + header + 10, 0, 2);
        /* Labels of flows are Linux's choice. */
        if (from.sll_protocol == htons(ETH_P_IPV6))
            memset(bytes + header + 1, 0, 3);
        printf("   ");
        for (ssize_t i = 0; i < count && i < (ssize_t)header + 24; i++)
            printf(" %02x", bytes[i]);
        printf("\n");
    }
}

static void link_name(int socket) {
    struct sockaddr_ll name;
    memset(&name, 0, sizeof name);
    socklen_t length = sizeof name;
    RESULT(getsockname(socket, (struct sockaddr *)&name, &length));
    print_link(&name, length);
}

static void counts(int socket) {
    struct tpacket_stats counts;
    socklen_t length = sizeof counts;
    RESULT(getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
    printf("%u frames, %u lost\n", counts.tp_packets, counts.tp_drops);
}

static void packets(void) {
    unsigned char message[200], frame[300] = {0};
    RESULT(socket(AF_PACKET, SOCK_STREAM, 0));
    int all = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), ip = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    int none = socket(AF_PACKET, SOCK_RAW, 0), test = socket(AF_PACKET, SOCK_DGRAM, htons(0x88b5));
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    SHOW(all, SOL_SOCKET, SO_PROTOCOL);
    link_name(all);
    int lo = if_nametoindex("lo");
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = lo};
    RESULT(bind(all, (struct sockaddr *)&address, 12));
    RESULT(bind(all, (struct sockaddr *)&address, sizeof address));
    link_name(all);
    address.sll_ifindex = 77;
    RESULT(bind(all, (struct sockaddr *)&address, sizeof address));
    address.sll_family = AF_INET;
    RESULT(bind(all, (struct sockaddr *)&address, sizeof address));
    RESULT(send_to(raw, message, echo(message, ICMP_ECHO, 0x1234, 1, 4)));
    frames("all", all, 14);
    frames("IPv4", ip, 0);
    frames("none", none, 14);
    frames("test", test, 0);
    int raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    RESULT(send_to6(raw6, message, echo(message, ICMP6_ECHO_REQUEST, 0x1234, 1, 4)));
    frames("all", all, 14);
    frames("IPv4", ip, 0);
    /* Frames of a program's own. */
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = lo, .sll_halen = 6};
    RESULT(send(none, frame, 60, 0));
    RESULT(sendto(test, "some data", 9, 0, (struct sockaddr *)&to, sizeof to));
    frames("all", all, 14);
    frames("test", test, 0);
    to.sll_addr[0] = 2;
    RESULT(sendto(test, "to nobody", 9, 0, (struct sockaddr *)&to, sizeof to));
    memset(to.sll_addr, 0xff, 6);
    RESULT(sendto(test, "to everybody", 12, 0, (struct sockaddr *)&to, sizeof to));
    frames("all", all, 14);
    frames("test", test, 0);
    RESULT(sendto(none, frame, 13, 0, (struct sockaddr *)&to, sizeof to));
    /* A packet that this way comes to whoever waits for it. */
    drain("replies so far", raw, 1);
    to.sll_protocol = htons(ETH_P_IP);
    memset(to.sll_addr, 0, 6);
    struct iphdr header = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_ICMP};
    size_t length = echo(message, ICMP_ECHOREPLY, 7, 7, 4);
    header.tot_len = htons(20 + length);
    header.saddr = header.daddr = here.sin_addr.s_addr;
    header.check = sum_of(&header, 20);
    memcpy(frame + 14, &header, 20);
    memcpy(frame + 34, message, length);
    frame[12] = 8;
    RESULT(sendto(none, frame, 34 + length, 0, (struct sockaddr *)&to, sizeof to));
    frames("all", all, 14);
    frames("IPv4", ip, 0);
    /* A filter chooses, and cuts. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHOREPLY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 24),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    RESULT(setsockopt(ip, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    RESULT(send_to(raw, message, echo(message, ICMP_ECHO, 0x1234, 2, 20)));
    frames("IPv4", ip, 0);
    frames("all", all, 14);
    counts(ip);
    counts(all);
    counts(all);
    /* Not more than there is room for. */
    RESULT(set(all, SOL_SOCKET, SO_RCVBUF, 1));
    length = echo(message, ICMP_ECHOREPLY, 0x1234, 2, 100);
    for (int i = 0; i < 100; i++)
        send_to(raw, message, length);
    struct tpacket_stats counted;
    socklen_t size = sizeof counted;
    RESULT(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &counted, &size));
    CHECK(counted.tp_packets == 200 && counted.tp_drops > 150 && counted.tp_drops < 200);
    /* It sees nothing more of that type. */
    frames("full", ip, 0);
    address = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6)};
    RESULT(bind(ip, (struct sockaddr *)&address, sizeof address));
    link_name(ip);
    RESULT(send_to(raw, message, length));
    frames("IPv6", ip, 0);
    RESULT(connect(all, (struct sockaddr *)&address, sizeof address));
    RESULT(listen(all, 1));
    int sockets[] = {all, ip, none, test, raw, raw6};
    for (int i = 0; i < 6; i++)
        close(sockets[i]);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    here6.sin6_addr = in6addr_loopback;
    be_alone();
    kinds();
    packets();
    raw4();
    protocols();
    raw6();
    echoes();
    return 0;
}
