/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "limits/admission.h"
#include "limits/memory.h"
#include "rthooks/limits.h"

#define MIB    (INT64_C(1) << 20)
#define LIMIT  (640 * MIB)
#define HARD   (720 * MIB) /* CRITICAL begins at 680 MiB, the brake is at 660 */
#define TARGET (LIMIT - LIMIT / 256)

static int64_t look_ns = 1;

static void look_in(int memory_state, int64_t usage_bytes)
{
    struct rth_memory_now now = {
        .limit_bytes = LIMIT,
        .hard_bytes = HARD,
        .critical_bytes = (LIMIT + HARD) / 2,
        .usage_bytes = usage_bytes,
        .state = memory_state,
        .taken_ns = look_ns++,
    };
    rth__admission_look(&now);
}

static void look(int64_t usage_bytes)
{
    look_in(RTH_MEMORY_OK, usage_bytes);
}

static void begin(void)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
}

static struct rth_admission_counts counts(void)
{
    struct rth_admission_counts result;
    rth__admission_counts_read(&result);
    return result;
}

/* ---- a cache --------------------------------------------------------------------------------- */

static _Atomic int64_t held;
static _Atomic uint64_t asked;

static uint64_t count_held(void *unused)
{
    (void)unused;
    return (uint64_t)held;
}

static uint64_t give_up(uint64_t wanted_bytes, int64_t deadline_ns, void *unused)
{
    (void)deadline_ns;
    (void)unused;
    int64_t freed = held < (int64_t)wanted_bytes ? held : (int64_t)wanted_bytes;
    held -= freed;
    asked += wanted_bytes;
    return (uint64_t)freed;
}

static struct rth_shrinker *add(uint32_t flags)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct rth_shrinker *shrinker;
    opts.name = "cache";
    opts.flags = flags;
    opts.count = count_held;
    opts.shrink = give_up;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), 0);
    return shrinker;
}

/* ---- the arithmetic -------------------------------------------------------------------------- */

static int64_t room_after(struct rth_room_ledger *ledger, int64_t usage, int64_t outstanding,
                          uint64_t freed, uint64_t released)
{
    struct rth_room_look seen = {.target_bytes = 1000,
                                 .usage_bytes = usage,
                                 .outstanding_bytes = outstanding,
                                 .freed_bytes = freed,
                                 .released_bytes = released};
    return rth__room_look(ledger, &seen);
}

static void room_is_what_is_left_below_the_target(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    assert_int_equal(room_after(&ledger, 300, 0, 0, 0), 700);
    assert_int_equal(room_after(&ledger, 500, 100, 0, 200), 400);
    assert_int_equal(room_after(&ledger, 1100, 0, 0, 600), -100);
}

static void what_shrinkers_freed_is_room_although_usage_does_not_show_it(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    (void)room_after(&ledger, 1000, 0, 0, 0);
    assert_int_equal(room_after(&ledger, 1000, 0, 300, 0), 300);
    assert_int_equal(ledger.free_bytes, 300);
    /* However often nothing happens. */
    assert_int_equal(room_after(&ledger, 1000, 0, 0, 0), 300);
    /* What was put into the free memory uses it up. */
    assert_int_equal(room_after(&ledger, 1000, 0, 0, 200), 100);
    /* Given back to the kernel it is room of the other kind. */
    assert_int_equal(room_after(&ledger, 900, 0, 0, 0), 100);
    assert_int_equal(ledger.free_bytes, 0);
}

static void growth_that_nobody_asked_for_uses_it_up(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    (void)room_after(&ledger, 1000, 0, 0, 0);
    (void)room_after(&ledger, 1000, 0, 300, 0);
    assert_int_equal(room_after(&ledger, 1100, 0, 0, 0), 100);
    assert_int_equal(ledger.free_bytes, 200);
    assert_int_equal(room_after(&ledger, 1400, 0, 0, 0), -400);
    assert_int_equal(ledger.free_bytes, 0);
}

/* Freed, and yet new memory was taken from the kernel for what was put in. */
static void what_the_allocator_did_not_use_again_is_still_there(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    (void)room_after(&ledger, 1000, 0, 0, 0);
    assert_int_equal(room_after(&ledger, 1040, 0, 100, 100), 0);
    assert_int_equal(ledger.free_bytes, 40);
}

static void after_a_purge_only_what_was_freed_meanwhile_is_free(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    (void)room_after(&ledger, 1000, 0, 0, 0);
    (void)room_after(&ledger, 1000, 0, 300, 0);
    (void)room_after(&ledger, 900, 0, 50, 0); /* 100 went back, 50 were freed while it ran */
    rth__room_purged(&ledger, 50, true);
    assert_int_equal(ledger.stuck_bytes, 200);
    assert_int_equal(room_after(&ledger, 900, 0, 0, 0), 150);
    /* What is used is not stuck. */
    assert_int_equal(room_after(&ledger, 900, 0, 0, 100), 100);
    assert_int_equal(ledger.stuck_bytes, 150);
}

static void free_memory_of_an_allocator_that_gives_nothing_back_is_of_use(void **state)
{
    struct rth_room_ledger ledger = {0};
    (void)state;
    (void)room_after(&ledger, 1000, 0, 0, 0);
    (void)room_after(&ledger, 1000, 0, 300, 0);
    rth__room_purged(&ledger, 0, false);
    assert_int_equal(ledger.stuck_bytes, 300);
    assert_int_equal(room_after(&ledger, 1000, 0, 0, 0), 300);
    rth__room_distrusted(&ledger);
    assert_int_equal(room_after(&ledger, 1000, 0, 0, 0), 0);
}

/* An allocator that takes 1.25 for each byte. */
static void what_the_allocator_puts_on_top_is_learned_and_not_free(void **state)
{
    struct rth_room_ledger ledger = {0};
    const int64_t unit = INT64_C(1) << 20;
    (void)state;
    for (int64_t i = 0; i <= 80; i++)
        (void)room_after(&ledger, (100 + i * 5 / 4) * unit, 0, 0, i == 0 ? 0 : (uint64_t)unit);
    assert_int_equal(ledger.free_bytes, 0);
    (void)room_after(&ledger, 200 * unit, 0, 8 * (uint64_t)unit, 0);
    assert_int_equal(ledger.free_bytes, 10 * unit);
    (void)room_after(&ledger, 200 * unit, 0, 0, 8 * (uint64_t)unit);
    assert_int_equal(ledger.free_bytes, 0);
}

/* A cache at its limit that puts in as much as it gives up: room for as long as that goes on. */
static void a_steady_cache_neither_grows_nor_is_emptied(void **state)
{
    struct rth_room_ledger ledger = {0};
    int64_t room = room_after(&ledger, 1000, 0, 0, 0), given_up = 0, put_in = 0;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t freed = 0, released = (uint64_t)(i % 13);
        room -= (int64_t)released;
        if (room < 0) {
            freed = 50;
            room += 50;
        }
        given_up += (int64_t)freed;
        put_in += (int64_t)released;
        assert_int_equal(room_after(&ledger, 1000, 0, freed, released), room);
    }
    assert_in_range(given_up, put_in, put_in + 50);
}

static void the_target_is_a_little_below_the_limit_and_the_brake_above_it(void **state)
{
    (void)state;
    assert_int_equal(rth__admission_target_bytes(640 * MIB), 640 * MIB - 640 * MIB / 256);
    assert_int_equal(rth__admission_target_bytes(INT64_C(1) << 40), (INT64_C(1) << 40) - 16 * MIB);
    assert_int_equal(rth__admission_brake_bytes(LIMIT, (LIMIT + HARD) / 2), 660 * MIB);
    assert_true(rth__admission_brake_bytes(RTH_MEMORY_LIMIT_NONE, RTH_MEMORY_LIMIT_NONE) ==
                RTH_MEMORY_LIMIT_NONE);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void everything_is_admitted_without_a_limit(void **state)
{
    (void)state;
    begin();
    struct rth_memory_now now = {.limit_bytes = RTH_MEMORY_LIMIT_NONE, .usage_bytes = 5};
    rth__admission_look(&now);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_LOW, UINT64_MAX), 0);
    rth_memory_release(UINT64_MAX);
    assert_int_equal(counts().admitted, 0);
}

static void everything_is_admitted_while_rthooks_does_not_run(void **state)
{
    (void)state;
    begin();
    look_in(RTH_MEMORY_CRITICAL, HARD);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), -EAGAIN);
    rth__enable_off();
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), 0);
    rth_memory_release(1);
    assert_int_equal(counts().outstanding_bytes, 0);
}

static void room_falls_with_each_request_until_the_next_look(void **state)
{
    (void)state;
    begin();
    look(TARGET - 100 * MIB);
    assert_int_equal(rth__admission_room_bytes(), 100 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 30 * MIB), 0);
    assert_int_equal(rth__admission_room_bytes(), 70 * MIB);
    assert_int_equal(counts().outstanding_bytes, 30 * MIB);
    look(TARGET - 100 * MIB); /* not there yet */
    assert_int_equal(rth__admission_room_bytes(), 70 * MIB);
    rth_memory_release(30 * MIB);
    assert_int_equal(rth__admission_room_bytes(), 70 * MIB);
    look(TARGET - 70 * MIB);
    assert_int_equal(rth__admission_room_bytes(), 70 * MIB);
    assert_int_equal(counts().outstanding_bytes, 0);
}

static void who_asks_without_room_shrinks_first(void **state)
{
    (void)state;
    begin();
    held = 500 * MIB;
    struct rth_shrinker *shrinker = add(RTH_SHRINKER_DIRECT);
    look(TARGET - 1 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 3 * MIB), 0);
    /* What was missing is less than a batch: 0.5 % of the limit. */
    assert_int_equal(held, 500 * MIB - LIMIT / 200);
    assert_int_equal(rth__admission_room_bytes(), LIMIT / 200 - 2 * MIB);
    assert_int_equal(counts().direct_reclaims, 1);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1 * MIB), 0);
    assert_int_equal(counts().direct_reclaims, 1);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 20 * MIB), 0);
    assert_int_equal(counts().direct_reclaims, 2);
    assert_in_range(held, 475 * MIB, 480 * MIB);
    rth_shrinker_remove(shrinker);
}

static void one_that_is_not_for_direct_reclaim_is_left_alone(void **state)
{
    (void)state;
    begin();
    held = 500 * MIB;
    struct rth_shrinker *shrinker = add(0);
    look(TARGET);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 3 * MIB), 0);
    assert_int_equal(held, 500 * MIB);
    rth_shrinker_remove(shrinker);
}

static void who_is_refused_follows_from_class_state_and_room(void **state)
{
    (void)state;
    begin();
    look_in(RTH_MEMORY_OK, 500 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_LOW, MIB), 0);
    look_in(RTH_MEMORY_SHED, 500 * MIB); /* usage has fallen, the state not yet */
    assert_int_equal(rth_memory_admit(RTH_MEMORY_LOW, MIB), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, MIB), 0);
    look_in(RTH_MEMORY_CRITICAL, 500 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, MIB), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_LOW, MIB), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_HEALTH, MIB), 0);
    look_in(RTH_MEMORY_EXHAUSTED, HARD);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_HEALTH, 100 * MIB), 0);
    assert_int_equal(counts().refused, 3);
}

/* (HARD - LIMIT) / 4 may be missing. */
static void without_anything_to_shrink_a_large_request_is_refused_before_a_small_one(void **state)
{
    (void)state;
    begin();
    look(TARGET);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 21 * MIB), -EAGAIN);
    assert_int_equal(rth__admission_room_bytes(), 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 20 * MIB), 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_LOW, 1), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, UINT64_MAX), -EAGAIN);
    assert_int_equal(counts().outstanding_bytes, 20 * MIB);
}

/* Usage is what counts, whatever the room; unless that would never change. */
static void at_the_brake_all_but_health_is_refused(void **state)
{
    (void)state;
    begin();
    look_in(RTH_MEMORY_SHED, 600 * MIB);
    rth__admission_gives_back(true);
    rth__admission_shrink_end(rth__admission_shrink_begin(400 * MIB, 0, 0), 400 * MIB);
    look_in(RTH_MEMORY_SHED, 659 * MIB);
    assert_true(rth__admission_room_bytes() > 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), 0);
    look_in(RTH_MEMORY_SHED, 660 * MIB);
    assert_true(rth__admission_room_bytes() > 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_HEALTH, 1), 0);
    rth__admission_gives_back(false);
    look_in(RTH_MEMORY_SHED, 660 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1), 0);
}

static void a_look_that_failed_changes_nothing(void **state)
{
    (void)state;
    begin();
    look(530 * MIB);
    int64_t room = rth__admission_room_bytes();
    look(-1);
    assert_int_equal(rth__admission_room_bytes(), room);
}

static void what_others_shrink_already_is_not_missing(void **state)
{
    (void)state;
    begin();
    look(TARGET + 10 * MIB);
    assert_int_equal(rth__admission_shrink_begin(1, 3 * MIB, 8 * MIB), 8 * MIB);
    assert_int_equal(rth__admission_shrink_begin(1, 3 * MIB, 8 * MIB), 3 * MIB);
    assert_int_equal(rth__admission_shrink_begin(1, 3 * MIB, 8 * MIB), 1);
    rth__admission_shrink_end(8 * MIB, 8 * MIB);
    assert_int_equal(rth__admission_room_bytes(), -2 * MIB);
    rth__admission_shrink_end(3 * MIB, 0);
    assert_int_equal(rth__admission_shrink_begin(0, 0, 8 * MIB), 2 * MIB - 1);
}

static void more_released_than_admitted_is_no_debt(void **state)
{
    (void)state;
    begin();
    look(530 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 10), 0);
    rth_memory_release(1000);
    rth_memory_release(1000);
    assert_int_equal(counts().outstanding_bytes, 0);
}

static void a_look_after_a_purge_knows_what_is_free(void **state)
{
    (void)state;
    begin();
    look(TARGET);
    rth__admission_gives_back(true);
    rth__admission_shrink_end(0, 40 * MIB);
    look(TARGET);
    assert_int_equal(counts().usable_bytes, 40 * MIB);
    assert_int_equal(counts().purgeable_bytes, 40 * MIB);
    rth__admission_purged(counts().freed_bytes);
    look(TARGET - 30 * MIB);
    assert_int_equal(counts().usable_bytes, 0);
    assert_int_equal(counts().purgeable_bytes, 0);
    assert_int_equal(rth__admission_room_bytes(), 30 * MIB);
    rth__admission_shrink_end(0, 5 * MIB);
    look(TARGET - 30 * MIB);
    assert_int_equal(rth__admission_room_bytes(), 35 * MIB);
    rth__admission_distrusted();
    look(TARGET - 30 * MIB);
    assert_int_equal(rth__admission_room_bytes(), 30 * MIB);
    assert_int_equal(counts().purgeable_bytes, 5 * MIB);
}

static void a_child_begins_with_room_for_everything(void **state)
{
    (void)state;
    begin();
    look_in(RTH_MEMORY_CRITICAL, HARD);
    pid_t pid = fork();
    if (pid == 0) {
        rth__admission_child_reset();
        rth__enable_on(getpid(), 2);
        struct rth_admission_counts now = counts();
        bool fine = rth_memory_admit(RTH_MEMORY_NORMAL, 5) == 0 && now.refused == 0 &&
                    now.room_bytes == 0 && now.outstanding_bytes == 0;
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000, PIECE = 10000 };

static void *insert_many(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (rth_memory_admit(RTH_MEMORY_NORMAL, PIECE) != 0)
            continue;
        held += PIECE;
        rth_memory_release(PIECE);
    }
    return unused;
}

/* If the allocator uses nothing again, all that is admitted is growth: no more of it between two
 * looks than leads to CRITICAL. */
static void so_much_is_admitted_until_the_next_look(void **state)
{
    (void)state;
    begin();
    look(580 * MIB);
    rth__admission_shrink_end(0, 500 * MIB); /* there is room */
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 60 * MIB), 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 20 * MIB), -EAGAIN);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_HEALTH, 20 * MIB), 0);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 1 * MIB), 0);
    look(580 * MIB);
    assert_int_equal(rth_memory_admit(RTH_MEMORY_NORMAL, 20 * MIB), 0);
}

/* As in an adopted child, where looks are rare: all that keeps the cache small is what each
 * thread gives up. */
static void growth_stops_at_the_target_however_fast_it_is(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    begin();
    rth__admission_child_reset();
    struct rth_shrinker *shrinker = add(RTH_SHRINKER_DIRECT);
    look(580 * MIB);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, insert_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(held <= TARGET - 580 * MIB + THREADS * PIECE);
    assert_true(held > TARGET - 580 * MIB - THREADS * LIMIT / 200);
    assert_int_equal(counts().outstanding_bytes, 0);
    assert_true(asked > 0);
    rth_shrinker_remove(shrinker);
}

RTH_TEST_MAIN(
    cmocka_unit_test(room_is_what_is_left_below_the_target),
    cmocka_unit_test(what_shrinkers_freed_is_room_although_usage_does_not_show_it),
    cmocka_unit_test(growth_that_nobody_asked_for_uses_it_up),
    cmocka_unit_test(what_the_allocator_did_not_use_again_is_still_there),
    cmocka_unit_test(after_a_purge_only_what_was_freed_meanwhile_is_free),
    cmocka_unit_test(free_memory_of_an_allocator_that_gives_nothing_back_is_of_use),
    cmocka_unit_test(what_the_allocator_puts_on_top_is_learned_and_not_free),
    cmocka_unit_test(a_steady_cache_neither_grows_nor_is_emptied),
    cmocka_unit_test(the_target_is_a_little_below_the_limit_and_the_brake_above_it),
    cmocka_unit_test(everything_is_admitted_without_a_limit),
    cmocka_unit_test(everything_is_admitted_while_rthooks_does_not_run),
    cmocka_unit_test(room_falls_with_each_request_until_the_next_look),
    cmocka_unit_test(who_asks_without_room_shrinks_first),
    cmocka_unit_test(one_that_is_not_for_direct_reclaim_is_left_alone),
    cmocka_unit_test(who_is_refused_follows_from_class_state_and_room),
    cmocka_unit_test(without_anything_to_shrink_a_large_request_is_refused_before_a_small_one),
    cmocka_unit_test(at_the_brake_all_but_health_is_refused),
    cmocka_unit_test(a_look_that_failed_changes_nothing),
    cmocka_unit_test(what_others_shrink_already_is_not_missing),
    cmocka_unit_test(more_released_than_admitted_is_no_debt),
    cmocka_unit_test(a_look_after_a_purge_knows_what_is_free),
    cmocka_unit_test(a_child_begins_with_room_for_everything),
    cmocka_unit_test(so_much_is_admitted_until_the_next_look),
    cmocka_unit_test(growth_stops_at_the_target_however_fast_it_is))
