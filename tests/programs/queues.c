// Serves connections by threads, each kept on a processor of its own, so that a card with several queues uses them all. The
// client says in the first byte what it wants: 'e' for what it sends to come back, 'i' for /proc/interrupts, 's' for what
// each queue of eth0 has carried, and in the second on which processor.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 5557 };

// Sends all bytes. False if the client is gone.
static int send_all(int connection, const char *bytes, ssize_t length) {
    for (ssize_t done = 0; done < length;) {
        ssize_t written = write(connection, bytes + done, (size_t)(length - done));
        if (written < 0)
            return 0;
        done += written;
    }
    return 1;
}

// Copies from one descriptor to a connection until there is no more.
static void copy(int from, int connection) {
    char bytes[16384];
    ssize_t length;
    while ((length = read(from, bytes, sizeof bytes)) > 0)
        if (!send_all(connection, bytes, length))
            break;
    if (length < 0)
        perror("read");
}

// Asks the card as ethtool does. True if it has answered.
static int ask(int connection, void *command) {
    struct ifreq request = {.ifr_data = command};
    strcpy(request.ifr_name, "eth0");
    if (ioctl(connection, SIOCETHTOOL, &request) == 0)
        return 1;
    perror("SIOCETHTOOL");
    return 0;
}

// Tells what the card says of its queues: a name and a number in each line.
static void statistics(int connection) {
    enum { MOST = 1024 };
    struct {
        struct ethtool_sset_info head;
        uint32_t count;
    } sizes = {.head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1 << ETH_SS_STATS}};
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
    if (!ask(connection, &channels) || !ask(connection, &driver) || !ask(connection, &link) || !ask(connection, &sizes))
        return;
    if (sizes.head.sset_mask != 1 << ETH_SS_STATS || sizes.count > MOST || driver.n_stats != sizes.count) {
        puts("the card does not agree with itself");
        return;
    }
    struct ethtool_gstrings *names = calloc(1, sizeof *names + MOST * ETH_GSTRING_LEN);
    struct ethtool_stats *values = calloc(1, sizeof *values + MOST * sizeof(uint64_t));
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_STATS;
    values->cmd = ETHTOOL_GSTATS;
    if (ask(connection, names) && ask(connection, values)) {
        char text[100];
        int length = snprintf(text, sizeof text, "driver:%s 1\npairs %u\nmost_pairs %u\nlink %u\n", driver.driver,
                              channels.combined_count, channels.max_combined, link.data);
        send_all(connection, text, length);
        for (unsigned index = 0; index < names->len; index++) {
            length = snprintf(text, sizeof text, "%.32s %llu\n", (char *)names->data + index * ETH_GSTRING_LEN,
                              (unsigned long long)values->data[index]);
            send_all(connection, text, length);
        }
    }
    free(names);
    free(values);
}

static void *serve(void *argument) {
    int connection = (int)(intptr_t)argument;
    unsigned char request[2];
    if (recv(connection, request, sizeof request, MSG_WAITALL) == sizeof request) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(request[1], &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0) {
            perror("sched_setaffinity");
        } else if (request[0] == 'e') {
            copy(connection, connection);
        } else if (request[0] == 's') {
            statistics(connection);
        } else {
            int file = open("/proc/interrupts", O_RDONLY);
            if (file < 0)
                perror("/proc/interrupts");
            else
                copy(file, connection);
            close(file);
        }
    }
    close(connection);
    return NULL;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&own, sizeof own) != 0 || listen(listener, 64) != 0) {
        perror("queues");
        return 1;
    }
    puts("listening");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        pthread_t thread;
        if (connection < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            perror("accept");
            return 1;
        }
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) != 0) {
            puts("no thread");
            return 1;
        }
        pthread_detach(thread);
    }
}
