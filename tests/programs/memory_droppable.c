/* Memory that may be forgotten at any time (MAP_DROPPABLE). */
#include "check.h"
#include "smaps.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define DROPPABLE 8

static void *map(int flags) {
    return mmap(NULL, 4 * PAGE, READ_WRITE, flags, -1, 0);
}

static void droppable(void) {
    puts("-- memory that may be forgotten");
    SUCCESS(map(DROPPABLE | MAP_ANONYMOUS));
    RESULT((long)map(DROPPABLE | MAP_ANONYMOUS | MAP_LOCKED));
    RESULT((long)map(DROPPABLE | MAP_ANONYMOUS | MAP_GROWSDOWN));
    RESULT((long)map(DROPPABLE));
    int file = memfd_create("file", 0);
    RESULT(ftruncate(file, 4 * PAGE));
    RESULT((long)mmap(NULL, PAGE, READ_WRITE, DROPPABLE, file, 0));
    char *memory = map(DROPPABLE | MAP_ANONYMOUS);
    memory[0] = memory[PAGE] = 7;
    const char *letters = row(memory, "VmFlags:");
    CHECK(strstr(letters, " nr ") && strstr(letters, " wf ") && strstr(letters, " dd ") && strstr(letters, " dp "));
    RESULT(mlock(memory, 4 * PAGE));
    printf("%s", row(memory, "Locked:"));
    CHECK(!strstr(row(memory, "VmFlags:"), " lo"));
    RESULT(madvise(memory, PAGE, MADV_DODUMP));
    RESULT(madvise(memory, PAGE, MADV_KEEPONFORK));
    RESULT(madvise(memory, PAGE, MADV_DONTFORK));
    RESULT(madvise(memory, PAGE, MADV_DOFORK));
    RESULT(munlock(memory, 4 * PAGE));
    fflush(stdout);
    if (fork() == 0) {
        CHECK(memory[0] == 0 && memory[PAGE] == 0);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    CHECK(memory[0] == 7);
}

int main(void) {
    droppable();
    return 0;
}
