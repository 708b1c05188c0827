// Names: opening, making, moving, removing, and walking paths.
#include "framework.h"
#include <linux/openat2.h>
#include <sys/sysmacros.h>

static const struct value open_flags[] = {
    ONE_OF(O_RDONLY), ONE_OF(O_WRONLY), ONE_OF(O_RDWR), ONE_OF(O_RDWR), NAMED("O_ACCMODE", 3, 2),
    MAYBE(O_CREAT, 40), MAYBE(O_EXCL, 8), MAYBE(O_TRUNC, 10), MAYBE(O_APPEND, 12), MAYBE(O_NONBLOCK, 40),
    MAYBE(O_DIRECTORY, 8), MAYBE(O_NOFOLLOW, 12), MAYBE(O_CLOEXEC, 20), MAYBE(O_PATH, 8), MAYBE(O_SYNC, 4),
    MAYBE(O_NOATIME, 8), MAYBE(O_NOCTTY, 4), MAYBE(O_ASYNC, 2), MAYBE(O_DIRECT, 3), END_OF_VALUES,
};
static const struct value new_open_flags[] = {
    ONE_OF(O_RDONLY), ONE_OF(O_WRONLY), ONE_OF(O_RDWR), NAMED("O_ACCMODE", 3, 2), MAYBE(O_CREAT, 25),
    MAYBE(O_EXCL, 8), MAYBE(O_NONBLOCK, 40), MAYBE(O_DIRECTORY, 8), MAYBE(O_NOFOLLOW, 12), MAYBE(O_CLOEXEC, 20),
    MAYBE(O_PATH, 12), MAYBE(O_TRUNC, 4), NAMED("O_UNKNOWN", 0x40000000, 2), END_OF_VALUES,
};
static const struct value temporary_flags[] = {
    ONE_OF(O_RDWR), ONE_OF(O_WRONLY), ONE_OF(O_RDONLY), MAYBE(O_EXCL, 20), MAYBE(O_CREAT, 5),
    MAYBE(O_CLOEXEC, 20), MAYBE(O_NOFOLLOW, 10), END_OF_VALUES,
};
static const struct value resolve_flags[] = {
    ONE_OF(0), MAYBE(RESOLVE_NO_XDEV, 10), MAYBE(RESOLVE_NO_MAGICLINKS, 10), MAYBE(RESOLVE_NO_SYMLINKS, 15),
    MAYBE(RESOLVE_BENEATH, 30), MAYBE(RESOLVE_IN_ROOT, 25), NAMED("RESOLVE_UNKNOWN", 0x100, 3), END_OF_VALUES,
};
static const struct value modes[] = {
    ONE_OF(0644), ONE_OF(0666), ONE_OF(0755), ONE_OF(0777), ONE_OF(0600), ONE_OF(01777), ONE_OF(02775),
    ONE_OF(06755), ONE_OF(0), ONE_OF(0444), END_OF_VALUES,
};
static const struct value new_modes[] = {
    ONE_OF(0644), ONE_OF(0), ONE_OF(0), ONE_OF(0600), ONE_OF(02775), ONE_OF(0x10000), END_OF_VALUES,
};
static const struct value structure_sizes[] = {
    ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(24), ONE_OF(16),
    ONE_OF(32), END_OF_VALUES,
};
static const struct value kinds[] = {
    ONE_OF(S_IFREG), ONE_OF(S_IFIFO), ONE_OF(S_IFIFO), ONE_OF(S_IFSOCK), ONE_OF(S_IFCHR), ONE_OF(S_IFDIR),
    ONE_OF(0), NAMED("S_UNKNOWN", 0150000, 3), END_OF_VALUES,
};
static const struct value unlink_flags[] = {
    ONE_OF(0), MAYBE(AT_REMOVEDIR, 30), NAMED("AT_UNKNOWN", 0x4000, 2), END_OF_VALUES,
};
static const struct value rename_flags[] = {
    ONE_OF(0), NAMED("RENAME_NOREPLACE", 1, 20), NAMED("RENAME_EXCHANGE", 2, 20), NAMED("RENAME_WHITEOUT", 4, 10),
    NAMED("RENAME_UNKNOWN", 8, 2), END_OF_VALUES,
};
static const struct value link_flags[] = {
    ONE_OF(0), MAYBE(AT_SYMLINK_FOLLOW, 20), MAYBE(AT_EMPTY_PATH, 20), NAMED("AT_UNKNOWN", 0x4000, 2),
    END_OF_VALUES,
};
static const struct value link_sizes[] = {
    ONE_OF(100), ONE_OF(100), ONE_OF(2), ONE_OF(0), ONE_OF(-1), END_OF_VALUES,
};
static const struct value list_sizes[] = {
    ONE_OF(4096), ONE_OF(65536), ONE_OF(10), ONE_OF(64), END_OF_VALUES,
};
static const struct value name_sizes[] = {ONE_OF(4096), ONE_OF(100), ONE_OF(1), ONE_OF(0), END_OF_VALUES};

static void run_openat(struct argument *a) {
    keep(&a[4], syscall(SYS_openat, directory(&a[0]), path(&a[1]), (int)a[2].number, (int)a[3].number));
}

static void run_temporary(struct argument *a) {
    keep(&a[4], syscall(SYS_openat, directory(&a[0]), path(&a[1]), (int)a[2].number | O_TMPFILE,
                        (int)a[3].number));
}

static void run_openat2(struct argument *a) {
    struct {
        struct open_how how;
        unsigned long more;
    } how = {{a[2].number, a[3].number, a[4].number}, 0};
    keep(&a[6], syscall(SYS_openat2, directory(&a[0]), path(&a[1]), &how, a[5].number));
}

static void run_creat(struct argument *a) {
    keep(&a[2], syscall(SYS_creat, path(&a[0]), (int)a[1].number));
}

static void run_mkdirat(struct argument *a) {
    answer(syscall(SYS_mkdirat, directory(&a[0]), path(&a[1]), (int)a[2].number));
}

static void run_mknodat(struct argument *a) {
    dev_t device = (a[2].number & S_IFMT) == S_IFCHR ? makedev(1, 3) : 0;
    answer(syscall(SYS_mknodat, directory(&a[0]), path(&a[1]), (int)(a[2].number | a[3].number), device));
}

static void run_symlinkat(struct argument *a) {
    answer(syscall(SYS_symlinkat, path(&a[0]), directory(&a[1]), path(&a[2])));
}

static void run_linkat(struct argument *a) {
    answer(syscall(SYS_linkat, directory(&a[0]), path(&a[1]), directory(&a[2]), path(&a[3]), (int)a[4].number));
}

static void run_unlinkat(struct argument *a) {
    answer(syscall(SYS_unlinkat, directory(&a[0]), path(&a[1]), (int)a[2].number));
}

static void run_renameat2(struct argument *a) {
    answer(syscall(SYS_renameat2, directory(&a[0]), path(&a[1]), directory(&a[2]), path(&a[3]), (int)a[4].number));
}

static void run_readlinkat(struct argument *a) {
    memset(buffer, 0, 128);
    long result = syscall(SYS_readlinkat, directory(&a[0]), path(&a[1]), buffer, (int)a[2].number);
    answer(result);
    if (result > 0)
        say(" %.100s", buffer);
}

static void run_chdir(struct argument *a) {
    answer(syscall(SYS_chdir, path(&a[0])));
}

static void run_fchdir(struct argument *a) {
    answer(syscall(SYS_fchdir, descriptor(&a[0])));
}

static void run_getcwd(struct argument *a) {
    long result = syscall(SYS_getcwd, buffer, a[0].number);
    // Where the directory of the scripts lies is told only then.
    if (result > 0 && buffer[0] == '(') {
        answer(1);
        return;
    }
    answer(result);
    if (result > 0)
        say(" %s", buffer);
}

static void run_chroot(struct argument *a) {
    answer(syscall(SYS_chroot, path(&a[0])));
}

// Whether the root directory is another one than the scripts'.
static int has_other_root;

int is_root_elsewhere(void) {
    return has_other_root;
}

void begin_names(void) {
    has_other_root = 0;
}

// Into another root directory with no way back: descriptors of directories outside are given up.
static void run_enter(struct argument *a) {
    struct stat status;
    long result = syscall(SYS_chroot, path(&a[0]));
    answer(result);
    if (result < 0)
        return;
    has_other_root = 1;
    answer(syscall(SYS_chdir, "/"));
    for (int slot = 0; slot < SLOTS; slot++)
        if (slots[slot] >= 0 && fstat(slots[slot], &status) == 0 && S_ISDIR(status.st_mode)) {
            close(slots[slot]);
            slots[slot] = -1;
        }
}

struct listed {
    uint64_t number;
    int64_t next;
    uint16_t length;
    uint8_t kind;
    char name[];
};

static int by_name(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

// Reads on in a directory. The order is the file system's own affair, so that names are only told if these are all.
static void run_getdents64(struct argument *a) {
    int fd = descriptor(&a[0]);
    long start = lseek(fd, 0, SEEK_CUR);
    long result = syscall(SYS_getdents64, fd, buffer, a[1].number);
    int error = errno;
    // And what position comes then.
    if (start > 100000)
        lseek(fd, start, SEEK_SET);
    // Elsewhere than at its beginning, whether there is an entry depends on the order.
    if (result < 0 && (start == 0 || error != EINVAL)) {
        errno = error;
        answer(result);
        return;
    }
    if (start != 0 || a[1].number < 4096) {
        answer(0);
        return;
    }
    answer(0);
    static char names[200][300];
    char *sorted[200];
    int count = 0;
    for (long at = 0; at < result && count < 200;) {
        struct listed *entry = (struct listed *)(buffer + at);
        snprintf(names[count], sizeof names[count], "%s:%d", entry->name, entry->kind);
        sorted[count] = names[count];
        count++;
        at += entry->length;
    }
    qsort(sorted, count, sizeof sorted[0], by_name);
    for (int index = 0; index < count; index++)
        say(" %.60s", sorted[index]);
}

static const struct call name_calls[] = {
    {"openat", "dpvvs", run_openat, 40, 1, {open_flags, modes}},
    {"openat2", "dpvvvvs", run_openat2, 15, 1, {new_open_flags, new_modes, resolve_flags, structure_sizes}},
    {"temporary", "dpvvs", run_temporary, 4, 0, {temporary_flags, modes}},
    {"creat", "pvs", run_creat, 2, 1, {modes}},
    {"mkdirat", "dpv", run_mkdirat, 8, 0, {modes}},
    {"mknodat", "dpvv", run_mknodat, 4, 0, {kinds, modes}},
    {"symlinkat", "pdp", run_symlinkat, 6, 0, {NULL}},
    {"linkat", "dpdpv", run_linkat, 9, 0, {link_flags}},
    {"unlinkat", "dpv", run_unlinkat, 10, 0, {unlink_flags}},
    {"renameat2", "dpdpv", run_renameat2, 14, 0, {rename_flags}},
    {"readlinkat", "dpv", run_readlinkat, 5, 0, {link_sizes}},
    {"chdir", "p", run_chdir, 4, 0, {NULL}},
    {"fchdir", "f", run_fchdir, 3, 0, {NULL}},
    {"getcwd", "v", run_getcwd, 4, 0, {name_sizes}},
    {"getdents64", "fv", run_getdents64, 8, 0, {list_sizes}},
    {"enter", "p", run_enter, 1, 0, {NULL}},
    // Never chosen by chance: with descriptors of directories outside, it would let the fuzzer out on the host.
    {"chroot", "p", run_chroot, 0, 0, {NULL}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
