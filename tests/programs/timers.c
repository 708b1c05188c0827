/* Timers of every kind, and the signals of threads: who gets what, and when, but never earlier. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t hits, value, wrong_code;

static void timer_handler(int signal, siginfo_t *information, void *context)
{
    (void)signal, (void)context;
    hits++;
    value = information->si_value.sival_int;
    wrong_code |= information->si_code != SI_TIMER;
}

static void count(int signal)
{
    (void)signal;
    hits++;
}

static void *wait_for_signal(void *argument)
{
    int number;
    sigwait(argument, &number);
    return (void *)(long)number;
}

static void *sleep_long(void *argument)
{
    struct timespec span = { 5, 0 };
    (void)argument;
    return (void *)(long)(nanosleep(&span, NULL) == -1 && errno == EINTR);
}

static long long now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

enum { MANY = 300 };

/* Hundreds of timers that expire each microsecond: their interrupts must leave the program some time. */
static void many(void)
{
    struct itimerspec soon = { { 0, 1000 }, { 0, 1000 } }, stop = { { 0, 0 }, { 0, 0 } };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
    int files[MANY], files_right = 0, signals_right = 0, counts_right = 0;
    timer_t timers[MANY / 3];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < MANY; i++) {
        files[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        timerfd_settime(files[i], 0, &soon, NULL);
    }
    for (int i = 0; i < MANY / 3; i++) {
        timer_create(CLOCK_MONOTONIC, &event, &timers[i]);
        timer_settime(timers[i], 0, &soon, NULL);
    }
    usleep(20000);
    /* What happened while nobody looked is counted all the same, and it goes on. */
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < MANY; i++) {
            uint64_t count = 0;
            struct pollfd poller = { files[i], POLLIN, 0 };
            files_right += poll(&poller, 1, 20000) == 1 && read(files[i], &count, sizeof count) == sizeof count;
            counts_right += turn == 0 && count >= 20000;
        }
        for (int i = 0; i < MANY / 3; i++) {
            siginfo_t information;
            struct timespec most = { 20, 0 };
            signals_right += sigtimedwait(&set, &information, &most) == SIGRTMIN;
        }
    }
    for (int i = 0; i < MANY / 3; i++) {
        timer_settime(timers[i], 0, &stop, NULL);
        timer_delete(timers[i]);
    }
    for (int i = 0; i < MANY; i++)
        close(files[i]);
    printf("many timers %d %d %d\n", files_right, counts_right, signals_right);
}

/* What a timer sends while its signal is ignored is not lost for ever. */
static void ignored(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec often = { { 0, 5000000 }, { 0, 5000000 } }, once = { { 0, 0 }, { 0, 5000000 } };
    timer_t timer;
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    for (int pending = 0; pending <= 1; pending++) {
        /* Ignored when it expires, or ignored after that. */
        pthread_sigmask(pending ? SIG_BLOCK : SIG_UNBLOCK, &blocked, &before);
        signal(SIGUSR1, pending ? count : SIG_IGN);
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        timer_settime(timer, 0, &often, NULL);
        usleep(20000);
        signal(SIGUSR1, SIG_IGN);
        pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
        hits = 0;
        signal(SIGUSR1, count);
        for (int waited = 0; hits < 3 && waited < 1000; waited++)
            usleep(5000);
        printf("repeating, ignored before: %d\n", hits >= 3);
        signal(SIGUSR1, SIG_IGN);
        timer_settime(timer, 0, &once, NULL);
        usleep(20000);
        hits = 0;
        signal(SIGUSR1, count);
        usleep(20000);
        printf("once, ignored: %d\n", hits);
        timer_settime(timer, 0, &once, NULL);
        for (int waited = 0; !hits && waited < 1000; waited++)
            usleep(5000);
        printf("once, ignored before: %d\n", hits);
        timer_delete(timer);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    hits = 0;
}

int main(void)
{
    ignored();
    struct sigaction action = { .sa_sigaction = timer_handler, .sa_flags = SA_SIGINFO };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
    struct itimerspec often = { { 0, 10000000 }, { 0, 10000000 } }, never = { { 0, 0 }, { 0, 0 } }, left;
    timer_t timer;

    sigaction(SIGRTMIN + 1, &action, NULL);
    event.sigev_value.sival_int = 42;
    RESULT(timer_create(CLOCK_MONOTONIC, &event, &timer));
    RESULT(timer_settime(timer, 0, &often, NULL));
    while (hits < 5)
        pause();
    printf("value %d, wrong codes %d\n", value, wrong_code);
    RESULT(timer_gettime(timer, &left));
    CHECK(left.it_interval.tv_nsec == 10000000 && left.it_value.tv_nsec <= 10000000);
    RESULT(timer_settime(timer, 0, &never, NULL));
    RESULT(timer_delete(timer));
    RESULT(timer_delete(timer));
    RESULT(timer_create(77, NULL, &timer));

    uint64_t expiries = 0;
    struct itimerspec soon = { { 0, 5000000 }, { 0, 20000000 } };
    int descriptor = timerfd_create(CLOCK_MONOTONIC, 0);
    long long start = now(CLOCK_MONOTONIC);
    RESULT(timerfd_settime(descriptor, 0, &soon, NULL));
    RESULT(read(descriptor, &expiries, 8));
    CHECK(expiries >= 1 && now(CLOCK_MONOTONIC) - start >= 20000000);
    struct pollfd poll_descriptor = { descriptor, POLLIN, 0 };
    RESULT(poll(&poll_descriptor, 1, 1000));
    RESULT(read(descriptor, &expiries, 4));
    close(descriptor);
    RESULT(timerfd_create(CLOCK_MONOTONIC_RAW, 0));
    RESULT(timerfd_create(CLOCK_MONOTONIC, 1));

    sigset_t set;
    pthread_t thread;
    void *result;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, wait_for_signal, &set);
    usleep(20000);
    kill(getpid(), SIGUSR1);
    pthread_join(thread, &result);
    printf("waited for %ld\n", (long)result);

    struct signalfd_siginfo information;
    int signals = signalfd(-1, &set, SFD_NONBLOCK);
    RESULT(read(signals, &information, sizeof information));
    raise(SIGUSR2);
    RESULT(read(signals, &information, sizeof information));
    printf("signal %u, code %d\n", information.ssi_signo, information.ssi_code);
    struct timespec moment = { 0, 1000000 };
    RESULT(sigtimedwait(&set, NULL, &moment));

    struct sigaction counting = { .sa_handler = count };
    struct itimerval tick = { { 0, 5000 }, { 0, 5000 } }, stop = { { 0, 0 }, { 0, 0 } };
    sigaction(SIGALRM, &counting, NULL);
    sigaction(SIGPROF, &counting, NULL);
    sigaction(SIGVTALRM, &counting, NULL);
    sigaction(SIGUSR2, &counting, NULL);
    hits = 0;
    setitimer(ITIMER_REAL, &tick, NULL);
    while (hits < 3)
        pause();
    setitimer(ITIMER_REAL, &stop, NULL);
    printf("alarms\n");
    for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
        hits = 0;
        setitimer(which, &tick, NULL);
        for (volatile long i = 0; hits < 3; i++)
            ;
        setitimer(which, &stop, NULL);
    }
    printf("processor time\n");
    /* What the kernel does for a program counts for the one only. */
    struct itimerval far = { { 0, 0 }, { 100, 0 } }, of_program, of_both;
    setitimer(ITIMER_VIRTUAL, &far, NULL);
    setitimer(ITIMER_PROF, &far, NULL);
    static char zeroes[1 << 20];
    int nothing = open("/dev/zero", O_RDONLY);
    do {
        if (read(nothing, zeroes, sizeof zeroes) < 0)
            break;
        getitimer(ITIMER_PROF, &of_both);
    } while (of_both.it_value.tv_sec == 100 || of_both.it_value.tv_usec > 700000);
    close(nothing);
    getitimer(ITIMER_VIRTUAL, &of_program);
    long more = (of_program.it_value.tv_sec - of_both.it_value.tv_sec) * 1000000;
    CHECK(more + of_program.it_value.tv_usec - of_both.it_value.tv_usec > 100000);
    setitimer(ITIMER_VIRTUAL, &stop, NULL);
    setitimer(ITIMER_PROF, &stop, NULL);
    RESULT(setitimer(3, &stop, NULL));

    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pthread_create(&thread, NULL, sleep_long, NULL);
    usleep(20000);
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, &result);
    printf("sleep interrupted %ld\n", (long)result);

    clockid_t clock;
    pthread_getcpuclockid(pthread_self(), &clock);
    CHECK(now(clock) > 0);
    clock_getcpuclockid(0, &clock);
    CHECK(now(clock) > 0 && now(clock) <= now(CLOCK_PROCESS_CPUTIME_ID));

    /* Never early, and on a machine that is not overloaded not much too late. */
    int early = 0, late = 0;
    for (int i = 0; i < 50; i++) {
        struct timespec span = { 0, 200000 + i * 20000 };
        start = now(CLOCK_MONOTONIC);
        nanosleep(&span, NULL);
        long long slept = now(CLOCK_MONOTONIC) - start;
        early += slept < span.tv_nsec;
        late += slept > span.tv_nsec + 500000000;
    }
    printf("early %d, half a second late %d\n", early, late);
    many();
    return 0;
}
