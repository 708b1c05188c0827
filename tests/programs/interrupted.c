/* Waits for SIGINT: `interrupted default` dies of it, `interrupted handler` says so and ends with 7. */
#include "check.h"
#include <signal.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static void note(int signal) {
    (void)signal;
    interrupted = 1;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "handler")) {
        struct sigaction action = {0};
        action.sa_handler = note;
        sigaction(SIGINT, &action, 0);
    }
    /* Blocked until the wait begins, so that it can't come too early. */
    sigset_t set, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    int handler = argc > 1 && !strcmp(argv[1], "handler");
    if (handler)
        sigprocmask(SIG_BLOCK, &set, 0);
    puts("ready");
    fflush(stdout);
    /* `busy` never enters the kernel. */
    if (argc > 1 && !strcmp(argv[1], "busy"))
        for (;;)
            __asm__ volatile("");
    struct timespec minute = {60, 0};
    int left = handler ? pselect(0, 0, 0, 0, &minute, &none) < 0 : sleep(60) > 0;
    printf("interrupted: %s, slept to the end: %s\n", interrupted ? "yes" : "no", left ? "no" : "yes");
    return interrupted ? 7 : 1;
}
