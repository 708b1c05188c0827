/*
 * A TCP echo server on port 5555, one connection at a time. The same source runs on Linux and on Pith:
 *
 *     gcc -o echo echo.c && ./echo
 *     pith run -p 5555:5555 ./echo
 *     telnet localhost 5555
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(5555)};
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 128) != 0) {
        perror("echo");
        return 1;
    }
    puts("listening on port 5555");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) {
            perror("echo");
            return 1;
        }
        static char bytes[65536];
        ssize_t length;
        while ((length = read(connection, bytes, sizeof bytes)) > 0) {
            for (ssize_t done = 0; done < length;) {
                ssize_t written = write(connection, bytes + done, length - done);
                if (written < 0)
                    break;
                done += written;
            }
        }
        close(connection);
    }
}
