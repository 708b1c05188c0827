/* How processes with threads end: each way is an argument. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *sleep_for_ever(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void *spin(void *argument)
{
    for (volatile long i = 0;; i++)
        ;
    return argument;
}


static void *exec(void *argument)
{
    char *arguments[] = { "/proc/self/exe", "after-exec", NULL };
    usleep(10000);
    execv(argument, arguments);
    perror("execv");
    return NULL;
}

static void *fault(void *argument)
{
    usleep(10000);
    *(volatile int *)8 = 1;
    return argument;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    const char *how = count > 1 ? arguments[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (strcmp(how, "after-exec") == 0) {
        printf("executed, first thread again: %d\n", (int)(syscall(SYS_gettid) == getpid()));
        return 5;
    }
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, i ? sleep_for_ever : spin, NULL);
    printf("%s\n", how);
    if (strcmp(how, "return") == 0)
        return 3;
    if (strcmp(how, "exit-group") == 0)
        syscall(SYS_exit_group, 4);
    if (strcmp(how, "signal") == 0)
        kill(getpid(), SIGTERM);
    if (strcmp(how, "fault") == 0)
        pthread_create(&thread, NULL, fault, NULL);
    if (strcmp(how, "exec") == 0)
        pthread_create(&thread, NULL, exec, arguments[0]);
    if (strcmp(how, "abort") == 0)
        abort();
    sleep(30);
    return 1;
}
