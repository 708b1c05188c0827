/* Ends with the status it is told: `exit_status NUMBER [raw]`. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int status = argc > 1 ? atoi(argv[1]) : 0;
    /* `raw` is the call that ends a single thread; the process ends with it. */
    if (argc > 2)
        syscall(SYS_exit, status);
    exit(status);
}
