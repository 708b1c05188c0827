/* The interface by which a machine talks to itself, as every way of asking tells it. */
#include "check.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void by_library(void) {
    struct ifaddrs *list = NULL;
    RESULT(getifaddrs(&list));
    for (struct ifaddrs *one = list; one; one = one->ifa_next) {
        if (strcmp(one->ifa_name, "lo") != 0 || !one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
            continue;
        char text[3][INET_ADDRSTRLEN] = {""};
        inet_ntop(AF_INET, &((struct sockaddr_in *)one->ifa_addr)->sin_addr, text[0], sizeof text[0]);
        inet_ntop(AF_INET, &((struct sockaddr_in *)one->ifa_netmask)->sin_addr, text[1], sizeof text[1]);
        printf("%s %s %s %#x\n", one->ifa_name, text[0], text[1], one->ifa_flags);
    }
    freeifaddrs(list);
    struct if_nameindex *names = if_nameindex();
    printf("%u %s\n", names[0].if_index, names[0].if_name);
    if_freenameindex(names);
    char name[IF_NAMESIZE] = "";
    printf("%u %u %s\n", if_nametoindex("lo"), if_nametoindex("no such"), if_indextoname(1, name));
    errno = 0;
    printf("%d\n", if_indextoname(12345, name) == NULL);
    printf("%s\n", strerror(errno));
}

static void control(int socket, const char *what, unsigned long request, const char *name, int bytes) {
    struct ifreq asked = {0};
    snprintf(asked.ifr_name, sizeof asked.ifr_name, "%s", name);
    int result = ioctl(socket, request, &asked);
    printf("%s %s: %d, %s:", what, name, result, result == 0 ? "" : strerror(errno));
    for (int i = 0; result == 0 && i < bytes; i++)
        printf(" %02x", ((unsigned char *)&asked.ifr_ifru)[i]);
    printf("\n");
    errno = 0;
}

#define CONTROL(request, name, bytes) control(socket_, #request, request, name, bytes)

static void by_control(int family) {
    int socket_ = socket(family, SOCK_DGRAM, 0);
    CONTROL(SIOCGIFFLAGS, "lo", 2);
    CONTROL(SIOCGIFADDR, "lo", 8);
    CONTROL(SIOCGIFNETMASK, "lo", 8);
    CONTROL(SIOCGIFBRDADDR, "lo", 8);
    CONTROL(SIOCGIFDSTADDR, "lo", 8);
    CONTROL(SIOCGIFMTU, "lo", 4);
    CONTROL(SIOCGIFMETRIC, "lo", 4);
    CONTROL(SIOCGIFHWADDR, "lo", 8);
    CONTROL(SIOCGIFTXQLEN, "lo", 4);
    CONTROL(SIOCGIFINDEX, "lo", 4);
    CONTROL(SIOCGIFMTU, "lo:1", 4);
    CONTROL(SIOCGIFFLAGS, "absent", 2);
    CONTROL(SIOCGIFADDR, "absent", 2);
    CONTROL(SIOCGIFINDEX, "", 2);
    struct ifreq asked = {.ifr_ifindex = 1};
    RESULT(ioctl(socket_, SIOCGIFNAME, &asked));
    printf("%s\n", asked.ifr_name);
    asked.ifr_ifindex = 0;
    RESULT(ioctl(socket_, SIOCGIFNAME, &asked));
    RESULT(ioctl(socket_, SIOCGIFNAME, NULL));
    struct ifreq list[32];
    struct ifconf all = {.ifc_len = sizeof list, .ifc_req = list};
    RESULT(ioctl(socket_, SIOCGIFCONF, &all));
    for (int i = 0; i < all.ifc_len / (int)sizeof *list; i++)
        if (strcmp(list[i].ifr_name, "lo") == 0)
            printf("lo: %s\n", inet_ntoa(((struct sockaddr_in *)&list[i].ifr_addr)->sin_addr));
    int needed = all.ifc_len;
    all = (struct ifconf){0};
    RESULT(ioctl(socket_, SIOCGIFCONF, &all));
    CHECK(all.ifc_len == needed);
    all = (struct ifconf){.ifc_len = 39, .ifc_req = list};
    RESULT(ioctl(socket_, SIOCGIFCONF, &all));
    printf("%d\n", all.ifc_len);
    struct ifreq nobody = {.ifr_name = "absent"};
    RESULT(ioctl(socket_, 0x89ff, &nobody));
    RESULT(ioctl(socket_, 0x8950, &nobody));
    close(socket_);
}

static int netlink(void) {
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    socklen_t length = sizeof own;
    RESULT(getsockname(link, (struct sockaddr *)&own, &length));
    printf("%d %d %d\n", length, own.nl_family, own.nl_pid);
    RESULT(bind(link, (struct sockaddr *)&own, sizeof own));
    RESULT(getsockname(link, (struct sockaddr *)&own, &length));
    CHECK(own.nl_pid != 0);
    return link;
}

/* Sends a request and prints what comes, of interfaces only the first. */
static void ask(int link, const char *what, int kind, int flags, const void *body, int bytes) {
    struct {
        struct nlmsghdr header;
        char body[256];
    } request = {.header = {NLMSG_LENGTH(bytes), kind, flags, 42, 0}};
    memcpy(request.body, body, bytes);
    printf("%s: sent %d", what, send(link, &request, request.header.nlmsg_len, 0) == request.header.nlmsg_len);
    struct pollfd poller = {link, POLLIN, 0};
    for (int ended = 0; !ended;) {
        if (poll(&poller, 1, 200) == 0) {
            printf(", silence");
            break;
        }
        static char answer[65536];
        struct sockaddr_nl from;
        struct iovec piece = {answer, sizeof answer};
        struct msghdr message = {&from, sizeof from, &piece, 1, NULL, 0, 0};
        int length = recvmsg(link, &message, 0);
        if (length < 0) {
            printf(", %s", strerror(errno));
            break;
        }
        if (message.msg_namelen != sizeof from || from.nl_family != AF_NETLINK || from.nl_pid || message.msg_flags)
            printf(", strange sender");
        struct sockaddr_nl own;
        socklen_t own_length = sizeof own;
        getsockname(link, (struct sockaddr *)&own, &own_length);
        for (struct nlmsghdr *one = (void *)answer; NLMSG_OK(one, length); one = NLMSG_NEXT(one, length)) {
            if (one->nlmsg_seq != 42 || one->nlmsg_pid != own.nl_pid)
                printf(", strange message");
            ended = !(one->nlmsg_flags & NLM_F_MULTI) || one->nlmsg_type == NLMSG_DONE;
            if (one->nlmsg_type == NLMSG_ERROR) {
                struct nlmsgerr *error = NLMSG_DATA(one);
                printf(", error %s for %d, %u bytes, flags %#x", strerror(-error->error), error->msg.nlmsg_type,
                       one->nlmsg_len, one->nlmsg_flags);
            } else if (one->nlmsg_type == NLMSG_DONE) {
                printf(", done %d, %u bytes", *(int *)NLMSG_DATA(one), one->nlmsg_len);
            } else if (one->nlmsg_type == RTM_NEWLINK) {
                struct ifinfomsg *interface = NLMSG_DATA(one);
                if (interface->ifi_index != 1)
                    continue;
                printf(", interface %d type %d flags %#x", interface->ifi_index, interface->ifi_type,
                       interface->ifi_flags);
                int rest = IFLA_PAYLOAD(one);
                for (struct rtattr *part = IFLA_RTA(interface); RTA_OK(part, rest); part = RTA_NEXT(part, rest)) {
                    if (part->rta_type == IFLA_IFNAME || part->rta_type == IFLA_QDISC)
                        printf(", %s", (char *)RTA_DATA(part));
                    if (part->rta_type == IFLA_MTU || part->rta_type == IFLA_TXQLEN)
                        printf(", %u", *(unsigned *)RTA_DATA(part));
                    if (part->rta_type == IFLA_OPERSTATE || part->rta_type == IFLA_CARRIER)
                        printf(", %u", *(unsigned char *)RTA_DATA(part));
                    if (part->rta_type == IFLA_ADDRESS || part->rta_type == IFLA_BROADCAST)
                        printf(", %ld zeroes", RTA_PAYLOAD(part));
                    if (part->rta_type == IFLA_STATS || part->rta_type == IFLA_STATS64)
                        printf(", counts %d", RTA_PAYLOAD(part) >= 23 * (part->rta_type == IFLA_STATS ? 4 : 8));
                }
            } else if (one->nlmsg_type == RTM_NEWADDR) {
                struct ifaddrmsg *address = NLMSG_DATA(one);
                if (address->ifa_index != 1 || address->ifa_family != AF_INET)
                    continue;
                printf(", address /%d flags %#x scope %d", address->ifa_prefixlen, address->ifa_flags,
                       address->ifa_scope);
                int rest = IFA_PAYLOAD(one);
                for (struct rtattr *part = IFA_RTA(address); RTA_OK(part, rest); part = RTA_NEXT(part, rest))
                    printf(" %d:%ld", part->rta_type, RTA_PAYLOAD(part));
            } else if (one->nlmsg_type == RTM_NEWROUTE) {
                struct rtmsg *route = NLMSG_DATA(one);
                int rest = RTM_PAYLOAD(one), interface = 0;
                char to[INET_ADDRSTRLEN] = "", source[INET_ADDRSTRLEN] = "";
                for (struct rtattr *part = RTM_RTA(route); RTA_OK(part, rest); part = RTA_NEXT(part, rest)) {
                    if (part->rta_type == RTA_DST)
                        inet_ntop(AF_INET, RTA_DATA(part), to, sizeof to);
                    if (part->rta_type == RTA_PREFSRC)
                        inet_ntop(AF_INET, RTA_DATA(part), source, sizeof source);
                    if (part->rta_type == RTA_OIF)
                        interface = *(int *)RTA_DATA(part);
                }
                if (interface == 1 && route->rtm_type == RTN_LOCAL)
                    printf(", route %s/%d table %d scope %d source %s flags %#x", to, route->rtm_dst_len,
                           route->rtm_table, route->rtm_scope, source, route->rtm_flags & RTM_F_CLONED);
            }
        }
    }
    printf("\n");
}

#define ASK(kind, flags, body) ask(link, #kind " " #flags, kind, (flags) | NLM_F_REQUEST, &body, sizeof body)

static void by_netlink(void) {
    int link = netlink();
    struct ifinfomsg any = {0}, first = {.ifi_index = 1}, absent = {.ifi_index = 12345};
    struct ifaddrmsg internet = {.ifa_family = AF_INET};
    struct rtmsg routes = {.rtm_family = AF_INET};
    struct rtgenmsg only_family = {AF_INET};
    ASK(RTM_GETLINK, NLM_F_DUMP, any);
    ASK(RTM_GETLINK, 0, first);
    ASK(RTM_GETLINK, NLM_F_ACK, absent);
    ASK(RTM_GETLINK, 0, any);
    ASK(RTM_GETADDR, NLM_F_DUMP, internet);
    ASK(RTM_GETADDR, NLM_F_DUMP, only_family);
    ASK(RTM_GETROUTE, NLM_F_DUMP, routes);
    struct {
        struct rtmsg message;
        struct rtattr attribute;
        struct in_addr to;
    } route = {{.rtm_family = AF_INET}, {8, RTA_DST}, {htonl(0x7f010203)}};
    ASK(RTM_GETROUTE, 0, route);
    ASK(1000, NLM_F_ACK, any);
    ASK(RTM_MAX + 1, 0, any);
    ASK(NLMSG_NOOP, NLM_F_ACK, any);
    struct {
        struct ifinfomsg message;
        struct rtattr attribute;
        char name[4];
    } named = {{0}, {7, IFLA_IFNAME}, "lo"};
    ASK(RTM_GETLINK, 0, named);
    memcpy(named.name, "nn", 2);
    ASK(RTM_GETLINK, 0, named);
    ask(link, "no request", RTM_GETLINK, NLM_F_ACK, &any, sizeof any);
    ask(link, "empty", RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, &any, 0);
    int on = 1;
    RESULT(setsockopt(link, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on));
    ASK(RTM_GETLINK, 0, absent);
    RESULT(setsockopt(link, SOL_NETLINK, 99, &on, sizeof on));
    RESULT(setsockopt(link, SOL_NETLINK, NETLINK_CAP_ACK, &on, 1));
    on = RTNLGRP_IPV4_IFADDR;
    RESULT(setsockopt(link, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &on, sizeof on));
    on = 1000;
    RESULT(setsockopt(link, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &on, sizeof on));
    struct sockaddr_nl own;
    socklen_t length = sizeof own;
    getsockname(link, (struct sockaddr *)&own, &length);
    printf("groups %#x\n", own.nl_groups);
    /* Lengths that can't be: nothing is answered, nothing breaks. */
    struct nlmsghdr wrong = {.nlmsg_len = 5, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
    RESULT(send(link, &wrong, sizeof wrong, 0));
    wrong.nlmsg_len = 1000000;
    RESULT(send(link, &wrong, sizeof wrong, 0));
    RESULT(send(link, &wrong, 7, 0));
    char byte;
    RESULT(recv(link, &byte, 1, MSG_DONTWAIT));
    /* What does not fit is cut. */
    struct {
        struct nlmsghdr header;
        struct ifinfomsg message;
    } link_one = {{sizeof link_one, RTM_GETLINK, NLM_F_REQUEST, 1, 0}, {.ifi_index = 1}};
    RESULT(send(link, &link_one, sizeof link_one, 0));
    char part[16];
    struct iovec piece = {part, sizeof part};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    CHECK(recv(link, part, sizeof part, MSG_PEEK | MSG_TRUNC) > 400);
    RESULT(recvmsg(link, &message, 0));
    printf("flags %#x\n", message.msg_flags);
    RESULT(recv(link, part, sizeof part, MSG_DONTWAIT));
    struct sockaddr_nl nobody = {.nl_family = AF_NETLINK, .nl_pid = 77777};
    RESULT(sendto(link, part, sizeof part, 0, (struct sockaddr *)&nobody, sizeof nobody));
    nobody.nl_family = AF_INET;
    RESULT(sendto(link, part, sizeof part, 0, (struct sockaddr *)&nobody, sizeof nobody));
    RESULT(sendto(link, part, sizeof part, 0, (struct sockaddr *)&nobody, 8));
    RESULT(listen(link, 1));
    RESULT(shutdown(link, SHUT_RD));
    RESULT(getpeername(link, (struct sockaddr *)&own, &length));
    int second = netlink();
    struct sockaddr_nl other;
    getsockname(second, (struct sockaddr *)&other, &length);
    getsockname(link, (struct sockaddr *)&own, &length);
    CHECK(own.nl_pid != other.nl_pid);
    int third = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    RESULT(bind(third, (struct sockaddr *)&own, sizeof own));
    int value;
    length = sizeof value;
    RESULT(getsockopt(third, SOL_SOCKET, SO_DOMAIN, &value, &length));
    printf("%d\n", value);
    RESULT(getsockopt(third, SOL_SOCKET, SO_PROTOCOL, &value, &length));
    printf("%d\n", value);
    close(link);
    close(second);
    close(third);
    RESULT(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
    RESULT(socket(AF_NETLINK, SOCK_RAW, 32));
    RESULT(socket(AF_NETLINK, SOCK_RAW, -1));
    int pair[2];
    RESULT(socketpair(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, pair));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    by_library();
    by_control(AF_INET);
    by_control(AF_UNIX);
    by_netlink();
    return 0;
}
