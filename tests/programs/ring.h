/* What programs that use io_uring by way of liburing share: one ring, and a short way to put requests into it. */
#pragma once

#include "check.h"
#include <liburing.h>

static struct io_uring ring;

/* Puts a request into the queue; `prepare` fills `sqe`. */
#define ADD(data, more_flags, prepare)                      \
    do {                                                    \
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring); \
        prepare;                                            \
        sqe->user_data = (data);                            \
        sqe->flags |= (more_flags);                         \
    } while (0)

/* A completion that was taken. */
struct seen {
    unsigned long long data;
    int result;
    unsigned flags;
};
