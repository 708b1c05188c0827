/*
 * What files cost: nanoseconds per operation, one line each, in a tmpfs. The same binary runs on both sides, and the calls
 * are made directly where the C library would do more.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MEBIBYTE = 1 << 20, DIRECTORIES = 100, FILES = 100 };

static char buffer[MEBIBYTE];
static int small, large;

static double now(void) {
    struct timespec value;
    clock_gettime(CLOCK_MONOTONIC, &value);
    return (double)value.tv_sec * 1e9 + (double)value.tv_nsec;
}

static int open_call(void) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/tmp/small", O_RDONLY);
    return file >= 0 && close(file) == 0;
}

static int deep_open(void) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/tmp/one/two/three/four/five/file", O_RDONLY);
    return file >= 0 && close(file) == 0;
}

static int stat_call(void) {
    struct stat status;
    return syscall(SYS_newfstatat, AT_FDCWD, "/tmp/small", &status, 0) == 0;
}

static int missing(void) {
    struct stat status;
    return syscall(SYS_newfstatat, AT_FDCWD, "/tmp/one/missing", &status, 0) == -1;
}

static int create_call(void) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/tmp/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    return file >= 0 && close(file) == 0 && unlink("/tmp/new") == 0;
}

static int read_small(void) {
    return pread(small, buffer, 4096, 0) == 4096;
}

static int write_small(void) {
    return pwrite(small, buffer, 4096, 0) == 4096;
}

static int read_large(void) {
    return pread(large, buffer, MEBIBYTE, 0) == MEBIBYTE;
}

static int write_large(void) {
    return pwrite(large, buffer, MEBIBYTE, 0) == MEBIBYTE;
}

/* With pages that must be made first. */
static int append_large(void) {
    return ftruncate(large, 0) == 0 && write_large();
}

static int rename_call(void) {
    return rename("/tmp/one/a", "/tmp/b") == 0 && rename("/tmp/b", "/tmp/one/a") == 0;
}

/* All names below a directory, each looked at. */
static int walk(const char *path, int *seen) {
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    struct dirent *entry;
    while ((entry = readdir(directory)) != 0) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return 0;
        ++*seen;
        if (S_ISDIR(status.st_mode)) {
            char below[512];
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            if (!walk(below, seen))
                return 0;
        }
    }
    return closedir(directory) == 0;
}

static int walk_call(void) {
    int seen = 0;
    return walk("/tmp/tree", &seen) && seen == DIRECTORIES + DIRECTORIES * FILES;
}

static int make(const char *path, size_t size) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, buffer, size) != (ssize_t)size)
        perror(path);
    return file;
}

static int prepare(void) {
    char path[64];
    if (mkdir("/tmp/tree", 0700) != 0)
        return 0;
    for (int i = 0; i < DIRECTORIES; i++) {
        snprintf(path, sizeof path, "/tmp/tree/%d", i);
        if (mkdir(path, 0700) != 0)
            return 0;
        for (int j = 0; j < FILES; j++) {
            snprintf(path, sizeof path, "/tmp/tree/%d/file-%d", i, j);
            close(make(path, 1));
        }
    }
    small = make("/tmp/small", 4096);
    large = make("/tmp/large", MEBIBYTE);
    mkdir("/tmp/one", 0700);
    mkdir("/tmp/one/two", 0700);
    mkdir("/tmp/one/two/three", 0700);
    mkdir("/tmp/one/two/three/four", 0700);
    mkdir("/tmp/one/two/three/four/five", 0700);
    close(make("/tmp/one/two/three/four/five/file", 1));
    close(make("/tmp/one/a", 1));
    return small >= 0 && large >= 0;
}

static int measure(const char *name, int (*operation)(void), int count) {
    /* The first rounds fill caches, and QEMU's translations. */
    for (int i = 0; i < count / 10 + 1; i++)
        if (!operation())
            goto failed;
    double start = now();
    for (int i = 0; i < count; i++)
        if (!operation())
            goto failed;
    printf("%s %.1f\n", name, (now() - start) / count);
    return 0;
failed:
    perror(name);
    return 1;
}

int main(void) {
    memset(buffer, 'x', sizeof buffer);
    if (!prepare()) {
        perror("/tmp");
        return 1;
    }
    int failed = measure("open", open_call, 50000);
    failed |= measure("deep", deep_open, 50000);
    failed |= measure("create", create_call, 20000);
    failed |= measure("stat", stat_call, 50000);
    failed |= measure("missing", missing, 50000);
    failed |= measure("rename", rename_call, 10000);
    failed |= measure("read4k", read_small, 50000);
    failed |= measure("write4k", write_small, 50000);
    failed |= measure("read1m", read_large, 500);
    failed |= measure("write1m", write_large, 500);
    failed |= measure("append1m", append_large, 200);
    failed |= measure("walk", walk_call, 5);
    return failed;
}
