/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_RTHOOKS_H
#define RTHOOKS_RTHOOKS_H

/*
 * The way in for a service that links rthooks:
 *
 *     struct rth_opts opts = RTH_OPTS_INIT;
 *     opts.service = "checkout";
 *     int error = rth_start(&opts);
 *
 * A program started by `rthooks run` needs none of this: there rth_start returns 0 and fills only
 * what the environment left unset.
 */

#include <rthooks/base.h>
#include <rthooks/error.h>
#include <rthooks/log.h>
#include <rthooks/profile.h>
#include <rthooks/version.h>

RTH_BEGIN_DECLS

/*
 * Flat settings. A NULL string or zero means "not set here": the environment variable named beside
 * each field comes first, then the default. Strings are copied by rth_start.
 */
struct rth_opts {
    size_t struct_size;           /* sizeof(struct rth_opts), set by RTH_OPTS_INIT */
    const char *service;          /* RTHOOKS_SERVICE; default OTEL_SERVICE_NAME, then argv[0] */
    const char *version;          /* RTHOOKS_VERSION */
    const char *revision;         /* RTHOOKS_REVISION */
    const char *admin;            /* RTHOOKS_ADMIN: ADDRESS:PORT or "off" */
    const char *admin_token_file; /* RTHOOKS_ADMIN_TOKEN_FILE: absolute path */
    const char *admin_allow;      /* RTHOOKS_ADMIN_ALLOW: paths separated by commas */
    const char *admin_readonly;   /* RTHOOKS_ADMIN_READONLY: "1" refuses every change */
    const char *public_address;   /* RTHOOKS_PUBLIC: ADDRESS:PORT or "off" */
    const char *fork_mode;        /* RTHOOKS_FORK: "lazy", "now" or "off" */
    const char *log;              /* RTHOOKS_LOG */
};

#ifdef __cplusplus
#define RTH_OPTS_INIT                                                                              \
    rth_opts                                                                                       \
    {                                                                                              \
        sizeof(struct rth_opts)                                                                    \
    }
#else
#define RTH_OPTS_INIT                                                                              \
    {                                                                                              \
        .struct_size = sizeof(struct rth_opts)                                                     \
    }
#endif

/* What runs, for the program's own use; /debug/runtime/status has the details. */
struct rth_status {
    size_t struct_size;            /* in: sizeof(struct rth_status); never written beyond it */
    uint32_t running;              /* 1 between rth_start and rth_stop */
    uint32_t autostarted;          /* 1 when `rthooks run` started it */
    uint32_t interposed;           /* 1 when librthooks_interpose.so is attached */
    uint32_t capabilities_running; /* rows of the capability table by state */
    uint32_t capabilities_off;
    uint32_t capabilities_absent;
    uint32_t capabilities_failed;
    uint32_t admin_port; /* TCP port of the admin listener, 0 while there is none */
};

#ifdef __cplusplus
#define RTH_STATUS_INIT                                                                            \
    rth_status                                                                                     \
    {                                                                                              \
        sizeof(struct rth_status)                                                                  \
    }
#else
#define RTH_STATUS_INIT                                                                            \
    {                                                                                              \
        .struct_size = sizeof(struct rth_status)                                                   \
    }
#endif

#ifndef RTHOOKS_DISABLE
/*
 * Starts the runtime in this process.
 *
 * opts: settings, NULL for defaults.
 * Returns 0, also when `rthooks run` had started it already; -EALREADY after an earlier rth_start;
 * -EINVAL for a malformed setting (from opts or the environment; the log names variable, value and
 * grammar) or a struct_size that is too small; -E2BIG when opts asks for something this build does
 * not know; -EAGAIN or -ENOMEM when the first thread could not be created; -EBUSY when another
 * copy of rthooks owns the process; -ECANCELED with RTHOOKS=off.
 * Capabilities that cannot run are reported in the status; they do not make this fail.
 *
 * Thread: any, one at a time. Signal: unsafe. Fork: see RTHOOKS_FORK. Cost: about 400 us, one
 * thread at once and two more 100 ms later; one more at once where there is a memory limit.
 * Since: 0.1.
 */
RTH_API int rth_start(const struct rth_opts *opts);

/*
 * Stops every capability, joins our threads, closes and removes our sockets.
 *
 * Returns 0; -EALREADY when it does not run; -ETIMEDOUT when a thread of ours did not end within
 * 5 s (it is left behind, idle, and rth_start will refuse with -EBUSY until it ends).
 *
 * Thread: any but ours. Signal: unsafe. Fork: in a child that was not adopted it does nothing and
 * returns -EALREADY. Cost: milliseconds. Since: 0.1.
 */
RTH_API int rth_stop(void);

/*
 * Reads what runs.
 *
 * ret_status: struct_size set by the caller (RTH_STATUS_INIT); the rest is written.
 * Returns 0 or -EINVAL (NULL, or struct_size too small).
 *
 * Thread: any. Signal: unsafe. Fork: a child that was not adopted reads running = 0. Cost: under a
 * microsecond. Since: 0.1.
 */
RTH_API int rth_status_read(struct rth_status *ret_status);

/*
 * Tells rthooks that this process is a copy made by a raw clone or fork system call, which no
 * fork handler sees. It drops all state inherited from the parent; nothing runs afterwards until
 * rth_start, or until the child is adopted as RTHOOKS_FORK says.
 *
 * Returns 0; -EALREADY when the process is not a copy.
 *
 * Thread: the only thread of the child. Signal: safe. Fork: this is its purpose. Cost: under a
 * microsecond. Since: 0.1.
 */
RTH_API int rth_child_reset(void);

/*
 * Checks the RTHOOKS_* variables of an environment against the grammar of every capability, as
 * rth_start would, without starting anything. `rthooks run` uses it to refuse before exec.
 *
 * environment: NULL-terminated "KEY=VALUE" array. ret_message: receives "variable, value,
 * grammar" of the first malformed one, cut at message_size.
 * Returns 0; -EINVAL when a variable is malformed; -ENOENT when all are well-formed but one has a
 * name this version does not know (worth a warning: it may be meant for another version).
 *
 * Thread: any. Signal: unsafe. Fork: safe. Cost: microseconds. Since: 0.1.
 */
RTH_API int rth_environment_check(const char *const *environment, char *ret_message,
                                  size_t message_size);

/*
 * Calls fn once for each RTHOOKS_* variable this build knows: its name, grammar, default and one
 * sentence of documentation; stops early when fn returns non-zero and returns that value.
 *
 * Thread: any. Signal: unsafe. Fork: safe. Cost: microseconds. Since: 0.1.
 */
RTH_API int rth_environment_each(int (*fn)(const char *variable, const char *grammar,
                                           const char *default_text, const char *doc,
                                           void *userdata),
                                 void *userdata);
#else
static inline int rth_start(const struct rth_opts *opts)
{
    (void)opts;
    return 0;
}
static inline int rth_stop(void)
{
    return 0;
}
static inline int rth_status_read(struct rth_status *ret_status)
{
    size_t struct_size = ret_status->struct_size;
    for (size_t i = sizeof(struct_size); i < struct_size; i++)
        ((unsigned char *)ret_status)[i] = 0;
    return 0;
}
static inline int rth_child_reset(void)
{
    return 0;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_RTHOOKS_H */
