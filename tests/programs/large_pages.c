/*
 * Memory in large pages behaves as in small ones, however it is cut up, and while other threads use it. With the argument
 * `count` it says whether large pages were used at all, which is up to the system.
 */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define LARGE (512 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf escape;
static void leave(int signal) {
    siglongjmp(escape, signal);
}
static int writing(volatile char *address) {
    int signal = sigsetjmp(escape, 1);
    if (!signal)
        *address = *address;
    return signal;
}
/* So many large pages' worth of memory that starts at a multiple of their size; `guard` is left free around it. */
static char *area(int count) {
    char *all = mmap(0, (unsigned long)(count + 2) * LARGE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *start = (char *)(((uintptr_t)all + LARGE) & -LARGE);
    mprotect(start, (unsigned long)count * LARGE, READ_WRITE);
    madvise(start, (unsigned long)count * LARGE, MADV_HUGEPAGE);
    return start;
}
static void number(char *from, unsigned long pages, unsigned first) {
    for (unsigned long i = 0; i < pages; i++)
        *(unsigned *)(from + i * PAGE + 8 * (i % 500)) = first + (unsigned)i;
}
static int numbered(const char *from, unsigned long pages, unsigned first, unsigned long skipped) {
    for (unsigned long i = 0; i < pages; i++)
        if (*(const unsigned *)(from + i * PAGE + 8 * ((i + skipped) % 500)) != first + (unsigned)i)
            return 0;
    return 1;
}
static int zero(const char *from, unsigned long length) {
    for (unsigned long i = 0; i < length; i++)
        if (from[i])
            return 0;
    return 1;
}
static long kilobytes(const char *name) {
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    if (file)
        fclose(file);
    return value;
}

static void cuts(void) {
    puts("-- cut up");
    char *start = area(4);
    CHECK(zero(start, 4 * LARGE));
    number(start, 2048, 1);
    CHECK(numbered(start, 2048, 1, 0));
    RESULT(munmap(start + 100 * PAGE, PAGE));
    CHECK(writing(start + 100 * PAGE) == SIGSEGV && numbered(start, 100, 1, 0) && numbered(start + 101 * PAGE, 1947, 102, 101));
    RESULT(mprotect(start + 600 * PAGE, 3 * PAGE, PROT_READ));
    CHECK(writing(start + 601 * PAGE) == SIGSEGV && !writing(start + 599 * PAGE) && !writing(start + 603 * PAGE));
    CHECK(numbered(start + 512 * PAGE, 1536, 513, 512));
    RESULT(madvise(start + 1030 * PAGE, 5 * PAGE, MADV_DONTNEED));
    CHECK(zero(start + 1030 * PAGE, 5 * PAGE) && numbered(start + 1035 * PAGE, 1013, 1036, 1035));
    RESULT(mprotect(start + 3 * LARGE, LARGE, PROT_READ));
    CHECK(writing(start + 3 * LARGE) == SIGSEGV && numbered(start + 1536 * PAGE, 512, 1537, 1536));
    RESULT(mprotect(start + 3 * LARGE, LARGE, PROT_NONE));
    CHECK(writing(start + 3 * LARGE + PAGE) == SIGSEGV);
    RESULT(mprotect(start + 3 * LARGE, LARGE, READ_WRITE));
    CHECK(numbered(start + 1536 * PAGE, 512, 1537, 1536) && !writing(start + 4 * LARGE - 1));

    puts("-- moved");
    char *target = area(4) + 7 * PAGE;
    char *moved = mremap(start + 2 * LARGE + 20 * PAGE, LARGE, LARGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    CHECK(moved == target && numbered(moved, 512, 1045, 1044));
    CHECK(writing(start + 2 * LARGE + 20 * PAGE) == SIGSEGV && numbered(start + 1556 * PAGE, 492, 1557, 1556));
    CHECK(zero(target + LARGE, 2 * LARGE));

    puts("-- forgotten and back");
    start = area(2);
    for (int round = 0; round < 20; round++) {
        number(start, 1024, 7);
        if (!numbered(start, 1024, 7, 0) || madvise(start, 2 * LARGE, MADV_DONTNEED) != 0 || !zero(start, 2 * LARGE))
            puts("lost");
    }
    RESULT(munmap(start, 2 * LARGE));
}

/* Pages of one large page are counted up by threads, while others of it are cut out. */
enum { THREADS = 3, ROUNDS = 6 };
static char *shared;
static atomic_int stop;
static unsigned long counted[THREADS];

static void *count(void *argument) {
    long thread = (long)argument;
    volatile unsigned long *mine = (unsigned long *)(shared + (unsigned long)thread * 8 * PAGE);
    while (!stop)
        for (int i = 0; i < 1000; i++) {
            mine[0]++;
            mine[512]++;
            counted[thread]++;
        }
    return argument;
}

static void beside(void) {
    puts("-- beside other threads");
    int good = 1;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        shared = area(1);
        number(shared, 512, 1);
        memset(shared, 0, THREADS * 8 * PAGE);
        stop = 0;
        for (long i = 0; i < THREADS; i++) {
            counted[i] = 0;
            pthread_create(&threads[i], 0, count, (void *)i);
        }
        for (unsigned long i = 100; i < 500; i += 100) {
            mprotect(shared + i * PAGE, PAGE, PROT_READ);
            madvise(shared + (i + 1) * PAGE, PAGE, MADV_DONTNEED);
            munmap(shared + (i + 2) * PAGE, PAGE);
        }
        stop = 1;
        for (long i = 0; i < THREADS; i++) {
            pthread_join(threads[i], 0);
            unsigned long *found = (unsigned long *)(shared + (unsigned long)i * 8 * PAGE);
            good &= found[0] == counted[i] && found[512] == counted[i];
        }
        good &= numbered(shared + 103 * PAGE, 97, 104, 103) && zero(shared + 101 * PAGE, PAGE);
        munmap(shared, LARGE);
    }
    CHECK(good);
}

/* Frames that are given back come to nobody else while some processor still reaches them. */
static char *volatile pages;
static atomic_long strange;
static __thread sigjmp_buf retry;

static void again(int signal) {
    (void)signal;
    siglongjmp(retry, 1);
}
static void *touch(void *argument) {
    unsigned at = (unsigned)(long)argument;
    while (!stop) {
        sigsetjmp(retry, 1);
        if (stop)
            break;
        volatile unsigned long *word = (unsigned long *)(pages + (at++ % 64) * PAGE);
        unsigned long found = *word;
        if (found != 0 && found != 0xaaaa)
            strange++;
        *word = 0xaaaa;
    }
    return argument;
}
static void *others(void *argument) {
    while (!stop) {
        unsigned long *mine = mmap(0, 64 * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
        for (unsigned long i = 0; i < 64; i++) {
            strange += mine[i * 512] != 0;
            mine[i * 512] = 0xbbbb;
        }
        for (unsigned long i = 0; i < 64; i++)
            strange += mine[i * 512] != 0xbbbb;
        munmap(mine, 64 * PAGE);
    }
    return argument;
}

static void storm(void) {
    puts("-- taken away under threads");
    signal(SIGSEGV, again);
    /* Between pages that stay: what is taken away for a moment must not be where others find room. */
    pages = (char *)mmap(0, 66 * PAGE, PROT_NONE, ANONYMOUS, -1, 0) + PAGE;
    mprotect(pages, 64 * PAGE, READ_WRITE);
    pthread_t threads[3];
    stop = 0;
    pthread_create(&threads[0], 0, touch, (void *)0);
    pthread_create(&threads[1], 0, touch, (void *)31);
    pthread_create(&threads[2], 0, others, 0);
    int good = 1;
    for (unsigned i = 0; i < 600; i++) {
        char *part = pages + (i * 7 % 48) * PAGE;
        switch (i % 4) {
        case 0:
            good &= munmap(part, 16 * PAGE) == 0;
            good &= mmap(part, 16 * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0) == part;
            break;
        case 1:
            good &= madvise(part, 16 * PAGE, MADV_DONTNEED) == 0;
            break;
        case 2:
            good &= mprotect(part, 16 * PAGE, PROT_NONE) == 0 && mprotect(part, 16 * PAGE, READ_WRITE) == 0;
            break;
        default:
            good &= mmap(part, 16 * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0) == part;
        }
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    CHECK(good && strange == 0);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    signal(SIGSEGV, leave);
    if (argc > 1 && !strcmp(argv[1], "count")) {
        char *start = area(4);
        memset(start, 1, 4 * LARGE);
        printf("asked for: %ld\n", kilobytes("AnonHugePages:"));
        munmap(start, 4 * LARGE);
        start = mmap(0, 16 * LARGE, READ_WRITE, ANONYMOUS, -1, 0);
        memset(start, 1, 16 * LARGE);
        printf("in order: %s\n", kilobytes("AnonHugePages:") > 8 * 2048 ? "most" : "few");
        madvise(start, 16 * LARGE, MADV_DONTNEED);
        for (unsigned long i = 1; i < 16; i++)
            start[i * LARGE] = 1;
        printf("here and there: %ld\n", kilobytes("AnonHugePages:"));
        return 0;
    }
    cuts();
    beside();
    storm();
    return 0;
}
