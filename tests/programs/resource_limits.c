/*
 * Each limit of a process (`setrlimit(2)`) that the tests of memory do not try: what it forbids, who may change it, and who
 * inherits it. Each part runs in a child.
 */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static int set(int resource, unsigned long soft, unsigned long hard) {
    struct rlimit limit = {soft, hard};
    return setrlimit(resource, &limit);
}

static void show(const char *what, int resource) {
    struct rlimit limit;
    getrlimit(resource, &limit);
    printf("%s: %ld of %ld\n", what, (long)limit.rlim_cur, (long)limit.rlim_max);
}

static volatile sig_atomic_t told;

static void counts(int signal) {
    (void)signal;
    told++;
}

static void as_nobody(void) {
    if (syscall(SYS_setresgid, 65534, 65534, 65534) || syscall(SYS_setresuid, 65534, 65534, 65534))
        perror("setresuid");
}

/* Seconds of processor time. */
static double used(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void work_until(double seconds) {
    while (used() < seconds)
        ;
}

static void sizes(void) {
    static char bytes[3 * PAGE];
    struct iovec pieces[2] = {{bytes, 60}, {bytes, 60}};
    struct stat status;
    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600), source = open("/proc/self/exe", O_RDONLY), ends[2];
    signal(SIGXFSZ, counts);
    RESULT(set(RLIMIT_FSIZE, 100, 200));
    RESULT(pwrite(file, bytes, 60, 0));
    RESULT(pwrite(file, bytes, 60, 60)); /* What fits. */
    printf("told %d\n", told);
    RESULT(pwrite(file, bytes, 60, 100));
    printf("told %d\n", told);
    RESULT(pwrite(file, bytes, 0, 200));
    RESULT(pwritev(file, pieces, 2, 50));
    RESULT(lseek(file, 100, SEEK_SET));
    RESULT(write(file, bytes, 1));
    printf("told %d\n", told);
    RESULT(ftruncate(file, 101));
    RESULT(ftruncate(file, 100));
    RESULT(fallocate(file, 0, 0, 101));
    RESULT(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE));
    RESULT(lseek(file, 90, SEEK_SET));
    printf("told %d\n", told);
    RESULT(sendfile(file, source, NULL, 50));
    RESULT(sendfile(file, source, NULL, 50));
    RESULT(fstat(file, &status));
    printf("size %ld\n", (long)status.st_size);
    /* What is no file has no size. */
    RESULT(pipe(ends));
    RESULT(write(ends[1], bytes, 1000));
    /* A mapping may be written up to its end. */
    char *view = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    view[2000] = 1;
    signal(SIGXFSZ, SIG_IGN);
    RESULT(write(file, bytes, 50));
    RESULT(set(RLIMIT_FSIZE, 150, 200));
    RESULT(write(file, bytes, 100));
    RESULT(set(RLIMIT_FSIZE, 100, 100));
    signal(SIGXFSZ, SIG_DFL);
    fflush(stdout);
    (void)!write(file, bytes, 1);
}

static void descriptors(void) {
    int ends[2], pair[2];
    struct rlimit limit;
    int null = open("/dev/null", O_RDWR);
    syscall(SYS_close_range, 10, ~0U, 0);
    dup2(null, 20);
    RESULT(set(RLIMIT_NOFILE, 10, 30));
    while (dup(null) >= 0)
        ;
    RESULT(dup(null));
    RESULT(pipe(ends));
    RESULT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    RESULT(epoll_create1(0));
    RESULT(memfd_create("m", 0));
    RESULT(fcntl(null, F_DUPFD, 10));
    RESULT(fcntl(null, F_DUPFD, 9));
    RESULT(dup2(null, 10));
    RESULT(dup2(null, 9));
    RESULT(fcntl(20, F_GETFD)); /* What is open stays so. */
    RESULT(syscall(SYS_poll, &(struct pollfd[11]){{20, POLLOUT, 0}}, 11, 0));
    close(9);
    RESULT(dup(20));
    RESULT(set(RLIMIT_NOFILE, 31, 31));
    RESULT(set(RLIMIT_NOFILE, 10, 20));
    RESULT(getrlimit(RLIMIT_NOFILE, &limit));
}

static void *works(void *seconds) {
    work_until(*(double *)seconds);
    return NULL;
}

static void processor_time(void) {
    int status;
    signal(SIGXCPU, counts);
    set(RLIMIT_CPU, 0, 1);
    work_until(0.1);
    CHECK(told == 1);
    show("then", RLIMIT_CPU); /* It moves on. */
    work_until(0.5);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        /* It inherits the limit and not the time. Its threads use it up together. */
        pthread_t thread;
        double before = 0.7, after = 3;
        pthread_create(&thread, NULL, works, &before);
        works(&before);
        pthread_join(thread, NULL);
        puts("the child is still there");
        fflush(stdout);
        pthread_create(&thread, NULL, works, &after);
        works(&after);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("ended by %d\n", WTERMSIG(status));
    CHECK(used() < 0.9 && told == 1);
    fflush(stdout);
    work_until(3);
    CHECK(0);
}

static void no_time(void) {
    set(RLIMIT_CPU, 0, RLIM_INFINITY);
    work_until(1);
    CHECK(0);
}

static void real_time(void) {
    struct sched_param parameter = {.sched_priority = 1};
    signal(SIGXCPU, counts);
    RESULT(set(RLIMIT_RTTIME, 100000, 300000));
    work_until(used() + 0.15);
    CHECK(told == 0);
    RESULT(sched_setscheduler(0, SCHED_FIFO, &parameter));
    /* Waiting begins anew. */
    for (int turn = 0; turn < 5; turn++) {
        work_until(used() + 0.03);
        usleep(2000);
    }
    CHECK(told == 0);
    work_until(used() + 0.2);
    CHECK(told == 1);
    show("then", RLIMIT_RTTIME);
    fflush(stdout);
    work_until(used() + 3);
    CHECK(0);
}

static void queued_signals(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    as_nobody();
    RESULT(set(RLIMIT_SIGPENDING, 4, 4));
    for (int turn = 0; turn < 4; turn++)
        RESULT(sigqueue(getpid(), SIGRTMIN, (union sigval){turn}));
    RESULT(sigqueue(getpid(), SIGRTMIN, (union sigval){9}));
    RESULT(sigqueue(getpid(), SIGUSR1, (union sigval){9}));
    RESULT(kill(getpid(), SIGRTMIN + 1)); /* Without more to say, there is always room. */
    RESULT(kill(getpid(), SIGUSR2));
    siginfo_t found;
    sigset_t first;
    sigemptyset(&first);
    sigaddset(&first, SIGRTMIN);
    RESULT(sigwaitinfo(&first, &found) == SIGRTMIN);
    printf("value %d\n", found.si_value.sival_int);
    RESULT(sigqueue(getpid(), SIGRTMIN, (union sigval){10}));
    RESULT(sigqueue(getpid(), SIGRTMIN, (union sigval){11}));
}

/* What takes CAP_SYS_RESOURCE, which root does not have everywhere. */
static void raised(void) {
    struct sched_param parameter = {.sched_priority = 5};
    CHECK(set(RLIMIT_NICE, 15, 15) == 0 && set(RLIMIT_RTPRIO, 5, 5) == 0);
    CHECK(set(RLIMIT_CORE, 1, 1) == 0 && set(RLIMIT_CORE, 2, 2) == 0);
    CHECK(set(RLIMIT_NOFILE, 10, (1UL << 30)) == -1 && errno == EPERM);
    as_nobody();
    CHECK(set(RLIMIT_CORE, 2, 3) == -1 && errno == EPERM);
    CHECK(setpriority(PRIO_PROCESS, 0, 10) == 0 && setpriority(PRIO_PROCESS, 0, 5) == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, 4) == -1 && errno == EACCES);
    CHECK(sched_setscheduler(0, SCHED_FIFO, &parameter) == 0);
    parameter.sched_priority = 6;
    CHECK(sched_setparam(0, &parameter) == -1 && errno == EPERM);
    parameter.sched_priority = 0;
    CHECK(sched_setscheduler(0, SCHED_OTHER, &parameter) == 0);
}

static void give_up(void) {
    struct {
        unsigned version;
        int process;
    } header = {0x20080522, 0};
    unsigned sets[2][3];
    if (syscall(SYS_capget, &header, sets) != 0)
        perror("capget");
    for (int set = 0; set < 2; set++)
        sets[0][set] &= ~(1U << 24); /* CAP_SYS_RESOURCE */
    if (syscall(SYS_capset, &header, sets) != 0)
        perror("capset");
}

static void changes(void) {
    struct rlimit limit = {10, 5}, old;
    static const int ALL[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC,
                              RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE,
                              RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME};
    RESULT(setrlimit(RLIMIT_CORE, &limit));
    RESULT(setrlimit(16, &limit));
    RESULT(getrlimit(16, &limit));
    RESULT(getrlimit(-1, &limit));
    RESULT(syscall(SYS_setrlimit, RLIMIT_CORE, 8));
    RESULT(prlimit(0, RLIMIT_CORE, NULL, NULL));
    RESULT(prlimit(4000000, RLIMIT_CORE, NULL, &old));
    RESULT(set(RLIMIT_CORE, 5, 10));
    limit = (struct rlimit){7, 10};
    RESULT(prlimit(0, RLIMIT_CORE, &limit, &old));
    printf("before: %ld of %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    int ends[2];
    RESULT(pipe(ends) < 0);
    pid_t other = fork();
    if (other == 0) {
        char byte;
        close(ends[1]);
        _exit((int)read(ends[0], &byte, 1));
    }
    RESULT(prlimit(other, RLIMIT_CORE, NULL, &old));
    printf("inherited: %ld of %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    limit = (struct rlimit){1, 10};
    RESULT(prlimit(other, RLIMIT_CORE, &limit, NULL));
    show("own", RLIMIT_CORE);
    for (unsigned i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        getrlimit(ALL[i], &old);
        if (old.rlim_max == RLIM_INFINITY && set(ALL[i], 1UL << 40, 1UL << 40) != 0)
            printf("%d: %s\n", ALL[i], strerror(errno));
    }
    fflush(stdout);
    as_nobody();
    RESULT(set(RLIMIT_CORE, 0, 11));
    RESULT(set(RLIMIT_CORE, 10, 10));
    RESULT(set(RLIMIT_CORE, 3, 3));
    RESULT(set(RLIMIT_CORE, 3, 4));
    RESULT(prlimit(other, RLIMIT_CORE, NULL, &old));
    RESULT(prlimit(1, RLIMIT_CORE, NULL, &old));
}

static const struct {
    const char *name;
    void (*run)(void);
} PARTS[] = {
    {"sizes of files", sizes},
    {"descriptors", descriptors},
    {"processor time", processor_time},
    {"no processor time", no_time},
    {"real-time threads", real_time},
    {"queued signals", queued_signals},
    {"changes", changes},
};

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "raised"))
        return raised(), 0;
    give_up();
    pid_t children[sizeof PARTS / sizeof *PARTS];
    int ends[2], status;
    char text[4096];
    /* At the same time, for some take seconds; each tells by a pipe. */
    int readers[sizeof PARTS / sizeof *PARTS];
    for (unsigned i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        if (pipe(ends) != 0)
            perror("pipe");
        readers[i] = ends[0];
        children[i] = fork();
        if (children[i] == 0) {
            dup2(ends[1], 1);
            for (int other = 3; other < 64; other++)
                close(other);
            PARTS[i].run();
            fflush(stdout);
            _exit(0);
        }
        close(ends[1]);
    }
    for (unsigned i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        long length;
        printf("-- %s\n", PARTS[i].name);
        while ((length = read(readers[i], text, sizeof text)) > 0)
            fwrite(text, 1, (size_t)length, stdout);
        waitpid(children[i], &status, 0);
        if (WIFSIGNALED(status))
            printf("ended by signal %d\n", WTERMSIG(status));
        fflush(stdout);
    }
    return 0;
}
