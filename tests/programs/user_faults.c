/* userfaultfd(2): a program that handles its own page faults, also those that the kernel meets for it. */
#include "check.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
/* What Debian's headers may not know yet. */
#define FEATURE_WP_SHMEM (1 << 12)
#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURE_POISON (1 << 14)
#define FEATURE_WP_ASYNC (1 << 15)
#define FEATURE_MOVE (1 << 16)
#define IOC_POISON _IOWR(0xaa, 8, struct uffdio_zeropage)
#define IOC_MOVE _IOWR(0xaa, 5, struct uffdio_copy)
#define DEVICE_NEW _IO(0xaa, 0)

static char source[8 * PAGE] __attribute__((aligned(4096)));

static int open_faults(int flags, uint64_t features) {
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
        perror("userfaultfd");
    return fd;
}
static long add(int fd, void *start, unsigned long pages, int mode) {
    struct uffdio_register r = {.range = {(uintptr_t)start, pages * PAGE}, .mode = mode};
    if (ioctl(fd, UFFDIO_REGISTER, &r))
        return -1;
    return r.ioctls & 0x1fc;
}
static int drop(int fd, void *start, unsigned long pages) {
    struct uffdio_range r = {(uintptr_t)start, pages * PAGE};
    return ioctl(fd, UFFDIO_UNREGISTER, &r);
}
/* What a call that fills pages tells: bytes or a negative errno in the structure, and its own answer. */
static long copy_told;
static int copy(int fd, void *to, const void *from, unsigned long length, int mode) {
    struct uffdio_copy c = {.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = length, .mode = mode, .copy = 77};
    int result = ioctl(fd, UFFDIO_COPY, &c);
    copy_told = c.copy;
    return result;
}
static int move_to(int fd, void *to, void *from, unsigned long length, int mode) {
    struct uffdio_copy c = {.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = length, .mode = mode, .copy = 77};
    int result = ioctl(fd, IOC_MOVE, &c);
    copy_told = c.copy;
    return result;
}
static int fill(int fd, unsigned long request, void *to, unsigned long length, int mode) {
    struct uffdio_zeropage z = {.range = {(uintptr_t)to, length}, .mode = mode, .zeropage = 77};
    int result = ioctl(fd, request, &z);
    copy_told = z.zeropage;
    return result;
}
static int protect(int fd, void *start, unsigned long length, int mode) {
    struct uffdio_writeprotect w = {.range = {(uintptr_t)start, length}, .mode = mode};
    return ioctl(fd, UFFDIO_WRITEPROTECT, &w);
}
static char *map(unsigned long pages) {
    return mmap(0, pages * PAGE, READ_WRITE, PRIVATE, -1, 0);
}

static sigjmp_buf escape;
static siginfo_t caught;
static void leave(int signal, siginfo_t *information, void *context) {
    (void)context;
    caught = *information;
    siglongjmp(escape, signal);
}
/* The signal that an access brings; 0 if none. */
static int access_to(volatile char *address, int write) {
    int signal = sigsetjmp(escape, 1);
    if (!signal) {
        if (write)
            *address = 1;
        else
            (void)*address;
    }
    return signal;
}
static void catch(int signal) {
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    sigaction(signal, &action, 0);
}

static void interface(void) {
    puts("-- the interface");
    CHECK(syscall(SYS_userfaultfd, 0x10) == -1 && errno == EINVAL);
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDONLY));
    char name[64] = {0}, path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readlink(path, name, 63);
    puts(name);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLERR);
    struct uffd_msg message;
    RESULT(read(fd, &message, sizeof message));
    struct uffdio_range range = {0x100000, PAGE};
    RESULT(ioctl(fd, UFFDIO_WAKE, &range));
    struct uffdio_api api = {.api = 0xab};
    RESULT(ioctl(fd, UFFDIO_API, &api));
    api = (struct uffdio_api){.api = UFFD_API, .features = 1UL << 40};
    RESULT(ioctl(fd, UFFDIO_API, &api));
    CHECK(api.api == 0 && api.features == 0 && api.ioctls == 0);
    RESULT(ioctl(fd, UFFDIO_API, (void *)8));
    api = (struct uffdio_api){.api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID};
    RESULT(ioctl(fd, UFFDIO_API, &api));
    /* All but forks and hugetlbfs. */
    CHECK((api.features & 0x1fded) == 0x1fded);
    printf("ioctls %llx\n", api.ioctls);
    api.features = 0;
    RESULT(ioctl(fd, UFFDIO_API, &api));
    CHECK(poll(&p, 1, 0) == 0);
    RESULT(read(fd, &message, sizeof message));
    RESULT(read(fd, &message, sizeof message - 1));
    RESULT(write(fd, &message, sizeof message));
    RESULT(ioctl(fd, _IO(0xaa, 0x30), 0));
    RESULT(lseek(fd, 0, SEEK_SET));
    CHECK(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == ENODEV);
    RESULT(ioctl(fd, UFFDIO_WAKE, &range));
    range.start = 0x100001;
    RESULT(ioctl(fd, UFFDIO_WAKE, &range));
    range = (struct uffdio_range){0x100000, 0};
    RESULT(ioctl(fd, UFFDIO_WAKE, &range));
    range = (struct uffdio_range){0x100000, 1UL << 47};
    RESULT(ioctl(fd, UFFDIO_WAKE, &range));
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    char text[512] = {0};
    int info = open(path, O_RDONLY);
    read(info, text, sizeof text - 1);
    close(info);
    char *tail = strstr(text, "pending:");
    fputs(tail ? tail : "no text\n", stdout);
    close(fd);
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    fd = ioctl(device, DEVICE_NEW, O_CLOEXEC);
    CHECK(device >= 0 && fd >= 0);
    RESULT(ioctl(device, DEVICE_NEW, 0x10));
    RESULT(ioctl(device, DEVICE_NEW + 1, 0));
    close(fd);
    close(device);
}

static void registering(void) {
    puts("-- registering");
    int fd = open_faults(O_NONBLOCK, 0), other = open_faults(O_NONBLOCK, 0);
    char *area = map(8);
    printf("%lx %lx %lx\n", add(fd, area, 1, UFFDIO_REGISTER_MODE_MISSING), add(fd, area + PAGE, 1, UFFDIO_REGISTER_MODE_WP),
           add(fd, area + 2 * PAGE, 1, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
    RESULT(add(fd, area, 1, 0));
    RESULT(add(fd, area, 1, 8));
    RESULT(add(fd, area, 1, 4)); /* minor faults of private memory */
    RESULT(add(fd, area + 1, 1, 1));
    RESULT(add(fd, area, 0, 1));
    RESULT(add(other, area, 1, 1));
    RESULT(drop(other, area, 1));
    RESULT(drop(fd, area, 8));
    RESULT(drop(fd, area, 8));
    munmap(area + 2 * PAGE, PAGE);
    RESULT(add(fd, area, 4, 1) == 0x3c ? 0 : add(fd, area, 4, 1));
    munmap(area + 5 * PAGE, 3 * PAGE);
    RESULT(add(fd, area + 5 * PAGE, 1, 1));
    RESULT(drop(fd, area + 5 * PAGE, 1));
    RESULT(add(fd, (void *)0x7fffffff0000, 1, 1));
    char *code = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 0);
    RESULT(add(fd, code, 1, 1));
    int memory = memfd_create("shared", 0);
    ftruncate(memory, 4 * PAGE);
    char *file = mmap(0, 4 * PAGE, READ_WRITE, MAP_SHARED, memory, 0);
    printf("%lx\n", add(fd, file, 2, 7));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    char *only = mmap(0, PAGE, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0);
    RESULT(add(fd, only, 1, 1));
    /* Without the right to write it is watched all the same. */
    char *none = mmap(0, PAGE, PROT_NONE, PRIVATE, -1, 0);
    CHECK(add(fd, none, 1, 1) > 0);
    close(fd);
    close(other);
}

static void filling(void) {
    puts("-- filling");
    int fd = open_faults(O_NONBLOCK, 0);
    char *area = map(8);
    RESULT(copy(fd, area, source, PAGE, 0));
    printf("told %ld\n", copy_told);
    add(fd, area, 6, UFFDIO_REGISTER_MODE_MISSING);
    RESULT(copy(fd, area, source + 5, 2 * PAGE, 0)); /* need not be aligned */
    printf("told %ld\n", copy_told);
    CHECK(!memcmp(area, source + 5, 2 * PAGE));
    RESULT(copy(fd, area, source, PAGE, 0));
    printf("told %ld\n", copy_told);
    RESULT(copy(fd, area + 2 * PAGE, source, 100, 0));
    RESULT(copy(fd, area + 2 * PAGE, source, 0, 0));
    RESULT(copy(fd, area + 2 * PAGE, (void *)16, PAGE, 0));
    printf("told %ld\n", copy_told);
    RESULT(copy(fd, area + 2 * PAGE, source, PAGE, 4));
    RESULT(copy(fd, area + 2 * PAGE, source, PAGE, UFFDIO_COPY_MODE_WP));
    printf("told %ld\n", copy_told);
    RESULT(copy(fd, area + 5 * PAGE, source, 2 * PAGE, 0)); /* beyond what is watched */
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 3 * PAGE, PAGE, 0));
    printf("told %ld\n", copy_told);
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 3 * PAGE, PAGE, 0));
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 4 * PAGE, PAGE, 2));
    /* A page is there already: so far, and no further. */
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 2 * PAGE, 2 * PAGE, 0));
    printf("told %ld\n", copy_told);
    RESULT(fill(fd, UFFDIO_CONTINUE, area + 4 * PAGE, PAGE, 0));
    printf("told %ld\n", copy_told);
    area[3 * PAGE] = 3;
    CHECK(area[3 * PAGE] == 3 && area[3 * PAGE + 1] == 0);
    RESULT(protect(fd, area, PAGE, UFFDIO_WRITEPROTECT_MODE_WP));
    RESULT(protect(fd, area, PAGE, 3));
    RESULT(protect(fd, area, PAGE, 4));
    mprotect(area + 4 * PAGE, PAGE, PROT_READ);
    RESULT(copy(fd, area + 4 * PAGE, source, PAGE, 0));
    CHECK(area[4 * PAGE] == source[0]);
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area, 8 * PAGE, 0));
    close(fd);
    CHECK(access_to(area + 6 * PAGE, 1) == 0);
}

static void signals(void) {
    puts("-- SIGBUS instead of messages, poison");
    catch(SIGBUS);
    catch(SIGSEGV);
    int fd = open_faults(O_NONBLOCK, UFFD_FEATURE_SIGBUS | FEATURE_POISON);
    char *area = map(6);
    add(fd, area, 5, UFFDIO_REGISTER_MODE_MISSING);
    CHECK(access_to(area + 5, 0) == SIGBUS && caught.si_code == BUS_ADRERR && caught.si_addr == area + 5);
    CHECK(access_to(area + PAGE, 1) == SIGBUS);
    int ends[2];
    pipe(ends);
    RESULT(write(ends[1], area, 10));
    RESULT(write(ends[1], "0123456789", 10));
    RESULT(read(ends[0], area, 10));
    RESULT(madvise(area, PAGE, 22)); /* MADV_POPULATE_READ */
    RESULT(mlock(area, PAGE));
    munlock(area, PAGE);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    RESULT(fill(fd, IOC_POISON, area + PAGE, PAGE, 0));
    printf("told %ld\n", copy_told);
    RESULT(fill(fd, IOC_POISON, area + PAGE, PAGE, 0));
    /* A kernel without CONFIG_MEMORY_FAILURE knows no other code. */
    CHECK(access_to(area + PAGE + 7, 0) == SIGBUS && caught.si_addr == area + PAGE + 7);
    CHECK((caught.si_code == BUS_MCEERR_AR && caught.si_addr_lsb == 12) || caught.si_code == BUS_ADRERR);
    RESULT(write(ends[1], area + PAGE, 10));
    RESULT(madvise(area + PAGE, PAGE, 22));
    drop(fd, area, 5);
    CHECK(access_to(area + PAGE, 0) == SIGBUS);
    CHECK(access_to(area, 1) == 0);
    RESULT(madvise(area + PAGE, PAGE, MADV_DONTNEED));
    CHECK(access_to(area + PAGE, 0) == 0);
    add(fd, area, 5, UFFDIO_REGISTER_MODE_MISSING);
    fill(fd, IOC_POISON, area + 4 * PAGE, PAGE, 0);
    mmap(area + 4 * PAGE, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(access_to(area + 4 * PAGE, 0) == 0);
    RESULT(fill(fd, IOC_POISON, area + 3 * PAGE, PAGE, 0));
    RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 3 * PAGE, PAGE, 0));
    RESULT(copy(fd, area + 3 * PAGE, source, PAGE, 0));
    CHECK(access_to(area + 3 * PAGE, 0) == 0 && area[3 * PAGE] == source[0]);
    close(fd);
    /* Faults of the kernel are none of ours. */
    fd = open_faults(O_NONBLOCK | UFFD_USER_MODE_ONLY, 0);
    add(fd, area + 2 * PAGE, 1, UFFDIO_REGISTER_MODE_MISSING);
    RESULT(write(ends[1], area + 2 * PAGE, 10));
    close(fd);
    /* The area is read only: no watcher is asked. */
    fd = open_faults(O_NONBLOCK, 0);
    mprotect(area + 3 * PAGE, PAGE, PROT_READ);
    add(fd, area + 3 * PAGE, 1, UFFDIO_REGISTER_MODE_MISSING);
    CHECK(access_to(area + 3 * PAGE, 1) == SIGSEGV && caught.si_code == SEGV_ACCERR);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

/* The thread that handles faults: it fills each page with a letter, and says what it was told. */
struct handler {
    int fd, count, quiet;
    char *base;
    uint64_t last_flags, last_address;
    uint32_t last_thread;
    enum { FILL, UNPROTECT, CONTINUE } how;
    pthread_t thread;
};
static char page_of(uint64_t address, struct handler *h) {
    return 'a' + (address - (uintptr_t)h->base) / PAGE % 26;
}
static void *handle(void *argument) {
    struct handler *h = argument;
    static char page[PAGE] __attribute__((aligned(4096)));
    struct uffd_msg message;
    while (read(h->fd, &message, sizeof message) == sizeof message) {
        if (message.event != UFFD_EVENT_PAGEFAULT) {
            printf("event %x\n", message.event);
            continue;
        }
        uint64_t address = message.arg.pagefault.address, at = address & ~(PAGE - 1);
        h->last_flags = message.arg.pagefault.flags;
        h->last_address = address;
        h->last_thread = message.arg.pagefault.feat.ptid;
        __atomic_add_fetch(&h->count, 1, __ATOMIC_SEQ_CST);
        if (h->quiet < 0)
            return 0; /* to be asked once only */
        if (h->how == FILL) {
            memset(page, page_of(address, h), PAGE);
            copy(h->fd, (void *)at, page, PAGE, 0);
        } else if (h->how == UNPROTECT)
            protect(h->fd, (void *)at, PAGE, 0);
        else
            fill(h->fd, UFFDIO_CONTINUE, (void *)at, PAGE, 0);
    }
    return 0;
}
static void start(struct handler *h) {
    pthread_create(&h->thread, 0, handle, h);
}
static void stop(struct handler *h) {
    pthread_cancel(h->thread);
    pthread_join(h->thread, 0);
    close(h->fd);
}

static char *shared_word;
static void *wake_soon(void *argument) {
    (void)argument;
    while (syscall(SYS_futex, shared_word, FUTEX_WAKE, 1, 0, 0, 0) != 1)
        usleep(1000);
    return 0;
}

static void missing(void) {
    puts("-- missing pages, touched by the program and by calls");
    struct handler h = {.fd = open_faults(0, UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS), .base = map(64)};
    char *area = h.base;
    add(h.fd, area, 64, UFFDIO_REGISTER_MODE_MISSING);
    start(&h);
    CHECK(area[100] == 'a' && h.last_flags == 0 && h.last_address == (uintptr_t)area + 100);
    CHECK(h.last_thread == (uint32_t)syscall(SYS_gettid));
    area[PAGE + 5] = 'x';
    CHECK(area[PAGE] == 'b' && area[PAGE + 5] == 'x' && h.last_flags == UFFD_PAGEFAULT_FLAG_WRITE);
    CHECK(h.count == 2);
    /* Calls read and write pages that are not there. */
    int ends[2];
    char buffer[3 * PAGE];
    pipe(ends);
    RESULT(write(ends[1], area + 2 * PAGE - 3, 6));
    RESULT(read(ends[0], area + 3 * PAGE - 3, 6));
    CHECK(!memcmp(area + 3 * PAGE - 3, "bbbccc", 6) && area[3 * PAGE + 3] == 'd');
    int file = memfd_create("file", 0), other = memfd_create("other", 0);
    RESULT(write(file, area + 4 * PAGE, 2 * PAGE));
    RESULT(pread(file, buffer, PAGE + 1, 0));
    CHECK(buffer[0] == 'e' && buffer[PAGE] == 'f');
    lseek(file, 0, SEEK_SET);
    RESULT(read(file, area + 6 * PAGE, 10));
    CHECK(area[6 * PAGE] == 'e' && area[6 * PAGE + 10] == 'g');
    struct iovec pieces[2] = {{area + 7 * PAGE, 5}, {area + 8 * PAGE, 5}};
    RESULT(writev(other, pieces, 2));
    CHECK(pread(other, buffer, 10, 0) == 10 && !memcmp(buffer, "hhhhhiiiii", 10));
    RESULT(pwrite(other, area + 9 * PAGE, 1, 0));
    RESULT(open(area + 10 * PAGE, O_RDONLY)); /* a name of 4096 bytes and more */
    struct timespec *time = (void *)(area + 11 * PAGE);
    RESULT(clock_gettime(CLOCK_MONOTONIC, time));
    RESULT(syscall(SYS_getcwd, area + 12 * PAGE, 64) > 0);
    int events[2];
    pipe(events);
    write(events[1], "!", 1);
    struct pollfd *polled = (void *)(area + 13 * PAGE);
    CHECK(poll(polled, 0, 0) == 0);
    /* A futex in a page that is not there: under the kernel's lock of the table. */
    RESULT(syscall(SYS_futex, area + 14 * PAGE, FUTEX_WAIT, 5, 0, 0, 0));
    RESULT(syscall(SYS_futex, area + 15 * PAGE, FUTEX_WAKE_OP, 1, 0, area + 16 * PAGE, 0));
    CHECK(area[16 * PAGE] == 0 && area[16 * PAGE + 4] == 'q');
    RESULT(syscall(SYS_futex, area + 17 * PAGE, FUTEX_CMP_REQUEUE, 1, 1, area + 18 * PAGE, 7));
    pthread_t waker;
    shared_word = area + 19 * PAGE;
    pthread_create(&waker, 0, wake_soon, 0);
    RESULT(syscall(SYS_futex, shared_word, FUTEX_WAIT, 0x74747474, 0, 0, 0));
    pthread_join(waker, 0);
    RESULT(mincore(area + 20 * PAGE, PAGE, (void *)(area + 21 * PAGE)));
    CHECK(area[21 * PAGE] == 0 && area[21 * PAGE + 1] == 'v');
    RESULT(madvise(area + 22 * PAGE, 2 * PAGE, 23)); /* MADV_POPULATE_WRITE */
    CHECK(area[22 * PAGE] == 'w' && area[23 * PAGE] == 'x');
    RESULT(mlock(area + 24 * PAGE, PAGE));
    CHECK(area[24 * PAGE] == 'y');
    /* What was forgotten is asked for again. */
    int before = h.count;
    madvise(area, PAGE, MADV_DONTNEED);
    CHECK(area[0] == 'a' && h.count == before + 1);
    mremap(area, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 64 * PAGE);
    before = h.count;
    madvise(area + 64 * PAGE, PAGE, MADV_DONTNEED);
    CHECK(area[64 * PAGE] == 0 && h.count == before); /* what has moved is no longer watched */
    stop(&h);
    CHECK(area[40 * PAGE] == 0); /* nobody handles it any more */
}

/* Many threads that wait for the same page and for others. */
static char *crowd_area;
static void *crowd_member(void *argument) {
    long sum = 0;
    for (int i = 0; i < 64; i++)
        sum += ((volatile char *)crowd_area)[(i * 7 + (long)argument) % 64 * PAGE];
    return (void *)sum;
}
static void crowd(void) {
    puts("-- a crowd");
    struct handler h = {.fd = open_faults(0, 0), .base = map(64)};
    pthread_t threads[8];
    long expected = 0, wrong = 0;
    crowd_area = h.base;
    add(h.fd, h.base, 64, UFFDIO_REGISTER_MODE_MISSING);
    for (int i = 0; i < 64; i++)
        expected += 'a' + i % 26;
    start(&h);
    for (long i = 0; i < 8; i++)
        pthread_create(&threads[i], 0, crowd_member, (void *)i);
    for (int i = 0; i < 8; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        wrong += (long)sum != expected;
    }
    CHECK(wrong == 0 && h.count >= 64);
    stop(&h);
}

static void *toucher(void *address) {
    return (void *)(long)*(volatile char *)address;
}
static volatile sig_atomic_t interrupted;
static void note(int signal) {
    (void)signal;
    interrupted++;
}
static void waiting(void) {
    puts("-- waiting: poll, wake, signals, the end of the descriptor");
    int fd = open_faults(O_NONBLOCK, 0);
    char *area = map(4);
    pthread_t thread;
    void *value;
    struct uffd_msg message;
    struct pollfd p = {fd, POLLIN, 0};
    add(fd, area, 4, UFFDIO_REGISTER_MODE_MISSING);
    pthread_create(&thread, 0, toucher, area);
    CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
    CHECK(read(fd, &message, sizeof message) == sizeof message && message.event == UFFD_EVENT_PAGEFAULT);
    CHECK(message.arg.pagefault.address == (uintptr_t)area && message.arg.pagefault.feat.ptid == 0);
    CHECK(poll(&p, 1, 0) == 0);
    /* Woken without a page it tells the fault again. */
    struct uffdio_range range = {(uintptr_t)area, PAGE};
    ioctl(fd, UFFDIO_WAKE, &range);
    CHECK(poll(&p, 1, 10000) == 1 && read(fd, &message, sizeof message) == sizeof message);
    /* A handler of a signal runs meanwhile, and the access is tried again afterwards. */
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGUSR1, &action, 0);
    pthread_kill(thread, SIGUSR1);
    CHECK(poll(&p, 1, 10000) == 1 && read(fd, &message, sizeof message) == sizeof message && interrupted == 1);
    CHECK(copy(fd, area, "z", 1, 0) == -1 && copy(fd, area, source, PAGE, UFFDIO_COPY_MODE_DONTWAKE) == 0);
    usleep(20000);
    CHECK(pthread_tryjoin_np(thread, &value) == EBUSY);
    ioctl(fd, UFFDIO_WAKE, &range);
    pthread_join(thread, &value);
    CHECK((long)value == source[0]);
    /* Unregistering lets it go on, as does closing. */
    pthread_create(&thread, 0, toucher, area + PAGE);
    poll(&p, 1, 10000);
    drop(fd, area + PAGE, 1);
    pthread_join(thread, &value);
    CHECK(value == 0);
    pthread_create(&thread, 0, toucher, area + 2 * PAGE);
    poll(&p, 1, 10000);
    close(fd);
    pthread_join(thread, &value);
    CHECK(value == 0);
}

static void protecting(void) {
    puts("-- writes to protected pages");
    struct handler h = {.fd = open_faults(0, 0), .base = map(8), .how = UNPROTECT};
    char *area = h.base;
    printf("%lx\n", add(h.fd, area, 8, UFFDIO_REGISTER_MODE_WP));
    memset(area, 1, 4 * PAGE);
    RESULT(protect(h.fd, area, 8 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP));
    start(&h);
    CHECK(area[0] == 1 && h.count == 0);
    area[0] = 2;
    CHECK(h.count == 1 && h.last_flags == (UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE));
    area[1] = 2;
    CHECK(h.count == 1);
    int ends[2];
    pipe(ends);
    write(ends[1], "abc", 3);
    RESULT(read(ends[0], area + PAGE, 3));
    CHECK(h.count == 2 && !memcmp(area + PAGE, "abc\1", 4));
    RESULT(syscall(SYS_futex, area, FUTEX_WAKE_OP, 1, 0, area + 2 * PAGE, 0));
    CHECK(h.count == 3 && area[2 * PAGE] == 0);
    area[5 * PAGE] = 1; /* was never there: not protected */
    CHECK(h.count == 3);
    /* Rights that come back do not lift the protection. */
    mprotect(area + 3 * PAGE, PAGE, PROT_NONE);
    mprotect(area + 3 * PAGE, PAGE, READ_WRITE);
    CHECK(area[3 * PAGE] == 1 && h.count == 3);
    area[3 * PAGE] = 9;
    CHECK(h.count == 4 && area[3 * PAGE] == 9);
    protect(h.fd, area, PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
    drop(h.fd, area, 8);
    area[0] = 3;
    CHECK(h.count == 4 && area[0] == 3);
    stop(&h);
    /* Large pages. */
    char *large = mmap(0, 8 << 20, READ_WRITE, PRIVATE, -1, 0);
    large = (char *)(((uintptr_t)large + (2 << 20) - 1) & -(2UL << 20));
    madvise(large, 4 << 20, MADV_HUGEPAGE);
    memset(large, 5, 4 << 20);
    struct handler g = {.fd = open_faults(0, 0), .base = large, .how = UNPROTECT};
    add(g.fd, large, 1024, UFFDIO_REGISTER_MODE_WP);
    protect(g.fd, large + 17 * PAGE, PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
    start(&g);
    large[16 * PAGE] = large[18 * PAGE] = 1;
    CHECK(g.count == 0);
    large[17 * PAGE] = 1;
    CHECK(g.count == 1 && large[17 * PAGE + 1] == 5);
    stop(&g);
    /* Pages that come later, and pages that are both missing and protected. */
    struct handler u = {.fd = open_faults(0, FEATURE_WP_UNPOPULATED), .base = map(8), .how = UNPROTECT};
    add(u.fd, u.base, 8, UFFDIO_REGISTER_MODE_WP);
    protect(u.fd, u.base, 4 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
    start(&u);
    CHECK(u.base[0] == 0 && u.count == 0);
    u.base[0] = 1;
    CHECK(u.count == 1);
    u.base[PAGE] = 1;
    CHECK(u.count == 2 && u.base[PAGE] == 1);
    u.base[4 * PAGE] = 1;
    CHECK(u.count == 2);
    stop(&u);
    int fd = open_faults(O_NONBLOCK, 0);
    char *both = map(2);
    add(fd, both, 2, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
    RESULT(copy(fd, both, source, PAGE, UFFDIO_COPY_MODE_WP));
    pthread_t thread;
    struct uffd_msg message;
    struct pollfd p = {fd, POLLIN, 0};
    pthread_create(&thread, 0, toucher, both);
    pthread_join(thread, 0);
    CHECK(poll(&p, 1, 0) == 0);
    close(fd);
    /* Writes that are only noted. */
    fd = open_faults(O_NONBLOCK, FEATURE_WP_ASYNC);
    char *noted = map(4);
    memset(noted, 1, 2 * PAGE);
    add(fd, noted, 4, UFFDIO_REGISTER_MODE_WP);
    RESULT(protect(fd, noted, 4 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP));
    noted[0] = 2;
    noted[3 * PAGE] = 2;
    CHECK(noted[0] == 2 && noted[1] == 1 && read(fd, &message, sizeof message) == -1 && errno == EAGAIN);
    close(fd);
}

static void shared(void) {
    puts("-- shared memory");
    int memory = memfd_create("shared", 0);
    ftruncate(memory, 8 * PAGE);
    char *area = mmap(0, 9 * PAGE, READ_WRITE, MAP_SHARED, memory, 0);
    char *other = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED, memory, 0);
    struct handler h = {.fd = open_faults(0, UFFD_FEATURE_MISSING_SHMEM), .base = area};
    printf("%lx\n", add(h.fd, area, 9, UFFDIO_REGISTER_MODE_MISSING));
    start(&h);
    other[2 * PAGE] = 'x';
    CHECK(area[2 * PAGE] == 'x' && h.count == 0); /* the file has it */
    CHECK(area[3 * PAGE] == 'd' && h.count == 1 && other[3 * PAGE] == 'd');
    area[4 * PAGE] = 'y';
    CHECK(other[4 * PAGE] == 'y' && other[4 * PAGE + 1] == 'e' && h.count == 2);
    catch(SIGBUS);
    CHECK(access_to(area + 8 * PAGE, 0) == SIGBUS && h.count == 2);
    RESULT(copy(h.fd, area + 3 * PAGE, source, PAGE, 0));
    RESULT(copy(h.fd, area + 8 * PAGE, source, PAGE, 0));
    RESULT(fill(h.fd, UFFDIO_ZEROPAGE, area + 5 * PAGE, PAGE, 0));
    RESULT(fill(h.fd, UFFDIO_ZEROPAGE, area + 8 * PAGE, PAGE, 0));
    CHECK(area[5 * PAGE] == 0 && h.count == 2);
    RESULT(madvise(area + 3 * PAGE, PAGE, MADV_REMOVE));
    CHECK(area[3 * PAGE] == 'd' && h.count == 3);
    stop(&h);
    /* A private mapping of it gets pages of its own. */
    int fd = open_faults(O_NONBLOCK, 0);
    char *own = mmap(0, 8 * PAGE, READ_WRITE, MAP_PRIVATE, memory, 0);
    add(fd, own, 8, UFFDIO_REGISTER_MODE_MISSING);
    RESULT(copy(fd, own + 6 * PAGE, source, PAGE, 0));
    CHECK(own[6 * PAGE] == source[0] && other[6 * PAGE] == 0);
    RESULT(fill(fd, UFFDIO_CONTINUE, own + 7 * PAGE, PAGE, 0));
    RESULT(fill(fd, UFFDIO_CONTINUE, own + 4 * PAGE, PAGE, 0));
    own[4 * PAGE] = 'o';
    CHECK(own[4 * PAGE + 1] == 'e' && other[4 * PAGE] == 'y');
    close(fd);
    /* Pages that the file has, and the process does not. */
    struct handler m = {.fd = open_faults(0, UFFD_FEATURE_MINOR_SHMEM), .how = CONTINUE};
    char *minor = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED, memory, 0);
    m.base = minor;
    printf("%lx\n", add(m.fd, minor, 8, UFFDIO_REGISTER_MODE_MINOR));
    start(&m);
    CHECK(minor[2 * PAGE] == 'x' && m.count == 1 && m.last_flags == UFFD_PAGEFAULT_FLAG_MINOR);
    minor[4 * PAGE] = 'm';
    CHECK(other[4 * PAGE] == 'm' && m.count == 2 && m.last_flags == (UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE));
    CHECK(minor[PAGE] == 0 && m.count == 2);
    RESULT(fill(m.fd, UFFDIO_CONTINUE, minor + 2 * PAGE, PAGE, 0));
    madvise(minor + 2 * PAGE, PAGE, MADV_DONTNEED);
    CHECK(minor[2 * PAGE] == 'x' && m.count == 3);
    stop(&m);
    /* Protected before they are there. */
    struct handler w = {.fd = open_faults(0, FEATURE_WP_SHMEM), .how = UNPROTECT};
    char *guarded = mmap(0, 8 * PAGE, READ_WRITE, MAP_SHARED, memory, 0);
    w.base = guarded;
    add(w.fd, guarded, 8, UFFDIO_REGISTER_MODE_WP);
    RESULT(protect(w.fd, guarded, 8 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP));
    start(&w);
    CHECK(guarded[2 * PAGE] == 'x' && w.count == 0);
    guarded[2 * PAGE] = 'g';
    CHECK(w.count == 1 && other[2 * PAGE] == 'g');
    guarded[3 * PAGE] = 'g';
    CHECK(w.count == 2 && guarded[3 * PAGE + 1] == 'd');
    protect(w.fd, guarded + 2 * PAGE, PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
    madvise(guarded + 2 * PAGE, PAGE, MADV_DONTNEED);
    guarded[2 * PAGE] = 'h';
    CHECK(w.count == 3 && other[2 * PAGE] == 'h');
    stop(&w);
    /* Shared memory without a file, and System V's. */
    struct handler a = {.fd = open_faults(0, 0), .base = mmap(0, 4 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
    add(a.fd, a.base, 4, UFFDIO_REGISTER_MODE_MISSING);
    start(&a);
    CHECK(a.base[PAGE] == 'b' && a.count == 1);
    stop(&a);
    int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
    fd = open_faults(0, 0);
    RESULT(add(fd, shmat(id, 0, 0), 4, UFFDIO_REGISTER_MODE_MISSING));
    shmctl(id, IPC_RMID, 0);
    close(fd);
}

static int event_fd, event_count;
static void *read_events(void *argument) {
    char *base = argument;
    struct uffd_msg message;
    while (read(event_fd, &message, sizeof message) == sizeof message) {
        long page = PAGE, from = message.arg.remap.from - (uintptr_t)base;
        if (message.event == UFFD_EVENT_REMAP)
            printf("moved from page %ld by %ld pages, %lld bytes\n", from / page, (long)(message.arg.remap.to - message.arg.remap.from) / page, message.arg.remap.len);
        else if (message.event == UFFD_EVENT_PAGEFAULT) {
            printf("fault at page %ld\n", ((long)message.arg.pagefault.address - (long)base) / page);
            fill(event_fd, UFFDIO_ZEROPAGE, (void *)message.arg.pagefault.address, PAGE, 0);
        } else
            printf("%s pages %ld to %ld\n", message.event == UFFD_EVENT_REMOVE ? "removed" : "unmapped",
                   (long)(message.arg.remove.start - (uintptr_t)base) / page, (long)(message.arg.remove.end - (uintptr_t)base) / page);
        fflush(stdout);
        __atomic_add_fetch(&event_count, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}
static void events(void) {
    puts("-- events");
    char *base = map(32);
    munmap(base + 16 * PAGE, 16 * PAGE);
    event_fd = open_faults(0, UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP);
    add(event_fd, base, 12, UFFDIO_REGISTER_MODE_MISSING);
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, 0, read_events, base);
    (void)*(volatile char *)(base + 2 * PAGE);
    madvise(base + PAGE, 2 * PAGE, MADV_DONTNEED);
    madvise(base + 12 * PAGE, PAGE, MADV_DONTNEED);
    mremap(base, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, base + 20 * PAGE);
    (void)*(volatile char *)(base + 21 * PAGE);
    munmap(base + 5 * PAGE, PAGE);
    mmap(base + 7 * PAGE, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    munmap(base + 10 * PAGE, 6 * PAGE);
    /* A message is taken before it is printed. */
    while (__atomic_load_n(&event_count, __ATOMIC_SEQ_CST) < 8)
        usleep(1000);
    pthread_cancel(thread);
    pthread_join(thread, 0);
    close(event_fd);
}

static void moving(void) {
    puts("-- moving pages");
    int fd = open_faults(O_NONBLOCK, FEATURE_MOVE);
    char *to = map(8), *from = mmap(0, 8 * PAGE, READ_WRITE, PRIVATE, -1, 0);
    from = mremap(from, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x30000000000);
    add(fd, to, 6, UFFDIO_REGISTER_MODE_MISSING);
    memset(from, 7, 3 * PAGE);
    RESULT(move_to(fd, to, from, 2 * PAGE, 0));
    printf("told %ld\n", copy_told);
    CHECK(to[0] == 7 && to[2 * PAGE - 1] == 7 && from[0] == 0);
    RESULT(move_to(fd, to, from + 2 * PAGE, PAGE, 0));
    RESULT(move_to(fd, to + 2 * PAGE, from + 4 * PAGE, PAGE, 0));
    RESULT(move_to(fd, to + 2 * PAGE, from + 4 * PAGE, PAGE, 2));
    printf("told %ld\n", copy_told);
    RESULT(move_to(fd, to + 7 * PAGE, from + 2 * PAGE, PAGE, 0));
    RESULT(move_to(fd, to + 3 * PAGE, from + 2 * PAGE, PAGE, 8));
    RESULT(move_to(fd, to + 3 * PAGE, from + 2 * PAGE + 1, PAGE, 0));
    mprotect(from + 2 * PAGE, PAGE, PROT_READ);
    RESULT(move_to(fd, to + 3 * PAGE, from + 2 * PAGE, PAGE, 0));
    close(fd);
}

/* A child is watched by nobody, and whoever waits in vain can be killed. */
static void children(void) {
    puts("-- children");
    fflush(stdout);
    int fd = open_faults(O_NONBLOCK, 0), status;
    char *area = map(4);
    area[PAGE] = 7;
    add(fd, area, 4, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
    protect(fd, area, 4 * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
    pid_t child = fork();
    if (!child) {
        CHECK(area[0] == 0);
        area[PAGE] = 9;
        CHECK(area[PAGE] == 9);
        RESULT(fill(fd, UFFDIO_ZEROPAGE, area + 2 * PAGE, PAGE, 0)); /* in the parent */
        fflush(stdout);
        _exit(3);
    }
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK(area[PAGE] == 7 && area[2 * PAGE] == 0);
    fflush(stdout);
    child = fork();
    if (!child) {
        int own = open_faults(O_NONBLOCK, 0), ends[2];
        char *page = map(1);
        add(own, page, 1, UFFDIO_REGISTER_MODE_MISSING);
        pipe(ends);
        write(ends[1], page, 1); /* the kernel waits for the page */
        _exit(4);
    }
    usleep(50000);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    close(fd);
}

/* Two write to a pipe: the second waits until the first one's bytes were there to be copied, and does not hear of a pipe
 * without room. */
static int slow_pipe[2], slow_faults;
static char *slow_page;
static void *write_slowly(void *argument) {
    CHECK(write(slow_pipe[1], slow_page, 1) == 1);
    return argument;
}
static void *fill_late(void *argument) {
    usleep(100000);
    copy(slow_faults, slow_page, source, PAGE, 0);
    return argument;
}
static void writing_together(void) {
    puts("-- writing together");
    pthread_t writer, filler;
    char bytes[3] = "";
    slow_faults = open_faults(O_NONBLOCK, 0);
    slow_page = map(1);
    add(slow_faults, slow_page, 1, UFFDIO_REGISTER_MODE_MISSING);
    RESULT(pipe2(slow_pipe, O_NONBLOCK));
    pthread_create(&writer, 0, write_slowly, 0);
    pthread_create(&filler, 0, fill_late, 0);
    usleep(50000);
    long written = write(slow_pipe[1], "x", 1);
    pthread_join(writer, 0);
    pthread_join(filler, 0);
    printf("written %ld\n", written);
    RESULT(read(slow_pipe[0], bytes, 3));
    CHECK(bytes[0] == source[0] && bytes[1] == 'x');
    close(slow_pipe[0]);
    close(slow_pipe[1]);
    close(slow_faults);
}

static int full_pipe[2];
static void *read_slowly(void *argument) {
    (void)argument;
    return (void *)(long)read(slow_pipe[0], slow_page, 1);
}
static void slow_reader(pthread_t *reader) {
    slow_page = map(1);
    slow_faults = open_faults(0, 0);
    add(slow_faults, slow_page, 1, UFFDIO_REGISTER_MODE_MISSING);
    pthread_create(reader, 0, read_slowly, 0);
    usleep(30000);
}
/* What is being read is still there: nobody is told when the rest is. */
static void polling_beside_a_reader(void) {
    puts("-- polling beside a reader");
    pthread_t reader;
    CHECK(!pipe(slow_pipe));
    RESULT(write(slow_pipe[1], source, 2));
    slow_reader(&reader);
    struct pollfd readable = {slow_pipe[0], POLLIN, 0};
    RESULT(poll(&readable, 1, 0));
    RESULT(copy(slow_faults, slow_page, source, PAGE, 0));
    pthread_join(reader, 0);
    RESULT(poll(&readable, 1, 0));
    close(slow_pipe[0]);
    close(slow_pipe[1]);
    close(slow_faults);
}
static void *receive_slowly(void *argument) {
    return (void *)(long)recv(slow_pipe[0], slow_page + (argument != 0), 1, 0);
}
/* Two receive a byte each of what came at once: the second waits for what the first leaves. */
static void receiving_beside_a_receiver(void) {
    puts("-- receiving beside a receiver");
    pthread_t receivers[2];
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, slow_pipe));
    slow_page = map(1);
    slow_faults = open_faults(0, 0);
    add(slow_faults, slow_page, 1, UFFDIO_REGISTER_MODE_MISSING);
    for (int i = 0; i < 2; i++)
        pthread_create(&receivers[i], 0, receive_slowly, i ? slow_page : 0);
    usleep(30000);
    RESULT(write(slow_pipe[1], "ab", 2));
    usleep(30000);
    struct pollfd readable = {slow_pipe[0], POLLIN, 0};
    RESULT(poll(&readable, 1, 0));
    RESULT(copy(slow_faults, slow_page, source, PAGE, 0));
    for (int i = 0; i < 2; i++) {
        void *result;
        pthread_join(receivers[i], &result);
        printf("received %ld\n", (long)result);
    }
    CHECK(slow_page[0] + slow_page[1] == 'a' + 'b');
    close(slow_pipe[0]);
    close(slow_pipe[1]);
    close(slow_faults);
}
static void *copy_when_there_is_room(void *argument) {
    (void)argument;
    return (void *)(long)tee(slow_pipe[0], full_pipe[1], 2 * PAGE, 0);
}
/* What is copied from a pipe begins with what a reader leaves who came before. */
static void copying_behind_a_reader(void) {
    puts("-- copying behind a reader");
    static char bytes[16 * PAGE];
    pthread_t reader, copier;
    void *result;
    CHECK(!pipe(slow_pipe) && !pipe(full_pipe));
    RESULT(write(slow_pipe[1], source, PAGE));
    RESULT(write(slow_pipe[1], source + PAGE, PAGE));
    RESULT(write(full_pipe[1], bytes, sizeof bytes));
    pthread_create(&copier, 0, copy_when_there_is_room, 0);
    usleep(30000);
    slow_reader(&reader);
    RESULT(read(full_pipe[0], bytes, sizeof bytes));
    usleep(30000);
    RESULT(copy(slow_faults, slow_page, source, PAGE, 0));
    pthread_join(reader, &result);
    printf("read %ld\n", (long)result);
    pthread_join(copier, &result);
    printf("copied %ld\n", (long)result);
    RESULT(read(full_pipe[0], bytes, sizeof bytes));
    CHECK(bytes[0] == source[1]);
    for (int side = 0; side < 2; side++) {
        close(slow_pipe[side]);
        close(full_pipe[side]);
    }
    close(slow_faults);
}

static _Atomic int inside, beating, beats;
/* Wakes very often, and counts how often that is in the middle of a request. */
static void *beat(void *argument) {
    (void)argument;
    while (beating) {
        usleep(100);
        beats += inside;
    }
    return 0;
}

enum { MUCH = 1 << 17 };
static int much_faults;
static char *much_area;
static int zeroes_for_all(void) {
    return fill(much_faults, UFFDIO_ZEROPAGE, much_area, MUCH * PAGE, 0);
}
static int protect_all(void) {
    return protect(much_faults, much_area, MUCH * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
}
/* Whether another thread runs again and again while a request about much memory does: once it does at the end of a call
   that keeps the processor. A busy machine may keep it from that. */
static int lets_others_run(int (*request)(void)) {
    int enough = 0;
    for (int attempt = 0; attempt < 20 && !enough; attempt++) {
        much_area = mmap(0, MUCH * PAGE, READ_WRITE, PRIVATE | MAP_NORESERVE, -1, 0);
        add(much_faults, much_area, MUCH, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
        beats = 0;
        inside = 1;
        int result = request();
        inside = 0;
        enough = result == 0 && beats > 4;
        munmap(much_area, MUCH * PAGE);
    }
    return enough;
}

static void much(void) {
    puts("-- much memory");
    much_faults = open_faults(0, FEATURE_WP_UNPOPULATED);
    pthread_t thread;
    beating = 1;
    pthread_create(&thread, 0, beat, 0);
    CHECK(lets_others_run(protect_all));
    CHECK(lets_others_run(zeroes_for_all));
    beating = 0;
    pthread_join(thread, 0);
    close(much_faults);
}

static void privilege(void) {
    puts("-- privilege");
    syscall(SYS_setresuid, 65534, 65534, 65534);
    RESULT(syscall(SYS_userfaultfd, O_CLOEXEC));
    SUCCESS(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

int main(void) {
    for (unsigned i = 0; i < sizeof source; i++)
        source[i] = i % 251 + 1;
    interface();
    registering();
    filling();
    signals();
    missing();
    crowd();
    waiting();
    protecting();
    shared();
    events();
    moving();
    children();
    writing_together();
    polling_beside_a_reader();
    receiving_beside_a_receiver();
    copying_behind_a_reader();
    much();
    privilege();
    return 0;
}
