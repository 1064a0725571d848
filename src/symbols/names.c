/* SPDX-License-Identifier: MIT */
/*
 * The second pass: the names of the chosen symbols, in the order in which they lie in the file, so
 * that neighbours come with one read; each is kept once. A name that an answer could not carry is
 * left out: control characters would break lines of text, bytes that are not UTF-8 whole profiles.
 */
#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "formats/utf8.h"
#include "symbols/resolve.h"

#define CHUNK_BYTES     ((size_t)64 << 10) /* the arena's largest class: reused, not mapped anew */
#define WINDOW_BYTES    ((size_t)4 << 10)
#define NAMES_PER_CHECK 1024u

struct rth_symbol_name_chunk {
    struct rth_symbol_name_chunk *next;
    size_t used_bytes;
    char text[];
};

size_t rth__symbol_strings_at(struct rth_symbol_job *job, uint64_t offset, size_t wanted_bytes,
                              const char **ret_text, bool *ret_read)
{
    uint64_t skipped = offset - job->window_offset;
    *ret_read = offset < job->window_offset || skipped >= job->window_used_bytes ||
                job->window_used_bytes - skipped < wanted_bytes;
    if (*ret_read) {
        size_t asked_bytes = wanted_bytes > WINDOW_BYTES ? wanted_bytes : WINDOW_BYTES;
        int got = rth__elf_strings_read(job->table, offset, job->window, asked_bytes);
        job->window_offset = offset;
        job->window_used_bytes = got > 0 ? (size_t)got : 0;
        skipped = 0;
    }
    *ret_text = job->window + skipped;
    return job->window_used_bytes - (size_t)skipped;
}

static int keep(struct rth_symbol_names *names, const char *text, size_t length,
                const char **ret_name)
{
    struct rth_symbol_name_chunk *chunk = names->chunks;
    *ret_name = NULL;
    if (length >= RTH_SYMBOL_NAMES_BYTES - names->total_bytes)
        return 0;
    if (chunk == NULL || length >= CHUNK_BYTES - sizeof(*chunk) - chunk->used_bytes) {
        chunk = rth__arena_alloc_nomalloc(CHUNK_BYTES);
        if (chunk == NULL)
            return -ENOMEM;
        chunk->next = names->chunks;
        names->chunks = chunk;
    }
    char *name = chunk->text + chunk->used_bytes;
    memcpy(name, text, length);
    name[length] = '\0';
    chunk->used_bytes += length + 1;
    names->total_bytes += length + 1;
    *ret_name = name;
    return 0;
}

void rth__symbol_names_free(struct rth_symbol_names *names)
{
    while (names->chunks != NULL) {
        struct rth_symbol_name_chunk *chunk = names->chunks;
        names->chunks = chunk->next;
        rth__arena_free_nomalloc(chunk, CHUNK_BYTES);
    }
    names->total_bytes = 0;
}

static bool is_printable(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        unsigned char character = (unsigned char)text[at];
        size_t step = rth__utf8_length((const unsigned char *)text + at, length - at);
        if (step == 0 || character < 0x20 || character == 0x7f)
            return false;
        at += step;
    }
    /* A name that begins with a space would be lost in a line of text. */
    return length > 0 && text[0] != ' ';
}

/* The name at offset, in the job's window, not NUL-terminated. Its length, 0 when it can't be had:
 * outside of the strings, without its end, or too long. */
static size_t find_name(struct rth_symbol_job *job, uint64_t offset, const char **ret_text)
{
    static const size_t wanted_bytes[] = {1, WINDOW_BYTES, RTH_SYMBOL_WINDOW_BYTES};
    for (size_t i = 0; i < sizeof(wanted_bytes) / sizeof(wanted_bytes[0]); i++) {
        bool was_read;
        size_t there = rth__symbol_strings_at(job, offset, wanted_bytes[i], ret_text, &was_read);
        const char *end = there > 0 ? memchr(*ret_text, '\0', there) : NULL;
        if (end != NULL)
            return (size_t)(end - *ret_text);
    }
    return 0;
}

/* Without the version that the linker writes behind a name in .symtab: "read@@GLIBC_2.2.5". */
static size_t without_version(const char *text, size_t length)
{
    const char *at = length > 1 ? memchr(text + 1, '@', length - 1) : NULL;
    return at != NULL ? (size_t)(at - text) : length;
}

int rth__symbol_names_read(struct rth_symbol_names *names, struct rth_symbol_job *job,
                           uint64_t *keys, struct rth_symbol *ret_symbols)
{
    const char *name = NULL;
    size_t key_count = 0;
    if (job->count > UINT32_MAX)
        return -E2BIG;
    /* By offset of the name; the frame's index behind it. */
    for (size_t i = 0; i < job->count; i++) {
        if (job->matches[i].chosen.name_offset != 0)
            keys[key_count++] = (uint64_t)job->matches[i].chosen.name_offset << 32 | i;
    }
    rth__symbols_sort(keys, key_count);
    for (size_t i = 0; i < key_count; i++) {
        size_t frame = keys[i] & UINT32_MAX;
        if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32) {
            if (i % NAMES_PER_CHECK == 0 && job->cancelled != NULL && job->cancelled(job->userdata))
                return -ECANCELED;
            const char *text = NULL;
            size_t length = find_name(job, keys[i] >> 32, &text);
            length = without_version(text, length);
            name = NULL;
            int error =
                length > 0 && is_printable(text, length) ? keep(names, text, length, &name) : 0;
            if (error != 0)
                return error;
        }
        if (name != NULL)
            ret_symbols[frame] = (struct rth_symbol){name, job->matches[frame].chosen.start};
    }
    return 0;
}
