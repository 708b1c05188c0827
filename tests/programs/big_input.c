/*
 * Reads all of standard input in pieces of every size, then prints its length and a sum. Some reads go to memory
 * that ends too early: whatever they answer, what they did not deliver comes with the next read.
 */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char block[100000];

int main(void) {
    unsigned long total = 0, sum = 1469598103934665603UL;
    size_t piece = 1;
    unsigned char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);

    /* Asking again and again, without ever reading or waiting, is enough to be told of input. */
    int here = 0;
    while (here == 0)
        if (ioctl(0, FIONREAD, &here) != 0) {
            perror("ioctl");
            return 2;
        }

    for (unsigned turn = 0;; turn++) {
        piece = piece * 5 % 99991;
        unsigned char *target = turn % 4 == 3 ? pages + 4000 : block;
        ssize_t now = read(0, target, piece);
        if (now < 0 && errno == EFAULT && target != block)
            continue;
        if (now < 0) {
            perror("read");
            return 3;
        }
        if (now == 0)
            break;
        for (ssize_t i = 0; i < now; i++)
            sum = (sum ^ target[i]) * 1099511628211UL;
        total += (unsigned long)now;
    }
    printf("%lu bytes, sum %016lx\n", total, sum);
    return 0;
}
