/*
 * The kernel's log: /dev/kmsg and syslog(2). Other messages may be there; only those that this program writes are looked at.
 */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char mark[64];

/* Reads on to the next message of ours. */
static int next_own(int fd, char *line, size_t room) {
    for (;;) {
        ssize_t length = read(fd, line, room - 1);
        if (length < 0 && errno == EPIPE)
            continue;
        if (length < 0)
            return 0;
        line[length] = 0;
        if (strstr(line, mark))
            return 1;
    }
}

static void show_next(int fd) {
    char line[2048], flag, text[1024];
    unsigned priority;
    unsigned long long number, time;
    if (!next_own(fd, line, sizeof line)) {
        printf("none: %s\n", strerror(errno));
        return;
    }
    int parts = sscanf(line, "%u,%llu,%llu,%c;%1023[^\n]", &priority, &number, &time, &flag, text);
    printf("%d parts, priority %u, flag %c, one line %d: %s\n", parts, priority, flag, line[strlen(line) - 1] == '\n',
           strstr(text, mark) + strlen(mark));
}

static void add(int fd, const char *priority, const char *text) {
    char line[256];
    /* Without the end of a line, Linux shows a message only when the next one comes. */
    int length = snprintf(line, sizeof line, "%s%s%s\n", priority, mark, text);
    printf("%s: %d\n", priority, write(fd, line, length) == length);
}

int main(void) {
    snprintf(mark, sizeof mark, "test-of-pith-%d: ", getpid());
    struct stat status;
    stat("/dev/kmsg", &status);
    printf("%o %u:%u\n", status.st_mode, major(status.st_rdev), minor(status.st_rdev));
    int writer = open("/dev/kmsg", O_WRONLY), reader = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    RESULT(lseek(reader, 0, SEEK_END));
    char line[2048];
    struct pollfd poller = {reader, POLLIN | POLLOUT, 0};
    add(writer, "", "nothing said");
    RESULT(poll(&poller, 1, 0));
    CHECK(poller.revents & POLLIN);
    add(writer, "<6>", "information");
    add(writer, "<30>", "of a daemon");
    add(writer, "<x>", "no number");
    for (int count = 0; count < 4; count++)
        show_next(reader);
    show_next(reader);
    RESULT(lseek(reader, 0, SEEK_SET));
    show_next(reader);
    RESULT(lseek(reader, 1, SEEK_SET));
    RESULT(lseek(reader, 0, SEEK_CUR));
    RESULT(lseek(reader, 0, SEEK_DATA));
    RESULT(write(writer, line, 1025));
    RESULT(read(writer, line, 10));
    RESULT(write(reader, "x", 1));
    struct iovec pieces[] = {{"<5>", 3}, {mark, strlen(mark)}, {"in pieces\n", 10}};
    RESULT(writev(writer, pieces, 3) > 0);
    RESULT(lseek(reader, 0, SEEK_DATA));
    for (int count = 0; count < 5; count++)
        show_next(reader);
    /* A reader of its own sees the log from the start. */
    int other = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    show_next(other);
    lseek(other, 0, SEEK_END);
    add(writer, "<4>", "too long for that");
    RESULT(read(other, line, 5));
    show_next(other);
    /* All at once, and what is cleared. */
    int size = klogctl(10, NULL, 0);
    CHECK(size >= 4096);
    char *all = malloc(size);
    int length = klogctl(3, all, size - 1);
    CHECK(length > 0);
    all[length] = 0;
    char *found = strstr(all, mark);
    CHECK(found != NULL && strstr(found, "nothing said") != NULL);
    while (found > all && found[-1] != '\n')
        found--;
    unsigned priority, seconds, microseconds;
    printf("%d parts, ", sscanf(found, "<%u>[%u.%u]", &priority, &seconds, &microseconds));
    printf("priority %u\n", priority);
    CHECK(klogctl(9, NULL, 0) > 0);
    pid_t child = 0;
    fflush(stdout);
    /* A blocking reader is woken. */
    int blocking = open("/dev/kmsg", O_RDONLY);
    lseek(blocking, 0, SEEK_END);
    child = fork();
    if (child == 0) {
        show_next(blocking);
        fflush(stdout);
        _exit(0);
    }
    usleep(20000);
    char text[128];
    length = snprintf(text, sizeof text, "<3>%swoken\n", mark);
    (void)!write(writer, text, length);
    waitpid(child, NULL, 0);
    fflush(stdout);
    if (fork() == 0) {
        setresuid(1000, 1000, 1000);
        RESULT(open("/dev/kmsg", O_RDONLY));
        RESULT(open("/dev/kmsg", O_WRONLY));
        RESULT(klogctl(3, all, 100));
        RESULT(klogctl(10, NULL, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
