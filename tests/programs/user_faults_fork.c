/* userfaultfd(2) and other processes: children whose faults their parent handles, and writers that wait behind one that meets
 * such a fault. */
#include "check.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define BOTH (UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP)
#define FEATURE_WP_SHMEM (1 << 12)

static int open_faults(int flags, uint64_t features) {
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
        perror("userfaultfd");
    return fd;
}
static int add(int fd, void *start, unsigned long pages, int mode) {
    struct uffdio_register r = {.range = {(uintptr_t)start, pages * PAGE}, .mode = mode};
    return ioctl(fd, UFFDIO_REGISTER, &r);
}
static int copy(int fd, char *to, char content) {
    static char page[PAGE] __attribute__((aligned(4096)));
    memset(page, content, PAGE);
    struct uffdio_copy c = {.dst = (uintptr_t)to, .src = (uintptr_t)page, .len = PAGE};
    return ioctl(fd, UFFDIO_COPY, &c);
}
static int protect(int fd, char *start, unsigned long pages, int mode) {
    struct uffdio_writeprotect w = {.range = {(uintptr_t)start, pages * PAGE}, .mode = mode};
    return ioctl(fd, UFFDIO_WRITEPROTECT, &w);
}
static char *map(unsigned long pages, int flags) {
    return mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static char *area, *shared;
static pid_t forked;
static void *make_child(void *argument) {
    int (*work)(void) = argument;
    pid_t child = fork();
    if (!child)
        _exit(work());
    forked = child;
    return 0;
}
/* What comes next from a descriptor: the kind of message, the page or the descriptor of the child. */
static int next(int fd, long *what) {
    struct uffd_msg message;
    struct pollfd poll_for = {.fd = fd, .events = POLLIN};
    if (poll(&poll_for, 1, 5000) != 1 || read(fd, &message, sizeof message) != sizeof message)
        return -1;
    *what = message.event == UFFD_EVENT_FORK ? (long)message.arg.fork.ufd
                                             : (long)(message.arg.pagefault.address & -PAGE);
    return message.event;
}
static int status_of(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int use_area(void) {
    int bad = 0;
    bad |= area[0] != 7;             /* the parent's */
    bad |= (area[PAGE] != 'c') << 1; /* brought by the parent for the child */
    area[0] = 8;                     /* protected in the child too */
    shared[0] = 8;
    return bad;
}
static void followed(void) {
    puts("-- children are followed");
    int fd = open_faults(O_NONBLOCK, UFFD_FEATURE_EVENT_FORK | FEATURE_WP_SHMEM);
    area = map(4, MAP_PRIVATE);
    shared = map(1, MAP_SHARED);
    area[0] = shared[0] = 7;
    RESULT(add(fd, area, 4, BOTH));
    RESULT(add(fd, shared, 1, UFFDIO_REGISTER_MODE_WP));
    RESULT(protect(fd, area, 1, 1));
    RESULT(protect(fd, shared, 1, 1));
    pthread_t thread;
    pthread_create(&thread, 0, make_child, use_area);
    long child = 0, page = 0;
    struct pollfd poll_for = {.fd = fd, .events = POLLIN};
    CHECK(poll(&poll_for, 1, 5000) == 1);
    RESULT(copy(fd, area + PAGE, 'x')); /* not while it changes */
    CHECK(next(fd, &child) == UFFD_EVENT_FORK);
    pthread_join(thread, 0);
    CHECK((fcntl(child, F_GETFL) & O_NONBLOCK) && fcntl(child, F_GETFD) == FD_CLOEXEC);
    CHECK(next(child, &page) == UFFD_EVENT_PAGEFAULT && (char *)page == area + PAGE);
    RESULT(copy(child, area + PAGE, 'c'));
    CHECK(next(child, &page) == UFFD_EVENT_PAGEFAULT && (char *)page == area);
    RESULT(protect(child, area, 1, 0));
    CHECK(next(child, &page) == UFFD_EVENT_PAGEFAULT && (char *)page == shared);
    RESULT(protect(child, shared, 1, 0));
    CHECK(status_of(forked) == 0);
    CHECK(area[0] == 7 && shared[0] == 8);
    RESULT(copy(child, area + 2 * PAGE, 'c')); /* its process has gone */
    close(child);
    /* The parent's pages are still its own affair. */
    RESULT(copy(fd, area + PAGE, 'p'));
    CHECK(area[PAGE] == 'p');
    close(fd);
}

static int look(void) {
    return area[PAGE];
}
static void not_followed(void) {
    puts("-- nobody follows");
    pthread_t thread;
    int fd;
    /* No descriptor is left: the event stays until there is one. */
    fd = open_faults(O_NONBLOCK, UFFD_FEATURE_EVENT_FORK);
    area = map(4, MAP_PRIVATE);
    add(fd, area, 4, UFFDIO_REGISTER_MODE_MISSING);
    pthread_create(&thread, 0, make_child, look);
    struct pollfd poll_for = {.fd = fd, .events = POLLIN};
    poll(&poll_for, 1, 5000);
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    struct uffd_msg message;
    RESULT(read(fd, &message, sizeof message));
    setrlimit(RLIMIT_NOFILE, &limit);
    long child = 0, page = 0;
    CHECK(next(fd, &child) == UFFD_EVENT_FORK);
    pthread_join(thread, 0);
    CHECK(next(child, &page) == UFFD_EVENT_PAGEFAULT);
    close(child); /* what is missing is empty then */
    CHECK(status_of(forked) == 0);
    close(fd);
}

/* A writer that waits for another one sleeps, whatever signals come. */
static int file;
static void *write_area(void *argument) {
    return (void *)pwrite(file, argument, PAGE, 0);
}
static void handler(int signal) {
    (void)signal;
}
static void behind(void) {
    puts("-- behind a writer");
    int fd = open_faults(O_NONBLOCK, 0);
    area = map(1, MAP_PRIVATE);
    char *there = map(1, MAP_PRIVATE);
    there[0] = 2;
    add(fd, area, 1, UFFDIO_REGISTER_MODE_MISSING);
    file = memfd_create("file", 0);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t first, second;
    long page;
    pthread_create(&first, 0, write_area, area);
    CHECK(next(fd, &page) == UFFD_EVENT_PAGEFAULT);
    pthread_create(&second, 0, write_area, there);
    usleep(50000);
    pthread_kill(second, SIGUSR1);
    usleep(300000);
    clockid_t clock;
    struct timespec used;
    pthread_getcpuclockid(second, &clock);
    clock_gettime(clock, &used);
    CHECK(used.tv_sec == 0 && used.tv_nsec < 100000000);
    RESULT(copy(fd, area, 1));
    void *wrote[2];
    pthread_join(first, &wrote[0]);
    pthread_join(second, &wrote[1]);
    printf("%ld %ld\n", (long)wrote[0], (long)wrote[1]);
    char byte = 0;
    CHECK(pread(file, &byte, 1, 0) == 1 && byte == 2);
    close(fd);
}

int main(void) {
    setbuf(stdout, NULL);
    followed();
    not_followed();
    behind();
    syscall(SYS_setresuid, 65534, 65534, 65534);
    puts("-- privilege");
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
    RESULT(ioctl(fd, UFFDIO_API, &api));
    return 0;
}
