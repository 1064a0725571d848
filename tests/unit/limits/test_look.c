/* SPDX-License-Identifier: MIT */
/* Looks over a tree of our own that changes meanwhile, at times of our own. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/pressure.h"
#include "helper/temp_folder.h"
#include "limits/in_force.h"
#include "limits/look.h"
#include "limits/memory.h"
#include "limits/publish.h"
#include "limits/sampler.h"
#include "rthooks/limits.h"

#define MIB  (INT64_C(1) << 20)
#define S    RTH_NS_PER_S
#define NONE INT64_MAX

static char tree[TEMP_FOLDER_BYTES];
static int root_fd;
static int64_t now_ns;

static void put(const char *path, const char *text)
{
    int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void put_bytes(const char *path, int64_t bytes)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld\n", (long long)bytes);
    put(path, text);
}

static void make_folders(const char *path)
{
    char part[128];
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        (void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
        (void)mkdirat(root_fd, part, 0700);
    }
}

static void make_group(const char *folder, int64_t max, int64_t current)
{
    char path[128];
    make_folders(folder);
    (void)snprintf(path, sizeof(path), "%s/cgroup.controllers", folder);
    put(path, "cpu memory\n");
    (void)snprintf(path, sizeof(path), "%s/memory.max", folder);
    if (max == NONE)
        put(path, "max\n");
    else
        put_bytes(path, max);
    (void)snprintf(path, sizeof(path), "%s/memory.high", folder);
    put(path, "max\n");
    (void)snprintf(path, sizeof(path), "%s/memory.current", folder);
    put_bytes(path, current);
    (void)snprintf(path, sizeof(path), "%s/memory.stat", folder);
    put(path, "anon 0\ninactive_file 0\nactive_file 0\nslab_reclaimable 0\n");
}

/* A container's view: its group "app" is below the top of the mount. */
static void make_tree(int64_t max, int64_t current)
{
    root_fd = temp_folder_make(tree);
    make_folders("proc/self");
    put("proc/self/cgroup", "0::/app\n");
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n");
    put("proc/self/statm", "1000 256 10 1 0 50 0\n");
    put("proc/meminfo", "MemTotal:       16384000 kB\n");
    make_group("sys/fs/cgroup/app", max, current);
    make_group("sys/fs/cgroup/other", 200 * MIB, 10 * MIB);
    now_ns = 1000 * S;
    rth__look_reset();
    rth__memory_now_reset();
    rth__sampler_forget();
    int64_t before, after; /* what an earlier case has set stays, otherwise */
    assert_int_equal(rth__in_force_set_memory_text("auto", "", &before, &after), 0);
    rth__in_force_configure();
}

static void end_tree(void)
{
    rth__look_end();
    rth__sampler_close();
    (void)close(root_fd);
    temp_folder_remove(tree);
}

static int64_t look_after(int64_t after_ns)
{
    now_ns += after_ns;
    return rth__look(root_fd, now_ns, false);
}

static struct rth_memory_now published(void)
{
    struct rth_memory_now now;
    rth__memory_now_read_sigsafe(&now);
    return now;
}

static void what_is_read_is_published(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    struct rth_memory_now now = published();
    assert_int_equal(now.limit_bytes, 900 * MIB);
    assert_int_equal(now.hard_bytes, 1000 * MIB);
    assert_int_equal(now.critical_bytes, 950 * MIB);
    assert_int_equal(now.usage_bytes, 300 * MIB);
    assert_int_equal(now.rss_bytes, 256 * sysconf(_SC_PAGESIZE));
    assert_int_equal(now.state, RTH_MEMORY_OK);
    assert_int_equal(now.taken_ns, now_ns);
    end_tree();
}

static void page_cache_is_no_use(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 999 * MIB);
    put("sys/fs/cgroup/app/memory.stat",
        "anon 0\ninactive_file 943718400\nactive_file 10485760\nslab_reclaimable 0\n");
    (void)look_after(0);
    assert_int_equal(published().usage_bytes, 89 * MIB);
    assert_int_equal(published().state, RTH_MEMORY_OK);
    end_tree();
}

static void crossing_a_threshold_is_a_transition_with_its_inputs(void **state)
{
    (void)state;
    struct rth_memory_transition transition;
    struct rth_memory_view view;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    assert_false(rth__look_transition(0, &transition));
    put_bytes("sys/fs/cgroup/app/memory.current", 920 * MIB);
    (void)look_after(S / 10);
    assert_int_equal(published().state, RTH_MEMORY_SHED);
    assert_true(rth__look_transition(0, &transition));
    assert_int_equal(transition.from, RTH_MEMORY_OK);
    assert_int_equal(transition.to, RTH_MEMORY_SHED);
    assert_int_equal(transition.usage_bytes, 920 * MIB);
    assert_int_equal(transition.limit_bytes, 900 * MIB);
    assert_false(rth__look_transition(1, &transition));
    rth__look_view(&view);
    assert_int_equal(view.transition_count, 1);
    assert_int_equal(view.looks, 2);
    end_tree();
}

static void the_last_32_transitions_are_kept(void **state)
{
    (void)state;
    struct rth_memory_transition transition;
    make_tree(1000 * MIB, 300 * MIB);
    for (int i = 0; i < 40; i++) {
        put_bytes("sys/fs/cgroup/app/memory.current", i % 2 == 0 ? 820 * MIB : 300 * MIB);
        (void)look_after(S / 2);
        (void)look_after(S / 2); /* down takes two looks */
    }
    assert_false(rth__look_transition(7, &transition));
    assert_true(rth__look_transition(8, &transition));
    assert_true(rth__look_transition(39, &transition));
    assert_false(rth__look_transition(40, &transition));
    end_tree();
}

static void a_limit_that_changes_is_followed_within_a_second(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    put_bytes("sys/fs/cgroup/app/memory.max", 310 * MIB);
    (void)look_after(S);
    assert_int_equal(published().hard_bytes, 310 * MIB);
    assert_int_equal(published().state, RTH_MEMORY_CRITICAL); /* 300 of 310 */
    put_bytes("sys/fs/cgroup/app/memory.max", 2000 * MIB);
    (void)look_after(S);
    assert_int_equal(published().limit_bytes, 1800 * MIB);
    for (int i = 0; i < 5; i++)
        (void)look_after(S);
    assert_int_equal(published().state, RTH_MEMORY_OK);
    put("sys/fs/cgroup/app/memory.max", "max\n");
    (void)look_after(S);
    assert_int_equal(published().limit_bytes, NONE);
    assert_int_equal(published().state, RTH_MEMORY_OK);
    end_tree();
}

static void a_process_that_is_moved_is_found(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    put("proc/self/cgroup", "0::/other\n");
    (void)look_after(S);
    assert_int_equal(published().hard_bytes, 200 * MIB);
    assert_int_equal(published().usage_bytes, 10 * MIB);
    end_tree();
}

static void without_any_limit_the_process_itself_is_looked_at_seldom(void **state)
{
    (void)state;
    struct rth_memory_view view;
    make_tree(NONE, 300 * MIB);
    assert_int_equal(look_after(0), S);
    rth__look_view(&view);
    assert_true(view.reading.is_of_process);
    assert_int_equal(published().limit_bytes, NONE);
    end_tree();
}

static void an_explicit_limit_without_a_group_is_held_against_the_process(void **state)
{
    (void)state;
    struct rth_memory_view view;
    make_tree(NONE, 300 * MIB);
    put("proc/self/status",
        "Name:\ta\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\n"
        "TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t0 \n"
        "VmRSS:\t 200000 kB\nRssAnon:\t 102400 kB\nRssFile:\t 50000 kB\nRssShmem:\t 20480 kB\n"
        "Threads:\t1\nSigQ:\t0/100\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
        "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
    assert_int_equal(rth_memory_limit_set(110 * MIB), NONE);
    (void)look_after(0);
    rth__look_view(&view);
    assert_int_equal(view.reading.error, 0);
    assert_true(view.reading.is_of_process);
    assert_int_equal(published().usage_bytes, 120 * MIB);
    assert_int_equal(published().state, RTH_MEMORY_CRITICAL); /* above 115.5 */
    assert_int_equal(rth_memory_limit_set(-1), 110 * MIB);
    assert_int_equal(rth_memory_limit_set(NONE), 110 * MIB);
    (void)look_after(S);
    assert_int_equal(published().state, RTH_MEMORY_OK);
    end_tree();
}

static void looks_that_fail_make_the_state_stale_and_nothing_else(void **state)
{
    (void)state;
    struct rth_memory_view view;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    put("sys/fs/cgroup/app/memory.current", "nonsense\n");
    for (int i = 0; i < 8; i++)
        (void)look_after(S / 4);
    rth__look_view(&view);
    assert_int_equal(published().state, RTH_MEMORY_ELEVATED);
    assert_true(published().is_stale);
    assert_int_equal(published().limit_bytes, 900 * MIB);
    assert_int_equal(view.failed_looks, 8);
    put_bytes("sys/fs/cgroup/app/memory.current", 300 * MIB);
    (void)look_after(S);
    assert_false(published().is_stale);
    assert_int_equal(published().state, RTH_MEMORY_OK);
    end_tree();
}

/* What was logged behind that record, one event after the other; returns the last record. */
static uint64_t events_after(uint64_t sequence, char ret_events[512])
{
    struct rth_log_record record;
    ret_events[0] = '\0';
    for (; rth__log_next(sequence, &record) == 1; sequence = record.sequence) {
        size_t used = strlen(ret_events);
        (void)snprintf(ret_events + used, 512 - used, "%s ", record.event);
    }
    return sequence;
}

static void what_cannot_be_read_of_the_process_is_no_group_that_is_gone(void **state)
{
    (void)state;
    struct rth_memory_view view;
    char events[512];
    uint64_t before = events_after(0, events);
    make_tree(NONE, 300 * MIB); /* without proc/self/status */
    (void)look_after(0);
    (void)look_after(S);
    rth__look_view(&view);
    assert_true(view.reading.is_of_process);
    assert_int_equal(view.reading.error, -ENOENT);
    (void)events_after(before, events);
    assert_non_null(strstr(events, "limits.unreadable "));
    assert_null(strstr(events, "limits.cgroup_gone"));
    end_tree();
}

static void growth_brings_the_next_look_nearer(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 300 * MIB);
    (void)look_after(0);
    rth__pressure_report_sigsafe(1);
    assert_int_equal(look_after(S / 100), S / 4);
    int64_t period_ns = S / 4;
    for (int64_t usage = 300; usage < 800; usage += 10) {
        put_bytes("sys/fs/cgroup/app/memory.current", usage * MIB);
        period_ns = look_after(S / 100); /* 1000 MiB a second */
    }
    assert_true(period_ns < S / 50);
    assert_true(period_ns >= RTH_MEMORY_PERIOD_MIN_NS);
    end_tree();
}

static void where_no_hook_reports_looks_come_in_time_for_a_leap(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 298 * MIB); /* 512 MiB below ELEVATED: an eighth of a second */
    assert_int_equal(look_after(0), S / 8);
    put_bytes("sys/fs/cgroup/app/memory.current", 809 * MIB);
    (void)look_after(S);
    assert_int_equal(look_after(2 * S), S / 100);
    end_tree();
}

static void a_tick_is_a_look_once_a_second(void **state)
{
    (void)state;
    make_tree(1000 * MIB, 990 * MIB);
    assert_int_equal(rth__look(root_fd, now_ns, true), S);
    assert_int_equal(published().state, RTH_MEMORY_CRITICAL);
    end_tree();
}

RTH_TEST_MAIN(cmocka_unit_test(what_is_read_is_published), cmocka_unit_test(page_cache_is_no_use),
              cmocka_unit_test(crossing_a_threshold_is_a_transition_with_its_inputs),
              cmocka_unit_test(the_last_32_transitions_are_kept),
              cmocka_unit_test(a_limit_that_changes_is_followed_within_a_second),
              cmocka_unit_test(a_process_that_is_moved_is_found),
              cmocka_unit_test(without_any_limit_the_process_itself_is_looked_at_seldom),
              cmocka_unit_test(an_explicit_limit_without_a_group_is_held_against_the_process),
              cmocka_unit_test(looks_that_fail_make_the_state_stale_and_nothing_else),
              cmocka_unit_test(what_cannot_be_read_of_the_process_is_no_group_that_is_gone),
              cmocka_unit_test(growth_brings_the_next_look_nearer),
              cmocka_unit_test(where_no_hook_reports_looks_come_in_time_for_a_leap),
              cmocka_unit_test(a_tick_is_a_look_once_a_second), )
