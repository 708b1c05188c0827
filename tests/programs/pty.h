/* What the programs about pseudo-terminals share. */
#pragma once

#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int master, slave;

/* Bytes as text, with those that are not printable as \xx. */
static inline void show(const char *what, const char *bytes, long length) {
    printf("%s: ", what);
    if (length < 0) {
        printf("%s\n", strerror(errno));
        return;
    }
    putchar('"');
    for (long index = 0; index < length; index++) {
        unsigned char byte = bytes[index];
        if (byte >= 32 && byte < 127 && byte != '\\')
            putchar(byte);
        else
            printf("\\%02x", byte);
    }
    puts("\"");
}

/* Whether there is something to read soon: Linux passes bytes from end to end in the background. */
static inline int soon(int fd) {
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, 20) > 0 && one.revents & POLLIN;
}

/* Everything that appears at an end, as one text. */
static inline void all(const char *what, int fd) {
    static char bytes[65536];
    long length = 0, now = 0;
    int saved = 0;
    while (soon(fd)) {
        now = read(fd, bytes + length, sizeof bytes - length);
        saved = errno;
        if (now <= 0)
            break;
        length += now;
    }
    if (now < 0 && length == 0) {
        errno = saved;
        length = -1;
    }
    show(what, bytes, length);
}

/* One read. */
static inline void once(const char *what, int fd, long most) {
    static char bytes[65536];
    soon(fd);
    long length = read(fd, bytes, most);
    show(what, bytes, length);
}

static inline void type(const char *text) {
    if (write(master, text, strlen(text)) != (long)strlen(text))
        perror("type");
}

/* Types, and shows what is echoed. */
static inline void echoed(const char *text) {
    type(text);
    show("typed", text, (long)strlen(text));
    all("screen", master);
}

/* Writes as the program does, and shows what comes out. */
static inline void printed(const char *text) {
    if (write(slave, text, strlen(text)) != (long)strlen(text))
        perror("write");
    all("screen", master);
}

/* Sets modes of the terminal: those to be switched on and off in each word. */
static inline void modes(tcflag_t input_on, tcflag_t input_off, tcflag_t output_on, tcflag_t output_off, tcflag_t local_on,
                  tcflag_t local_off) {
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_iflag = (settings.c_iflag & ~input_off) | input_on;
    settings.c_oflag = (settings.c_oflag & ~output_off) | output_on;
    settings.c_lflag = (settings.c_lflag & ~local_off) | local_on;
    tcsetattr(slave, TCSANOW, &settings);
}

static inline void character(int place, int value) {
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_cc[place] = (cc_t)value;
    tcsetattr(slave, TCSANOW, &settings);
}

static inline void open_pair(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master))
        perror("posix_openpt");
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0)
        perror("slave");
}

static inline void close_pair(void) {
    close(slave);
    close(master);
}
