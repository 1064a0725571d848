/* SPDX-License-Identifier: MIT */
/* Who may have an episode, how often, and what a trigger on any thread comes to. */
#include "helper/private_work.h"
#include "helper/temp_folder.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/capability.h"
#include "core/family.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "episode/collect.h"
#include "episode/previous.h"
#include "episode/store.h"
#include "episode/take.h"
#include "os/clock.h"

#define SECOND RTH_NS_PER_S
#define MINUTE (60 * RTH_NS_PER_S)

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

static int write_quick(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    return rth__sink_puts(sink, "quick\n");
}

static const struct rth_artefact artefacts[] = {
    {.name = "slow", .path = "/s", .content_type = "text/plain", .write = write_slow},
    {.name = "quick", .path = "/q", .content_type = "text/plain", .write = write_quick},
};
static const struct rth_capability row = {
    .name = "row",
    .artefacts = artefacts,
    .artefact_count = 2,
};
static const struct rth_capability *const table[] = {&row};

static const char *const quick_list[] = {"quick", NULL};
static const char *const slow_list[] = {"slow", NULL};
static const struct rth_trigger quick = {.name = "quick", .artefacts = quick_list};
static const struct rth_trigger slow = {.name = "slow", .artefacts = slow_list};
static const struct rth_trigger memory = {.name = "memory-critical", .artefacts = quick_list};
static const struct rth_trigger last = {
    .name = "last", .artefacts = quick_list, .flags = RTH_TRIGGER_LAST_GASP};

static void set_up(void)
{
    folder_fd = temp_folder_make(path);
    rth__capability_table_set(table, 1);
    rth__capabilities_start();
    rth__episode_take_child_reset();
    writing = go_on = 0;
    private_work_start();
    /* Relative to the private root, as everything is. */
    static char named[TEMP_FOLDER_BYTES];
    assert_non_null(realpath(path, named));
    rth__episode_take_start(named);
}

static void tear_down(void)
{
    go_on = 1;
    rth__work_stop(NULL);
    rth__episode_take_stop();
    rth__episode_danger_set(false);
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
    for (int i = 0; i < 20000 && counts().taken < wanted; i++)
        test_pause_us(1000);
    assert_int_equal(counts().taken, wanted);
}

static void the_same_trigger_waits_half_a_minute_and_others_do_not(void **state)
{
    (void)state;
    static struct rth_episode_rates rates;
    memset(&rates, 0, sizeof(rates));
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 5), RTH_EPISODE_TAKEN);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 5 + 30 * SECOND - 1),
                     RTH_EPISODE_REFUSED_TOO_SOON);
    assert_int_equal(rth__episode_rates_take(&rates, &slow, 6), RTH_EPISODE_TAKEN);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 5 + 30 * SECOND), RTH_EPISODE_TAKEN);
}

static void six_within_an_hour_are_enough(void **state)
{
    (void)state;
    static struct rth_episode_rates rates;
    memset(&rates, 0, sizeof(rates));
    for (int i = 0; i < 6; i++)
        assert_int_equal(rth__episode_rates_take(&rates, &quick, i * MINUTE), RTH_EPISODE_TAKEN);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 59 * MINUTE),
                     RTH_EPISODE_REFUSED_TOO_MANY);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 60 * MINUTE), RTH_EPISODE_TAKEN);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 60 * MINUTE + 40 * SECOND),
                     RTH_EPISODE_REFUSED_TOO_MANY);
    assert_int_equal(rth__episode_rates_take(&rates, &quick, 61 * MINUTE), RTH_EPISODE_TAKEN);
}

static void the_last_gasp_is_bound_by_the_gap_alone(void **state)
{
    (void)state;
    static struct rth_episode_rates rates;
    memset(&rates, 0, sizeof(rates));
    for (int i = 0; i < 20; i++)
        assert_int_equal(rth__episode_rates_take(&rates, &last, i * 30 * SECOND),
                         RTH_EPISODE_TAKEN);
    assert_int_equal(rth__episode_rates_take(&rates, &last, 19 * 30 * SECOND + 1),
                     RTH_EPISODE_REFUSED_TOO_SOON);
}

static void more_triggers_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    static struct rth_episode_rates rates;
    static char names[RTH_EPISODE_TRIGGER_MAX + 1][8];
    memset(&rates, 0, sizeof(rates));
    for (int i = 0; i <= RTH_EPISODE_TRIGGER_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "t%u", (unsigned)i & 0xff);
        struct rth_trigger trigger = {.name = names[i]};
        assert_int_equal(rth__episode_rates_take(&rates, &trigger, 1),
                         i < RTH_EPISODE_TRIGGER_MAX ? RTH_EPISODE_TAKEN
                                                     : RTH_EPISODE_REFUSED_TOO_MANY);
    }
}

static void a_trigger_on_any_thread_becomes_a_folder(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_trigger(&quick, "because\nof this"), 0);
    wait_for_taken(1);
    struct rth_episode_found *found;
    assert_int_equal(rth__episode_scan(folder_fd, (uint32_t)geteuid(), &found), 1);
    struct rth_episode_counts now = counts();
    assert_string_equal(found[0].name.id, now.last_id);
    assert_string_equal(found[0].name.trigger, "quick");
    assert_false(found[0].name.is_partial);
    int fd = rth__episode_open(folder_fd, (uint32_t)geteuid(), &found[0].name);
    struct rth_episode_summary summary;
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, "complete");
    assert_string_equal(summary.reason, "because?of this");
    assert_int_equal(close(fd), 0);
    tear_down();
}

static void a_second_one_soon_after_is_refused_and_counted(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_trigger(&quick, "first"), 0);
    wait_for_taken(1);
    assert_int_equal(rth__episode_trigger(&quick, "second"), -EAGAIN);
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_TOO_SOON], 1);
    tear_down();
}

static void while_one_is_collected_no_other_begins(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_trigger(&slow, "first"), 0);
    while (!writing)
        test_pause_us(1000);
    assert_int_equal(rth__episode_trigger(&quick, "second"), -EBUSY);
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_BUSY], 1);
    go_on = 1;
    wait_for_taken(1);
    assert_int_equal(rth__episode_trigger(&quick, "third"), 0);
    wait_for_taken(2);
    tear_down();
}

static _Atomic int has_answered;
static char answered_id[RTH_EPISODE_ID_BYTES];

/* What a request does, while another thread asks for the next one. */
static void answer(struct rth_work_item *work)
{
    const struct rth_episode_record *record;
    const char *folder;
    (void)work;
    if (rth__episode_take_now(&quick, "asked for", &record, &folder) == RTH_EPISODE_TAKEN &&
        rth__episode_trigger(&last, "by another one") == 0)
        (void)snprintf(answered_id, sizeof(answered_id), "%s", record->name.id);
    has_answered = 1;
}

static void an_answer_is_of_its_own_episode_when_the_next_one_is_asked_for(void **state)
{
    (void)state;
    static struct rth_work_item work = {.run = answer, .drop = private_work_drop};
    set_up();
    has_answered = 0;
    answered_id[0] = '\0';
    assert_int_equal(rth__work_submit_from_host(&work), 0);
    while (!has_answered)
        test_pause_us(1000);
    assert_non_null(strstr(answered_id, "-quick"));
    wait_for_taken(2);
    assert_non_null(strstr(counts().last_id, "-last"));
    tear_down();
}

static void in_danger_none_begins_and_the_one_that_is_collected_ends(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_trigger(&slow, "first"), 0);
    while (!writing)
        test_pause_us(1000);
    rth__episode_danger_set(true);
    go_on = 1;
    wait_for_taken(1);
    assert_int_equal(rth__episode_trigger(&last, "second"), -EAGAIN);
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_DANGER], 1);
    struct rth_episode_found *found;
    assert_int_equal(rth__episode_scan(folder_fd, (uint32_t)geteuid(), &found), 1);
    int fd = rth__episode_open(folder_fd, (uint32_t)geteuid(), &found[0].name);
    struct rth_episode_summary summary;
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, "stopped");
    assert_int_equal(close(fd), 0);
    rth__episode_danger_set(false);
    assert_int_equal(rth__episode_trigger(&quick, "third"), 0);
    wait_for_taken(2);
    tear_down();
}

static void what_another_process_of_the_family_has_just_taken_is_enough(void **state)
{
    (void)state;
    set_up();
    int others[2];
    assert_int_equal(pipe(others), 0);
    pid_t other = fork(); /* one that lives: the table of the family knows who does not */
    assert_true(other >= 0);
    if (other == 0) {
        char byte;
        (void)close(others[1]);
        (void)!read(others[0], &byte, 1);
        _exit(0);
    }
    assert_int_equal(rth__family_init(getpid(), 1, (uint32_t)geteuid()), 0);
    assert_int_equal(rth__family_join(other, 2, (uint32_t)geteuid()), 0);
    struct rth_episode_name name;
    int64_t now_s = rth__clock_realtime_ns_sigsafe() / SECOND;
    assert_int_equal(rth__episode_name_make(now_s - 31, other, 1, "quick", &name), 0);
    assert_int_equal(mkdirat(folder_fd, name.id, 0700), 0);
    assert_int_equal(rth__episode_name_make(now_s, other, 2, "memory-critical", &name), 0);
    assert_int_equal(mkdirat(folder_fd, name.id, 0700), 0);
    assert_int_equal(rth__episode_trigger(&quick, "that one was long ago"), 0);
    wait_for_taken(1);
    assert_int_equal(rth__episode_trigger(&memory, "theirs is enough"), 0);
    for (int i = 0; i < 20000 && counts().refused[RTH_EPISODE_REFUSED_TOO_SOON] == 0; i++)
        test_pause_us(1000);
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_TOO_SOON], 1);
    assert_int_equal(counts().taken, 1);
    assert_int_equal(close(others[0]) | close(others[1]), 0);
    assert_int_equal(waitpid(other, NULL, 0), other);
    tear_down();
}

static void what_comes_before_the_threads_is_kept_until_they_are_there(void **state)
{
    (void)state;
    set_up();
    go_on = 1;
    rth__work_stop(NULL);
    rth__episode_take_tick(); /* nothing waits */
    assert_int_equal(rth__episode_trigger(&quick, "first"), 0);
    rth__episode_take_tick(); /* still nobody */
    assert_int_equal(rth__episode_trigger(&slow, "second"), -EBUSY);
    private_work_start();
    assert_int_equal(counts().taken, 0);
    rth__episode_take_tick();
    wait_for_taken(1);
    assert_int_equal(rth__episode_trigger(&slow, "third"), 0);
    wait_for_taken(2);
    tear_down();
}

static void a_row_that_does_not_run_has_no_folder(void **state)
{
    (void)state;
    set_up();
    rth__episode_take_stop();
    assert_int_equal(rth__episode_trigger(&quick, "first"), -ENOTSUP);
    assert_int_equal(counts().refused[RTH_EPISODE_REFUSED_NO_FOLDER], 1);
    tear_down();
}

static void an_episode_of_memory_is_marked_when_its_process_ends_by_itself(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_trigger(&memory, "first"), 0);
    wait_for_taken(1);
    char marker[RTH_EPISODE_ID_BYTES + 16];
    struct stat status;
    struct rth_episode_counts now = counts();
    (void)snprintf(marker, sizeof(marker), "%s/" RTH_EPISODE_ENDED, now.last_id);
    assert_int_equal(fstatat(folder_fd, marker, &status, 0), -1);
    rth__previous_note_end();
    assert_int_equal(fstatat(folder_fd, marker, &status, 0), 0);
    assert_int_equal(status.st_size, 0);
    tear_down();
}

RTH_TEST_MAIN(cmocka_unit_test(the_same_trigger_waits_half_a_minute_and_others_do_not),
              cmocka_unit_test(six_within_an_hour_are_enough),
              cmocka_unit_test(the_last_gasp_is_bound_by_the_gap_alone),
              cmocka_unit_test(more_triggers_than_there_is_room_for_are_refused),
              cmocka_unit_test(a_trigger_on_any_thread_becomes_a_folder),
              cmocka_unit_test(a_second_one_soon_after_is_refused_and_counted),
              cmocka_unit_test(while_one_is_collected_no_other_begins),
              cmocka_unit_test(an_answer_is_of_its_own_episode_when_the_next_one_is_asked_for),
              cmocka_unit_test(in_danger_none_begins_and_the_one_that_is_collected_ends),
              cmocka_unit_test(what_another_process_of_the_family_has_just_taken_is_enough),
              cmocka_unit_test(what_comes_before_the_threads_is_kept_until_they_are_there),
              cmocka_unit_test(a_row_that_does_not_run_has_no_folder),
              cmocka_unit_test(an_episode_of_memory_is_marked_when_its_process_ends_by_itself))
