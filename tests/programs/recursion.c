/* Uses seven of the eight mebibytes that a stack may grow to. */
#include "check.h"
#include <sys/resource.h>

static __attribute__((noinline)) long descend(long levels, volatile char *above) {
    volatile char frame[1000];
    frame[0] = (char)levels;
    frame[999] = above ? above[0] : 0;
    if (levels == 0)
        return 0;
    long below = descend(levels - 1, frame);
    return below + (frame[0] == (char)levels);
}

int main(void) {
    struct rlimit limit;
    RESULT(getrlimit(RLIMIT_STACK, &limit));
    printf("stack limit %lu\n", (unsigned long)limit.rlim_cur);
    printf("%ld\n", descend(7000, 0));
    return 0;
}
