/* Policies, priorities, affinity, and the calls about processors. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <linux/membarrier.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int ready;

static void *stay_on_one(void *argument)
{
    int processor = (int)(long)argument, elsewhere = 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        return (void *)-1L;
    ready++;
    for (int i = 0; i < 2000; i++) {
        elsewhere += sched_getcpu() != processor;
        unsigned cpu;
        syscall(SYS_getcpu, &cpu, NULL, NULL);
        elsewhere += (int)cpu != processor;
        if (i % 100 == 0)
            sched_yield();
    }
    return (void *)(long)elsewhere;
}

int main(void)
{
    struct sched_param parameters = { 0 };
    cpu_set_t set;
    pthread_t threads[8];
    struct timespec interval;

    RESULT(sched_getscheduler(0));
    RESULT(sched_getparam(0, &parameters));
    printf("priority %d\n", parameters.sched_priority);
    parameters.sched_priority = 10;
    RESULT(sched_setscheduler(0, SCHED_FIFO, &parameters));
    RESULT(sched_getscheduler(0));
    RESULT(sched_rr_get_interval(0, &interval));
    CHECK(interval.tv_sec == 0 && interval.tv_nsec == 0);
    RESULT(sched_setscheduler(0, SCHED_OTHER, &parameters));
    parameters.sched_priority = 0;
    RESULT(sched_setscheduler(0, SCHED_OTHER, &parameters));
    RESULT(sched_setscheduler(0, SCHED_BATCH, &parameters));
    RESULT(sched_setscheduler(0, SCHED_IDLE, &parameters));
    RESULT(sched_setscheduler(0, SCHED_OTHER, &parameters));
    RESULT(sched_setscheduler(0, 99, &parameters));
    RESULT(sched_setscheduler(99999, SCHED_OTHER, &parameters));
    RESULT(sched_get_priority_max(SCHED_FIFO));
    RESULT(sched_get_priority_min(SCHED_RR));
    RESULT(sched_get_priority_max(SCHED_OTHER));
    RESULT(sched_get_priority_max(77));
    RESULT(setpriority(PRIO_PROCESS, 0, 5));
    RESULT(getpriority(PRIO_PROCESS, 0));
    RESULT(setpriority(PRIO_PROCESS, 0, 0));
    RESULT(getpriority(PRIO_PROCESS, 99999));
    RESULT(getpriority(7, 0));

    CPU_ZERO(&set);
    RESULT(sched_setaffinity(0, sizeof set, &set));
    RESULT(sched_setaffinity(99999, sizeof set, &set));
    RESULT(syscall(SYS_sched_getaffinity, 0, 7, &set));
    /* Python doubles its set for as long as the answer is EINVAL. */
    RESULT(syscall(SYS_sched_getaffinity, -1, sizeof set, &set));
    RESULT(sched_setaffinity(-1, sizeof set, &set));
    RESULT(sched_getscheduler(-1));
    RESULT(sched_rr_get_interval(-1, &interval));
    RESULT(getpriority(PRIO_PROCESS, -1));
    SUCCESS(sched_getaffinity(0, sizeof set, &set));
    int count = 0, wrong = 0;
    for (int i = 0; i < 8; i++)
        if (CPU_ISSET(i, &set))
            pthread_create(&threads[count++], NULL, stay_on_one, (void *)(long)i);
    for (int i = 0; i < count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += result != NULL;
    }
    CHECK(count > 0 && wrong == 0);
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0);
    RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    RESULT(syscall(SYS_membarrier, 512 /* the registrations */, 0, 0));
    RESULT(syscall(SYS_membarrier, 1 << 20, 0, 0));
    RESULT(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 77, 0));
    return 0;
}
