/* SPDX-License-Identifier: MIT */
/*
 * A client that loads a server from one thread, over connections that stay open.
 *
 *   bench_load redis|memcached|http|postgres|mariadb ADDRESS CONNECTIONS PIPELINE
 *
 * ADDRESS: a port of 127.0.0.1, or the path of a Unix socket. Prints "ready" when all connections
 * are open and the data is there. Then, for each line of input with a number of milliseconds, it
 * sends for that long and prints "REQUESTS NANOSECONDS", waiting for the last answer included.
 *
 * Requests of one kind have answers of one length, which is measured at the beginning; from then on
 * answers are counted by their bytes. Ends with a message when a server does otherwise.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEYS            100000u
#define BATCHES         256u
#define PIPELINE_MAX    64u
#define CONNECTIONS_MAX 256u
#define REQUEST_BYTES   256u
#define ANSWER_BYTES    65536u
#define QUIET_MS        50
#define STUCK_MS        10000
#define FAR_MS          60000

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

/* 0: no number from 1 to max. */
static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    bool is_whole = end != text && (*end == '\0' || *end == '\n');
    return is_whole && value <= max ? (unsigned)value : 0;
}

/* ---- protocols ------------------------------------------------------------------------------ */

/* Writes one request; returns its length. */
typedef size_t (*request_fn)(char *to, unsigned key);

static const char redis_value[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char memcached_value[] =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
    "456789";

static size_t redis_set(char *to, unsigned key)
{
    return (size_t)snprintf(
        to, REQUEST_BYTES, "*3\r\n$3\r\nSET\r\n$10\r\nkey:%06u\r\n$64\r\n%s\r\n", key, redis_value);
}
static size_t redis_get(char *to, unsigned key)
{
    return (size_t)snprintf(to, REQUEST_BYTES, "*2\r\n$3\r\nGET\r\n$10\r\nkey:%06u\r\n", key);
}
static size_t memcached_set(char *to, unsigned key)
{
    return (size_t)snprintf(to, REQUEST_BYTES, "set key:%06u 0 0 100\r\n%s\r\n", key,
                            memcached_value);
}
static size_t memcached_get(char *to, unsigned key)
{
    return (size_t)snprintf(to, REQUEST_BYTES, "get key:%06u\r\n", key);
}
static size_t http_get(char *to, unsigned key)
{
    (void)key;
    return (size_t)snprintf(to, REQUEST_BYTES,
                            "GET /index.html HTTP/1.1\r\nHost: localhost\r\n"
                            "Connection: keep-alive\r\n\r\n");
}
/* The query of pgbench -S, at scale 1. */
static size_t postgres_select(char *to, unsigned key)
{
    int length = snprintf(to + 5, REQUEST_BYTES - 5,
                          "SELECT abalance FROM pgbench_accounts WHERE aid = %u;", key + 1);
    uint32_t size = htonl((uint32_t)length + 1 + 4);
    to[0] = 'Q';
    memcpy(to + 1, &size, sizeof(size));
    return (size_t)length + 1 + 5;
}

/* A packet: three bytes of length, a number, and here the kind and text of a query. */
static size_t mariadb_query(char *to, const char *beginning, unsigned key)
{
    int length = snprintf(to + 5, REQUEST_BYTES - 5, "%s %u", beginning, key + 1);
    to[0] = (char)(length + 1);
    to[1] = to[2] = to[3] = 0;
    to[4] = 3;
    return (size_t)length + 5;
}
static size_t mariadb_select(char *to, unsigned key)
{
    return mariadb_query(to, "SELECT c FROM rows_of_bench WHERE id =", key);
}
static size_t mariadb_update(char *to, unsigned key)
{
    return mariadb_query(to, "UPDATE rows_of_bench SET n = n + 1 WHERE id =", key);
}

struct protocol {
    const char *name;
    request_fn write, read; /* write: NULL when only reading */
    const char *write_answer, *read_answer;
    unsigned write_every; /* one in so many requests */
    bool is_filled;       /* the data is there before we come */
};
static const struct protocol protocols[] = {
    {"redis", redis_set, redis_get, "+OK", "$64", 2, false},
    {"memcached", memcached_set, memcached_get, "STORED", "VALUE", 10, false},
    {"http", NULL, http_get, NULL, "HTTP/1.1 200", 0, true},
    {"postgres", NULL, postgres_select, NULL, "T", 0, true},
    /* Lengths of the first packet: all that is said of one changed row; the number of columns. */
    {"mariadb", mariadb_update, mariadb_select, "0", "\x01", 10, true},
};
static const struct protocol *protocol;

/* ---- connections ----------------------------------------------------------------------------- */

struct batch {
    char *bytes;
    size_t length, answer_length;
};
static struct batch batches[BATCHES];

struct connection {
    int fd;
    size_t expected; /* bytes of the answer that are still to come */
};
static struct connection connections[CONNECTIONS_MAX];
static unsigned connection_count, pipeline;
static char answer[ANSWER_BYTES];

static int connect_to(const char *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool is_path = address[0] == '/';
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        die("socket");
    if (is_path) {
        if (strlen(address) >= sizeof(local.sun_path))
            die("the path is too long");
        memcpy(local.sun_path, address, strlen(address) + 1);
    } else {
        port.sin_port = htons((uint16_t)number(address, UINT16_MAX));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (connect(fd, is_path ? (const void *)&local : (const void *)&port,
                is_path ? sizeof(local) : sizeof(port)) != 0)
        die("connect");
    return fd;
}

static void send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send");
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Reads until nothing has come for a while. */
static size_t read_until_quiet(int fd)
{
    size_t length = 0;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    while (poll(&poll_fd, 1, length == 0 ? STUCK_MS : QUIET_MS) > 0) {
        ssize_t got = recv(fd, answer + length, sizeof(answer) - length, 0);
        if (got <= 0)
            die("the server closed the connection");
        length += (size_t)got;
    }
    return length;
}

static size_t answer_length_of(int fd, request_fn request, unsigned key, const char *beginning)
{
    char bytes[REQUEST_BYTES];
    send_all(fd, bytes, request(bytes, key));
    size_t length = read_until_quiet(fd);
    if (length < strlen(beginning) || memcmp(answer, beginning, strlen(beginning)) != 0) {
        (void)fprintf(stderr, "bench_load: unexpected answer: %.*s\n", (int)length, answer);
        exit(1);
    }
    return length;
}

/* Start-up message of protocol 3.0, user and database "postgres"; trust is asked for. */
static void postgres_log_in(int fd)
{
    static const char parameters[] = "user\0postgres\0database\0postgres\0";
    char bytes[64];
    uint32_t head[2] = {htonl((uint32_t)(8 + sizeof(parameters))), htonl(3u << 16)};
    memcpy(bytes, head, sizeof(head));
    memcpy(bytes + sizeof(head), parameters, sizeof(parameters));
    send_all(fd, bytes, sizeof(head) + sizeof(parameters));
    size_t length = 0;
    /* Ready for a query: the last of several messages. */
    while (length < 6 || answer[length - 6] != 'Z') {
        ssize_t got = recv(fd, answer + length, sizeof(answer) - length, 0);
        if (got <= 0 || answer[0] != 'R')
            die("PostgreSQL does not let us in");
        length += (size_t)got;
    }
}

/* Packets of protocol 4.1: a greeting, our answer as "root" without a password, and "OK". */
static void mariadb_log_in(int fd)
{
    static const char names[] = "root\0\0bench\0mysql_native_password";
    const uint32_t wanted =
        0x8 | 0x200 | 0x8000 | 0x80000;     /* database, 4.1, its log-in, its name */
    const size_t settings = 4 + 4 + 1 + 23; /* that, longest packet, character set */
    char bytes[128] = {0};
    bytes[0] = (char)(settings + sizeof(names));
    bytes[3] = 1;
    memcpy(bytes + 4, &wanted, sizeof(wanted));
    bytes[4 + 7] = 1; /* 16 MiB */
    bytes[4 + 8] = 8; /* latin1 */
    memcpy(bytes + 4 + settings, names, sizeof(names));
    if (read_until_quiet(fd) < 6 || answer[4] != 10)
        die("this is no MariaDB");
    send_all(fd, bytes, 4 + settings + sizeof(names));
    if (read_until_quiet(fd) < 6 || answer[4] != 0)
        die("MariaDB does not let us in");
}

/* ---- requests made ready -----------------------------------------------------------------------
 */

static void fill(int fd, size_t answer_length)
{
    static char bytes[PIPELINE_MAX * REQUEST_BYTES];
    for (unsigned key = 0; key < KEYS; key += PIPELINE_MAX) {
        size_t length = 0;
        for (unsigned i = 0; i < PIPELINE_MAX; i++)
            length += protocol->write(bytes + length, key + i);
        send_all(fd, bytes, length);
        for (size_t got = 0; got < PIPELINE_MAX * answer_length;) {
            ssize_t part = recv(fd, answer, PIPELINE_MAX * answer_length - got, 0);
            if (part <= 0)
                die("the server closed the connection");
            got += (size_t)part;
        }
    }
}

static void prepare(int fd)
{
    size_t write_length = 0;
    if (protocol->write != NULL) {
        write_length = answer_length_of(fd, protocol->write, 1, protocol->write_answer);
        if (!protocol->is_filled)
            fill(fd, write_length);
    }
    size_t read_length = answer_length_of(fd, protocol->read, 1, protocol->read_answer);
    unsigned state = 12345, serial = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *batch = &batches[i];
        batch->bytes = malloc((size_t)pipeline * REQUEST_BYTES);
        if (batch->bytes == NULL)
            die("malloc");
        for (unsigned k = 0; k < pipeline; k++) {
            state = state * 1103515245u + 12345u;
            unsigned key = (state >> 8) % KEYS;
            bool is_write = protocol->write != NULL && serial++ % protocol->write_every == 0;
            batch->length +=
                (is_write ? protocol->write : protocol->read)(batch->bytes + batch->length, key);
            batch->answer_length += is_write ? write_length : read_length;
        }
    }
}

/* ---- the load ---------------------------------------------------------------------------------
 */

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void send_batch(struct connection *connection)
{
    static unsigned next;
    const struct batch *batch = &batches[next++ % BATCHES];
    connection->expected = batch->answer_length;
    send_all(connection->fd, batch->bytes, batch->length);
}

/* True when the whole answer is there. */
static bool receive(struct connection *connection)
{
    ssize_t got = recv(connection->fd, answer, sizeof(answer), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        die("the server closed the connection");
    if ((size_t)got > connection->expected)
        die("an answer is longer than those before");
    connection->expected -= (size_t)got;
    return connection->expected == 0;
}

/*
 * Looks for answers until there are some, and never sleeps: to wake a sleeping virtual processor is
 * an exit to its hypervisor, of microseconds, on the time of the server that sends the answer. How
 * often the client sleeps depends on how fast the server is, so that would magnify differences.
 */
static int wait_for_answers(int epoll_fd, struct epoll_event *events, uint64_t now)
{
    for (uint64_t stuck_ns = now + STUCK_MS * UINT64_C(1000000); now < stuck_ns; now = now_ns()) {
        int ready = epoll_wait(epoll_fd, events, CONNECTIONS_MAX, 0);
        if (ready > 0)
            return ready;
    }
    die("no answer");
    return 0;
}

static void load(int epoll_fd, uint64_t duration_ns)
{
    struct epoll_event events[CONNECTIONS_MAX];
    uint64_t start = now_ns(), now = start, requests = 0;
    unsigned busy = connection_count;
    for (unsigned i = 0; i < connection_count; i++)
        send_batch(&connections[i]);
    while (busy > 0) {
        int ready = wait_for_answers(epoll_fd, events, now);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!receive(connection))
                continue;
            requests += pipeline;
            if (now - start < duration_ns)
                send_batch(connection);
            else
                busy--;
        }
    }
    (void)printf("%llu %llu\n", (unsigned long long)requests,
                 (unsigned long long)(now_ns() - start));
}

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: bench_load redis|memcached|http|postgres|mariadb ADDRESS CONNECTIONS "
                  "PIPELINE\n"
                  "       (1 to %u connections, 1 to %u requests at a time)\n",
                  CONNECTIONS_MAX, PIPELINE_MAX);
    return 2;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 5 && i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (strcmp(protocols[i].name, argv[1]) == 0)
            protocol = &protocols[i];
    if (protocol == NULL)
        return usage();
    connection_count = number(argv[3], CONNECTIONS_MAX);
    pipeline = number(argv[4], PIPELINE_MAX);
    if (connection_count == 0 || pipeline == 0)
        return usage();
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < connection_count; i++) {
        struct connection *connection = &connections[i];
        connection->fd = connect_to(argv[2]);
        if (protocol->read == postgres_select)
            postgres_log_in(connection->fd);
        if (protocol->read == mariadb_select)
            mariadb_log_in(connection->fd);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            die("epoll_ctl");
    }
    prepare(connections[0].fd);
    (void)printf("ready\n");
    char line[32];
    while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
        unsigned milliseconds = number(line, FAR_MS);
        if (milliseconds == 0)
            return usage();
        load(epoll_fd, (uint64_t)milliseconds * 1000000u);
    }
    return 0;
}
