/* mmap, munmap, mprotect, mremap, madvise and brk, with their errors. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static sigjmp_buf escape;
static void leave(int signal) {
    (void)signal;
    siglongjmp(escape, 1);
}
static int readable(volatile char *address) {
    if (sigsetjmp(escape, 1))
        return 0;
    (void)*address;
    return 1;
}
static int writable(volatile char *address) {
    if (sigsetjmp(escape, 1))
        return 0;
    *address = *address;
    return 1;
}
static int all(const char *from, unsigned long length, char value) {
    for (unsigned long i = 0; i < length; i++)
        if (from[i] != value)
            return 0;
    return 1;
}

int main(void) {
    signal(SIGSEGV, leave);
    signal(SIGBUS, leave);

    puts("-- mmap");
    char *map = mmap(0, 64 * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED && (uintptr_t)map % PAGE == 0);
    CHECK(all(map, 64 * PAGE, 0));
    memset(map, 7, 64 * PAGE);
    CHECK(all(map, 64 * PAGE, 7));
    RESULT(mmap(0, 0, READ_WRITE, ANONYMOUS, -1, 0));
    RESULT(mmap(0, PAGE, READ_WRITE, MAP_ANONYMOUS, -1, 0));
    RESULT(mmap(0, PAGE, READ_WRITE, MAP_PRIVATE, -1, 0));
    RESULT(mmap(0, PAGE, READ_WRITE, MAP_PRIVATE, 99, 0));
    RESULT(mmap((void *)1, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0));
    RESULT(mmap(0, PAGE, READ_WRITE, ANONYMOUS, -1, 1));
    RESULT(mmap(0, 1UL << 47, READ_WRITE, ANONYMOUS, -1, 0));
    RESULT(mmap(0, ~0UL, READ_WRITE, ANONYMOUS, -1, 0));
    RESULT(mmap((void *)(1UL << 47), PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0));
    RESULT(mmap((void *)(~0UL << 12), PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0));
    RESULT(mmap(map, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    char *low = mmap((void *)0x10000000, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(low == (char *)0x10000000 && writable(low));
    char *hint = mmap((void *)0x20000000, PAGE, READ_WRITE, ANONYMOUS, -1, 0);
    CHECK(hint == (char *)0x20000000);
    /* A fixed mapping replaces what is there, with fresh zeros. */
    CHECK(mmap(map + PAGE, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0) == map + PAGE);
    CHECK(map[0] == 7 && map[PAGE] == 0 && map[2 * PAGE] == 7);

    puts("-- mprotect");
    RESULT(mprotect(map + 4 * PAGE, 2 * PAGE, PROT_READ));
    CHECK(readable(map + 4 * PAGE) && !writable(map + 4 * PAGE) && !writable(map + 6 * PAGE - 1));
    CHECK(writable(map + 4 * PAGE - 1) && writable(map + 6 * PAGE));
    RESULT(mprotect(map + 4 * PAGE, PAGE, PROT_NONE));
    CHECK(!readable(map + 4 * PAGE) && readable(map + 5 * PAGE));
    RESULT(mprotect(map + 4 * PAGE, 2 * PAGE, READ_WRITE));
    CHECK(map[4 * PAGE] == 7 && writable(map + 4 * PAGE));
    RESULT(mprotect(map + 1, PAGE, PROT_READ));
    RESULT(mprotect(map, 0, PROT_READ));
    RESULT(mprotect((void *)0x30000000, PAGE, PROT_READ));
    RESULT(mprotect(map, PAGE, 0x100));

    puts("-- munmap");
    RESULT(munmap(map + 10 * PAGE, 4 * PAGE));
    CHECK(readable(map + 10 * PAGE - 1) && !readable(map + 10 * PAGE));
    CHECK(!readable(map + 14 * PAGE - 1) && readable(map + 14 * PAGE));
    RESULT(munmap(map + 10 * PAGE, 4 * PAGE));
    RESULT(munmap(map + 1, PAGE));
    RESULT(munmap(map, 0));
    RESULT(munmap((void *)(~0UL << 12), PAGE));
    /* A protection change over a hole stops at the hole. */
    RESULT(mprotect(map + 9 * PAGE, 3 * PAGE, READ_WRITE));

    puts("-- mremap");
    char *small = mmap(0, 2 * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
    memset(small, 3, 2 * PAGE);
    char *grown = mremap(small, 2 * PAGE, 300 * PAGE, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED && all(grown, 2 * PAGE, 3) && all(grown + 2 * PAGE, 298 * PAGE, 0));
    CHECK(mremap(grown, 300 * PAGE, PAGE, 0) == grown);
    CHECK(readable(grown) && !readable(grown + PAGE));
    RESULT(mremap(grown + 1, PAGE, PAGE, 0));
    RESULT(mremap(grown, PAGE, 0, 0));
    RESULT(mremap((void *)0x30000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE));

    puts("-- madvise");
    memset(map + 20 * PAGE, 9, 2 * PAGE);
    RESULT(madvise(map + 20 * PAGE, PAGE, MADV_DONTNEED));
    CHECK(map[20 * PAGE] == 0 && map[21 * PAGE] == 9);
    RESULT(madvise(map, PAGE, MADV_WILLNEED));
    RESULT(madvise(map, PAGE, MADV_NORMAL));
    RESULT(madvise(map, PAGE, 12345));
    RESULT(madvise(map + 1, PAGE, MADV_DONTNEED));
    RESULT(madvise((void *)0x30000000, PAGE, MADV_DONTNEED));

    puts("-- brk");
    char *start = (char *)syscall(SYS_brk, 0);
    char *after = (char *)syscall(SYS_brk, start + 10 * PAGE + 5);
    CHECK(after == start + 10 * PAGE + 5);
    CHECK(all(start, 10 * PAGE, 0));
    memset(start, 5, 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, start) == start);
    CHECK((char *)syscall(SYS_brk, start + 10 * PAGE) == start + 10 * PAGE);
    /* What was given back comes again as zeros. */
    CHECK(all((char *)(((uintptr_t)start + PAGE - 1) & -PAGE), 9 * PAGE, 0));
    CHECK((char *)syscall(SYS_brk, 1) == start + 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, ~0UL << 12) == start + 10 * PAGE);

    puts("-- much");
    /* A large sparse reservation costs nothing until it is touched. */
    char *sparse = mmap(0, 1UL << 36, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(sparse != MAP_FAILED);
    RESULT(mprotect(sparse + (1UL << 35), PAGE, READ_WRITE));
    CHECK(writable(sparse + (1UL << 35)) && !readable(sparse));
    RESULT(munmap(sparse, 1UL << 36));
    int good = 1;
    for (int i = 0; i < 2000; i++) {
        char *again = mmap(0, 16 * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
        good &= again != MAP_FAILED && again[0] == 0 && again[15 * PAGE] == 0;
        again[0] = again[15 * PAGE] = 1;
        good &= munmap(again, 16 * PAGE) == 0;
    }
    CHECK(good);
    void *blocks[64];
    for (int i = 0; i < 64; i++)
        memset(blocks[i] = malloc(1000UL * (unsigned)(i + 1) * (unsigned)(i + 1)), i, 1000UL * (unsigned)(i + 1));
    for (int i = 0; i < 64; i++) {
        good &= all(blocks[i], 1000UL * (unsigned)(i + 1), (char)i);
        free(blocks[i]);
    }
    CHECK(good);
    return 0;
}
