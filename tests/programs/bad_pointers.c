/* Addresses that are no good answer EFAULT, wherever they point. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char constant[16] = "read only";

static void with(const char *name, uintptr_t address) {
    void *bad = (void *)address;
    printf("-- %s\n", name);
    int ends[2], zero = open("/dev/zero", O_RDONLY);
    if (pipe(ends))
        exit(2);
    write(ends[1], "x", 1);
    RESULT(read(zero, bad, 16));
    RESULT(read(ends[0], bad, 1));
    RESULT(write(ends[1], bad, 16));
    RESULT(syscall(SYS_open, bad, O_RDONLY));
    RESULT(syscall(SYS_stat, bad, bad));
    RESULT(syscall(SYS_stat, "/", bad));
    RESULT(syscall(SYS_fstat, 0, bad));
    RESULT(syscall(SYS_uname, bad));
    RESULT(syscall(SYS_getcwd, bad, 100));
    RESULT(syscall(SYS_pipe, bad));
    RESULT(syscall(SYS_nanosleep, bad, 0));
    RESULT(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad));
    RESULT(syscall(SYS_poll, bad, 1, 0));
    RESULT(syscall(SYS_rt_sigaction, SIGUSR1, bad, 0, 8));
    RESULT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, 0, 8));
    RESULT(syscall(SYS_readlink, "/proc/self/exe", bad, 10));
    RESULT(writev(ends[1], bad, 1));
    struct iovec part = {bad, 4};
    RESULT(writev(ends[1], &part, 1));
    RESULT(syscall(SYS_getrandom, bad, 4, 0));
    close(ends[0]);
    close(ends[1]);
    close(zero);
}

int main(void) {
    with("null", 0);
    with("unmapped", 0x30000000);
    with("above the lower half", 1UL << 47);
    with("non-canonical", 0x0123456789abcdef);
    with("kernel text", 0xffffffff80000000);
    with("direct map", 0xffff888000000000);
    with("last byte", ~0UL);
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    with("last byte of a mapping", (uintptr_t)pages + 4095);

    puts("-- half good");
    int ends[2], zero = open("/dev/zero", O_RDONLY);
    pipe(ends);
    RESULT(write(ends[1], pages + 4090, 6));
    /* What could be moved counts. */
    RESULT(read(zero, pages + 4090, 100));
    RESULT(read(zero, (char *)constant, 4));
    printf("%s\n", constant);
    RESULT(write(ends[1], pages, ~0UL));
    RESULT(read(ends[0], pages, 0));
    RESULT(write(ends[1], 0, 0));
    /* A name that ends at the end of a mapping is good; one that runs into the hole is not. */
    strcpy(pages + 4092, "/de");
    memcpy(pages + 4091, "/dev/", 5);
    RESULT(access(pages + 4091, F_OK));
    strcpy(pages + 4091, "/dev");
    RESULT(access(pages + 4091, F_OK));
    return 0;
}
