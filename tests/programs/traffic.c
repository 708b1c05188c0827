// Much data through one connection. The client says in 16 bytes which way ('u' for up, 'd' for down) and how many bytes;
// what comes is compared with the pattern and answered with its sum, what goes is the pattern.
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 5556, PIECE = 200000 };

static unsigned char bytes[PIECE];

// A byte of the pattern: it has no period that a buffer, a segment or a page could have.
static unsigned char pattern(uint64_t place) {
    uint64_t mixed = (place >> 3) * 0x9e3779b97f4a7c15u;
    return mixed >> (8 * (place & 7));
}

static void up(int connection, uint64_t length) {
    uint64_t done = 0, sum = 0;
    while (done < length) {
        ssize_t got = read(connection, bytes, sizeof bytes);
        if (got <= 0) {
            perror("read");
            return;
        }
        for (ssize_t index = 0; index < got; index++) {
            if (bytes[index] != pattern(done + index)) {
                printf("byte %llu is wrong\n", (unsigned long long)(done + index));
                return;
            }
            sum = sum * 31 + bytes[index];
        }
        done += got;
    }
    if (write(connection, &sum, sizeof sum) != sizeof sum)
        perror("write");
}

static void down(int connection, uint64_t length) {
    uint64_t done = 0;
    // Lengths of calls differ, so that buffers begin anywhere.
    for (unsigned round = 0; done < length; round++) {
        size_t piece = round % 3 ? 1 + round * 7919 % PIECE : PIECE;
        if (piece > length - done)
            piece = length - done;
        for (size_t index = 0; index < piece; index++)
            bytes[index] = pattern(done + index);
        for (size_t sent = 0; sent < piece;) {
            ssize_t written = write(connection, bytes + sent, piece - sent);
            if (written <= 0) {
                perror("write");
                return;
            }
            sent += written;
        }
        done += piece;
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 8) != 0) {
        perror("traffic");
        return 1;
    }
    puts("listening");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) {
            perror("accept");
            return 1;
        }
        uint64_t request[2];
        if (recv(connection, request, sizeof request, MSG_WAITALL) == sizeof request) {
            if (request[0] == 'u')
                up(connection, request[1]);
            else
                down(connection, request[1]);
        }
        close(connection);
    }
}
