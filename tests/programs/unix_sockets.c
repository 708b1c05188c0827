/* Local sockets of each kind, with what travels beside data, names, and what happens when one side goes. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char buffer[128];

static void *echo(void *argument)
{
    char bytes[128];
    ssize_t length;
    for (int i = 0; i < 3; i++) {
        int connection = accept(*(int *)argument, NULL, NULL);
        while ((length = read(connection, bytes, sizeof bytes)) > 0)
            if (write(connection, bytes, (size_t)length) != length)
                break;
        close(connection);
    }
    return NULL;
}

static void streams(void)
{
    int pair[2];
    RESULT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    RESULT(write(pair[0], "hello", 5));
    RESULT(write(pair[0], " world", 6));
    RESULT(recv(pair[1], buffer, 3, MSG_PEEK));
    RESULT(read(pair[1], buffer, 100));
    printf("%.11s\n", buffer);
    RESULT(recv(pair[1], buffer, 10, MSG_DONTWAIT));
    RESULT(shutdown(pair[0], SHUT_WR));
    RESULT(read(pair[1], buffer, 1));
    RESULT(write(pair[0], "x", 1));
    RESULT(write(pair[1], "back", 4));
    RESULT(read(pair[0], buffer, 100));
    close(pair[1]);
    RESULT(read(pair[0], buffer, 1));
    RESULT(send(pair[0], "x", 1, MSG_NOSIGNAL));
    close(pair[0]);
}

static void messages(void)
{
    int pair[2], ends[2], received;
    struct pollfd descriptor;

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    RESULT(send(pair[0], "one", 3, 0));
    RESULT(send(pair[0], "two!", 4, 0));
    RESULT(recv(pair[1], buffer, 2, 0));
    RESULT(recv(pair[1], buffer, 100, MSG_TRUNC));
    descriptor = (struct pollfd){ pair[1], POLLIN | POLLOUT, 0 };
    RESULT(poll(&descriptor, 1, 0));
    printf("ready %x\n", descriptor.revents);
    close(pair[0]);
    RESULT(send(pair[1], "x", 1, 0));
    close(pair[1]);

    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    RESULT(send(pair[0], "abc", 3, 0));
    RESULT(send(pair[0], "", 0, 0));
    RESULT(read(pair[1], buffer, 100));
    RESULT(recv(pair[1], buffer, 1, 0));

    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = { "f", 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (pipe(ends))
        return;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[0], sizeof(int));
    RESULT(sendmsg(pair[0], &message, 0));
    memset(control, 0, sizeof control);
    part = (struct iovec){ buffer, 10 };
    message.msg_controllen = sizeof control;
    RESULT(recvmsg(pair[1], &message, 0));
    header = CMSG_FIRSTHDR(&message);
    memcpy(&received, CMSG_DATA(header), sizeof(int));
    printf("type %d, length %zu\n", header->cmsg_type, header->cmsg_len);
    RESULT(write(ends[1], "through", 7));
    RESULT(read(received, buffer, 10));

    struct ucred who;
    socklen_t length = sizeof who;
    int value;
    RESULT(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    CHECK(who.pid == getpid() && who.uid == getuid());
    length = sizeof value;
    RESULT(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length));
    printf("kind %d\n", value);
}

static void names(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX }, found;
    struct sockaddr_un abstract = { .sun_family = AF_UNIX };
    socklen_t length;
    pthread_t thread;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    /* Names that no other run of this program has. */
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/pith-%d", (int)getpid());
    RESULT(connect(listener, (struct sockaddr *)&address, sizeof address));
    RESULT(bind(listener, (struct sockaddr *)&address, sizeof address));
    RESULT(listen(listener, 5));
    pthread_create(&thread, NULL, echo, &listener);
    for (int i = 0; i < 3; i++) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        RESULT(connect(client, (struct sockaddr *)&address, sizeof address));
        RESULT(write(client, "ping", 4));
        RESULT(read(client, buffer, 100));
        length = sizeof found;
        RESULT(getpeername(client, (struct sockaddr *)&found, &length));
        CHECK(strcmp(found.sun_path, address.sun_path) == 0);
        CHECK(length == sizeof found.sun_family + strlen(address.sun_path) + 1);
        close(client);
    }
    pthread_join(thread, NULL);

    int one = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(abstract.sun_path + 1, 16, "pith-%010d", (int)getpid());
    length = sizeof abstract.sun_family + 16;
    RESULT(bind(one, (struct sockaddr *)&abstract, length));
    RESULT(bind(other, (struct sockaddr *)&abstract, length));
    RESULT(sendto(other, "datagram", 8, 0, (struct sockaddr *)&abstract, length));
    length = sizeof found;
    RESULT(recvfrom(one, buffer, 10, 0, (struct sockaddr *)&found, &length));
    printf("sender's length %d\n", (int)length);
    RESULT(sendto(other, "x", 1, 0, (struct sockaddr *)&address, sizeof address));
    int pair[2];
    RESULT(socketpair(AF_UNIX, 77, 0, pair));
    unlink(address.sun_path);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    streams();
    messages();
    names();
    return 0;
}
