/* What the machine says of its memory. */
#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number of /proc/meminfo by its name with the colon, -1 without one. It takes no memory for that. */
static long number_in(const char *name) {
    static char text[8192];
    int file = open("/proc/meminfo", O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return -1;
    text[length] = 0;
    char *found = strstr(text, name);
    return found ? atol(found + strlen(name)) : -1;
}
