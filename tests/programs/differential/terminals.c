// Pseudo-terminals: settings, lines, echo, flow, and requests.
#include "framework.h"
#include <asm/termbits.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static const struct value terminal_requests[] = {
    NAMED("FIONREAD", 0x541b, 0), NAMED("FIONREAD", 0x541b, 0), NAMED("TIOCOUTQ", 0x5411, 0), NAMED("TIOCGWINSZ", 0x5413, 0),
    NAMED("TIOCGETD", 0x5424, 0), NAMED("TIOCGSID", 0x5429, 0), NAMED("TIOCGPGRP", 0x540f, 0), NAMED("TIOCGPKT", 0x80045438, 0),
    NAMED("TIOCGPTLCK", 0x80045439, 0), NAMED("TIOCGEXCL", 0x80045440, 0), NAMED("TIOCMGET", 0x5415, 0),
    NAMED("TIOCGSOFTCAR", 0x5419, 0), NAMED("TIOCNOTTY", 0x5422, 0), END_OF_VALUES,
};
static const struct value terminal_changes[] = {
    NAMED("TCFLSH", 0x540b, 0), NAMED("TCFLSH", 0x540b, 0), NAMED("TCXONC", 0x540a, 0), NAMED("TCSBRK", 0x5409, 0),
    NAMED("TCSBRKP", 0x5425, 0), NAMED("TIOCEXCL", 0x540c, 0), NAMED("TIOCNXCL", 0x540d, 0),
    END_OF_VALUES,
};
static const struct value pointed_changes[] = {
    NAMED("TIOCPKT", 0x5420, 0), NAMED("TIOCPKT", 0x5420, 0), NAMED("TIOCSPTLCK", 0x40045431, 0), NAMED("TIOCSSOFTCAR", 0x541a, 0),
    NAMED("TIOCSPGRP", 0x5410, 0), NAMED("TIOCSETD", 0x5423, 0), END_OF_VALUES,
};
static const struct value small_numbers[] = {ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(3), ONE_OF(4), END_OF_VALUES};
static const struct value setting_requests[] = {
    NAMED("TCSETS", 0x5402, 0), NAMED("TCSETS", 0x5402, 0), NAMED("TCSETSW", 0x5403, 0), NAMED("TCSETSF", 0x5404, 0), END_OF_VALUES,
};
static const struct value input_modes[] = {
    ONE_OF(0), MAYBE(ICRNL, 50), MAYBE(INLCR, 15), MAYBE(IGNCR, 15), MAYBE(IXON, 50), MAYBE(IXANY, 15), MAYBE(ISTRIP, 10),
    NAMED("IUCLC", 0x200, 10), MAYBE(IMAXBEL, 30), MAYBE(PARMRK, 10), MAYBE(IUTF8, 20), END_OF_VALUES,
};
static const struct value output_modes[] = {
    ONE_OF(0), MAYBE(OPOST, 70), MAYBE(ONLCR, 50), MAYBE(OCRNL, 15), MAYBE(ONOCR, 15), MAYBE(ONLRET, 10), NAMED("OLCUC", 2, 10),
    NAMED("XTABS", 0x1800, 20), END_OF_VALUES,
};
static const struct value local_modes[] = {
    ONE_OF(0), MAYBE(ICANON, 60), MAYBE(ISIG, 50), MAYBE(ECHO, 60), MAYBE(ECHOE, 50), MAYBE(ECHOK, 30), MAYBE(ECHONL, 15),
    MAYBE(NOFLSH, 15), MAYBE(ECHOCTL, 40), MAYBE(ECHOPRT, 10), MAYBE(ECHOKE, 40), MAYBE(IEXTEN, 60), MAYBE(TOSTOP, 10),
    MAYBE(EXTPROC, 4), END_OF_VALUES,
};
static const struct value minima[] = {ONE_OF(0), ONE_OF(1), ONE_OF(1), ONE_OF(5), END_OF_VALUES};
static const struct value texts[] = {
    NAMED("abc", 0, 0), NAMED("abc", 0, 0), NAMED("newline", 1, 0), NAMED("newline", 1, 0), NAMED("return", 2, 0), NAMED("end", 3, 0),
    NAMED("erase", 4, 0), NAMED("kill", 5, 0), NAMED("word_erase", 6, 0), NAMED("literal", 7, 0), NAMED("reprint", 8, 0),
    NAMED("tab", 9, 0), NAMED("stop", 10, 0), NAMED("start", 11, 0), NAMED("interrupt", 12, 0), NAMED("lines", 13, 0),
    NAMED("utf8", 14, 0), NAMED("upper", 15, 0), NAMED("long", 16, 0), NAMED("control", 17, 0), NAMED("end_in_line", 18, 0),
    END_OF_VALUES,
};
static const struct value terminal_lengths[] = {ONE_OF(1), ONE_OF(3), ONE_OF(100), ONE_OF(5000), ONE_OF(0), END_OF_VALUES};
static const struct value rows[] = {ONE_OF(0), ONE_OF(24), ONE_OF(65535), END_OF_VALUES};

static const char *const typed[] = {
    "abc", "\n", "\r", "\4", "\177", "\25", "\27", "\26\3", "\22", "\t", "\23", "\21", "\3", "one\ntwo\nthree", "\303\244\342\202\254",
    "XyZ_1 two", "0123456789012345678901234567890123456789 0123456789012345678901234567890123456789\n", "\1\2\33[A", "ab\4c\n",
};

int is_terminal(int fd) {
    struct termios settings;
    return fd >= 0 && ioctl(fd, TCGETS, &settings) == 0;
}

// A terminal takes what it has room for at that moment: more than a line is not written to it.
int is_too_much(int fd, long length) {
    if (!(length > 200 && is_terminal(fd)) && !is_beyond_window(fd, length))
        return 0;
    say(" not here");
    return 1;
}

// Both ends of a terminal of the fuzzer's own.
static int probe_master, probe_slave;

// Opens it, where there is a directory of terminals already.
void open_probe(void) {
    struct termios raw;
    int unlocked = 0;
    probe_master = openat(device_directory, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    ioctl(probe_master, TIOCSPTLCK, &unlocked);
    probe_slave = ioctl(probe_master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (probe_slave < 0 || ioctl(probe_slave, TCGETS, &raw)) {
        perror("can't open a terminal");
        exit(1);
    }
    raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ioctl(probe_slave, TCSETS, &raw);
}

// On Linux, workers carry what was sent, in the order in which it was. Once something that is sent now has arrived, they have
// begun with all that was sent before.
static void wait_for_workers(void) {
    struct pollfd polled = {probe_slave, POLLIN, 0};
    char byte = 'x';
    if (write(probe_master, &byte, 1) == 1 && poll(&polled, 1, 1000) == 1)
        read(probe_slave, &byte, 1);
}

void begin_terminals(void) {
    fchmodat(device_directory, "ptmx", 0666, 0);
    fchownat(device_directory, "ptmx", 0, 0, 0);
}

// A directory of terminals of its own, whose permissions scripts may change, with the options that it has in a machine.
void isolate_terminals(void) {
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,gid=5,mode=620")) {
        perror("can't make terminals of its own");
        exit(1);
    }
}

// Lets what was sent arrive, and its echoes.
void let_terminals_settle(void) {
    int any = 0;
    for (int round = 0; round < 3; round++) {
        for (int slot = 0; slot < SLOTS; slot++)
            if (is_terminal(slots[slot])) {
                struct pollfd polled = {slots[slot], POLLIN, 0};
                poll(&polled, 1, 0);
                any = 1;
            }
        if (!any)
            return;
        wait_for_workers();
        usleep(300);
    }
}

static void run_pty(struct argument *a) {
    int master = openat(device_directory, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), unlocked = 0;
    if (master < 0) {
        answer(master);
        return;
    }
    ioctl(master, TIOCSPTLCK, &unlocked);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
    answer(slave < 0 ? slave : 0);
    keep(&a[0], master);
    keep(&a[1], slave);
}

static void run_type(struct argument *a) {
    const char *text = typed[a[1].number];
    answer(syscall(SYS_write, descriptor(&a[0]), text, strlen(text)));
}

static void run_read_terminal(struct argument *a) {
    long result = syscall(SYS_read, descriptor(&a[0]), buffer, a[1].number);
    answer(result);
    if (result > 0)
        say_bytes(buffer, result);
    for (long index = 0; index < result && index < 40; index++)
        say(buffer[index] > 32 && buffer[index] < 127 ? " %c" : " %02x", buffer[index]);
}

static void run_settings(struct argument *a) {
    struct termios settings = {0};
    long result = syscall(SYS_ioctl, descriptor(&a[0]), TCGETS, &settings);
    if (result == 0) {
        settings.c_iflag = (tcflag_t)a[2].number;
        settings.c_oflag = (tcflag_t)a[3].number;
        settings.c_lflag = (tcflag_t)a[4].number;
        settings.c_cc[VMIN] = (cc_t)a[5].number;
        settings.c_cc[VTIME] = 0;
        result = syscall(SYS_ioctl, descriptor(&a[0]), a[1].number, &settings);
    }
    answer(result);
}

static void run_get_settings(struct argument *a) {
    struct termios settings = {0};
    long result = syscall(SYS_ioctl, descriptor(&a[0]), TCGETS, &settings);
    answer(result);
    if (result == 0) {
        say(" %x %x %x %x", settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag);
        say_bytes(settings.c_cc, 19);
    }
}

static void run_terminal_request(struct argument *a) {
    int numbers[8] = {0};
    long result = syscall(SYS_ioctl, descriptor(&a[0]), a[1].number, numbers);
    answer(result);
    // Sockets have an answer to one of these too.
    if (result == 0 && is_terminal(descriptor(&a[0])))
        say(" %x %x", numbers[0], numbers[1]);
}

static void run_terminal_change(struct argument *a) {
    answer(syscall(SYS_ioctl, descriptor(&a[0]), a[1].number, a[2].number));
}

static void run_pointed_change(struct argument *a) {
    int number = (int)a[2].number;
    // Other disciplines are modules of that kernel.
    if (a[1].number == 0x5423)
        number = number == 0 ? 0 : 1000;
    answer(syscall(SYS_ioctl, descriptor(&a[0]), a[1].number, &number));
}

static void run_window(struct argument *a) {
    struct winsize size = {(unsigned short)a[1].number, 80, 0, 0};
    answer(syscall(SYS_ioctl, descriptor(&a[0]), TIOCSWINSZ, &size));
}

static const struct call terminal_calls[] = {
    {"pty", "ss", run_pty, 10, 0, {NULL}},
    {"type", "fv", run_type, 30, 1, {texts}},
    {"read_terminal", "fv", run_read_terminal, 18, 1, {terminal_lengths}},
    {"settings", "fvvvvv", run_settings, 10, 0, {setting_requests, input_modes, output_modes, local_modes, minima}},
    {"get_settings", "f", run_get_settings, 3, 0, {NULL}},
    {"terminal_request", "fv", run_terminal_request, 8, 0, {terminal_requests}},
    {"terminal_change", "fvv", run_terminal_change, 6, 0, {terminal_changes, small_numbers}},
    {"pointed_change", "fvv", run_pointed_change, 5, 0, {pointed_changes, small_numbers}},
    {"window", "fv", run_window, 2, 0, {rows}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
