/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_ENCODE_H
#define RTH_PROFILE_ENCODE_H

/*
 * Recorded rows as a pprof profile. Every profile of ours goes through here, so that they agree on
 * mappings, names and shape: what Go's runtime/pprof emits, with our own facts in it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/pprof_write.h"
#include "formats/sink.h"
#include "record/module.h"

/* Distinct frames of one profile; more is -E2BIG. */
#define RTH_PROFILE_FRAMES_MAX (1u << 20)

struct rth_profile_value_type {
    const char *type, *unit; /* "cpu", "nanoseconds" */
};

struct rth_profile_row {
    const rth_frame *frames; /* innermost first */
    unsigned frame_count;
    const int64_t *values; /* one per sample type */
    const struct rth_pprof_label *labels;
    size_t label_count;
};

struct rth_profile_rows {
    const struct rth_profile_row *rows;
    size_t count;
};

struct rth_profile_description {
    const struct rth_profile_value_type *sample_types;
    unsigned sample_type_count;
    const char *default_sample_type; /* NULL: the last one, as everywhere in pprof */
    struct rth_profile_value_type period_type;
    int64_t period;
    int64_t time_ns;     /* of the start, since 1970 */
    int64_t duration_ns; /* 0: an instant */
    const char *const *comments;
    unsigned comment_count;
};

/* How names are found, for the encoder and for text. */
struct rth_profile_naming {
    int root_fd;
    bool symbols; /* false: addresses alone, for a reader that resolves them itself */
    bool (*cancelled)(void *userdata); /* asked between pieces of work; NULL: never */
    void *userdata;
};

/*
 * Writes the profile, gzip'd. The modules are those of the last rth__modules_refresh.
 * Returns 0; -ECANCELED; -E2BIG for more frames than fit; -ENOMEM; or the sink's error. Names are
 * resolved before the first byte is written, so that most failures leave the sink untouched.
 * Thread: rth-work. Memory: 28 bytes per distinct frame, the names, and 200 KiB; all given back.
 */
int rth__profile_encode(const struct rth_profile_description *description,
                        const struct rth_profile_rows *rows,
                        const struct rth_profile_naming *naming, struct rth_sink *sink);

/* The module's build-id as lower-case hexadecimal, "" when it has none. */
#define RTH_PROFILE_BUILD_ID_TEXT_BYTES (2 * RTH_ELF_BUILD_ID_BYTES + 1)
void rth__profile_build_id_text(const struct rth_module *module,
                                char ret_text[RTH_PROFILE_BUILD_ID_TEXT_BYTES]);

#endif /* RTH_PROFILE_ENCODE_H */
