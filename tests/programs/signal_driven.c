/* Signals that tell that a file is ready: O_ASYNC, F_SETOWN, F_SETSIG, SIGURG. */
#include "pty.h"
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static sigset_t set;

/* Takes all signals that have come, as they are told. */
static void came(const char *what) {
    printf("%s:", what);
    for (;;) {
        siginfo_t information;
        struct timespec patience = {0, 30000000};
        int signal = sigtimedwait(&set, &information, &patience);
        if (signal < 0)
            break;
        printf(" %s", signal == SIGIO ? "IO" : signal == SIGURG ? "URG" : signal == SIGRTMIN ? "RT" : "?");
        if (information.si_code == SI_KERNEL)
            printf("(kernel)");
        else
            printf("(code %d, band %lx, fd %d)", information.si_code, information.si_band, information.si_fd);
    }
    puts("");
}

static void drain(int fd) {
    char bytes[4096];
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    fcntl(fd, F_SETFL, flags);
}

static void owners(void) {
    puts("-- owners");
    int ends[2];
    RESULT(pipe(ends));
    RESULT(fcntl(ends[0], F_GETOWN));
    RESULT(fcntl(ends[0], F_GETSIG));
    RESULT(fcntl(ends[0], F_SETOWN, getpid()));
    CHECK(fcntl(ends[0], F_GETOWN) == getpid());
    RESULT(fcntl(ends[0], F_SETOWN, -getpgrp()));
    CHECK(syscall(SYS_fcntl, ends[0], F_GETOWN) == -1 || fcntl(ends[0], F_GETOWN) == -getpgrp());
    struct f_owner_ex owner = {0};
    RESULT(fcntl(ends[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_PGRP && owner.pid == getpgrp());
    owner.type = F_OWNER_TID;
    owner.pid = (pid_t)syscall(SYS_gettid);
    RESULT(fcntl(ends[0], F_SETOWN_EX, &owner));
    memset(&owner, -1, sizeof owner);
    RESULT(fcntl(ends[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_TID && owner.pid == getpid());
    owner.type = 7;
    RESULT(fcntl(ends[0], F_SETOWN_EX, &owner));
    RESULT(fcntl(ends[0], F_SETOWN, 4000000));
    RESULT(fcntl(ends[0], F_SETOWN, -4000000));
    RESULT(fcntl(ends[0], F_SETOWN, (int)0x80000000));
    RESULT(fcntl(ends[0], F_SETSIG, 65));
    RESULT(fcntl(ends[0], F_SETSIG, SIGRTMIN));
    CHECK(fcntl(ends[0], F_GETSIG) == SIGRTMIN);
    RESULT(fcntl(ends[0], F_SETOWN, 0));
    RESULT(fcntl(ends[0], F_GETOWN));
    int number = 1;
    RESULT(ioctl(ends[0], FIOSETOWN, &number));
    RESULT(ioctl(ends[0], FIOASYNC, &number));
    printf("%o\n", fcntl(ends[0], F_GETFL) & O_ASYNC);
    number = 0;
    RESULT(ioctl(ends[0], FIOASYNC, &number));
    printf("%o\n", fcntl(ends[0], F_GETFL) & O_ASYNC);
    int counter = eventfd(0, 0);
    number = 1;
    RESULT(ioctl(counter, FIOASYNC, &number));
    RESULT(fcntl(counter, F_SETFL, O_ASYNC));
    RESULT(fcntl(counter, F_SETOWN, getpid()));
    RESULT(eventfd_write(counter, 1));
    came("event counters tell nothing");
    close(counter);
    close(ends[0]);
    close(ends[1]);
}

static void pipes(void) {
    puts("-- pipes");
    int ends[2];
    RESULT(pipe(ends));
    RESULT(fcntl(ends[0], F_SETFL, O_ASYNC));
    RESULT(write(ends[1], "a", 1));
    came("nobody is the owner");
    fcntl(ends[0], F_SETOWN, getpid());
    RESULT(write(ends[1], "a", 1));
    came("written");
    drain(ends[0]);
    came("read");
    fcntl(ends[0], F_SETSIG, SIGRTMIN);
    RESULT(write(ends[1], "a", 1));
    RESULT(write(ends[1], "b", 1));
    came("written twice");
    fcntl(ends[0], F_SETSIG, SIGURG);
    RESULT(write(ends[1], "c", 1));
    came("another signal");
    fcntl(ends[0], F_SETSIG, SIGRTMIN);
    fcntl(ends[1], F_SETFL, O_ASYNC);
    fcntl(ends[1], F_SETOWN, getpid());
    fcntl(ends[1], F_SETSIG, SIGRTMIN);
    char byte;
    RESULT(read(ends[0], &byte, 1));
    came("room");
    fcntl(ends[1], F_SETFL, 0);
    RESULT(read(ends[0], &byte, 1));
    came("not any more");
    close(ends[1]);
    came("no writer");
    close(ends[0]);

    struct f_owner_ex owner = {F_OWNER_TID, getpid()};
    RESULT(pipe(ends));
    fcntl(ends[0], F_SETOWN_EX, &owner);
    int copy = fcntl(ends[0], F_DUPFD, 50);
    fcntl(ends[0], F_SETSIG, SIGRTMIN);
    fcntl(copy, F_SETFL, O_ASYNC);
    RESULT(write(ends[1], "a", 1));
    came("by its copy, for a thread");
    close(ends[0]);
    RESULT(write(ends[1], "a", 1));
    came("only the copy is open");
    close(copy);
    close(ends[1]);
}

static void sockets(void) {
    puts("-- local sockets");
    int pair[2];
    RESULT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    int number = getpid();
    RESULT(ioctl(pair[0], SIOCSPGRP, &number));
    number = 0;
    RESULT(ioctl(pair[0], FIOGETOWN, &number));
    CHECK(number == getpid());
    number = 1;
    RESULT(ioctl(pair[0], FIOASYNC, &number));
    RESULT(write(pair[1], "a", 1));
    came("written");
    fcntl(pair[0], F_SETSIG, SIGRTMIN);
    RESULT(write(pair[1], "b", 1));
    came("written");
    drain(pair[0]);
    RESULT(shutdown(pair[1], SHUT_RDWR));
    siginfo_t information;
    struct timespec patience = {1, 0};
    CHECK(sigtimedwait(&set, &information, &patience) == SIGRTMIN && information.si_code == POLL_HUP);
    came("");
    close(pair[0]);
    close(pair[1]);

    puts("-- connections");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(bind(listener, (struct sockaddr *)&address, sizeof address));
    RESULT(listen(listener, 5));
    getsockname(listener, (struct sockaddr *)&address, &length);
    fcntl(listener, F_SETFL, O_ASYNC);
    fcntl(listener, F_SETOWN, getpid());
    int client = socket(AF_INET, SOCK_STREAM, 0);
    RESULT(connect(client, (struct sockaddr *)&address, sizeof address));
    came("a connection");
    int server = accept(listener, NULL, NULL);
    fcntl(listener, F_SETFL, 0);
    fcntl(server, F_SETOWN, getpid());
    RESULT(send(client, "u", 1, MSG_OOB));
    came("urgent");
    char byte;
    RESULT(recv(server, &byte, 1, MSG_OOB));
    RESULT(send(client, "v", 1, MSG_OOB));
    came("urgent again");
    fcntl(server, F_SETFL, O_ASYNC);
    RESULT(write(client, "data", 4));
    came("data");
    close(client);
    came("the end");
    close(server);
    close(listener);
}

static void terminals(void) {
    puts("-- terminals");
    open_pair();
    fcntl(slave, F_SETFL, O_ASYNC);
    CHECK(fcntl(slave, F_GETOWN) == getpid());
    fcntl(slave, F_SETSIG, SIGRTMIN);
    type("abc");
    came("part of a line");
    type("\n");
    came("a line");
    close_pair();
}

/* The files are made by two calls each, of which one is told. */
static void directories(void) {
    puts("-- directories");
    char name[] = "/tmp/pith-signals-XXXXXX", file[64], other[64];
    CHECK(mkdtemp(name) != NULL);
    snprintf(file, sizeof file, "%s/file", name);
    snprintf(other, sizeof other, "%s/other", name);
    int directory = open(name, O_RDONLY | O_DIRECTORY), made;
    RESULT(fcntl(directory, F_SETSIG, SIGRTMIN));
    RESULT(fcntl(directory, F_NOTIFY, DN_CREATE));
    CHECK(fcntl(directory, F_GETOWN) == getpid());
    CHECK((made = open(file, O_CREAT | O_RDWR, 0600)) >= 0);
    came("made");
    RESULT(rename(file, other));
    came("not told again");
    RESULT(fcntl(directory, F_NOTIFY, DN_MODIFY | DN_MULTISHOT));
    RESULT(fcntl(directory, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
    RESULT(write(made, "a", 1));
    came("written");
    RESULT(write(made, "b", 1));
    came("written again");
    RESULT(fchmod(made, 0644));
    came("other permissions");
    char byte;
    RESULT(pread(made, &byte, 1, 0));
    came("read");
    RESULT(fcntl(directory, F_NOTIFY, DN_DELETE | DN_ACCESS | DN_MULTISHOT));
    RESULT(pread(made, &byte, 1, 0));
    came("read");
    RESULT(unlink(other));
    siginfo_t information;
    struct timespec patience = {1, 0};
    CHECK(sigtimedwait(&set, &information, &patience) == SIGRTMIN && information.si_code == POLL_MSG);
    while (sigtimedwait(&set, &information, &(struct timespec){0, 0}) > 0)
        ;
    RESULT(fcntl(directory, F_NOTIFY, 0));
    RESULT(write(made, "c", 1));
    CHECK(close(open(file, O_CREAT | O_RDWR, 0600)) == 0);
    came("no more");
    RESULT(fcntl(made, F_NOTIFY, DN_MODIFY));
    RESULT(fcntl(made, F_NOTIFY, 0));
    RESULT(fcntl(directory, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
    close(directory);
    unlink(file);
    came("closed");
    close(made);
    rmdir(name);
}

/* Opens a file in a process of its own, which waits for leases; tells how that went. */
static pid_t opener(const char *file, int flags) {
    pid_t child = fork();
    if (child == 0) {
        int opened = open(file, flags);
        _exit(opened >= 0 ? 0 : errno);
    }
    return child;
}

static const char *end_of(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return "lost";
    return WEXITSTATUS(status) ? strerror(WEXITSTATUS(status)) : "opened";
}

/* The words of /proc/locks about leases. */
static void table_of_leases(void) {
    FILE *table = fopen("/proc/locks", "r");
    char kind[16], state[16], mode[16], line[200];
    while (fgets(line, sizeof line, table))
        if (sscanf(line, "%*d: %15s %15s %15s", kind, state, mode) == 3 && !strcmp(kind, "LEASE"))
            printf("%s %s %s\n", kind, state, mode);
    fclose(table);
}

static void leases(void) {
    puts("-- leases");
    char name[] = "/tmp/pith-leases-XXXXXX", text[16];
    int writer = mkstemp(name), setting = open("/proc/sys/fs/lease-break-time", O_RDWR);
    ssize_t length = read(setting, text, sizeof text);
    CHECK(length == 3 && !memcmp(text, "45\n", 3));
    RESULT(fcntl(writer, F_SETLEASE, F_RDLCK));
    RESULT(fcntl(writer, F_SETLEASE, 3));
    RESULT(fcntl(writer, F_SETLEASE, F_UNLCK));
    RESULT(fcntl(writer, F_SETLEASE, F_WRLCK));
    RESULT(fcntl(writer, F_GETLEASE));
    CHECK(fcntl(writer, F_GETOWN) == getpid());
    fcntl(writer, F_SETSIG, SIGRTMIN);
    table_of_leases();
    RESULT(open(name, O_RDONLY | O_NONBLOCK));
    came("a reader in a hurry");
    RESULT(fcntl(writer, F_GETLEASE));
    table_of_leases();
    pid_t child = opener(name, O_RDONLY);
    came("not told again");
    RESULT(fcntl(writer, F_SETLEASE, F_RDLCK));
    RESULT(fcntl(writer, F_SETLEASE, F_UNLCK));
    int reader = open(name, O_RDONLY);
    printf("%s\n", end_of(child));
    RESULT(fcntl(writer, F_GETOWN));
    RESULT(fcntl(writer, F_GETSIG));
    RESULT(fcntl(reader, F_SETLEASE, F_RDLCK));
    close(writer);
    RESULT(fcntl(reader, F_SETLEASE, F_WRLCK));
    RESULT(fcntl(reader, F_SETLEASE, F_RDLCK));
    int other = open(name, O_RDONLY);
    RESULT(fcntl(reader, F_SETLEASE, F_WRLCK));
    RESULT(fcntl(other, F_SETLEASE, F_RDLCK));
    table_of_leases();
    child = opener(name, O_WRONLY);
    siginfo_t information;
    struct timespec patience = {5, 0};
    CHECK(sigtimedwait(&set, &information, &patience) == SIGIO);
    RESULT(fcntl(reader, F_GETLEASE));
    int third = open(name, O_RDONLY);
    RESULT(fcntl(third, F_SETLEASE, F_RDLCK));
    close(third);
    RESULT(fcntl(reader, F_SETLEASE, F_UNLCK));
    RESULT(fcntl(other, F_SETLEASE, F_UNLCK));
    close(other);
    printf("%s\n", end_of(child));
    came("told once");
    RESULT(fcntl(reader, F_SETLEASE, F_WRLCK));
    CHECK(pwrite(setting, "1", 1, 0) == 1);
    RESULT(truncate(name, 5));
    came("nobody gave it up");
    RESULT(fcntl(reader, F_GETLEASE));
    RESULT(fcntl(reader, F_SETLEASE, F_UNLCK));
    CHECK(pwrite(setting, text, length, 0) == length);
    close(setting);
    int copy = dup(reader);
    RESULT(fcntl(reader, F_SETLEASE, F_WRLCK));
    close(reader);
    RESULT(fcntl(copy, F_GETLEASE));
    close(copy);
    RESULT(close(open(name, O_RDWR | O_NONBLOCK)));
    int directory = open("/tmp", O_RDONLY);
    RESULT(fcntl(directory, F_SETLEASE, F_RDLCK));
    close(directory);
    if (fork() == 0) {
        reader = open(name, O_RDONLY);
        RESULT(setresuid(-1, 1000, -1));
        RESULT(fcntl(reader, F_SETLEASE, F_RDLCK));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    unlink(name);
}

static void overflow(void) {
    puts("-- too many");
    int ends[2];
    RESULT(pipe(ends));
    fcntl(ends[0], F_SETOWN, getpid());
    fcntl(ends[0], F_SETSIG, SIGRTMIN);
    fcntl(ends[0], F_SETFL, O_ASYNC);
    struct rlimit none = {0, 0};
    RESULT(setrlimit(RLIMIT_SIGPENDING, &none));
    RESULT(write(ends[1], "x", 1));
    came("no room in the queue");
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGURG);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    owners();
    pipes();
    sockets();
    terminals();
    directories();
    leases();
    overflow();
    return 0;
}
