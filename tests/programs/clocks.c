/* Clocks and sleeping. */
#include "check.h"
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long nanoseconds(struct timespec *value) {
    return value->tv_sec * 1000000000LL + value->tv_nsec;
}
static long long now(clockid_t clock) {
    struct timespec value = {0};
    clock_gettime(clock, &value);
    return nanoseconds(&value);
}
static long long now_by_call(clockid_t clock) {
    struct timespec value = {0};
    syscall(SYS_clock_gettime, clock, &value);
    return nanoseconds(&value);
}

int main(void) {
    struct timespec value;
    long long before, after;
    CHECK(now(CLOCK_REALTIME) / 1000000000 > 1700000000);
    CHECK(now(CLOCK_REALTIME) / 1000000000 < 4100000000);
    CHECK(now(CLOCK_MONOTONIC) > 0);
    int forward = 1;
    before = now(CLOCK_MONOTONIC);
    for (int i = 0; i < 100000; i++) {
        after = now(CLOCK_MONOTONIC);
        forward &= after >= before;
        before = after;
    }
    CHECK(forward);

    /* The vDSO and the call read the same clock. */
    before = now(CLOCK_MONOTONIC);
    after = now_by_call(CLOCK_MONOTONIC);
    CHECK(after >= before && after - before < 1000000000);
    before = now_by_call(CLOCK_REALTIME);
    after = now(CLOCK_REALTIME);
    CHECK(after >= before && after - before < 1000000000);
    struct timeval microseconds;
    RESULT(gettimeofday(&microseconds, 0));
    CHECK(llabs(microseconds.tv_sec - now(CLOCK_REALTIME) / 1000000000) <= 1);
    CHECK(llabs((long long)time(0) - now(CLOCK_REALTIME) / 1000000000) <= 1);

    struct timespec duration = {0, 30000000};
    before = now(CLOCK_MONOTONIC);
    RESULT(nanosleep(&duration, 0));
    after = now(CLOCK_MONOTONIC);
    CHECK(after - before >= 30000000 && after - before < 10000000000);
    clock_gettime(CLOCK_MONOTONIC, &value);
    value.tv_nsec += 20000000;
    if (value.tv_nsec >= 1000000000) {
        value.tv_nsec -= 1000000000;
        value.tv_sec++;
    }
    RESULT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &value, 0));
    CHECK(now(CLOCK_MONOTONIC) >= nanoseconds(&value));
    /* A moment that has passed needs no sleep. */
    RESULT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &duration, 0));

    duration.tv_nsec = 1000000000;
    RESULT(nanosleep(&duration, 0));
    duration.tv_nsec = -1;
    RESULT(nanosleep(&duration, 0));
    RESULT(clock_gettime(12345, &value));
    RESULT(clock_getres(CLOCK_MONOTONIC, &value));
    printf("resolution %ld.%09ld\n", (long)value.tv_sec, value.tv_nsec);
    RESULT(clock_gettime(CLOCK_BOOTTIME, &value));
    RESULT(clock_gettime(CLOCK_MONOTONIC_RAW, &value));
    RESULT(clock_gettime(CLOCK_MONOTONIC_COARSE, &value));
    RESULT(clock_gettime(CLOCK_REALTIME_COARSE, &value));

    /* Work takes processor time, sleep does not. */
    before = now(CLOCK_PROCESS_CPUTIME_ID);
    volatile unsigned long work = 0;
    while (now(CLOCK_PROCESS_CPUTIME_ID) - before < 10000000 && work < 4000000000)
        work++;
    CHECK(now(CLOCK_PROCESS_CPUTIME_ID) - before >= 10000000);
    return 0;
}
