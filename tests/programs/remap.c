/* Memory that moves, is shared, or comes and goes: mremap, coherence, churn, mincore, madvise, limits. */
#include "check.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define POPULATE_READ 22
#define POPULATE_WRITE 23

static char *map(unsigned long pages) {
    return mmap(0, pages * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
}
/* Each page begins with its number, from `first` on. */
static void number(char *from, unsigned long pages, unsigned first) {
    for (unsigned long i = 0; i < pages; i++)
        *(unsigned *)(from + i * PAGE) = first + (unsigned)i;
}
static int numbered(const char *from, unsigned long pages, unsigned first) {
    for (unsigned long i = 0; i < pages; i++)
        if (*(const unsigned *)(from + i * PAGE) != first + (unsigned)i)
            return 0;
    return 1;
}
static int zero(const char *from, unsigned long length) {
    for (unsigned long i = 0; i < length; i++)
        if (from[i])
            return 0;
    return 1;
}
static int mapped(const void *address) {
    unsigned char in;
    return mincore((void *)((uintptr_t)address & -PAGE), PAGE, &in) == 0;
}
static int present(void *from, unsigned long pages) {
    static unsigned char in[65536];
    int count = 0;
    if (mincore(from, pages * PAGE, in) != 0)
        return -1;
    for (unsigned long i = 0; i < pages; i++)
        count += in[i] & 1;
    return count;
}

static void moves(void) {
    puts("-- mremap: shrink, grow, move");
    char *area = map(16);
    number(area, 16, 1);
    CHECK(mremap(area, 16 * PAGE, 4 * PAGE, 0) == area);
    CHECK(numbered(area, 4, 1) && !mapped(area + 4 * PAGE) && !mapped(area + 15 * PAGE));
    CHECK(mremap(area, 4 * PAGE, 8 * PAGE, 0) == area);
    CHECK(numbered(area, 4, 1) && zero(area + 4 * PAGE, 4 * PAGE));
    CHECK(mmap(area + 8 * PAGE, PAGE, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0) == area + 8 * PAGE);
    RESULT(mremap(area, 8 * PAGE, 9 * PAGE, 0));
    char *moved = mremap(area, 8 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != area && !mapped(area) && mapped(area + 8 * PAGE));
    CHECK(numbered(moved, 4, 1) && zero(moved + 4 * PAGE, 996 * PAGE));
    munmap(area + 8 * PAGE, PAGE);

    puts("-- mremap: fixed");
    char *target = map(64);
    number(target, 64, 100);
    RESULT(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_FIXED, target));
    RESULT(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved + PAGE));
    RESULT(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 1));
    CHECK(numbered(target, 64, 100) && numbered(moved, 4, 1));
    CHECK(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 8 * PAGE) == target + 8 * PAGE);
    CHECK(numbered(target, 8, 100) && numbered(target + 8 * PAGE, 4, 1) && numbered(target + 12 * PAGE, 52, 112));
    CHECK(!mapped(moved) && mapped(moved + 4 * PAGE));
    /* What is moved to a smaller place loses its end. */
    CHECK(mremap(target, 8 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved);
    CHECK(numbered(moved, 6, 100) && !mapped(target + 6 * PAGE) && numbered(target + 8 * PAGE, 4, 1));
    munmap(moved, 1000 * PAGE);
    munmap(target, 64 * PAGE);

    puts("-- mremap: far, with holes and protections");
    char *sparse = map(2048);
    for (unsigned i = 0; i < 2048; i += 37)
        number(sparse + i * PAGE, 1, i);
    RESULT(mprotect(sparse, 2048 * PAGE, PROT_READ));
    char *reserved = mmap(0, 1UL << 33, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *far = (char *)(((uintptr_t)reserved + (1UL << 31)) & -(1UL << 30)) - 1024 * PAGE;
    CHECK(mremap(sparse, 2048 * PAGE, 2048 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far) == far);
    int good = 1;
    for (unsigned i = 0; i < 2048; i++)
        good &= *(unsigned *)(far + i * PAGE) == (i % 37 ? 0 : i);
    CHECK(good);
    RESULT(mprotect(far, 2048 * PAGE, READ_WRITE));
    number(far, 2048, 7);
    CHECK(numbered(far, 2048, 7));
    RESULT(munmap(reserved, 1UL << 33));

    puts("-- mremap: a file");
    int file = open("remap.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (unsigned i = 0; i < 8; i++)
        if (pwrite(file, &i, sizeof i, i * PAGE) != sizeof i)
            puts("pwrite failed");
    RESULT(ftruncate(file, 8 * PAGE));
    char *view = mmap(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 2 * PAGE);
    CHECK(numbered(view, 2, 2));
    view = mremap(view, 2 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    CHECK(view != MAP_FAILED && numbered(view, 6, 2));
    char *end = mmap(0, PAGE, PROT_READ, MAP_SHARED, file, 0x7ffffffffffff000L);
    RESULT(mremap(view, 6 * PAGE, ~0UL << 12, MREMAP_MAYMOVE) == MAP_FAILED);
    if (end != MAP_FAILED)
        munmap(end, PAGE);
    munmap(view, 6 * PAGE);
    close(file);
    unlink("remap.data");
}

/* A file from the image, if one is given: what one way writes, all other ways read. */
static void coherence(const char *path) {
    puts("-- shared mappings and write");
    int file = open(path, O_RDWR);
    if (file < 0) {
        puts("can't be opened");
        return;
    }
    char *reader = mmap(0, 40 * PAGE, PROT_READ, MAP_SHARED, file, 0);
    char *other = mmap(0, 40 * PAGE, PROT_READ, MAP_SHARED, file, 0);
    char *writer = mmap(0, 40 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    char *own = mmap(0, 40 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0);
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 40; i++)
        sum += (unsigned char)reader[i * PAGE] + (unsigned char)other[i * PAGE];
    own[3 * PAGE] = 'P';
    CHECK(pwrite(file, "written", 7, 3 * PAGE) == 7);
    CHECK(!memcmp(reader + 3 * PAGE, "written", 7) && !memcmp(writer + 3 * PAGE, "written", 7));
    CHECK(own[3 * PAGE] == 'P');
    memcpy(writer + 5 * PAGE + 9, "mapped", 6);
    char text[8] = "";
    CHECK(pread(file, text, 6, 5 * PAGE + 9) == 6 && !strcmp(text, "mapped"));
    CHECK(!memcmp(reader + 5 * PAGE + 9, "mapped", 6) && !memcmp(other + 5 * PAGE + 9, "mapped", 6));
    RESULT(mprotect(other, 40 * PAGE, READ_WRITE));
    memcpy(other + 7 * PAGE, "again", 5);
    CHECK(!memcmp(reader + 7 * PAGE, "again", 5) && !memcmp(writer + 7 * PAGE, "again", 5));
    munmap(reader, 40 * PAGE);
    munmap(other, 40 * PAGE);
    munmap(writer, 40 * PAGE);
    munmap(own, 40 * PAGE);
    close(file);

    puts("-- shared memory without a file");
    char *shared = mmap(0, 32 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(zero(shared, PAGE) && zero(shared + 20 * PAGE, PAGE));
    number(shared, 32, 5);
    RESULT(madvise(shared, 32 * PAGE, MADV_DONTNEED));
    CHECK(numbered(shared, 32, 5));
    munmap(shared, 32 * PAGE);
    RESULT(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
}

static sigjmp_buf after_bus_error;
static void on_bus_error(int signal) {
    (void)signal;
    siglongjmp(after_bus_error, 1);
}
static int readable(const volatile char *from) {
    if (sigsetjmp(after_bus_error, 1))
        return 0;
    (void)*from;
    return 1;
}
static long blocks(int file) {
    struct stat status;
    return fstat(file, &status) == 0 ? (long)status.st_blocks : -1;
}

/* The same file, fresh: what is mapped follows when it is written, cut, and punched. */
static void changes(const char *path) {
    int file = open(path, O_RDWR);
    int to_read = open(path, O_RDONLY);
    if (file < 0)
        return;
    signal(SIGBUS, on_bus_error);
    char *fixed = mmap(0, 40 * PAGE, PROT_READ, MAP_SHARED, to_read, 0);
    char *own = mmap(0, 40 * PAGE, READ_WRITE, MAP_PRIVATE, to_read, 0);
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 40; i++)
        sum += (unsigned char)fixed[i * PAGE] + (unsigned char)own[i * PAGE];

    puts("-- write under mappings");
    own[12 * PAGE] = 'P';
    CHECK(pwrite(file, "fresh", 5, 11 * PAGE - 2) == 5 && pwrite(file, "fresh", 5, 12 * PAGE) == 5);
    CHECK(!memcmp(fixed + 11 * PAGE - 2, "fresh", 5) && !memcmp(own + 11 * PAGE - 2, "fresh", 5));
    CHECK(!memcmp(fixed + 12 * PAGE, "fresh", 5) && own[12 * PAGE] == 'P' && own[12 * PAGE + 1] != 'r');
    char *writer = mmap(0, 40 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    memcpy(writer + 14 * PAGE, "mapped", 6);
    CHECK(!memcmp(fixed + 14 * PAGE, "mapped", 6) && !memcmp(own + 14 * PAGE, "mapped", 6));
    /* Written from the page that it changes. */
    char *self = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, to_read, 16 * PAGE);
    char before[64];
    memcpy(before, self, sizeof before);
    CHECK(pwrite(file, self, sizeof before, 16 * PAGE + 100) == sizeof before);
    CHECK(!memcmp(self, before, sizeof before) && !memcmp(fixed + 16 * PAGE + 100, before, sizeof before));

    puts("-- truncation under mappings");
    own[30 * PAGE] = 'P';
    writer[31 * PAGE] = 'W';
    RESULT(ftruncate(file, 20 * PAGE + 10));
    CHECK(readable(fixed + 20 * PAGE) && readable(own + 20 * PAGE) && readable(writer + 20 * PAGE));
    CHECK(zero(fixed + 20 * PAGE + 10, PAGE - 10) && zero(own + 20 * PAGE + 10, PAGE - 10));
    for (unsigned i = 21; i < 40; i += 3)
        if (readable(fixed + i * PAGE) || readable(own + i * PAGE) || readable(writer + i * PAGE))
            printf("page %u is still there\n", i);
    CHECK(!readable(own + 30 * PAGE) && !readable(writer + 31 * PAGE));
    writer[20 * PAGE + 50] = 'B'; /* behind the end */
    RESULT(ftruncate(file, 36 * PAGE));
    CHECK(zero(fixed + 20 * PAGE + 10, 15 * PAGE) && zero(own + 22 * PAGE, 14 * PAGE) && !readable(own + 36 * PAGE));
    writer[25 * PAGE] = 'C';
    char text[8] = "";
    CHECK(fixed[25 * PAGE] == 'C' && own[25 * PAGE] == 'C' && pread(file, text, 1, 25 * PAGE) == 1 && *text == 'C');

    puts("-- holes and preallocation under mappings");
    own[26 * PAGE] = 'P';
    writer[27 * PAGE] = writer[28 * PAGE] = 'D';
    CHECK(own[27 * PAGE] == 'D' && fixed[28 * PAGE] == 'D');
    fsync(file);
    long with = blocks(file);
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 24 * PAGE + 5, 4 * PAGE));
    CHECK(blocks(file) < with);
    CHECK(zero(fixed + 25 * PAGE, 3 * PAGE) && zero(own + 27 * PAGE, PAGE) && own[26 * PAGE] == 'P');
    CHECK(fixed[28 * PAGE] == 0 && fixed[24 * PAGE] == 0);
    CHECK(pwrite(file, "after", 5, 27 * PAGE) == 5);
    CHECK(!memcmp(fixed + 27 * PAGE, "after", 5) && !memcmp(own + 27 * PAGE, "after", 5));
    memcpy(writer + 27 * PAGE, "AFTER", 5);
    CHECK(pread(file, text, 5, 27 * PAGE) == 5 && !memcmp(text, "AFTER", 5) && !memcmp(fixed + 27 * PAGE, "AFTER", 5));
    /* A hole in what was there from the beginning. */
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 17 * PAGE, 2 * PAGE));
    CHECK(zero(fixed + 17 * PAGE, 2 * PAGE) && zero(own + 17 * PAGE, 2 * PAGE));
    RESULT(ftruncate(file, 36 * PAGE - 100));
    memset(writer + 36 * PAGE - 100, 'E', 100);
    RESULT(fallocate(file, 0, 37 * PAGE, PAGE));
    CHECK(zero(fixed + 36 * PAGE - 100, 2 * PAGE + 100));
    munmap(fixed, 40 * PAGE);
    munmap(own, 40 * PAGE);
    munmap(writer, 40 * PAGE);
    munmap(self, PAGE);

    puts("-- preallocation behind the end comes back");
    int good = 1;
    for (unsigned long i = 0; i < 40; i++) {
        good &= fallocate(file, FALLOC_FL_KEEP_SIZE, (100 + i * 600) * PAGE, 512 * PAGE) == 0;
        good &= i % 2 ? ftruncate(file, 40 * PAGE) == 0
                      : fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (99 + i * 600) * PAGE, 520 * PAGE) == 0;
    }
    CHECK(good && lseek(file, 0, SEEK_END) == 40 * PAGE);
    close(file);
    close(to_read);
    signal(SIGBUS, SIG_DFL);
}

/* Page tables and frames must come back however mappings are cut up: a small machine notices. */
static void churn(void) {
    puts("-- churn");
    int good = 1;
    for (unsigned i = 0; i < 20000; i++) {
        /* Always elsewhere, each time with tables of its own; taken away in pieces. */
        char *place = (char *)(0x100000000000UL + (i % 5000) * (1UL << 30) + (i % 512) * (1UL << 21) - 2 * PAGE);
        char *area = mmap(place, 4 * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (area != place) {
            good = 0;
            break;
        }
        area[0] = area[3 * PAGE] = 1;
        good &= munmap(area + PAGE, 2 * PAGE) == 0;
        if (i % 3 == 0) {
            char *moved = mremap(area, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + (1UL << 22));
            good &= moved == area + (1UL << 22) && moved[0] == 1 && munmap(moved, PAGE) == 0;
        } else {
            good &= munmap(area, PAGE) == 0;
        }
        good &= munmap(area + 3 * PAGE, PAGE) == 0;
    }
    CHECK(good);
    char *heap = (char *)syscall(SYS_brk, 0);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned long length = (i % 7 + 1) << 20;
        good &= (char *)syscall(SYS_brk, heap + length) == heap + length;
        heap[length - 1] = 1;
        good &= (char *)syscall(SYS_brk, heap) == heap;
    }
    CHECK(good);
    /* Reading costs no frames, only tables. */
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        char *area = map(4096);
        for (unsigned page = 0; page < 4096; page++)
            sum += (unsigned char)area[page * PAGE];
        good &= sum == 0 && munmap(area, 4096 * PAGE) == 0;
    }
    CHECK(good);
}

static void advice(void) {
    puts("-- mincore");
    char *area = map(9000);
    CHECK(present(area, 9000) == 0);
    area[0] = area[5000 * PAGE] = area[8999 * PAGE] = 1;
    CHECK(present(area, 9000) == 3);
    unsigned char in[4];
    RESULT(mincore(area + 1, PAGE, in));
    RESULT(mincore(area, PAGE, (void *)8));
    RESULT(mincore(area, 0, in));
    RESULT(munmap(area + 8000 * PAGE, PAGE));
    CHECK(present(area, 9000) == -1 && errno == ENOMEM);

    puts("-- madvise: populate");
    RESULT(madvise(area, 100 * PAGE, POPULATE_WRITE));
    CHECK(present(area, 100) == 100);
    RESULT(madvise(area + 200 * PAGE, 100 * PAGE, POPULATE_READ));
    CHECK(zero(area + 200 * PAGE, 100 * PAGE) && present(area + 200 * PAGE, 100) == 100);
    RESULT(madvise(area + 7990 * PAGE, 20 * PAGE, POPULATE_READ));
    RESULT(mprotect(area, PAGE, PROT_READ));
    RESULT(madvise(area, PAGE, POPULATE_WRITE));
    RESULT(madvise(area, PAGE, POPULATE_READ));
    RESULT(mprotect(area, PAGE, PROT_NONE));
    RESULT(madvise(area, PAGE, POPULATE_READ));
    RESULT(madvise(area + 1, PAGE, POPULATE_READ));
    RESULT(madvise(area, ~0UL, MADV_DONTNEED));
    int file = open("remap.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    RESULT(ftruncate(file, PAGE));
    char *view = mmap(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    RESULT(madvise(view, PAGE, POPULATE_WRITE));
    RESULT(madvise(view, 2 * PAGE, POPULATE_WRITE));
    munmap(view, 2 * PAGE);
    close(file);
    unlink("remap.data");

    puts("-- madvise: forget, with a hole");
    area[7999 * PAGE] = area[8001 * PAGE] = 2;
    RESULT(madvise(area + 7999 * PAGE, 3 * PAGE, MADV_DONTNEED));
    CHECK(area[7999 * PAGE] == 0 && area[8001 * PAGE] == 0);
    munmap(area, 9000 * PAGE);
    RESULT(msync((void *)0x30000000, ~0UL << 12, MS_SYNC));
}

static void limits(void) {
    puts("-- RLIMIT_AS");
    char *area = map(16), *low;
    number(area, 16, 1);
    struct rlimit all, none = {PAGE, RLIM_INFINITY};
    getrlimit(RLIMIT_AS, &all);
    none.rlim_max = all.rlim_max;
    char *heap = (char *)syscall(SYS_brk, 0);
    RESULT(setrlimit(RLIMIT_AS, &none));
    void *more = mmap(0, PAGE, READ_WRITE, ANONYMOUS, -1, 0);
    int error_of_more = errno;
    void *grown = mremap(area, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE);
    int error_of_grown = errno;
    void *fixed = mmap(area + 15 * PAGE, 2 * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
    char *after = (char *)syscall(SYS_brk, heap + (1 << 20));
    setrlimit(RLIMIT_AS, &all);
    CHECK(more == MAP_FAILED && error_of_more == ENOMEM);
    CHECK(grown == MAP_FAILED && error_of_grown == ENOMEM);
    CHECK(fixed == MAP_FAILED && numbered(area, 16, 1));
    CHECK(after == heap);
    CHECK((char *)syscall(SYS_brk, heap + (1 << 20)) == heap + (1 << 20));

    puts("-- MAP_32BIT");
    low = mmap(0, 3 * PAGE, READ_WRITE, ANONYMOUS | MAP_32BIT, -1, 0);
    CHECK(low != MAP_FAILED && (uintptr_t)low + 3 * PAGE <= 1UL << 31);
    number(low, 3, 1);
    CHECK(numbered(low, 3, 1) && munmap(low, 3 * PAGE) == 0);
    RESULT(mmap(0, 1UL << 31, READ_WRITE, ANONYMOUS | MAP_32BIT | MAP_NORESERVE, -1, 0));
    munmap(area, 16 * PAGE);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 2 && chdir(argv[2]) != 0)
        perror(argv[2]);
    moves();
    if (argc > 1) {
        changes(argv[1]);
        coherence(argv[1]);
    }
    churn();
    advice();
    limits();
    return 0;
}
