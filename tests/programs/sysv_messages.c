/* System V message queues: types, limits, waiting. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

struct message {
    long type;
    char text[9000];
};

static int queue;

static int send_text(long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return msgsnd(queue, &message, strlen(text), flags);
}

static void receive(long type, size_t size, int flags)
{
    struct message message;
    memset(&message, 0, sizeof message);
    errno = 0;
    long length = msgrcv(queue, &message, size, type, flags);
    if (length < 0)
        printf("msgrcv %ld: %s\n", type, strerror(errno));
    else
        printf("msgrcv %ld: %ld bytes, type %ld, \"%s\"\n", type, length, message.type, message.text);
}

static void show(void)
{
    struct msqid_ds status;
    RESULT(msgctl(queue, IPC_STAT, &status));
    printf("%lu messages, %lu bytes of %lu, mode %o, sender %s, receiver %s, stime %s, rtime %s\n",
           (unsigned long)status.msg_qnum, (unsigned long)status.__msg_cbytes, (unsigned long)status.msg_qbytes,
           status.msg_perm.mode, status.msg_lspid == getpid() ? "me" : "nobody",
           status.msg_lrpid == getpid() ? "me" : "nobody", status.msg_stime ? "set" : "0",
           status.msg_rtime ? "set" : "0");
}

static void on_signal(int signal)
{
    (void)signal;
}

static void *send_later(void *unused)
{
    (void)unused;
    usleep(30000);
    send_text(4, "not this type", 0);
    usleep(30000);
    send_text(5, "late", 0);
    return NULL;
}

static void *drain_later(void *unused)
{
    (void)unused;
    usleep(30000);
    receive(0, 9000, MSG_NOERROR);
    return NULL;
}

static void *interrupt(void *target)
{
    for (int i = 0; i < 20; i++) {
        usleep(20000);
        pthread_kill(*(pthread_t *)target, SIGUSR1);
    }
    return NULL;
}

static void *remove_later(void *unused)
{
    (void)unused;
    usleep(50000);
    msgctl(queue, IPC_RMID, NULL);
    return NULL;
}

int main(void)
{
    struct msginfo limits;
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&limits) >= 0);
    printf("pool %d map %d max %d mnb %d mni %d ssz %d tql %d seg %d\n", limits.msgpool, limits.msgmap, limits.msgmax,
           limits.msgmnb, limits.msgmni, limits.msgssz, limits.msgtql, limits.msgseg);
    static const char *const files[] = {"msgmax", "msgmnb", "msgmni"};
    for (int i = 0; i < 3; i++) {
        char path[64], line[64] = "";
        snprintf(path, sizeof path, "/proc/sys/kernel/%s", files[i]);
        FILE *file = fopen(path, "r");
        if (file && fgets(line, sizeof line, file))
            printf("%s: %s", files[i], line);
        if (file)
            fclose(file);
    }
    key_t key = 0x51740003;
    int old = msgget(key, 0);
    if (old >= 0)
        msgctl(old, IPC_RMID, NULL);
    RESULT(msgget(key, 0600));
    SUCCESS(queue = msgget(key, IPC_CREAT | 0620));
    CHECK(msgget(key, 0) == queue);
    RESULT(msgget(key, IPC_CREAT | IPC_EXCL));
    show();

    RESULT(send_text(3, "three", 0));
    RESULT(send_text(1, "one", 0));
    RESULT(send_text(2, "two", 0));
    RESULT(send_text(1, "another one", 0));
    RESULT(send_text(7, "", 0));
    show();
    receive(9, 100, IPC_NOWAIT);
    receive(1, 2, IPC_NOWAIT);
    receive(1, 2, IPC_NOWAIT | MSG_NOERROR);
    receive(-2, 100, 0);
    receive(-2, 100, 0);
    receive(-2, 100, IPC_NOWAIT);
    receive(3, 100, MSG_EXCEPT);
    receive(0, 100, 0);
    receive(0, 100, IPC_NOWAIT);
    show();

    RESULT(send_text(0, "no type", 0));
    RESULT(send_text(-1, "no type", 0));
    struct message large = {.type = 1};
    RESULT(msgsnd(queue, &large, 8193, 0));
    RESULT(msgsnd(queue, &large, -1, 0));
    RESULT(msgsnd(queue, (void *)8, 10, 0));
    RESULT(msgsnd(-1, &large, 10, 0));
    RESULT(msgsnd(queue + 1, &large, 10, 0));
    RESULT(msgrcv(queue, &large, -1, 0, 0));
    RESULT(msgrcv(-1, &large, 1, 0, 0));
    RESULT(msgsnd(queue, &large, 8192, 0));
    RESULT(msgsnd(queue, &large, 8192, 0));
    RESULT(msgsnd(queue, &large, 1, IPC_NOWAIT));
    RESULT(msgsnd(queue, &large, 0, IPC_NOWAIT));
    show();
    pthread_t thread;
    pthread_create(&thread, NULL, drain_later, NULL);
    RESULT(msgsnd(queue, &large, 1, 0));
    pthread_join(thread, NULL);
    show();
    RESULT(msgrcv(queue, &large, 9000, 0, MSG_NOERROR | IPC_NOWAIT));
    RESULT(msgrcv(queue, &large, 9000, 0, IPC_NOWAIT));
    RESULT(msgrcv(queue, &large, 9000, 0, IPC_NOWAIT));
    RESULT(msgrcv(queue, &large, 9000, 0, IPC_NOWAIT));

    send_text(8, "first", 0);
    send_text(9, "second", 0);
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
    receive(1, 100, MSG_COPY | IPC_NOWAIT);
    receive(0, 100, MSG_COPY | IPC_NOWAIT);
    receive(2, 100, MSG_COPY | IPC_NOWAIT);
    receive(0, 100, MSG_COPY);
    receive(0, 100, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT);
    show();
    receive(0, 100, 0);
    receive(0, 100, 0);

    pthread_create(&thread, NULL, send_later, NULL);
    receive(5, 100, 0);
    pthread_join(thread, NULL);
    receive(0, 100, 0);

    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self();
    pthread_create(&thread, NULL, interrupt, &self);
    receive(0, 100, 0);
    pthread_join(thread, NULL);

    struct msqid_ds status;
    msgctl(queue, IPC_STAT, &status);
    status.msg_qbytes = 3;
    status.msg_perm.mode = 0666;
    RESULT(msgctl(queue, IPC_SET, &status));
    RESULT(send_text(1, "four", IPC_NOWAIT));
    RESULT(send_text(1, "3", IPC_NOWAIT));
    show();
    CHECK(msgctl(queue % 32768, MSG_STAT, &status) == queue);
    CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)&limits) >= 0);
    CHECK(limits.msgpool >= 1 && limits.msgmap >= 1 && limits.msgtql >= 1);
    RESULT(msgctl(queue, 55, &status));
    FILE *file = fopen("/proc/sysvipc/msg", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        int its_key, id;
        if (sscanf(line, "%d %d", &its_key, &id) != 2)
            printf("%s", line);
        else if (id == queue)
            printf("key %d, %zu characters: %.30s\n", its_key == key, strlen(line), line + 21);
    }
    fclose(file);
    receive(0, 100, 0);

    pthread_create(&thread, NULL, remove_later, NULL);
    receive(0, 100, 0);
    pthread_join(thread, NULL);
    RESULT(send_text(1, "gone", 0));
    RESULT(msgctl(queue, IPC_RMID, NULL));
    return 0;
}
