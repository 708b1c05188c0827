/* Signals for the process while several threads wait in calls that start again: one thread takes each signal, the others were woken
 * for nothing, and nobody may see that. */
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, SIGNALS = 20000 };

static int ends[2];
static volatile sig_atomic_t handled;

static void handler(int number) {
    (void)number;
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void *reader(void *seen) {
    char byte;
    for (;;) {
        ssize_t count = read(ends[0], &byte, 1);
        if (count == 1)
            return NULL;
        ++*(long *)seen;
    }
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t threads[THREADS];
    long interrupted[THREADS] = {0};
    sigset_t set;
    CHECK(pipe(ends) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, reader, &interrupted[i]);
    /* This thread takes none. */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        kill(getpid(), SIGUSR1);
        if (i % 16 == 0)
            usleep(1);
    }
    usleep(20000);
    CHECK(write(ends[1], "abcd", THREADS) == THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        printf("thread %d: interrupted %ld times\n", i, interrupted[i]);
    }
    printf("handled some: %d\n", handled > 100);
    return 0;
}
