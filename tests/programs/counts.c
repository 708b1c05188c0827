/* /proc/net/snmp, snmp6 and netstat count what happens, each thing by its own name. */
#include "alone.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The value of a name in one of the sections of a file of pairs of lines. */
static long long value(const char *file, const char *section, const char *name) {
    static char names[8192], values[8192];
    char path[64];
    snprintf(path, sizeof path, "/proc/net/%s", file);
    FILE *table = fopen(path, "r");
    long long found = -1000;
    while (table && fgets(names, sizeof names, table) && fgets(values, sizeof values, table)) {
        char *rest_of_names, *rest_of_values;
        char *title = strtok_r(names, " \n", &rest_of_names), *number = strtok_r(values, " \n", &rest_of_values);
        if (!title || strncmp(title, section, strlen(section)) || title[strlen(section)] != ':')
            continue;
        while ((title = strtok_r(NULL, " \n", &rest_of_names)) && (number = strtok_r(NULL, " \n", &rest_of_values)))
            if (!strcmp(title, name))
                found = atoll(number);
    }
    if (table)
        fclose(table);
    return found;
}

static long long value6(const char *name) {
    char line[256], own[128];
    FILE *table = fopen("/proc/net/snmp6", "r");
    long long found = 0, number;
    while (table && fgets(line, sizeof line, table))
        if (sscanf(line, "%127s %lld", own, &number) == 2 && !strcmp(own, name))
            found = number;
    if (table)
        fclose(table);
    return found;
}

static const char *const watched[][2] = {
    {"Ip", "InReceives"}, {"Ip", "InDelivers"}, {"Ip", "OutRequests"}, {"Ip", "InUnknownProtos"}, {"Ip", "OutNoRoutes"},
    {"Icmp", "InMsgs"}, {"Icmp", "InErrors"}, {"Icmp", "InDestUnreachs"}, {"Icmp", "InEchos"}, {"Icmp", "OutEchoReps"},
    {"Icmp", "InCsumErrors"}, {"Icmp", "OutDestUnreachs"}, {"Udp", "InDatagrams"}, {"Udp", "NoPorts"},
    {"Udp", "InErrors"}, {"Udp", "RcvbufErrors"}, {"Udp", "OutDatagrams"}, {"Udp", "InCsumErrors"},
    {"Tcp", "ActiveOpens"}, {"Tcp", "PassiveOpens"}, {"Tcp", "AttemptFails"}, {"Tcp", "EstabResets"},
    {"Tcp", "CurrEstab"}, {"Tcp", "RetransSegs"}, {"Tcp", "InErrs"}, {"Tcp", "OutRsts"},
};
enum { WATCHED = sizeof watched / sizeof *watched };
static const char *const watched6[] = {
    "Ip6InReceives", "Ip6OutRequests", "Udp6InDatagrams", "Udp6NoPorts", "Udp6OutDatagrams", "Icmp6InMsgs",
    "Icmp6OutMsgs", "Icmp6InDestUnreachs", "Icmp6OutDestUnreachs", "Icmp6InType1", "Icmp6OutType1",
};
enum { WATCHED6 = sizeof watched6 / sizeof *watched6 };
static long long before[WATCHED], before6[WATCHED6], octets[2];

/* What has changed since the last call; what says how many packets there were only if that is sure. */
static void changes(const char *what, int packets) {
    printf("%s:", what);
    for (int i = 0; i < WATCHED; i++) {
        long long now = value("snmp", watched[i][0], watched[i][1]);
        int of_packets = !strcmp(watched[i][0], "Ip");
        if (now != before[i] && (packets || !of_packets))
            printf(" %s %s %lld", watched[i][0], watched[i][1], now - before[i]);
        before[i] = now;
    }
    for (int i = 0; i < WATCHED6; i++) {
        long long now = value6(watched6[i]);
        if (now != before6[i] && packets)
            printf(" %s %lld", watched6[i], now - before6[i]);
        before6[i] = now;
    }
    for (int i = 0; i < 2; i++) {
        long long now = value("netstat", "IpExt", i ? "OutOctets" : "InOctets");
        if (now != octets[i] && packets)
            printf(" %s octets %lld", i ? "out" : "in", now - octets[i]);
        octets[i] = now;
    }
    printf("\n");
}

static void datagrams(void) {
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, nobody = own;
    socklen_t length = sizeof own;
    char data[2000] = "data";
    bind(one, (struct sockaddr *)&own, sizeof own);
    getsockname(one, (struct sockaddr *)&own, &length);
    nobody.sin_port = htons(9);
    for (int i = 0; i < 3; i++)
        sendto(other, data, 100, 0, (struct sockaddr *)&own, sizeof own);
    changes("three datagrams", 1);
    for (int i = 0; i < 2; i++)
        recv(one, data, sizeof data, 0);
    recv(one, data, sizeof data, MSG_PEEK);
    changes("two of them taken", 1);
    sendto(other, data, 100, 0, (struct sockaddr *)&nobody, sizeof nobody);
    changes("one for nobody", 1);
    int small = 1, many = 0;
    setsockopt(one, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (; many < 20; many++)
        sendto(other, data, 2000, 0, (struct sockaddr *)&own, sizeof own);
    printf("lost for want of room: %d\n", value("snmp", "Udp", "RcvbufErrors") > 0);
    changes("", 0 * many);
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 nobody6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(9)};
    sendto(six, data, 100, 0, (struct sockaddr *)&nobody6, sizeof nobody6);
    changes("one for nobody by IPv6", 1);
    close(one), close(other), close(six);
}

static void echoes(void) {
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), unknown = socket(AF_INET, SOCK_RAW, 200);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned char echo[8] = {8, 0, 0xf7, 0xfe, 0, 1};
    sendto(raw, echo, sizeof echo, 0, (struct sockaddr *)&own, sizeof own);
    changes("an echo", 1);
    echo[2] = 0;
    sendto(raw, echo, sizeof echo, 0, (struct sockaddr *)&own, sizeof own);
    changes("one with a wrong checksum", 1);
    close(unknown), close(raw);
}

static void connections(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, nobody = own;
    socklen_t length = sizeof own;
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 5);
    getsockname(listener, (struct sockaddr *)&own, &length);
    connect(client, (struct sockaddr *)&own, sizeof own);
    int server = accept(listener, NULL, NULL);
    changes("a connection", 0);
    struct linger at_once = {1, 0};
    setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(server);
    usleep(10000);
    changes("reset", 0);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    nobody.sin_port = htons(9);
    connect(client, (struct sockaddr *)&nobody, sizeof nobody);
    changes("refused", 0);
    close(client), close(listener);
}

int main(void) {
    be_alone();
    printf("Forwarding %lld DefaultTTL %lld RtoMin %lld MaxConn %lld\n", value("snmp", "Ip", "Forwarding"),
           value("snmp", "Ip", "DefaultTTL"), value("snmp", "Tcp", "RtoMin"), value("snmp", "Tcp", "MaxConn"));
    changes("start", 0);
    datagrams();
    echoes();
    connections();
    return 0;
}
