// The differential fuzzer: the same calls on Linux and in a machine, compared call by call.
//
//   differential generate SEED ROUNDS CALLS [TABLES]
//                                               writes scripts, made by chance, of these tables (names with commas between
//                                               them) or of all
//   differential run DIRECTORY [NAME=VALUE...]  runs scripts from standard input in a directory, with these settings of
//                                               /proc/sys/fs: a machine gets those that the host has
//   differential run DIRECTORY isolated         the same, but so that nothing outside is touched, in files, processes and a
//                                               network of their own
//
// Each script begins with a line `round NAME`, starts with the same few files, and leaves nothing behind. The tables
// of calls are in `differential/`; what a row means says `framework.h`.
#include "differential/descriptors.c"
#include "differential/events.c"
#include "differential/files.c"
#include "differential/memory.c"
#include "differential/metadata.c"
#include "differential/names.c"
#include "differential/older.c"
#include "differential/processes.c"
#include "differential/signals.c"
#include "differential/sockets.c"
#include "differential/terminals.c"
#include "differential/timers.c"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

static const struct {
    const char *name;
    const struct call *calls;
} tables[] = {
    {"files", file_calls},         {"names", name_calls},     {"metadata", metadata_calls},
    {"older", older_calls},
    {"descriptors", descriptor_calls}, {"memory", memory_calls},  {"signals", signal_calls},
    {"sockets", socket_calls},     {"timers", timer_calls},   {"events", event_calls},
    {"terminals", terminal_calls}, {"processes", process_calls}, {"credentials", credential_calls},
};
#define TABLES (sizeof tables / sizeof tables[0])

int slots[SLOTS];
int maps_file = -1, proc_directory, device_directory;
unsigned char buffer[BUFFER_SIZE];

// ---- Arguments

static const char *const paths[] = {
    "a", "a", "a", "b", "b", "c", "d", "d", "d/a", "d/a", "d/b", "d/e", "d/e/a", "d/e/b", "l", "l/a", "k", "n", "n",
    "o", "a/", "b/", "d/", "l/", "n/", "d/.", "d/..", "d/../a", ".", "..", "-", "/", "//a", "/d/a", "./b", "../a",
    "a/x", "d/e/..", "d/e/../a", "d/l", "d/l/a", "m", "m/a", "@255", "@256", "d/@255", "@4095", "@4096",
};
#define PATHS (sizeof paths / sizeof paths[0])

int descriptor(const struct argument *argument) {
    return slots[(unsigned long)argument->number % SLOTS];
}

int directory(const struct argument *argument) {
    return strcmp(argument->text, "cwd") == 0 ? AT_FDCWD : descriptor(argument);
}

void keep(const struct argument *slot, long opened) {
    if (opened < 0) {
        answer(opened);
        return;
    }
    answer(opened);
    int *place = &slots[(unsigned long)slot->number % SLOTS];
    if (*place >= 0)
        close(*place);
    *place = (int)opened;
}

const char *path(const struct argument *argument) {
    static char made[4][5000];
    static int next;
    const char *text = argument->text;
    if (strcmp(text, "-") == 0)
        return "";
    const char *at = strchr(text, '@');
    if (!at)
        return text;
    char *place = made[next++ % 4];
    long before = at - text, letters = atol(at + 1);
    memcpy(place, text, before);
    memset(place + before, 'x', letters);
    place[before + letters] = 0;
    return place;
}

long fitting(long length) {
    return length < 0 || length > BUFFER_SIZE ? BUFFER_SIZE : length;
}

void fill(unsigned char *bytes, long length, long with) {
    for (long index = 0; index < length; index++)
        bytes[index] = (unsigned char)(index * 7 + with * 31 + (index >> 8));
}

// ---- What is said

static char line[65536];
static size_t said;

void say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line + said, sizeof line - said, format, list);
    va_end(list);
    if (length > 0 && said + length < sizeof line)
        said += length;
}

void put_line(void) {
    puts(line);
    said = 0;
    line[0] = 0;
}

void answer(long result) {
    if (result < 0)
        say(" = %s", strerrorname_np(errno) ? strerrorname_np(errno) : "?");
    else
        say(" = %ld", result);
}

void say_bytes(const void *bytes, long length) {
    uint64_t sum = 0xcbf29ce484222325;
    for (long index = 0; index < length; index++)
        sum = (sum ^ ((const unsigned char *)bytes)[index]) * 0x100000001b3;
    say(" [%ld bytes %08x]", length, (unsigned)(sum ^ sum >> 32));
}

// Times that a script has set are told, all others are the present.
static void say_time(const char *name, const struct timespec *time) {
    if (time->tv_sec > 1000000000)
        say(" %s now", name);
    else
        say(" %s %ld.%ld", name, (long)time->tv_sec, time->tv_nsec);
}

void say_status(const struct stat *status) {
    say(" mode %o links %lu owner %u:%u", status->st_mode, (unsigned long)status->st_nlink, status->st_uid,
        status->st_gid);
    if (!S_ISDIR(status->st_mode))
        say(" size %ld", (long)status->st_size);
    if (S_ISREG(status->st_mode))
        say(" blocks %ld", (long)status->st_blocks);
    if (S_ISCHR(status->st_mode))
        say(" device %lx", (unsigned long)status->st_rdev);
    // Descriptors without a file have the times of their file system.
    if (S_ISDIR(status->st_mode) || S_ISREG(status->st_mode) || S_ISLNK(status->st_mode)) {
        say_time("read", &status->st_atim);
        say_time("written", &status->st_mtim);
    }
}

// ---- Making scripts

static uint64_t state;

static unsigned long chance(unsigned long below) {
    // splitmix64
    uint64_t next = state += 0x9e3779b97f4a7c15;
    next = (next ^ next >> 30) * 0xbf58476d1ce4e5b9;
    next = (next ^ next >> 27) * 0x94d049bb133111eb;
    return (next ^ next >> 31) % below;
}

static void write_value(const struct value *values) {
    int choices = 0;
    const char *separator = "";
    for (const struct value *value = values; value->name; value++)
        choices += value->percent == 0;
    int chosen = choices ? (int)chance(choices) : -1;
    for (const struct value *value = values; value->name; value++) {
        int taken = value->percent ? (int)chance(100) < value->percent : chosen-- == 0;
        if (taken) {
            printf("%s%s", separator, value->name);
            separator = "|";
        }
    }
    if (!*separator)
        printf("0");
}

static void write_call(const struct call *call) {
    const struct value *const *values = call->values;
    printf("%s", call->name);
    for (const char *kind = call->kinds; *kind; kind++) {
        printf(" ");
        switch (*kind) {
        case 'd':
            if (chance(100) < 70)
                printf("cwd");
            else
                printf("%lu", chance(SLOTS));
            break;
        case 'f':
        case 's':
            printf("%lu", chance(SLOTS));
            break;
        case 'p':
            printf("%s", paths[chance(PATHS)]);
            break;
        default:
            write_value(*values++);
        }
    }
    printf("\n");
}

// Whether a name is in a list with commas.
static int is_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at += at != NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0))
            return 1;
    return 0;
}

static void generate(uint64_t seed, long rounds, long calls, const char *wanted) {
    long weights = 0;
    int usable[TABLES], usables = 0;
    for (size_t table = 0; table < TABLES; table++)
        if (!wanted || is_listed(wanted, tables[table].name))
            usable[usables++] = (int)table;
    if (usables == 0) {
        fprintf(stderr, "no table is called one of %s\n", wanted);
        exit(2);
    }
    for (int index = 0; index < usables; index++)
        for (const struct call *call = tables[usable[index]].calls; call->name; call++)
            weights += call->weight;
    for (long round = 0; round < rounds; round++) {
        state = (seed + round) * 0x2545f4914f6cdd1d;
        printf("round %lu\n", (unsigned long)(seed + round));
        // Each round is about a few tables more than about others, and about some of their calls.
        uint64_t favoured = chance(1UL << 62);
        unsigned long subjects = 1UL << chance(usables) | 1UL << chance(usables) | 1UL << chance(usables);
        for (long made = 0; made < calls;) {
            long chosen = (long)chance(weights);
            int number = 0;
            for (int index = 0; index < usables; index++)
                for (const struct call *call = tables[usable[index]].calls; call->name; call++, number++) {
                    int usual = subjects >> index & 1 && favoured >> number % 61 & 1;
                    if (chosen >= 0 && chosen < call->weight && (usual || chance(12) == 0)) {
                        write_call(call);
                        made++;
                    }
                    chosen -= call->weight;
                }
        }
    }
}

// ---- Running scripts

static int top;

static void interrupted(int signal) {
    (void)signal;
}

// Removes all that is in a directory; permissions don't bind root.
static void empty_directory(int fd) {
    DIR *directory = fdopendir(fd);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno != EISDIR)
            continue;
        int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (below >= 0)
            empty_directory(below);
        unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(directory);
}

static void open_devices(void) {
    proc_directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    device_directory = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    open_probe();
}

void open_maps(void) {
    int opened = openat(proc_directory, "self/maps", O_RDONLY | O_CLOEXEC);
    if (opened < 0) {
        perror("can't read the maps");
        exit(1);
    }
    if (maps_file < 0) {
        maps_file = opened;
        return;
    }
    dup3(opened, maps_file, O_CLOEXEC);
    close(opened);
}

static void begin(const char *name) {
    begin_processes();
    begin_names();
    begin_timers();
    begin_sockets();
    begin_terminals();
    for (int slot = 0; slot < SLOTS; slot++)
        slots[slot] = -1;
    close_range(top + 1, ~0U, 0);
    empty_memory();
    begin_signals();
    // No script may change what the next one finds.
    if (fchdir(top) || chroot(".") || chdir("/")) {
        perror("can't go back to the top");
        exit(1);
    }
    umask(022);
    static const char *const attributes[] = {"user.a", "user.b", "trusted.t", "security.s"};
    for (size_t index = 0; index < sizeof attributes / sizeof attributes[0]; index++)
        fremovexattr(top, attributes[index]);
    if (fchown(top, 0, 0) || fchmod(top, 0755) || futimens(top, NULL))
        perror("can't reset the top");
    int copy = openat(top, ".", O_RDONLY | O_DIRECTORY);
    empty_directory(copy);
    if (mkdir("/d", 0755) || mkdir("/d/e", 0755) || symlink("d", "/l") || symlink("a", "/k") ||
        symlink("nowhere", "/n") || symlink("o", "/o") || symlink("/", "/m") || symlink("../a", "/d/l")) {
        perror("can't make the files of a round");
        exit(1);
    }
    int file = open("/a", O_WRONLY | O_CREAT, 0644);
    fill(buffer, 10000, 0);
    if (write(file, buffer, 10000) != 10000)
        perror("can't write");
    close(file);
    // And a few descriptors, as far from the others as they always are.
    int ends[2];
    slots[0] = open("/a", O_RDWR);
    slots[1] = open("/d", O_RDONLY | O_DIRECTORY);
    if (pipe2(ends, O_NONBLOCK))
        perror("can't make a pipe");
    slots[2] = ends[0];
    slots[3] = ends[1];
    begin_memory();
    slots[4] = open("/d/a", O_RDWR | O_CREAT, 0600);
    printf("round %s\n", name);
}

static const struct call *find(const char *name) {
    for (size_t table = 0; table < TABLES; table++)
        for (const struct call *call = tables[table].calls; call->name; call++)
            if (strcmp(call->name, name) == 0)
                return call;
    fprintf(stderr, "no call %s\n", name);
    exit(2);
}

static long read_value(char *text, const struct value *values) {
    long number = 0;
    for (char *word = strtok(text, "|"); word; word = strtok(NULL, "|")) {
        const struct value *value = values;
        while (value->name && strcmp(value->name, word) != 0)
            value++;
        number |= value->name ? value->number : strtol(word, NULL, 0);
    }
    return number;
}

// Runs one line of a script.
static void run_line(char *text) {
    struct argument arguments[MOST_ARGUMENTS] = {0};
    char copy[1000];
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy;
    const struct call *call = find(strsep(&rest, " "));
    const struct value *const *values = call->values;
    int index = 0;
    for (const char *kind = call->kinds; *kind; kind++, index++) {
        char *word = strsep(&rest, " ");
        if (!word) {
            fprintf(stderr, "arguments are missing: %s\n", text);
            exit(2);
        }
        snprintf(arguments[index].text, sizeof arguments[index].text, "%s", word);
        arguments[index].number = *kind == 'v' ? read_value(word, *values++) : strtol(word, NULL, 0);
    }
    say("%s", text);
    struct itimerval timer = {{0, 50000}, {0, 50000}};
    if (call->waits)
        setitimer(ITIMER_REAL, &timer, NULL);
    call->run(arguments);
    if (call->waits) {
        timer = (struct itimerval){{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    let_terminals_settle();
    say_caught();
    put_line();
}

// What is left of the script.
static char *left;

// The next call, or nothing at the end of a round.
static char *next_line(void) {
    while (left && strncmp(left, "round ", 6) != 0) {
        char *text = strsep(&left, "\n");
        if (*text && *text != '#')
            return text;
    }
    return NULL;
}

void run_lines(long count) {
    for (char *text; count-- && (text = next_line());)
        run_line(text);
}

void skip_lines(long count) {
    while (count-- && next_line())
        ;
}

// Waits for the process in which the rest happens, and ends as it does.
static void end_with(pid_t pid) {
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        perror("can't start a process");
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

// On a host: nothing that a script can name is the host's. Processes, terminals and the network are its own, so are
// files, in a tmpfs behind which there is nothing, with no way up. As in a machine, the next process is number 2.
static void isolate(const char *where) {
    if (unshare(CLONE_NEWNS | CLONE_NEWPID)) {
        perror("can't leave the host");
        exit(1);
    }
    pid_t pid = fork();
    if (pid != 0)
        end_with(pid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    isolate_network();
    isolate_terminals();
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("tmpfs", where, "tmpfs", 0, "mode=755") || chdir(where)) {
        perror("can't make files of its own");
        exit(1);
    }
    open_devices();
    if (mkdir("scripts", 0755) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/")) {
        perror("can't leave the host's files");
        exit(1);
    }
}

// The rest happens in a session of its own, whose group of processes nobody outside can stop: as in a machine, so here.
static void begin_session(void) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        return;
    }
    end_with(pid);
}

// Writes NAME=VALUE to /proc/sys/fs/NAME.
static void set(char *setting) {
    char path[100];
    char *name = strsep(&setting, "=");
    snprintf(path, sizeof path, "/proc/sys/fs/%s", name);
    int file = open(path, O_WRONLY);
    if (file < 0 || !setting || write(file, setting, strlen(setting)) < 0) {
        perror(path);
        exit(1);
    }
    close(file);
}

static int run(const char *where, int isolated) {
    close_range(3, ~0U, 0);
    if (isolated)
        isolate(where);
    else
        open_devices();
    begin_session();
    static char script[4000000];
    size_t length = fread(script, 1, sizeof script - 1, stdin);
    script[length] = 0;
    struct sigaction action = {.sa_handler = interrupted};
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    prepare_memory();
    // Whoever dies by a signal leaves nothing behind.
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    open_maps();
    if (chroot(isolated ? "/scripts" : where) || chdir("/") || (top = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        perror(where);
        return 1;
    }
    left = script;
    while (left) {
        if (strncmp(left, "round ", 6) == 0)
            begin(strsep(&left, "\n") + 6);
        run_lines(-1);
    }
    begin("end");
    empty_directory(openat(top, ".", O_RDONLY | O_DIRECTORY));
    return 0;
}

int main(int count, char **arguments) {
    static char output[1 << 16];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    if ((count == 5 || count == 6) && strcmp(arguments[1], "generate") == 0) {
        generate(strtoull(arguments[2], NULL, 0), atol(arguments[3]), atol(arguments[4]), arguments[5]);
        return 0;
    }
    if (count >= 3 && strcmp(arguments[1], "run") == 0) {
        int isolated = count == 4 && strcmp(arguments[3], "isolated") == 0;
        for (int index = 3; index < count && !isolated; index++)
            set(arguments[index]);
        return run(arguments[2], isolated);
    }
    fprintf(stderr, "usage: differential generate SEED ROUNDS CALLS [TABLES] | "
                    "differential run DIRECTORY [isolated | NAME=VALUE...] < SCRIPT\n");
    return 2;
}
