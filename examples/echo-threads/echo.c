/*
 * A TCP echo server on port 5555 with a thread for each connection. The same source runs on Linux and on Pith:
 *
 *     gcc -O2 -pthread -o echo echo.c && ./echo
 *     pith run -c 2 -p 5555:5555 ./echo
 *     telnet localhost 5555
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *argument) {
    int connection = (int)(intptr_t)argument;
    char bytes[16384];
    ssize_t length;
    while ((length = read(connection, bytes, sizeof bytes)) > 0) {
        ssize_t done = 0;
        while (done < length) {
            ssize_t written = write(connection, bytes + done, (size_t)(length - done));
            if (written < 0) {
                close(connection);
                return NULL;
            }
            done += written;
        }
    }
    close(connection);
    return NULL;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(5555)};
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 128) != 0) {
        perror("echo");
        return 1;
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    puts("listening on port 5555");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) {
            /* A client that left before its turn is no reason to stop. */
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            perror("echo");
            return 1;
        }
        pthread_t thread;
        int failure = pthread_create(&thread, &attributes, serve, (void *)(intptr_t)connection);
        if (failure != 0) {
            fprintf(stderr, "echo: a connection finds no thread: %s\n", strerror(failure));
            close(connection);
        }
    }
}
