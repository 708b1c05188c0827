/* Corner cases of sockets of datagrams: shut down without a peer, addresses of no family, and what was lost. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static void ready(int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    int count = poll(&one, 1, 0);
    printf("poll: %d, in %d out %d end %d hang-up %d error %d\n", count, !!(one.revents & POLLIN),
           !!(one.revents & POLLOUT), !!(one.revents & POLLRDHUP), !!(one.revents & POLLHUP), !!(one.revents & POLLERR));
}

static int bound(int family, struct sockaddr_in *own) {
    int fd = socket(family, SOCK_DGRAM, 0);
    socklen_t length = sizeof *own;
    memset(own, 0, sizeof *own);
    own->sin_family = AF_INET;
    own->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd, (struct sockaddr *)own, sizeof *own);
    getsockname(fd, (struct sockaddr *)own, &length);
    return fd;
}

static void shut(int how) {
    struct sockaddr_in own, other;
    int fd = bound(AF_INET, &own), sender = bound(AF_INET, &other);
    char data[10];
    printf("shutdown %d\n", how);
    ready(fd);
    RESULT(shutdown(fd, how));
    ready(fd);
    RESULT(recv(fd, data, sizeof data, MSG_DONTWAIT));
    RESULT(sendto(fd, "a", 1, 0, (struct sockaddr *)&other, sizeof other));
    RESULT(sendto(sender, "bc", 2, 0, (struct sockaddr *)&own, sizeof own));
    RESULT(recv(fd, data, sizeof data, MSG_DONTWAIT));
    RESULT(connect(fd, (struct sockaddr *)&other, sizeof other));
    RESULT(shutdown(fd, how));
    ready(fd);
    close(fd), close(sender);
}

// What a datagram tells of those that were lost before it; -1 for nothing.
static int told_lost(int fd, long *length) {
    static char data[20000];
    struct iovec piece = {data, sizeof data};
    union {
        char bytes[64];
        struct cmsghdr header;
    } control = {{0}};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *length = recvmsg(fd, &message, MSG_DONTWAIT);
    struct cmsghdr *header = *length < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SO_RXQ_OVFL)
        return -1;
    return *(int *)CMSG_DATA(header);
}

// How many datagrams fit depends on memory; those that do not are counted for the ones behind them.
static void lost(void) {
    enum { SENT = 40 };
    static char data[20000];
    struct sockaddr_in own, other;
    int fd = bound(AF_INET, &own), sender = bound(AF_INET, &other), on = 1, count = -1;
    long length;
    for (int counted = 0; counted < 2; counted++) {
        if (counted)
            RESULT(setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on));
        int received = 0;
        for (int number = 0; number < SENT; number++)
            sendto(sender, data, sizeof data, 0, (struct sockaddr *)&own, sizeof own);
        while (count = told_lost(fd, &length), length > 0)
            received++;
        sendto(sender, data, 1, 0, (struct sockaddr *)&own, sizeof own);
        count = told_lost(fd, &length);
        if (counted)
            printf("lost: %s\n", count == 2 * (SENT - received) ? "all that are missing" : "wrong");
        else
            printf("some are lost: %d, told: %d\n", received < SENT, count);
    }
    close(fd), close(sender);
}

int main(void) {
    lost();
    signal(SIGPIPE, SIG_IGN);
    for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
        shut(how);
    struct sockaddr_in own, other, address;
    int fd = bound(AF_INET, &own), receiver = bound(AF_INET, &other);
    char data[10];
    address = other;
    address.sin_family = AF_UNSPEC;
    RESULT(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof address));
    RESULT(recv(receiver, data, sizeof data, MSG_DONTWAIT));
    RESULT(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, 8));
    address.sin_family = AF_UNIX;
    RESULT(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof address));
    int value = -7;
    socklen_t length = sizeof value;
    RESULT(getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &value, &length));
    value = 0;
    RESULT(setsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &value, sizeof value));
    RESULT(getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &value, &length));
    printf("%d\n", value);
    close(fd), close(receiver);
    return 0;
}
