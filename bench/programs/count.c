/*
 * A plugin of QEMU's translator that counts the instructions a machine executes: exactly, without those that a waiting
 * processor does not execute, and while the machine runs. QEMU installs no header for plugins, so what is used of its
 * interface (version 1, QEMU's docs/devel/tcg-plugins.rst) is declared here.
 *
 *     qemu-system-x86_64 -plugin count.so,counts=PATH …
 *
 * The file is an array of records of three 64-bit numbers, one for each translated block: address, instructions, and how
 * often it was executed. It is shared memory: whoever reads it sees the present numbers. Counts of several processors
 * are not exact, since they are not added atomically. Blocks that don't find room are not counted, and the first record,
 * whose address is 0, says how many they are.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t plugin_id;
struct block_of_instructions;
enum operation { ADD_TO_64_BITS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block_of_instructions *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block_of_instructions *, enum operation, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct block_of_instructions *);
extern uint64_t qemu_plugin_tb_vaddr(const struct block_of_instructions *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct record {
    uint64_t address;
    uint64_t instructions;
    uint64_t executed;
};

/* Room for the blocks of a kernel and a program, many times over: blocks that are translated again get new records. */
enum { RECORDS = 1 << 20 };

static struct record *records;
static size_t used = 1;

static void translated(plugin_id id, struct block_of_instructions *block) {
    (void)id;
    /* Translation of different processors is concurrent. */
    size_t index = __atomic_fetch_add(&used, 1, __ATOMIC_RELAXED);
    if (index >= RECORDS) {
        __atomic_fetch_add(&records[0].executed, 1, __ATOMIC_RELAXED);
        return;
    }
    records[index].address = qemu_plugin_tb_vaddr(block);
    records[index].instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_TO_64_BITS, &records[index].executed, 1);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *information, int count,
                                                              char **arguments) {
    (void)information;
    if (count != 1 || strncmp(arguments[0], "counts=", 7) != 0) {
        fputs("count: counts=PATH is missing\n", stderr);
        return 1;
    }
    int file = open(arguments[0] + 7, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, RECORDS * sizeof(struct record)) != 0) {
        perror("count");
        return 1;
    }
    records = mmap(NULL, RECORDS * sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (records == MAP_FAILED) {
        perror("count");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
