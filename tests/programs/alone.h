/* For programs that watch packets or count them: a loopback interface that nobody else uses. */
#pragma once

#include "check.h"
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* On Linux a network namespace of our own, whose loopback interface has to be switched on. In the machine there is
   only one namespace, and nobody else in it. */
static inline void be_alone(void) {
    if (unshare(CLONE_NEWNET) != 0)
        return;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    int one = socket(AF_INET, SOCK_DGRAM, 0);
    if (ioctl(one, SIOCSIFFLAGS, &request) != 0)
        perror("lo");
    close(one);
}
