/* SPDX-License-Identifier: MIT */
/*
 * Which symbol names an address. First choice is a symbol whose [start, start + size) covers it:
 * the one that starts last (the innermost), then by binding, type and size, then the name with
 * fewest leading underscores, then the first in the file. Without one, the nearest symbol before
 * it in the same range of code names it, if that has no size of its own (functions written in
 * assembly). Anything else stays unnamed: padding, PLT stubs, stripped static functions.
 * docs/internals/symbols.md has the reasons.
 *
 * Memory is one match per frame. Work is a binary search per symbol plus a step for each frame it
 * covers; a hostile table in which everything covers everything runs out of work_left.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "symbols/resolve.h"

#define WORK_PER_JOB      (INT64_C(1) << 20)
#define WORK_PER_FRAME    256
#define WORK_PER_READ     64
#define SYMBOLS_PER_CHECK 8192u /* 192 KiB of the file */
#define NAME_START_BYTES  8

/* The start of a name, and how much of it is there: 0 where it can't be read. */
static size_t name_start(struct rth_symbol_job *job, uint32_t name_offset, const char **ret_text)
{
    bool was_read;
    size_t length = rth__symbol_strings_at(job, name_offset, NAME_START_BYTES, ret_text, &was_read);
    job->work_left -= was_read ? WORK_PER_READ : 1;
    return length < NAME_START_BYTES ? length : NAME_START_BYTES;
}

static int8_t underscores_of(struct rth_symbol_job *job, struct rth_symbol_candidate *candidate)
{
    if (candidate->underscores < 0) {
        const char *text = NULL;
        size_t length = name_start(job, candidate->name_offset, &text);
        int8_t count = 0;
        while ((size_t)count < length && text[count] == '_')
            count++;
        candidate->underscores = count;
    }
    return candidate->underscores;
}

/* Of two that cover the same frame. */
static bool is_better(struct rth_symbol_job *job, struct rth_symbol_candidate *fresh,
                      struct rth_symbol_candidate *old)
{
    if (old->name_offset == 0)
        return true;
    if (fresh->start != old->start)
        return fresh->start > old->start;
    if (fresh->rank != old->rank)
        return fresh->rank > old->rank;
    if (fresh->size_bytes != old->size_bytes)
        return fresh->size_bytes < old->size_bytes;
    return underscores_of(job, fresh) < underscores_of(job, old);
}

static uint8_t rank_of(const struct rth_elf_symbol *symbol)
{
    uint8_t binding = symbol->binding == STB_GLOBAL || symbol->binding == STB_GNU_UNIQUE ? 2
                      : symbol->binding == STB_WEAK                                      ? 1
                                                                                         : 0;
    return (uint8_t)(2 * binding + (symbol->type != STT_NOTYPE));
}

/* Labels inside functions that an assembler or compiler left in the table, and the mapping symbols
 * of other architectures, name no function. */
static bool is_inner_label(struct rth_symbol_job *job, const struct rth_elf_symbol *symbol)
{
    const char *text = NULL;
    if (symbol->type != STT_NOTYPE || symbol->binding != STB_LOCAL)
        return false;
    size_t length = name_start(job, symbol->name_offset, &text);
    return length < 2 || (text[0] == '.' && text[1] == 'L') || text[0] == '$';
}

/* Index of the first frame at or behind vaddr. */
static size_t first_frame_at(const struct rth_symbol_job *job, uint64_t vaddr)
{
    size_t low = 0, high = job->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rth__frame_vaddr(job->frames[middle]) < vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A symbol with a size that starts there ends what comes before it, so it is kept too, and before
 * one without. */
static void take_preceding(struct rth_symbol_match *match,
                           const struct rth_symbol_candidate *candidate)
{
    struct rth_symbol_candidate *old = &match->preceding;
    bool same_start = old->name_offset != 0 && candidate->start == old->start;
    bool sized = candidate->size_bytes != 0, old_sized = old->size_bytes != 0;
    if (same_start ? (sized != old_sized ? sized : candidate->rank > old->rank)
                   : old->name_offset == 0 || candidate->start > old->start)
        *old = *candidate;
}

static void take_symbol(struct rth_symbol_job *job, const struct rth_elf_symbol *symbol)
{
    size_t at = first_frame_at(job, symbol->value);
    if (at == job->count || is_inner_label(job, symbol))
        return;
    struct rth_symbol_candidate candidate = {
        .start = symbol->value,
        .size_bytes = symbol->size_bytes,
        .name_offset = symbol->name_offset,
        .rank = rank_of(symbol),
        .underscores = -1,
    };
    take_preceding(&job->matches[at], &candidate);
    /* A size that leaves its range of code lies. */
    uint64_t limit = rth__elf_code_range_find(job->table, symbol->value)->limit;
    if (symbol->size_bytes < limit - symbol->value)
        limit = symbol->value + symbol->size_bytes;
    for (; at < job->count && rth__frame_vaddr(job->frames[at]) < limit; at++) {
        job->work_left--;
        if (symbol->size_bytes != 0 && is_better(job, &candidate, &job->matches[at].chosen))
            job->matches[at].chosen = candidate;
    }
}

/* Whether the nearest symbol before an uncovered frame names it. */
static bool reaches(const struct rth_symbol_job *job, const struct rth_symbol_candidate *preceding,
                    uint64_t vaddr)
{
    if (preceding->name_offset == 0 || preceding->size_bytes != 0)
        return false;
    /* Where only exported functions are listed, what follows may be anybody's. */
    if (job->table->exported_only)
        return preceding->start == vaddr;
    const struct rth_elf_code_range *range = rth__elf_code_range_find(job->table, vaddr);
    return range != NULL && preceding->start >= range->start;
}

static void settle(struct rth_symbol_job *job)
{
    const struct rth_symbol_candidate *preceding = &job->matches[0].preceding;
    for (size_t i = 0; i < job->count; i++) {
        struct rth_symbol_match *match = &job->matches[i];
        if (match->preceding.name_offset != 0)
            preceding = &match->preceding;
        if (match->chosen.name_offset == 0 &&
            reaches(job, preceding, rth__frame_vaddr(job->frames[i])))
            match->chosen = *preceding;
    }
}

int rth__symbols_match(struct rth_symbol_job *job)
{
    struct rth_elf_symbol_cursor cursor;
    struct rth_elf_symbol symbol;
    int got;
    job->work_left = WORK_PER_JOB + (int64_t)job->count * WORK_PER_FRAME;
    job->has_code = false;
    rth__elf_symbol_cursor_init(&cursor, job->table, job->buffer, RTH_SYMBOL_BUFFER_BYTES);
    while ((got = rth__elf_symbol_next(&cursor, &symbol)) > 0) {
        if (cursor.next_index % SYMBOLS_PER_CHECK == 0 && job->cancelled != NULL &&
            job->cancelled(job->userdata))
            return -ECANCELED;
        if (!rth__elf_symbol_is_code(job->table, &symbol))
            continue;
        job->has_code = true;
        take_symbol(job, &symbol);
        if (job->work_left < 0)
            return -EBADMSG;
    }
    if (got == 0)
        settle(job);
    return got;
}
