/* What one processor remembers of the page tables, all must forget: pages are protected, replaced and unmapped under
 * threads that use them. Each round is in step, so that every access has one right answer. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { READERS = 3, ROUNDS = 150, PAGE = 4096 };

static pthread_barrier_t barrier;
static volatile char *page;
static __thread sigjmp_buf environment;
static __thread volatile int expected;
static __thread void *volatile faulted;
static __thread volatile int code;

static void fault(int signal, siginfo_t *information, void *context)
{
    (void)context;
    if (!expected) {
        static const char text[] = "a fault that nobody expected\n";
        (void)!write(1, text, sizeof text - 1);
        _exit(9);
    }
    (void)signal;
    faulted = information->si_addr;
    code = information->si_code;
    siglongjmp(environment, 1);
}

/* Whether a read (or a write) at the address faults, there and for that reason. */
static int faults(volatile char *address, int write, int reason)
{
    faulted = NULL;
    if (sigsetjmp(environment, 1) == 0) {
        expected = 1;
        if (write)
            *address = 1;
        else
            (void)*address;
        expected = 0;
        return 0;
    }
    expected = 0;
    return faulted == address && code == reason;
}

enum step { READ_ONLY, WRITABLE, NONE, UNMAPPED, MAPPED, STEPS };
static long right[STEPS];
static atomic_long rights[STEPS];

static void try_all(int step)
{
    switch (step) {
    case READ_ONLY:
        rights[step] += !faults(page, 0, 0) && faults(page, 1, SEGV_ACCERR);
        break;
    case WRITABLE:
        rights[step] += !faults(page, 0, 0) && !faults(page + 1, 1, 0);
        break;
    case NONE:
        rights[step] += faults(page, 0, SEGV_ACCERR) && faults(page, 1, SEGV_ACCERR);
        break;
    case UNMAPPED:
        rights[step] += faults(page, 0, SEGV_MAPERR) && faults(page, 1, SEGV_MAPERR);
        break;
    case MAPPED:
        /* A new page is empty, even where the old one was written to. */
        rights[step] += page[2] == 0 && !faults(page + 1, 1, 0);
        break;
    }
}

static void *use(void *argument)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int step = 0; step < STEPS; step++) {
            pthread_barrier_wait(&barrier);
            try_all(step);
            pthread_barrier_wait(&barrier);
        }
    return argument;
}

static void change(int step)
{
    void *result = NULL;
    void *address = (void *)page;
    switch (step) {
    case READ_ONLY:
        page[2] = 5;
        mprotect(address, PAGE, PROT_READ);
        break;
    case WRITABLE:
        mprotect(address, PAGE, PROT_READ | PROT_WRITE);
        break;
    case NONE:
        mprotect(address, PAGE, PROT_NONE);
        break;
    case UNMAPPED:
        munmap(address, PAGE);
        break;
    case MAPPED:
        result = mmap(address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        right[step] += result == address;
        return;
    }
    right[step]++;
}

/* Without steps: the page shows one page of a file after the other, and nobody sees an older one than was there. */
enum { TIMES = 600 };
static atomic_int shown, stop;
static atomic_long older;

static void *look(void *argument)
{
    while (!stop) {
        int least = shown;
        int found = *(volatile int *)page;
        /* Meanwhile the next ones may have been shown. */
        if (found < least)
            older++;
    }
    return argument;
}

/* Pages of which all know the zeroes are written by two. Whoever sees that the second has written sees what it wrote: a
 * processor that still shows the zeroes must not go on while another one writes to the page that takes their place. */
enum { MOST_WRITTEN = 100, SEEN_BY = READERS - 1 };
static int written = MOST_WRITTEN;
static atomic_int turn, second, watching;
static atomic_long missed;
static int few_processors;

/* Looks again and again, as fast as may be where nobody waits for the processor. */
static void reach(atomic_int *count, int wanted)
{
    while (*count < wanted)
        if (few_processors)
            sched_yield();
}

static void *write_second(void *argument)
{
    for (int i = 1; i <= written; i++) {
        volatile char *own = page + (size_t)i * PAGE;
        reach(&turn, i);
        /* Some time while the first write is made good, a different one each time. */
        for (volatile int wait = i * 37 % 300; wait > 0; wait--)
            ;
        own[8] = 1;
        second = i;
        pthread_barrier_wait(&barrier);
    }
    return argument;
}

static void *see_second(void *argument)
{
    for (int i = 1; i <= written; i++) {
        volatile char *shared = page + (size_t)i * PAGE;
        int before = shared[8];
        watching++;
        reach(&second, i);
        if (before != 0 || shared[8] != 1)
            missed++;
        pthread_barrier_wait(&barrier);
    }
    return argument;
}

static void write_by_two(void)
{
    pthread_t threads[READERS];
    few_processors = sysconf(_SC_NPROCESSORS_ONLN) <= READERS;
    if (few_processors)
        written /= 10; /* what is looked for needs four of them */
    page = mmap(NULL, (size_t)(MOST_WRITTEN + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, i == 0 ? write_second : see_second, NULL);
    for (int i = 1; i <= written; i++) {
        reach(&watching, i * SEEN_BY);
        turn = i;
        page[(size_t)i * PAGE] = 1;
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    printf("writes missed: %ld\n", missed);
}

int main(void)
{
    pthread_t threads[READERS];
    struct sigaction action = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_barrier_init(&barrier, NULL, READERS + 1);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, use, NULL);
    for (int round = 0; round < ROUNDS; round++)
        for (int step = 0; step < STEPS; step++) {
            change(step);
            pthread_barrier_wait(&barrier);
            pthread_barrier_wait(&barrier);
        }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    for (int step = 0; step < STEPS; step++)
        printf("step %d: changed %ld, right %ld\n", step, right[step], rights[step]);

    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    ftruncate(file, (off_t)TIMES * PAGE);
    for (int i = 0; i < TIMES; i++)
        pwrite(file, &i, sizeof i, (off_t)i * PAGE);
    mmap((void *)page, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, look, NULL);
    for (int i = 1; i < TIMES; i++) {
        void *result = mmap((void *)page, PAGE, PROT_READ, i % 2 ? MAP_SHARED | MAP_FIXED : MAP_PRIVATE | MAP_FIXED, file, (off_t)i * PAGE);
        if (result != page)
            perror("mmap");
        shown = i;
    }
    stop = 1;
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    printf("older pages seen: %ld\n", older);
    write_by_two();
    return 0;
}
