/* Counters that wake: eventfd. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

static int counter;

static void *add_later(void *argument) {
    usleep(30000);
    eventfd_write(counter, (uintptr_t)argument);
    return NULL;
}

static void *take_later(void *argument) {
    eventfd_t value = 0;
    usleep(30000);
    eventfd_read(counter, &value);
    *(eventfd_t *)argument = value;
    return NULL;
}

static int readiness(int descriptor) {
    struct pollfd set = {descriptor, POLLIN | POLLOUT, 0};
    poll(&set, 1, 0);
    return set.revents;
}

int main(void) {
    uint64_t value = 0;
    pthread_t thread;

    puts("-- counting");
    counter = eventfd(3, EFD_NONBLOCK);
    CHECK(counter >= 0);
    CHECK(fcntl(counter, F_GETFL) == (O_RDWR | O_NONBLOCK));
    CHECK(fcntl(counter, F_GETFD) == 0);
    printf("ready %x\n", readiness(counter));
    RESULT(read(counter, &value, 8));
    printf("value %llu\n", (unsigned long long)value);
    RESULT(read(counter, &value, 8));
    printf("ready %x\n", readiness(counter));
    value = 5;
    RESULT(write(counter, &value, 8));
    RESULT(write(counter, &value, 8));
    RESULT(read(counter, &value, 7));
    char large[16] = {0};
    RESULT(read(counter, large, 16));
    memcpy(&value, large, 8);
    printf("value %llu\n", (unsigned long long)value);
    RESULT(write(counter, &value, 7));
    RESULT(write(counter, large, 16));
    RESULT(read(counter, &value, 8));
    value = 0;
    RESULT(write(counter, &value, 8));
    RESULT(read(counter, &value, 8));
    RESULT(lseek(counter, 0, SEEK_SET));
    RESULT(pread(counter, &value, 8, 0));
    RESULT(ftruncate(counter, 0));

    puts("-- the edge");
    value = UINT64_MAX;
    RESULT(write(counter, &value, 8));
    value = UINT64_MAX - 1;
    RESULT(write(counter, &value, 8));
    printf("ready %x\n", readiness(counter));
    value = 1;
    RESULT(write(counter, &value, 8));
    value = 0;
    RESULT(write(counter, &value, 8));
    RESULT(read(counter, &value, 8));
    CHECK(value == UINT64_MAX - 1);
    struct iovec parts[2] = {{&value, 4}, {(char *)&value + 4, 4}};
    value = 77;
    RESULT(write(counter, &value, 8));
    value = 0;
    RESULT(readv(counter, parts, 2));
    printf("value %llu\n", (unsigned long long)value);
    RESULT(close(counter));

    puts("-- semaphore");
    counter = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(fcntl(counter, F_GETFD) == FD_CLOEXEC);
    RESULT(read(counter, &value, 8));
    printf("value %llu\n", (unsigned long long)value);
    RESULT(read(counter, &value, 8));
    RESULT(read(counter, &value, 8));
    RESULT(close(counter));
    RESULT(eventfd(0, 0x10000));
    RESULT(read(eventfd(0, 0), NULL, 0));

    puts("-- waiting");
    counter = eventfd(0, 0);
    pthread_create(&thread, NULL, add_later, (void *)9);
    RESULT(read(counter, &value, 8));
    printf("value %llu\n", (unsigned long long)value);
    pthread_join(thread, NULL);
    value = UINT64_MAX - 1;
    RESULT(write(counter, &value, 8));
    eventfd_t taken = 0;
    pthread_create(&thread, NULL, take_later, &taken);
    value = 4;
    RESULT(write(counter, &value, 8));
    pthread_join(thread, NULL);
    CHECK(taken == UINT64_MAX - 1);
    RESULT(read(counter, &value, 8));
    printf("value %llu\n", (unsigned long long)value);
    pthread_create(&thread, NULL, add_later, (void *)1);
    struct pollfd set = {counter, POLLIN, 0};
    RESULT(poll(&set, 1, 5000));
    printf("ready %x\n", set.revents);
    pthread_join(thread, NULL);

    puts("-- in /proc");
    char path[64], target[64] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", counter);
    RESULT(readlink(path, target, sizeof target - 1));
    puts(target);
    RESULT(open(path, O_RDWR));
    return 0;
}
