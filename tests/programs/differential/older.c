// Calls from the time before there were directories' descriptors and flags: what newer ones do, by their own ways in.
#include "framework.h"
#include <sys/time.h>
#include <utime.h>

static const struct value old_open_flags[] = {
    ONE_OF(O_RDONLY), ONE_OF(O_WRONLY), ONE_OF(O_RDWR), MAYBE(O_CREAT, 40), MAYBE(O_EXCL, 8), MAYBE(O_TRUNC, 10), MAYBE(O_APPEND, 12),
    MAYBE(O_NONBLOCK, 40), MAYBE(O_DIRECTORY, 8), MAYBE(O_NOFOLLOW, 12), MAYBE(O_PATH, 8), END_OF_VALUES,
};
static const struct value old_modes[] = {
    ONE_OF(0644), ONE_OF(0755), ONE_OF(0777), ONE_OF(0600), ONE_OF(01777), ONE_OF(02775), ONE_OF(06755), ONE_OF(0), END_OF_VALUES,
};
static const struct value old_access[] = {ONE_OF(F_OK), ONE_OF(R_OK), ONE_OF(W_OK), ONE_OF(X_OK), ONE_OF(7), ONE_OF(8), END_OF_VALUES};
static const struct value old_owners[] = {ONE_OF(-1), ONE_OF(0), ONE_OF(1000), END_OF_VALUES};
static const struct value old_seconds[] = {ONE_OF(1), ONE_OF(77), ONE_OF(1000000), ONE_OF(-5), END_OF_VALUES};
static const struct value old_fractions[] = {ONE_OF(0), ONE_OF(999999), ONE_OF(1000000), ONE_OF(-1), END_OF_VALUES};
static const struct value old_sizes[] = {ONE_OF(100), ONE_OF(3), ONE_OF(0), ONE_OF(-1), END_OF_VALUES};

static void run_open(struct argument *a) {
    keep(&a[3], syscall(SYS_open, path(&a[0]), (int)a[1].number, (int)a[2].number));
}

static void run_mkdir(struct argument *a) {
    answer(syscall(SYS_mkdir, path(&a[0]), (int)a[1].number));
}

static void run_rmdir(struct argument *a) {
    answer(syscall(SYS_rmdir, path(&a[0])));
}

static void run_unlink(struct argument *a) {
    answer(syscall(SYS_unlink, path(&a[0])));
}

static void run_rename(struct argument *a) {
    answer(syscall(SYS_rename, path(&a[0]), path(&a[1])));
}

static void run_renameat(struct argument *a) {
    answer(syscall(SYS_renameat, directory(&a[0]), path(&a[1]), directory(&a[2]), path(&a[3])));
}

static void run_link(struct argument *a) {
    answer(syscall(SYS_link, path(&a[0]), path(&a[1])));
}

static void run_symlink(struct argument *a) {
    answer(syscall(SYS_symlink, path(&a[0]), path(&a[1])));
}

static void run_readlink(struct argument *a) {
    memset(buffer, 0, 128);
    long result = syscall(SYS_readlink, path(&a[0]), buffer, (int)a[1].number);
    answer(result);
    if (result > 0)
        say(" %.100s", buffer);
}

static void run_access(struct argument *a) {
    answer(syscall(SYS_access, path(&a[0]), (int)a[1].number));
}

static void run_faccessat(struct argument *a) {
    answer(syscall(SYS_faccessat, directory(&a[0]), path(&a[1]), (int)a[2].number));
}

static void run_chmod(struct argument *a) {
    answer(syscall(SYS_chmod, path(&a[0]), (int)a[1].number));
}

static void run_fchmodat(struct argument *a) {
    answer(syscall(SYS_fchmodat, directory(&a[0]), path(&a[1]), (int)a[2].number));
}

static void run_chown(struct argument *a) {
    answer(syscall(SYS_chown, path(&a[0]), (int)a[1].number, (int)a[2].number));
}

static void run_lchown(struct argument *a) {
    answer(syscall(SYS_lchown, path(&a[0]), (int)a[1].number, (int)a[2].number));
}

static void run_stat(struct argument *a) {
    struct stat status;
    long result = syscall(SYS_stat, path(&a[0]), &status);
    answer(result);
    if (result == 0)
        say_status(&status);
}

static void run_lstat(struct argument *a) {
    struct stat status;
    long result = syscall(SYS_lstat, path(&a[0]), &status);
    answer(result);
    if (result == 0)
        say_status(&status);
}

static void run_utime(struct argument *a) {
    struct utimbuf times = {a[1].number, a[2].number};
    answer(syscall(SYS_utime, path(&a[0]), &times));
}

static void run_utimes(struct argument *a) {
    struct timeval times[2] = {{a[1].number, a[2].number}, {a[1].number, 0}};
    answer(syscall(SYS_utimes, path(&a[0]), times));
}

static void run_futimesat(struct argument *a) {
    struct timeval times[2] = {{a[2].number, a[3].number}, {a[2].number, 0}};
    answer(syscall(SYS_futimesat, directory(&a[0]), path(&a[1]), times));
}

static const struct call older_calls[] = {
    {"open", "pvvs", run_open, 6, 1, {old_open_flags, old_modes}},
    {"mkdir", "pv", run_mkdir, 2, 0, {old_modes}},
    {"rmdir", "p", run_rmdir, 2, 0, {NULL}},
    {"unlink", "p", run_unlink, 2, 0, {NULL}},
    {"rename", "pp", run_rename, 3, 0, {NULL}},
    {"renameat", "dpdp", run_renameat, 1, 0, {NULL}},
    {"link", "pp", run_link, 2, 0, {NULL}},
    {"symlink", "pp", run_symlink, 1, 0, {NULL}},
    {"readlink", "pv", run_readlink, 1, 0, {old_sizes}},
    {"access", "pv", run_access, 1, 0, {old_access}},
    {"faccessat", "dpv", run_faccessat, 1, 0, {old_access}},
    {"chmod", "pv", run_chmod, 1, 0, {old_modes}},
    {"fchmodat", "dpv", run_fchmodat, 1, 0, {old_modes}},
    {"chown", "pvv", run_chown, 1, 0, {old_owners, old_owners}},
    {"lchown", "pvv", run_lchown, 1, 0, {old_owners, old_owners}},
    {"stat", "p", run_stat, 2, 0, {NULL}},
    {"lstat", "p", run_lstat, 2, 0, {NULL}},
    {"utime", "pvv", run_utime, 1, 0, {old_seconds, old_seconds}},
    {"utimes", "pvv", run_utimes, 1, 0, {old_seconds, old_fractions}},
    {"futimesat", "dpvv", run_futimesat, 1, 0, {old_seconds, old_fractions}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
