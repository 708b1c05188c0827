// Reading, writing, sizes and positions of files.
#include "framework.h"
#include <sys/uio.h>

static const struct value lengths[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(7), ONE_OF(100), ONE_OF(4095), ONE_OF(4096),
    ONE_OF(5000), ONE_OF(8192), ONE_OF(20000), ONE_OF(70000), END_OF_VALUES,
};
static const struct value offsets[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(100), ONE_OF(4000), ONE_OF(4096), ONE_OF(8191),
    ONE_OF(12288), ONE_OF(30000), ONE_OF(1000000), ONE_OF(-1), ONE_OF(0x7fffffffffffffff),
    END_OF_VALUES,
};
static const struct value sizes[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(100), ONE_OF(4095), ONE_OF(4096), ONE_OF(4097), ONE_OF(10000),
    ONE_OF(65536), ONE_OF(1000000), ONE_OF(-1), ONE_OF(0x10000000000), ONE_OF(0x7fffffffffffffff), END_OF_VALUES,
};
static const struct value patterns[] = {
    ONE_OF(1), ONE_OF(2), ONE_OF(3), ONE_OF(4), ONE_OF(5), ONE_OF(6), ONE_OF(7), END_OF_VALUES,
};
static const struct value whences[] = {
    ONE_OF(SEEK_SET), ONE_OF(SEEK_CUR), ONE_OF(SEEK_END), ONE_OF(SEEK_DATA), ONE_OF(SEEK_HOLE), ONE_OF(5),
    END_OF_VALUES,
};
static const struct value transfer_flags[] = {
    ONE_OF(0), MAYBE(RWF_HIPRI, 10), MAYBE(RWF_DSYNC, 10), MAYBE(RWF_SYNC, 10), MAYBE(RWF_APPEND, 15),
    NAMED("RWF_NOAPPEND", 0x20, 15), NAMED("RWF_NOWAIT", 8, 10), NAMED("RWF_ATOMIC", 0x40, 3), NAMED("RWF_DONTCACHE", 0x80, 3),
    MAYBE(0x100000, 3), END_OF_VALUES,
};
// Without FALLOC_FL_ZERO_RANGE, which Pith has and tmpfs has not.
static const struct value allocation_modes[] = {
    ONE_OF(0), MAYBE(FALLOC_FL_KEEP_SIZE, 60), MAYBE(FALLOC_FL_PUNCH_HOLE, 40),
    MAYBE(FALLOC_FL_COLLAPSE_RANGE, 10), MAYBE(FALLOC_FL_INSERT_RANGE, 5), MAYBE(FALLOC_FL_UNSHARE_RANGE, 5),
    MAYBE(FALLOC_FL_NO_HIDE_STALE, 3), NAMED("FALLOC_FL_WRITE_ZEROES", 0x80, 3), MAYBE(0x100, 3), END_OF_VALUES,
};
static const struct value range_flags[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(7), ONE_OF(8), END_OF_VALUES,
};
static const struct value advices[] = {
    ONE_OF(POSIX_FADV_NORMAL), ONE_OF(POSIX_FADV_DONTNEED), ONE_OF(POSIX_FADV_WILLNEED), ONE_OF(6), ONE_OF(-1),
    END_OF_VALUES,
};
static const struct value zero[] = {ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(1), END_OF_VALUES};

static void read_bytes(long result) {
    answer(result);
    if (result > 0)
        say_bytes(buffer, result);
}

static void run_read(struct argument *a) {
    read_bytes(syscall(SYS_read, descriptor(&a[0]), buffer, fitting(a[1].number)));
}

static void run_pread(struct argument *a) {
    read_bytes(syscall(SYS_pread64, descriptor(&a[0]), buffer, fitting(a[1].number), a[2].number));
}

// Two pieces of memory: a third of the bytes, and the rest.
static void cut(struct iovec *pieces, long length) {
    long first = length / 3;
    pieces[0] = (struct iovec){buffer, first};
    pieces[1] = (struct iovec){buffer + first, length - first};
}

// Whether a transfer is not to wait, with a file of which it never does: a tmpfs refuses that, and Pith has it for all of its
// files, as most of Linux's file systems. A pipe of Linux refuses it from the first splice on.
static int never_waits(int fd, long flags) {
    struct stat status;
    if (!(flags & 8) || fstat(fd, &status) || !(S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode)))
        return 0;
    say(" not here");
    return 1;
}

static void run_readv(struct argument *a) {
    struct iovec pieces[2];
    cut(pieces, fitting(a[1].number));
    read_bytes(syscall(SYS_readv, descriptor(&a[0]), pieces, 2));
}

static void run_preadv(struct argument *a) {
    struct iovec pieces[2];
    cut(pieces, fitting(a[1].number));
    read_bytes(syscall(SYS_preadv, descriptor(&a[0]), pieces, 2, a[2].number, 0));
}

static void run_preadv2(struct argument *a) {
    if (never_waits(descriptor(&a[0]), a[3].number))
        return;
    struct iovec pieces[2];
    cut(pieces, fitting(a[1].number));
    read_bytes(syscall(SYS_preadv2, descriptor(&a[0]), pieces, 2, a[2].number, 0, a[3].number));
}

static void run_write(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[1].number))
        return;
    fill(buffer, fitting(a[1].number), a[2].number);
    answer(syscall(SYS_write, descriptor(&a[0]), buffer, fitting(a[1].number)));
}

static void run_pwrite(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[1].number))
        return;
    fill(buffer, fitting(a[1].number), a[3].number);
    answer(syscall(SYS_pwrite64, descriptor(&a[0]), buffer, fitting(a[1].number), a[2].number));
}

static void run_writev(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[1].number))
        return;
    struct iovec pieces[2];
    fill(buffer, fitting(a[1].number), a[2].number);
    cut(pieces, fitting(a[1].number));
    answer(syscall(SYS_writev, descriptor(&a[0]), pieces, 2));
}

static void run_pwritev(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[1].number))
        return;
    struct iovec pieces[2];
    fill(buffer, fitting(a[1].number), a[3].number);
    cut(pieces, fitting(a[1].number));
    answer(syscall(SYS_pwritev, descriptor(&a[0]), pieces, 2, a[2].number, 0));
}

static void run_pwritev2(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[1].number) || never_waits(descriptor(&a[0]), a[3].number))
        return;
    struct iovec pieces[2];
    fill(buffer, fitting(a[1].number), a[4].number);
    cut(pieces, fitting(a[1].number));
    answer(syscall(SYS_pwritev2, descriptor(&a[0]), pieces, 2, a[2].number, 0, a[3].number));
}

// Whether a file ends in the last page that positions reach. When Linux's tmpfs looks for holes, the position behind that page
// overflows: its data is not found, and SEEK_HOLE answers a negative position.
static int ends_in_last_page(const struct stat *status) {
    return S_ISREG(status->st_mode) && status->st_size > 0x7ffffffffffff000;
}

static void run_lseek(struct argument *a) {
    long result = syscall(SYS_lseek, descriptor(&a[0]), a[1].number, (int)a[2].number);
    struct stat status;
    if ((a[2].number == SEEK_DATA || a[2].number == SEEK_HOLE) && fstat(descriptor(&a[0]), &status) == 0 &&
        ends_in_last_page(&status)) {
        lseek(descriptor(&a[0]), 0, SEEK_SET);
        return;
    }
    // Where directories end is each file system's own affair.
    if (result > 0 && fstat(descriptor(&a[0]), &status) == 0 && S_ISDIR(status.st_mode))
        result = 1;
    answer(result);
}

static void run_ftruncate(struct argument *a) {
    answer(syscall(SYS_ftruncate, descriptor(&a[0]), a[1].number));
}

static void run_truncate(struct argument *a) {
    answer(syscall(SYS_truncate, path(&a[0]), a[1].number));
}

static void run_fallocate(struct argument *a) {
    answer(syscall(SYS_fallocate, descriptor(&a[0]), (int)a[1].number, a[2].number, a[3].number));
}

static void run_fsync(struct argument *a) {
    answer(syscall(SYS_fsync, descriptor(&a[0])));
}

static void run_fdatasync(struct argument *a) {
    answer(syscall(SYS_fdatasync, descriptor(&a[0])));
}

static void run_syncfs(struct argument *a) {
    answer(syscall(SYS_syncfs, descriptor(&a[0])));
}

static void run_sync_file_range(struct argument *a) {
    answer(syscall(SYS_sync_file_range, descriptor(&a[0]), a[1].number, a[2].number, (int)a[3].number));
}

static void run_fadvise(struct argument *a) {
    answer(syscall(SYS_fadvise64, descriptor(&a[0]), a[1].number, a[2].number, (int)a[3].number));
}

static void run_readahead(struct argument *a) {
    answer(syscall(SYS_readahead, descriptor(&a[0]), a[1].number, a[2].number));
}

static void say_offset(long before, long after) {
    say(before == after ? " stays" : " moves %ld", after - before);
}

static void run_copy_file_range(struct argument *a) {
    long from = a[1].number, to = a[3].number;
    long *from_pointer = from == -1 ? NULL : &from, *to_pointer = to == -1 ? NULL : &to;
    answer(syscall(SYS_copy_file_range, descriptor(&a[0]), from_pointer, descriptor(&a[2]), to_pointer,
                   a[4].number, (int)a[5].number));
    say_offset(a[1].number, from);
    say_offset(a[3].number, to);
}

// Whether a range of a file would be sent over itself. What comes of that depends on how the processor copies.
static int overlaps(int output, int input, long from, long count) {
    struct stat one, other;
    if (fstat(output, &one) || fstat(input, &other) || one.st_ino != other.st_ino || one.st_dev != other.st_dev ||
        !S_ISREG(one.st_mode))
        return 0;
    long to = lseek(output, 0, SEEK_CUR);
    if (from == -1)
        from = lseek(input, 0, SEEK_CUR);
    return from < to + count && to < from + count;
}

static void run_sendfile(struct argument *a) {
    if (is_too_much(descriptor(&a[0]), a[3].number))
        return;
    // Linux sends the file's own pages: a datagram is lost, since its sum is wrong, if they are written before it is received.
    if (is_internet_datagram(descriptor(&a[0]))) {
        say(" not here");
        return;
    }
    long from = a[2].number;
    if (overlaps(descriptor(&a[0]), descriptor(&a[1]), from, a[3].number)) {
        say(" overlaps");
        return;
    }
    answer(syscall(SYS_sendfile, descriptor(&a[0]), descriptor(&a[1]), from == -1 ? NULL : &from, a[3].number));
    say_offset(a[2].number, from);
}

// Reads a whole file by a descriptor of its own: what is in it, and where its holes are.
static void run_inspect(struct argument *a) {
    int fd = syscall(SYS_openat, AT_FDCWD, path(&a[0]), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
    answer(fd < 0 ? fd : 0);
    if (fd < 0)
        return;
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        say_status(&status);
        long length = pread(fd, buffer, BUFFER_SIZE, 0);
        say_bytes(buffer, length);
        long position = 0;
        for (int extents = 0; extents < 20 && !ends_in_last_page(&status); extents++) {
            position = lseek(fd, position, extents % 2 ? SEEK_HOLE : SEEK_DATA);
            if (position < 0)
                break;
            say(" %s %ld", extents % 2 ? "hole" : "data", position);
        }
    }
    close(fd);
}

static const struct call file_calls[] = {
    {"read", "fv", run_read, 10, 1, {lengths}},
    {"pread64", "fvv", run_pread, 8, 0, {lengths, offsets}},
    {"readv", "fv", run_readv, 3, 1, {lengths}},
    {"preadv", "fvv", run_preadv, 2, 0, {lengths, offsets}},
    {"preadv2", "fvvv", run_preadv2, 4, 1, {lengths, offsets, transfer_flags}},
    {"write", "fvv", run_write, 14, 1, {lengths, patterns}},
    {"pwrite64", "fvvv", run_pwrite, 10, 0, {lengths, offsets, patterns}},
    {"writev", "fvv", run_writev, 4, 1, {lengths, patterns}},
    {"pwritev", "fvvv", run_pwritev, 2, 0, {lengths, offsets, patterns}},
    {"pwritev2", "fvvvv", run_pwritev2, 5, 1, {lengths, offsets, transfer_flags, patterns}},
    {"lseek", "fvv", run_lseek, 10, 0, {offsets, whences}},
    {"ftruncate", "fv", run_ftruncate, 7, 0, {sizes}},
    {"truncate", "pv", run_truncate, 4, 0, {sizes}},
    {"fallocate", "fvvv", run_fallocate, 9, 0, {allocation_modes, offsets, lengths}},
    {"fsync", "f", run_fsync, 1, 0, {NULL}},
    {"fdatasync", "f", run_fdatasync, 1, 0, {NULL}},
    {"syncfs", "f", run_syncfs, 1, 0, {NULL}},
    {"sync_file_range", "fvvv", run_sync_file_range, 1, 0, {offsets, offsets, range_flags}},
    {"fadvise64", "fvvv", run_fadvise, 1, 0, {offsets, offsets, advices}},
    {"readahead", "fvv", run_readahead, 1, 0, {offsets, lengths}},
    {"copy_file_range", "fvfvvv", run_copy_file_range, 6, 1, {offsets, offsets, lengths, zero}},
    {"sendfile", "ffvv", run_sendfile, 5, 1, {offsets, lengths}},
    {"inspect", "p", run_inspect, 8, 0, {NULL}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
