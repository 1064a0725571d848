/* SPDX-License-Identifier: MIT */
/*
 * Keeps the walker's tables in step with what is mapped.
 *
 * Purpose: rows for every module, once for each file however often it is loaded. A module is read
 * while the host may unload it, so its rows count only when the mappings say afterwards that it was
 * there all along.
 * Threads: rth__unwind_refresh one at a time; statistics from anywhere. No lock.
 * Failure: a module without .eh_frame_hdr, or that nobody can read, is counted and left to the
 * frame pointer; one that went away meanwhile is tried again when it comes back.
 */
#include "unwind/unwind.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "unwind/eh_frame.h"
#include "unwind/module_rows.h"

_Atomic(const struct rth_rows *) rth__rows_of_module_sigsafe[RTH_MODULES_MAX];
_Atomic bool rth__unknown_code_met_sigsafe;
/* A loaded module is still without rows and may get them the next time. */
static _Atomic bool refresh_unfinished;

/* The refresh's own. */
enum { NOT_TRIED, COMPILED, HOPELESS };
static _Atomic uint8_t module_state[RTH_MODULES_MAX];

struct fresh_rows {
    struct rth_rows *rows;
    uint64_t load_bias;
    struct rth_eh_frame_counts counts;
};
/* A batch is small, so that the first modules are known soon. */
#define BATCH_MODULES 32u
static struct fresh_rows batch[BATCH_MODULES];
static uint32_t batch_id[BATCH_MODULES];

static _Atomic uint64_t modules_compiled, modules_without_rows, row_total, row_bytes_total,
    eh_frame_bytes_total, fdes_refused_total;

static void count_add(_Atomic uint64_t *counter, uint64_t value)
{
    (void)atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static void give_up(uint32_t id)
{
    module_state[id] = HOPELESS;
    count_add(&modules_without_rows, 1);
}

static int module_compile(struct rth_image_reader *reader, const struct rth_module *module,
                          struct fresh_rows *ret_fresh)
{
    struct rth_eh_frame_image image = {
        .load_bias = module->last_load_bias,
        .vaddr_low = module->image_vaddr_low,
        .vaddr_high = module->image_vaddr_high,
        .hdr_vaddr = module->eh_frame_hdr_vaddr,
        .hdr_bytes = module->eh_frame_hdr_bytes,
    };
    struct fresh_rows fresh = {.load_bias = image.load_bias};
    int error = rth__eh_frame_compile(reader, &image, &fresh.rows, &fresh.counts);
    if (error == 0)
        *ret_fresh = fresh;
    return error;
}

/* Compiles up to BATCH_MODULES modules from *next_id on. Returns how many, or -ENOMEM. */
static int batch_compile(struct rth_image_reader *reader, uint32_t *next_id)
{
    uint32_t limit = rth__module_count() + 1;
    int count = 0;
    for (; *next_id < limit && count < (int)BATCH_MODULES; ++*next_id) {
        uint32_t id = *next_id;
        const struct rth_module *module = rth__module_by_id_sigsafe(id);
        if (module_state[id] != NOT_TRIED || !module->loaded)
            continue;
        if (module->eh_frame_hdr_vaddr == 0) {
            give_up(id);
            continue;
        }
        int error = module_compile(reader, module, &batch[count]);
        if (error == 0)
            batch_id[count++] = id;
        else if (error == -ENOENT || error == -EBADMSG)
            give_up(id);
        else /* short of memory, or unmapped meanwhile */
            atomic_store_explicit(&refresh_unfinished, true, memory_order_relaxed);
    }
    return count;
}

/* Publishes what is still mapped where it was read. Returns how many modules. */
static int batch_publish(int count, bool verified)
{
    int published = 0;
    for (int i = 0; i < count; i++) {
        struct fresh_rows *fresh = &batch[i];
        const struct rth_module *module = rth__module_by_id_sigsafe(batch_id[i]);
        if (!verified || !module->loaded || module->last_load_bias != fresh->load_bias) {
            rth__rows_free(fresh->rows);
            atomic_store_explicit(&refresh_unfinished, true, memory_order_relaxed);
            continue;
        }
        count_add(&modules_compiled, 1);
        count_add(&row_total, fresh->rows->row_count);
        count_add(&row_bytes_total, fresh->rows->size_bytes);
        count_add(&eh_frame_bytes_total, fresh->counts.eh_frame_bytes);
        count_add(&fdes_refused_total, fresh->counts.fdes_refused);
        atomic_store_explicit(&rth__rows_of_module_sigsafe[batch_id[i]], fresh->rows,
                              memory_order_release);
        module_state[batch_id[i]] = COMPILED; /* last: a child forked before has both or neither */
        published++;
    }
    return published;
}

int rth__unwind_refresh(int root_fd)
{
    atomic_store_explicit(&rth__unknown_code_met_sigsafe, false, memory_order_relaxed);
    atomic_store_explicit(&refresh_unfinished, false, memory_order_relaxed);
    int changed = rth__modules_refresh(root_fd);
    if (changed < 0)
        return changed;
    struct rth_image_reader reader = {.root_fd = root_fd};
    uint32_t next_id = 1;
    int count;
    while ((count = batch_compile(&reader, &next_id)) > 0) {
        int moved = rth__modules_refresh(root_fd);
        int published = batch_publish(count, moved >= 0);
        if (published > 0 || moved > 0)
            changed = 1;
    }
    rth__image_reader_close(&reader);
    return changed;
}

bool rth__unwind_refresh_wanted(void)
{
    return atomic_load_explicit(&rth__unknown_code_met_sigsafe, memory_order_relaxed) ||
           atomic_load_explicit(&refresh_unfinished, memory_order_relaxed);
}

bool rth__unwind_rows_may_come_sigsafe(uint32_t module_id)
{
    return module_id < RTH_MODULES_MAX &&
           atomic_load_explicit(&module_state[module_id], memory_order_relaxed) == NOT_TRIED;
}

void rth__unwind_stats(struct rth_unwind_stats *ret_stats)
{
    *ret_stats = (struct rth_unwind_stats){
        .modules_compiled = atomic_load_explicit(&modules_compiled, memory_order_relaxed),
        .modules_without_rows = atomic_load_explicit(&modules_without_rows, memory_order_relaxed),
        .rows = atomic_load_explicit(&row_total, memory_order_relaxed),
        .row_bytes = atomic_load_explicit(&row_bytes_total, memory_order_relaxed),
        .eh_frame_bytes = atomic_load_explicit(&eh_frame_bytes_total, memory_order_relaxed),
        .fdes_refused = atomic_load_explicit(&fdes_refused_total, memory_order_relaxed),
    };
}

void rth__unwind_child_reset(void)
{
    /* Rows are of files, and as true in the child. A refresh that the fork cut off left nothing
     * but blocks of the parent's arena. */
    rth__modules_child_reset();
}
