/* Every kind of lock, with what the kernel does for it: futexes, robust lists, priority inheritance, sharing. */
#include "check.h"
#include <pthread.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t *mutex;

static pthread_mutex_t *make(int type, int robust, int protocol, int shared)
{
    static char *page;
    static int used;
    if (!page)
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_t *made = (pthread_mutex_t *)(page + 64 * used++);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setrobust(&attributes, robust);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutexattr_setpshared(&attributes, shared);
    errno = pthread_mutex_init(made, &attributes);
    if (errno)
        perror("pthread_mutex_init");
    return made;
}

static void *die_with_lock(void *argument)
{
    pthread_mutex_lock(mutex);
    return argument;
}

static int counter;
static void *count(void *argument)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(mutex);
        counter++;
        pthread_mutex_unlock(mutex);
    }
    return argument;
}

static void counted(const char *what)
{
    pthread_t threads[4];
    counter = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%s: counted %d\n", what, counter);
}

static int word;
static long futex(int *address, int operation, int value, void *timeout, int *second, int third)
{
    return syscall(SYS_futex, address, operation, value, timeout, second, third);
}

static void *wait_on_word(void *argument)
{
    long result = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (int)(long)argument);
    return (void *)(result == 0 ? 0L : (long)errno);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int written;
static void *read_or_write(void *argument)
{
    for (int i = 0; i < 1000; i++) {
        if (argument) {
            pthread_rwlock_wrlock(&rwlock);
            written++;
        } else {
            pthread_rwlock_rdlock(&rwlock);
        }
        pthread_rwlock_unlock(&rwlock);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread, others[4];
    struct timespec soon;

    mutex = make(PTHREAD_MUTEX_RECURSIVE, 0, 0, 0);
    printf("recursive %d %d\n", pthread_mutex_lock(mutex), pthread_mutex_lock(mutex));
    pthread_mutex_unlock(mutex);
    pthread_mutex_unlock(mutex);
    printf("not locked: %s\n", strerror(pthread_mutex_unlock(mutex)));
    mutex = make(PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0);
    pthread_mutex_lock(mutex);
    printf("again: %s\n", strerror(pthread_mutex_lock(mutex)));
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 20000000) % 1000000000;
    pthread_mutex_unlock(mutex);

    mutex = make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, 0, 0);
    pthread_create(&thread, NULL, die_with_lock, NULL);
    pthread_join(thread, NULL);
    printf("owner died: %s\n", strerror(pthread_mutex_lock(mutex)));
    printf("consistent %d\n", pthread_mutex_consistent(mutex));
    pthread_mutex_unlock(mutex);
    printf("usable %d\n", pthread_mutex_lock(mutex));
    pthread_mutex_unlock(mutex);
    counted("robust");

    mutex = make(PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT, 0);
    counted("priority inheritance");
    pthread_mutex_lock(mutex);
    pthread_create(&thread, NULL, count, NULL);
    usleep(10000);
    pthread_mutex_unlock(mutex);
    pthread_join(thread, NULL);
    printf("handed over, counted %d\n", counter);
    mutex = make(PTHREAD_MUTEX_ERRORCHECK, 0, PTHREAD_PRIO_INHERIT, 0);
    pthread_mutex_lock(mutex);
    printf("again: %s\n", strerror(pthread_mutex_lock(mutex)));
    pthread_mutex_unlock(mutex);
    mutex = make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT, 0);
    pthread_create(&thread, NULL, die_with_lock, NULL);
    pthread_join(thread, NULL);
    printf("owner died: %s\n", strerror(pthread_mutex_lock(mutex)));
    pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
    mutex = make(PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PROCESS_SHARED);
    counted("shared");

    for (long i = 0; i < 4; i++)
        pthread_create(&others[i], NULL, read_or_write, (void *)(i % 2));
    for (int i = 0; i < 4; i++)
        pthread_join(others[i], NULL);
    printf("written %d\n", written);

    /* The system call itself. */
    struct timespec now = { 0, 1000000 };
    RESULT(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    RESULT(futex(&word, FUTEX_WAIT, 0, &now, NULL, 0));
    RESULT(futex(&word, FUTEX_WAIT_BITSET, 0, &now, NULL, 0));
    RESULT(futex((int *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
    RESULT(futex((int *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
    RESULT(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    RESULT(futex(&word, 77, 1, NULL, NULL, 0));
    now.tv_nsec = 1000000000;
    RESULT(futex(&word, FUTEX_WAIT, 0, &now, NULL, 0));
    for (long i = 0; i < 4; i++)
        pthread_create(&others[i], NULL, wait_on_word, (void *)(1L << i));
    usleep(50000);
    RESULT(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 2));
    RESULT(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1L, &counter, 5));
    RESULT(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1L, &counter, 0));
    RESULT(futex(&counter, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    RESULT(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &counter,
                 FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_GT, 0)));
    printf("set to %d\n", counter);
    long errors = 0;
    void *result;
    for (int i = 0; i < 4; i++) {
        pthread_join(others[i], &result);
        errors += (long)result;
    }
    printf("errors of waiters %ld\n", errors);
    return 0;
}
