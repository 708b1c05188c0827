/*
 * Takes memory: `use_memory touch` until there is no more, `use_memory reserve` in one piece that no
 * machine has, `use_memory share` by touching one piece that is larger than the machine's memory but may be mapped.
 * Ends with 3 when it is told ENOMEM.
 */
#include "check.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    int touch = argc > 1 && !strcmp(argv[1], "touch");
    if (argc > 1 && !strcmp(argv[1], "share")) {
        /* Nothing is promised for it. */
        size_t much = 1UL << 32;
        char *block = mmap(0, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (block == MAP_FAILED)
            return 3;
        for (size_t at = 0; at < much; at += 4096)
            block[at] = 1;
        return 5;
    }
    size_t length = touch ? 1UL << 20 : 1UL << 45;
    for (;;) {
        char *block = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            printf("mmap: %s\n", strerror(errno));
            return 3;
        }
        if (touch)
            memset(block, 1, length);
        else
            return 4;
    }
}
