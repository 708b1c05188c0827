/* Ten thousand descriptors in one epoll: each is found when it is ready, once, and none after it was closed. */
#include "check.h"
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MANY = 10000 };
static int descriptors[MANY];

int main(void)
{
    struct rlimit limit = { MANY + 100, MANY + 100 };
    struct epoll_event event = { .events = EPOLLIN | EPOLLET }, found[64];
    uint64_t one = 1;
    int poll = epoll_create1(0), wrong = 0;
    long sum = 0;

    RESULT(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < MANY; i++) {
        descriptors[i] = eventfd(0, EFD_NONBLOCK);
        event.data.u32 = (uint32_t)i;
        wrong += descriptors[i] < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, descriptors[i], &event) != 0;
    }
    printf("wrong %d\n", wrong);
    RESULT(epoll_wait(poll, found, 64, 0));
    for (int i = 0; i < MANY; i++)
        wrong += write(descriptors[(i * 7919L) % MANY], &one, 8) != 8;
    int total = 0, count;
    while ((count = epoll_wait(poll, found, 64, 0)) > 0) {
        for (int i = 0; i < count; i++)
            sum += found[i].data.u32;
        total += count;
    }
    printf("found %d, sum %ld, wrong %d\n", total, sum, wrong);
    for (int i = 0; i < MANY; i += 2)
        close(descriptors[i]);
    for (int i = 1; i < MANY; i += 2)
        wrong += write(descriptors[i], &one, 8) != 8;
    total = 0;
    while ((count = epoll_wait(poll, found, 64, 0)) > 0) {
        for (int i = 0; i < count; i++)
            wrong += found[i].data.u32 % 2 == 0;
        total += count;
    }
    printf("found %d, wrong %d\n", total, wrong);
    return 0;
}
