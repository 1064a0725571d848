/* SPDX-License-Identifier: MIT */
#include "profile/row_list.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "core/arena.h"
#include "profile/labels.h"

#define BLOCK_LABELS 512u

/* Labels of rows, many rows to a block, never moved. */
struct rth_row_labels {
    struct rth_row_labels *before;
    size_t used;
    struct rth_pprof_label labels[BLOCK_LABELS];
};

int rth__row_list_init(struct rth_row_list *list, size_t capacity, unsigned value_count)
{
    *list = (struct rth_row_list){.capacity = capacity, .value_count = value_count};
    list->rows = rth__arena_alloc_nomalloc((capacity + 1) * sizeof(*list->rows));
    list->values = rth__arena_alloc_nomalloc((capacity + 1) * value_count * sizeof(*list->values));
    return list->rows != NULL && list->values != NULL ? 0 : -ENOMEM;
}

static bool has_key(const struct rth_pprof_label *labels, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].key, key) == 0)
            return true;
    return false;
}

/* Room for `count` labels in a row; NULL when memory is short. */
static struct rth_pprof_label *labels_room(struct rth_row_list *list, size_t count)
{
    struct rth_row_labels *block = list->labels;
    if (block == NULL || block->used + count > BLOCK_LABELS) {
        block = rth__arena_alloc_nomalloc(sizeof(*block));
        if (block == NULL)
            return NULL;
        block->before = list->labels;
        list->labels = block;
    }
    return block->labels + block->used;
}

int64_t *rth__row_list_add(struct rth_row_list *list, const rth_frame *frames, unsigned frame_count,
                           uint32_t label_set, const struct rth_pprof_label *own, size_t own_count)
{
    struct rth_pprof_label program[RTH_LABELS_MAX];
    unsigned program_count = rth__profile_labels_read(label_set, program);
    struct rth_pprof_label *labels = labels_room(list, own_count + program_count);
    if (labels == NULL)
        return NULL;
    size_t label_count = 0;
    for (; label_count < own_count; label_count++)
        labels[label_count] = own[label_count];
    for (unsigned i = 0; i < program_count; i++)
        if (!has_key(own, own_count, program[i].key))
            labels[label_count++] = program[i];
    list->labels->used += label_count;
    int64_t *values = &list->values[list->count * list->value_count];
    list->rows[list->count++] = (struct rth_profile_row){
        .frames = frames,
        .frame_count = frame_count,
        .values = values,
        .labels = labels,
        .label_count = label_count,
    };
    return values;
}

void rth__row_list_free(struct rth_row_list *list)
{
    for (struct rth_row_labels *block = list->labels, *before; block != NULL; block = before) {
        before = block->before;
        rth__arena_free_nomalloc(block, sizeof(*block));
    }
    rth__arena_free_nomalloc(list->values,
                             (list->capacity + 1) * list->value_count * sizeof(*list->values));
    rth__arena_free_nomalloc(list->rows, (list->capacity + 1) * sizeof(*list->rows));
    *list = (struct rth_row_list){0};
}
