/* SPDX-License-Identifier: MIT */
/*
 * Label sets.
 *
 * Purpose: who a sample is for, as one number that a signal handler can copy.
 * Shape: as stacks.c: a hash table of offsets into an array of words that only grows. A set is a
 * head word (its hash and label count) and a word per label, sorted by key number.
 * Threads: any; lock-free. Locks: RTH_RANK_LABELS while the tables are made, at the first use;
 * whoever cannot wait for that goes without labels. Fork: the tables are inherited, so that no
 * number anywhere in a child is stale. Failure: a full table means RTH_LABEL_SET_OVERFLOW, for
 * good. Cost: 1.2 MiB of address space, resident as far as used.
 */
#include "record/labelsets.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "core/lock.h"
#include "formats/utf8.h"
#include "record/facts.h"
#include "record/strings.h"

#define ENTRIES (1u << 14)
#define WORDS   (1u << 16) /* 512 KiB: some 16,000 sets of three labels */
#define PROBES  64u

#define MAKING_TRIES 100u

struct table {
    _Atomic uint32_t words_used; /* may run past WORDS: those that asked then were refused */
    _Atomic uint32_t count;
    _Atomic uint32_t entries[ENTRIES]; /* offset of the head word; 0: free */
    uint64_t words[WORDS];             /* [0] is never used: 0 is the empty set */
};

static struct rth_lock making = RTH_LOCK_INIT(RTH_RANK_LABELS);
/* Written once. */
static struct table *_Atomic shared_table;

static struct {
    _Atomic uint64_t overflowed_strings, overflowed_sets, too_many, keys_cut, values_cut,
        without_key;
} counts;

static void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- strings of labels --------------------------------------------------------------------- */

static bool is_ascii(const char *text, size_t length)
{
    uint64_t all = 0, piece = 0;
    for (; length >= sizeof(piece); length -= sizeof(piece), text += sizeof(piece)) {
        memcpy(&piece, text, sizeof(piece));
        all |= piece;
    }
    for (; length > 0; length--)
        all |= (unsigned char)*text++;
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* Copies at most limit bytes of the length, whole characters only; returns how many. */
static size_t copy_clean(char *ret_text, const char *text, size_t length, size_t limit)
{
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        size_t bytes = rth__utf8_length((const unsigned char *)text + at, length - at);
        size_t step = bytes > 0 ? bytes : 1;
        if (kept + step > limit)
            break;
        if (bytes > 0)
            memcpy(ret_text + kept, text + at, bytes);
        else
            ret_text[kept] = '?';
        kept += step;
        at += step;
    }
    return kept;
}

static uint32_t intern_clean(const char *text, size_t limit, _Atomic uint64_t *cut_counter)
{
    char clean[RTH_LABEL_VALUE_BYTES_MAX];
    /* Three more: the last character that begins within the limit is seen whole. */
    size_t length = strnlen(text, limit + 3);
    if (length > limit)
        count_one(cut_counter);
    if (length <= limit && is_ascii(text, length))
        return rth__string_intern_sigsafe(text, length);
    return rth__string_intern_sigsafe(clean, copy_clean(clean, text, length, limit));
}

int rth__label_pairs_intern(const char *const *keys_and_values, size_t label_count,
                            struct rth_label_pair ret_pairs[RTH_LABELS_MAX])
{
    unsigned count = 0;
    for (size_t i = 0; i < label_count; i++) {
        const char *key = keys_and_values[2 * i], *value = keys_and_values[2 * i + 1];
        if (key == NULL || key[0] == '\0') {
            count_one(&counts.without_key);
            continue;
        }
        if (count == RTH_LABELS_MAX) {
            count_one(&counts.too_many);
            continue;
        }
        struct rth_label_pair pair = {0};
        pair.key = intern_clean(key, RTH_LABEL_KEY_BYTES_MAX, &counts.keys_cut);
        bool has_value = value != NULL && value[0] != '\0';
        if (has_value)
            pair.value = intern_clean(value, RTH_LABEL_VALUE_BYTES_MAX, &counts.values_cut);
        if (pair.key == RTH_STRING_NONE || (has_value && pair.value == RTH_STRING_NONE)) {
            count_one(&counts.overflowed_strings);
            return -ENOSPC;
        }
        ret_pairs[count++] = pair;
    }
    return (int)count;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static uint64_t word_of(struct rth_label_pair pair)
{
    return (uint64_t)pair.key << 32 | pair.value;
}

static uint32_t key_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* The words of a set; NULL with *ret_count 0 when it has none. */
static const uint64_t *words_of(const struct table *table, uint32_t label_set, unsigned *ret_count)
{
    *ret_count = 0;
    if (table == NULL || label_set == RTH_LABEL_SET_NONE || label_set >= WORDS - RTH_LABELS_MAX)
        return NULL;
    unsigned count = (uint32_t)table->words[label_set];
    if (count > RTH_LABELS_MAX)
        return NULL;
    *ret_count = count;
    return &table->words[label_set + 1];
}

static uint64_t head_of(const uint64_t *words, unsigned count)
{
    uint64_t hash = count;
    for (unsigned i = 0; i < count; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) << 32 | count;
}

/* Words of the writer's own, filled; 0 when there is no room. */
static uint32_t store(struct table *table, uint64_t head, const uint64_t *words, unsigned count)
{
    uint32_t need = count + 1;
    uint32_t last = WORDS - RTH_LABELS_MAX - need; /* a reader may look at that many words */
    if (atomic_load_explicit(&table->words_used, memory_order_relaxed) >= last)
        return 0;
    uint32_t offset = atomic_fetch_add_explicit(&table->words_used, need, memory_order_relaxed) + 1;
    if (offset >= last)
        return 0;
    table->words[offset] = head;
    memcpy(&table->words[offset + 1], words, count * sizeof(*words));
    return offset;
}

static uint32_t intern(struct table *table, const uint64_t *words, unsigned count)
{
    if (count == 0)
        return RTH_LABEL_SET_NONE;
    uint64_t head = head_of(words, count);
    uint32_t hash = (uint32_t)(head >> 32), mine = 0;
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        _Atomic uint32_t *entry = &table->entries[(hash + probe) & (ENTRIES - 1)];
        uint32_t offset = atomic_load_explicit(entry, memory_order_acquire);
        if (offset == 0) {
            if (mine == 0)
                mine = store(table, head, words, count);
            if (mine == 0)
                break;
            if (atomic_compare_exchange_strong_explicit(entry, &offset, mine, memory_order_acq_rel,
                                                        memory_order_acquire)) {
                atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
                return mine;
            }
        }
        if (table->words[offset] == head &&
            memcmp(&table->words[offset + 1], words, count * sizeof(*words)) == 0)
            return offset;
    }
    count_one(&counts.overflowed_sets);
    return RTH_LABEL_SET_OVERFLOW;
}

static bool make_tables_locked(void)
{
    struct table *table = NULL;
    if (rth__strings_init() == 0)
        table = rth__facts_reserve_inherited("labelsets", sizeof(*table));
    if (table == NULL)
        return false;
    struct rth_label_pair pair = {
        rth__string_intern_sigsafe(RTH_LABEL_OVERFLOW_KEY, strlen(RTH_LABEL_OVERFLOW_KEY)),
        rth__string_intern_sigsafe(RTH_LABEL_OVERFLOW_VALUE, strlen(RTH_LABEL_OVERFLOW_VALUE))};
    uint64_t word = word_of(pair);
    /* The first set of all: RTH_LABEL_SET_OVERFLOW. */
    (void)intern(table, &word, 1);
    atomic_store_explicit(&shared_table, table, memory_order_release);
    return true;
}

bool rth__label_sets_ready(void)
{
    if (atomic_load_explicit(&shared_table, memory_order_acquire) != NULL)
        return true;
    /* Bounded: the maker may be the code that a signal handler of the host interrupted, or a thread
     * that a fork left behind. */
    unsigned tries = 0;
    while (!rth__lock_try_sigsafe(&making)) {
        if (++tries == MAKING_TRIES)
            return false;
        (void)sched_yield();
    }
    bool is_ready =
        atomic_load_explicit(&shared_table, memory_order_acquire) != NULL || make_tables_locked();
    rth__unlock(&making);
    return is_ready;
}

static unsigned put(uint64_t words[RTH_LABELS_MAX], unsigned count, struct rth_label_pair pair)
{
    unsigned at = 0;
    while (at < count && key_of(words[at]) < pair.key)
        at++;
    bool is_there = at < count && key_of(words[at]) == pair.key;
    if (pair.value == RTH_STRING_NONE) {
        if (is_there)
            memmove(&words[at], &words[at + 1], (count - at - 1) * sizeof(*words));
        return count - is_there;
    }
    if (!is_there) {
        if (count == RTH_LABELS_MAX) {
            count_one(&counts.too_many);
            return count;
        }
        memmove(&words[at + 1], &words[at], (count - at) * sizeof(*words));
        count++;
    }
    words[at] = word_of(pair);
    return count;
}

uint32_t rth__label_set_with(uint32_t parent, const struct rth_label_pair *pairs, unsigned count)
{
    struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    if (table == NULL)
        return parent;
    uint64_t words[RTH_LABELS_MAX];
    unsigned used;
    const uint64_t *inherited = words_of(table, parent, &used);
    if (used > 0)
        memcpy(words, inherited, used * sizeof(*words));
    for (unsigned i = 0; i < count; i++)
        used = put(words, used, pairs[i]);
    return intern(table, words, used);
}

unsigned rth__label_set_read(uint32_t label_set, struct rth_label ret_labels[RTH_LABELS_MAX])
{
    unsigned count;
    const struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    const uint64_t *words = words_of(table, label_set, &count);
    for (unsigned i = 0; i < count; i++) {
        ret_labels[i].key = rth__string_text(key_of(words[i]));
        ret_labels[i].value = rth__string_text((uint32_t)words[i]);
        if (ret_labels[i].key == NULL || ret_labels[i].value == NULL)
            return 0; /* not a set */
    }
    return count;
}

/* ---- what is told -------------------------------------------------------------------------- */

void rth__label_counts_read(struct rth_label_counts *ret_counts)
{
    const struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    *ret_counts = (struct rth_label_counts){
        .sets = table != NULL ? atomic_load_explicit(&table->count, memory_order_relaxed) : 0,
        .strings = rth__strings_count(),
        .overflowed_strings = counts.overflowed_strings,
        .overflowed_sets = counts.overflowed_sets,
        .too_many = counts.too_many,
        .keys_cut = counts.keys_cut,
        .values_cut = counts.values_cut,
        .without_key = counts.without_key,
    };
}

void rth__label_sets_child_reset(void)
{
    rth__lock_reset(&making);
}
