/* The terminal that controls a session: how it is taken and given up, signals by characters, the foreground, its end. */
#include "pty.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static volatile sig_atomic_t counts[65];

static void count(int number) {
    counts[number]++;
}

/* Which of the signals that terminals cause have come since the last time. */
static void came(const char *what) {
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGHUP, "HUP"},   {SIGINT, "INT"},   {SIGQUIT, "QUIT"},  {SIGTSTP, "TSTP"},
                 {SIGCONT, "CONT"}, {SIGTTIN, "TTIN"}, {SIGTTOU, "TTOU"}, {SIGWINCH, "WINCH"}};
    usleep(20000);
    printf("%s:", what);
    for (unsigned index = 0; index < sizeof names / sizeof *names; index++) {
        int number = names[index].number;
        if (counts[number])
            printf(" %s", names[index].name);
        if (counts[number] > 1)
            printf("*%d", (int)counts[number]);
        counts[number] = 0;
    }
    puts("");
}

/* Makes the program the leader of a session: where it leads only a group, by a child. */
static void lead_session(void) {
    if (getsid(0) == getpid() || setsid() > 0)
        return;
    pid_t child = fork();
    if (child) {
        int status;
        waitpid(child, &status, 0);
        exit(WEXITSTATUS(status));
    }
    setsid();
}

int main(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGTTIN, SIGTTOU, SIGWINCH};
    for (unsigned index = 0; index < sizeof numbers / sizeof *numbers; index++)
        sigaction(numbers[index], &action, NULL);
    lead_session();
    CHECK(getsid(0) == getpid() && getpgrp() == getpid());

    puts("-- none");
    RESULT(open("/dev/tty", O_RDWR));
    open_pair();
    RESULT(open("/dev/tty", O_RDWR));
    int value = -1;
    RESULT(ioctl(slave, TIOCGPGRP, &value));
    RESULT(tcgetsid(slave));
    type("\x03");
    came("signals");
    RESULT(ioctl(slave, TIOCNOTTY));

    puts("-- taken by opening it");
    char path[64];
    ptsname_r(master, path, sizeof path);
    int writer = open(path, O_WRONLY);
    RESULT(open("/dev/tty", O_RDWR));
    close(writer);
    int own = open(path, O_RDWR);
    int tty;
    SUCCESS(tty = open("/dev/tty", O_RDWR));
    struct stat status;
    RESULT(fstat(tty, &status));
    printf("%u %u\n", major(status.st_rdev), minor(status.st_rdev));
    CHECK(tcgetpgrp(tty) == getpid());
    CHECK(tcgetsid(tty) == getpid());
    CHECK(tcgetpgrp(master) == getpid());
    RESULT(write(tty, "by its name\n", 12));
    all("screen", master);
    RESULT(isatty(tty));

    puts("-- signals");
    type("\x03");
    came("INTR");
    /* Each signal may throw away what was not read of the screen before. */
    all("screen", master);
    type("\x1c");
    came("QUIT");
    all("screen", master);
    type("\x1a");
    came("SUSP");
    all("screen", master);
    struct winsize size = {10, 20, 0, 0};
    RESULT(ioctl(master, TIOCSWINSZ, &size));
    came("size");
    RESULT(ioctl(tty, TIOCSWINSZ, &size));
    came("the same size");
    RESULT(ioctl(master, TIOCSIG, SIGQUIT));
    came("TIOCSIG");

    puts("-- the foreground");
    RESULT(tcsetpgrp(tty, getpgrp()));
    RESULT(tcsetpgrp(tty, -3));
    RESULT(tcsetpgrp(tty, 4000000));
    RESULT(tcsetpgrp(master, getpgrp()));
    RESULT(ioctl(tty, TIOCSPGRP, NULL));

    puts("-- another one");
    int first_master = master, first_slave = slave;
    open_pair();
    RESULT(ioctl(slave, TIOCSCTTY, 0));
    RESULT(ioctl(slave, TIOCNOTTY));
    RESULT(tcgetpgrp(slave));
    RESULT(ioctl(own, TIOCSCTTY, 0));
    puts("-- given up");
    RESULT(ioctl(tty, TIOCNOTTY));
    came("signals");
    RESULT(open("/dev/tty", O_RDWR));
    RESULT(tcgetpgrp(own));
    RESULT(write(tty, "still\n", 6));
    puts("-- taken by a call");
    RESULT(ioctl(slave, TIOCSCTTY, 0));
    RESULT(ioctl(slave, TIOCSCTTY, 0));
    CHECK(tcgetpgrp(slave) == getpid());
    type("\x03");
    came("INTR");
    puts("-- the other end is closed");
    close(master);
    came("signals");
    RESULT(open("/dev/tty", O_RDWR));
    close(slave);
    close(first_slave);
    puts("-- taken by its master");
    RESULT(ioctl(first_master, TIOCSCTTY, 0));
    CHECK(tcgetpgrp(own) == getpid());
    puts("-- hung up");
    RESULT(ioctl(own, TIOCVHANGUP));
    came("signals");
    RESULT(open("/dev/tty", O_RDWR));
    return 0;
}
