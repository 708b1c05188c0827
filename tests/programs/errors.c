/* The error numbers of the file calls. `errors DIRECTORY`, a fresh copy of the runner's tree. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1]))
        return 2;
    char name[5000], buffer[4096];
    struct stat status;

    puts("-- names");
    RESULT(open("missing", O_RDONLY));
    RESULT(open("missing/deeper", O_RDONLY));
    RESULT(open("small.txt/deeper", O_RDONLY));
    RESULT(open("small.txt/", O_RDONLY));
    RESULT(open("", O_RDONLY));
    RESULT(open("directory", O_WRONLY));
    RESULT(open("directory", O_RDWR));
    RESULT(open("small.txt", O_RDONLY | O_DIRECTORY));
    RESULT(open("link-to-small", O_RDONLY | O_NOFOLLOW));
    RESULT(open("dangling", O_RDONLY));
    RESULT(open("loop", O_RDONLY));
    RESULT(open("small.txt", O_RDWR | O_CREAT | O_EXCL, 0600));
    RESULT(open("link-to-small", O_RDWR | O_CREAT | O_EXCL, 0600));
    RESULT(open("directory", O_RDWR | O_CREAT, 0600));
    memset(name, 'a', sizeof name);
    name[256] = 0;
    RESULT(open(name, O_RDONLY));
    RESULT(open(name, O_CREAT | O_WRONLY, 0600));
    name[256] = 'a';
    name[4999] = 0;
    RESULT(open(name, O_RDONLY));
    RESULT(stat("missing", &status));
    RESULT(lstat("dangling", &status));
    CHECK(S_ISLNK(status.st_mode));
    RESULT(stat("dangling", &status));
    RESULT(access("small.txt", R_OK));
    RESULT(access("small.txt", 99));
    RESULT(chdir("small.txt"));
    RESULT(readlink("small.txt", buffer, sizeof buffer));
    RESULT(readlink("link-to-small", buffer, sizeof buffer));
    RESULT(readlink("link-to-small", buffer, 3));
    RESULT(readlink("link-to-small", buffer, 0));

    puts("-- descriptors");
    int file = open("small.txt", O_RDONLY);
    int directory = open("directory", O_RDONLY | O_DIRECTORY);
    printf("descriptors %d %d\n", file, directory);
    RESULT(write(file, "x", 1));
    RESULT(read(directory, buffer, 10));
    RESULT(write(directory, "x", 1));
    RESULT(read(99, buffer, 1));
    RESULT(read(-1, buffer, 1));
    RESULT(close(99));
    RESULT(fstat(99, &status));
    RESULT(lseek(file, -1, SEEK_SET));
    RESULT(lseek(file, 0, 77));
    RESULT(lseek(file, 5, SEEK_SET));
    RESULT(lseek(file, -3, SEEK_CUR));
    RESULT(lseek(file, 1000000, SEEK_SET));
    RESULT(read(file, buffer, 10));
    RESULT(pread(file, buffer, 10, -1));
    RESULT(ftruncate(file, 0));
    RESULT(ioctl(file, TIOCGWINSZ, buffer));
    RESULT(ioctl(99, TIOCGWINSZ, buffer));
    RESULT(syscall(SYS_getdents64, file, buffer, sizeof buffer));
    RESULT(syscall(SYS_getdents64, directory, buffer, 4));
    RESULT(openat(directory, "nested.txt", O_RDONLY));
    RESULT(openat(file, "nested.txt", O_RDONLY));
    RESULT(openat(99, "nested.txt", O_RDONLY));
    RESULT(fstatat(directory, "", &status, 0));
    RESULT(fstatat(directory, "", &status, AT_EMPTY_PATH));
    RESULT(fstatat(directory, "nested.txt", &status, 0x40000000));
    RESULT(fchdir(file));
    RESULT(fchdir(directory));
    RESULT(chdir(".."));

    puts("-- changes");
    RESULT(mkdir("directory", 0700));
    RESULT(mkdir("small.txt", 0700));
    RESULT(mkdir("missing/deeper", 0700));
    RESULT(rmdir("directory"));
    RESULT(rmdir("small.txt"));
    RESULT(rmdir("missing"));
    RESULT(rmdir("directory/."));
    RESULT(unlink("directory"));
    RESULT(unlink("missing"));
    RESULT(unlink("small.txt/"));
    RESULT(rename("missing", "other"));
    RESULT(rename("small.txt", "directory"));
    RESULT(rename("directory", "small.txt"));
    RESULT(rename("directory", "directory/inside"));
    RESULT(link("missing", "other"));
    RESULT(link("small.txt", "directory"));
    RESULT(symlink("target", "small.txt"));
    RESULT(symlink("", "empty"));
    RESULT(truncate("missing", 0));
    RESULT(truncate("directory", 0));
    RESULT(truncate("small.txt", -1));
    RESULT(unlink("/proc/self/exe"));
    return 0;
}
