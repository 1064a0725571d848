/* SPDX-License-Identifier: MIT */
/* Deadlocks and contended locks, as `rthooks threads` draws them. */

#include "cmd/threads.h"

#include <limits.h>
#include <string.h>

#include "cmd/pprof.h"

#define CONTENDED_SHOWN 20

/* ---- from a list of threads ------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static int tid_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 && number <= INT_MAX ? (int)number : 0;
}

void threads_waits_read(const json_t *document, struct waits *waits)
{
    const json_t *threads = json_object_get(document, "threads");
    for (size_t i = 0; i < json_array_size(threads); i++) {
        const json_t *thread = json_array_get(threads, i), *wait = json_object_get(thread, "wait");
        const json_t *seconds = json_object_get(wait, "seconds");
        struct waiting_thread row = {
            .tid = tid_of(thread, "tid"),
            .name = text_of(thread, "name"),
            .reason = text_of(wait, "for"),
            .object = text_of(wait, "object"),
            .held_by = text_of(wait, "held_by"),
            .holder_tid = tid_of(wait, "holder_tid"),
            .seconds = json_is_number(seconds) ? json_number_value(seconds) : -1,
            .place = text_of(thread, "at"),
        };
        waits_add(waits, &row);
    }
    waits_solve(waits);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_since(double seconds)
{
    if (seconds >= 10)
        printf(" since %.0f s", seconds);
    else if (seconds >= 0)
        printf(" since %.1f s", seconds);
}

static void print_place(const char *before, const struct waiting_thread *thread)
{
    if (thread->place[0] == '\0')
        return;
    fputs(before, stdout);
    print_clean(thread->place);
}

static void print_deadlock(const struct waits *waits, uint32_t cycle)
{
    uint32_t first = rth__wait_graph_cycle_first(&waits->graph, cycle), at = first;
    size_t length = rth__wait_graph_cycle_length(&waits->graph, first);
    printf("\ndeadlock: %zu thread%s\n", length, length == 1 ? "" : "s");
    do {
        const struct waiting_thread *thread = &waits->threads[at];
        printf("  %d \"", thread->tid);
        print_clean(thread->name);
        fputs("\" waits for ", stdout);
        print_clean(thread->reason);
        putchar(' ');
        print_clean(thread->object);
        printf(" held by %d", thread->holder_tid);
        print_since(thread->seconds);
        print_place("   at ", thread);
        putchar('\n');
        at = waits->graph.holder[at];
    } while (at != first);
}

static void print_contended(const struct waits *waits)
{
    const struct rth_wait_graph *graph = &waits->graph;
    char lock[48], clean[48], holder[96], clean_holder[96];
    if (graph->object_count == 0)
        return;
    printf("\n%7s  %-27s %-26s %s\n", "WAITERS", "LOCK", "HOLDER", "WHERE THE HOLDER IS");
    for (size_t i = 0; i < graph->object_count && i < CONTENDED_SHOWN; i++) {
        const struct rth_wait_object *object = &graph->objects[i];
        const struct waiting_thread *waiter = &waits->threads[object->first];
        bool is_mutex = strcmp(waiter->reason, "mutex") == 0;
        snprintf(lock, sizeof(lock), "%s %.30s", is_mutex ? "mutex" : "rwlock", waiter->object);
        const char *held_by = waiter->held_by[0] != '\0' ? waiter->held_by : "-";
        snprintf(holder, sizeof(holder), "%.90s", held_by);
        if (object->holder != RTH_WAIT_NOBODY)
            snprintf(holder, sizeof(holder), "%d \"%.63s\"", waits->threads[object->holder].tid,
                     waits->threads[object->holder].name);
        printf("%7u  %-27s %-26s", object->waiters, printable(lock, clean, sizeof(clean)),
               printable(holder, clean_holder, sizeof(clean_holder)));
        if (object->holder != RTH_WAIT_NOBODY)
            print_place(" ", &waits->threads[object->holder]);
        putchar('\n');
    }
    if (graph->object_count > CONTENDED_SHOWN)
        printf("%7s  and %zu more\n", "", graph->object_count - CONTENDED_SHOWN);
}

void threads_waits_print(const struct waits *waits)
{
    for (uint32_t cycle = 1; cycle <= waits->graph.cycle_count; cycle++)
        print_deadlock(waits, cycle);
    print_contended(waits);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_object_set_new(object, key, json_text(text));
}

static json_t *deadlock_json(const struct waits *waits, uint32_t cycle)
{
    uint32_t first = rth__wait_graph_cycle_first(&waits->graph, cycle), at = first;
    json_t *list = json_array();
    do {
        const struct waiting_thread *thread = &waits->threads[at];
        json_t *object = json_object();
        json_object_set_new(object, "tid", json_integer(thread->tid));
        json_object_set_new(object, "name", json_text(thread->name));
        json_object_set_new(object, "for", json_text(thread->reason));
        json_object_set_new(object, "object", json_text(thread->object));
        json_object_set_new(object, "holder_tid", json_integer(thread->holder_tid));
        if (thread->seconds >= 0)
            json_object_set_new(object, "seconds", json_real(thread->seconds));
        set_text(object, "at", thread->place);
        json_array_append_new(list, object);
        at = waits->graph.holder[at];
    } while (at != first);
    return list;
}

static json_t *contended_json(const struct waits *waits, const struct rth_wait_object *object)
{
    const struct waiting_thread *waiter = &waits->threads[object->first];
    bool is_mutex = strcmp(waiter->reason, "mutex") == 0;
    json_t *row = json_object();
    json_object_set_new(row, "kind", json_string(is_mutex ? "mutex" : "rwlock"));
    json_object_set_new(row, "object", json_text(waiter->object));
    json_object_set_new(row, "waiters", json_integer(object->waiters));
    set_text(row, "held_by", waiter->held_by);
    if (object->holder != RTH_WAIT_NOBODY) {
        const struct waiting_thread *holder = &waits->threads[object->holder];
        json_object_set_new(row, "holder_tid", json_integer(holder->tid));
        set_text(row, "at", holder->place);
    }
    return row;
}

void threads_waits_json(const struct waits *waits, json_t *document)
{
    json_t *deadlocks = json_array(), *contended = json_array();
    for (uint32_t cycle = 1; cycle <= waits->graph.cycle_count; cycle++)
        json_array_append_new(deadlocks, deadlock_json(waits, cycle));
    for (size_t i = 0; i < waits->graph.object_count; i++)
        json_array_append_new(contended, contended_json(waits, &waits->graph.objects[i]));
    json_object_set_new(document, "deadlocks", deadlocks);
    json_object_set_new(document, "contended", contended);
}
