/* What /proc/self/smaps and maps say of areas: their letters, and with `names` the names that a program gives them. */
#include "check.h"
#include "smaps.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define DROPPABLE 8
#define MSEAL 462

/* Pages apart from others, so that they are an area of their own. */
static char *map(unsigned long bytes, int rights, int flags, int file) {
    char *area = mmap(0, bytes + 2 * PAGE, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
    return mmap(area + PAGE, bytes, rights, flags | MAP_FIXED, file, 0);
}
static void show(const char *what, const void *area) {
    printf("%s:%s", what, row(area, "VmFlags:"));
}

static void letters(void) {
    show("none", map(PAGE, PROT_NONE, PRIVATE, -1));
    show("read", map(PAGE, PROT_READ, PRIVATE, -1));
    show("read and write", map(PAGE, READ_WRITE, PRIVATE, -1));
    show("all", map(PAGE, 7, PRIVATE, -1));
    show("write", map(PAGE, PROT_WRITE, PRIVATE, -1));
    show("not reserved", map(PAGE, READ_WRITE, PRIVATE | MAP_NORESERVE, -1));
    show("shared", map(PAGE, READ_WRITE, SHARED, -1));
    show("shared, read", map(PAGE, PROT_READ, SHARED, -1));
    show("shared, not reserved", map(PAGE, READ_WRITE, SHARED | MAP_NORESERVE, -1));
    show("grows", map(PAGE, READ_WRITE, PRIVATE | MAP_GROWSDOWN, -1));
    show("stack", map(PAGE, READ_WRITE, PRIVATE | MAP_STACK, -1));
    show("locked", map(PAGE, READ_WRITE, PRIVATE | MAP_LOCKED, -1));
    show("may be dropped", map(PAGE, READ_WRITE, DROPPABLE | MAP_ANONYMOUS, -1));

    puts("-- what counts as promised");
    char *area = map(PAGE, READ_WRITE, PRIVATE, -1);
    mprotect(area, PAGE, PROT_READ);
    show("never written", area);
    mprotect(area, PAGE, READ_WRITE);
    show("writable again", area);
    area[0] = 1;
    mprotect(area, PAGE, PROT_READ);
    show("written", area);
    area = map(PAGE, PROT_READ, PRIVATE, -1);
    mprotect(area, PAGE, READ_WRITE);
    show("made writable", area);
    /* What counts differently is no single area. */
    area = map(4 * PAGE, READ_WRITE, PRIVATE, -1);
    area[0] = 1;
    mprotect(area + PAGE, PAGE, PROT_READ);
    mprotect(area + 3 * PAGE, PAGE, PROT_READ);
    mprotect(area + 2 * PAGE, PAGE, PROT_READ);
    printf("of one that was written:%s", row(area + PAGE, "Size:"));
    char *other = map(4 * PAGE, PROT_READ, PRIVATE, -1);
    mprotect(other + PAGE, PAGE, READ_WRITE);
    other[PAGE] = 1;
    mprotect(other + PAGE, PAGE, PROT_READ);
    printf("beside one that was written:%s", row(other, "Size:"));

    puts("-- files");
    int file = memfd_create("file", 0), program = open("/proc/self/exe", O_RDONLY), zero = open("/dev/zero", O_RDWR);
    if (ftruncate(file, 2 * PAGE) != 0)
        perror("ftruncate");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int read_only = open(path, O_RDONLY);
    show("shared", map(PAGE, READ_WRITE, MAP_SHARED, file));
    show("shared, read", map(PAGE, PROT_READ, MAP_SHARED, file));
    show("shared, of one to be read", map(PAGE, PROT_READ, MAP_SHARED, read_only));
    show("private", map(PAGE, READ_WRITE, MAP_PRIVATE, read_only));
    show("private, read", map(PAGE, PROT_READ, MAP_PRIVATE, file));
    area = map(PAGE, READ_WRITE, MAP_PRIVATE, file);
    mprotect(area, PAGE, PROT_READ);
    show("private, no longer written", area);
    show("code", map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, program));
    show("private, of a program", map(PAGE, READ_WRITE, MAP_PRIVATE, program));
    show("shared, of a program", map(PAGE, PROT_READ, MAP_SHARED, program));
    show("zeroes", map(PAGE, READ_WRITE, MAP_PRIVATE, zero));
    show("shared zeroes", map(PAGE, READ_WRITE, MAP_SHARED, zero));

    puts("-- advice");
    static const struct {
        const char *name;
        int advice;
    } ADVICE[] = {{"random", MADV_RANDOM},         {"sequential", MADV_SEQUENTIAL}, {"not forked", MADV_DONTFORK},
                  {"small pages", MADV_NOHUGEPAGE}, {"not dumped", MADV_DONTDUMP},   {"wiped", MADV_WIPEONFORK}};
    for (unsigned i = 0; i < sizeof ADVICE / sizeof *ADVICE; i++) {
        area = map(PAGE, READ_WRITE, PRIVATE, -1);
        RESULT(madvise(area, PAGE, ADVICE[i].advice));
        show(ADVICE[i].name, area);
    }
    area = map(PAGE, READ_WRITE, PRIVATE, -1);
    RESULT(syscall(SYS_mlock2, area, PAGE, 1));
    show("locked when touched", area);
    RESULT(syscall(MSEAL, area, PAGE, 0));
    show("sealed", area);

    puts("-- the program's own");
    static int data = 1;
    show("code", (void *)(uintptr_t)letters);
    show("data", &data);
    show("stack", &area);
    show("heap", sbrk(0) - 1);
    show("the kernel's code", (const char *)getauxval(AT_SYSINFO_EHDR));
    area = map(8 << 20, READ_WRITE, PRIVATE, -1);
    madvise(area, 8 << 20, MADV_HUGEPAGE);
    printf("large pages, asked for:%s", row(area, "THPeligible:"));
    area = map(PAGE, READ_WRITE, PRIVATE, -1);
    madvise(area, PAGE, MADV_HUGEPAGE);
    printf("large pages in a small area:%s", row(area, "THPeligible:"));
    printf("large pages, not asked for:%s", row(map(8 << 20, READ_WRITE, PRIVATE, -1), "THPeligible:"));
}

/* The end of the line of an area in maps. */
static const char *name_of(const void *address) {
    static char line[512];
    FILE *file = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && start <= (unsigned long)address && (unsigned long)address < end) {
            fclose(file);
            line[strcspn(line, "\n")] = 0;
            return strlen(line) > 73 ? line + 73 : "";
        }
    fclose(file);
    return "?";
}
static int named(void *address, unsigned long length, const char *name) {
    return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, length, name);
}
static int fails(int result, int number) {
    return result == -1 && errno == number;
}
static long kilobytes(const void *area) {
    return atol(row(area, "Size:"));
}

/* Rules as prctl(2) and Linux's sources have them; Debian's kernel has the option, not every host's. */
static void names(void) {
    char *area = map(8 * PAGE, READ_WRITE, PRIVATE, -1);
    CHECK(named(area, PAGE, "first name") == 0 && !strcmp(name_of(area), "[anon:first name]"));
    CHECK(!strcmp(name_of(area + PAGE), "") && kilobytes(area) == 4 && kilobytes(area + PAGE) == 28);
    /* The length is rounded up, and equal names are one area. */
    CHECK(named(area + PAGE, PAGE + 1, "first name") == 0 && kilobytes(area) == 12);
    CHECK(named(area + PAGE, PAGE, "other") == 0 && kilobytes(area) == 4 && kilobytes(area + PAGE) == 4);
    CHECK(named(area, 8 * PAGE, 0) == 0 && kilobytes(area) == 32 && !strcmp(name_of(area), ""));
    CHECK(named(area, 0, "nothing") == 0 && !strcmp(name_of(area), ""));
    CHECK(named(area, PAGE, "") == 0 && !strcmp(name_of(area), "[anon:]"));

    char longest[81];
    memset(longest, 'x', 80);
    longest[80] = 0;
    CHECK(fails(named(area, PAGE, longest), EINVAL));
    longest[79] = 0;
    CHECK(named(area, PAGE, longest) == 0 && strlen(name_of(area)) == 79 + 7);
    for (const char *bad = "\\`$[]\t\x7f\x80"; *bad; bad++) {
        char name[3] = {'a', *bad, 0};
        if (!fails(named(area, PAGE, name), EINVAL))
            printf("a name with the byte %d: NO\n", *bad);
    }
    CHECK(fails(named(area, PAGE, (char *)8), EFAULT));
    CHECK(fails(named(area + 1, PAGE, "name"), EINVAL));
    CHECK(fails(named(area, -1UL, "name"), EINVAL));
    CHECK(fails(prctl(PR_SET_VMA, 1, area, PAGE, "name"), EINVAL));
    CHECK(named(area, 8 * PAGE, "name") == 0);

    /* Holes are told when all is done, files at once. */
    munmap(area + 4 * PAGE, PAGE);
    CHECK(fails(named(area, 8 * PAGE, "around"), ENOMEM));
    CHECK(!strcmp(name_of(area), "[anon:around]") && !strcmp(name_of(area + 7 * PAGE), "[anon:around]"));
    mmap(area + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, open("/proc/self/exe", O_RDONLY), 0);
    CHECK(fails(named(area, 8 * PAGE, "before"), EBADF));
    CHECK(!strcmp(name_of(area), "[anon:before]") && !strcmp(name_of(area + 7 * PAGE), "[anon:around]"));
    CHECK(fails(named(area + 4 * PAGE, PAGE, "file"), EBADF));

    /* They move, grow and are inherited. */
    char *moved = mremap(area, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    CHECK(!strcmp(name_of(moved + 2 * PAGE), "[anon:before]") && kilobytes(moved) == 12);
    fflush(stdout);
    if (fork() == 0) {
        CHECK(!strcmp(name_of(moved), "[anon:before]"));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    char *shared = map(PAGE, READ_WRITE, SHARED, -1);
    CHECK(named(shared, PAGE, "shared") == 0 && !strcmp(name_of(shared), "[anon_shmem:shared]"));
    char *heap = sbrk(0) - 1;
    CHECK(named((char *)((uintptr_t)heap & -PAGE), PAGE, "heap") == 0 && !strcmp(name_of(heap), "[heap]"));
    /* What is mapped beside it is none of it. */
    char *pair = map(2 * PAGE, READ_WRITE, PRIVATE, -1);
    named(pair, PAGE, "left");
    mmap(pair + PAGE, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(!strcmp(name_of(pair), "[anon:left]") && !strcmp(name_of(pair + PAGE), ""));
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "names"))
        names();
    else
        letters();
    return 0;
}
