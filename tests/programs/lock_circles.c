/*
 * Processes that wait for each other's record locks in a circle: the one that would close it is told (EDEADLK).
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
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

/* Who gives a lock up that another waits for is not waited for any more, even if that one has not run since. */
static void no_circle_any_more(void) {
    int ready[2];
    (void)!pipe(ready);
    RESULT(set(F_SETLK, F_UNLCK, 1));
    RESULT(set(F_SETLKW, F_WRLCK, 0));
    pid_t child = fork();
    char byte = 0;
    if (child == 0) {
        set(F_SETLKW, F_WRLCK, 1);
        (void)!write(ready[1], &byte, 1);
        set(F_SETLKW, F_WRLCK, 0);
        set(F_SETLK, F_UNLCK, 1);
        _exit(0);
    }
    (void)!read(ready[0], &byte, 1);
    wait_until_asleep(child);
    RESULT(set(F_SETLK, F_UNLCK, 0));
    RESULT(set(F_SETLKW, F_WRLCK, 1));
    RESULT(set(F_SETLK, F_UNLCK, 1));
    waitpid(child, NULL, 0);
}

static int closed_meanwhile;

static void *takes_and_finds_it_closed(void *unused) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1};
    RESULT(fcntl(closed_meanwhile, F_SETLKW, &lock));
    return unused;
}

/* A lock that comes after its descriptor was closed would stay for ever. */
static void closed_while_waiting(void) {
    int ready[2];
    (void)!pipe(ready);
    closed_meanwhile = dup(fd);
    char byte = 0;
    pid_t child = fork();
    if (child == 0) {
        set(F_SETLKW, F_WRLCK, 7);
        (void)!write(ready[1], &byte, 1);
        usleep(60000);
        _exit(0);
    }
    (void)!read(ready[0], &byte, 1);
    pthread_t thread;
    pthread_create(&thread, NULL, takes_and_finds_it_closed, NULL);
    usleep(20000);
    close(closed_meanwhile);
    pthread_join(thread, NULL);
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        RESULT(set(F_SETLK, F_WRLCK, 7));
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static int shared;

static void *locks_exclusively(void *result) {
    *(int *)result = flock(shared, LOCK_EX);
    return NULL;
}

/* Two threads lock a file by one description: what one has is not in the way of the other. */
static void by_one_description(const char *path) {
    shared = open(path, O_RDWR);
    int other = open(path, O_RDWR);
    RESULT(flock(other, LOCK_SH));
    pthread_t thread;
    int exclusive = -1;
    pthread_create(&thread, NULL, locks_exclusively, &exclusive);
    usleep(20000);
    RESULT(flock(shared, LOCK_SH));
    RESULT(flock(other, LOCK_UN));
    pthread_join(thread, NULL);
    printf("%d\n", exclusive);
    RESULT(flock(other, LOCK_SH | LOCK_NB));
    close(shared);
    close(other);
}

static void *takes(void *result) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    *(int *)result = fcntl(fd, F_OFD_SETLKW, &lock);
    return NULL;
}

/* Locks of descriptions are not looked at: a thread waits for its own process. */
static void of_descriptions(void) {
    RESULT(set(F_SETLK, F_WRLCK, 5));
    pthread_t thread;
    int taken = -1;
    pthread_create(&thread, NULL, takes, &taken);
    usleep(20000);
    RESULT(set(F_SETLK, F_UNLCK, 5));
    pthread_join(thread, NULL);
    printf("%d\n", taken);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    char path[] = "/dev/shm/circles-XXXXXX";
    fd = mkstemp(path);
    by_one_description(path);
    unlink(path);
    circle(2);
    circle(3);
    circle(6);
    no_circle();
    no_circle_any_more();
    closed_while_waiting();
    of_descriptions();
    return 0;
}
