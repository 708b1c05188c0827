/*
 * Takes memory: `use_memory touch` until there is no more, `use_memory reserve` in one piece that no
 * machine has. Ends with 3 when it is told ENOMEM.
 */
#include "check.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    int touch = argc > 1 && !strcmp(argv[1], "touch");
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
