/*
 * Several rings at once, with reads that wait, end, are cancelled and run out of time while other threads write.
 * Every request ends exactly once, and every byte arrives exactly once. How many requests are cancelled or run out of
 * time in the storm is chance; what follows on a pipe into which nobody writes is not.
 * Two threads that register a table at one time: one of them succeeds.
 */
#include "check.h"
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { WORKERS = 4, PIPES = 8, BYTES = 400, QUIET = PIPES };

struct worker {
    /* Nobody writes into the last. */
    int ends[PIPES + 1][2];
    pthread_t reader, writer;
    long received, cancelled, timed_out, other;
    int twice;
    int busy[PIPES + 1];
    unsigned serial[PIPES + 1];
    char bytes[PIPES + 1];
    struct io_uring ring;
};

static unsigned next_random(unsigned *state) {
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

static void *write_bytes(void *argument) {
    struct worker *worker = argument;
    unsigned state = (unsigned)(size_t)worker;
    for (int i = 0; i < BYTES; i++) {
        char byte = (char)i;
        if (write(worker->ends[next_random(&state) % PIPES][1], &byte, 1) != 1)
            puts("write fails");
        if (next_random(&state) % 16 == 0)
            usleep(next_random(&state) % 300);
    }
    return NULL;
}

/* Requests are known by the pipe's number and a serial number; link timeouts and cancellations by these: */
enum { TIMEOUT = 1 << 30, CANCEL = 1 << 29 };

static unsigned long long number(struct worker *worker, int i) {
    return i | (worker->serial[i] & 0xfff) << 8;
}

static void start_read(struct worker *worker, int i, struct __kernel_timespec *limit) {
    worker->busy[i] = 1;
    worker->serial[i]++;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->ring);
    io_uring_prep_read(sqe, worker->ends[i][0], &worker->bytes[i], 1, 0);
    sqe->user_data = number(worker, i);
    if (limit != NULL) {
        sqe->flags |= IOSQE_IO_LINK;
        sqe = io_uring_get_sqe(&worker->ring);
        io_uring_prep_link_timeout(sqe, limit, 0);
        sqe->user_data = TIMEOUT;
    }
}

static void cancel_read(struct worker *worker, int i) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->ring);
    io_uring_prep_cancel64(sqe, number(worker, i), 0);
    sqe->user_data = CANCEL;
}

/* Submits, waits for one completion, and counts all that there are. */
static void take_completions(struct worker *worker) {
    io_uring_submit_and_wait(&worker->ring, 1);
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&worker->ring, &cqe) == 0) {
        unsigned data = (unsigned)cqe->user_data;
        if (data < CANCEL) {
            int i = data & 0xff;
            if (!worker->busy[i] || data != number(worker, i))
                worker->twice++;
            worker->busy[i] = 0;
            if (cqe->res == 1)
                worker->received++;
            else if (cqe->res == -ECANCELED)
                worker->cancelled++;
            else
                worker->other++;
        } else if (data == TIMEOUT && cqe->res == -ETIME) {
            worker->timed_out++;
        }
        io_uring_cqe_seen(&worker->ring, cqe);
    }
}

static void *read_bytes(void *argument) {
    struct worker *worker = argument;
    unsigned state = (unsigned)(size_t)worker ^ 77;
    struct __kernel_timespec brief = {0, 300 * 1000};
    if (io_uring_queue_init(64, &worker->ring, 0) != 0) {
        puts("no ring");
        return NULL;
    }
    while (worker->received < BYTES) {
        for (int i = 0; i < PIPES; i++)
            if (!worker->busy[i])
                start_read(worker, i, next_random(&state) % 2 ? &brief : NULL);
        if (next_random(&state) % 4 == 0)
            cancel_read(worker, next_random(&state) % PIPES);
        take_completions(worker);
    }
    long before = worker->timed_out;
    start_read(worker, QUIET, &brief);
    while (worker->busy[QUIET] || worker->timed_out == before)
        take_completions(worker);
    start_read(worker, QUIET, NULL);
    cancel_read(worker, QUIET);
    while (worker->busy[QUIET])
        take_completions(worker);
    /* Closed with requests that wait. */
    io_uring_queue_exit(&worker->ring);
    return NULL;
}

static pthread_barrier_t both;
static struct io_uring table_ring;
static _Atomic int tables;

/* Registers a table as large as it can be at the same time as another thread. */
static void *register_table(void *files) {
    static int none[1000];
    static struct iovec nowhere[1000];
    for (int i = 0; i < 1000; i++)
        none[i] = -1;
    for (int round = 0; round < 100; round++) {
        pthread_barrier_wait(&both);
        int result = files ? io_uring_register_files(&table_ring, none, 1000)
                           : io_uring_register_buffers(&table_ring, nowhere, 1000);
        tables += result == 0;
        pthread_barrier_wait(&both);
        if (result == 0)
            files ? io_uring_unregister_files(&table_ring) : io_uring_unregister_buffers(&table_ring);
    }
    return NULL;
}

int main(void) {
    static struct worker workers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        for (int j = 0; j <= PIPES; j++)
            if (pipe(workers[i].ends[j]) != 0)
                return 1;
        pthread_create(&workers[i].reader, NULL, read_bytes, &workers[i]);
        pthread_create(&workers[i].writer, NULL, write_bytes, &workers[i]);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].reader, NULL);
        pthread_join(workers[i].writer, NULL);
        struct worker *worker = &workers[i];
        printf("received %ld, twice %d, otherwise %ld\n", worker->received, worker->twice, worker->other);
        CHECK(worker->cancelled > 1);
        CHECK(worker->timed_out > 0);
    }
    pthread_barrier_init(&both, NULL, 2);
    io_uring_queue_init(4, &table_ring, 0);
    for (int files = 0; files < 2; files++) {
        pthread_t other;
        pthread_create(&other, NULL, register_table, files ? &tables : NULL);
        register_table(files ? &tables : NULL);
        pthread_join(other, NULL);
        printf("%s: %d of 200 tables\n", files ? "files" : "buffers", tables);
    }
    return 0;
}
