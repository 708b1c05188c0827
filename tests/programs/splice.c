/* Bytes that go from file to file without the program's memory: splice, tee, vmsplice, sendfile. */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BYTES = 300000 };

static unsigned char pattern(int i) {
    return i * 13 ^ i >> 9;
}

static int empty_file(void) {
    char name[] = "/tmp/spliceXXXXXX";
    int file = mkstemp(name);
    unlink(name);
    return file;
}

static int file_with_bytes(void) {
    static unsigned char bytes[BYTES];
    for (int i = 0; i < BYTES; i++)
        bytes[i] = pattern(i);
    int file = empty_file();
    if (write(file, bytes, BYTES) != BYTES)
        perror("write");
    return file;
}

static void show(int fd) {
    char text[64] = "";
    errno = 0;
    int length = read(fd, text, sizeof text - 1);
    printf("[%.*s] %s\n", length > 0 ? length : 0, text, length < 0 ? strerror(errno) : "");
}

static void pipes(void) {
    int one[2], other[2];
    RESULT(pipe2(one, O_NONBLOCK));
    RESULT(pipe2(other, O_NONBLOCK));
    RESULT(splice(one[0], NULL, other[1], NULL, 100, 0));
    RESULT(tee(one[0], other[1], 100, 0));
    RESULT(write(one[1], "abcdefghij", 10));
    RESULT(tee(one[0], other[1], 4, 0));
    RESULT(write(other[1], "XY", 2));
    RESULT(write(one[1], "klm", 3));
    show(other[0]);
    RESULT(splice(one[0], NULL, other[1], NULL, 6, 0));
    RESULT(write(other[1], "--", 2));
    RESULT(write(one[1], "end", 3));
    show(other[0]);
    RESULT(splice(one[0], NULL, other[1], NULL, 1000, 0));
    show(other[0]);
    show(one[0]);
    RESULT(splice(one[0], NULL, one[1], NULL, 1, 0));
    RESULT(tee(one[0], one[1], 1, 0));
    RESULT(splice(one[1], NULL, other[1], NULL, 1, 0));
    RESULT(splice(one[0], NULL, other[0], NULL, 1, 0));
    RESULT(splice(one[0], NULL, other[1], NULL, 1, 1000));
    RESULT(splice(one[0], NULL, other[1], NULL, 0, 0));
    RESULT(splice(-1, NULL, other[1], NULL, 1, 0));
    off_t at = 0;
    RESULT(splice(one[0], &at, other[1], NULL, 1, 0));
    RESULT(splice(one[0], NULL, other[1], &at, 1, 0));
    int file = file_with_bytes();
    RESULT(splice(file, NULL, file, NULL, 1, 0));
    RESULT(tee(file, other[1], 1, 0));
    struct iovec pieces[2] = {{"one ", 4}, {"two", 3}};
    RESULT(vmsplice(one[1], pieces, 2, 0));
    char text[8] = "";
    pieces[0] = (struct iovec){text, 7};
    RESULT(vmsplice(one[0], pieces, 1, 0));
    printf("%s\n", text);
    RESULT(vmsplice(file, pieces, 1, 0));
    /* A full pipe. */
    at = 4096;
    RESULT(splice(file, &at, one[1], NULL, 1000000, 0));
    printf("at %ld\n", at);
    RESULT(splice(file, NULL, one[1], NULL, 10, 0));
    RESULT(splice(file, NULL, one[1], NULL, 10, SPLICE_F_NONBLOCK));
    int out = empty_file();
    at = 100;
    RESULT(splice(one[0], NULL, out, &at, 60000, 0));
    printf("at %ld, position %ld\n", at, lseek(out, 0, SEEK_CUR));
    RESULT(splice(one[0], NULL, out, NULL, 1000000, 0));
    printf("position %ld\n", lseek(out, 0, SEEK_CUR));
    unsigned char byte[3];
    RESULT(pread(out, byte, 3, 50100));
    CHECK(byte[0] == pattern(54096) && byte[2] == pattern(54098));
    int append = open("/proc/self/exe", O_RDONLY);
    RESULT(splice(one[0], NULL, append, NULL, 1, 0));
    close(append);
    close(one[1]);
    RESULT(splice(one[0], NULL, other[1], NULL, 1, 0));
    RESULT(tee(one[0], other[1], 1, 0));
    signal(SIGPIPE, SIG_IGN);
    close(one[0]);
    RESULT(write(other[1], "x", 1));
    pipe(one);
    close(one[0]);
    RESULT(splice(other[0], NULL, one[1], NULL, 1, 0));
    RESULT(splice(file, NULL, one[1], NULL, 1, 0));
    close(one[1]);
    close(other[0]);
    close(other[1]);
    close(file);
    close(out);
}

static int from_full[2], to_full[2];

static void *move_one(void *argument) {
    (void)argument;
    return (void *)(long)splice(from_full[0], NULL, to_full[1], NULL, 5, 0);
}

/* While something waits for room in the other pipe, it has taken nothing yet. */
static void into_full(void) {
    char bytes[4096] = "";
    pipe(from_full);
    pipe(to_full);
    fcntl(to_full[1], F_SETFL, O_NONBLOCK);
    while (write(to_full[1], bytes, sizeof bytes) > 0)
        ;
    fcntl(to_full[1], F_SETFL, 0);
    RESULT(write(from_full[1], "first", 5));
    pthread_t thread;
    pthread_create(&thread, NULL, move_one, NULL);
    usleep(30000);
    struct pollfd readable = {from_full[0], POLLIN, 0};
    RESULT(poll(&readable, 1, 0));
    if (readable.revents)
        RESULT(read(from_full[0], bytes, sizeof bytes));
    RESULT(write(from_full[1], "then", 4));
    while (read(to_full[0], bytes, sizeof bytes) == sizeof bytes)
        ;
    void *moved;
    pthread_join(thread, &moved);
    printf("moved %ld: %.5s\n", (long)moved, bytes);
    for (int side = 0; side < 2; side++) {
        close(from_full[side]);
        close(to_full[side]);
    }
}

static void connected(int pair[2]) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&own, &length);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(pair[0], (struct sockaddr *)&own, sizeof own) != 0)
        perror("connect");
    pair[1] = accept(listener, NULL, NULL);
    close(listener);
}

static void *send_all(void *argument) {
    int socket = *(int *)argument, file = file_with_bytes(), between[2];
    pipe(between);
    /* The first half by sendfile, the rest by way of a pipe. */
    off_t offset = 0;
    while (offset < BYTES / 2)
        if (sendfile(socket, file, &offset, BYTES / 2 - offset) <= 0)
            break;
    printf("sent %ld, position %ld\n", (long)offset, (long)lseek(file, 0, SEEK_CUR));
    lseek(file, offset, SEEK_SET);
    long moved = 0, got;
    while ((got = splice(file, NULL, between[1], NULL, 50000, 0)) > 0)
        while (got > 0) {
            long put = splice(between[0], NULL, socket, NULL, got, SPLICE_F_MORE);
            if (put <= 0)
                perror("splice");
            moved += put;
            got -= put;
        }
    printf("moved %ld\n", moved);
    shutdown(socket, SHUT_WR);
    close(file);
    return NULL;
}

static void sockets(void) {
    int pair[2], between[2];
    connected(pair);
    pipe(between);
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &pair[0]);
    int out = empty_file();
    long got, total = 0;
    while ((got = splice(pair[1], NULL, between[1], NULL, 40000, SPLICE_F_MOVE)) > 0) {
        total += got;
        while (got > 0)
            got -= splice(between[0], NULL, out, NULL, got, 0);
    }
    pthread_join(thread, NULL);
    printf("received %ld\n", total);
    unsigned char *bytes = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, out, 0);
    int wrong = 0;
    for (int i = 0; i < BYTES; i++)
        wrong += bytes[i] != pattern(i);
    printf("wrong %d\n", wrong);
    RESULT(splice(pair[1], NULL, between[1], NULL, 10, 0));
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    RESULT(splice(pair[0], NULL, between[1], NULL, 10, 0));
    RESULT(write(between[1], "x", 1));
    signal(SIGPIPE, SIG_IGN);
    RESULT(splice(between[0], NULL, pair[0], NULL, 1, 0));
    close(pair[0]);
    close(pair[1]);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    pipes();
    into_full();
    sockets();
    return 0;
}
