/* SPDX-License-Identifier: MIT */
#ifndef RTH_SYMBOLS_RESOLVE_H
#define RTH_SYMBOLS_RESOLVE_H

/* Inside of src/symbols: what its files share. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/elf_symbols.h"
#include "record/image.h"
#include "symbols/symbols.h"

/* Names longer than this, and those beyond the total of a set, are left out. */
#define RTH_SYMBOL_NAME_BYTES  ((size_t)16 << 10)
#define RTH_SYMBOL_NAMES_BYTES ((size_t)16 << 20)
/* Files are read through these, symbols in large pieces and names in small ones. */
#define RTH_SYMBOL_BUFFER_BYTES ((size_t)64 << 10)
#define RTH_SYMBOL_WINDOW_BYTES RTH_SYMBOL_NAME_BYTES

/* Rising order, in place, without memory of its own. */
void rth__symbols_sort(uint64_t *keys, size_t count);

/* ---- where the symbols of a module are ---- */

struct rth_module_symbols {
    int fd; /* -1: the image in memory, read by reader */
    struct rth_image_reader reader;
    uint64_t load_bias;
    struct rth_elf_symbol_table table;
};
/* Finds the module's own symbols: its file when it is the one that was mapped, else what is left
 * of them in memory. 0 or a negative errno; then nothing is open. *ret_symbols must not move. */
int rth__module_symbols_open(const struct rth_module *module, int root_fd,
                             struct rth_module_symbols *ret_symbols);
void rth__module_symbols_close(struct rth_module_symbols *symbols);

/* ---- which symbol names an address ---- */

struct rth_symbol_candidate {
    uint64_t start, size_bytes;
    uint32_t name_offset; /* 0: none */
    uint8_t rank;         /* of its binding and type: more is better */
    int8_t underscores;   /* at the start of the name; -1: not looked yet */
};
struct rth_symbol_match {
    struct rth_symbol_candidate chosen;    /* it covers the frame; at the end the answer */
    struct rth_symbol_candidate preceding; /* the last to start after the frame before */
};
struct rth_symbol_job {
    const struct rth_elf_symbol_table *table;
    const rth_frame *frames; /* of one module, sorted */
    size_t count;
    struct rth_symbol_match *matches; /* one for each frame, zeroed */
    void *buffer;                     /* RTH_SYMBOL_BUFFER_BYTES */
    char *window;                     /* RTH_SYMBOL_WINDOW_BYTES: a piece of the strings */
    uint64_t window_offset;
    size_t window_used_bytes;
    bool (*cancelled)(void *userdata);
    void *userdata;
    int64_t work_left;
    bool has_code; /* some symbol names code */
};
/* The strings from offset on, in the job's window, and how many bytes of them are there: at least
 * `wanted_bytes`, unless the strings end before; 0 when nothing is there. True in ret_read when the
 * file was read. */
size_t rth__symbol_strings_at(struct rth_symbol_job *job, uint64_t offset, size_t wanted_bytes,
                              const char **ret_text, bool *ret_read);
/* Streams the table once and fills matches[].chosen. 0; -ECANCELED; -EBADMSG also for a table that
 * would take unbounded work; another negative errno. */
int rth__symbols_match(struct rth_symbol_job *job);

/* ---- the names themselves ---- */

struct rth_symbol_name_chunk;
struct rth_symbol_names {
    struct rth_symbol_name_chunk *chunks;
    size_t total_bytes;
};
/*
 * Reads the names of the chosen symbols into ret_symbols. keys: room for one per frame.
 * 0; -ECANCELED; -ENOMEM; another negative errno. What was read by then stays.
 */
int rth__symbol_names_read(struct rth_symbol_names *names, struct rth_symbol_job *job,
                           uint64_t *keys, struct rth_symbol *ret_symbols);
void rth__symbol_names_free(struct rth_symbol_names *names);

/* rth__symbol_set_resolve over another list of modules. */
int rth__symbol_set_resolve_with(struct rth_symbol_set *set,
                                 const struct rth_module *(*module_by_id)(uint32_t id), int root_fd,
                                 bool (*cancelled)(void *userdata), void *userdata);

#endif /* RTH_SYMBOLS_RESOLVE_H */
