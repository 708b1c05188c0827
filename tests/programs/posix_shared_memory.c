/* shm_open and named semaphores: files in /dev/shm, and futexes in memory that they share. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static sem_t *semaphore, *answer;
static char *memory;

static void *other(void *name)
{
    /* A second mapping of the same semaphore: the C library may hand the first one out again, so map by hand. */
    int file = shm_open(name, O_RDWR, 0);
    char *mine = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    for (int i = 0; i < 500; i++) {
        sem_wait(semaphore);
        mine[5000] = (char)(mine[100] + 1);
        sem_post(answer);
    }
    pthread_barrier_wait((pthread_barrier_t *)(mine + 4096));
    munmap(mine, 8192);
    return NULL;
}

int main(void)
{
    shm_unlink("/pith");
    sem_unlink("/pith-ask");
    sem_unlink("/pith-answer");
    RESULT(shm_open("/pith", O_RDWR, 0600));
    int file;
    SUCCESS(file = shm_open("/pith", O_RDWR | O_CREAT | O_EXCL, 0600));
    RESULT(shm_open("/pith", O_RDWR | O_CREAT | O_EXCL, 0600));
    RESULT(ftruncate(file, 8192));
    struct stat status;
    fstat(file, &status);
    printf("mode %o, size %ld\n", status.st_mode, (long)status.st_size);
    RESULT(stat("/dev/shm/pith", &status));
    memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED);
    close(file);

    semaphore = sem_open("/pith-ask", O_CREAT | O_EXCL, 0600, 0);
    answer = sem_open("/pith-answer", O_CREAT, 0600, 2);
    CHECK(semaphore != SEM_FAILED && answer != SEM_FAILED);
    CHECK(sem_open("/pith-ask", O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
    int value = -1;
    RESULT(sem_getvalue(answer, &value));
    printf("value %d\n", value);
    RESULT(sem_wait(answer));
    RESULT(sem_trywait(answer));
    RESULT(sem_trywait(answer));
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += (soon.tv_nsec + 20000000) / 1000000000;
    soon.tv_nsec = (soon.tv_nsec + 20000000) % 1000000000;
    RESULT(sem_timedwait(answer, &soon));

    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init((pthread_barrier_t *)(memory + 4096), &attributes, 2);
    pthread_t thread;
    pthread_create(&thread, NULL, other, "/pith");
    int right = 0;
    for (int i = 0; i < 500; i++) {
        memory[100] = (char)i;
        sem_post(semaphore);
        sem_wait(answer);
        right += memory[5000] == (char)(i + 1);
    }
    printf("%d right answers\n", right);
    pthread_barrier_wait((pthread_barrier_t *)(memory + 4096));
    pthread_join(thread, NULL);

    RESULT(sem_close(semaphore));
    RESULT(sem_close(answer));
    RESULT(sem_unlink("/pith-ask"));
    RESULT(sem_unlink("/pith-answer"));
    RESULT(sem_unlink("/pith-answer"));
    RESULT(shm_unlink("/pith"));
    RESULT(shm_unlink("/pith"));
    memory[0] = 'x';
    CHECK(memory[0] == 'x');
    RESULT(munmap(memory, 8192));
    return 0;
}
