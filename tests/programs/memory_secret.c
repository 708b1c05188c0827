/* Memory that only its owner may see: memfd_secret(2). */
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define READ_WRITE (PROT_READ | PROT_WRITE)

static int create(unsigned flags) {
    return (int)syscall(SYS_memfd_secret, flags);
}
/* What `/proc/self/status` says is locked, in KiB. */
static long locked(void) {
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmLck: %ld", &found) == 1)
            break;
    fclose(file);
    return found;
}

int main(void) {
    char buffer[64] = "", text[64];
    setbuf(stdout, NULL);
    RESULT(create(1));
    int file = create(O_CLOEXEC);
    CHECK(fcntl(file, F_GETFD) == FD_CLOEXEC && (fcntl(file, F_GETFL) & O_ACCMODE) == O_RDWR);
    struct stat status;
    RESULT(fstat(file, &status));
    CHECK(S_ISREG(status.st_mode) && status.st_size == 0);
    snprintf(text, sizeof text, "/proc/self/fd/%d", file);
    CHECK(readlink(text, buffer, sizeof buffer) == 20 && !memcmp(buffer, "/secretmem (deleted)", 20));
    puts("-- its size is set once");
    RESULT(ftruncate(file, 4 * PAGE));
    RESULT(ftruncate(file, 8 * PAGE));
    RESULT(ftruncate(file, 4 * PAGE));
    RESULT(ftruncate(file, 0));
    fstat(file, &status);
    CHECK(status.st_size == 4 * PAGE);
    puts("-- no calls");
    RESULT(read(file, buffer, 4));
    RESULT(write(file, buffer, 4));
    RESULT(pread(file, buffer, 4, 0));
    RESULT(fallocate(file, 0, 0, PAGE));
    RESULT(fcntl(file, F_GET_SEALS));
    puts("-- mappings");
    RESULT((long)mmap(NULL, PAGE, READ_WRITE, MAP_PRIVATE, file, 0));
    CHECK(locked() == 0);
    char *memory = mmap(NULL, 5 * PAGE, READ_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED && locked() == 20);
    CHECK(memory[0] == 0);
    memory[0] = 's';
    char *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    CHECK(other[0] == 's' && locked() == 24);
    RESULT(munlock(memory, 4 * PAGE));
    CHECK(locked() == 24);
    RESULT(madvise(memory, PAGE, MADV_DONTNEED));
    RESULT(madvise(memory, PAGE, MADV_DODUMP));
    puts("-- who may look");
    struct iovec here = {buffer, 1}, there = {memory, 1};
    RESULT(process_vm_readv(getpid(), &here, 1, &there, 1, 0));
    RESULT(process_vm_writev(getpid(), &here, 1, &there, 1, 0));
    int ends[2];
    RESULT(pipe(ends));
    RESULT(write(ends[1], memory, 1));
    RESULT(read(ends[0], buffer, 1));
    CHECK(buffer[0] == 's');
    /* A child has it too, but not locked. */
    if (fork() == 0) {
        CHECK(memory[0] == 's' && locked() == 0);
        memory[1] = 'c';
        _exit(0);
    }
    wait(NULL);
    CHECK(memory[1] == 'c');
    puts("-- limits");
    struct rlimit limit = {8 * PAGE, 8 * PAGE};
    syscall(SYS_setresuid, 65534, 65534, 65534);
    setrlimit(RLIMIT_MEMLOCK, &limit);
    int second = create(0);
    RESULT(ftruncate(second, 16 * PAGE));
    RESULT((long)mmap(NULL, 3 * PAGE, READ_WRITE, MAP_SHARED, second, 0));
    SUCCESS(mmap(NULL, 2 * PAGE, READ_WRITE, MAP_SHARED, second, 0));
    return 0;
}
