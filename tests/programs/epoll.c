/* Event polls: every mode, every error, several threads. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int add(int poll, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
}

static int modify(int poll, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(poll, EPOLL_CTL_MOD, descriptor, &event);
}

static int take_out(int poll, int descriptor) {
    return epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, NULL);
}

/* Prints what is there without waiting. */
static void show(int poll) {
    struct epoll_event events[16];
    int count = epoll_wait(poll, events, 16, 0);
    printf("  %d events:", count);
    for (int i = 0; i < count; i++)
        printf(" %llu=%x", (unsigned long long)events[i].data.u64, events[i].events);
    puts("");
}

static void drain(int descriptor) {
    char buffer[4096];
    while (read(descriptor, buffer, sizeof buffer) > 0)
        ;
}

static void levels_and_edges(void) {
    int ends[2], poll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(fcntl(poll, F_GETFD) == FD_CLOEXEC);
    RESULT(pipe2(ends, O_NONBLOCK));

    puts("-- level");
    RESULT(add(poll, ends[0], EPOLLIN, 1));
    show(poll);
    RESULT(write(ends[1], "ab", 2));
    show(poll);
    show(poll);
    drain(ends[0]);
    show(poll);

    puts("-- edge");
    RESULT(modify(poll, ends[0], EPOLLIN | EPOLLET, 2));
    RESULT(write(ends[1], "ab", 2));
    show(poll);
    show(poll);
    RESULT(write(ends[1], "c", 1));
    show(poll);
    show(poll);
    RESULT(modify(poll, ends[0], EPOLLIN | EPOLLET, 3));
    show(poll);
    drain(ends[0]);

    puts("-- one shot");
    RESULT(modify(poll, ends[0], EPOLLIN | EPOLLONESHOT, 4));
    show(poll);
    RESULT(write(ends[1], "d", 1));
    show(poll);
    RESULT(write(ends[1], "e", 1));
    show(poll);
    RESULT(modify(poll, ends[0], EPOLLIN | EPOLLONESHOT, 5));
    show(poll);
    show(poll);
    drain(ends[0]);

    puts("-- changes");
    RESULT(modify(poll, ends[0], 0, 6));
    RESULT(write(ends[1], "f", 1));
    show(poll);
    RESULT(modify(poll, ends[0], EPOLLIN | EPOLLRDNORM, 7));
    show(poll);
    RESULT(take_out(poll, ends[0]));
    show(poll);
    RESULT(add(poll, ends[1], EPOLLOUT | EPOLLET, 8));
    show(poll);
    show(poll);

    puts("-- hang up");
    RESULT(add(poll, ends[0], 0, 9));
    RESULT(close(ends[1]));
    show(poll);
    RESULT(close(ends[0]));
    show(poll);
    RESULT(close(poll));
}

static void errors(void) {
    puts("-- errors");
    int poll = epoll_create(1), ends[2], file = open("/proc/self/exe", O_RDONLY), directory = open("/", O_RDONLY);
    struct epoll_event event = {.events = EPOLLIN}, *volatile nowhere = NULL;
    volatile int negative = -1;
    RESULT(pipe(ends));
    RESULT(epoll_create(0));
    RESULT(epoll_create(-1));
    RESULT(epoll_create1(1));
    RESULT(add(-1, ends[0], EPOLLIN, 0));
    RESULT(add(poll, -1, EPOLLIN, 0));
    RESULT(add(poll, 1000, EPOLLIN, 0));
    RESULT(add(ends[0], ends[1], EPOLLIN, 0));
    RESULT(add(poll, poll, EPOLLIN, 0));
    RESULT(add(poll, file, EPOLLIN, 0));
    RESULT(add(poll, directory, EPOLLIN, 0));
    RESULT(add(poll, open("/dev/null", O_RDONLY), EPOLLIN, 0));
    RESULT(add(poll, open("/", O_PATH), EPOLLIN, 0));
    RESULT(modify(poll, ends[0], EPOLLIN, 0));
    RESULT(take_out(poll, ends[0]));
    RESULT(add(poll, ends[0], EPOLLIN, 0));
    RESULT(add(poll, ends[0], EPOLLIN, 0));
    RESULT(epoll_ctl(poll, EPOLL_CTL_ADD, ends[1], NULL));
    RESULT(epoll_ctl(poll, 77, ends[0], &event));
    RESULT(epoll_ctl(poll, 77, ends[0], NULL));
    RESULT(epoll_wait(poll, &event, 0, 0));
    RESULT(epoll_wait(poll, &event, negative, 0));
    RESULT(epoll_wait(-1, &event, 1, 0));
    RESULT(epoll_wait(ends[0], &event, 1, 0));
    RESULT(epoll_wait(poll, nowhere, 1, 0));
    RESULT(write(ends[1], "x", 1));
    RESULT(epoll_wait(poll, nowhere, 1, 0));
    RESULT(epoll_wait(poll, (void *)-4096, 1, 0));
    RESULT(epoll_wait(poll, &event, 1, 0));
    RESULT(read(poll, &event, 4));
    RESULT(write(poll, &event, 4));
    RESULT(lseek(poll, 0, SEEK_SET));
    RESULT(syscall(SYS_epoll_pwait, poll, &event, 1, 0, &event, 4));
    struct timespec bad = {0, -1};
    RESULT(syscall(SYS_epoll_pwait2, poll, &event, 1, &bad, NULL, 8));
    struct timespec none = {0, 0};
    RESULT(syscall(SYS_epoll_pwait2, poll, &event, 1, &none, NULL, 8));
    close(ends[0]), close(ends[1]), close(poll), close(file), close(directory);
}

static void exclusive_rules(void) {
    puts("-- exclusive");
    int poll = epoll_create1(0), inner = epoll_create1(0), counter = eventfd(0, 0);
    RESULT(add(poll, counter, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP, 0));
    RESULT(add(poll, counter, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
    RESULT(add(poll, inner, EPOLLIN | EPOLLEXCLUSIVE, 0));
    RESULT(add(poll, counter, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE | EPOLLET, 1));
    RESULT(modify(poll, counter, EPOLLIN, 0));
    RESULT(modify(poll, counter, EPOLLIN | EPOLLEXCLUSIVE, 0));
    show(poll);
    RESULT(take_out(poll, counter));
    RESULT(add(poll, counter, EPOLLIN, 1));
    RESULT(modify(poll, counter, EPOLLIN | EPOLLEXCLUSIVE, 0));
    close(poll), close(inner), close(counter);
}

static void nesting(void) {
    puts("-- nesting");
    int polls[8], ends[2];
    RESULT(pipe(ends));
    for (int i = 0; i < 8; i++)
        polls[i] = epoll_create1(0);
    for (int i = 0; i < 7; i++)
        RESULT(add(polls[i + 1], polls[i], EPOLLIN, i));
    RESULT(add(polls[0], polls[1], EPOLLIN, 0));
    RESULT(add(polls[0], polls[4], EPOLLIN, 0));
    RESULT(add(polls[0], ends[0], EPOLLIN, 42));
    for (int i = 0; i < 8; i++)
        show(polls[i]);
    RESULT(write(ends[1], "x", 1));
    for (int i = 0; i < 8; i++)
        show(polls[i]);
    struct pollfd set = {polls[2], POLLIN | POLLOUT, 0};
    RESULT(poll(&set, 1, 0));
    printf("polled %x\n", set.revents);
    char byte;
    RESULT(read(ends[0], &byte, 1));
    RESULT(poll(&set, 1, 0));
    RESULT(modify(polls[1], polls[0], EPOLLIN | EPOLLET, 5));
    RESULT(write(ends[1], "x", 1));
    show(polls[1]);
    show(polls[1]);
    RESULT(write(ends[1], "x", 1));
    show(polls[1]);
    close(polls[0]);
    show(polls[1]);
    for (int i = 1; i < 8; i++)
        close(polls[i]);
    close(ends[0]), close(ends[1]);
}

/* An event is told along so many ways at most. */
static void ways(void) {
    puts("-- ways");
    static int outer[520];
    int counter = eventfd(0, 0), middle = epoll_create1(0), other = epoll_create1(0), count = 0;
    RESULT(add(middle, counter, EPOLLIN, 0));
    for (; count < 520; count++) {
        outer[count] = epoll_create1(0);
        if (add(outer[count], middle, EPOLLIN, 0) != 0)
            break;
    }
    printf("%d event polls watch another: %s\n", count, strerror(errno));
    /* As many as like may watch the file itself, or an event poll that watches nothing yet. */
    for (int i = 0; i < count; i++)
        if (add(outer[i], counter, EPOLLIN, 0) != 0 || add(outer[i], other, EPOLLIN, 0) != 0)
            perror("add");
    close(outer[count]);
    outer[count] = epoll_create1(0);
    RESULT(add(outer[count], other, EPOLLIN, 0));
    RESULT(add(other, counter, EPOLLIN, 0));
    RESULT(take_out(other, counter));
    for (int i = 0; i <= count; i++)
        close(outer[i]);
    close(counter), close(middle), close(other);
}

static void closing(void) {
    puts("-- closing");
    int poll = epoll_create1(0), ends[2], others[2];
    RESULT(pipe(ends));
    int copy = dup(ends[0]);
    RESULT(write(ends[1], "x", 1));
    RESULT(add(poll, ends[0], EPOLLIN, 1));
    RESULT(add(poll, copy, EPOLLIN, 2));
    show(poll);
    int number = ends[0];
    RESULT(close(ends[0]));
    show(poll);
    /* The description is still open through the copy, but no descriptor of that name leads to it. */
    RESULT(take_out(poll, number));
    RESULT(pipe(others));
    CHECK(others[0] == number);
    RESULT(add(poll, others[0], EPOLLIN, 3));
    show(poll);
    RESULT(close(copy));
    show(poll);
    RESULT(write(others[1], "x", 1));
    show(poll);
    RESULT(dup2(ends[1], others[0]));
    show(poll);
    close(ends[1]), close(others[0]), close(others[1]), close(poll);
}

static void order(void) {
    puts("-- order");
    int poll = epoll_create1(0), counters[6];
    for (int i = 0; i < 6; i++) {
        counters[i] = eventfd(0, 0);
        add(poll, counters[i], EPOLLIN, i);
    }
    for (int i = 5; i >= 0; i--)
        eventfd_write(counters[i], 1);
    struct epoll_event events[4];
    for (int round = 0; round < 4; round++) {
        int count = epoll_wait(poll, events, 4, 0);
        printf("  round %d:", round);
        for (int i = 0; i < count; i++)
            printf(" %llu", (unsigned long long)events[i].data.u64);
        puts("");
    }
    for (int i = 0; i < 6; i++)
        close(counters[i]);
    close(poll);
}

static int shared_poll, shared_counter;
static atomic_int woken;

static void *wait_once(void *argument) {
    struct epoll_event event;
    int poll = argument ? *(int *)argument : shared_poll;
    if (epoll_wait(poll, &event, 1, 2000) == 1)
        atomic_fetch_add(&woken, 1);
    return NULL;
}

static void *write_later(void *argument) {
    (void)argument;
    usleep(50000);
    eventfd_write(shared_counter, 1);
    return NULL;
}

static void threads(void) {
    puts("-- threads");
    pthread_t many[4], writer;
    struct epoll_event event;
    shared_poll = epoll_create1(0);
    shared_counter = eventfd(0, 0);
    add(shared_poll, shared_counter, EPOLLIN | EPOLLET, 1);

    pthread_create(&writer, NULL, write_later, NULL);
    RESULT(epoll_wait(shared_poll, &event, 1, -1));
    pthread_join(writer, NULL);

    /* Edge: of four threads on one poll, each event wakes one. */
    for (int i = 0; i < 4; i++)
        pthread_create(&many[i], NULL, wait_once, NULL);
    usleep(100000);
    eventfd_write(shared_counter, 1);
    usleep(100000);
    printf("  one event woke %d\n", atomic_load(&woken));
    eventfd_write(shared_counter, 1);
    usleep(100000);
    printf("  two events woke %d\n", atomic_load(&woken));
    for (int i = 0; i < 2; i++) {
        eventfd_write(shared_counter, 1);
        usleep(50000);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(many[i], NULL);
    printf("  all woke: %d\n", atomic_load(&woken));

    /* A descriptor that is added while a thread waits. */
    take_out(shared_poll, shared_counter);
    atomic_store(&woken, 0);
    pthread_create(&many[0], NULL, wait_once, NULL);
    usleep(50000);
    add(shared_poll, shared_counter, EPOLLIN, 1);
    pthread_join(many[0], NULL);
    printf("  added while waiting: %d\n", atomic_load(&woken));

    /* Exclusive: of two polls, one is woken. */
    int first = epoll_create1(0), second = epoll_create1(0);
    drain(-1);
    eventfd_t value;
    eventfd_read(shared_counter, &value);
    RESULT(add(first, shared_counter, EPOLLIN | EPOLLEXCLUSIVE, 1));
    RESULT(add(second, shared_counter, EPOLLIN | EPOLLEXCLUSIVE, 2));
    take_out(shared_poll, shared_counter);
    atomic_store(&woken, 0);
    pthread_create(&many[0], NULL, wait_once, &first);
    pthread_create(&many[1], NULL, wait_once, &second);
    usleep(100000);
    eventfd_write(shared_counter, 1);
    usleep(100000);
    printf("  exclusive woke %d\n", atomic_load(&woken));
    eventfd_write(shared_counter, 1);
    pthread_join(many[0], NULL);
    pthread_join(many[1], NULL);
    close(first), close(second), close(shared_poll), close(shared_counter);
}

static volatile sig_atomic_t caught;

static void on_alarm(int signal) {
    (void)signal;
    caught++;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void alarm_in(int milliseconds) {
    struct itimerval timer = {{0, 0}, {0, milliseconds * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void time_and_signals(void) {
    puts("-- time and signals");
    int poll = epoll_create1(0), counter = eventfd(0, 0);
    struct epoll_event event;
    add(poll, counter, EPOLLIN, 1);
    double before = seconds();
    RESULT(epoll_wait(poll, &event, 1, 60));
    double took = seconds() - before;
    CHECK(took >= 0.059 && took < 0.5);
    struct timespec time = {0, 30000000};
    before = seconds();
    RESULT(syscall(SYS_epoll_pwait2, poll, &event, 1, &time, NULL, 8));
    took = seconds() - before;
    CHECK(took >= 0.029 && took < 0.5);

    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    alarm_in(30);
    RESULT(epoll_wait(poll, &event, 1, -1));
    printf("  caught %d\n", caught);

    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    alarm_in(20);
    RESULT(epoll_wait(poll, &event, 1, 60));
    printf("  caught %d\n", caught);
    RESULT(epoll_pwait(poll, &event, 1, 1000, &none));
    printf("  caught %d\n", caught);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGALRM) == 1);
    close(poll), close(counter);
}

static atomic_int stop;

static void *look_from_outside(void *outer) {
    struct pollfd one = {*(int *)outer, POLLIN, 0};
    while (!atomic_load(&stop))
        poll(&one, 1, 0);
    return NULL;
}

/* What is there all the time is found each time, also while others look through a poll that watches the poll. */
static void looking_together(void) {
    puts("-- looking together");
    /* Looking takes the longer the more levels there are. */
    int polls[5], levels = sizeof polls / sizeof *polls, counter = eventfd(1, 0), missed = 0, late = 0;
    struct epoll_event event;
    pthread_t others[2];
    for (int i = 0; i < levels; i++) {
        polls[i] = epoll_create1(0);
        add(polls[i], i ? polls[i - 1] : counter, EPOLLIN, i);
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&others[i], NULL, look_from_outside, &polls[levels - 1]);
    double end = seconds() + 0.5;
    while (seconds() < end) {
        for (int i = 0; i < 100; i++)
            missed += epoll_wait(polls[levels - 2], &event, 1, 0) != 1;
        late += epoll_wait(polls[levels - 2], &event, 1, 5000) != 1;
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(others[i], NULL);
    printf("  missed %d, late %d\n", missed, late);
    for (int i = 0; i < levels; i++)
        close(polls[i]);
    close(counter);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    levels_and_edges();
    errors();
    exclusive_rules();
    nesting();
    ways();
    closing();
    order();
    time_and_signals();
    looking_together();
    threads();
    return 0;
}
