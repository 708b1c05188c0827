/* io_uring by way of Debian's liburing: what requests answer, alone, linked, limited in time and cancelled. */
#include "ring.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[64];
static struct __kernel_timespec soon = {0, 20 * 1000 * 1000};

static int by_data(const void *one, const void *other) {
    const struct seen *a = one, *b = other;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return a->result - b->result;
}

/* Submits, takes `count` completions and whatever comes in a moment, and prints them by number. */
static void run(const char *what, unsigned count) {
    struct seen seen[64];
    unsigned found = 0;
    int submitted = io_uring_submit(&ring);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec patience = {5, 0};
    while (found < count && io_uring_wait_cqe_timeout(&ring, &cqe, &patience) == 0) {
        seen[found++] = (struct seen){cqe->user_data, cqe->res, cqe->flags};
        io_uring_cqe_seen(&ring, cqe);
    }
    usleep(2000);
    while (found < 64 && io_uring_peek_cqe(&ring, &cqe) == 0) {
        seen[found++] = (struct seen){cqe->user_data, cqe->res, cqe->flags};
        io_uring_cqe_seen(&ring, cqe);
    }
    qsort(seen, found, sizeof seen[0], by_data);
    printf("%s: submitted %d\n", what, submitted);
    for (unsigned i = 0; i < found; i++)
        printf("  %llu: %s (%d) flags %#x\n", seen[i].data, seen[i].result < 0 ? strerror(-seen[i].result) : "fine",
               seen[i].result, seen[i].flags);
}

static void fresh(unsigned entries, unsigned flags) {
    io_uring_queue_exit(&ring);
    if (io_uring_queue_init(entries, &ring, flags) != 0)
        puts("no ring");
}

static void simple(void) {
    ADD(1, 0, io_uring_prep_nop(sqe));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("nothing", 2);
    ADD(1, 0, (io_uring_prep_nop(sqe), sqe->opcode = 250));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("an unknown operation stops the submission", 1);
    run("the rest", 1);
    ADD(1, 0x80, io_uring_prep_nop(sqe));
    run("an unknown flag", 1);
    ADD(1, 0, io_uring_prep_read(sqe, 999, buffer, 8, 0));
    ADD(2, IOSQE_FIXED_FILE, io_uring_prep_read(sqe, 0, buffer, 8, 0));
    ADD(3, 0, io_uring_prep_poll_add(sqe, 999, POLLIN));
    ADD(4, 0, io_uring_prep_timeout_remove(sqe, 77, 0));
    ADD(5, 0, io_uring_prep_poll_remove(sqe, 77));
    ADD(6, 0, io_uring_prep_cancel64(sqe, 77, 0));
    ADD(7, 0, io_uring_prep_close(sqe, 999));
    ADD(8, 0, io_uring_prep_link_timeout(sqe, &soon, 0));
    run("what is not there", 8);
}

static void files(void) {
    char name[64], other[64];
    snprintf(name, sizeof name, "/tmp/io_uring-%d", getpid());
    snprintf(other, sizeof other, "/tmp/io_uring-%d-2", getpid());
    ADD(1, 0, io_uring_prep_openat(sqe, AT_FDCWD, name, O_RDWR, 0600));
    run("open what is missing", 1);
    ADD(1, 0, io_uring_prep_mkdirat(sqe, AT_FDCWD, name, 0700));
    run("make a directory", 1);
    ADD(1, 0, io_uring_prep_mkdirat(sqe, AT_FDCWD, name, 0700));
    run("make it again", 1);
    ADD(1, 0, io_uring_prep_unlinkat(sqe, AT_FDCWD, name, AT_REMOVEDIR));
    run("remove it", 1);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_write(sqe, fd, "hello, ring", 11, 0));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_fsync(sqe, fd, 0));
    ADD(3, IOSQE_IO_LINK, io_uring_prep_fallocate(sqe, fd, 0, 0, 100));
    ADD(4, 0, io_uring_prep_read(sqe, fd, buffer, 11, 0));
    run("write, synchronise, allocate, read", 4);
    printf("  %.11s\n", buffer);
    struct iovec parts[2] = {{buffer, 5}, {buffer + 20, 6}};
    ADD(1, 0, io_uring_prep_readv(sqe, fd, parts, 2, 0));
    ADD(2, 0, io_uring_prep_read(sqe, fd, buffer + 30, 5, 7));
    ADD(3, 0, io_uring_prep_read(sqe, fd, buffer + 40, 5, -1));
    ADD(4, 0, io_uring_prep_read(sqe, fd, buffer + 50, 5, 1000));
    ADD(5, 0, io_uring_prep_read(sqe, fd, (void *)8, 5, 0));
    run("read in parts, at places, behind the end, to nowhere", 5);
    printf("  %.5s %.6s %.4s %.5s\n", buffer, buffer + 20, buffer + 30, buffer + 40);
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    struct statx status = {0};
    ADD(1, 0, io_uring_prep_statx(sqe, AT_FDCWD, name, 0, STATX_SIZE, &status));
    ADD(2, 0, io_uring_prep_fadvise(sqe, fd, 0, 0, POSIX_FADV_WILLNEED));
    ADD(3, 0, io_uring_prep_fadvise(sqe, fd, 0, 0, 99));
    run("status and advice", 3);
    printf("  size %llu\n", (unsigned long long)status.stx_size);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_linkat(sqe, AT_FDCWD, name, AT_FDCWD, other, 0));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_unlinkat(sqe, AT_FDCWD, name, 0));
    ADD(3, IOSQE_IO_LINK, io_uring_prep_renameat(sqe, AT_FDCWD, other, AT_FDCWD, name, 0));
    ADD(4, IOSQE_IO_LINK, io_uring_prep_symlinkat(sqe, "target", AT_FDCWD, other));
    ADD(5, IOSQE_IO_LINK, io_uring_prep_unlinkat(sqe, AT_FDCWD, other, 0));
    ADD(6, IOSQE_IO_LINK, io_uring_prep_unlinkat(sqe, AT_FDCWD, name, 0));
    ADD(7, 0, io_uring_prep_close(sqe, fd));
    run("names", 7);
    CHECK(access(name, F_OK) == -1 && access(other, F_OK) == -1 && fcntl(fd, F_GETFD) == -1);
}

static void chains(void) {
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, 999, buffer, 8, 0));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_nop(sqe));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("the first of a chain fails", 3);
    ADD(1, IOSQE_IO_HARDLINK, io_uring_prep_read(sqe, 999, buffer, 8, 0));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("and lets the next go on", 2);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_nop(sqe));
    ADD(2, IOSQE_IO_LINK, (io_uring_prep_nop(sqe), sqe->opcode = 250));
    ADD(3, 0, io_uring_prep_nop(sqe));
    ADD(4, 0, io_uring_prep_nop(sqe));
    run("one of a chain is wrong", 4);
    ADD(1, IOSQE_CQE_SKIP_SUCCESS, io_uring_prep_nop(sqe));
    ADD(2, IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK, io_uring_prep_read(sqe, 999, buffer, 8, 0));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("only failures are told", 1);
    int ends[2];
    if (pipe(ends) != 0)
        return;
    if (write(ends[1], "x", 1) != 1)
        return;
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("a short read breaks a chain", 2);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, ends[0], buffer, 3, 0));
    ADD(2, 0, io_uring_prep_write(sqe, ends[1], "after", 5, 0));
    run("a chain waits", 0);
    if (write(ends[1], "now", 3) != 3)
        return;
    run("and goes on", 2);
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 5, 0));
    run("what the second wrote", 1);
    printf("  %.5s\n", buffer);
    ADD(1, IOSQE_IO_DRAIN, io_uring_prep_nop(sqe));
    run("draining does not go with silence", 1);
    fresh(32, 0);
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(2, IOSQE_IO_DRAIN, io_uring_prep_nop(sqe));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("all wait for what drains", 0);
    if (write(ends[1], "x", 1) != 1)
        return;
    run("until those before have ended", 3);
    close(ends[0]);
    close(ends[1]);
}

static void waiting(void) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0)
        return;
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    run("an empty pipe, even one that does not block", 0);
    if (write(ends[1], "data", 4) != 4)
        return;
    run("is read when something comes", 1);
    ADD(1, IOSQE_ASYNC, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(2, IOSQE_ASYNC, io_uring_prep_write(sqe, ends[1], "more", 4, 0));
    run("asynchronously both ways", 2);
    int counter = eventfd(0, 0);
    unsigned long long value = 3, got = 0;
    ADD(1, 0, io_uring_prep_read(sqe, counter, &got, 8, 0));
    ADD(2, 0, io_uring_prep_write(sqe, counter, &value, 8, 0));
    run("a counter", 2);
    printf("  %llu\n", got);
    ADD(1, 0, io_uring_prep_poll_add(sqe, ends[1], POLLIN | POLLOUT));
    ADD(2, 0, io_uring_prep_poll_add(sqe, ends[0], POLLIN));
    run("poll", 1);
    if (write(ends[1], "x", 1) != 1)
        return;
    run("poll later", 1);
    ADD(1, 0, io_uring_prep_poll_multishot(sqe, ends[0], POLLIN));
    run("poll again and again", 1);
    if (write(ends[1], "x", 1) != 1)
        return;
    run("the second time", 1);
    ADD(2, 0, io_uring_prep_poll_remove(sqe, 1));
    run("until it is removed", 2);
    if (read(ends[0], buffer, 8) != 2)
        return;
    ADD(1, 0, io_uring_prep_poll_add(sqe, ends[0], POLLIN));
    ADD(2, 0, io_uring_prep_poll_update(sqe, 1, 7, 0, IORING_POLL_UPDATE_USER_DATA));
    run("a poll gets another name", 1);
    close(ends[1]);
    run("under which it ends", 1);
    ADD(1, 0, io_uring_prep_write(sqe, ends[0], buffer, 8, 0));
    ADD(2, 0, io_uring_prep_fsync(sqe, ends[0], 0));
    run("the wrong end", 2);
    close(ends[0]);
    close(counter);
}

static void times(void) {
    ADD(1, IOSQE_IO_LINK, io_uring_prep_timeout(sqe, &soon, 0, 0));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("a timeout is no success", 2);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_timeout(sqe, &soon, 0, IORING_TIMEOUT_ETIME_SUCCESS));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("unless it is said to be", 2);
    struct __kernel_timespec late = {100, 0};
    ADD(1, 0, io_uring_prep_timeout(sqe, &late, 2, 0));
    ADD(2, 0, io_uring_prep_nop(sqe));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("a timeout that counts", 3);
    ADD(1, 0, io_uring_prep_timeout(sqe, &late, 0, 0));
    ADD(2, 0, io_uring_prep_timeout_remove(sqe, 1, 0));
    run("a timeout is removed", 2);
    ADD(1, 0, io_uring_prep_timeout(sqe, &late, 0, 0));
    ADD(2, 0, io_uring_prep_timeout_update(sqe, &soon, 1, 0));
    run("a timeout is changed", 2);
    struct __kernel_timespec wrong = {-1, 0};
    ADD(1, 0, io_uring_prep_timeout(sqe, &wrong, 0, 0));
    run("a time that can't be", 1);
    ADD(1, 0, io_uring_prep_timeout(sqe, &soon, 0, IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME));
    run("a clock that can't be", 1);
    int ends[2];
    if (pipe(ends) != 0)
        return;
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_link_timeout(sqe, &soon, 0));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("a link's timeout passes", 3);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_nop(sqe));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_link_timeout(sqe, &late, 0));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("a link's timeout is not needed", 3);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, ends[0], buffer, 1, 0));
    ADD(2, IOSQE_IO_LINK, io_uring_prep_link_timeout(sqe, &late, 0));
    ADD(3, 0, io_uring_prep_nop(sqe));
    run("nor later", 0);
    if (write(ends[1], "x", 1) != 1)
        return;
    run("when the read ends", 3);
    ADD(1, IOSQE_IO_LINK, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("a read waits", 0);
    ADD(3, 0, io_uring_prep_cancel64(sqe, 1, 0));
    run("and is cancelled", 3);
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(3, 0, io_uring_prep_cancel64(sqe, 1, IORING_ASYNC_CANCEL_ALL));
    run("all of a name", 3);
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    ADD(3, 0, io_uring_prep_cancel_fd(sqe, ends[0], 0));
    run("those of a file", 2);
    close(ends[0]);
    close(ends[1]);
}

static void registered(void) {
    int ends[2], none = -1;
    if (pipe(ends) != 0)
        return;
    RESULT(io_uring_unregister_files(&ring));
    RESULT(io_uring_register_files(&ring, ends, 0));
    RESULT(io_uring_register_files(&ring, ends, 2));
    RESULT(io_uring_register_files(&ring, ends, 2));
    ADD(1, IOSQE_FIXED_FILE, io_uring_prep_write(sqe, 1, "fixed", 5, 0));
    ADD(2, IOSQE_FIXED_FILE, io_uring_prep_read(sqe, 0, buffer, 8, 0));
    ADD(3, IOSQE_FIXED_FILE, io_uring_prep_read(sqe, 5, buffer, 8, 0));
    run("registered files", 3);
    RESULT(io_uring_register_files_update(&ring, 1, &none, 1));
    RESULT(io_uring_register_files_update(&ring, 2, &none, 1));
    ADD(1, IOSQE_FIXED_FILE, io_uring_prep_write(sqe, 1, "gone", 4, 0));
    ADD(2, 0, io_uring_prep_openat_direct(sqe, AT_FDCWD, "/dev/zero", O_RDONLY, 0, 1));
    run("a place without file, and a new one", 2);
    ADD(1, IOSQE_FIXED_FILE, io_uring_prep_read(sqe, 1, buffer, 8, 0));
    run("zeroes", 1);
    ADD(1, 0, io_uring_prep_close_direct(sqe, 1));
    run("closed", 1);
    RESULT(io_uring_unregister_files(&ring));
    struct iovec memory = {buffer, 8};
    RESULT(io_uring_register_buffers(&ring, &memory, 1));
    RESULT(io_uring_register_buffers(&ring, &memory, 1));
    memset(buffer, 'b', sizeof buffer);
    ADD(1, 0, io_uring_prep_write_fixed(sqe, ends[1], buffer, 4, 0, 0));
    ADD(2, 0, io_uring_prep_write_fixed(sqe, ends[1], buffer + 6, 4, 0, 0));
    ADD(3, 0, io_uring_prep_write_fixed(sqe, ends[1], buffer, 4, 0, 1));
    ADD(4, 0, io_uring_prep_read_fixed(sqe, ends[0], buffer, 4, 0, 0));
    run("registered buffers", 4);
    RESULT(io_uring_unregister_buffers(&ring));
    RESULT(io_uring_unregister_buffers(&ring));
    ADD(1, 0, io_uring_prep_provide_buffers(sqe, buffer, 4, 2, 7, 10));
    ADD(2, 0, (io_uring_prep_read(sqe, ends[0], NULL, 4, 0), sqe->buf_group = 7));
    io_uring_get_sqe(&ring)->flags = 0;
    struct io_uring_sqe *last = &ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask];
    io_uring_prep_read(last, ends[0], NULL, 0, 0);
    last->buf_group = 8;
    last->flags = IOSQE_BUFFER_SELECT;
    last->user_data = 3;
    ring.sq.sqes[(ring.sq.sqe_tail - 2) & *ring.sq.kring_mask].flags = IOSQE_BUFFER_SELECT;
    run("provided buffers", 2);
    if (write(ends[1], "abcdef", 6) != 6)
        return;
    run("one is used", 1);
    printf("  %.4s\n", buffer);
    ADD(1, 0, io_uring_prep_remove_buffers(sqe, 5, 7));
    ADD(2, 0, io_uring_prep_remove_buffers(sqe, 5, 99));
    run("provided buffers are removed", 2);
    int counter = eventfd(0, EFD_NONBLOCK);
    unsigned long long told = 0;
    RESULT(io_uring_register_eventfd(&ring, ends[0]));
    RESULT(io_uring_register_eventfd(&ring, counter));
    RESULT(io_uring_register_eventfd(&ring, counter));
    ADD(1, 0, io_uring_prep_nop(sqe));
    run("an event counter", 1);
    RESULT(read(counter, &told, 8));
    CHECK(told >= 1);
    RESULT(io_uring_unregister_eventfd(&ring));
    RESULT(io_uring_unregister_eventfd(&ring));
    close(counter);
    close(ends[0]);
    close(ends[1]);
}

static void queues(void) {
    fresh(4, 0);
    /* More completions than there is room for: none is lost. */
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++)
            ADD(round * 4 + i, 0, io_uring_prep_nop(sqe));
        if (io_uring_submit(&ring) != 4)
            puts("not all submitted");
    }
    CHECK(io_uring_cq_has_overflow(&ring));
    unsigned next = 0;
    struct io_uring_cqe *cqe;
    while (next < 20 && io_uring_wait_cqe(&ring, &cqe) == 0) {
        if (cqe->user_data != next)
            printf("completion %llu instead of %u\n", (unsigned long long)cqe->user_data, next);
        next++;
        io_uring_cqe_seen(&ring, cqe);
    }
    printf("completions: %u, overflow %d\n", next, io_uring_cq_has_overflow(&ring));
    CHECK(io_uring_get_sqe(&ring) != NULL);
    run("one without content", 1);
    fresh(4, IORING_SETUP_SUBMIT_ALL);
    ADD(1, 0, (io_uring_prep_nop(sqe), sqe->opcode = 250));
    ADD(2, 0, io_uring_prep_nop(sqe));
    run("a ring that submits all", 2);
    fresh(4, IORING_SETUP_R_DISABLED);
    ADD(1, 0, io_uring_prep_nop(sqe));
    RESULT(io_uring_submit(&ring));
    RESULT(io_uring_register(ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
    run("a ring that was enabled", 1);
    struct io_uring wrong;
    RESULT(io_uring_queue_init(0, &wrong, 0));
    RESULT(io_uring_queue_init(100000, &wrong, 0));
    RESULT(io_uring_queue_init(8, &wrong, 1U << 31));
    RESULT(io_uring_enter(0, 1, 0, 0, NULL));
    RESULT(io_uring_enter(999, 1, 0, 0, NULL));
    RESULT(io_uring_enter(ring.ring_fd, 0, 0, 1 << 20, NULL));
    RESULT(io_uring_register(ring.ring_fd, 1000, NULL, 0));
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    for (int op = IORING_OP_NOP; op <= IORING_OP_POLL_REMOVE; op++)
        if (!io_uring_opcode_supported(probe, op))
            printf("operation %d is missing\n", op);
    io_uring_free_probe(probe);
}

static void *send_later(void *argument) {
    usleep(30000);
    if (write(*(int *)argument, "late", 4) != 4)
        puts("write fails");
    return NULL;
}

static void on_alarm(int signal) {
    (void)signal;
}

/* The ring among other files that are waited for, and waits that signals and time end. */
static void outside(void) {
    fresh(8, 0);
    int ends[2], poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, got;
    if (pipe(ends) != 0)
        return;
    RESULT(epoll_ctl(poll, EPOLL_CTL_ADD, ring.ring_fd, &event));
    RESULT(epoll_wait(poll, &got, 1, 0));
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    io_uring_submit(&ring);
    pthread_t thread;
    pthread_create(&thread, NULL, send_later, &ends[1]);
    /* Linux may interrupt the wait for what the ring has to do. */
    int ready;
    while ((ready = epoll_wait(poll, &got, 1, 5000)) == -1 && errno == EINTR)
        ;
    printf("ready: %d\n", ready);
    pthread_join(thread, NULL);
    run("told by epoll", 1);
    /* Nobody waits in the kernel: the completion comes all the same. */
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    io_uring_submit(&ring);
    pthread_create(&thread, NULL, send_later, &ends[1]);
    while (io_uring_cq_ready(&ring) == 0)
        ;
    pthread_join(thread, NULL);
    run("seen in memory", 1);
    struct io_uring_cqe *cqe;
    RESULT(io_uring_wait_cqe_timeout(&ring, &cqe, &soon));
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {0, 30000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    RESULT(io_uring_wait_cqe(&ring, &cqe));
    ADD(1, 0, io_uring_prep_read(sqe, ends[0], buffer, 8, 0));
    io_uring_submit(&ring);
    io_uring_queue_exit(&ring);
    /* Nothing of the closed ring takes this. */
    usleep(20000);
    RESULT(write(ends[1], "kept", 4));
    usleep(20000);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    RESULT(read(ends[0], buffer, 8));
}

/* Whether anybody has a named pipe open for writing. */
static void look(const char *when, const char *name) {
    int fd = open(name, O_RDONLY | O_NONBLOCK);
    ssize_t result = read(fd, buffer, 1);
    printf("%s: %s\n", when, result == 0 ? "nobody writes" : strerror(errno));
    close(fd);
}

/* A request that a thread sleeps for, without anybody to take its completion. */
static void sleep_in_opening(const char *name, struct io_uring *own) {
    if (io_uring_queue_init(4, own, 0) != 0)
        puts("no ring");
    io_uring_prep_openat(io_uring_get_sqe(own), AT_FDCWD, name, O_WRONLY | O_CREAT, 0600);
    io_uring_submit(own);
    /* Whoever looked would be the other end. */
    usleep(20000);
}

static void named_pipes(void) {
    char name[] = "/tmp/io_uring-XXXXXX";
    close(mkstemp(name));
    unlink(name);
    RESULT(mkfifo(name, 0600));
    ADD(1, 0, io_uring_prep_openat(sqe, AT_FDCWD, name, O_WRONLY, 0));
    run("nobody reads", 1);
    ADD(1, 0, io_uring_prep_openat(sqe, AT_FDCWD, name, O_RDONLY, 0));
    io_uring_submit(&ring);
    struct io_uring_cqe *cqe;
    io_uring_wait_cqe(&ring, &cqe);
    printf("without a writer it is open, and would%s block\n", fcntl(cqe->res, F_GETFL) & O_NONBLOCK ? " not" : "");
    close(cqe->res);
    io_uring_cqe_seen(&ring, cqe);

    /* A thread waits for the other end. That it was interrupted is told by a number that only kernels know. */
    ADD(2, IOSQE_ASYNC, io_uring_prep_openat(sqe, AT_FDCWD, name, O_WRONLY, 0));
    io_uring_submit(&ring);
    usleep(20000);
    ADD(3, 0, io_uring_prep_cancel64(sqe, 2, 0));
    io_uring_submit(&ring);
    int refused = 0, interrupted = 0;
    for (int i = 0; i < 2 && io_uring_wait_cqe(&ring, &cqe) == 0; i++) {
        refused += cqe->user_data == 3 && cqe->res == -EALREADY;
        interrupted += cqe->user_data == 2 && (cqe->res == -EINTR || cqe->res == -512);
        io_uring_cqe_seen(&ring, cqe);
    }
    printf("cancelled while a thread sleeps: %d %d\n", refused, interrupted);
    look("after the cancellation", name);

    for (int how = 0; how < 3; how++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            struct io_uring own;
            sleep_in_opening(name, &own);
            if (how == 1)
                execl("/proc/self/exe", "io_uring", "look", name, NULL);
            if (how == 2)
                kill(getpid(), SIGKILL);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("child %d: %#x\n", how, status);
        look("after it", name);
    }
    unlink(name);
}

int main(int count, char **arguments) {
    if (count == 3) {
        look("another program", arguments[2]);
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (io_uring_queue_init(32, &ring, 0) != 0)
        puts("no ring");
    simple();
    files();
    fresh(32, 0);
    chains();
    fresh(32, 0);
    waiting();
    fresh(32, 0);
    times();
    fresh(32, 0);
    registered();
    queues();
    outside();
    fresh(32, 0);
    named_pipes();
    return 0;
}
