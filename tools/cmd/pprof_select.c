/* SPDX-License-Identifier: MIT */
/* Which samples `rthooks pprof` shows, and which labels it makes frames of. */

#include "cmd/pprof.h"

#include "profile/label_text.h"

#define MESSAGE_BYTES 512

static int parse_keys(const char *option, const char *text, struct label_keys *ret_keys)
{
    if (text != NULL && !label_keys_parse(text, ret_keys))
        return usage_error("%s takes at most %d keys", option, LABEL_KEYS_MAX);
    return EXIT_FINE;
}

static int parse_filter(const char *option, const char *spec, struct label_filter *ret_filter)
{
    char message[MESSAGE_BYTES];
    if (spec != NULL && label_filter_parse(spec, ret_filter, message, sizeof(message)) != 0)
        return usage_error("%s: %s", option, message);
    return EXIT_FINE;
}

int pprof_select(struct pprof_options *options)
{
    struct selection *selection = &options->selection;
    char message[MESSAGE_BYTES];
    if (selection_focus(selection, options->focus_pattern, message, sizeof(message)) != 0 ||
        selection_ignore(selection, options->ignore_pattern, message, sizeof(message)) != 0)
        return usage_error("%s", message);
    int status = parse_filter("--tagfocus", options->tag_focus_spec, &selection->tag_focus);
    if (status == EXIT_FINE)
        status = parse_filter("--tagignore", options->tag_ignore_spec, &selection->tag_ignore);
    if (status == EXIT_FINE)
        status = parse_keys("--tagroot", options->tag_root_keys, &options->tag_roots);
    if (status == EXIT_FINE)
        status = parse_keys("--tagleaf", options->tag_leaf_keys, &options->tag_leaves);
    return status;
}

void pprof_select_free(struct pprof_options *options)
{
    selection_free(&options->selection);
    label_keys_free(&options->tag_roots);
    label_keys_free(&options->tag_leaves);
}

static void warn_filter(const struct pprof_input *inputs, size_t count, const char *option,
                        const struct label_filter *filter)
{
    if (!filter->is_given)
        return;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t row = 0; row < inputs[i].profile.document.sample_count; row++) {
            if (label_filter_matches(filter, &inputs[i].profile, row))
                return;
        }
    }
    warning("%s matches no sample%s", option,
            filter->is_range ? "; it was read as a range of numbers" : "");
}

static void warn_key(const struct pprof_input *inputs, size_t count, const char *option,
                     const char *key)
{
    struct label_buffer buffer = {0};
    char clean[128];
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        for (uint32_t row = 0; row < inputs[i].profile.document.sample_count && !found; row++)
            found = labels_of_sample(&inputs[i].profile, row, key, true, &buffer) != NULL;
    }
    label_buffer_free(&buffer);
    if (!found)
        warning("%s: no sample has the label '%s'", option, printable(key, clean, sizeof(clean)));
}

void pprof_warn_unmatched(const struct pprof_input *inputs, size_t count,
                          const struct pprof_options *options)
{
    warn_filter(inputs, count, "--tagfocus", &options->selection.tag_focus);
    warn_filter(inputs, count, "--tagignore", &options->selection.tag_ignore);
    for (size_t i = 0; i < options->tag_roots.count; i++)
        warn_key(inputs, count, "--tagroot", options->tag_roots.names[i]);
    for (size_t i = 0; i < options->tag_leaves.count; i++)
        warn_key(inputs, count, "--tagleaf", options->tag_leaves.names[i]);
    if (options->by_label != NULL)
        warn_key(inputs, count, "--by-label", options->by_label);
}
