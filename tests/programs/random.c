/* Randomness. */
#include "check.h"
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

static unsigned char large[1 << 20];

int main(void) {
    unsigned char first[32] = {0}, second[32] = {0};
    RESULT(getrandom(first, sizeof first, 0));
    RESULT(getrandom(second, sizeof second, GRND_NONBLOCK));
    CHECK(memcmp(first, second, sizeof first) != 0);
    RESULT(getrandom(first, 0, 0));
    RESULT(getrandom(first, 1, GRND_RANDOM));
    RESULT(getrandom(first, 1, 0x100));
    RESULT(getrandom((void *)8, 1, 0));
    RESULT(getrandom(large, sizeof large, 0));
    /* Each value 4096 times on average, with a deviation of 64: twelve deviations never happen. */
    unsigned counts[256] = {0};
    for (size_t i = 0; i < sizeof large; i++)
        counts[large[i]]++;
    int even = 1;
    for (int i = 0; i < 256; i++)
        even &= counts[i] > 3328 && counts[i] < 4864;
    CHECK(even);
    int file = open("/dev/urandom", O_RDONLY);
    RESULT(read(file, first, sizeof first));
    CHECK(memcmp(first, second, sizeof first) != 0);
    RESULT(getentropy(first, 32));
    RESULT(getentropy(first, 257));
    return 0;
}
