/*
 * Which bytes calls write: each call with a buffer for its answer is made with the buffer in the middle of memory with a
 * known content, three times with another one, so that every byte that is written is noticed, also beside the buffer.
 * Then the buffer ends where memory ends, and then one byte of it is missing.
 */
#include "check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, ROOM = 4 * PAGE, BESIDE = 256, FILLS = 3, AT_END = FILLS, SHORT, ROUNDS };

static unsigned char *room; /* ROOM bytes, and nothing behind them */
static bool untouched[ROOM];
static unsigned char *place;
static size_t missing; /* Bytes of the buffer's end. */
static const unsigned char fills[FILLS] = {0xa5, 0x5a, 0x3c};

static unsigned char *prepare(int round, size_t size) {
    switch (round) {
    case AT_END: place = room + ROOM - size; break;
    case SHORT: place = room + ROOM - size + 1; break;
    default: place = room + ROOM / 2 - PAGE / 2; break;
    }
    missing = round == SHORT;
    memset(room, fills[round % FILLS], ROOM);
    return place;
}

/* Puts something there that the call looks at. */
static void put(const void *bytes, size_t length) {
    memcpy(place, bytes, length - missing);
}

static void tell(const char *name, long result, bool hidden) {
    printf("%s: ", name);
    if (result == -1)
        printf("%s", strerrorname_np(errno));
    else if (hidden)
        printf("succeeds");
    else
        printf("%ld", result);
}

static void judge(const char *name, int round, size_t size, long result, bool hidden) {
    static long first;
    static int first_errno;
    int error = errno;
    if (round < FILLS) {
        for (size_t i = 0; i < ROOM; i++)
            untouched[i] = (round == 0 || untouched[i]) && room[i] == fills[round];
        if (round < FILLS - 1)
            return;
        tell(name, result, hidden);
        first = result, first_errno = error;
        size_t start = place - room;
        for (size_t i = 0; i < ROOM; i++) {
            if (untouched[i])
                continue;
            size_t from = i;
            while (i < ROOM && !untouched[i])
                i++;
            printf(" [%zd, %zd)%s", (ssize_t)(from - start), (ssize_t)(i - start),
                   from < start || i > start + size ? " BESIDE IT" : "");
        }
        return;
    }
    if (round == AT_END) {
        bool same = hidden ? (result == -1) == (first == -1) : result == first;
        if (!same || (result == -1 && error != first_errno)) {
            errno = error;
            tell("; at the end", result, hidden);
        }
        return;
    }
    errno = error;
    tell("; cut", result, hidden);
    putchar('\n');
}

#define PROBE_(name, size, call, hidden)                    \
    for (int round_ = 0; round_ < ROUNDS; round_++) {       \
        unsigned char *out = prepare(round_, size);         \
        errno = 0;                                          \
        long result_ = (long)(call);                        \
        judge(name, round_, size, result_, hidden);         \
        (void)out;                                          \
    }
#define PROBE(name, size, call) PROBE_(name, size, call, false)
/* Of a call whose result may be anything that is no error. */
#define PROBE_ANY(name, size, call) PROBE_(name, size, call, true)

static void about_the_system(void) {
    PROBE("uname", 390, syscall(SYS_uname, out));
    PROBE("sysinfo", 112, syscall(SYS_sysinfo, out));
    PROBE("getrandom", 13, syscall(SYS_getrandom, out, 13, 0));
    PROBE_ANY("getcpu", 4, syscall(SYS_getcpu, out, NULL, NULL));
    PROBE_ANY("getcpu node", 4, syscall(SYS_getcpu, NULL, out, NULL));
    PROBE("getrlimit", 16, syscall(SYS_getrlimit, RLIMIT_NOFILE, out));
    PROBE("prlimit64", 16, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, out));
    PROBE("getresuid", 4, syscall(SYS_getresuid, out, out, out));
    PROBE("getresgid", 4, syscall(SYS_getresgid, out, out, out));
    struct {
        uint32_t version;
        int process;
    } header = {_LINUX_CAPABILITY_VERSION_1, 0};
    PROBE("capget of version 1", 12, (header.version = _LINUX_CAPABILITY_VERSION_1, syscall(SYS_capget, &header, out)));
    PROBE("capget of version 3", 24, (header.version = _LINUX_CAPABILITY_VERSION_3, syscall(SYS_capget, &header, out)));
    PROBE("PR_GET_NAME", 16, syscall(SYS_prctl, PR_GET_NAME, out));
    PROBE("PR_GET_PDEATHSIG", 4, syscall(SYS_prctl, PR_GET_PDEATHSIG, out));
    PROBE("PR_GET_CHILD_SUBREAPER", 4, syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, out));
    PROBE("PR_GET_TSC", 4, syscall(SYS_prctl, PR_GET_TSC, out));
    PROBE("ARCH_GET_FS", 8, syscall(SYS_arch_prctl, 0x1003, out));
    size_t length;
    void *head;
    PROBE("get_robust_list", 8, syscall(SYS_get_robust_list, 0, out, &length));
    PROBE("get_robust_list length", 8, syscall(SYS_get_robust_list, 0, &head, out));
}

static void about_scheduling(void) {
    PROBE_ANY("sched_getaffinity of 8", 8, syscall(SYS_sched_getaffinity, 0, 8, out));
    PROBE("sched_getaffinity of 4", 8, syscall(SYS_sched_getaffinity, 0, 4, out));
    PROBE("sched_getaffinity of 12", 16, syscall(SYS_sched_getaffinity, 0, 12, out));
    PROBE("sched_getparam", 4, syscall(SYS_sched_getparam, 0, out));
    PROBE("sched_rr_get_interval", 16, syscall(SYS_sched_rr_get_interval, 0, out));
    PROBE("sched_getattr of 48", 48, syscall(SYS_sched_getattr, 0, out, 48, 0));
    PROBE("sched_getattr of 56", 56, syscall(SYS_sched_getattr, 0, out, 56, 0));
    PROBE("sched_getattr of 40", 48, syscall(SYS_sched_getattr, 0, out, 40, 0));
}

static void about_time(void) {
    PROBE("clock_gettime", 16, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, out));
    PROBE("clock_getres", 16, syscall(SYS_clock_getres, CLOCK_MONOTONIC, out));
    PROBE("gettimeofday", 16, syscall(SYS_gettimeofday, out, NULL));
    PROBE("gettimeofday zone", 8, syscall(SYS_gettimeofday, NULL, out));
    PROBE_ANY("time", 8, syscall(SYS_time, out));
    PROBE_ANY("times", 32, syscall(SYS_times, out));
    PROBE("getrusage", 144, syscall(SYS_getrusage, RUSAGE_SELF, out));
    PROBE("getitimer", 32, syscall(SYS_getitimer, ITIMER_REAL, out));
    struct itimerval none = {0};
    PROBE("setitimer", 32, syscall(SYS_setitimer, ITIMER_REAL, &none, out));
    struct sigevent quiet = {.sigev_notify = SIGEV_NONE};
    PROBE("timer_create", 4, syscall(SYS_timer_create, CLOCK_MONOTONIC, &quiet, out));
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &quiet, &timer);
    PROBE("timer_gettime", 32, syscall(SYS_timer_gettime, (int)(intptr_t)timer, out));
    struct itimerspec never = {0};
    PROBE("timer_settime", 32, syscall(SYS_timer_settime, (int)(intptr_t)timer, 0, &never, out));
    int file = timerfd_create(CLOCK_MONOTONIC, 0);
    PROBE("timerfd_gettime", 32, syscall(SYS_timerfd_gettime, file, out));
    PROBE("timerfd_settime", 32, syscall(SYS_timerfd_settime, file, 0, &never, out));
    struct itimerspec soon = {{0}, {0, 1}};
    PROBE("read of a timer with room", 20, (timerfd_settime(file, 0, &soon, NULL), read(file, out, 20)));
    close(file);
    struct timespec moment = {0, 1};
    PROBE("nanosleep's rest", 16, syscall(SYS_nanosleep, &moment, out));
    struct timex settings = {0};
    PROBE_ANY("adjtimex", sizeof settings, (memset(&settings, 0, sizeof settings), put(&settings, sizeof settings), syscall(SYS_adjtimex, out)));
}

static volatile int caught;
static void catch(int number) {
    caught = number;
}

static void about_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    PROBE("rt_sigaction", 32, syscall(SYS_rt_sigaction, SIGUSR2, NULL, out, 8));
    PROBE("rt_sigprocmask", 8, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, out, 8));
    PROBE("rt_sigpending", 8, syscall(SYS_rt_sigpending, out, 8));
    PROBE("rt_sigpending of 4", 4, syscall(SYS_rt_sigpending, out, 4));
    PROBE("sigaltstack", 24, syscall(SYS_sigaltstack, NULL, out));
    struct timespec none = {0};
    PROBE("rt_sigtimedwait", 128, (raise(SIGUSR1), syscall(SYS_rt_sigtimedwait, &set, out, &none, 8)));
    int file = signalfd(-1, &set, SFD_NONBLOCK);
    PROBE("read of signals", 128, (raise(SIGUSR1), read(file, out, 128)));
    PROBE("read of signals with room", 300, (raise(SIGUSR1), read(file, out, 300)));
    sigset_t pending;
    if (sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1))
        syscall(SYS_rt_sigtimedwait, &set, NULL, &none, 8);
    close(file);
    /* A wait that is interrupted. */
    struct sigaction action = {.sa_handler = catch};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0}, {0, 2000}};
    struct timespec long_time = {10, 0};
    PROBE("nanosleep's rest when interrupted", 16, (setitimer(ITIMER_REAL, &soon, NULL), syscall(SYS_nanosleep, &long_time, out)));
    struct pollfd nothing = {-1, POLLIN, 0x55};
    PROBE("poll that is interrupted", 8, (put(&nothing, 8), setitimer(ITIMER_REAL, &soon, NULL), syscall(SYS_poll, out, 1, 10000)));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static pid_t child(void) {
    pid_t number = fork();
    if (number == 0)
        _exit(3);
    return number;
}

static void about_processes(void) {
    int status;
    PROBE_ANY("wait4", 4, (child(), syscall(SYS_wait4, -1, out, 0, NULL)));
    while (wait(&status) > 0)
        ;
    PROBE_ANY("wait4's usage", 144, (child(), syscall(SYS_wait4, -1, &status, 0, out)));
    while (wait(&status) > 0)
        ;
    PROBE("waitid", 128, (child(), syscall(SYS_waitid, P_ALL, 0, out, WEXITED, NULL)));
    while (wait(&status) > 0)
        ;
    siginfo_t information;
    PROBE("waitid's usage", 144, (child(), syscall(SYS_waitid, P_ALL, 0, &information, WEXITED, out)));
    while (wait(&status) > 0)
        ;
    PROBE("waitid for nothing", 128, syscall(SYS_waitid, P_ALL, 0, out, WEXITED | WNOHANG, NULL));
    pid_t sleeper = fork();
    if (sleeper == 0)
        for (;;)
            pause();
    PROBE("wait4 without an end", 4, syscall(SYS_wait4, -1, out, WNOHANG, NULL));
    PROBE("waitid without an end", 128, syscall(SYS_waitid, P_ALL, 0, out, WEXITED | WNOHANG, NULL));
    kill(sleeper, SIGKILL);
    waitpid(sleeper, NULL, 0);
    struct iovec from = {(void *)fills, 3};
    PROBE("process_vm_readv", 3, ({
        struct iovec to = {out, 3};
        syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0);
    }));
}

static void about_files(void) {
    char directory[] = "/tmp/buffersXXXXXX";
    CHECK(mkdtemp(directory) != NULL && chdir(directory) == 0);
    PROBE_ANY("getcwd", 19, syscall(SYS_getcwd, out, 19));
    PROBE_ANY("getcwd with room", 100, syscall(SYS_getcwd, out, 100));
    PROBE("getcwd of 5", 5, syscall(SYS_getcwd, out, 5));
    int file = open("abcde", O_RDWR | O_CREAT, 0600);
    CHECK(write(file, "content", 7) == 7);
    CHECK(symlink("abcde", "link") == 0);
    PROBE("readlink", 10, syscall(SYS_readlink, "link", out, 10));
    PROBE("readlink of 3", 3, syscall(SYS_readlink, "link", out, 3));
    PROBE("readlinkat", 10, syscall(SYS_readlinkat, AT_FDCWD, "link", out, 10));
    PROBE("stat", 144, syscall(SYS_stat, "abcde", out));
    PROBE("lstat", 144, syscall(SYS_lstat, "link", out));
    PROBE("fstat", 144, syscall(SYS_fstat, file, out));
    PROBE("newfstatat", 144, syscall(SYS_newfstatat, AT_FDCWD, "abcde", out, 0));
    PROBE("statx", 256, syscall(SYS_statx, AT_FDCWD, "abcde", 0, STATX_BASIC_STATS, out));
    PROBE("statfs", 120, syscall(SYS_statfs, "abcde", out));
    PROBE("fstatfs", 120, syscall(SYS_fstatfs, file, out));
    PROBE("pread at the end", 20, pread(file, out, 20, 3));
    PROBE("pread beyond it", 20, pread(file, out, 20, 30));
    PROBE("readv", 7, ({
        struct iovec parts[3] = {{out, 2}, {out + 2, 0}, {out + 4, 3}};
        preadv(file, parts, 3, 0);
    }));
    PROBE("preadv2", 7, ({
        struct iovec part = {out, 7};
        preadv2(file, &part, 1, 0, 0);
    }));
    struct flock lock = {.l_type = F_WRLCK};
    PROBE("F_GETLK", 32, (put(&lock, 32), syscall(SYS_fcntl, file, F_GETLK, out)));
    PROBE("F_OFD_GETLK", 32, (put(&lock, 32), syscall(SYS_fcntl, file, F_OFD_GETLK, out)));
    PROBE("F_GETOWN_EX", 8, syscall(SYS_fcntl, file, F_GETOWN_EX, out));
    PROBE("F_GET_RW_HINT", 8, syscall(SYS_fcntl, file, F_GET_RW_HINT, out));
    PROBE("FIONREAD of a file", 4, (lseek(file, 0, SEEK_SET), ioctl(file, FIONREAD, out)));
    PROBE("FIGETBSZ", 4, ioctl(file, FIGETBSZ, out));
    PROBE("FIOQSIZE", 8, ioctl(file, FIOQSIZE, out));
    int listing = open(".", O_RDONLY | O_DIRECTORY);
    mkdir("d", 0700);
    int inner = open("d", O_RDONLY | O_DIRECTORY);
    PROBE("getdents64", 48, (lseek(inner, 0, SEEK_SET), syscall(SYS_getdents64, inner, out, 48)));
    PROBE("getdents64 with room", 200, (lseek(inner, 0, SEEK_SET), syscall(SYS_getdents64, inner, out, 200)));
    PROBE("getdents64 of 30", 30, (lseek(inner, 0, SEEK_SET), syscall(SYS_getdents64, inner, out, 30)));
    PROBE("getdents64 of 10", 10, (lseek(inner, 0, SEEK_SET), syscall(SYS_getdents64, inner, out, 10)));
    PROBE("getdents", 49, (lseek(inner, 0, SEEK_SET), syscall(SYS_getdents, inner, out, 49)));
    close(inner), close(listing);
    struct {
        uint32_t bytes;
        int kind;
    } handle = {0, 0};
    PROBE("name_to_handle_at without room", 8, (put(&handle, 8), syscall(SYS_name_to_handle_at, AT_FDCWD, "abcde", out, &(int){0}, 0)));
    PROBE("name_to_handle_at's mount", 4, ({
        char made[200] = {128};
        syscall(SYS_name_to_handle_at, AT_FDCWD, "abcde", made, out, 0);
    }));
    setxattr("abcde", "user.one", "value", 5, 0);
    PROBE("getxattr", 5, syscall(SYS_getxattr, "abcde", "user.one", out, 5));
    PROBE("getxattr with room", 50, syscall(SYS_getxattr, "abcde", "user.one", out, 50));
    PROBE("getxattr of 2", 2, syscall(SYS_getxattr, "abcde", "user.one", out, 2));
    PROBE("listxattr", 9, syscall(SYS_listxattr, "abcde", out, 9));
    int watch = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(watch, ".", IN_ATTRIB);
    PROBE("read of inotify", 32, (chmod("abcde", 0600), read(watch, out, 32)));
    PROBE("read of inotify with room", 100, (chmod("abcde", 0600), read(watch, out, 100)));
    close(watch);
    int ends[2];
    CHECK(pipe(ends) == 0);
    off_t start = 0;
    PROBE("sendfile's offset", 8, (put(&start, 8), syscall(SYS_sendfile, ends[1], file, out, 2)));
    PROBE("splice's offset", 8, (put(&start, 8), syscall(SYS_splice, file, out, ends[1], NULL, 2, 0)));
    PROBE("copy_file_range's offset", 8, ({
        off_t to = 100;
        put(&start, 8), syscall(SYS_copy_file_range, file, out, file, &to, 2, 0);
    }));
    close(ends[0]), close(ends[1]), close(file);
    unsigned char *pages = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    PROBE("mincore", 5, syscall(SYS_mincore, pages, 5 * PAGE, out));
    munmap(pages, 5 * PAGE);
    unlink("abcde"), unlink("link"), rmdir("d");
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
}

static void about_pipes_and_events(void) {
    int ends[2];
    PROBE("pipe", 8, syscall(SYS_pipe, out) == 0 ? (close(((int *)out)[0]), close(((int *)out)[1])) : -1);
    PROBE("pipe2", 8, syscall(SYS_pipe2, out, O_CLOEXEC) == 0 ? (close(((int *)out)[0]), close(((int *)out)[1])) : -1);
    CHECK(pipe(ends) == 0);
    PROBE("read of a pipe", 3, (write(ends[1], "abc", 3), read(ends[0], out, 3)));
    PROBE("read of a pipe with room", 30, (write(ends[1], "abc", 3), read(ends[0], out, 30)));
    char all[100];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (read(ends[0], all, sizeof all) > 0)
        ;
    write(ends[1], "abc", 3);
    PROBE("FIONREAD of a pipe", 4, ioctl(ends[0], FIONREAD, out));
    int counter = eventfd(0, EFD_NONBLOCK);
    PROBE("read of a counter", 8, (eventfd_write(counter, 5), read(counter, out, 8)));
    PROBE("read of a counter with room", 16, (eventfd_write(counter, 5), read(counter, out, 16)));
    eventfd_write(counter, 5);
    int poll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u64 = 1}};
    epoll_ctl(poll, EPOLL_CTL_ADD, counter, &event);
    epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event);
    PROBE("epoll_wait", 24, syscall(SYS_epoll_wait, poll, out, 2, 0));
    PROBE("epoll_wait with room", 60, syscall(SYS_epoll_wait, poll, out, 5, 0));
    PROBE("epoll_wait for one", 12, syscall(SYS_epoll_wait, poll, out, 1, 0));
    /* Of what is polled only the answer is written. */
    struct pollfd ready = {counter, POLLIN, 0};
    unsigned char *half = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(half + PAGE - 6, &ready, sizeof ready);
    mprotect(half, PAGE, PROT_READ);
    RESULT(syscall(SYS_poll, half + PAGE - 6, 1, 0));
    printf("what came: %d\n", half[PAGE]);
    munmap(half, 2 * PAGE);
    for (int count = 1; count <= 64; count += 63) {
        unsigned char one[8] = {1};
        PROBE("select", 8, (put(one, 8), syscall(SYS_select, count, out, NULL, NULL, &(struct timeval){0})));
    }
    struct timespec time = {0, 1};
    PROBE("ppoll's time", 16, (put(&time, 16), syscall(SYS_ppoll, &ready, 1, out, NULL, 8)));
    PROBE("select's time", 16, (put(&time, 16), syscall(SYS_select, 0, NULL, NULL, NULL, out)));
    PROBE("io_setup", 8, ({
        aio_context_t context = 0;
        put(&context, 8), syscall(SYS_io_setup, 4, out);
    }));
    aio_context_t context = 0;
    CHECK(syscall(SYS_io_setup, 4, &context) == 0);
    char byte;
    struct iocb reading = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = open("/dev/zero", O_RDONLY), .aio_buf = (uintptr_t)&byte, .aio_nbytes = 1};
    struct iocb *list[1] = {&reading};
    PROBE("io_getevents", 64, (syscall(SYS_io_submit, context, 1, list), syscall(SYS_io_getevents, context, 1, 2, out, NULL)));
    close(reading.aio_fildes), close(counter), close(poll), close(ends[0]), close(ends[1]);
}

static long accept_one(int listener, void *peer, socklen_t *length) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    getsockname(listener, (void *)&address, &size);
    connect(client, (void *)&address, size);
    int server = accept(listener, peer, length), error = errno;
    close(client);
    if (server >= 0)
        close(server);
    errno = error;
    return server < 0 ? -1 : 0;
}

static void about_sockets(void) {
    PROBE("socketpair", 8, syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, out) == 0 ? (close(((int *)out)[0]), close(((int *)out)[1])) : -1);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(bind(listener, (void *)&address, length) == 0 && listen(listener, 5) == 0);
    CHECK(getsockname(listener, (void *)&address, &length) == 0);
    CHECK(connect(client, (void *)&address, length) == 0);
    int server = accept(listener, NULL, NULL);
    for (socklen_t given = 0; given <= 30; given += 10) {
        socklen_t told[ROUNDS];
        size_t size = given ? given : 1;
        PROBE("getsockname", size, (told[round_] = given, syscall(SYS_getsockname, server, out, &told[round_])));
        printf("length %u\n", told[AT_END]);
        PROBE("getpeername", size, (told[round_] = given, syscall(SYS_getpeername, server, out, &told[round_])));
        printf("length %u\n", told[AT_END]);
        PROBE("getsockname of a local one", size, (told[round_] = given, syscall(SYS_getsockname, pair[0], out, &told[round_])));
        printf("length %u\n", told[AT_END]);
        PROBE("accept", size, (told[round_] = given, accept_one(listener, out, &told[round_])));
        printf("length %u\n", told[AT_END]);
    }
    PROBE("getsockname's length", 4, (length = 16, put(&length, 4), syscall(SYS_getsockname, server, &address, out)));
    static const struct {
        const char *name;
        int level, option;
        socklen_t length;
    } options[] = {
        {"SO_TYPE", SOL_SOCKET, SO_TYPE, 4}, {"SO_TYPE", SOL_SOCKET, SO_TYPE, 2}, {"SO_TYPE", SOL_SOCKET, SO_TYPE, 12},
        {"SO_ERROR", SOL_SOCKET, SO_ERROR, 4}, {"SO_LINGER", SOL_SOCKET, SO_LINGER, 8}, {"SO_LINGER", SOL_SOCKET, SO_LINGER, 20},
        {"SO_LINGER", SOL_SOCKET, SO_LINGER, 5}, {"SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, 16}, {"SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, 10},
        {"SO_PEERCRED", SOL_SOCKET, SO_PEERCRED, 12}, {"SO_PEERCRED", SOL_SOCKET, SO_PEERCRED, 30}, {"SO_COOKIE", SOL_SOCKET, SO_COOKIE, 8},
        {"SO_COOKIE", SOL_SOCKET, SO_COOKIE, 4}, {"SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE, 16}, {"SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE, 4},
        {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 3}, {"SO_PEERNAME", SOL_SOCKET, 28, 16},
        {"SO_PEERNAME", SOL_SOCKET, 28, 20}, {"SO_PEERNAME", SOL_SOCKET, 28, 8},
        {"TCP_INFO", IPPROTO_TCP, TCP_INFO, 104}, {"TCP_INFO", IPPROTO_TCP, TCP_INFO, 50}, {"TCP_INFO", IPPROTO_TCP, TCP_INFO, 200},
        {"TCP_CONGESTION", IPPROTO_TCP, TCP_CONGESTION, 16}, {"TCP_CONGESTION", IPPROTO_TCP, TCP_CONGESTION, 30}, {"TCP_CONGESTION", IPPROTO_TCP, TCP_CONGESTION, 3},
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 4}, {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1}, {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 9},
        {"IP_TTL", IPPROTO_IP, IP_TTL, 1}, {"IP_TTL", IPPROTO_IP, IP_TTL, 4}, {"IP_TTL", IPPROTO_IP, IP_TTL, 8}, {"IP_TTL", IPPROTO_IP, IP_TTL, 3},
        {"IP_MTU", IPPROTO_IP, IP_MTU, 4}, {"IP_MULTICAST_IF", IPPROTO_IP, IP_MULTICAST_IF, 4},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        socklen_t told[ROUNDS], size = options[i].length;
        char name[60];
        snprintf(name, sizeof name, "%s of %u", options[i].name, size);
        PROBE(name, size, (told[round_] = size, syscall(SYS_getsockopt, server, options[i].level, options[i].option, out, &told[round_])));
        printf("length %u\n", told[AT_END]);
    }
    int streams[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, streams) == 0);
    PROBE("recv of a local stream", 3, (write(streams[0], "abc", 3), recv(streams[1], out, 3, 0)));
    RESULT(recv(streams[1], &address, 16, 0));
    PROBE("recv of a local datagram", 3, (write(pair[0], "abc", 3), recv(pair[1], out, 3, MSG_DONTWAIT)));
    RESULT(recv(pair[1], &address, 16, MSG_DONTWAIT));
    PROBE("peek", 3, (write(streams[0], "abc", 3), recv(streams[1], out, 3, MSG_PEEK)));
    close(streams[0]), close(streams[1]);
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    length = sizeof own;
    CHECK(bind(datagrams, (void *)&own, length) == 0 && getsockname(datagrams, (void *)&own, &length) == 0);
    CHECK(connect(datagrams, (void *)&own, length) == 0);
    PROBE("recv of a datagram", 3, (write(datagrams, "abcd", 4), recv(datagrams, out, 3, 0)));
    PROBE("recvfrom", 16, (length = 20, write(datagrams, "abc", 3), recvfrom(datagrams, &address, 3, 0, (void *)out, &length)));
    PROBE("recvfrom's length", 4, (length = 16, put(&length, 4), write(datagrams, "abc", 3), syscall(SYS_recvfrom, datagrams, &address, 3, 0, &own, out)));
    PROBE("FIONREAD of datagrams", 4, ioctl(datagrams, FIONREAD, out));
    close(datagrams);
    PROBE("FIONREAD of a socket", 4, ioctl(server, FIONREAD, out));
    PROBE("SIOCOUTQ", 4, ioctl(server, 0x5411, out));
    PROBE("SIOCATMARK", 4, ioctl(server, 0x8905, out));
    struct ifreq request = {.ifr_name = "lo"};
    static const unsigned long requests[] = {SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFTXQLEN, SIOCGIFMETRIC};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        PROBE("request to an interface", 40, (memcpy(out, request.ifr_name, 16), ioctl(server, requests[i], out)));
    PROBE("SIOCGIFNAME", 40, (request.ifr_ifindex = 1, memset(out, 0, 16), memcpy(out, &request, 20), ioctl(server, SIOCGIFNAME, out)));
    PROBE("SIOCGIFCONF", 100, ({
        struct ifconf list = {.ifc_len = 40, .ifc_buf = (char *)out};
        ioctl(server, SIOCGIFCONF, &list);
    }));
    PROBE("recv", 3, (write(client, "abc", 3), recv(server, out, 3, 0)));
    char rest[20];
    RESULT(recv(server, rest, sizeof rest, 0));
    close(client), close(server), close(listener), close(pair[0]), close(pair[1]);
}

/* Messages with what comes beside them. */
static long receive(int from, struct msghdr *header, int flags) {
    long got = recvmsg(from, header, flags);
    int error = errno;
    struct cmsghdr *first = got >= 0 ? CMSG_FIRSTHDR(header) : NULL;
    if (first && header->msg_control == place && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS)
        for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= first->cmsg_len; i++)
            close(((int *)CMSG_DATA(first))[i]);
    errno = error;
    return got;
}

static void send_files(int to, int count) {
    char control[CMSG_SPACE(3 * sizeof(int))] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);
    *first = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (int i = 0; i < count; i++)
        ((int *)CMSG_DATA(first))[i] = 0;
    sendmsg(to, &header, 0);
}

static void about_messages(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    char byte;
    struct iovec part = {&byte, 1};
    for (size_t size = 16; size <= 40; size += 4) {
        struct msghdr header;
        PROBE("descriptors", size, (header = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1, .msg_control = out, .msg_controllen = size}, send_files(pair[0], 3), receive(pair[1], &header, 0)));
        printf("control %zu, flags %x\n", header.msg_controllen, header.msg_flags);
        while (recv(pair[1], &byte, 1, 0) > 0)
            ;
    }
    int on = 1;
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(pair[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    for (size_t size = 24; size <= 88; size += 16) {
        struct msghdr header;
        PROBE("time, credentials and a descriptor", size, (header = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1, .msg_control = out, .msg_controllen = size}, send_files(pair[0], 1), receive(pair[1], &header, 0)));
        printf("control %zu, flags %x\n", header.msg_controllen, header.msg_flags);
        while (recv(pair[1], &byte, 1, 0) > 0)
            ;
    }
    PROBE("recvmsg's parts", 9, ({
        struct iovec parts[3] = {{out, 2}, {out + 3, 0}, {out + 4, 5}};
        struct msghdr header = {.msg_iov = parts, .msg_iovlen = 3};
        send(pair[0], "abcd", 4, 0);
        recvmsg(pair[1], &header, 0);
    }));
    while (recv(pair[1], &byte, 1, 0) > 0)
        ;
    PROBE("recvmmsg", 128, ({
        struct mmsghdr made[2] = {{{.msg_iov = &part, .msg_iovlen = 1}, 0}, {{.msg_iov = &part, .msg_iovlen = 1}, 0}};
        put(made, 128);
        send(pair[0], "a", 1, 0);
        recvmmsg(pair[1], (void *)out, 2, 0, NULL);
    }));
    while (recv(pair[1], &byte, 1, 0) > 0)
        ;
    /* Of a header only what is told is written, and of one of several messages its length. */
    unsigned char *half = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct mmsghdr header = {{.msg_iov = &part, .msg_iovlen = 1}, 0};
    memcpy(half + PAGE - 40, &header, sizeof header);
    mprotect(half, PAGE, PROT_READ);
    send(pair[0], "a", 1, 0);
    RESULT(recvmsg(pair[1], (void *)(half + PAGE - 40), 0));
    send(pair[0], "a", 1, 0);
    RESULT(recvmmsg(pair[1], (void *)(half + PAGE - 40), 1, 0, NULL));
    munmap(half, 2 * PAGE);
    close(pair[0]), close(pair[1]);
}

static void about_terminals(void) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int unlocked = 0;
    CHECK(ioctl(master, TIOCSPTLCK, &unlocked) == 0);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    static const struct {
        const char *name;
        unsigned long request;
        size_t size;
    } requests[] = {
        {"TCGETS", 0x5401, 36}, {"TCGETS2", 0x802c542a, 44}, {"TCGETA", 0x5405, 18}, {"TIOCGWINSZ", TIOCGWINSZ, 8},
        {"TIOCGPTN", TIOCGPTN, 4}, {"TIOCOUTQ", TIOCOUTQ, 4}, {"FIONREAD", FIONREAD, 4}, {"TIOCGPTLCK", TIOCGPTLCK, 4},
        {"TIOCGPKT", TIOCGPKT, 4}, {"TIOCGETD", TIOCGETD, 4}, {"TIOCGEXCL", TIOCGEXCL, 4}, {"TIOCMGET", TIOCMGET, 4},
        {"TIOCGSOFTCAR", TIOCGSOFTCAR, 4}, {"TIOCGPGRP", TIOCGPGRP, 4}, {"TIOCGSID", TIOCGSID, 4}, {"TIOCGLCKTRMIOS", TIOCGLCKTRMIOS, 36},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        for (int side = 0; side < 2; side++)
            PROBE(requests[i].name, requests[i].size, ioctl(side ? slave : master, requests[i].request, out));
    close(slave), close(master);
}

static void about_queues(void) {
    int messages = msgget(IPC_PRIVATE, 0600), semaphores = semget(IPC_PRIVATE, 3, 0600), memory = shmget(IPC_PRIVATE, PAGE, 0600);
    PROBE("msgctl", 120, syscall(SYS_msgctl, messages, IPC_STAT, out));
    PROBE("semctl", 104, syscall(SYS_semctl, semaphores, 0, IPC_STAT, out));
    PROBE("semctl of all", 6, syscall(SYS_semctl, semaphores, 0, GETALL, out));
    PROBE("shmctl", 112, syscall(SYS_shmctl, memory, IPC_STAT, out));
    PROBE_ANY("msgctl about all", 32, syscall(SYS_msgctl, 0, IPC_INFO, out));
    PROBE_ANY("semctl about all", 40, syscall(SYS_semctl, 0, 0, IPC_INFO, out));
    PROBE_ANY("shmctl about all", 72, syscall(SYS_shmctl, 0, IPC_INFO, out));
    PROBE_ANY("shmctl SHM_INFO", 48, syscall(SYS_shmctl, 0, SHM_INFO, out));
    struct {
        long kind;
        char text[5];
    } message = {1, "abcd"};
    PROBE("msgrcv", 13, (msgsnd(messages, &message, 5, 0), syscall(SYS_msgrcv, messages, out, 5, 0, IPC_NOWAIT)));
    PROBE("msgrcv with room", 40, (msgsnd(messages, &message, 5, 0), syscall(SYS_msgrcv, messages, out, 32, 0, IPC_NOWAIT)));
    PROBE("msgrcv of 2", 10, (msgsnd(messages, &message, 5, 0), syscall(SYS_msgrcv, messages, out, 2, 0, IPC_NOWAIT | MSG_NOERROR)));
    msgctl(messages, IPC_RMID, NULL), semctl(semaphores, 0, IPC_RMID), shmctl(memory, IPC_RMID, NULL);
    struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 20};
    mqd_t queue = mq_open("/output_buffers", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes);
    mq_unlink("/output_buffers");
    PROBE("mq_getattr", 64, syscall(SYS_mq_getsetattr, queue, NULL, out));
    unsigned priority;
    PROBE("mq_timedreceive", 20, (mq_send(queue, "abc", 3, 1), syscall(SYS_mq_timedreceive, queue, out, 20, &priority, NULL)));
    char text[20];
    PROBE("mq_timedreceive's priority", 4, (mq_send(queue, "abc", 3, 1), syscall(SYS_mq_timedreceive, queue, text, 20, out, NULL)));
    mq_close(queue);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    room = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED && mprotect(room + ROOM, PAGE, PROT_NONE) == 0);
    about_the_system();
    about_scheduling();
    about_time();
    about_signals();
    about_files();
    about_pipes_and_events();
    about_sockets();
    about_messages();
    about_terminals();
    about_queues();
    fflush(stdout);
    about_processes();
    return 0;
}
