/* The initial stack: arguments, environment, auxiliary vector. */
#include "check.h"
#include <elf.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char _start;

int main(int argc, char **argv, char **envp) {
    printf("argc %d\n", argc);
    for (int i = 0; i < argc; i++)
        printf("argv[%d] \"%s\"\n", i, argv[i]);
    CHECK(argv[argc] == NULL);
    int variables = 0;
    while (envp[variables]) {
        printf("envp[%d] \"%s\"\n", variables, envp[variables]);
        variables++;
    }
    CHECK(envp == argv + argc + 1);
    /* argc itself stands at the stack pointer of the first instruction. */
    CHECK(((uintptr_t)argv - 8) % 16 == 0);
    /* The strings follow each other above the vectors. */
    CHECK(argc < 2 || argv[1] == argv[0] + strlen(argv[0]) + 1);

    Elf64_auxv_t *vector = (Elf64_auxv_t *)(envp + variables + 1);
    int entries = 0;
    while (vector[entries].a_type != AT_NULL)
        entries++;
    CHECK(entries >= 15 && entries < 40);
    printf("AT_PAGESZ %lu\n", getauxval(AT_PAGESZ));
    printf("AT_PHENT %lu\n", getauxval(AT_PHENT));
    printf("AT_PHNUM %lu\n", getauxval(AT_PHNUM));
    printf("AT_CLKTCK %lu\n", getauxval(AT_CLKTCK));
    printf("AT_FLAGS %lu\n", getauxval(AT_FLAGS));
    printf("AT_SECURE %lu\n", getauxval(AT_SECURE));
    printf("AT_EXECFN \"%s\"\n", (char *)getauxval(AT_EXECFN));
    printf("AT_PLATFORM \"%s\"\n", (char *)getauxval(AT_PLATFORM));
    CHECK(getauxval(AT_ENTRY) == (unsigned long)&_start);
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
    CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    CHECK(getauxval(AT_HWCAP) != 0);

    Elf64_Phdr *headers = (Elf64_Phdr *)getauxval(AT_PHDR);
    int interpreter = 0, loadable = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        interpreter += headers[i].p_type == PT_INTERP;
        loadable += headers[i].p_type == PT_LOAD;
    }
    printf("loadable segments %d\n", loadable);
    CHECK((interpreter == 1) == (getauxval(AT_BASE) != 0));
    CHECK(getauxval(AT_BASE) == 0 || memcmp((char *)getauxval(AT_BASE), ELFMAG, SELFMAG) == 0);

    unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
    int bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= random[i];
    CHECK(bits != 0);
    CHECK(memcmp((char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG) == 0);
    return 0;
}
