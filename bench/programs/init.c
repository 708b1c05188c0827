/*
 * Linux only: the first process. It runs /program, or what the lines of /arguments say, and then resets the
 * machine, so that QEMU ends with the program. Without it the kernel would panic when the program exits, which
 * takes longer: the text of the panic goes through the serial port.
 *
 * Where there is a file /modules, it first loads the kernel modules that its lines name, in this order; where there is
 * a file /network (an address, the mask and the gateway, one a line), it gives eth0 that address.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads a file and cuts it into lines. Returns how many there are. */
static int lines(const char *path, char *text, size_t size, char **line, int most) {
    int count = 0;
    int file = open(path, O_RDONLY);
    if (file >= 0 && read(file, text, size - 1) > 0) {
        char *rest = text;
        while (count < most && (line[count] = strsep(&rest, "\n")) != 0 && *line[count])
            count++;
    }
    close(file);
    return count;
}

static void load_modules(void) {
    static char text[4096];
    char *line[32];
    int count = lines("/modules", text, sizeof text, line, 32);
    for (int i = 0; i < count; i++) {
        int file = open(line[i], O_RDONLY);
        if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0)
            perror(line[i]);
        close(file);
    }
}

static struct sockaddr internet(const char *text) {
    struct sockaddr address = {.sa_family = AF_INET};
    inet_pton(AF_INET, text, &((struct sockaddr_in *)&address)->sin_addr);
    return address;
}

static void check(int result, const char *what) {
    if (result != 0)
        perror(what);
}

static void bring_up(int fd, const char *name) {
    struct ifreq request = {.ifr_flags = IFF_UP};
    strcpy(request.ifr_name, name);
    check(ioctl(fd, SIOCSIFFLAGS, &request), name);
}

static void set_up_network(void) {
    static char text[256];
    char *line[3];
    if (lines("/network", text, sizeof text, line, 3) != 3)
        return;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "eth0"};
    bring_up(fd, "lo");
    request.ifr_addr = internet(line[0]);
    check(ioctl(fd, SIOCSIFADDR, &request), "address");
    request.ifr_netmask = internet(line[1]);
    check(ioctl(fd, SIOCSIFNETMASK, &request), "mask");
    bring_up(fd, "eth0");
    struct rtentry route = {.rt_gateway = internet(line[2]), .rt_dst = internet("0.0.0.0"),
                            .rt_genmask = internet("0.0.0.0"), .rt_flags = RTF_UP | RTF_GATEWAY};
    check(ioctl(fd, SIOCADDRT, &route), "gateway");
    close(fd);
}

int main(void) {
    static char text[4096];
    char *arguments[16] = {"/program", 0};
    /* What Pith gives a program, too. */
    char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", 0};
    int count = lines("/arguments", text, sizeof text, arguments, 15);
    if (count > 0)
        arguments[count] = 0;
    else
        arguments[0] = "/program";
    /* Only where the archive has the directory. */
    mount("proc", "/proc", "proc", 0, 0);
    load_modules();
    set_up_network();
    pid_t child = vfork();
    if (child == 0) {
        execve(arguments[0], arguments, environment);
        _exit(127);
    }
    waitpid(child, 0, 0);
    reboot(RB_AUTOBOOT);
    return 1;
}
