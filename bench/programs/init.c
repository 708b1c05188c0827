/*
 * Linux only: the first process. It runs /program, or what the lines of /arguments say, and then resets the
 * machine, so that QEMU ends with the program. Without it the kernel would panic when the program exits, which
 * takes longer: the text of the panic goes through the serial port.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    static char text[4096];
    char *arguments[16] = {"/program", 0};
    char *environment[] = {0};
    int file = open("/arguments", O_RDONLY);
    if (file >= 0 && read(file, text, sizeof text - 1) > 0) {
        char *rest = text;
        for (int i = 0; i < 15 && (arguments[i] = strsep(&rest, "\n")) != 0 && *arguments[i]; i++)
            arguments[i + 1] = 0;
    }
    pid_t child = vfork();
    if (child == 0) {
        execve(arguments[0], arguments, environment);
        _exit(127);
    }
    waitpid(child, 0, 0);
    reboot(RB_AUTOBOOT);
    return 1;
}
