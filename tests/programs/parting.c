/*
 * A server on port 9 that sends its caller so many bytes as it is told, and exits without waiting. It leaves another
 * caller, whom it never answers, without a word. A thread that watches that one's connection until the end is to see nothing
 * of the end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int silent;

static void *watch(void *unused) {
    char byte;
    while (recv(silent, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
        usleep(1000);
    printf("the silent one's connection has changed: %s\n", strerror(errno));
    fflush(stdout);
    return unused;
}

int main(int count, char **arguments) {
    size_t length = count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1, room = (int)length;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(9)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    /* All of it has to fit, so that nothing waits. */
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 5) != 0) {
        perror("listen");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    silent = accept(listener, NULL, NULL);
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch, NULL) != 0)
        return 1;
    /* Connections that come by different queues of a card may be accepted in another order than they were begun. */
    puts("one has come");
    fflush(stdout);
    int asking = accept(listener, NULL, NULL);
    char *bytes = malloc(length);
    for (size_t index = 0; index < length; index++)
        bytes[index] = (char)(index * 31 ^ index >> 8);
    ssize_t written = write(asking, bytes, length);
    printf("wrote %zd to one of two callers: %s\n", written, silent >= 0 && asking >= 0 ? "good bye" : "but who?");
    return written == (ssize_t)length ? 0 : 1;
}
