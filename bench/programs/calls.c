/*
 * What a system call costs: nanoseconds per operation, one line each. The same binary runs on both sides.
 * The calls are made directly, so that nothing in the C library can answer for the kernel.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec value;
    clock_gettime(CLOCK_MONOTONIC, &value);
    return (double)value.tv_sec * 1e9 + (double)value.tv_nsec;
}

static int zero;

static int getpid_call(void) {
    return syscall(SYS_getpid) > 0;
}

static int read_call(void) {
    char byte;
    return syscall(SYS_read, zero, &byte, 1) == 1;
}

static int map_pages(int pages) {
    size_t length = (size_t)pages * 4096;
    volatile char *memory = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 0;
    for (size_t offset = 0; offset < length; offset += 4096)
        memory[offset] = 1;
    return munmap((void *)memory, length) == 0;
}

static int map_call(void) {
    return map_pages(1);
}

static int map16_call(void) {
    return map_pages(16);
}

/* A page fault alone: the first touch of each page of a mapping, whose making and removal count too. */
enum { PAGES = 256 };

static int file;

static int file_faults(void) {
    volatile char *memory = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        return 0;
    for (size_t offset = 0; offset < PAGES * 4096; offset += 4096)
        memory[offset] = 1;
    return munmap((void *)memory, PAGES * 4096) == 0;
}

static int anonymous_faults(void) {
    return map_pages(PAGES);
}

/* Much memory at once, for which there may be large pages. */
static int many_faults(void) {
    return map_pages(64 * PAGES);
}

static char *moving;

/* A mapping with a page in it goes back and forth. */
static int move_call(void) {
    char *there = moving + 16 * 4096;
    return mremap(moving, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, there) == there &&
           mremap(there, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, moving) == moving;
}

static int measure(const char *name, int (*operation)(void), int count) {
    /* The first rounds fill caches, and QEMU's translations. */
    for (int i = 0; i < count / 10; i++)
        if (!operation())
            goto failed;
    double start = now();
    for (int i = 0; i < count; i++)
        if (!operation())
            goto failed;
    printf("%s %.1f\n", name, (now() - start) / count);
    return 0;
failed:
    perror(name);
    return 1;
}

int main(void) {
    zero = open("/dev/zero", O_RDONLY);
    if (zero < 0) {
        perror("/dev/zero");
        return 1;
    }
    int failed = measure("getpid", getpid_call, 300000);
    failed |= measure("read", read_call, 200000);
    failed |= measure("mmap", map_call, 10000);
    failed |= measure("mmap16", map16_call, 2000);
    failed |= measure("faults", anonymous_faults, 200);
    failed |= measure("many", many_faults, 5);
    file = (int)syscall(SYS_memfd_create, "bench", 0);
    if (file < 0 || ftruncate(file, PAGES * 4096) != 0)
        perror("memfd_create");
    failed |= measure("filefaults", file_faults, 200);
    moving = mmap(0, 32 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    moving[0] = 1;
    munmap(moving + 4096, 31 * 4096);
    failed |= measure("mremap", move_call, 5000);
    return failed;
}
