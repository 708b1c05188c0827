/*
 * Filters of system calls: what is refused as a filter, what becomes of calls that one does not allow, and who inherits it.
 * Each case runs in a process of its own, since nobody gets calls back.
 */
#include "check.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define NUMBER LOAD(offsetof(struct seccomp_data, nr))
#define ARGUMENT(index) LOAD(offsetof(struct seccomp_data, args) + 8 * (index))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
/* The answer for one call; all others are allowed. */
#define ONLY(call, value) {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), ANSWER(value), ANSWER(SECCOMP_RET_ALLOW)}

#define INSTALL(flags, ...)                                                                          \
    ({                                                                                               \
        struct sock_filter instructions_[] = __VA_ARGS__;                                            \
        struct sock_fprog program_ = {sizeof instructions_ / sizeof *instructions_, instructions_};  \
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program_);                             \
    })

static void no_new_privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

/* Runs a case in a process and tells how it ended. */
static void run(const char *name, void (*body)(void)) {
    printf("== %s\n", name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        body();
        fflush(stdout);
        syscall(SYS_exit_group, 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("ended by %s\n", strsignal(WTERMSIG(status)));
    else
        printf("ended with %d\n", WEXITSTATUS(status));
}

static void wrong_arguments(void) {
    struct sock_filter allow = ANSWER(SECCOMP_RET_ALLOW);
    struct sock_fprog one = {1, &allow}, none = {0, &allow}, long_one = {4097, &allow}, nowhere = {1, (void *)8};
    RESULT(syscall(SYS_seccomp, 77, 0, NULL));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &one));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 10, &one));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 5, &one));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &none));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &long_one));
    no_new_privileges();
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere));
    RESULT(INSTALL(0, {NUMBER}));
    RESULT(INSTALL(0, {LOAD(2), ANSWER(0)}));
    RESULT(INSTALL(0, {LOAD(64), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_STMT(BPF_LD | BPF_MEM, 0), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), ANSWER(0)}));
    RESULT(INSTALL(0, {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), ANSWER(0)}));
    RESULT(prctl(PR_SET_SECCOMP, 0, 0));
    RESULT(prctl(PR_SET_SECCOMP, 3, 0));
    RESULT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL));
    RESULT(prctl(PR_GET_SECCOMP));
    unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000};
    for (unsigned index = 0; index < sizeof actions / sizeof *actions; index++)
        RESULT(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[index]));
    RESULT(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]));
    RESULT(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL));
    RESULT(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, NULL));
}

static void without_privilege(void) {
    RESULT(setresuid(1000, 1000, 1000));
    RESULT(INSTALL(0, {ANSWER(SECCOMP_RET_ALLOW)}));
    no_new_privileges();
    RESULT(INSTALL(0, {ANSWER(SECCOMP_RET_ALLOW)}));
    RESULT(prctl(PR_GET_SECCOMP));
}

static void errors(void) {
    no_new_privileges();
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV)));
    RESULT(syscall(SYS_getppid));
    RESULT(INSTALL(SECCOMP_FILTER_FLAG_LOG, ONLY(SYS_getuid, SECCOMP_RET_ERRNO)));
    RESULT(syscall(SYS_getuid));
    RESULT(INSTALL(SECCOMP_FILTER_FLAG_SPEC_ALLOW, ONLY(SYS_getgid, SECCOMP_RET_ERRNO | 0xffff)));
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getgid) : "rcx", "r11", "memory");
    printf("too large an error: %ld\n", result);
    RESULT(INSTALL(0, ONLY(SYS_geteuid, SECCOMP_RET_TRACE | 5)));
    RESULT(syscall(SYS_geteuid));
    RESULT(INSTALL(0, ONLY(SYS_getegid, SECCOMP_RET_LOG)));
    RESULT(syscall(SYS_getegid));
    /* A call that does not exist is filtered as well. */
    RESULT(INSTALL(0, ONLY(4321, SECCOMP_RET_ERRNO | EL2HLT)));
    RESULT(syscall(4321));
    RESULT(syscall(4322));
    RESULT(INSTALL(0, ONLY((unsigned)-3, SECCOMP_RET_ERRNO | EL3HLT)));
    RESULT(syscall(-3));
    /* Of several filters the strictest decides, and of equals the newest. */
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EDOM)));
    RESULT(syscall(SYS_getppid));
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_LOG)));
    RESULT(syscall(SYS_getppid));
    RESULT(prctl(PR_GET_SECCOMP));
    RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
}

static void arguments(void) {
    no_new_privileges();
    RESULT(INSTALL(0, {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 4), ARGUMENT(0),
                       BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 500, 0, 1), ANSWER(SECCOMP_RET_ERRNO | EXDEV),
                       ANSWER(SECCOMP_RET_ALLOW), ANSWER(SECCOMP_RET_ALLOW)}));
    RESULT(close(499));
    RESULT(close(501));
    RESULT(INSTALL(0, {LOAD(4), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
                       ANSWER(SECCOMP_RET_KILL_PROCESS), NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 3),
                       LOAD(offsetof(struct seccomp_data, args[1]) + 4), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
                       BPF_STMT(BPF_RET | BPF_A, 0), ANSWER(SECCOMP_RET_ALLOW)}));
    RESULT(lseek(0, 33LL << 32, SEEK_SET));
}

static volatile int trapped, trapped_number, trapped_errno, trapped_code, trapped_here;
static volatile unsigned trapped_architecture;
extern char behind_call[];

static void trap(int signal, siginfo_t *information, void *context) {
    trapped = signal;
    trapped_code = information->si_code;
    trapped_number = information->si_syscall;
    trapped_errno = information->si_errno;
    trapped_architecture = information->si_arch;
    ucontext_t *registers = context;
    trapped_here = information->si_call_addr == (void *)registers->uc_mcontext.gregs[REG_RIP] &&
                   information->si_call_addr == behind_call;
    if (registers->uc_mcontext.gregs[REG_RAX] != SYS_getppid)
        trapped_here = 0;
    registers->uc_mcontext.gregs[REG_RAX] = 4711;
}

__attribute__((noinline, noclone)) static long call(void) {
    long result;
    __asm__ volatile("syscall\nbehind_call:" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory");
    return result;
}

static void traps(void) {
    no_new_privileges();
    struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP | 42)));
    printf("the handler's result: %ld\n", call());
    printf("signal %d, code %d, call %d, errno %d, architecture %#x, place %s\n", trapped, trapped_code,
           trapped_number == SYS_getppid, trapped_errno, trapped_architecture, trapped_here ? "right" : "WRONG");
    /* Who blocks the signal ends. */
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

/* Calls that the program handles itself (PR_SET_SYSCALL_USER_DISPATCH). */
#define DISPATCH 59
static volatile char selector;

static void handle(int signal, siginfo_t *information, void *context) {
    selector = 0;
    trap(signal, information, context);
}

static void own_calls(void) {
    RESULT(prctl(DISPATCH, 0, 1, 0, 0));
    RESULT(prctl(DISPATCH, 1, 8, 0, 0));
    RESULT(prctl(DISPATCH, 1, 8, -8L, 0));
    RESULT(prctl(DISPATCH, 2, 0, 0, 0));
    RESULT(prctl(DISPATCH, 3, 0, 0, 0));
    RESULT(prctl(DISPATCH, 1, 0, 0, 0xffff800000000000));
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    RESULT(prctl(DISPATCH, 1, 0, 0, &selector));
    CHECK(call() == getppid());
    selector = 1;
    long result = call();
    printf("%ld, selector %d\n", result, selector);
    printf("signal %d, code %d, call %d, errno %d, architecture %#x, place %s\n", trapped, trapped_code,
           trapped_number == SYS_getppid, trapped_errno, trapped_architecture, trapped_here ? "right" : "WRONG");
    RESULT(prctl(DISPATCH, 1, behind_call - 2, 16, &selector));
    selector = 1;
    result = call();
    selector = 0;
    CHECK(result == getppid());
    RESULT(prctl(DISPATCH, 2, behind_call - 2, 16, &selector));
    selector = 1;
    RESULT(getpid() > 0);
    printf("%ld, selector %d\n", call(), selector);
    fflush(stdout);
    selector = 1;
    pid_t child = fork();
    if (child == 0)
        _exit(call() == 4711 ? 1 : 2);
    int status;
    waitpid(child, &status, 0);
    printf("a child's calls: %x\n", status);
    selector = 0;
    RESULT(prctl(DISPATCH, 1, 0, 0, 0));
    printf("NOT REACHED\n");
}

static void wrong_selector(void) {
    fflush(stdout);
    prctl(DISPATCH, 1, 0, 0, &selector);
    selector = 2;
    getppid();
    printf("NOT REACHED\n");
}

static void trap_without_handler(void) {
    no_new_privileges();
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP)));
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

static void kills_process(void) {
    no_new_privileges();
    signal(SIGSYS, SIG_IGN);
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_PROCESS)));
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

static void means_nothing(void) {
    no_new_privileges();
    RESULT(INSTALL(0, ONLY(SYS_getppid, 0x12345678)));
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

static void divides_by_nothing(void) {
    no_new_privileges();
    RESULT(INSTALL(0, {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
                       ANSWER(SECCOMP_RET_ALLOW)}));
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

static void *calls_getppid(void *unused) {
    syscall(SYS_getppid);
    return unused;
}

static void kills_thread(void) {
    no_new_privileges();
    RESULT(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_THREAD)));
    pthread_t thread;
    pthread_create(&thread, NULL, calls_getppid, NULL);
    void *result = &thread;
    RESULT(pthread_join(thread, &result));
    printf("the process goes on\n");
    fflush(stdout);
    syscall(SYS_getppid);
    printf("NOT REACHED\n");
}

static int ready[2], go[2];

static void *waits(void *has_own) {
    if (has_own)
        INSTALL(0, {ANSWER(SECCOMP_RET_ALLOW)});
    char byte = 'x';
    (void)!write(ready[1], &byte, 1);
    (void)!read(go[0], &byte, 1);
    RESULT(syscall(SYS_getppid) == getpid());
    RESULT(prctl(PR_GET_SECCOMP));
    return NULL;
}

static void all_threads(void) {
    no_new_privileges();
    (void)!pipe(ready);
    (void)!pipe(go);
    RESULT(INSTALL(0, ONLY(SYS_getuid, SECCOMP_RET_ERRNO | EXDEV)));
    pthread_t thread;
    char byte;
    pthread_create(&thread, NULL, waits, NULL);
    (void)!read(ready[0], &byte, 1);
    RESULT(INSTALL(SECCOMP_FILTER_FLAG_TSYNC, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EDOM)));
    (void)!write(go[1], &byte, 1);
    pthread_join(thread, NULL);
    /* A thread with a filter of its own does not follow. */
    pthread_create(&thread, NULL, waits, ready);
    (void)!read(ready[0], &byte, 1);
    long other = INSTALL(SECCOMP_FILTER_FLAG_TSYNC, ONLY(SYS_getgid, SECCOMP_RET_ERRNO | EDOM));
    CHECK(other > 0 && other != getpid());
    RESULT(INSTALL(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, ONLY(SYS_getgid, SECCOMP_RET_ERRNO | EDOM)));
    CHECK(syscall(SYS_getgid) >= 0);
    (void)!write(go[1], &byte, 1);
    pthread_join(thread, NULL);
}

static void strict(void) {
    RESULT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    fflush(stdout);
    char byte = '!';
    (void)!write(1, &byte, 1);
    byte = '\n';
    (void)!write(1, &byte, 1);
    syscall(SYS_exit, 3);
}

static void strict_and_more(void) {
    RESULT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    fflush(stdout);
    syscall(SYS_getppid);
    (void)!write(1, "NOT REACHED\n", 12);
}

static void show_status(void) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "NoNewPrivs", 10) || !strncmp(line, "Seccomp", 7))
            fputs(line, stdout);
    fclose(status);
}

static void inherited(void) {
    show_status();
    no_new_privileges();
    INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV));
    INSTALL(0, {ANSWER(SECCOMP_RET_ALLOW)});
    show_status();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        RESULT(syscall(SYS_getppid));
        fflush(stdout);
        execl("/proc/self/exe", "seccomp", "executed", NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static void too_many(void) {
    no_new_privileges();
    static struct sock_filter instructions[4096];
    for (int index = 0; index < 4096; index++)
        instructions[index] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
    struct sock_fprog program = {4096, instructions};
    /* How many there may be depends on how Linux translates them. */
    while (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
        ;
    printf("too many of 4096 instructions: %s\n", strerror(errno));
    while (INSTALL(0, {ANSWER(SECCOMP_RET_ALLOW)}) == 0)
        ;
    printf("too many short ones: %s\n", strerror(errno));
    RESULT(syscall(SYS_getppid) > 0);
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "executed")) {
        RESULT(syscall(SYS_getppid));
        show_status();
        return 0;
    }
    run("wrong arguments", wrong_arguments);
    run("without privilege", without_privilege);
    run("errors", errors);
    run("arguments", arguments);
    run("traps", traps);
    run("trap without handler", trap_without_handler);
    run("own calls", own_calls);
    run("wrong selector", wrong_selector);
    run("kills process", kills_process);
    run("an answer that means nothing", means_nothing);
    run("divides by nothing", divides_by_nothing);
    run("kills thread", kills_thread);
    run("all threads", all_threads);
    run("strict", strict);
    run("strict and more", strict_and_more);
    run("inherited", inherited);
    run("too many", too_many);
    return 0;
}
