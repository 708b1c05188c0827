/* Changes of interfaces, addresses and routes by netlink, as ip(8) asks for them, and sockets as ss(8) asks for them. */
#include "check.h"
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int netlink;
static struct {
    struct nlmsghdr header;
    char rest[500];
} request;

static void begin(int kind, int flags, const void *body, size_t length) {
    memset(&request, 0, sizeof request);
    request.header.nlmsg_type = kind;
    request.header.nlmsg_flags = NLM_F_REQUEST | flags;
    request.header.nlmsg_len = NLMSG_LENGTH(length);
    memcpy(NLMSG_DATA(&request.header), body, length);
}

static void add(int kind, const void *value, size_t length) {
    struct rtattr *attribute = (struct rtattr *)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len));
    attribute->rta_type = kind;
    attribute->rta_len = RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), value, length);
    request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + RTA_LENGTH(length);
}

static void number(int kind, unsigned value) {
    add(kind, &value, sizeof value);
}

/* Sends the request and gives the answer's error. */
static int ask(void) {
    char answer[4096];
    request.header.nlmsg_flags |= NLM_F_ACK;
    if (send(netlink, &request, request.header.nlmsg_len, 0) < 0)
        return -errno;
    ssize_t length = recv(netlink, answer, sizeof answer, 0);
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if (length < (ssize_t)sizeof *header || header->nlmsg_type != NLMSG_ERROR)
        return 1;
    return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
}

#define ASK(what) printf("%s: %s\n", what, strerror(-ask()))

static void address_request(int kind, int flags, int family, const char *text, int prefix, int index) {
    struct ifaddrmsg message = {.ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = index};
    unsigned char bytes[16];
    size_t length = family == AF_INET ? 4 : 16;
    inet_pton(family, text, bytes);
    begin(kind, flags, &message, sizeof message);
    add(IFA_LOCAL, bytes, length);
    add(IFA_ADDRESS, bytes, length);
}

static void route_request(int kind, int flags, int family, const char *network, int prefix, const char *gateway, int index) {
    struct rtmsg message = {.rtm_family = family, .rtm_dst_len = prefix, .rtm_table = RT_TABLE_MAIN,
                            .rtm_protocol = RTPROT_BOOT, .rtm_type = kind == RTM_NEWROUTE ? RTN_UNICAST : 0,
                            .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : kind == RTM_NEWROUTE ? RT_SCOPE_LINK : RT_SCOPE_NOWHERE};
    unsigned char bytes[16];
    size_t length = family == AF_INET ? 4 : 16;
    begin(kind, flags, &message, sizeof message);
    if (prefix) {
        inet_pton(family, network, bytes);
        add(RTA_DST, bytes, length);
    }
    if (gateway) {
        inet_pton(family, gateway, bytes);
        add(RTA_GATEWAY, bytes, length);
    }
    if (index)
        number(RTA_OIF, index);
}

static void can_use(const char *text) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET};
    inet_pton(AF_INET, text, &own.sin_addr);
    printf("%s as an address: %s\n", text, bind(fd, (struct sockaddr *)&own, sizeof own) ? strerror(errno) : "usable");
    close(fd);
}

static void can_reach(const char *text) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = 9};
    inet_pton(AF_INET, text, &peer.sin_addr);
    printf("%s as a peer: %s\n", text, connect(fd, (struct sockaddr *)&peer, sizeof peer) ? strerror(errno) : "reached");
    close(fd);
}

static void flags(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq lo = {.ifr_name = "lo"};
    RESULT(ioctl(fd, SIOCGIFFLAGS, &lo));
    printf("up %d running %d\n", !!(lo.ifr_flags & IFF_UP), !!(lo.ifr_flags & IFF_RUNNING));
    RESULT(ioctl(fd, SIOCGIFMTU, &lo));
    printf("mtu %d\n", lo.ifr_mtu);
    close(fd);
}

static void link_request(unsigned flags, unsigned change, int index) {
    struct ifinfomsg message = {.ifi_index = index, .ifi_flags = flags, .ifi_change = change};
    begin(RTM_NEWLINK, 0, &message, sizeof message);
}

static void links(void) {
    link_request(IFF_UP, IFF_UP, 1);
    ASK("up");
    flags();
    link_request(0, 0, 1);
    number(IFLA_MTU, 1400);
    ASK("mtu");
    flags();
    link_request(0, 0, 1);
    number(IFLA_MTU, 65536);
    ASK("mtu as before");
    link_request(0, IFF_UP, 1);
    ASK("down");
    flags();
    can_use("127.0.0.1");
    link_request(IFF_UP, IFF_UP, 1);
    ASK("up");
    can_use("127.0.0.1");
    link_request(IFF_UP, IFF_UP, 99);
    ASK("up, another one");
    struct ifreq lo = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    RESULT(ioctl(fd, SIOCSIFFLAGS, &lo));
    flags();
    lo.ifr_flags = IFF_UP;
    RESULT(ioctl(fd, SIOCSIFFLAGS, &lo));
    lo.ifr_mtu = 2000;
    RESULT(ioctl(fd, SIOCSIFMTU, &lo));
    flags();
    lo.ifr_mtu = 65536;
    RESULT(ioctl(fd, SIOCSIFMTU, &lo));
    close(fd);
}

static void addresses(void) {
    const int new = NLM_F_CREATE | NLM_F_EXCL;
    can_use("10.9.1.1");
    address_request(RTM_NEWADDR, new, AF_INET, "10.9.1.1", 32, 1);
    ASK("add");
    can_use("10.9.1.1");
    can_reach("10.9.1.1");
    address_request(RTM_NEWADDR, new, AF_INET, "10.9.1.1", 32, 1);
    ASK("again");
    address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, AF_INET, "10.9.1.1", 32, 1);
    ASK("replace");
    address_request(RTM_NEWADDR, new, AF_INET, "10.9.1.1", 33, 1);
    ASK("prefix");
    address_request(RTM_NEWADDR, new, AF_INET, "10.9.1.2", 32, 99);
    ASK("interface");
    address_request(RTM_DELADDR, 0, AF_INET, "10.9.1.1", 31, 1);
    ASK("remove with another prefix");
    address_request(RTM_DELADDR, 0, AF_INET, "10.9.1.1", 32, 1);
    ASK("remove");
    address_request(RTM_DELADDR, 0, AF_INET, "10.9.1.1", 32, 1);
    ASK("remove again");
    can_use("10.9.1.1");
    address_request(RTM_NEWADDR, new, AF_INET6, "fd99::1", 128, 1);
    ASK("add fd99::1");
    address_request(RTM_DELADDR, 0, AF_INET6, "fd99::1", 128, 1);
    ASK("remove fd99::1");
}

static void routes(void) {
    const int new = NLM_F_CREATE | NLM_F_EXCL;
    can_reach("10.9.2.1");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.2.0", 24, NULL, 1);
    ASK("add");
    can_reach("10.9.2.1");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.2.0", 24, NULL, 1);
    ASK("again");
    route_request(RTM_NEWROUTE, NLM_F_REPLACE, AF_INET, "10.9.3.0", 24, NULL, 1);
    ASK("replace what is not there");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.2.1", 24, NULL, 1);
    ASK("bits behind the network");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.3.0", 24, NULL, 99);
    ASK("interface");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.3.0", 24, "10.77.7.7", 0);
    ASK("a router far away");
    route_request(RTM_NEWROUTE, new, AF_INET, "10.9.3.0", 24, NULL, 0);
    ASK("no way");
    route_request(RTM_DELROUTE, 0, AF_INET, "10.9.2.0", 23, NULL, 0);
    ASK("remove another one");
    route_request(RTM_DELROUTE, 0, AF_INET, "10.9.2.0", 24, NULL, 0);
    ASK("remove");
    route_request(RTM_DELROUTE, 0, AF_INET, "10.9.2.0", 24, NULL, 0);
    ASK("remove again");
    can_reach("10.9.2.1");
}

static unsigned inode(int fd) {
    struct stat status;
    fstat(fd, &status);
    return status.st_ino;
}

static void shown(int number, unsigned which, const char *what, int protocol, int family) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } dump = {{sizeof dump, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
              {.sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = -1, .idiag_ext = 1 << (INET_DIAG_CONG - 1)}};
    if (send(number, &dump, sizeof dump, 0) < 0)
        perror("send");
    char answer[8192];
    for (;;) {
        ssize_t length = recv(number, answer, sizeof answer, 0);
        for (struct nlmsghdr *one = (struct nlmsghdr *)answer; NLMSG_OK(one, length); one = NLMSG_NEXT(one, length)) {
            if (one->nlmsg_type == NLMSG_DONE) {
                if (*(int *)NLMSG_DATA(one))
                    printf("%s ends: %s\n", what, strerror(-*(int *)NLMSG_DATA(one)));
                return;
            }
            if (one->nlmsg_type == NLMSG_ERROR) {
                printf("%s: %s\n", what, strerror(-((struct nlmsgerr *)NLMSG_DATA(one))->error));
                return;
            }
            struct inet_diag_msg *told = NLMSG_DATA(one);
            if (told->idiag_inode != which)
                continue;
            printf("%s: family %d state %d ports %d %d, %u to receive, %u to send, address %x:%x", what,
                   told->idiag_family, told->idiag_state, told->id.idiag_sport != 0, told->id.idiag_dport != 0,
                   told->idiag_rqueue, told->idiag_wqueue, told->id.idiag_src[0], told->id.idiag_dst[0]);
            int rest = one->nlmsg_len - NLMSG_LENGTH(sizeof *told);
            for (struct rtattr *attribute = (struct rtattr *)(told + 1); RTA_OK(attribute, rest);
                 attribute = RTA_NEXT(attribute, rest)) {
                if (attribute->rta_type == INET_DIAG_SHUTDOWN)
                    printf(" shut %d", *(char *)RTA_DATA(attribute));
                if (attribute->rta_type == INET_DIAG_SKV6ONLY)
                    printf(" only %d", *(char *)RTA_DATA(attribute));
                if (attribute->rta_type == INET_DIAG_CONG)
                    printf(" %s", *(char *)RTA_DATA(attribute) ? "congestion" : "");
            }
            printf("\n");
        }
    }
}

static void sockets(void) {
    int diagnosis = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
    CHECK(diagnosis >= 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 7);
    getsockname(listener, (struct sockaddr *)&own, &length);
    shown(diagnosis, inode(listener), "listener", IPPROTO_TCP, AF_INET);
    connect(client, (struct sockaddr *)&own, sizeof own);
    shown(diagnosis, inode(listener), "listener", IPPROTO_TCP, AF_INET);
    int server = accept(listener, NULL, NULL);
    RESULT(write(client, "12345", 5));
    usleep(100000);
    shown(diagnosis, inode(server), "server", IPPROTO_TCP, AF_INET);
    shutdown(client, SHUT_WR);
    usleep(100000);
    shown(diagnosis, inode(client), "client", IPPROTO_TCP, AF_INET);
    int udp = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    bind(udp, (struct sockaddr *)&any, sizeof any);
    shown(diagnosis, inode(udp), "datagrams", IPPROTO_UDP, AF_INET6);
    shown(diagnosis, 0, "another protocol", 99, AF_INET);
    close(udp), close(server), close(client), close(listener), close(diagnosis);
}

/* Without the right to it nothing changes. */
static void without_right(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    RESULT(syscall(SYS_capset, &header, none));
    link_request(0, IFF_UP, 1);
    ASK("down");
    address_request(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "10.9.1.1", 32, 1);
    ASK("add an address");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq lo = {.ifr_name = "lo"};
    RESULT(ioctl(fd, SIOCSIFFLAGS, &lo));
    close(fd);
}

int main(void) {
    /* On Linux it has a network of its own. */
    unshare(CLONE_NEWNET);
    netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    links();
    addresses();
    routes();
    sockets();
    without_right();
    return 0;
}
