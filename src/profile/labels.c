/* SPDX-License-Identifier: MIT */
#include "profile/labels.h"

#include <string.h>

#include "core/redact.h"

unsigned rth__profile_labels_read(uint32_t label_set,
                                  struct rth_pprof_label ret_labels[RTH_LABELS_MAX])
{
    struct rth_label labels[RTH_LABELS_MAX];
    unsigned count = rth__label_set_read(label_set, labels);
    for (unsigned i = 0; i < count; i++) {
        const char *key = labels[i].key;
        bool is_secret = rth__redact_is_secret_name(key, strlen(key));
        ret_labels[i] = (struct rth_pprof_label){
            .key = key,
            .text = is_secret ? "***" : labels[i].value,
        };
    }
    return count;
}

void rth__profile_labels_comment(struct rth_comments *comments)
{
    struct rth_label_counts counts;
    rth__label_counts_read(&counts);
    if (counts.overflowed_sets + counts.overflowed_strings > 0)
        rth__comments_add(comments,
                          "label sets overflowed: %llu blocks so far found no room for their set, "
                          "%llu for a string (%u sets, %u strings are kept)",
                          (unsigned long long)counts.overflowed_sets,
                          (unsigned long long)counts.overflowed_strings, counts.sets,
                          counts.strings);
}
