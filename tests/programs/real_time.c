/* What a thread of a real-time policy leaves for others on its processor. */
#include "check.h"
#include <libaio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static atomic_int others_ran;

static void *run_once(void *argument) {
    (void)argument;
    others_ran = 1;
    return NULL;
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* Waits without giving the processor up for a thread that has no chance to run but what is kept for it. */
static void spin(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    struct sched_param usual = {0};
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    pthread_attr_setschedparam(&attributes, &usual);
    RESULT(pthread_create(&thread, &attributes, run_once, NULL));
    double end = seconds(CLOCK_MONOTONIC) + 20;
    while (!others_ran && seconds(CLOCK_MONOTONIC) < end)
        ;
    CHECK(others_ran);
    pthread_join(thread, NULL);
}

/* What another thread of the kernel would look at is awaited without turning round and round. */
static void destroy(void) {
    io_context_t context = NULL;
    struct iocb block, *list = &block;
    int counter = eventfd(0, 0);
    RESULT(io_setup(8, &context));
    io_prep_poll(&block, counter, POLLIN);
    RESULT(io_submit(context, 1, &list));
    double before = seconds(CLOCK_THREAD_CPUTIME_ID);
    RESULT(eventfd_write(counter, 1));
    RESULT(io_destroy(context));
    CHECK(seconds(CLOCK_THREAD_CPUTIME_ID) - before < 0.3);
}

int main(void) {
    cpu_set_t set;
    struct sched_param priority = {.sched_priority = 20};
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    RESULT(sched_setaffinity(0, sizeof set, &set));
    RESULT(sched_setscheduler(0, SCHED_FIFO, &priority));
    destroy();
    spin();
    return 0;
}
