/* What /sys/class/net tells of interfaces: the same as what they are asked by other ways. */
#include "check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static char text[256];

/* The text of a file about an interface, without the line's end. */
static const char *of(const char *interface, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "/sys/class/net/%s/%s", interface, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return strerror(errno);
    size_t length = fread(text, 1, sizeof text - 1, file);
    if (ferror(file)) {
        fclose(file);
        return strerror(errno);
    }
    fclose(file);
    while (length && text[length - 1] == '\n')
        length--;
    text[length] = 0;
    return text;
}

static int by_name(const struct dirent **one, const struct dirent **other) {
    return strcmp((*one)->d_name, (*other)->d_name);
}

static void loopback(void) {
    static const char *const names[] = {
        "addr_assign_type", "addr_len", "address", "broadcast", "carrier", "dev_id", "dev_port", "dormant", "flags",
        "ifalias", "ifindex", "iflink", "link_mode", "mtu", "netdev_group", "operstate", "proto_down", "tx_queue_len",
        "type", "uevent", "missing", "statistics/missing",
    };
    for (unsigned index = 0; index < sizeof names / sizeof *names; index++)
        printf("%s: %s\n", names[index], of("lo", names[index]));
    char target[128];
    ssize_t length = readlink("/sys/class/net/lo", target, sizeof target);
    printf("lo -> %.*s\n", (int)(length < 0 ? 0 : length), target);
    struct dirent **list;
    int count = scandir("/sys/class/net/lo/statistics/", &list, NULL, (int (*)(const struct dirent **, const struct dirent **))by_name);
    for (int index = 0; index < count; index++)
        printf("%s%s", list[index]->d_name, index + 1 == count ? "\n" : " ");
    struct stat status;
    RESULT(stat("/sys/class/net/lo/mtu", &status));
    printf("size %ld regular %d\n", (long)status.st_size, S_ISREG(status.st_mode));
    printf("directory %d links\n", !stat("/sys/class/net/lo", &status) && S_ISDIR(status.st_mode));
    struct statfs file_system;
    RESULT(statfs("/sys/class", &file_system));
    printf("type %lx\n", (long)file_system.f_type);
    RESULT(mkdir("/sys/class/net/mine", 0777));
}

static long long count(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "statistics/%s", name);
    return atoll(of("lo", path));
}

/* Counts grow by what is sent: each datagram has 28 bytes of headers, and 14 for the loopback interface on Linux. */
static void counts(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    bind(udp, (struct sockaddr *)&own, sizeof own);
    getsockname(udp, (struct sockaddr *)&own, &length);
    long long packets = count("tx_packets"), bytes = count("rx_bytes"), received = count("rx_packets");
    char data[100] = "data";
    for (int index = 0; index < 10; index++)
        sendto(udp, data, sizeof data, 0, (struct sockaddr *)&own, sizeof own);
    printf("sent %d received %d bytes %d\n", count("tx_packets") - packets >= 10, count("rx_packets") - received >= 10,
           count("rx_bytes") - bytes >= 10 * 128);
    close(udp);
}

static void agreement(void) {
    int asker = socket(AF_INET, SOCK_DGRAM, 0), wrong = 0, all = 0;
    struct if_nameindex *list = if_nameindex();
    for (struct if_nameindex *one = list; one && one->if_index; one++) {
        struct ifreq request;
        char shown[32];
        all++;
        memset(&request, 0, sizeof request);
        snprintf(request.ifr_name, sizeof request.ifr_name, "%s", one->if_name);
        ioctl(asker, SIOCGIFFLAGS, &request);
        int flags = request.ifr_flags & ~IFF_RUNNING, up = request.ifr_flags & IFF_UP;
        if (strtol(of(one->if_name, "flags"), NULL, 16) != flags)
            wrong++;
        if ((strcmp(of(one->if_name, "carrier"), "Invalid argument") == 0) == (up != 0))
            wrong++;
        ioctl(asker, SIOCGIFMTU, &request);
        if (atoi(of(one->if_name, "mtu")) != request.ifr_mtu)
            wrong++;
        if (atoi(of(one->if_name, "ifindex")) != (int)one->if_index)
            wrong++;
        ioctl(asker, SIOCGIFHWADDR, &request);
        unsigned char *own = (unsigned char *)request.ifr_hwaddr.sa_data;
        snprintf(shown, sizeof shown, "%02x:%02x:%02x:%02x:%02x:%02x", own[0], own[1], own[2], own[3], own[4], own[5]);
        if (strcmp(of(one->if_name, "address"), shown))
            wrong++;
        if (atoi(of(one->if_name, "type")) != request.ifr_hwaddr.sa_family)
            wrong++;
    }
    if_freenameindex(list);
    printf("several interfaces %d, wrong %d\n", all > 1, wrong);
    close(asker);
}

int main(void) {
    loopback();
    counts();
    agreement();
    return 0;
}
