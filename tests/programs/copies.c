/*
 * Data of every small length and place arrives as it was sent, and a copy that meets a missing page stops at exactly
 * the byte that is missing.
 */
#include "check.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, LONGEST = 200 };

static unsigned char pattern(size_t index) {
    return (unsigned char)(index * 37 + (index >> 8) * 11 + 1);
}

int main(void) {
    static unsigned char source[4 * PAGE], target[4 * PAGE];
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = pattern(i);
    FILE *file = tmpfile();
    CHECK(file != NULL);
    int descriptor = fileno(file);
    int wrong = 0, stray = 0;
    for (size_t length = 0; length <= LONGEST; length++)
        for (size_t from = 0; from < 9; from++)
            for (size_t to = 0; to < 9; to++) {
                memset(target, 0xee, LONGEST + 32);
                if (pwrite(descriptor, source + from, length, to) != (ssize_t)length ||
                    pread(descriptor, target + to, length, to) != (ssize_t)length)
                    wrong++;
                wrong += memcmp(target + to, source + from, length) != 0;
                for (size_t i = 0; i < to; i++)
                    stray += target[i] != 0xee;
                for (size_t i = to + length; i < LONGEST + 32; i++)
                    stray += target[i] != 0xee;
            }
    for (size_t length = 500; length <= 3 * PAGE; length += 411) {
        memset(target, 0, sizeof target);
        if (pwrite(descriptor, source + 3, length, 5) != (ssize_t)length ||
            pread(descriptor, target + 1, length, 5) != (ssize_t)length)
            wrong++;
        wrong += memcmp(target + 1, source + 3, length) != 0;
    }
    printf("wrong %d, stray %d\n", wrong, stray);

    unsigned char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK(munmap(pages + PAGE, PAGE) == 0);
    int zero_ends = 0, read_ends = 0;
    CHECK(pwrite(descriptor, source, 2 * PAGE, 0) == 2 * PAGE);
    for (size_t there = 1; there <= LONGEST; there++) {
        unsigned char *start = pages + PAGE - there;
        size_t length = there + 1 + there % 70;
        memset(start, 0xee, there);
        struct iovec vector = {start, length};
        ssize_t got = preadv(descriptor, &vector, 1, 0);
        read_ends += got == (ssize_t)there && memcmp(start, source, there) == 0;
        int zeroes = 0;
        memset(start, 0xee, there);
        vector.iov_len = length;
        FILE *zero = fopen("/dev/zero", "r");
        got = readv(fileno(zero), &vector, 1);
        fclose(zero);
        for (size_t i = 0; i < there; i++)
            zeroes += start[i] == 0;
        zero_ends += got == (ssize_t)there && zeroes == (int)there;
    }
    printf("%d reads and %d of zeroes ended where the page does\n", read_ends, zero_ends);
    for (size_t there = 1; there <= LONGEST; there += 13) {
        memset(pages + PAGE - there, 0x55, there);
        printf("write with %zu bytes there: %zd\n", there, pwrite(descriptor, pages + PAGE - there, there + 40, 0));
    }
    return 0;
}
