/*
 * A machine without memory: `memory_pressure exhaust` takes all of it in every way there is and must be told so each
 * time, and afterwards all of it must be there again; `memory_pressure churn` takes and gives back for some seconds, of
 * which nothing may be left behind.
 */
#include "check.h"
#include "meminfo.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define MEGABYTE (1UL << 20)
#define POPULATE_WRITE 23
enum { MOST = 400000 };

static int descriptors[MOST];

/* All memory that a program may have, in pieces. */
static char *pieces[8192];
static int take_all(void) {
    int count = 0;
    for (unsigned long size = MEGABYTE; size >= PAGE; size /= 4)
        while (count < 8192) {
            char *piece = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (piece == MAP_FAILED)
                break;
            pieces[count++] = piece;
            if (madvise(piece, size, POPULATE_WRITE) != 0)
                break;
        }
    return count;
}
static void give_back(int count) {
    while (count > 0)
        munmap(pieces[--count], MEGABYTE);
}

static int event(int i) { (void)i; return eventfd(0, 0); }
static int poll_set(int i) { (void)i; return epoll_create1(0); }
static int timer(int i) { (void)i; return timerfd_create(CLOCK_MONOTONIC, 0); }
static int nothing(int i) { (void)i; return socket(AF_UNIX, SOCK_STREAM, 0); }
static int internet(int i) { (void)i; return socket(AF_INET, SOCK_DGRAM, 0); }
static int again(int i) { (void)i; return open("/proc/self/maps", O_RDONLY); }
static int file(int i) {
    char name[32];
    snprintf(name, sizeof name, "/tmp/f%d", i);
    return open(name, O_RDWR | O_CREAT, 0600);
}
static int directory(int i) {
    char name[32];
    snprintf(name, sizeof name, "/tmp/d%d", i);
    return mkdir(name, 0700);
}
static int link_to(int i) {
    char name[32];
    snprintf(name, sizeof name, "/tmp/l%d", i);
    return symlink("/tmp/a name that is as long as names of temporary files usually are", name);
}
static int with_data(int i) {
    static char data[65536];
    int ends[2];
    (void)i;
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    while (write(ends[1], data, sizeof data) > 0)
        ;
    close(ends[0]);
    return ends[1];
}
static int interval(int i) {
    timer_t made;
    struct sigevent how = {.sigev_notify = SIGEV_NONE};
    (void)i;
    return timer_create(CLOCK_MONOTONIC, &how, &made);
}
static int queued(int i) {
    return sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = i});
}
static char *split;
static int area(int i) {
    return i >= 30000 ? (errno = ENOMEM, -1) : mprotect(split + 2UL * (unsigned)i * PAGE, PAGE, PROT_READ);
}

static const struct {
    const char *name;
    int (*make)(int);
    int has_descriptor;
    /* What its names in /tmp begin with, if it has any. */
    char prefix;
} KINDS[] = {
    {"eventfd", event, 1, 0},   {"epoll", poll_set, 1, 0},      {"timerfd", timer, 1, 0},    {"unix socket", nothing, 1, 0},
    {"udp socket", internet, 1, 0}, {"open file", again, 1, 0}, {"new file", file, 1, 'f'},    {"directory", directory, 0, 'd'},
    {"symlink", link_to, 0, 'l'}, {"full pipe", with_data, 1, 0}, {"timer", interval, 0, 0},   {"signal", queued, 0, 0},
    {"area", area, 0, 0},
};
enum { COUNT = sizeof KINDS / sizeof *KINDS };

static int refused_in_order(void) {
    return errno == ENOMEM || errno == ENOSPC || errno == EMFILE || errno == ENFILE || errno == EAGAIN || errno == ENOBUFS;
}

static void exhaust(void) {
    struct rlimit many = {MOST, MOST};
    setrlimit(RLIMIT_NOFILE, &many);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    sigprocmask(SIG_BLOCK, &set, 0);
    split = mmap(0, 60000 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int kind = 0; kind < COUNT; kind++) {
        /* First while there is memory, until it is full of these things; then with all other memory gone. */
        for (int round = 0; round < 2; round++) {
            int taken = round ? take_all() : 0, made = 0, result = 0;
            while (made < MOST && (result = KINDS[kind].make(made + round * MOST)) >= 0) {
                if (KINDS[kind].has_descriptor)
                    descriptors[made] = result;
                made++;
            }
            int good = made == MOST || refused_in_order();
            printf("%s, round %d: %s\n", KINDS[kind].name, round, good ? "refused in order" : strerror(errno));
            for (int i = 0; i < made; i++) {
                char name[32];
                if (KINDS[kind].has_descriptor)
                    close(descriptors[i]);
                if (KINDS[kind].prefix) {
                    snprintf(name, sizeof name, "/tmp/%c%d", KINDS[kind].prefix, i + round * MOST);
                    remove(name);
                }
            }
            give_back(taken);
        }
    }
    int taken = take_all();
    give_back(taken);
    char *block = mmap(0, 4 * MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(block != MAP_FAILED && madvise(block, 4 * MEGABYTE, POPULATE_WRITE) == 0);
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "alive", 5) == 5);
}

static pthread_barrier_t all_there;

/* All of them are there at one time: else it would be chance how many stacks there ever were, and what maps those. */
static void *end_together(void *argument) {
    pthread_barrier_wait(&all_there);
    return argument;
}

/* Everything once, and back. */
static void round_trip(void) {
    char *block = mmap(0, 2 * MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(block, 1, 2 * MEGABYTE);
    for (unsigned long i = 0; i < 512; i += 4)
        mprotect(block + i * PAGE, PAGE, PROT_READ);
    mprotect(block, 2 * MEGABYTE, PROT_READ | PROT_WRITE);
    char *moved = mremap(block, 2 * MEGABYTE, 3 * MEGABYTE, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        perror("mremap");
    else
        munmap(moved, 3 * MEGABYTE);
    for (int i = 0; i < 100; i++) {
        int ends[2], set = epoll_create1(0), counter = eventfd(0, 0);
        struct epoll_event interest = {.events = EPOLLIN};
        epoll_ctl(set, EPOLL_CTL_ADD, counter, &interest);
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[0], "bytes", 5) == 5)
            close(ends[0]), close(ends[1]);
        if (pipe(ends) == 0 && write(ends[1], "bytes", 5) == 5)
            close(ends[0]), close(ends[1]);
        close(set), close(counter);
        int data = file(i);
        for (int page = 0; page < 20; page++)
            if (pwrite(data, "x", 1, page * 8192) != 1)
                perror("pwrite");
        void *view = mmap(0, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0);
        memset(view, 2, 20 * PAGE);
        munmap(view, 20 * PAGE);
        close(data);
    }
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "/tmp/f%d", i);
        unlink(name);
    }
    pthread_t threads[8];
    pthread_barrier_init(&all_there, 0, 8);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], 0, end_together, 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], 0);
}

static void churn(int rounds) {
    for (int i = 0; i < 10; i++)
        round_trip();
    /* What the heap keeps for the next time is not lost, and no more are stacks of threads: how many of them end at one time
     * is chance. */
    long free_before = number_in("MemFree:") + number_in("KernelHeap:") + number_in("KernelStack:"), heap = number_in("Slab:"), tables = number_in("PageTables:");
    long files = number_in("Shmem:"), stacks = number_in("KernelStack:");
    for (int i = 0; i < rounds; i++)
        round_trip();
    long lost = free_before - number_in("MemFree:") - number_in("KernelHeap:") - number_in("KernelStack:"),
         grown = number_in("Slab:") - heap;
    CHECK(free_before > 0 && heap > 0 && tables > 0);
    if (lost > 64 || grown > 8)
        printf("%ld KiB less are free, %ld KiB more of the heap are used\n", lost, grown);
    CHECK(lost <= 64 && grown <= 8);
    CHECK(number_in("KernelStack:") <= stacks + 8 * 32);
    /* More stacks of the kernel may be kept, in another table. */
    long more = number_in("PageTables:") - tables;
    if (more > 8)
        printf("%ld KiB more of tables are used\n", more);
    CHECK(more <= 8);
    CHECK(number_in("Shmem:") == files);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "exhaust"))
        exhaust();
    else
        churn(argc > 2 ? atoi(argv[2]) : 100);
    return 0;
}
