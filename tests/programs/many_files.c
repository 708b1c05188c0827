/*
 * Many files: `many_files DIRECTORY FILES DIRECTORIES`, spread over some directories. They are made, looked at, listed,
 * renamed and removed, also while a listing is going on. `many_files measure DIRECTORY FILES DIRECTORIES` tells how long
 * each takes for a file, and how much memory a file needs.
 */
#include "check.h"
#include "meminfo.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long files, directories;
static int measuring;
static int descriptors[1000];

static double now(void) {
    struct timespec value;
    clock_gettime(CLOCK_MONOTONIC, &value);
    return (double)value.tv_sec * 1e9 + (double)value.tv_nsec;
}

/* Bytes that are free, or taken by the kernel's heap and not in use. */
static long available(void) {
    return number_in("MemFree:") * 1024;
}

static const char *name_of(long index) {
    static char name[32];
    snprintf(name, sizeof name, "file-%ld", index);
    return name;
}

static int directory_of(long index) {
    return descriptors[index % directories];
}

static double began;

static void start(void) {
    began = now();
}

static void done(const char *what, long count) {
    double each = (now() - began) / (double)count;
    if (measuring)
        printf("%-12s %9.0f ns\n", what, each);
}

/* Lists a directory from where it is; the sum of the names' numbers says that none came twice or not at all. Every file
 * for which `remove_every` divides the count so far is removed as soon as it was seen. */
static long list(int directory, unsigned long long *sum, long remove_every) {
    static char buffer[32768];
    long seen = 0, length;
    while ((length = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0)
        for (long offset = 0; offset < length;) {
            struct dirent64 *entry = (void *)(buffer + offset);
            offset += entry->d_reclen;
            if (entry->d_name[0] == '.')
                continue;
            seen++;
            *sum += strtoull(strchr(entry->d_name, '-') + 1, 0, 10) + 1;
            if (remove_every && seen % remove_every == 0 && unlinkat(directory, entry->d_name, 0) != 0)
                perror("unlink");
        }
    if (length < 0)
        perror("getdents64");
    return seen;
}

static long list_all(long remove_every) {
    unsigned long long sum = 0;
    long seen = 0;
    for (long i = 0; i < directories; i++) {
        lseek(descriptors[i], 0, SEEK_SET);
        seen += list(descriptors[i], &sum, remove_every);
    }
    if (!measuring)
        printf("%ld files, sum %llu\n", seen, sum);
    return seen;
}

int main(int count, char **arguments) {
    measuring = count > 1 && !strcmp(arguments[1], "measure");
    arguments += measuring;
    if (count - measuring != 4 || chdir(arguments[1]) != 0)
        return perror("many_files [measure] DIRECTORY FILES DIRECTORIES"), 1;
    files = atol(arguments[2]);
    directories = atol(arguments[3]);
    for (long i = 0; i < directories; i++) {
        char name[32];
        snprintf(name, sizeof name, "directory-%ld", i);
        if (mkdir(name, 0700) != 0 || (descriptors[i] = open(name, O_RDONLY | O_DIRECTORY)) < 0)
            return perror(name), 1;
    }
    long before = available();
    start();
    for (long i = 0; i < files; i++) {
        int file = openat(directory_of(i), name_of(i), O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (file < 0)
            return perror(name_of(i)), 1;
        close(file);
    }
    done("create", files);
    if (measuring)
        printf("%ld bytes for each file\n", (before - available()) / files);
    struct stat status;
    start();
    for (long i = 0; i < files; i++)
        if (fstatat(directory_of(i), name_of(i * 7919 % files), &status, 0) != 0 && directories == 1)
            return perror(name_of(i)), 1;
    done("stat", files);
    start();
    long seen = list_all(0);
    done("list", seen);
    /* A name that is made and removed while a listing goes on neither hides others nor shows them twice. */
    start();
    list_all(3);
    done("list, remove", seen);
    list_all(0);
    start();
    long renamed = 0;
    char name[32];
    for (long i = 0; i < files; i += 2) {
        snprintf(name, sizeof name, "renamed-%ld", i);
        renamed += renameat(directory_of(i), name_of(i), directory_of(i + 1), name) == 0;
    }
    done("rename", files / 2);
    if (!measuring)
        printf("renamed %ld\n", renamed);
    list_all(0);
    start();
    seen = list_all(1);
    done("remove", seen);
    if (!measuring)
        printf("removed\n");
    list_all(0);
    for (long i = 0; i < directories; i++) {
        snprintf(name, sizeof name, "directory-%ld", i);
        if (rmdir(name) != 0)
            perror(name);
        close(descriptors[i]);
    }
    if (measuring)
        printf("%ld bytes for each file are still in use\n", (before - available()) / files);
    return 0;
}
