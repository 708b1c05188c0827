// Timers of processes, clocks, and sleeping: what does not depend on how much time goes by.
#include "framework.h"
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static const struct value timer_clocks[] = {
    ONE_OF(CLOCK_REALTIME), ONE_OF(CLOCK_MONOTONIC), ONE_OF(CLOCK_MONOTONIC), ONE_OF(CLOCK_BOOTTIME),
    ONE_OF(CLOCK_PROCESS_CPUTIME_ID), ONE_OF(CLOCK_THREAD_CPUTIME_ID), ONE_OF(CLOCK_TAI), ONE_OF(CLOCK_MONOTONIC_RAW),
    ONE_OF(CLOCK_REALTIME_COARSE), ONE_OF(CLOCK_MONOTONIC_COARSE), ONE_OF(99), ONE_OF(-1), END_OF_VALUES,
};
static const struct value notifications[] = {
    ONE_OF(SIGEV_SIGNAL), ONE_OF(SIGEV_SIGNAL), ONE_OF(SIGEV_NONE), ONE_OF(SIGEV_THREAD), ONE_OF(SIGEV_THREAD_ID),
    NAMED("default", 100, 0), ONE_OF(7), END_OF_VALUES,
};
static const struct value timer_signals[] = {
    ONE_OF(SIGUSR1), ONE_OF(SIGUSR2), NAMED("RT1", 40, 0), NAMED("RT2", 41, 0), ONE_OF(0), ONE_OF(65), END_OF_VALUES,
};
static const struct value timer_numbers[] = {ONE_OF(0), ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(3), END_OF_VALUES};
static const struct value time_flags[] = {ONE_OF(0), ONE_OF(0), ONE_OF(TIMER_ABSTIME), ONE_OF(2), END_OF_VALUES};
// Past, or far away.
static const struct value timer_seconds[] = {ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(1000), ONE_OF(-1), END_OF_VALUES};
static const struct value timer_fractions[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(1), ONE_OF(1), ONE_OF(1000000000), ONE_OF(-1), END_OF_VALUES,
};
// Long ones only: how often a short one went by would be chance.
static const struct value interval_seconds[] = {ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(500), END_OF_VALUES};
static const struct value interval_nanoseconds[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(1000000000), ONE_OF(-1), END_OF_VALUES,
};
static const struct value whiches[] = {ONE_OF(ITIMER_VIRTUAL), ONE_OF(ITIMER_PROF), ONE_OF(3), ONE_OF(-1), END_OF_VALUES};
static const struct value micro_fractions[] = {ONE_OF(0), ONE_OF(0), ONE_OF(1000000), ONE_OF(-1), END_OF_VALUES};
static const struct value sleeping_seconds[] = {ONE_OF(0), ONE_OF(0), ONE_OF(-1), END_OF_VALUES};

#define TIMERS 4
// The kernel's numbers of timers; -1 if there is none.
static int timers[TIMERS];
// Whether they count time of the processor.
static int counts_processor[TIMERS];
// Whether they tell nobody. Linux shows what such a timer had left before it was disarmed.
static int tells_nobody[TIMERS];

void begin_timers(void) {
    static int before;
    for (int index = 0; index < TIMERS; index++) {
        if (before && timers[index] >= 0)
            syscall(SYS_timer_delete, timers[index]);
        timers[index] = -1;
    }
    before = 1;
    struct itimerval none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_VIRTUAL, &none, NULL);
    setitimer(ITIMER_PROF, &none, NULL);
}

static int *timer(const struct argument *argument) {
    return &timers[argument->number % TIMERS];
}

static int is_of_processor(long clock) {
    return clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

static void run_timer_create(struct argument *a) {
    struct sigevent event = {.sigev_notify = (int)a[1].number, .sigev_signo = (int)a[2].number, .sigev_value.sival_int = 77};
    int made = -1;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    long result = syscall(SYS_timer_create, (int)a[0].number, a[1].number == 100 ? NULL : &event, &made);
    answer(result);
    // A timer without a wish sends SIGALRM, which is for other purposes here, and a number.
    if (result == 0) {
        if (*timer(&a[3]) >= 0)
            syscall(SYS_timer_delete, *timer(&a[3]));
        *timer(&a[3]) = made;
        counts_processor[a[3].number % TIMERS] = is_of_processor(a[0].number);
        tells_nobody[a[3].number % TIMERS] = a[1].number == SIGEV_NONE;
    }
}

static void say_remaining(const struct argument *timer, const struct itimerspec *set) {
    if (tells_nobody[timer->number % TIMERS])
        return;
    // The clock of the processor may count a whole interval at once, so that intervals are told only.
    say(" each %ld.%ld %s", (long)set->it_interval.tv_sec, set->it_interval.tv_nsec,
        set->it_value.tv_sec > 300 ? "later" : set->it_value.tv_sec || set->it_value.tv_nsec ? "soon" : "never");
}

// Waits until a timer whose time has come has gone off, for a second at most.
static void wait_for_timer(int number) {
    struct itimerspec now;
    for (int tries = 0; tries < 1000; tries++) {
        if (syscall(SYS_timer_gettime, number, &now) || (now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0))
            return;
        // If it goes off again and again, its time may have come a moment ago.
        usleep(1000);
        if (now.it_value.tv_sec > 300)
            return;
    }
}

static void run_timer_settime(struct argument *a) {
    struct itimerspec new = {{a[2].number, a[3].number}, {a[4].number, a[5].number}}, old = {{0, 0}, {0, 0}};
    // When so little time of the processor was used up is found out at the next tick.
    if (counts_processor[a[0].number % TIMERS] && a[5].number == 1) {
        say(" not here");
        return;
    }
    // Whether such a time is past, and how often it was, depends on how long the machine has been running.
    if ((a[1].number & TIMER_ABSTIME) && (a[4].number > 0 || a[2].number > 0)) {
        say(" not here");
        return;
    }
    long result = syscall(SYS_timer_settime, *timer(&a[0]), (int)a[1].number, &new, &old);
    answer(result);
    if (result == 0) {
        say_remaining(&a[0], &old);
        wait_for_timer(*timer(&a[0]));
    }
}

static void run_timer_gettime(struct argument *a) {
    struct itimerspec now;
    long result = syscall(SYS_timer_gettime, *timer(&a[0]), &now);
    answer(result);
    if (result == 0)
        say_remaining(&a[0], &now);
}

static void run_timer_getoverrun(struct argument *a) {
    answer(syscall(SYS_timer_getoverrun, *timer(&a[0])));
}

static void run_timer_delete(struct argument *a) {
    answer(syscall(SYS_timer_delete, *timer(&a[0])));
    *timer(&a[0]) = -1;
}

static void run_setitimer(struct argument *a) {
    // Far away, or never.
    struct itimerval new = {{a[1].number, a[2].number}, {a[1].number ? 1000 : 0, a[3].number}}, old = {{0, 0}, {0, 0}};
    long result = syscall(SYS_setitimer, (int)a[0].number, &new, &old);
    answer(result);
    if (result == 0)
        say(" %ld %s", (long)old.it_interval.tv_sec, old.it_value.tv_sec || old.it_value.tv_usec ? "later" : "never");
}

static void run_getitimer(struct argument *a) {
    struct itimerval now;
    long result = syscall(SYS_getitimer, (int)a[0].number, &now);
    answer(result);
    if (result == 0)
        say(" %ld %s", (long)now.it_interval.tv_sec, now.it_value.tv_sec || now.it_value.tv_usec ? "later" : "never");
}

// Only until times that are past.
static void run_clock_nanosleep(struct argument *a) {
    struct timespec until = {a[2].number, a[3].number}, left = {5, 5};
    // A process that sleeps uses no time of the processor: it would sleep for ever.
    if (is_of_processor(a[0].number) && a[3].number == 1) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_clock_nanosleep, (int)a[0].number, (int)a[1].number, &until, &left));
    say(" %ld.%ld", (long)left.tv_sec, left.tv_nsec);
}

static void run_nanosleep(struct argument *a) {
    struct timespec time = {a[0].number, a[1].number};
    answer(syscall(SYS_nanosleep, &time, NULL));
}

static void run_clock_gettime(struct argument *a) {
    struct timespec now;
    answer(syscall(SYS_clock_gettime, (int)a[0].number, &now));
}

static void run_clock_getres(struct argument *a) {
    answer(syscall(SYS_clock_getres, (int)a[0].number, NULL));
}

static const struct call timer_calls[] = {
    {"timer_create", "vvvv", run_timer_create, 8, 0, {timer_clocks, notifications, timer_signals, timer_numbers}},
    {"timer_settime", "vvvvvv", run_timer_settime, 10, 0,
     {timer_numbers, time_flags, interval_seconds, interval_nanoseconds, timer_seconds, timer_fractions}},
    {"timer_gettime", "v", run_timer_gettime, 5, 0, {timer_numbers}},
    {"timer_getoverrun", "v", run_timer_getoverrun, 4, 0, {timer_numbers}},
    {"timer_delete", "v", run_timer_delete, 3, 0, {timer_numbers}},
    {"setitimer", "vvvv", run_setitimer, 3, 0, {whiches, interval_seconds, micro_fractions, micro_fractions}},
    {"getitimer", "v", run_getitimer, 2, 0, {whiches}},
    {"clock_nanosleep", "vvvv", run_clock_nanosleep, 3, 0, {timer_clocks, time_flags, sleeping_seconds, timer_fractions}},
    {"nanosleep", "vv", run_nanosleep, 1, 0, {sleeping_seconds, timer_fractions}},
    {"clock_gettime", "v", run_clock_gettime, 1, 0, {timer_clocks}},
    {"clock_getres", "v", run_clock_getres, 1, 0, {timer_clocks}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
