/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_WAITS_H
#define RTH_TOOLS_PROFILE_WAITS_H

/* Which thread waits for what, who holds that, and where both are: of a list of threads or of a
 * thread dump. */

#include <stdbool.h>

#include "formats/wait_graph.h"
#include "profile/profile.h"

struct waiting_thread {
    int tid;
    const char *name;
    const char *reason;  /* "mutex", "poll"; "": it does not wait, or nobody knows for what */
    const char *object;  /* "0x55…", "": none */
    const char *held_by; /* "124 "worker""; "": not known */
    int holder_tid;      /* 0: not known, or no thread */
    double seconds;      /* it waits; below 0: not known */
    const char *place;   /* "transfer", "transfer (bank.c:31)"; "": not known */
};

/* Zeros are an empty set. */
struct waits {
    struct waiting_thread *threads;
    size_t count, capacity;
    struct rth_wait_graph graph; /* after waits_solve; nodes are threads by number */
    struct rth_wait_node *nodes;
    void *graph_memory;
    struct pool pool;
};

/* The texts are copied. A thread that is there already, or has no number, is left out. */
void waits_add(struct waits *waits, const struct waiting_thread *thread);
/* Every thread of a dump, by its labels. After profile_name_frames. */
void waits_add_profile(struct waits *waits, const struct profile *profile);
/* Once, when all are there. */
void waits_solve(struct waits *waits);
/* Files and lines of where threads are, of those that a dump finds in the same function. */
void waits_refine(struct waits *waits, const struct profile *profile);
void waits_free(struct waits *waits);

/* Whether others may wait in a circle for it: "mutex", "rwlock read", "rwlock write". */
bool waits_is_lock(const char *reason);

/* Labels of a sample. "" and 0 where it has none of that key. */
const char *sample_text(const struct profile *profile, uint32_t sample, const char *key);
int64_t sample_number(const struct profile *profile, uint32_t sample, const char *key);

#endif /* RTH_TOOLS_PROFILE_WAITS_H */
