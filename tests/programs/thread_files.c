/* What /proc tells of threads, and the name that one thread gives another by way of it. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
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
    return 0;
}
