// Events: signals and changes of files as data, and waiting with a mask.
#include "framework.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <time.h>

static const struct value event_masks[] = {
    ONE_OF(0), NAMED("USR1", 1L << (SIGUSR1 - 1), 50), NAMED("USR2", 1L << (SIGUSR2 - 1), 40), NAMED("RT1", 1L << 39, 50),
    NAMED("RT2", 1L << 40, 40), NAMED("KILL", 1L << (SIGKILL - 1), 5), NAMED("CHLD", 1L << (SIGCHLD - 1), 20), END_OF_VALUES,
};
static const struct value signalfd_flags[] = {
    ONE_OF(SFD_NONBLOCK), ONE_OF(SFD_NONBLOCK), ONE_OF(0), MAYBE(SFD_CLOEXEC, 10), NAMED("SFD_UNKNOWN", 1, 3), END_OF_VALUES,
};
static const struct value signalfd_lengths[] = {ONE_OF(128), ONE_OF(256), ONE_OF(300), ONE_OF(127), ONE_OF(0), END_OF_VALUES};
static const struct value old_or_new[] = {NAMED("new", 0, 0), NAMED("old", 1, 0), END_OF_VALUES};
static const struct value inotify_flags[] = {
    ONE_OF(IN_NONBLOCK), ONE_OF(IN_NONBLOCK), ONE_OF(IN_NONBLOCK), ONE_OF(0), MAYBE(IN_CLOEXEC, 10),
    NAMED("IN_UNKNOWN", 1, 3), END_OF_VALUES,
};
// Without IN_CLOSE: on Linux, a mapping keeps the file open that it was made from.
static const struct value watch_masks[] = {
    NAMED("IN_NONE", 0, 0), MAYBE(IN_ACCESS, 30), MAYBE(IN_MODIFY, 50), MAYBE(IN_ATTRIB, 50), MAYBE(IN_OPEN, 40), MAYBE(IN_MOVE, 50),
    MAYBE(IN_CREATE, 50), MAYBE(IN_DELETE, 50), MAYBE(IN_DELETE_SELF, 40), MAYBE(IN_MOVE_SELF, 40), MAYBE(IN_ONLYDIR, 10),
    MAYBE(IN_DONT_FOLLOW, 10), MAYBE(IN_EXCL_UNLINK, 5), MAYBE(IN_MASK_ADD, 10), NAMED("IN_MASK_CREATE", 0x10000000, 5),
    MAYBE(IN_ONESHOT, 10), END_OF_VALUES,
};
static const struct value watch_numbers[] = {ONE_OF(1), ONE_OF(1), ONE_OF(2), ONE_OF(3), ONE_OF(-1), END_OF_VALUES};
static const struct value inotify_lengths[] = {ONE_OF(4096), ONE_OF(4096), ONE_OF(64), ONE_OF(16), ONE_OF(10), END_OF_VALUES};
static const struct value waited_events[] = {
    ONE_OF(0), MAYBE(POLLIN, 70), MAYBE(POLLOUT, 50), MAYBE(POLLPRI, 10), MAYBE(POLLRDHUP, 20), END_OF_VALUES,
};
static const struct value waiting_fractions[] = {ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(1000000000), ONE_OF(-1), END_OF_VALUES};
static const struct value mask_lengths[] = {ONE_OF(8), ONE_OF(8), ONE_OF(8), ONE_OF(8), ONE_OF(4), END_OF_VALUES};

static void run_signalfd4(struct argument *a) {
    unsigned long mask = (unsigned long)a[2].number;
    long result = syscall(SYS_signalfd4, a[0].number ? descriptor(&a[1]) : -1, &mask, 8L, (int)a[3].number);
    if (a[0].number)
        answer(result == descriptor(&a[1]) && result >= 0 ? 0 : result);
    else
        keep(&a[1], result);
}

static void run_read_signals(struct argument *a) {
    static struct signalfd_siginfo signals[4];
    struct stat status;
    long result = syscall(SYS_read, descriptor(&a[0]), signals, a[1].number);
    answer(result);
    // Other descriptors give other bytes.
    if (result <= 0 || fstat(descriptor(&a[0]), &status) || status.st_mode & S_IFMT)
        return;
    for (long index = 0; index < result / (long)sizeof signals[0]; index++)
        say(" %u:%d:%d:%d", signals[index].ssi_signo, signals[index].ssi_code, signals[index].ssi_status,
            signals[index].ssi_code < 0 && signals[index].ssi_code != -6 ? signals[index].ssi_int : 0);
}

static void run_inotify_init1(struct argument *a) {
    keep(&a[1], syscall(SYS_inotify_init1, (int)a[0].number));
}

static void run_inotify_add_watch(struct argument *a) {
    answer(syscall(SYS_inotify_add_watch, descriptor(&a[0]), path(&a[1]), (unsigned)a[2].number));
}

static void run_inotify_rm_watch(struct argument *a) {
    answer(syscall(SYS_inotify_rm_watch, descriptor(&a[0]), (int)a[1].number));
}

static void run_read_events(struct argument *a) {
    static char events[4096] __attribute__((aligned(8)));
    struct stat status;
    long result = syscall(SYS_read, descriptor(&a[0]), events, a[1].number);
    answer(result);
    if (result < 16 || fstat(descriptor(&a[0]), &status) || status.st_mode & S_IFMT)
        return;
    // An event counter gives eight bytes, and what else there is gives no more than this has asked for.
    uint32_t cookie = 0;
    int cookies = 0;
    for (long at = 0; at + 16 <= result;) {
        struct inotify_event *event = (struct inotify_event *)(events + at);
        if (event->cookie && event->cookie != cookie) {
            cookie = event->cookie;
            cookies++;
        }
        say(" %d:%x:%d:%.20s", event->wd, event->mask, event->cookie ? cookies : 0, event->len ? event->name : "");
        at += 16 + event->len;
    }
}

static void run_ppoll(struct argument *a) {
    struct pollfd polled[2] = {{descriptor(&a[0]), (short)a[1].number, 0}, {descriptor(&a[2]), POLLIN | POLLOUT | POLLRDHUP, 0}};
    struct timespec limit = {0, a[4].number};
    unsigned long mask = (unsigned long)a[3].number;
    answer(syscall(SYS_ppoll, polled, 2, &limit, &mask, a[5].number));
    say(" %x %x", polled[0].revents, polled[1].revents);
}

static void run_pselect6(struct argument *a) {
    fd_set sets[3];
    struct timespec limit = {0, a[2].number};
    unsigned long mask = (unsigned long)a[1].number;
    struct {
        unsigned long *mask;
        unsigned long size;
    } sixth = {&mask, (unsigned long)a[3].number};
    for (int set = 0; set < 3; set++) {
        FD_ZERO(&sets[set]);
        if (descriptor(&a[0]) >= 0)
            FD_SET(descriptor(&a[0]), &sets[set]);
    }
    long result = syscall(SYS_pselect6, descriptor(&a[0]) + 1, &sets[0], &sets[1], &sets[2], &limit, &sixth);
    answer(result);
    for (int set = 0; result > 0 && set < 3; set++)
        say(" %d", FD_ISSET(descriptor(&a[0]), &sets[set]) != 0);
}

static void run_epoll_pwait2(struct argument *a) {
    struct epoll_event events[20];
    struct timespec limit = {0, a[2].number};
    unsigned long mask = (unsigned long)a[1].number;
    answer(syscall(SYS_epoll_pwait2, descriptor(&a[0]), events, 20, &limit, &mask, a[3].number));
}

static const struct call event_calls[] = {
    {"signalfd4", "vsvv", run_signalfd4, 6, 0, {old_or_new, event_masks, signalfd_flags}},
    {"read_signals", "fv", run_read_signals, 8, 1, {signalfd_lengths}},
    {"inotify_init1", "vs", run_inotify_init1, 5, 0, {inotify_flags}},
    {"inotify_add_watch", "fpv", run_inotify_add_watch, 14, 0, {watch_masks}},
    {"inotify_rm_watch", "fv", run_inotify_rm_watch, 3, 0, {watch_numbers}},
    {"read_events", "fv", run_read_events, 12, 1, {inotify_lengths}},
    {"ppoll", "fvfvvv", run_ppoll, 5, 0, {waited_events, event_masks, waiting_fractions, mask_lengths}},
    {"pselect6", "fvvv", run_pselect6, 4, 0, {event_masks, waiting_fractions, mask_lengths}},
    {"epoll_pwait2", "fvvv", run_epoll_pwait2, 2, 0, {event_masks, waiting_fractions, mask_lengths}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
