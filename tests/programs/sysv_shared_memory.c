/* System V shared memory: every call, its limits and its errors. */
#include "check.h"
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static sigjmp_buf back;

static void on_fault(int signal)
{
    siglongjmp(back, signal);
}

/* Whether a byte can be written; the signal if it can't. */
static int write_fault(volatile char *place)
{
    int signal = sigsetjmp(back, 1);
    if (signal == 0)
        *place = 1;
    return signal;
}

static void show(int id)
{
    struct shmid_ds status;
    memset(&status, 0xff, sizeof status);
    RESULT(shmctl(id, IPC_STAT, &status));
    printf("size %zu, attached %d, mode %o, uid %u gid %u cuid %u cgid %u\n", status.shm_segsz,
           (int)status.shm_nattch, status.shm_perm.mode, status.shm_perm.uid, status.shm_perm.gid,
           status.shm_perm.cuid, status.shm_perm.cgid);
    printf("creator is %s, last is %s, atime %s, ctime %s, key %x\n",
           status.shm_cpid == getpid() ? "me" : "another", status.shm_lpid == getpid() ? "me" : "another",
           status.shm_atime ? "set" : "0", status.shm_ctime ? "set" : "0",
           status.shm_perm.__key);
}

static void show_limits(void)
{
    struct shminfo limits;
    CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&limits) >= 0);
    printf("max %lu min %lu mni %lu seg %lu all %lu\n", limits.shmmax, limits.shmmin, limits.shmmni,
           limits.shmseg, limits.shmall);
    static const char *const files[] = {"shmmax", "shmall", "shmmni"};
    for (int i = 0; i < 3; i++) {
        char path[64], line[64] = "";
        snprintf(path, sizeof path, "/proc/sys/kernel/%s", files[i]);
        FILE *file = fopen(path, "r");
        if (file && fgets(line, sizeof line, file))
            printf("%s: %s", files[i], line);
        if (file)
            fclose(file);
    }
}

/* The line of a segment in /proc/sysvipc/shm, without what differs. */
static void show_line(int id)
{
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    char line[512];
    if (!file || !fgets(line, sizeof line, file))
        return;
    printf("%s", line);
    while (fgets(line, sizeof line, file)) {
        int key, number;
        unsigned mode;
        size_t size;
        int creator, last;
        unsigned attached;
        if (sscanf(line, "%d %d %o %zu %d %d %u", &key, &number, &mode, &size, &creator, &last, &attached) == 7 &&
            number == id)
            printf("key %d mode %o size %zu mine %d attached %u, %zu characters\n", key, mode, size,
                   creator == getpid(), attached, strlen(line));
    }
    fclose(file);
}

static char *shared;

static void *other_thread(void *unused)
{
    (void)unused;
    for (int i = 0; i < 4096; i++)
        shared[i] = (char)(i * 7);
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    show_limits();

    key_t key = 0x51740001;
    int id = shmget(key, 0, 0);
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
    RESULT(shmget(key, 4096, 0600));
    RESULT(shmget(key, 0, IPC_CREAT | 0600));
    RESULT(shmget(key, SIZE_MAX, IPC_CREAT | 0600));
    RESULT(shmget(key, 1UL << 46, IPC_CREAT | 0600));
    SUCCESS(id = shmget(key, 10000, IPC_CREAT | 0640));
    RESULT(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600));
    CHECK(shmget(key, 100, 0600) == id);
    CHECK(shmget(key, 0, 0) == id);
    RESULT(shmget(key, 10001, 0600));
    show(id);

    char *one = shmat(id, NULL, 0);
    CHECK(one != (void *)-1);
    show(id);
    CHECK((unsigned long)one % 4096 == 0);
    CHECK(one[0] == 0 && one[9999] == 0);
    strcpy(one, "written by one");
    char *two = shmat(id, NULL, SHM_RDONLY);
    CHECK(two != (void *)-1 && two != one);
    CHECK(strcmp(two, "written by one") == 0);
    strcpy(one + 8192, "behind");
    CHECK(strcmp(two + 8192, "behind") == 0);
    printf("writing to the read-only mapping: signal %d\n", write_fault(two));
    RESULT(mprotect(two, 4096, PROT_READ | PROT_WRITE));
    RESULT(mprotect(two, 4096, PROT_READ | PROT_EXEC));
    printf("writing behind the size, in its page: signal %d\n", write_fault(one + 12000));
    show_line(id);

    /* Where it goes. */
    RESULT((long)shmat(id, one + 4096, 0));
    RESULT((long)shmat(id, one + 1, 0));
    RESULT((long)shmat(id, NULL, SHM_REMAP));
    CHECK(shmat(id, one, SHM_REMAP) == one);
    show(id);
    char *room = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RESULT((long)shmat(id, room, 0));
    CHECK(shmat(id, room + 5000, SHM_RND | SHM_REMAP) == room + 4096);
    CHECK(strcmp(room + 4096, "written by one") == 0);
    RESULT(munmap(room + 8192, 4096));
    RESULT(shmdt(room + 8192));
    RESULT(shmdt(room + 4096));
    RESULT(shmdt(room + 4096));
    RESULT(munmap(room, 65536));
    CHECK(shmat(id, room, 0) == room);
    RESULT(shmdt(room + 1));
    RESULT(shmdt(room + 4096));
    RESULT(shmdt(room));
    RESULT((long)shmat(-1, NULL, 0));
    RESULT((long)shmat(id + 1, NULL, 0));
    RESULT(shmdt(NULL));
    show(id);

    /* Another thread sees the same memory. */
    shared = one;
    pthread_t thread;
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, NULL);
    int same = 1;
    for (int i = 0; i < 4096; i++)
        same &= two[i] == (char)(i * 7);
    CHECK(same);

    struct shmid_ds status;
    shmctl(id, IPC_STAT, &status);
    CHECK(status.shm_dtime != 0);
    status.shm_perm.mode = 0444 | 01000;
    status.shm_perm.uid = 12;
    RESULT(shmctl(id, IPC_SET, &status));
    show(id);
    RESULT(shmctl(id, SHM_LOCK, NULL));
    show(id);
    RESULT(shmctl(id, SHM_UNLOCK, NULL));
    RESULT(shmctl(id, 99, &status));
    RESULT(shmctl(id, -1, &status));
    RESULT(shmctl(id, IPC_STAT, (struct shmid_ds *)8));
    RESULT(shmctl(id + 1, IPC_STAT, &status));
    struct shm_info usage;
    CHECK(shmctl(0, SHM_INFO, (struct shmid_ds *)&usage) >= 0);
    CHECK(usage.used_ids >= 1 && usage.shm_tot >= 3 && usage.shm_rss >= 3);
    CHECK(shmctl(id % 32768, SHM_STAT, &status) == id);

    /* It goes with its last user. */
    RESULT(shmctl(id, IPC_RMID, NULL));
    show(id);
    RESULT(shmget(key, 0, 0));
    char *late = shmat(id, NULL, 0);
    CHECK(late != (void *)-1);
    CHECK(late[1] == 7);
    RESULT(shmdt(late));
    RESULT(shmdt(two));
    one[0] = 'x';
    show(id);
    RESULT(shmdt(one));
    RESULT(shmctl(id, IPC_STAT, &status));
    RESULT(shmctl(id, IPC_RMID, NULL));
    RESULT((long)shmat(id, NULL, 0));
    printf("after shmdt: signal %d\n", write_fault(one));

    /* Ones of their own. */
    int first = shmget(IPC_PRIVATE, 1, 0600), second = shmget(IPC_PRIVATE, 1, 0600);
    CHECK(first >= 0 && second >= 0 && first != second);
    char *mapped = shmat(first, NULL, SHM_EXEC);
    CHECK(mapped != (void *)-1);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[256];
    while (fgets(line, sizeof line, maps)) {
        char *name = strstr(line, "/SYSV");
        if (name)
            printf("%.4s %s", strchr(line, ' ') + 1, name);
    }
    fclose(maps);
    RESULT(shmctl(first, IPC_RMID, NULL));
    RESULT(shmctl(second, IPC_RMID, NULL));
    RESULT(shmctl(second, IPC_RMID, NULL));
    RESULT(munmap(mapped, 4096));
    RESULT(shmctl(first, IPC_STAT, &status));
    int again = shmget(IPC_PRIVATE, 1, 0600);
    CHECK(again != first && again != second);
    shmctl(again, IPC_RMID, NULL);
    return 0;
}
