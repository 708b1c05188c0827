/* Pipes, duplicated descriptors, and waiting for readiness. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void) {
    int ends[2];
    char buffer[100] = {0};
    RESULT(pipe(ends));
    printf("ends %d %d\n", ends[0], ends[1]);
    RESULT(write(ends[1], "hello", 5));
    int waiting = 0;
    RESULT(ioctl(ends[0], FIONREAD, &waiting));
    printf("waiting %d\n", waiting);
    RESULT(read(ends[0], buffer, 2));
    RESULT(read(ends[0], buffer + 2, 98));
    printf("\"%s\"\n", buffer);
    RESULT(write(ends[0], "x", 1));
    RESULT(read(ends[1], buffer, 1));
    RESULT(lseek(ends[0], 0, SEEK_SET));
    struct stat status;
    RESULT(fstat(ends[0], &status));
    CHECK(S_ISFIFO(status.st_mode));

    puts("-- readiness");
    struct pollfd set[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    RESULT(poll(set, 2, 0));
    printf("reader %x writer %x\n", set[0].revents, set[1].revents);
    RESULT(write(ends[1], "more", 4));
    RESULT(poll(set, 2, 1000));
    printf("reader %x writer %x\n", set[0].revents, set[1].revents);
    RESULT(read(ends[0], buffer, 4));
    RESULT(poll(set, 1, 20));
    set[0].fd = 77;
    RESULT(poll(set, 1, 0));
    printf("bad descriptor %x\n", set[0].revents);

    puts("-- non-blocking");
    RESULT(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    RESULT(read(ends[0], buffer, 1));
    RESULT(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    long filled = 0, now;
    char block[4096] = {0};
    while ((now = write(ends[1], block, sizeof block)) > 0)
        filled += now;
    printf("full after %ld, then %s\n", filled, strerror(errno));
    RESULT(fcntl(ends[0], F_GETPIPE_SZ));
    set[1].revents = 0;
    RESULT(poll(set + 1, 1, 0));
    while ((now = read(ends[0], block, sizeof block)) > 0)
        filled -= now;
    CHECK(filled == 0);

    puts("-- vectors");
    struct iovec parts[3] = {{"one ", 4}, {"", 0}, {"two", 3}};
    RESULT(writev(ends[1], parts, 3));
    char left[3] = {0}, right[10] = {0};
    struct iovec into[2] = {{left, 2}, {right, 9}};
    RESULT(readv(ends[0], into, 2));
    printf("\"%s\" \"%s\"\n", left, right);
    RESULT(writev(ends[1], parts, -1));
    RESULT(writev(ends[1], parts, 0));

    puts("-- closing");
    int copy = dup(ends[1]);
    printf("copy %d\n", copy);
    RESULT(close(ends[1]));
    RESULT(read(ends[0], buffer, 1));
    RESULT(close(copy));
    RESULT(read(ends[0], buffer, 1));
    set[0].fd = ends[0];
    RESULT(poll(set, 1, 0));
    printf("hung up %x\n", set[0].revents);
    RESULT(close(ends[0]));
    RESULT(close(ends[0]));
    signal(SIGPIPE, SIG_IGN);
    RESULT(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    CHECK(fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
    RESULT(close(ends[0]));
    RESULT(write(ends[1], "x", 1));
    RESULT(pipe2(ends, 0x40000000));

    puts("-- descriptors");
    RESULT(dup2(1, 50));
    RESULT(dup2(1, 1));
    RESULT(dup3(1, 1, 0));
    RESULT(dup2(77, 1));
    RESULT(dup2(1, 1 << 24));
    RESULT(fcntl(1, F_DUPFD, 60));
    RESULT(fcntl(1, F_DUPFD_CLOEXEC, 60));
    RESULT(fcntl(61, F_GETFD));
    RESULT(fcntl(1, 9999));
    fflush(stdout);
    RESULT(write(50, "through the copy\n", 17));
    return 0;
}
