/* capget and capset: what a program gives up it does not get back. It says only what differs from the start. */
#include "check.h"
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct __user_cap_header_struct header;
static struct __user_cap_data_struct data[2];

static int get(uint32_t version, int pid) {
    header.version = version;
    header.pid = pid;
    memset(data, 0, sizeof data);
    return syscall(SYS_capget, &header, data);
}

static int set(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = 0;
    for (int half = 0; half < 2; half++) {
        data[half].effective = effective >> 32 * half;
        data[half].permitted = permitted >> 32 * half;
        data[half].inheritable = inheritable >> 32 * half;
    }
    return syscall(SYS_capset, &header, data);
}

static void show(void) {
    RESULT(get(_LINUX_CAPABILITY_VERSION_3, 0));
    printf("%08x%08x %08x%08x %08x%08x\n", data[1].effective, data[0].effective, data[1].permitted, data[0].permitted,
           data[1].inheritable, data[0].inheritable);
}

int main(void) {
    RESULT(get(0, 0));
    printf("version %x\n", header.version);
    header.version = 0;
    RESULT(syscall(SYS_capget, &header, NULL));
    RESULT(get(_LINUX_CAPABILITY_VERSION_1, getpid()));
    RESULT(get(_LINUX_CAPABILITY_VERSION_3, -1));
    RESULT(get(_LINUX_CAPABILITY_VERSION_3, 0x7ffffff0));
    /* Not every host gives all of them. */
    const uint64_t few = 1 << CAP_CHOWN | 1 << CAP_KILL | 1 << CAP_SETUID | 1 << CAP_NET_RAW;
    RESULT(set(few, few, 0));
    show();
    RESULT(set(few | 1 << CAP_SYS_ADMIN, few | 1 << CAP_SYS_ADMIN, 0));
    RESULT(set(few | 1 << CAP_FOWNER, few, 0));
    RESULT(set(few, few, 1 << CAP_KILL));
    RESULT(set(few, few, 1 << CAP_FOWNER));
    show();
    RESULT(seteuid(1000));
    show();
    RESULT(seteuid(0));
    show();
    RESULT(prctl(PR_SET_KEEPCAPS, 1));
    RESULT(setuid(1000));
    show();
    RESULT(set(few, few, 0));
    show();
    return 0;
}
