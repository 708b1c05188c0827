/*
 * Each flag of the calls on open files, with what it does and what it refuses: `file_calls DIRECTORY…`, each of them the
 * place of one round. What Linux's tmpfs has and other file systems do otherwise is tried in memory only.
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PAGE = 4096, LARGE = 70000 };
enum { HIPRI = 1, DSYNC = 2, SYNC = 4, NOWAIT = 8, APPEND = 0x10, ATOMIC = 0x40 };

static int in_memory;
static char large[LARGE];

static int fresh(const char *content) {
    int file = open("fresh", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, content, strlen(content)) < 0)
        perror("fresh");
    return file;
}

static void show(int file) {
    char text[64] = "";
    long length = pread(file, text, sizeof text - 1, 0);
    for (long i = 0; i < length; i++)
        text[i] = text[i] ? text[i] : '.';
    printf("\"%s\" of %ld, at %ld\n", text, length, (long)lseek(file, 0, SEEK_CUR));
}

/* In a child without rights, since root may do more. */
static void as_nobody(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (syscall(SYS_setresgid, 65534, 65534, 65534) || syscall(SYS_setresuid, 65534, 65534, 65534))
            perror("setresuid");
        body();
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void transfers(void) {
    puts("-- preadv2, pwritev2");
    char text[8] = "";
    struct iovec into = {text, 4}, from = {"ABC", 3};
    int file = fresh("0123456789"), ends[2], appending = open("fresh", O_WRONLY | O_APPEND);
    RESULT(lseek(file, 2, SEEK_SET));
    RESULT(pwritev2(file, &from, 1, 1, APPEND));
    RESULT(lseek(file, 0, SEEK_CUR));
    RESULT(pwritev2(file, &from, 1, -1, APPEND));
    RESULT(lseek(file, 0, SEEK_CUR));
    RESULT(lseek(file, 5, SEEK_SET));
    RESULT(pwritev2(file, &from, 1, -1, 0));
    RESULT(lseek(file, 0, SEEK_CUR));
    RESULT(pwritev2(appending, &from, 1, 0, 0));
    RESULT(lseek(file, 0, SEEK_SET));
    show(file);
    RESULT(pwritev2(file, &from, 1, 9, DSYNC | HIPRI));
    RESULT(pwritev2(file, &from, 1, 9, SYNC));
    RESULT(preadv2(file, &into, 1, 3, DSYNC | SYNC | HIPRI));
    RESULT(preadv2(file, &into, 1, 3, APPEND));
    RESULT(preadv2(file, &into, 1, -1, 0));
    RESULT(lseek(file, 0, SEEK_CUR));
    RESULT(preadv2(file, &into, 1, -2, 0));
    RESULT(preadv2(file, &into, 1, 0, 0x40000000));
    RESULT(preadv2(file, &into, 0, 0, 0));
    RESULT(syscall(SYS_preadv2, file, &into, -1, 0, 0, 0));
    RESULT(syscall(SYS_preadv2, file, &into, 1025, 0, 0, 0));
    RESULT(syscall(SYS_preadv2, file, NULL, 1, 0, 0, 0));
    RESULT(preadv2(appending, &into, 1, 0, 0));
    struct iovec wrong = {text, -1};
    RESULT(preadv2(file, &wrong, 1, 0, 0));
    wrong = (struct iovec){(void *)8, 4};
    RESULT(preadv2(file, &wrong, 1, 0, 0));
    if (in_memory) {
        RESULT(pwritev2(file, &from, 1, 0, ATOMIC));
        RESULT(preadv2(file, &into, 1, 0, ATOMIC));
    }
    RESULT(pipe(ends));
    RESULT(preadv2(ends[0], &into, 1, -1, NOWAIT));
    RESULT(preadv2(ends[0], &into, 1, 0, 0));
    RESULT(pwritev2(ends[1], &from, 1, 0, 0));
    RESULT(pwritev2(ends[1], &from, 1, -1, NOWAIT));
    RESULT(preadv2(ends[0], &into, 1, -1, NOWAIT));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], large, PAGE) > 0)
        ;
    fcntl(ends[1], F_SETFL, 0);
    RESULT(pwritev2(ends[1], &from, 1, -1, NOWAIT));
    close(ends[0]);
    close(ends[1]);
    close(appending);
    close(file);
}

static void ranges(void) {
    puts("-- sync_file_range");
    int file = fresh("some"), ends[2], only = open(".", O_PATH), directory = open(".", O_RDONLY);
    RESULT(pipe(ends));
    for (unsigned flags = 0; flags <= 8; flags++)
        RESULT(sync_file_range(file, 0, 0, flags));
    RESULT(sync_file_range(file, -1, 1, 0));
    RESULT(sync_file_range(file, 1, -1, 0));
    RESULT(sync_file_range(file, INT64_MAX, 1, 0));
    RESULT(sync_file_range(file, INT64_MAX, 0, 7));
    RESULT(sync_file_range(file, 1000000, 4, 2));
    RESULT(sync_file_range(ends[0], 0, 0, 2));
    RESULT(sync_file_range(only, 0, 0, 2));
    RESULT(sync_file_range(directory, 0, 0, 2));
    RESULT(sync_file_range(-1, 0, 0, 2));
    RESULT(fsync(ends[0]));
    RESULT(fdatasync(-1));
    RESULT(syncfs(only));
    RESULT(syncfs(ends[1]));

    puts("-- fallocate");
    struct stat status;
    RESULT(fallocate(file, 0, -1, 1));
    RESULT(fallocate(file, 0, 0, 0));
    RESULT(fallocate(file, 0, 0, -1));
    RESULT(fallocate(file, 0, INT64_MAX, 1));
    RESULT(fallocate(ends[1], 0, 0, 1));
    RESULT(fallocate(directory, 0, 0, 1));
    RESULT(fallocate(only, 0, 0, 1));
    int reader = open("fresh", O_RDONLY);
    RESULT(fallocate(reader, 0, 0, 1));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE, 0, 1));
    RESULT(fallocate(file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
    RESULT(fallocate(file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_INSERT_RANGE, 0, PAGE));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    RESULT(fallocate(file, 0x1000, 0, PAGE));
    RESULT(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 10 * PAGE));
    RESULT(fstat(file, &status));
    printf("size %ld, room for more: %d\n", (long)status.st_size, status.st_blocks >= 80);
    RESULT(fallocate(file, 0, 0, 10 * PAGE));
    RESULT(pwrite(file, "end", 3, 10 * PAGE - 3));
    RESULT(fstat(file, &status));
    printf("size %ld\n", (long)status.st_size);
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3 * PAGE));
    RESULT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20 * PAGE, PAGE));
    show(file);
    RESULT(fstat(file, &status));
    printf("size %ld\n", (long)status.st_size);
    if (in_memory) {
        RESULT(fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
        RESULT(fallocate(file, FALLOC_FL_INSERT_RANGE, 0, PAGE));
    }

    puts("-- holes");
    RESULT(ftruncate(file, 0));
    RESULT(pwrite(file, "a", 1, 4 * PAGE));
    RESULT(pwrite(file, "b", 1, 8 * PAGE));
    RESULT(ftruncate(file, 16 * PAGE));
    RESULT(lseek(file, 0, SEEK_DATA));
    RESULT(lseek(file, 4 * PAGE + 9, SEEK_DATA));
    RESULT(lseek(file, 4 * PAGE, SEEK_HOLE));
    RESULT(lseek(file, 5 * PAGE, SEEK_HOLE));
    RESULT(lseek(file, 8 * PAGE, SEEK_HOLE));
    RESULT(lseek(file, 9 * PAGE, SEEK_DATA));
    RESULT(lseek(file, 16 * PAGE, SEEK_HOLE));
    RESULT(lseek(file, 16 * PAGE, SEEK_DATA));
    RESULT(lseek(file, -1, SEEK_HOLE));
    RESULT(lseek(ends[0], 0, SEEK_HOLE));
    RESULT(lseek(file, 0, SEEK_CUR));
    close(reader);
    close(only);
    close(directory);
    close(ends[0]);
    close(ends[1]);
    close(file);
}

static void no_large_pipes(void) {
    int ends[2];
    RESULT(pipe(ends));
    RESULT(fcntl(ends[0], F_SETPIPE_SZ, 1 << 20));
    RESULT(fcntl(ends[0], F_SETPIPE_SZ, (1 << 20) + 1));
    RESULT(fcntl(ends[0], F_GETPIPE_SZ));
    RESULT(fcntl(ends[0], F_SETPIPE_SZ, 4096));
}

static void pipes(void) {
    puts("-- sizes of pipes");
    int ends[2], file = fresh("");
    RESULT(pipe2(ends, O_NONBLOCK));
    RESULT(fcntl(ends[0], F_GETPIPE_SZ));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, 1));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, 0));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, PAGE + 1));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, 3 * PAGE));
    RESULT(write(ends[1], large, LARGE));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, PAGE));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, 1 << 16));
    RESULT(write(ends[1], large, LARGE));
    RESULT(read(ends[0], large, 60000));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, 2 * PAGE));
    RESULT(fcntl(ends[1], F_SETPIPE_SZ, (1U << 31) + 1));
    RESULT(fcntl(file, F_GETPIPE_SZ));
    RESULT(fcntl(file, F_SETPIPE_SZ, PAGE));
    as_nobody(no_large_pipes);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

static unsigned number_of_mount(int file) {
    char path[64], line[128];
    unsigned number = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", file);
    FILE *information = fopen(path, "r");
    while (information && fgets(line, sizeof line, information))
        sscanf(line, "mnt_id: %u", &number);
    fclose(information);
    return number;
}

static void status_of_files(void) {
    puts("-- statx");
    struct statx known;
    struct stat status;
    int file = fresh("twelve bytes");
    symlink("fresh", "to-fresh");
    static const unsigned MASKS[] = {0, STATX_TYPE, STATX_SIZE, STATX_BASIC_STATS, STATX_BTIME, STATX_ALL, STATX_MNT_ID};
    RESULT(fstat(file, &status));
    for (unsigned i = 0; i < sizeof MASKS / sizeof *MASKS; i++) {
        memset(&known, 0xee, sizeof known);
        RESULT(statx(file, "", AT_EMPTY_PATH, MASKS[i], &known));
        /* Times that nobody asked for are told or not. */
        printf("%x of basic, birth %d, mount %d\n", known.stx_mask & STATX_BASIC_STATS & (MASKS[i] | 0x73f),
               (MASKS[i] & STATX_BTIME) && !(known.stx_mask & STATX_BTIME), !(known.stx_mask & STATX_MNT_ID));
        CHECK(known.stx_ino == status.st_ino && known.stx_mode == status.st_mode && known.stx_nlink == status.st_nlink);
        CHECK(known.stx_size == 12 && known.stx_uid == status.st_uid && known.stx_gid == status.st_gid);
        CHECK(makedev(known.stx_dev_major, known.stx_dev_minor) == status.st_dev && known.stx_rdev_major == 0);
        if ((MASKS[i] & STATX_BASIC_STATS) != STATX_BASIC_STATS)
            continue;
        CHECK(known.stx_mtime.tv_sec == status.st_mtim.tv_sec && known.stx_mtime.tv_nsec == (unsigned)status.st_mtim.tv_nsec);
        CHECK(known.stx_ctime.tv_nsec == (unsigned)status.st_ctim.tv_nsec && known.stx_blocks == (unsigned long)status.st_blocks);
    }
    RESULT(statx(AT_FDCWD, "fresh", 0, STATX_ALL | STATX_MNT_ID, &known));
    CHECK(known.stx_btime.tv_sec > 1000000000 && known.stx_btime.tv_sec <= known.stx_ctime.tv_sec + 1);
    CHECK(known.stx_mnt_id == number_of_mount(file));
    CHECK((known.stx_attributes & ~known.stx_attributes_mask) == 0 && !(known.stx_attributes & STATX_ATTR_MOUNT_ROOT));
    CHECK((known.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0);
    RESULT(statx(AT_FDCWD, "/proc", 0, STATX_TYPE, &known));
    CHECK((known.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0);
    RESULT(statx(AT_FDCWD, "/dev/null", 0, STATX_TYPE, &known));
    CHECK(known.stx_rdev_major == 1 && known.stx_rdev_minor == 3);
    RESULT(statx(AT_FDCWD, "to-fresh", AT_SYMLINK_NOFOLLOW, STATX_ALL, &known));
    CHECK(S_ISLNK(known.stx_mode) && known.stx_size == 5);
    RESULT(statx(AT_FDCWD, "fresh", AT_STATX_FORCE_SYNC, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "fresh", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "fresh", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "fresh", 0x8000, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "fresh", 0, 0x80000000, &known));
    RESULT(statx(AT_FDCWD, "", 0, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "missing", 0, STATX_ALL, &known));
    RESULT(statx(AT_FDCWD, "fresh/x", 0, STATX_ALL, &known));
    RESULT(statx(99, "fresh", 0, STATX_ALL, &known));
    RESULT(statx(file, "fresh", 0, STATX_ALL, &known));
    RESULT(syscall(SYS_statx, AT_FDCWD, "fresh", 0, STATX_ALL, 8));
    RESULT(syscall(SYS_statx, AT_FDCWD, 8, 0, STATX_ALL, &known));
    unlink("to-fresh");
    close(file);
}

/* A listing while names come and go: whatever was there all the time is seen once. */
static void listing(size_t room) {
    static char entries[32768], name[32];
    static unsigned char seen[400];
    int twice = 0, missed = 0, strange = 0, step = 0;
    long length;
    mkdir("listed", 0700);
    int directory = open("listed", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%d", i);
        close(openat(directory, name, O_WRONLY | O_CREAT, 0600));
    }
    memset(seen, 0, sizeof seen);
    while ((length = syscall(SYS_getdents64, directory, entries, room)) > 0) {
        for (long at = 0; at < length;) {
            struct dirent64 *entry = (void *)(entries + at);
            at += entry->d_reclen;
            int number = atoi(entry->d_name);
            if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && number < 400)
                twice += seen[number]++;
            else
                strange += entry->d_name[0] != '.' && entry->d_name[0] != 'n';
        }
        /* Every third of those there were goes, each moves or comes, by and by. */
        for (int i = 0; i < 10; i++, step++) {
            snprintf(name, sizeof name, "%d", step * 3 % 400);
            if (step * 3 < 400)
                unlinkat(directory, name, 0);
            snprintf(name, sizeof name, "new-%d", step);
            close(openat(directory, name, O_WRONLY | O_CREAT, 0600));
        }
        if (step > 20000)
            break;
    }
    for (int i = 0; i < 400; i++)
        missed += i % 3 != 0 && !seen[i];
    printf("twice %d, missed %d, strange %d, ended %d\n", twice, missed, strange, length == 0);
    close(directory);
    DIR *again = opendir("listed");
    for (struct dirent *entry; (entry = readdir(again));)
        unlinkat(dirfd(again), entry->d_name, 0);
    closedir(again);
    RESULT(rmdir("listed"));
}

static void listings(void) {
    puts("-- getdents64");
    char entries[256];
    listing(32768);
    listing(200);
    mkdir("gone", 0700);
    int directory = open("gone", O_RDONLY | O_DIRECTORY), file = fresh("");
    RESULT(rmdir("gone"));
    RESULT(syscall(SYS_getdents64, directory, entries, sizeof entries));
    RESULT(syscall(SYS_getdents64, file, entries, sizeof entries));
    RESULT(openat(directory, "new", O_CREAT | O_WRONLY, 0600));
    close(directory);
    directory = open(".", O_RDONLY | O_DIRECTORY);
    RESULT(syscall(SYS_getdents64, directory, entries, 3));
    RESULT(syscall(SYS_getdents64, directory, 8, sizeof entries));
    close(directory);
    close(file);
}

static int kept;

static void *closes_for_itself(void *unused) {
    RESULT(syscall(SYS_close_range, 80, 89, CLOSE_RANGE_UNSHARE));
    kept = fcntl(80, F_GETFD) == -1;
    return unused;
}

static void *marks_for_itself(void *unused) {
    RESULT(syscall(SYS_close_range, 80, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
    printf("flags %d\n", fcntl(80, F_GETFD));
    return unused;
}

static void closing(void) {
    puts("-- close_range");
    int file = fresh("");
    for (int i = 80; i < 90; i += 2)
        dup2(file, i);
    RESULT(syscall(SYS_close_range, 89, 80, 0));
    RESULT(syscall(SYS_close_range, 80, 89, 1));
    RESULT(syscall(SYS_close_range, 80, 89, 8));
    RESULT(syscall(SYS_close_range, 200, 300, 0));
    RESULT(syscall(SYS_close_range, 80, 84, CLOSE_RANGE_CLOEXEC));
    printf("flags %d %d %d\n", fcntl(80, F_GETFD), fcntl(84, F_GETFD), fcntl(86, F_GETFD));
    RESULT(fcntl(81, F_GETFD));
    RESULT(fcntl(80, F_SETFD, 0));
    pthread_t thread;
    pthread_create(&thread, NULL, marks_for_itself, NULL);
    pthread_join(thread, NULL);
    RESULT(fcntl(80, F_GETFD));
    pthread_create(&thread, NULL, closes_for_itself, NULL);
    pthread_join(thread, NULL);
    printf("closed there %d, here still %d\n", kept, fcntl(80, F_GETFD));
    RESULT(syscall(SYS_close_range, 86, 86, 0));
    printf("%d %d %d\n", fcntl(84, F_GETFD), fcntl(86, F_GETFD), fcntl(88, F_GETFD));
    RESULT(syscall(SYS_close_range, 80, ~0U, 0));
    RESULT(fcntl(88, F_GETFD));
    close(file);
}

static int lock(int file, int command, int kind, long start, long length) {
    struct flock wanted = {.l_type = (short)kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(file, command, &wanted);
}

static void asks(int file, int command, int kind, long start, long length) {
    struct flock wanted = {.l_type = (short)kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    errno = 0;
    int answer = fcntl(file, command, &wanted);
    printf("asked: %d %s: ", answer, strerror(errno));
    if (wanted.l_type == F_UNLCK)
        puts("free");
    else
        printf("type %d, %ld of %ld, %s\n", wanted.l_type, (long)wanted.l_start, (long)wanted.l_len,
               wanted.l_pid == -1 ? "of a description" : wanted.l_pid == getpid() ? "own" : "of a process");
}

static void locks(void) {
    puts("-- locks of descriptions");
    int one = fresh("0123456789"), other = open("fresh", O_RDWR), reader = open("fresh", O_RDONLY);
    int writer = open("fresh", O_WRONLY), status;
    RESULT(lock(one, F_OFD_SETLK, F_WRLCK, 10, 20));
    RESULT(lock(other, F_OFD_SETLK, F_RDLCK, 29, 1));
    RESULT(lock(other, F_OFD_SETLK, F_RDLCK, 30, 5));
    RESULT(lock(one, F_OFD_SETLK, F_RDLCK, 15, 5));
    RESULT(lock(other, F_OFD_SETLK, F_RDLCK, 15, 5));
    RESULT(lock(other, F_OFD_SETLK, F_WRLCK, 15, 5));
    asks(other, F_OFD_GETLK, F_WRLCK, 0, 0);
    asks(other, F_OFD_GETLK, F_RDLCK, 0, 0);
    asks(one, F_OFD_GETLK, F_WRLCK, 0, 0);
    asks(one, F_OFD_GETLK, F_RDLCK, 0, 0);
    /* Those of processes and of descriptions are in each other's way. */
    RESULT(lock(one, F_SETLK, F_WRLCK, 12, 1));
    asks(one, F_GETLK, F_WRLCK, 12, 1);
    RESULT(lock(one, F_SETLK, F_WRLCK, 100, 10));
    RESULT(lock(one, F_OFD_SETLK, F_WRLCK, 100, 1));
    asks(other, F_OFD_GETLK, F_WRLCK, 100, 1);
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 1, .l_pid = 1};
    RESULT(fcntl(one, F_OFD_SETLK, &wanted));
    RESULT(fcntl(one, F_OFD_GETLK, &wanted));
    RESULT(lock(reader, F_OFD_SETLK, F_WRLCK, 50, 1));
    RESULT(lock(writer, F_OFD_SETLK, F_RDLCK, 50, 1));
    RESULT(lock(one, F_OFD_SETLK, 7, 50, 1));
    RESULT(lock(one, F_OFD_SETLK, F_RDLCK, -1, 1));
    /* A copy has the same, a child too; the last to close gives it up. */
    int copy = dup(one);
    RESULT(lock(copy, F_OFD_SETLK, F_WRLCK, 10, 20));
    close(one);
    asks(other, F_OFD_GETLK, F_WRLCK, 10, 1);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        RESULT(lock(copy, F_OFD_SETLK, F_UNLCK, 10, 5));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    asks(other, F_OFD_GETLK, F_WRLCK, 0, 0);
    close(copy);
    asks(other, F_OFD_GETLK, F_WRLCK, 10, 20);
    /* Those of the process are gone too: it closed a descriptor of the file. */
    asks(other, F_OFD_GETLK, F_WRLCK, 100, 10);
    RESULT(flock(other, LOCK_EX | LOCK_NB));
    RESULT(flock(reader, LOCK_SH | LOCK_NB));
    RESULT(flock(other, LOCK_SH | LOCK_NB));
    RESULT(flock(reader, LOCK_SH | LOCK_NB));
    RESULT(flock(other, LOCK_EX | LOCK_NB));
    RESULT(flock(other, LOCK_UN));
    RESULT(flock(other, 0));
    RESULT(flock(-1, LOCK_SH));
    close(other);
    close(reader);
    close(writer);
}

static void attributes_of_others(void) {
    char text[64];
    RESULT(listxattr("shared", text, sizeof text));
    RESULT(getxattr("shared", "trusted.t", text, sizeof text));
    RESULT(setxattr("shared", "trusted.t", "x", 1, 0));
    RESULT(setxattr("shared", "user.mine", "x", 1, 0));
    RESULT(setxattr("private", "user.mine", "x", 1, 0));
    RESULT(getxattr("private", "user.a", text, sizeof text));
    RESULT(setxattr("shared", "security.s", "x", 1, 0));
    RESULT(setxattr("sticky", "user.mine", "x", 1, 0));
}

static void attributes(void) {
    puts("-- extended attributes");
    char text[512] = "", name[300];
    int file = fresh("");
    RESULT(fsetxattr(file, "user.a", "value", 5, 0));
    RESULT(fsetxattr(file, "user.a", "other", 5, XATTR_CREATE));
    RESULT(fsetxattr(file, "user.b", "", 0, XATTR_REPLACE));
    RESULT(fsetxattr(file, "user.b", "", 0, XATTR_CREATE));
    RESULT(fsetxattr(file, "user.a", "longer value", 12, XATTR_REPLACE));
    RESULT(fsetxattr(file, "user.a", "x", 1, 4));
    RESULT(fgetxattr(file, "user.a", NULL, 0));
    RESULT(fgetxattr(file, "user.a", text, 11));
    RESULT(fgetxattr(file, "user.a", text, sizeof text));
    printf("%s\n", text);
    RESULT(fgetxattr(file, "user.b", text, sizeof text));
    RESULT(fgetxattr(file, "user.c", text, sizeof text));
    RESULT(flistxattr(file, NULL, 0));
    RESULT(flistxattr(file, text, 13));
    RESULT(flistxattr(file, text, 14));
    RESULT(fremovexattr(file, "user.b"));
    RESULT(fremovexattr(file, "user.b"));
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[256] = 0;
    RESULT(fsetxattr(file, name, "x", 1, 0));
    name[255] = 0;
    RESULT(fsetxattr(file, name, "x", 1, 0));
    RESULT(fgetxattr(file, name, text, 1));
    RESULT(fremovexattr(file, name));
    RESULT(fsetxattr(file, "", "x", 1, 0));
    RESULT(fsetxattr(file, "user.", "x", 1, 0));
    RESULT(fsetxattr(file, "user", "x", 1, 0));
    RESULT(fsetxattr(file, "other.x", "x", 1, 0));
    RESULT(fgetxattr(file, "other.x", text, 1));
    RESULT(fsetxattr(file, "user.large", large, 65537, 0));
    if (in_memory) {
        RESULT(fsetxattr(file, "user.large", large, 65536, 0));
        RESULT(fgetxattr(file, "user.large", large, 65536));
    }
    RESULT(syscall(SYS_fsetxattr, file, "user.x", 8, 5, 0));
    RESULT(syscall(SYS_fgetxattr, file, "user.a", 8, 50));
    RESULT(fsetxattr(file, "trusted.t", "t", 1, 0));
    RESULT(fgetxattr(file, "trusted.t", text, sizeof text));
    RESULT(fsetxattr(file, "security.s", "s", 1, 0));
    RESULT(symlink("fresh", "to-fresh"));
    RESULT(mkfifo("fifo", 0600));
    RESULT(setxattr("fifo", "user.x", "x", 1, 0));
    RESULT(getxattr("fifo", "user.x", text, 1));
    RESULT(lsetxattr("to-fresh", "user.x", "x", 1, 0));
    RESULT(lsetxattr("to-fresh", "trusted.x", "x", 1, 0));
    RESULT(lgetxattr("to-fresh", "trusted.x", text, sizeof text));
    RESULT(getxattr("to-fresh", "trusted.x", text, sizeof text));
    RESULT(setxattr("to-fresh", "user.by-link", "x", 1, 0));
    RESULT(fgetxattr(file, "user.by-link", text, 1));
    RESULT(setxattr("missing", "user.x", "x", 1, 0));
    RESULT(setxattr("/proc/self/comm", "user.x", "x", 1, 0));
    /* They go with the file, not with its name. */
    RESULT(rename("fresh", "shared"));
    RESULT(link("shared", "linked"));
    RESULT(getxattr("linked", "user.a", text, sizeof text));
    close(file);
    close(open("private", O_WRONLY | O_CREAT, 0600));
    RESULT(setxattr("private", "user.a", "x", 1, 0));
    RESULT(mkdir("sticky", 01777));
    RESULT(chmod("sticky", 01777));
    RESULT(chmod("shared", 0644));
    as_nobody(attributes_of_others);
    static const char *const NAMES[] = {"to-fresh", "fifo", "shared", "linked", "private"};
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        unlink(NAMES[i]);
    rmdir("sticky");
}

/* What a file of the image had on the host. */
static void attributes_of_image(const char *path) {
    puts("-- extended attributes of the image");
    char text[64] = "";
    int file = open(path, O_RDWR);
    RESULT(flistxattr(file, NULL, 0));
    RESULT(flistxattr(file, text, sizeof text));
    RESULT(fgetxattr(file, "user.origin", text, sizeof text));
    printf("%.11s\n", text);
    RESULT(getxattr(path, "user.empty", text, sizeof text));
    RESULT(fgetxattr(file, "user.other", text, sizeof text));
    RESULT(fsetxattr(file, "user.origin", "x", 1, XATTR_CREATE));
    RESULT(pwrite(file, "W", 1, 0));
    RESULT(fgetxattr(file, "user.origin", text, sizeof text));
    RESULT(fremovexattr(file, "user.empty"));
    RESULT(fsetxattr(file, "user.origin", "changed", 7, XATTR_REPLACE));
    RESULT(link(path, "linked"));
    RESULT(getxattr("linked", "user.origin", text, sizeof text));
    RESULT(listxattr("linked", NULL, 0));
    unlink("linked");
    close(file);
}

static void attributes_of_directories(void) {
    char text[64] = "";
    RESULT(getxattr("../directory", "user.origin", text, sizeof text));
    printf("%.11s\n", text);
    RESULT(listxattr("../directory/deeper", text, sizeof text));
    RESULT(getxattr("../directory/deeper", "user.empty", text, sizeof text));
    RESULT(setxattr("../directory/deeper", "user.empty", "x", 1, XATTR_CREATE));
    RESULT(listxattr("../empty directory", text, sizeof text));
}

static void in(const char *place) {
    struct statfs system;
    if (chdir(place) != 0)
        perror(place);
    chmod(".", 0755);
    statfs(".", &system);
    in_memory = system.f_type == 0x01021994;
    printf("== a round%s\n", in_memory ? " in memory" : "");
    transfers();
    ranges();
    pipes();
    status_of_files();
    listings();
    closing();
    locks();
    attributes();
    if (access("../poem.txt", F_OK) == 0) {
        attributes_of_image("../poem.txt");
        attributes_of_directories();
    }
    unlink("fresh");
    rmdir(place);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOFBF, 65536);
    umask(022);
    for (int index = 1; index < count; index++) {
        char memory[] = "/dev/shm/file_calls-XXXXXX";
        if (strcmp(arguments[index], "memory"))
            in(arguments[index]);
        else
            in(mkdtemp(memory));
    }
    return 0;
}
