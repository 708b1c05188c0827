/*
 * What threads and waiting cost: nanoseconds, one line each. The same binary runs on both sides.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec value;
    clock_gettime(CLOCK_MONOTONIC, &value);
    return (double)value.tv_sec * 1e9 + (double)value.tv_nsec;
}

enum { SWITCHES = 20000, THREADS = 2000, CLOCKS = 300000, WAKES = 3000, EVENTS = 1000, WAITS = 5000, NOPS = 32000 };

static atomic_int turn;

static void futex(int operation, int value) {
    syscall(SYS_futex, &turn, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void *futex_side(void *argument) {
    int own = (int)(intptr_t)argument;
    for (int i = 0; i < SWITCHES; i++) {
        while (atomic_load(&turn) != own)
            futex(FUTEX_WAIT, !own);
        atomic_store(&turn, !own);
        futex(FUTEX_WAKE, 1);
    }
    return NULL;
}

static int there[2], back[2];

static void *pipe_side(void *argument) {
    char byte;
    for (int i = 0; i < SWITCHES; i++)
        if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
            abort();
    return argument;
}

static void *nothing(void *argument) {
    return argument;
}

static _Atomic double woken_at;
static int event;

static void *wake_side(void *argument) {
    double *late = argument;
    for (int i = 0; i < WAKES; i++) {
        uint64_t value;
        if (read(event, &value, 8) != 8)
            abort();
        late[i] = now() - atomic_load(&woken_at);
        atomic_store(&turn, i + 1);
    }
    return NULL;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static int compare_words(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void *sort_side(void *argument) {
    enum { COUNT = 200000 };
    uint32_t *words = malloc(COUNT * sizeof *words), seed = 1;
    for (int i = 0; i < COUNT; i++)
        words[i] = seed = seed * 1664525 + 1013904223;
    qsort(words, COUNT, sizeof *words, compare_words);
    free(words);
    return argument;
}

int main(void) {
    pthread_t threads[2];
    double start;
    cpu_set_t processors;

    /* With two processors only what two can share, else what one does. */
    sched_getaffinity(0, sizeof processors, &processors);
    if (CPU_COUNT(&processors) > 1) {
        start = now();
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, sort_side, NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        printf("sort %.0f\n", now() - start);
        return 0;
    }

    start = now();
    for (intptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, futex_side, (void *)i);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("futex %.1f\n", (now() - start) / (2.0 * SWITCHES));

    if (pipe(there) || pipe(back))
        return 1;
    pthread_create(&threads[0], NULL, pipe_side, NULL);
    start = now();
    for (int i = 0; i < SWITCHES; i++) {
        char byte = 1;
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            return 1;
    }
    printf("pipe %.1f\n", (now() - start) / (2.0 * SWITCHES));
    pthread_join(threads[0], NULL);

    start = now();
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[0], NULL, nothing, NULL);
        pthread_join(threads[0], NULL);
    }
    printf("create %.1f\n", (now() - start) / THREADS);

    start = now();
    for (int i = 0; i < CLOCKS; i++)
        now();
    printf("clock %.1f\n", (now() - start) / CLOCKS);

    static double late[WAKES];
    atomic_store(&turn, 0);
    event = eventfd(0, 0);
    pthread_create(&threads[0], NULL, wake_side, late);
    for (int i = 0; i < WAKES; i++) {
        uint64_t one = 1;
        struct timespec pause = { 0, 20000 };
        nanosleep(&pause, NULL);
        atomic_store(&woken_at, now());
        if (write(event, &one, 8) != 8)
            return 1;
        while (atomic_load(&turn) != i + 1)
            sched_yield();
    }
    pthread_join(threads[0], NULL);
    qsort(late, WAKES, sizeof *late, compare);
    printf("wake %.1f\nwake999 %.1f\n", late[WAKES / 2], late[WAKES - 1 - WAKES / 1000]);

    struct rlimit files = { EVENTS + 64, EVENTS + 64 };
    setrlimit(RLIMIT_NOFILE, &files);
    static int descriptors[EVENTS];
    int poll = epoll_create1(0);
    for (int i = 0; i < EVENTS; i++) {
        struct epoll_event record = { .events = EPOLLIN, .data.fd = descriptors[i] = eventfd(0, 0) };
        if (descriptors[i] < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, descriptors[i], &record))
            return 1;
    }
    start = now();
    for (int i = 0; i < WAITS; i++) {
        struct epoll_event found[16];
        uint64_t value = 1;
        if (write(descriptors[i * 7 % EVENTS], &value, 8) != 8 || epoll_wait(poll, found, 16, -1) != 1 ||
            read(found[0].data.fd, &value, 8) != 8)
            return 1;
    }
    printf("epoll %.1f\n", (now() - start) / WAITS);

    struct io_uring ring;
    if (io_uring_queue_init(64, &ring, 0))
        return 1;
    for (int batch = 1; batch <= 32; batch *= 32) {
        start = now();
        for (int i = 0; i < NOPS; i += batch) {
            for (int j = 0; j < batch; j++)
                io_uring_prep_nop(io_uring_get_sqe(&ring));
            if (io_uring_submit_and_wait(&ring, batch) != batch)
                return 1;
            io_uring_cq_advance(&ring, batch);
        }
        printf("%s %.1f\n", batch == 1 ? "nop" : "nop32", (now() - start) / NOPS);
    }
    int zero = open("/dev/zero", O_RDONLY);
    start = now();
    for (int i = 0; i < NOPS; i += 32) {
        char bytes[32];
        for (int j = 0; j < 32; j++)
            io_uring_prep_read(io_uring_get_sqe(&ring), zero, &bytes[j], 1, 0);
        struct io_uring_cqe *cqe;
        if (io_uring_submit_and_wait(&ring, 32) != 32 || io_uring_peek_cqe(&ring, &cqe) || cqe->res != 1)
            return 1;
        io_uring_cq_advance(&ring, 32);
    }
    printf("read32 %.1f\n", (now() - start) / NOPS);
    return 0;
}
