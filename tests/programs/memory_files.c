/* Files in memory and their seals: memfd_create, F_ADD_SEALS, and what each seal forbids. */
#include "check.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L
#define READ_WRITE (PROT_READ | PROT_WRITE)
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#define SEAL_EXECUTE 0x20

static int make(int pages, unsigned flags) {
    int file = (int)syscall(SYS_memfd_create, "test", flags);
    if (file >= 0 && ftruncate(file, pages * PAGE) != 0)
        perror("ftruncate");
    return file;
}
static void *map(int file, int protection, int flags) {
    return mmap(0, PAGE, protection, flags, file, 0);
}

int main(void) {
    char buffer[2 * PAGE], text[300];
    memset(buffer, 'x', sizeof buffer);
    puts("-- memfd_create");
    int file = make(0, MFD_CLOEXEC);
    struct stat status;
    fstat(file, &status);
    CHECK(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0777 && status.st_nlink == 0 && status.st_size == 0);
    RESULT(fcntl(file, F_GETFD));
    CHECK((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDWR);
    snprintf(text, sizeof text, "/proc/self/fd/%d", file);
    char name[300] = "";
    CHECK(readlink(text, name, sizeof name - 1) > 0 && !strcmp(name, "/memfd:test (deleted)"));
    RESULT(write(file, buffer, 2 * PAGE));
    RESULT(lseek(file, 0, SEEK_END));
    char *view = map(file, READ_WRITE, MAP_SHARED);
    view[5] = 'y';
    RESULT(pread(file, text, 10, 0));
    CHECK(!memcmp(text, "xxxxxyxxxx", 10));
    RESULT(fcntl(file, F_GET_SEALS));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(view, PAGE);
    close(file);
    memset(text, 'n', sizeof text);
    text[249] = 0;
    SUCCESS(syscall(SYS_memfd_create, text, 0));
    text[249] = 'n', text[250] = 0;
    RESULT(syscall(SYS_memfd_create, text, 0));
    RESULT(syscall(SYS_memfd_create, (char *)8, 0));
    RESULT(syscall(SYS_memfd_create, "test", 0x100));
    RESULT(syscall(SYS_memfd_create, "test", 0x18));

    puts("-- seals");
    file = make(4, MFD_ALLOW_SEALING);
    RESULT(fcntl(file, F_GET_SEALS));
    RESULT(fcntl(file, F_ADD_SEALS, 0x100));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
    RESULT(ftruncate(file, PAGE));
    RESULT(ftruncate(file, 4 * PAGE));
    RESULT(ftruncate(file, 5 * PAGE));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_GROW));
    RESULT(ftruncate(file, 6 * PAGE));
    RESULT(pwrite(file, buffer, 2 * PAGE, 4 * PAGE));
    RESULT(pwrite(file, buffer, PAGE, 5 * PAGE));
    RESULT(pwrite(file, buffer, 100, 5 * PAGE - 50));
    RESULT(fallocate(file, 0, 5 * PAGE, PAGE));
    RESULT(fallocate(file, 0, 2 * PAGE, PAGE));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
    RESULT(fcntl(file, F_GET_SEALS));

    puts("-- against writing");
    view = map(file, READ_WRITE, MAP_SHARED);
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(view, PAGE);
    view = map(file, PROT_READ, MAP_SHARED);
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(view, PAGE);
    view = map(file, READ_WRITE, MAP_PRIVATE);
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    view[0] = 'p';
    RESULT(pread(file, text, 1, 0));
    CHECK(text[0] == 0);
    RESULT(pwrite(file, "w", 1, 0));
    RESULT(write(file, "", 0));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
    RESULT(map(file, READ_WRITE, MAP_SHARED));
    char *reader = map(file, PROT_READ, MAP_SHARED);
    CHECK(reader != MAP_FAILED);
    RESULT(mprotect(reader, PAGE, READ_WRITE));
    RESULT(madvise(reader, PAGE, MADV_REMOVE));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_SEAL));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
    RESULT(fcntl(file, F_GET_SEALS));
    close(file);

    puts("-- against writing later");
    file = make(4, MFD_ALLOW_SEALING);
    view = map(file, READ_WRITE, MAP_SHARED);
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    view[0] = 'k';
    RESULT(pread(file, text, 1, 0));
    CHECK(text[0] == 'k');
    RESULT(pwrite(file, "w", 1, 0));
    RESULT(map(file, READ_WRITE, MAP_SHARED));
    reader = map(file, PROT_READ, MAP_SHARED);
    CHECK(reader != MAP_FAILED && reader[0] == 'k');
    RESULT(mprotect(reader, PAGE, READ_WRITE));
    SUCCESS(map(file, READ_WRITE, MAP_PRIVATE));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    close(file);

    puts("-- who may seal");
    file = make(1, MFD_ALLOW_SEALING);
    snprintf(text, sizeof text, "/proc/self/fd/%d", file);
    int again = open(text, O_RDONLY);
    RESULT(fcntl(again, F_ADD_SEALS, F_SEAL_GROW));
    RESULT(fcntl(again, F_GET_SEALS));
    close(again);
    close(file);
    file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    RESULT(fcntl(file, F_GET_SEALS));
    RESULT(fcntl(file, F_ADD_SEALS, F_SEAL_GROW));
    close(file);
    file = open("/", O_RDONLY);
    RESULT(fcntl(file, F_GET_SEALS));
    close(file);
    int ends[2];
    CHECK(pipe(ends) == 0);
    RESULT(fcntl(ends[0], F_GET_SEALS));

    puts("-- against execution");
    file = (int)syscall(SYS_memfd_create, "test", 8);
    fstat(file, &status);
    CHECK((status.st_mode & 07777) == 0666);
    RESULT(fcntl(file, F_GET_SEALS));
    RESULT(fchmod(file, 0777));
    RESULT(fchmod(file, 0600));
    close(file);
    file = make(1, MFD_ALLOW_SEALING);
    RESULT(fcntl(file, F_ADD_SEALS, SEAL_EXECUTE));
    RESULT(fcntl(file, F_GET_SEALS));
    return 0;
}
