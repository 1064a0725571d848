/* SPDX-License-Identifier: MIT */
#include "profile/waits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels and frames of a sample ----------------------------------------------------------- */

static const struct rth_pprof_label_row *label_of(const struct profile *profile, uint32_t sample,
                                                  const char *key)
{
    const struct rth_pprof_document *document = &profile->document;
    const struct rth_pprof_sample_row *row = &document->samples[sample];
    for (uint32_t i = 0; i < row->label_count; i++) {
        const struct rth_pprof_label_row *label = &document->labels[row->first_label + i];
        if (strcmp(label->key, key) == 0)
            return label;
    }
    return NULL;
}

const char *sample_text(const struct profile *profile, uint32_t sample, const char *key)
{
    const struct rth_pprof_label_row *label = label_of(profile, sample, key);
    return label != NULL ? label->text : "";
}

int64_t sample_number(const struct profile *profile, uint32_t sample, const char *key)
{
    const struct rth_pprof_label_row *label = label_of(profile, sample, key);
    return label != NULL && label->text[0] == '\0' ? label->number : 0;
}

/* Below the program: the C and C++ libraries and ours. As the process itself has it. */
static bool is_of_a_library_below(const char *file)
{
    static const char *const prefixes[] = {
        "libc.so", "libc-",     "libpthread", "ld-linux",
        "ld-musl", "libstdc++", "libc++",     "librthooks",
    };
    const char *name = base_name(file);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

/* Where the program is; NULL without a stack. */
static const struct frame *place_of(const struct profile *profile, uint32_t sample)
{
    const struct rth_pprof_document *document = &profile->document;
    const struct rth_pprof_sample_row *row = &document->samples[sample];
    const struct frame *first = NULL;
    for (uint32_t i = 0; i < row->location_count; i++) {
        uint32_t number = document->sample_locations[row->first_location + i];
        uint32_t mapping = document->locations[number].mapping;
        const struct frames *frames = &profile->locations[number];
        if (frames->count == 0)
            continue;
        if (first == NULL)
            first = &frames->list[0];
        if (mapping == RTH_PPROF_NO_ROW || !is_of_a_library_below(document->mappings[mapping].file))
            return &frames->list[0];
    }
    return first;
}

static int to_tid(int64_t number)
{
    return number > 0 && number <= INT_MAX ? (int)number : 0;
}

/* ---- the set --------------------------------------------------------------------------------- */

static const char *copy(struct waits *waits, const char *text)
{
    return pool_text(&waits->pool, text, strlen(text));
}

void waits_add(struct waits *waits, const struct waiting_thread *thread)
{
    if (thread->tid <= 0)
        return;
    waits->threads = grow(waits->threads, waits->count, &waits->capacity, sizeof(*waits->threads));
    waits->threads[waits->count++] = (struct waiting_thread){
        .tid = thread->tid,
        .name = copy(waits, thread->name),
        .reason = copy(waits, thread->reason),
        .object = copy(waits, thread->object),
        .held_by = copy(waits, thread->held_by),
        .holder_tid = thread->holder_tid,
        .seconds = thread->seconds,
        .place = copy(waits, thread->place),
    };
}

void waits_add_profile(struct waits *waits, const struct profile *profile)
{
    for (uint32_t i = 0; i < profile->document.sample_count; i++) {
        const struct frame *place = place_of(profile, i);
        int64_t wait_ns = sample_number(profile, i, "wait_ns");
        struct waiting_thread thread = {
            .tid = to_tid(sample_number(profile, i, "tid")),
            .name = sample_text(profile, i, "thread"),
            .reason = sample_text(profile, i, "wait"),
            .object = sample_text(profile, i, "object"),
            .held_by = sample_text(profile, i, "held_by"),
            .holder_tid = to_tid(sample_number(profile, i, "holder")),
            .seconds = wait_ns > 0 ? (double)wait_ns / 1e9 : -1,
            .place = place != NULL ? place->name : "",
        };
        waits_add(waits, &thread);
    }
}

bool waits_is_lock(const char *reason)
{
    return strcmp(reason, "mutex") == 0 || strcmp(reason, "rwlock read") == 0 ||
           strcmp(reason, "rwlock write") == 0;
}

static int by_tid(const void *left_pointer, const void *right_pointer)
{
    const struct waiting_thread *left = left_pointer, *right = right_pointer;
    return (left->tid > right->tid) - (left->tid < right->tid);
}

/* By tid, each once: what is read may be anybody's. */
static void sort_threads(struct waits *waits)
{
    size_t kept = 0;
    if (waits->count > 0)
        qsort(waits->threads, waits->count, sizeof(*waits->threads), by_tid);
    for (size_t i = 0; i < waits->count; i++) {
        if (kept == 0 || waits->threads[kept - 1].tid != waits->threads[i].tid)
            waits->threads[kept++] = waits->threads[i];
    }
    waits->count = kept;
}

void waits_solve(struct waits *waits)
{
    sort_threads(waits);
    waits->nodes = take(waits->count, sizeof(*waits->nodes));
    waits->graph_memory = take(1, rth__wait_graph_bytes(waits->count));
    for (size_t i = 0; i < waits->count; i++) {
        const struct waiting_thread *thread = &waits->threads[i];
        waits->nodes[i] = (struct rth_wait_node){
            .tid = thread->tid,
            .holder_tid = thread->holder_tid,
            .object = waits_is_lock(thread->reason) ? strtoull(thread->object, NULL, 16) : 0,
        };
    }
    rth__wait_graph_make(waits->nodes, waits->count, waits->graph_memory, &waits->graph);
}

void waits_refine(struct waits *waits, const struct profile *profile)
{
    for (uint32_t i = 0; i < profile->document.sample_count; i++) {
        struct waiting_thread key = {.tid = to_tid(sample_number(profile, i, "tid"))};
        const struct frame *place = place_of(profile, i);
        struct waiting_thread *thread = NULL;
        if (waits->count > 0)
            thread = bsearch(&key, waits->threads, waits->count, sizeof(key), by_tid);
        if (thread == NULL || place == NULL || place->file[0] == '\0' ||
            strcmp(place->name, thread->place) != 0)
            continue;
        const char *file = base_name(place->file);
        size_t size = strlen(place->name) + strlen(file) + 32;
        char *text = pool_take(&waits->pool, size);
        if (place->line > 0)
            snprintf(text, size, "%s (%s:%" PRId64 ")", place->name, file, place->line);
        else
            snprintf(text, size, "%s (%s)", place->name, file);
        thread->place = text;
    }
}

void waits_free(struct waits *waits)
{
    free(waits->threads);
    free(waits->nodes);
    free(waits->graph_memory);
    pool_free(&waits->pool);
    *waits = (struct waits){0};
}
