// Descriptors, their flags and locks; pipes, event counters, timers, and what waits for them.
#include "framework.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static const struct value numbers[] = {ONE_OF(40), ONE_OF(41), ONE_OF(42), ONE_OF(-1), END_OF_VALUES};
static const struct value duplicate_flags[] = {
    ONE_OF(0), MAYBE(O_CLOEXEC, 40), NAMED("O_UNKNOWN", 4, 3), END_OF_VALUES,
};
static const struct value ranges[] = {ONE_OF(40), ONE_OF(41), ONE_OF(42), ONE_OF(60), END_OF_VALUES};
static const struct value range_ends[] = {ONE_OF(40), ONE_OF(42), ONE_OF(60), ONE_OF(-1), END_OF_VALUES};
static const struct value close_range_flags[] = {
    ONE_OF(0), MAYBE(CLOSE_RANGE_CLOEXEC, 40), MAYBE(CLOSE_RANGE_UNSHARE, 20), NAMED("RANGE_UNKNOWN", 1, 3),
    END_OF_VALUES,
};
static const struct value from[] = {ONE_OF(0), ONE_OF(45), ONE_OF(3), ONE_OF(-1), ONE_OF(100000000), END_OF_VALUES};
static const struct value duplicate_commands[] = {ONE_OF(F_DUPFD), ONE_OF(F_DUPFD_CLOEXEC), END_OF_VALUES};
static const struct value get_commands[] = {
    ONE_OF(F_GETFD), ONE_OF(F_GETFL), ONE_OF(F_GETOWN), ONE_OF(F_GETSIG), ONE_OF(F_GETLEASE), ONE_OF(F_GETPIPE_SZ),
    ONE_OF(999), END_OF_VALUES,
};
static const struct value hint_commands[] = {
    NAMED("F_GET_RW_HINT", 1035, 0), NAMED("F_SET_RW_HINT", 1036, 0), NAMED("F_GET_FILE_RW_HINT", 1037, 0), END_OF_VALUES,
};
static const struct value hints[] = {ONE_OF(0), ONE_OF(1), ONE_OF(5), ONE_OF(6), ONE_OF(-1), END_OF_VALUES};
static const struct value owner_kinds[] = {
    ONE_OF(F_OWNER_TID), ONE_OF(F_OWNER_PID), ONE_OF(F_OWNER_PGRP), NAMED("F_SETOWN", 10, 0), NAMED("F_SETOWN_GROUP", 11, 0), ONE_OF(7),
    END_OF_VALUES,
};
static const struct value owner_numbers[] = {NAMED("own", 1, 0), NAMED("own", 1, 0), NAMED("nobody", 0, 0), NAMED("unknown", 2, 0), END_OF_VALUES};
static const struct value owner_signals[] = {
    ONE_OF(0), ONE_OF(SIGUSR1), NAMED("RT1", 40, 0), NAMED("RT2", 41, 0), ONE_OF(65), ONE_OF(-1), END_OF_VALUES,
};
// What is told of a directory: without reading and writing, of which Linux and Pith are asked by way of mappings too.
static const struct value notices[] = {
    NAMED("DN_NONE", 0, 0), MAYBE(DN_ACCESS, 30), MAYBE(DN_MODIFY, 50), MAYBE(DN_CREATE, 50), MAYBE(DN_DELETE, 50), MAYBE(DN_RENAME, 50),
    MAYBE(DN_ATTRIB, 50), NAMED("DN_MULTISHOT", 0x80000000, 60), END_OF_VALUES,
};
static const struct value descriptor_flags[] = {ONE_OF(0), ONE_OF(1), ONE_OF(2), END_OF_VALUES};
static const struct value file_flags[] = {
    ONE_OF(0), MAYBE(O_APPEND, 20), MAYBE(O_NONBLOCK, 60), MAYBE(O_NOATIME, 10), MAYBE(O_ASYNC, 3), MAYBE(O_RDWR, 5),
    MAYBE(O_CREAT, 5), MAYBE(O_DIRECT, 5), END_OF_VALUES,
};
static const struct value lock_commands[] = {
    ONE_OF(F_SETLK), ONE_OF(F_GETLK), ONE_OF(F_OFD_SETLK), ONE_OF(F_OFD_GETLK), ONE_OF(F_SETLKW), ONE_OF(F_OFD_SETLKW),
    END_OF_VALUES,
};
static const struct value lock_kinds[] = {
    ONE_OF(F_RDLCK), ONE_OF(F_WRLCK), ONE_OF(F_UNLCK), ONE_OF(F_RDLCK), ONE_OF(F_WRLCK), ONE_OF(5), END_OF_VALUES,
};
static const struct value lock_whences[] = {
    ONE_OF(SEEK_SET), ONE_OF(SEEK_SET), ONE_OF(SEEK_CUR), ONE_OF(SEEK_END), ONE_OF(7), END_OF_VALUES,
};
static const struct value lock_starts[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(10), ONE_OF(20), ONE_OF(100), ONE_OF(-3), ONE_OF(0x7fffffffffffffff), END_OF_VALUES,
};
static const struct value lock_lengths[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(10), ONE_OF(50), ONE_OF(-5), ONE_OF(0x7fffffffffffffff), END_OF_VALUES,
};
static const struct value flock_operations[] = {
    ONE_OF(LOCK_SH), ONE_OF(LOCK_EX), ONE_OF(LOCK_UN), MAYBE(LOCK_NB, 80), MAYBE(LOCK_MAND, 2), END_OF_VALUES,
};
static const struct value pipe_flags[] = {
    ONE_OF(O_NONBLOCK), ONE_OF(O_NONBLOCK), ONE_OF(O_NONBLOCK), ONE_OF(0), MAYBE(O_CLOEXEC, 20), MAYBE(O_DIRECT, 20),
    NAMED("O_UNKNOWN", 4, 2), END_OF_VALUES,
};
static const struct value pipe_sizes[] = {
    ONE_OF(4096), ONE_OF(1), ONE_OF(0), ONE_OF(65536), ONE_OF(70000), ONE_OF(1048576), ONE_OF(1048577), ONE_OF(0x80000000), ONE_OF(-1),
    END_OF_VALUES,
};
static const struct value splice_offsets[] = {
    ONE_OF(-1), ONE_OF(-1), ONE_OF(0), ONE_OF(100), ONE_OF(5000), END_OF_VALUES,
};
static const struct value splice_lengths[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(100), ONE_OF(4096), ONE_OF(10000), ONE_OF(100000), END_OF_VALUES,
};
static const struct value splice_flags[] = {
    ONE_OF(0), MAYBE(SPLICE_F_NONBLOCK, 60), MAYBE(SPLICE_F_MOVE, 10), MAYBE(SPLICE_F_MORE, 10),
    MAYBE(SPLICE_F_GIFT, 10),
    NAMED("SPLICE_F_UNKNOWN", 0x10, 2), END_OF_VALUES,
};
static const struct value requests[] = {
    ONE_OF(FIONREAD), ONE_OF(FIOCLEX), ONE_OF(FIONCLEX), ONE_OF(FIONBIO), ONE_OF(FIOQSIZE),
    NAMED("FIGETBSZ", 2, 0), NAMED("FS_IOC_GETFLAGS", 0x80086601, 0), NAMED("FIBMAP", 1, 0), ONE_OF(FIOASYNC),
    NAMED("FS_IOC_GETVERSION", 0x80087601, 0), END_OF_VALUES,
};
static const struct value poll_events[] = {
    ONE_OF(0), MAYBE(POLLIN, 60), MAYBE(POLLOUT, 60), MAYBE(POLLPRI, 10), MAYBE(POLLRDNORM, 10), END_OF_VALUES,
};
static const struct value event_flags[] = {
    ONE_OF(EFD_NONBLOCK), ONE_OF(EFD_NONBLOCK), ONE_OF(0), MAYBE(EFD_SEMAPHORE, 40), MAYBE(EFD_CLOEXEC, 10),
    NAMED("EFD_UNKNOWN", 0x100, 2), END_OF_VALUES,
};
static const struct value counts[] = {ONE_OF(0), ONE_OF(1), ONE_OF(5), ONE_OF(-1), ONE_OF(-2), END_OF_VALUES};
static const struct value clocks[] = {
    ONE_OF(CLOCK_REALTIME), ONE_OF(CLOCK_MONOTONIC), ONE_OF(CLOCK_BOOTTIME), ONE_OF(CLOCK_PROCESS_CPUTIME_ID),
    ONE_OF(99), END_OF_VALUES,
};
static const struct value timer_flags[] = {
    ONE_OF(TFD_NONBLOCK), ONE_OF(TFD_NONBLOCK), ONE_OF(0), MAYBE(TFD_CLOEXEC, 10), NAMED("TFD_UNKNOWN", 8, 2),
    END_OF_VALUES,
};
static const struct value set_flags[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(TFD_TIMER_ABSTIME), ONE_OF(TFD_TIMER_CANCEL_ON_SET), ONE_OF(8), END_OF_VALUES,
};
static const struct value times[] = {ONE_OF(0), ONE_OF(0), ONE_OF(1000), ONE_OF(-1), END_OF_VALUES};
static const struct value fractions[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(999999999), ONE_OF(1000000000), ONE_OF(-1), END_OF_VALUES,
};
// An interval must not be short: how often it went by would be chance.
static const struct value interval_fractions[] = {ONE_OF(0), ONE_OF(0), ONE_OF(1000000000), ONE_OF(-1), END_OF_VALUES};
static const struct value epoll_flags[] = {ONE_OF(0), ONE_OF(EPOLL_CLOEXEC), ONE_OF(1), END_OF_VALUES};
static const struct value epoll_operations[] = {
    ONE_OF(EPOLL_CTL_ADD), ONE_OF(EPOLL_CTL_ADD), ONE_OF(EPOLL_CTL_MOD), ONE_OF(EPOLL_CTL_DEL), ONE_OF(9),
    END_OF_VALUES,
};
static const struct value epoll_events[] = {
    ONE_OF(0), MAYBE(EPOLLIN, 70), MAYBE(EPOLLOUT, 40), MAYBE(EPOLLET, 30), MAYBE(EPOLLONESHOT, 20),
    MAYBE(EPOLLEXCLUSIVE, 3), END_OF_VALUES,
};
static const struct value memory_flags[] = {
    ONE_OF(0), MAYBE(1, 30), MAYBE(2, 60), NAMED("MFD_NOEXEC_SEAL", 8, 10), NAMED("MFD_EXEC", 16, 10), NAMED("MFD_UNKNOWN", 0x100, 2), END_OF_VALUES,
};
static const struct value seals[] = {
    ONE_OF(0), MAYBE(F_SEAL_SEAL, 10), MAYBE(F_SEAL_SHRINK, 20), MAYBE(F_SEAL_GROW, 20), MAYBE(F_SEAL_WRITE, 20),
    MAYBE(F_SEAL_FUTURE_WRITE, 10), NAMED("F_SEAL_EXEC", 0x20, 10), NAMED("F_SEAL_UNKNOWN", 0x100, 2), END_OF_VALUES,
};

static void run_close(struct argument *a) {
    int fd = descriptor(&a[0]);
    answer(syscall(SYS_close, fd));
    for (int slot = 0; slot < SLOTS; slot++)
        if (slots[slot] == fd)
            slots[slot] = -1;
}

static void run_dup(struct argument *a) {
    keep(&a[1], syscall(SYS_dup, descriptor(&a[0])));
}

// To a number that no slot has.
static void run_dup3(struct argument *a) {
    answer(syscall(SYS_dup3, descriptor(&a[0]), (int)a[1].number, (int)a[2].number));
}

static void run_dup2(struct argument *a) {
    answer(syscall(SYS_dup2, descriptor(&a[0]), (int)a[1].number));
}

static void run_close_range(struct argument *a) {
    answer(syscall(SYS_close_range, (unsigned)a[0].number, (unsigned)a[1].number, (unsigned)a[2].number));
}

static void run_of_number(struct argument *a) {
    answer(syscall(SYS_fcntl, (int)a[0].number, F_GETFD));
}

static void run_duplicate(struct argument *a) {
    keep(&a[3], syscall(SYS_fcntl, descriptor(&a[0]), (int)a[1].number, a[2].number));
}

static void run_get(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), (int)a[1].number, 0));
}

static void run_setfd(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETFD, a[1].number));
}

static void run_setfl(struct argument *a) {
    struct stat status;
    // On Linux it depends on how a file without a name was made.
    if (a[1].number & O_DIRECT && fstat(descriptor(&a[0]), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETFL, a[1].number));
}

static void run_setpipe(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETPIPE_SZ, a[1].number));
}

static void run_hint(struct argument *a) {
    struct stat status;
    // Pith keeps them for files with content only. On Linux, all descriptors without a file share one, also with other programs.
    if (fstat(descriptor(&a[0]), &status) == 0 && !S_ISREG(status.st_mode)) {
        say(" not here");
        return;
    }
    uint64_t hint = (uint64_t)a[2].number;
    long result = syscall(SYS_fcntl, descriptor(&a[0]), (int)a[1].number, &hint);
    answer(result);
    if (result == 0)
        say(" %ld", (long)hint);
}

static void run_same_file(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), 1027, descriptor(&a[1])));
}

// Who is told by signals: this process, or nobody.
static void run_set_owner(struct argument *a) {
    int own = a[2].number == 1 ? getpid() : a[2].number == 2 ? 999999 : 0;
    struct f_owner_ex owner = {(int)a[1].number, a[2].number == 1 && a[1].number == F_OWNER_TID ? gettid() : own};
    if (a[1].number == F_OWNER_PGRP && a[2].number == 1)
        owner.pid = getpgrp();
    if (a[1].number == 10)
        answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETOWN, own));
    else if (a[1].number == 11)
        answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETOWN, own == getpid() ? -getpgrp() : -own));
    else
        answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETOWN_EX, &owner));
}

static void run_get_owner(struct argument *a) {
    struct f_owner_ex owner = {-1, -1};
    unsigned users[2] = {77, 77};
    long result = syscall(SYS_fcntl, descriptor(&a[0]), F_GETOWN_EX, &owner);
    answer(result);
    if (result < 0)
        return;
    say(" %d %s", owner.type, owner.pid == 0 ? "nobody" : owner.pid == gettid() ? "thread" : owner.pid == getpid() ? "own" : owner.pid == getpgrp() ? "group" : "other");
    answer(syscall(SYS_fcntl, descriptor(&a[0]), 17 /* F_GETOWNER_UIDS */, users));
    say(" %u %u", users[0], users[1]);
}

static void run_set_signal(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_SETSIG, a[1].number));
}

static void run_notify(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_NOTIFY, a[1].number));
}

// On Linux, all descriptors without a file share one inode, also with those of other programs, which may lock it.
static int has_no_file(int fd) {
    struct stat status;
    if (fstat(fd, &status) || status.st_mode & S_IFMT)
        return 0;
    say(" not here");
    return 1;
}

static void run_lock(struct argument *a) {
    if (has_no_file(descriptor(&a[0])))
        return;
    struct flock lock = {.l_type = a[2].number, .l_whence = a[3].number, .l_start = a[4].number, .l_len = a[5].number};
    long result = syscall(SYS_fcntl, descriptor(&a[0]), (int)a[1].number, &lock);
    answer(result);
    if (result == 0)
        say(" %d %d %ld %ld %s", lock.l_type, lock.l_whence, (long)lock.l_start, (long)lock.l_len,
            lock.l_pid == getpid() ? "own" : lock.l_pid == 0 ? "nobody" : "other");
}

static void run_flock(struct argument *a) {
    if (has_no_file(descriptor(&a[0])))
        return;
    answer(syscall(SYS_flock, descriptor(&a[0]), (int)a[1].number));
}

static void run_pipe2(struct argument *a) {
    int ends[2] = {-1, -1};
    long result = syscall(SYS_pipe2, ends, (int)a[0].number);
    if (result < 0) {
        answer(result);
        return;
    }
    keep(&a[1], ends[0]);
    keep(&a[2], ends[1]);
}

static void run_splice(struct argument *a) {
    if (is_too_much(descriptor(&a[2]), a[4].number))
        return;
    long input = a[1].number, output = a[3].number;
    answer(syscall(SYS_splice, descriptor(&a[0]), input == -1 ? NULL : &input, descriptor(&a[2]),
                   output == -1 ? NULL : &output, a[4].number, (unsigned)a[5].number));
    say(" %ld %ld", input - a[1].number, output - a[3].number);
}

static void run_tee(struct argument *a) {
    answer(syscall(SYS_tee, descriptor(&a[0]), descriptor(&a[1]), a[2].number, (unsigned)a[3].number));
}

static void run_vmsplice(struct argument *a) {
    // Linux may keep the pages themselves: these are never changed again.
    static unsigned char gift[100000] __attribute__((aligned(4096)));
    long length = a[1].number;
    fill(gift, length, 9);
    struct iovec piece = {gift, length};
    answer(syscall(SYS_vmsplice, descriptor(&a[0]), &piece, 1, (unsigned)a[2].number));
}

// Into a pipe, or out of it, in three pieces of which one is empty.
static void run_vmsplice_pieces(struct argument *a) {
    static unsigned char gift[40000] __attribute__((aligned(4096)));
    long length = a[1].number > 10000 ? 10000 : a[1].number;
    fill(gift, sizeof gift, 11);
    struct iovec pieces[3] = {{gift + 100, length}, {gift + 12288, 0}, {gift + 20480, length}};
    answer(syscall(SYS_vmsplice, descriptor(&a[0]), pieces, 3, (unsigned)a[2].number));
}

static void run_ioctl(struct argument *a) {
    long argument[16] = {0};
    argument[0] = a[2].number;
    long result = syscall(SYS_ioctl, descriptor(&a[0]), (int)a[1].number, argument);
    struct stat status;
    answer(result);
    if (result == 0 && a[1].number == FIONREAD &&
        !(fstat(descriptor(&a[0]), &status) == 0 && S_ISDIR(status.st_mode)))
        say(" %d", (int)argument[0]);
}

static void run_poll(struct argument *a) {
    struct pollfd polled[2] = {{descriptor(&a[0]), (short)a[1].number, 0}, {descriptor(&a[2]), POLLIN | POLLOUT, 0}};
    answer(syscall(SYS_poll, polled, 2, 0));
    say(" %x %x", polled[0].revents, polled[1].revents);
}

static void run_eventfd2(struct argument *a) {
    keep(&a[2], syscall(SYS_eventfd2, (unsigned)a[0].number, (int)a[1].number));
}

static void run_count(struct argument *a) {
    uint64_t number = (uint64_t)a[1].number;
    answer(syscall(SYS_write, descriptor(&a[0]), &number, 8));
}

static void run_timerfd_create(struct argument *a) {
    keep(&a[2], syscall(SYS_timerfd_create, (int)a[0].number, (int)a[1].number));
}

static void say_timer(const struct itimerspec *timer) {
    say(" each %ld.%ld %s", (long)timer->it_interval.tv_sec, timer->it_interval.tv_nsec,
        timer->it_value.tv_sec > 900             ? "later"
        : timer->it_value.tv_sec || timer->it_value.tv_nsec ? "soon"
                                                            : "never");
}

static void run_timerfd_settime(struct argument *a) {
    // Only times that are far away, or past.
    struct itimerspec new = {{a[2].number, a[3].number}, {a[4].number, a[5].number}}, old = {{0, 0}, {0, 0}};
    // Whether such a time is past, and how often it was, depends on how long the machine has been running.
    if ((a[1].number & TFD_TIMER_ABSTIME) && (a[4].number > 0 || a[2].number > 0)) {
        say(" not here");
        return;
    }
    long result = syscall(SYS_timerfd_settime, descriptor(&a[0]), (int)a[1].number, &new, &old);
    answer(result);
}

static void run_timerfd_gettime(struct argument *a) {
    struct itimerspec timer;
    long result = syscall(SYS_timerfd_gettime, descriptor(&a[0]), &timer);
    answer(result);
    if (result == 0 && timer.it_interval.tv_sec + timer.it_interval.tv_nsec != 1)
        say_timer(&timer);
}

static void run_epoll_create1(struct argument *a) {
    keep(&a[1], syscall(SYS_epoll_create1, (int)a[0].number));
}

static void run_epoll_ctl(struct argument *a) {
    struct epoll_event event = {(unsigned)a[3].number, {.u64 = (uint64_t)a[2].number}};
    answer(syscall(SYS_epoll_ctl, descriptor(&a[0]), (int)a[1].number, descriptor(&a[2]), &event));
}

static int by_data(const void *one, const void *other) {
    const struct epoll_event *left = one, *right = other;
    return left->data.u64 < right->data.u64 ? -1 : left->data.u64 > right->data.u64;
}

static void run_epoll_wait(struct argument *a) {
    struct epoll_event events[20];
    long result = syscall(SYS_epoll_wait, descriptor(&a[0]), events, 20, 0);
    answer(result);
    if (result > 0)
        qsort(events, result, sizeof events[0], by_data);
    for (long index = 0; index < result; index++)
        say(" %ld:%x", (long)events[index].data.u64, events[index].events);
}

static void run_memfd_create(struct argument *a) {
    keep(&a[1], syscall(SYS_memfd_create, "name", (unsigned)a[0].number));
}

int is_memory_file(int fd) {
    char path[40], name[20] = "";
    snprintf(path, sizeof path, "self/fd/%d", fd);
    return fd >= 0 && readlinkat(proc_directory, path, name, sizeof name - 1) > 0 && strncmp(name, "/memfd:", 7) == 0;
}

// Files in memory have seals everywhere.
static void run_seal_memory_file(struct argument *a) {
    if (!is_memory_file(descriptor(&a[0]))) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_ADD_SEALS, (int)a[1].number));
    say(" %ld", syscall(SYS_fcntl, descriptor(&a[0]), F_GET_SEALS));
}

static void run_seal(struct argument *a) {
    answer(syscall(SYS_fcntl, descriptor(&a[0]), F_ADD_SEALS, (int)a[1].number));
}

static const struct call descriptor_calls[] = {
    {"close", "f", run_close, 8, 0, {NULL}},
    {"dup", "fs", run_dup, 3, 0, {NULL}},
    {"dup3", "fvv", run_dup3, 3, 0, {numbers, duplicate_flags}},
    {"dup2", "fv", run_dup2, 2, 0, {numbers}},
    {"close_range", "vvv", run_close_range, 2, 0, {ranges, range_ends, close_range_flags}},
    {"flags_of_number", "v", run_of_number, 2, 0, {numbers}},
    {"duplicate", "fvvs", run_duplicate, 3, 0, {duplicate_commands, from}},
    {"get", "fv", run_get, 6, 0, {get_commands}},
    {"set_descriptor_flags", "fv", run_setfd, 2, 0, {descriptor_flags}},
    {"set_file_flags", "fv", run_setfl, 4, 0, {file_flags}},
    {"set_pipe_size", "fv", run_setpipe, 3, 0, {pipe_sizes}},
    {"lock", "fvvvvv", run_lock, 8, 1, {lock_commands, lock_kinds, lock_whences, lock_starts, lock_lengths}},
    {"flock", "fv", run_flock, 4, 1, {flock_operations}},
    {"pipe2", "vss", run_pipe2, 6, 0, {pipe_flags}},
    {"splice", "fvfvvv", run_splice, 8, 1, {splice_offsets, splice_offsets, splice_lengths, splice_flags}},
    {"tee", "ffvv", run_tee, 3, 1, {splice_lengths, splice_flags}},
    {"vmsplice", "fvv", run_vmsplice, 3, 1, {splice_lengths, splice_flags}},
    {"vmsplice_pieces", "fvv", run_vmsplice_pieces, 2, 1, {splice_lengths, splice_flags}},
    {"ioctl", "fvv", run_ioctl, 4, 0, {requests, descriptor_flags}},
    {"poll", "fvf", run_poll, 5, 0, {poll_events}},
    {"eventfd2", "vvs", run_eventfd2, 2, 0, {counts, event_flags}},
    {"count", "fv", run_count, 3, 1, {counts}},
    {"timerfd_create", "vvs", run_timerfd_create, 2, 0, {clocks, timer_flags}},
    {"timerfd_settime", "fvvvvv", run_timerfd_settime, 3, 0, {set_flags, times, interval_fractions, times, fractions}},
    {"timerfd_gettime", "f", run_timerfd_gettime, 2, 0, {NULL}},
    {"epoll_create1", "vs", run_epoll_create1, 2, 0, {epoll_flags}},
    {"epoll_ctl", "fvfv", run_epoll_ctl, 5, 0, {epoll_operations, epoll_events}},
    {"epoll_wait", "f", run_epoll_wait, 4, 0, {NULL}},
    {"seal_memory_file", "fv", run_seal_memory_file, 4, 0, {seals}},
    {"hint", "fvv", run_hint, 1, 0, {hint_commands, hints}},
    {"same_file", "ff", run_same_file, 1, 0, {NULL}},
    {"set_owner", "fvv", run_set_owner, 3, 0, {owner_kinds, owner_numbers}},
    {"get_owner", "f", run_get_owner, 2, 0, {NULL}},
    {"set_signal", "fv", run_set_signal, 3, 0, {owner_signals}},
    {"notify", "fv", run_notify, 4, 0, {notices}},
    {"memfd_create", "vs", run_memfd_create, 4, 0, {memory_flags}},
    // Never chosen by chance: files of a tmpfs have seals, those above an image have none, as in an overlay.
    {"add_seals", "fv", run_seal, 0, 0, {seals}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
