/* The first thread ends; the process lives until the last one does, and its status is 0. */
#include "check.h"
#include <pthread.h>
#include <unistd.h>

static void *say_and_end(void *argument)
{
    usleep(20000);
    printf("the other goes on\n");
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, say_and_end, NULL);
    pthread_detach(thread);
    pthread_exit(NULL);
}
