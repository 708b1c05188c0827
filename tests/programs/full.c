/*
 * A file system that gets full: `full DIRECTORY`, an empty tmpfs of 256 KiB and 24 files, and
 * `full above FILE DIRECTORY` with a file of the image above which only 64 KiB may be written.
 */
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PAGE = 4096, BUFFER = 512 * 1024 };

static char buffer[BUFFER];

static void show(const char *when) {
    struct statfs status;
    if (statfs(".", &status) != 0) {
        perror("statfs");
        return;
    }
    printf("%s: %ld of %ld blocks of %ld free, %ld available, %ld of %ld files free\n", when, (long)status.f_bfree,
           (long)status.f_blocks, (long)status.f_bsize, (long)status.f_bavail, (long)status.f_ffree,
           (long)status.f_files);
}

static sigjmp_buf place;

static void caught(int number, siginfo_t *information, void *context) {
    (void)context;
    printf("signal %d, code %d\n", number, information->si_code);
    siglongjmp(place, 1);
}

/* Stores to each page of a mapping until it is a fault, and tells how many stores went well. */
static int stores(volatile char *memory, int pages) {
    volatile int done = 0;
    if (sigsetjmp(place, 1) == 0)
        for (; done < pages; done++)
            memory[(size_t)done * PAGE] = 'm';
    return done;
}

static void catch_bus_errors(void) {
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, 0);
}

static void data(void) {
    puts("-- data");
    show("at first");
    int file = open("data", O_RDWR | O_CREAT, 0600);
    show("with a file");
    RESULT(write(file, buffer, 3));
    show("with three bytes");
    RESULT(pwrite(file, buffer, 3, 1 << 30));
    show("with a hole");
    RESULT(ftruncate(file, 10));
    show("cut");
    /* What fits is written, and then it is an error. */
    RESULT(pwrite(file, buffer, BUFFER, 100));
    show("full");
    RESULT(pwrite(file, buffer, 1, BUFFER));
    RESULT(pwrite(file, buffer, 10, 50));
    RESULT(lseek(file, 0, SEEK_END));
    struct iovec pieces[2] = {{buffer, 90}, {buffer, PAGE}};
    RESULT(pwritev(file, pieces, 2, 64 * PAGE - 50));
    RESULT(fallocate(file, 0, 0, 64 * PAGE));
    RESULT(fallocate(file, 0, 0, 65 * PAGE));
    RESULT(fallocate(file, FALLOC_FL_KEEP_SIZE, 1 << 20, 1));
    RESULT(ftruncate(file, 1 << 20));
    int more = open("more", O_RDWR | O_CREAT, 0600);
    RESULT(write(more, buffer, 1));
    RESULT(ftruncate(more, 100));
    struct stat status;
    RESULT(fstat(more, &status));
    printf("size %ld, blocks %ld\n", (long)status.st_size, (long)status.st_blocks);
    RESULT(mkdir("directory", 0700));
    RESULT(symlink("data", "link"));
    RESULT(rename("more", "other"));
    RESULT(link("other", "name"));
    /* Freeing makes room, by whatever way. */
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE, 4 * PAGE));
    show("with a hole of four pages");
    RESULT(pwrite(more, buffer, 8 * PAGE, 0));
    RESULT(fallocate(file, 0, 11 * PAGE, 1));
    RESULT(ftruncate(file, 20 * PAGE));
    show("cut again");
    RESULT(fallocate(more, 0, 0, 60 * PAGE));
    show("after what did not fit as a whole");
    RESULT(unlink("data"));
    show("unlinked but open");
    RESULT(pread(file, buffer, 5, 0));
    RESULT(close(file));
    show("closed");
    RESULT(close(more));
    RESULT(unlink("other"));
    show("one name left");
    RESULT(unlink("name"));
    RESULT(unlink("link"));
    RESULT(rmdir("directory"));
    show("at last");
}

static void mappings(void) {
    puts("-- mappings");
    int file = open("mapped", O_RDWR | O_CREAT, 0600);
    RESULT(ftruncate(file, 100 * PAGE));
    show("with nothing but a size");
    char *memory = mmap(0, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    RESULT(stores(memory, 100));
    show("full");
    RESULT(pread(file, buffer, 1, 63 * PAGE));
    CHECK(buffer[0] == 'm');
    RESULT(madvise(memory, 8 * PAGE, MADV_REMOVE));
    show("removed");
    RESULT(stores(memory + 90 * PAGE, 10));
    RESULT(write(file, memory + 99 * PAGE, 5));
    RESULT(munmap(memory, 100 * PAGE));
    /* Private pages need no room. */
    memory = mmap(0, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    RESULT(stores(memory + 8 * PAGE, 50));
    RESULT(munmap(memory, 100 * PAGE));
    show("unmapped");
    RESULT(close(file));
    RESULT(unlink("mapped"));
    show("at last");
}

static void files(void) {
    puts("-- files");
    char name[32];
    int made = 0;
    for (; made < 100; made++) {
        snprintf(name, sizeof name, "file-%d", made);
        int file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (file < 0)
            break;
        close(file);
    }
    printf("made %d: %s\n", made, strerror(errno));
    show("full");
    RESULT(mkdir("directory", 0700));
    RESULT(symlink("a", "b"));
    RESULT(mkfifo("pipe", 0600));
    RESULT(link("file-0", "name"));
    RESULT(open(".", O_TMPFILE | O_RDWR, 0600));
    RESULT(renameat2(AT_FDCWD, "file-0", AT_FDCWD, "moved", RENAME_WHITEOUT));
    RESULT(rename("file-0", "moved"));
    RESULT(access("file-0", F_OK));
    RESULT(rename("moved", "file-1"));
    show("one was replaced");
    RESULT(link("file-1", "name"));
    show("with another name");
    RESULT(unlink("file-1"));
    show("without one name");
    int file = open(".", O_TMPFILE | O_RDWR, 0600);
    show("with a nameless file");
    RESULT(linkat(AT_FDCWD, (snprintf(name, sizeof name, "/proc/self/fd/%d", file), name), AT_FDCWD, "was nameless",
                  AT_SYMLINK_FOLLOW));
    show("which has a name now");
    RESULT(unlink("was nameless"));
    show("and lost it");
    RESULT(close(file));
    show("and is closed");
    RESULT(unlink("name"));
    for (int i = 0; i < made; i++) {
        snprintf(name, sizeof name, "file-%d", i);
        unlink(name);
    }
    show("at last");
}

/* Directories that are removed while the lowest is open go all at once. */
static void depth(int levels) {
    puts("-- depth");
    int top = open(".", O_RDONLY | O_DIRECTORY);
    int made = 0;
    for (; made < levels; made++)
        if (mkdir("d", 0700) != 0 || chdir("d") != 0)
            break;
    CHECK(made == levels);
    int lowest = open(".", O_RDONLY | O_DIRECTORY);
    int removed = 0;
    for (; removed < levels; removed++)
        if (chdir("..") != 0 || rmdir("d") != 0)
            break;
    CHECK(removed == levels);
    RESULT(fchdir(lowest));
    RESULT(mkdir("in nothing", 0700));
    RESULT(fchdir(top));
    RESULT(close(lowest));
    close(top);
}

/* The changes above an image's files count by pages, and the image's files don't count. */
static int above(const char *path, const char *directory) {
    struct statfs status;
    if (chdir(directory) != 0 || statfs(".", &status) != 0)
        return perror(directory), 1;
    printf("%ld of %ld blocks free\n", (long)status.f_bfree, (long)status.f_blocks);
    int file = open(path, O_RDWR);
    RESULT(pwrite(file, "x", 1, 0));
    statfs(".", &status);
    printf("%ld of %ld blocks free\n", (long)status.f_bfree, (long)status.f_blocks);
    RESULT(pwrite(file, buffer, BUFFER, 0));
    RESULT(pwrite(file, "x", 1, BUFFER));
    char *memory = mmap(0, BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    RESULT(stores(memory + 32 * PAGE, 1));
    /* What the image has can still be read, by way of a mapping that may be written, too. */
    volatile int last = 0;
    if (sigsetjmp(place, 1) == 0)
        last = memory[40 * PAGE];
    pread(file, buffer, 1, 40 * PAGE);
    CHECK(last == buffer[0]);
    int other = open("other", O_RDWR | O_CREAT, 0600);
    RESULT(write(other, "x", 1));
    RESULT(rename(path, "moved"));
    RESULT(unlink("moved"));
    munmap(memory, BUFFER);
    close(file);
    /* Its pages make room again. */
    memory = mmap(0, BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
    RESULT(ftruncate(other, 2 * PAGE));
    RESULT(stores(memory, 3));
    RESULT(write(other, buffer, BUFFER));
    statfs(".", &status);
    printf("%ld of %ld blocks free\n", (long)status.f_bfree, (long)status.f_blocks);
    return 0;
}

int main(int count, char **arguments) {
    setvbuf(stdout, 0, _IOLBF, 0);
    memset(buffer, 'b', BUFFER);
    catch_bus_errors();
    if (count == 4)
        return above(arguments[2], arguments[3]);
    if (count == 3) {
        if (chdir(arguments[2]) != 0)
            return perror(arguments[2]), 1;
        depth(atoi(arguments[1]));
        return 0;
    }
    if (count != 2 || chdir(arguments[1]) != 0)
        return perror("directory"), 1;
    data();
    mappings();
    files();
    return 0;
}
