/*
 * Who runs a program, what it may do, and what others may do to it: `credentials DIRECTORY`, started as root.
 *
 * It runs copies of itself with other owners, modes and capabilities, which tell who they are.
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ROOT, ALICE = 1001, BOB = 1002, OURS = 2001, THEIRS = 2002 };

/* Not every host gives its root all capabilities: this one is not looked at. */
#define UNSURE (~(1ull << CAP_SYS_RESOURCE))
#define BIT(capability) (1ull << (capability))

static struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

static uint64_t get(int set) {
    uint32_t data[2][3];
    syscall(SYS_capget, &header, data);
    return ((uint64_t)data[1][set] << 32 | data[0][set]) & UNSURE;
}

static int set(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    uint32_t data[2][3] = {{effective, permitted, inheritable}, {effective >> 32, permitted >> 32, inheritable >> 32}};
    return syscall(SYS_capset, &header, data);
}

static uint64_t of_prctl(int option, int second) {
    uint64_t all = 0;
    for (uint64_t capability = 0; capability <= CAP_LAST_CAP; capability++)
        if (second ? prctl(option, second, capability, 0, 0) == 1 : prctl(option, capability) == 1)
            all |= BIT(capability);
    return all & UNSURE;
}

/* Lines of /proc/self/status that are about credentials. */
static void status(const char *path) {
    char line[256];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "Groups", 6) ||
            !strncmp(line, "NoNew", 5))
            fputs(line, stdout);
    if (file)
        fclose(file);
}

static int tell(void) {
    struct rlimit stack;
    status("/proc/self/status");
    printf("effective %llx permitted %llx inheritable %llx bounding %llx ambient %llx\n", (long long)get(0),
           (long long)get(1), (long long)get(2), (long long)of_prctl(PR_CAPBSET_READ, 0),
           (long long)of_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET));
    getrlimit(RLIMIT_STACK, &stack);
    printf("secure %lu %lu %lu %lu %lu, dumpable %d, securebits %x, keeps %d, signal of parent's end", getauxval(AT_SECURE),
           getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID), prctl(PR_GET_DUMPABLE),
           prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
    int signal_ = 0;
    prctl(PR_GET_PDEATHSIG, &signal_);
    printf(" %d, stack %llx, personality %x\n", signal_, (long long)stack.rlim_cur, personality(0xffffffff));
    struct stat own;
    stat("/proc/self/environ", &own);
    printf("owner of environ %u\n", own.st_uid);
    return 0;
}

static void copy(const char *to, uid_t user, gid_t group, mode_t mode) {
    static char buffer[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY), file = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t length; (length = read(from, buffer, sizeof buffer)) > 0;)
        if (write(file, buffer, length) != length)
            perror(to);
    if (fchown(file, user, group) || fchmod(file, mode))
        perror(to);
    close(from);
    close(file);
}

static int give(const char *path, uint32_t first, uint64_t permitted, uint64_t inheritable) {
    uint32_t value[5] = {first, permitted, inheritable, permitted >> 32, inheritable >> 32};
    return setxattr(path, "security.capability", value, sizeof value, 0);
}

/* Starts a program in a child that has prepared itself. */
static void run(const char *what, const char *path, void (*prepare)(void)) {
    printf("-- %s\n", what);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        prepare();
        execl(path, path, "tell", NULL);
        printf("%s\n", strerror(errno));
        fflush(stdout);
        _exit(0);
    }
    int result;
    waitpid(child, &result, 0);
    if (result)
        printf("status %x\n", result);
}

static void as_root(void) {}

/* Root as everywhere. */
static void common_root(void) {
    RESULT(prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE));
    RESULT(set(get(0), get(1), 0));
}

static void as_alice(void) {
    gid_t groups[] = {THEIRS, 7};
    if (setgroups(2, groups) || setresgid(OURS, OURS, OURS) || setresuid(ALICE, ALICE, ALICE))
        perror("alice");
}

static void alice_with_habits(void) {
    as_alice();
    struct rlimit stack;
    getrlimit(RLIMIT_STACK, &stack);
    stack.rlim_cur = 16 << 20;
    setrlimit(RLIMIT_STACK, &stack);
    personality(ADDR_NO_RANDOMIZE);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
}

static void alice_without_more(void) {
    as_alice();
    RESULT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void alice_with_ambient(void) {
    uint64_t few = BIT(CAP_CHOWN) | BIT(CAP_NET_RAW) | BIT(CAP_KILL);
    prctl(PR_SET_KEEPCAPS, 1);
    as_alice();
    RESULT(set(few, few, few));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_FOWNER, 0, 0));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 63, 0, 0));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 1, 0));
    RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_NET_RAW, 0, 0));
}

static void alice_passing_on(void) {
    prctl(PR_SET_KEEPCAPS, 1);
    as_alice();
    RESULT(set(0, BIT(CAP_CHOWN) | BIT(CAP_KILL), BIT(CAP_KILL)));
}

static void alice_bound(void) {
    RESULT(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
    RESULT(prctl(PR_CAPBSET_DROP, 63));
    as_alice();
    RESULT(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
}

static void root_bound(void) {
    common_root();
    RESULT(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
    RESULT(prctl(PR_CAPBSET_READ, CAP_NET_RAW));
    RESULT(set(get(0), get(1), BIT(CAP_NET_RAW)));
}

static void root_like_others(void) {
    RESULT(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS));
    RESULT(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED));
    RESULT(prctl(PR_SET_SECUREBITS, 0x10000));
}

static void root_unchanged(void) {
    RESULT(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
    as_alice();
}

static void half_alice(void) {
    RESULT(setresuid(-1, ALICE, -1));
}

static void half_root(void) {
    as_root();
    RESULT(setresuid(ALICE, ROOT, ROOT));
}

static void programs(void) {
    copy("plain", ROOT, ROOT, 0755);
    copy("unreadable", ROOT, ROOT, 0711);
    copy("of root", ROOT, ROOT, 04755);
    copy("of bob", BOB, THEIRS, 04755);
    copy("of a group", BOB, ROOT, 02755);
    copy("of another group", BOB, THEIRS, 02755);
    copy("locking", BOB, ROOT, 02745);
    copy("capable", ROOT, ROOT, 0755);
    RESULT(give("capable", VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, BIT(CAP_NET_RAW) | BIT(CAP_KILL), BIT(CAP_CHOWN)));
    copy("knowing", ROOT, ROOT, 0755);
    RESULT(give("knowing", VFS_CAP_REVISION_2, BIT(CAP_NET_RAW) | BIT(CAP_KILL), BIT(CAP_KILL)));
    copy("both", ROOT, ROOT, 04755);
    RESULT(give("both", VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, BIT(CAP_NET_RAW), 0));
    FILE *script = fopen("script", "w");
    fprintf(script, "#!./plain tell\n");
    fclose(script);
    chmod("script", 06755);

    run("root", "./plain", as_root);
    run("root, half of bob", "./of bob", as_root);
    run("root, capabilities", "./capable", as_root);
    run("root, bound", "./plain", root_bound);
    run("root like others", "./plain", root_like_others);
    run("root like others, capabilities", "./capable", root_like_others);
    run("root unchanged", "./plain", root_unchanged);
    run("half alice", "./plain", half_alice);
    run("half root", "./plain", half_root);
    run("alice", "./plain", as_alice);
    run("alice, unreadable", "./unreadable", as_alice);
    run("alice, script", "./script", as_alice);
    run("alice as root", "./of root", alice_with_habits);
    run("alice with habits", "./plain", alice_with_habits);
    run("alice as bob", "./of bob", as_alice);
    run("alice of root's group", "./of a group", as_alice);
    run("alice of a group of hers", "./of another group", as_alice);
    run("alice, no group", "./locking", as_alice);
    run("alice, capable", "./capable", as_alice);
    run("alice, capable, passing on", "./capable", alice_passing_on);
    run("alice, capable, bound", "./capable", alice_bound);
    run("alice, knowing, bound", "./knowing", alice_bound);
    run("alice, knowing, passing on", "./knowing", alice_passing_on);
    run("alice as root, capable", "./both", as_alice);
    run("alice without more, as root", "./of root", alice_without_more);
    run("alice without more, capable", "./capable", alice_without_more);
    run("alice, ambient", "./plain", alice_with_ambient);
    run("alice, ambient, as bob", "./of bob", alice_with_ambient);
    run("alice, ambient, capable", "./capable", alice_with_ambient);
}

static void mode_of(const char *path) {
    struct stat status;
    stat(path, &status);
    char value[64];
    printf("%s: %o, %zd\n", path, status.st_mode, getxattr(path, "security.capability", value, sizeof value));
}

/* Who changes a program takes its rights away. */
static void rights_of_files(void) {
    puts("-- rights of files");
    uint32_t attribute[6] = {VFS_CAP_REVISION_3, 1};
    RESULT(setxattr("plain", "security.capability", attribute, 24, 0));
    mode_of("plain");
    RESULT(removexattr("plain", "security.capability"));
    RESULT(removexattr("plain", "security.capability"));
    attribute[0] = VFS_CAP_REVISION_1;
    RESULT(setxattr("plain", "security.capability", attribute, 12, 0));
    RESULT(setxattr("plain", "security.capability", attribute, 3, 0));
    RESULT(setxattr("plain", "security.capability", attribute, 0, 0));
    mode_of("both");
    RESULT(chown("both", ALICE, -1));
    mode_of("both");
    RESULT(chmod("both", 06777));
    RESULT(give("both", VFS_CAP_REVISION_2, 1, 0));
    mode_of("both");
    int file = open("both", O_WRONLY);
    RESULT(write(file, "x", 1));
    mode_of("both");
    RESULT(give("both", VFS_CAP_REVISION_2, 1, 0));
    RESULT(ftruncate(file, 0));
    mode_of("both");
    RESULT(give("both", VFS_CAP_REVISION_2, 1, 0));
    RESULT(seteuid(ALICE));
    RESULT(give("both", VFS_CAP_REVISION_2, 1, 0));
    RESULT(removexattr("both", "security.capability"));
    RESULT(write(file, "x", 1));
    mode_of("both");
    RESULT(chmod("both", 06777));
    RESULT(ftruncate(file, 0));
    mode_of("both");
    RESULT(seteuid(ROOT));
    close(file);
}

static void numbers(void) {
    puts("-- numbers");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        RESULT(setresuid(1, 2, 3));
        RESULT(setresgid(-1, -1, -1));
        RESULT(setuid(2));
        RESULT(setreuid(3, -1));
        RESULT(setreuid(2, 3));
        status("/proc/self/status");
        RESULT(setresuid(-1, 2, 3));
        RESULT(setreuid(-1, 2));
        status("/proc/self/status");
        RESULT(setuid(0));
        RESULT(setuid(-1));
        RESULT(setgid(5));
        RESULT(setregid(-1, 5));
        RESULT(setgroups(0, NULL));
        RESULT(setfsuid(0));
        RESULT(setfsuid(3));
        RESULT(setfsuid(-1));
        RESULT(prctl(PR_CAPBSET_DROP, CAP_KILL));
        RESULT(prctl(PR_SET_SECUREBITS, 0));
        RESULT(prctl(PR_SET_KEEPCAPS, 2));
        RESULT(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
        RESULT(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void *alone(void *unused) {
    (void)unused;
    char path[64];
    RESULT(syscall(SYS_setresuid, ALICE, ALICE, ALICE));
    RESULT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    RESULT(open("closed", O_RDONLY));
    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)gettid());
    status(path);
    status("/proc/self/status");
    return NULL;
}

static void *together(void *ready) {
    while (!__atomic_load_n((int *)ready, __ATOMIC_ACQUIRE))
        usleep(1000);
    RESULT(geteuid());
    RESULT(open("closed", O_RDONLY));
    return NULL;
}

/* Each thread has credentials of its own; the C library changes those of all. */
static void threads(void) {
    puts("-- threads");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        close(open("closed", O_CREAT | O_WRONLY, 0600));
        pthread_t thread;
        int ready = 0;
        pthread_create(&thread, NULL, alone, NULL);
        pthread_join(thread, NULL);
        status("/proc/self/status");
        SUCCESS(open("closed", O_RDONLY));
        pthread_create(&thread, NULL, together, &ready);
        RESULT(setuid(BOB));
        __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static int text_of(pid_t process, const char *name) {
    char path[64], buffer[16];
    snprintf(path, sizeof path, "/proc/%d/%s", process, name);
    int file = open(path, O_RDONLY);
    if (file < 0)
        return -1;
    ssize_t length = read(file, buffer, sizeof buffer);
    close(file);
    return length < 0 ? -1 : 0;
}

static int link_of(pid_t process, const char *name) {
    char path[64], buffer[256];
    snprintf(path, sizeof path, "/proc/%d/%s", process, name);
    return readlink(path, buffer, sizeof buffer) < 0 ? -1 : 0;
}

static int policy_of(pid_t process, int policy, int priority) {
    struct sched_param parameters = {.sched_priority = priority};
    return sched_setscheduler(process, policy, &parameters);
}

static void upon(pid_t other) {
    static char place[16];
    struct iovec here = {place, 16}, there = {place, 16};
    struct rlimit limit;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    RESULT(kill(other, 0));
    RESULT(kill(other, SIGCONT));
    RESULT(kill(other, SIGURG));
    RESULT(setpriority(PRIO_PROCESS, other, 5));
    RESULT(setpriority(PRIO_PROCESS, other, 1));
    RESULT(sched_setaffinity(other, sizeof cpus, &cpus));
    RESULT(policy_of(other, SCHED_BATCH, 0));
    RESULT(policy_of(other, SCHED_FIFO, 5));
    RESULT(policy_of(other, SCHED_IDLE, 0));
    RESULT(policy_of(other, SCHED_OTHER, 0));
    RESULT(syscall(SYS_ioprio_set, 1, other, 2 << 13 | 4));
    RESULT(syscall(SYS_ioprio_set, 1, other, 1 << 13 | 4));
    RESULT(prlimit(other, RLIMIT_CORE, NULL, &limit));
    RESULT(process_vm_readv(other, &here, 1, &there, 1, 0));
    RESULT(sched_getscheduler(other) < 0);
    static const char *const texts[] = {"environ", "maps", "auxv", "pagemap", "smaps_rollup", "status", "cmdline", "limits"};
    for (unsigned index = 0; index < sizeof texts / sizeof *texts; index++)
        printf("%s: %s\n", texts[index], text_of(other, texts[index]) ? strerror(errno) : "may");
    static const char *const links[] = {"exe", "cwd", "root", "fd/1"};
    for (unsigned index = 0; index < sizeof links / sizeof *links; index++)
        printf("%s: %s\n", links[index], link_of(other, links[index]) ? strerror(errno) : "may");
}

/* What one process may do to another one. */
static void others(const char *what, void (*prepare)(void), uid_t user, uid_t effective, gid_t group) {
    printf("-- %s\n", what);
    fflush(stdout);
    int ready[2];
    char byte;
    if (pipe(ready))
        perror("pipe");
    pid_t other = fork();
    if (!other) {
        setsid();
        setgroups(0, NULL);
        if (setresgid(group, group, group) || setresuid(user, effective, effective))
            perror("other");
        prctl(PR_SET_DUMPABLE, user == effective);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (read(ready[0], &byte, 1) != 1)
        perror("read");
    pid_t child = fork();
    if (!child) {
        prepare();
        upon(other);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 1 && !strcmp(arguments[1], "tell"))
        return tell();
    umask(022);
    if (chdir(arguments[1]) || setgroups(0, NULL) || mkdir("credentials", 0755) || chdir("credentials"))
        return 1;
    programs();
    rights_of_files();
    numbers();
    threads();
    others("root and bob", common_root, BOB, BOB, THEIRS);
    others("alice and alice", as_alice, ALICE, ALICE, OURS);
    others("alice and bob", as_alice, BOB, BOB, THEIRS);
    others("alice and alice in bob's name", as_alice, ALICE, BOB, OURS);
    others("alice and root", as_alice, ROOT, ROOT, ROOT);
    others("bound root and root", root_bound, ROOT, ROOT, ROOT);
    others("half alice and bob", half_alice, BOB, BOB, THEIRS);
    return 0;
}
