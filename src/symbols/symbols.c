/* SPDX-License-Identifier: MIT */
/*
 * Names of frames.
 *
 * Purpose: profiles and thread dumps record (module, vaddr); here the frames of one answer get
 * their function names, all at once, a module at a time, in two passes over its file: the first
 * streams the symbol table and remembers the best symbol of each frame (match.c), the second
 * fetches the names of those alone (names.c). Which file may be believed is source.c's question.
 * Threads: whoever asks, rth-work as a rule; a set belongs to one thread. Locks: none.
 * Failure: a frame without a name; only want of memory and a cancelled question fail the whole.
 * Cost: 10,000 frames take some 2 MiB and a read of the symbol tables concerned; nothing is kept.
 */
#include "symbols/symbols.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "symbols/resolve.h"

struct rth_symbol_set {
    size_t count, capacity; /* distinct frames; as allocated */
    rth_frame *frames;
    struct rth_symbol *symbols;
    struct rth_symbol_names names;
    uint64_t has_names[(RTH_MODULES_MAX + 63) / 64]; /* a bit for each module id */
};

static void sift_down(uint64_t *keys, size_t at, size_t count)
{
    uint64_t moving = keys[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && keys[child + 1] > keys[child])
            child++;
        if (keys[child] <= moving)
            break;
        keys[at] = keys[child];
        at = child;
    }
    keys[at] = moving;
}

/* Heapsort: no recursion, no worst case. */
void rth__symbols_sort(uint64_t *keys, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sift_down(keys, i - 1, count);
    for (size_t end = count; end > 1; end--) {
        uint64_t largest = keys[0];
        keys[0] = keys[end - 1];
        keys[end - 1] = largest;
        sift_down(keys, 0, end - 1);
    }
}

struct rth_symbol_set *rth__symbol_set_new(const rth_frame *frames, size_t count)
{
    struct rth_symbol_set *set = rth__arena_alloc_nomalloc(sizeof(*set));
    if (set == NULL || count > SIZE_MAX / sizeof(*set->symbols))
        goto fail;
    set->frames = rth__arena_alloc_nomalloc(count * sizeof(*set->frames));
    if (set->frames == NULL)
        goto fail;
    set->capacity = count;
    if (count > 0)
        memcpy(set->frames, frames, count * sizeof(*frames));
    rth__symbols_sort(set->frames, count);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || set->frames[i] != set->frames[i - 1])
            set->frames[set->count++] = set->frames[i];
    }
    set->symbols = rth__arena_alloc_nomalloc(count * sizeof(*set->symbols));
    if (set->symbols == NULL)
        goto fail;
    return set;
fail:
    rth__symbol_set_free(set);
    return NULL;
}

void rth__symbol_set_free(struct rth_symbol_set *set)
{
    if (set == NULL)
        return;
    rth__symbol_names_free(&set->names);
    rth__arena_free_nomalloc(set->frames, set->capacity * sizeof(*set->frames));
    rth__arena_free_nomalloc(set->symbols, set->capacity * sizeof(*set->symbols));
    rth__arena_free_nomalloc(set, sizeof(*set));
}

/* Index of the first frame that is not below `frame`. */
static size_t lower_bound(const struct rth_symbol_set *set, rth_frame frame)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->frames[middle] < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int name_frames(struct rth_symbol_set *set, struct rth_symbol_job *job, size_t first)
{
    size_t keys_bytes = job->count * sizeof(uint64_t);
    int error = rth__symbols_match(job);
    if (error != 0)
        return error;
    uint32_t id = rth__frame_module_id(job->frames[0]);
    if (job->has_code)
        set->has_names[id / 64] |= UINT64_C(1) << id % 64;
    uint64_t *keys = rth__arena_alloc_nomalloc(keys_bytes);
    if (keys == NULL)
        return -ENOMEM;
    error = rth__symbol_names_read(&set->names, job, keys, set->symbols + first);
    rth__arena_free_nomalloc(keys, keys_bytes);
    return error;
}

/* Frames first … first + count - 1 lie in the module. */
static int resolve_module(struct rth_symbol_set *set, const struct rth_module *module, int root_fd,
                          size_t first, struct rth_symbol_job *job)
{
    struct rth_module_symbols symbols;
    size_t matches_bytes = job->count * sizeof(*job->matches);
    if (rth__module_symbols_open(module, root_fd, &symbols) != 0)
        return 0;
    job->table = &symbols.table;
    job->matches = rth__arena_alloc_nomalloc(matches_bytes);
    int error = job->matches != NULL ? name_frames(set, job, first) : -ENOMEM;
    rth__arena_free_nomalloc(job->matches, matches_bytes);
    rth__module_symbols_close(&symbols);
    /* What is wrong with one file is not the others' concern. */
    return error == -ENOMEM || error == -ECANCELED ? error : 0;
}

int rth__symbol_set_resolve_with(struct rth_symbol_set *set,
                                 const struct rth_module *(*module_by_id)(uint32_t id), int root_fd,
                                 bool (*cancelled)(void *userdata), void *userdata)
{
    void *buffer = rth__arena_alloc_nomalloc(RTH_SYMBOL_BUFFER_BYTES);
    char *window = rth__arena_alloc_nomalloc(RTH_SYMBOL_WINDOW_BYTES);
    int error = buffer != NULL && window != NULL ? 0 : -ENOMEM;
    size_t next;
    for (size_t first = 0; first < set->count && error == 0; first = next) {
        uint32_t id = rth__frame_module_id(set->frames[first]);
        next = id < UINT16_MAX ? lower_bound(set, rth__frame_make(id + 1, 0)) : set->count;
        const struct rth_module *module = id != 0 && id < RTH_MODULES_MAX ? module_by_id(id) : NULL;
        if (module == NULL)
            continue;
        if (cancelled != NULL && cancelled(userdata)) {
            error = -ECANCELED;
            break;
        }
        struct rth_symbol_job job = {
            .frames = set->frames + first,
            .count = next - first,
            .buffer = buffer,
            .window = window,
            .cancelled = cancelled,
            .userdata = userdata,
        };
        error = resolve_module(set, module, root_fd, first, &job);
    }
    rth__arena_free_nomalloc(window, RTH_SYMBOL_WINDOW_BYTES);
    rth__arena_free_nomalloc(buffer, RTH_SYMBOL_BUFFER_BYTES);
    return error;
}

int rth__symbol_set_resolve(struct rth_symbol_set *set, int root_fd,
                            bool (*cancelled)(void *userdata), void *userdata)
{
    return rth__symbol_set_resolve_with(set, rth__module_by_id_sigsafe, root_fd, cancelled,
                                        userdata);
}

struct rth_symbol rth__symbol_find(const struct rth_symbol_set *set, rth_frame frame)
{
    size_t at = lower_bound(set, frame);
    if (at == set->count || set->frames[at] != frame)
        return (struct rth_symbol){0};
    return set->symbols[at];
}

bool rth__symbol_set_has_names(const struct rth_symbol_set *set, uint32_t module_id)
{
    return module_id < RTH_MODULES_MAX &&
           (set->has_names[module_id / 64] >> module_id % 64 & 1) != 0;
}
