/*
 * Where processes meet at the wrong moment: who is told when a group is orphaned, terminals that come late or go early,
 * signals for groups whose members fork, threads that made children and end, files of signals in other processes.
 */
#include "pty.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

/* Counters that processes have in common. */
static volatile int *common;

static void say(const char *text) {
    printf("-- %s\n", text);
    fflush(stdout);
}

static void how(const char *what, pid_t child) {
    int status = 0;
    pid_t found = waitpid(child, &status, 0);
    if (found != child)
        printf("%s: not waited for\n", what);
    else if (WIFSIGNALED(status))
        printf("%s: killed by %d\n", what, WTERMSIG(status));
    else
        printf("%s: exited with %d\n", what, WEXITSTATUS(status));
}

static void forever(void) {
    for (;;)
        pause();
}

/* Waits until a number in common is at least so large, for some seconds at most. */
static int reached(int index, int least) {
    for (int turn = 0; turn < 5000 && common[index] < least; turn++)
        usleep(1000);
    return common[index] >= least;
}

static int is_stopped(pid_t process) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    for (int turn = 0; turn < 5000; turn++) {
        int file = open(path, O_RDONLY);
        if (file < 0)
            return 0;
        long length = read(file, text, sizeof text - 1);
        close(file);
        if (length > 0) {
            text[length] = 0;
            char *state = strrchr(text, ')');
            if (state && state[2] == 'T')
                return 1;
        }
        usleep(1000);
    }
    return 0;
}

static void on_hang_up(int number) {
    common[number == SIGHUP ? 2 : 3]++;
}

/*
 * A process with a child that is stopped ends. What becomes of that depends on its session and group. The child says on a
 * pipe how it was told.
 */
static void leaves_stopped(const char *what, int own_session, int own_group, int middle_leads) {
    memset((void *)common, 0, 4096);
    fflush(stdout);
    pid_t middle = fork();
    if (middle == 0) {
        if (middle_leads)
            setsid();
        pid_t child = fork();
        if (child == 0) {
            if (own_session)
                setsid();
            if (own_group)
                setpgid(0, 0);
            signal(SIGHUP, on_hang_up);
            signal(SIGCONT, on_hang_up);
            common[0] = getpid();
            common[1] = 1;
            while (common[4] == 0)
                usleep(1000);
            _exit(7);
        }
        if (own_group)
            setpgid(child, child);
        reached(1, 1);
        kill(child, SIGSTOP);
        int status;
        waitpid(child, &status, WUNTRACED);
        _exit(0);
    }
    how("the middle", middle);
    pid_t child = common[0];
    /* Either it was told to hang up and to go on, or it still does not move. */
    usleep(20000);
    int moved = common[2] || common[3];
    printf("%s: %s\n", what, moved ? "told" : is_stopped(child) ? "still stopped" : "neither");
    common[4] = 1;
    kill(child, SIGCONT);
    how("the child", child);
    printf("hung up %d\n", common[2]);
}

static void orphaned_groups(void) {
    say("orphaned groups");
    RESULT(prctl(PR_SET_CHILD_SUBREAPER, 1));
    leaves_stopped("another group of the session", 0, 1, 1);
    leaves_stopped("the same group, which nobody looked after before", 0, 0, 1);
    leaves_stopped("another session", 1, 0, 0);
    RESULT(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

/* A process that forks and ends, and whose child does the same, and so on, can be killed by its group. */
static void runaways(int rounds) {
    say("runaways");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int escaped = 0, others = 0;
    for (int round = 0; round < rounds; round++) {
        fflush(stdout);
        pid_t group = fork();
        if (group == 0) {
            setpgid(0, 0);
            common[5] = 0;
            for (;;) {
                pid_t child = fork();
                if (child > 0)
                    _exit(0);
                common[5]++;
            }
        }
        setpgid(group, group);
        for (int turn = 0; turn < 1000 && common[5] < 3 + round % 5; turn++)
            usleep(100);
        int number = round % 2 ? SIGKILL : SIGTERM;
        kill(-group, number);
        /* Until nobody is left; whoever escaped would go on and on. */
        for (int turn = 0;; turn++) {
            int status;
            pid_t ended = waitpid(-1, &status, 0);
            if (ended < 0)
                break;
            if (WIFSIGNALED(status))
                others += WTERMSIG(status) != number;
            if (turn == 2000) {
                escaped++;
                kill(-group, SIGKILL);
            }
        }
    }
    printf("escaped %d, ended otherwise %d\n", escaped, others);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void late_terminal(void) {
    say("a terminal that comes late");
    memset((void *)common, 0, 4096);
    fflush(stdout);
    pid_t leader = fork();
    if (leader == 0) {
        setsid();
        open_pair();
        pid_t early = fork();
        if (early == 0) {
            reached(1, 1);
            int tty = open("/dev/tty", O_RDWR);
            printf("forked before: %s\n", tty < 0 ? strerror(errno) : "has it");
            RESULT(tcgetpgrp(slave));
            fflush(stdout);
            /* It is not held back from reading as those in the background are. */
            setpgid(0, 0);
            type("line\n");
            once("it reads", slave, 100);
            fflush(stdout);
            _exit(0);
        }
        RESULT(ioctl(slave, TIOCSCTTY, 0));
        fflush(stdout);
        common[1] = 1;
        how("the early one", early);
        fflush(stdout);
        pid_t late = fork();
        if (late == 0) {
            SUCCESS(open("/dev/tty", O_RDWR));
            CHECK(tcgetpgrp(slave) == getppid());
            fflush(stdout);
            _exit(0);
        }
        how("the late one", late);
        /* The number of a process will do that leads no group. */
        late = fork();
        if (late == 0)
            forever();
        signal(SIGTTOU, SIG_IGN);
        RESULT(tcsetpgrp(slave, late));
        CHECK(tcgetpgrp(slave) == late);
        kill(late, SIGKILL);
        how("that process", late);
        fflush(stdout);
        _exit(0);
    }
    how("the leader", leader);
}

/* The other end is closed: the leader is told, and when it ends, whoever was in the foreground. */
static void early_end(void) {
    say("a terminal that goes early");
    memset((void *)common, 0, 4096);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(stdout);
    pid_t leader = fork();
    if (leader == 0) {
        setsid();
        open_pair();
        ioctl(slave, TIOCSCTTY, 0);
        pid_t job = fork();
        if (job == 0) {
            setpgid(0, 0);
            common[1] = 1;
            forever();
        }
        common[0] = job;
        setpgid(job, job);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, job);
        reached(1, 1);
        signal(SIGHUP, SIG_IGN);
        close(master);
        usleep(20000);
        common[2] = kill(job, 0) == 0 && waitpid(job, NULL, WNOHANG) == 0;
        _exit(3);
    }
    how("the leader", leader);
    printf("the job lived until then: %d\n", common[2]);
    how("the job", common[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void signals_as_files(void) {
    say("files of signals");
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    int file = signalfd(-1, &set, SFD_CLOEXEC);
    memset((void *)common, 0, 4096);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct pollfd one = {file, POLLIN, 0};
        common[1] = 1;
        int ready = poll(&one, 1, 5000);
        struct signalfd_siginfo found = {0};
        long length = ready == 1 ? read(file, &found, sizeof found) : 0;
        common[1] = 2;
        /* And once more without asking before. */
        long second = ready == 1 ? read(file, &found, sizeof found) : 0;
        _exit(length == sizeof found && second == length && found.ssi_signo == SIGUSR1 ? 0 : 1);
    }
    for (int turn = 1; turn <= 2; turn++) {
        reached(1, turn);
        usleep(20000);
        kill(child, SIGUSR1);
    }
    alarm(20);
    how("a child that reads its signals", child);
    alarm(0);
    RESULT(read(file, NULL, 0));
    close(file);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static pid_t made;

static void *make_child(void *argument) {
    int ready[2];
    pipe(ready);
    made = fork();
    if (made == 0) {
        if (argument)
            prctl(PR_SET_PDEATHSIG, SIGUSR2);
        write(ready[1], "r", 1);
        forever();
    }
    char byte;
    read(ready[0], &byte, 1);
    close(ready[0]);
    close(ready[1]);
    int status;
    RESULT(waitpid(made, &status, WNOHANG | __WNOTHREAD));
    common[1] = 1;
    reached(1, 2);
    return NULL;
}

static void *only_wait(void *argument) {
    common[2] = syscall(SYS_gettid);
    reached(3, 1);
    return argument;
}

static void children_of_threads(void) {
    say("children of threads");
    memset((void *)common, 0, 4096);
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, NULL, make_child, NULL);
    reached(1, 1);
    int status;
    RESULT(waitpid(made, &status, WNOHANG | __WNOTHREAD));
    RESULT(waitpid(made, &status, WNOHANG));
    common[1] = 2;
    pthread_join(thread, NULL);
    /* It is ours now. */
    for (int turn = 0; turn < 1000 && waitpid(made, &status, WNOHANG | __WNOTHREAD) < 0; turn++)
        usleep(1000);
    RESULT(waitpid(made, &status, WNOHANG | __WNOTHREAD));
    kill(made, SIGKILL);
    how("a child that has lost its thread", made);
    common[1] = 0;
    pthread_create(&thread, NULL, make_child, (void *)common);
    reached(1, 1);
    common[1] = 2;
    pthread_join(thread, NULL);
    alarm(20);
    how("a child that hears of it", made);
    alarm(0);
    pthread_create(&thread, NULL, only_wait, NULL);
    while (common[2] == 0)
        usleep(1000);
    RESULT(setpgid(common[2], 0));
    RESULT(setpgid(0, 0) == 0 || errno == EPERM);
    common[3] = 1;
    pthread_join(thread, NULL);
}

/* What a program has used before it runs another one counts for the process. */
static void use_and_execute(void) {
    say("use across programs");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        enum { SIZE = 24 << 20 };
        char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(memory, SIZE, MADV_NOHUGEPAGE);
        memset(memory, 1, SIZE);
        execl("/proc/self/exe", "process_corners", "used", NULL);
        _exit(127);
    }
    int status;
    struct rusage usage;
    wait4(child, &status, 0, &usage);
    printf("exited with %d, memory %d, faults %d\n", WEXITSTATUS(status), usage.ru_maxrss >= 20 << 10, usage.ru_minflt >= 6000);
}

/* How a program ends; what it says on its way comes before. */
static void execute(int descriptor, const char *path) {
    char *arguments[] = {"process_corners", "used", NULL}, *none[] = {NULL};
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (descriptor >= 0)
            syscall(SYS_execveat, descriptor, "", arguments, none, AT_EMPTY_PATH);
        else
            execve(path, arguments, none);
        printf("%s\n", strerror(errno));
        fflush(stdout);
        _exit(9);
    }
    how(descriptor >= 0 ? path : "by its name", child);
}

static void write_own_code_to(int descriptor) {
    static char code[1 << 16];
    int own = open("/proc/self/exe", O_RDONLY);
    long length;
    while ((length = read(own, code, sizeof code)) > 0)
        if (write(descriptor, code, length) != length)
            perror("write");
    close(own);
}

/* Nobody runs what is being written, and nobody writes what runs. */
static void busy_programs(void) {
    say("busy programs");
    char path[64], script[80];
    int ends[2], more[2];
    snprintf(path, sizeof path, "/tmp/busy-%d", getpid());
    snprintf(script, sizeof script, "/tmp/busy-script-%d", getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    write_own_code_to(file);
    execute(-1, path);
    close(file);
    if (pipe(ends) || pipe(more))
        perror("pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[0], 0);
        dup2(more[1], 1);
        execl(path, "process_corners", "waits", NULL);
        _exit(9);
    }
    char byte;
    RESULT(read(more[0], &byte, 1));
    RESULT(open(path, O_WRONLY));
    RESULT(open(path, O_RDWR | O_TRUNC));
    RESULT(open(path, O_RDONLY | O_TRUNC));
    RESULT(truncate(path, 100));
    RESULT(truncate("/proc/self/exe", 100));
    SUCCESS(file = open(path, O_RDONLY));
    close(file);
    if (write(ends[1], "x", 1) != 1)
        perror("write");
    /* It has ended, although nobody has waited for it. */
    siginfo_t information;
    RESULT(waitid(P_PID, child, &information, WEXITED | WNOWAIT));
    SUCCESS(file = open(path, O_WRONLY));
    close(file);
    waitpid(child, NULL, 0);
    execute(-1, path);
    /* What has no name may be run by whoever made it. */
    SUCCESS(file = memfd_create("busy", 0));
    write_own_code_to(file);
    execute(file, "nameless");
    close(file);
    /* The same holds for scripts. */
    file = open(script, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    dprintf(file, "#!%s used\n", path);
    execute(-1, script);
    close(file);
    execute(-1, script);
    unlink(path);
    unlink(script);
    for (int end = 0; end < 2; end++) {
        close(ends[end]);
        close(more[end]);
    }
}

static void *spin(void *argument) {
    while (common[1] == 0)
        ++*(volatile long *)argument;
    return NULL;
}

/* A process that stops and goes on again and again, with threads that come and go, is what it was said to be last. */
static void stop_and_go(int rounds) {
    say("stop and go");
    memset((void *)common, 0, 4096);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        static long count[2];
        for (;;) {
            pthread_t threads[2];
            common[1] = 0;
            for (int index = 0; index < 2; index++)
                pthread_create(&threads[index], NULL, spin, &count[index]);
            common[2]++;
            usleep(300);
            common[1] = 1;
            for (int index = 0; index < 2; index++)
                pthread_join(threads[index], NULL);
        }
    }
    int wrong = 0, moved = 0;
    for (int round = 0; round < rounds; round++) {
        int status = 0;
        usleep(round * 37 % 500);
        kill(child, SIGSTOP);
        wrong += waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status);
        usleep(2000);
        int before = common[2];
        usleep(2000);
        moved += common[2] != before;
        kill(child, SIGCONT);
        wrong += waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status);
        /* Both at once: it goes on in the end. */
        kill(child, SIGSTOP);
        kill(child, SIGCONT);
        before = common[2];
        int goes = 0;
        for (int turn = 0; turn < 5000 && !goes; turn++) {
            goes = common[2] != before;
            usleep(goes ? 0 : 1000);
        }
        wrong += !goes;
        while (waitpid(child, &status, WUNTRACED | WCONTINUED | WNOHANG) > 0)
            ;
    }
    printf("wrong %d, moved %d\n", wrong, moved);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    kill(child, SIGKILL);
    how("killed while it was stopped", child);
}

/* Choices that there is only one of, and a number for what is no process. */
static void *numbered(void *number) {
    *(pid_t *)number = gettid();
    CHECK(kill(gettid(), 0) == 0);
    RESULT(syscall(SYS_pidfd_open, gettid(), 0));
    return NULL;
}

static void choices(void) {
    int value = 0;
    RESULT(prctl(PR_GET_TIMING));
    RESULT(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL));
    RESULT(prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP));
    RESULT(prctl(PR_GET_TSC, &value));
    printf("%d\n", value);
    RESULT(prctl(PR_GET_TSC, NULL));
    RESULT(prctl(PR_SET_TSC, PR_TSC_ENABLE));
    RESULT(prctl(PR_SET_TSC, 3));
    pthread_t thread;
    pid_t number;
    pthread_create(&thread, NULL, numbered, &number);
    pthread_join(thread, NULL);
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    unsigned long long hint = 77;
    RESULT(fcntl(file, F_GET_RW_HINT, &hint));
    printf("%llu\n", hint);
    hint = RWH_WRITE_LIFE_EXTREME;
    RESULT(fcntl(file, F_SET_RW_HINT, &hint));
    hint++;
    RESULT(fcntl(file, F_SET_RW_HINT, &hint));
    RESULT(fcntl(file, F_GET_RW_HINT, &hint));
    printf("%llu\n", hint);
    RESULT(fcntl(file, F_SET_RW_HINT, NULL));
    close(file);
}

/* A program is run beside a thread that sends signals all the time: none of them keeps it from that. */
static void *sends(void *argument) {
    for (;;)
        kill(getpid(), SIGURG);
    return argument;
}

static void on_signal(int signal) {
    (void)signal;
}

static void execute_beside_signals(int rounds) {
    int executed = 0;
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            char *arguments[] = {"/proc/self/exe", "used", NULL};
            struct sigaction action = {.sa_handler = on_signal};
            sigaction(SIGURG, &action, NULL);
            pthread_create(&thread, NULL, sends, NULL);
            usleep(1000);
            execv(arguments[0], arguments);
            _exit(1);
        }
        int status;
        waitpid(child, &status, 0);
        executed += WIFEXITED(status) && WEXITSTATUS(status) == 5;
    }
    printf("executed beside signals: %d of %d\n", executed, rounds);
}

/* A process is told as stopped when none of its threads runs any more. */
static void *counts(void *argument) {
    for (;;)
        ++*(volatile long *)argument;
    return NULL;
}

static void stopped_as_a_whole(int rounds) {
    volatile long *counter = (volatile long *)common + 8;
    int ran = 0, again = 0;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, counts, (void *)counter);
        pthread_create(&thread, NULL, counts, (void *)(counter + 8));
        for (;;)
            pause();
    }
    while (!counter[0] || !counter[8])
        usleep(1000);
    for (int round = 0; round < rounds; round++) {
        int status;
        kill(child, SIGSTOP);
        waitpid(child, &status, WUNTRACED);
        long before = counter[0] + counter[8];
        usleep(500);
        ran += counter[0] + counter[8] != before;
        kill(child, SIGCONT);
        waitpid(child, &status, WCONTINUED);
        again += WIFCONTINUED(status);
        usleep(500);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("ran although they were stopped: %d, went on: %d of %d\n", ran, again, rounds);
}

/* The time of a process counts that of a thread once, also while it ends. */
static void *works_and_ends(void *argument) {
    for (volatile int i = 0; i < 30000; i++)
        ;
    return argument;
}

static void *starts_workers(void *argument) {
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, works_and_ends, NULL);
        pthread_join(thread, NULL);
    }
    *(volatile int *)argument = 1;
    return NULL;
}

static void time_goes_on(void) {
    volatile int done = 0;
    int back = 0;
    long long last = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, starts_workers, (void *)&done);
    while (!done) {
        struct timespec time;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        long long now = time.tv_sec * 1000000000LL + time.tv_nsec;
        back += now < last;
        last = now;
    }
    pthread_join(thread, NULL);
    printf("processor time went back: %d times\n", back);
}

/* A user who has too many processes runs no other program; one at a time notices only then. */
static void too_many(void) {
    puts("-- too many of a user");
    int ends[2], ready[2];
    char byte = 0;
    RESULT(pipe(ends));
    RESULT(pipe(ready));
    fflush(stdout);
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            close(ends[1]);
            if (setresuid(23456, 23456, 23456) || write(ready[1], "", 1) != 1)
                _exit(9);
            _exit(read(ends[0], &byte, 1) != 0);
        }
    for (int i = 0; i < 2; i++)
        RESULT(read(ready[0], &byte, 1));
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {1, 1};
        RESULT(setrlimit(RLIMIT_NPROC, &limit));
        RESULT(setresuid(23456, 23456, 23456));
        RESULT(execl("/proc/self/exe", "corners", "used", NULL));
        RESULT(fork() < 0);
        fflush(stdout);
        _exit(3);
    }
    int status;
    waitpid(child, &status, 0);
    printf("%x\n", status);
    close(ready[0]);
    close(ready[1]);
    close(ends[0]);
    close(ends[1]);
    while (wait(&status) > 0)
        printf("%x\n", status);
}

int main(int count, char **arguments) {
    if (count >= 2 && !strcmp(arguments[1], "used"))
        return 5;
    if (count == 2 && !strcmp(arguments[1], "waits")) {
        char byte;
        return write(1, "r", 1) != 1 || read(0, &byte, 1) != 1;
    }
    common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    choices();
    too_many();
    orphaned_groups();
    runaways(20);
    late_terminal();
    early_end();
    signals_as_files();
    children_of_threads();
    use_and_execute();
    busy_programs();
    execute_beside_signals(20);
    stopped_as_a_whole(30);
    time_goes_on();
    stop_and_go(10);
    return 0;
}
