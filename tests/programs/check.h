/*
 * What all test programs share. They print what they observe, never addresses or times, so that the same
 * program prints the same on Linux and in a machine of ours; the runner compares the two.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints the condition as written, and whether it holds. */
#define CHECK(condition) printf("%s: %s\n", #condition, (condition) ? "yes" : "NO")

/* Evaluates a call that answers -1 or NULL-like -1 on failure, and prints its result or its errno. */
#define RESULT(call)                                              \
    do {                                                          \
        errno = 0;                                                \
        long long result_ = (long long)(call);                    \
        if (result_ == -1)                                        \
            printf("%s: -1, %s\n", #call, strerror(errno));       \
        else                                                      \
            printf("%s: %lld\n", #call, result_);                 \
    } while (0)

/* The same for a call whose result is an address or a number that may differ: only success is printed. */
#define SUCCESS(call)                                             \
    do {                                                          \
        errno = 0;                                                \
        long long result_ = (long long)(call);                    \
        if (result_ == -1)                                        \
            printf("%s: -1, %s\n", #call, strerror(errno));       \
        else                                                      \
            printf("%s: succeeds\n", #call);                      \
    } while (0)
