/* Memory that threads map, protect and unmap while others use it: what one processor changes, all must see. */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

static void *churn(void *argument)
{
    for (int i = 0; i < 200; i++) {
        char *memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            perror("mmap");
            exit(1);
        }
        for (int page = 0; page < 4; page++) {
            if (memory[page * 4096] != 0) {
                printf("stale memory\n");
                exit(1);
            }
            memory[page * 4096] = (char)i;
        }
        mprotect(memory, 8192, PROT_READ);
        if (memory[0] != (char)i)
            exit(2);
        munmap(memory, 16384);
    }
    return argument;
}

static volatile char *page;
static atomic_int stop;
static __thread sigjmp_buf environment;
static atomic_long writes, faults;

static void fault(int signal)
{
    (void)signal;
    siglongjmp(environment, 1);
}

static void *write_always(void *argument)
{
    while (!stop) {
        if (sigsetjmp(environment, 1) == 0) {
            page[64] = 1;
            writes++;
        } else {
            faults++;
        }
    }
    return argument;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("mapped and unmapped\n");

    struct sigaction action = { .sa_handler = fault, .sa_flags = SA_NODEFER };
    sigaction(SIGSEGV, &action, NULL);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, write_always, NULL);
    int changed = 0;
    for (int i = 0; i < 60; i++) {
        mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
        page[64] = 0;
        mprotect((void *)page, 4096, PROT_READ);
        /* From here on nobody can write, whatever its processor remembers. */
        char before = page[64];
        for (int look = 0; look < 200; look++)
            changed += page[64] != before;
    }
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("changed while protected: %d\n", changed);
    return 0;
}
