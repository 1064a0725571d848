/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_VIEW_H
#define RTH_PROFILE_THREADS_VIEW_H

/*
 * A dump as people look at it: names of functions, what each thread waits for and who holds that,
 * who waits in a circle. Shared by all forms of a dump. rth-work.
 */

#include "formats/wait_graph.h"
#include "profile/encode.h"
#include "profile/threads/stacks.h"
#include "symbols/symbols.h"

#define RTH_VIEW_NAME_BYTES 160
#define RTH_VIEW_WAIT_BYTES 400

struct rth_thread_view {
    const struct rth_thread_stacks *stacks;
    struct rth_symbol_set *symbols; /* NULL: no names */
    struct rth_wait_graph graph;    /* its nodes are the threads, by number */
    struct rth_wait_node *nodes;
    void *graph_memory;
    size_t nodes_bytes, graph_bytes;
};

enum rth_view_names {
    RTH_VIEW_NAMES_BIRTHS, /* of where threads were created, and of the calls they wait in */
    RTH_VIEW_NAMES_ALL,    /* of all stacks as well */
};

/* 0, -ECANCELED, -ENOMEM; nothing is to be freed then. naming->symbols false: no names. */
int rth__thread_view_make(const struct rth_thread_stacks *stacks, enum rth_view_names names,
                          const struct rth_profile_naming *naming,
                          struct rth_thread_view *ret_view);
void rth__thread_view_free(struct rth_thread_view *view);

/* Whether code of that frame lies below the program: the C and C++ libraries, and ours. */
bool rth__thread_view_is_below(rth_frame frame);
/* Number of the first frame that does not: where the program is; 0 when there is none. */
unsigned rth__thread_view_place(const rth_frame *frames, unsigned count);
/* "transfer", "server+0x1234" where no name is known. One line; returns ret_name. */
const char *rth__thread_view_name(const struct rth_thread_view *view, rth_frame frame,
                                  char ret_name[RTH_VIEW_NAME_BYTES]);
/* What it waits for: "mutex", "poll", "" when that is not known. Returns ret_reason. */
const char *rth__thread_view_reason(const struct rth_thread_view *view,
                                    const struct rth_thread_stack *thread,
                                    char ret_reason[RTH_VIEW_NAME_BYTES]);
/* Who holds that: "124 "worker"", "3 readers", "124, which has ended"; "" when it is not known.
 * Returns ret_holder. */
const char *rth__thread_view_held_by(const struct rth_thread_view *view, size_t index,
                                     char ret_holder[RTH_VIEW_NAME_BYTES]);
/* "mutex 0x55… held by 124 "worker" since 1.2 s", "poll", "" when nothing is known. */
const char *rth__thread_view_wait(const struct rth_thread_view *view, size_t index,
                                  char ret_wait[RTH_VIEW_WAIT_BYTES]);

/* Who holds what that thread waits for. */
enum rth_view_holder {
    RTH_VIEW_HOLDER_UNKNOWN,
    RTH_VIEW_HOLDER_LISTED,  /* graph.holder is it */
    RTH_VIEW_HOLDER_ENDED,   /* it has ended without giving the lock back */
    RTH_VIEW_HOLDER_NEW,     /* it is newer than the list of threads */
    RTH_VIEW_HOLDER_FOREIGN, /* of a lock that processes may share: no thread of ours */
    RTH_VIEW_HOLDER_READERS,
};
enum rth_view_holder rth__thread_view_holder(const struct rth_thread_view *view, size_t index);

#endif /* RTH_PROFILE_THREADS_VIEW_H */
