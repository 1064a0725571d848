/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_SELECTION_H
#define RTH_TOOLS_PROFILE_SELECTION_H

/* Which samples of a profile are looked at: by regular expressions over the names and files of
 * their frames, and by their labels. */

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "profile/label_filter.h"
#include "profile/profile.h"

struct selection {
    bool has_focus, has_ignore;
    regex_t focus, ignore;
    struct label_filter tag_focus, tag_ignore;
};

/* pattern: POSIX extended; NULL leaves it out. 0, or -EINVAL with one line in ret_message. */
int selection_focus(struct selection *selection, const char *pattern, char *ret_message,
                    size_t message_size);
int selection_ignore(struct selection *selection, const char *pattern, char *ret_message,
                     size_t message_size);
void selection_free(struct selection *selection);

/* One bool per sample, for free. The frames are named already. */
bool *selection_of_samples(const struct selection *selection, const struct profile *profile);

#endif /* RTH_TOOLS_PROFILE_SELECTION_H */
