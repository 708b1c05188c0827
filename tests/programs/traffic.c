// Much data through one connection. The client says in 16 bytes which way ('u' for up, 'd' for down) and how many bytes;
// what comes is compared with the pattern and answered with how much of it was right, what goes is the pattern.
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// The pattern repeats after a prime number of bytes, which no buffer, segment or page has.
enum { PORT = 5556, PIECE = 200000, PERIOD = 1048573 };

// The pattern, and its beginning once more, so that a piece from anywhere lies in one row.
static unsigned char pattern[PERIOD + PIECE];
static unsigned char bytes[PIECE];

static void prepare(void) {
    for (uint64_t place = 0; place < sizeof pattern; place++) {
        uint64_t mixed = (place % PERIOD >> 3) * 0x9e3779b97f4a7c15u;
        pattern[place] = mixed >> (8 * (place % PERIOD & 7));
    }
}

static void up(int connection, uint64_t length) {
    uint64_t done = 0;
    while (done < length) {
        ssize_t got = read(connection, bytes, sizeof bytes);
        if (got <= 0) {
            perror("read");
            return;
        }
        if (memcmp(bytes, pattern + done % PERIOD, got) != 0) {
            printf("other bytes came behind %llu\n", (unsigned long long)done);
            break;
        }
        done += got;
    }
    if (write(connection, &done, sizeof done) != sizeof done)
        perror("write");
}

static void down(int connection, uint64_t length) {
    uint64_t done = 0;
    // Lengths of calls differ, so that buffers begin anywhere.
    for (unsigned round = 0; done < length; round++) {
        size_t piece = round % 3 ? 1 + round * 7919 % PIECE : PIECE;
        if (piece > length - done)
            piece = length - done;
        for (size_t sent = 0; sent < piece;) {
            ssize_t written = write(connection, pattern + (done + sent) % PERIOD, piece - sent);
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
    prepare();
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
