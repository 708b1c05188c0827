/* OpenMP: a reduction, tasks, and a lock. */
#include <omp.h>
#include <stdio.h>

static long fibonacci(int n)
{
    if (n < 2)
        return n;
    long a, b;
#pragma omp task shared(a) if (n > 14)
    a = fibonacci(n - 1);
#pragma omp task shared(b) if (n > 14)
    b = fibonacci(n - 2);
#pragma omp taskwait
    return a + b;
}

int main(void)
{
    long sum = 0, result = 0;
    int counted = 0;
    omp_set_num_threads(4);
#pragma omp parallel for reduction(+ : sum) schedule(dynamic, 100)
    for (long i = 0; i < 1000000; i++)
        sum += i % 7;
#pragma omp parallel
#pragma omp single
    result = fibonacci(20);
#pragma omp parallel
    {
#pragma omp critical
        counted++;
    }
    printf("%ld %ld %d\n", sum, result, counted);
    return 0;
}
