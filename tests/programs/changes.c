/* Hears of new addresses and routes of IPv6, until those of the first router have come. */
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int link = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), address = 0, route = 0;
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE};
    if (bind(link, (struct sockaddr *)&own, sizeof own) != 0)
        perror("bind");
    printf("ready\n");
    while (!address || !route) {
        _Alignas(struct nlmsghdr) char bytes[8192];
        struct sockaddr_nl from = {0};
        socklen_t size = sizeof from;
        int length = recvfrom(link, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
        if (length < 0) {
            perror("recvfrom");
            return 1;
        }
        for (struct nlmsghdr *message = (void *)bytes; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
            char text[INET6_ADDRSTRLEN] = "";
            if (message->nlmsg_type == RTM_NEWADDR) {
                struct ifaddrmsg *body = NLMSG_DATA(message);
                struct rtattr *first = IFA_RTA(body);
                int rest = IFA_PAYLOAD(message);
                for (; RTA_OK(first, rest); first = RTA_NEXT(first, rest))
                    if (first->rta_type == IFA_ADDRESS)
                        inet_ntop(body->ifa_family, RTA_DATA(first), text, sizeof text);
                printf("address %s/%d, group %#x, from %u\n", text, body->ifa_prefixlen, from.nl_groups, from.nl_pid);
                address = 1;
            } else if (message->nlmsg_type == RTM_NEWROUTE) {
                struct rtmsg *body = NLMSG_DATA(message);
                struct rtattr *first = RTM_RTA(body);
                int rest = RTM_PAYLOAD(message);
                for (; RTA_OK(first, rest); first = RTA_NEXT(first, rest))
                    if (first->rta_type == RTA_GATEWAY)
                        inet_ntop(body->rtm_family, RTA_DATA(first), text, sizeof text);
                if (text[0]) {
                    printf("router, group %#x\n", from.nl_groups);
                    route = 1;
                }
            }
        }
    }
    return 0;
}
