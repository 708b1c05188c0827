/*
 * Processes that wait for each other's record locks in a circle: the one that would close it is told (EDEADLK).
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int fd;

static int set(int command, int kind, int byte) {
    struct flock lock = {.l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, command, &lock);
}

/* Whether a process waits: for a lock, since it does nothing else that takes long. */
static int is_asleep(pid_t process) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    int status = open(path, O_RDONLY);
    ssize_t length = read(status, text, sizeof text - 1);
    close(status);
    char *end = length > 0 ? strrchr(text, ')') : NULL;
    return end && end[2] == 'S';
}

static void wait_until_asleep(pid_t process) {
    for (int count = 0; count < 5000 && !is_asleep(process); count++)
        usleep(1000);
    usleep(5000);
}

/* Each of several processes locks its own byte and then waits for the next one's; the last one closes the circle. */
static void circle(int count) {
    int ready[2];
    (void)!pipe(ready);
    pid_t children[16];
    char byte = 0;
    RESULT(set(F_SETLKW, F_WRLCK, 0));
    for (int index = 1; index < count; index++) {
        children[index] = fork();
        if (children[index] == 0) {
            set(F_SETLKW, F_WRLCK, index);
            (void)!write(ready[1], &byte, 1);
            /* The one before: each waits for a process that was there before it. */
            int result = set(F_SETLKW, F_WRLCK, index - 1);
            _exit(result == 0 ? 0 : errno);
        }
        (void)!read(ready[0], &byte, 1);
        wait_until_asleep(children[index]);
    }
    alarm(10);
    RESULT(set(F_SETLKW, F_WRLCK, count - 1));
    alarm(0);
    RESULT(set(F_SETLK, F_WRLCK, count - 1));
    /* Whoever waits gets on when the first gives up. */
    RESULT(set(F_SETLK, F_UNLCK, 0));
    for (int index = 1; index < count; index++) {
        int status;
        waitpid(children[index], &status, 0);
        printf("%d: %d\n", index, WEXITSTATUS(status));
    }
    close(ready[0]);
    close(ready[1]);
}

static void interrupted(int signal) { (void)signal; }

/* Who was interrupted waits no more: no circle is left behind. */
static void no_circle(void) {
    int ready[2];
    (void)!pipe(ready);
    RESULT(set(F_SETLKW, F_WRLCK, 0));
    pid_t child = fork();
    char byte = 0;
    if (child == 0) {
        struct sigaction action = {.sa_handler = interrupted};
        sigaction(SIGUSR1, &action, NULL);
        set(F_SETLKW, F_WRLCK, 1);
        (void)!write(ready[1], &byte, 1);
        RESULT(set(F_SETLKW, F_WRLCK, 0));
        fflush(stdout);
        (void)!write(ready[1], &byte, 1);
        usleep(50000);
        set(F_SETLK, F_UNLCK, 1);
        (void)!read(ready[0], &byte, 1);
        _exit(0);
    }
    (void)!read(ready[0], &byte, 1);
    wait_until_asleep(child);
    kill(child, SIGUSR1);
    (void)!read(ready[0], &byte, 1);
    RESULT(set(F_SETLKW, F_WRLCK, 1));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void *takes(void *unused) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    RESULT(fcntl(fd, F_OFD_SETLKW, &lock));
    return unused;
}

/* Locks of descriptions are not looked at: a thread waits for its own process. */
static void of_descriptions(void) {
    RESULT(set(F_SETLK, F_WRLCK, 5));
    pthread_t thread;
    pthread_create(&thread, NULL, takes, NULL);
    usleep(20000);
    RESULT(set(F_SETLK, F_UNLCK, 5));
    pthread_join(thread, NULL);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    char path[] = "/dev/shm/circles-XXXXXX";
    fd = mkstemp(path);
    unlink(path);
    circle(2);
    circle(3);
    circle(6);
    no_circle();
    of_descriptions();
    return 0;
}
