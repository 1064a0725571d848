/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_LABELS_H
#define RTH_PROFILE_LABELS_H

/*
 * Label sets as labels of a profile. The value of a key that names a secret ("token", "password")
 * is shown as "***". rth-work.
 */

#include <stddef.h>
#include <stdint.h>

#include "formats/pprof_write.h"
#include "profile/comments.h"
#include "record/labelsets.h"

/* The labels of a set, valid for ever; returns their number. */
unsigned rth__profile_labels_read(uint32_t label_set,
                                  struct rth_pprof_label ret_labels[RTH_LABELS_MAX]);

/* Says in the profile that some sets are not themselves, when that ever happened. */
void rth__profile_labels_comment(struct rth_comments *comments);

#endif /* RTH_PROFILE_LABELS_H */
