/* Processes: how they come to be, what they share and what not, how they end and who learns of it. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void show(const char *what, pid_t expected, pid_t found, int status)
{
    printf("%s: %s, ", what, found == expected ? "that child" : found == 0 ? "none" : "another");
    if (found <= 0)
        printf("nothing\n");
    else if (WIFEXITED(status))
        printf("exited with %d\n", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("killed by %d, core %d\n", WTERMSIG(status), !!WCOREDUMP(status));
    else if (WIFSTOPPED(status))
        printf("stopped by %d\n", WSTOPSIG(status));
    else
        printf("goes on %d\n", WIFCONTINUED(status));
}

static void wait_and_show(const char *what, pid_t child, int options)
{
    int status = 0;
    pid_t found = waitpid(child, &status, options);
    show(what, child, found, status);
}

static void say(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

/* Both sides write to the same pages, large ones too, and neither sees the other. */
static void copies_of_memory(void)
{
    enum { SIZE = 12 << 20 };
    char *private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *large = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(large, SIZE, MADV_HUGEPAGE);
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *wiped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *kept = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RESULT(madvise(wiped, 4096, MADV_WIPEONFORK));
    RESULT(madvise(kept, 4096, MADV_DONTFORK));
    *wiped = *kept = 5;
    for (int at = 0; at < SIZE; at += 4096)
        private[at] = large[at] = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int wrong = 0;
        for (int at = 0; at < SIZE; at += 4096) {
            wrong += private[at] != 1 || large[at] != 1;
            if (at % 8192 == 0)
                private[at] = large[at] = 2;
        }
        unsigned char present;
        shared[0] = 77;
        shared[1] = *wiped;
        shared[2] = mincore(kept, 4096, &present) == -1 && errno == ENOMEM;
        _exit(wrong != 0);
    }
    for (int at = SIZE - 4096; at >= 0; at -= 4096)
        if (at % 12288 == 0)
            private[at] = large[at] = 3;
    wait_and_show("memory", child, 0);
    int wrong = 0;
    for (int at = 0; at < SIZE; at += 4096)
        wrong += private[at] != (at % 12288 == 0 ? 3 : 1) || large[at] != private[at];
    printf("wrong pages %d, shared %d, wiped %d, left out %d, here %d\n", wrong, shared[0], shared[1], shared[2], *wiped);
    munmap(private, SIZE);
    munmap(large, SIZE);
}

static int tree(int depth)
{
    int sum = 1;
    for (int branch = 0; depth > 0 && branch < 2; branch++) {
        pid_t child = fork();
        if (child == 0)
            _exit(tree(depth - 1));
        int status;
        if (waitpid(child, &status, 0) == child && WIFEXITED(status))
            sum += WEXITSTATUS(status);
    }
    return sum;
}

static void *spin(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void waiting(void)
{
    int status;
    RESULT(waitpid(-1, &status, 0));
    RESULT(waitpid(-1, &status, WNOHANG));
    RESULT(waitpid(99999, &status, 0));
    RESULT(waitpid(-1, &status, 0x40));
    RESULT(wait4(INT32_MIN, &status, 0, NULL));
    siginfo_t info;
    RESULT(waitid(P_ALL, 0, &info, 0));
    RESULT(waitid(7, 0, &info, WEXITED));
    RESULT(waitid(P_ALL, 0, &info, WEXITED));

    int gate[2];
    pipe(gate);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(gate[1]);
        read(gate[0], &byte, 1);
        _exit(9);
    }
    wait_and_show("not yet", child, WNOHANG);
    memset(&info, 7, sizeof info);
    RESULT(waitid(P_PID, child, &info, WEXITED | WNOHANG));
    printf("nothing is told: %d %d\n", info.si_pid, info.si_signo);
    close(gate[1]);
    close(gate[0]);
    RESULT(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    printf("left: %d %d %d %d\n", info.si_pid == child, info.si_code, info.si_status, info.si_signo);
    struct rusage usage;
    pid_t found = wait4(child, &status, 0, &usage);
    show("taken", child, found, status);
    printf("it used memory: %d\n", usage.ru_maxrss > 0);
    RESULT(waitpid(child, &status, 0));
    RESULT(kill(child, 0));

    child = fork();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGSTOP);
    wait_and_show("stopped", child, WUNTRACED);
    wait_and_show("told once", child, WUNTRACED | WNOHANG);
    kill(child, SIGCONT);
    wait_and_show("continued", child, WCONTINUED);
    kill(child, SIGTERM);
    wait_and_show("killed", child, 0);

    child = fork();
    if (child == 0) {
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, spin, NULL);
        volatile int *nowhere = NULL;
        *nowhere = 1;
    }
    wait_and_show("a fault of one of several threads", child, 0);
    child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, spin, NULL);
        _exit(3);
    }
    wait_and_show("the end of all threads", child, 0);
}

static volatile sig_atomic_t told;
static volatile siginfo_t last;

static void on_child(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    last = *info;
    told++;
}

static void signals_of_children(void)
{
    struct sigaction action = { .sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigaction(SIGCHLD, &action, NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(4);
    wait_and_show("with a handler", child, 0);
    printf("told %d: %d %d %d\n", told, last.si_code, last.si_status, last.si_pid == child);
    child = fork();
    if (child == 0) {
        raise(SIGKILL);
        _exit(0);
    }
    wait_and_show("killed itself", child, 0);
    printf("told %d: %d %d\n", told, last.si_code, last.si_status);

    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(5);
    int status;
    RESULT(waitpid(child, &status, 0));
    signal(SIGCHLD, SIG_DFL);

    /* A clone that tells of its end in another way is waited for only if that is said. */
    signal(SIGUSR1, SIG_IGN);
    child = syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(6);
    RESULT(waitpid(child, &status, 0));
    wait_and_show("an unusual child", child, __WALL);
    signal(SIGUSR1, SIG_DFL);

    /* What is blocked and pending is not inherited but for the mask. */
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    child = fork();
    if (child == 0) {
        sigpending(&pending);
        sigprocmask(SIG_BLOCK, NULL, &set);
        _exit(sigismember(&pending, SIGUSR2) * 2 + sigismember(&set, SIGUSR2));
    }
    wait_and_show("pending 2, blocked 1", child, 0);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGUSR2, SIG_DFL);
}

static void groups(void)
{
    int ready[2];
    pipe(ready);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ready[1]);
        read(ready[0], &byte, 1);
        for (;;)
            pause();
    }
    printf("same group %d, same session %d\n", getpgid(child) == getpgrp(), getsid(child) == getsid(0));
    RESULT(setpgid(child, child));
    printf("own group %d\n", getpgid(child) == child);
    RESULT(setpgid(child, 99999));
    RESULT(setpgid(child, -1));
    RESULT(setpgid(99999, 0));
    pid_t second = fork();
    if (second == 0)
        for (;;)
            pause();
    RESULT(setpgid(second, child));
    printf("joined %d\n", getpgid(second) == child);
    RESULT(kill(-child, 0));
    RESULT(kill(-99999, 0));
    RESULT(kill(-child, SIGTERM));
    int status;
    int ended = 0;
    while (waitpid(-child, &status, 0) > 0)
        ended += WTERMSIG(status) == SIGTERM;
    printf("%d of the group were killed\n", ended);
    RESULT(waitpid(-child, &status, 0));
    close(ready[0]);
    close(ready[1]);
    child = fork();
    if (child == 0) {
        pid_t session = setsid();
        int fine = session == getpid() && getsid(0) == session && getpgrp() == session;
        fine = fine && setsid() == -1 && errno == EPERM && setpgid(0, 0) == -1 && errno == EPERM;
        _exit(fine);
    }
    wait_and_show("a session of its own", child, 0);
}

static void orphans(void)
{
    int report[2];
    pipe(report);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent)
                usleep(1000);
            write(report[1], "orphaned", 8);
            _exit(0);
        }
        _exit(0);
    }
    wait_and_show("its parent", child, 0);
    close(report[1]);
    char text[16] = "";
    while (read(report[0], text, sizeof text - 1) > 0)
        ;
    printf("%s\n", text);
    close(report[0]);
    int status;
    RESULT(waitpid(-1, &status, 0));

    RESULT(prctl(PR_SET_CHILD_SUBREAPER, 1));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            usleep(20000);
            _exit(getppid() == getpid() ? 1 : 8);
        }
        _exit(2);
    }
    wait_and_show("the child", child, 0);
    pid_t other = waitpid(-1, &status, 0);
    printf("the grandchild is ours: %d %d\n", other > 0 && other != child, WEXITSTATUS(status));
    RESULT(prctl(PR_SET_CHILD_SUBREAPER, 0));

    /* A signal at the parent's end. */
    pipe(report);
    child = fork();
    if (child == 0) {
        int ready[2];
        pipe(ready);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            write(ready[1], "r", 1);
            for (;;)
                pause();
        }
        char byte;
        read(ready[0], &byte, 1);
        _exit(0);
    }
    wait_and_show("the parent", child, 0);
    close(report[1]);
    char byte;
    RESULT(read(report[0], &byte, 1));
    close(report[0]);
}

static int in_shared_memory;

static void borrowed_memory(void)
{
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        in_shared_memory = 42;
        _exit(1);
    }
    printf("the parent sees %d\n", in_shared_memory);
    wait_and_show("vfork", child, 0);
    child = vfork();
    if (child == 0) {
        execl("/proc/self/exe", "processes", "status", "12", NULL);
        _exit(127);
    }
    wait_and_show("vfork and another program", child, 0);
    child = vfork();
    if (child == 0) {
        execl("/nowhere", "nowhere", NULL);
        _exit(errno == ENOENT ? 55 : 127);
    }
    wait_and_show("vfork and none", child, 0);
    /* The C library has registered an area of the parent's, which is not the child's. */
    static char area[32] __attribute__((aligned(32)));
    child = vfork();
    if (child == 0)
        _exit(syscall(SYS_rseq, area, sizeof area, 0, 0x53053053) == 0 ? 56 : errno);
    wait_and_show("vfork and restartable sequences", child, 0);
}

static void files(void)
{
    char path[] = "/tmp/processes-XXXXXX";
    int file = mkstemp(path);
    unlink(path);
    write(file, "0123456789", 10);
    lseek(file, 0, SEEK_SET);
    int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 4 };
    RESULT(fcntl(file, F_SETLK, &lock));
    RESULT(flock(file, LOCK_EX));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char text[5] = "";
        read(file, text, 4);
        struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
        int refused = fcntl(file, F_SETLK, &other) == -1 && (errno == EAGAIN || errno == EACCES);
        fcntl(file, F_GETLK, &other);
        int owner = other.l_pid == getppid();
        /* The lock of the description is ours as well; closing does not give the parent's lock up. */
        int shared = flock(file, LOCK_EX | LOCK_NB) == 0;
        close(own);
        close(file);
        chdir("/proc");
        umask(0777);
        printf("read %s, refused %d, owner %d, shared %d\n", text, refused, owner, shared);
        fflush(stdout);
        _exit(0);
    }
    wait_and_show("files", child, 0);
    char text[5] = "";
    read(file, text, 4);
    struct flock still = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    child = fork();
    if (child == 0) {
        fcntl(file, F_GETLK, &still);
        _exit(still.l_type == F_WRLCK && still.l_pid == getppid());
    }
    wait_and_show("the lock is still there", child, 0);
    char directory[64];
    printf("position moved: %s, directory %s, descriptor open %d\n", text, getcwd(directory, sizeof directory),
           fcntl(own, F_GETFD) >= 0);
    /* A lock of a process that ends goes. */
    child = fork();
    if (child == 0) {
        struct flock end = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 8, .l_len = 1 };
        _exit(fcntl(file, F_SETLK, &end) == 0 ? 0 : 1);
    }
    wait_and_show("a lock until the end", child, 0);
    struct flock free = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 8, .l_len = 1 };
    fcntl(file, F_GETLK, &free);
    printf("free again: %d\n", free.l_type == F_UNLCK);
    close(file);
    close(own);
    /* Descriptors in common. */
    int pair[2];
    pipe(pair);
    fflush(stdout);
    child = syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        close(pair[0]);
        chdir("/proc");
        _exit(0);
    }
    wait_and_show("files in common", child, 0);
    RESULT(close(pair[0]));
    RESULT(close(pair[1]));
    printf("directory %s\n", getcwd(directory, sizeof directory));
    chdir("/");
}

static void descriptors_of_processes(void)
{
    int descriptor = -1;
    fflush(stdout);
    pid_t child = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &descriptor, NULL, NULL);
    if (child == 0) {
        usleep(20000);
        _exit(21);
    }
    struct pollfd ready = { .fd = descriptor, .events = POLLIN };
    printf("a descriptor %d\n", descriptor >= 0);
    RESULT(poll(&ready, 1, 0));
    RESULT(poll(&ready, 1, 5000));
    printf("readable %d\n", !!(ready.revents & POLLIN));
    siginfo_t info;
    RESULT(waitid(P_PIDFD, descriptor, &info, WEXITED));
    printf("%d %d %d\n", info.si_pid == child, info.si_code, info.si_status);
    RESULT(syscall(SYS_pidfd_send_signal, descriptor, SIGTERM, NULL, 0));
    close(descriptor);
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    descriptor = syscall(SYS_pidfd_open, child, 0);
    RESULT(syscall(SYS_pidfd_send_signal, descriptor, SIGTERM, NULL, 0));
    wait_and_show("killed by its descriptor", child, 0);
    close(descriptor);
    RESULT(syscall(SYS_pidfd_open, child, 0));
}

struct common {
    sem_t semaphore;
    pthread_mutex_t robust;
    pthread_mutex_t counter_lock;
    long counter;
};

static void words_in_common(void)
{
    struct common *common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sem_init(&common->semaphore, 1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&common->counter_lock, &attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&common->robust, &attributes);
    fflush(stdout);
    pid_t children[4];
    for (int i = 0; i < 4; i++)
        if ((children[i] = fork()) == 0) {
            for (int round = 0; round < 2000; round++) {
                pthread_mutex_lock(&common->counter_lock);
                common->counter++;
                pthread_mutex_unlock(&common->counter_lock);
            }
            sem_post(&common->semaphore);
            _exit(0);
        }
    for (int i = 0; i < 4; i++)
        sem_wait(&common->semaphore);
    for (int i = 0; i < 4; i++)
        waitpid(children[i], NULL, 0);
    printf("counted %ld\n", common->counter);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(&common->robust);
        sem_post(&common->semaphore);
        usleep(20000);
        _exit(0);
    }
    sem_wait(&common->semaphore);
    int result = pthread_mutex_lock(&common->robust);
    printf("the owner died: %d\n", result == EOWNERDEAD);
    waitpid(child, NULL, 0);
}

static void memory_of_others(void)
{
    static char text[32] = "of the parent";
    int ready[2], go[2];
    pipe(ready);
    pipe(go);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        strcpy(text, "of the child");
        write(ready[1], "r", 1);
        read(go[0], &byte, 1);
        _exit(strcmp(text, "written") == 0 ? 0 : 1);
    }
    char byte, copy[32] = "";
    read(ready[0], &byte, 1);
    struct iovec local = { copy, sizeof copy }, remote = { text, sizeof text };
    RESULT(process_vm_readv(child, &local, 1, &remote, 1, 0));
    printf("%s, here %s\n", copy, text);
    strcpy(copy, "written");
    RESULT(process_vm_writev(child, &local, 1, &remote, 1, 0));
    write(go[1], "g", 1);
    wait_and_show("it found what was written", child, 0);
    RESULT(process_vm_readv(child, &local, 1, &remote, 1, 0));
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
}

/* Many processes one after the other, and what is left of memory afterwards. */
static long available(void)
{
    char line[128];
    long found = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %ld", &found) == 1)
            break;
    fclose(file);
    return found;
}

static void many(int count)
{
    static char memory[256 << 10];
    long before = 0;
    for (int i = 0; i < count + 20; i++) {
        if (i == 20)
            before = available();
        memset(memory, i, sizeof memory);
        pid_t child = fork();
        if (child == 0) {
            memset(memory, -1, sizeof memory / 2);
            _exit(i & 127);
        }
        int status;
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != (i & 127)) {
            printf("child %d failed\n", i);
            exit(1);
        }
    }
    long lost = before - available();
    /* On the host others take memory too. */
    printf("%d processes, nothing lost: %d\n", count, getpid() != 1 || lost < 512);
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "status") == 0)
        return atoi(arguments[2]);
    chdir("/");
    say("-- memory");
    copies_of_memory();
    say("-- tree");
    printf("%d processes\n", tree(4));
    say("-- waiting");
    waiting();
    say("-- signals");
    signals_of_children();
    say("-- groups");
    groups();
    say("-- orphans");
    orphans();
    say("-- vfork");
    borrowed_memory();
    say("-- files");
    files();
    say("-- descriptors");
    descriptors_of_processes();
    say("-- words");
    words_in_common();
    say("-- memory of others");
    memory_of_others();
    say("-- many");
    many(200);
    return 0;
}
