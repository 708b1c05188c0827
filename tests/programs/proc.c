/* /proc and /dev as programs read them. */
#include "check.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char text[1 << 20];

static const char *content(const char *path) {
    int file = open(path, O_RDONLY);
    size_t length = 0;
    ssize_t now;
    if (file < 0)
        printf("%s: %s\n", path, strerror(errno));
    while (file >= 0 && (now = read(file, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)now;
    text[length] = 0;
    close(file);
    return text;
}

/* Whether /proc/self/maps has a line for this address with these permissions. */
static int mapped(const void *address, const char *permissions) {
    const char *line = content("/proc/self/maps");
    for (; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : 0) {
        unsigned long start, end;
        char found[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, found) == 3 && start <= (uintptr_t)address &&
            (uintptr_t)address < end)
            return !strcmp(found, permissions);
    }
    return 0;
}

int main(int argc, char **argv) {
    (void)argc;
    char path[4096];
    static int data;
    int local;
    puts("-- /proc/self");
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    CHECK(!strcmp(path, argv[0]));
    int file = open("/proc/self/exe", O_RDONLY);
    char magic[4] = {0};
    RESULT(read(file, magic, 4));
    CHECK(!memcmp(magic, "\177ELF", 4));
    CHECK(!strcmp(content("/proc/self/cmdline"), argv[0]));
    CHECK(mapped((void *)(uintptr_t)main, "r-xp"));
    CHECK(mapped(&data, "rw-p"));
    CHECK(mapped(&local, "rw-p"));
    CHECK(strstr(content("/proc/self/maps"), "[stack]"));
    CHECK(strstr(content("/proc/self/maps"), "[vdso]"));
    CHECK(strstr(content("/proc/self/maps"), path));
    free(malloc(1000));
    CHECK(strstr(content("/proc/self/maps"), "[heap]"));
    CHECK(atoi(content("/proc/self/stat")) == getpid());
    CHECK(strstr(content("/proc/self/status"), "VmRSS:"));
    CHECK(readlink("/proc/self", path, sizeof path) > 0);
    RESULT(access("/proc/self/fd/0", F_OK));
    RESULT(access("/proc/self/fd/99", F_OK));
    RESULT(open("/proc/missing", O_RDONLY));
    RESULT(open("/proc/cpuinfo", O_RDWR | O_CREAT | O_EXCL, 0600));

    puts("-- the machine");
    CHECK(strstr(content("/proc/cpuinfo"), "processor\t: 0\n"));
    CHECK(strstr(content("/proc/cpuinfo"), "\nflags\t"));
    CHECK(!strncmp(content("/proc/meminfo"), "MemTotal:", 9) && atol(strchr(text, ':') + 1) > 1000);
    CHECK(strstr(content("/proc/meminfo"), "\nMemFree:"));
    CHECK(atof(content("/proc/uptime")) > 0);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(sysconf(_SC_PHYS_PAGES) > 100);

    puts("-- /dev");
    char bytes[8] = "xxxxxxx";
    file = open("/dev/zero", O_RDWR);
    RESULT(read(file, bytes, 8));
    CHECK(!memcmp(bytes, "\0\0\0\0\0\0\0\0", 8));
    RESULT(write(file, bytes, 8));
    file = open("/dev/null", O_RDWR);
    RESULT(read(file, bytes, 8));
    RESULT(write(file, bytes, 8));
    RESULT(lseek(file, 100, SEEK_SET));
    file = open("/dev/full", O_RDWR);
    RESULT(read(file, bytes, 8));
    RESULT(write(file, bytes, 8));
    struct stat status;
    RESULT(stat("/dev/null", &status));
    CHECK(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
    printf("mode %o\n", (unsigned)status.st_mode);
    RESULT(stat("/dev/zero", &status));
    CHECK(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 5));
    file = open("/dev/stdout", O_WRONLY);
    fflush(stdout);
    RESULT(write(file, "by way of /dev/stdout\n", 22));
    return 0;
}
