/*
 * Ends the machine by reboot(2), from a process that is not the first. To be run in a machine of ours only: there the
 * program is process 1, and a process with any other number does nothing.
 */
#include "check.h"
#include <linux/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
    if (getpid() != 1 || count < 2) {
        printf("not in a machine of its own\n");
        return 1;
    }
    unsigned command = !strcmp(words[1], "halt")      ? LINUX_REBOOT_CMD_HALT
                       : !strcmp(words[1], "restart") ? LINUX_REBOOT_CMD_RESTART
                                                      : LINUX_REBOOT_CMD_POWER_OFF;
    unsigned first = LINUX_REBOOT_MAGIC1, second = LINUX_REBOOT_MAGIC2;
    RESULT(syscall(SYS_reboot, first, second, LINUX_REBOOT_CMD_CAD_OFF, NULL));
    RESULT(syscall(SYS_reboot, first, second, LINUX_REBOOT_CMD_RESTART2, NULL));
    RESULT(syscall(SYS_reboot, first, second, LINUX_REBOOT_CMD_KEXEC, NULL));
    fflush(stdout);
    if (fork() == 0) {
        syscall(SYS_reboot, first, second, command, NULL);
        _exit(1);
    }
    wait(NULL);
    printf("NOT REACHED\n");
    return 1;
}
