// What is known about files: status, permissions, owners, times, attributes, file systems.
#include "framework.h"
#include <sys/statfs.h>
#include <sys/xattr.h>

static const struct value status_flags[] = {
    ONE_OF(0), MAYBE(AT_SYMLINK_NOFOLLOW, 40), MAYBE(AT_EMPTY_PATH, 25), MAYBE(AT_NO_AUTOMOUNT, 5),
    NAMED("AT_UNKNOWN", 0x8000, 2), END_OF_VALUES,
};
static const struct value statx_flags[] = {
    ONE_OF(0), MAYBE(AT_SYMLINK_NOFOLLOW, 40), MAYBE(AT_EMPTY_PATH, 25), NAMED("AT_STATX_FORCE_SYNC", 0x2000, 5),
    NAMED("AT_STATX_DONT_SYNC", 0x4000, 5), NAMED("AT_UNKNOWN", 0x8000, 2), END_OF_VALUES,
};
static const struct value statx_masks[] = {
    NAMED("STATX_BASIC_STATS", 0x7ff, 0), ONE_OF(0), ONE_OF(1), ONE_OF(0x200), ONE_OF(0xfff), ONE_OF(0x60), NAMED("STATX_RESERVED", 0x80000000, 4),
    END_OF_VALUES,
};
static const struct value access_modes[] = {
    ONE_OF(F_OK), MAYBE(R_OK, 40), MAYBE(W_OK, 40), MAYBE(X_OK, 40), NAMED("A_UNKNOWN", 8, 2), END_OF_VALUES,
};
static const struct value access_flags[] = {
    ONE_OF(0), MAYBE(AT_SYMLINK_NOFOLLOW, 25), MAYBE(AT_EMPTY_PATH, 20), MAYBE(AT_EACCESS, 20),
    NAMED("AT_UNKNOWN", 0x8000, 2), END_OF_VALUES,
};
static const struct value permissions[] = {
    ONE_OF(0644), ONE_OF(0666), ONE_OF(0755), ONE_OF(0777), ONE_OF(0600), ONE_OF(01777), ONE_OF(02775),
    ONE_OF(06755), ONE_OF(0), ONE_OF(0444), ONE_OF(04755), ONE_OF(0111), ONE_OF(02755), END_OF_VALUES,
};
static const struct value path_flags[] = {
    ONE_OF(0), MAYBE(AT_SYMLINK_NOFOLLOW, 30), MAYBE(AT_EMPTY_PATH, 25), NAMED("AT_UNKNOWN", 0x8000, 2),
    END_OF_VALUES,
};
static const struct value owners[] = {ONE_OF(-1), ONE_OF(0), ONE_OF(1000), ONE_OF(1001), END_OF_VALUES};
static const struct value seconds[] = {ONE_OF(1), ONE_OF(77), ONE_OF(1000000), ONE_OF(-5), END_OF_VALUES};
static const struct value nanoseconds[] = {
    ONE_OF(0), ONE_OF(999999999), ONE_OF(UTIME_NOW), ONE_OF(UTIME_OMIT), ONE_OF(1000000000), ONE_OF(-1),
    END_OF_VALUES,
};
static const struct value attribute_names[] = {
    NAMED("user.a", 0, 0), NAMED("user.b", 1, 0), NAMED("trusted.t", 2, 0), NAMED("security.s", 3, 0),
    NAMED("user.", 4, 0), NAMED("unknown.x", 5, 0), NAMED("none", 7, 0),
    END_OF_VALUES,
};
static const char *const attributes[] = {
    "user.a", "user.b", "trusted.t", "security.s", "user.", "unknown.x", "unknown.x", "",
};
static const struct value attribute_flags[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(XATTR_CREATE), ONE_OF(XATTR_REPLACE), ONE_OF(3), ONE_OF(4), END_OF_VALUES,
};
static const struct value attribute_sizes[] = {
    ONE_OF(0), ONE_OF(5), ONE_OF(100), ONE_OF(3000), ONE_OF(65536), ONE_OF(65537), END_OF_VALUES,
};
static const struct value follow[] = {ONE_OF(0), ONE_OF(1), END_OF_VALUES};
static const struct value masks[] = {ONE_OF(022), ONE_OF(0), ONE_OF(077), ONE_OF(0777), ONE_OF(027), END_OF_VALUES};

static void run_fstat(struct argument *a) {
    struct stat status;
    long result = syscall(SYS_fstat, descriptor(&a[0]), &status);
    answer(result);
    if (result == 0)
        say_status(&status);
}

static void run_newfstatat(struct argument *a) {
    struct stat status;
    long result = syscall(SYS_newfstatat, directory(&a[0]), path(&a[1]), &status, (int)a[2].number);
    answer(result);
    if (result == 0)
        say_status(&status);
}

static void run_statx(struct argument *a) {
    struct statx status;
    memset(&status, 0x55, sizeof status);
    long result = syscall(SYS_statx, directory(&a[0]), path(&a[1]), (int)a[2].number, (unsigned)a[3].number, &status);
    answer(result);
    if (result == 0)
        say(" %x mode %o links %u owner %u:%u size %llu", status.stx_mask & ((unsigned)a[3].number | 0x71f) & 0xfff, status.stx_mode, status.stx_nlink,
            status.stx_uid, status.stx_gid, S_ISDIR(status.stx_mode) ? 0 : status.stx_size);
}

static void run_faccessat2(struct argument *a) {
    answer(syscall(SYS_faccessat2, directory(&a[0]), path(&a[1]), (int)a[2].number, (int)a[3].number));
}

static void run_fchmod(struct argument *a) {
    answer(syscall(SYS_fchmod, descriptor(&a[0]), (int)a[1].number));
}

static void run_fchmodat2(struct argument *a) {
    answer(syscall(452, directory(&a[0]), path(&a[1]), (int)a[2].number, (int)a[3].number));
}

static void run_fchown(struct argument *a) {
    answer(syscall(SYS_fchown, descriptor(&a[0]), (int)a[1].number, (int)a[2].number));
}

static void run_fchownat(struct argument *a) {
    answer(syscall(SYS_fchownat, directory(&a[0]), path(&a[1]), (int)a[2].number, (int)a[3].number,
                   (int)a[4].number));
}

static void run_utimensat(struct argument *a) {
    struct timespec times[2] = {{a[2].number, a[3].number}, {a[4].number, a[5].number}};
    answer(syscall(SYS_utimensat, directory(&a[0]), path(&a[1]), times, (int)a[6].number));
}

// Both times in the past, so that it is seen what sets them to the present.
static void run_backdate(struct argument *a) {
    struct timespec times[2] = {{1000, 0}, {a[1].number, 0}};
    answer(syscall(SYS_utimensat, AT_FDCWD, path(&a[0]), times, AT_SYMLINK_NOFOLLOW));
}

static void say_file_system(long result, const struct statfs *status) {
    answer(result);
    if (result == 0)
        say(" names %ld blocks %ld", (long)status->f_namelen, (long)status->f_bsize);
}

static void run_statfs(struct argument *a) {
    struct statfs status;
    say_file_system(syscall(SYS_statfs, path(&a[0]), &status), &status);
}

static void run_fstatfs(struct argument *a) {
    struct statfs status;
    say_file_system(syscall(SYS_fstatfs, descriptor(&a[0]), &status), &status);
}

static void run_setxattr(struct argument *a) {
    fill(buffer, a[2].number, 3);
    answer(syscall(a[4].number ? SYS_setxattr : SYS_lsetxattr, path(&a[0]), attributes[a[1].number & 7], buffer,
                   a[2].number, (int)a[3].number));
}

// Linux keeps trusted attributes of processes since 6.16, Pith has none.
static int is_of_process(struct argument *a) {
    struct statfs status;
    if (a[1].number != 2 || fstatfs(descriptor(&a[0]), &status) != 0 || status.f_type != 0x50494446)
        return 0;
    say(" not here");
    return 1;
}

static void run_fsetxattr(struct argument *a) {
    if (is_of_process(a))
        return;
    fill(buffer, a[2].number, 4);
    answer(syscall(SYS_fsetxattr, descriptor(&a[0]), attributes[a[1].number & 7], buffer, a[2].number,
                   (int)a[3].number));
}

static void run_getxattr(struct argument *a) {
    long result = syscall(a[3].number ? SYS_getxattr : SYS_lgetxattr, path(&a[0]), attributes[a[1].number & 7], buffer,
                          a[2].number);
    answer(result);
    if (result > 0 && a[2].number)
        say_bytes(buffer, result);
}

static void run_fgetxattr(struct argument *a) {
    if (is_of_process(a))
        return;
    long result = syscall(SYS_fgetxattr, descriptor(&a[0]), attributes[a[1].number & 7], buffer, a[2].number);
    answer(result);
    if (result > 0 && a[2].number)
        say_bytes(buffer, result);
}

static int by_name_of_attribute(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void run_listxattr(struct argument *a) {
    long result = syscall(a[2].number ? SYS_listxattr : SYS_llistxattr, path(&a[0]), buffer, a[1].number);
    answer(result);
    char *sorted[20];
    int count = 0;
    for (long at = 0; a[1].number && at < result && count < 20; at += strlen((char *)buffer + at) + 1)
        sorted[count++] = (char *)buffer + at;
    qsort(sorted, count, sizeof sorted[0], by_name_of_attribute);
    for (int index = 0; index < count; index++)
        say(" %s", sorted[index]);
}

static void run_flistxattr(struct argument *a) {
    struct statfs status;
    // Processes have trusted attributes on Linux, see above.
    if (fstatfs(descriptor(&a[0]), &status) == 0 && status.f_type == 0x50494446) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_flistxattr, descriptor(&a[0]), buffer, a[1].number));
}

static void run_fremovexattr(struct argument *a) {
    if (!is_of_process(a))
        answer(syscall(SYS_fremovexattr, descriptor(&a[0]), attributes[a[1].number & 7]));
}

static void run_removexattr(struct argument *a) {
    answer(syscall(a[2].number ? SYS_removexattr : SYS_lremovexattr, path(&a[0]), attributes[a[1].number & 7]));
}

static void run_umask(struct argument *a) {
    answer(syscall(SYS_umask, (int)a[0].number));
}

static const struct call metadata_calls[] = {
    {"fstat", "f", run_fstat, 10, 0, {NULL}},
    {"newfstatat", "dpv", run_newfstatat, 12, 0, {status_flags}},
    {"statx", "dpvv", run_statx, 4, 0, {statx_flags, statx_masks}},
    {"faccessat2", "dpvv", run_faccessat2, 5, 0, {access_modes, access_flags}},
    {"fchmod", "fv", run_fchmod, 3, 0, {permissions}},
    {"fchmodat2", "dpvv", run_fchmodat2, 5, 0, {permissions, path_flags}},
    {"fchown", "fvv", run_fchown, 3, 0, {owners, owners}},
    {"fchownat", "dpvvv", run_fchownat, 4, 0, {owners, owners, path_flags}},
    {"utimensat", "dpvvvvv", run_utimensat, 4, 0, {seconds, nanoseconds, seconds, nanoseconds, path_flags}},
    {"backdate", "pv", run_backdate, 6, 0, {seconds}},
    {"statfs", "p", run_statfs, 1, 0, {NULL}},
    {"fstatfs", "f", run_fstatfs, 1, 0, {NULL}},
    {"setxattr", "pvvvv", run_setxattr, 3, 0, {attribute_names, attribute_sizes, attribute_flags, follow}},
    {"fsetxattr", "fvvv", run_fsetxattr, 2, 0, {attribute_names, attribute_sizes, attribute_flags}},
    {"getxattr", "pvvv", run_getxattr, 2, 0, {attribute_names, attribute_sizes, follow}},
    {"fgetxattr", "fvv", run_fgetxattr, 1, 0, {attribute_names, attribute_sizes}},
    {"listxattr", "pvv", run_listxattr, 2, 0, {attribute_sizes, follow}},
    {"removexattr", "pvv", run_removexattr, 1, 0, {attribute_names, follow}},
    {"flistxattr", "fv", run_flistxattr, 1, 0, {attribute_sizes}},
    {"fremovexattr", "fv", run_fremovexattr, 1, 0, {attribute_names}},
    {"umask", "v", run_umask, 2, 0, {masks}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
