// Signals: masks, what is pending, handlers and their flags, alternate stacks.
#include "framework.h"
#include <signal.h>

static const struct value signal_numbers[] = {
    ONE_OF(SIGUSR1), ONE_OF(SIGUSR1), ONE_OF(SIGUSR2), ONE_OF(SIGHUP), NAMED("RT1", 40, 0), NAMED("RT2", 41, 0),
    NAMED("RT2", 41, 0), ONE_OF(SIGCHLD), ONE_OF(SIGURG), END_OF_VALUES,
};
static const struct value wrong_numbers[] = {
    ONE_OF(0), ONE_OF(SIGKILL), ONE_OF(SIGSTOP), ONE_OF(64), ONE_OF(65), ONE_OF(-1), END_OF_VALUES,
};
static const struct value signal_masks[] = {
    ONE_OF(0), NAMED("USR1", 1L << (SIGUSR1 - 1), 40), NAMED("USR2", 1L << (SIGUSR2 - 1), 40),
    NAMED("HUP", 1L << (SIGHUP - 1), 30), NAMED("RT1", 1L << 39, 40), NAMED("RT2", 1L << 40, 40),
    NAMED("KILL", 1L << (SIGKILL - 1), 10), NAMED("CHLD", 1L << (SIGCHLD - 1), 20), END_OF_VALUES,
};
static const struct value mask_changes[] = {
    ONE_OF(SIG_BLOCK), ONE_OF(SIG_BLOCK), ONE_OF(SIG_UNBLOCK), ONE_OF(SIG_SETMASK), ONE_OF(3), END_OF_VALUES,
};
static const struct value mask_sizes[] = {ONE_OF(8), MAYBE(16, 3), END_OF_VALUES};
static const struct value handler_flags[] = {
    ONE_OF(0), MAYBE(SA_RESTART, 30), MAYBE(SA_NODEFER, 30), MAYBE(SA_ONSTACK, 40),
    NAMED("SA_UNSUPPORTED", 0x400, 5), NAMED("SA_EXPOSE_TAGBITS", 0x800, 5), NAMED("SA_NOCLDWAIT", 2, 5),
    END_OF_VALUES,
};
static const struct value handlers[] = {
    NAMED("caught", 0, 0), NAMED("caught", 0, 0), NAMED("caught", 0, 0), NAMED("ignored", 1, 0), NAMED("default", 2, 0),
    NAMED("asked", 3, 0), END_OF_VALUES,
};
static const struct value signal_values[] = {ONE_OF(0), ONE_OF(1), ONE_OF(7), END_OF_VALUES};
static const struct value signal_codes[] = {
    NAMED("SI_QUEUE", -1, 0), NAMED("SI_QUEUE", -1, 0), NAMED("SI_MESGQ", -3, 0), NAMED("SI_USER", 0, 0),
    NAMED("SI_TKILL", -6, 0), END_OF_VALUES,
};
static const struct value stack_flags[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(SS_DISABLE), ONE_OF(SS_ONSTACK), NAMED("SS_AUTODISARM", 0x80000000L, 20),
    NAMED("SS_UNKNOWN", 8, 4), END_OF_VALUES,
};
static const struct value stack_sizes[] = {ONE_OF(65536), ONE_OF(65536), ONE_OF(100), ONE_OF(0), END_OF_VALUES};

// The kernel's own structure of sigaction(2).
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
};

#define FUZZED_SIGNALS 6
static const int fuzzed_signals[FUZZED_SIGNALS] = {SIGUSR1, SIGUSR2, SIGHUP, 40, 41, SIGCHLD};

static unsigned char alternate_stack[65536] __attribute__((aligned(16)));
static void *restorer;

// What was caught since the last call, in order.
static struct {
    int signal, code, value, on_stack;
} caught[100];
static volatile int times_caught;

static void catch (int signal, siginfo_t *information, void *context) {
    (void)context;
    unsigned char here;
    if (times_caught == 100)
        return;
    int index = times_caught++;
    caught[index].signal = signal;
    caught[index].code = information->si_code;
    caught[index].value = information->si_code < 0 && information->si_code != -6 ? information->si_value.sival_int : 0;
    caught[index].on_stack = &here >= alternate_stack && &here < alternate_stack + sizeof alternate_stack;
}

void say_caught(void) {
    for (int index = 0; index < times_caught; index++)
        say(" caught %d:%d:%d%s", caught[index].signal, caught[index].code, caught[index].value,
            caught[index].on_stack ? " on its stack" : "");
    times_caught = 0;
}

static long set_action(int signal, struct kernel_action *new, struct kernel_action *old) {
    return syscall(SYS_rt_sigaction, signal, new, old, 8);
}

static struct kernel_action catching(unsigned long flags, unsigned long mask) {
    return (struct kernel_action){(void *)catch, flags | SA_SIGINFO | 0x04000000, restorer, mask};
}

// All are caught, none is blocked or pending, and there is no other stack.
void begin_signals(void) {
    unsigned long none = 0, all = ~0UL;
    stack_t disabled = {.ss_flags = SS_DISABLE};
    struct kernel_action ignored = {SIG_IGN, 0x04000000, restorer, 0};
    if (!restorer) {
        // The C library's own return from handlers.
        struct sigaction example = {.sa_handler = SIG_IGN};
        struct kernel_action made;
        sigaction(SIGUSR1, &example, NULL);
        set_action(SIGUSR1, NULL, &made);
        restorer = made.restorer;
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    for (int index = 0; index < FUZZED_SIGNALS; index++) {
        struct kernel_action caught = catching(0, 0);
        set_action(fuzzed_signals[index], &ignored, NULL);
        set_action(fuzzed_signals[index], &caught, NULL);
    }
    sigaltstack(&disabled, NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
    times_caught = 0;
}

static void run_mask(struct argument *a) {
    unsigned long new = (unsigned long)a[1].number, old = 0;
    long result = syscall(SYS_rt_sigprocmask, (int)a[0].number, &new, &old, a[2].number);
    answer(result);
    if (result == 0)
        say(" %lx", old);
}

static void run_pending(struct argument *a) {
    unsigned long pending = 0;
    answer(syscall(SYS_rt_sigpending, &pending, a[0].number));
    say(" %lx", pending);
}

static void run_action(struct argument *a) {
    struct kernel_action old, new = catching((unsigned long)a[2].number, (unsigned long)a[3].number);
    // Only what is ignored by default gets back to that: others may be pending, and would end the program.
    if (a[1].number == 2 && (a[0].number == SIGCHLD || a[0].number == SIGURG))
        new.handler = (void *)SIG_DFL;
    else if (a[1].number == 1 || a[1].number == 2)
        new.handler = (void *)SIG_IGN;
    long result = set_action((int)a[0].number, a[1].number == 3 ? NULL : &new, &old);
    answer(result);
    if (result == 0)
        say(" %s %lx %lx", old.handler == (void *)catch ? "caught" : old.handler == (void *)SIG_IGN ? "ignored" : "default",
            old.flags, old.mask);
}

static void run_action_of_wrong(struct argument *a) {
    struct kernel_action new = catching(0, 0), old;
    answer(set_action((int)a[0].number, a[1].number == 3 || a[0].number == 64 ? NULL : &new, &old));
}

static void run_kill(struct argument *a) {
    answer(syscall(SYS_kill, getpid(), (int)a[0].number));
}

static void run_tgkill(struct argument *a) {
    answer(syscall(SYS_tgkill, getpid(), getpid(), (int)a[0].number));
}

static void run_sigqueue(struct argument *a) {
    siginfo_t information = {0};
    information.si_signo = (int)a[0].number;
    information.si_code = (int)a[2].number;
    information.si_value.sival_int = (int)a[1].number;
    answer(syscall(SYS_rt_sigqueueinfo, getpid(), (int)a[0].number, &information));
}

static void run_kill_wrong(struct argument *a) {
    if (a[0].number != SIGKILL && a[0].number != SIGSTOP && a[0].number != 64)
        answer(syscall(SYS_kill, getpid(), (int)a[0].number));
}

static void run_sigtimedwait(struct argument *a) {
    unsigned long mask = (unsigned long)a[0].number;
    struct timespec none = {0, 0};
    siginfo_t information = {0};
    long result = syscall(SYS_rt_sigtimedwait, &mask, &information, &none, a[1].number);
    answer(result);
    if (result > 0)
        say(" %d", information.si_code);
}

static void run_sigaltstack(struct argument *a) {
    stack_t new = {.ss_sp = alternate_stack, .ss_flags = (int)a[0].number, .ss_size = a[1].number}, old = {0};
    long result = syscall(SYS_sigaltstack, &new, &old);
    answer(result);
    if (result == 0)
        say(" %x %ld", (unsigned)old.ss_flags, (long)old.ss_size);
}

static const struct call signal_calls[] = {
    {"sigprocmask", "vvv", run_mask, 8, 0, {mask_changes, signal_masks, mask_sizes}},
    {"sigpending", "v", run_pending, 5, 0, {mask_sizes}},
    {"sigaction", "vvvv", run_action, 8, 0, {signal_numbers, handlers, handler_flags, signal_masks}},
    {"sigaction_of_wrong", "vv", run_action_of_wrong, 1, 0, {wrong_numbers, handlers}},
    {"kill", "v", run_kill, 6, 0, {signal_numbers}},
    {"tgkill", "v", run_tgkill, 5, 0, {signal_numbers}},
    {"sigqueue", "vvv", run_sigqueue, 7, 0, {signal_numbers, signal_values, signal_codes}},
    {"kill_wrong", "v", run_kill_wrong, 1, 0, {wrong_numbers}},
    {"sigtimedwait", "vv", run_sigtimedwait, 6, 0, {signal_masks, mask_sizes}},
    {"sigaltstack", "vv", run_sigaltstack, 4, 0, {stack_flags, stack_sizes}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
