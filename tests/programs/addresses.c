/* The addresses of all interfaces as they are when the first socket has been made, and the name servers. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct ifaddrs *list;
    close(socket(AF_INET, SOCK_DGRAM, 0));
    if (getifaddrs(&list) != 0) {
        perror("getifaddrs");
        return 1;
    }
    for (struct ifaddrs *one = list; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
        const void *bytes = family == AF_INET ? (void *)&((struct sockaddr_in *)one->ifa_addr)->sin_addr
                                              : (void *)&((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
        if (family == AF_INET || family == AF_INET6)
            printf("%s %s\n", one->ifa_name, inet_ntop(family, bytes, text, sizeof text));
    }
    freeifaddrs(list);
    FILE *resolver = fopen("/etc/resolv.conf", "r");
    char line[256];
    while (resolver && fgets(line, sizeof line, resolver))
        fputs(line, stdout);
    return 0;
}
