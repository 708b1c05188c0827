/* System V semaphores: operations that happen at once, waiting for them, and semctl. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static int set;

static void values(void)
{
    unsigned short array[4] = {9, 9, 9, 9};
    union semun argument = {.array = array};
    int result = semctl(set, 0, GETALL, argument);
    printf("values (%d): %d %d %d %d\n", result, array[0], array[1], array[2], array[3]);
}

static int operate(int number, int change, int flags)
{
    struct sembuf operation = {(unsigned short)number, (short)change, (short)flags};
    return semop(set, &operation, 1);
}

static void wait_for(int number, int command, int count)
{
    for (int i = 0; i < 5000 && semctl(set, number, command) != count; i++)
        usleep(1000);
    printf("waiting: %d\n", semctl(set, number, command));
}

static void *take_two(void *unused)
{
    (void)unused;
    struct sembuf both[2] = {{0, -1, 0}, {1, -2, 0}};
    errno = 0;
    int result = semop(set, both, 2);
    return (void *)(long)(result == 0 ? 0 : errno);
}

static void *wait_zero(void *unused)
{
    (void)unused;
    errno = 0;
    int result = operate(2, 0, 0);
    return (void *)(long)(result == 0 ? 0 : errno);
}

static void on_signal(int signal)
{
    (void)signal;
}

static void *interrupt(void *target)
{
    wait_for(0, GETNCNT, 1);
    pthread_kill(*(pthread_t *)target, SIGUSR1);
    return NULL;
}

/* Many threads, one counter. */
static long counter;

static void *count(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        operate(3, -1, SEM_UNDO);
        counter++;
        operate(3, 1, SEM_UNDO);
    }
    return NULL;
}

int main(void)
{
    union semun argument;
    struct seminfo limits;
    argument.info = &limits;
    CHECK(semctl(0, 0, IPC_INFO, argument) >= 0);
    printf("map %d mni %d mns %d mnu %d msl %d opm %d ume %d usz %d vmx %d aem %d\n", limits.semmap, limits.semmni,
           limits.semmns, limits.semmnu, limits.semmsl, limits.semopm, limits.semume, limits.semusz,
           limits.semvmx, limits.semaem);
    FILE *file = fopen("/proc/sys/kernel/sem", "r");
    char line[256];
    if (file && fgets(line, sizeof line, file))
        printf("%s", line);
    if (file)
        fclose(file);

    key_t key = 0x51740002;
    int old = semget(key, 0, 0);
    if (old >= 0)
        semctl(old, 0, IPC_RMID);
    RESULT(semget(key, 4, 0600));
    RESULT(semget(key, 0, IPC_CREAT | 0600));
    RESULT(semget(key, -1, IPC_CREAT | 0600));
    RESULT(semget(key, 32001, IPC_CREAT | 0600));
    SUCCESS(set = semget(key, 4, IPC_CREAT | 0600));
    CHECK(semget(key, 3, 0) == set);
    RESULT(semget(key, 5, 0));
    RESULT(semget(key, 4, IPC_CREAT | IPC_EXCL));
    values();

    RESULT(operate(0, 3, 0));
    RESULT(operate(0, -1, 0));
    RESULT(operate(0, -3, IPC_NOWAIT));
    RESULT(operate(0, 0, IPC_NOWAIT));
    RESULT(operate(1, 0, IPC_NOWAIT));
    RESULT(operate(4, 1, 0));
    RESULT(operate(0, 32766, 0));
    RESULT(operate(0, 32765, 0));
    RESULT(operate(0, 1, 0));
    values();
    struct sembuf several[3] = {{0, -32767, 0}, {1, 5, 0}, {2, -1, IPC_NOWAIT}};
    RESULT(semop(set, several, 3));
    values();
    struct sembuf same[3] = {{0, -32767, 0}, {0, 0, 0}, {0, 2, 0}};
    RESULT(semop(set, same, 3));
    values();
    RESULT(semop(set, several, 0));
    struct sembuf many[501] = {{0, 0, 0}};
    RESULT(semop(set, many, 501));
    RESULT(semop(set, (struct sembuf *)8, 1));
    RESULT(semop(-1, several, 1));
    RESULT(semop(set + 1, several, 1));

    struct timespec brief = {0, 20000000}, bad = {0, 1000000000};
    struct sembuf ask = {3, -1, 0};
    RESULT(semtimedop(set, &ask, 1, &brief));
    RESULT(semtimedop(set, &ask, 1, &bad));
    struct timespec none = {0, 0};
    RESULT(semtimedop(set, &ask, 1, &none));

    argument.val = 7;
    RESULT(semctl(set, 2, SETVAL, argument));
    RESULT(semctl(set, 2, GETVAL));
    CHECK(semctl(set, 2, GETPID) == getpid());
    CHECK(semctl(set, 3, GETPID) == 0);
    argument.val = 32768;
    RESULT(semctl(set, 2, SETVAL, argument));
    argument.val = -1;
    RESULT(semctl(set, 2, SETVAL, argument));
    RESULT(semctl(set, 4, GETVAL));
    RESULT(semctl(set, -1, GETVAL));
    RESULT(semctl(set, 0, 77));
    RESULT(semctl(-1, 0, GETVAL));
    unsigned short all[4] = {0, 0, 1, 1}, large[4] = {0, 40000, 0, 0};
    argument.array = large;
    RESULT(semctl(set, 0, SETALL, argument));
    argument.array = all;
    RESULT(semctl(set, 0, SETALL, argument));
    values();

    /* Both or none: the other thread takes one of each kind only when both are there. */
    pthread_t thread, second;
    void *result;
    pthread_create(&thread, NULL, take_two, NULL);
    wait_for(0, GETNCNT, 1);
    RESULT(operate(0, 1, 0));
    wait_for(1, GETNCNT, 1);
    values();
    RESULT(operate(1, 1, 0));
    RESULT(operate(1, 1, 0));
    pthread_join(thread, &result);
    printf("the other thread: %s\n", strerror((int)(long)result));
    values();

    pthread_create(&thread, NULL, wait_zero, NULL);
    wait_for(2, GETZCNT, 1);
    printf("nobody waits for more: %d\n", semctl(set, 2, GETNCNT));
    argument.val = 0;
    RESULT(semctl(set, 2, SETVAL, argument));
    pthread_join(thread, &result);
    printf("the other thread: %s\n", strerror((int)(long)result));

    /* A signal ends it, even where calls start again. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self();
    pthread_create(&thread, NULL, interrupt, &self);
    RESULT(operate(0, -1, 0));
    pthread_join(thread, NULL);
    RESULT(semctl(set, 0, GETNCNT));

    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("counter %ld, semaphore %d\n", counter, semctl(set, 3, GETVAL));

    /* SEM_UNDO has limits of its own. */
    argument.val = 0;
    semctl(set, 3, SETVAL, argument);
    RESULT(operate(3, 32767, SEM_UNDO));
    RESULT(operate(3, -32767, 0));
    RESULT(operate(3, 2, SEM_UNDO));
    semctl(set, 3, SETVAL, argument);
    RESULT(operate(3, 2, SEM_UNDO));

    struct semid_ds status;
    argument.buf = &status;
    RESULT(semctl(set, 0, IPC_STAT, argument));
    printf("mode %o, %lu semaphores, otime %s, ctime %s\n", status.sem_perm.mode, (unsigned long)status.sem_nsems,
           status.sem_otime ? "set" : "0", status.sem_ctime ? "set" : "0");
    status.sem_perm.mode = 0444;
    RESULT(semctl(set, 0, IPC_SET, argument));
    semctl(set, 0, IPC_STAT, argument);
    printf("mode %o\n", status.sem_perm.mode);
    CHECK(semctl(set % 32768, 0, SEM_STAT, argument) == set);
    argument.info = &limits;
    CHECK(semctl(0, 0, SEM_INFO, argument) >= 0);
    CHECK(limits.semusz >= 1 && limits.semaem >= 4);

    file = fopen("/proc/sysvipc/sem", "r");
    while (file && fgets(line, sizeof line, file)) {
        int its_key, id;
        if (sscanf(line, "%d %d", &its_key, &id) != 2)
            printf("%s", line);
        else if (id == set)
            printf("key %d, %zu characters: %.30s\n", its_key == key, strlen(line), line + 21);
    }
    fclose(file);

    pthread_create(&thread, NULL, take_two, NULL);
    pthread_create(&second, NULL, take_two, NULL);
    wait_for(0, GETNCNT, 2);
    RESULT(semctl(set, 0, IPC_RMID));
    pthread_join(thread, &result);
    printf("the other thread: %s\n", strerror((int)(long)result));
    pthread_join(second, &result);
    printf("the other thread: %s\n", strerror((int)(long)result));
    RESULT(operate(0, 1, 0));
    RESULT(semctl(set, 0, IPC_RMID));
    return 0;
}
