/* SPDX-License-Identifier: MIT */
#include "unwind/rows.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "unwind/row_code.h"

#define RULE_SLOTS      16384u /* open addressing, at most a quarter full */
#define PLACES_MAX      65536u
#define EXPRESSION_MAX  65536u
#define GROW_MIN_BYTES  ((size_t)4096)
#define GROW_MAX_BYTES  ((size_t)64 * 1024 * 1024)
#define ROW_ENCODED_MAX 4u
#define NO_ROW          UINT32_MAX

/* Bytes that grow by doubling. */
struct growing {
    uint8_t *data;
    size_t used_bytes, capacity_bytes;
};

struct rth_rows_builder {
    struct growing block_pc, blocks, rules, places, expressions;
    uint32_t row_count;
    uint32_t last_offset;
    uint32_t last_rule;    /* NO_ROW before the first */
    uint32_t block_offset; /* of the last block's first row */
    unsigned block_used_bytes;
    uint16_t slot[RULE_SLOTS]; /* rule number + 1; 0 is free */
};

static int grow_append(struct growing *growing, const void *data, size_t size_bytes)
{
    if (size_bytes > GROW_MAX_BYTES - growing->used_bytes)
        return -ENOMEM;
    size_t needed_bytes = growing->used_bytes + size_bytes;
    if (needed_bytes > growing->capacity_bytes) {
        size_t capacity_bytes =
            growing->capacity_bytes == 0 ? GROW_MIN_BYTES : growing->capacity_bytes;
        while (capacity_bytes < needed_bytes)
            capacity_bytes *= 2;
        uint8_t *larger = rth__arena_alloc_nomalloc(capacity_bytes);
        if (larger == NULL)
            return -ENOMEM;
        if (growing->used_bytes > 0)
            memcpy(larger, growing->data, growing->used_bytes);
        rth__arena_free_nomalloc(growing->data, growing->capacity_bytes);
        growing->data = larger;
        growing->capacity_bytes = capacity_bytes;
    }
    if (data != NULL)
        memcpy(growing->data + growing->used_bytes, data, size_bytes);
    else
        memset(growing->data + growing->used_bytes, 0, size_bytes);
    growing->used_bytes = needed_bytes;
    return 0;
}

static void grow_free(struct growing *growing)
{
    rth__arena_free_nomalloc(growing->data, growing->capacity_bytes);
}

/* ---- rules ------------------------------------------------------------------------------------
 */

/* Where the expression begins among those kept; a negative errno when there is no room. */
static int expression_intern(struct rth_rows_builder *builder, const uint8_t *expression,
                             size_t size_bytes)
{
    struct growing *kept = &builder->expressions;
    const uint8_t *found =
        kept->used_bytes == 0 ? NULL : memmem(kept->data, kept->used_bytes, expression, size_bytes);
    if (found != NULL)
        return (int)(found - kept->data);
    if (size_bytes > EXPRESSION_MAX - kept->used_bytes)
        return -ENOSPC;
    int at = (int)kept->used_bytes;
    int error = grow_append(kept, expression, size_bytes);
    return error < 0 ? error : at;
}

static int places_intern(struct rth_rows_builder *builder, const struct rth_rule_draft *draft,
                         struct rth_rule *rule)
{
    struct rth_place places[sizeof(draft->places) / sizeof(draft->places[0])];
    size_t size_bytes = draft->place_count * sizeof(places[0]);
    memcpy(places, draft->places, size_bytes);
    for (unsigned i = 0; i < draft->place_count; i++) {
        if (places[i].expression_bytes == 0)
            continue;
        int at = expression_intern(builder, draft->expression[i], places[i].expression_bytes);
        if (at < 0)
            return at;
        places[i].offset = at;
    }
    struct growing *kept = &builder->places;
    size_t at = 0;
    while (at + size_bytes <= kept->used_bytes && memcmp(kept->data + at, places, size_bytes) != 0)
        at += sizeof(places[0]);
    if (at + size_bytes > kept->used_bytes) {
        at = kept->used_bytes;
        if (at / sizeof(places[0]) + draft->place_count > PLACES_MAX)
            return -ENOSPC;
        int error = grow_append(kept, places, size_bytes);
        if (error < 0)
            return error;
    }
    rule->cfa_offset = (int32_t)(at / sizeof(places[0]));
    rule->rare_count = (uint8_t)draft->place_count;
    return 0;
}

static uint32_t rule_hash(const struct rth_rule *rule)
{
    uint64_t words[2];
    memcpy(words, rule, sizeof(words));
    uint64_t hash =
        (words[0] ^ words[1] * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(hash >> 32);
}

/* Number of the rule, or a negative errno. */
static int rule_intern(struct rth_rows_builder *builder, const struct rth_rule_draft *draft)
{
    struct rth_rule rule = draft->rule;
    if (rule.kind == RTH_RULE_RARE) {
        int error = places_intern(builder, draft, &rule);
        if (error < 0)
            return error;
    }
    const struct rth_rule *rules = (const struct rth_rule *)(const void *)builder->rules.data;
    uint32_t slot = rule_hash(&rule) % RULE_SLOTS;
    while (builder->slot[slot] != 0) {
        if (memcmp(&rules[builder->slot[slot] - 1], &rule, sizeof(rule)) == 0)
            return builder->slot[slot] - 1;
        slot = (slot + 1) % RULE_SLOTS;
    }
    size_t number = builder->rules.used_bytes / sizeof(rule);
    if (number >= RTH_RULES_MAX)
        return -ENOSPC;
    int error = grow_append(&builder->rules, &rule, sizeof(rule));
    if (error < 0)
        return error;
    builder->slot[slot] = (uint16_t)(number + 1);
    return (int)number;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static unsigned rule_encode(uint32_t rule, uint8_t *ret_bytes)
{
    if (rule < ROW_RULE_SHORT) {
        ret_bytes[0] = (uint8_t)rule;
        return 1;
    }
    rule -= ROW_RULE_SHORT;
    ret_bytes[0] = (uint8_t)(ROW_RULE_SHORT | rule >> 8);
    ret_bytes[1] = (uint8_t)rule;
    return 2;
}

static unsigned distance_encode(uint32_t distance, uint8_t *ret_bytes)
{
    if (distance < ROW_DISTANCE_SHORT) {
        ret_bytes[0] = (uint8_t)distance;
        return 1;
    }
    ret_bytes[0] = (uint8_t)(ROW_DISTANCE_SHORT | distance >> 8);
    ret_bytes[1] = (uint8_t)distance;
    return 2;
}

static uint8_t *last_block(const struct rth_rows_builder *builder)
{
    return builder->blocks.data + builder->blocks.used_bytes - RTH_ROW_BLOCK_BYTES;
}

static int block_begin(struct rth_rows_builder *builder, uint32_t offset, uint32_t rule)
{
    int error = grow_append(&builder->block_pc, &offset, sizeof(offset));
    if (error == 0)
        error = grow_append(&builder->blocks, NULL, RTH_ROW_BLOCK_BYTES);
    if (error < 0)
        return error;
    builder->block_offset = offset;
    builder->block_used_bytes =
        ROW_HEAD_BYTES + rule_encode(rule, last_block(builder) + ROW_HEAD_BYTES);
    return 0;
}

static int row_append(struct rth_rows_builder *builder, uint32_t offset, uint32_t rule)
{
    uint8_t bytes[ROW_ENCODED_MAX];
    uint32_t distance = offset - builder->last_offset;
    if (builder->last_rule == NO_ROW || distance >= ROW_DISTANCE_LIMIT)
        return block_begin(builder, offset, rule);
    unsigned distance_bytes = distance_encode(distance, bytes);
    unsigned size_bytes = distance_bytes + rule_encode(rule, bytes + distance_bytes);
    if (builder->block_used_bytes + size_bytes > RTH_ROW_BLOCK_BYTES)
        return block_begin(builder, offset, rule);
    uint8_t *block = last_block(builder);
    uint32_t from_start = offset - builder->block_offset;
    if (block[0] == 0 && builder->block_used_bytes >= RTH_ROW_BLOCK_BYTES / 2 &&
        from_start <= UINT16_MAX) {
        block[0] = (uint8_t)(builder->block_used_bytes + distance_bytes);
        block[1] = (uint8_t)from_start;
        block[2] = (uint8_t)(from_start >> 8);
    }
    memcpy(block + builder->block_used_bytes, bytes, size_bytes);
    builder->block_used_bytes += size_bytes;
    return 0;
}

struct rth_rows_builder *rth__rows_builder_new(void)
{
    static const struct rth_rule_draft none = {.rule = {.kind = RTH_RULE_NONE}};
    struct rth_rows_builder *builder = rth__arena_alloc_nomalloc(sizeof(*builder));
    if (builder == NULL)
        return NULL;
    builder->last_rule = NO_ROW;
    if (rule_intern(builder, &none) != 0) {
        rth__rows_builder_free(builder);
        return NULL;
    }
    return builder;
}

int rth__rows_builder_add(struct rth_rows_builder *builder, uint32_t offset,
                          const struct rth_rule_draft *draft)
{
    if (builder->last_rule != NO_ROW && offset <= builder->last_offset)
        return -EINVAL;
    int refused = 0;
    int rule = rule_intern(builder, draft);
    if (rule == -ENOSPC) {
        refused = rule;
        rule = 0;
    }
    if (rule < 0)
        return rule;
    if ((uint32_t)rule == builder->last_rule)
        return refused;
    int error = row_append(builder, offset, (uint32_t)rule);
    if (error < 0)
        return error;
    builder->last_offset = offset;
    builder->last_rule = (uint32_t)rule;
    builder->row_count++;
    return refused;
}

static void *part_place(uint8_t **at, const struct growing *growing)
{
    uint8_t *part = *at;
    if (growing->used_bytes > 0)
        memcpy(part, growing->data, growing->used_bytes);
    *at += (growing->used_bytes + 7) & ~(size_t)7;
    return part;
}

struct rth_rows *rth__rows_builder_finish(struct rth_rows_builder *builder)
{
    /* Blocks first, right behind the head, so that each is one cache line. */
    size_t head_bytes =
        (sizeof(struct rth_rows) + RTH_ROW_BLOCK_BYTES - 1) & ~(size_t)(RTH_ROW_BLOCK_BYTES - 1);
    size_t size_bytes = head_bytes + builder->blocks.used_bytes + builder->block_pc.used_bytes +
                        builder->rules.used_bytes + builder->places.used_bytes +
                        builder->expressions.used_bytes + (size_t)4 * 8 + RTH_ROW_BLOCK_BYTES;
    struct rth_rows *rows = rth__arena_alloc_nomalloc(size_bytes);
    if (rows == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)rows + head_bytes;
    rows->size_bytes = size_bytes;
    rows->blocks = part_place(&at, &builder->blocks);
    rows->block_pc = part_place(&at, &builder->block_pc);
    rows->rules = part_place(&at, &builder->rules);
    rows->places = part_place(&at, &builder->places);
    rows->expressions = part_place(&at, &builder->expressions);
    rows->block_count = (uint32_t)(builder->block_pc.used_bytes / sizeof(uint32_t));
    rows->rule_count = (uint32_t)(builder->rules.used_bytes / sizeof(struct rth_rule));
    rows->place_count = (uint32_t)(builder->places.used_bytes / sizeof(struct rth_place));
    rows->expression_bytes = (uint32_t)builder->expressions.used_bytes;
    rows->row_count = builder->row_count;
    return rows;
}

void rth__rows_builder_free(struct rth_rows_builder *builder)
{
    if (builder == NULL)
        return;
    grow_free(&builder->block_pc);
    grow_free(&builder->blocks);
    grow_free(&builder->rules);
    grow_free(&builder->places);
    grow_free(&builder->expressions);
    rth__arena_free_nomalloc(builder, sizeof(*builder));
}

void rth__rows_free(struct rth_rows *rows)
{
    if (rows != NULL)
        rth__arena_free_nomalloc(rows, rows->size_bytes);
}
