/* Directories of processes in /proc: of the living, of zombies, of others, and what can be written there. */
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char text[1 << 16];

static int open_of(pid_t process, const char *name, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", process, name);
    return open(path, flags);
}

static const char *content(pid_t process, const char *name) {
    int file = open_of(process, name, O_RDONLY);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    if (file >= 0)
        close(file);
    return text;
}

static ssize_t link_of(pid_t process, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", process, name);
    memset(text, 0, 256);
    return readlink(path, text, 255);
}

/* The field of a number in stat, counted from 1; the name has none of the characters that would be in the way. */
static long long field(pid_t process, int number) {
    char *at = strrchr(strcpy(text, content(process, "stat")), ')') + 2;
    for (int now = 3; now < number; now++)
        at = strchr(at, ' ') + 1;
    return number == 3 ? *at : atoll(at);
}

static int entries(const char *path) {
    DIR *directory = opendir(path);
    int count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return directory ? count : -errno;
}

static long long counter(const char *name) {
    const char *line = strstr(content(getpid(), "io"), name);
    return line ? atoll(line + strlen(name)) : -1;
}

/* What is left after a write: result, and the file's new content. */
static void change(const char *name, const char *new) {
    int file = open_of(getpid(), name, O_WRONLY);
    ssize_t done = write(file, new, strlen(new));
    printf("%s <- %.12s: %zd %s, now ", name, new, done, done < 0 ? strerror(errno) : "");
    close(file);
    fputs(content(getpid(), name), stdout);
}

static void zombie(void) {
    puts("-- a zombie");
    pid_t child = fork();
    if (!child)
        _exit(3);
    siginfo_t information;
    waitid(P_PID, child, &information, WEXITED | WNOWAIT);
    printf("state %c parent %d\n", (char)field(child, 3), field(child, 4) == getpid());
    printf("size %lld status %llx\n", field(child, 23), field(child, 52));
    char name[32];
    strcpy(name, content(child, "comm"));
    CHECK(!strcmp(name, content(getpid(), "comm")));
    CHECK(strstr(content(child, "status"), "State:\tZ (zombie)"));
    CHECK(!strstr(content(child, "status"), "VmRSS"));
    CHECK(strstr(content(child, "status"), "Threads:\t1\n"));
    CHECK(!*content(child, "cmdline"));
    CHECK(!*content(child, "maps"));
    RESULT(link_of(child, "exe"));
    RESULT(link_of(child, "cwd"));
    snprintf(name, sizeof name, "/proc/%d/task", child);
    printf("threads %d\n", entries(name));
    snprintf(name, sizeof name, "/proc/%d/fd", child);
    printf("files %d\n", entries(name));
    char task[64];
    snprintf(task, sizeof task, "/proc/%d/task/%d/stat", child, child);
    RESULT(access(task, F_OK));
    snprintf(name, sizeof name, "%d", child);
    DIR *all = opendir("/proc");
    int found = 0;
    for (struct dirent *entry; (entry = readdir(all));)
        found += !strcmp(entry->d_name, name);
    closedir(all);
    printf("listed %d times\n", found);
    waitpid(child, NULL, 0);
    snprintf(task, sizeof task, "/proc/%d", child);
    RESULT(access(task, F_OK));
}

static void accounts(void) {
    puts("-- accounts");
    int ends[2];
    pipe(ends);
    long long bytes = counter("wchar: "), calls = counter("syscw: ");
    write(ends[1], text, 1000);
    write(ends[1], text, 234);
    write(99, text, 10);
    printf("wrote %lld in %lld\n", counter("wchar: ") - bytes, counter("syscw: ") - calls);
    bytes = counter("rchar: ");
    long long own = strlen(text);
    read(ends[0], text, 700);
    printf("read %d\n", counter("rchar: ") - bytes - own - 700 >= 0);
    double up = atof(strcpy(text, (content(getpid(), "../uptime"))));
    double age = up - field(getpid(), 22) / 100.0;
    CHECK(age >= -0.02 && age < 60);
    unsigned long long ran, waited, turns;
    printf("schedstat %d\n", sscanf(content(getpid(), "schedstat"), "%llu %llu %llu", &ran, &waited, &turns));
    CHECK(ran > 0 && turns > 0);
    CHECK(strstr(content(getpid(), "sched"), "nr_voluntary_switches"));
    int status;
    fflush(stdout);
    if (!fork()) {
        setsid();
        printf("terminal %lld %lld\n", field(getpid(), 7), field(getpid(), 8));
        fflush(stdout);
        _exit(0);
    }
    wait(&status);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 0x1234};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    char expected[128];
    snprintf(expected, sizeof expected, "ID: 0\nsignal: 10/%016x\nnotify: signal/pid.%d\nClockID: 1\n", 0x1234, getpid());
    CHECK(!strcmp(content(getpid(), "timers"), expected));
    pid_t child = fork();
    if (!child)
        pause();
    snprintf(expected, sizeof expected, "task/%d/children", getpid());
    CHECK(atoi(content(getpid(), expected)) == child);
    RESULT(open_of(getpid(), "children", O_RDONLY));
    RESULT(open_of(getpid(), "task/1/map_files", O_RDONLY));
    kill(child, SIGKILL);
    wait(NULL);
}

/* A process is called as it was started: by a link's name, by a script's. */
static void names(void) {
    puts("-- names");
    char directory[] = "/tmp/namesXXXXXX", path[64], link[64];
    mkdtemp(directory);
    snprintf(path, sizeof path, "%s/a-script", directory);
    snprintf(link, sizeof link, "%s/another-name", directory);
    int file = open(path, O_CREAT | O_WRONLY, 0755);
    static const char script[] = "#!/proc/self/exe as-script\n";
    write(file, script, sizeof script - 1);
    close(file);
    symlink(path, link);
    fflush(stdout);
    for (int index = 0; index < 2; index++) {
        if (!fork()) {
            execl(index ? link : path, "a", NULL);
            _exit(1);
        }
        wait(NULL);
    }
    unlink(link);
    unlink(path);
    rmdir(directory);
}

static void memory(const char *program) {
    puts("-- mem and map_files");
    static volatile int value = 42;
    int seen = 0, other = 43;
    int file = open_of(getpid(), "mem", O_RDWR);
    RESULT(pread(file, &seen, sizeof seen, (off_t)(size_t)&value));
    CHECK(seen == 42);
    RESULT(pwrite(file, &other, sizeof other, (off_t)(size_t)&value));
    CHECK(value == 43);
    RESULT(pread(file, &seen, sizeof seen, 64));
    RESULT(pwrite(file, &seen, sizeof seen, 64));
    close(file);
    DIR *directory = opendir("/proc/self/map_files");
    int own = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        unsigned long start, end;
        char name[300];
        snprintf(name, sizeof name, "map_files/%s", entry->d_name);
        if (sscanf(entry->d_name, "%lx-%lx", &start, &end) == 2 && start <= (size_t)memory && (size_t)memory < end)
            own += link_of(getpid(), name) > 0 && !strcmp(text, program);
    }
    closedir(directory);
    printf("found %d\n", own);
    RESULT(access("/proc/self/map_files/1000-2000", F_OK));
}

/* What smaps says of an area, in KiB. */
static long of_area(const void *address, const char *name) {
    static char all[1 << 18];
    int file = open("/proc/self/smaps", O_RDONLY);
    size_t length = 0;
    for (ssize_t now; (now = read(file, all + length, sizeof all - 1 - length)) > 0;)
        length += (size_t)now;
    close(file);
    all[length] = 0;
    char start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)address);
    const char *at = strstr(all, start);
    at = at ? strstr(at, name) : 0;
    return at ? atol(at + strlen(name)) : -1;
}

static void tell(const char *whose, const void *address) {
    printf("%s: Rss %ld Pss %ld shared %ld private %ld anonymous %ld\n", whose, of_area(address, "\nRss:"),
           of_area(address, "\nPss:"), of_area(address, "\nShared_Dirty:"), of_area(address, "\nPrivate_Dirty:"),
           of_area(address, "\nAnonymous:"));
}

static void shares(void) {
    puts("-- shares");
    enum { KIB = 1024, LENGTH = 256 * KIB };
    char *own = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* What lies beside it must not become one area with it. */
    char *common = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    madvise(own, LENGTH, MADV_NOHUGEPAGE);
    memset(own, 1, LENGTH);
    memset(common, 1, LENGTH);
    tell("alone", own);
    tell("alone", common);
    fflush(stdout);
    for (int children = 1; children <= 2; children++) {
        if (!fork()) {
            tell("child", own);
            memset(own, 2, LENGTH / 2);
            tell("child after", own);
            for (int at = 0; at < LENGTH / 4; at += 4096)
                common[at] = 3;
            tell("child", common);
            CHECK(of_area(own, "\nPss:") < of_area(own, "\nRss:"));
            fflush(stdout);
            _exit(0);
        }
        wait(NULL);
    }
    tell("alone again", own);
    tell("alone again", common);
}

static long of_status(pid_t process, const char *name) {
    const char *at = strstr(content(process, "status"), name);
    return at ? atol(at + strlen(name)) : -1;
}

static double processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double seconds(struct timeval time) {
    return time.tv_sec + time.tv_usec / 1e6;
}

/* Processor time is told apart. */
static void times_told(void) {
    puts("-- program and kernel");
    fflush(stdout);
    if (!fork()) {
        static char zeroes[1 << 16];
        struct rusage start, between, end;
        double began = processor_time();
        getrusage(RUSAGE_SELF, &start);
        /* Seldom enough for the question to cost nothing beside the program's own work. */
        for (volatile unsigned long round = 0; round % 100000 || processor_time() - began < 0.2; round++)
            ;
        getrusage(RUSAGE_SELF, &between);
        int file = open("/dev/zero", O_RDONLY);
        for (began = processor_time(); processor_time() - began < 0.2;)
            for (int round = 0; round < 4; round++)
                read(file, zeroes, sizeof zeroes);
        getrusage(RUSAGE_SELF, &end);
        CHECK(seconds(between.ru_utime) - seconds(start.ru_utime) > 0.1);
        CHECK(seconds(end.ru_stime) - seconds(between.ru_stime) > 0.1);
        struct tms told;
        times(&told);
        double all = processor_time();
        CHECK(told.tms_utime + told.tms_stime <= all * 100 && told.tms_utime + told.tms_stime > all * 100 - 3);
        CHECK(field(getpid(), 14) >= told.tms_utime && field(getpid(), 15) >= told.tms_stime);
        fflush(stdout);
        _exit(0);
    }
    struct rusage children;
    wait4(-1, NULL, 0, &children);
    CHECK(seconds(children.ru_utime) > 0.1 && seconds(children.ru_stime) > 0.1);
    CHECK(field(getpid(), 16) > 10 && field(getpid(), 17) > 10);
    long user = 0, nice = 0, kernel = 0;
    sscanf(content(getpid(), "../stat"), "cpu %ld %ld %ld", &user, &nice, &kernel);
    CHECK(user + nice > 10 && kernel > 10);
}

/* Page tables are counted by process. */
static void tables(void) {
    puts("-- page tables");
    const size_t large = 2 << 20, count = 64;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        pause();
        _exit(0);
    }
    char *memory = mmap(NULL, large * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    madvise(memory, large * count, MADV_NOHUGEPAGE);
    long before = of_status(getpid(), "\nVmPTE:"), of_child = of_status(child, "\nVmPTE:");
    for (size_t index = 0; index < count; index++)
        memory[index * large] = 1;
    long more = of_status(getpid(), "\nVmPTE:") - before;
    /* A table for each, and perhaps one more for the first of them and one above. */
    CHECK(more >= 4 * (long)count - 4 && more <= 4 * (long)count + 8);
    /* The child may be on its way to pause(2) still, for which a few do. */
    CHECK(of_child > 0 && of_status(child, "\nVmPTE:") < of_child + 2 * (long)count);
    munmap(memory, large * count);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void namespaces(void) {
    puts("-- ns");
    const char *names[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        char name[64], kind[32] = "";
        unsigned long number = 0;
        snprintf(name, sizeof name, "ns/%s", names[index]);
        link_of(getpid(), name);
        sscanf(text, "%31[a-z]:[%lu]", kind, &number);
        int file = open_of(getpid(), name, O_RDONLY);
        struct stat status = {0};
        fstat(file, &status);
        printf("%s %s %d %o %#x\n", names[index], kind, number == status.st_ino, status.st_mode, ioctl(file, 0xb703));
        close(file);
    }
    RESULT(open("/proc/self/ns/uts", O_RDWR));
    RESULT(open("/proc/self/ns/other", O_RDONLY));
}

static void changes(void) {
    puts("-- what can be written");
    change("oom_score_adj", "10\n");
    change("oom_score_adj", " 0x20 \n");
    change("oom_score_adj", "1001");
    change("oom_score_adj", "1 2");
    change("oom_score_adj", "many");
    change("oom_adj", "15\n");
    change("oom_adj", "-18");
    change("oom_score_adj", "0");
    change("comm", "another name that is long\n");
    change("timerslack_ns", "70000");
    change("timerslack_ns", "0");
    change("coredump_filter", "0x7f\n");
    change("coredump_filter", "0x3ff");
    change("coredump_filter", "-1");
    change("coredump_filter", "1 2");
    change("coredump_filter", "0x100000000");
    change("coredump_filter", "23");
    fflush(stdout);
    if (!fork()) {
        printf("inherited: %s", content(getpid(), "coredump_filter"));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    change("uid_map", "0 0 1\n");
    change("setgroups", "deny");
    RESULT(open("/proc/self/stat", O_RDWR | O_CREAT | O_EXCL, 0600));
    int file = open("/proc/sys/vm/overcommit_memory", O_WRONLY);
    RESULT(write(file, "9\n", 2));
    RESULT(write(file, "-1\n", 3));
    RESULT(write(file, "x", 1));
    RESULT(write(file, "", 0));
    RESULT(pwrite(file, "9\n", 2, 5));
    close(file);
}

/* What somebody else may know of this process. */
static void others(void) {
    puts("-- as somebody else");
    pid_t parent = getpid();
    fflush(stdout);
    if (!fork()) {
        setgroups(0, NULL);
        setresgid(4321, 4321, 4321);
        setresuid(4321, 4321, 4321);
        const char *names[] = {"stat", "status", "cmdline", "limits", "schedstat", "statm", "cgroup", "mountinfo",
                               "maps", "smaps", "environ", "auxv", "io", "mem", "numa_maps", "fd", "map_files", "ns"};
        for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
            int file = open_of(parent, names[index], O_RDONLY);
            ssize_t length = file < 0 ? -1 : read(file, text, 100);
            printf("%s: %s\n", names[index], length < 0 ? strerror(errno) : "read");
        }
        RESULT(link_of(parent, "exe"));
        RESULT(link_of(parent, "cwd"));
        RESULT(link_of(parent, "fd/0"));
        RESULT(link_of(parent, "ns/mnt"));
        printf("code at %lld, stack at %lld\n", field(parent, 26), field(parent, 28));
        SUCCESS(open("/proc/self/maps", O_RDONLY));
        RESULT(open("/proc/sys/vm/overcommit_memory", O_WRONLY));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("%s", content(getpid(), "comm"));
        return 0;
    }
    zombie();
    accounts();
    names();
    memory(argv[0]);
    shares();
    tables();
    times_told();
    namespaces();
    changes();
    others();
    return 0;
}
