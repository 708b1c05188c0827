/*
 * Bulk data through one connection, checked byte by byte on either side.
 *
 *     bulk serve             on port 5001: sends or takes what clients ask for
 *     bulk take ADDRESS N    takes N bytes from a server
 *     bulk give ADDRESS N    gives it N bytes
 *
 * The bytes are those of a generator, so that one which is lost, repeated or moved is noticed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS = 8192 };

struct request {
    uint64_t server_gives;
    uint64_t length;
};

static void fill(uint64_t *words, uint64_t *state) {
    uint64_t value = *state;
    for (int index = 0; index < WORDS; index++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        words[index] = value;
    }
    *state = value;
}

static int give(int connection, uint64_t length) {
    static uint64_t words[WORDS];
    uint64_t state = length;
    while (length > 0) {
        fill(words, &state);
        size_t block = length < sizeof words ? length : sizeof words;
        for (size_t done = 0; done < block;) {
            ssize_t written = write(connection, (char *)words + done, block - done);
            if (written <= 0) {
                perror("write");
                return -1;
            }
            done += (size_t)written;
        }
        length -= block;
    }
    return 0;
}

static int take(int connection, uint64_t length) {
    static uint64_t words[WORDS], expected[WORDS];
    uint64_t state = length;
    for (uint64_t position = 0; position < length;) {
        fill(expected, &state);
        size_t block = length - position < sizeof words ? length - position : sizeof words;
        if (recv(connection, words, block, MSG_WAITALL) != (ssize_t)block) {
            fprintf(stderr, "it ended before byte %llu\n", (unsigned long long)(position + block));
            return -1;
        }
        if (memcmp(words, expected, block) != 0) {
            fprintf(stderr, "other bytes came behind byte %llu\n", (unsigned long long)position);
            return -1;
        }
        position += block;
    }
    return 0;
}

static void serve(int connection) {
    struct request request;
    if (recv(connection, &request, sizeof request, MSG_WAITALL) != sizeof request)
        return;
    int result = request.server_gives ? give(connection, request.length) : take(connection, request.length);
    char answer = result == 0 ? 'y' : 'n';
    if (!request.server_gives && write(connection, &answer, 1) != 1)
        perror("write");
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5001)};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (count == 2 && strcmp(arguments[1], "serve") == 0) {
        if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 || listen(descriptor, 16) != 0) {
            perror("listen");
            return 1;
        }
        for (;;) {
            int connection = accept(descriptor, NULL, NULL);
            if (connection < 0) {
                perror("accept");
                return 1;
            }
            serve(connection);
            close(connection);
        }
    }
    if (count != 4 || inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1)
        return 2;
    struct request request = {strcmp(arguments[1], "take") == 0, strtoull(arguments[3], NULL, 10)};
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0 ||
        write(descriptor, &request, sizeof request) != sizeof request) {
        perror("connect");
        return 1;
    }
    if (request.server_gives)
        return take(descriptor, request.length) != 0;
    char answer = 0;
    return give(descriptor, request.length) != 0 || read(descriptor, &answer, 1) != 1 || answer != 'y';
}
