// The frame of the differential fuzzer: what a call of its table is, how its arguments are chosen, written and read.
//
// A script is a list of calls, one a line: a name and its arguments. It is made from a seed, run here and there, and
// what the calls answer is compared. Since a script is text, it can be shortened line by line, and kept.
#pragma once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// One value that an argument may have.
struct value {
    const char *name;
    long number;
    // 0: one of the values without a chance is taken. Else: it is added with this chance, in percent.
    int percent;
};

#define ONE_OF(constant) {#constant, constant, 0}
#define MAYBE(constant, percent) {#constant, constant, percent}
#define NAMED(name, number, percent) {name, number, percent}
#define END_OF_VALUES {NULL, 0, 0}

// Kinds of arguments, as letters:
//   f  a descriptor, by the slot that keeps it
//   d  a directory's descriptor: a slot, or "cwd"
//   s  the slot that a new descriptor goes to
//   p  a path
//   v  a value, by the call's own list
#define MOST_ARGUMENTS 8

struct argument {
    long number;
    char text[160];
};

struct call {
    const char *name;
    const char *kinds;
    void (*run)(struct argument *arguments);
    // How often it is chosen, beside the others.
    int weight;
    // It may wait: it is interrupted then.
    int waits;
    // The lists of values of the arguments of kind v, in their order.
    const struct value *values[MOST_ARGUMENTS];
};

#define SLOTS 8

extern int slots[SLOTS];

// The descriptor of an argument; -1 if the slot is empty.
int descriptor(const struct argument *argument);

// The descriptor of a directory.
int directory(const struct argument *argument);

// Keeps a new descriptor in a slot, whose old one is closed.
void keep(const struct argument *slot, long opened);

// The bytes of a path: "@300" stands for 300 letters, "-" for none.
const char *path(const struct argument *argument);

// Says what a call answered: a number, or the name of the error.
void answer(long result);

// Adds to what the line says.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Says how long data is and what it adds up to.
void say_bytes(const void *bytes, long length);

// Says what stat tells, as far as two systems must agree.
void say_status(const struct stat *status);

// Fills a buffer with bytes that depend on a number.
void fill(unsigned char *bytes, long length, long with);

// The buffer that data is read into and written from.
#define BUFFER_SIZE 262144
extern unsigned char buffer[BUFFER_SIZE];

// Whether a descriptor is a terminal's, and whether it is and gets more than it surely takes, which is not tried then.
int is_terminal(int fd);
int is_too_much(int fd, long length);

// Whether a descriptor is that of a stream of the Internet, or of datagrams of it.
int is_internet_stream(int fd);
int is_internet_datagram(int fd);

// Whether a descriptor is that of a stream of the Internet to which more was written in this round than surely comes to its
// other end before somebody reads.
int is_beyond_window(int fd, long length);

// /proc/self/maps, /proc and /dev/pts: a script's root directory is elsewhere.
extern int maps_file, proc_directory, device_directory;
// Whether these are lines of a child.
extern int is_child;

// Whether the root directory is another one than the scripts': names of files outside are no paths then.
int is_root_elsewhere(void);

// Whether a descriptor is that of a file in memory (memfd_create).
int is_memory_file(int fd);

// Opens the maps of a process that was forked.
void open_maps(void);

// Puts out what was said, and begins anew.
void put_line(void);

// Runs the next lines of the script, or leaves them out.
void run_lines(long count);
void skip_lines(long count);

// A length that fits into the buffer.
long fitting(long length);
