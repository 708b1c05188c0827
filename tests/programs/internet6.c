/* Sockets of IPv6 within one machine, and how they speak with those of IPv4. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in6 six(const char *ip, int port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &address.sin6_addr);
    return address;
}

static struct sockaddr_in four(const char *ip, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
}

static int port_of(int socket) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return ntohs(address.sin6_port);
}

/* Family, length, address and scope; of the port only whether there is one. */
static void show(const char *what, const void *bytes, socklen_t length) {
    const struct sockaddr *any = bytes;
    char text[64] = "?";
    if (any->sa_family == AF_INET6) {
        const struct sockaddr_in6 *address = bytes;
        inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
        printf("%s: %d bytes, %s scope %u flow %u %s\n", what, length, text, address->sin6_scope_id,
               address->sin6_flowinfo, address->sin6_port ? "with a port" : "without port");
    } else {
        const struct sockaddr_in *address = bytes;
        inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
        printf("%s: %d bytes, %s %s\n", what, length, text, address->sin_port ? "with a port" : "without port");
    }
}

static void names(int socket) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    RESULT(getsockname(socket, (struct sockaddr *)&address, &length));
    show("own", &address, length);
    length = sizeof address;
    RESULT(getpeername(socket, (struct sockaddr *)&address, &length));
    if (errno == 0)
        show("peer", &address, length);
}

#define BIND(socket, address) bind(socket, (struct sockaddr *)&address, sizeof address)
#define CONNECT(socket, address) connect(socket, (struct sockaddr *)&address, sizeof address)

/* A connection from one to the other, with a look at all names. */
static void talk(int listener, int client, const void *to, socklen_t length) {
    RESULT(connect(client, to, length));
    if (errno != 0)
        return;
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int server = accept(listener, (struct sockaddr *)&peer, &size);
    show("accepted", &peer, size);
    names(client);
    names(server);
    char text[16] = "";
    RESULT(write(client, "question", 8));
    RESULT(read(server, text, sizeof text));
    RESULT(write(server, "answer", 6));
    RESULT(read(client, text, sizeof text));
    printf("%.6s\n", text);
    close(server);
}

static void streams(void) {
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    names(listener);
    struct sockaddr_in6 any = six("::", 0), one = six("::1", 0), mapped = six("::ffff:127.0.0.1", 0);
    struct sockaddr_in local = four("127.0.0.1", 0);
    RESULT(BIND(listener, any));
    RESULT(listen(listener, 8));
    names(listener);
    one.sin6_port = mapped.sin6_port = local.sin_port = htons(port_of(listener));
    any.sin6_port = one.sin6_port;
    int client = socket(AF_INET6, SOCK_STREAM, 0);
    talk(listener, client, &one, sizeof one);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    talk(listener, client, &any, sizeof any);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    talk(listener, client, &mapped, sizeof mapped);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    talk(listener, client, &local, sizeof local);
    close(client);
    /* The port is taken for both. */
    client = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(BIND(client, local));
    RESULT(CONNECT(client, one));
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    RESULT(BIND(client, mapped));
    RESULT(BIND(client, local));
    RESULT(CONNECT(client, local));
    RESULT(connect(client, (struct sockaddr *)&one, 20));
    close(client);
    close(listener);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    RESULT(CONNECT(client, one));
    RESULT(CONNECT(client, mapped));
    close(client);
}

static void only_six(void) {
    int listener = socket(AF_INET6, SOCK_STREAM, 0), value = 7;
    socklen_t length = sizeof value;
    RESULT(getsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length));
    printf("only version 6: %d\n", value);
    value = 1;
    RESULT(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value));
    value = 7;
    RESULT(getsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length));
    printf("only version 6: %d\n", value);
    struct sockaddr_in6 any = six("::", 0), mapped = six("::ffff:127.0.0.1", 0), one = six("::1", 0);
    RESULT(BIND(listener, mapped));
    RESULT(BIND(listener, any));
    RESULT(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof value));
    RESULT(listen(listener, 8));
    /* An address that no other program on the host uses, or its port might be taken by what is just over. */
    struct sockaddr_in local = four("127.0.77.1", port_of(listener));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(CONNECT(client, local));
    close(client);
    /* Both versions may have a listener of their own. */
    int other = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(BIND(other, local));
    RESULT(listen(other, 8));
    client = socket(AF_INET, SOCK_STREAM, 0);
    talk(other, client, &local, sizeof local);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    one.sin6_port = htons(port_of(listener));
    talk(listener, client, &one, sizeof one);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    RESULT(setsockopt(client, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof value));
    mapped.sin6_port = one.sin6_port;
    RESULT(CONNECT(client, mapped));
    close(client);
    close(other);
    close(listener);
}

static void receive(int socket) {
    char bytes[100];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    RESULT(recvfrom(socket, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length));
    if (errno == 0)
        show("from", &from, length);
}

static void datagrams(void) {
    int server = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 any = six("::", 0), one = six("::1", 0), mapped = six("::ffff:127.0.0.1", 0);
    RESULT(BIND(server, any));
    names(server);
    struct sockaddr_in local = four("127.0.0.1", port_of(server));
    one.sin6_port = mapped.sin6_port = local.sin_port;
    int client = socket(AF_INET6, SOCK_DGRAM, 0), old = socket(AF_INET, SOCK_DGRAM, 0);
    RESULT(sendto(client, "x", 1, 0, (struct sockaddr *)&one, sizeof one));
    receive(server);
    names(client);
    RESULT(sendto(client, "xy", 2, 0, (struct sockaddr *)&mapped, sizeof mapped));
    receive(server);
    RESULT(sendto(client, "xyz", 3, 0, (struct sockaddr *)&local, sizeof local));
    receive(server);
    RESULT(sendto(old, "abcd", 4, 0, (struct sockaddr *)&local, sizeof local));
    receive(server);
    RESULT(sendto(old, "abcd", 4, 0, (struct sockaddr *)&one, sizeof one));
    RESULT(CONNECT(client, mapped));
    names(client);
    RESULT(send(client, "12345", 5, 0));
    receive(server);
    RESULT(connect(client, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr)));
    close(client);
    client = socket(AF_INET6, SOCK_DGRAM, 0);
    RESULT(CONNECT(client, one));
    names(client);
    RESULT(send(client, "123456", 6, 0));
    receive(server);
    close(server);
    RESULT(send(client, "x", 1, 0));
    usleep(10000);
    RESULT(send(client, "x", 1, 0));
    close(client);
    close(old);
}

/* The longest datagrams, one that is too long, and what poll says when one was refused. */
static void limits(void) {
    static char sent[65600], received[65600];
    for (int i = 0; i < (int)sizeof sent; i++)
        sent[i] = i * 3 ^ i >> 7;
    const char *ips[] = {"::1", "::ffff:127.0.0.1"};
    int lengths[2][3] = {{65487, 65527, 65528}, {65000, 65507, 65508}};
    for (int version = 0; version < 2; version++) {
        int server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0);
        struct sockaddr_in6 to = six(ips[version], 0);
        RESULT(BIND(server, to));
        to.sin6_port = htons(port_of(server));
        for (int i = 0; i < 3; i++) {
            int length = lengths[version][i];
            RESULT(sendto(client, sent, length, 0, (struct sockaddr *)&to, sizeof to));
            RESULT(recv(server, received, sizeof received, MSG_DONTWAIT));
            CHECK(i == 2 || memcmp(sent, received, length) == 0);
        }
        close(server);
        RESULT(CONNECT(client, to));
        RESULT(send(client, "x", 1, 0));
        struct pollfd poller = {client, POLLIN | POLLOUT, 0};
        for (int i = 0; i < 100 && !(poller.revents & POLLERR); i++) {
            poll(&poller, 1, 0);
            usleep(1000);
        }
        printf("events %#x\n", poller.revents);
        int error = 0;
        socklen_t size = sizeof error;
        RESULT(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size));
        printf("%s\n", strerror(error));
        RESULT(poll(&poller, 1, 0));
        printf("events %#x\n", poller.revents);
        close(client);
    }
}

/* Groups, on the loopback interface. */
static void groups(void) {
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET6, SOCK_DGRAM, 0), value = 77;
    socklen_t length = sizeof value;
    struct sockaddr_in any = four("0.0.0.0", 0), to = four("239.77.1.2", 0);
    struct ip_mreq four_group = {.imr_multiaddr = to.sin_addr, .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    RESULT(BIND(one, any));
    to.sin_port = htons(port_of(one));
    RESULT(getsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &value, &length));
    printf("hops %d\n", value);
    RESULT(getsockopt(one, IPPROTO_IP, IP_MULTICAST_LOOP, &value, &length));
    printf("loop %d\n", value);
    RESULT(setsockopt(one, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four_group, sizeof four_group));
    RESULT(setsockopt(one, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four_group, sizeof four_group));
    RESULT(setsockopt(one, IPPROTO_IP, IP_MULTICAST_IF, &four_group.imr_interface, sizeof four_group.imr_interface));
    RESULT(setsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &(unsigned char){3}, 1));
    RESULT(getsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &value, &length));
    printf("hops %d\n", value);
    RESULT(sendto(one, "group", 5, 0, (struct sockaddr *)&to, sizeof to));
    receive(one);
    RESULT(setsockopt(one, IPPROTO_IP, IP_DROP_MEMBERSHIP, &four_group, sizeof four_group));
    RESULT(setsockopt(one, IPPROTO_IP, IP_DROP_MEMBERSHIP, &four_group, sizeof four_group));
    RESULT(setsockopt(one, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four_group, 7));
    four_group.imr_multiaddr.s_addr = htonl(INADDR_LOOPBACK);
    RESULT(setsockopt(one, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four_group, sizeof four_group));
    RESULT(setsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &(int){300}, sizeof(int)));
    struct sockaddr_in6 six_to = six("ff02::7712", 0);
    struct ipv6_mreq six_group = {.ipv6mr_multiaddr = six_to.sin6_addr, .ipv6mr_interface = 1};
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six_group, sizeof six_group));
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six_group, sizeof six_group));
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){1}, sizeof(int)));
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){77777}, sizeof(int)));
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &(int){300}, sizeof(int)));
    RESULT(getsockopt(other, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &value, &length));
    printf("hops %d\n", value);
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &six_group, sizeof six_group));
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &six_group, sizeof six_group));
    six_group.ipv6mr_interface = 77777;
    RESULT(setsockopt(other, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six_group, sizeof six_group));
    close(one);
    close(other);
}

static void errors(void) {
    int client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 foreign = six("2001:db8::9", 1000), link = six("fe80::1234", 1000), group = six("ff02::1", 1000);
    RESULT(BIND(client, foreign));
    RESULT(BIND(client, link));
    RESULT(BIND(client, group));
    RESULT(bind(client, (struct sockaddr *)&foreign, 10));
    link.sin6_scope_id = 77777;
    RESULT(BIND(client, link));
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 other = six("::ffff:9.9.9.9", 1000);
    RESULT(BIND(client, other));
    close(client);
    int pair[2];
    RESULT(socketpair(AF_INET6, SOCK_STREAM, 0, pair));
    RESULT(socketpair(AF_INET, SOCK_STREAM, 0, pair));
    int domain = 0;
    socklen_t length = sizeof domain;
    client = socket(AF_INET6, SOCK_DGRAM, 0);
    RESULT(getsockopt(client, SOL_SOCKET, SO_DOMAIN, &domain, &length));
    printf("domain %d\n", domain);
    close(client);
    RESULT(socket(AF_INET6, SOCK_STREAM, IPPROTO_UDP));
    /* An address of another machine on the loopback network. */
    struct sockaddr_in far = four("127.1.2.3", 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(BIND(listener, far));
    RESULT(listen(listener, 8));
    far.sin_port = htons(port_of(listener));
    client = socket(AF_INET, SOCK_STREAM, 0);
    talk(listener, client, &far, sizeof far);
    close(client);
    close(listener);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    streams();
    only_six();
    datagrams();
    limits();
    groups();
    errors();
    return 0;
}
