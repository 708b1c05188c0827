/* The smallest useful program: what is timed around it is the machine's life. */
#include <stdio.h>

int main(void) {
    puts("hello");
    return 0;
}
