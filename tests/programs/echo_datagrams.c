/* Sends datagrams of both versions of IP back until one says "end". */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void) {
    static char bytes[70000];
    int server = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(5000)}, peer;
    if (bind(server, (struct sockaddr *)&own, sizeof own) != 0) {
        perror("bind");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        socklen_t size = sizeof peer;
        ssize_t length = recvfrom(server, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &size);
        if (length < 0 || sendto(server, bytes, length, 0, (struct sockaddr *)&peer, size) != length) {
            perror("echo");
            return 1;
        }
        if (length == 3 && memcmp(bytes, "end", 3) == 0)
            return 0;
    }
}
