/* A call that Linux had once and that nobody has any more. */
#include "check.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    for (int i = 0; i < 3; i++)
        RESULT(syscall(SYS__sysctl, 0));
    RESULT(syscall(1000));
    RESULT(syscall(-1));
    return 0;
}
