/*
 * Linux only: the first process. It runs /program and then resets the machine, so that QEMU ends with the
 * program. Without it the kernel would panic when the program exits, which takes longer: the text of
 * the panic goes through the serial port.
 */
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    char *arguments[] = {"/program", 0};
    char *environment[] = {0};
    pid_t child = vfork();
    if (child == 0) {
        execve(arguments[0], arguments, environment);
        _exit(127);
    }
    waitpid(child, 0, 0);
    reboot(RB_AUTOBOOT);
    return 1;
}
