/* Rings of frames (packet_mmap), memberships, auxiliary data, and packets with headers of a program's own. */
#include "alone.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sockaddr_in target = {
    .sin_family = AF_INET, .sin_port = 0x0a0a, .sin_addr.s_addr = 0x0100007f};

static void send_bytes(int udp, size_t length) {
    char data[3000];
    memset(data, 'x', sizeof data);
    if (sendto(udp, data, length, 0, (const struct sockaddr *)&target, sizeof target) < 0)
        perror("sendto");
}

static int option(int fd, int name, int value) {
    return setsockopt(fd, SOL_PACKET, name, &value, sizeof value);
}

static int tap(int version) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (option(fd, PACKET_VERSION, version) != 0)
        perror("version");
    return fd;
}

static void listen_at_loopback(int fd) {
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = 1};
    RESULT(bind(fd, (struct sockaddr *)&address, sizeof address));
}

static void address(const struct sockaddr_ll *one) {
    printf(" protocol %04x interface %d hardware %d kind %d length %d\n", ntohs(one->sll_protocol), one->sll_ifindex,
           one->sll_hatype, one->sll_pkttype, one->sll_halen);
}

static void counts(int fd, size_t size) {
    struct tpacket_stats_v3 counts = {0};
    socklen_t length = size;
    RESULT(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
    printf("%u frames, %u lost, length %u\n", counts.tp_packets, counts.tp_drops, length);
}

static int readable(int fd, int wait) {
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, wait);
}

static void frames(int version) {
    printf("version %d\n", version + 1);
    int fd = tap(version), udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct tpacket_req request = {8192, 2, 2048, 8};
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request - 1));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){8192, 2, 2048, 7}, sizeof request));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){8192, 2, 16, 1024}, sizeof request));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){8193, 2, 2048, 8}, sizeof request));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){8192, 0, 2048, 8}, sizeof request));
    RESULT(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
    printf("%s\n", strerror(errno));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request));
    RESULT(option(fd, PACKET_VERSION, TPACKET_V1));
    RESULT(option(fd, PACKET_RESERVE, 4));
    listen_at_loopback(fd);
    unsigned char *ring = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(ring != MAP_FAILED);
    RESULT(readable(fd, 0));
    size_t lengths[] = {10, 1000, 1936, 1937, 2500};
    for (int i = 0; i < 5; i++) {
        send_bytes(udp, lengths[i]);
        RESULT(readable(fd, 1000));
    }
    /* Each is seen twice: as it goes, and as it comes. */
    for (int i = 0; i < 8; i++) {
        unsigned char *frame = ring + i * 2048;
        struct tpacket_hdr *one = (struct tpacket_hdr *)frame;
        struct tpacket2_hdr *two = (struct tpacket2_hdr *)frame;
        unsigned mac = version == TPACKET_V1 ? one->tp_mac : two->tp_mac, times;
        if (version == TPACKET_V1) {
            printf("status %lx of %u are %u from %u and %u on", one->tp_status & ~TP_STATUS_CSUMNOTREADY, one->tp_len,
                   one->tp_snaplen, one->tp_mac, one->tp_net);
            times = one->tp_sec > 1000000000 && one->tp_usec < 1000000;
        } else {
            printf("status %x of %u are %u from %u and %u on", two->tp_status & ~TP_STATUS_CSUMNOTREADY, two->tp_len,
                   two->tp_snaplen, two->tp_mac, two->tp_net);
            times = two->tp_sec > 1000000000 && two->tp_nsec < 1000000000;
        }
        printf(" time %u type %02x%02x last %c\n", times, frame[mac + 12], frame[mac + 13],
               frame[mac + (version == TPACKET_V1 ? one->tp_snaplen : two->tp_snaplen) - 1]);
        address((struct sockaddr_ll *)(frame + 32));
    }
    counts(fd, sizeof(struct tpacket_stats));
    send_bytes(udp, 1);
    counts(fd, sizeof(struct tpacket_stats));
    for (int i = 0; i < 8; i++)
        *(volatile unsigned *)(ring + i * 2048) = TP_STATUS_KERNEL;
    RESULT(readable(fd, 0));
    send_bytes(udp, 5);
    printf("status %x %x\n", *(volatile unsigned *)ring & ~TP_STATUS_CSUMNOTREADY, *(volatile unsigned *)(ring + 4096));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){0}, sizeof request));
    munmap(ring, 16384);
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){0}, sizeof request));
    RESULT(option(fd, PACKET_VERSION, TPACKET_V1));
    close(udp);
    close(fd);
}

/* Blocks become the program's when they are full, or after 100 ms. */
static void blocks(void) {
    printf("version 3\n");
    int fd = tap(TPACKET_V3), udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct tpacket_req3 request = {8192, 3, 2048, 12, 100, 0, 0};
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(struct tpacket_req)));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request));
    unsigned char *ring = mmap(NULL, 3 * 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(ring != MAP_FAILED);
    listen_at_loopback(fd);
    send_bytes(udp, 10);
    RESULT(readable(fd, 2000));
    for (int i = 0; i < 3; i++)
        send_bytes(udp, 3000);
    RESULT(readable(fd, 2000));
    usleep(300000);
    for (int block = 0; block < 3; block++) {
        struct tpacket_block_desc *one = (struct tpacket_block_desc *)(ring + block * 8192);
        struct tpacket_hdr_v1 *header = &one->hdr.bh1;
        printf("block %d status %x: %u frames from %u on, length %u\n", block, header->block_status, header->num_pkts,
               header->offset_to_first_pkt, header->blk_len);
        if (!header->block_status)
            continue;
        printf("number %llu version %u own %u\n", (unsigned long long)header->seq_num, one->version, one->offset_to_priv);
        unsigned char *frame = (unsigned char *)one + header->offset_to_first_pkt;
        for (unsigned i = 0; i < header->num_pkts; i++) {
            struct tpacket3_hdr *packet = (struct tpacket3_hdr *)frame;
            printf("next %u: %u of %u from %u and %u on, status %x, last %c\n", packet->tp_next_offset,
                   packet->tp_snaplen, packet->tp_len, packet->tp_mac, packet->tp_net,
                   packet->tp_status & ~TP_STATUS_CSUMNOTREADY, frame[packet->tp_mac + packet->tp_snaplen - 1]);
            address((struct sockaddr_ll *)(frame + 48));
            frame += packet->tp_next_offset;
        }
    }
    counts(fd, sizeof(struct tpacket_stats_v3));
    close(udp);
    close(fd);
}

static void auxiliary(void) {
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)), udp = socket(AF_INET, SOCK_DGRAM, 0);
    RESULT(option(fd, PACKET_AUXDATA, 1));
    send_bytes(udp, 100);
    char data[50], control[100];
    struct iovec vector = {data, sizeof data};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    RESULT(recvmsg(fd, &message, MSG_TRUNC));
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    if (first) {
        struct tpacket_auxdata *told = (struct tpacket_auxdata *)CMSG_DATA(first);
        printf("level %d kind %d length %zu status %x of %u are %u from %u and %u on\n", first->cmsg_level,
               first->cmsg_type, first->cmsg_len, told->tp_status & ~TP_STATUS_CSUMNOTREADY, told->tp_len,
               told->tp_snaplen, told->tp_mac, told->tp_net);
    }
    for (int version = 0; version < 4; version++) {
        int value = version;
        socklen_t length = sizeof value;
        RESULT(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length));
        printf("%d\n", value);
    }
    int short_value = 0;
    socklen_t length = 2;
    RESULT(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &short_value, &length));
    RESULT(option(fd, PACKET_IGNORE_OUTGOING, 2));
    RESULT(option(fd, 1000, 1));
    close(udp);
    close(fd);
}

static void memberships(void) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct packet_mreq all = {.mr_ifindex = 1, .mr_type = PACKET_MR_PROMISC};
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, 15));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &all, sizeof all));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &all, sizeof all));
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &all, sizeof all));
    struct packet_mreq group = {.mr_ifindex = 1, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 4};
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group));
    group.mr_alen = 7;
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group));
    group.mr_ifindex = 99;
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group));
    close(fd);
}

/* Frames that a program puts into memory, and the kernel sends. */
static void sending(int version) {
    printf("sending with version %d\n", version + 1);
    int fd = tap(version), seen = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct tpacket_req request = {4096, 1, 1024, 4};
    RESULT(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request));
    struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_ifindex = 1};
    RESULT(bind(fd, (struct sockaddr *)&place, sizeof place));
    unsigned char *ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 0; i < 3; i++) {
        unsigned char *frame = ring + i * 1024, *data = frame + 32;
        memset(data, 0, 12);
        data[12] = 0x88, data[13] = 0xb5;
        memset(data + 14, 'a' + i, 100);
        unsigned length = i == 2 ? 2000 : 60 + i;
        if (version == TPACKET_V1) {
            ((struct tpacket_hdr *)frame)->tp_len = length;
            ((struct tpacket_hdr *)frame)->tp_status = TP_STATUS_SEND_REQUEST;
        } else {
            ((struct tpacket2_hdr *)frame)->tp_len = length;
            ((struct tpacket2_hdr *)frame)->tp_status = TP_STATUS_SEND_REQUEST;
        }
    }
    RESULT(send(fd, NULL, 0, 0));
    usleep(10000);
    for (int i = 0; i < 4; i++)
        printf("status %x\n", *(volatile unsigned *)(ring + i * 1024));
    char data[2000];
    ssize_t length;
    while ((length = recv(seen, data, sizeof data, MSG_DONTWAIT)) > 0)
        printf("%zd bytes, last %c\n", length, data[length - 1]);
    close(fd);
    close(seen);
}

static void own_headers(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), value = -1;
    socklen_t size = sizeof value;
    struct sockaddr_in own = target;
    RESULT(bind(udp, (struct sockaddr *)&own, sizeof own));
    RESULT(getsockopt(raw, IPPROTO_IP, IP_HDRINCL, &value, &size));
    printf("%d\n", value);
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char data[12];
    } packet = {
        .ip = {.version = 4, .ihl = 5, .ttl = 33, .protocol = IPPROTO_UDP, .daddr = target.sin_addr.s_addr},
        .udp = {.source = htons(1234), .dest = target.sin_port, .len = htons(20)},
        .data = "own header",
    };
    RESULT(sendto(raw, &packet, sizeof packet, 0, (const struct sockaddr *)&target, sizeof target));
    char data[100];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    RESULT(recvfrom(udp, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &length));
    printf("%s from %s %d\n", data, inet_ntoa(from.sin_addr), ntohs(from.sin_port));
    packet.ip.saddr = htonl(0x7f010203);
    RESULT(sendto(raw, &packet, sizeof packet, 0, (const struct sockaddr *)&target, sizeof target));
    RESULT(recvfrom(udp, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &length));
    printf("from %s\n", inet_ntoa(from.sin_addr));
    RESULT(sendto(raw, &packet, 19, 0, (const struct sockaddr *)&target, sizeof target));
    packet.ip.ihl = 15;
    RESULT(sendto(raw, &packet, sizeof packet, 0, (const struct sockaddr *)&target, sizeof target));
    RESULT(send(raw, &packet, sizeof packet, 0));
    static char large[65536 + 1];
    RESULT(sendto(raw, large, sizeof large, 0, (const struct sockaddr *)&target, sizeof target));
    RESULT(recv(raw, data, sizeof data, MSG_DONTWAIT));
    close(raw);
    raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
    value = 1;
    RESULT(setsockopt(raw, IPPROTO_IP, IP_HDRINCL, &value, sizeof value));
    RESULT(setsockopt(udp, IPPROTO_IP, IP_HDRINCL, &value, sizeof value));
    packet.ip.ihl = 5;
    packet.ip.saddr = 0;
    RESULT(sendto(raw, &packet, sizeof packet, 0, (const struct sockaddr *)&target, sizeof target));
    RESULT(recv(udp, data, sizeof data, MSG_DONTWAIT));
    length = recv(raw, data, sizeof data, MSG_DONTWAIT);
    struct iphdr *seen = (struct iphdr *)data;
    printf("%d bytes, total %d, hops %d, number %d, checksum %d\n", (int)length, ntohs(seen->tot_len), seen->ttl,
           seen->id != 0, seen->check != 0);
    close(raw);
    raw = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
    int udp6 = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = target.sin_port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    RESULT(bind(udp6, (struct sockaddr *)&six, sizeof six));
    RESULT(getsockopt(raw, IPPROTO_IPV6, 36, &value, &size));
    printf("%d\n", value);
    struct {
        struct ip6_hdr ip;
        char data[30];
    } packet6 = {.ip = {.ip6_dst = IN6ADDR_LOOPBACK_INIT, .ip6_src = IN6ADDR_LOOPBACK_INIT}};
    packet6.ip.ip6_flow = htonl(6u << 28);
    packet6.ip.ip6_plen = htons(30);
    packet6.ip.ip6_nxt = 59;
    packet6.ip.ip6_hlim = 9;
    int none = socket(AF_INET6, SOCK_RAW, 59);
    six.sin6_port = 0;
    RESULT(sendto(raw, &packet6, sizeof packet6, 0, (struct sockaddr *)&six, sizeof six));
    RESULT(sendto(raw, &packet6, 39, 0, (struct sockaddr *)&six, sizeof six));
    RESULT(recv(none, data, sizeof data, MSG_DONTWAIT));
    close(none);
    close(raw);
    close(udp);
    close(udp6);
}

int main(void) {
    be_alone();
    frames(TPACKET_V1);
    frames(TPACKET_V2);
    blocks();
    auxiliary();
    memberships();
    sending(TPACKET_V1);
    sending(TPACKET_V2);
    own_headers();
    return 0;
}
