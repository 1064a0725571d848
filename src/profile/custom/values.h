/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CUSTOM_VALUES_H
#define RTH_PROFILE_CUSTOM_VALUES_H

/* The program's own profiles, by index, and what is in them: the other side of rthooks/profile.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/sites.h"

#define RTH_CUSTOM_PROFILES_MAX 16u
#define RTH_CUSTOM_VALUES_MAX   (1u << 17) /* of all profiles together */
#define RTH_CUSTOM_TASKS_MAX    (1u << 17)

_Static_assert(RTH_CUSTOM_PROFILES_MAX < RTH_SITE_KINDS_MAX,
               "each profile is a kind of site, that of tasks too");

/* Values are recorded from here on, and there are none. 0 or -ENOMEM. */
int rth__custom_start(void);
/* In an adopted child: the profiles stay, what was in them does not. */
void rth__custom_child_reset(void);

/* The profile that was made as the index-th, NULL behind the last. Never goes. Lock-free. */
struct rth_profile *rth__custom_at(size_t index);
struct rth_profile *rth__custom_find(const char *name);
const char *rth__custom_name(const struct rth_profile *profile);
/* In the copies of the sites below. */
uint32_t rth__custom_kind(const struct rth_profile *profile);

/* The profile of tasks is of the same make: always there, in no list, and with room of its own. */
struct rth_profile *rth__custom_tasks(void);
/* rth_profile_add for a caller that has a label set of its own, and knows whose function it is that
 * return_address leads back to. The same errors. */
int rth__custom_add(struct rth_profile *profile, uintptr_t key, uint32_t label_set,
                    uintptr_t return_address);
/* The identity of the site that a value was added at, 0 when it is not there. Any thread. */
uint64_t rth__custom_site_of(struct rth_profile *profile, uintptr_t key);

/* Values whose stack waits for unwind rows; resolve walks those, on rth-work after a refresh. */
uint32_t rth__custom_early_count(void);
void rth__custom_resolve(void);

/* The sites of all profiles: the count of a row is the number of its values. */
int rth__custom_sites_copy(struct rth_sites_copy *ret_copy);

struct rth_custom_counts {
    uint64_t values;         /* in the profile now */
    uint64_t values_max;     /* of this profile, or of all that share the room */
    uint64_t refused_full;   /* adds, because there were so many */
    uint64_t refused_memory; /* adds, for want of memory */
    bool forked;             /* what was added before the fork is not here */
};
void rth__custom_counts(struct rth_profile *profile, struct rth_custom_counts *ret_counts);
/* Bytes of the sets of all profiles. */
uint64_t rth__custom_bytes(void);

#endif /* RTH_PROFILE_CUSTOM_VALUES_H */
