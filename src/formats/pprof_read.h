/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_PPROF_READ_H
#define RTH_FORMATS_PPROF_READ_H

/*
 * Reader of profile.proto (github.com/google/pprof), already decompressed. Input is hostile: every
 * index and id is checked, so that whoever uses the result need not. References between rows are
 * row numbers, whatever ids the file uses, dense or not. Fields that are not known are skipped;
 * repeated numbers may be packed or not; nothing is recursive. All memory is one block from the
 * caller's allocator, measured before it is taken.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/allocator.h"

/* Larger input is refused: this and the factor below bound what a reader can be made to take. */
#define RTH_PPROF_INPUT_BYTES_MAX (128u << 20)
/* The block is never larger than FACTOR * input + EXTRA bytes. */
#define RTH_PPROF_MEMORY_FACTOR      20
#define RTH_PPROF_MEMORY_EXTRA_BYTES 4096
/* Instead of a row number: the file names none. */
#define RTH_PPROF_NO_ROW UINT32_MAX

struct rth_pprof_type_row {
    const char *type, *unit;
};

struct rth_pprof_mapping_row {
    uint64_t id;
    uint64_t start, limit, file_offset;
    const char *file, *build_id;
    bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct rth_pprof_function_row {
    uint64_t id;
    const char *name, *system_name, *file;
    int64_t start_line;
};

struct rth_pprof_line_row {
    int64_t line;
    uint32_t function; /* row, or RTH_PPROF_NO_ROW */
};

struct rth_pprof_location_row {
    uint64_t id, address;
    uint32_t mapping; /* row, or RTH_PPROF_NO_ROW */
    uint32_t first_line, line_count;
    bool is_folded;
};

struct rth_pprof_label_row {
    const char *key;
    const char *text; /* "": the label is the number */
    int64_t number;
    const char *unit;
};

/* Its values are values[row * type_count] and on. */
struct rth_pprof_sample_row {
    uint32_t first_location, location_count; /* in sample_locations, leaf first */
    uint32_t first_label, label_count;
};

/* No string is NULL; a NUL byte inside one has become '?'. Lines and labels stand in the order of
 * their locations and samples. */
struct rth_pprof_document {
    struct rth_pprof_type_row *types;
    struct rth_pprof_mapping_row *mappings;
    struct rth_pprof_function_row *functions;
    struct rth_pprof_location_row *locations;
    struct rth_pprof_line_row *lines; /* of one location: innermost first */
    struct rth_pprof_sample_row *samples;
    struct rth_pprof_label_row *labels;
    int64_t *values;
    uint32_t *sample_locations; /* rows of locations */
    const char **comments;
    uint32_t type_count, mapping_count, function_count, location_count, line_count, sample_count,
        label_count, sample_location_count, comment_count;
    struct rth_pprof_type_row period_type;
    int64_t period, time_ns, duration_ns;
    const char *default_type, *drop_frames, *keep_frames, *doc_url;
    /* For rth__pprof_document_free. */
    void *block;
    size_t block_bytes;
};

/*
 * Reads input, which is not needed afterwards. Returns 0; -EBADMSG when it is no profile or a
 * broken one; -E2BIG when it is too large; -ENOMEM. On an error ret_message says in one line what
 * is wrong and where.
 */
int rth__pprof_read(const void *input, size_t input_bytes, const struct rth_allocator *allocator,
                    struct rth_pprof_document *ret_document, char *ret_message,
                    size_t message_size);

/* NULL-safe in its block: a document of zeros is fine. */
void rth__pprof_document_free(struct rth_pprof_document *document,
                              const struct rth_allocator *allocator);

#endif /* RTH_FORMATS_PPROF_READ_H */
