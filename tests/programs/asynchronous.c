/* Linux's native asynchronous input and output, by way of Debian's libaio. */
#include "check.h"
#include <fcntl.h>
#include <libaio.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static io_context_t context;

static void print(const char *what, int wanted) {
    struct io_event events[16];
    struct timespec patience = {5, 0};
    int count = io_getevents(context, wanted, 16, events, wanted ? &patience : NULL);
    printf("%s: %d events\n", what, count);
    for (int i = 0; i < count; i++)
        /* Linux tells POLLRDNORM with POLLIN or not, as it likes. */
        printf("  %lu: %ld %ld\n", (unsigned long)events[i].data, (long)events[i].res & ~POLLRDNORM,
               (long)events[i].res2);
}

static int submit(struct iocb *block, unsigned long data) {
    block->data = (void *)data;
    return io_submit(context, 1, &block);
}

static void *write_later(void *argument) {
    usleep(20000);
    if (write(*(int *)argument, "x", 1) != 1)
        puts("write fails");
    return NULL;
}

/* Events that are waited for when their context is destroyed. */
static void *wait_for_ever(void *argument) {
    struct io_event event;
    return (void *)(long)io_getevents(*(io_context_t *)argument, 1, 1, &event, NULL);
}

static void destroyed_meanwhile(int fd) {
    io_context_t other = NULL;
    struct iocb block, *list = &block;
    pthread_t thread;
    io_setup(8, &other);
    io_prep_poll(&block, fd, POLLIN);
    RESULT(io_submit(other, 1, &list));
    pthread_create(&thread, NULL, wait_for_ever, &other);
    usleep(30000);
    io_context_t same = other;
    RESULT(io_destroy(same));
    void *waited;
    pthread_join(thread, &waited);
    printf("waited for events until the end: %ld\n", (long)waited);
}

int main(void) {
    char name[64], buffer[32] = "";
    struct iocb block, second;
    RESULT(io_setup(0, &context));
    RESULT(io_setup(8, &context));
    io_context_t same = context;
    RESULT(io_setup(8, &same));
    snprintf(name, sizeof name, "/tmp/asynchronous-%d", getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    io_prep_pwrite(&block, fd, "hello, disk", 11, 0);
    RESULT(submit(&block, 1));
    print("write", 1);
    io_prep_pread(&block, fd, buffer, 5, 7);
    RESULT(submit(&block, 2));
    print("read", 1);
    printf("%s\n", buffer);
    struct iovec parts[2] = {{buffer, 3}, {buffer + 10, 3}};
    io_prep_preadv(&block, fd, parts, 2, 0);
    io_prep_fsync(&second, fd);
    second.data = (void *)4;
    block.data = (void *)3;
    struct iocb *both[2] = {&block, &second};
    RESULT(io_submit(context, 2, both));
    print("read in parts, synchronise", 2);
    printf("%.3s %.3s\n", buffer, buffer + 10);
    io_prep_pread(&block, fd, (void *)8, 5, 0);
    RESULT(submit(&block, 5));
    print("to nowhere", 1);
    io_prep_pread(&block, 999, buffer, 5, 0);
    RESULT(submit(&block, 6));
    io_prep_pread(&block, fd, buffer, 5, -1);
    RESULT(submit(&block, 7));
    block.aio_lio_opcode = 99;
    RESULT(submit(&block, 8));
    int only = open(name, O_WRONLY);
    io_prep_pread(&block, only, buffer, 5, 0);
    RESULT(submit(&block, 9));
    RESULT(io_submit(context, -1, both));
    RESULT(io_submit(context, 0, both));
    print("nothing", 0);
    struct io_event event;
    struct timespec no_time = {0, 0}, short_time = {0, 20000000};
    RESULT(io_getevents(context, 1, 1, &event, &no_time));
    RESULT(io_getevents(context, 1, 1, &event, &short_time));
    RESULT(syscall(SYS_io_getevents, context, 2, 1, &event, &no_time));
    RESULT(syscall(SYS_io_getevents, context, -1, 1, &event, &no_time));

    int ends[2], counter = eventfd(0, 0);
    unsigned long long told = 0;
    if (pipe(ends) != 0)
        return 1;
    io_prep_poll(&block, ends[1], POLLOUT);
    RESULT(submit(&block, 10));
    print("a poll at once", 1);
    io_prep_poll(&block, ends[0], POLLIN);
    io_set_eventfd(&block, counter);
    RESULT(submit(&block, 11));
    print("a poll that waits", 0);
    pthread_t thread;
    pthread_create(&thread, NULL, write_later, &ends[1]);
    RESULT(read(counter, &told, 8));
    pthread_join(thread, NULL);
    printf("told %llu\n", told);
    print("a poll later", 1);
    if (read(ends[0], buffer, 8) != 1)
        return 1;
    io_prep_poll(&block, ends[0], POLLIN);
    RESULT(submit(&block, 12));
    pthread_create(&thread, NULL, write_later, &ends[1]);
    print("waited for", 1);
    pthread_join(thread, NULL);
    if (read(ends[0], buffer, 8) != 1)
        return 1;
    io_prep_poll(&block, ends[0], POLLIN);
    RESULT(submit(&block, 13));
    RESULT(io_cancel(context, &block, &event));
    RESULT(io_cancel(context, &second, &event));
    print("cancelled", 1);
    io_prep_poll(&block, ends[0], POLLIN);
    RESULT(submit(&block, 14));
    RESULT(io_destroy(context));
    RESULT(io_destroy(context));
    RESULT(io_submit(context, 0, both));
    destroyed_meanwhile(ends[0]);
    unlink(name);
    return 0;
}
