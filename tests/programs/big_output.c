/* Writes megabytes to standard output in pieces of every size: `big_output BYTES` */
#include "check.h"
#include <unistd.h>

static unsigned char block[200000];

int main(int argc, char **argv) {
    unsigned long left = argc > 1 ? strtoul(argv[1], 0, 10) : 0, state = 88172645463325252UL;
    for (size_t i = 0; i < sizeof block; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block[i] = (unsigned char)state;
    }
    size_t piece = 1;
    while (left > 0) {
        piece = piece * 7 % 199999;
        size_t length = piece < left ? piece : left, offset = piece % (sizeof block - piece + 1);
        while (length > 0) {
            ssize_t now = write(1, block + offset, length);
            if (now <= 0) {
                perror("write");
                return 3;
            }
            length -= (size_t)now;
            offset += (size_t)now;
            left -= (size_t)now;
        }
    }
    return 0;
}
