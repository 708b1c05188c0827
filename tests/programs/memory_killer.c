/* Several processes and too little memory: who is killed, and that the others live on. For a machine of 64 MiB. */
#include "check.h"
#include "meminfo.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MEGABYTE = 1 << 20 };

static void adjust(const char *value) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY);
    if (write(file, value, strlen(value)) < 0)
        perror("oom_score_adj");
    close(file);
}
static char *map(size_t bytes) {
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
static void touch_all(char *memory, size_t bytes) {
    for (size_t at = 0; memory != MAP_FAILED && at < bytes; at += PAGE)
        memory[at] = 1;
}
static void touch(size_t bytes) {
    touch_all(map(bytes), bytes);
}
/* A child that holds so much and waits. */
static pid_t holder(size_t bytes, const char *adjustment) {
    int ends[2];
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        adjust(adjustment);
        touch(bytes);
        if (write(ends[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    if (read(ends[0], &byte, 1) != 1)
        exit(2);
    close(ends[0]);
    close(ends[1]);
    return child;
}
/* A child that takes all there is. */
static pid_t taker(int through_call) {
    pid_t child = fork();
    if (child == 0) {
        if (through_call) {
            /* The kernel meets the faults for it. */
            char *memory = map(1UL << 32);
            int file = open("/dev/zero", O_RDONLY);
            for (size_t at = 0; at < 1UL << 32; at += MEGABYTE)
                if (read(file, memory + at, MEGABYTE) != MEGABYTE)
                    _exit(6);
        }
        touch(1UL << 32);
        _exit(5);
    }
    return child;
}
static int killed(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
static int lives(pid_t child) {
    return waitpid(child, NULL, WNOHANG) == 0;
}
/* Whoever is killed leaves nothing behind: a page table of each and a few KiB of the kernel's would be seen. */
static void leave_nothing(void) {
    enum { WARM = 10, KILLS = 20, NOISE = 80 };
    for (int count = 0; count < WARM; count++)
        killed(taker(0));
    long before = number_in("MemFree:");
    for (int count = 0; count < KILLS; count++)
        killed(taker(0));
    CHECK(before > 0 && before - number_in("MemFree:") < NOISE);
}
/* Processes that find no memory at the same moment, on several processors: each is killed once. */
static long counted_kills(void) {
    char line[128];
    long count = -1;
    FILE *file = fopen("/proc/vmstat", "r");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "oom_kill %ld", &count);
    if (file)
        fclose(file);
    return count;
}
static void together(void) {
    enum { ROUNDS = 4, TAKERS = 4 };
    long before = counted_kills(), ended = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[TAKERS];
        int start[2];
        char byte;
        if (pipe(start) != 0)
            exit(3);
        for (int i = 0; i < TAKERS; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                adjust("0");
                /* When all are there: none can be made once memory is short, and nothing be mapped. */
                char *memory = map(1UL << 32);
                close(start[1]);
                if (read(start[0], &byte, 1) == 0)
                    touch_all(memory, 1UL << 32);
                _exit(5);
            }
        }
        close(start[0]);
        close(start[1]);
        for (int i = 0; i < TAKERS; i++)
            ended += killed(children[i]);
    }
    CHECK(ended == ROUNDS * TAKERS);
    CHECK(before >= 0 && counted_kills() - before == ended);
}

int main(void) {
    pid_t small = holder(4 * MEGABYTE, "0");
    CHECK(killed(taker(0)));
    CHECK(lives(small));
    CHECK(killed(taker(1)));
    CHECK(lives(small));
    /* The one that is to be killed first goes first, although it has little. */
    pid_t first = holder(2 * MEGABYTE, "1000");
    CHECK(killed(taker(0)));
    CHECK(killed(first));
    CHECK(lives(small));
    /* What is large is killed for the sake of a small one that asks for a page. */
    pid_t large = holder(45 * MEGABYTE, "0");
    adjust("-1000");
    pid_t child = fork();
    if (child == 0) {
        adjust("-500");
        touch(20 * MEGABYTE);
        _exit(7);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK(killed(large));
    CHECK(lives(small));
    kill(small, SIGKILL);
    CHECK(killed(small));
    leave_nothing();
    together();
    return 0;
}
