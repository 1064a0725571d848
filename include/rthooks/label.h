/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_LABEL_H
#define RTHOOKS_LABEL_H

/*
 * Labels say on whose account a thread works. Every profile has them:
 *
 *     RTH_WITH_LABELS("handler", "/checkout", "tenant", tenant_name) {
 *         checkout(request);
 *     }
 *
 * A block adds its labels to those that are there, and replaces those of the same key; what was
 * there before is back when the block ends. An empty value ("" or NULL) takes the key away.
 *
 * Kept are 16 labels at a time, keys of at most 64 bytes and values of at most 256 bytes of UTF-8
 * (longer ones are cut at a character), some 16,000 different strings and some 16,000 different
 * sets of labels in the life of a process. When that room is used up, new sets become the one
 * label rthooks="label sets overflowed". So label with what has few values, a route and not a
 * request's number. The status of rthooks counts what was left out. docs/labels.md has more.
 */

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/* Labels made ready once, to be used any number of times and by any number of threads. */
struct rth_labels;

#ifndef RTHOOKS_DISABLE
/*
 * Makes labels ready for rth_do.
 *
 * keys_and_values: {key, value, key, value, …}, copied. count: of the strings, thus even.
 * ret_labels: receives the labels, given back by rth_labels_free.
 * Returns 0; -EINVAL for an odd count or a key that is NULL or ""; -E2BIG for more than 16 labels;
 * -ENOMEM when memory is short; -ENOSPC when the table of strings is full.
 *
 * Thread: any. Signal: unsafe. Fork: a child may go on using them. Cost: about 100 ns, and 20
 * more per label. Since: 0.1. Source: runtime/pprof.Labels of Go.
 */
RTH_API int rth_labels_new(const char *const *keys_and_values, size_t count,
                           struct rth_labels **ret_labels);

/*
 * Gives labels back. NULL is fine. What runs with them keeps them.
 *
 * Thread: any. Signal: unsafe. Fork: safe. Cost: under 100 ns. Since: 0.1.
 */
RTH_API void rth_labels_free(struct rth_labels *labels);

/*
 * The number of the calling thread's label set. For the macros below: read it and write it by no
 * other way.
 *
 * Thread: each has its own. Signal: safe. Fork: kept. Cost: a load. Since: 0.1.
 */
extern RTH_API __thread uint32_t rth_label_current __attribute__((tls_model("initial-exec")));

/*
 * Puts labels on top of the calling thread's. For RTH_WITH_LABELS, which takes them off again.
 *
 * site: what a call site of literals remembers, NULL for a call with other strings.
 * keys_and_values, count: as of rth_labels_new, but a label without a key is left out.
 * Returns what to put back into rth_label_current.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: 20 ns and 20 more per label; a
 * microsecond for a thread's first. Since: 0.1.
 */
RTH_API uint32_t rth_label_enter(uint64_t *site, const char *const *keys_and_values, size_t count);

/*
 * The same for labels that are ready. For rth_do. NULL leaves them as they are.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: 5 ns, or 20 ns when the calling
 * thread's labels are others than those of the last call. Since: 0.1.
 */
RTH_API uint32_t rth_labels_enter(struct rth_labels *labels);

/* What a block has to put back; ended says that its one round is over. */
struct rth_label_scope {
    uint32_t before;
    uint32_t ended;
};

static inline void rth_label_leave(struct rth_label_scope *scope)
{
    __atomic_store_n(&rth_label_current, scope->before, __ATOMIC_RELAXED);
}

/* A call site that was last entered with the labels that are there now knows the result: the low
 * half of the word is what it came from, the high half what it became. */
static inline int rth_label_enter_again(const uint64_t *site, struct rth_label_scope *ret_scope)
{
    uint64_t known = __atomic_load_n(site, __ATOMIC_ACQUIRE);
    uint32_t before = __atomic_load_n(&rth_label_current, __ATOMIC_RELAXED);
    if (__builtin_expect((uint32_t)known != before, 0))
        return 0;
    __atomic_store_n(&rth_label_current, (uint32_t)(known >> 32), __ATOMIC_RELAXED);
    ret_scope->before = before;
    ret_scope->ended = 0;
    return 1;
}

/*
 * Calls fn(argument) with labels on top of the calling thread's. They are taken off again when fn
 * returns, and when an exception passes (in C when compiled with -fexceptions); a longjmp out of fn
 * leaves them, as it does in RTH_WITH_LABELS.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: see rth_labels_enter. Since: 0.1.
 * Source: runtime/pprof.Do of Go.
 */
static inline void rth_do(struct rth_labels *labels, void (*fn)(void *argument), void *argument)
{
    struct rth_label_scope scope
        __attribute__((cleanup(rth_label_leave), unused)) = {rth_labels_enter(labels), 0};
    fn(argument);
}
#else
static inline int rth_labels_new(const char *const *keys_and_values, size_t count,
                                 struct rth_labels **ret_labels)
{
    (void)keys_and_values, (void)count;
    *ret_labels = NULL;
    return 0;
}
static inline void rth_labels_free(struct rth_labels *labels)
{
    (void)labels;
}
static inline void rth_do(struct rth_labels *labels, void (*fn)(void *argument), void *argument)
{
    (void)labels;
    fn(argument);
}
static inline int rth_label_ignore(const char *key, ...)
{
    (void)key;
    return 1;
}
#endif

RTH_END_DECLS

#define RTH_LABEL_JOIN_2(a, b) a##b
#define RTH_LABEL_JOIN(a, b)   RTH_LABEL_JOIN_2(a, b)

/*
 * RTH_WITH_LABELS(key, value, …) { … }: runs the block that follows with up to 8 labels more.
 *
 * key, value: strings, NUL-terminated; they need not outlive the block's first instruction. A key
 * that is NULL or "" is left out, a value that is NULL or "" takes its key away.
 * The labels before the block are back however it ends: at its end, by return, goto, break or
 * continue (which end the block, as it is a loop of one round), by an exception (C++, and C with
 * -fexceptions), by pthread_exit and cancellation where they unwind (the same). A longjmp out of it
 * runs nothing: the labels stay until a block around it ends, or until the next
 * rth_context_attach or _detach. Must not be jumped into.
 * A thread that is created inside the block has its labels when librthooks_interpose.so is
 * attached, else none; rth_context_attach hands them over by hand.
 *
 * Thread: any. Signal: unsafe in a handler. Fork: a child goes on with the labels. Cost: 2 ns when
 * all arguments are string literals and the labels around the block are those of the last time;
 * else 20 ns and 20 more per label; no allocation. Since: 0.1.
 */
#ifndef RTHOOKS_DISABLE
/* A site that was never entered: RTH_LABEL_NOWHERE is never current. */
#define RTH_LABEL_UNSEEN  UINT32_C(0xffffffff)
#define RTH_LABEL_NOWHERE UINT64_C(0xfffffffe)

#define RTH_LABEL_LITERAL_2(k, v) (__builtin_constant_p(k) && __builtin_constant_p(v))
#define RTH_LABEL_LITERAL_4(k, v, ...)                                                             \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_2(__VA_ARGS__))
#define RTH_LABEL_LITERAL_6(k, v, ...)                                                             \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_4(__VA_ARGS__))
#define RTH_LABEL_LITERAL_8(k, v, ...)                                                             \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_6(__VA_ARGS__))
#define RTH_LABEL_LITERAL_10(k, v, ...)                                                            \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_8(__VA_ARGS__))
#define RTH_LABEL_LITERAL_12(k, v, ...)                                                            \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_10(__VA_ARGS__))
#define RTH_LABEL_LITERAL_14(k, v, ...)                                                            \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_12(__VA_ARGS__))
#define RTH_LABEL_LITERAL_16(k, v, ...)                                                            \
    (RTH_LABEL_LITERAL_2(k, v) && RTH_LABEL_LITERAL_14(__VA_ARGS__))
/* An odd number of strings has no such macro, and does not compile. */
#define RTH_LABEL_COUNT_2(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count
#define RTH_LABEL_COUNT(...)                                                                       \
    RTH_LABEL_COUNT_2(__VA_ARGS__, 16, ODD, 14, ODD, 12, ODD, 10, ODD, 8, ODD, 6, ODD, 4, ODD, 2,  \
                      ODD, 0)
#define RTH_LABEL_LITERAL(...)                                                                     \
    RTH_LABEL_JOIN(RTH_LABEL_LITERAL_, RTH_LABEL_COUNT(__VA_ARGS__))(__VA_ARGS__)

/* Whether all are literals is settled here, in a constant: later an inlined function's argument
 * would pass for one, whose copies share a site. */
#ifdef __cplusplus
#define RTH_LABEL_CONSTANT(name, value) constexpr bool name = value
#else
#define RTH_LABEL_CONSTANT(name, value) enum { name = value }
#endif
#define RTH_LABEL_SCOPE(...)                                                                       \
    __extension__({                                                                                \
        RTH_LABEL_CONSTANT(rth_literal_, RTH_LABEL_LITERAL(__VA_ARGS__));                          \
        static uint64_t rth_site_ = RTH_LABEL_NOWHERE;                                             \
        struct rth_label_scope rth_new_;                                                           \
        if (!rth_literal_ || !rth_label_enter_again(&rth_site_, &rth_new_)) {                      \
            const char *const rth_pairs_[] = {__VA_ARGS__};                                        \
            rth_new_.before = rth_label_enter(rth_literal_ ? &rth_site_ : NULL, rth_pairs_,        \
                                              sizeof(rth_pairs_) / sizeof(rth_pairs_[0]));         \
            rth_new_.ended = 0;                                                                    \
        }                                                                                          \
        rth_new_;                                                                                  \
    })

#define RTH_WITH_LABELS(...) RTH_LABEL_BLOCK(RTH_LABEL_JOIN(rth_scope_, __LINE__), __VA_ARGS__)
#define RTH_LABEL_BLOCK(scope, ...)                                                                \
    for (struct rth_label_scope scope                                                              \
         __attribute__((cleanup(rth_label_leave))) = RTH_LABEL_SCOPE(__VA_ARGS__);                 \
         !scope.ended; scope.ended = 1)
#else
#define RTH_WITH_LABELS(...) RTH_LABEL_BLOCK(RTH_LABEL_JOIN(rth_scope_, __LINE__), __VA_ARGS__)
#define RTH_LABEL_BLOCK(scope, ...)                                                                \
    for (int scope = rth_label_ignore(__VA_ARGS__); scope; scope = 0)
#endif

#endif /* RTHOOKS_LABEL_H */
