/*
 * Calls that few programs make: whether two threads share something, giving up what is shared, running programs by
 * descriptors, words to wait at by the newer calls, memory of a process that was killed.
 */
#include "check.h"
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#define SIZE_U32 2
#define PRIVATE 128

/* fork, with nothing in the buffer that would be printed twice. */
static pid_t split(void) {
    fflush(stdout);
    return fork();
}

static long compare(pid_t one, pid_t other, int kind, unsigned long first, unsigned long second) {
    return syscall(SYS_kcmp, one, other, kind, first, second);
}

static int same_file(int one, int other) { return compare(getpid(), getpid(), KCMP_FILE, one, other) == 0; }

static int waits(void *unused) {
    (void)unused;
    pause();
    return 0;
}

static void comparing(void) {
    pid_t own = getpid();
    int one = open("/dev/null", O_RDONLY), other = open("/dev/null", O_RDONLY), copy = dup(one);
    CHECK(same_file(one, copy));
    CHECK(!same_file(one, other));
    long forth = compare(own, own, KCMP_FILE, one, other), back = compare(own, own, KCMP_FILE, other, one);
    CHECK((forth == 1 && back == 2) || (forth == 2 && back == 1));
    RESULT(compare(own, own, KCMP_FILE, one, 999));
    RESULT(compare(own, own, KCMP_FILE, -1, one));
    RESULT(compare(own, own, KCMP_VM, 0, 0));
    RESULT(compare(own, own, 8, 0, 0));
    RESULT(compare(own, own, -1, 0, 0));
    RESULT(compare(0, own, KCMP_VM, 0, 0));
    RESULT(compare(own, -1, KCMP_VM, 0, 0));
    RESULT(compare(own, 4000000, 99, 0, 0));
    static char stack[65536];
    static const struct {
        const char *name;
        int flags;
    } kinds[] = {{"a copy", 0}, {"memory", CLONE_VM}, {"files", CLONE_FILES}, {"place", CLONE_FS},
                 {"all", CLONE_VM | CLONE_FILES | CLONE_FS}};
    for (unsigned index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        fflush(stdout);
        pid_t child = clone(waits, stack + sizeof stack, kinds[index].flags | SIGCHLD, NULL);
        printf("%s: memory %d files %d place %d handlers %d semaphores %d file %d\n", kinds[index].name,
               compare(own, child, KCMP_VM, 0, 0) == 0, compare(own, child, KCMP_FILES, 0, 0) == 0,
               compare(own, child, KCMP_FS, 0, 0) == 0, compare(own, child, KCMP_SIGHAND, 0, 0) == 0,
               compare(own, child, KCMP_SYSVSEM, 0, 0) == 0, compare(own, child, KCMP_FILE, one, copy) == 0);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    pid_t child = split();
    if (child == 0) {
        setresuid(1000, 1000, 1000);
        RESULT(compare(getpid(), getppid(), KCMP_VM, 0, 0));
        RESULT(compare(getpid(), getppid(), 99, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* Files that event polls watch. */
static void comparing_polled(void) {
    pid_t own = getpid();
    int poll = epoll_create1(0), ends[2];
    if (pipe(ends) != 0)
        return;
    struct epoll_event event = {.events = EPOLLIN};
    struct kcmp_epoll_slot slot = {.efd = poll, .tfd = ends[0]};
    unsigned long place = (unsigned long)&slot;
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], place));
    RESULT(epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event));
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], place));
    CHECK(compare(own, own, KCMP_EPOLL_TFD, ends[1], place) == compare(own, own, KCMP_FILE, ends[1], ends[0]));
    RESULT(compare(own, own, KCMP_EPOLL_TFD, 999, place));
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], 8));
    slot.toff = 1;
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], place));
    slot = (struct kcmp_epoll_slot){.efd = ends[0], .tfd = ends[0]};
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], place));
    slot.efd = 999;
    RESULT(compare(own, own, KCMP_EPOLL_TFD, ends[0], place));
    /* A descriptor that means another file meanwhile is still watched as what it was. */
    slot.efd = poll;
    int kept = dup(ends[0]);
    dup2(ends[1], ends[0]);
    RESULT(compare(own, own, KCMP_EPOLL_TFD, kept, place));
    RESULT(epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event));
    int first = compare(own, own, KCMP_EPOLL_TFD, kept, place) == 0;
    slot.toff = 1;
    CHECK(first + (compare(own, own, KCMP_EPOLL_TFD, kept, place) == 0) == 1);
    close(kept);
    close(ends[0]);
    close(ends[1]);
    close(poll);
}

/* A child with a number of its maker's choice. */
static pid_t child_with(pid_t *number, unsigned long count) {
    struct clone_args arguments = {
        .exit_signal = SIGCHLD, .set_tid = (unsigned long)number, .set_tid_size = count};
    pid_t wanted = (unsigned long)number > 4096 ? *number : 0;
    fflush(stdout);
    pid_t child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(getpid() == wanted ? 3 : 4);
    int status = 0;
    if (child > 0 && (child != wanted || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3))
        puts("another number");
    return child;
}

static void chosen_numbers(void) {
    /* The host may have given out a few of these. */
    pid_t number = 30001, child;
    while ((child = child_with(&number, 1)) < 0 && errno == EEXIST && number < 30100)
        number++;
    CHECK(child == number);
    CHECK(child_with(&number, 1) == number);
    pid_t zombie = split();
    if (zombie == 0)
        _exit(0);
    siginfo_t information;
    waitid(P_PID, zombie, &information, WEXITED | WNOWAIT);
    number = zombie;
    RESULT(child_with(&number, 1));
    waitpid(zombie, NULL, 0);
    CHECK(child_with(&number, 1) == zombie);
    number = getpid();
    RESULT(child_with(&number, 1));
    for (unsigned index = 0; index < 3; index++) {
        number = (pid_t[]){0, -1, 1 << 22}[index];
        RESULT(child_with(&number, 1));
    }
    number = 30001;
    RESULT(child_with(&number, 0));
    RESULT(child_with(&number, 33));
    RESULT(child_with(NULL, 1));
    RESULT(child_with((pid_t *)8, 1));
    child = split();
    if (child == 0) {
        setresuid(1000, 1000, 1000);
        RESULT(child_with(&number, 1));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static int shared_descriptor, go[2];

static int shares(void *unused) {
    (void)unused;
    char byte;
    (void)!read(go[0], &byte, 1);
    RESULT(fcntl(shared_descriptor, F_GETFD));
    RESULT(umask(0));
    RESULT(unshare(CLONE_FILES));
    RESULT(unshare(CLONE_FS));
    close(shared_descriptor);
    umask(022);
    fflush(stdout);
    return 0;
}

/* In one table with its parent until it asks for one of its own: what it closes stays open there. */
static int closes(void *unused) {
    (void)unused;
    RESULT(syscall(SYS_close_range, shared_descriptor, shared_descriptor, 2 /* CLOSE_RANGE_UNSHARE */));
    RESULT(fcntl(shared_descriptor, F_GETFD));
    fflush(stdout);
    return 0;
}

static void *sleeps(void *unused) {
    (void)unused;
    char byte;
    (void)!read(go[0], &byte, 1);
    return NULL;
}

static void unsharing(void) {
    RESULT(unshare(0));
    RESULT(unshare(CLONE_SYSVSEM));
    RESULT(unshare(CLONE_THREAD));
    RESULT(unshare(CLONE_SIGHAND));
    RESULT(unshare(CLONE_VM));
    RESULT(unshare(CLONE_VFORK));
    RESULT(unshare(CLONE_PARENT_SETTID));
    RESULT(unshare(SIGCHLD));
    (void)!pipe(go);
    static char stack[65536];
    fflush(stdout);
    pid_t child = clone(shares, stack + sizeof stack, CLONE_FILES | CLONE_FS | SIGCHLD, NULL);
    shared_descriptor = open("/dev/null", O_RDONLY);
    umask(077);
    fflush(stdout);
    /* It has a copy of our memory, so the number has to be the next one there as well. */
    (void)!write(go[1], "x", 1);
    waitpid(child, NULL, 0);
    RESULT(fcntl(shared_descriptor, F_GETFD));
    RESULT(umask(022));
    fflush(stdout);
    child = clone(closes, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL);
    waitpid(child, NULL, 0);
    RESULT(fcntl(shared_descriptor, F_GETFD));
    pthread_t thread;
    pthread_create(&thread, NULL, sleeps, NULL);
    RESULT(unshare(CLONE_THREAD));
    RESULT(unshare(CLONE_VM));
    RESULT(unshare(CLONE_SIGHAND));
    RESULT(unshare(CLONE_SYSVSEM));
    (void)!write(go[1], "x", 1);
    pthread_join(thread, NULL);
    RESULT(setns(999, 0));
    RESULT(setns(0, 0));
    RESULT(setns(go[0], CLONE_NEWNET));
    child = split();
    if (child == 0) {
        setresuid(1000, 1000, 1000);
        RESULT(unshare(CLONE_NEWUTS));
        RESULT(unshare(CLONE_NEWNS));
        RESULT(unshare(CLONE_NEWNET | CLONE_FILES));
        RESULT(clone(waits, stack + sizeof stack, CLONE_NEWIPC | SIGCHLD, NULL));
        RESULT(clone(waits, stack + sizeof stack, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void execute(const char *how, int directory, const char *path, int flags) {
    printf("%s: ", how);
    fflush(stdout);
    pid_t child = split();
    if (child == 0) {
        char *arguments[] = {"first", "second", NULL}, *environment[] = {"VARIABLE=value", NULL};
        syscall(SYS_execveat, directory, path, arguments, environment, flags);
        printf("-1, %s\n", strerror(errno));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void make_script(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    (void)!write(fd, text, strlen(text));
    close(fd);
    chmod(path, 0755);
}

static void executing(void) {
    char place[] = "/dev/shm/calls-XXXXXX";
    if (!mkdtemp(place) || chdir(place))
        return;
    make_script("script", "#!/bin/echo text\n");
    (void)!symlink("/proc/self/exe", "link");
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    int program = open("/bin/echo", O_RDONLY | O_CLOEXEC), path_only = open("/bin/echo", O_PATH);
    dup2(directory, 100);
    dup2(open("script", O_RDONLY), 101);
    int closed = fcntl(101, F_DUPFD_CLOEXEC, 102);
    int closed_directory = fcntl(100, F_DUPFD_CLOEXEC, 110);
    execute("a descriptor", program, "", AT_EMPTY_PATH);
    execute("a descriptor that only names", path_only, "", AT_EMPTY_PATH);
    execute("without the flag", program, "", 0);
    execute("a directory", directory, "", AT_EMPTY_PATH);
    execute("an absolute path", -1, "/bin/echo", 0);
    execute("no directory", -1, "echo", 0);
    execute("no descriptor", 999, "", AT_EMPTY_PATH);
    execute("not in a directory", program, "echo", 0);
    execute("an unknown flag", program, "", AT_EMPTY_PATH | AT_SYMLINK_FOLLOW);
    execute("an unknown flag and no path", program, NULL, AT_SYMLINK_FOLLOW);
    execute("a link", AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW);
    execute("a script in a directory", 100, "script", 0);
    execute("a script by its descriptor", 101, "", AT_EMPTY_PATH);
    execute("a script in the working directory", AT_FDCWD, "script", 0);
    execute("a script by a descriptor that is closed", closed, "", AT_EMPTY_PATH);
    execute("a script below a descriptor that is closed", closed_directory, "script", 0);
    execute("an absolute script", closed_directory, "/dev/shm/none", 0);
    unlink("script");
    unlink("link");
    (void)!chdir("/");
    rmdir(place);
}

static unsigned words[2];

static void *waits_at_word(void *mask) {
    long result = syscall(SYS_futex_wait, &words[0], 7UL, (unsigned long)mask, SIZE_U32 | PRIVATE, NULL, 0);
    return (void *)result;
}

/* Wakes until as many were woken as that: threads take a while to begin to wait. */
static long wake(unsigned *word, unsigned long mask, int count) {
    long woken = 0;
    while (woken < count) {
        long more = syscall(SYS_futex_wake, word, mask, count - woken, SIZE_U32 | PRIVATE);
        if (more < 0)
            return more;
        woken += more;
        usleep(1000);
    }
    return woken;
}

struct waiter {
    unsigned long value, address;
    unsigned flags, reserved;
};

static void words_to_wait_at(void) {
    words[0] = 7;
    RESULT(syscall(SYS_futex_wake, &words[0], 1UL, 1, 0));
    RESULT(syscall(SYS_futex_wake, &words[0], 1UL, 1, 3));
    RESULT(syscall(SYS_futex_wake, &words[0], 1UL, 1, SIZE_U32 | 64));
    RESULT(syscall(SYS_futex_wake, &words[0], 1UL << 32, 1, SIZE_U32));
    RESULT(syscall(SYS_futex_wake, &words[0], 0UL, 1, SIZE_U32));
    RESULT(syscall(SYS_futex_wake, &words[0], 1UL, 0, SIZE_U32));
    RESULT(syscall(SYS_futex_wake, (char *)words + 1, 1UL, 1, SIZE_U32));
    RESULT(syscall(SYS_futex_wake, &words[0], ~0U, 1, SIZE_U32));
    RESULT(syscall(SYS_futex_wait, &words[0], 8UL, ~0U, SIZE_U32, NULL, 0));
    RESULT(syscall(SYS_futex_wait, &words[0], 1UL << 40, ~0U, SIZE_U32, NULL, 0));
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, 0UL, SIZE_U32, NULL, 0));
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, ~0UL, SIZE_U32, NULL, 0));
    struct timespec past = {0, 1}, wrong = {0, -1};
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, ~0U, SIZE_U32, &past, CLOCK_MONOTONIC));
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, ~0U, SIZE_U32, &past, CLOCK_REALTIME));
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, ~0U, SIZE_U32, &past, CLOCK_BOOTTIME));
    RESULT(syscall(SYS_futex_wait, &words[0], 7UL, ~0U, SIZE_U32, &wrong, CLOCK_MONOTONIC));
    pthread_t one, other;
    void *result;
    pthread_create(&one, NULL, waits_at_word, (void *)1UL);
    RESULT(wake(&words[0], 3, 1));
    pthread_join(one, &result);
    printf("woken: %ld\n", (long)result);
    pthread_create(&one, NULL, waits_at_word, (void *)(unsigned long)~0U);
    pthread_create(&other, NULL, waits_at_word, (void *)(unsigned long)~0U);
    struct waiter both[2] = {{7, (unsigned long)&words[0], SIZE_U32 | PRIVATE, 0}, {0, (unsigned long)&words[1], SIZE_U32 | PRIVATE, 0}};
    RESULT(syscall(SYS_futex_requeue, both, 1, 1, 1));
    RESULT(syscall(SYS_futex_requeue, NULL, 0, 1, 1));
    RESULT(syscall(SYS_futex_requeue, both, 0, -1, 1));
    RESULT(syscall(SYS_futex_requeue, both, 0, 1, -1));
    both[0].value = 8;
    RESULT(syscall(SYS_futex_requeue, both, 0, 1, 1));
    both[0].value = 7;
    both[1].reserved = 1;
    RESULT(syscall(SYS_futex_requeue, both, 0, 1, 1));
    both[1].reserved = 0;
    long moved = 0;
    while (moved < 2) {
        long more = syscall(SYS_futex_requeue, both, 0, 0, 2);
        if (more < 0)
            break;
        moved += more;
        usleep(1000);
    }
    printf("moved: %ld\n", moved);
    RESULT(wake(&words[1], ~0U, 2));
    pthread_join(one, &result);
    pthread_join(other, &result);
}

static void giving_memory_back(void) {
    int ready[2];
    (void)!pipe(ready);
    fflush(stdout);
    pid_t child = split();
    if (child == 0) {
        (void)!write(ready[1], "x", 1);
        pause();
    }
    char byte;
    (void)!read(ready[0], &byte, 1);
    int process = syscall(SYS_pidfd_open, child, 0);
    RESULT(syscall(SYS_process_mrelease, process, 1));
    RESULT(syscall(SYS_process_mrelease, 0, 0));
    RESULT(syscall(SYS_process_mrelease, 999, 0));
    RESULT(syscall(SYS_process_mrelease, process, 0));
    kill(child, SIGKILL);
    long result = syscall(SYS_process_mrelease, process, 0);
    CHECK(result == 0 || (result == -1 && errno == ESRCH));
    waitpid(child, NULL, 0);
    RESULT(syscall(SYS_process_mrelease, process, 0));
}

static void others(void) {
    RESULT(syscall(SYS_restart_syscall));
    struct stat status;
    stat("/dev/shm", &status);
    struct {
        int blocks;
        unsigned long files;
        char rest[16];
    } statistics;
    memset(&statistics, 0xff, sizeof statistics);
    /* The device in the kernel's old form of 16 bits and more. */
    RESULT(syscall(SYS_ustat, (unsigned)status.st_dev, &statistics));
    CHECK(statistics.blocks > 0 && statistics.files > 0 && statistics.rest[0] == 0);
    RESULT(syscall(SYS_ustat, 0xffffffff, &statistics));
    RESULT(syscall(SYS_ustat, (unsigned)status.st_dev, NULL));
    pid_t child = split();
    if (child == 0) {
        setresuid(1000, 1000, 1000);
        RESULT(syscall(SYS_vhangup));
        RESULT(syscall(SYS_reboot, 1, 2, 3, NULL));
        RESULT(syscall(SYS_syslog, 5, NULL, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    /* As root only the magic numbers stand between this and the end of the machine: these are wrong. */
    RESULT(syscall(SYS_reboot, 1, 2, 0, NULL));
    RESULT(syscall(SYS_reboot, 0xfee1dead, 1, 0, NULL));
    RESULT(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x99999999, NULL));
    RESULT(syscall(SYS_syslog, 99, NULL, 0));
    RESULT(syscall(SYS_syslog, 3, NULL, 10));
    char byte;
    RESULT(syscall(SYS_syslog, 3, &byte, -1));
    RESULT(syscall(SYS_syslog, 3, &byte, 0));
    RESULT(syscall(SYS_syslog, 8, NULL, 0));
    RESULT(syscall(SYS_syslog, 8, NULL, 9));
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOFBF, 65536);
    static const struct {
        const char *name;
        void (*body)(void);
    } parts[] = {{"comparing", comparing}, {"polled", comparing_polled}, {"numbers", chosen_numbers},
                 {"unsharing", unsharing}, {"executing", executing},
                 {"words", words_to_wait_at}, {"memory", giving_memory_back}, {"others", others}};
    for (unsigned index = 0; index < sizeof parts / sizeof *parts; index++) {
        if (count > 1 && strcmp(words[1], parts[index].name))
            continue;
        printf("== %s\n", parts[index].name);
        fflush(stdout);
        parts[index].body();
        fflush(stdout);
    }
    return 0;
}
