/* Registers belong to threads: vectors, floating-point control, the thread pointer, the stack. More threads than
 * processors compute at once, and each finds what it left. */
#include "check.h"
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

enum { THREADS = 12, ROUNDS = 60 };

/* Fills all sixteen registers, lets time pass, and compares. */
static long sse_lost(uint64_t seed, long spins)
{
    uint64_t out[16][2];
    __asm__ volatile(
        "movq %[seed], %%xmm0\n punpcklqdq %%xmm0, %%xmm0\n"
        "movdqa %%xmm0, %%xmm1\n paddq %%xmm0, %%xmm1\n movdqa %%xmm1, %%xmm2\n paddq %%xmm0, %%xmm2\n"
        "movdqa %%xmm2, %%xmm3\n paddq %%xmm0, %%xmm3\n movdqa %%xmm3, %%xmm4\n paddq %%xmm0, %%xmm4\n"
        "movdqa %%xmm4, %%xmm5\n paddq %%xmm0, %%xmm5\n movdqa %%xmm5, %%xmm6\n paddq %%xmm0, %%xmm6\n"
        "movdqa %%xmm6, %%xmm7\n paddq %%xmm0, %%xmm7\n movdqa %%xmm7, %%xmm8\n paddq %%xmm0, %%xmm8\n"
        "movdqa %%xmm8, %%xmm9\n paddq %%xmm0, %%xmm9\n movdqa %%xmm9, %%xmm10\n paddq %%xmm0, %%xmm10\n"
        "movdqa %%xmm10, %%xmm11\n paddq %%xmm0, %%xmm11\n movdqa %%xmm11, %%xmm12\n paddq %%xmm0, %%xmm12\n"
        "movdqa %%xmm12, %%xmm13\n paddq %%xmm0, %%xmm13\n movdqa %%xmm13, %%xmm14\n paddq %%xmm0, %%xmm14\n"
        "movdqa %%xmm14, %%xmm15\n paddq %%xmm0, %%xmm15\n"
        "1: pause\n dec %[spins]\n jnz 1b\n"
        "movdqu %%xmm0, (%[out])\n movdqu %%xmm1, 16(%[out])\n movdqu %%xmm2, 32(%[out])\n movdqu %%xmm3, 48(%[out])\n"
        "movdqu %%xmm4, 64(%[out])\n movdqu %%xmm5, 80(%[out])\n movdqu %%xmm6, 96(%[out])\n movdqu %%xmm7, 112(%[out])\n"
        "movdqu %%xmm8, 128(%[out])\n movdqu %%xmm9, 144(%[out])\n movdqu %%xmm10, 160(%[out])\n movdqu %%xmm11, 176(%[out])\n"
        "movdqu %%xmm12, 192(%[out])\n movdqu %%xmm13, 208(%[out])\n movdqu %%xmm14, 224(%[out])\n movdqu %%xmm15, 240(%[out])\n"
        : [spins] "+r"(spins)
        : [seed] "r"(seed), [out] "r"(out)
        : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    long lost = 0;
    for (uint64_t i = 0; i < 16; i++)
        lost += out[i][0] != seed * (i + 1) || out[i][1] != seed * (i + 1);
    return lost;
}

/* The upper halves, where the processor has them. */
__attribute__((target("avx"))) static long avx_lost(uint64_t seed, long spins)
{
    uint64_t out[3][4];
    __asm__ volatile(
        "movq %[seed], %%xmm0\n vpunpcklqdq %%xmm0, %%xmm0, %%xmm0\n vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0\n"
        "vmovapd %%ymm0, %%ymm7\n vmovapd %%ymm0, %%ymm15\n"
        "1: pause\n dec %[spins]\n jnz 1b\n"
        "vmovupd %%ymm0, (%[out])\n vmovupd %%ymm7, 32(%[out])\n vmovupd %%ymm15, 64(%[out])\n vzeroupper\n"
        : [spins] "+r"(spins)
        : [seed] "r"(seed), [out] "r"(out)
        : "memory", "cc", "xmm0", "xmm7", "xmm15");
    long lost = 0;
    for (int i = 0; i < 3; i++)
        for (int part = 0; part < 4; part++)
            lost += out[i][part] != seed;
    return lost;
}

/* The stack of the floating-point unit with its control word, and the control register of the vectors. */
static long control_lost(unsigned own, long spins)
{
    unsigned short word = (unsigned short)(0x037f & ~(own % 4 << 10)), found_word;
    unsigned rounding = 0x1f80 | (own % 4 << 13), found;
    long double value = own, first, second;
    __asm__ volatile(
        "fldcw %[word]\n ldmxcsr %[rounding]\n fldt %[value]\n fld1\n"
        "1: pause\n dec %[spins]\n jnz 1b\n"
        "fstpt %[first]\n fstpt %[second]\n fnstcw %[found_word]\n stmxcsr %[found]\n"
        : [spins] "+r"(spins), [first] "=m"(first), [second] "=m"(second), [found_word] "=m"(found_word),
          [found] "=m"(found)
        : [word] "m"(word), [rounding] "m"(rounding), [value] "m"(value)
        : "cc", "st", "st(1)");
    long lost = (first != 1) + (second != value) + (found_word != word) + ((found & 0x7fc0) != (rounding & 0x7fc0));
    word = 0x037f;
    rounding = 0x1f80;
    __asm__ volatile("fldcw %0\n ldmxcsr %1\n" : : "m"(word), "m"(rounding));
    return lost;
}

static __thread long own_number;
static long counts[THREADS][4];
static pthread_barrier_t barrier;

static void *work(void *argument)
{
    long own = (long)argument;
    own_number = own;
    pthread_barrier_wait(&barrier);
    int has_avx = __builtin_cpu_supports("avx");
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t seed = 0x9e3779b97f4a7c15u * (uint64_t)(own * ROUNDS + round + 1);
        counts[own][0] += sse_lost(seed, 20000);
        if (has_avx)
            counts[own][1] += avx_lost(seed, 20000);
        counts[own][2] += control_lost((unsigned)own, 20000);
        counts[own][3] += own_number != own;
        /* Given up and taken away: both have to keep them. */
        if (round % 4 == 0)
            sched_yield();
        if (round % 20 == 0)
            usleep(1000);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    long sums[4] = { 0 };
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (int kind = 0; kind < 4; kind++)
            sums[kind] += counts[i][kind];
    printf("lost: vectors %ld, upper halves %ld, control %ld, thread-local %ld\n", sums[0], sums[1], sums[2], sums[3]);
    return 0;
}
