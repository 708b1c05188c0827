/* Rarer calls and flags about memory: guards, other orders of a file's pages, what is cached, and the limits of it all. */
#include "check.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define GUARD_INSTALL 102
#define GUARD_REMOVE 103
#define COLLAPSE 25
#define SYS_CACHESTAT 451

static sigjmp_buf escape;
static siginfo_t caught;
static void leave(int signal, siginfo_t *information, void *context) {
    (void)context;
    caught = *information;
    siglongjmp(escape, signal);
}
static void catch(int signal) {
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, 0);
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(signal, &action, 0);
}
static int reading(volatile char *address) {
    int signal = sigsetjmp(escape, 1);
    if (!signal)
        (void)*address;
    return signal;
}
static int writing(volatile char *address) {
    int signal = sigsetjmp(escape, 1);
    if (!signal)
        *address = 1;
    return signal;
}
static char *map(unsigned long pages) {
    return mmap(0, pages * PAGE, READ_WRITE, PRIVATE, -1, 0);
}
static int file_of(int pages) {
    int fd = memfd_create("file", 0);
    char page[PAGE];
    for (int i = 0; i < pages; i++) {
        memset(page, 'a' + i, PAGE);
        write(fd, page, PAGE);
    }
    return fd;
}

static void guards(void) {
    puts("-- guards");
    char *area = map(16);
    memset(area, 1, 8 * PAGE);
    RESULT(madvise(area + PAGE, 2 * PAGE, GUARD_INSTALL));
    RESULT(madvise(area + PAGE, 2 * PAGE, GUARD_INSTALL));
    CHECK(area[0] == 1 && area[3 * PAGE] == 1);
    CHECK(reading(area + PAGE) == SIGSEGV && caught.si_code == SEGV_MAPERR && caught.si_addr == area + PAGE);
    CHECK(writing(area + 2 * PAGE + 9) == SIGSEGV && caught.si_addr == area + 2 * PAGE + 9);
    int ends[2];
    pipe(ends);
    RESULT(write(ends[1], area + PAGE, 1));
    RESULT(write(ends[1], area + 3 * PAGE - 2, 4));
    RESULT(madvise(area, 4 * PAGE, 22));
    RESULT(madvise(area, 4 * PAGE, 23));
    RESULT(mlock(area + PAGE, PAGE));
    munlock(area, 4 * PAGE);
    /* They outlive what content does not, and rights. */
    RESULT(madvise(area, 4 * PAGE, MADV_DONTNEED));
    CHECK(area[0] == 0 && reading(area + PAGE) == SIGSEGV);
    RESULT(madvise(area, 4 * PAGE, MADV_FREE));
    mprotect(area, 4 * PAGE, PROT_NONE);
    mprotect(area, 4 * PAGE, READ_WRITE);
    CHECK(reading(area + PAGE) == SIGSEGV && reading(area + 3 * PAGE) == 0);
    /* They move. */
    char *moved = mremap(area, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(4));
    CHECK(reading(moved + PAGE) == SIGSEGV && reading(moved) == 0 && reading(moved + 2 * PAGE) == SIGSEGV);
    RESULT(madvise(moved, 4 * PAGE, GUARD_REMOVE));
    CHECK(moved[PAGE] == 0 && writing(moved + 2 * PAGE) == 0);
    RESULT(madvise(moved, 4 * PAGE, GUARD_REMOVE));
    madvise(moved, PAGE, GUARD_INSTALL);
    mmap(moved, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(moved[0] == 0);
    RESULT(madvise(moved + 1, PAGE, GUARD_INSTALL));
    RESULT(madvise(moved, 0, GUARD_INSTALL));
    munmap(moved + PAGE, PAGE);
    RESULT(madvise(moved, 3 * PAGE, GUARD_INSTALL));
    CHECK(reading(moved) == SIGSEGV && reading(moved + 2 * PAGE) == SIGSEGV);
    RESULT(madvise(moved, 3 * PAGE, GUARD_REMOVE));
    char *locked = map(2);
    mlock(locked, PAGE);
    RESULT(madvise(locked, PAGE, GUARD_INSTALL));
    RESULT(madvise(locked, PAGE, GUARD_REMOVE));
    munlock(locked, PAGE);
    /* A large page. */
    char *large = mmap(0, 6 << 20, READ_WRITE, PRIVATE, -1, 0);
    large = (char *)(((uintptr_t)large + (2 << 20) - 1) & -(2UL << 20));
    madvise(large, 2 << 20, MADV_HUGEPAGE);
    memset(large, 3, 2 << 20);
    RESULT(madvise(large + 7 * PAGE, PAGE, GUARD_INSTALL));
    CHECK(large[6 * PAGE] == 3 && large[8 * PAGE] == 3 && reading(large + 7 * PAGE) == SIGSEGV);
    /* Pages of files: the file keeps its content. */
    int fd = file_of(4);
    char *file = mmap(0, 4 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    CHECK(file[PAGE] == 'b');
    RESULT(madvise(file + PAGE, PAGE, GUARD_INSTALL));
    CHECK(reading(file + PAGE) == SIGSEGV && file[2 * PAGE] == 'c' && reading(file + PAGE) == SIGSEGV);
    RESULT(madvise(file, 4 * PAGE, MADV_DONTNEED));
    CHECK(file[0] == 'a' && file[2 * PAGE] == 'c' && reading(file + PAGE) == SIGSEGV);
    RESULT(madvise(file, 4 * PAGE, GUARD_REMOVE));
    CHECK(file[PAGE] == 'b');
    struct iovec pieces[2] = {{map(2), PAGE}, {file, PAGE}};
    RESULT(syscall(SYS_process_madvise, -10000, pieces, 2, GUARD_INSTALL, 0));
    CHECK(reading(pieces[0].iov_base) == SIGSEGV && reading(file) == SIGSEGV);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static void advice(void) {
    puts("-- advice");
    char *area = map(4);
    memset(area, 2, 4 * PAGE);
    RESULT(madvise(area, 4 * PAGE, MADV_COLD));
    RESULT(madvise(area, 4 * PAGE, MADV_PAGEOUT));
    CHECK(area[0] == 2);
    RESULT(madvise(area, 4 * PAGE, COLLAPSE));
    RESULT(madvise(area, 0, COLLAPSE));
    char *large = mmap(0, 6 << 20, READ_WRITE, PRIVATE, -1, 0);
    large = (char *)(((uintptr_t)large + (2 << 20) - 1) & -(2UL << 20));
    for (long i = 0; i < 512; i += 2)
        large[i * PAGE] = i % 100 + 1;
    RESULT(madvise(large, 2 << 20, COLLAPSE));
    int wrong = 0;
    for (long i = 0; i < 512; i++)
        wrong += large[i * PAGE] != (i % 2 ? 0 : i % 100 + 1);
    CHECK(wrong == 0);
    RESULT(madvise(large, 2 << 20, COLLAPSE));
    RESULT(madvise(large + (3 << 20), PAGE, COLLAPSE));
    madvise(large, 2 << 20, MADV_NOHUGEPAGE);
    RESULT(madvise(large, 2 << 20, COLLAPSE));
    RESULT(madvise(area, PAGE, 26));
    RESULT(madvise(area, PAGE, 100 + 1000));
    RESULT(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    RESULT(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    RESULT(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
    RESULT(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    RESULT(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 1));
    RESULT(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
}

static void other_order(void) {
    puts("-- remap_file_pages");
    int fd = file_of(6);
    char *area = mmap(0, 4 * PAGE, READ_WRITE, MAP_SHARED, fd, PAGE);
    CHECK(area[0] == 'b' && area[3 * PAGE] == 'e');
    RESULT(syscall(SYS_remap_file_pages, area, PAGE, 0, 5, 0));
    CHECK(area[0] == 'f' && area[PAGE] == 'c');
    RESULT(syscall(SYS_remap_file_pages, area + PAGE, 2 * PAGE, 0, 0, MAP_NONBLOCK));
    CHECK(area[PAGE] == 'a' && area[2 * PAGE] == 'b' && area[3 * PAGE] == 'e');
    area[PAGE] = 'z';
    char byte;
    CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'z');
    RESULT(syscall(SYS_remap_file_pages, area, PAGE, PROT_READ, 0, 0));
    RESULT(syscall(SYS_remap_file_pages, area, 0, 0, 0, 0));
    RESULT(syscall(SYS_remap_file_pages, area + 100, PAGE, 0, 3, 0)); /* rounded down */
    CHECK(area[0] == 'd');
    RESULT(syscall(SYS_remap_file_pages, area, PAGE, 0, -1UL, 0));
    char *gone = mmap(0, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    munmap(gone, PAGE);
    RESULT(syscall(SYS_remap_file_pages, gone, PAGE, 0, 0, 0));
    char *own = mmap(0, PAGE, READ_WRITE, MAP_PRIVATE, fd, 0), *none = map(1);
    RESULT(syscall(SYS_remap_file_pages, own, PAGE, 0, 1, 0));
    RESULT(syscall(SYS_remap_file_pages, none, PAGE, 0, 1, 0));
    char *whole = mmap(0, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    munmap(whole + PAGE, PAGE);
    RESULT(syscall(SYS_remap_file_pages, whole, 3 * PAGE, 0, 2, 0));
    close(fd);
}

struct cache_range {
    uint64_t offset, length;
};
struct cache {
    uint64_t cached, dirty, writeback, evicted, recently;
};
static void cached(void) {
    puts("-- cachestat");
    int fd = file_of(4);
    ftruncate(fd, 16 * PAGE);
    struct cache_range range = {0, 0};
    struct cache told = {9, 9, 9, 9, 9};
    RESULT(syscall(SYS_CACHESTAT, fd, &range, &told, 0));
    printf("%ld in memory, %ld being written, %ld evicted, %ld recently\n", (long)told.cached, (long)told.writeback, (long)told.evicted, (long)told.recently);
    range = (struct cache_range){PAGE + 5, PAGE};
    RESULT(syscall(SYS_CACHESTAT, fd, &range, &told, 0));
    printf("%ld in memory\n", (long)told.cached);
    range = (struct cache_range){3 * PAGE, 8 * PAGE};
    RESULT(syscall(SYS_CACHESTAT, fd, &range, &told, 0));
    printf("%ld in memory\n", (long)told.cached);
    range = (struct cache_range){100 * PAGE, 0};
    RESULT(syscall(SYS_CACHESTAT, fd, &range, &told, 0));
    printf("%ld in memory\n", (long)told.cached);
    RESULT(syscall(SYS_CACHESTAT, fd, &range, &told, 1));
    RESULT(syscall(SYS_CACHESTAT, fd, 8, &told, 0));
    RESULT(syscall(SYS_CACHESTAT, fd, &range, 8, 0));
    RESULT(syscall(SYS_CACHESTAT, 999, &range, &told, 0));
    int ends[2];
    pipe(ends);
    SUCCESS(syscall(SYS_CACHESTAT, open("/tmp", O_RDONLY), &range, &told, 0));
    close(fd);
}

static uint64_t entry_of(const void *address) {
    uint64_t entry = -1;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (pread(fd, &entry, 8, (uintptr_t)address / PAGE * 8) != 8)
        entry = -1;
    close(fd);
    return entry;
}
static void page_map(void) {
    puts("-- pagemap");
    char *area = map(8);
    area[PAGE] = 1;
    int fd = file_of(2);
    char *file = mmap(0, 2 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    char *own = mmap(0, 2 * PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);
    (void)*(volatile char *)file;
    own[0] = 2;
    /* Present (63), swapped (62), of a file or shared (61), guarded (58). */
    const void *places[] = {area, area + PAGE, file, own};
    for (int i = 0; i < 4; i++)
        printf("%d: %llx\n", i, (long long)entry_of(places[i]) >> 61 & 7);
    CHECK((entry_of(area + PAGE) & ((1UL << 55) - 1)) != 0); /* root may know the frame */
    CHECK((entry_of(file) & ((1UL << 55) - 1)) != (entry_of(own) & ((1UL << 55) - 1)));
    madvise(area + 2 * PAGE, PAGE, GUARD_INSTALL);
    CHECK((entry_of(area + 2 * PAGE) >> 58 & 1) == 1);
    uint64_t many[16];
    int map = open("/proc/self/pagemap", O_RDONLY);
    RESULT(pread(map, many, sizeof many, (uintptr_t)area / PAGE * 8));
    RESULT(pread(map, many, 12, (uintptr_t)area / PAGE * 8));
    RESULT(pread(map, many, 8, 4));
    RESULT(pread(map, many, 0, 0));
    CHECK(pread(map, many, 8, 0) == 8 && many[0] == 0);
    RESULT(pread(map, many, 16, (0x7ffffffff000 / PAGE - 1) * 8) > 0 ? 1 : 0);
    RESULT(pread(map, many, 8, 0x800000000000 / PAGE * 8));
    RESULT(write(map, many, 8));
    RESULT(open("/proc/self/pagemap", O_WRONLY) < 0 ? -1 : 0);
    close(map);
    close(fd);
}

#define SCAN 0xc0606610
enum { WRITTEN = 2, OF_FILE = 4, PRESENT = 8, SWAPPED = 16, OF_ZEROES = 32, GUARDS = 256 };
struct scan {
    uint64_t size, flags, start, end, walk_end, regions, room, most, inverted, all_of, any_of, told;
};
/* What a scan finds in an area of eight pages, with pages counted from its start. */
static void scan(const char *what, const char *area, struct scan request) {
    static uint64_t found[16][3];
    int fd = open("/proc/self/pagemap", O_RDONLY);
    request.size = sizeof request;
    request.start = (uintptr_t)area;
    request.end = request.end ? request.end : request.start + 8 * PAGE;
    request.regions = request.room ? (uintptr_t)found : 0;
    errno = 0;
    int count = ioctl(fd, SCAN, &request);
    printf("%s: %d, %s", what, count, strerror(errno));
    if (count >= 0)
        printf(", up to %lu:", (request.walk_end - (uintptr_t)area) / PAGE);
    for (int i = 0; i < count; i++)
        printf(" %lu-%lu:%llx", (found[i][0] - (uintptr_t)area) / PAGE, (found[i][1] - (uintptr_t)area) / PAGE,
               (long long)found[i][2]);
    puts("");
    close(fd);
}
static void scanning(void) {
    puts("-- looking for pages");
    char *area = map(8);
    area[PAGE] = area[2 * PAGE] = area[6 * PAGE] = 1;
    (void)*(volatile char *)(area + 4 * PAGE);
    uint64_t told = PRESENT | SWAPPED | OF_FILE | OF_ZEROES | GUARDS;
    scan("present", area, (struct scan){.room = 16, .all_of = PRESENT, .told = told});
    scan("zeroes", area, (struct scan){.room = 16, .any_of = OF_ZEROES | SWAPPED, .told = told});
    scan("not zeroes", area, (struct scan){.room = 16, .inverted = OF_ZEROES, .all_of = PRESENT | OF_ZEROES, .told = told});
    scan("absent", area, (struct scan){.room = 16, .inverted = PRESENT, .all_of = PRESENT, .told = told});
    scan("all", area, (struct scan){.room = 16, .told = told});
    scan("a region", area, (struct scan){.room = 1, .all_of = PRESENT, .told = told});
    scan("a page", area, (struct scan){.room = 16, .most = 1, .all_of = PRESENT, .told = told});
    scan("three pages", area, (struct scan){.room = 16, .most = 3, .all_of = PRESENT, .told = told});
    scan("untold", area, (struct scan){.all_of = PRESENT});
    madvise(area + 3 * PAGE, PAGE, GUARD_INSTALL);
    scan("guards", area, (struct scan){.room = 16, .any_of = GUARDS | SWAPPED, .told = GUARDS});
    scan("flags", area, (struct scan){.room = 16, .flags = 4});
    scan("categories", area, (struct scan){.room = 16, .told = 1 << 9});
    scan("unaligned", area + 1, (struct scan){.room = 16, .end = (uintptr_t)area + PAGE});
    scan("checked", area, (struct scan){.room = 16, .flags = 2, .told = told});
    scan("protected", area, (struct scan){.room = 16, .flags = 1, .told = told});
    int fd = file_of(2);
    char *file = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    file[0] = file[PAGE] = 1;
    char *own = mmap(0, 8 * PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);
    own[PAGE] = 1;
    scan("of a file", file, (struct scan){.room = 16, .most = 1, .all_of = PRESENT | OF_FILE, .told = OF_FILE});
    scan("own", own, (struct scan){.room = 16, .inverted = OF_FILE, .all_of = PRESENT | OF_FILE, .told = told});

    /* Writes are noted, and nobody is told. */
    madvise(area + 3 * PAGE, PAGE, GUARD_REMOVE);
    struct uffdio_api api = {.api = UFFD_API, .features = 1 << 15 | 1 << 13};
    int faults = syscall(SYS_userfaultfd, O_CLOEXEC);
    RESULT(ioctl(faults, UFFDIO_API, &api));
    struct uffdio_register range = {.range = {(uintptr_t)area, 8 * PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
    RESULT(ioctl(faults, UFFDIO_REGISTER, &range));
    struct scan take = {.room = 16, .flags = 1 | 2, .all_of = WRITTEN, .told = WRITTEN | PRESENT};
    scan("written", area, take);
    scan("since then", area, take);
    area[2 * PAGE] = area[5 * PAGE] = 2;
    scan("two pages", area, take);
    area[7 * PAGE] = area[6 * PAGE] = 3;
    scan("one of two", area, (struct scan){.room = 16, .most = 1, .flags = 1, .all_of = WRITTEN, .told = WRITTEN});
    scan("the other", area, take);
    CHECK(area[2 * PAGE] == 2 && area[5 * PAGE] == 2 && area[6 * PAGE] == 3 && area[1] == 0);
    /* Most of what is looked through is nothing at all. */
    struct scan everything = {.start = 0, .end = 1UL << 46, .size = sizeof everything, .all_of = GUARDS, .told = GUARDS};
    int pages = open("/proc/self/pagemap", O_RDONLY);
    RESULT(ioctl(pages, SCAN, &everything));
    CHECK(everything.walk_end == everything.end);
    close(pages);
    close(faults);
    close(fd);
}

/* A row of an area in smaps, in kB. */
static long row_of(const void *address, const char *name) {
    char line[512];
    FILE *file = fopen("/proc/self/smaps", "r");
    unsigned long start, end;
    long value = -1;
    int inside = 0;
    while (value < 0 && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start <= (uintptr_t)address && (uintptr_t)address < end;
        else if (inside && !strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    }
    fclose(file);
    return value;
}
static long status_row(const char *name) {
    char line[512];
    FILE *file = fopen("/proc/self/status", "r");
    long value = -1;
    while (value < 0 && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    fclose(file);
    return value;
}
/* What is taken out of an object is gone wherever it is mapped, and counts no more. */
static void taken_out(void) {
    puts("-- what objects lose");
    char *area = mmap(0, 512 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), byte;
    int here[2], there[2];
    pipe(here);
    pipe(there);
    memset(area, 1, 512 * PAGE);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        byte = area[5 * PAGE];
        write(here[1], &byte, 1);
        read(there[0], &byte, 1);
        CHECK(area[4 * PAGE] == 0 && area[5 * PAGE] == 2 && area[511 * PAGE] == 1);
        area[6 * PAGE] = 3;
        fflush(stdout);
        _exit(0);
    }
    read(here[0], &byte, 1);
    RESULT(madvise(area, 500 * PAGE, MADV_REMOVE));
    CHECK(area[0] == 0 && area[499 * PAGE] == 0 && area[500 * PAGE] == 1);
    area[5 * PAGE] = 2;
    write(there[1], &byte, 1);
    waitpid(child, 0, 0);
    CHECK(area[6 * PAGE] == 3);

    int fd = memfd_create("file", 0);
    ftruncate(fd, 600 * PAGE);
    long before = status_row("RssAnon:");
    char *copy = mmap(0, 600 * PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);
    memset(copy, 1, 600 * PAGE);
    CHECK(status_row("RssAnon:") - before > 2000);
    ftruncate(fd, PAGE);
    CHECK(status_row("RssAnon:") - before < 400 && copy[0] == 1 && reading(copy + PAGE) == SIGBUS);
    /* A hole of many pages, of which some are mapped. */
    ftruncate(fd, 0);
    ftruncate(fd, 9000 * PAGE);
    char *file = mmap(0, 9000 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    memset(file, 4, 9000 * PAGE);
    RESULT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE + 1, 8997 * PAGE));
    long wrong = 0;
    for (int i = 2; i < 8998; i++)
        wrong += file[i * PAGE] != 0;
    CHECK(wrong == 0 && file[PAGE] == 4 && file[PAGE + 1] == 0 && file[8998 * PAGE] == 0 && file[8998 * PAGE + 1] == 4);
    munmap(file, 9000 * PAGE);
    munmap(copy, 600 * PAGE);
    close(fd);
}

/* Calls that take long can be ended, and let others run: none of this machine's processors need be free for that. */
static void long_calls(void) {
    puts("-- long calls");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        mmap(0, 8UL << 30, PROT_READ, PRIVATE | MAP_NORESERVE | MAP_POPULATE, -1, 0);
        _exit(0);
    }
    usleep(20000);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
}

static void references(void) {
    puts("-- clear_refs");
    char *area = map(512);
    memset(area, 1, 512 * PAGE);
    RESULT(row_of(area, "Referenced:"));
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    RESULT(write(fd, "3\n", 2));
    RESULT(row_of(area, "Referenced:"));
    RESULT(write(fd, "2", 1));
    RESULT(row_of(area, "Referenced:"));
    RESULT(row_of(area, "Rss:"));
    RESULT(row_of(area, "KSM:"));
    CHECK(area[0] == 1 && area[511 * PAGE] == 1);
    long with = status_row("VmHWM:"), tables = status_row("VmPTE:");
    munmap(area, 512 * PAGE);
    RESULT(write(fd, " 5 ", 3));
    CHECK(with - status_row("VmHWM:") >= 1024);
    CHECK(tables > 0 && tables < 1024);
    for (const char *const *text = (const char *const[]){"0", "6", "", "x", "1 2", "-1", "1", "4", NULL}; *text; text++)
        RESULT(write(fd, *text, strlen(*text)));
    RESULT(open("/proc/self/clear_refs", O_RDONLY) < 0 ? -1 : 0);
    close(fd);
}

static void kinds(void) {
    puts("-- kinds of mappings");
    CHECK(mmap(0, PAGE, READ_WRITE, PRIVATE | MAP_HUGETLB, -1, 0) == MAP_FAILED && errno == ENOMEM);
    char *low = mmap(0, PAGE, READ_WRITE, PRIVATE | MAP_32BIT, -1, 0);
    CHECK((uintptr_t)low < 1UL << 31);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    int fd = file_of(2);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_SHARED | MAP_SYNC, fd, 0) != MAP_FAILED);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | 0x2000000, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
    CHECK(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | 0x40000000, fd, 0) != MAP_FAILED); /* a size of huge pages */
    CHECK(mmap(0, PAGE, READ_WRITE, PRIVATE | 0x4000000, -1, 0) != MAP_FAILED); /* MAP_UNINITIALIZED */
    /* One that grows down: as far as the next, less the gap. */
    char *space = mmap(0, 1024 * PAGE, PROT_NONE, PRIVATE, -1, 0);
    munmap(space, 1024 * PAGE);
    char *top = mmap(space + 1000 * PAGE, PAGE, READ_WRITE, PRIVATE | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(top == space + 1000 * PAGE && writing(top - 1) == 0 && writing(top - 2 * PAGE) == 0);
    char *below = mmap(space + 600 * PAGE, PAGE, READ_WRITE, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(below != MAP_FAILED);
    CHECK(writing(space + 857 * PAGE) == 0 && writing(space + 856 * PAGE) == SIGSEGV && caught.si_code == SEGV_MAPERR);
    struct rlimit limit, old;
    getrlimit(RLIMIT_STACK, &old);
    limit = old;
    limit.rlim_cur = 160 * PAGE;
    munmap(below, PAGE);
    setrlimit(RLIMIT_STACK, &limit);
    CHECK(writing(space + 842 * PAGE) == 0 && writing(space + 840 * PAGE) == SIGSEGV);
    setrlimit(RLIMIT_STACK, &old);
    close(fd);
}

static void synchronised(void) {
    puts("-- msync, mlock2");
    int fd = file_of(4);
    char *file = mmap(0, 4 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
    RESULT(msync(file, 4 * PAGE, MS_SYNC | MS_INVALIDATE));
    mlock(file + PAGE, PAGE);
    RESULT(msync(file, 4 * PAGE, MS_INVALIDATE));
    RESULT(msync(file, 4 * PAGE, MS_ASYNC | MS_INVALIDATE));
    RESULT(msync(file, PAGE, MS_INVALIDATE));
    RESULT(msync(file, 4 * PAGE, 0));
    munmap(file + 2 * PAGE, PAGE);
    RESULT(msync(file, 4 * PAGE, MS_INVALIDATE));
    RESULT(msync(file + 2 * PAGE, 2 * PAGE, MS_SYNC));
    char *area = map(4);
    unsigned char in[4];
    RESULT(syscall(SYS_mlock2, area, 4 * PAGE, 1));
    mincore(area, 4 * PAGE, in);
    CHECK(!(in[0] & 1));
    area[0] = 1;
    mincore(area, 4 * PAGE, in);
    CHECK((in[0] & 1) && !(in[1] & 1));
    RESULT(syscall(SYS_mlock2, area, 4 * PAGE, 2));
    RESULT(syscall(SYS_mlock2, area, 4 * PAGE, 0));
    mincore(area, 4 * PAGE, in);
    CHECK((in[0] & in[1] & in[2] & in[3] & 1));
    RESULT(madvise(area, PAGE, MADV_COLD));
    RESULT(madvise(area, PAGE, MADV_DONTNEED));
    munlock(area, 4 * PAGE);
    struct rlimit none = {3 * PAGE, 3 * PAGE};
    close(fd);
    /* What is in memory of a file is told to those who may write it. */
    fd = file_of(1);
    ftruncate(fd, 4 * PAGE);
    fchmod(fd, 0444);
    file = mmap(0, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    RESULT(mincore(file, 4 * PAGE, in));
    CHECK((in[0] & 1) && !(in[1] & 1) && !(in[3] & 1));
    close(fd);
    fflush(stdout);
    setrlimit(RLIMIT_MEMLOCK, &none);
    syscall(SYS_setresuid, 65534, 65534, 65534);
    RESULT(mincore(file, 4 * PAGE, in));
    CHECK((in[0] & in[1] & in[2] & in[3] & 1));
    munlockall();
    RESULT(mlock(area, 4 * PAGE));
    RESULT(mlock(area, 3 * PAGE));
    RESULT(mlock(area + 3 * PAGE, PAGE));
    CHECK(mmap(0, PAGE, READ_WRITE, PRIVATE | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EAGAIN);
    RESULT(mlockall(MCL_CURRENT));
    RESULT(mlockall(MCL_FUTURE));
    CHECK(mmap(0, PAGE, READ_WRITE, PRIVATE, -1, 0) == MAP_FAILED && errno == EAGAIN);
    munlockall();
    none.rlim_cur = none.rlim_max = 0;
    setrlimit(RLIMIT_MEMLOCK, &none);
    RESULT(mlock(area, PAGE));
    CHECK(mmap(0, PAGE, READ_WRITE, PRIVATE | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EPERM);
    CHECK(entry_of(area) == (uint64_t)-1 || (entry_of(area) & ((1UL << 55) - 1)) == 0);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    catch(SIGSEGV);
    catch(SIGBUS);
    guards();
    advice();
    other_order();
    cached();
    page_map();
    scanning();
    references();
    taken_out();
    long_calls();
    kinds();
    synchronised();
    return 0;
}
