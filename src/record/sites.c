/* SPDX-License-Identifier: MIT */
/*
 * Rows in an array, found through chains of a hash table; stacks in an array of words that fills
 * from the front. Full rows or words are made by evicting rows of which nothing is left, and by
 * moving the words of the others together: their rows say where they are, and nobody else does.
 * Everything happens under the one lock of the caller; making room costs about a millisecond and
 * comes once in thousands of new stacks.
 */
#include "record/sites.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "record/facts.h"

#define BUCKETS   (1u << 14)
#define WORDS     (1u << 18) /* 2 MiB: 10,000 stacks of 25 frames */
#define FRAME_MAX 1024u
/* Rows made room for at once, where there are that many: making room looks at all of them. */
#define EVICTED_MAX (RTH_SITES_MAX / 16)
/* Rows that find no room before it is looked for again, after it was found short. */
#define PATIENCE (RTH_SITES_MAX / 16)
/* The first row of a stack, behind the overflow rows. */
#define FIRST_ROW RTH_SITE_KINDS_MAX

struct site {
    struct rth_site_values values;
    uint64_t identity;   /* 0: free */
    uint32_t hash, next; /* of the chain, or of the free rows; 0: the last one */
    uint32_t kind, label_set;
    uint32_t words, frame_count; /* where its frames are */
    uint32_t held;               /* times it was added to and not removed from */
    uint32_t reserved;
};

struct rth_sites_table {
    uint64_t identities; /* given so far */
    uint64_t overflowed, evicted;
    uint32_t rows_used, rows_limit; /* FIRST_ROW … rows_limit - 1 were in use */
    uint32_t first_free, words_used;
    uint32_t next_to_evict;
    uint32_t full_for; /* rows to come that are refused before room is looked for again */
    uint32_t buckets[BUCKETS];
    struct site sites[RTH_SITES_MAX];
    rth_frame words[WORDS];
};

/* identities: given so far. The memory is zero. */
static void table_begin(struct rth_sites_table *table, uint64_t identities)
{
    table->identities = identities;
    for (uint32_t kind = 0; kind < RTH_SITE_KINDS_MAX; kind++) {
        table->sites[kind].identity = ++table->identities;
        table->sites[kind].kind = kind;
    }
    table->rows_limit = table->next_to_evict = FIRST_ROW;
}

int rth__sites_init(struct rth_sites *sites, const char *name)
{
    if (sites->table != NULL)
        return 0;
    struct rth_sites_table *table = rth__facts_reserve(name, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    RTH__LOCK_SCOPE(&sites->lock);
    table_begin(table, 0);
    sites->table = table;
    return 0;
}

static uint32_t hash_of(uint32_t kind, const rth_frame *frames, unsigned count, uint32_t label_set)
{
    uint64_t hash = (uint64_t)label_set << 32 | kind << 16 | count;
    for (unsigned i = 0; i < count; i++) {
        hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* ---- making room --------------------------------------------------------------------------- */

static void unchain(struct rth_sites_table *table, uint32_t number)
{
    uint32_t *link = &table->buckets[table->sites[number].hash % BUCKETS];
    while (*link != number)
        link = &table->sites[*link].next;
    *link = table->sites[number].next;
}

static void values_move(struct rth_site_values *to, const struct rth_site_values *from)
{
    to->added_count += from->added_count;
    to->added_amount += from->added_amount;
    to->removed_count += from->removed_count;
    to->removed_amount += from->removed_amount;
}

/* Rows of which nothing is left, up to EVICTED_MAX of them; the search goes on where the last one
 * ended, so that a row has its turn before one that came after it. */
static uint32_t evict(struct rth_sites_table *table)
{
    uint32_t evicted = 0;
    for (uint32_t looked = FIRST_ROW; looked < table->rows_limit && evicted < EVICTED_MAX;
         looked++) {
        uint32_t number = table->next_to_evict;
        table->next_to_evict = number + 1 < table->rows_limit ? number + 1 : FIRST_ROW;
        struct site *site = &table->sites[number];
        if (site->identity == 0 || site->held != 0)
            continue;
        unchain(table, number);
        values_move(&table->sites[site->kind].values, &site->values);
        *site = (struct site){.next = table->first_free};
        table->first_free = number;
        table->rows_used--;
        evicted++;
    }
    table->evicted += evicted;
    return evicted;
}

/* Moves the stacks that are still needed together, lowest first. False when memory is short. */
static bool compact(struct rth_sites_table *table)
{
    size_t bytes = sizeof(table->words);
    rth_frame *copy = rth__arena_alloc_nomalloc(bytes);
    if (copy == NULL)
        return false;
    uint32_t used = 0;
    for (uint32_t number = FIRST_ROW; number < table->rows_limit; number++) {
        struct site *site = &table->sites[number];
        if (site->identity == 0)
            continue;
        memcpy(copy + used, table->words + site->words, site->frame_count * sizeof(*copy));
        site->words = used;
        used += site->frame_count;
    }
    memcpy(table->words, copy, used * sizeof(*copy));
    table->words_used = used;
    rth__arena_free_nomalloc(copy, bytes);
    return true;
}

static bool has_room(const struct rth_sites_table *table, unsigned frame_count)
{
    return (table->first_free != 0 || table->rows_limit < RTH_SITES_MAX) &&
           table->words_used + frame_count <= WORDS;
}

static bool make_room(struct rth_sites_table *table, unsigned frame_count)
{
    if (has_room(table, frame_count))
        return true;
    if (table->full_for > 0) {
        table->full_for--;
        return false;
    }
    uint32_t evicted = evict(table);
    if (table->words_used + frame_count > WORDS)
        (void)compact(table);
    /* Where little came of it, the next look would come soon and find as little. */
    if (evicted < EVICTED_MAX / 4 || table->words_used > WORDS - WORDS / 16)
        table->full_for = PATIENCE;
    return has_room(table, frame_count);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static uint32_t row_new(struct rth_sites_table *table)
{
    uint32_t number = table->first_free;
    if (number != 0)
        table->first_free = table->sites[number].next;
    else
        number = table->rows_limit++;
    table->rows_used++;
    return number;
}

static bool is_site(const struct rth_sites_table *table, const struct site *site, uint32_t kind,
                    const rth_frame *frames, unsigned count, uint32_t label_set)
{
    return site->kind == kind && site->label_set == label_set && site->frame_count == count &&
           memcmp(table->words + site->words, frames, count * sizeof(*frames)) == 0;
}

uint32_t rth__site_intern_locked(struct rth_sites *sites, uint32_t kind, const rth_frame *frames,
                                 unsigned count, uint32_t label_set)
{
    struct rth_sites_table *table = sites->table;
    if (kind >= RTH_SITE_KINDS_MAX)
        kind = RTH_SITE_OVERFLOW;
    if (table == NULL || count == 0 || count > FRAME_MAX)
        return kind;
    uint32_t hash = hash_of(kind, frames, count, label_set);
    uint32_t *bucket = &table->buckets[hash % BUCKETS];
    for (uint32_t number = *bucket; number != 0; number = table->sites[number].next) {
        const struct site *site = &table->sites[number];
        if (site->hash == hash && is_site(table, site, kind, frames, count, label_set))
            return number;
    }
    if (!make_room(table, count)) {
        table->overflowed++;
        return kind;
    }
    uint32_t number = row_new(table);
    memcpy(table->words + table->words_used, frames, count * sizeof(*frames));
    table->sites[number] = (struct site){
        .identity = ++table->identities,
        .hash = hash,
        .next = *bucket,
        .kind = kind,
        .label_set = label_set,
        .words = table->words_used,
        .frame_count = count,
    };
    table->words_used += count;
    *bucket = number;
    return number;
}

void rth__site_add_locked(struct rth_sites *sites, uint32_t site, uint64_t count, uint64_t amount)
{
    if (sites->table == NULL || site >= RTH_SITES_MAX)
        return;
    struct site *row = &sites->table->sites[site];
    row->values.added_count += count;
    row->values.added_amount += amount;
    row->held++;
}

void rth__site_remove_locked(struct rth_sites *sites, uint32_t site, uint64_t count,
                             uint64_t amount)
{
    if (sites->table == NULL || site >= RTH_SITES_MAX)
        return;
    struct site *row = &sites->table->sites[site];
    row->values.removed_count += count;
    row->values.removed_amount += amount;
    row->held--;
}

void rth__site_take_back_locked(struct rth_sites *sites, uint32_t site, uint64_t count,
                                uint64_t amount)
{
    if (sites->table == NULL || site >= RTH_SITES_MAX)
        return;
    struct site *row = &sites->table->sites[site];
    row->values.added_count -= count;
    row->values.added_amount -= amount;
    row->held--;
}

uint64_t rth__site_identity_locked(const struct rth_sites *sites, uint32_t site)
{
    return sites->table != NULL && site < RTH_SITES_MAX ? sites->table->sites[site].identity : 0;
}

/* The row may have been evicted since: then what stays is held by the overflow row, to which the
 * row's sums went. */
uint32_t rth__site_restore_locked(struct rth_sites *sites, uint32_t site, uint64_t identity,
                                  uint64_t count, uint64_t amount)
{
    if (sites->table == NULL)
        return RTH_SITE_OVERFLOW;
    bool same = rth__site_identity_locked(sites, site) == identity && identity != 0;
    struct site *row = &sites->table->sites[same ? site : RTH_SITE_OVERFLOW];
    row->values.removed_count -= count;
    row->values.removed_amount -= amount;
    row->held++;
    return same ? site : RTH_SITE_OVERFLOW;
}

/* ---- copies -------------------------------------------------------------------------------- */

static bool is_empty(const struct rth_site_values *values)
{
    return values->added_count == 0 && values->added_amount == 0;
}

static void copy_rows(const struct rth_sites_table *table, struct rth_sites_copy *copy,
                      rth_frame *frames)
{
    memcpy(frames, table->words, table->words_used * sizeof(*frames));
    for (uint32_t number = 0; number < table->rows_limit; number++) {
        const struct site *site = &table->sites[number];
        if (site->identity == 0 || is_empty(&site->values))
            continue;
        copy->rows[copy->count++] = (struct rth_site_row){
            .identity = site->identity,
            .kind = site->kind,
            .label_set = site->label_set,
            .frames = site->frame_count != 0 ? frames + site->words : NULL,
            .frame_count = site->frame_count,
            .values = site->values,
        };
    }
}

/* Heap sort: the library's may allocate. */
static void sift(struct rth_site_row *rows, size_t root, size_t count)
{
    struct rth_site_row row = rows[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && rows[child + 1].identity > rows[child].identity)
            child++;
        if (rows[child].identity <= row.identity)
            break;
        rows[root] = rows[child];
    }
    rows[root] = row;
}

static void sort_by_identity(struct rth_site_row *rows, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(rows, i, count);
    for (size_t i = count; i-- > 1;) {
        struct rth_site_row last = rows[i];
        rows[i] = rows[0];
        rows[0] = last;
        sift(rows, 0, i);
    }
}

int rth__sites_copy(struct rth_sites *sites, struct rth_sites_copy *ret_copy)
{
    struct rth_sites_copy copy = {0};
    /* Memory first: nobody waits for the kernel under the lock. */
    size_t rows_bytes = RTH_SITES_MAX * sizeof(*copy.rows);
    copy.size_bytes = rows_bytes + sizeof(sites->table->words);
    copy.rows = rth__arena_alloc_nomalloc(copy.size_bytes);
    if (copy.rows == NULL)
        return -ENOMEM;
    {
        RTH__LOCK_SCOPE(&sites->lock);
        if (sites->table != NULL)
            copy_rows(sites->table, &copy, (rth_frame *)(void *)((char *)copy.rows + rows_bytes));
    }
    sort_by_identity(copy.rows, copy.count);
    *ret_copy = copy;
    return 0;
}

void rth__sites_copy_free(struct rth_sites_copy *copy)
{
    if (copy->rows != NULL)
        rth__arena_free_nomalloc(copy->rows, copy->size_bytes);
    *copy = (struct rth_sites_copy){0};
}

const struct rth_site_row *rth__sites_copy_find(const struct rth_sites_copy *copy,
                                                uint64_t identity)
{
    size_t low = 0, high = copy->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (copy->rows[middle].identity < identity)
            low = middle + 1;
        else
            high = middle;
    }
    return low < copy->count && copy->rows[low].identity == identity ? &copy->rows[low] : NULL;
}

struct rth_sites_counts rth__sites_counts(struct rth_sites *sites)
{
    RTH__LOCK_SCOPE(&sites->lock);
    const struct rth_sites_table *table = sites->table;
    if (table == NULL)
        return (struct rth_sites_counts){0};
    return (struct rth_sites_counts){table->rows_used, table->overflowed, table->evicted};
}

void rth__sites_clear(struct rth_sites *sites)
{
    RTH__LOCK_SCOPE(&sites->lock);
    struct rth_sites_table *table = sites->table;
    if (table == NULL)
        return;
    uint64_t identities = table->identities; /* none is given twice */
    rth__facts_clear(table, sizeof(*table));
    table_begin(table, identities);
}

void rth__sites_child_reset(struct rth_sites *sites)
{
    rth__lock_reset(&sites->lock);
    sites->table = NULL;
}
