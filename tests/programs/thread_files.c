/* What /proc tells of threads, and the name that one thread gives another by way of it; names that change meanwhile. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static int ends[2], file_in_use;
static atomic_int step;

static void await_step(int wanted) {
    while (atomic_load(&step) != wanted)
        usleep(1000);
}

static void where(const char *who) {
    char path[100];
    mode_t mask = umask(0);
    umask(mask);
    printf("%s: %s, %o\n", who, getcwd(path, sizeof path), mask);
}

static void *heir(void *unused) {
    where("a thread of it");
    CHECK(fcntl(60, F_GETFD) == 0);
    close(60);
    return unused;
}

static int lock(int fd, int command, int kind) {
    struct flock range = {.l_type = (short)kind, .l_whence = SEEK_SET};
    int result = fcntl(fd, command, &range);
    return command == F_GETLK && result == 0 ? range.l_type != F_UNLCK : result;
}

/* Whether somebody else has a lock on a file, as another process sees it. */
static int is_locked(const char *path) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(lock(open(path, O_RDWR), F_GETLK, F_WRLCK));
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void *goes_apart(void *path) {
    RESULT(unshare(CLONE_FS));
    RESULT(chdir("/dev"));
    umask(077);
    where("the thread");
    RESULT(dup2(0, 50));
    atomic_store(&step, 1);
    await_step(2);
    RESULT(fcntl(50, F_GETFD));
    char link[100], target[100] = "";
    snprintf(link, sizeof link, "/proc/self/task/%d/cwd", gettid());
    CHECK(readlink(link, target, sizeof target) == 4 && !strcmp(target, "/dev"));
    CHECK(readlink("/proc/self/cwd", target, sizeof target) == 1);

    RESULT(unshare(CLONE_FILES));
    RESULT(dup2(0, 60));
    int again = open(path, O_RDWR);
    CHECK(lock(again, F_SETLK, F_WRLCK) == -1 && errno == EAGAIN);
    close(again);
    CHECK(is_locked(path));
    pthread_t thread;
    pthread_create(&thread, NULL, heir, NULL);
    pthread_join(thread, NULL);
    RESULT(fcntl(60, F_GETFD));
    close(file_in_use);
    atomic_store(&step, 3);
    await_step(4);
    return NULL;
}

static int bare(void *unused) {
    (void)unused;
    syscall(SYS_close, ends[0]);
    syscall(SYS_chdir, "/proc");
    syscall(SYS_exit, 0);
    return 0;
}

static void *executes(void *unused) {
    unshare(CLONE_FS | CLONE_FILES);
    if (chdir("/dev") || dup2(0, 70) < 0)
        return unused;
    fcntl(71, F_SETFD, FD_CLOEXEC);
    execl("/proc/self/exe", "thread_files", "executed", NULL);
    return unused;
}

/* Threads with descriptors and directories of their own. */
static void apart(void) {
    char path[] = "/tmp/apart-XXXXXX", byte;
    file_in_use = mkstemp(path);
    RESULT(chdir("/"));
    umask(022);
    RESULT(pipe(ends));
    RESULT(dup2(0, 0));
    CHECK(lock(file_in_use, F_SETLK, F_WRLCK) == 0);
    pthread_t thread;
    pthread_create(&thread, NULL, goes_apart, path);
    await_step(1);
    where("the others");
    RESULT(fcntl(50, F_GETFD));
    atomic_store(&step, 2);
    await_step(3);
    RESULT(fcntl(60, F_GETFD));
    RESULT(fcntl(file_in_use, F_GETFD));
    CHECK(is_locked(path));
    struct pollfd poll_end = {ends[0], POLLIN, 0};
    close(ends[1]);
    RESULT(poll(&poll_end, 1, 0)); /* the thread has the other end as well */
    atomic_store(&step, 4);
    pthread_join(thread, NULL);
    RESULT(read(ends[0], &byte, 1));
    CHECK(is_locked(path));

    static char stack[65536];
    static atomic_int number = 1;
    int flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID;
    SUCCESS(clone(bare, stack + sizeof stack, flags, NULL, NULL, NULL, &number));
    while (atomic_load(&number))
        usleep(1000);
    RESULT(fcntl(ends[0], F_GETFD));
    where("the maker of a bare thread");
    close(file_in_use);
    CHECK(!is_locked(path));
    unlink(path);
    close(50);

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(0, 71);
        dup2(0, 72);
        pthread_create(&thread, NULL, executes, NULL);
        pthread_join(thread, NULL);
        _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    printf("%x\n", status);
}

int main(int arguments, char **argument) {
    if (arguments > 1 && !strcmp(argument[1], "executed")) {
        where("executed");
        RESULT(fcntl(70, F_GETFD));
        RESULT(fcntl(71, F_GETFD));
        RESULT(fcntl(72, F_GETFD));
        char target[100] = "";
        CHECK(readlink("/proc/self/cwd", target, sizeof target) == 4);
        RESULT(access("/proc/self/fd/70", F_OK));
        return 0;
    }
    apart();
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
