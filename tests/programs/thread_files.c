/* What /proc tells of threads, and the name that one thread gives another by way of it; names that change meanwhile. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *wait_for_ever(void *argument) {
    pause();
    return argument;
}

static void print_file(const char *format, const char *which, const char *until) {
    char path[300], text[200] = "";
    snprintf(path, sizeof path, format, which);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        printf("%s: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
    char *end = until ? strstr(text, until) : NULL;
    printf("%s\n", end ? end + strlen(until) : text);
}

static atomic_int moving = 1;

static void *moves(void *argument) {
    while (atomic_load(&moving)) {
        rename("inside/a", "outside/a");
        rename("outside/a", "inside/a");
    }
    return argument;
}

/* Where a path must not lead out of a directory, it does not, although what it leads through is moved out meanwhile. */
static void stay_beneath(void) {
    char place[] = "/dev/shm/beneath-XXXXXX";
    RESULT(chdir(mkdtemp(place)));
    mkdir("inside", 0755);
    mkdir("outside", 0755);
    mkdir("inside/a", 0755);
    mkdir("inside/a/b", 0755);
    close(creat("outside/secret", 0600));
    int inside = open("inside", O_PATH);
    pthread_t thread;
    pthread_create(&thread, NULL, moves, NULL);
    int found = 0;
    for (int round = 0; round < 6000 && !found; round++) {
        struct open_how how = {.flags = O_PATH, .resolve = round % 2 ? RESOLVE_IN_ROOT : RESOLVE_BENEATH};
        found = syscall(SYS_openat2, inside, "a/b/../../secret", &how, sizeof how) >= 0;
    }
    atomic_store(&moving, 0);
    pthread_join(thread, NULL);
    printf("found what is outside: %d\n", found);
    close(inside);
    unlink("outside/secret");
    rmdir("inside/a/b");
    rmdir("inside/a");
    rmdir("inside");
    rmdir("outside");
    rmdir(place);
}

int main(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, wait_for_ever, NULL);
    char name[16] = "worker";
    RESULT(pthread_setname_np(threads[1], name));
    name[0] = 0;
    RESULT(pthread_getname_np(threads[1], name, sizeof name));
    printf("%s\n", name);
    usleep(50000);
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        print_file("/proc/self/task/%s/comm", entry->d_name, NULL);
        char path[300], letter = '?';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%*d (%*[^)]) %c", &letter) == 1)
            printf("%c\n", letter);
        if (file)
            fclose(file);
    }
    printf("%d threads\n", count);
    print_file("/proc/%s/comm", "thread-self", NULL);
    FILE *status = fopen("/proc/self/status", "r");
    char line[200];
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "Threads:", 8) == 0 || strncmp(line, "State:", 6) == 0)
            printf("%s", line);
    RESULT(access("/proc/self/task/9999999/comm", F_OK));
    stay_beneath();
    return 0;
}
