/* Pseudo-terminals as files: /dev/ptmx, /dev/pts, requests, packets, and what is left when an end is closed. */
#include "pty.h"
#include <dirent.h>
#include <linux/magic.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* Those of <asm/termbits.h>, which can't be used beside <termios.h>. */
enum { GET_SETTINGS_2 = 0x802c542a, SET_SETTINGS_2 = 0x402c542b, OTHER_SPEED = 010000 };

static int listed(const char *name) {
    DIR *directory = opendir("/dev/pts");
    struct dirent *entry;
    int found = 0;
    while ((entry = readdir(directory)))
        if (!strcmp(entry->d_name, name))
            found = entry->d_type;
    closedir(directory);
    return found;
}

static void *read_for_ever(void *argument) {
    char bytes[100];
    (void)argument;
    return (void *)(long)read(slave, bytes, sizeof bytes);
}

static void names(void) {
    puts("-- names");
    RESULT(master = open("/dev/ptmx", O_RDWR | O_NOCTTY));
    int number = -1, locked = -1;
    RESULT(ioctl(master, TIOCGPTN, &number));
    char path[64], expected[64];
    snprintf(expected, sizeof expected, "/dev/pts/%d", number);
    RESULT(ptsname_r(master, path, sizeof path));
    CHECK(!strcmp(path, expected));
    CHECK(listed(path + 9) == DT_CHR);
    CHECK(listed("ptmx") == DT_CHR);
    RESULT(ioctl(master, TIOCGPTLCK, &locked));
    printf("locked %d\n", locked);
    RESULT(open(path, O_RDWR | O_NOCTTY));
    RESULT(unlockpt(master));
    RESULT(ioctl(master, TIOCGPTLCK, &locked));
    printf("locked %d\n", locked);
    SUCCESS(slave = open(path, O_RDWR | O_NOCTTY));
    struct stat status;
    RESULT(fstat(slave, &status));
    CHECK(S_ISCHR(status.st_mode) && (status.st_mode & 0600) == 0600);
    CHECK(major(status.st_rdev) == 136 && minor(status.st_rdev) == (unsigned)number);
    CHECK(status.st_uid == getuid() && status.st_ino == (ino_t)number + 3);
    RESULT(fstat(master, &status));
    CHECK(major(status.st_rdev) == 5 && minor(status.st_rdev) == 2);
    struct statfs system;
    RESULT(statfs(path, &system));
    CHECK(system.f_type == DEVPTS_SUPER_MAGIC);
    RESULT(stat("/dev/pts", &status));
    CHECK(status.st_ino == 1 && S_ISDIR(status.st_mode));
    RESULT(stat("/dev/pts/ptmx", &status));
    CHECK(status.st_ino == 2 && major(status.st_rdev) == 5);
    RESULT(fchmod(slave, 0600));
    RESULT(stat(path, &status));
    printf("%o\n", status.st_mode);
    CHECK(isatty(master) && isatty(slave));
    CHECK(!strcmp(ttyname(slave), path));
    char link[64], target[64] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", slave);
    CHECK(readlink(link, target, sizeof target) > 0 && !strcmp(target, path));
    RESULT(open("/dev/pts/01", O_RDWR));
    RESULT(open("/dev/pts/new", O_RDWR | O_CREAT, 0600));
    RESULT(mkdir("/dev/pts/new", 0700));
    RESULT(unlink(path));
    RESULT(lseek(slave, 0, SEEK_SET));
    char byte;
    RESULT(pread(slave, &byte, 1, 0));

    puts("-- the other end without its name");
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(peer > 0 && fcntl(peer, F_GETFD) == FD_CLOEXEC);
    CHECK(!strcmp(ttyname(peer), path));
    RESULT(write(peer, "peer", 4));
    all("screen", master);
    close(peer);
    RESULT(ioctl(slave, TIOCGPTPEER, O_RDWR));
    RESULT(ioctl(slave, TIOCGPTN, &number));

    puts("-- requests");
    struct winsize size = {0};
    RESULT(ioctl(slave, TIOCGWINSZ, &size));
    printf("%u %u %u %u\n", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    size = (struct winsize){24, 80, 1, 2};
    RESULT(ioctl(master, TIOCSWINSZ, &size));
    memset(&size, 0, sizeof size);
    RESULT(ioctl(slave, TIOCGWINSZ, &size));
    printf("%u %u %u %u\n", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    int value = -1;
    RESULT(ioctl(slave, TIOCGETD, &value));
    printf("%d\n", value);
    RESULT(ioctl(slave, TIOCSETD, &value));
    RESULT(ioctl(slave, TIOCOUTQ, &value));
    printf("%d\n", value);
    unsigned device = 0;
    RESULT(ioctl(master, TIOCGDEV, &device));
    CHECK(major(device) == 136 && minor(device) == (unsigned)number);
    RESULT(ioctl(slave, TIOCGSOFTCAR, &value));
    printf("%d\n", value);
    value = 1;
    RESULT(ioctl(slave, TIOCSSOFTCAR, &value));
    RESULT(ioctl(slave, TIOCGSOFTCAR, &value));
    printf("%d\n", value);
    RESULT(ioctl(slave, TIOCMGET, &value));
    RESULT(ioctl(slave, TIOCGSERIAL, &value));
    RESULT(ioctl(slave, 0x5499, &value));
    RESULT(ioctl(slave, TIOCGETD, NULL));
    RESULT(ioctl(slave, TCGETS, NULL));
    RESULT(ioctl(slave, TIOCGPGRP, &value));
    RESULT(ioctl(slave, TIOCGSID, &value));
    RESULT(ioctl(master, TIOCGPGRP, &value));
    printf("%d\n", value);
    RESULT(ioctl(master, TIOCGSID, &value));
    RESULT(ioctl(slave, TIOCNOTTY));
    unsigned char old[18] = {0};
    RESULT(ioctl(slave, TCGETA, old));
    show("termio", (char *)old, 18);
    old[8 - 2] = 0;
    RESULT(ioctl(slave, TCSETA, old));
    struct termios settings;
    RESULT(tcgetattr(master, &settings));
    printf("%o\n", settings.c_lflag);
    settings.c_cflag = B9600 | CS7 | PARENB;
    RESULT(tcsetattr(master, TCSANOW, &settings));
    RESULT(tcgetattr(slave, &settings));
    printf("%o %u %u\n", settings.c_cflag, cfgetispeed(&settings) == B9600, cfgetospeed(&settings) == B9600);
    unsigned extended[11] = {0};
    RESULT(ioctl(slave, GET_SETTINGS_2, extended));
    printf("%u %u\n", extended[9], extended[10]);
    extended[2] = OTHER_SPEED | CS8;
    extended[9] = 1234;
    extended[10] = 5678;
    RESULT(ioctl(slave, SET_SETTINGS_2, extended));
    RESULT(ioctl(slave, GET_SETTINGS_2, extended));
    printf("%o %u %u\n", extended[2], extended[9], extended[10]);
    struct termios lock;
    memset(&lock, 0, sizeof lock);
    lock.c_lflag = ECHO;
    RESULT(ioctl(slave, TIOCSLCKTRMIOS, &lock));
    RESULT(tcgetattr(slave, &settings));
    settings.c_lflag ^= ECHO | ICANON;
    RESULT(tcsetattr(slave, TCSANOW, &settings));
    tcflag_t wanted = settings.c_lflag;
    RESULT(tcgetattr(slave, &settings));
    printf("%o\n", settings.c_lflag ^ wanted);
    close_pair();
    RESULT(access(path, F_OK));
    CHECK(listed(path + 9) == 0);
}

static int events(int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT | POLLPRI, 0};
    poll(&one, 1, 20);
    return one.revents & ~POLLOUT ? one.revents : (usleep(20000), poll(&one, 1, 0), one.revents);
}

static void packets(void) {
    puts("-- packets");
    open_pair();
    int on = 1;
    RESULT(ioctl(master, TIOCGPKT, &on));
    printf("%d\n", on);
    on = 1;
    RESULT(ioctl(master, TIOCPKT, &on));
    RESULT(ioctl(slave, TIOCPKT, &on));
    RESULT(write(slave, "abc", 3));
    once("data", master, 100);
    RESULT(tcflush(slave, TCIFLUSH));
    printf("%x\n", events(master));
    once("flushed", master, 100);
    RESULT(tcflush(slave, TCIOFLUSH));
    once("flushed", master, 100);
    RESULT(tcflow(slave, TCOOFF));
    once("stopped", master, 100);
    RESULT(tcflow(slave, TCOON));
    once("started", master, 100);
    modes(0, IXON, 0, 0, 0, 0);
    once("no flow", master, 100);
    modes(IXON, 0, 0, 0, 0, 0);
    once("flow", master, 100);
    modes(0, 0, 0, 0, EXTPROC, 0);
    once("settings", master, 100);
    modes(0, 0, 0, 0, 0, EXTPROC);
    once("settings", master, 100);
    type("\x03");
    once("signal", master, 100);
    once("signal", master, 100);
    on = 0;
    RESULT(ioctl(master, TIOCPKT, &on));
    RESULT(write(slave, "abc", 3));
    once("plain", master, 100);
    RESULT(ioctl(master, TIOCSIG, SIGUSR1));
    RESULT(ioctl(master, TIOCSIG, 99));
    RESULT(ioctl(master, TIOCSIG, SIGINT));
    close_pair();
}

static void readiness(void) {
    puts("-- readiness");
    open_pair();
    printf("%x %x\n", events(master), events(slave));
    type("abc");
    printf("%x %x\n", events(master), events(slave));
    type("\n");
    printf("%x %x\n", events(master), events(slave));
    all("screen", master);
    all("read", slave);
    int poll_fd = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLET, {.fd = slave}};
    RESULT(epoll_ctl(poll_fd, EPOLL_CTL_ADD, slave, &event));
    RESULT(epoll_wait(poll_fd, &event, 1, 0));
    type("x\n");
    RESULT(epoll_wait(poll_fd, &event, 1, 1000));
    printf("%x\n", event.events);
    all("read", slave);
    close(poll_fd);

    puts("-- the slave is closed");
    RESULT(write(slave, "last", 4));
    close(slave);
    usleep(20000);
    printf("%x\n", events(master));
    all("screen", master);
    once("nobody", master, 100);
    printf("%x\n", events(master));
    RESULT(write(master, "kept\n", 5));
    char path[64];
    ptsname_r(master, path, sizeof path);
    SUCCESS(slave = open(path, O_RDWR | O_NOCTTY));
    once("kept", slave, 100);
    printf("%x\n", events(master));

    puts("-- the master is closed");
    RESULT(write(master, "lost\n", 5));
    soon(slave);
    close(master);
    printf("%x\n", events(slave));
    char byte;
    int value;
    struct termios settings;
    RESULT(read(slave, &byte, 1));
    RESULT(write(slave, "x", 1));
    RESULT(tcgetattr(slave, &settings));
    RESULT(ioctl(slave, TIOCGPGRP, &value));
    RESULT(ioctl(slave, TIOCSPGRP, &value));
    RESULT(isatty(slave));
    RESULT(open(path, O_RDWR | O_NOCTTY));
    close(slave);

    puts("-- hanging up");
    open_pair();
    ptsname_r(master, path, sizeof path);
    RESULT(ioctl(slave, TIOCVHANGUP));
    RESULT(read(slave, &byte, 1));
    RESULT(write(slave, "x", 1));
    int again;
    SUCCESS(again = open(path, O_RDWR | O_NOCTTY));
    RESULT(write(again, "alive", 5));
    all("screen", master);
    close(again);
    close_pair();

    puts("-- hanging up on who reads");
    open_pair();
    ptsname_r(master, path, sizeof path);
    pthread_t reader;
    pthread_create(&reader, NULL, read_for_ever, NULL);
    usleep(30000);
    RESULT(ioctl(slave, TIOCVHANGUP));
    SUCCESS(again = open(path, O_RDWR | O_NOCTTY));
    type("for the next\n");
    void *found;
    pthread_join(reader, &found);
    printf("read meanwhile: %ld\n", (long)found);
    once("read", again, 100);
    close(again);
    close_pair();

    puts("-- typed by a call");
    open_pair();
    RESULT(ioctl(slave, TIOCSTI, "z"));
    RESULT(ioctl(slave, TIOCSTI, "\n"));
    once("read", slave, 100);
    all("screen", master);
    close_pair();

    puts("-- for one only");
    open_pair();
    ptsname_r(master, path, sizeof path);
    RESULT(ioctl(slave, TIOCEXCL));
    RESULT(ioctl(slave, TIOCGEXCL, &value));
    printf("%d\n", value);
    RESULT(ioctl(slave, TIOCNXCL));
    RESULT(ioctl(slave, TIOCGEXCL, &value));
    printf("%d\n", value);
    close_pair();
}

static void many(void) {
    puts("-- many");
    enum { COUNT = 200 };
    static int masters[COUNT], slaves[COUNT];
    int good = 0;
    for (int index = 0; index < COUNT; index++)
        if (!openpty(&masters[index], &slaves[index], NULL, NULL, NULL))
            good++;
    printf("%d\n", good);
    char byte = 0;
    good = 0;
    for (int index = 0; index < COUNT; index++)
        good += write(slaves[index], "m", 1) == 1 && soon(masters[index]) && read(masters[index], &byte, 1) == 1;
    printf("%d\n", good);
    for (int index = 0; index < COUNT; index++)
        close(masters[index]), close(slaves[index]);
}

int main(void) {
    signal(SIGINT, SIG_IGN);
    names();
    packets();
    readiness();
    many();
    return 0;
}
