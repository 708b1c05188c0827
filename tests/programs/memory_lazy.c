/*
 * Memory that may be given up: MADV_FREE, and MAP_DROPPABLE. Without arguments, what can be seen while there is enough
 * memory; with `pressure`, that it is given up before anything is refused or anybody killed, for a machine of 64 MiB.
 */
#include "check.h"
#include "meminfo.h"
#include "smaps.h"
#include <sched.h>
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <pthread.h>

#define PAGE 4096UL
#define MEGABYTE (1UL << 20)
#define LARGE (2 * MEGABYTE)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define DROPPABLE 8

/* Pages apart from others, so that they are an area of their own. */
static char *map_as(unsigned long bytes, int flags) {
    char *area = mmap(0, bytes + 2 * PAGE, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
    return mmap(area + PAGE, bytes, READ_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
static char *filled(unsigned long pages) {
    char *area = map_as(pages * PAGE, MAP_PRIVATE);
    for (unsigned long i = 0; i < pages; i++)
        memset(area + i * PAGE, (int)i % 100 + 1, PAGE);
    return area;
}
/* KiB of an area that may be given up. Linux keeps a list of the last pages for each processor, which the next call clears. */
static long lazy(const char *area) {
    static char *other;
    if (!other)
        other = map_as(PAGE, MAP_PRIVATE);
    madvise(other, PAGE, MADV_FREE);
    return atol(row(area, "LazyFree:"));
}
static int is_filled(const char *area, unsigned long pages) {
    unsigned long wrong = 0;
    for (unsigned long i = 0; i < pages; i++)
        wrong += area[i * PAGE] != (int)i % 100 + 1;
    return wrong == 0;
}

static void seen(void) {
    puts("-- kept until memory is short");
    char *area = filled(64);
    CHECK(lazy(area) == 0);
    RESULT(madvise(area, 64 * PAGE, MADV_FREE));
    CHECK(is_filled(area, 64));
    CHECK(lazy(area) == 256);
    CHECK(atol(row(area, "Rss:")) == 256 && atol(row(area, "Private_Clean:")) == 256);
    CHECK(atol(row(area, "Anonymous:")) == 256 && atol(row(area, "Private_Dirty:")) == 0);

    puts("-- a write takes it back");
    area[0] = 1;
    area[5 * PAGE + 7] = 6;
    CHECK(lazy(area) == 248 && atol(row(area, "Private_Dirty:")) == 8);
    FILE *zeroes = fopen("/dev/zero", "r");
    setvbuf(zeroes, 0, _IONBF, 0);
    CHECK(fread(area + 6 * PAGE + 1, 1, 10, zeroes) == 10);
    fclose(zeroes);
    CHECK(lazy(area) == 244);
    char byte = 8;
    struct iovec from = {&byte, 1}, to = {area + 7 * PAGE, 1};
    RESULT(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
    CHECK(lazy(area) == 240);
    RESULT(madvise(area, 64 * PAGE, MADV_FREE));
    CHECK(lazy(area) == 256 && area[7 * PAGE] == 8);

    puts("-- rights, places and copies");
    RESULT(mprotect(area, 64 * PAGE, PROT_READ));
    RESULT(mprotect(area, 64 * PAGE, PROT_NONE));
    RESULT(mprotect(area, 64 * PAGE, READ_WRITE));
    CHECK(lazy(area) == 256 && is_filled(area, 64));
    char *moved = mremap(area, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map_as(64 * PAGE, MAP_PRIVATE));
    CHECK(lazy(moved) == 256 && is_filled(moved, 64));
    moved[63 * PAGE] = 64;
    CHECK(lazy(moved) == 252);
    fflush(stdout);
    if (fork() == 0) {
        CHECK(is_filled(moved, 64));
        moved[0] = 9;
        CHECK(moved[1] == 1);
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    CHECK(is_filled(moved, 64));
    moved[1] = 2;
    CHECK(moved[0] == 1 && moved[1] == 2);
    RESULT(madvise(moved, 64 * PAGE, MADV_FREE));
    RESULT(madvise(moved, PAGE, MADV_DONTNEED));
    CHECK(moved[0] == 0 && moved[PAGE] == 2);

    puts("-- large pages");
    char *large = map_as(3 * LARGE, MAP_PRIVATE);
    large = (char *)(((uintptr_t)large + LARGE - 1) & -LARGE);
    madvise(large, LARGE, MADV_HUGEPAGE);
    memset(large, 3, LARGE);
    RESULT(madvise(large, LARGE, MADV_FREE));
    CHECK(lazy(large) == 2048 && large[LARGE - 1] == 3);
    memset(large, 4, LARGE);
    CHECK(lazy(large) == 0);
    RESULT(madvise(large + 3 * PAGE, 5 * PAGE, MADV_FREE));
    CHECK(lazy(large) == 20 && large[0] == 4 && large[4 * PAGE] == 4 && large[LARGE - 1] == 4);

    puts("-- refused");
    RESULT(madvise(moved + 1, PAGE, MADV_FREE));
    RESULT(mlock(moved, PAGE));
    RESULT(madvise(moved, PAGE, MADV_FREE));
    RESULT(munlock(moved, PAGE));
    char *shared = map_as(PAGE, MAP_SHARED);
    RESULT(madvise(shared, PAGE, MADV_FREE));
    munmap(moved + 8 * PAGE, PAGE);
    RESULT(madvise(moved, 16 * PAGE, MADV_FREE));
}

static void *write_on(void *area) {
    /* Each page again and again, while others take pages: nothing that was written last may be lost. */
    for (long round = 0; round < 40; round++) {
        madvise(area, MEGABYTE, MADV_FREE);
        for (unsigned long at = 0; at < MEGABYTE; at += PAGE)
            *(volatile long *)((char *)area + at) = round;
        for (unsigned long at = 0; at < MEGABYTE; at += PAGE)
            if (*(volatile long *)((char *)area + at) != round)
                return "lost";
    }
    return 0;
}

/* A number of a file of /proc by its name with the colon. */
static long number_of(const char *path, const char *name) {
    char line[256];
    long number = -1;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            number = atol(line + strlen(name));
    if (file)
        fclose(file);
    return number;
}
/* What is counted as pages come and go is what the page tables hold. */
static int counts_agree(void) {
    long own = number_of("/proc/self/status", "RssAnon:"), all = number_of("/proc/self/status", "VmRSS:");
    return own > 0 && own == number_of("/proc/self/smaps_rollup", "Anonymous:") && all == number_of("/proc/self/smaps_rollup", "Rss:");
}
static void counted(void) {
    CHECK(counts_agree());
    /* Zeroes that are written, copies of a file's pages, a large page in parts, copies of a fork, and what moves. */
    char *area = map_as(2 * LARGE, MAP_PRIVATE);
    int file = memfd_create("file", 0);
    char *copy = ftruncate(file, 64 * PAGE) ? 0 : mmap(0, 64 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0);
    unsigned long sum = 0;
    for (unsigned long at = 0; at < 64 * PAGE; at += PAGE)
        sum += area[at] + copy[at];
    for (unsigned long at = 0; at < 64 * PAGE; at += 2 * PAGE)
        area[at] = copy[at] = 1;
    CHECK(sum == 0 && counts_agree());
    madvise(area, 2 * LARGE, MADV_COLLAPSE);
    CHECK(counts_agree());
    munmap(area + LARGE + 3 * PAGE, PAGE);
    mprotect(area, PAGE, PROT_NONE);
    CHECK(counts_agree());
    fflush(stdout);
    if (fork() == 0) {
        CHECK(counts_agree());
        memset(area + PAGE, 1, MEGABYTE);
        copy[0] = 2;
        CHECK(counts_agree());
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    copy = mremap(copy, 64 * PAGE, 128 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map_as(128 * PAGE, MAP_PRIVATE));
    madvise(copy, 8 * PAGE, MADV_DONTNEED);
    CHECK(counts_agree());
    munmap(copy, 128 * PAGE);
    munmap(area, 2 * LARGE);
    CHECK(counts_agree());
}

/* How many pages of some MiB are zeroes, and how many are as they were. */
static unsigned long zeroes, kept;
static void count(const char *area, unsigned long bytes) {
    zeroes = kept = 0;
    for (unsigned long at = 0; at < bytes; at += PAGE) {
        zeroes += area[at] == 0 && area[at + PAGE - 1] == 0;
        kept += area[at] == 7 && area[at + PAGE - 1] == 7;
    }
}

static void pressure(void) {
    unsigned long free = (unsigned long)number_in("MemFree:") << 10;
    unsigned long size = free / 4 & -(2 * LARGE), all = size / PAGE;
    /* So much that a quarter of a piece has to be given up for it, if there are two: another quarter is written again, which
     * takes the whole of a large page back. */
    unsigned long needed = (free - 2 * size + size / 4) & -PAGE;
    for (int kind = 0; kind < 2; kind++) {
        long given = number_of("/proc/vmstat", "pglazyfreed ");
        char *area = kind ? map_as(size, DROPPABLE) : map_as(size, MAP_PRIVATE);
        char *other = map_as(size, MAP_PRIVATE), *locked = map_as(MEGABYTE, MAP_PRIVATE);
        memset(area, 7, size);
        memset(other, 7, size);
        memset(locked, 7, MEGABYTE);
        long available = number_in("MemAvailable:"), inactive = number_in("Inactive(file):");
        if (!kind) {
            madvise(area, size, MADV_FREE);
            available += (long)(size >> 10);
        }
        CHECK(labs(number_in("MemAvailable:") - available) < (long)(size >> 13));
        CHECK(number_in("Inactive(file):") - inactive == (kind ? 0 : (long)(size >> 10)));
        madvise(locked, MEGABYTE, MADV_FREE);
        mlock(locked, MEGABYTE);
        count(area, size);
        CHECK(kept == all);
        /* Written again, so it stays. */
        if (!kind)
            memset(area, 7, size / 4);
        /* More than is free. */
        char *more = map_as(needed, MAP_PRIVATE);
        for (unsigned long at = 0; at < needed; at += PAGE)
            more[at] = 7;
        count(area, size);
        CHECK(zeroes > all / 8 && zeroes + kept == all);
        CHECK(number_of("/proc/vmstat", "pglazyfreed ") - given >= (long)zeroes);
        if (!kind) {
            count(area, size / 4);
            CHECK(kept == all / 4);
        }
        count(other, size);
        CHECK(kept == all);
        count(locked, MEGABYTE);
        CHECK(kept == MEGABYTE / PAGE);
        munmap(more, needed);
        munmap(area, size);
        munmap(other, size);
        munmap(locked, MEGABYTE);
    }
    /* For a file as well, and for a call's objects. */
    char *area = map_as(2 * size, MAP_PRIVATE);
    memset(area, 7, 2 * size);
    madvise(area, 2 * size, MADV_FREE);
    CHECK(lazy(area) == (long)(2 * size >> 10));
    int file = memfd_create("file", 0);
    char *bytes = map_as(MEGABYTE, MAP_PRIVATE);
    unsigned long written = 0;
    while (written < needed && write(file, bytes, MEGABYTE) == (long)MEGABYTE)
        written += MEGABYTE;
    CHECK(written >= needed);
    int ends[2];
    CHECK(pipe(ends) == 0);
    close(file);
    munmap(area, 2 * size);
    /* Together with writes by others. */
    pthread_t threads[2];
    char *theirs[2] = {map_as(MEGABYTE, MAP_PRIVATE), map_as(MEGABYTE, MAP_PRIVATE)};
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], 0, write_on, theirs[i]);
    for (int round = 0; round < 3; round++) {
        char *taken = map_as(3 * size + size / 2, MAP_PRIVATE);
        for (unsigned long at = 0; at < 3 * size + size / 2; at += LARGE) {
            memset(taken + at, 1, LARGE);
            madvise(taken + at, LARGE, MADV_FREE);
        }
        munmap(taken, 3 * size + size / 2);
    }
    void *lost[2];
    pthread_join(threads[0], &lost[0]);
    pthread_join(threads[1], &lost[1]);
    CHECK(!lost[0] && !lost[1]);
    CHECK(counts_agree());
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "pressure")) {
        counted();
        pressure();
        return 0;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    seen();
    return 0;
}
