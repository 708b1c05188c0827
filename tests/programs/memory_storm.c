/* Memory in a storm: threads that write while another forks, unmap what a call copies to, cut files under their mappings, and
 * handle faults while they fork. What each may see is known; `memory_storm SECONDS` takes so long, without it half a second
 * for each part. */
#include "check.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS = 3, PAGES = 64 };
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static double span = 0.5;
static atomic_int stop;
static atomic_long wrong;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
static char *map(size_t pages) {
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, PRIVATE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}
/* Runs threads until the time is over, and `turn` meanwhile; says how often that was wrong. */
static void storm(const char *name, void *(*work)(void *), void (*turn)(void)) {
    pthread_t threads[THREADS];
    stop = 0;
    wrong = 0;
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    /* However slow the machine is, some turns are needed. */
    double end = now() + span;
    for (long turns = 0; turns < 8 || now() < end; turns++)
        turn();
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%s: %ld wrong\n", name, (long)wrong);
    fflush(stdout);
}

/* Each thread counts in its own words of all pages, which a child must see as they were when it was made. */
static volatile unsigned long (*counted)[PAGE / sizeof(long)];
static void *count(void *argument) {
    long self = (long)argument;
    unsigned long mine[PAGES] = {0};
    while (!stop)
        for (int page = 0; page < PAGES; page++) {
            if (counted[page][self] != mine[page])
                wrong++;
            counted[page][self] = ++mine[page];
        }
    for (int page = 0; page < PAGES; page++)
        counted[page][self] = 0;
    return NULL;
}
static void fork_once(void) {
    static unsigned long seen[PAGES][THREADS];
    pid_t child = fork();
    if (child == 0) {
        int bad = 0;
        for (int round = 0; round < 3; round++)
            for (int page = 0; page < PAGES; page++)
                for (int i = 0; i < THREADS; i++) {
                    if (round == 0)
                        seen[page][i] = counted[page][i];
                    else
                        bad += seen[page][i] != counted[page][i];
                    /* Its own words, in pages that it shares with its parent until now. */
                    if (round == 1 && i == 0)
                        counted[page][100] = 1;
                }
        _exit(bad != 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    wrong += status != 0;
    for (int page = 0; page < PAGES; page++)
        wrong += counted[page][100] != 0;
}

/* Calls copy into pages that vanish meanwhile; what is new must be empty, and what is there must be what was copied. */
static char *_Atomic target;
static int zeroes;
static void *copy_there(void *argument) {
    int file = open("/proc/self/exe", O_RDONLY);
    char first[4];
    if (pread(file, first, 4, 0) != 4)
        wrong++;
    while (!stop) {
        char *to = target;
        ssize_t got = pread(file, to, 4 * PAGE, 0);
        /* It may end anywhere: rights may go while a page is being copied. */
        if (got > 4 * PAGE || got == 0 || (got < 0 && errno != EFAULT))
            wrong++;
        /* And memory of one's own, that must never show what another page held before. */
        char *own = map(4);
        for (int page = 0; page < 4; page++)
            for (int at = 0; at < PAGE; at += 256)
                wrong += own[page * PAGE + at] != 0;
        memset(own, 0x55, 4 * PAGE);
        munmap(own, 4 * PAGE);
    }
    close(file);
    return argument;
}
static void vanish(void) {
    char *memory = target;
    switch (zeroes++ % 3) {
    case 0:
        madvise(memory, 4 * PAGE, MADV_DONTNEED);
        break;
    case 1:
        mprotect(memory, 2 * PAGE, PROT_NONE);
        mprotect(memory, 2 * PAGE, PROT_READ | PROT_WRITE);
        break;
    default:
        /* Never unmapped for long: another thread's memory would come there. */
        if (mmap(memory, 4 * PAGE, PROT_READ | PROT_WRITE, PRIVATE | MAP_FIXED, -1, 0) != memory)
            wrong++;
    }
    for (int page = 0; page < 4; page++) {
        char found = *(volatile char *)(memory + page * PAGE + 1);
        wrong += found != 0 && page == 0 && found != 'E';
    }
}

/* A file is cut and grows under mappings of it. */
static int file;
static char *mapped;
static __thread sigjmp_buf environment;
static __thread volatile int ready;
static void bus_error(int signal) {
    if (!ready)
        _exit(9);
    (void)signal;
    siglongjmp(environment, 1);
}
static void *touch_file(void *argument) {
    volatile int page = (int)(long)argument;
    while (!stop) {
        if (sigsetjmp(environment, 1) == 0) {
            ready = 1;
            mapped[page * PAGE + 8] = 1;
            char found = *(volatile char *)(mapped + page * PAGE + 8);
            wrong += found != 0 && found != 1;
            wrong += *(volatile char *)(mapped + page * PAGE + 16) != 0;
        }
        ready = 0;
        page = (page + 1) % 4;
    }
    return argument;
}
static void cut(void) {
    char byte;
    wrong += ftruncate(file, PAGE + 1) != 0;
    wrong += pread(file, &byte, 1, PAGE + 1) != 0;
    wrong += ftruncate(file, 4 * PAGE) != 0;
    /* What was cut off is gone, whoever may have written behind the end by a mapping. */
    wrong += pread(file, &byte, 1, 3 * PAGE + 16) != 1 || byte != 0;
}

/* Pages come by a handler while others fork. */
static int faults;
static char *watched;
/* Those whose faults must be handled still. */
static atomic_int touching = THREADS - 1;
static void *handle(void *argument) {
    static char content[PAGE] __attribute__((aligned(PAGE)));
    memset(content, 7, PAGE);
    struct pollfd poll_for = {.fd = faults, .events = POLLIN};
    while (touching) {
        struct uffd_msg message;
        if (poll(&poll_for, 1, 20) != 1 || read(faults, &message, sizeof message) != sizeof message)
            continue;
        struct uffdio_copy copy = {.dst = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1),
                                   .src = (uintptr_t)content, .len = PAGE};
        if (ioctl(faults, UFFDIO_COPY, &copy) != 0 && errno != EEXIST && errno != EAGAIN)
            wrong++;
    }
    return argument;
}
static void *touch_watched(void *argument) {
    unsigned seed = (unsigned)(long)argument;
    if (seed == 0)
        return handle(argument);
    while (!stop) {
        int page = rand_r(&seed) % PAGES;
        wrong += *(volatile char *)(watched + page * PAGE) != 7;
        if (page == 0)
            madvise(watched + PAGES / 2 * PAGE, 4 * PAGE, MADV_DONTNEED);
    }
    touching--;
    return argument;
}
static void fork_watched(void) {
    pid_t child = fork();
    if (child == 0) {
        /* Nobody handles its faults: what is not there is empty. */
        int bad = 0;
        for (int page = 0; page < PAGES; page++) {
            char found = *(volatile char *)(watched + page * PAGE);
            bad += found != 0 && found != 7;
        }
        _exit(bad != 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    wrong += status != 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        span = atof(argv[1]) / 4;
    alarm((unsigned)(span * 4) + 60);
    counted = (void *)map(PAGES);
    storm("writing and forking", count, fork_once);

    target = map(4);
    storm("copying and unmapping", copy_there, vanish);

    file = (int)syscall(SYS_memfd_create, "storm", 0);
    if (ftruncate(file, 4 * PAGE) != 0)
        perror("ftruncate");
    mapped = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct sigaction action = {.sa_handler = bus_error, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &action, NULL);
    storm("touching and cutting", touch_file, cut);

    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    watched = map(PAGES);
    struct uffdio_register range = {.range = {(uintptr_t)watched, PAGES * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &range))
        perror("userfaultfd");
    storm("handling faults and forking", touch_watched, fork_watched);
    return 0;
}
