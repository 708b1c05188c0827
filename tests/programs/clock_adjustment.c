/*
 * What is known about how good the clock is: adjtimex(2), clock_adjtime(2). Nothing is changed: whether the host's clock
 * is kept right is its own affair.
 */
#include "check.h"
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int refused(unsigned modes, long tick, long fraction) {
    struct timex adjustment = {.modes = modes, .tick = tick, .time.tv_usec = fraction};
    return syscall(SYS_adjtimex, &adjustment) == -1 ? errno : 0;
}

int main(void) {
    struct timex adjustment = {0};
    for (int clock = -3; clock < 14; clock++) {
        errno = 0;
        long result = syscall(SYS_clock_adjtime, clock, &adjustment);
        printf("clock %d: %s\n", clock, result < 0 ? strerror(errno) : "read");
    }
    struct timespec now;
    int state = adjtimex(&adjustment);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(state == TIME_OK || state == TIME_ERROR);
    CHECK((state == TIME_ERROR) == ((adjustment.status & STA_UNSYNC) != 0));
    CHECK(adjustment.maxerror >= 0 && adjustment.tick == 10000 && adjustment.precision > 0);
    CHECK(adjustment.tolerance == 500 << 16);
    CHECK(now.tv_sec - adjustment.time.tv_sec <= 1 && now.tv_sec >= adjustment.time.tv_sec);
    RESULT(syscall(SYS_adjtimex, NULL));
    printf("%s\n", strerror(refused(0x8000, 0, 0)));
    printf("%s\n", strerror(refused(ADJ_TICK, 8999, 0)));
    printf("%s\n", strerror(refused(ADJ_TICK, 11001, 0)));
    printf("%s\n", strerror(refused(ADJ_SETOFFSET, 0, 1000000)));
    printf("%s\n", strerror(refused(ADJ_SETOFFSET, 0, -1)));
    printf("%s\n", strerror(refused(ADJ_SETOFFSET | ADJ_NANO, 0, 1000000000)));
    printf("%s\n", strerror(refused(ADJ_OFFSET_SS_READ, 0, 0)));
    struct timeval rest = {7, 7};
    RESULT(adjtime(NULL, &rest));
    struct timeval nothing = {0, 0};
    RESULT(adjtime(&nothing, NULL));
    fflush(stdout);
    if (fork() == 0) {
        setresuid(1000, 1000, 1000);
        printf("%s\n", strerror(refused(0, 0, 0)));
        printf("%s\n", strerror(refused(ADJ_TICK, 1, 0)));
        printf("%s\n", strerror(refused(ADJ_STATUS, 0, 0)));
        printf("%s\n", strerror(refused(ADJ_OFFSET_SINGLESHOT, 0, 0)));
        printf("%s\n", strerror(refused(ADJ_OFFSET_SS_READ, 0, 0)));
        RESULT(clock_settime(CLOCK_REALTIME, &now));
        now.tv_nsec = -1;
        RESULT(clock_settime(CLOCK_REALTIME, &now));
        struct timeval time = {now.tv_sec, 0};
        RESULT(settimeofday(&time, NULL));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
