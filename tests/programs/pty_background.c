/* Jobs at a terminal, as shells make them: foreground and background, stopping and going on, orphans, the leader's end. */
#include "pty.h"
#include <signal.h>
#include <sys/wait.h>

/* A job of the session waits here until it is told to go on. */
static int go[2];

static void wait_for_go(void) {
    char byte;
    if (read(go[0], &byte, 1) < 0)
        perror("go");
}

static void status_of(const char *what, pid_t child) {
    int status = 0;
    pid_t found = waitpid(child, &status, WUNTRACED | WCONTINUED);
    printf("%s: ", what);
    if (found != child)
        printf("%s\n", strerror(errno));
    else if (WIFSTOPPED(status))
        printf("stopped by %s\n", strsignal(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        puts("goes on");
    else if (WIFSIGNALED(status))
        printf("killed by %s\n", strsignal(WTERMSIG(status)));
    else
        printf("exited with %d\n", WEXITSTATUS(status));
}

static pid_t job(int (*work)(void), int in_background) {
    fflush(stdout);
    if (pipe(go))
        perror("pipe");
    pid_t child = fork();
    if (child == 0) {
        wait_for_go();
        exit(work());
    }
    setpgid(child, child);
    if (!in_background)
        tcsetpgrp(slave, child);
    if (write(go[1], "g", 1) != 1)
        perror("go");
    close(go[0]);
    close(go[1]);
    return child;
}

static int reads(void) {
    char line[100];
    long length = read(slave, line, sizeof line);
    return length < 0 ? errno == EIO ? 99 : 98 : (int)length;
}

static int writes(void) {
    return write(slave, "written\n", 8) == 8 ? 0 : errno == EIO ? 99 : 98;
}

static int ignores_and_reads(void) {
    signal(SIGTTIN, SIG_IGN);
    return reads();
}

static int changes(void) {
    struct termios settings;
    tcgetattr(slave, &settings);
    return tcsetattr(slave, TCSANOW, &settings) ? 98 : 0;
}

static int ignores_and_changes(void) {
    signal(SIGTTOU, SIG_IGN);
    return changes();
}

static int takes_foreground(void) {
    return tcsetpgrp(slave, getpgrp()) ? 98 : 0;
}

static int sleeps(void) {
    sleep(20);
    return 97;
}

static void foreground(void) {
    tcsetpgrp(slave, getpgrp());
}

static void session(void) {
    setsid();
    RESULT(ioctl(slave, TIOCSCTTY, 0));
    CHECK(tcgetpgrp(slave) == getpid() && tcgetsid(slave) == getpid());
    signal(SIGTTOU, SIG_IGN); /* as shells do */

    puts("-- in the foreground");
    pid_t child = job(reads, 0);
    type("line\n");
    status_of("reads", child);
    foreground();
    child = job(sleeps, 0);
    type("\x03");
    status_of("interrupted", child);
    foreground();
    child = job(sleeps, 0);
    type("\x1a");
    status_of("suspended", child);
    foreground();
    kill(-child, SIGCONT);
    status_of("continued", child);
    kill(-child, SIGTERM);
    status_of("ended", child);
    all("screen", master);

    puts("-- in the background");
    signal(SIGTTOU, SIG_DFL);
    child = job(reads, 1);
    status_of("reads", child);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(slave, child);
    kill(-child, SIGCONT);
    status_of("continued", child);
    type("more\n");
    status_of("reads", child);
    foreground();
    signal(SIGTTOU, SIG_DFL);
    child = job(ignores_and_reads, 1);
    status_of("reads and ignores", child);
    child = job(writes, 1);
    status_of("writes", child);
    modes(0, 0, 0, 0, TOSTOP, 0);
    child = job(writes, 1);
    status_of("writes with TOSTOP", child);
    kill(-child, SIGKILL);
    status_of("killed", child);
    modes(0, 0, 0, 0, 0, TOSTOP);
    child = job(changes, 1);
    status_of("changes modes", child);
    kill(-child, SIGKILL);
    status_of("killed", child);
    child = job(ignores_and_changes, 1);
    status_of("changes modes and ignores", child);
    child = job(takes_foreground, 1);
    status_of("takes the foreground", child);
    kill(-child, SIGKILL);
    status_of("killed", child);
    all("screen", master);
}

/* A process whose parent has ended: nobody would let it go on, so it is not stopped. */
static int orphan(void) {
    int result[2];
    if (pipe(result))
        return 98;
    if (fork() == 0) {
        setpgid(0, 0);
        pid_t parent = getppid();
        if (fork() == 0) {
            while (getppid() == parent || kill(getpgrp(), 0) == 0)
                usleep(1000);
            char answer = (char)reads();
            if (write(result[1], &answer, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(result[1]);
    char answer = 0;
    wait(NULL);
    if (read(result[0], &answer, 1) != 1)
        return 97;
    return answer;
}

static int gave_up(void) {
    int first = ioctl(slave, TIOCNOTTY);
    int second = open("/dev/tty", O_RDWR);
    return (first == 0) + 2 * (second < 0 && errno == ENXIO);
}

int main(void) {
    open_pair();
    fflush(stdout);
    pid_t leader = fork();
    if (leader == 0) {
        session();
        printf("orphan: %d\n", orphan());
        fflush(stdout);
        pid_t child = job(gave_up, 1);
        status_of("gives the terminal up", child);
        CHECK(open("/dev/tty", O_RDWR) >= 0);
        puts("-- the leader ends");
        /* Somebody in the foreground is told. */
        child = job(sleeps, 0);
        printf("leader ends\n");
        fflush(stdout);
        _exit(3);
    }
    status_of("leader", leader);
    usleep(50000);
    CHECK(tcgetpgrp(master) <= 0);
    char path[64];
    ptsname_r(master, path, sizeof path);
    RESULT(write(slave, "nobody's\n", 9));
    all("screen", master);
    return 0;
}
