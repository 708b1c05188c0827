/*
 * What limits do to memory that is mapped, moved, locked, or grows: RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK.
 * With `promises`: how much may be promised (vm.overcommit_memory), which is a setting of the whole machine.
 */
#include "check.h"
#include "meminfo.h"
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define MEGABYTE (1UL << 20)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define MAPS(bytes, rights, flags) (mmap(0, bytes, rights, flags, -1, 0) == MAP_FAILED ? -1 : 0)
#define MOVES(...) (mremap(__VA_ARGS__) == MAP_FAILED ? -1 : 0)

static unsigned long status(const char *name) {
    char line[256];
    unsigned long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = strtoul(line + strlen(name), 0, 10);
    fclose(file);
    return value << 10;
}
static void limit(int resource, unsigned long value) {
    struct rlimit limit;
    getrlimit(resource, &limit);
    limit.rlim_cur = value;
    if (setrlimit(resource, &limit) != 0)
        perror("setrlimit");
}
static char *map(unsigned long bytes, int rights) {
    return mmap(0, bytes, rights, PRIVATE, -1, 0);
}
/* A page that grows down, with much room below it. */
static char *growing(void) {
    char *room = mmap(0, 64 * MEGABYTE, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
    char *page = mmap(room + 60 * MEGABYTE, PAGE, READ_WRITE, PRIVATE | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    munmap(room, 60 * MEGABYTE);
    return page;
}
static void grow(char *page, long from, long to) {
    for (long i = from; i < to; i++)
        page[-i * (long)PAGE] = 1;
    printf("grown by %ld pages\n", to - 1);
    fflush(stdout);
}
static int deep(int levels) {
    volatile char page[PAGE];
    page[0] = (char)levels;
    page[PAGE - 1] = 1;
    return levels <= 0 ? 1 : deep(levels - 1) + page[PAGE - 1] - 1;
}

static void address_space(void) {
    char *area = map(4 * MEGABYTE, READ_WRITE), *heap = sbrk(0);
    limit(RLIMIT_AS, status("VmSize:") + MEGABYTE);
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, PRIVATE));
    RESULT(MAPS(2 * MEGABYTE, PROT_NONE, PRIVATE | MAP_NORESERVE));
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, SHARED));
    RESULT(MAPS(MEGABYTE / 2, READ_WRITE, PRIVATE));
    RESULT(MAPS(MEGABYTE, READ_WRITE, PRIVATE));
    RESULT(MOVES(area, 4 * MEGABYTE, 5 * MEGABYTE, MREMAP_MAYMOVE));
    RESULT(MOVES(area, 4 * MEGABYTE, 3 * MEGABYTE, 0));
    RESULT(MOVES(area, 3 * MEGABYTE, 4 * MEGABYTE, 0));
    RESULT(MOVES(area, 2 * MEGABYTE, 2 * MEGABYTE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    RESULT(mmap(area, MEGABYTE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0) == area);
    RESULT(brk(heap + 2 * MEGABYTE));
    RESULT(brk(heap + 16 * PAGE));
    RESULT(mprotect(area, MEGABYTE, PROT_READ));
}
static void address_space_of_stack(void) {
    limit(RLIMIT_AS, status("VmSize:") + 16 * PAGE);
    RESULT(deep(1000));
}
static void address_space_of_growing(void) {
    char *page = growing();
    limit(RLIMIT_AS, status("VmSize:") + 8 * PAGE);
    grow(page, 1, 8);
    grow(page, 8, 20);
}
static void data(void) {
    char *read = map(4 * MEGABYTE, PROT_READ), *none = map(4 * MEGABYTE, PROT_NONE), *heap = sbrk(0);
    char *area = map(4 * MEGABYTE, READ_WRITE);
    limit(RLIMIT_DATA, status("VmData:") + MEGABYTE);
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, PRIVATE));
    RESULT(MAPS(2 * MEGABYTE, PROT_READ, PRIVATE));
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, SHARED));
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, PRIVATE | MAP_NORESERVE));
    RESULT(MAPS(2 * MEGABYTE, READ_WRITE, PRIVATE | MAP_GROWSDOWN));
    RESULT(MAPS(2 * MEGABYTE, PROT_WRITE, PRIVATE));
    RESULT(mprotect(read, 2 * MEGABYTE, READ_WRITE));
    RESULT(mprotect(none, 2 * MEGABYTE, READ_WRITE));
    RESULT(mprotect(read, MEGABYTE / 2, READ_WRITE));
    RESULT(mprotect(read, MEGABYTE, READ_WRITE));
    RESULT(MOVES(area, 4 * MEGABYTE, 6 * MEGABYTE, MREMAP_MAYMOVE));
    RESULT(brk(heap + 2 * MEGABYTE));
    RESULT(mmap(area, 4 * MEGABYTE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0) == area);
    RESULT(deep(300));
}
static void no_data(void) {
    limit(RLIMIT_DATA, 0);
    RESULT(MAPS(PAGE, READ_WRITE, PRIVATE));
    RESULT(MAPS(PAGE, PROT_READ, PRIVATE));
    RESULT(brk((char *)sbrk(0) + 64 * PAGE));
}
static void stack(void) {
    limit(RLIMIT_STACK, 256 << 10);
    RESULT(deep(20));
    fflush(stdout);
    RESULT(deep(200));
}
static void stack_with_more(void) {
    limit(RLIMIT_STACK, 16 * MEGABYTE);
    RESULT(deep(3000));
    CHECK(status("VmPeak:") >= status("VmSize:"));
}
static void growing_as_stack(void) {
    char *page = growing();
    limit(RLIMIT_STACK, 64 * PAGE);
    grow(page, 1, 60);
    grow(page, 60, 100);
}
static void locked(void) {
    char *area = map(16 * PAGE, READ_WRITE), *heap = sbrk(0);
    limit(RLIMIT_MEMLOCK, 8 * PAGE);
    syscall(SYS_setresuid, 65534, 65534, 65534);
    RESULT(mlock(area, 16 * PAGE));
    RESULT(mlock(area, 8 * PAGE));
    RESULT(mlock(area, 4 * PAGE));
    RESULT(mlock(area + 8 * PAGE, PAGE));
    RESULT(MOVES(area, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE));
    RESULT(munlock(area, 4 * PAGE));
    RESULT(MAPS(8 * PAGE, READ_WRITE, PRIVATE | MAP_LOCKED));
    RESULT(MAPS(PAGE, READ_WRITE, PRIVATE | MAP_LOCKED));
    RESULT(mlock2(area, PAGE, MLOCK_ONFAULT));
    munlockall();
    RESULT(mlockall(MCL_FUTURE));
    RESULT(brk(heap + 16 * PAGE));
    RESULT(brk(heap + 4 * PAGE));
}

static void locked_stack(void) {
    char *page = growing();
    limit(RLIMIT_MEMLOCK, 64 * PAGE);
    syscall(SYS_setresuid, 65534, 65534, 65534);
    RESULT(mlock2(page, PAGE, MLOCK_ONFAULT));
    grow(page, 1, 60);
    grow(page, 60, 70);
}

static const struct {
    const char *name;
    void (*run)(void);
} LIMITS[] = {
    {"address space", address_space},
    {"address space and the stack", address_space_of_stack},
    {"address space and what grows", address_space_of_growing},
    {"data", data},
    {"no data", no_data},
    {"stack", stack},
    {"a larger stack", stack_with_more},
    {"what grows as a stack", growing_as_stack},
    {"locked", locked},
    {"a stack that is locked", locked_stack},
};

static long committed(void) {
    return number_in("Committed_AS:") >> 10;
}
static void set(const char *name, const char *value) {
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/vm/%s", name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(value, file) < 0 || fclose(file) != 0)
        perror(path);
}
static int fails(int result) {
    return result == -1 && errno == ENOMEM;
}
static void promises(void) {
    long total = number_in("MemTotal:") >> 10, before = committed();
    unsigned long all = (unsigned long)total * MEGABYTE;
    /* What could never be had is refused, but not what is not reserved. */
    CHECK(fails(MAPS(2 * all, READ_WRITE, PRIVATE)) && fails(MAPS(2 * all, READ_WRITE, SHARED)));
    CHECK(MAPS(2 * all, READ_WRITE, PRIVATE | MAP_NORESERVE) == 0 && MAPS(2 * all, READ_WRITE, SHARED | MAP_NORESERVE) == 0);
    CHECK(MAPS(2 * all, PROT_READ, PRIVATE) == 0 && committed() == before);
    char *area = map(64 * MEGABYTE, READ_WRITE);
    CHECK(committed() == before + 64);
    /* It counts as long as it may hold something. */
    mprotect(area, 64 * MEGABYTE, PROT_READ);
    CHECK(committed() == before);
    mprotect(area, 64 * MEGABYTE, READ_WRITE);
    area[0] = 1;
    mprotect(area, 32 * MEGABYTE, PROT_READ);
    CHECK(committed() == before + 64);
    char *shared = mmap(0, 32 * MEGABYTE, READ_WRITE, SHARED, -1, 0);
    CHECK(committed() == before + 96);
    munmap(shared + MEGABYTE, 31 * MEGABYTE);
    CHECK(committed() == before + 96);
    munmap(shared, MEGABYTE);
    munmap(area, 64 * MEGABYTE);
    CHECK(committed() == before);

    set("overcommit_memory", "1");
    CHECK(MAPS(2 * all, READ_WRITE, PRIVATE) == 0 && MAPS(2 * all, READ_WRITE, SHARED) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        set("overcommit_memory", "2");
        _exit(0);
    }
    waitpid(child, 0, 0);
    /* So much was promised already that nothing more is; what counts for nothing can still be had. */
    CHECK(fails(MAPS(PAGE, READ_WRITE, PRIVATE)) && fails(MAPS(PAGE, READ_WRITE, SHARED)));
    CHECK(fails(MAPS(PAGE, READ_WRITE, PRIVATE | MAP_NORESERVE)) && MAPS(PAGE, PROT_READ, PRIVATE) == 0);
}
/* In a process that was promised little. */
static void strict_promises(void) {
    long room = (number_in("CommitLimit:") - number_in("Committed_AS:")) >> 10;
    unsigned long bytes = (unsigned long)room * MEGABYTE;
    CHECK(number_in("CommitLimit:") / 1024 - number_in("MemTotal:") / 2048 <= 1);
    CHECK(fails(MAPS(bytes + 2 * MEGABYTE, READ_WRITE, PRIVATE)));
    char *read = map(bytes + 2 * MEGABYTE, PROT_READ);
    CHECK(read != MAP_FAILED && fails(mprotect(read, bytes + 2 * MEGABYTE, READ_WRITE)));
    CHECK(mprotect(read, bytes - 4 * MEGABYTE, READ_WRITE) == 0);
    CHECK(fails(MAPS(8 * MEGABYTE, READ_WRITE, SHARED)) && fails(MAPS(8 * MEGABYTE, READ_WRITE, PRIVATE | MAP_NORESERVE)));
    /* A copy would be promised as much again. */
    CHECK(fails(fork()));
    CHECK(munmap(read, bytes) == 0 && MAPS(8 * MEGABYTE, READ_WRITE, SHARED) == 0);
    set("overcommit_ratio", "10");
    CHECK(number_in("CommitLimit:") / 1024 - number_in("MemTotal:") / 10240 <= 1);
    set("overcommit_ratio", "50");
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "promises")) {
        set("overcommit_memory", "2");
        strict_promises();
        set("overcommit_memory", "0");
        promises();
        return 0;
    }
    status("VmSize:");
    for (unsigned i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        printf("-- %s\n", LIMITS[i].name);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            LIMITS[i].run();
            fflush(stdout);
            _exit(0);
        }
        int ended = 0;
        waitpid(child, &ended, 0);
        if (WIFSIGNALED(ended))
            printf("ended by signal %d\n", WTERMSIG(ended));
    }
    return 0;
}
