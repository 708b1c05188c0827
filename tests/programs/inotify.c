/* What inotify tells about files, directories and names: `inotify DIRECTORY`, where files may be made. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int in;

static const struct {
    unsigned bit;
    const char *name;
} names[] = {
    {IN_ACCESS, "ACCESS"},           {IN_MODIFY, "MODIFY"},
    {IN_ATTRIB, "ATTRIB"},           {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"},
    {IN_MOVED_FROM, "MOVED_FROM"},   {IN_MOVED_TO, "MOVED_TO"},
    {IN_CREATE, "CREATE"},           {IN_DELETE, "DELETE"},
    {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
    {IN_Q_OVERFLOW, "Q_OVERFLOW"},   {IN_IGNORED, "IGNORED"},
    {IN_ISDIR, "ISDIR"},
};

/* Prints all events that wait. Cookies are numbered in the order in which they come. */
static void events(const char *title) {
    printf("-- %s\n", title);
    int waiting = -1;
    RESULT(ioctl(in, FIONREAD, &waiting));
    printf("%d bytes wait\n", waiting);
    char buffer[8192] __attribute__((aligned(8)));
    unsigned cookies[16], known = 0;
    ssize_t length;
    while ((length = read(in, buffer, sizeof buffer)) > 0) {
        for (char *at = buffer; at < buffer + length;) {
            struct inotify_event *event = (struct inotify_event *)at;
            printf("  %d:", event->wd);
            for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
                if (event->mask & names[i].bit)
                    printf(" %s", names[i].name);
            if (event->cookie) {
                unsigned number = 0;
                while (number < known && cookies[number] != event->cookie)
                    number++;
                if (number == known && known < 16)
                    cookies[known++] = event->cookie;
                printf(" cookie %u", number);
            }
            if (event->len)
                printf(" \"%s\" in %u", event->name, event->len);
            puts("");
            at += sizeof *event + event->len;
        }
    }
    if (errno != EAGAIN)
        printf("  read: %s\n", strerror(errno));
}

static void write_file(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(file, text, strlen(text)) < 0)
        printf("%s: %s\n", path, strerror(errno));
    close(file);
}

static void read_file(const char *path) {
    char buffer[16];
    int file = open(path, O_RDONLY);
    while (read(file, buffer, sizeof buffer) > 0)
        ;
    close(file);
}

static void errors(void) {
    puts("-- errors");
    RESULT(inotify_init1(1));
    RESULT(inotify_add_watch(in, ".", 0));
    RESULT(inotify_add_watch(in, ".", IN_UNMOUNT | 0x1000));
    RESULT(inotify_add_watch(-1, ".", IN_OPEN));
    RESULT(inotify_add_watch(0, ".", IN_OPEN));
    RESULT(inotify_add_watch(-1, ".", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE));
    RESULT(inotify_add_watch(in, ".", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE));
    RESULT(inotify_add_watch(in, "missing", IN_OPEN));
    RESULT(inotify_add_watch(in, "", IN_OPEN));
    RESULT(inotify_add_watch(in, (char *)1, IN_OPEN));
    RESULT(inotify_rm_watch(in, 1));
    RESULT(inotify_rm_watch(in, -1));
    RESULT(inotify_rm_watch(0, 1));
    RESULT(inotify_rm_watch(-1, 1));
    char buffer[8];
    RESULT(read(in, buffer, 0));
    RESULT(write(in, buffer, 1));
    RESULT(lseek(in, 0, SEEK_CUR));
    RESULT(pread(in, buffer, 8, 0));
    RESULT(ioctl(in, TCGETS, buffer));
}

static void one_directory(void) {
    int all = inotify_add_watch(in, ".", IN_ALL_EVENTS);
    printf("watch %d\n", all);
    write_file("file", "0123456789");
    events("made and written");
    write_file("file", "0123456789");
    events("truncated and written");
    read_file("file");
    events("read");
    int file = open("file", O_RDWR);
    RESULT(ftruncate(file, 3));
    RESULT(ftruncate(file, 3));
    RESULT(pwrite(file, "x", 1, 0));
    RESULT(fchmod(file, 0600));
    RESULT(fchown(file, -1, -1));
    RESULT(fchown(file, 0, -1));
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    RESULT(futimens(file, times));
    times[1].tv_nsec = UTIME_OMIT;
    RESULT(futimens(file, times));
    times[1] = times[0];
    times[0].tv_nsec = UTIME_OMIT;
    RESULT(futimens(file, times));
    RESULT(posix_fallocate(file, 0, 100));
    events("changed through a descriptor");
    int twin = dup(file);
    close(file);
    events("a duplicate keeps it open");
    close(twin);
    events("closed");
    RESULT(truncate("file", 0));
    RESULT(setxattr("file", "trusted.one", "x", 1, 0));
    RESULT(removexattr("file", "trusted.one"));
    RESULT(access("file", R_OK));
    struct stat status;
    RESULT(stat("file", &status));
    file = open("file", O_PATH);
    close(file);
    events("changed by its path");
    RESULT(link("file", "second"));
    RESULT(symlink("file", "symbolic"));
    RESULT(mkdir("directory", 0755));
    RESULT(mknod("pipe", S_IFIFO | 0600, 0));
    events("names of all kinds");
    closedir(opendir("directory"));
    DIR *listed = opendir(".");
    while (readdir(listed))
        ;
    closedir(listed);
    events("directories listed");
    RESULT(rename("second", "third"));
    RESULT(rename("third", "directory/third"));
    RESULT(rename("directory", "moved"));
    RESULT(syscall(316, AT_FDCWD, "file", AT_FDCWD, "moved", 2));
    events("renamed and exchanged");
    RESULT(syscall(316, AT_FDCWD, "file", AT_FDCWD, "moved", 2));
    RESULT(rename("moved/third", "file"));
    events("two names of one file");
    RESULT(unlink("moved/third"));
    RESULT(unlink("symbolic"));
    RESULT(unlink("pipe"));
    RESULT(rmdir("moved"));
    RESULT(unlink("file"));
    events("removed");
    RESULT(inotify_rm_watch(in, all));
    write_file("after", "x");
    unlink("after");
    events("not watched any more");
}

static void files(void) {
    write_file("one", "1");
    write_file("two", "2");
    mkdir("empty", 0755);
    int directory = inotify_add_watch(in, ".", IN_ALL_EVENTS | IN_ONLYDIR);
    int one = inotify_add_watch(in, "one", IN_ALL_EVENTS);
    int two = inotify_add_watch(in, "two", IN_ALL_EVENTS);
    int empty = inotify_add_watch(in, "empty", IN_ALL_EVENTS);
    printf("watches %d %d %d %d\n", one - directory, two - directory, empty - directory, directory > 0);
    RESULT(inotify_add_watch(in, "one", IN_OPEN | IN_ONLYDIR));
    RESULT(inotify_add_watch(in, "one", IN_OPEN | IN_MASK_CREATE));
    read_file("one");
    events("a file and its directory");
    RESULT(rename("one", "two"));
    events("renamed over another");
    int file = open("two", O_RDWR);
    RESULT(unlink("two"));
    events("unlinked while open");
    RESULT(write(file, "x", 1));
    events("written without a name");
    close(file);
    events("its last descriptor closed");
    RESULT(rmdir("empty"));
    events("a directory removed");
    RESULT(inotify_rm_watch(in, one));
    RESULT(inotify_rm_watch(in, directory));
    events("the watch of the directory ended");
}

static void masks(void) {
    write_file("some", "1");
    int some = inotify_add_watch(in, "some", IN_OPEN);
    read_file("some");
    events("only opening");
    RESULT(inotify_add_watch(in, "some", IN_CLOSE | IN_MASK_ADD) - some);
    read_file("some");
    events("closing added");
    RESULT(inotify_add_watch(in, "some", IN_ACCESS) - some);
    read_file("some");
    events("replaced by reading");
    RESULT(inotify_add_watch(in, "some", IN_OPEN | IN_ONESHOT) - some);
    read_file("some");
    read_file("some");
    events("once");
    RESULT(inotify_rm_watch(in, some));
    /* A symbolic link itself, and what it leads to. */
    RESULT(symlink("some", "link"));
    int link = inotify_add_watch(in, "link", IN_OPEN | IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW);
    int target = inotify_add_watch(in, "link", IN_OPEN);
    CHECK(link > 0 && target > 0 && link != target);
    read_file("link");
    RESULT(fchownat(AT_FDCWD, "link", 0, 0, AT_SYMLINK_NOFOLLOW));
    RESULT(unlink("link"));
    events("a link and its target");
    RESULT(inotify_rm_watch(in, target));
    events("ended");
    /* Names that are gone. */
    int directory = inotify_add_watch(in, ".", IN_MODIFY | IN_CLOSE);
    int file = open("some", O_RDWR);
    RESULT(unlink("some"));
    RESULT(write(file, "x", 1));
    events("a name that is gone is told");
    RESULT(inotify_add_watch(in, ".", IN_MODIFY | IN_CLOSE | IN_EXCL_UNLINK) - directory);
    RESULT(write(file, "x", 1));
    close(file);
    events("and is not");
    RESULT(inotify_rm_watch(in, directory));
    events("ended");
}

static void reading(void) {
    write_file("some", "1");
    int some = inotify_add_watch(in, "some", IN_ALL_EVENTS);
    struct pollfd poller = {.fd = in, .events = POLLIN | POLLOUT | POLLRDNORM};
    RESULT(poll(&poller, 1, 0));
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    RESULT(epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event));
    RESULT(epoll_wait(epoll, &event, 1, 0));
    for (int i = 0; i < 5; i++)
        RESULT(chmod("some", 0600 + i));
    RESULT(poll(&poller, 1, 1000));
    printf("%x\n", poller.revents);
    RESULT(epoll_wait(epoll, &event, 1, 1000));
    char buffer[64], *volatile nowhere = (char *)1;
    RESULT(read(in, buffer, 15));
    RESULT(read(in, nowhere, 64));
    RESULT(poll(&poller, 1, 0));
    RESULT(chmod("some", 0600));
    RESULT(read(in, buffer, 17));
    RESULT(read(in, buffer, 17));
    int directory = inotify_add_watch(in, ".", IN_ATTRIB);
    RESULT(chmod("some", 0600));
    RESULT(read(in, buffer, 16));
    RESULT(read(in, buffer, 32));
    RESULT(read(in, buffer, 32));
    close(epoll);
    char text[512] = {0}, path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", in);
    RESULT(readlink(path, text, sizeof text));
    printf("%s\n", text);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", in);
    FILE *information = fopen(path, "r");
    int lines = 0;
    unsigned number, mask;
    struct stat status[2];
    stat("some", &status[0]);
    stat(".", &status[1]);
    while (fgets(text, sizeof text, information)) {
        unsigned long inode;
        unsigned device;
        if (sscanf(text, "inotify wd:%x ino:%lx sdev:%x mask:%x", &number, &inode, &device, &mask) == 4) {
            int which = number == (unsigned)directory;
            printf("line %d, inode %s, mask %x\n", which, inode == status[which].st_ino ? "right" : "WRONG", mask);
            lines++;
        }
    }
    fclose(information);
    printf("%d lines\n", lines);
    RESULT(inotify_rm_watch(in, some));
    RESULT(inotify_rm_watch(in, directory));
    events("ended");
    unlink("some");
}

static void limits(void) {
    long most = 0;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (fscanf(limit, "%ld", &most) != 1)
        puts("no limit");
    fclose(limit);
    printf("at most %ld events\n", most);
    write_file("some", "1");
    int some = inotify_add_watch(in, "some", IN_ATTRIB | IN_OPEN | IN_CLOSE);
    for (long i = 0; i < most; i++)
        read_file("some");
    long count = 0, overflows = 0;
    char buffer[16];
    while (read(in, buffer, sizeof buffer) == sizeof buffer) {
        struct inotify_event *event = (struct inotify_event *)buffer;
        count++;
        overflows += event->mask == IN_Q_OVERFLOW && event->wd == -1;
    }
    printf("%ld events, %ld overflows\n", count, overflows);
    RESULT(inotify_rm_watch(in, some));
    events("after the overflow");
    unlink("some");
    /* All instances that a user may have, which others use too on the host. */
    int descriptors[2000], made = 0;
    while (made < 1000 && (descriptors[made] = inotify_init1(0)) >= 0)
        made++;
    printf("%s\n", strerror(errno));
    for (int i = 0; i < made; i++)
        close(descriptors[i]);
    CHECK(made > 1);
    /* Watches go with the file. */
    int other = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    CHECK(fcntl(other, F_GETFD) == FD_CLOEXEC);
    printf("%o\n", fcntl(other, F_GETFL) & O_NONBLOCK);
    RESULT(inotify_add_watch(other, ".", IN_CREATE));
    close(other);
}

int main(int count, char **arguments) {
    (void)count;
    if (chdir(arguments[1]) || mkdir("watched", 0755) || chdir("watched"))
        return 1;
    in = inotify_init1(IN_NONBLOCK);
    errors();
    one_directory();
    files();
    masks();
    reading();
    limits();
    /* Everything that happened while nobody looked is not told. */
    events("end");
    chdir("..");
    rmdir("watched");
    return 0;
}
