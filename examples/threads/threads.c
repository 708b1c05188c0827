/*
 * POSIX threads that print at once. The source is the same on Linux and on Pith:
 *
 *   gcc -O2 -pthread -o threads threads.c
 *   ./threads 4             on this machine
 *   pith run -c 2 ./threads 4
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *print(void *argument)
{
    long own = (long)argument;
    for (int line = 1; line <= 5; line++) {
        printf("thread %ld, line %d\n", own, line);
        usleep(1000 * (unsigned)own);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    long wanted = count > 1 ? atol(arguments[1]) : 4;
    if (wanted < 1 || wanted > 1000) {
        fprintf(stderr, "usage: %s [THREADS], from 1 to 1000\n", arguments[0]);
        return 2;
    }
    pthread_t *threads = calloc((size_t)wanted, sizeof *threads);
    if (!threads)
        return 1;
    for (long i = 0; i < wanted; i++)
        if (pthread_create(&threads[i], NULL, print, (void *)(i + 1))) {
            fprintf(stderr, "thread %ld can't be created\n", i + 1);
            return 1;
        }
    for (long i = 0; i < wanted; i++)
        pthread_join(threads[i], NULL);
    printf("%ld threads have ended\n", wanted);
    free(threads);
    return 0;
}
