/* On whichever processor a thread has to run, it learns the right number, from the C library and from the kernel. */
#include "check.h"
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int wrong = 0, tried = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0)
            continue;
        unsigned told = 999, node = 999;
        wrong += sched_getcpu() != cpu;
        wrong += syscall(SYS_getcpu, &told, &node, NULL) != 0 || told != (unsigned)cpu || node != 0;
        tried++;
    }
    CHECK(tried > 0);
    printf("wrong: %d\n", wrong);
    return 0;
}
