/* Sockets by io_uring: what waits and what doesn't, several results of one request, chosen buffers, and what is refused. */
#include "ring.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char text[64];

static struct seen seen[64];
static int found;

/* Submits, and takes `count` completions and whatever comes in a moment. */
static void take(int count) {
    io_uring_submit(&ring);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec patience = {5, 0};
    found = 0;
    while (found < 64) {
        if (found < count) {
            if (io_uring_wait_cqe_timeout(&ring, &cqe, &patience) != 0)
                break;
        } else if (io_uring_peek_cqe(&ring, &cqe) != 0) {
            break;
        }
        seen[found++] = (struct seen){cqe->user_data, cqe->res, cqe->flags};
        io_uring_cqe_seen(&ring, cqe);
        if (found == count)
            usleep(2000);
    }
}

static int by_data(const void *one, const void *other) {
    const struct seen *a = one, *b = other;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (int)(a->flags & IORING_CQE_F_NOTIF) - (int)(b->flags & IORING_CQE_F_NOTIF);
}

/* Prints them by number; of the flags only those that are no hint. */
static void run(const char *what, int count) {
    take(count);
    qsort(seen, found, sizeof seen[0], by_data);
    printf("%s: %d completions\n", what, found);
    for (int i = 0; i < found; i++)
        printf("  %llu: %s (%d)%s%s%s %d\n", seen[i].data, seen[i].result < 0 ? strerror(-seen[i].result) : "fine",
               seen[i].result, seen[i].flags & IORING_CQE_F_MORE ? " more" : "",
               seen[i].flags & IORING_CQE_F_NOTIF ? " notification" : "", seen[i].flags & IORING_CQE_F_BUFFER ? " buffer" : "",
               seen[i].flags & IORING_CQE_F_BUFFER ? seen[i].flags >> IORING_CQE_BUFFER_SHIFT : 0);
}

static struct seen *with(unsigned long long data) {
    for (int i = 0; i < found; i++)
        if (seen[i].data == data)
            return &seen[i];
    static struct seen nothing;
    nothing.result = -ENODATA;
    return &nothing;
}

static int listen_somewhere(struct sockaddr_in *own) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof *own;
    *own = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(listener, (struct sockaddr *)own, sizeof *own) == 0);
    CHECK(listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)own, &length) == 0);
    return listener;
}

static void probe(void) {
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    int operations[] = {IORING_OP_ACCEPT,  IORING_OP_CONNECT, IORING_OP_SEND,     IORING_OP_RECV,     IORING_OP_SENDMSG,
                        IORING_OP_RECVMSG, IORING_OP_SOCKET,  IORING_OP_SHUTDOWN, IORING_OP_EPOLL_CTL, IORING_OP_SEND_ZC,
                        IORING_OP_SENDMSG_ZC};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        printf("operation %d: %d\n", operations[i], io_uring_opcode_supported(probe, operations[i]));
    io_uring_free_probe(probe);
}

/* From making a socket to its end. */
static void connections(void) {
    struct sockaddr_in own, peer = {0};
    socklen_t peer_length = sizeof peer;
    int listener = listen_somewhere(&own);
    ADD(1, 0, io_uring_prep_accept(sqe, listener, (struct sockaddr *)&peer, &peer_length, SOCK_CLOEXEC));
    run("accept waits", 0);
    ADD(2, 0, io_uring_prep_socket(sqe, AF_INET, SOCK_STREAM, 0, 0));
    take(1);
    int client = with(2)->result;
    printf("socket: %d\n", client >= 0);
    ADD(3, 0, io_uring_prep_connect(sqe, client, (struct sockaddr *)&own, sizeof own));
    take(2);
    int server = with(1)->result;
    printf("accepted %d, connected %d, close on exec %d, family %d, length %u\n", server >= 0, with(3)->result,
           fcntl(server, F_GETFD), peer.sin_family, peer_length);
    ADD(4, 0, io_uring_prep_recv(sqe, server, text, sizeof text, 0));
    run("recv waits", 0);
    ADD(5, 0, io_uring_prep_send(sqe, client, "hello", 5, 0));
    run("send", 2);
    printf("%.5s\n", text);
    ADD(6, 0, io_uring_prep_recv(sqe, server, text, sizeof text, MSG_DONTWAIT));
    run("recv does not wait", 1);
    struct iovec pieces[2] = {{"two", 3}, {" pieces", 7}}, to[2] = {{text, 4}, {text + 8, 40}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2}, incoming = {.msg_iov = to, .msg_iovlen = 2};
    ADD(7, 0, io_uring_prep_recvmsg(sqe, client, &incoming, 0));
    run("recvmsg waits", 0);
    ADD(8, 0, io_uring_prep_sendmsg(sqe, server, &message, 0));
    run("sendmsg", 2);
    printf("%.4s|%.6s\n", text, text + 8);
    ADD(9, 0, io_uring_prep_recv(sqe, server, text, 10, MSG_WAITALL));
    ADD(10, IOSQE_IO_LINK, io_uring_prep_send(sqe, client, "01234", 5, 0));
    ADD(11, 0, io_uring_prep_send(sqe, client, "56789", 5, 0));
    run("all of it", 3);
    printf("%.10s\n", text);
    /* The socket's flag does not count. */
    fcntl(server, F_SETFL, O_NONBLOCK);
    ADD(12, 0, io_uring_prep_recv(sqe, server, text, sizeof text, 0));
    run("recv of a nonblocking socket", 0);
    ADD(13, 0, io_uring_prep_send(sqe, client, "late", 4, 0));
    run("it waited", 2);
    struct __kernel_timespec soon = {0, 20 * 1000 * 1000};
    ADD(14, IOSQE_IO_LINK, io_uring_prep_recv(sqe, server, text, sizeof text, 0));
    ADD(15, 0, io_uring_prep_link_timeout(sqe, &soon, 0));
    run("limited in time", 2);
    ADD(16, 0, io_uring_prep_accept(sqe, listener, NULL, NULL, 0));
    ADD(17, 0, io_uring_prep_cancel64(sqe, 16, 0));
    run("cancelled", 2);
    ADD(18, 0, io_uring_prep_recv(sqe, server, text, 10, MSG_WAITALL));
    ADD(19, IOSQE_IO_LINK, io_uring_prep_send(sqe, client, "end", 3, 0));
    ADD(20, 0, io_uring_prep_shutdown(sqe, client, SHUT_WR));
    run("shutdown", 3);
    ADD(21, 0, io_uring_prep_recv(sqe, server, text, sizeof text, 0));
    run("the end", 1);
    ADD(22, 0, io_uring_prep_send(sqe, client, "x", 1, 0));
    run("no signal", 1);
    ADD(23, 0, io_uring_prep_connect(sqe, client, (struct sockaddr *)&own, sizeof own));
    run("connected already", 1);
    ADD(24, 0, io_uring_prep_accept(sqe, client, NULL, NULL, 0));
    run("no listener", 1);
    close(client);
    close(server);
    close(listener);
    client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ADD(25, 0, io_uring_prep_connect(sqe, client, (struct sockaddr *)&own, sizeof own));
    run("refused", 1);
    close(client);
}

static void refused(void) {
    int socket_fd = socket(AF_INET, SOCK_STREAM, 0), file = open("/dev/null", O_RDWR);
    struct sockaddr_in own = {.sin_family = AF_INET};
#define ONE(what, prepare)     \
    do {                       \
        ADD(1, 0, prepare);    \
        run(what, 1);          \
    } while (0)
    ONE("accept of no descriptor", io_uring_prep_accept(sqe, 999, NULL, NULL, 0));
    ONE("send to no descriptor", io_uring_prep_send(sqe, 999, "x", 1, 0));
    ONE("accept of a file", io_uring_prep_accept(sqe, file, NULL, NULL, 0));
    ONE("send to a file", io_uring_prep_send(sqe, file, "x", 1, 0));
    ONE("recv from a file", io_uring_prep_recv(sqe, file, text, 1, 0));
    ONE("connect of a file", io_uring_prep_connect(sqe, file, (struct sockaddr *)&own, sizeof own));
    ONE("shutdown of a file", io_uring_prep_shutdown(sqe, file, 9));
    ONE("shutdown in no way", io_uring_prep_shutdown(sqe, socket_fd, 9));
    ONE("shutdown of no connection", io_uring_prep_shutdown(sqe, socket_fd, SHUT_WR));
    ONE("shutdown with an offset", (io_uring_prep_shutdown(sqe, socket_fd, 0), sqe->off = 1));
    ONE("accept with a length", (io_uring_prep_accept(sqe, socket_fd, NULL, NULL, 0), sqe->len = 1));
    ONE("accept with unknown flags", io_uring_prep_accept(sqe, socket_fd, NULL, NULL, 1));
    ONE("accept with unknown ioprio", (io_uring_prep_accept(sqe, socket_fd, NULL, NULL, 0), sqe->ioprio = 1 << 15));
    ONE("accept of one without address", io_uring_prep_accept(sqe, socket_fd, NULL, NULL, 0));
    ONE("multishot into one place", io_uring_prep_multishot_accept_direct(sqe, socket_fd, NULL, NULL, 0);
        sqe->file_index = 1);
    ONE("connect with an address too long", io_uring_prep_connect(sqe, socket_fd, (struct sockaddr *)&own, 1000));
    ONE("connect with no address", io_uring_prep_connect(sqe, socket_fd, (struct sockaddr *)8, sizeof own));
    ONE("connect with a length", (io_uring_prep_connect(sqe, socket_fd, (struct sockaddr *)&own, sizeof own), sqe->len = 1));
    ONE("socket of no family", io_uring_prep_socket(sqe, 1000, SOCK_STREAM, 0, 0));
    ONE("socket of no kind", io_uring_prep_socket(sqe, AF_INET, 11, 0, 0));
    ONE("socket of another protocol", io_uring_prep_socket(sqe, AF_INET, SOCK_STREAM, IPPROTO_UDP, 0));
    ONE("socket with unknown flags", io_uring_prep_socket(sqe, AF_INET, SOCK_STREAM | 0x100, 0, 0));
    ONE("send without connection", io_uring_prep_send(sqe, socket_fd, "x", 1, 0));
    ONE("recv without connection", io_uring_prep_recv(sqe, socket_fd, text, 1, 0));
    ONE("recv with unknown ioprio", (io_uring_prep_recv(sqe, socket_fd, text, 1, 0), sqe->ioprio = 1 << 15));
    ONE("recv with an offset", (io_uring_prep_recv(sqe, socket_fd, text, 1, 0), sqe->off = 1));
    ONE("multishot without buffers", io_uring_prep_recv_multishot(sqe, socket_fd, NULL, 0, 0));
    ONE("recvmsg of no header", io_uring_prep_recvmsg(sqe, socket_fd, (struct msghdr *)8, 0));
    ONE("sendmsg of no header", io_uring_prep_sendmsg(sqe, socket_fd, (struct msghdr *)8, 0));
    ONE("connect with a chosen buffer", (io_uring_prep_connect(sqe, socket_fd, (struct sockaddr *)&own, sizeof own),
                                         sqe->flags |= IOSQE_BUFFER_SELECT));
    close(socket_fd);
    close(file);
}

static int meet(struct sockaddr_in *own) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client, (struct sockaddr *)own, sizeof *own) == 0);
    return client;
}

static void multishot(void) {
    struct sockaddr_in own;
    int listener = listen_somewhere(&own), clients[4], servers[4];
    clients[0] = meet(&own);
    clients[1] = meet(&own);
    ADD(1, 0, io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0));
    take(2);
    for (int i = 0; i < 2; i++)
        servers[i] = seen[i].result;
    printf("two at once: %d, more %d %d\n", found, seen[0].flags & IORING_CQE_F_MORE, seen[1].flags & IORING_CQE_F_MORE);
    for (int i = 2; i < 4; i++) {
        clients[i] = meet(&own);
        take(1);
        servers[i] = seen[0].result;
        printf("one more: %d, %d, more %d\n", found, servers[i] >= 0, seen[0].flags & IORING_CQE_F_MORE);
    }
    ADD(2, 0, io_uring_prep_cancel64(sqe, 1, 0));
    run("cancelled", 2);
    ADD(3, 0, io_uring_prep_multishot_accept(sqe, clients[0], NULL, NULL, 0));
    run("an error ends it", 1);

    static char buffers[4][16];
    ADD(4, 0, io_uring_prep_provide_buffers(sqe, buffers, 16, 4, 7, 0));
    run("buffers", 1);
    ADD(5, IOSQE_BUFFER_SELECT, (io_uring_prep_recv(sqe, servers[0], NULL, 0, 0), sqe->buf_group = 7));
    run("recv into a chosen buffer waits", 0);
    CHECK(send(clients[0], "chosen", 6, 0) == 6);
    run("it is chosen", 1);
    printf("%s\n", buffers[0]);
    ADD(6, IOSQE_BUFFER_SELECT, (io_uring_prep_recv_multishot(sqe, servers[0], NULL, 0, 0), sqe->buf_group = 7));
    run("recv of many", 0);
    CHECK(send(clients[0], "first", 5, 0) == 5);
    run("the first", 1);
    CHECK(send(clients[0], "twenty bytes in all.", 20, 0) == 20);
    run("two buffers, and none for more", 2);
    for (int i = 0; i < 4; i++)
        printf("buffer %d: %.16s\n", i, buffers[i]);
    ADD(7, IOSQE_BUFFER_SELECT, (io_uring_prep_recv(sqe, servers[0], NULL, 0, 0), sqe->buf_group = 7));
    run("no buffer left", 1);
    ADD(8, 0, io_uring_prep_provide_buffers(sqe, buffers, 16, 4, 7, 0));
    run("buffers again", 1);
    struct iovec piece = {NULL, 4};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    CHECK(send(clients[1], "too long", 8, 0) == 8);
    ADD(9, IOSQE_BUFFER_SELECT, (io_uring_prep_recvmsg(sqe, servers[1], &message, 0), sqe->buf_group = 7));
    run("recvmsg into a chosen buffer", 1);
    ADD(10, IOSQE_BUFFER_SELECT, (io_uring_prep_recv_multishot(sqe, servers[1], NULL, 0, 0), sqe->buf_group = 7));
    run("the rest", 1);
    CHECK(shutdown(clients[1], SHUT_WR) == 0);
    run("the end ends it", 1);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    run("the other end is closed", 1);

    /* Among the registered files. */
    int none[2] = {-1, -1};
    CHECK(io_uring_register_files(&ring, none, 2) == 0);
    clients[0] = meet(&own);
    ADD(11, 0, io_uring_prep_accept_direct(sqe, listener, NULL, NULL, 0, 1));
    run("accept into a place", 1);
    ADD(12, IOSQE_FIXED_FILE, io_uring_prep_send(sqe, 1, "from a place", 12, 0));
    run("send from it", 1);
    printf("received %zd\n", recv(clients[0], text, sizeof text, 0));
    ADD(13, 0, io_uring_prep_socket_direct_alloc(sqe, AF_INET, SOCK_STREAM, 0, 0));
    ADD(14, 0, io_uring_prep_socket_direct_alloc(sqe, AF_INET, SOCK_STREAM, 0, 0));
    run("sockets into places", 2);
    CHECK(io_uring_unregister_files(&ring) == 0);
    close(clients[0]);
    close(listener);
}

/* Who is out of descriptors does not lose the connection. */
static void no_descriptors(void) {
    struct sockaddr_in own;
    int listener = listen_somewhere(&own), client = meet(&own), next = dup(0);
    struct rlimit old, none;
    close(next);
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = (struct rlimit){next, old.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    RESULT(accept(listener, NULL, NULL));
    ADD(1, 0, io_uring_prep_accept(sqe, listener, NULL, NULL, 0));
    ADD(2, 0, io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0));
    run("accept without descriptors", 2);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    ADD(3, 0, io_uring_prep_accept(sqe, listener, NULL, NULL, 0));
    take(1);
    printf("accepted %d\n", with(3)->result == next);
    close(with(3)->result);
    close(client);
    close(listener);
}

static void datagrams(void) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from = {0};
    socklen_t length = sizeof own;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(receiver, (struct sockaddr *)&own, sizeof own) == 0);
    CHECK(getsockname(receiver, (struct sockaddr *)&own, &length) == 0);
    struct iovec piece = {text, 4};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof from};
    ADD(1, 0, io_uring_prep_recvmsg(sqe, receiver, &message, 0));
    ADD(2, 0, (io_uring_prep_send(sqe, sender, "datagram", 8, 0), sqe->addr2 = (unsigned long)&own,
               sqe->addr_len = sizeof own));
    run("a datagram with an address", 2);
    printf("truncated %d, family %d, length %u\n", message.msg_flags & MSG_TRUNC, from.sin_family, message.msg_namelen);
    ADD(3, 0, io_uring_prep_connect(sqe, sender, (struct sockaddr *)&own, sizeof own));
    run("connect", 1);
    ADD(4, IOSQE_IO_LINK, io_uring_prep_send(sqe, sender, "linked", 6, 0));
    ADD(5, 0, io_uring_prep_recv(sqe, receiver, text, sizeof text, MSG_TRUNC));
    run("linked", 2);
    close(receiver);
    close(sender);
}

static void local(void) {
    int pair[2], ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(pipe(ends) == 0);
    char control[CMSG_SPACE(sizeof(int))] = {0}, room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {"a file", 6}, to = {text, sizeof text};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct msghdr incoming = {.msg_iov = &to, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &ends[1], sizeof(int));
    ADD(1, 0, io_uring_prep_recvmsg(sqe, pair[1], &incoming, MSG_CMSG_CLOEXEC));
    ADD(2, 0, io_uring_prep_sendmsg(sqe, pair[0], &message, 0));
    run("a file travels", 2);
    int copy = -1;
    memcpy(&copy, CMSG_DATA((struct cmsghdr *)room), sizeof copy);
    printf("written %zd, close on exec %d\n", write(copy, "through", 7), fcntl(copy, F_GETFD));
    printf("read %zd\n", read(ends[0], text, sizeof text));
    close(copy);

    /* More than fits: the rest goes when there is room. */
    static char much[1 << 20], back[1 << 20];
    memset(much, 'm', sizeof much);
    ADD(3, 0, io_uring_prep_send(sqe, pair[0], much, sizeof much, MSG_WAITALL));
    run("much waits", 0);
    ADD(4, 0, io_uring_prep_recv(sqe, pair[1], back, sizeof back, MSG_WAITALL));
    run("much", 2);
    printf("the same %d\n", memcmp(much, back, sizeof much) == 0);
    close(pair[1]);
    ADD(5, IOSQE_IO_LINK, io_uring_prep_send(sqe, pair[0], "x", 1, 0));
    ADD(6, 0, io_uring_prep_nop(sqe));
    run("a broken pipe", 2);
    close(pair[0]);

    /* A listener without room. */
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    socklen_t length = sizeof own.sun_family;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), clients[2];
    CHECK(bind(listener, (struct sockaddr *)&own, length) == 0);
    length = sizeof own;
    CHECK(getsockname(listener, (struct sockaddr *)&own, &length) == 0);
    CHECK(listen(listener, 0) == 0);
    for (int i = 0; i < 2; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        ADD(7 + i, 0, io_uring_prep_connect(sqe, clients[i], (struct sockaddr *)&own, length));
    }
    run("one has to wait", 1);
    close(accept(listener, NULL, NULL));
    run("then it may", 1);
    close(listener);
    close(clients[0]);
    close(clients[1]);
}

static void events(void) {
    int pair[2], poll = epoll_create1(0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};
    ADD(1, 0, io_uring_prep_epoll_ctl(sqe, poll, pair[0], EPOLL_CTL_ADD, &event));
    ADD(2, 0, io_uring_prep_send(sqe, pair[1], "x", 1, 0));
    run("epoll_ctl", 2);
    event = (struct epoll_event){0};
    int count = epoll_wait(poll, &event, 1, 1000);
    printf("found %d, %llu\n", count, (unsigned long long)event.data.u64);
    close(poll);
    close(pair[0]);
    close(pair[1]);
}

/* Echoes by one ring while a thread without one asks. */
enum { ROUNDS = 300, CLIENTS = 8 };
static struct sockaddr_in echo_address;

static void *ask(void *unused) {
    (void)unused;
    int clients[CLIENTS];
    long wrong = 0;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = meet(&echo_address);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            int number = round * CLIENTS + i;
            wrong += send(clients[i], &number, sizeof number, 0) != sizeof number;
        }
        for (int i = 0; i < CLIENTS; i++) {
            int number = -1;
            recv(clients[i], &number, sizeof number, MSG_WAITALL);
            wrong += number != round * CLIENTS + i;
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    return (void *)wrong;
}

static void echo(void) {
    enum { ACCEPT = 1, RECEIVE = 2, SEND = 3, PROVIDE = 4 };
    static char buffers[16][64];
    int listener = listen_somewhere(&echo_address), open_ones = 0, accepted = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, ask, NULL);
    ADD(PROVIDE, 0, io_uring_prep_provide_buffers(sqe, buffers, 64, 16, 9, 0));
    ADD(ACCEPT, 0, io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0));
    long bytes = 0, wrong = 0;
    while (accepted < CLIENTS || open_ones > 0) {
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait(&ring, 1);
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            int kind = cqe->user_data & 0xff, who = cqe->user_data >> 8 & 0xffff, which = cqe->user_data >> 24;
            int result = cqe->res, flags = cqe->flags;
            io_uring_cqe_seen(&ring, cqe);
            if (kind == ACCEPT) {
                who = result;
                accepted++;
                open_ones++;
            }
            if (kind == RECEIVE && result > 0) {
                int index = (unsigned)flags >> IORING_CQE_BUFFER_SHIFT;
                bytes += result;
                ADD(SEND | who << 8 | (unsigned long long)index << 24, 0,
                    io_uring_prep_send(sqe, who, buffers[index], result, MSG_WAITALL));
            } else if (kind == RECEIVE && result == 0) {
                close(who);
                open_ones--;
            } else if (kind == RECEIVE && result != -ENOBUFS) {
                wrong++;
            }
            if (kind == SEND) {
                wrong += result < 0;
                ADD(PROVIDE, 0, io_uring_prep_provide_buffers(sqe, buffers[which], 64, 1, 9, which));
            }
            if (kind == ACCEPT || (kind == RECEIVE && result != 0 && !(flags & IORING_CQE_F_MORE)))
                ADD(RECEIVE | who << 8, IOSQE_BUFFER_SELECT,
                    (io_uring_prep_recv_multishot(sqe, who, NULL, 0, 0), sqe->buf_group = 9));
            if (io_uring_sq_space_left(&ring) < 4)
                io_uring_submit(&ring);
        }
    }
    void *asked;
    pthread_join(thread, &asked);
    printf("echoed %ld bytes, wrong %ld and %ld\n", bytes, wrong, (long)asked);
    close(listener);
}

/* Sending from the program's own memory: a second completion tells when it may be changed again. */
static void without_copy(void) {
    static char registered[64] = "0123456789";
    struct sockaddr_in own;
    int listener = listen_somewhere(&own), client = meet(&own), server = accept(listener, NULL, NULL);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), pair[2];
    socklen_t length = sizeof own;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    ADD(1, 0, io_uring_prep_send_zc(sqe, client, "hello", 5, 0, 0));
    run("sent from memory", 2);
    printf("%zd %.5s\n", recv(server, text, sizeof text, 0), text);
    struct iovec pieces[2] = {{"two", 3}, {" pieces", 7}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ADD(2, 0, io_uring_prep_sendmsg_zc(sqe, client, &message, 0));
    run("a message from memory", 2);
    printf("%zd %.10s\n", recv(server, text, sizeof text, 0), text);
    struct iovec whole = {registered, sizeof registered};
    CHECK(io_uring_register_buffers(&ring, &whole, 1) == 0);
    ADD(3, 0, io_uring_prep_send_zc_fixed(sqe, client, registered + 2, 4, 0, 0, 0));
    run("from a registered buffer", 2);
    printf("%zd %.4s\n", recv(server, text, sizeof text, 0), text);
    ADD(4, 0, io_uring_prep_send_zc_fixed(sqe, client, registered + 62, 4, 0, 0, 0));
    run("beyond its end", 2);
    io_uring_unregister_buffers(&ring);
    /* To an address. */
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(udp, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(udp, (struct sockaddr *)&to, &length) == 0);
    ADD(5, 0, (io_uring_prep_send_zc(sqe, udp, "datagram", 8, 0, 0),
               io_uring_prep_send_set_addr(sqe, (struct sockaddr *)&to, sizeof to)));
    run("to an address", 2);
    printf("%zd %.8s\n", recv(udp, text, sizeof text, 0), text);
    ADD(6, 0, io_uring_prep_send_zc(sqe, pair[0], "x", 1, 0, 0));
    run("by a local socket", 2);
    ADD(7, 0, io_uring_prep_send_zc(sqe, udp, "x", 1, 0, 0));
    run("to nobody", 2);
    ADD(8, IOSQE_CQE_SKIP_SUCCESS, io_uring_prep_send_zc(sqe, client, "x", 1, 0, 0));
    run("silently", 1);
    ADD(10, IOSQE_IO_LINK, io_uring_prep_send_zc(sqe, client, "last", 4, 0, 0));
    ADD(11, 0, io_uring_prep_recv(sqe, server, text, sizeof text, 0));
    run("linked", 3);
    close(client);
    close(server);
    close(listener);
    close(udp);
    close(pair[0]);
    close(pair[1]);
}

/* Messages that come with a record in front, until one doesn't fit or the end is reached. */
static void records(void) {
    static char area[6][128];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, own;
    socklen_t length = sizeof to;
    int udp = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    CHECK(bind(udp, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(udp, (struct sockaddr *)&to, &length) == 0);
    CHECK(setsockopt(udp, IPPROTO_IP, IP_TTL, &(int){7}, sizeof on) == 0);
    CHECK(setsockopt(udp, IPPROTO_IP, IP_RECVTTL, &on, sizeof on) == 0);
    ADD(1, 0, io_uring_prep_provide_buffers(sqe, area, sizeof area[0], 6, 5, 0));
    run("buffers", 1);
    struct msghdr shape = {.msg_namelen = sizeof own, .msg_controllen = CMSG_SPACE(sizeof(int))};
    ADD(2, IOSQE_BUFFER_SELECT, (io_uring_prep_recvmsg_multishot(sqe, udp, &shape, 0), sqe->buf_group = 5));
    run("it waits", 0);
    const char *texts[] = {"first", "a datagram that is longer than what is left of its buffer of 128 bytes, as one sees", ""};
    for (int i = 0; i < 3; i++) {
        CHECK(sendto(sender, texts[i], strlen(texts[i]), 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)strlen(texts[i]));
        run("a message", 1);
        if (found != 1 || seen[0].result < 0)
            continue;
        char *buffer = area[seen[0].flags >> IORING_CQE_BUFFER_SHIFT];
        struct io_uring_recvmsg_out *record = io_uring_recvmsg_validate(buffer, seen[0].result, &shape);
        if (!record) {
            puts("no record");
            continue;
        }
        struct sockaddr_in *from = io_uring_recvmsg_name(record);
        struct cmsghdr *control = io_uring_recvmsg_cmsg_firsthdr(record, &shape);
        printf("name %u control %u payload %u flags %#x family %d, option %d %d, [%.*s]\n", record->namelen,
               record->controllen, record->payloadlen, record->flags, from->sin_family, control ? control->cmsg_type : -1,
               control ? *(int *)CMSG_DATA(control) : -1,
               (int)io_uring_recvmsg_payload_length(record, seen[0].result, &shape),
               (char *)io_uring_recvmsg_payload(record, &shape));
    }
    ADD(3, 0, io_uring_prep_cancel64(sqe, 2, 0));
    run("cancelled or over", 1);
    shape.msg_controllen = 128;
    ADD(4, IOSQE_BUFFER_SELECT, (io_uring_prep_recvmsg_multishot(sqe, udp, &shape, 0), sqe->buf_group = 5));
    CHECK(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
    run("no room for the record", 1);
    /* A stream has neither names nor ancillary data, and an end. */
    int listener = listen_somewhere(&own), client = meet(&own), server = accept(listener, NULL, NULL);
    struct msghdr bare = {0};
    ADD(5, IOSQE_BUFFER_SELECT, (io_uring_prep_recvmsg_multishot(sqe, server, &bare, 0), sqe->buf_group = 5));
    run("it waits", 0);
    CHECK(send(client, "stream", 6, 0) == 6);
    run("of a stream", 1);
    close(client);
    run("its end", 1);
    ADD(6, 0, io_uring_prep_recvmsg_multishot(sqe, server, &bare, 0));
    run("without buffers", 1);
    close(server);
    close(listener);
    close(udp);
    close(sender);
}

/* What is linked behind a request that a thread deals with does not begin when the ring was closed meanwhile: it would
   keep the file that it reads. */
static void closed_meanwhile(void) {
    struct io_uring other;
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    snprintf(own.sun_path + 1, sizeof own.sun_path - 1, "io_uring_sockets-%d", getpid());
    socklen_t length = sizeof own;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
    int second = socket(AF_UNIX, SOCK_STREAM, 0), ends[2];
    char byte;
    CHECK(!pipe(ends) && !bind(listener, (struct sockaddr *)&own, length) && !listen(listener, 0));
    CHECK(!connect(first, (struct sockaddr *)&own, length));
    CHECK(!io_uring_queue_init(8, &other, 0));
    struct io_uring_sqe *sqe = io_uring_get_sqe(&other);
    io_uring_prep_connect(sqe, second, (struct sockaddr *)&own, length);
    sqe->flags = IOSQE_IO_LINK;
    io_uring_prep_read(io_uring_get_sqe(&other), ends[0], &byte, 1, 0);
    CHECK(io_uring_submit(&other) == 2);
    usleep(20000);
    io_uring_queue_exit(&other);
    /* Linux gives the connection up, we let it come about. */
    usleep(20000);
    close(accept(listener, NULL, NULL));
    usleep(20000);
    close(ends[0]);
    struct pollfd nobody_reads = {ends[1], 0, 0};
    poll(&nobody_reads, 1, 2000);
    CHECK(nobody_reads.revents == POLLERR);
    close(first);
    close(second);
    close(listener);
    close(ends[1]);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(50);
    if (io_uring_queue_init(64, &ring, 0) != 0)
        puts("no ring");
    probe();
    connections();
    refused();
    multishot();
    no_descriptors();
    datagrams();
    local();
    events();
    without_copy();
    records();
    closed_meanwhile();
    echo();
    io_uring_queue_exit(&ring);
    return 0;
}
