/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_PPROF_READ_INTERNAL_H
#define RTH_FORMATS_PPROF_READ_INTERNAL_H

/* What the files of the profile reader share: pprof_read.c says how they work together. */

#include "formats/pprof_read.h"

#include "rthooks/base.h"

enum rth_pprof_wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

enum profile_field {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_FUNCTION,
    PROFILE_STRING,
    PROFILE_DROP_FRAMES,
    PROFILE_KEEP_FRAMES,
    PROFILE_TIME,
    PROFILE_DURATION,
    PROFILE_PERIOD_TYPE,
    PROFILE_PERIOD,
    PROFILE_COMMENT,
    PROFILE_DEFAULT_TYPE,
    PROFILE_DOC_URL,
};
enum sample_field { SAMPLE_LOCATION = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum location_field { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS, LOCATION_LINE };
enum { LOCATION_IS_FOLDED = LOCATION_LINE + 1 };

struct rth_pprof_wire {
    const uint8_t *at, *end;
};

struct rth_pprof_field {
    uint64_t number;
    enum rth_pprof_wire_type type;
    uint64_t value;              /* of a varint */
    struct rth_pprof_wire bytes; /* of WIRE_BYTES */
};

/* An id of the file and the row it became; ascending ids. */
struct rth_pprof_id_row {
    uint64_t id;
    uint32_t row;
};

struct rth_pprof_counts {
    size_t types, mappings, functions, locations, lines, samples, sample_locations, values, labels,
        comments, strings, text_bytes;
};

struct rth_pprof_reader {
    struct rth_pprof_wire input;
    struct rth_pprof_counts counts;
    struct rth_pprof_document document;
    const char **strings;
    struct rth_pprof_id_row *mapping_ids, *function_ids, *location_ids;
    char *message;
    size_t message_size;
};

/* Writes the message. Returns -EBADMSG. */
int rth__pprof_broken(struct rth_pprof_reader *reader, const char *format, ...) RTH_PRINTF(2, 3);

/* 1 with a field, 0 at the end, -EBADMSG. */
int rth__pprof_next_field(struct rth_pprof_wire *wire, struct rth_pprof_field *ret_field);
/* The numbers of a repeated field, packed or one by one. 1, 0 at the end, -EBADMSG. */
int rth__pprof_next_number(struct rth_pprof_field *field, uint64_t *ret_value);

/* First pass: fills counts. 0 or -EBADMSG. */
int rth__pprof_count_all(struct rth_pprof_reader *reader);
/* Bytes of the block; with one, sets the pointers into it, and strings[0] to the place of the
 * text. */
size_t rth__pprof_lay_out(struct rth_pprof_reader *reader, char *block);

/* Sorts by id and refuses 0 and duplicates. what: "mapping"… */
int rth__pprof_order_ids(struct rth_pprof_reader *reader, struct rth_pprof_id_row *rows,
                         size_t count, const char *what);
bool rth__pprof_find_row(const struct rth_pprof_id_row *rows, size_t count, uint64_t id,
                         uint32_t *ret_row);

#endif /* RTH_FORMATS_PPROF_READ_INTERNAL_H */
