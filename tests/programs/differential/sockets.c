// Sockets: addresses, connections, options, flags, what is left after errors. Only in the loopback interface and in the
// names of the directory of the scripts.
#include "framework.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static const struct value families[] = {
    ONE_OF(AF_UNIX), ONE_OF(AF_UNIX), ONE_OF(AF_UNIX), ONE_OF(AF_INET), ONE_OF(AF_INET), ONE_OF(AF_INET), ONE_OF(AF_INET6),
    ONE_OF(AF_INET6), NAMED("AF_UNKNOWN", 99, 0), NAMED("AF_NEGATIVE", -1, 0), END_OF_VALUES,
};
static const struct value socket_kinds[] = {
    ONE_OF(SOCK_STREAM), ONE_OF(SOCK_STREAM), ONE_OF(SOCK_STREAM), ONE_OF(SOCK_DGRAM), ONE_OF(SOCK_DGRAM), ONE_OF(SOCK_DGRAM),
    ONE_OF(SOCK_SEQPACKET), NAMED("SOCK_UNKNOWN", 9, 0), MAYBE(SOCK_NONBLOCK, 70), MAYBE(SOCK_CLOEXEC, 10),
    NAMED("SOCK_STRANGE", 0x100000, 2), END_OF_VALUES,
};
static const struct value protocols[] = {
    ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(0), ONE_OF(IPPROTO_TCP), ONE_OF(IPPROTO_UDP), ONE_OF(1),
    ONE_OF(-1), END_OF_VALUES,
};
// Numbers of `addresses`.
static const struct value address_names[] = {
    NAMED("v4:1", 0, 0), NAMED("v4:1", 0, 0), NAMED("v4:2", 1, 0), NAMED("v4:0", 2, 0), NAMED("any4:1", 3, 0), NAMED("v6:1", 4, 0),
    NAMED("v6:2", 5, 0), NAMED("any6:1", 6, 0), NAMED("mapped:1", 7, 0), NAMED("unix:s", 8, 0), NAMED("unix:s", 8, 0),
    NAMED("unix:t", 9, 0), NAMED("unix:a", 10, 0), NAMED("unix:x/s", 11, 0), NAMED("abstract:1", 12, 0),
    NAMED("abstract:2", 13, 0), NAMED("nameless", 14, 0), NAMED("unspecified", 15, 0), NAMED("elsewhere4", 16, 0),
    END_OF_VALUES,
};
static const struct value lengths_of_addresses[] = {
    NAMED("whole", 0, 0), NAMED("whole", 0, 0), NAMED("whole", 0, 0), NAMED("whole", 0, 0), NAMED("whole", 0, 0),
    NAMED("whole", 0, 0), NAMED("whole", 0, 0), NAMED("whole", 0, 0), ONE_OF(1), ONE_OF(2), ONE_OF(8), ONE_OF(16), ONE_OF(128),
    ONE_OF(129), ONE_OF(-1), END_OF_VALUES,
};
static const struct value backlogs[] = {ONE_OF(5), ONE_OF(5), ONE_OF(5), ONE_OF(-1), END_OF_VALUES};
static const struct value accept_flags[] = {
    ONE_OF(0), MAYBE(SOCK_NONBLOCK, 70), MAYBE(SOCK_CLOEXEC, 10), NAMED("SOCK_STRANGE", 0x100000, 3), END_OF_VALUES,
};
static const struct value directions[] = {ONE_OF(SHUT_RD), ONE_OF(SHUT_WR), ONE_OF(SHUT_RDWR), ONE_OF(3), ONE_OF(-1), END_OF_VALUES};
static const struct value message_lengths[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(7), ONE_OF(100), ONE_OF(1000), ONE_OF(3000), END_OF_VALUES,
};
static const struct value send_flags[] = {
    ONE_OF(0), MAYBE(MSG_DONTWAIT, 50), MAYBE(MSG_NOSIGNAL, 20), MAYBE(MSG_OOB, 5), MAYBE(MSG_EOR, 5), MAYBE(MSG_DONTROUTE, 3),
    MAYBE(MSG_CONFIRM, 2), END_OF_VALUES,
};
static const struct value receive_flags[] = {
    ONE_OF(0), MAYBE(MSG_DONTWAIT, 60), MAYBE(MSG_PEEK, 20), MAYBE(MSG_TRUNC, 15), MAYBE(MSG_WAITALL, 4), MAYBE(MSG_OOB, 5),
    MAYBE(MSG_ERRQUEUE, 4), MAYBE(MSG_CMSG_CLOEXEC, 5), END_OF_VALUES,
};
static const struct value ancillary[] = {
    NAMED("none", 0, 0), NAMED("none", 0, 0), NAMED("rights", 1, 0), NAMED("rights", 1, 0), NAMED("credentials", 2, 0),
    NAMED("wrong_rights", 3, 0), NAMED("short", 4, 0), END_OF_VALUES,
};
static const struct value room_for_ancillary[] = {ONE_OF(0), ONE_OF(8), ONE_OF(64), ONE_OF(64), ONE_OF(64), ONE_OF(20), END_OF_VALUES};

// Without SO_PEEK_OFF, which Pith has not.
#define OPTION(level, name) NAMED(#name, (long)(level) << 32 | (name), 0)
static const struct value options[] = {
    OPTION(SOL_SOCKET, SO_TYPE), OPTION(SOL_SOCKET, SO_ERROR), OPTION(SOL_SOCKET, SO_ERROR), OPTION(SOL_SOCKET, SO_ERROR),
    OPTION(SOL_SOCKET, SO_REUSEADDR), OPTION(SOL_SOCKET, SO_REUSEADDR), OPTION(SOL_SOCKET, SO_REUSEPORT),
    OPTION(SOL_SOCKET, SO_KEEPALIVE), OPTION(SOL_SOCKET, SO_BROADCAST), OPTION(SOL_SOCKET, SO_OOBINLINE),
    OPTION(SOL_SOCKET, SO_PRIORITY), OPTION(SOL_SOCKET, SO_ACCEPTCONN), OPTION(SOL_SOCKET, SO_PROTOCOL),
    OPTION(SOL_SOCKET, SO_DOMAIN), OPTION(SOL_SOCKET, SO_PASSCRED), OPTION(SOL_SOCKET, SO_RCVLOWAT),
    OPTION(SOL_SOCKET, SO_SNDLOWAT), OPTION(SOL_SOCKET, SO_DONTROUTE), OPTION(SOL_SOCKET, SO_MARK),
    OPTION(SOL_SOCKET, SO_LINGER), OPTION(SOL_SOCKET, SO_TIMESTAMP), OPTION(SOL_SOCKET, SO_TIMESTAMPNS),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL),
    OPTION(SOL_SOCKET, SO_RCVTIMEO), OPTION(SOL_SOCKET, SO_SNDTIMEO), OPTION(SOL_SOCKET, SO_NO_CHECK),
    OPTION(SOL_SOCKET, SO_BSDCOMPAT), OPTION(SOL_SOCKET, SO_PEERCRED),
    OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_KEEPIDLE), OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT), OPTION(IPPROTO_TCP, TCP_SYNCNT), OPTION(IPPROTO_TCP, TCP_LINGER2),
    OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT), OPTION(IPPROTO_IP, IP_TTL),
    OPTION(IPPROTO_IP, IP_TOS), OPTION(IPPROTO_IP, IP_MTU_DISCOVER), OPTION(IPPROTO_IP, IP_RECVERR),
    OPTION(IPPROTO_IP, IP_PKTINFO), OPTION(IPPROTO_IP, IP_FREEBIND), OPTION(IPPROTO_IP, IP_RECVTTL), OPTION(IPPROTO_IP, IP_RECVTOS),
    OPTION(IPPROTO_IP, IP_MULTICAST_TTL), OPTION(IPPROTO_IP, IP_MULTICAST_LOOP),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY), OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS), OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO), OPTION(IPPROTO_IPV6, IPV6_TCLASS), OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER),
    OPTION(IPPROTO_IPV6, IPV6_RECVERR), OPTION(SOL_SOCKET, 9999), OPTION(9999, 1), END_OF_VALUES,
};
static const struct value option_values[] = {
    ONE_OF(0), ONE_OF(1), ONE_OF(1), ONE_OF(2), ONE_OF(5), ONE_OF(-1), ONE_OF(100), ONE_OF(255), ONE_OF(256), ONE_OF(40000),
    END_OF_VALUES,
};
static const struct value option_sizes[] = {
    ONE_OF(4), ONE_OF(4), ONE_OF(4), ONE_OF(4), ONE_OF(4), ONE_OF(4), ONE_OF(1), ONE_OF(0), ONE_OF(3), ONE_OF(8), ONE_OF(16), ONE_OF(-1),
    END_OF_VALUES,
};
// Which of a wrong size and a wrong option is told differs from one family of Linux to the next.
static const struct value answer_sizes[] = {
    ONE_OF(4), ONE_OF(4), ONE_OF(4), ONE_OF(1), ONE_OF(0), ONE_OF(3), ONE_OF(8), ONE_OF(16), END_OF_VALUES,
};
static const struct value socket_requests[] = {
    ONE_OF(FIONREAD), ONE_OF(FIONREAD), NAMED("SIOCATMARK", 0x8905, 0), END_OF_VALUES,
};
static const struct value pair_kinds[] = {
    NAMED("tcp4", 0, 0), NAMED("tcp4", 0, 0), NAMED("tcp6", 1, 0), NAMED("udp4", 2, 0), NAMED("udp6", 3, 0),
    NAMED("stream", 4, 0), NAMED("datagram", 5, 0), NAMED("seqpacket", 6, 0), END_OF_VALUES,
};

// ---- Addresses

// Each round has ports of its own: those of the last may be in TIME-WAIT still.
static int first_port;

// What was written to streams of the Internet in this round.
static long written_to_streams;

// A network of its own, with nothing but a loopback interface; in a machine there is only that anyway.
void isolate_network(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
    int fd;
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC) || (fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0 ||
        ioctl(fd, SIOCSIFFLAGS, &request)) {
        perror("can't make a network of its own");
        exit(1);
    }
    close(fd);
}

// Which sockets of IPv6 were to be connected with IPv4.
#define MOST_DESCRIPTORS 1024
static char has_spoken_v4[MOST_DESCRIPTORS];

// Streams send at once: whether a second small piece has come already would else depend on when the first was acknowledged.
static void send_at_once(int fd) {
    int on = 1;
    if (fd >= 0)
        has_spoken_v4[fd % MOST_DESCRIPTORS] = 0;
    if (is_internet_stream(fd))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void begin_sockets(void) {
    static int rounds;
    first_port = 10000 + rounds++ % 2000 * 10;
    written_to_streams = 0;
}

static socklen_t make_address(long number, struct sockaddr_storage *address) {
    struct sockaddr_in *four = (void *)address;
    struct sockaddr_in6 *six = (void *)address;
    struct sockaddr_un *local = (void *)address;
    memset(address, 0, sizeof *address);
    if (number <= 3 || number == 16) {
        four->sin_family = AF_INET;
        four->sin_port = htons(number == 2 ? 0 : first_port + (number == 1 ? 2 : 1));
        // The last is an address that leads nowhere, since there is no interface to it.
        four->sin_addr.s_addr = htonl(number == 3 ? INADDR_ANY : number == 16 ? 0xc0000201 : INADDR_LOOPBACK);
        return sizeof *four;
    }
    if (number <= 7) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(first_port + (number == 5 ? 2 : 1));
        six->sin6_addr = number == 6 ? in6addr_any : in6addr_loopback;
        if (number == 7)
            inet_pton(AF_INET6, "::ffff:127.0.0.1", &six->sin6_addr);
        return sizeof *six;
    }
    if (number == 15)
        return sizeof *four;
    static const char *const names[] = {"s", "t", "a", "x/s", "\0one", "\0two", ""};
    static const int sizes[] = {2, 2, 2, 4, 4, 4, 0};
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, names[number - 8], sizes[number - 8]);
    return offsetof(struct sockaddr_un, sun_path) + sizes[number - 8];
}

static socklen_t argument_address(const struct argument *a, struct sockaddr_storage *address) {
    socklen_t length = make_address(a[0].number, address);
    return a[1].number ? (socklen_t)a[1].number : length;
}

static void say_port(in_port_t port) {
    int number = ntohs(port);
    if (number == 0)
        say(":0");
    else if (number >= first_port && number < first_port + 10)
        say(":%d", number - first_port);
    else
        say(":other");
}

static void say_address_of(const struct sockaddr_storage *address, socklen_t length) {
    const struct sockaddr_in *four = (const void *)address;
    const struct sockaddr_in6 *six = (const void *)address;
    const struct sockaddr_un *local = (const void *)address;
    char text[INET6_ADDRSTRLEN];
    say(" from %u bytes", length);
    if (length < 2)
        return;
    if (address->ss_family == AF_INET) {
        say(" %s", inet_ntop(AF_INET, &four->sin_addr, text, sizeof text));
        say_port(four->sin_port);
    } else if (address->ss_family == AF_INET6) {
        say(" %s", inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text));
        say_port(six->sin6_port);
    } else if (address->ss_family == AF_UNIX && length > 2) {
        // What the kernel calls a socket by itself is a number that grows.
        if (!local->sun_path[0] && length == 8)
            say(" number");
        else
            say(" %.20s", local->sun_path[0] ? local->sun_path : local->sun_path + 1);
    } else {
        say(" family %d", address->ss_family);
    }
}

static int number_of_option(int fd, int level, int option) {
    int number = 0;
    socklen_t length = sizeof number;
    return getsockopt(fd, level, option, &number, &length) ? -1 : number;
}

static int family_of(int fd) {
    return number_of_option(fd, SOL_SOCKET, SO_DOMAIN);
}

// Urgent data of local sockets, which Linux has if it is built with it.
static int is_local_urgent(int fd, long flags) {
    if (!(flags & MSG_OOB) || family_of(fd) != AF_UNIX)
        return 0;
    say(" not here");
    return 1;
}

int is_internet_stream(int fd) {
    return family_of(fd) > AF_UNIX && number_of_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
}

int is_internet_datagram(int fd) {
    return family_of(fd) > AF_UNIX && number_of_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
}

// How much comes before somebody reads depends on the memory that Linux counts for it: pieces of what was written count with
// all of their pages. So much always does.
#define SURE_WINDOW 100000

int is_beyond_window(int fd, long length) {
    if (!is_internet_stream(fd))
        return 0;
    if (written_to_streams + length > SURE_WINDOW)
        return 1;
    written_to_streams += length;
    return 0;
}

// The same, and that of streams of the Internet: what is left of it when it was read past, or when more comes, is Linux's
// peculiarity.
static int is_urgent(int fd, long flags) {
    if (!(flags & MSG_OOB) || !is_internet_stream(fd))
        return is_local_urgent(fd, flags);
    say(" not here");
    return 1;
}

// Linux's peculiarity: it lets a socket of IPv6, which has got an address by its peer, speak with IPv4 next.
static int is_peculiar_peer(int fd, const struct sockaddr_storage *address) {
    struct sockaddr_in6 own = {0};
    socklen_t length = sizeof own;
    int peculiar = 0;
    if (family_of(fd) == AF_INET6 && getsockname(fd, (void *)&own, &length) == 0 && !IN6_IS_ADDR_UNSPECIFIED(&own.sin6_addr)) {
        const struct sockaddr_in6 *peer = (const void *)address;
        int is_v4 = address->ss_family == AF_INET || (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr));
        peculiar = is_v4 != IN6_IS_ADDR_V4MAPPED(&own.sin6_addr);
    }
    // A stream of IPv6 that has ever spoken with IPv4 sends to nowhere when it is connected with IPv6.
    if (fd >= 0 && family_of(fd) == AF_INET6 && address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *peer = (const void *)address;
        int is_v4 = IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr);
        peculiar |= !is_v4 && has_spoken_v4[fd % MOST_DESCRIPTORS];
        has_spoken_v4[fd % MOST_DESCRIPTORS] |= (char)is_v4;
    }
    if (peculiar)
        say(" not here");
    return peculiar;
}

// ---- Calls

static void run_socket(struct argument *a) {
    int fd = (int)syscall(SYS_socket, (int)a[0].number, (int)a[1].number, (int)a[2].number);
    send_at_once(fd);
    keep(&a[3], fd);
}

static void run_socketpair(struct argument *a) {
    int ends[2] = {-1, -1};
    long result = syscall(SYS_socketpair, (int)a[0].number, (int)a[1].number, (int)a[2].number, ends);
    if (result < 0) {
        answer(result);
        return;
    }
    keep(&a[3], ends[0]);
    keep(&a[4], ends[1]);
}

// Two ends that are connected; without them, chance would get there too seldom.
static void run_pair(struct argument *a) {
    static const int kinds[] = {SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_DGRAM, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    long which = a[0].number;
    int kind = kinds[which] | SOCK_NONBLOCK, ends[2] = {-1, -1}, result;
    if (which >= 4) {
        result = socketpair(AF_UNIX, kind, 0, ends);
    } else {
        struct sockaddr_storage address;
        socklen_t length = make_address(which & 1 ? 4 : 0, &address);
        ((struct sockaddr_in *)&address)->sin_port = 0;
        int first = socket(address.ss_family, kind & ~SOCK_NONBLOCK, 0);
        result = bind(first, (void *)&address, length);
        if (result == 0 && which <= 1)
            result = listen(first, 1);
        length = sizeof address;
        getsockname(first, (void *)&address, &length);
        ends[0] = socket(address.ss_family, kind & ~SOCK_NONBLOCK, 0);
        result |= connect(ends[0], (void *)&address, length);
        if (which <= 1) {
            ends[1] = accept4(first, NULL, NULL, SOCK_NONBLOCK);
            close(first);
        } else {
            length = sizeof address;
            getsockname(ends[0], (void *)&address, &length);
            result |= connect(first, (void *)&address, length);
            ends[1] = first;
        }
        fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK);
        fcntl(ends[1], F_SETFL, O_RDWR | O_NONBLOCK);
    }
    answer(result);
    if (result == 0) {
        send_at_once(ends[0]);
        send_at_once(ends[1]);
        keep(&a[1], ends[0]);
        keep(&a[2], ends[1]);
    }
}

static void run_bind(struct argument *a) {
    struct sockaddr_storage address;
    socklen_t length = argument_address(&a[1], &address);
    int fd = descriptor(&a[0]);
    // Of one that has a name, Linux makes the file first, and takes it away again.
    struct sockaddr_un named = {0};
    socklen_t length_of_own = sizeof named;
    if (family_of(fd) == AF_UNIX && getsockname(fd, (void *)&named, &length_of_own) == 0 && length_of_own > 2 &&
        ((struct sockaddr_un *)&address)->sun_path[0]) {
        say(" not here");
        return;
    }
    answer(syscall(SYS_bind, descriptor(&a[0]), &address, length));
}

static void run_connect(struct argument *a) {
    struct sockaddr_storage address;
    socklen_t length = argument_address(&a[1], &address);
    if (is_peculiar_peer(descriptor(&a[0]), &address))
        return;
    answer(syscall(SYS_connect, descriptor(&a[0]), &address, length));
}

static void run_listen(struct argument *a) {
    answer(syscall(SYS_listen, descriptor(&a[0]), (int)a[1].number));
}

static void run_accept4(struct argument *a) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    long result = syscall(SYS_accept4, descriptor(&a[0]), &address, &length, (int)a[1].number);
    if (result >= 0)
        has_spoken_v4[result % MOST_DESCRIPTORS] = 0;
    keep(&a[2], result);
    if (result >= 0)
        say_address_of(&address, length);
}

static void say_name(long call, struct argument *a) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    long result = syscall(call, descriptor(&a[0]), &address, &length);
    answer(result);
    if (result == 0)
        say_address_of(&address, length);
}

static void run_getsockname(struct argument *a) { say_name(SYS_getsockname, a); }

static void run_getpeername(struct argument *a) { say_name(SYS_getpeername, a); }

static void run_shutdown(struct argument *a) {
    answer(syscall(SYS_shutdown, descriptor(&a[0]), (int)a[1].number));
}

static void run_send(struct argument *a) {
    if (is_urgent(descriptor(&a[0]), a[2].number))
        return;
    fill(buffer, fitting(a[1].number), 5);
    answer(syscall(SYS_sendto, descriptor(&a[0]), buffer, fitting(a[1].number), (int)a[2].number, NULL, 0));
}

static void run_sendto(struct argument *a) {
    if (is_urgent(descriptor(&a[0]), a[2].number))
        return;
    struct sockaddr_storage address;
    socklen_t length = argument_address(&a[3], &address);
    if (is_peculiar_peer(descriptor(&a[0]), &address))
        return;
    fill(buffer, fitting(a[1].number), 6);
    answer(syscall(SYS_sendto, descriptor(&a[0]), buffer, fitting(a[1].number), (int)a[2].number, &address, length));
}

static void run_recv(struct argument *a) {
    if (is_local_urgent(descriptor(&a[0]), a[2].number))
        return;
    memset(buffer, 0, 4000);
    long result = syscall(SYS_recvfrom, descriptor(&a[0]), buffer, fitting(a[1].number), (int)a[2].number, NULL, NULL);
    answer(result);
    if (result > 0)
        say_bytes(buffer, result < a[1].number ? result : a[1].number);
}

static void run_recvfrom(struct argument *a) {
    if (is_local_urgent(descriptor(&a[0]), a[2].number))
        return;
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    long result = syscall(SYS_recvfrom, descriptor(&a[0]), buffer, fitting(a[1].number), (int)a[2].number, &address, &length);
    answer(result);
    if (result >= 0) {
        say_bytes(buffer, result < a[1].number ? result : a[1].number);
        say_address_of(&address, length);
    }
}

static void run_sendmsg(struct argument *a) {
    if (is_urgent(descriptor(&a[0]), a[2].number))
        return;
    // With sockets of the Internet, Linux tells most other errors before this one.
    if (a[3].number == 4 && family_of(descriptor(&a[0])) > AF_UNIX) {
        say(" not here");
        return;
    }
    // Linux looks for sockets that can be received by nobody some time after another one was closed.
    if (a[3].number == 1 && family_of(slots[0]) == AF_UNIX) {
        say(" not here");
        return;
    }
    fill(buffer, 3000, 8);
    struct iovec pieces[2] = {{buffer, a[1].number / 2}, {buffer + a[1].number / 2, a[1].number - a[1].number / 2}};
    union {
        char bytes[64];
        struct cmsghdr header;
    } control = {{0}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    struct ucred credentials = {getpid(), getuid(), getgid()};
    int passed = a[3].number == 3 ? -1 : slots[0];
    if (a[3].number) {
        int credential = a[3].number == 2;
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(credential ? sizeof credentials : sizeof passed);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = credential ? SCM_CREDENTIALS : SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(credential ? sizeof credentials : sizeof passed);
        memcpy(CMSG_DATA(&control.header), credential ? (void *)&credentials : (void *)&passed,
               credential ? sizeof credentials : sizeof passed);
        if (a[3].number == 4)
            control.header.cmsg_len = 7;
    }
    answer(syscall(SYS_sendmsg, descriptor(&a[0]), &message, (int)a[2].number));
}

// Received descriptors are told, and closed.
static void say_control(struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        long length = (long)header->cmsg_len - (long)CMSG_LEN(0);
        say(" control %d:%d:%ld", header->cmsg_level, header->cmsg_type, length);
        int *received = (int *)CMSG_DATA(header);
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            for (long index = 0; index < length / (long)sizeof *received; index++) {
                say(" flags %d", fcntl(received[index], F_GETFD));
                close(received[index]);
            }
    }
}

static void run_recvmsg(struct argument *a) {
    if (is_local_urgent(descriptor(&a[0]), a[2].number))
        return;
    struct sockaddr_storage address = {0};
    struct iovec pieces[2] = {{buffer, a[1].number / 2}, {buffer + a[1].number / 2, a[1].number - a[1].number / 2}};
    union {
        char bytes[64];
        struct cmsghdr header;
    } control = {{0}};
    struct msghdr message = {&address, sizeof address, pieces, 2, &control, a[3].number, 0};
    long result = syscall(SYS_recvmsg, descriptor(&a[0]), &message, (int)a[2].number);
    answer(result);
    if (result < 0)
        return;
    say_bytes(buffer, result < a[1].number ? result : a[1].number);
    say_address_of(&address, message.msg_namelen);
    say(" flags %x", (unsigned)message.msg_flags);
    say_control(&message);
}

// What is different from one version of Linux to the next, or its peculiarity: credentials with sockets of the Internet were
// refused only later, and connections know of groups, for which they take over the time to live of the packet that asked for
// them. Whether what a connection has received was stamped depends on whether anybody in the whole system wants stamps.
static int is_peculiar_option(int fd, long option) {
    int family = family_of(fd), kind = number_of_option(fd, SOL_SOCKET, SO_TYPE);
    if (family < 0)
        return 0;
    int stamps = option == ((long)SOL_SOCKET << 32 | SO_TIMESTAMP) || option == ((long)SOL_SOCKET << 32 | SO_TIMESTAMPNS);
    if ((option == ((long)SOL_SOCKET << 32 | SO_PASSCRED) && family != AF_UNIX) ||
        (stamps && kind == SOCK_STREAM && family != AF_UNIX) ||
        (kind == SOCK_STREAM && (option == ((long)IPPROTO_IP << 32 | IP_MULTICAST_TTL) ||
                                 option == ((long)IPPROTO_IP << 32 | IP_MULTICAST_LOOP) ||
                                 option == ((long)IPPROTO_IPV6 << 32 | IPV6_MULTICAST_HOPS)))) {
        say(" not here");
        return 1;
    }
    return 0;
}

static void run_setsockopt(struct argument *a) {
    if (is_peculiar_option(descriptor(&a[0]), a[1].number))
        return;
    // How much a stream may wait for at most depends on the memory of the machine.
    if (a[1].number == ((long)SOL_SOCKET << 32 | SO_RCVLOWAT) && a[2].number < 0 && is_internet_stream(descriptor(&a[0]))) {
        say(" not here");
        return;
    }
    // When the peer of one that does not wait for its end is reset depends on when that acknowledges this one's.
    if (a[1].number == ((long)IPPROTO_TCP << 32 | TCP_LINGER2) && a[2].number < 0) {
        say(" not here");
        return;
    }
    // Which options of IP take a number that is too short differs from one to the next, and between versions.
    long level = a[1].number >> 32;
    if ((level == IPPROTO_IP || level == IPPROTO_IPV6) && a[3].number < 4 && family_of(descriptor(&a[0])) > AF_UNIX) {
        say(" not here");
        return;
    }
    int value[8] = {(int)a[2].number};
    answer(syscall(SYS_setsockopt, descriptor(&a[0]), (int)(a[1].number >> 32), (int)a[1].number, value, (int)a[3].number));
}

static void run_getsockopt(struct argument *a) {
    if (is_peculiar_option(descriptor(&a[0]), a[1].number))
        return;
    int value[8] = {0};
    socklen_t length = (socklen_t)a[2].number;
    long result = syscall(SYS_getsockopt, descriptor(&a[0]), (int)(a[1].number >> 32), (int)a[1].number, value, &length);
    answer(result);
    if (result < 0)
        return;
    say(" %u bytes", length);
    // Of the peer's process there is only whether it is this one.
    if (a[1].number == ((long)SOL_SOCKET << 32 | SO_PEERCRED) && length >= 4)
        value[0] = value[0] == getpid() ? 1 : value[0] == 0 ? 0 : 2;
    for (socklen_t index = 0; index < length && index < sizeof value; index++)
        if (((unsigned char *)value)[index])
            say(" %u:%x", index, ((unsigned char *)value)[index]);
}

static void run_socket_ioctl(struct argument *a) {
    int number = 0;
    // What is asked for is the mark of urgent data.
    if (a[1].number == 0x8905 && is_local_urgent(descriptor(&a[0]), MSG_OOB))
        return;
    long result = syscall(SYS_ioctl, descriptor(&a[0]), a[1].number, &number);
    struct stat status;
    answer(result);
    if (result == 0 && fstat(descriptor(&a[0]), &status) == 0 && S_ISSOCK(status.st_mode))
        say(" %d", number);
}

static const struct call socket_calls[] = {
    {"socket", "vvvs", run_socket, 12, 0, {families, socket_kinds, protocols}},
    {"socketpair", "vvvss", run_socketpair, 5, 0, {families, socket_kinds, protocols}},
    {"connected_pair", "vss", run_pair, 16, 0, {pair_kinds}},
    {"bind", "fvv", run_bind, 14, 0, {address_names, lengths_of_addresses}},
    {"connect", "fvv", run_connect, 14, 1, {address_names, lengths_of_addresses}},
    {"listen", "fv", run_listen, 9, 0, {backlogs}},
    {"accept4", "fvs", run_accept4, 9, 1, {accept_flags}},
    {"getsockname", "f", run_getsockname, 6, 0, {NULL}},
    {"getpeername", "f", run_getpeername, 6, 0, {NULL}},
    {"shutdown", "fv", run_shutdown, 6, 0, {directions}},
    {"send", "fvv", run_send, 12, 1, {message_lengths, send_flags}},
    {"sendto", "fvvvv", run_sendto, 9, 1, {message_lengths, send_flags, address_names, lengths_of_addresses}},
    {"sendmsg", "fvvv", run_sendmsg, 9, 1, {message_lengths, send_flags, ancillary}},
    {"recv", "fvv", run_recv, 12, 1, {message_lengths, receive_flags}},
    {"recvfrom", "fvv", run_recvfrom, 8, 1, {message_lengths, receive_flags}},
    {"recvmsg", "fvvv", run_recvmsg, 10, 1, {message_lengths, receive_flags, room_for_ancillary}},
    {"setsockopt", "fvvv", run_setsockopt, 12, 0, {options, option_values, option_sizes}},
    {"getsockopt", "fvv", run_getsockopt, 12, 0, {options, answer_sizes}},
    {"socket_ioctl", "fv", run_socket_ioctl, 4, 0, {socket_requests}},
    {NULL, NULL, NULL, 0, 0, {NULL}},
};
