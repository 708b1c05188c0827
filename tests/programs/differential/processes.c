// Processes and threads: calls in a child or in a thread, how children end and are waited for, and credentials.
//
// `in_child N` and `in_thread N` run the next N lines of the script there, so that each of the other calls is also one of
// a forked process or of a thread. Credentials are changed in such children only.
#include "framework.h"
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const struct value line_counts[] = {ONE_OF(2), ONE_OF(5), ONE_OF(10), ONE_OF(20), END_OF_VALUES};
static const struct value child_numbers[] = {ONE_OF(0), ONE_OF(0), ONE_OF(1), ONE_OF(2), END_OF_VALUES};
static const struct value behaviours[] = {
    NAMED("exits_0", 0, 0), NAMED("exits_7", 1, 0), NAMED("exits_256", 2, 0), NAMED("killed", 3, 0), NAMED("terminated", 4, 0),
    NAMED("faults", 5, 0), NAMED("stops", 6, 0), NAMED("stops", 6, 0), NAMED("pauses", 7, 0), NAMED("pauses", 7, 0),
    NAMED("pauses", 7, 0), NAMED("has_child", 8, 0), END_OF_VALUES,
};
static const struct value exit_signals[] = {
    ONE_OF(SIGCHLD), ONE_OF(SIGCHLD), ONE_OF(SIGCHLD), ONE_OF(SIGCHLD), ONE_OF(0), ONE_OF(SIGUSR1), END_OF_VALUES,
};
static const struct value waited_for[] = {
    NAMED("any", -1, 0), NAMED("any", -1, 0), NAMED("group", 100, 0), ONE_OF(0), ONE_OF(0), ONE_OF(1), ONE_OF(2),
    NAMED("group_of_0", 10, 0), NAMED("init", 101, 0), END_OF_VALUES,
};
static const struct value wait_options[] = {
    ONE_OF(0), MAYBE(WNOHANG, 85), MAYBE(WUNTRACED, 40), MAYBE(WCONTINUED, 40), NAMED("WALL", __WALL, 15),
    NAMED("WCLONE", __WCLONE, 5), NAMED("WNOTHREAD", __WNOTHREAD, 5), NAMED("W_UNKNOWN", 0x100, 2), END_OF_VALUES,
};
static const struct value id_kinds[] = {
    NAMED("P_ALL", 0, 0), NAMED("P_PID", 1, 0), NAMED("P_PID", 1, 0), NAMED("P_PGID", 2, 0), NAMED("P_PIDFD", 3, 0),
    NAMED("P_UNKNOWN", 9, 0), END_OF_VALUES,
};
static const struct value waitid_options[] = {
    MAYBE(WEXITED, 75), MAYBE(WNOHANG, 85), MAYBE(WSTOPPED, 40), MAYBE(WCONTINUED, 40), MAYBE(WNOWAIT, 30),
    NAMED("WALL", __WALL, 15), NAMED("W_UNKNOWN", 0x100, 2), END_OF_VALUES,
};
static const struct value child_signals[] = {
    ONE_OF(SIGSTOP), ONE_OF(SIGSTOP), ONE_OF(SIGCONT), ONE_OF(SIGCONT), ONE_OF(SIGKILL), ONE_OF(SIGTERM), ONE_OF(SIGUSR1),
    ONE_OF(0), ONE_OF(65), END_OF_VALUES,
};
static const struct value groups_of[] = {NAMED("own", 10, 0), NAMED("own", 10, 0), NAMED("parent", 11, 0), ONE_OF(0), ONE_OF(1), ONE_OF(-1), END_OF_VALUES};
// Without PIDFD_THREAD, which Pith has not.
static const struct value pidfd_flags[] = {ONE_OF(0), ONE_OF(O_NONBLOCK), ONE_OF(4), END_OF_VALUES};
static const struct value niceness[] = {ONE_OF(0), ONE_OF(5), ONE_OF(19), ONE_OF(100), ONE_OF(-1), END_OF_VALUES};
static const struct value numbers_of_owners[] = {
    ONE_OF(0), ONE_OF(1000), ONE_OF(1000), ONE_OF(1001), ONE_OF(-1), ONE_OF(-1), END_OF_VALUES,
};
static const struct value group_counts[] = {ONE_OF(0), ONE_OF(1), ONE_OF(2), ONE_OF(-1), ONE_OF(100000), END_OF_VALUES};
static const struct value capability_sets[] = {
    ONE_OF(0), NAMED("CHOWN", 1, 40), NAMED("DAC_OVERRIDE", 2, 40), NAMED("DAC_READ_SEARCH", 4, 20), NAMED("FOWNER", 8, 30),
    NAMED("FSETID", 0x10, 30), NAMED("KILL", 0x20, 20), NAMED("SETGID", 0x40, 40), NAMED("SETUID", 0x80, 40),
    NAMED("SETPCAP", 0x100, 40), NAMED("SYS_ADMIN", 0x200000, 40), END_OF_VALUES,
};
static const struct value capability_numbers[] = {ONE_OF(0), ONE_OF(1), ONE_OF(3), ONE_OF(7), ONE_OF(21), ONE_OF(99), END_OF_VALUES};
static const struct value process_options[] = {
    ONE_OF(PR_SET_KEEPCAPS), ONE_OF(PR_GET_KEEPCAPS), ONE_OF(PR_SET_DUMPABLE), ONE_OF(PR_GET_DUMPABLE), ONE_OF(PR_GET_SECUREBITS),
    ONE_OF(PR_SET_SECUREBITS), ONE_OF(PR_CAPBSET_READ), ONE_OF(PR_CAPBSET_DROP), ONE_OF(PR_GET_NO_NEW_PRIVS),
    ONE_OF(PR_SET_NO_NEW_PRIVS), ONE_OF(PR_GET_TIMERSLACK), ONE_OF(PR_SET_TIMERSLACK), END_OF_VALUES,
};
static const struct value process_values[] = {ONE_OF(0), ONE_OF(1), ONE_OF(1), ONE_OF(2), ONE_OF(3), ONE_OF(0x10), ONE_OF(0x2f), ONE_OF(99), END_OF_VALUES};
static const struct value limited[] = {ONE_OF(RLIMIT_FSIZE), ONE_OF(RLIMIT_FSIZE), ONE_OF(RLIMIT_NOFILE), ONE_OF(RLIMIT_MEMLOCK),
    ONE_OF(99), END_OF_VALUES};
static const struct value limit_values[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(20), ONE_OF(4096), ONE_OF(10000), ONE_OF(65536), ONE_OF(-1), END_OF_VALUES,
};
static const struct value ambient_commands[] = {
    ONE_OF(PR_CAP_AMBIENT_RAISE), ONE_OF(PR_CAP_AMBIENT_LOWER), ONE_OF(PR_CAP_AMBIENT_IS_SET), ONE_OF(PR_CAP_AMBIENT_CLEAR_ALL),
    ONE_OF(9), END_OF_VALUES,
};

// Set in a child and in a thread that runs lines.
int is_child, is_thread;

#define CHILDREN 3
static pid_t children[CHILDREN];
// Whether they end once they go on.
static int ends_then[CHILDREN];

static pid_t child(const struct argument *argument) {
    return children[(unsigned long)argument->number % CHILDREN];
}

// ---- What children tell

// Holds what tells of children back until the call is done: of several signals with one number the first is told then, on
// both sides. Whether each came in time by itself would be chance.
static unsigned long hold_signals(void) {
    unsigned long held = 1UL << (SIGCHLD - 1) | 1UL << (SIGUSR1 - 1), before = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &held, &before, 8);
    return before;
}

static void release_signals(unsigned long before) {
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
}

// ---- Lines of the script elsewhere

static void end_line(void) {
    put_line();
    fflush(stdout);
}

static void run_in_child(struct argument *a) {
    if (is_child || is_thread) {
        say(" not here");
        return;
    }
    say(" = 0");
    end_line();
    unsigned long mask = hold_signals();
    pid_t pid = fork();
    if (pid == 0) {
        release_signals(mask);
        is_child = 1;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_maps();
        run_lines(a[0].number);
        fflush(stdout);
        _exit(0);
    }
    skip_lines(a[0].number);
    int status = 0;
    pid_t waited;
    while ((waited = waitpid(pid, &status, __WALL)) < 0 && errno == EINTR)
        ;
    say("child ended");
    if (waited < 0)
        answer(-1);
    else
        say(" %x", status);
    release_signals(mask);
}

static unsigned long mask_of_thread;

static pid_t number_of_thread;

static void *thread_of_lines(void *count) {
    number_of_thread = (pid_t)syscall(SYS_gettid);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_of_thread, NULL, 8);
    run_lines((long)count);
    return NULL;
}

// The first thread blocks all signals and waits, so that the process's signals are the other's.
static void run_in_thread(struct argument *a) {
    pthread_t thread;
    if (is_thread) {
        say(" not here");
        return;
    }
    say(" = 0");
    end_line();
    is_thread = 1;
    unsigned long all = ~0UL;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask_of_thread, 8);
    unsigned long mask = mask_of_thread;
    int error = pthread_create(&thread, NULL, thread_of_lines, (void *)a[0].number);
    if (error == 0)
        pthread_join(thread, NULL);
    // It is joined a moment before it is gone.
    while (error == 0 && syscall(SYS_tgkill, getpid(), number_of_thread, 0) == 0)
        usleep(50);
    is_thread = 0;
    say("thread ended %d", error);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

// ---- Children

static void default_signals(void) {
    unsigned long none = 0;
    for (int signal = 1; signal < 32; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

static void behave(long behaviour) {
    default_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    switch (behaviour) {
    case 0:
        _exit(0);
    case 1:
        _exit(7);
    case 2:
        _exit(256);
    case 3:
        raise(SIGKILL);
        break;
    case 4:
        raise(SIGTERM);
        break;
    case 5:
        *(volatile char *)8 = 1;
        break;
    case 6:
        raise(SIGSTOP);
        _exit(3);
    case 8:
        if (syscall(SYS_fork) == 0)
            _exit(9);
        waitid(P_ALL, 0, NULL, WEXITED);
        _exit(4);
    }
    for (;;)
        pause();
}

// The letter of a process's state in /proc; 0 if there is none.
static int state_of(pid_t pid) {
    char name[40], text[300] = "";
    snprintf(name, sizeof name, "%d/stat", pid);
    int fd = openat(proc_directory, name, O_RDONLY);
    if (fd < 0)
        return 0;
    long length = read(fd, text, sizeof text - 1);
    close(fd);
    char *end = length > 0 ? strrchr(text, ')') : NULL;
    return end ? end[2] : 0;
}

// Waits until a child has got to one of some states, for five seconds at most. Then the parent's signal for it has been sent.
static void settle(pid_t pid, const char *states) {
    for (int tries = 0; tries < 10000; tries++) {
        int state = state_of(pid);
        if (state == 0 || strchr(states, state))
            break;
        usleep(tries < 20 ? 50 : 500);
    }
    // What tells the parent holds the lock that this takes.
    siginfo_t information;
    syscall(SYS_waitid, P_PID, pid, &information, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL, NULL);
}

static void forget_child(int number) {
    pid_t pid = children[number];
    children[number] = 0;
    if (pid <= 0 || is_child)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

void begin_processes(void) {
    for (int number = 0; number < CHILDREN; number++)
        forget_child(number);
    setpriority(PRIO_PROCESS, 0, 0);
}

static void run_child(struct argument *a) {
    // A child ends with the thread that made it (PR_SET_PDEATHSIG), so that none outlives the fuzzer.
    if (is_child || is_thread) {
        say(" not here");
        return;
    }
    forget_child((int)a[0].number);
    fflush(stdout);
    unsigned long mask = hold_signals();
    pid_t pid = (pid_t)syscall(SYS_clone, a[2].number, 0, 0, 0, 0);
    if (pid == 0)
        behave(a[1].number);
    if (pid < 0) {
        answer(pid);
        release_signals(mask);
        return;
    }
    children[a[0].number % CHILDREN] = pid;
    ends_then[a[0].number % CHILDREN] = a[1].number == 6;
    settle(pid, a[1].number == 7 ? "SZ" : "TZ");
    say(" = 0");
    release_signals(mask);
}

static void say_child(pid_t pid) {
    for (int number = 0; number < CHILDREN; number++)
        if (children[number] == pid && pid > 0) {
            say(" = child %d", number);
            return;
        }
    answer(pid > 0 ? 99999 : pid);
}

// What is waited for: never 0 or less by accident.
static pid_t awaited(long number) {
    pid_t of_none = 999999;
    if (number == -1)
        return -1;
    if (number == 100)
        return 0;
    if (number == 101)
        return 1;
    pid_t pid = children[number % 10 % CHILDREN];
    if (pid <= 0)
        return number >= 10 ? -of_none : of_none;
    return number >= 10 ? -pid : pid;
}

static void run_wait4(struct argument *a) {
    int status = 0;
    pid_t pid = (pid_t)syscall(SYS_wait4, awaited(a[0].number), &status, (int)a[1].number, NULL);
    say_child(pid);
    if (pid > 0)
        say(" %x", status);
}

static void run_waitid(struct argument *a) {
    siginfo_t information = {0};
    pid_t pid = awaited(a[1].number);
    long id = a[0].number == 3 ? descriptor(&a[3]) : pid < 0 ? -pid : pid;
    long result = syscall(SYS_waitid, (int)a[0].number, id, &information, (int)a[2].number, NULL);
    answer(result);
    if (result == 0 && information.si_signo) {
        say(" signal %d code %d status %d", information.si_signo, information.si_code, information.si_status);
        say_child(information.si_pid);
    }
}

static void settle_after(int number, int signal) {
    pid_t pid = children[number];
    int state = state_of(pid);
    if (signal == SIGKILL || (state != 'T' && (signal == SIGTERM || signal == SIGUSR1)))
        settle(pid, "Z");
    else if (signal == SIGSTOP)
        settle(pid, "TZ");
    else if (signal == SIGCONT)
        settle(pid, ends_then[number] ? "Z" : "SZ");
}

static void run_kill_child(struct argument *a) {
    pid_t pid = child(&a[0]);
    if (pid <= 0) {
        say(" nobody");
        return;
    }
    unsigned long mask = hold_signals();
    long result = syscall(SYS_kill, pid, (int)a[1].number);
    answer(result);
    if (result == 0)
        settle_after((int)a[0].number % CHILDREN, (int)a[1].number);
    release_signals(mask);
}

static void run_pidfd_open(struct argument *a) {
    pid_t pid = child(&a[0]);
    keep(&a[2], syscall(SYS_pidfd_open, pid > 0 ? pid : 999999, (unsigned)a[1].number));
}

static void run_pidfd_send_signal(struct argument *a) {
    unsigned long mask = hold_signals();
    long result = syscall(SYS_pidfd_send_signal, descriptor(&a[0]), (int)a[1].number, NULL, 0);
    answer(result);
    if (result == 0)
        for (int number = 0; number < CHILDREN; number++)
            if (children[number] > 0)
                settle_after(number, (int)a[1].number);
    release_signals(mask);
}

static void run_setpgid(struct argument *a) {
    pid_t pid = child(&a[0]);
    if (pid <= 0) {
        say(" nobody");
        return;
    }
    long wanted = a[1].number, group = wanted == 10 ? 0 : wanted == 11 ? getpgrp() : wanted < 0 ? -1 : children[wanted];
    answer(syscall(SYS_setpgid, pid, (int)(group == 0 && wanted != 10 ? 999999 : group)));
}

static void run_getpgid(struct argument *a) {
    pid_t pid = child(&a[0]);
    long result = syscall(SYS_getpgid, pid > 0 ? pid : 999999);
    if (result < 0)
        answer(result);
    else if (result == getpgrp())
        say(" = own");
    else
        say_child((pid_t)result);
}

static void run_priority(struct argument *a) {
    pid_t pid = child(&a[0]);
    if (pid <= 0) {
        say(" nobody");
        return;
    }
    answer(syscall(SYS_setpriority, PRIO_PROCESS, pid, (int)a[1].number));
    say(" %ld", syscall(SYS_getpriority, PRIO_PROCESS, pid));
}

// ---- Credentials

static int may_change_credentials(void) {
    if (is_child && !is_thread)
        return 1;
    say(" not here");
    return 0;
}

static void say_credentials(void) {
    unsigned real, effective, saved;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_getresuid, &real, &effective, &saved);
    say(" users %u %u %u", real, effective, saved);
    syscall(SYS_getresgid, &real, &effective, &saved);
    say(" groups %u %u %u", real, effective, saved);
    syscall(SYS_capget, &header, data);
    say(" capabilities %x %x %x", data[0].effective & 0x2001ff, data[0].permitted & 0x2001ff, data[0].inheritable & 0x2001ff);
}

static void run_setresuid(struct argument *a) {
    if (may_change_credentials()) {
        answer(syscall(SYS_setresuid, (int)a[0].number, (int)a[1].number, (int)a[2].number));
        say_credentials();
    }
}

static void run_setresgid(struct argument *a) {
    if (may_change_credentials()) {
        answer(syscall(SYS_setresgid, (int)a[0].number, (int)a[1].number, (int)a[2].number));
        say_credentials();
    }
}

static void run_setreuid(struct argument *a) {
    if (may_change_credentials()) {
        answer(syscall(SYS_setreuid, (int)a[0].number, (int)a[1].number));
        say_credentials();
    }
}

static void run_setuid(struct argument *a) {
    if (may_change_credentials()) {
        answer(syscall(SYS_setuid, (int)a[0].number));
        say_credentials();
    }
}

static void run_setfsuid(struct argument *a) {
    if (may_change_credentials()) {
        answer(syscall(SYS_setfsuid, (int)a[0].number));
        say(" %ld", syscall(SYS_setfsgid, -1));
        say_credentials();
    }
}

static void run_setgroups(struct argument *a) {
    if (!may_change_credentials())
        return;
    unsigned groups[4] = {(unsigned)a[1].number, 1001};
    answer(syscall(SYS_setgroups, (int)a[0].number, groups));
    long count = syscall(SYS_getgroups, 4, groups);
    answer(count);
    for (long index = 0; index < count; index++)
        say(" %u", groups[index]);
}

static void run_capset(struct argument *a) {
    if (!may_change_credentials())
        return;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].effective = (unsigned)a[0].number;
    data[0].permitted = (unsigned)a[1].number;
    data[0].inheritable = (unsigned)a[2].number;
    answer(syscall(SYS_capset, &header, data));
    say_credentials();
}

static void run_prctl(struct argument *a) {
    if (may_change_credentials())
        answer(syscall(SYS_prctl, (int)a[0].number, a[1].number, 0, 0, 0));
}

static void run_ambient(struct argument *a) {
    if (may_change_credentials())
        answer(syscall(SYS_prctl, PR_CAP_AMBIENT, a[0].number, a[1].number, 0, 0));
}

static void run_limit(struct argument *a) {
    if (!may_change_credentials())
        return;
    struct rlimit old = {0, 0}, new = {(rlim_t)a[1].number, (rlim_t)a[2].number};
    syscall(SYS_prlimit64, 0, (int)a[0].number, NULL, &old);
    // Upper limits differ, and who may raise them: the host's root may lack the capability.
    if (new.rlim_cur <= new.rlim_max && new.rlim_max > old.rlim_max) {
        new.rlim_max = old.rlim_max;
        if (new.rlim_cur > new.rlim_max)
            new.rlim_cur = new.rlim_max;
    }
    long result = syscall(SYS_prlimit64, 0, (int)a[0].number, &new, NULL);
    answer(result);
    syscall(SYS_prlimit64, 0, (int)a[0].number, NULL, &old);
    if (result == 0 && old.rlim_cur <= 10000)
        say(" %ld", (long)old.rlim_cur);
}

static void run_setsid(struct argument *a) {
    (void)a;
    if (may_change_credentials())
        say(" = %d", syscall(SYS_setsid) == getpid());
}

static const struct call process_calls[] = {
    {"in_child", "v", run_in_child, 6, 0, {line_counts}},
    {"in_thread", "v", run_in_thread, 4, 0, {line_counts}},
    {"child", "vvv", run_child, 8, 0, {child_numbers, behaviours, exit_signals}},
    {"wait4", "vv", run_wait4, 8, 1, {waited_for, wait_options}},
    {"waitid", "vvvf", run_waitid, 8, 1, {id_kinds, waited_for, waitid_options}},
    {"kill_child", "vv", run_kill_child, 8, 0, {child_numbers, child_signals}},
    {"pidfd_open", "vvs", run_pidfd_open, 3, 0, {child_numbers, pidfd_flags}},
    {"pidfd_send_signal", "fv", run_pidfd_send_signal, 3, 0, {child_signals}},
    {"setpgid", "vv", run_setpgid, 3, 0, {child_numbers, groups_of}},
    {"getpgid", "v", run_getpgid, 2, 0, {child_numbers}},
    {"priority", "vv", run_priority, 1, 0, {child_numbers, niceness}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};

static const struct call credential_calls[] = {
    {"in_child", "v", run_in_child, 30, 0, {line_counts}},
    {"setresuid", "vvv", run_setresuid, 6, 0, {numbers_of_owners, numbers_of_owners, numbers_of_owners}},
    {"setresgid", "vvv", run_setresgid, 4, 0, {numbers_of_owners, numbers_of_owners, numbers_of_owners}},
    {"setreuid", "vv", run_setreuid, 4, 0, {numbers_of_owners, numbers_of_owners}},
    {"setuid", "v", run_setuid, 4, 0, {numbers_of_owners}},
    {"setfsuid", "v", run_setfsuid, 3, 0, {numbers_of_owners}},
    {"setgroups", "vv", run_setgroups, 4, 0, {group_counts, numbers_of_owners}},
    {"capset", "vvv", run_capset, 6, 0, {capability_sets, capability_sets, capability_sets}},
    {"prctl", "vv", run_prctl, 8, 0, {process_options, process_values}},
    {"ambient", "vv", run_ambient, 3, 0, {ambient_commands, capability_numbers}},
    {"limit", "vvv", run_limit, 8, 0, {limited, limit_values, limit_values}},
    {"setsid", "", run_setsid, 1, 0, {NULL}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
