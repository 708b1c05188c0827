/* Dies of a signal: `fatal HOW`. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const char constant[4096] __attribute__((aligned(4096))) = "constant";
static char data[4096] __attribute__((aligned(4096)));

static __attribute__((noinline)) int overflow(volatile char *above) {
    volatile char frame[4096];
    frame[0] = above ? above[0] : 0;
    return overflow(frame) + frame[0];
}

/* Has the return from a signal lead nowhere. */
static void lose(int signal, siginfo_t *information, void *context)
{
    ucontext_t *interrupted = context;
    (void)signal, (void)information;
    interrupted->uc_mcontext.gregs[REG_RIP] = 0x7ab46c28bb4e3edf;
    interrupted->uc_mcontext.gregs[REG_RSP] = (greg_t)0x9ab46c28bb4e3edf;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    printf("about to die of %s\n", how);
    fflush(stdout);
    if (!strcmp(how, "null"))
        *(volatile int *)0 = 1;
    else if (!strcmp(how, "jump-to-null"))
        ((void (*)(void))(uintptr_t)0)();
    else if (!strcmp(how, "kernel-address"))
        *(volatile int *)0xffffffff80000000 = 1;
    else if (!strcmp(how, "write-kernel-text"))
        *(volatile int *)0xffffffff80100000 = 1;
    else if (!strcmp(how, "jump-to-kernel-data"))
        ((void (*)(void))0xffff888000000000)();
    else if (!strcmp(how, "non-maskable"))
        /* Only where a program runs at ring 0 does this arrive as what it pretends to be. */
        __asm__ volatile("int $2");
    else if (!strcmp(how, "non-canonical"))
        *(volatile int *)0x0123456789abcdef = 1;
    else if (!strcmp(how, "jump-nowhere"))
        /* As a longjmp does whose buffer was never filled. */
        __asm__ volatile("movabs $0x9ab46c28bb4e3edf, %rdx; mov %rdx, %rsp; mov %rdx, %rbp; jmp *%rdx");
    else if (!strcmp(how, "return-nowhere")) {
        struct sigaction action = {.sa_sigaction = lose, .sa_flags = SA_SIGINFO};
        sigaction(SIGUSR1, &action, NULL);
        raise(SIGUSR1);
    } else if (!strcmp(how, "write-code"))
        *(volatile char *)(uintptr_t)main = 1;
    else if (!strcmp(how, "write-constant"))
        *(volatile char *)(uintptr_t)constant = 1;
    else if (!strcmp(how, "execute-data")) {
        data[0] = (char)0xc3;
        ((void (*)(void))(uintptr_t)data)();
    } else if (!strcmp(how, "execute-stack")) {
        volatile char code[16] = {(char)0xc3};
        ((void (*)(void))(uintptr_t)code)();
    } else if (!strcmp(how, "no-access")) {
        char *page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        page[0] = 1;
    } else if (!strcmp(how, "stack-overflow"))
        return overflow(0);
    else if (!strcmp(how, "divide")) {
        volatile int zero = 0;
        return 7 / zero;
    } else if (!strcmp(how, "illegal"))
        __asm__ volatile("ud2");
    else if (!strcmp(how, "breakpoint"))
        __asm__ volatile("int3");
    else if (!strcmp(how, "abort"))
        abort();
    else if (!strcmp(how, "terminate"))
        raise(SIGTERM);
    else if (!strcmp(how, "kill"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(how, "broken-pipe")) {
        int ends[2];
        if (pipe(ends) == 0 && close(ends[0]) == 0)
            return (int)write(ends[1], "x", 1);
    } else if (!strcmp(how, "past-end-of-file")) {
        int file = open(argv[0], O_RDONLY);
        off_t size = lseek(file, 0, SEEK_END);
        char *map = mmap(0, (size_t)size + 65536, PROT_READ, MAP_PRIVATE, file, 0);
        return *(volatile char *)(map + size + 8192);
    }
    return 99;
}
