/*
 * A storm of processes: they fork, run other programs, end, wait, stop, signal each other, share pipes, terminals and watches,
 * with threads that do the same at the same time. What chance decides comes from a seed. In the end nobody may be left, and in
 * a machine of ours no memory either.
 *
 * process_storm [ROUNDS [SEED]]
 */
#include "pty.h"
#include "meminfo.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static uint32_t seed = 1;
/* This program: /proc/self/exe leads nowhere when the first thread has ended. */
static char self[4096];

static unsigned chance(unsigned below) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* A status as one number: what was given to exit, or 256 and a signal. */
static int status_of(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            return -1;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void tree(int depth) {
    pid_t children[3];
    int count = 1 + chance(3);
    for (int index = 0; index < count; index++) {
        children[index] = fork();
        if (children[index] == 0) {
            seed += index + 1;
            if (depth)
                tree(depth - 1);
            _exit(index);
        }
    }
    /* Some are left to whoever takes orphans, some are killed. */
    for (int index = 0; index < count; index++)
        switch (chance(4)) {
        case 0:
            kill(children[index], SIGKILL);
            break;
        case 1:
            break;
        default:
            status_of(children[index]);
        }
}

static void *forks(void *argument) {
    for (int turn = 0; turn < 4; turn++) {
        pid_t child = fork();
        if (child == 0)
            _exit(3);
        if (child > 0)
            waitpid(child, NULL, 0);
    }
    return argument;
}

static void *executes(void *argument) {
    usleep(chance(1500));
    execl(self, "process_storm", "status", (char *)argument, NULL);
    return NULL;
}

static void *ends(void *argument) {
    usleep(chance(1500));
    _exit(atoi(argument));
}

static void *starts_threads(void *argument) {
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, forks, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return argument;
}

/* One thread runs another program, or ends the process, while others fork and start threads. */
static int threads_and_end(void) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, starts_threads, NULL);
        pthread_create(&thread, NULL, forks, NULL);
        pthread_create(&thread, NULL, chance(2) ? executes : ends, "11");
        if (chance(3) == 0)
            pthread_exit(NULL); /* the first thread goes first */
        for (;;)
            pause();
    }
    return status_of(child) != 11;
}

/* The parent of a process that borrows its memory is killed. */
static int borrowed(void) {
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = vfork();
        if (grandchild == 0) {
            if (chance(2))
                kill(getppid(), SIGKILL);
            execl(self, "process_storm", "status", "4", NULL);
            _exit(5);
        }
        _exit(status_of(grandchild));
    }
    int status = status_of(child);
    return status != 4 && status != 256 + SIGKILL;
}

static int piped(void) {
    enum { TOTAL = 100000 };
    int ends_of[2];
    if (pipe(ends_of))
        return 1;
    pid_t writer = fork();
    if (writer == 0) {
        close(ends_of[0]);
        char bytes[1000];
        for (int at = 0; at < TOTAL; at += sizeof bytes) {
            memset(bytes, at / 1000, sizeof bytes);
            if (write(ends_of[1], bytes, sizeof bytes) != sizeof bytes)
                _exit(1);
        }
        _exit(0);
    }
    close(ends_of[1]);
    int until = chance(2) ? TOTAL : (int)chance(TOTAL), wrong = 0;
    char bytes[777];
    long length;
    for (int at = 0; at < until && (length = read(ends_of[0], bytes, sizeof bytes)) > 0; at += length)
        for (int index = 0; index < length; index++)
            wrong += bytes[index] != (char)((at + index) / 1000);
    close(ends_of[0]);
    int status = status_of(writer);
    return wrong || (status != 0 && status != 256 + SIGPIPE);
}

/* A session with a terminal that goes away while its processes use it. */
static int terminals(void) {
    open_pair();
    pid_t leader = fork();
    if (leader == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        pid_t job = fork();
        if (job == 0) {
            close(master);
            setpgid(0, 0);
            char bytes[64];
            for (;;)
                if (read(slave, bytes, sizeof bytes) <= 0 && write(slave, "out\n", 4) < 0)
                    _exit(0);
        }
        setpgid(job, job);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, job);
        type("some\n");
        usleep(chance(1000));
        switch (chance(4)) {
        case 0:
            type("\x1a"); /* stops it: then it is hung up */
            break;
        case 1:
            type("\x03");
            break;
        case 2:
            ioctl(slave, TIOCNOTTY);
            break;
        default:
            ioctl(slave, TIOCVHANGUP);
        }
        _exit(0);
    }
    int status = status_of(leader);
    close_pair();
    return status != 0 && status != 256 + SIGHUP;
}

static char place[64];

static void *changes_names(void *argument) {
    char one[128], two[128];
    snprintf(one, sizeof one, "%s/one", place);
    snprintf(two, sizeof two, "%s/two", place);
    for (int turn = 0; turn < 60; turn++) {
        close(open(one, O_CREAT | O_WRONLY, 0600));
        rename(one, two);
        unlink(two);
        mkdir(one, 0700);
        rmdir(one);
    }
    return argument;
}

static int watches(void) {
    snprintf(place, sizeof place, "/tmp/process_storm.%d", getpid());
    if (mkdir(place, 0700))
        return 1;
    int file = inotify_init1(IN_NONBLOCK);
    pthread_t threads[2];
    for (int index = 0; index < 2; index++)
        pthread_create(&threads[index], NULL, changes_names, NULL);
    pid_t child = fork();
    if (child == 0)
        changes_names(NULL), _exit(0);
    char path[128], events[4096];
    snprintf(path, sizeof path, "%s/one", place);
    for (int turn = 0; turn < 100; turn++) {
        int watch = inotify_add_watch(file, chance(2) ? place : path, IN_ALL_EVENTS | (chance(4) ? 0 : IN_ONESHOT));
        if (chance(2) && watch > 0)
            inotify_rm_watch(file, watch);
        while (read(file, events, sizeof events) > 0)
            ;
    }
    for (int index = 0; index < 2; index++)
        pthread_join(threads[index], NULL);
    int status = status_of(child);
    if (chance(2))
        close(file);
    snprintf(path, sizeof path, "%s/one", place);
    unlink(path), rmdir(path);
    snprintf(path, sizeof path, "%s/two", place);
    unlink(path), rmdir(path);
    return rmdir(place) || status;
}

static volatile long *first, *second;
static volatile int done;

static void *writes_in_order(void *argument) {
    for (long number = 1; !done; number++) {
        first[0] = number;
        second[0] = number;
    }
    return argument;
}

/* What a thread writes while another forks arrives in the order in which it was written. */
static int order_of_writes(void) {
    first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    second = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chance(2)) {
        volatile long *other = first;
        first = second;
        second = other;
    }
    pthread_t thread;
    done = 0;
    pthread_create(&thread, NULL, writes_in_order, NULL);
    int wrong = 0;
    for (int turn = 0; turn < 15; turn++) {
        pid_t child = fork();
        if (child == 0) {
            long now = second[0];
            sched_yield();
            _exit(first[0] < now || first[0] > now + 1 || second[0] != now);
        }
        wrong += status_of(child) != 0;
    }
    done = 1;
    pthread_join(thread, NULL);
    return wrong;
}

static void on_signal(int number) {
    (void)number;
}

/* A group that forks is signalled, stopped and let go on, and killed. */
static int signalled(void) {
    signal(SIGUSR1, on_signal);
    pid_t group = fork();
    if (group == 0) {
        setpgid(0, 0);
        for (;;) {
            pid_t child = fork();
            if (child == 0) {
                usleep(chance(300));
                _exit(0);
            }
            waitpid(-1, NULL, chance(2) ? 0 : WNOHANG);
        }
    }
    setpgid(group, group);
    static const int numbers[] = {SIGSTOP, SIGCONT, SIGUSR1, SIGCONT, SIGTSTP, SIGCONT};
    for (int turn = 0; turn < 20; turn++) {
        usleep(chance(400));
        kill(-group, numbers[chance(6)]);
        waitpid(group, NULL, WUNTRACED | WCONTINUED | WNOHANG);
    }
    kill(-group, SIGKILL);
    return status_of(group) != 256 + SIGKILL;
}

static int trees(void) {
    tree(2);
    return 0;
}

static int (*const deeds[])(void) = {trees,   threads_and_end, borrowed,        piped,
                                     terminals, watches,       order_of_writes, signalled};
enum { DEEDS = sizeof deeds / sizeof *deeds };

static int wrong_deeds[DEEDS];

/* Each deed by a process of its own, some at the same time. */
static void storm(void) {
    pid_t doers[DEEDS];
    int which[DEEDS];
    for (int index = 0; index < DEEDS; index++) {
        which[index] = chance(DEEDS);
        unsigned own = chance(1 << 24);
        doers[index] = fork();
        if (doers[index] == 0) {
            seed = own;
            signal(SIGTTOU, SIG_IGN);
            alarm(60);
            _exit(deeds[which[index]]() != 0);
        }
        if (index % 3 == 2)
            for (int before = index - 2; before <= index; before++)
                wrong_deeds[which[before]] += status_of(doers[before]) != 0;
    }
    for (int index = DEEDS - DEEDS % 3; index < DEEDS; index++)
        wrong_deeds[which[index]] += status_of(doers[index]) != 0;
    /* Orphans are ours. */
    alarm(60);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    alarm(0);
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "status") == 0)
        return atoi(arguments[2]);
    readlink("/proc/self/exe", self, sizeof self - 1);
    int rounds = count > 1 ? atoi(arguments[1]) : 4;
    seed = count > 2 ? atoi(arguments[2]) : 7;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int round = 0; round < (rounds + 1) / 2; round++)
        storm();
    long unused = number_in("MemFree:") + number_in("KernelHeap:"), heap = number_in("Slab:");
    long stacks = number_in("KernelStack:");
    for (int round = 0; round < rounds; round++)
        storm();
    long lost = unused - number_in("MemFree:") - number_in("KernelHeap:"), grown = number_in("Slab:") - heap;
    /* Stacks are kept for a while, at most 128: how many depends on how many threads there were at one time. */
    stacks = number_in("KernelStack:") - stacks;
    for (int index = 0; index < DEEDS; index++)
        printf("wrong %d: %d\n", index, wrong_deeds[index]);
    /* On the host others use memory, too. */
    int is_ours = number_in("KernelHeap:") >= 0;
    if (is_ours && (lost - stacks > 256 || stacks > 5120 || grown > 64))
        printf("%ld KiB less are free, %ld KiB more in stacks, %ld KiB more of the heap are used\n", lost, stacks, grown);
    errno = 0;
    RESULT(waitpid(-1, NULL, 0));
    return 0;
}
