/* Corner cases that were wrong once. */
#include "check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void names_that_stay(void) {
    /* A place in a listing holds for whoever opens the directory again. */
    char names[] = "/dev/shm/names-XXXXXX", path[64];
    SUCCESS(mkdtemp(names) ? 0 : -1);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%d", names, i);
        close(creat(path, 0600));
    }
    DIR *directory = opendir(names);
    for (int i = 0; i < 4; i++)
        readdir(directory);
    long place = telldir(directory);
    closedir(directory);
    int left = 0, listed = open(names, O_RDONLY | O_DIRECTORY);
    lseek(listed, place, SEEK_SET);
    directory = fdopendir(listed);
    while (readdir(directory))
        left++;
    closedir(directory);
    printf("left of a listing: %d\n", left);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%d", names, i);
        unlink(path);
    }
    RESULT(rmdir(names));

    /* What something is mounted on stays where it is. */
    char exchanged[] = "/exchanged-XXXXXX";
    mkdtemp(exchanged);
    errno = 0;
    int answer = renameat2(AT_FDCWD, exchanged, AT_FDCWD, "/proc", RENAME_EXCHANGE);
    printf("exchange with a mount: %d, %s\n", answer, strerror(errno));
    rmdir(exchanged);
}

int main(void) {
    names_that_stay();

    /* What sendfile read and could not write must not be skipped. */
    static char block[1 << 16], back[1 << 16];
    int file = open("/tmp/corners", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 4; i++) {
        for (unsigned j = 0; j < sizeof block; j++)
            block[j] = (char)(i * 31 + j % 251);
        write(file, block, sizeof block);
    }
    lseek(file, 0, SEEK_SET);
    int ends[2];
    pipe2(ends, O_NONBLOCK);
    long long moved = 0, errors = 0, received = 0, different = 0;
    while (received < 4 << 16) {
        ssize_t sent = sendfile(ends[1], file, 0, 1 << 20);
        if (sent > 0)
            moved += sent;
        else if (sent < 0 && errno == EAGAIN)
            errors++;
        ssize_t got = read(ends[0], back, 40000);
        for (ssize_t i = 0; i < got; i++, received++)
            different += back[i] != (char)((received >> 16) * 31 + (received & 0xffff) % 251);
    }
    printf("moved %lld received %lld different %lld position %lld\n", moved, received, different,
           (long long)lseek(file, 0, SEEK_CUR));

    /* A file that tells about itself. */
    char text[256] = "";
    int information = open("/proc/self/fdinfo/9", O_RDONLY);
    printf("fdinfo of nothing: %d\n", information);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 9);
    information = open("/proc/self/fdinfo/9", O_RDONLY);
    dup2(information, 9);
    printf("fdinfo of itself: %d\n", read(9, text, sizeof text - 1) > 0 && strstr(text, "pos:\t0") != 0);

    /* Settings are opened as shells do. */
    int setting = open("/proc/self/comm", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    printf("comm: %d\n", setting >= 0 && write(setting, "renamed", 7) == 7);
    int read_back = open("/proc/self/comm", O_RDONLY);
    memset(text, 0, sizeof text);
    read(read_back, text, sizeof text - 1);
    printf("comm now: %s", text);

    /* No descriptor left: nothing is made, nothing is truncated. */
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &limit);
    RESULT(open("/tmp/corners-new", O_CREAT | O_EXCL | O_WRONLY, 0600));
    RESULT(open("/tmp/corners", O_WRONLY | O_TRUNC));
    struct stat status;
    printf("made: %d\n", stat("/tmp/corners-new", &status));
    stat("/tmp/corners", &status);
    printf("size: %lld\n", (long long)status.st_size);
    unlink("/tmp/corners");
    return 0;
}
