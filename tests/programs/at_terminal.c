/* A program at a terminal that is not its own: lines and single characters, signals by characters, the size. What is typed
 * comes from at_terminal.py. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t last;

static void note(int number) {
    last = number;
}

static void await(const char *what) {
    sigset_t none;
    sigemptyset(&none);
    puts(what);
    sigsuspend(&none);
    printf("%s\n", strsignal(last));
}

static void size(int terminal) {
    struct winsize now = {0};
    RESULT(ioctl(terminal, TIOCGWINSZ, &now));
    printf("%u x %u\n", now.ws_row, now.ws_col);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGWINCH);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);

    CHECK(isatty(0) && isatty(1) && isatty(2));
    CHECK(tcgetpgrp(0) == getpgrp() && tcgetsid(0) == getsid(0));
    int terminal;
    SUCCESS(terminal = open("/dev/tty", O_RDWR));
    size(terminal);
    puts("type a line");
    char bytes[100];
    long length = read(0, bytes, sizeof bytes);
    printf("read %ld: %.*s", length, (int)length, bytes);

    struct termios settings, raw;
    RESULT(tcgetattr(0, &settings));
    raw = settings;
    cfmakeraw(&raw);
    RESULT(tcsetattr(0, TCSANOW, &raw));
    printf("type a character\r\n");
    length = read(terminal, bytes, sizeof bytes);
    printf("read %ld: %02x\r\n", length, bytes[0]);
    RESULT(tcsetattr(0, TCSANOW, &settings));

    await("interrupt me");
    await("change the size");
    size(terminal);
    RESULT(tcsetpgrp(0, getpgrp()));
    RESULT(tcflush(0, TCIFLUSH));
    RESULT(tcflow(1, TCOON));
    RESULT(close(terminal));
    puts("done");
    return 7;
}
