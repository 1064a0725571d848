/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_SERVER_H
#define RTH_ADMIN_SERVER_H

/*
 * What the files of the admin server share. Everything here belongs to rth-admin unless a field
 * says otherwise; src/admin/admin.c has the essay.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/address.h"
#include "admin/admin.h"
#include "admin/auth.h"
#include "admin/body.h"
#include "admin/http_request.h"
#include "admin/response_head.h"
#include "admin/route.h"
#include "core/artefact.h"
#include "core/work.h"

#define RTH_ADMIN_SLOTS 1200
#define RTH_NEVER_NS    INT64_MAX

/* Deadlines and sizes; tests shorten them before the server starts, nothing else writes them. */
struct rth_admin_limits {
    int64_t head_ns;  /* from the first byte of a request to its last */
    int64_t write_ns; /* without any progress of a write */
    int64_t idle_ns;  /* keep-alive without a request */
    int64_t drain_ns; /* after our last byte, until the client closes */
    int64_t start_delay_ns;
    int64_t ids_stable_ns; /* sockets open once the effective ids have not changed for so long */
    int64_t tick_opening_ns, tick_ns;
    int64_t relay_head_ns; /* another process's answer: longer than any capture */
    unsigned slots;        /* connections at a time, <= RTH_ADMIN_SLOTS */
};
extern struct rth_admin_limits rth__admin_limits;

/* Why a request or connection was not served, counted for the status route. */
enum rth_admin_reject {
    RTH_REJECT_MALFORMED,
    RTH_REJECT_HOST,
    RTH_REJECT_ORIGIN,
    RTH_REJECT_TOKEN,
    RTH_REJECT_PEER,
    RTH_REJECT_NOT_ALLOWED,
    RTH_REJECT_READ_ONLY,
    RTH_REJECT_NOT_FOUND,
    RTH_REJECT_METHOD,
    RTH_REJECT_HEAD_TIMEOUT,
    RTH_REJECT_WRITE_TIMEOUT,
    RTH_REJECT_EVICTED,
    RTH_REJECT_MEMORY,
    RTH_REJECT_COUNT,
};

/* Written by rth-admin, read by the status route. */
struct rth_admin_counters {
    _Atomic uint64_t accepted, requests, hang_ups;
    _Atomic uint64_t rejected[RTH_REJECT_COUNT];
    _Atomic uint32_t open_connections, open_exchanges;
};
extern struct rth_admin_counters rth__admin_counters;

enum rth_admin_via { RTH_VIA_TCP, RTH_VIA_PUBLIC, RTH_VIA_UNIX, RTH_VIA_COUNT };

/* What an epoll event is about: kind << 56 | slot << 32 | generation. */
enum rth_admin_event {
    RTH_EVENT_LISTENER, /* slot: enum rth_admin_via */
    RTH_EVENT_WORK,     /* the ready list has something */
    RTH_EVENT_FIRST,    /* the first process of the family ended */
    RTH_EVENT_CONN,
    RTH_EVENT_RELAY, /* slot and generation of the connection it serves */
};
static inline uint64_t rth__admin_event(enum rth_admin_event kind, unsigned slot,
                                        uint32_t generation)
{
    return (uint64_t)kind << 56 | (uint64_t)slot << 32 | generation;
}

/* From the options; set before the thread starts, constant then but for the token. */
struct rth_admin_config {
    struct rth_address tcp, public_tcp;
    const char *public_refusal; /* why the public listener stays closed, NULL: it does not */
    const char *allow_list;
    const char *xdg_runtime_dir;
    bool read_only;
    struct rth_token_file token;
};

enum rth_conn_state {
    RTH_CONN_FREE,
    RTH_CONN_READING,   /* a request, or nothing yet */
    RTH_CONN_ANSWERING, /* exchange != NULL */
    RTH_CONN_DRAINING,  /* our side is shut; what still comes is thrown away, so that the client
                           reads the answer instead of a reset */
};

struct rth_exchange;

struct rth_conn {
    int fd;
    uint32_t generation; /* of the slot: an event of a former connection is recognized */
    uint32_t events;     /* as epoll has them */
    uint8_t state;       /* enum rth_conn_state */
    uint8_t via;         /* enum rth_admin_via */
    bool peer_refused;   /* Unix socket, another user */
    bool half_closed;    /* the client shut its side */
    bool sent_continue;
    bool runnable; /* more to do without any event */
    uint32_t drained_bytes;
    int64_t active_ns;   /* last byte either way */
    int64_t deadline_ns; /* what it means depends on state */
    char *in;            /* arena; NULL while no byte is there */
    uint32_t in_capacity, in_used;
    struct rth_exchange *exchange;
};

/* Bounds the head of an answer: see struct rth_answer. */
#define RTH_ADMIN_HEAD_BYTES 1024

struct rth_answer {
    int status;
    char content_type[96];
    char filename[64]; /* of an attachment, "" for none */
    char clamped[64];
    const char *allow;    /* static text or NULL */
    const char *location; /* static text or NULL */
    bool is_pprof;        /* errors carry X-Go-Pprof: 1 */
};

enum rth_exchange_phase {
    RTH_PHASE_BEGIN,  /* begin is to run, or runs */
    RTH_PHASE_WAIT,   /* begin or step asked to wait */
    RTH_PHASE_STEP,   /* the wait is over: step is to run, or runs */
    RTH_PHASE_WRITE,  /* write is to run, or runs */
    RTH_PHASE_CANCEL, /* cancel is to run, or runs */
    RTH_PHASE_RELAY,  /* another process answers */
    RTH_PHASE_DONE,   /* answer, body and result are final */
    RTH_PHASE_CANCELLED,
};

#define RTH_EXCHANGE_QUEUED    1u /* on the ready list */
#define RTH_EXCHANGE_COMPLETED 2u /* the worker has let go of it */

struct rth_relay;

/* One request and its answer. */
struct rth_exchange {
    struct rth_work_item item; /* first: the queue hands it back */
    struct rth_admin_server *server;
    struct rth_exchange *next_ready;
    struct rth_exchange *next, *previous; /* all of them */
    struct rth_conn *conn;                /* NULL once nobody waits for it */

    /* Shared with the worker. */
    _Atomic uint32_t state;    /* RTH_EXCHANGE_* */
    _Atomic bool gone;         /* nobody takes the answer: writes fail */
    _Atomic bool hung_up;      /* the client shut its side: stop early if you can */
    _Atomic bool answer_fixed; /* answer is final (release) */

    /* The worker's between submit and completion, rth-admin's otherwise. */
    uint8_t phase; /* enum rth_exchange_phase */
    int result;    /* 0, or why the body is not whole */
    int64_t wait_ns;
    int64_t polled_ns;
    struct rth_answer answer;
    struct rth_body body;
    struct rth_sink sink;
    const struct rth_action *action;
    struct rth_call call;

    /* rth-admin's. */
    bool submitted;
    bool head_built, tail_built;
    bool keep_alive;
    uint8_t framing; /* enum rth_response_framing */
    uint16_t head_bytes, head_offset;
    struct rth_relay *relay;
    char *buffer; /* arena; what request points into */
    uint32_t buffer_bytes;
    char accept[256];
    char head[RTH_ADMIN_HEAD_BYTES]; /* at the end the last chunk */
    struct rth_http_request request;
};

struct rth_admin_server {
    struct rth_admin_config *config;
    _Atomic uint32_t *stop; /* futex word, set by a host thread */
    int epoll_fd, work_fd, first_fd;
    bool works_inline; /* adopted child: calls run on this thread */
    int64_t now_ns;    /* of this turn of the loop */

    int listeners[RTH_VIA_COUNT]; /* -1 while closed */
    struct rth_address bound[RTH_VIA_COUNT];
    int rundir_fd; /* folder of our socket, -1 */
    bool sockets_open, retry_tcp, swept;
    uint32_t euid, egid; /* as last seen */
    int64_t ids_since_ns;
    pid_t pid, watched_pid; /* of the first process; 0: none to watch */
    uint64_t watched_starttime;
    size_t burial_cursor;

    struct rth_conn *conns; /* [RTH_ADMIN_SLOTS] */
    unsigned conn_limit, conn_count, conn_high;
    int64_t next_deadline_ns; /* not later than any connection's */
    bool any_runnable;
    struct rth_exchange *exchanges;
    struct rth_exchange *_Atomic ready; /* pushed by any thread, taken by rth-admin */
};

/* server.c */
void rth__admin_loop(struct rth_admin_server *server);
/* Makes end possible whatever init did. */
void rth__admin_server_prepare(struct rth_admin_server *server);
int rth__admin_server_init(struct rth_admin_server *server);
void rth__admin_server_end(struct rth_admin_server *server);
int rth__admin_watch(struct rth_admin_server *server, int fd, uint32_t events, uint64_t data);
void rth__admin_deadline(struct rth_admin_server *server, struct rth_conn *conn,
                         int64_t deadline_ns);
/* Any thread. */
void rth__admin_push_ready(struct rth_exchange *exchange);
static inline void rth__admin_reject(enum rth_admin_reject cause)
{
    atomic_fetch_add_explicit(&rth__admin_counters.rejected[cause], 1, memory_order_relaxed);
}

/* conn.c */
void rth__conn_accept(struct rth_admin_server *server, enum rth_admin_via via);
void rth__conn_event(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events);
void rth__conn_advance(struct rth_admin_server *server, struct rth_conn *conn);
void rth__conn_expire(struct rth_admin_server *server, struct rth_conn *conn);
void rth__conn_close(struct rth_admin_server *server, struct rth_conn *conn);

/* exchange.c */
struct rth_exchange *rth__exchange_new(struct rth_admin_server *server, struct rth_conn *conn);
/* An answer of one line, at once. */
void rth__exchange_fail(struct rth_exchange *exchange, int status, const char *text);
/* Runs the artefact or action. */
void rth__exchange_call(struct rth_exchange *exchange, const struct rth_artefact *artefact,
                        const struct rth_action *action, const char *subpath);
/* The wait between begin and write is over. */
void rth__exchange_resume(struct rth_exchange *exchange);
/* From the ready list. True when the connection (if any) has something to do. */
bool rth__exchange_ready(struct rth_exchange *exchange);
/* The connection ended: stops the call, frees the exchange now or when the worker lets go. */
void rth__exchange_abandon(struct rth_exchange *exchange);
void rth__exchange_free(struct rth_exchange *exchange);
int rth__exchange_status_of(int error);
/* For rth__work_stop: an item that never ran. */
void rth__exchange_drop(struct rth_work_item *item);
/* Producer: body bytes with the hand-over rules. */
int rth__exchange_write(struct rth_exchange *exchange, const void *data, size_t size_bytes);
void rth__exchange_error_answer(struct rth_exchange *exchange, int status, const char *text);
/* Producer on rth-admin: nothing more comes. result 0, or a negative errno: the answer is cut. */
void rth__exchange_finish(struct rth_exchange *exchange, int result);

/* send.c */
enum rth_send_result {
    RTH_SEND_ERROR = -1, /* the connection must be cut */
    RTH_SEND_DONE,
    RTH_SEND_BLOCKED, /* the socket is full */
    RTH_SEND_EMPTY,   /* more is being written */
    RTH_SEND_MORE,    /* this turn's share is used up */
};
/* Sends what there is, in bounded pieces. */
enum rth_send_result rth__exchange_send(struct rth_exchange *exchange, int fd);

/* serve.c: policy and routing of a whole request; ends with a call, a relay or a failure. */
void rth__serve(struct rth_exchange *exchange);

/* listener.c */
void rth__listeners_tick(struct rth_admin_server *server);
void rth__listeners_close(struct rth_admin_server *server);
struct rth_admin_ids {
    uint32_t euid, egid;
    int64_t since_ns;
};
void rth__listeners_ids_now(struct rth_admin_ids *ret_ids);
/* Seen before the loop began: the wait for them to settle counts from then. */
void rth__listeners_known_ids(struct rth_admin_server *server, const struct rth_admin_ids *ids);

/* watch.c */
void rth__watch_tick(struct rth_admin_server *server);
void rth__watch_first_ended(struct rth_admin_server *server);
void rth__watch_close(struct rth_admin_server *server);

/* relay.c */
/* True when the request names another process: the exchange is then answered or being relayed. */
bool rth__relay_wanted(struct rth_exchange *exchange);
void rth__relay_event(struct rth_exchange *exchange, uint32_t events);
/* The client took some: reading may go on. */
void rth__relay_drained(struct rth_exchange *exchange);
void rth__relay_expire(struct rth_exchange *exchange);
void rth__relay_close(struct rth_exchange *exchange);

/* admin.c: addresses shown to others, under their lock. */
void rth__admin_publish(enum rth_admin_via via, const char *address, const char *reason,
                        uint16_t port);

#endif /* RTH_ADMIN_SERVER_H */
