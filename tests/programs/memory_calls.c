/* Calls about memory and what /proc tells of it: locking, advice, moves, seals of areas, limits, memory by number. */
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096UL
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define NOBODY 65534
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define DONTNEED_LOCKED 24
#define SYS_MSEAL 462

static sigjmp_buf escape;
static void leave(int signal) {
    siglongjmp(escape, signal);
}
/* The signal that reading brings; 0 if none. */
static int reading(volatile char *address) {
    int signal = sigsetjmp(escape, 1);
    if (!signal)
        (void)*address;
    return signal;
}
static int writing(volatile char *address) {
    int signal = sigsetjmp(escape, 1);
    if (!signal)
        *address = *address;
    return signal;
}
static char *map(unsigned long pages) {
    return mmap(0, pages * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
}
static int present(void *from, unsigned long pages) {
    static unsigned char in[4096];
    int count = 0;
    if (mincore(from, pages * PAGE, in) != 0)
        return -1;
    for (unsigned long i = 0; i < pages; i++)
        count += in[i] & 1;
    return count;
}
static int zero(const char *from, unsigned long length) {
    for (unsigned long i = 0; i < length; i++)
        if (from[i])
            return 0;
    return 1;
}
/* A number of a file of /proc: the first row that starts with the name. */
static long number_in(const char *path, const char *name) {
    char line[512];
    long value = -1;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name))) {
            value = atol(line + strlen(name));
            break;
        }
    if (file)
        fclose(file);
    return value;
}
static long status(const char *name) {
    return number_in("/proc/self/status", name);
}
/* A number of the area that starts at an address, in smaps; -2 if there is no such area. */
static long of_area(const void *start, const char *name) {
    char line[512], wanted[32];
    long value = -2;
    int found = 0;
    snprintf(wanted, sizeof wanted, "%lx-", (long)start);
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (!strncmp(line, wanted, strlen(wanted)))
            found = 1, value = -1;
        else if (found && !strncmp(line, name, strlen(name))) {
            value = atol(line + strlen(name));
            break;
        }
    }
    if (file)
        fclose(file);
    return value;
}
/* Whether the area that holds an address has a flag. */
static int has_flag(const void *address, const char *flag) {
    char line[512];
    unsigned long start, end;
    int found = 0, result = -1;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            found = start <= (uintptr_t)address && (uintptr_t)address < end;
        else if (found && !strncmp(line, "VmFlags:", 8)) {
            result = strstr(line, flag) != 0;
            break;
        }
    }
    if (file)
        fclose(file);
    return result;
}

static void locking(void) {
    puts("-- mlock");
    char *area = map(64), *other;
    long before = status("VmLck:");
    RESULT(mlock(area + 8 * PAGE + 100, 4 * PAGE));
    CHECK(present(area, 64) == 5 && status("VmLck:") - before == 20);
    CHECK(of_area(area + 8 * PAGE, "Locked:") == 20 && of_area(area + 8 * PAGE, "Rss:") == 20);
    CHECK(has_flag(area + 8 * PAGE, " lo ") == 1 && has_flag(area, " lo ") == 0);
    RESULT(mlock(area + 9 * PAGE, PAGE));
    CHECK(status("VmLck:") - before == 20);
    RESULT(madvise(area + 8 * PAGE, PAGE, MADV_DONTNEED));
    RESULT(madvise(area + 8 * PAGE, PAGE, MADV_FREE));
    RESULT(madvise(area + 8 * PAGE, PAGE, MADV_COLD));
    RESULT(madvise(area + 8 * PAGE, PAGE, MADV_PAGEOUT));
    RESULT(madvise(area + 8 * PAGE, PAGE, DONTNEED_LOCKED));
    RESULT(munlock(area + 10 * PAGE, PAGE));
    CHECK(status("VmLck:") - before == 16);
    RESULT(munlock(area, 64 * PAGE));
    CHECK(status("VmLck:") == before);
    RESULT(mlock(area, 0));
    RESULT(mlock((void *)0x30000000, PAGE));
    RESULT(mlock(area, ~0UL));
    munmap(area + 20 * PAGE, PAGE);
    RESULT(mlock(area + 18 * PAGE, 4 * PAGE));
    CHECK(status("VmLck:") - before == 8);
    RESULT(munlock(area + 16 * PAGE, 8 * PAGE));
    RESULT(mprotect(area + 30 * PAGE, PAGE, PROT_NONE));
    RESULT(mlock(area + 29 * PAGE, 3 * PAGE));
    munlock(area + 29 * PAGE, 3 * PAGE);
    RESULT(syscall(SYS_mlock2, area + 40 * PAGE, 4 * PAGE, 1));
    CHECK(present(area + 40 * PAGE, 4) == 0 && status("VmLck:") - before == 16);
    area[41 * PAGE] = 1;
    CHECK(present(area + 40 * PAGE, 4) == 1);
    RESULT(syscall(SYS_mlock2, area, PAGE, 2));
    munlock(area + 40 * PAGE, 4 * PAGE);
    other = mmap(0, 4 * PAGE, READ_WRITE, ANONYMOUS | MAP_LOCKED, -1, 0);
    CHECK(present(other, 4) == 4 && status("VmLck:") - before == 16);
    other = mremap(other, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(present(other, 8) == 8 && status("VmLck:") - before == 32);
    munmap(other, 8 * PAGE);
    CHECK(status("VmLck:") == before);

    puts("-- mlock: limits");
    struct rlimit old, few = {16 * PAGE, 16 * PAGE};
    getrlimit(RLIMIT_MEMLOCK, &old);
    few.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &few);
    RESULT(mlock(area + 21 * PAGE, 8 * PAGE));
    munlock(area + 21 * PAGE, 8 * PAGE);
    RESULT(seteuid(NOBODY));
    RESULT(mlock(area, 16 * PAGE));
    RESULT(mlock(area + 18 * PAGE, PAGE));
    RESULT(mlock(area + 2 * PAGE, 12 * PAGE));
    CHECK(mmap(0, PAGE, READ_WRITE, ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EAGAIN);
    CHECK(mremap(area, 16 * PAGE, 17 * PAGE, 0) == MAP_FAILED);
    RESULT(mlockall(MCL_CURRENT));
    RESULT(munlock(area, 16 * PAGE));
    few.rlim_cur = 0;
    setrlimit(RLIMIT_MEMLOCK, &few);
    RESULT(mlock(area, PAGE));
    RESULT(munlock(area, PAGE));
    RESULT(mlockall(MCL_FUTURE));
    CHECK(mmap(0, PAGE, READ_WRITE, ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EPERM);
    RESULT(seteuid(0));
    setrlimit(RLIMIT_MEMLOCK, &old);

    puts("-- mlockall");
    RESULT(mlockall(0));
    RESULT(mlockall(MCL_ONFAULT));
    RESULT(mlockall(8));
    RESULT(mlockall(MCL_FUTURE));
    other = map(3);
    CHECK(present(other, 3) == 3 && status("VmLck:") - before == 12);
    RESULT(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
    CHECK(status("VmLck:") > 100 && present(map(3), 3) == 0);
    RESULT(munlockall());
    CHECK(status("VmLck:") == 0 && present(map(3), 3) == 0);
}

static void advice(void) {
    puts("-- madvise");
    char *area = map(64);
    memset(area, 1, 64 * PAGE);
    RESULT(madvise(area, PAGE, MADV_DONTFORK));
    CHECK(has_flag(area, " dc ") == 1);
    RESULT(madvise(area, PAGE, MADV_DOFORK));
    RESULT(madvise(area, PAGE, MADV_WIPEONFORK));
    CHECK(has_flag(area, " wf ") == 1);
    RESULT(madvise(area, PAGE, MADV_KEEPONFORK));
    RESULT(madvise(area, PAGE, MADV_DONTDUMP));
    CHECK(has_flag(area, " dd ") == 1);
    RESULT(madvise(area, PAGE, MADV_DODUMP));
    RESULT(madvise(area, PAGE, MADV_RANDOM));
    CHECK(has_flag(area, " rr ") == 1 && has_flag(area, " sr ") == 0);
    RESULT(madvise(area, PAGE, MADV_SEQUENTIAL));
    CHECK(has_flag(area, " rr ") == 0 && has_flag(area, " sr ") == 1);
    RESULT(madvise(area, PAGE, MADV_NORMAL));
    RESULT(madvise(area, PAGE, MADV_COLD));
    RESULT(madvise(area, PAGE, MADV_PAGEOUT));
    CHECK(area[0] == 1 && area[PAGE] == 1);
    RESULT(madvise(area, 0, MADV_DONTNEED));
    RESULT(madvise(area, ~0UL, MADV_DONTNEED));
    RESULT(madvise(area, 4 * PAGE, DONTNEED_LOCKED));
    CHECK(zero(area, 4 * PAGE) && area[4 * PAGE] == 1);
    RESULT(madvise(area + 8 * PAGE, 4 * PAGE, MADV_FREE));
    area[8 * PAGE] = 7;
    CHECK(area[8 * PAGE] == 7 && area[12 * PAGE] == 1);
    RESULT(madvise(area, PAGE, MADV_REMOVE));
    RESULT(madvise(area, PAGE, 7));

    puts("-- madvise: objects");
    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    RESULT(ftruncate(file, 16 * PAGE));
    char *shared = mmap(0, 16 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    char *own = mmap(0, 16 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0);
    memset(shared, 5, 16 * PAGE);
    own[3 * PAGE] = 6;
    CHECK(own[4 * PAGE] == 5);
    RESULT(madvise(shared + 2 * PAGE, 4 * PAGE, MADV_REMOVE));
    CHECK(zero(shared + 2 * PAGE, 4 * PAGE) && shared[6 * PAGE] == 5 && own[3 * PAGE] == 6 && own[4 * PAGE] == 0);
    RESULT(madvise(own, PAGE, MADV_REMOVE));
    RESULT(madvise(own, PAGE, MADV_FREE));
    RESULT(madvise(own, PAGE, MADV_WIPEONFORK));
    RESULT(madvise(own + 3 * PAGE, PAGE, MADV_DONTNEED));
    CHECK(own[3 * PAGE] == 0);
    RESULT(madvise(shared + 6 * PAGE, PAGE, MADV_DONTNEED));
    CHECK(shared[6 * PAGE] == 5);
    char *nameless = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(nameless, 8, 8 * PAGE);
    RESULT(madvise(nameless + PAGE, 2 * PAGE, MADV_REMOVE));
    CHECK(nameless[0] == 8 && zero(nameless + PAGE, 2 * PAGE) && nameless[3 * PAGE] == 8);
    RESULT(madvise(nameless, PAGE, MADV_WIPEONFORK));
    CHECK(present(shared, 16) == 16);

    puts("-- process_madvise");
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(self >= 0);
    memset(area, 1, 64 * PAGE);
    struct iovec ranges[3] = {{area, PAGE}, {area + 4 * PAGE, 2 * PAGE}, {area + 1, PAGE}};
    RESULT(syscall(SYS_process_madvise, self, ranges, 2UL, MADV_COLD, 0));
    RESULT(syscall(SYS_process_madvise, self, ranges, 2UL, MADV_PAGEOUT, 1));
    RESULT(syscall(SYS_process_madvise, file, ranges, 2UL, MADV_COLD, 0));
    RESULT(syscall(SYS_process_madvise, -1, ranges, 2UL, MADV_COLD, 0));
    RESULT(syscall(SYS_process_madvise, self, ranges, 3UL, MADV_WILLNEED, 0));
    RESULT(syscall(SYS_process_madvise, self, ranges + 2, 1UL, MADV_WILLNEED, 0));
    RESULT(syscall(SYS_process_madvise, self, ranges, 2000UL, MADV_COLD, 0));
    RESULT(syscall(SYS_pidfd_open, getpid(), 1));
    RESULT(syscall(SYS_pidfd_open, 0, 0));
    RESULT(syscall(SYS_pidfd_open, 4000000, 0));
    RESULT(syscall(SYS_pidfd_send_signal, self, 0, 0, 0));
    close(self);
    munmap(shared, 16 * PAGE);
    munmap(own, 16 * PAGE);
    munmap(nameless, 8 * PAGE);
    munmap(area, 64 * PAGE);
    close(file);
}

static void moves(void) {
    puts("-- mremap: what stays behind");
    char *area = map(8);
    memset(area, 3, 8 * PAGE);
    char *moved = mremap(area, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    CHECK(moved != MAP_FAILED && moved != area && moved[7 * PAGE] == 3 && zero(area, 8 * PAGE));
    char *target = map(16);
    CHECK(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, target) == target);
    CHECK(target[0] == 3 && zero(moved, 4 * PAGE) && moved[4 * PAGE] == 3);
    RESULT(mremap(moved, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    RESULT(mremap(moved, 8 * PAGE, 8 * PAGE, MREMAP_DONTUNMAP, 0));
    RESULT(mremap(moved, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | 8));
    RESULT(mlock(moved, 8 * PAGE));
    char *again = mremap(moved, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    CHECK(again != MAP_FAILED && has_flag(again, " lo ") == 1 && has_flag(moved, " lo ") == 0);
    munlockall();

    puts("-- mremap: a second time");
    char *shared = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared[0] = 1, shared[5 * PAGE] = 5;
    char *twice = mremap(shared, 0, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(twice != MAP_FAILED && twice != shared && twice[5 * PAGE] == 5);
    twice[6 * PAGE] = 6;
    CHECK(shared[6 * PAGE] == 6 && shared[0] == 1);
    RESULT(mremap(shared, 0, 8 * PAGE, 0));
    RESULT(mremap(area, 0, 8 * PAGE, MREMAP_MAYMOVE));
    RESULT(mremap(shared, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)(1UL << 47)));
    munmap(shared, 8 * PAGE);
    munmap(twice, 8 * PAGE);
}

/* Every call that changes memory, on sealed pages of some kind. */
static void sealed(const char *name, char *area) {
    static const int ADVICE[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 102, 103};
    printf("-- sealed: %s\n", name);
    RESULT(syscall(SYS_MSEAL, area + 2 * PAGE, 4 * PAGE, 0UL));
    RESULT(syscall(SYS_MSEAL, area + 2 * PAGE, 4 * PAGE, 0UL));
    RESULT(munmap(area, 8 * PAGE));
    RESULT(munmap(area + 3 * PAGE, PAGE));
    RESULT(mprotect(area + PAGE, 4 * PAGE, PROT_READ | PROT_WRITE));
    RESULT(mprotect(area + 3 * PAGE, PAGE, PROT_READ));
    RESULT(mprotect(area + 3 * PAGE, 0, PROT_READ));
    RESULT(mremap(area + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    RESULT(mremap(area + 2 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    RESULT(mremap(area + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(4)));
    RESULT(mremap(map(1), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 3 * PAGE));
    RESULT(mmap(area + 2 * PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0));
    for (unsigned i = 0; i < sizeof ADVICE / sizeof *ADVICE; i++) {
        printf("%d, ", ADVICE[i]);
        RESULT(madvise(area + 2 * PAGE, 2 * PAGE, ADVICE[i]));
        RESULT(madvise(area + PAGE, 2 * PAGE, ADVICE[i]));
    }
    RESULT(mlock(area + 2 * PAGE, PAGE));
    RESULT(munlock(area + 2 * PAGE, PAGE));
    RESULT(msync(area + 2 * PAGE, PAGE, MS_SYNC));
    RESULT(syscall(SYS_pkey_mprotect, area + 2 * PAGE, PAGE, PROT_READ, -1));
    RESULT(munmap(area + 6 * PAGE, PAGE));
}
static void sealed_kinds(void) {
    int file = memfd_create("file", 0);
    RESULT(ftruncate(file, 8 * PAGE));
    sealed("private", map(8));
    char *read = map(8), *none = map(8);
    mprotect(read, 8 * PAGE, PROT_READ);
    sealed("private, to be read", read);
    mprotect(none, 8 * PAGE, PROT_NONE);
    sealed("nothing allowed", none);
    sealed("a file", mmap(0, 8 * PAGE, PROT_READ, MAP_PRIVATE, file, 0));
    sealed("a shared file", mmap(0, 8 * PAGE, PROT_READ, MAP_SHARED, file, 0));
    close(file);
    char *heap = (char *)(((uintptr_t)sbrk(64 * PAGE) + PAGE - 1) & -PAGE);
    RESULT(syscall(SYS_MSEAL, heap + 8 * PAGE, PAGE, 0UL));
    RESULT(brk(heap));
    RESULT(brk(heap + 16 * PAGE));
}

static void seals(void) {
    puts("-- mseal");
    char *area = map(8);
    memset(area, 4, 8 * PAGE);
    if (syscall(SYS_MSEAL, area, 0UL, 0UL) != 0 && errno == ENOSYS)
        puts("not here");
    RESULT(syscall(SYS_MSEAL, area + 2 * PAGE, 2 * PAGE, 1UL));
    RESULT(syscall(SYS_MSEAL, area + 1, 2 * PAGE, 0UL));
    RESULT(syscall(SYS_MSEAL, (void *)0x30000000, PAGE, 0UL));
    RESULT(syscall(SYS_MSEAL, area + 2 * PAGE, 2 * PAGE, 0UL));
    RESULT(munmap(area, 3 * PAGE));
    RESULT(mprotect(area + 3 * PAGE, PAGE, PROT_READ));
    RESULT(mremap(area + 2 * PAGE, 2 * PAGE, PAGE, 0));
    RESULT(mmap(area + 3 * PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0));
    RESULT(madvise(area + 2 * PAGE, PAGE, MADV_DONTNEED));
    CHECK(area[2 * PAGE] == 0 && area[3 * PAGE] == 4);
    RESULT(mprotect(area, PAGE, PROT_READ));
    RESULT(syscall(SYS_MSEAL, area, PAGE, 0UL));
    RESULT(madvise(area, PAGE, MADV_DONTNEED));
    RESULT(munmap(area + 4 * PAGE, 4 * PAGE));
}

static void by_number(void) {
    puts("-- process_vm_readv and process_vm_writev");
    char *from = map(4), *to = map(4);
    for (unsigned i = 0; i < 3 * PAGE; i++)
        from[i] = (char)(i * 7);
    struct iovec local[2] = {{to, 5000}, {to + 6000, 3000}}, remote[2] = {{from + 10, 100}, {from + 200, 7000}};
    RESULT(process_vm_readv(getpid(), local, 2, remote, 2, 0));
    CHECK(!memcmp(to, from + 10, 100) && !memcmp(to + 100, from + 200, 4900) && !memcmp(to + 6000, from + 5100, 2100));
    RESULT(process_vm_writev(getpid(), remote, 1, local, 1, 0));
    CHECK(!memcmp(to, from + 10, 100));
    RESULT(process_vm_readv(getpid(), local, 2, remote, 2, 1));
    RESULT(process_vm_readv(4000000, local, 2, remote, 2, 0));
    RESULT(process_vm_readv(getpid(), local, 2000, remote, 2, 0));
    RESULT(process_vm_readv(getpid(), local, 0, remote, 2, 0));
    munmap(from + 2 * PAGE, PAGE);
    struct iovec hole[2] = {{from + PAGE, 2 * PAGE}, {from, 10}};
    RESULT(process_vm_readv(getpid(), local, 2, hole, 1, 0));
    hole[0].iov_base = from + 2 * PAGE;
    RESULT(process_vm_readv(getpid(), local, 2, hole, 2, 0));
    mprotect(to, PAGE, PROT_READ);
    RESULT(process_vm_readv(getpid(), local, 1, remote, 1, 0));
    struct iovec read_only = {to, 10};
    RESULT(process_vm_writev(getpid(), remote, 1, &read_only, 1, 0));

    puts("-- protection keys");
    RESULT(syscall(SYS_pkey_mprotect, from, PAGE, PROT_READ, -1));
    CHECK(writing(from) == SIGSEGV && reading(from) == 0);
    RESULT(syscall(SYS_pkey_mprotect, from, PAGE, READ_WRITE, 99));
    /* A program has key 0 if the processor knows keys, which show by being given out. */
    int key = syscall(SYS_pkey_alloc, 0, 0);
    CHECK((syscall(SYS_pkey_mprotect, from, PAGE, PROT_READ, 0) == 0) == (key >= 0));
    RESULT(syscall(SYS_pkey_free, 5));
}

static void accounting(void) {
    puts("-- /proc");
    long size = status("VmSize:"), resident = status("RssAnon:");
    char *area = map(1024);
    CHECK(status("VmSize:") - size == 4096 && of_area(area, "Rss:") == 0 && of_area(area, "Size:") == 4096);
    for (int i = 0; i < 256; i++)
        area[i * PAGE * 2] = 1;
    CHECK(of_area(area, "Rss:") == 1024 && of_area(area, "Anonymous:") == 1024);
    CHECK(of_area(area, "Private_Dirty:") == 1024 && of_area(area, "Pss:") == 1024);
    CHECK(status("RssAnon:") - resident >= 1024 && status("RssAnon:") - resident < 1200);
    CHECK(status("VmHWM:") >= status("VmRSS:") && status("VmPeak:") >= status("VmSize:"));
    long total = number_in("/proc/self/smaps_rollup", "Anonymous:");
    CHECK(total >= 1024);
    volatile int sum = 0;
    for (int i = 0; i < 1024; i++)
        sum += area[i * PAGE];
    CHECK(sum == 256 && of_area(area, "Rss:") == 1024);
    long peak = status("VmPeak:");
    munmap(area, 1024 * PAGE);
    CHECK(status("VmPeak:") == peak && status("VmSize:") - size < 512 && status("RssAnon:") - resident < 512);
    struct rusage usage, after;
    getrusage(RUSAGE_SELF, &usage);
    area = map(100);
    for (int i = 0; i < 100; i++)
        area[i * PAGE] = 1;
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_minflt - usage.ru_minflt >= 100 && after.ru_minflt - usage.ru_minflt < 120);
    munmap(area, 100 * PAGE);
    CHECK(number_in("/proc/meminfo", "MemTotal:") >= number_in("/proc/meminfo", "MemFree:"));
    CHECK(number_in("/proc/meminfo", "Committed_AS:") > 0 && number_in("/proc/meminfo", "PageTables:") > 0);
    CHECK(number_in("/proc/vmstat", "nr_free_pages ") > 0 && number_in("/proc/vmstat", "pgfault ") > 0);
    /* File data is memory too. */
    long cached = number_in("/proc/meminfo", "Shmem:");
    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    RESULT(fallocate(file, 0, 0, 4 << 20));
    long with = number_in("/proc/meminfo", "Shmem:");
    CHECK(with - cached >= 3400 && with - cached < 4800);
    close(file);
    CHECK(number_in("/proc/meminfo", "Shmem:") - cached < 600);
}

static void limits(void) {
    puts("-- RLIMIT_DATA");
    struct rlimit old, few;
    getrlimit(RLIMIT_DATA, &old);
    char *area = map(512), *none = mmap(0, 4096 * PAGE, PROT_NONE, ANONYMOUS, -1, 0);
    few = old;
    few.rlim_cur = 8 << 20;
    setrlimit(RLIMIT_DATA, &few);
    void *more = mmap(0, 8 << 20, READ_WRITE, ANONYMOUS, -1, 0);
    int error = errno;
    void *read_only = mmap(0, 16 << 20, PROT_READ, ANONYMOUS, -1, 0);
    void *shared = mmap(0, 16 << 20, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int protected = mprotect(none, 4096 * PAGE, READ_WRITE), why = errno;
    setrlimit(RLIMIT_DATA, &old);
    CHECK(more == MAP_FAILED && error == ENOMEM && read_only != MAP_FAILED && shared != MAP_FAILED);
    CHECK(protected == -1 && why == ENOMEM);
    RESULT(mprotect(none, 4096 * PAGE, READ_WRITE));
    munmap(area, 512 * PAGE);
    munmap(none, 4096 * PAGE);
    munmap(read_only, 16 << 20);
    munmap(shared, 16 << 20);

    puts("-- reservations");
    char *large = mmap(0, 16UL << 40, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(large != MAP_FAILED);
    CHECK(mprotect(large + (7UL << 40), 4 * PAGE, READ_WRITE) == 0 && writing(large + (7UL << 40)) == 0);
    CHECK(reading(large + (9UL << 40)) == SIGSEGV && of_area(large + (7UL << 40), "Rss:") == 4);
    CHECK(munmap(large, 16UL << 40) == 0);

    puts("-- the end of a file");
    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    RESULT(ftruncate(file, 2 * PAGE + 100));
    char *view = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    view[2 * PAGE + 200] = 1;
    CHECK(writing(view + 3 * PAGE - 1) == 0 && writing(view + 3 * PAGE) == SIGBUS && reading(view + 7 * PAGE) == SIGBUS);
    int pipes[2];
    CHECK(pipe2(pipes, O_NONBLOCK) == 0);
    RESULT(write(pipes[1], view + 3 * PAGE, 10));
    RESULT(write(pipes[1], view + 3 * PAGE - 4, 10));
    RESULT(read(pipes[0], view + 4 * PAGE, 4));
    RESULT(ftruncate(file, PAGE));
    CHECK(reading(view + 2 * PAGE) == SIGBUS && reading(view + PAGE - 1) == 0);
    RESULT(write(pipes[1], view + PAGE, 10));
    RESULT(open(view + PAGE, O_RDONLY));
    RESULT(ftruncate(file, 4 * PAGE));
    CHECK(zero(view + PAGE, 3 * PAGE));
    RESULT(msync(view, 4 * PAGE, MS_SYNC));
    RESULT(msync(view + 1, PAGE, MS_SYNC));
    RESULT(msync(view, PAGE, MS_SYNC | MS_ASYNC));
    munmap(view, 8 * PAGE);

    puts("-- mmap");
    RESULT(mmap(0, PAGE, READ_WRITE, 3 | 0x80000, file, 0));
    RESULT(mmap(0, PAGE, READ_WRITE, 3 | MAP_FIXED_NOREPLACE, file, 0));
    char *populated = mmap(0, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    CHECK(present(populated, 4) == 4);
    populated = mmap(0, 8 * PAGE, READ_WRITE, ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(present(populated, 8) == 8);
    populated = mmap(0, 8 * PAGE, READ_WRITE, ANONYMOUS | MAP_POPULATE | MAP_NONBLOCK, -1, 0);
    CHECK(present(populated, 8) == 0);
    close(file);
}

int main(void) {
    signal(SIGSEGV, leave);
    signal(SIGBUS, leave);
    setvbuf(stdout, 0, _IOLBF, 0);
    locking();
    advice();
    moves();
    seals();
    sealed_kinds();
    by_number();
    accounting();
    limits();
    return 0;
}
