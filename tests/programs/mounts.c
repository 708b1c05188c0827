/*
 * mount(2), umount2(2) and pivot_root(2): file systems in memory, bind mounts, what is read-only, what is in use, and what
 * /proc tells of all that. On Linux in a mount namespace of its own.
 */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char place[64];

/* A path in the place of this run; the result is good until the eighth call after it. */
static const char *in(const char *name)
{
    static char paths[8][160];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s%s%s", place, *name ? "/" : "", name);
    return path;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("can't write %s: %s\n", strrchr(path, '/') + 1, strerror(errno));
    close(fd);
}

static void show(const char *path)
{
    char text[100];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        printf("  %s: %s\n", strrchr(path, '/') + 1, strerror(errno));
    else
        printf("  %s: %.*s\n", strrchr(path, '/') + 1, (int)length, text);
    close(fd);
}

/* The lines of a table that are about our place, without what differs from one machine to the next. */
static void table(const char *name, const char *from)
{
    char line[1000];
    FILE *file = fopen(from, "r");
    printf("%s:\n", name);
    while (file && fgets(line, sizeof line, file)) {
        char *found = strstr(line, place), *end;
        if (!found)
            continue;
        if (strstr(from, "mountinfo")) {
            /* From the path in the file system on. */
            char *root = line;
            for (int blank = 0; blank < 3; blank++)
                root = strchr(root, ' ') + 1;
            end = strchr(root, ' ');
            printf("  %.*s", (int)(end - root), root);
        }
        for (char *word = strtok(found + strlen(place), " \n"); word; word = strtok(NULL, " \n")) {
            char *more = strstr(word, ",inode64");
            if (more)
                memmove(more, more + 8, strlen(more + 8) + 1);
            printf(" %s", word);
        }
        puts("");
    }
    if (file)
        fclose(file);
}

static void tables(void)
{
    table("mounts", "/proc/self/mounts");
    table("mountinfo", "/proc/self/mountinfo");
}

static void arguments(void)
{
    puts("-- arguments");
    mkdir(in("a"), 0755);
    put(in("file"), "file");
    RESULT(mount("x", in("missing"), "tmpfs", 0, NULL));
    RESULT(mount("x", in("a"), "no such type", 0, NULL));
    RESULT(mount("x", in("a"), NULL, 0, NULL));
    RESULT(mount("x", in("file"), "tmpfs", 0, NULL));
    RESULT(mount("x", in("a"), "tmpfs", 0, "size=nonsense"));
    RESULT(mount("x", in("a"), "tmpfs", 0, "nonsense=1"));
    RESULT(mount("x", in("a"), "tmpfs", 0, "mode=999"));
    RESULT(mount((char *)1, in("a"), "tmpfs", 0, NULL));
    RESULT(mount("x", in("a"), (char *)1, 0, NULL));
    RESULT(mount("x", in("a"), "tmpfs", 0, (char *)1));
    RESULT(mount("x", (char *)1, "tmpfs", 0, NULL));
    RESULT(mount("x", in("a"), "tmpfs", 1ul << 31, NULL));
    RESULT(mount(NULL, in("a"), NULL, MS_BIND, NULL));
    RESULT(mount("", in("a"), NULL, MS_BIND, NULL));
    RESULT(mount(in("missing"), in("a"), NULL, MS_BIND, NULL));
    RESULT(mount(in("file"), in("a"), NULL, MS_BIND, NULL));
    RESULT(mount(in("a"), in("file"), NULL, MS_BIND, NULL));
    RESULT(mount(in("a"), in("a"), NULL, MS_MOVE, NULL));
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT, NULL));
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_BIND, NULL));
    RESULT(mount(NULL, in("a"), NULL, MS_PRIVATE, NULL));
    RESULT(mount(NULL, in(""), NULL, MS_PRIVATE | MS_SLAVE, NULL));
    RESULT(umount2(in("a"), 0));
    RESULT(umount2(in("file"), 0));
    RESULT(umount2(in("missing"), 0));
    RESULT(umount2(in("a"), 16));
    RESULT(umount2(in("a"), MNT_EXPIRE | MNT_DETACH));
}

static void memory(void)
{
    struct statvfs statistics;
    struct stat before, after;
    char *page;

    puts("-- file systems in memory");
    put(in("a/covered"), "covered");
    stat(in("a"), &before);
    RESULT(mount("source name", in("a"), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=10,mode=750,uid=3,gid=4"));
    stat(in("a"), &after);
    CHECK(before.st_dev != after.st_dev);
    printf("%o %d %d\n", after.st_mode, after.st_uid, after.st_gid);
    show(in("a/covered"));
    put(in("a/new"), "new");
    show(in("a/new"));
    RESULT(statvfs(in("a"), &statistics));
    printf("%lu blocks, %lu files, flags %lx\n", statistics.f_blocks, statistics.f_files, statistics.f_flag & ~0x20ul);
    tables();
    RESULT(rmdir(in("a")));
    RESULT(rename(in("a"), in("b")));
    RESULT(link(in("a/new"), in("linked")));
    RESULT(rename(in("a/new"), in("moved")));
    RESULT(mknod(in("a/null"), S_IFCHR | 0666, makedev(1, 3)));
    RESULT(open(in("a/null"), O_RDONLY));

    /* Another one upon it. */
    RESULT(mount("second", in("a"), "tmpfs", MS_RDONLY, NULL));
    show(in("a/new"));
    RESULT(mkdir(in("a/x"), 0755));
    RESULT(umount(in("a")));
    show(in("a/new"));

    puts("-- in use");
    int fd = open(in("a/new"), O_RDONLY);
    RESULT(umount(in("a")));
    close(fd);
    fd = open(in("a"), O_PATH);
    RESULT(umount(in("a")));
    close(fd);
    RESULT(chdir(in("a")));
    RESULT(umount(in("a")));
    RESULT(chdir("/"));
    /* By a process that has ended, nothing is. */
    RESULT(mount("third", in("a"), "tmpfs", 0, NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(chdir(in("a")) != 0);
    siginfo_t ended;
    RESULT(waitid(P_PID, child, &ended, WEXITED | WNOWAIT));
    RESULT(umount(in("a")));
    RESULT(waitid(P_PID, child, &ended, WEXITED));
    mkdir(in("a/inner"), 0755);
    RESULT(mount("inner", in("a/inner"), "tmpfs", 0, NULL));
    RESULT(umount(in("a")));
    RESULT(umount(in("a/inner")));
    fd = open(in("a/new"), O_RDWR);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_RDONLY, NULL));
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));

    puts("-- detached");
    RESULT(umount2(in("a"), MNT_DETACH));
    show(in("a/covered"));
    CHECK(pread(fd, page + 8, 3, 0) == 3 && !memcmp(page, "new", 3));
    RESULT(write(fd, "NEW", 3));
    CHECK(!memcmp(page, "NEW", 3));
    munmap(page, 4096);
    close(fd);
    RESULT(umount2(in("a"), MNT_DETACH));
    tables();
}

static void read_only(void)
{
    int fd;
    struct stat status;

    puts("-- read-only");
    RESULT(mount("ro", in("a"), "tmpfs", 0, "mode=777"));
    put(in("a/file"), "text");
    mkdir(in("a/directory"), 0755);
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_RDONLY, NULL));
    tables();
    RESULT(open(in("a/file"), O_WRONLY));
    RESULT(open(in("a/file"), O_RDONLY | O_TRUNC));
    RESULT(open(in("a/other"), O_WRONLY | O_CREAT, 0644));
    RESULT(open(in("a/file"), O_WRONLY | O_CREAT, 0644));
    RESULT(open(in("a/file"), O_WRONLY | O_CREAT | O_EXCL, 0644));
    RESULT(open(in("a"), O_WRONLY | O_TMPFILE, 0644));
    RESULT(mkdir(in("a/new"), 0755));
    RESULT(mkdir(in("a/directory"), 0755));
    RESULT(rmdir(in("a/directory")));
    RESULT(unlink(in("a/file")));
    RESULT(unlink(in("a/missing")));
    RESULT(rename(in("a/file"), in("a/else")));
    RESULT(rename(in("a/missing"), in("a/else")));
    RESULT(symlink("x", in("a/link")));
    RESULT(link(in("a/file"), in("a/else")));
    RESULT(chmod(in("a/file"), 0600));
    RESULT(chown(in("a/file"), 1, 1));
    RESULT(truncate(in("a/file"), 1));
    RESULT(utimensat(AT_FDCWD, in("a/file"), NULL, 0));
    RESULT(setxattr(in("a/file"), "trusted.x", "1", 1, 0));
    RESULT(access(in("a/file"), W_OK));
    RESULT(access(in("a/file"), R_OK));
    RESULT(access(in("a"), W_OK));
    RESULT(mknod(in("a/pipe"), S_IFIFO | 0600, 0));
    show(in("a/file"));
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_NOATIME, "size=2m"));
    tables();
    put(in("a/file"), "more");
    stat(in("a/file"), &status);
    show(in("a/file"));
    struct timespec accessed = status.st_atim;
    stat(in("a/file"), &status);
    CHECK(!memcmp(&accessed, &status.st_atim, sizeof accessed));
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT, "size=nonsense"));

    puts("-- no programs, no devices");
    RESULT(mount(NULL, in("a"), NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC | MS_NODEV, NULL));
    tables();
    put(in("a/script"), "#!/bin/sh\n");
    chmod(in("a/script"), 0755);
    RESULT(execl(in("a/script"), "script", (char *)NULL));
    RESULT(access(in("a/script"), X_OK));
    fd = open(in("a/script"), O_RDONLY);
    SUCCESS(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
    close(fd);
    RESULT(umount(in("a")));
}

static void bound(void)
{
    struct stat one, other;
    char path[200], text[200];
    int fd;

    puts("-- bound");
    mkdir(in("tree"), 0755);
    mkdir(in("tree/below"), 0755);
    mkdir(in("tree/below/more"), 0755);
    put(in("tree/file"), "in the tree");
    put(in("tree/below/deep"), "deep");
    mkdir(in("b"), 0755);
    RESULT(mount("x", in("tree/below/more"), "tmpfs", 0, NULL));
    put(in("tree/below/more/inner"), "inner");
    RESULT(mount(in("tree"), in("b"), NULL, MS_BIND, NULL));
    show(in("b/file"));
    show(in("b/below/deep"));
    show(in("b/below/more/inner"));
    stat(in("tree/file"), &one);
    stat(in("b/file"), &other);
    CHECK(one.st_dev == other.st_dev && one.st_ino == other.st_ino);
    put(in("b/made"), "made there");
    show(in("tree/made"));
    show(in("b/below/../made"));
    show(in("b/../file"));
    RESULT(rename(in("b/made"), in("tree/moved")));
    RESULT(link(in("b/made"), in("tree/moved")));
    RESULT(rename(in("b/made"), in("b/moved")));
    RESULT(link(in("b/moved"), in("b/twice")));
    RESULT(symlink("moved", in("b/link")));
    show(in("tree/link"));
    tables();
    fd = open(in("b/below/deep"), O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    text[readlink(path, text, sizeof text - 1)] = 0;
    printf("%.*s\n", (int)(strlen(text) - strlen(place)), text + strlen(place));
    RESULT(umount(in("b")));
    close(fd);
    chdir(in("b/below"));
    text[0] = 0;
    getcwd(text, sizeof text);
    printf("%s\n", text + strlen(place));
    chdir("../..");
    getcwd(text, sizeof text);
    printf("%s\n", text + strlen(place));
    chdir("/");
    RESULT(mount(NULL, in("b"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL));
    tables();
    RESULT(unlink(in("b/moved")));
    RESULT(open(in("b/file"), O_RDWR));
    put(in("tree/file"), "still written here");
    show(in("b/file"));
    RESULT(rmdir(in("tree/below/more")));
    RESULT(umount(in("b")));
    RESULT(umount(in("b")));

    puts("-- bound with all below");
    RESULT(mount(in("tree"), in("b"), NULL, MS_BIND | MS_REC, NULL));
    show(in("b/below/more/inner"));
    tables();
    RESULT(umount(in("b")));
    RESULT(umount(in("b/below/more")));
    RESULT(umount(in("b")));
    show(in("tree/below/more/inner"));

    puts("-- something mounted in what is bound");
    RESULT(mount(in("tree"), in("b"), NULL, MS_BIND, NULL));
    RESULT(mount("y", in("b/below"), "tmpfs", 0, NULL));
    put(in("b/below/there"), "there");
    show(in("tree/below/there"));
    show(in("tree/below/deep"));
    RESULT(rename(in("tree/below"), in("tree/elsewhere")));
    RESULT(umount2(in("b"), MNT_DETACH));
    RESULT(rename(in("tree/below"), in("tree/elsewhere")));
    show(in("tree/elsewhere/deep"));
    RESULT(umount(in("tree/below/more")));
    RESULT(rename(in("tree/below"), in("tree/elsewhere")));

    puts("-- one file");
    RESULT(mount(in("tree/file"), in("file"), NULL, MS_BIND, NULL));
    show(in("file"));
    RESULT(unlink(in("file")));
    RESULT(rename(in("file"), in("other")));
    put(in("file"), "by the other name");
    show(in("tree/file"));
    tables();
    RESULT(umount(in("file")));
    show(in("file"));

    puts("-- unbindable");
    RESULT(mount("z", in("b"), "tmpfs", 0, NULL));
    RESULT(mount(NULL, in("b"), NULL, MS_UNBINDABLE, NULL));
    table("mountinfo", "/proc/self/mountinfo");
    RESULT(mount(in("b"), in("a"), NULL, MS_BIND, NULL));
    RESULT(mount(NULL, in("b"), NULL, MS_PRIVATE, NULL));
    RESULT(mount(in("b"), in("a"), NULL, MS_BIND, NULL));
    RESULT(umount(in("a")));
    RESULT(umount(in("b")));
}

static void moved(void)
{
    puts("-- moved");
    RESULT(mount("m", in("a"), "tmpfs", 0, NULL));
    mkdir(in("a/inner"), 0755);
    RESULT(mount("n", in("a/inner"), "tmpfs", 0, NULL));
    put(in("a/inner/file"), "moved along");
    RESULT(mount(in("a"), in("a/inner"), NULL, MS_MOVE, NULL));
    RESULT(mount(in("a"), in("file"), NULL, MS_MOVE, NULL));
    RESULT(mount(in("a"), in("b"), NULL, MS_MOVE, NULL));
    show(in("b/inner/file"));
    show(in("a/covered"));
    tables();
    RESULT(umount(in("b/inner")));
    RESULT(umount(in("b")));
}

static void others(void)
{
    struct stat status;

    puts("-- what there is once");
    RESULT(mount("proc", in("a"), "proc", MS_NOSUID, NULL));
    RESULT(stat(in("a/self/status"), &status));
    RESULT(mount("proc", in("a"), "proc", 0, NULL));
    RESULT(mount("proc", in("a"), "proc", 0, "nonsense"));
    tables();
    RESULT(umount(in("a")));
    RESULT(umount(in("a")));
    RESULT(mount("sysfs", in("a"), "sysfs", 0, NULL));
    RESULT(mount("sysfs", in("a"), "sysfs", 0, NULL));
    RESULT(umount(in("a")));
    RESULT(mount("/dev/null", in("file"), NULL, MS_BIND, NULL));
    show(in("file"));
    RESULT(umount(in("file")));
    RESULT(mount(in("tree/file"), "/proc/sys/kernel/hostname", NULL, MS_BIND, NULL));
    show("/proc/sys/kernel/hostname");
    RESULT(umount("/proc/sys/kernel/hostname"));
}

static void unprivileged(void)
{
    puts("-- without the right to");
    fflush(stdout);
    if (fork() == 0) {
        if (setuid(65534))
            exit(1);
        RESULT(mount("x", in("a"), "tmpfs", 0, NULL));
        RESULT(mount("x", in("missing"), "tmpfs", 0, NULL));
        RESULT(umount2(in("a"), 0));
        RESULT(umount2(in("missing"), 0));
        RESULT(umount2(in("a"), 16));
        RESULT(syscall(SYS_pivot_root, in("missing"), in("missing")));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void room(void)
{
    puts("-- room comes back");
    static char block[65536];
    int failed = 0;
    for (int round = 0; round < 40; round++) {
        if (mount("room", in("a"), "tmpfs", 0, "size=4m"))
            failed++;
        mkdir(in("a/x"), 0755);
        mkdir(in("a/x/y"), 0755);
        int fd = open(in("a/x/y/z"), O_CREAT | O_WRONLY, 0644);
        for (int part = 0; part < 64; part++)
            if (write(fd, block, sizeof block) != sizeof block)
                failed++;
        if (round % 2)
            close(fd);
        if (umount2(in("a"), round % 2 ? 0 : MNT_DETACH))
            failed++;
        if (round % 2 == 0)
            close(fd);
    }
    printf("%d failed\n", failed);
}

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID AT_REMOVEDIR
#endif
#define AT_UNIQUE_MOUNT 1

/* Files by handles instead of names. */
static void handles(void)
{
    puts("-- handles");
    struct {
        struct file_handle header;
        unsigned char bytes[MAX_HANDLE_SZ];
    } handle = {.header.handle_bytes = 0}, other;
    int number = -1, mounted = open(place, O_RDONLY | O_DIRECTORY);
    put(in("handled"), "by number");
    RESULT(name_to_handle_at(mounted, "handled", &handle.header, &number, 0));
    printf("%u bytes, kind %d\n", handle.header.handle_bytes, handle.header.handle_type);
    RESULT(name_to_handle_at(mounted, "handled", &handle.header, &number, 0));
    printf("%u bytes, kind %d\n", handle.header.handle_bytes, handle.header.handle_type);
    struct statx status;
    RESULT(statx(mounted, "handled", 0, STATX_MNT_ID, &status));
    CHECK(status.stx_mask & STATX_MNT_ID && status.stx_mnt_id == (unsigned)number);
    RESULT(statx(mounted, "handled", 0, 0x4000, &status));
    CHECK(!(status.stx_mask & STATX_MNT_ID) && status.stx_mask & 0x4000 && status.stx_mnt_id >> 31);
    unsigned long long unique = 0;
    other.header.handle_bytes = MAX_HANDLE_SZ;
    RESULT(name_to_handle_at(mounted, "handled", &other.header, (int *)&unique, AT_UNIQUE_MOUNT | AT_HANDLE_FID));
    CHECK(unique == status.stx_mnt_id && !memcmp(other.bytes, handle.bytes, handle.header.handle_bytes));
    RESULT(name_to_handle_at(mounted, "", &other.header, &number, AT_EMPTY_PATH));
    RESULT(name_to_handle_at(mounted, "", &other.header, &number, 0));
    RESULT(name_to_handle_at(mounted, "none", &other.header, &number, 0));
    RESULT(name_to_handle_at(mounted, "handled", &other.header, &number, AT_SYMLINK_NOFOLLOW));
    RESULT(name_to_handle_at(mounted, "handled", NULL, &number, 0));
    other.header.handle_bytes = MAX_HANDLE_SZ + 1;
    RESULT(name_to_handle_at(mounted, "handled", &other.header, &number, 0));
    other.header.handle_bytes = MAX_HANDLE_SZ;
    RESULT(name_to_handle_at(AT_FDCWD, "/proc/self/stat", &other.header, &number, 0));
    int pipes[2];
    RESULT(pipe(pipes));
    RESULT(name_to_handle_at(pipes[0], "", &other.header, &number, AT_EMPTY_PATH));
    close(pipes[0]);
    close(pipes[1]);

    RESULT(rename(in("handled"), in("renamed")));
    char text[10] = "";
    int opened = open_by_handle_at(mounted, &handle.header, O_RDWR);
    RESULT(read(opened, text, 9));
    puts(text);
    RESULT(unlink(in("renamed")));
    int again = open_by_handle_at(opened, &handle.header, O_PATH);
    RESULT(fcntl(again, F_GETFL) & O_PATH);
    close(again);
    RESULT(open_by_handle_at(mounted, &handle.header, O_RDONLY | O_DIRECTORY));
    close(opened);
    RESULT(open_by_handle_at(mounted, &handle.header, O_RDONLY));
    RESULT(open_by_handle_at(77, &handle.header, O_RDONLY));
    handle.header.handle_bytes = 0;
    RESULT(open_by_handle_at(mounted, &handle.header, O_RDONLY));
    handle.header.handle_bytes = 8;
    RESULT(open_by_handle_at(mounted, &handle.header, O_RDONLY));
    RESULT(open_by_handle_at(mounted, NULL, O_RDONLY));
    int directory = open_by_handle_at(mounted, &other.header, O_RDONLY);
    CHECK(directory < 0);
    other.header.handle_bytes = MAX_HANDLE_SZ;
    RESULT(name_to_handle_at(mounted, "", &other.header, &number, AT_EMPTY_PATH));
    SUCCESS(directory = open_by_handle_at(mounted, &other.header, O_RDONLY));
    RESULT(openat(directory, "renamed", O_RDONLY));
    RESULT(open_by_handle_at(mounted, &other.header, O_RDWR));
    close(directory);
    fflush(stdout);
    if (fork() == 0) {
        RESULT(setresuid(1000, 1000, 1000));
        RESULT(open_by_handle_at(mounted, &other.header, O_RDONLY));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    close(mounted);
}

/* Waiting for changes of the table of mounts, as programs do that show devices. */
static void watched(void)
{
    puts("-- watched");
    static const char *const tables[] = {"/proc/self/mountinfo", "/proc/mounts"};
    for (int table = 0; table < 2; table++) {
        struct pollfd watched = {open(tables[table], O_RDONLY), POLLPRI, 0};
        int polled = epoll_create1(0);
        struct epoll_event event = {EPOLLPRI, {0}};
        RESULT(epoll_ctl(polled, EPOLL_CTL_ADD, watched.fd, &event));
        RESULT(poll(&watched, 1, 0));
        RESULT(mkdir(in("watched"), 0700));
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            usleep(50000);
            RESULT(mount("watched", in("watched"), "tmpfs", 0, NULL));
            fflush(stdout);
            _exit(0);
        }
        RESULT(poll(&watched, 1, 5000));
        waitpid(child, NULL, 0);
        printf("%x\n", watched.revents);
        RESULT(poll(&watched, 1, 0));
        RESULT(epoll_wait(polled, &event, 1, 0));
        RESULT(mount(NULL, in("watched"), NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL));
        RESULT(poll(&watched, 1, 0));
        RESULT(umount(in("watched")));
        watched.events = POLLIN;
        RESULT(poll(&watched, 1, 0));
        printf("%x\n", watched.revents);
        RESULT(poll(&watched, 1, 0));
        printf("%x\n", watched.revents);
        RESULT(rmdir(in("watched")));
        close(polled);
        close(watched.fd);
    }
}

/* Whoever watches files is told when their file system goes, and of nothing in the next one in its place. */
static void watched_files(void)
{
    puts("-- watched files");
    int watches = inotify_init1(IN_NONBLOCK);
    RESULT(mkdir(in("leaving"), 0700));
    RESULT(mount("leaving", in("leaving"), "tmpfs", 0, NULL));
    RESULT(mkdir(in("leaving/directory"), 0700));
    close(open(in("leaving/file"), O_CREAT | O_WRONLY, 0600));
    RESULT(inotify_add_watch(watches, in("leaving"), IN_ALL_EVENTS));
    RESULT(inotify_add_watch(watches, in("leaving/file"), IN_CLOSE));
    RESULT(inotify_add_watch(watches, in("leaving/directory"), IN_CREATE));
    RESULT(umount(in("leaving")));
    RESULT(mount("leaving", in("leaving"), "tmpfs", 0, NULL));
    close(open(in("leaving/file"), O_CREAT | O_WRONLY, 0600));
    char bytes[4096] __attribute__((aligned(8)));
    long length = read(watches, bytes, sizeof bytes);
    for (long at = 0; at < length;) {
        struct inotify_event *event = (void *)(bytes + at);
        printf("%d: %x\n", event->wd, event->mask);
        at += sizeof *event + event->len;
    }
    RESULT(inotify_rm_watch(watches, 1));
    RESULT(umount(in("leaving")));
    RESULT(rmdir(in("leaving")));
    close(watches);
}

/* File systems that are made and mounted step by step, as newer mount(8) does. */
static void steps(void)
{
    puts("-- in steps");
    char byte;
    RESULT(fsopen("nosuch", 0));
    RESULT(fsopen("tmpfs", 2));
    RESULT(fsopen(NULL, 0));
    int made = fsopen("tmpfs", FSOPEN_CLOEXEC);
    RESULT(fcntl(made, F_GETFD));
    RESULT(fsmount(made, 0, 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "source", "in steps", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "source", "again", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", "1M", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "mode", "0711", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_FLAG, "nosuch", NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_SET_FLAG, "size", "x", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", "lots", 0));
    RESULT(fsconfig(made, 77, NULL, NULL, 0));
    RESULT(fsconfig(-1, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsconfig(0, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsconfig(99, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", "2M", 0));
    RESULT(fsmount(made, 8, 0));
    RESULT(fsmount(made, 0, 0x40000000));
    RESULT(fsmount(made, 0, MOUNT_ATTR__ATIME));
    int mounted = fsmount(made, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
    RESULT(fcntl(mounted, F_GETFD));
    RESULT(fcntl(mounted, F_GETFL) & O_PATH);
    RESULT(fsmount(made, 0, 0));
    int file = openat(mounted, "file", O_CREAT | O_WRONLY, 0600);
    RESULT(write(file, "apart", 5));
    close(file);
    RESULT(mkdir(in("steps"), 0700));
    put(in("plain"), "");
    RESULT(move_mount(mounted, "", AT_FDCWD, in("steps"), 0));
    RESULT(move_mount(mounted, "", AT_FDCWD, in("steps"), 0x8000));
    RESULT(move_mount(mounted, "", AT_FDCWD, in("plain"), MOVE_MOUNT_F_EMPTY_PATH));
    RESULT(move_mount(mounted, "file", AT_FDCWD, in("plain"), 0));
    RESULT(move_mount(mounted, "", AT_FDCWD, in("steps"), MOVE_MOUNT_F_EMPTY_PATH));
    tables();
    show(in("steps/file"));
    struct stat status;
    RESULT(stat(in("steps"), &status));
    printf("%o\n", status.st_mode);
    RESULT(mkdir(in("other"), 0700));
    RESULT(move_mount(mounted, "", AT_FDCWD, in("other"), MOVE_MOUNT_F_EMPTY_PATH));
    show(in("other/file"));
    RESULT(access(in("steps/file"), F_OK));

    puts("changed");
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", "2M", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_FLAG, "ro", NULL, 0));
    file = openat(mounted, "file", O_WRONLY);
    RESULT(fsconfig(made, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
    close(file);
    close(made);
    RESULT(read(made, &byte, 1));
    made = fspick(mounted, "", FSPICK_EMPTY_PATH);
    RESULT(fspick(mounted, "file", 0));
    RESULT(fspick(mounted, "", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_STRING, "size", "3M", 0));
    RESULT(fsconfig(made, FSCONFIG_SET_FLAG, "ro", NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
    tables();
    RESULT(openat(mounted, "file", O_WRONLY));
    RESULT(fsconfig(made, FSCONFIG_SET_FLAG, "rw", NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
    RESULT(fsconfig(made, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    RESULT(fsmount(made, 0, 0));
    close(made);

    puts("attributes");
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, .attr_clr = MOUNT_ATTR_NOSUID};
    file = openat(mounted, "file", O_WRONLY);
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    close(file);
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    RESULT(mount_setattr(mounted, "file", 0, &attributes, sizeof attributes));
    tables();
    attributes = (struct mount_attr){.attr_set = MOUNT_ATTR_STRICTATIME};
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    attributes.attr_clr = MOUNT_ATTR__ATIME | MOUNT_ATTR_RDONLY;
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes));
    attributes.attr_clr = MOUNT_ATTR_NOATIME;
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, 16));
    RESULT(mount_setattr(mounted, "", AT_EMPTY_PATH, &attributes, 8192));
    RESULT(mount_setattr(mounted, "", 0x40000000, &attributes, sizeof attributes));
    attributes = (struct mount_attr){0};
    RESULT(mount_setattr(99, "none", 0, &attributes, sizeof attributes));
    tables();

    puts("trees");
    RESULT(open_tree(AT_FDCWD, in("other"), AT_RECURSIVE));
    RESULT(open_tree(AT_FDCWD, in("other"), 0x40000000));
    int tree = open_tree(AT_FDCWD, in("other"), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    RESULT(fcntl(tree, F_GETFD));
    RESULT(move_mount(tree, "", AT_FDCWD, in("steps"), MOVE_MOUNT_F_EMPTY_PATH));
    show(in("steps/file"));
    close(tree);
    tree = open_tree(AT_FDCWD, in("steps/file"), OPEN_TREE_CLONE);
    RESULT(move_mount(tree, "", AT_FDCWD, in("plain"), MOVE_MOUNT_F_EMPTY_PATH));
    close(tree);
    show(in("plain"));
    tree = open_tree(AT_FDCWD, in("plain"), 0);
    RESULT(fcntl(tree, F_GETFL) & O_PATH);
    close(tree);
    tree = open_tree(AT_FDCWD, in("other"), OPEN_TREE_CLONE);
    close(tree);
    close(mounted);
    tables();
    RESULT(umount(in("plain")));
    RESULT(umount(in("steps")));
    RESULT(umount(in("other")));
}

static void pivoted(void)
{
    char text[100];
    int old;

    puts("-- another root");
    RESULT(syscall(SYS_pivot_root, in("a"), in("b")));
    RESULT(syscall(SYS_pivot_root, in("file"), in("b")));
    RESULT(mount("root", in("a"), "tmpfs", 0, NULL));
    mkdir(in("a/old"), 0755);
    put(in("a/here"), "in the new root");
    RESULT(syscall(SYS_pivot_root, in("a"), in("b")));
    RESULT(syscall(SYS_pivot_root, in("a/old"), in("a/old")));
    RESULT(syscall(SYS_pivot_root, "/", "/"));
    chdir("/");
    old = open("/", O_PATH | O_DIRECTORY);
    RESULT(syscall(SYS_pivot_root, in("a"), in("a/old")));
    show("/here");
    RESULT(chdir("/old"));
    printf("%s\n", getcwd(text, sizeof text));
    snprintf(text, sizeof text, "/old%s", in("file"));
    show(text);
    RESULT(access("..", F_OK));
    RESULT(fchdir(old));
    printf("%s\n", getcwd(text, sizeof text));
    chdir("/");
    printf("%s\n", getcwd(text, sizeof text));
    /* And back. */
    RESULT(syscall(SYS_pivot_root, "/old", in("") /* seen in the new root */));
    snprintf(text, sizeof text, "/old%s", in("a"));
    RESULT(syscall(SYS_pivot_root, "/old", text));
    close(old);
}

int main(void)
{
    /* Where there are no namespaces, the machine is our own anyhow. */
    if (unshare(CLONE_NEWNS) && errno != EINVAL) {
        perror("unshare");
        return 1;
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        perror("private");
        return 1;
    }
    snprintf(place, sizeof place, "/tmp/mounts-%d", getpid());
    mkdir(place, 0755);
    RESULT(mount("place", place, "tmpfs", 0, "mode=755"));
    arguments();
    memory();
    read_only();
    bound();
    moved();
    others();
    unprivileged();
    room();
    handles();
    watched();
    watched_files();
    steps();
    pivoted();
    RESULT(umount2(place, MNT_DETACH));
    rmdir(place);
    return 0;
}
