/* What /proc/self/smaps says of an area. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What follows a name with its colon, of the area that holds an address; empty without one. Memory of the call before. */
static const char *row(const void *address, const char *name) {
    static char line[512];
    FILE *file = fopen("/proc/self/smaps", "r");
    int inside = 0;
    unsigned long start, end;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start <= (unsigned long)address && (unsigned long)address < end;
        else if (inside && !strncmp(line, name, strlen(name))) {
            fclose(file);
            return line + strlen(name);
        }
    }
    if (file)
        fclose(file);
    return "";
}
