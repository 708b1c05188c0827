/* Writing over the image and beside it: `overlay DIRECTORY`, a fresh copy of the runner's tree. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void show(const char *path) {
    char buffer[200] = {0};
    int file = open(path, O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, buffer, sizeof buffer - 1);
    if (length < 0)
        printf("%s: %s\n", path, strerror(errno));
    else
        printf("%s: \"%s\"\n", path, buffer);
    close(file);
}

static int by_name(const struct dirent **left, const struct dirent **right) {
    return strcmp((*left)->d_name, (*right)->d_name);
}

static void list(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, 0, by_name);
    printf("%s has %d:", path, count);
    for (int i = 0; i < count; i++)
        printf(" %s(%d)", entries[i]->d_name, entries[i]->d_type);
    puts("");
}

static void in(const char *directory) {
    printf("-- %s\n", directory);
    RESULT(chdir(directory));
    RESULT(mkdir("made", 0755));
    RESULT(chdir("made"));
    int file = open("new.txt", O_RDWR | O_CREAT | O_TRUNC, 0640);
    RESULT(write(file, "0123456789", 10));
    RESULT(pwrite(file, "AB", 2, 3));
    RESULT(lseek(file, 0, SEEK_CUR));
    RESULT(lseek(file, 5, SEEK_END));
    RESULT(write(file, "z", 1));
    char buffer[32] = {0};
    RESULT(pread(file, buffer, 32, 0));
    CHECK(!memcmp(buffer, "012AB56789\0\0\0\0\0z", 16));
    RESULT(ftruncate(file, 4));
    RESULT(ftruncate(file, 8));
    RESULT(pread(file, buffer, 32, 0));
    CHECK(!memcmp(buffer, "012A\0\0\0\0", 8));
    struct stat status;
    RESULT(fstat(file, &status));
    printf("mode %o, size %ld, links %ld\n", (unsigned)status.st_mode, (long)status.st_size, (long)status.st_nlink);
    RESULT(close(file));

    file = open("new.txt", O_WRONLY | O_APPEND);
    RESULT(write(file, "end", 3));
    RESULT(lseek(file, 0, SEEK_SET));
    RESULT(write(file, "END", 3));
    RESULT(close(file));
    RESULT(stat("new.txt", &status));
    printf("size %ld\n", (long)status.st_size);

    RESULT(symlink("new.txt", "symbolic"));
    RESULT(link("new.txt", "hard"));
    RESULT(stat("symbolic", &status));
    printf("links %ld\n", (long)status.st_nlink);
    RESULT(rename("new.txt", "renamed.txt"));
    RESULT(access("new.txt", F_OK));
    RESULT(access("symbolic", F_OK));
    RESULT(chmod("renamed.txt", 0400));
    RESULT(stat("hard", &status));
    printf("mode %o\n", (unsigned)status.st_mode);
    RESULT(mkdir("below", 0700));
    RESULT(rename("renamed.txt", "below/moved.txt"));
    list(".");
    list("below");
    RESULT(rmdir("below"));
    RESULT(unlink("below/moved.txt"));
    RESULT(rmdir("below"));
    RESULT(unlink("symbolic"));

    /* A file without a name lives as long as it is open. */
    file = open("hard", O_RDONLY);
    RESULT(unlink("hard"));
    RESULT(read(file, buffer, 3));
    RESULT(fstat(file, &status));
    printf("links %ld\n", (long)status.st_nlink);
    RESULT(close(file));

    /* Many entries, so that reading the directory takes several calls. */
    char name[40];
    int made = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "entry-with-a-long-name-%05d", i);
        int entry = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        made += entry >= 0 && close(entry) == 0;
    }
    struct dirent **entries;
    printf("made %d, found %d\n", made, scandir(".", &entries, 0, by_name));
    CHECK(!strcmp(entries[2]->d_name, "entry-with-a-long-name-00000"));
    CHECK(!strcmp(entries[3001]->d_name, "entry-with-a-long-name-02999"));
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "entry-with-a-long-name-%05d", i);
        made -= unlink(name) == 0;
    }
    printf("left %d\n", made);
    list(".");
    RESULT(chdir(".."));
    RESULT(rmdir("made"));

    /* Megabytes, and a mapping of them. */
    file = open("large", O_RDWR | O_CREAT, 0600);
    static char block[65536];
    for (int i = 0; i < 48; i++) {
        memset(block, i, sizeof block);
        if (write(file, block, sizeof block) != sizeof block)
            printf("write %d: %s\n", i, strerror(errno));
    }
    char *map = mmap(0, 48 * sizeof block, PROT_READ, MAP_PRIVATE, file, 0);
    int good = map != MAP_FAILED;
    for (int i = 0; good && i < 48; i++)
        good &= map[i * (int)sizeof block] == i && map[(i + 1) * (int)sizeof block - 1] == i;
    CHECK(good);
    munmap(map, 48 * sizeof block);
    close(file);
    RESULT(unlink("large"));
}

static int end_at_once(void *argument) {
    (void)argument;
    return 0;
}

/* What the kernel writes into the memory of a new process, in a file of the image: who maps the file sees it. */
static void written_for_a_child(const char *path) {
    int file = open(path, O_RDWR), go[2], went[2];
    struct stat status;
    fstat(file, &status);
    int only_read = open(path, O_RDONLY);
    volatile int *seen = mmap(0, status.st_size, PROT_READ, MAP_SHARED, only_read, 0);
    close(only_read);
    if (pipe(go) != 0 || pipe(went) != 0)
        return;
    char byte = 0;
    fflush(stdout);
    pid_t watcher = fork();
    if (watcher == 0) {
        int before = seen[1024], result = write(went[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
        int number = 0;
        result &= pread(file, &number, sizeof number, 4096) == sizeof number;
        printf("the file is changed: %d, and so is the mapping: %d\n", result && number != before, seen[1024] == number);
        fflush(stdout);
        _exit(0);
    }
    int result = read(went[0], &byte, 1) == 1;
    static char stack[65536];
    volatile int *place = mmap(0, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    pid_t child = 0;
    /* The second finds all that it needs in memory, so that nothing but the number is new. */
    for (int round = 0; round < 2; round++) {
        int flags = CLONE_VM | SIGCHLD | (round ? CLONE_CHILD_SETTID : 0);
        child = clone(end_at_once, stack + sizeof stack, flags, 0, 0, 0, place + 1024);
        waitpid(child, 0, 0);
    }
    result &= write(go[1], &byte, 1) == 1;
    waitpid(watcher, 0, 0);
    CHECK(result && place[1024] == child);
    munmap((void *)place, status.st_size);
    munmap((void *)seen, status.st_size);
    close(file);
    for (int side = 0; side < 2; side++) {
        close(go[side]);
        close(went[side]);
    }
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    umask(022);
    printf("%s\n", "-- over the image");
    RESULT(chdir(argv[1]));
    show("small.txt");
    int file = open("small.txt", O_RDWR);
    RESULT(pwrite(file, "SMALL", 5, 0));
    show("small.txt");
    RESULT(lseek(file, 0, SEEK_END));
    RESULT(write(file, "more\n", 5));
    RESULT(close(file));
    show("small.txt");
    show("link-to-small");
    written_for_a_child("large.bin");
    file = open("small.txt", O_WRONLY | O_TRUNC);
    RESULT(close(file));
    show("small.txt");
    RESULT(unlink("small.txt"));
    show("small.txt");
    show("link-to-small");
    file = open("small.txt", O_WRONLY | O_CREAT | O_EXCL, 0644);
    RESULT(write(file, "again\n", 6));
    RESULT(close(file));
    show("link-to-small");
    list("directory");
    RESULT(unlink("directory/nested.txt"));
    file = open("directory/beside.txt", O_WRONLY | O_CREAT, 0644);
    RESULT(close(file));
    list("directory");
    RESULT(rename("large.bin", "directory/large.bin"));
    struct stat status;
    RESULT(stat("directory/large.bin", &status));
    printf("size %ld\n", (long)status.st_size);
    RESULT(unlink("directory/large.bin"));
    RESULT(unlink("directory/beside.txt"));
    list("directory");
    RESULT(truncate("numbers.txt", 6));
    show("numbers.txt");
    RESULT(chmod("numbers.txt", 0600));
    RESULT(stat("numbers.txt", &status));
    printf("mode %o\n", (unsigned)status.st_mode);
    in(argv[1]);
    /* The runner gives a place of its own on the host; in the machine /tmp is empty at first. */
    in(argc > 2 ? argv[2] : "/tmp");
    return 0;
}
