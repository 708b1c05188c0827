/* The line discipline of a pseudo-terminal: editing, echo, changes on the way in and out, modes without lines. */
#include "pty.h"
#include <sys/time.h>

static long milliseconds(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void lines(void) {
    puts("-- lines");
    open_pair();
    struct termios settings;
    RESULT(tcgetattr(slave, &settings));
    printf("%o %o %o %o %u\n", settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag, settings.c_line);
    show("characters", (char *)settings.c_cc, 17);
    echoed("one\rtwo\nthr");
    int count = -1;
    RESULT(ioctl(slave, FIONREAD, &count));
    printf("%d\n", count);
    once("read", slave, 2);
    once("read", slave, 100);
    once("read", slave, 100);
    RESULT(ioctl(slave, FIONREAD, &count));
    printf("%d\n", count);
    echoed("ee\x04");
    once("read", slave, 100);
    echoed("\x04");
    once("end of input", slave, 100);
    echoed("abc\x04" "def\n");
    once("read", slave, 3);
    once("read", slave, 100);
    RESULT(fcntl(slave, F_SETFL, O_NONBLOCK));
    once("nothing", slave, 100);
    RESULT(fcntl(slave, F_SETFL, 0));
    close_pair();
}

static void editing(void) {
    puts("-- editing");
    open_pair();
    echoed("ab\x7f\x7f\x7f");
    echoed("two words, here\x17\x17");
    echoed("\x15");
    echoed("\x01\x02\x7f");
    echoed("x\x16\x03y\x16\x7fz\n");
    once("read", slave, 100);
    echoed("abc\x12");
    echoed("\x15");
    printed("prompt> ");
    echoed("a\tb\t\x7f\x7f\x7f");
    echoed("\t\t\x7f\x7f");
    echoed("\x15");
    echoed("a\x01\tb\t\x7f\x7f\x7f\x7f\x7f");
    echoed("\n");
    once("read", slave, 100);

    puts("-- echo");
    modes(0, 0, 0, 0, ECHOPRT, 0);
    echoed("abc\x7f\x7fx\n");
    once("read", slave, 100);
    echoed("abc\x7f\x15");
    echoed("\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, 0, ECHOPRT | ECHOE);
    echoed("ab\x7f\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, 0, ECHOKE);
    echoed("ab\x15q\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, ECHOE, ECHOK);
    echoed("ab\x15q\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, ECHOK | ECHOKE, ECHOCTL);
    echoed("\x01y\x7f\x7fz\x15\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, ECHONL, ECHO);
    echoed("secret\x7f\n");
    once("read", slave, 100);
    modes(0, 0, 0, 0, ECHO | ECHOCTL, ECHONL);

    puts("-- other characters");
    character(VEOL, ';');
    character(VEOL2, ':');
    echoed("a;b:c\n");
    once("read", slave, 100);
    once("read", slave, 100);
    once("read", slave, 100);
    character(VERASE, 'x');
    character(VKILL, 'k');
    character(VEOF, 'q');
    echoed("abxckdeq");
    once("read", slave, 100);
    modes(0, 0, 0, 0, 0, IEXTEN);
    echoed("a:b\x16\x17\n");
    once("read", slave, 100);
    close_pair();

    puts("-- several bytes");
    open_pair();
    modes(IUTF8, 0, 0, 0, 0, 0);
    echoed("\xc3\xa4\xe2\x82\xac\x7f\x7f");
    echoed("\xc3\xa4\xe2\x82\xac\tz\x7f\x7f\x7f\n");
    once("read", slave, 100);
    modes(0, IUTF8, 0, 0, 0, 0);
    echoed("\xc3\xa4\x7f\n");
    once("read", slave, 100);
    close_pair();
}

static void changes(void) {
    puts("-- changes of input");
    open_pair();
    modes(0, ICRNL, 0, 0, 0, ICANON | ECHO);
    type("a\rb\n");
    all("plain", slave);
    modes(INLCR, 0, 0, 0, 0, 0);
    type("a\rb\n");
    all("INLCR", slave);
    modes(IGNCR, INLCR, 0, 0, 0, 0);
    type("a\rb\n");
    all("IGNCR", slave);
    modes(ISTRIP | IUCLC, IGNCR, 0, 0, 0, 0);
    type("ABC\xc1\xff");
    all("ISTRIP IUCLC", slave);
    modes(PARMRK, ISTRIP | IUCLC, 0, 0, 0, 0);
    type("a\xff" "b");
    all("PARMRK", slave);
    modes(IUCLC, PARMRK, 0, 0, 0, 0);
    type("\xc0\xd7\xde");
    all("Latin-1", slave);
    modes(0, IUCLC, 0, 0, 0, 0);

    puts("-- changes of output");
    printed("a\nb\tc\r\n");
    modes(0, 0, XTABS, 0, 0, 0);
    printed("ab\tc\x08\x08\td\n\t|\n");
    modes(0, 0, OLCUC, XTABS, 0, 0);
    printed("abc\xe4\xdf\xf7\n");
    modes(0, 0, OCRNL, OLCUC | ONLCR, 0, 0);
    printed("a\rb\n");
    modes(0, 0, ONOCR, OCRNL, 0, 0);
    printed("\rab\r\r\n");
    modes(0, 0, ONLRET, 0, 0, 0);
    printed("ab\n\rc\n");
    modes(0, 0, 0, OPOST, 0, 0);
    printed("a\n\tb");
    close_pair();
}

static void switching(void) {
    puts("-- other modes with input there");
    open_pair();
    echoed("abc");
    modes(0, 0, 0, 0, 0, ICANON);
    once("read", slave, 2);
    modes(0, 0, 0, 0, ICANON, 0);
    once("read", slave, 100);
    echoed("xy");
    struct termios settings;
    tcgetattr(slave, &settings);
    RESULT(tcsetattr(slave, TCSAFLUSH, &settings));
    echoed("z\n");
    once("read", slave, 100);

    puts("-- flow");
    echoed("\x13");
    struct pollfd one = {slave, POLLOUT, 0};
    RESULT(poll(&one, 1, 0));
    RESULT(fcntl(slave, F_SETFL, O_NONBLOCK));
    RESULT(write(slave, "later", 5));
    echoed("ab");
    echoed("\x11");
    RESULT(poll(&one, 1, 0));
    modes(IXANY, 0, 0, 0, 0, 0);
    echoed("\x13");
    echoed("c");
    RESULT(tcflow(slave, TCOOFF));
    RESULT(poll(&one, 1, 0));
    echoed("\x11");
    RESULT(tcflow(slave, TCOON));
    all("screen", master);
    RESULT(tcflow(slave, TCIOFF));
    RESULT(tcflow(slave, TCION));
    all("screen", master);
    RESULT(tcflow(slave, 9));
    modes(0, IXON, 0, 0, 0, 0);
    echoed("\x13\x11\n");
    all("read", slave);

    puts("-- flushing");
    type("abc\n");
    soon(slave);
    RESULT(tcflush(slave, TCIFLUSH));
    all("read", slave);
    RESULT(tcflush(slave, 5));
    RESULT(tcdrain(slave));
    RESULT(tcsendbreak(slave, 0));
    close_pair();
}

static void without_lines(void) {
    puts("-- without lines");
    open_pair();
    modes(0, ICRNL | IXON, 0, OPOST, 0, ICANON | ECHO | ISIG | IEXTEN);
    type("\x03\x04\r\n\x7f");
    all("raw", slave);
    character(VMIN, 3);
    type("ab");
    struct pollfd one = {slave, POLLIN, 0};
    RESULT(poll(&one, 1, 20));
    type("c");
    RESULT(poll(&one, 1, 1000));
    once("three", slave, 100);
    type("defg");
    once("two", slave, 2);
    RESULT(fcntl(slave, F_SETFL, O_NONBLOCK));
    once("two more", slave, 100);
    once("none", slave, 100);
    character(VMIN, 0);
    once("at once", slave, 100);
    RESULT(fcntl(slave, F_SETFL, 0));
    once("at once", slave, 100);
    character(VTIME, 1);
    long start = milliseconds();
    char byte;
    RESULT(read(slave, &byte, 1));
    CHECK(milliseconds() - start >= 90 && milliseconds() - start < 2000);
    character(VMIN, 5);
    type("xy");
    once("after a while", slave, 100);
    CHECK(milliseconds() - start >= 180);
    RESULT(read(slave, &byte, 0));
    modes(0, 0, 0, 0, EXTPROC | ICANON, 0);
    type("ab\x7f\n\x04z");
    all("the other side does it", slave);
    close_pair();

    puts("-- long lines");
    open_pair();
    modes(0, 0, 0, 0, 0, ECHO);
    static char line[5000];
    memset(line, 'a', sizeof line);
    RESULT(write(master, line, sizeof line));
    soon(slave);
    usleep(20000);
    RESULT(write(master, "b\n", 2));
    soon(slave);
    long length = read(slave, line, sizeof line);
    printf("%ld, ends with %c%02x\n", length, line[length - 2], line[length - 1]);
    close_pair();

    puts("-- much");
    open_pair();
    modes(0, 0, 0, OPOST, 0, ICANON | ECHO);
    RESULT(fcntl(master, F_SETFL, O_NONBLOCK));
    long sent = 0, got = 0, now;
    for (int round = 0; round < 10; round++) {
        while ((now = write(master, line, sizeof line)) > 0)
            sent += now;
        while (soon(slave) && (now = read(slave, line, sizeof line)) > 0)
            got += now;
    }
    CHECK(sent == got && sent > 40000);
    close_pair();
}

int main(void) {
    lines();
    editing();
    changes();
    switching();
    without_lines();
    return 0;
}
