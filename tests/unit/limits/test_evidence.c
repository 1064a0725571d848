/* SPDX-License-Identifier: MIT */
/* What becomes of a worse state that comes while evidence of the one before is collected. */
#include "helper/private_work.h"
#include "helper/temp_folder.h"

#include <string.h>

#include "core/capability.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "episode/episode.h"
#include "episode/take.h"
#include "limits/evidence.h"
#include "rthooks/limits.h"

static char path[TEMP_FOLDER_BYTES];
static int folder_fd;
static _Atomic int writing, go_on;

static int write_slow(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    writing = 1;
    while (!go_on)
        test_pause_us(1000);
    return rth__sink_puts(sink, "slow\n");
}

/* The first that is collected of each of them. */
static const struct rth_artefact artefact = {
    .name = "heap", .path = "/h", .content_type = "text/plain", .write = write_slow};
static const struct rth_capability row = {
    .name = "row", .artefacts = &artefact, .artefact_count = 1};
static const struct rth_capability *const table[] = {&row};

static void set_up(void)
{
    static char named[TEMP_FOLDER_BYTES];
    folder_fd = temp_folder_make(path);
    assert_non_null(realpath(path, named));
    rth__capability_table_set(table, 1);
    rth__capabilities_start();
    rth__episode_take_child_reset();
    rth__evidence_reset();
    writing = go_on = 0;
    private_work_start();
    rth__episode_take_start(named);
}

static void tear_down(void)
{
    go_on = 1;
    rth__work_stop(NULL);
    rth__episode_take_stop();
    assert_int_equal(close(folder_fd), 0);
    temp_folder_remove(path);
}

static struct rth_episode_counts counts(void)
{
    struct rth_episode_counts now;
    rth__episode_counts_read(&now);
    return now;
}

static void wait_for_taken(uint64_t wanted)
{
    for (int i = 0; i < 20000 && (counts().taken < wanted || rth__episode_is_busy()); i++)
        test_pause_us(1000);
    assert_int_equal(counts().taken, wanted);
}

static void enter(int from, int to)
{
    struct rth_memory_transition transition = {.from = from, .to = to};
    rth__evidence_of_state(&transition);
}

/* CRITICAL came while the evidence of ELEVATED was being collected. */
static void miss_one(void)
{
    enter(RTH_MEMORY_OK, RTH_MEMORY_ELEVATED);
    while (!writing)
        test_pause_us(1000);
    enter(RTH_MEMORY_ELEVATED, RTH_MEMORY_CRITICAL);
    rth__evidence_again(RTH_MEMORY_CRITICAL);
    rth__evidence_again(RTH_MEMORY_CRITICAL);
    /* It was refused once, and is not asked for until it may be had. */
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_BUSY], 1);
}

static void a_state_that_was_missed_gets_its_episode_while_it_lasts(void **state)
{
    (void)state;
    set_up();
    miss_one();
    go_on = 1;
    wait_for_taken(1);
    rth__evidence_again(RTH_MEMORY_CRITICAL);
    wait_for_taken(2);
    assert_non_null(strstr(counts().last_id, "-memory-critical"));
    rth__evidence_again(RTH_MEMORY_CRITICAL);
    wait_for_taken(2);
    tear_down();
}

static void one_that_is_over_does_not(void **state)
{
    (void)state;
    set_up();
    miss_one();
    rth__evidence_again(RTH_MEMORY_SHED);
    go_on = 1;
    wait_for_taken(1);
    rth__evidence_again(RTH_MEMORY_CRITICAL);
    assert_false(rth__episode_is_busy());
    wait_for_taken(1);
    tear_down();
}

RTH_TEST_MAIN(cmocka_unit_test(a_state_that_was_missed_gets_its_episode_while_it_lasts),
              cmocka_unit_test(one_that_is_over_does_not))
