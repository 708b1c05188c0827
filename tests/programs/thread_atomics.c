/* Atomic operations between processors, and restartable sequences on each of them. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 8, TIMES = 20000 };

static atomic_long added, exchanged, maximum;
static atomic_flag flag = ATOMIC_FLAG_INIT;
static long guarded;
static _Atomic uint16_t narrow[4];
static atomic_int started;

static void start_together(int count)
{
    started++;
    while (started % count)
        sched_yield();
}

static void *operate(void *argument)
{
    long own = (long)argument;
    for (long i = 0; i < TIMES; i++) {
        atomic_fetch_add(&added, own);
        long old = atomic_load(&exchanged);
        while (!atomic_compare_exchange_weak(&exchanged, &old, old + 1))
            ;
        old = atomic_load(&maximum);
        while (old < own * TIMES + i && !atomic_compare_exchange_strong(&maximum, &old, own * TIMES + i))
            ;
        while (atomic_flag_test_and_set_explicit(&flag, memory_order_acquire))
            sched_yield();
        guarded++;
        atomic_flag_clear_explicit(&flag, memory_order_release);
        narrow[own % 4]++;
    }
    return NULL;
}

/* Two threads write, and then read what the other writes: with fences, one of them sees it. */
static atomic_int x, y, seen_by_x, seen_by_y;
static pthread_barrier_t barrier;
static long neither, reordered;
static atomic_int data, published;

static void *store_and_load(void *argument)
{
    int first = argument != NULL;
    for (int i = 0; i < 2000; i++) {
        pthread_barrier_wait(&barrier);
        if (first) {
            atomic_store_explicit(&x, 1, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst);
            seen_by_x = atomic_load_explicit(&y, memory_order_relaxed);
            atomic_store_explicit(&data, i + 1, memory_order_relaxed);
            atomic_store_explicit(&published, i + 1, memory_order_release);
        } else {
            atomic_store_explicit(&y, 1, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst);
            seen_by_y = atomic_load_explicit(&x, memory_order_relaxed);
            int found = atomic_load_explicit(&published, memory_order_acquire);
            reordered += atomic_load_explicit(&data, memory_order_relaxed) < found;
        }
        pthread_barrier_wait(&barrier);
        if (first) {
            neither += !seen_by_x && !seen_by_y;
            x = y = 0;
        }
    }
    return NULL;
}

/* Counters that belong to processors, without atomic operations: an interrupted sequence starts again. */
static struct { long count; char padding[56]; } per_processor[256];

static struct rseq *area(void)
{
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static int count_on(uint32_t processor)
{
    struct rseq *own = area();
    __asm__ goto(
        ".pushsection __rseq_cs, \"aw\"\n .balign 32\n"
        "3: .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
        "leaq 3b(%%rip), %%rax\n movq %%rax, %[sequence]\n"
        "1: cmpl %[processor], %[current]\n jnz 4f\n"
        "movq (%[counter]), %%rcx\n"
        /* Long enough to be interrupted now and then. */
        "movl $50, %%eax\n 5: decl %%eax\n jnz 5b\n"
        "incq %%rcx\n movq %%rcx, (%[counter])\n"
        "2:\n"
        ".pushsection __rseq_failure, \"ax\"\n"
        ".byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n"
        "4: jmp %l[again]\n .popsection\n"
        :
        : [sequence] "m"(own->rseq_cs), [current] "m"(own->cpu_id), [processor] "r"(processor),
          [counter] "r"(&per_processor[processor % 256].count)
        : "memory", "cc", "rax", "rcx"
        : again);
    return 1;
again:
    return 0;
}

static void *count_anywhere(void *argument)
{
    start_together(THREADS);
    for (int i = 0; i < TIMES; i++) {
        while (!count_on(area()->cpu_id_start))
            ;
        if (i % 500 == 0)
            sched_yield();
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, operate, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("added %ld, exchanged %ld, maximum %ld, guarded %ld\n", added, exchanged, maximum, guarded);
    printf("narrow %u %u %u %u\n", narrow[0], narrow[1], narrow[2], narrow[3]);

    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&threads[0], NULL, store_and_load, NULL);
    pthread_create(&threads[1], NULL, store_and_load, threads);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("seen by neither %ld, reordered %ld\n", neither, reordered);

    CHECK(__rseq_size > 0);
    CHECK((int)area()->cpu_id >= 0);
    RESULT(syscall(SYS_rseq, area(), 32, 0, 0x53053053));
    RESULT(syscall(SYS_rseq, (char *)area() + 32, 32, 0, 0x53053053));
    RESULT(syscall(SYS_rseq, area(), 32, 2, 0x53053053));
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count_anywhere, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    long sum = 0;
    for (int i = 0; i < 256; i++)
        sum += per_processor[i].count;
    printf("counted in sequences: %ld\n", sum);
    return 0;
}
