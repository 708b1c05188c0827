/* POSIX message queues. */
#include "check.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static mqd_t queue;

static void show(mqd_t which)
{
    struct mq_attr attributes;
    RESULT(mq_getattr(which, &attributes));
    printf("flags %lo, %ld messages of %ld bytes, %ld now\n", attributes.mq_flags, attributes.mq_maxmsg,
           attributes.mq_msgsize, attributes.mq_curmsgs);
}

static void receive(size_t size)
{
    char buffer[9000] = "";
    unsigned priority = 99;
    errno = 0;
    long length = mq_receive(queue, buffer, size, &priority);
    if (length < 0)
        printf("mq_receive: %s\n", strerror(errno));
    else
        printf("mq_receive: %ld bytes, priority %u, \"%.*s\"\n", length, priority, (int)length, buffer);
}

static short ready(mqd_t which)
{
    struct pollfd poll_descriptor = {.fd = which, .events = POLLIN | POLLOUT};
    poll(&poll_descriptor, 1, 0);
    return poll_descriptor.revents;
}

static volatile sig_atomic_t signals, last_code, last_value;

static void on_signal(int number, siginfo_t *information, void *context)
{
    (void)number;
    (void)context;
    signals++;
    last_code = information->si_code;
    last_value = information->si_value.sival_int;
}

static void *send_later(void *unused)
{
    (void)unused;
    usleep(30000);
    mq_send(queue, "late", 4, 1);
    return NULL;
}

static void *poll_queue(void *unused)
{
    (void)unused;
    struct pollfd poll_descriptor = {.fd = queue, .events = POLLIN};
    return (void *)(long)poll(&poll_descriptor, 1, 5000);
}

int main(void)
{
    mq_unlink("/pith");
    RESULT(mq_open("pith", O_RDWR));
    RESULT(mq_open("/", O_RDWR));
    RESULT(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
    RESULT(mq_open("/pith", O_RDWR));
    struct mq_attr attributes = {.mq_maxmsg = 0, .mq_msgsize = 16};
    RESULT(mq_open("/pith", O_RDWR | O_CREAT, 0600, &attributes));
    attributes.mq_maxmsg = 65537;
    RESULT(mq_open("/pith", O_RDWR | O_CREAT, 0600, &attributes));
    attributes.mq_maxmsg = 4;
    attributes.mq_msgsize = 16;
    SUCCESS(queue = mq_open("/pith", O_RDWR | O_CREAT | O_EXCL, 0640, &attributes));
    RESULT(mq_open("/pith", O_RDWR | O_CREAT | O_EXCL, 0600, NULL));
    show(queue);
    RESULT(fcntl(queue, F_GETFD));
    printf("flags %o\n", fcntl(queue, F_GETFL));
    struct stat status;
    RESULT(fstat(queue, &status));
    printf("mode %o, size %ld, links %ld\n", status.st_mode, (long)status.st_size, (long)status.st_nlink);

    printf("ready %x\n", ready(queue));
    RESULT(mq_send(queue, "low", 3, 0));
    RESULT(mq_send(queue, "high", 4, 7));
    RESULT(mq_send(queue, "low again", 9, 0));
    printf("ready %x\n", ready(queue));
    RESULT(mq_send(queue, "highest", 7, 32767));
    RESULT(mq_send(queue, "x", 1, 32768));
    RESULT(mq_send(queue, "longer than sixteen", 19, 0));
    printf("ready %x\n", ready(queue));
    show(queue);
    char text[128] = "";
    RESULT(pread(queue, text, sizeof text - 1, 0));
    printf("%s", text);
    struct timespec past = {1, 0}, bad = {1, -1}, soon;
    RESULT(mq_timedsend(queue, "x", 1, 0, &past));
    RESULT(mq_timedsend(queue, "x", 1, 0, &bad));
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    if (soon.tv_nsec >= 1000000000) {
        soon.tv_sec++;
        soon.tv_nsec -= 1000000000;
    }
    RESULT(mq_timedsend(queue, "x", 1, 0, &soon));
    receive(15);
    receive(16);
    receive(100);
    receive(16);
    receive(16);
    RESULT(mq_timedreceive(queue, text, 16, NULL, &past));

    struct mq_attr nonblocking = {.mq_flags = O_NONBLOCK}, before;
    RESULT(mq_setattr(queue, &nonblocking, &before));
    printf("before: %lo\n", before.mq_flags);
    show(queue);
    receive(16);
    nonblocking.mq_flags = O_APPEND;
    RESULT(mq_setattr(queue, &nonblocking, NULL));
    nonblocking.mq_flags = 0;
    RESULT(mq_setattr(queue, &nonblocking, NULL));

    pthread_t thread;
    pthread_create(&thread, NULL, send_later, NULL);
    receive(16);
    pthread_join(thread, NULL);
    void *result;
    pthread_create(&thread, NULL, poll_queue, NULL);
    usleep(20000);
    mq_send(queue, "polled", 6, 0);
    pthread_join(thread, &result);
    printf("poll in another thread: %ld\n", (long)result);
    receive(16);

    /* Being told of messages. */
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 41};
    RESULT(mq_notify(queue, &event));
    RESULT(mq_notify(queue, &event));
    mq_send(queue, "told", 4, 0);
    printf("signals %d, code %d, value %d\n", (int)signals, (int)last_code, (int)last_value);
    mq_send(queue, "not told", 8, 0);
    printf("signals %d\n", (int)signals);
    RESULT(mq_notify(queue, &event));
    receive(16);
    mq_send(queue, "not empty", 9, 0);
    printf("signals %d\n", (int)signals);
    receive(16);
    receive(16);
    mq_send(queue, "told", 4, 0);
    printf("signals %d\n", (int)signals);
    receive(16);
    event.sigev_notify = SIGEV_NONE;
    RESULT(mq_notify(queue, &event));
    RESULT(mq_notify(queue, NULL));
    RESULT(mq_notify(queue, NULL));
    event.sigev_notify = 77;
    RESULT(mq_notify(queue, &event));
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 65;
    RESULT(mq_notify(queue, &event));
    RESULT(mq_notify(0, NULL));
    RESULT(mq_send(0, "x", 1, 0));

    /* Access. */
    mqd_t reader = mq_open("/pith", O_RDONLY), writer = mq_open("/pith", O_WRONLY | O_NONBLOCK);
    CHECK(reader >= 0 && writer >= 0);
    RESULT(mq_send(reader, "x", 1, 0));
    RESULT(mq_receive(writer, text, 16, NULL));
    RESULT(mq_send(writer, "", 0, 3));
    receive(16);
    RESULT(mq_unlink("/pith"));
    RESULT(mq_unlink("/pith"));
    RESULT(mq_send(writer, "still there", 11, 0));
    receive(16);
    RESULT(mq_close(reader));
    RESULT(mq_close(writer));
    RESULT(mq_close(queue));
    RESULT(mq_close(queue));
    struct rlimit limit;
    getrlimit(RLIMIT_MSGQUEUE, &limit);
    printf("limit %ld\n", (long)limit.rlim_cur);
    int made = 0;
    char name[32];
    for (;; made++) {
        snprintf(name, sizeof name, "/pith%d-%d", getpid(), made);
        mq_unlink(name);
        if (mq_open(name, O_RDWR | O_CREAT, 0600, NULL) < 0)
            break;
    }
    /* How many depends on what others of the same user have. */
    printf("%s queues, then: %s\n", made > 0 && made < 10 ? "some" : "no", strerror(errno));
    while (made-- > 0) {
        snprintf(name, sizeof name, "/pith%d-%d", getpid(), made);
        mq_unlink(name);
    }
    static const char *const files[] = {"msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"};
    for (int i = 0; i < 5; i++) {
        char path[64], line[64] = "";
        snprintf(path, sizeof path, "/proc/sys/fs/mqueue/%s", files[i]);
        FILE *file = fopen(path, "r");
        if (file && fgets(line, sizeof line, file))
            printf("%s: %s", files[i], line);
        if (file)
            fclose(file);
    }
    /* What others are allowed, root may set. */
    int usual = open("/proc/sys/fs/mqueue/msg_default", O_RDWR);
    RESULT(write(usual, "0", 1));
    RESULT(write(usual, "65537", 5));
    RESULT(write(usual, "7\n", 2));
    snprintf(name, sizeof name, "/pith%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    RESULT(pwrite(usual, "10\n", 3, 0));
    show(queue);
    mq_close(queue);
    mq_unlink(name);
    close(usual);
    int most = open("/proc/sys/fs/mqueue/msgsize_max", O_RDWR);
    RESULT(pwrite(most, "127", 3, 0));
    RESULT(pwrite(most, "16777217", 8, 0));
    RESULT(pwrite(most, "8192", 4, 0));
    close(most);
    return 0;
}
