/* Threads as every program uses them: joining, turns by condition variables, thread-local variables, names. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;
static long sum;

static void *take_turns(void *argument)
{
    long own = (long)argument;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 4 != own)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        sum += own * i;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return (void *)(own * 2);
}

static __thread int local = 7;
static atomic_int alive;
static pthread_barrier_t barrier;

static void *one_of_many(void *argument)
{
    errno = (int)(long)argument;
    local += (int)(long)argument;
    atomic_fetch_add(&alive, 1);
    pthread_barrier_wait(&barrier);
    return (void *)(long)(errno + local);
}

static void *compute(void *argument)
{
    volatile double value = 1;
    for (long i = 0; i < 1000000; i++)
        value = value * 1.0000001 + 0.5;
    *(double *)argument = value;
    return NULL;
}

static sem_t ping, pong;

static void *answer(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        sem_wait(&ping);
        sem_post(&pong);
    }
    return argument;
}

static void *numbered(void *argument)
{
    char name[16];
    pthread_setname_np(pthread_self(), "worker");
    pthread_getname_np(pthread_self(), name, sizeof name);
    CHECK(strcmp(name, "worker") == 0);
    CHECK(syscall(SYS_gettid) != getpid());
    return argument;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int onces;
static void count_once(void) { onces++; }
static void *call_once_thread(void *argument)
{
    pthread_once(&once, count_once);
    return argument;
}

static void *wait_for_cancel(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static pthread_key_t key;
static atomic_int destroyed;
static void destroy(void *value) { destroyed += (int)(long)value; }
static void *with_key(void *argument)
{
    pthread_setspecific(key, argument);
    return NULL;
}

int main(void)
{
    enum { MANY = 1000 };
    static pthread_t threads[MANY];
    void *result;
    long results = 0;

    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, take_turns, (void *)i);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        results += (long)result;
    }
    printf("turns %d, sum %ld, results %ld\n", turn, sum, results);

    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&barrier, NULL, MANY + 1);
    for (long i = 0; i < MANY; i++)
        if ((errno = pthread_create(&threads[i], &small, one_of_many, (void *)i))) {
            perror("pthread_create");
            return 1;
        }
    pthread_barrier_wait(&barrier);
    results = 0;
    for (int i = 0; i < MANY; i++) {
        pthread_join(threads[i], &result);
        results += (long)result;
    }
    printf("alive %d, results %ld\n", alive, results);

    double values[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, compute, &values[i]);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    int equal = 1;
    for (int i = 1; i < 8; i++)
        equal &= values[i] == values[0];
    printf("computed %f, equal %d\n", values[0], equal);

    sem_init(&ping, 0, 0);
    sem_init(&pong, 0, 0);
    pthread_create(&threads[0], NULL, answer, NULL);
    for (int i = 0; i < 2000; i++) {
        sem_post(&ping);
        sem_wait(&pong);
    }
    pthread_join(threads[0], NULL);
    printf("ping-pong done\n");

    pthread_create(&threads[0], NULL, numbered, NULL);
    pthread_join(threads[0], NULL);

    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, call_once_thread, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("once %d\n", onces);

    pthread_create(&threads[0], NULL, wait_for_cancel, NULL);
    pthread_cancel(threads[0]);
    pthread_join(threads[0], &result);
    CHECK(result == PTHREAD_CANCELED);

    pthread_key_create(&key, destroy);
    for (long i = 1; i <= 10; i++)
        pthread_create(&threads[i], NULL, with_key, (void *)i);
    for (int i = 1; i <= 10; i++)
        pthread_join(threads[i], NULL);
    printf("destroyed %d\n", destroyed);

    for (int i = 0; i < 3000; i++) {
        pthread_create(&threads[0], NULL, with_key, NULL);
        pthread_join(threads[0], NULL);
    }
    printf("created and joined\n");
    return 0;
}
