/* Handlers: what they are told, which stack they run on, and what survives them. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf escape;
static volatile sig_atomic_t seen_signal, seen_code, count;
static void *volatile seen_address;
static char *alternate;
static volatile int on_alternate;
#define ALTERNATE_SIZE 65536

static void observe(int signal, siginfo_t *information, void *context) {
    (void)context;
    char here;
    seen_signal = signal;
    seen_code = information->si_code;
    seen_address = information->si_addr;
    on_alternate = &here >= alternate && &here < alternate + ALTERNATE_SIZE;
    siglongjmp(escape, 1);
}

/* Skips a faulting instruction of known length, as just-in-time compilers do. */
static volatile int skip;
static void skip_instruction(int signal, siginfo_t *information, void *context) {
    (void)information;
    seen_signal = signal;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += skip;
}

static void counted(int signal) {
    seen_signal = signal;
    count++;
}

static volatile int depth, deepest, calls;
static void nested(int signal) {
    if (++depth > deepest)
        deepest = depth;
    if (++calls < 3)
        raise(signal);
    depth--;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, 0))
        perror("sigaction");
}

static __attribute__((noinline)) int overflow(volatile char *above) {
    volatile char frame[4096];
    frame[0] = above ? above[0] : 0;
    return overflow(frame) + frame[0];
}

/* The 128 bytes below the stack pointer belong to the program; a handler must leave them alone. */
static __attribute__((noinline)) long red_zone_after_fault(void) {
    long result;
    __asm__ volatile("movq $0x1234567, -8(%%rsp)\n\t"
                     "movq $0x89abcde, -128(%%rsp)\n\t"
                     "ud2\n\t"
                     "movq -8(%%rsp), %0\n\t"
                     "addq -128(%%rsp), %0\n\t"
                     : "=r"(result)
                     :
                     : "memory");
    return result;
}

static double floating_point_after_fault(void) {
    double value = 1.25, result;
    __asm__ volatile("movsd %1, %%xmm7\n\t"
                     "ud2\n\t"
                     "movsd %%xmm7, %0\n\t"
                     : "=m"(result)
                     : "m"(value)
                     : "xmm7", "memory");
    return result;
}

static void spoil_registers(int signal, siginfo_t *information, void *context) {
    __asm__ volatile("pxor %%xmm7, %%xmm7\n\tfninit" ::: "xmm7");
    skip_instruction(signal, information, context);
}

int main(void) {
    alternate = mmap(0, ALTERNATE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    puts("-- faults");
    handle(SIGSEGV, observe, SA_NODEFER);
    if (!sigsetjmp(escape, 1))
        *(volatile char *)8 = 1;
    CHECK(seen_signal == SIGSEGV && seen_code == SEGV_MAPERR && seen_address == (void *)8);
    if (!sigsetjmp(escape, 1))
        page[100] = 1;
    CHECK(seen_signal == SIGSEGV && seen_code == SEGV_ACCERR && seen_address == page + 100);
    if (!sigsetjmp(escape, 1))
        ((void (*)(void))(uintptr_t)page)();
    CHECK(seen_signal == SIGSEGV && seen_code == SEGV_ACCERR && seen_address == page);
    if (!sigsetjmp(escape, 1))
        *(volatile char *)0x0123456789abcdef = 1;
    CHECK(seen_signal == SIGSEGV && seen_code == SI_KERNEL && seen_address == NULL);
    CHECK(on_alternate == 0);
    /* Vectors of exceptions that come with an error code, which `int` does not bring, and instructions of the kernel. */
    for (volatile int which = 0; which < 5; which++) {
        seen_signal = 0;
        if (!sigsetjmp(escape, 1)) {
            if (which == 0)
                __asm__ volatile("int $8");
            else if (which == 1)
                __asm__ volatile("int $13");
            else if (which == 2)
                __asm__ volatile("int $14");
            else if (which == 3)
                __asm__ volatile("sysretq" ::"c"(main), "r"(0L) : "r11");
            else
                __asm__ volatile("sysretl" ::"c"(0x1000) : "r11");
        }
        CHECK(seen_signal == SIGSEGV && seen_code == SI_KERNEL && seen_address == NULL);
    }

    handle(SIGFPE, observe, SA_NODEFER);
    volatile int zero = 0;
    if (!sigsetjmp(escape, 1))
        zero = 7 / zero;
    CHECK(seen_signal == SIGFPE && seen_code == FPE_INTDIV && seen_address != NULL);
    handle(SIGILL, observe, SA_NODEFER);
    if (!sigsetjmp(escape, 1))
        __asm__ volatile("ud2");
    CHECK(seen_signal == SIGILL && seen_code == ILL_ILLOPN && seen_address != NULL);
    handle(SIGTRAP, observe, SA_NODEFER);
    if (!sigsetjmp(escape, 1))
        __asm__ volatile("int3");
    CHECK(seen_signal == SIGTRAP && seen_code == SI_KERNEL);

    puts("-- alternate stack");
    stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE_SIZE}, old;
    RESULT(sigaltstack(&stack, &old));
    CHECK(old.ss_flags == SS_DISABLE);
    handle(SIGSEGV, observe, SA_ONSTACK | SA_NODEFER);
    if (!sigsetjmp(escape, 1))
        overflow(0);
    CHECK(seen_signal == SIGSEGV && on_alternate);
    RESULT(sigaltstack(0, &old));
    CHECK(old.ss_sp == alternate && old.ss_size == ALTERNATE_SIZE && old.ss_flags == 0);
    stack.ss_size = 100;
    RESULT(sigaltstack(&stack, 0));
    stack.ss_flags = SS_DISABLE;
    RESULT(sigaltstack(&stack, 0));

    puts("-- returning");
    skip = 2;
    handle(SIGILL, skip_instruction, 0);
    printf("red zone %lx\n", (unsigned long)red_zone_after_fault());
    handle(SIGILL, spoil_registers, 0);
    printf("xmm7 %g\n", floating_point_after_fault());

    puts("-- sending and blocking");
    struct sigaction action = {0}, previous;
    action.sa_handler = counted;
    RESULT(sigaction(SIGUSR1, &action, &previous));
    CHECK(previous.sa_handler == SIG_DFL);
    RESULT(raise(SIGUSR1));
    RESULT(kill(getpid(), SIGUSR1));
    RESULT(kill(getpid(), 0));
    RESULT(kill(getpid(), 65));
    CHECK(count == 2 && seen_signal == SIGUSR1);
    sigset_t set, waiting;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    RESULT(sigprocmask(SIG_BLOCK, &set, 0));
    RESULT(raise(SIGUSR1));
    RESULT(raise(SIGUSR1));
    CHECK(count == 2);
    RESULT(sigpending(&waiting));
    CHECK(sigismember(&waiting, SIGUSR1) == 1 && sigismember(&waiting, SIGUSR2) == 0);
    /* A standard signal is pending once, however often it was sent. */
    RESULT(sigprocmask(SIG_UNBLOCK, &set, 0));
    CHECK(count == 3);
    RESULT(sigprocmask(77, &set, 0));
    action.sa_handler = SIG_IGN;
    RESULT(sigaction(SIGUSR1, &action, 0));
    RESULT(raise(SIGUSR1));
    CHECK(count == 3);
    action.sa_handler = counted;
    action.sa_flags = SA_RESETHAND;
    RESULT(sigaction(SIGUSR1, &action, 0));
    RESULT(raise(SIGUSR1));
    RESULT(sigaction(SIGUSR1, 0, &previous));
    CHECK(count == 4 && previous.sa_handler == SIG_DFL);
    RESULT(sigaction(SIGKILL, &action, 0));
    RESULT(sigaction(SIGSTOP, &action, 0));
    RESULT(sigaction(65, &action, 0));
    RESULT(raise(SIGCHLD));
    RESULT(raise(SIGWINCH));

    puts("-- nesting");
    action.sa_handler = nested;
    action.sa_flags = SA_NODEFER;
    sigaction(SIGUSR2, &action, 0);
    raise(SIGUSR2);
    printf("with SA_NODEFER %d deep\n", deepest);
    deepest = calls = 0;
    action.sa_flags = 0;
    sigaction(SIGUSR2, &action, 0);
    raise(SIGUSR2);
    CHECK(depth == 0 && calls == 3);
    printf("without it %d deep\n", deepest);
    return 0;
}
