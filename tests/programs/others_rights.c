/*
 * What is decided by who somebody else is: signals for a thread that is not who its process's first thread is, and files
 * in directories where everybody may make some (protected_symlinks and its kin in proc(5), which are asked for first: where
 * Linux does not protect them, nothing is to be seen). And what a program finds pending that another one leaves behind.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int numbers[2];

static void *another_user(void *unused)
{
    (void)unused;
    pid_t own = syscall(SYS_gettid);
    /* The thread alone: libraries would make all follow. */
    if (syscall(SYS_setresuid, 1234, 1234, 1234) || write(numbers[1], &own, sizeof own) != sizeof own)
        _exit(1);
    pause();
    return NULL;
}

static void thread_of_another_user(void)
{
    pid_t process, thread;

    puts("-- signals for a thread");
    fflush(stdout);
    if (pipe(numbers))
        exit(1);
    process = fork();
    if (process == 0) {
        pthread_t made;
        pthread_create(&made, NULL, another_user, NULL);
        pause();
    }
    if (read(numbers[0], &thread, sizeof thread) != sizeof thread)
        exit(1);
    if (fork() == 0) {
        if (setresuid(1234, 1234, 1234))
            _exit(1);
        RESULT(syscall(SYS_tkill, process, 0));
        RESULT(syscall(SYS_tkill, thread, 0));
        RESULT(syscall(SYS_tgkill, process, thread, 0));
        RESULT(syscall(SYS_tgkill, process, process, 0));
        RESULT(kill(process, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    if (fork() == 0) {
        if (setresuid(4321, 4321, 4321))
            _exit(1);
        RESULT(syscall(SYS_tkill, thread, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    kill(process, SIGKILL);
    waitpid(process, NULL, 0);
}

static int is_protected(const char *what)
{
    char path[64], value = '0';
    snprintf(path, sizeof path, "/proc/sys/fs/protected_%s", what);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, &value, 1) != 1)
        exit(1);
    close(fd);
    return value - '0';
}

static char place[64];

static const char *in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return path;
}

/* What a call answers, if the protection is on as in a machine; else what it would answer then. */
#define PROTECTED(what, least, call, answer)                                        \
    do {                                                                            \
        errno = 0;                                                                  \
        int result_ = (call);                                                       \
        if (result_ >= 0)                                                           \
            close(result_);                                                         \
        printf("%s: %s\n", #call, strerror(is_protected(what) >= least ? errno : answer)); \
    } while (0)

static void as(uid_t user)
{
    if (setresuid(0, 0, 0) || (user && setresuid(user, user, 0)))
        exit(1);
}

static void shared_directory(void)
{
    puts("-- a directory where everybody may make files");
    snprintf(place, sizeof place, "/tmp/others-%d", getpid());
    mkdir(place, 0755);
    chmod(place, 01777);
    as(1234);
    symlink("file", in("link"));
    symlink(".", in("hop"));
    symlink("hop", in("way"));
    mkfifo(in("pipe"), 0666);
    chmod(in("pipe"), 0666);
    close(open(in("file"), O_CREAT | O_WRONLY, 0666));
    chmod(in("file"), 0666);
    close(open(in("private"), O_CREAT | O_WRONLY, 0600));
    close(open(in("set"), O_CREAT | O_WRONLY, 0666));
    chmod(in("set"), 04777);
    as(0);
    puts("as root");
    PROTECTED("symlinks", 1, open(in("link"), O_RDONLY), EACCES);
    PROTECTED("symlinks", 1, chmod(in("link"), 0666), EACCES);
    PROTECTED("fifos", 1, open(in("pipe"), O_RDWR | O_CREAT, 0600), EACCES);
    PROTECTED("regular", 1, open(in("file"), O_RDWR | O_CREAT, 0600), EACCES);
    /* Links in the middle of a path are nobody's concern. */
    SUCCESS(open(in("way/file"), O_RDONLY));
    PROTECTED("symlinks", 1, open(in("way"), O_RDONLY), EACCES);
    SUCCESS(open(in("file"), O_RDWR));
    SUCCESS(open(in("pipe"), O_RDWR));
    RESULT(link(in("private"), strcat(strcpy((char[128]){0}, place), "/root")));
    puts("as another user");
    as(4321);
    PROTECTED("symlinks", 1, open(in("link"), O_RDONLY), EACCES);
    PROTECTED("fifos", 1, open(in("pipe"), O_RDWR | O_CREAT, 0600), EACCES);
    PROTECTED("regular", 1, open(in("file"), O_RDWR | O_CREAT, 0600), EACCES);
    char other[128];
    strcpy(other, in("other"));
    PROTECTED("hardlinks", 1, link(in("private"), other), EPERM);
    PROTECTED("hardlinks", 1, link(in("set"), other), EPERM);
    PROTECTED("hardlinks", 1, link(in("pipe"), other), EPERM);
    RESULT(link(in("file"), other));
    as(1234);
    puts("as its owner");
    SUCCESS(open(in("link"), O_RDONLY));
    SUCCESS(open(in("pipe"), O_RDWR | O_CREAT, 0600));
    SUCCESS(open(in("file"), O_RDWR | O_CREAT, 0600));
    strcpy(other, in("own"));
    RESULT(link(in("set"), other));
    as(0);
    puts("in a directory that only its owner writes");
    chmod(place, 01755);
    SUCCESS(open(in("link"), O_RDONLY));
    SUCCESS(open(in("file"), O_RDWR | O_CREAT, 0600));
    const char *names[] = {"link", "hop", "way", "pipe", "file", "private", "set", "other", "own", "root"};
    for (unsigned index = 0; index < sizeof names / sizeof *names; index++)
        unlink(in(names[index]));
    rmdir(place);
}

static void left_pending(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
    sigset_t set;
    timer_t timer;

    puts("-- pending for the next program");
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &soon, NULL);
    event.sigev_signo = SIGRTMIN;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &soon, NULL);
    kill(getpid(), SIGUSR2);
    do
        sigpending(&set);
    while (!sigismember(&set, SIGUSR1) || !sigismember(&set, SIGRTMIN));
    kill(getpid(), SIGRTMIN);
    fflush(stdout);
    execl("/proc/self/exe", "others_rights", "after", (char *)NULL);
    exit(1);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        sigset_t set;
        siginfo_t information;
        struct timespec none = {0};
        (void)arguments;
        sigpending(&set);
        CHECK(!sigismember(&set, SIGUSR1));
        CHECK(sigismember(&set, SIGUSR2));
        CHECK(sigismember(&set, SIGRTMIN));
        sigemptyset(&set);
        sigaddset(&set, SIGRTMIN);
        CHECK(sigtimedwait(&set, &information, &none) == SIGRTMIN && information.si_code == SI_USER);
        RESULT(sigtimedwait(&set, &information, &none));
        return 0;
    }
    thread_of_another_user();
    shared_directory();
    left_pending();
    return 0;
}
