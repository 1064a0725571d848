/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/unit.h"
#include "record/counted.h"
#include "record/facts.h"
#include "record/stacks.h"

static struct rth_counted counted = {.name = "test"};

static void add(rth_frame leaf, rth_frame root, uint64_t first, uint64_t second)
{
    const rth_frame frames[2] = {leaf, root};
    const uint64_t values[RTH_COUNTED_VALUES] = {first, second};
    rth__counted_add_sigsafe(&counted, frames, 2, RTH_LABEL_SET_NONE, values);
}

static struct rth_snapshot *snapshot(void)
{
    struct rth_snapshot *taken = rth__snapshot_take(&counted);
    assert_non_null(taken);
    return taken;
}

static size_t difference(const struct rth_snapshot *from, struct rth_counted_delta **ret_rows)
{
    size_t count = 0;
    assert_int_equal(rth__snapshot_difference(from, ret_rows, &count), 0);
    return count;
}

static void a_capture_shows_what_was_added_since_its_snapshot(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    add(1, 2, 5, 50);
    struct rth_snapshot *from = snapshot();
    add(1, 2, 1, 10);
    add(1, 2, 1, 10);
    add(3, 2, 7, 70);
    struct rth_counted_delta *rows;
    assert_int_equal(difference(from, &rows), 2);
    for (size_t i = 0; i < 2; i++) {
        bool old = rows[i].frames[0] == 1;
        assert_int_equal(rows[i].frame_count, 2);
        assert_int_equal(rows[i].frames[1], 2);
        assert_int_equal(rows[i].values[0], old ? 2 : 7);
        assert_int_equal(rows[i].values[1], old ? 20 : 70);
        assert_int_equal(rows[i].label_set, RTH_LABEL_SET_NONE);
    }
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

static void captures_that_overlap_do_not_disturb_each_other(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    struct rth_snapshot *first = snapshot();
    add(1, 2, 1, 1);
    struct rth_snapshot *second = snapshot();
    add(1, 2, 1, 1);
    struct rth_counted_delta *rows;
    assert_int_equal(difference(second, &rows), 1);
    assert_int_equal(rows[0].values[0], 1);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(second);
    add(1, 2, 1, 1);
    assert_int_equal(difference(first, &rows), 1);
    assert_int_equal(rows[0].values[0], 3);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(first);
}

static void nothing_added_is_no_row(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    add(1, 2, 1, 1);
    struct rth_snapshot *from = snapshot();
    struct rth_counted_delta *rows;
    assert_int_equal(difference(from, &rows), 0);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

static void labels_make_rows_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    struct rth_snapshot *from = snapshot();
    const rth_frame frames[1] = {9};
    const uint64_t values[RTH_COUNTED_VALUES] = {1, 1};
    rth__counted_add_sigsafe(&counted, frames, 1, 0, values);
    rth__counted_add_sigsafe(&counted, frames, 1, 7, values);
    struct rth_counted_delta *rows;
    assert_int_equal(difference(from, &rows), 2);
    assert_int_equal(rows[0].label_set + rows[1].label_set, 7);
    assert_ptr_equal(rows[0].frames, rows[1].frames);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

/* More stacks than there is room for: the sum of all rows is still what was added. */
static void what_finds_no_room_is_in_the_overflow_row_and_nothing_is_lost(void **state)
{
    (void)state;
    enum { ADDED = 60000 };
    assert_int_equal(rth__counted_init(&counted), 0);
    struct rth_snapshot *from = snapshot();
    for (rth_frame leaf = 1; leaf <= ADDED; leaf++)
        add(leaf, 2, 1, 3);
    struct rth_counted_delta *rows;
    size_t count = difference(from, &rows);
    uint64_t sum = 0, overflowed = 0;
    for (size_t i = 0; i < count; i++) {
        sum += rows[i].values[0];
        overflowed += rows[i].frame_count == 0 ? rows[i].values[0] : 0;
    }
    assert_int_equal(sum, ADDED);
    assert_true(overflowed > 0 && overflowed < ADDED);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

static void a_full_table_makes_room_once_nobody_reads_it(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    struct rth_snapshot *reader = snapshot();
    unsigned first = rth__generation_current();
    for (rth_frame leaf = 1; leaf <= 60000; leaf++)
        add(leaf, 2, 1, 1);
    rth__record_housekeeping(); /* the other generation is free */
    assert_int_not_equal(rth__generation_current(), first);
    add(70000, 2, 1, 1);
    struct rth_counted_delta *rows;
    size_t count = difference(reader, &rows);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += rows[i].values[0];
    assert_int_equal(sum, 60001); /* both generations */
    rth__counted_deltas_free(rows);
    for (rth_frame leaf = 1; leaf <= 60000; leaf++)
        add(leaf, 3, 1, 1);
    rth__record_housekeeping(); /* pinned: stays, and overflows */
    assert_int_not_equal(rth__generation_current(), first);
    rth__snapshot_free(reader);
    rth__record_housekeeping();
    assert_int_equal(rth__generation_current(), first);
    struct rth_snapshot *from = snapshot();
    add(1, 2, 1, 1);
    assert_int_equal(difference(from, &rows), 1);
    assert_int_equal(rows[0].frame_count, 2);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

static _Atomic bool stop_writing;

static void *add_new_rows(void *unused)
{
    for (rth_frame leaf = 100; leaf < 5000 && !stop_writing; leaf++)
        add(leaf, 3, 1, 1);
    return unused;
}

/* Rows that are claimed while a snapshot is taken must not push old ones out of it. */
static void a_snapshot_taken_among_writers_keeps_every_old_row(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    for (rth_frame leaf = 1; leaf <= 50; leaf++)
        add(leaf, 2, 1000000, 1);
    for (int round = 0; round < 30; round++) {
        pthread_t writer;
        stop_writing = false;
        assert_int_equal(pthread_create(&writer, NULL, add_new_rows, NULL), 0);
        struct rth_snapshot *from = snapshot();
        stop_writing = true;
        (void)pthread_join(writer, NULL);
        struct rth_counted_delta *rows;
        size_t count = difference(from, &rows);
        for (size_t i = 0; i < count; i++)
            assert_true(rows[i].values[0] < 1000000);
        rth__counted_deltas_free(rows);
        rth__snapshot_free(from);
    }
}

enum { THREADS = 4, ROUNDS = 200000 };

static void *add_many(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        add(1 + (seed >> 60), 2, 1, 2);
    }
    return NULL;
}

static void threads_that_add_at_once_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(rth__counted_init(&counted), 0);
    struct rth_snapshot *from = snapshot();
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    struct rth_counted_delta *rows;
    size_t count = difference(from, &rows);
    assert_int_equal(count, 16);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += rows[i].values[0];
    assert_int_equal(sum, (uint64_t)THREADS * ROUNDS);
    assert_int_equal(rth__stacks_count(rth__generation_current()), 16);
    rth__counted_deltas_free(rows);
    rth__snapshot_free(from);
}

static void the_region_names_what_it_holds_by_offset(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    const char *rows = (const char *)counted.rows[0];
    const struct rth_facts_header *header = NULL;
    /* The header lies at the start of the mapping that holds the rows. */
    for (uintptr_t page = (uintptr_t)rows & ~(uintptr_t)4095; header == NULL; page -= 4096)
        if (*(const uint64_t *)page == RTH_FACTS_MAGIC)
            header = (const struct rth_facts_header *)page;
    bool found = false;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct rth_facts_entry *entry = &header->entries[i];
        assert_true(entry->offset + entry->size_bytes <= header->size_bytes);
        found = found || (strcmp(entry->name, "test.0") == 0 &&
                          (const char *)header + entry->offset == rows);
    }
    assert_true(found);
}

static void a_forked_child_inherits_no_record(void **state)
{
    (void)state;
    assert_int_equal(rth__counted_init(&counted), 0);
    add(1, 2, 5, 50);
    pid_t pid = fork();
    if (pid == 0) {
        add(3, 4, 1, 1); /* before adoption: harmless */
        rth__record_child_reset();
        struct rth_snapshot *from = NULL;
        struct rth_counted_delta *rows = NULL;
        size_t count = 99;
        bool fine =
            rth__counted_init(&counted) == 0 && (from = rth__snapshot_take(&counted)) != NULL;
        add(5, 6, 2, 2);
        fine = fine && rth__snapshot_difference(from, &rows, &count) == 0 && count == 1 &&
               rows[0].frames[0] == 5 && rows[0].values[0] == 2;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_capture_shows_what_was_added_since_its_snapshot),
              cmocka_unit_test(captures_that_overlap_do_not_disturb_each_other),
              cmocka_unit_test(nothing_added_is_no_row),
              cmocka_unit_test(labels_make_rows_of_their_own),
              cmocka_unit_test(what_finds_no_room_is_in_the_overflow_row_and_nothing_is_lost),
              cmocka_unit_test(a_full_table_makes_room_once_nobody_reads_it),
              cmocka_unit_test(a_snapshot_taken_among_writers_keeps_every_old_row),
              cmocka_unit_test(threads_that_add_at_once_lose_nothing),
              cmocka_unit_test(the_region_names_what_it_holds_by_offset),
              cmocka_unit_test(a_forked_child_inherits_no_record))
