/* Nodes of memory where there is one: what a program asks for is remembered, and told again. */
#include "check.h"
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY };
#define STATIC (1 << 15)
#define RELATIVE (1 << 14)
#define BALANCING (1 << 13)

static long set(int mode, unsigned long mask, unsigned long bits) {
    return syscall(SYS_set_mempolicy, mode, &mask, bits);
}
static long bind_to(void *start, unsigned long length, int mode, unsigned long mask, unsigned flags) {
    return syscall(SYS_mbind, start, length, mode, &mask, 64, flags);
}
/* Mode and mask as they are told. */
static void told(void *address, unsigned long flags) {
    int mode = -1;
    unsigned long mask[4] = {-1UL, -1UL, -1UL, -1UL};
    errno = 0;
    long result = syscall(SYS_get_mempolicy, &mode, mask, 129, address, flags);
    printf("%ld %s: mode %x, mask %lx %lx %lx\n", result, strerror(errno), mode, mask[0], mask[1], mask[2]);
}
static void *in_thread(void *argument) {
    (void)argument;
    told(0, 0);
    set(DEFAULT, 0, 64);
    return 0;
}
static void policy_in_map(void *start) {
    char wanted[32], line[256];
    snprintf(wanted, sizeof wanted, "%08lx ", (long)start);
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (!strncmp(line, wanted, strlen(wanted)))
            puts(strtok(strchr(line, ' '), " \n"));
    if (maps)
        fclose(maps);
}

int main(void) {
    told(0, 0);
    told(0, 4);
    told(0, 5);
    told(0, 8);
    told(0, 1);
    told((void *)4096, 0);
    RESULT(syscall(SYS_get_mempolicy, 0, 0, 0, 0, 0));
    unsigned long mask = 1;
    RESULT(syscall(SYS_get_mempolicy, 0, &mask, 0, 0, 0));
    RESULT(syscall(SYS_get_mempolicy, 0, &mask, 1, 0, 4));
    RESULT(syscall(SYS_get_mempolicy, 0, 8, 64, 0, 0));
    RESULT(syscall(SYS_get_mempolicy, 8, 0, 0, 0, 0));
    RESULT(syscall(SYS_get_mempolicy, 0, &mask, 1UL << 40, 0, 0));
    puts("-- of the thread");
    const int modes[] = {DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY, 6, 7, 100, -1, BIND | STATIC, BIND | RELATIVE,
                         BIND | STATIC | RELATIVE, BIND | BALANCING, INTERLEAVE | BALANCING, PREFERRED | STATIC, LOCAL | STATIC};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        for (unsigned long mask = 0; mask < 4; mask++) {
            errno = 0;
            long result = set(modes[i], mask, 64);
            printf("%x %lx: %ld %s\n", modes[i], mask, result, strerror(errno));
            /* Of a mask with flags Linux keeps nodes that do not exist as well. */
            if (modes[i] < 0 || !(modes[i] & (STATIC | RELATIVE | BALANCING)))
                told(0, 0);
        }
    RESULT(set(BIND, 1, 2));
    RESULT(set(BIND, 1, 1)); /* no bits at all */
    RESULT(set(BIND, 1, 0));
    RESULT(set(BIND, 3, 2)); /* the second is not read */
    RESULT(syscall(SYS_set_mempolicy, BIND, 0, 0));
    RESULT(syscall(SYS_set_mempolicy, BIND, 8, 64));
    RESULT(syscall(SYS_set_mempolicy, DEFAULT, 0, 0));
    RESULT(set(BIND, 1, 1UL << 40));
    set(INTERLEAVE, 1, 64);
    told(0, 1);
    pthread_t thread;
    pthread_create(&thread, 0, in_thread, 0);
    pthread_join(thread, 0);
    told(0, 0);
    set(DEFAULT, 0, 64);
    puts("-- of a range");
    char *area = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(area + 7 * PAGE, PAGE, PROT_READ);
    area[2 * PAGE] = 1;
    RESULT(bind_to(area, 2 * PAGE, BIND, 1, 0));
    RESULT(bind_to(area + 2 * PAGE, PAGE + 1, INTERLEAVE, 1, 1 | 2));
    RESULT(bind_to(area + 5 * PAGE, PAGE, PREFERRED, 0, 4));
    for (int i = 0; i < 7; i++)
        told(area + i * PAGE, 2);
    told(area + 2 * PAGE, 3);
    policy_in_map(area);
    policy_in_map(area + 2 * PAGE);
    policy_in_map(area + 4 * PAGE);
    policy_in_map(area + 5 * PAGE);
    set(INTERLEAVE, 1, 64);
    policy_in_map(area + 4 * PAGE);
    set(DEFAULT, 0, 64);
    RESULT(syscall(450, area, PAGE, 0, 0));
    RESULT(syscall(450, area + 2 * PAGE, PAGE, 0, 0));
    RESULT(syscall(450, area + 4 * PAGE, PAGE, 0, 0));
    RESULT(syscall(450, area, PAGE, 1, 0));
    RESULT(syscall(450, area, PAGE, 0, 1));
    RESULT(syscall(450, area + 1, PAGE, 0, 0));
    RESULT(syscall(450, area, 0, 0, 0));
    RESULT(bind_to(area + 1, PAGE, BIND, 1, 0));
    RESULT(bind_to(area, 0, BIND, 1, 0));
    RESULT(bind_to(area, PAGE, BIND, 0, 0));
    RESULT(bind_to(area, PAGE, BIND, 2, 0));
    RESULT(bind_to(area, PAGE, BIND, 1, 16));
    RESULT(bind_to(area, PAGE, 55, 1, 0));
    RESULT(bind_to(area, -1UL, BIND, 1, 0));
    RESULT(bind_to(area, 1UL << 63, BIND, 1, 0));
    RESULT(bind_to((void *)(1UL << 62), PAGE, BIND, 1, 0));
    munmap(area + PAGE, PAGE);
    RESULT(bind_to(area, 4 * PAGE, BIND, 1, 0));
    RESULT(bind_to(area, 4 * PAGE, DEFAULT, 0, 0));
    RESULT(bind_to(area + PAGE, PAGE, DEFAULT, 0, 0));
    told(area, 2);
    told(area + PAGE, 2);
    puts("-- pages");
    void *pages[4] = {area + 2 * PAGE, area + PAGE, area + 3 * PAGE, area + 7 * PAGE};
    int nodes[4] = {0, 0, 0, 0}, status[4] = {77, 77, 77, 77};
    (void)*(volatile char *)(area + 7 * PAGE);
    RESULT(syscall(SYS_move_pages, 0, 4UL, pages, 0, status, 0));
    printf("%d %d %d %d\n", status[0], status[1], status[2], status[3]);
    memset(status, 0, sizeof status);
    RESULT(syscall(SYS_move_pages, getpid(), 3UL, pages, nodes, status, 2));
    printf("%d %d %d\n", status[0], status[1], status[2]);
    nodes[1] = 1;
    RESULT(syscall(SYS_move_pages, 0, 3UL, pages, nodes, status, 2));
    nodes[1] = -1;
    RESULT(syscall(SYS_move_pages, 0, 3UL, pages, nodes, status, 2));
    RESULT(syscall(SYS_move_pages, 0, 3UL, pages, nodes, status, 1));
    RESULT(syscall(SYS_move_pages, 0, 3UL, 8, 0, status, 0));
    RESULT(syscall(SYS_move_pages, 0, 1UL, pages, 0, 8, 0));
    RESULT(syscall(SYS_move_pages, 0, 1UL, pages, 8, status, 2));
    RESULT(syscall(SYS_move_pages, 0, 0UL, 0, 0, 0, 0));
    RESULT(syscall(SYS_move_pages, 99999999, 0UL, 0, 0, 0, 0));
    unsigned long one = 1, two = 2, none = 0;
    RESULT(syscall(SYS_migrate_pages, 0, 64UL, &one, &one));
    RESULT(syscall(SYS_migrate_pages, 0, 64UL, &two, &one));
    RESULT(syscall(SYS_migrate_pages, 0, 64UL, &one, &none));
    RESULT(syscall(SYS_migrate_pages, 99999999, 64UL, &one, &one));
    RESULT(syscall(SYS_migrate_pages, 0, 64UL, 8, &one));
    return 0;
}
