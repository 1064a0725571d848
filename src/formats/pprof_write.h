/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_PPROF_WRITE_H
#define RTH_FORMATS_PPROF_WRITE_H

/*
 * Writer of profile.proto (github.com/google/pprof), message by message into a sink; only the
 * strings are kept, to number them. Fields that are zero or "" are left out, repeated numbers are
 * packed. Messages may come in any order; ids are the caller's, from 1 on.
 * Errors, too many strings and short memory (-ENOMEM) included, become the sink's error, which
 * sticks: read it once, after rth__pprof_finish.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/allocator.h"
#include "formats/sink.h"

#define RTH_PPROF_STAGED_BYTES      1024
#define RTH_PPROF_STRINGS_MAX       (1u << 20)
#define RTH_PPROF_STRING_BYTES_MAX  (64u << 20) /* of all strings together */
#define RTH_PPROF_SAMPLE_LABELS_MAX 64          /* of one sample; more is -E2BIG */

struct rth_pprof_string_block;
struct rth_pprof_string_entry;

struct rth_pprof {
    struct rth_sink *sink;
    const struct rth_allocator *allocator;
    /* Strings by number, and an open-addressed table of numbers, 0 for empty. */
    struct rth_pprof_string_entry *entries;
    uint32_t *slots;
    uint32_t entry_capacity, slot_count, entry_count;
    struct rth_pprof_string_block *blocks;
    size_t text_bytes;
    /* Small writes gathered for the sink. */
    size_t staged_bytes;
    unsigned char staged[RTH_PPROF_STAGED_BYTES];
};

struct rth_pprof_mapping {
    uint64_t id;
    uint64_t start, limit, file_offset;
    const char *file;
    const char *build_id; /* lower-case hexadecimal */
    bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct rth_pprof_function {
    uint64_t id;
    const char *name, *system_name, *filename;
    int64_t start_line;
};

struct rth_pprof_line {
    uint64_t function_id;
    int64_t line;
};

struct rth_pprof_location {
    uint64_t id, mapping_id, address;
    const struct rth_pprof_line *lines; /* innermost first */
    size_t line_count;
};

struct rth_pprof_label {
    const char *key;
    const char *text; /* NULL: the label is a number */
    int64_t number;
    const char *unit; /* of the number; NULL: none */
};

struct rth_pprof_sample {
    const uint64_t *location_ids; /* leaf first */
    size_t location_count;
    const int64_t *values; /* one per sample type */
    size_t value_count;
    const struct rth_pprof_label *labels;
    size_t label_count;
};

/* Takes no memory yet. Every init needs its rth__pprof_release. */
void rth__pprof_init(struct rth_pprof *pprof, struct rth_sink *sink,
                     const struct rth_allocator *allocator);
/* Writes what is still staged. Returns the sink's error. */
int rth__pprof_finish(struct rth_pprof *pprof);
void rth__pprof_release(struct rth_pprof *pprof);

/* NULL strings mean "". */
void rth__pprof_sample_type(struct rth_pprof *pprof, const char *type, const char *unit);
void rth__pprof_default_sample_type(struct rth_pprof *pprof, const char *type);
void rth__pprof_period(struct rth_pprof *pprof, const char *type, const char *unit, int64_t period);
void rth__pprof_times(struct rth_pprof *pprof, int64_t time_ns, int64_t duration_ns);
void rth__pprof_comment(struct rth_pprof *pprof, const char *comment);
/* Regular expressions of function names that pprof removes or keeps. */
void rth__pprof_drop_frames(struct rth_pprof *pprof, const char *pattern);
void rth__pprof_keep_frames(struct rth_pprof *pprof, const char *pattern);
void rth__pprof_mapping(struct rth_pprof *pprof, const struct rth_pprof_mapping *mapping);
void rth__pprof_function(struct rth_pprof *pprof, const struct rth_pprof_function *function);
void rth__pprof_location(struct rth_pprof *pprof, const struct rth_pprof_location *location);
void rth__pprof_sample(struct rth_pprof *pprof, const struct rth_pprof_sample *sample);

#endif /* RTH_FORMATS_PPROF_WRITE_H */
