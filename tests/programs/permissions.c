/* What a program may do that is not root: `permissions DIRECTORY`, started as root. */
#include "check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ROOT, ALICE = 1001, BOB = 1002, OURS = 2001, THEIRS = 2002 };

static void become(const char *who, uid_t user, gid_t group) {
    printf("-- %s\n", who);
    if (seteuid(0) || setegid(group) || seteuid(user))
        printf("%s\n", strerror(errno));
}

static void make(const char *path, uid_t user, gid_t group, mode_t mode) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0 || write(file, "x", 1) != 1 || fchown(file, user, group) || fchmod(file, mode))
        printf("%s: %s\n", path, strerror(errno));
    close(file);
}

static void make_directory(const char *path, uid_t user, gid_t group, mode_t mode) {
    if (mkdir(path, 0700) || chown(path, user, group) || chmod(path, mode))
        printf("%s: %s\n", path, strerror(errno));
}

static void show(const char *path) {
    struct stat status;
    if (lstat(path, &status))
        printf("%s: %s\n", path, strerror(errno));
    else
        printf("%s: %o, owner %u, group %u\n", path, status.st_mode, status.st_uid, status.st_gid);
}

static int opens(const char *path, int flags) {
    int file = open(path, flags, 0666);
    if (file >= 0)
        close(file);
    return file < 0 ? -1 : 0;
}

static void all_ways(const char *path) {
    printf("%s:", path);
    static const int ways[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_NOATIME, O_PATH};
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        errno = 0;
        opens(path, ways[i]);
        printf(" %d", errno);
    }
    for (int mode = 0; mode < 8; mode++)
        printf(" %d", faccessat(AT_FDCWD, path, mode, AT_EACCESS));
    for (int mode = 0; mode < 8; mode++)
        printf(" %d", access(path, mode));
    puts("");
}

static void files(void) {
    all_ways("everybody");
    all_ways("alice");
    all_ways("bob");
    all_ways("group");
    all_ways("not the owner");
    all_ways("not the group");
    all_ways("executable");
    all_ways("nobody");
    RESULT(truncate("nobody", 0));
    RESULT(truncate("group", 1));
    RESULT(truncate("closed", 0));
    struct stat status;
    RESULT(stat("nobody", &status));
    RESULT(chmod("nobody", 0600));
    RESULT(chmod("alice", 02640));
    show("alice");
    RESULT(chown("alice", ALICE, OURS));
    RESULT(chown("alice", ALICE, THEIRS));
    RESULT(chown("alice", BOB, -1));
    RESULT(chown("alice", -1, -1));
    RESULT(chown("nobody", -1, -1));
    show("alice");
    RESULT(utimensat(AT_FDCWD, "everybody", NULL, 0));
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    RESULT(utimensat(AT_FDCWD, "everybody", times, 0));
    times[0].tv_nsec = UTIME_OMIT;
    RESULT(utimensat(AT_FDCWD, "everybody", times, 0));
    RESULT(utimensat(AT_FDCWD, "alice", times, 0));
    RESULT(utimensat(AT_FDCWD, "nobody", NULL, 0));
    RESULT(setxattr("nobody", "user.x", "1", 1, 0));
    RESULT(setxattr("nobody", "trusted.x", "1", 1, 0));
    RESULT(execl("nobody", "nobody", NULL));
    RESULT(execl("executable", "executable", NULL));
}

static void names(void) {
    RESULT(opens("directories/closed/file", O_RDONLY));
    RESULT(opens("directories/closed/../x", O_RDONLY));
    RESULT(opens("directories/listed/file", O_RDONLY));
    RESULT(opens("directories/passed/file", O_RDONLY));
    RESULT(opens("directories/passed/missing", O_RDONLY));
    RESULT(opens("directories/passed/new", O_RDWR | O_CREAT));
    RESULT(opens("directories/passed", O_RDONLY | O_DIRECTORY));
    RESULT(opens("directories/listed", O_RDONLY | O_DIRECTORY));
    RESULT(opens("directories/passed", O_RDWR | O_TMPFILE));
    RESULT(mkdir("directories/passed/new", 0777));
    RESULT(mkdir("directories/passed/file", 0777));
    RESULT(mknod("directories/passed/new", S_IFIFO | 0666, 0));
    RESULT(symlink("x", "directories/passed/new"));
    RESULT(link("everybody", "directories/passed/new"));
    RESULT(unlink("directories/passed/file"));
    RESULT(unlink("directories/passed/missing"));
    RESULT(rmdir("directories/passed/inner"));
    RESULT(rename("directories/passed/file", "directories/open/moved"));
    RESULT(rename("everybody", "directories/passed/file"));
    RESULT(chdir("directories/listed"));
    RESULT(chdir("directories/closed"));
    RESULT(chroot("directories"));
    RESULT(chroot("directories/closed"));
    RESULT(mknod("directories/open/device", S_IFCHR | 0666, 0x103));
    RESULT(mknod("directories/open/nothing", S_IFCHR | 0666, 0));
    RESULT(unlink("directories/open/nothing"));
    /* Everybody may make names here, but only remove one's own. */
    RESULT(unlink("directories/sticky/bob"));
    RESULT(rename("directories/sticky/bob", "directories/open/bob"));
    RESULT(rename("directories/sticky/alice", "directories/sticky/bob"));
    RESULT(rename("directories/sticky/alice", "directories/sticky/hers"));
    RESULT(rmdir("directories/sticky/inner"));
    RESULT(unlink("directories/sticky/hers"));
    /* A directory's own `..` changes when it moves. */
    RESULT(rename("directories/open/fixed", "directories/open/renamed"));
    RESULT(rename("directories/open/renamed", "directories/sticky/fixed"));
    RESULT(link("nobody", "directories/open/link"));
    RESULT(link("everybody", "directories/open/link"));
    RESULT(link("special", "directories/open/special"));
    RESULT(unlink("directories/open/link"));
    /* Groups that go down. */
    umask(027);
    RESULT(mkdir("directories/inherits/directory", 0777));
    RESULT(opens("directories/inherits/file", O_RDWR | O_CREAT));
    RESULT(mknod("directories/inherits/special", S_IFREG | 02770, 0));
    RESULT(mknod("directories/open/plain", S_IFREG | 02770, 0));
    show("directories/inherits/directory");
    show("directories/inherits/file");
    show("directories/inherits/special");
    show("directories/open/plain");
    umask(022);
    RESULT(unlink("directories/inherits/file"));
    RESULT(unlink("directories/inherits/special"));
    RESULT(unlink("directories/open/plain"));
    RESULT(rmdir("directories/inherits/directory"));
}

static void special_bits(void) {
    show("special");
    int file = open("special", O_RDWR);
    RESULT(write(file, "x", 1));
    show("special");
    close(file);
    file = open("grouped", O_RDWR);
    RESULT(ftruncate(file, 0));
    show("grouped");
    close(file);
}

static void others(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max--;
    limit.rlim_cur = 10;
    RESULT(setrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_max++;
    RESULT(setrlimit(RLIMIT_NOFILE, &limit));
    RESULT(sethostname("x", 1));
    RESULT(setgroups(0, NULL));
    RESULT(syscall(SYS_setresuid, BOB, -1, -1));
    RESULT(inotify_add_watch(inotify_init(), "nobody", IN_OPEN));
    for (int port = 1; port < 3; port++) {
        int socket_ = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port == 1 ? 1023 : 0)};
        RESULT(bind(socket_, (struct sockaddr *)&address, sizeof address));
        close(socket_);
    }
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int peer = socket(AF_UNIX, SOCK_STREAM, 0);
    RESULT(connect(peer, (struct sockaddr *)&name, sizeof name));
    strcpy(name.sun_path, "directories/passed/socket");
    RESULT(bind(peer, (struct sockaddr *)&name, sizeof name));
    close(peer);
    int ends[2];
    RESULT(pipe(ends));
    struct stat status;
    fstat(ends[0], &status);
    printf("a pipe of %u, %u\n", status.st_uid, status.st_gid);
    close(ends[0]);
    close(ends[1]);
}

static void as_file_user(void) {
    become("root again", 0, 0);
    printf("%d %d\n", setfsuid(ALICE), setfsuid(-1));
    printf("%d %d\n", setfsgid(OURS), setfsgid(-1));
    RESULT(opens("nobody", O_RDONLY));
    RESULT(opens("alice", O_RDWR));
    RESULT(opens("by alice", O_RDWR | O_CREAT));
    show("by alice");
    RESULT(geteuid());
    RESULT(chown("alice", BOB, -1));
    setfsuid(0);
    setfsgid(0);
    RESULT(opens("nobody", O_RDONLY));
    RESULT(chown("alice", ALICE, -1));
}

int main(int count, char **arguments) {
    (void)count;
    setvbuf(stdout, NULL, _IONBF, 0);
    umask(022);
    if (chdir(arguments[1]) || setgroups(0, NULL) || mkdir("permissions", 0777) || chdir("permissions"))
        return 1;
    chmod(".", 0777);
    make("everybody", ROOT, ROOT, 0666);
    make("alice", ALICE, OURS, 0640);
    make("bob", BOB, THEIRS, 0640);
    make("group", BOB, OURS, 0660);
    make("not the owner", ALICE, THEIRS, 0077);
    make("not the group", BOB, OURS, 0707);
    make("executable", ROOT, ROOT, 0611);
    make("nobody", ROOT, ROOT, 0600);
    make("closed", ALICE, OURS, 0);
    make("special", ROOT, OURS, 06777);
    make("grouped", ROOT, OURS, 02767);
    make_directory("directories", ROOT, ROOT, 0755);
    make_directory("directories/closed", ROOT, ROOT, 0700);
    make("directories/closed/file", ROOT, ROOT, 0666);
    make_directory("directories/listed", ROOT, ROOT, 0744);
    make("directories/listed/file", ROOT, ROOT, 0666);
    make_directory("directories/passed", ROOT, ROOT, 0711);
    make("directories/passed/file", ROOT, ROOT, 0666);
    make_directory("directories/passed/inner", ALICE, OURS, 0755);
    make_directory("directories/open", ROOT, ROOT, 0777);
    make_directory("directories/open/fixed", ROOT, ROOT, 0755);
    make_directory("directories/sticky", ROOT, ROOT, 01777);
    make_directory("directories/sticky/inner", BOB, THEIRS, 0755);
    make("directories/sticky/alice", ALICE, OURS, 0600);
    make("directories/sticky/bob", BOB, THEIRS, 0666);
    make_directory("directories/inherits", ROOT, THEIRS, 02777);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&name, sizeof name) || listen(server, 1))
        puts(strerror(errno));

    puts("-- root");
    all_ways("everybody");
    all_ways("alice");
    all_ways("executable");
    all_ways("nobody");
    special_bits();
    chmod("special", 06777);
    chmod("grouped", 02767);
    become("alice", ALICE, OURS);
    files();
    names();
    special_bits();
    others();
    become("bob", BOB, THEIRS);
    all_ways("alice");
    all_ways("group");
    seteuid(0);
    gid_t more[] = {OURS};
    RESULT(setgroups(1, more));
    become("bob, also of the other group", BOB, THEIRS);
    all_ways("alice");
    all_ways("not the group");
    as_file_user();

    become("alice for good", ROOT, ROOT);
    RESULT(setgroups(0, NULL));
    RESULT(setresgid(OURS, OURS, OURS));
    RESULT(prctl(PR_GET_DUMPABLE));
    RESULT(setresuid(ALICE, ALICE, ALICE));
    RESULT(prctl(PR_GET_DUMPABLE));
    all_ways("alice");
    all_ways("nobody");
    RESULT(setuid(0));
    RESULT(opens("/proc/self/environ", O_RDONLY));
    RESULT(opens("/proc/self/status", O_RDONLY));
    DIR *descriptors = opendir("/proc/self/fd");
    CHECK(descriptors != NULL);
    show("/proc/self/fd");
    show("/proc/self/environ");
    return 0;
}
