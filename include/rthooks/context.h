/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_CONTEXT_H
#define RTHOOKS_CONTEXT_H

/*
 * A context is what a thread works on: its labels and its task, one thing to hand over. Work that
 * goes on in a callback or on another thread takes it along:
 *
 *     job->context = rth_context_current();           where the work is queued
 *     …
 *     struct rth_context_token token;                 where it is done
 *     (void)rth_context_attach(job->context, &token);
 *     job->run(job);
 *     (void)rth_context_detach(&token);
 *     rth_context_unref(job->context);
 */

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/* Never changes once made; counted references. NULL is the empty context. */
struct rth_context;

/* What rth_context_detach needs; the caller's memory. All zero: nothing attached. */
struct rth_context_token {
    struct rth_context *context;
    void *thread;
    uint64_t before[4];
};

#ifndef RTHOOKS_DISABLE
/*
 * The calling thread's context.
 *
 * Returns a reference, to be given back by rth_context_unref; NULL, the empty context, when the
 * thread has no labels and runs no task, and also when memory is short.
 *
 * Thread: any. Signal: unsafe. Fork: a child may go on using it. Cost: 30 ns. Since: 0.1.
 */
RTH_API struct rth_context *rth_context_current(void);

/*
 * Makes context the calling thread's, in place of the one that is there.
 *
 * context: NULL for the empty one; kept while it is attached. ret_token: receives what
 * rth_context_detach needs.
 * Returns 0; -EINVAL when ret_token is NULL.
 *
 * Thread: any; any number of threads may have the same context. Attachments of a thread nest, also
 * with blocks of RTH_WITH_LABELS: each puts back what it found. Signal: unsafe. Fork: safe in a
 * child. Cost: 10 ns; a microsecond for a thread's first. Since: 0.1.
 */
RTH_API int rth_context_attach(struct rth_context *context, struct rth_context_token *ret_token);

/*
 * Puts back the context that the calling thread had before.
 *
 * token: as rth_context_attach left it.
 * Returns 0; -EINVAL when token is NULL, was never attached or is detached already; -EPERM when
 * another thread attached it.
 *
 * Thread: the one that attached. Signal: unsafe. Fork: in the thread that forked, as before it.
 * Cost: 10 ns. Since: 0.1.
 */
RTH_API int rth_context_detach(struct rth_context_token *token);

/*
 * One more reference. Returns context. NULL is fine.
 *
 * Thread: any. Signal: safe. Fork: safe. Cost: 5 ns. Since: 0.1.
 */
RTH_API struct rth_context *rth_context_ref(struct rth_context *context);

/*
 * Gives a reference back; the last one frees it. NULL is fine.
 *
 * Thread: any. Signal: unsafe. Fork: safe. Cost: 5 ns, 30 ns for the last. Since: 0.1.
 */
RTH_API void rth_context_unref(struct rth_context *context);
#else
static inline struct rth_context *rth_context_current(void)
{
    return NULL;
}
static inline int rth_context_attach(struct rth_context *context,
                                     struct rth_context_token *ret_token)
{
    (void)context, (void)ret_token;
    return 0;
}
static inline int rth_context_detach(struct rth_context_token *token)
{
    (void)token;
    return 0;
}
static inline struct rth_context *rth_context_ref(struct rth_context *context)
{
    return context;
}
static inline void rth_context_unref(struct rth_context *context)
{
    (void)context;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_CONTEXT_H */
