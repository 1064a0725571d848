/* SPDX-License-Identifier: MIT */
#include "profile/selection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int compile(regex_t *expression, bool *has, const char *pattern, char *ret_message,
                   size_t message_size)
{
    if (pattern == NULL)
        return 0;
    int code = regcomp(expression, pattern, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        *has = true;
        return 0;
    }
    char detail[128];
    (void)regerror(code, expression, detail, sizeof(detail));
    snprintf(ret_message, message_size, "'%s' is no regular expression: %s", pattern, detail);
    return -EINVAL;
}

int selection_focus(struct selection *selection, const char *pattern, char *ret_message,
                    size_t message_size)
{
    return compile(&selection->focus, &selection->has_focus, pattern, ret_message, message_size);
}

int selection_ignore(struct selection *selection, const char *pattern, char *ret_message,
                     size_t message_size)
{
    return compile(&selection->ignore, &selection->has_ignore, pattern, ret_message, message_size);
}

void selection_free(struct selection *selection)
{
    if (selection->has_focus)
        regfree(&selection->focus);
    if (selection->has_ignore)
        regfree(&selection->ignore);
    label_filter_free(&selection->tag_focus);
    label_filter_free(&selection->tag_ignore);
    *selection = (struct selection){0};
}

static bool matches(const regex_t *expression, const struct frames *frames)
{
    for (uint32_t i = 0; i < frames->count; i++) {
        const struct frame *frame = &frames->list[i];
        if (regexec(expression, frame->name, 0, NULL, 0) == 0 ||
            (frame->file[0] != '\0' && regexec(expression, frame->file, 0, NULL, 0) == 0))
            return true;
    }
    return false;
}

static bool labels_wanted(const struct selection *selection, const struct profile *profile,
                          uint32_t sample)
{
    const struct label_filter *focus = &selection->tag_focus, *ignore = &selection->tag_ignore;
    return (!focus->is_given || label_filter_matches(focus, profile, sample)) &&
           !(ignore->is_given && label_filter_matches(ignore, profile, sample));
}

bool *selection_of_samples(const struct selection *selection, const struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    bool *wanted = take(document->sample_count, sizeof(*wanted));
    bool *focused = take(document->location_count, sizeof(*focused));
    bool *ignored = take(document->location_count, sizeof(*ignored));
    for (uint32_t row = 0; row < document->location_count; row++) {
        focused[row] =
            !selection->has_focus || matches(&selection->focus, &profile->locations[row]);
        ignored[row] =
            selection->has_ignore && matches(&selection->ignore, &profile->locations[row]);
    }
    for (uint32_t row = 0; row < document->sample_count; row++) {
        const struct rth_pprof_sample_row *sample = &document->samples[row];
        bool in_focus = !selection->has_focus, is_ignored = false;
        for (uint32_t i = 0; i < sample->location_count; i++) {
            uint32_t location = document->sample_locations[sample->first_location + i];
            in_focus |= focused[location];
            is_ignored |= ignored[location];
        }
        wanted[row] = in_focus && !is_ignored && labels_wanted(selection, profile, row);
    }
    free(focused);
    free(ignored);
    return wanted;
}
