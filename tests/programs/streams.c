/* Standard streams: kept apart, and not terminals here. */
#include "check.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

int main(void) {
    struct termios attributes;
    RESULT(write(1, "to standard output\n", 19));
    fflush(stdout);
    RESULT(write(2, "to standard error\n", 18));
    fprintf(stderr, "%s by stdio\n", "to standard error");
    RESULT(isatty(0));
    RESULT(isatty(1));
    RESULT(tcgetattr(1, &attributes));
    struct stat input;
    RESULT(fstat(0, &input));
    printf("input: %s, device %u:%u\n", S_ISFIFO(input.st_mode) ? "pipe" : S_ISCHR(input.st_mode) ? "characters" : "other",
           major(input.st_rdev), minor(input.st_rdev));
    char line[100];
    while (fgets(line, sizeof line, stdin))
        printf("read %zu: %s", strlen(line), line);
    CHECK(feof(stdin) && !ferror(stdin));
    char byte;
    RESULT(read(0, &byte, 1));
    RESULT(close(0));
    RESULT(read(0, &byte, 1));
    fflush(stdout);
    RESULT(close(2));
    RESULT(write(2, "lost", 4));
    return 0;
}
