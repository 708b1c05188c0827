// Memory: areas of an arena at a fixed place, what is mapped there, and what reading and writing it does.
//
// Pages are counted from the arena's start. Each call says only what both systems must agree on: no addresses, and areas
// that lie beside each other and are alike as one.
#include "framework.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096L
#define ARENA ((unsigned char *)0x100000000000)
#define ARENA_PAGES 32L

static const struct value pages[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(3), ONE_OF(4), ONE_OF(5), ONE_OF(8), ONE_OF(12), ONE_OF(16), END_OF_VALUES,
};
static const struct value byte_lengths[] = {
    ONE_OF(4096), ONE_OF(4096), ONE_OF(8192), ONE_OF(12288), ONE_OF(20480), ONE_OF(32768), ONE_OF(5000), ONE_OF(1),
    ONE_OF(0), END_OF_VALUES,
};
static const struct value protections[] = {
    NAMED("PROT_BOTH", 3, 0), NAMED("PROT_BOTH", 3, 0), ONE_OF(PROT_READ), ONE_OF(PROT_NONE),
    ONE_OF(PROT_WRITE), NAMED("PROT_CODE", 5, 0), NAMED("PROT_UNKNOWN", 0x20, 1), END_OF_VALUES,
};
static const struct value map_flags[] = {
    ONE_OF(MAP_PRIVATE), ONE_OF(MAP_PRIVATE), ONE_OF(MAP_SHARED), ONE_OF(MAP_SHARED), ONE_OF(MAP_SHARED_VALIDATE),
    ONE_OF(MAP_PRIVATE), ONE_OF(MAP_SHARED), NAMED("MAP_NO_TYPE", 0, 0), MAYBE(MAP_ANONYMOUS, 40), MAYBE(MAP_POPULATE, 10), MAYBE(MAP_NORESERVE, 5),
    MAYBE(MAP_LOCKED, 5), MAYBE(MAP_FIXED_NOREPLACE, 10), MAYBE(MAP_GROWSDOWN, 2), MAYBE(MAP_DENYWRITE, 2),
    MAYBE(MAP_SYNC, 2), NAMED("MAP_HUGE", 0x8000000, 2), MAYBE(MAP_STACK, 2),
    MAYBE(MAP_NONBLOCK, 2), MAYBE(MAP_32BIT, 2), NAMED("MAP_DROPPABLE", 8, 2), NAMED("MAP_UNKNOWN", 0x200000, 2), END_OF_VALUES,
};
static const struct value file_offsets[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(4096), ONE_OF(8192), ONE_OF(40960), MAYBE(100, 3), NAMED("last", 0x7ffffffffffff000, 2),
    NAMED("first", 0x8000000000000000, 2), END_OF_VALUES,
};
static const struct value starts[] = {
    ONE_OF(0), MAYBE(100, 3), END_OF_VALUES,
};
static const struct value remap_flags[] = {
    ONE_OF(0), ONE_OF(MREMAP_MAYMOVE), ONE_OF(MREMAP_MAYMOVE), NAMED("MREMAP_FIXED", 2, 50),
    NAMED("MREMAP_DONTUNMAP", 4, 20), NAMED("MREMAP_UNKNOWN", 8, 2), END_OF_VALUES,
};
static const struct value memory_advices[] = {
    ONE_OF(MADV_NORMAL), ONE_OF(MADV_RANDOM), ONE_OF(MADV_SEQUENTIAL), ONE_OF(MADV_WILLNEED), ONE_OF(MADV_DONTNEED),
    ONE_OF(MADV_DONTNEED), ONE_OF(MADV_REMOVE), ONE_OF(MADV_DONTFORK), ONE_OF(MADV_DOFORK), ONE_OF(MADV_DONTDUMP),
    ONE_OF(MADV_DODUMP), ONE_OF(MADV_WIPEONFORK), ONE_OF(MADV_KEEPONFORK), ONE_OF(MADV_COLD), ONE_OF(MADV_PAGEOUT),
    NAMED("MADV_POPULATE_READ", 22, 0), NAMED("MADV_POPULATE_WRITE", 23, 0), NAMED("MADV_DONTNEED_LOCKED", 24, 0),
    ONE_OF(MADV_HUGEPAGE), ONE_OF(MADV_NOHUGEPAGE), NAMED("MADV_GUARD_INSTALL", 102, 0), NAMED("MADV_GUARD_INSTALL", 102, 0),
    NAMED("MADV_GUARD_REMOVE", 103, 0), ONE_OF(7), ONE_OF(-1), END_OF_VALUES,
};
static const struct value lock_all_flags[] = {
    ONE_OF(0), MAYBE(MCL_CURRENT, 50), MAYBE(MCL_FUTURE, 40), MAYBE(MCL_ONFAULT, 40), NAMED("MCL_UNKNOWN", 8, 3), END_OF_VALUES,
};
static const struct value no_flags[] = {ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(1), END_OF_VALUES};
static const struct value file_pages[] = {ONE_OF(0), ONE_OF(1), ONE_OF(3), END_OF_VALUES};
static const struct value sync_flags[] = {
    ONE_OF(MS_SYNC), ONE_OF(MS_ASYNC), ONE_OF(0), NAMED("MS_BOTH", 5, 0), MAYBE(MS_INVALIDATE, 20),
    NAMED("MS_UNKNOWN", 8, 3), END_OF_VALUES,
};
static const struct value lock_flags[] = {ONE_OF(0), ONE_OF(0), ONE_OF(MLOCK_ONFAULT), ONE_OF(2), END_OF_VALUES};
static const struct value places_in_page[] = {
    ONE_OF(0), ONE_OF(7), ONE_OF(2000), ONE_OF(4095), END_OF_VALUES,
};
static const struct value written_bytes[] = {ONE_OF(1), ONE_OF(2), ONE_OF(77), ONE_OF(255), END_OF_VALUES};
static const struct value transfer_lengths[] = {
    ONE_OF(1), ONE_OF(100), ONE_OF(4096), ONE_OF(5000), ONE_OF(9000), ONE_OF(20000), END_OF_VALUES,
};
static const struct value growths[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(4096), ONE_OF(100000), NAMED("huge", 0x7000000000000000, 0), END_OF_VALUES,
};

static unsigned char *page(const struct argument *argument) {
    return ARENA + argument->number * PAGE;
}

// Says an address as the page of the arena that it lies in.
static void say_address(long address) {
    if (address < 0 && address > -4096) {
        answer(-1);
        return;
    }
    long offset = address - (long)ARENA;
    if (offset >= 0 && offset <= ARENA_PAGES * PAGE)
        say(" = page %ld", offset / PAGE);
    else
        say(" = elsewhere");
}

// Whether it is unknown what is in memory.
static int core_unknown;

// Whether memory was moved: Linux knows where it came from and keeps it apart from what lies beside it, and a piece of both
// can't be moved again. To a machine it is one.
static int has_moved;

// Empties the arena. What lies behind it may have been mapped too: areas can start in its last page.
void empty_memory(void) {
    munmap(ARENA, 2 * ARENA_PAGES * PAGE);
}

// Four pages of memory at 0, and of a file at 4 (shared) and 8 (private).
void begin_memory(void) {
    // Mappings keep what they were made from open, with its locks: a descriptor of their own.
    int file = open("/a", O_RDWR);
    core_unknown = has_moved = 0;
    int both = PROT_READ | PROT_WRITE;
    if (mmap(ARENA, 4 * PAGE, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
        mmap(ARENA + 4 * PAGE, 4 * PAGE, both, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED ||
        mmap(ARENA + 8 * PAGE, 4 * PAGE, both, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
        perror("can't map the arena");
    close(file);
}

// ---- Faults

static sigjmp_buf after_fault;
static volatile sig_atomic_t fault_expected;
static volatile int fault_signal, fault_code;
static void *volatile fault_address;

static void faulted(int signal, siginfo_t *information, void *context) {
    (void)context;
    if (!fault_expected) {
        static const char message[] = "a fault outside of the arena\n";
        (void)!write(2, message, sizeof message - 1);
        _exit(3);
    }
    fault_expected = 0;
    fault_signal = signal;
    fault_code = information->si_code;
    fault_address = information->si_addr;
    siglongjmp(after_fault, 1);
}

void prepare_memory(void) {
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static void say_fault(void) {
    say(" %s %d page %ld", fault_signal == SIGBUS ? "SIGBUS" : "SIGSEGV", fault_code,
        ((unsigned char *)fault_address - ARENA) / PAGE);
}

// A part of memory, as /proc/self/maps tells it.
struct area {
    unsigned long start, end, offset, inode;
    char permissions[8], name[200];
};

static int read_areas(struct area *areas, int most);

// Bytes behind the end of a file, in its last page, are zeroes again.
static void clean_end(int fd) {
    struct stat status;
    unsigned char present = 0;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size % PAGE == 0)
        return;
    long used = status.st_size % PAGE;
    unsigned char *last = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, status.st_size - used);
    if (last == MAP_FAILED)
        return;
    if (mincore(last, PAGE, &present) == 0 && present & 1)
        memset(last + used, 0, PAGE - used);
    munmap(last, PAGE);
}

// Cleans the ends of all files that are open or mapped. Linux's tmpfs shows what was written there when the file grows (6.18
// still does), which POSIX leaves open; in a machine they are zeroes.
static void clean_ends(void) {
    for (int slot = 0; slot < SLOTS; slot++)
        clean_end(slots[slot]);
    struct area areas[2 * ARENA_PAGES];
    int count = read_areas(areas, 2 * ARENA_PAGES);
    for (int index = 0; index < count; index++) {
        int fd = areas[index].inode ? open(areas[index].name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
        if (fd < 0)
            continue;
        clean_end(fd);
        close(fd);
    }
}

// One byte in each page of a range is written.
static void run_store(struct argument *a) {
    unsigned char *volatile at = page(&a[0]) + a[2].number;
    unsigned char *end = page(&a[0]) + a[1].number;
    if (sigsetjmp(after_fault, 0)) {
        say_fault();
        clean_ends();
        return;
    }
    fault_expected = 1;
    for (; at < end; at += PAGE)
        *(volatile unsigned char *)at = (unsigned char)a[3].number;
    fault_expected = 0;
    say(" = 0");
    clean_ends();
}

static void run_load(struct argument *a) {
    unsigned char *volatile at = page(&a[0]);
    unsigned char *end = page(&a[0]) + a[1].number;
    volatile unsigned sum = 1;
    if (sigsetjmp(after_fault, 0)) {
        say(" [%08x]", sum);
        say_fault();
        return;
    }
    fault_expected = 1;
    for (; at < end; at++)
        sum = sum * 31 + *(volatile unsigned char *)at;
    fault_expected = 0;
    say(" [%08x]", sum);
}

// ---- Areas

// Takes a new area back that lies outside of the arena.
static void take_back(long address, long length) {
    long offset = address - (long)ARENA;
    if (address > 0 && (offset < 0 || offset > 2 * ARENA_PAGES * PAGE))
        munmap((void *)address, length);
}

static void run_mmap(struct argument *a) {
    long flags = a[4].number;
    struct stat status;
    // Linux's TCP can receive into mappings.
    if (fstat(descriptor(&a[5]), &status) == 0 && S_ISSOCK(status.st_mode)) {
        say(" not here");
        return;
    }
    if (!(flags & MAP_FIXED_NOREPLACE))
        flags |= MAP_FIXED;
    long result = syscall(SYS_mmap, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number, flags,
                          descriptor(&a[5]), a[6].number);
    say_address(result);
    take_back(result, a[2].number);
}

static void run_munmap(struct argument *a) {
    answer(syscall(SYS_munmap, page(&a[0]) + a[1].number, a[2].number));
}

static void run_mprotect(struct argument *a) {
    answer(syscall(SYS_mprotect, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number));
}

static void run_mremap(struct argument *a) {
    if (has_moved && a[2].number > PAGE) {
        say(" not here");
        return;
    }
    long result = syscall(SYS_mremap, page(&a[0]) + a[1].number, a[2].number, a[3].number, (int)a[4].number,
                          page(&a[5]));
    has_moved |= result > 0;
    say_address(result);
    take_back(result, a[3].number);
}

static void run_madvise(struct argument *a) {
    answer(syscall(SYS_madvise, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number));
}

static void run_msync(struct argument *a) {
    answer(syscall(SYS_msync, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number));
}

// A child of Linux begins with what its parent has read of memory that nobody has written, zeroes, but only where something else
// was written. In a machine it does not have them: that is the same to whoever reads.
static void run_mincore(struct argument *a) {
    unsigned char present[ARENA_PAGES];
    long result = syscall(SYS_mincore, page(&a[0]) + a[1].number, a[2].number, present);
    answer(result);
    for (long index = 0; result == 0 && !core_unknown && !is_child && index * PAGE < a[2].number; index++)
        say(" %d", present[index] & 1);
}

static void run_mlock2(struct argument *a) {
    answer(syscall(SYS_mlock2, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number));
}

static void run_munlock(struct argument *a) {
    answer(syscall(SYS_munlock, page(&a[0]) + a[1].number, a[2].number));
}

// Only where it can't go on with the whole program in a later round.
static void run_mlockall(struct argument *a) {
    if (!is_child) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_mlockall, (int)a[0].number));
    // What else of the program lies in memory then is not told, and how much of it there is differs.
    core_unknown = 1;
}

static void run_munlockall(struct argument *a) {
    (void)a;
    answer(syscall(SYS_munlockall));
}

// For ever, so that it is for children only.
static void run_mseal(struct argument *a) {
    if (!is_child) {
        say(" not here");
        return;
    }
    answer(syscall(462, page(&a[0]) + a[1].number, a[2].number, a[3].number));
}

static void run_remap_file_pages(struct argument *a) {
    answer(syscall(SYS_remap_file_pages, page(&a[0]) + a[1].number, a[2].number, (int)a[3].number, a[4].number, 0));
}

// Of the process itself, by a descriptor of it: two ranges at once.
static void run_process_madvise(struct argument *a) {
    struct iovec ranges[2] = {{page(&a[0]), a[1].number}, {page(&a[2]), a[1].number}};
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    answer(syscall(SYS_process_madvise, self, ranges, 2, (int)a[3].number, (unsigned)a[4].number));
    close(self);
}

// The program's own data segment grows, is written, and shrinks again.
static void run_brk(struct argument *a) {
    long old = syscall(SYS_brk, 0), new = syscall(SYS_brk, old + a[0].number);
    say(" = %ld", new - old);
    if (new > old) {
        unsigned sum = 0;
        for (unsigned char *at = (unsigned char *)old; at < (unsigned char *)new; at += PAGE)
            sum += *at, *at = 1;
        // What lies before the first whole page was the program's before.
        say(" sum %u", sum && new - old < PAGE ? 0 : sum);
        memset((void *)old, 0, new - old);
        syscall(SYS_brk, old);
    }
}

// ---- /proc/self/maps

// The areas of the arena; returns how many.
static int read_areas(struct area *areas, int most) {
    static char text[1 << 17];
    long length = 0, got;
    int count = 0;
    lseek(maps_file, 0, SEEK_SET);
    while ((got = read(maps_file, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    text[length] = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && count < most;) {
        struct area area = {0};
        if (sscanf(line, "%lx-%lx %7s %lx %*s %lu %199[^\n]", &area.start, &area.end, area.permissions, &area.offset,
                   &area.inode, area.name) < 5)
            continue;
        if (area.start >= (unsigned long)ARENA && area.start < (unsigned long)ARENA + 2 * ARENA_PAGES * PAGE)
            areas[count++] = area;
    }
    return count;
}

static int continues(const struct area *before, const struct area *after) {
    return before->end == after->start && strcmp(before->permissions, after->permissions) == 0 &&
           strcmp(before->name, after->name) == 0 &&
           (!*after->name || before->offset + (before->end - before->start) == after->offset);
}

static void say_area(const struct area *area) {
    say(" %ld-%ld %s", (long)(area->start - (unsigned long)ARENA) / PAGE, (long)(area->end - (unsigned long)ARENA) / PAGE,
        area->permissions);
    // Nameless files have numbers; outside of the root directory, names say where that lies.
    if (*area->name && !is_root_elsewhere())
        say(" %lx %.*s", area->offset, (int)strcspn(area->name, "#"), area->name);
    say(";");
}

static void run_maps(struct argument *a) {
    (void)a;
    struct area areas[2 * ARENA_PAGES];
    int count = read_areas(areas, 2 * ARENA_PAGES);
    for (int first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && continues(&areas[first], &areas[next]); next++)
            areas[first].end = areas[next].end;
        say_area(&areas[first]);
    }
}

// Whether a transfer between a file and memory would copy bytes over themselves, since the memory shows the same part of
// the file. What comes of that depends on how the processor copies.
static int copies_over_itself(int fd, unsigned char *memory, long length, long position) {
    struct stat status;
    struct area areas[2 * ARENA_PAGES];
    unsigned long start = (unsigned long)memory, end = start + length;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode))
        return 0;
    int count = read_areas(areas, 2 * ARENA_PAGES);
    for (int index = 0; index < count; index++) {
        struct area *area = &areas[index];
        if (area->inode != status.st_ino || area->end <= start || area->start >= end)
            continue;
        long shown = (long)(area->offset + start - area->start);
        if (labs(shown - position) < 2 * length)
            return 1;
    }
    return 0;
}

// ---- Calls that read and write the arena

// Whether a stream of the Internet would be read into memory that can be written only to a part. What is received then is as many
// of the pieces in which it came as fit there, which Linux may have put together.
static int receives_a_part(int fd, unsigned char *to, long length) {
    if (!is_internet_stream(fd))
        return 0;
    unsigned char *volatile at = to;
    if (sigsetjmp(after_fault, 0)) {
        if (at != to)
            say(" not here");
        return at != to;
    }
    fault_expected = 1;
    for (; at < to + length; at += PAGE - (unsigned long)at % PAGE)
        *(volatile unsigned char *)at = *(volatile unsigned char *)at;
    fault_expected = 0;
    return 0;
}

static void run_read_into(struct argument *a) {
    int fd = descriptor(&a[0]);
    if (receives_a_part(fd, page(&a[1]) + a[2].number, a[3].number))
        return;
    if (copies_over_itself(fd, page(&a[1]) + a[2].number, a[3].number, lseek(fd, 0, SEEK_CUR)))
        return;
    answer(syscall(SYS_read, descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number));
    clean_ends();
}

static void run_pread_into(struct argument *a) {
    if (copies_over_itself(descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number, a[4].number))
        return;
    answer(syscall(SYS_pread64, descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number, a[4].number));
    clean_ends();
}

static int is_readable(volatile unsigned char *byte) {
    if (sigsetjmp(after_fault, 0))
        return 0;
    fault_expected = 1;
    (void)*byte;
    fault_expected = 0;
    return 1;
}

// Whether a write would begin behind the end of the file with memory that can't be read. Linux's tmpfs makes the file
// longer then, although nothing is written.
static int writes_nothing_behind_end(int fd, unsigned char *from, long position) {
    struct stat status;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || position <= status.st_size)
        return 0;
    return !is_readable(from);
}

// Whether a stream of the Internet would get memory that can be read only to a part. How much of that it takes depends on how
// full the piece of memory is in which Linux collects what a thread sends.
static int sends_a_part(int fd, unsigned char *from, long length) {
    if (!is_internet_stream(fd) || !is_readable(from))
        return 0;
    for (unsigned char *at = from; at < from + length; at += PAGE - (unsigned long)at % PAGE)
        if (!is_readable(at)) {
            say(" not here");
            return 1;
        }
    return 0;
}

static void run_write_from(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[3].number))
        return;
    int fd = descriptor(&a[0]);
    if (sends_a_part(fd, page(&a[1]) + a[2].number, a[3].number))
        return;
    long position = lseek(fd, 0, SEEK_CUR);
    if (writes_nothing_behind_end(fd, page(&a[1]) + a[2].number, position) ||
        copies_over_itself(fd, page(&a[1]) + a[2].number, a[3].number, position))
        return;
    long result = syscall(SYS_write, descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number);
    answer(result);
    // Linux has made a page ready for what it could not read then.
    core_unknown |= result != a[3].number;
}

static void run_pwrite_from(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[3].number))
        return;
    if (writes_nothing_behind_end(descriptor(&a[0]), page(&a[1]) + a[2].number, a[4].number) ||
        copies_over_itself(descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number, a[4].number))
        return;
    long result = syscall(SYS_pwrite64, descriptor(&a[0]), page(&a[1]) + a[2].number, a[3].number, a[4].number);
    answer(result);
    core_unknown |= result != a[3].number;
}

static void run_path_from(struct argument *a) {
    struct stat status;
    answer(syscall(SYS_newfstatat, AT_FDCWD, page(&a[0]) + a[1].number, &status, 0));
    // Linux reads whole words and so touches the page behind a path that ends just before it.
    core_unknown |= a[1].number > PAGE - (long)sizeof(long);
}

// Whether two ranges show pages of the same file.
static int show_one_file(unsigned char *one, unsigned char *other, long length) {
    struct area areas[2 * ARENA_PAGES];
    int count = read_areas(areas, 2 * ARENA_PAGES);
    for (int left = 0; left < count; left++)
        for (int right = 0; right < count; right++)
            if (areas[left].inode && strcmp(areas[left].name, areas[right].name) == 0 && areas[left].start < (unsigned long)one + length &&
                areas[left].end > (unsigned long)one && areas[right].start < (unsigned long)other + length &&
                areas[right].end > (unsigned long)other)
                return 1;
    return 0;
}

static void run_copy_within(struct argument *a) {
    struct iovec local = {page(&a[0]) + a[1].number, a[2].number}, remote = {page(&a[3]), a[2].number};
    // What comes of copying memory over itself depends on how the processor copies.
    if (labs((page(&a[0]) + a[1].number) - page(&a[3])) < a[2].number || show_one_file(local.iov_base, remote.iov_base, a[2].number))
        return;
    long call = a[4].number ? SYS_process_vm_writev : SYS_process_vm_readv;
    long result = syscall(call, getpid(), &local, 1, &remote, 1, 0);
    answer(result);
    // Linux has touched the other side as a whole then.
    core_unknown |= result != a[2].number;
    clean_ends();
}

static const struct call memory_calls[] = {
    {"mmap", "vvvvvfv", run_mmap, 30, 0, {pages, starts, byte_lengths, protections, map_flags, file_offsets}},
    {"munmap", "vvv", run_munmap, 6, 0, {pages, starts, byte_lengths}},
    {"mprotect", "vvvv", run_mprotect, 8, 0, {pages, starts, byte_lengths, protections}},
    {"mremap", "vvvvvv", run_mremap, 8, 0, {pages, starts, byte_lengths, byte_lengths, remap_flags, pages}},
    {"madvise", "vvvv", run_madvise, 10, 0, {pages, starts, byte_lengths, memory_advices}},
    {"msync", "vvvv", run_msync, 3, 0, {pages, starts, byte_lengths, sync_flags}},
    {"mincore", "vvv", run_mincore, 4, 0, {pages, starts, byte_lengths}},
    {"mlock2", "vvvv", run_mlock2, 3, 0, {pages, starts, byte_lengths, lock_flags}},
    {"munlock", "vvv", run_munlock, 2, 0, {pages, starts, byte_lengths}},
    {"mlockall", "v", run_mlockall, 1, 0, {lock_all_flags}},
    {"munlockall", "", run_munlockall, 1, 0, {NULL}},
    {"mseal", "vvvv", run_mseal, 4, 0, {pages, starts, byte_lengths, no_flags}},
    {"remap_file_pages", "vvvvv", run_remap_file_pages, 2, 0, {pages, starts, byte_lengths, no_flags, file_pages}},
    {"process_madvise", "vvvvv", run_process_madvise, 2, 0, {pages, byte_lengths, pages, memory_advices, no_flags}},
    {"brk", "v", run_brk, 2, 0, {growths}},
    {"store", "vvvv", run_store, 16, 0, {pages, byte_lengths, places_in_page, written_bytes}},
    {"load", "vv", run_load, 16, 0, {pages, byte_lengths}},
    {"read_into", "fvvv", run_read_into, 4, 1, {pages, places_in_page, transfer_lengths}},
    {"pread_into", "fvvvv", run_pread_into, 4, 0, {pages, places_in_page, transfer_lengths, file_offsets}},
    {"write_from", "fvvv", run_write_from, 4, 1, {pages, places_in_page, transfer_lengths}},
    {"pwrite_from", "fvvvv", run_pwrite_from, 4, 0, {pages, places_in_page, transfer_lengths, file_offsets}},
    {"path_from", "vv", run_path_from, 1, 0, {pages, places_in_page}},
    {"copy_within", "vvvvv", run_copy_within, 3, 0, {pages, places_in_page, transfer_lengths, pages, starts}},
    {"maps", "", run_maps, 8, 0, {NULL}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
