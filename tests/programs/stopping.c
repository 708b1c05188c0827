/* SIGSTOP stops all threads of a process until SIGCONT comes, from a timer here. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static atomic_long counter;
static atomic_int continued;
static int ends[2];

static void on_continue(int signal) {
    (void)signal;
    continued++;
}

static void *count(void *argument) {
    (void)argument;
    for (;;)
        counter++;
    return NULL;
}

static void *read_one(void *argument) {
    /* Interrupted by the stop, and never the wiser. */
    *(long *)argument = read(ends[0], argument, 1);
    return NULL;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void continue_after(long milliseconds) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
    struct itimerspec delay = {.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000000}};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &delay, NULL);
}

int main(void) {
    pthread_t counting, reading;
    long result = 99;
    if (pipe(ends) != 0)
        return 1;
    pthread_create(&counting, NULL, count, NULL);
    pthread_create(&reading, NULL, read_one, &result);
    usleep(20000);

    double start = now();
    continue_after(300);
    raise(SIGSTOP);
    double stopped = now() - start;
    CHECK(stopped > 0.29);
    printf("handled: %d\n", continued);

    struct sigaction action = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    sigaction(SIGCONT, &action, NULL);
    continue_after(300);
    long before = counter;
    start = now();
    raise(SIGSTOP);
    long during = counter - before;
    stopped = now() - start;
    start = now();
    before = counter;
    while (now() - start < stopped)
        usleep(10000);
    /* What another thread counted while all were stopped is little beside what it counts in the same time. */
    CHECK(during < (counter - before) / 2);
    CHECK(stopped > 0.29);
    printf("handled: %d\n", continued);

    /* Going on when nothing is stopped. */
    raise(SIGCONT);
    printf("handled: %d\n", continued);
    /* A stop that is blocked by nobody can't be blocked; one that is pending is undone. */
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTSTP);
    sigpending(&pending);
    printf("pending: %d\n", sigismember(&pending, SIGTSTP));
    raise(SIGCONT);
    sigpending(&pending);
    printf("pending: %d\n", sigismember(&pending, SIGTSTP));
    if (write(ends[1], "x", 1) != 1)
        return 1;
    pthread_join(reading, NULL);
    printf("read: %ld\n", result);
    return 0;
}
