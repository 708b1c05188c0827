/* A signal comes while each blocking call waits: what the call answers, with SA_RESTART and without. */
#include "check.h"
#include <fcntl.h>
#include <mqueue.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static pthread_t first;
static volatile sig_atomic_t handled;
/* The call, or -1 while there is none. */
static volatile int calling = -1;

static void handler(int signal)
{
    (void)signal;
    handled++;
}

static int ends[2], pair[2], listener, queue, semaphores, event, timer, poll_descriptor, word;
static mqd_t messages;
static sem_t semaphore;
static char buffer[256];

/* A name that no other run of this program has: 16 bytes, the first of them 0. */
static void name(struct sockaddr_un *address)
{
    snprintf(address->sun_path + 1, 16, "pith-%010d", (int)getpid());
}

static char messages_name[32];

static long call(int which)
{
    struct pollfd one = { ends[0], POLLIN, 0 };
    struct epoll_event found;
    struct sembuf down = { 0, -1, 0 };
    /* Much longer than the signal takes to come, even on a machine with much to do. */
    struct timespec span = { 10, 0 };
    struct timeval time = { 10, 0 };
    fd_set set;
    sigset_t signals;

    sigemptyset(&signals);
    switch (which) {
    case 0: return read(ends[0], buffer, 1);
    case 1: return poll(&one, 1, 10000);
    case 2: FD_ZERO(&set); FD_SET(ends[0], &set); return select(ends[0] + 1, &set, NULL, NULL, &time);
    case 3: return epoll_wait(poll_descriptor, &found, 1, 10000);
    case 4: return nanosleep(&span, NULL);
    case 5: sigaddset(&signals, SIGUSR2); return sigtimedwait(&signals, NULL, &span);
    case 6: return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    case 7: return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &span, NULL, 0);
    case 8: return read(event, buffer, 8);
    case 9: return read(timer, buffer, 8);
    case 10: return recv(pair[0], buffer, 1, 0);
    case 11: return accept(listener, NULL, NULL);
    case 12: return msgrcv(queue, buffer, 100, 0, 0);
    case 13: return semop(semaphores, &down, 1);
    case 14: return mq_receive(messages, buffer, sizeof buffer, NULL);
    case 15: return sem_wait(&semaphore);
    case 16: return pause();
    case 17: return sigsuspend(&signals);
    case 18: return ppoll(&one, 1, &span, &signals);
    default: return clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
    }
}

static const char *const names[] = {
    "read of a pipe", "poll", "select", "epoll_wait", "nanosleep", "sigtimedwait", "futex", "futex with a limit",
    "read of an eventfd", "read of a timerfd", "recv", "accept", "msgrcv", "semop", "mq_receive", "sem_wait", "pause",
    "sigsuspend", "ppoll", "clock_nanosleep",
};

/* Calls that SA_RESTART starts again; some thread must end them. */
static int restarts(int which)
{
    return which == 0 || which == 6 || (which >= 8 && which <= 11) || which == 14 || which == 15;
}

static void end_call(int which)
{
    uint64_t value = 1;
    struct itimerspec soon = { { 0, 0 }, { 0, 1 } };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    name(&address);
    int client;
    switch (which) {
    case 0: if (write(ends[1], "x", 1) != 1) abort(); break;
    case 6: word = 1; syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0); break;
    case 8: if (write(event, &value, 8) != 8) abort(); break;
    case 9: timerfd_settime(timer, 0, &soon, NULL); break;
    case 10: send(pair[1], "x", 1, 0); break;
    case 11:
        client = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(client, (struct sockaddr *)&address, sizeof address.sun_family + 16);
        break;
    case 14: mq_send(messages, "x", 1, 0); break;
    default: sem_post(&semaphore);
    }
}

/* Waits until the first thread sleeps in its call. */
static void wait_until_asleep(void)
{
    char state = 0;
    while (calling < 0)
        usleep(1000);
    for (;;) {
        /* The main thread has the number of the process. */
        FILE *status = fopen("/proc/self/stat", "r");
        if (!status || fscanf(status, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (status)
            fclose(status);
        if (state == 'S')
            return;
        usleep(1000);
    }
}

/* Sends the signal while the call waits; if it is started again, twice more, so that it is found waiting, and ends it. */
static void *disturb(void *argument)
{
    int ends_itself = *(int *)argument;
    for (int count = ends_itself ? 1 : 3; count > 0; count--) {
        int before = handled;
        wait_until_asleep();
        pthread_kill(first, SIGUSR1);
        while (handled == before)
            usleep(1000);
    }
    if (!ends_itself) {
        wait_until_asleep();
        end_call(calling);
    }
    return NULL;
}

int main(void)
{
    struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 64 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    pthread_t disturber;

    first = pthread_self();
    if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    name(&address);
    snprintf(messages_name, sizeof messages_name, "/pith-%d", (int)getpid());
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, sizeof address.sun_family + 16);
    listen(listener, 5);
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    event = eventfd(0, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    poll_descriptor = epoll_create1(0);
    mq_unlink(messages_name);
    messages = mq_open(messages_name, O_RDWR | O_CREAT, 0600, &attributes);
    sem_init(&semaphore, 0, 0);

    for (int restart = 0; restart < 2; restart++) {
        struct sigaction action = { .sa_handler = handler, .sa_flags = restart ? SA_RESTART : 0 };
        sigaction(SIGUSR1, &action, NULL);
        for (int which = 0; which < 20; which++) {
            int ends_itself = !(restart && restarts(which));
            pthread_create(&disturber, NULL, disturb, &ends_itself);
            errno = 0;
            calling = which;
            long result = call(which);
            int error = errno;
            calling = -1;
            printf("%s%s: %s, %s\n", names[which], restart ? ", SA_RESTART" : "", result < 0 ? "-1" : "done",
                   strerror(error));
            pthread_join(disturber, NULL);
            word = 0;
        }
    }
    printf("handled %d\n", handled);
    mq_unlink(messages_name);
    msgctl(queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    return 0;
}
