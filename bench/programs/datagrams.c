/* Sends each datagram that comes to port 5556 back. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
    static char bytes[65536];
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(5556)}, peer;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
        perror("datagrams");
        return 1;
    }
    for (;;) {
        socklen_t size = sizeof peer;
        ssize_t length = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &size);
        if (length < 0 || sendto(fd, bytes, length, 0, (struct sockaddr *)&peer, size) != length) {
            perror("datagrams");
            return 1;
        }
    }
}
