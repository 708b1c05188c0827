/*
 * Each flag of opening, of walking paths and of moving names, with what it does and what it refuses:
 * `open_flags DIRECTORY…`, each of them the place of one round.
 */
#include "check.h"
#include <fcntl.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int top;

static long open2(const char *path, unsigned long flags, unsigned long mode, unsigned long resolve) {
    struct open_how how = {flags, mode, resolve};
    return syscall(SYS_openat2, top, path, &how, sizeof how);
}

/* Opens and closes; what the file holds is told, which says which file it was. */
static void opens(const char *path, unsigned long flags, unsigned long resolve) {
    errno = 0;
    long file = open2(path, flags, 0, resolve);
    struct stat status = {0};
    char text[16] = "";
    printf("%s %lx:", path, resolve);
    if (file < 0) {
        printf(" %s\n", strerror(errno));
        return;
    }
    fstat((int)file, &status);
    if (S_ISREG(status.st_mode))
        (void)!read((int)file, text, sizeof text - 1);
    printf(" type %o \"%.4s\"\n", (unsigned)status.st_mode & S_IFMT, text);
    close((int)file);
}

static void write_file(const char *path, const char *text) {
    int file = openat(top, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        perror(path);
    close(file);
}

static void resolving(void) {
    puts("-- RESOLVE_*");
    static const unsigned long EACH[] = {0, RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
                                         RESOLVE_BENEATH, RESOLVE_IN_ROOT};
    static const char *const PATHS[] = {
        "a", "d/b", "./d/../a", "d/../../tree/a", "../tree/a", "/a", "/d/b", "/../a", "to-a", "d/to-a", "to-outside", "to-root",
        "d/to-absolute", "to-d/b", "to-d/", "dangling", "/proc/self/comm", "/proc/thread-self/fd/99", "d", "a/", "a/b", "missing/a",
    };
    for (unsigned path = 0; path < sizeof PATHS / sizeof *PATHS; path++)
        for (unsigned each = 0; each < sizeof EACH / sizeof *EACH; each++)
            if (EACH[each] != 0 || PATHS[path][0] != '/')
                opens(PATHS[path], O_RDONLY, EACH[each]);
    puts("-- links that are opened themselves");
    for (unsigned each = 0; each < sizeof EACH / sizeof *EACH; each++) {
        opens("to-a", O_PATH | O_NOFOLLOW, EACH[each]);
        opens("to-d/to-a", O_PATH | O_NOFOLLOW, EACH[each]);
        opens("to-a", O_RDONLY | O_NOFOLLOW, EACH[each]);
    }
    puts("-- magic links and mounts");
    char magic[64];
    int file = openat(top, "a", O_RDONLY);
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", file);
    for (unsigned each = 0; each < sizeof EACH / sizeof *EACH; each++) {
        errno = 0;
        long answer = open2(magic, O_RDONLY, 0, EACH[each]);
        printf("%lx: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        answer = open2(magic, O_PATH | O_NOFOLLOW, 0, EACH[each]);
        printf("%lx: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        struct open_how how = {O_PATH, 0, EACH[each]};
        int root = open("/", O_PATH);
        answer = syscall(SYS_openat2, root, "dev/shm", &how, sizeof how);
        printf("%lx: down to a mount: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        int shared = open("/dev/shm", O_PATH);
        answer = syscall(SYS_openat2, shared, "..", &how, sizeof how);
        printf("%lx: up from a mount: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        answer = syscall(SYS_openat2, root, "proc/self/root/dev/..", &how, sizeof how);
        printf("%lx: by the root of a process: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        answer = syscall(SYS_openat2, root, "..", &how, sizeof how);
        printf("%lx: above everything: %s\n", EACH[each], answer < 0 ? strerror(errno) : "opened");
        close(root);
        close(shared);
    }
    puts("-- combinations");
    RESULT(open2("a", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
    RESULT(open2("a", O_RDONLY, 0, 1UL << 40));
    RESULT(open2("a", O_RDONLY, 0, 0x40));
    SUCCESS(open2("a", O_RDONLY, 0, RESOLVE_CACHED));
    SUCCESS(open2("a", O_RDONLY, 0, RESOLVE_CACHED | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    RESULT(open2("a", O_RDWR | O_CREAT, 0600, RESOLVE_CACHED));
    RESULT(open2("a", O_RDWR | O_TRUNC, 0, RESOLVE_CACHED));
    RESULT(open2(".", O_RDWR | O_TMPFILE, 0600, RESOLVE_CACHED));
    SUCCESS(open2("new", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
    RESULT(open2("../new", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
    SUCCESS(open2("/newer", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_IN_ROOT));
    RESULT(faccessat(top, "newer", F_OK, 0));
    RESULT(open2("dangling", O_RDWR | O_CREAT, 0600, RESOLVE_NO_SYMLINKS));
    close(file);

    puts("-- the structure");
    struct {
        struct open_how how;
        unsigned long more;
    } larger = {{O_RDONLY, 0, 0}, 0};
    RESULT(syscall(SYS_openat2, top, "a", &larger, 0));
    RESULT(syscall(SYS_openat2, top, "a", &larger, 23));
    SUCCESS(syscall(SYS_openat2, top, "a", &larger, 32));
    larger.more = 1;
    RESULT(syscall(SYS_openat2, top, "a", &larger, 32));
    RESULT(syscall(SYS_openat2, top, "a", &larger, 8192));
    RESULT(syscall(SYS_openat2, top, "a", NULL, 24));
    RESULT(syscall(SYS_openat2, 999, "a", &larger, 24));
    RESULT(syscall(SYS_openat2, top, NULL, &larger, 24));
    RESULT(open2("a", O_RDONLY, 0600, 0));
    RESULT(open2("a", O_RDWR | O_CREAT, 010000, 0));
    RESULT(open2("a", 1UL << 35, 0, 0));
    RESULT(open2("a", 0x40000000, 0, 0));
    RESULT(open2("a", O_PATH | O_RDWR, 0, 0));
    RESULT(open2("a", O_PATH | O_APPEND, 0, 0));
    RESULT(open2("a", O_PATH | O_TRUNC, 0, 0));
    RESULT(open2("d", O_DIRECTORY | O_CREAT, 0600, 0));
    RESULT(open2("d", O_TMPFILE | O_RDONLY, 0600, 0));
}

static void only_paths(void) {
    puts("-- O_PATH");
    char byte, magic[64], target[64] = "";
    struct stat status;
    struct statfs system;
    int file = openat(top, "a", O_PATH);
    CHECK(fcntl(file, F_GETFL) == O_PATH);
    RESULT(read(file, &byte, 1));
    RESULT(pread(file, &byte, 1, 0));
    RESULT(write(file, "x", 1));
    RESULT(lseek(file, 0, SEEK_SET));
    RESULT(ftruncate(file, 0));
    RESULT(fallocate(file, 0, 0, 1));
    RESULT(fsync(file));
    RESULT(fchmod(file, 0600));
    RESULT(fchown(file, 0, 0));
    RESULT(futimens(file, NULL));
    RESULT(ioctl(file, FIONREAD, &byte));
    RESULT(fgetxattr(file, "user.x", &byte, 1));
    RESULT(fsetxattr(file, "user.x", &byte, 1, 0));
    RESULT(flistxattr(file, &byte, 1));
    RESULT(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED ? -1 : 0);
    RESULT(fcntl(file, F_SETFL, O_APPEND));
    RESULT(fcntl(file, F_SETLK, &(struct flock){.l_type = F_RDLCK}));
    RESULT(syscall(SYS_getdents64, file, target, sizeof target));
    RESULT(posix_fadvise(file, 0, 0, POSIX_FADV_NORMAL));
    RESULT(readahead(file, 0, 1));
    RESULT(copy_file_range(file, NULL, file, NULL, 1, 0));
    /* What it is for. */
    RESULT(fstat(file, &status));
    printf("size %ld\n", (long)status.st_size);
    RESULT(fstatfs(file, &system));
    RESULT(fcntl(file, F_GETFD));
    int copy = fcntl(file, F_DUPFD_CLOEXEC, 50);
    RESULT(fcntl(copy, F_GETFD));
    RESULT(close(copy));
    RESULT(fstatat(file, "", &status, AT_EMPTY_PATH));
    RESULT(fchownat(file, "", -1, -1, AT_EMPTY_PATH));
    RESULT(faccessat(file, "", R_OK, AT_EMPTY_PATH));
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", file);
    copy = open(magic, O_RDONLY);
    RESULT(read(copy, &byte, 1));
    RESULT(chmod(magic, 0640));
    RESULT(fstat(copy, &status));
    printf("mode %o\n", (unsigned)status.st_mode);
    close(copy);
    close(file);
    int directory = openat(top, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
    RESULT(fchdir(directory));
    RESULT(access("b", F_OK));
    RESULT(fchdir(top));
    CHECK(openat(directory, "b", O_RDONLY) > 0);
    RESULT(mkdirat(directory, "made", 0700));
    RESULT(unlinkat(directory, "made", AT_REMOVEDIR));
    RESULT(syscall(SYS_getdents64, directory, target, sizeof target));
    RESULT(openat(directory, "", O_RDONLY));
    close(directory);
    int link = openat(top, "to-a", O_PATH | O_NOFOLLOW);
    RESULT(readlinkat(link, "", target, sizeof target));
    printf("%s\n", target);
    RESULT(fstat(link, &status));
    CHECK(S_ISLNK(status.st_mode));
    RESULT(fchownat(link, "", -1, -1, AT_EMPTY_PATH));
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", link);
    RESULT(open(magic, O_RDONLY));
    RESULT(fchdir(link));
    close(link);
    RESULT(openat(top, "a", O_PATH | O_DIRECTORY));
    SUCCESS(openat(top, "a", O_PATH | O_CREAT | O_EXCL, 0600)); /* The others are left out. */
}

static void flags(void) {
    puts("-- other flags");
    char text[16] = "";
    struct stat status, after;
    RESULT(openat(top, "to-a", O_RDONLY | O_NOFOLLOW));
    SUCCESS(openat(top, "to-d/b", O_RDONLY | O_NOFOLLOW));
    RESULT(openat(top, "to-d", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    RESULT(openat(top, "a", O_RDONLY | O_DIRECTORY));
    RESULT(openat(top, "neither", O_RDONLY | O_DIRECTORY | O_CREAT, 0600));
    RESULT(openat(top, "dangling", O_RDWR | O_CREAT | O_EXCL, 0600));
    int file = openat(top, "dangling", O_RDWR | O_CREAT, 0600);
    RESULT(faccessat(top, "nowhere", F_OK, 0));
    close(file);
    unlinkat(top, "nowhere", 0);
    file = openat(top, "flags", O_WRONLY | O_CREAT | O_APPEND | O_SYNC | O_NOATIME, 0600);
    CHECK((fcntl(file, F_GETFL) & (O_APPEND | O_SYNC | O_NOATIME)) == (O_APPEND | O_SYNC | O_NOATIME));
    RESULT(write(file, "abc", 3));
    RESULT(lseek(file, 0, SEEK_SET));
    RESULT(write(file, "def", 3));
    RESULT(pwrite(file, "ghi", 3, 0)); /* As Linux does: appended nevertheless. */
    RESULT(read(file, text, 1));
    RESULT(fcntl(file, F_SETFL, O_DSYNC | O_RDWR | O_CREAT));
    CHECK((fcntl(file, F_GETFL) & (O_APPEND | O_DSYNC | O_ACCMODE)) == (O_DSYNC | O_WRONLY));
    RESULT(pwrite(file, "X", 1, 0));
    close(file);
    file = openat(top, "flags", O_RDONLY | O_DSYNC);
    RESULT(read(file, text, sizeof text));
    printf("%.9s, %d\n", text, (fcntl(file, F_GETFL) & O_SYNC) == O_DSYNC);
    close(file);
    file = openat(top, "flags", 3); /* Neither to read nor to write, but for requests. */
    RESULT(read(file, text, 1));
    RESULT(write(file, text, 1));
    RESULT(fstat(file, &status));
    close(file);
    file = openat(top, "flags", O_RDONLY | O_TRUNC);
    RESULT(fstat(file, &status));
    printf("size %ld\n", (long)status.st_size);
    close(file);
    /* Reading changes the time of access, unless it is told not to. */
    write_file("times", "x");
    struct timespec old[2] = {{1000, 0}, {2000, 0}};
    for (int turn = 0; turn < 2; turn++) {
        utimensat(top, "times", old, 0);
        file = openat(top, "times", turn ? O_RDONLY : O_RDONLY | O_NOATIME);
        RESULT(read(file, text, 1));
        fstat(file, &after);
        CHECK(after.st_atime != 1000);
        close(file);
    }
}

static void nameless(void) {
    puts("-- O_TMPFILE");
    char magic[64];
    struct stat status;
    RESULT(openat(top, ".", O_TMPFILE | O_RDONLY, 0600));
    RESULT(openat(top, "a", O_TMPFILE | O_RDWR, 0600));
    RESULT(openat(top, "missing", O_TMPFILE | O_RDWR, 0600));
    RESULT(openat(top, ".", O_TMPFILE | O_RDWR | O_CREAT, 0600));
    RESULT(openat(top, ".", O_TMPFILE & ~O_DIRECTORY, 0600));
    int file = openat(top, "d", O_TMPFILE | O_RDWR, 0640), only = openat(top, "d", O_TMPFILE | O_WRONLY | O_EXCL, 0600);
    RESULT(fstat(file, &status));
    printf("mode %o, links %d\n", (unsigned)status.st_mode, (int)status.st_nlink);
    RESULT(write(file, "nameless", 8));
    RESULT(linkat(only, "", top, "excluded", AT_EMPTY_PATH));
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", only);
    RESULT(linkat(AT_FDCWD, magic, top, "excluded", AT_SYMLINK_FOLLOW));
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", file);
    RESULT(linkat(AT_FDCWD, magic, top, "a", AT_SYMLINK_FOLLOW));
    RESULT(linkat(AT_FDCWD, magic, top, "other", 0));
    RESULT(linkat(AT_FDCWD, magic, top, "named", AT_SYMLINK_FOLLOW));
    RESULT(linkat(file, "", top, "named-twice", AT_EMPTY_PATH));
    RESULT(linkat(file, "", top, "named", 0));
    RESULT(fstat(file, &status));
    printf("links %d, size %ld\n", (int)status.st_nlink, (long)status.st_size);
    opens("named", O_RDONLY, 0);
    opens("named-twice", O_RDONLY, 0);
    RESULT(unlinkat(top, "named", 0));
    RESULT(unlinkat(top, "named-twice", 0));
    /* What once had a name gets none any more. */
    RESULT(linkat(file, "", top, "again", AT_EMPTY_PATH));
    RESULT(fstat(file, &status));
    printf("links %d\n", (int)status.st_nlink);
    close(file);
    close(only);
}

static long move(const char *from, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, top, from, top, to, flags);
}

static void moving(int in_memory) {
    puts("-- renameat2");
    write_file("one", "one");
    write_file("two", "two");
    mkdirat(top, "full", 0700);
    write_file("full/inner", "inner");
    mkdirat(top, "bare", 0700);
    RESULT(move("one", "two", RENAME_NOREPLACE));
    RESULT(move("one", "three", RENAME_NOREPLACE));
    RESULT(move("three", "three", RENAME_NOREPLACE));
    RESULT(move("missing", "two", RENAME_NOREPLACE));
    RESULT(move("three", "missing", RENAME_EXCHANGE));
    RESULT(move("missing", "three", RENAME_EXCHANGE));
    RESULT(move("three", "two", RENAME_EXCHANGE));
    opens("two", O_RDONLY, 0);
    opens("three", O_RDONLY, 0);
    RESULT(move("three", "full", RENAME_EXCHANGE));
    opens("full", O_RDONLY, 0);
    opens("three/inner", O_RDONLY, 0);
    RESULT(move("full", "three", RENAME_EXCHANGE));
    RESULT(move("full", "full/inner", RENAME_EXCHANGE));
    RESULT(move("full/inner", "full", RENAME_EXCHANGE));
    RESULT(move("bare", "full", RENAME_EXCHANGE));
    opens("bare/inner", O_RDONLY, 0);
    RESULT(move("bare", "full", 0));
    RESULT(move("full", "bare", 0));
    RESULT(move("to-a", "two", RENAME_EXCHANGE));
    opens("two", O_PATH | O_NOFOLLOW, 0);
    RESULT(move("to-a", "two", RENAME_EXCHANGE));
    RESULT(move("two", "three", RENAME_NOREPLACE | RENAME_EXCHANGE));
    RESULT(move("two", "three", RENAME_WHITEOUT | RENAME_EXCHANGE));
    RESULT(move("two", "three", 8));
    RESULT(move("two", ".", RENAME_EXCHANGE));
    RESULT(move("two", "..", RENAME_NOREPLACE));
    RESULT(move("two/", "four", 0));
    RESULT(move("full", "full/deeper", 0));
    RESULT(syscall(SYS_renameat2, top, "two", AT_FDCWD, "/proc/two", 0));
    if (in_memory) {
        struct stat status;
        RESULT(move("two", "elsewhere", RENAME_WHITEOUT));
        RESULT(fstatat(top, "two", &status, AT_SYMLINK_NOFOLLOW));
        printf("mode %o, device %lx\n", (unsigned)status.st_mode, (unsigned long)status.st_rdev);
        RESULT(move("elsewhere", "two", RENAME_WHITEOUT | RENAME_NOREPLACE));
        RESULT(move("elsewhere", "two", RENAME_WHITEOUT));
        opens("two", O_RDONLY, 0);
    }
}

/* What the image holds changes places with what it does not. */
static void across_layers(void) {
    puts("-- across layers");
    int image = openat(top, "..", O_RDONLY | O_DIRECTORY), file;
    write_file("upper", "upper");
    RESULT(move("../small.txt", "upper", RENAME_NOREPLACE));
    RESULT(move("../small.txt", "upper", RENAME_EXCHANGE));
    opens("../small.txt", O_RDONLY, 0);
    opens("upper", O_RDONLY, 0);
    opens("../link-to-small", O_RDONLY, 0);
    RESULT(move("../directory", "whole", 0));
    opens("whole/nested.txt", O_RDONLY, 0);
    opens("../directory", O_RDONLY, 0);
    RESULT(move("../empty directory", "whole", RENAME_EXCHANGE));
    opens("../empty directory/nested.txt", O_RDONLY, 0);
    RESULT(move("../empty directory", "whole", 0));
    opens("whole/deeper", O_RDONLY, 0);
    RESULT(move("upper", "whole/nested.txt", RENAME_NOREPLACE));
    RESULT(unlinkat(top, "whole/nested.txt", 0));
    RESULT(move("upper", "whole/nested.txt", RENAME_NOREPLACE));
    opens("whole/nested.txt", O_RDONLY, 0);
    RESULT(linkat(image, "poem.txt", top, "whole/linked", 0));
    RESULT(unlinkat(image, "poem.txt", 0));
    opens("whole/linked", O_RDONLY, 0);
    /* A new name where the image has one that was removed. */
    file = openat(image, ".", O_TMPFILE | O_RDWR, 0600);
    (void)!write(file, "new", 3);
    RESULT(linkat(file, "", image, "numbers.txt", AT_EMPTY_PATH));
    RESULT(unlinkat(image, "numbers.txt", 0));
    RESULT(linkat(file, "", image, "numbers.txt", AT_EMPTY_PATH));
    opens("../numbers.txt", O_RDONLY, 0);
    close(file);
    RESULT(mkdirat(image, "directory", 0700));
    opens("../directory/nested.txt", O_RDONLY, 0);
    RESULT(unlinkat(image, "directory", AT_REMOVEDIR));
    close(image);
}

static int removes(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static void in(const char *place) {
    struct statfs system;
    if (chdir(place) != 0)
        perror(place);
    statfs(".", &system);
    printf("== a round%s\n", system.f_type == 0x01021994 ? " in memory" : "");
    mkdir("tree", 0755);
    top = open("tree", O_RDONLY | O_DIRECTORY);
    fchdir(top);
    mkdir("d", 0755);
    write_file("a", "a in the tree");
    write_file("d/b", "b in d");
    char absolute[4096];
    snprintf(absolute, sizeof absolute, "%s/tree/a", place);
    symlink("a", "to-a");
    symlink("../a", "d/to-a");
    symlink(absolute, "d/to-absolute");
    symlink("../tree/a", "to-outside");
    symlink("/a", "to-root");
    symlink("d", "to-d");
    symlink("nowhere", "dangling");
    resolving();
    only_paths();
    flags();
    nameless();
    moving(system.f_type == 0x01021994);
    if (faccessat(top, "../small.txt", F_OK, 0) == 0)
        across_layers();
    close(top);
    nftw(place, removes, 8, FTW_DEPTH | FTW_PHYS);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOFBF, 65536);
    umask(022);
    for (int index = 1; index < count; index++) {
        char memory[] = "/dev/shm/open_flags-XXXXXX";
        if (strcmp(arguments[index], "memory"))
            in(arguments[index]);
        else
            in(mkdtemp(memory));
    }
    return 0;
}
