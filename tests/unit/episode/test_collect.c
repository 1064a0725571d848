/* SPDX-License-Identifier: MIT */
/* The collector over a table of artefacts that behave, and of some that do not. */
#include "helper/temp_folder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/capability.h"
#include "core/work.h"
#include "episode/collect.h"
#include "episode/file.h"
#include "episode/store.h"
#include "formats/json_read.h"
#include "os/clock.h"
#include "os/dir.h"

static char path[TEMP_FOLDER_BYTES];
static int folder_fd;
static struct rth_episode_record record;
static unsigned cancels, steps;
static char seen_query[64];

static int write_bytes(struct rth_sink *sink, size_t bytes)
{
    static const char block[1000] = {'x'};
    for (size_t i = 0; i < bytes / sizeof(block) && sink->error == 0; i++)
        (void)rth__sink_write(sink, block, sizeof(block));
    return sink->error;
}

static int write_small(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    return rth__sink_puts(sink, "small\n");
}

static int write_large(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    return write_bytes(sink, 300 * 1000);
}

static int write_query(struct rth_call *call, struct rth_sink *sink)
{
    call->content_type = "text/plain; charset=utf-8";
    (void)rth__params_get(&call->params, "debug", seen_query, sizeof(seen_query));
    return rth__sink_puts(sink, seen_query);
}

static int begin_capture(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)call;
    *ret_wait_ns = 10 * RTH_NS_PER_S;
    return 0;
}

static int begin_pause(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)call;
    steps = 0;
    *ret_wait_ns = 1;
    return 0;
}

static int step_pause(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)call;
    *ret_wait_ns = ++steps < 3 ? RTH_NS_PER_MS : 0;
    return 0;
}

static void cancel(struct rth_call *call)
{
    (void)call;
    cancels++;
}

static int begin_fail(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    return rth__call_fail(call, 501, "there is no allocator");
}

static int write_danger(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    (void)rth__sink_puts(sink, "half of it");
    rth__episode_danger_store(true);
    return rth__sink_puts(sink, "the other half");
}

static int write_death(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    (void)write_bytes(sink, 100 * 1000);
    (void)raise(SIGKILL);
    return 0;
}

static int start_off(char *ret_reason, size_t reason_size)
{
    (void)snprintf(ret_reason, reason_size, "OFF=off");
    return -ECANCELED;
}

#define PROFILE "application/octet-stream", .flags = RTH_ARTEFACT_PROFILE
#define TEXT    "text/plain"

static const struct rth_artefact artefacts[] = {
    {.name = "small", .path = "/small", .content_type = TEXT, .write = write_small},
    {.name = "large", .path = "/large", .content_type = PROFILE, .write = write_large},
    {.name = "query", .path = "/query", .content_type = PROFILE, .write = write_query},
    {.name = "capture",
     .path = "/c",
     .content_type = PROFILE,
     .begin = begin_capture,
     .write = write_small,
     .cancel = cancel},
    {.name = "pause",
     .path = "/p",
     .content_type = "application/json",
     .begin = begin_pause,
     .step = step_pause,
     .write = write_small},
    {.name = "fail", .path = "/f", .content_type = TEXT, .begin = begin_fail, .write = write_small},
    {.name = "danger", .path = "/d", .content_type = TEXT, .write = write_danger},
    {.name = "death", .path = "/x", .content_type = TEXT, .write = write_death},
    {.name = "below",
     .path = "/b/",
     .content_type = TEXT,
     .flags = RTH_ARTEFACT_PREFIX,
     .write = write_small},
};
static const struct rth_artefact off_artefacts[] = {
    {.name = "off", .path = "/off", .content_type = TEXT, .write = write_small},
};
static const struct rth_capability row = {
    .name = "row",
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
};
static const struct rth_capability off_row = {
    .name = "off_row",
    .start = start_off,
    .artefacts = off_artefacts,
    .artefact_count = 1,
};
static const struct rth_capability *const table[] = {&row, &off_row};

static void set_up(void)
{
    folder_fd = temp_folder_make(path);
    rth__capability_table_set(table, 2);
    rth__capabilities_start();
    rth__episode_danger_store(false);
    rth__work_child_reset();
    rth__episode_caps = (struct rth_episode_caps){
        .artefact_bytes = 1 << 20,
        .episode_bytes = 4 << 20,
        .duration_ns = 60 * RTH_NS_PER_S,
    };
    memset(&record, 0, sizeof(record));
    (void)snprintf(record.reason, sizeof(record.reason), "a test");
    assert_int_equal(rth__episode_name_make(1764000000, getpid(), 1, "test", &record.name), 0);
    cancels = 0;
}

static void tear_down(void)
{
    rth__episode_danger_store(false);
    assert_int_equal(close(folder_fd), 0);
    temp_folder_remove(path);
}

#define COLLECT(...)                                                                               \
    rth__episode_collect(folder_fd, (const char *const[]){__VA_ARGS__, NULL}, &record)

static int open_episode(void)
{
    int fd = rth__episode_open(folder_fd, (uint32_t)geteuid(), &record.name);
    assert_true(fd >= 0);
    return fd;
}

static unsigned files(void)
{
    int fd = open_episode();
    struct rth_dir dir;
    unsigned count = 0;
    assert_int_equal(rth__dir_open(&dir, fd, "."), 0);
    while (rth__dir_next(&dir, NULL) != NULL)
        count++;
    rth__dir_close(&dir);
    assert_int_equal(close(fd), 0);
    return count;
}

static off_t size_of(const char *name)
{
    int fd = open_episode();
    struct stat status;
    off_t size = fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_size : -1;
    if (size >= 0) {
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(status.st_mode & 07777, 0600);
    }
    assert_int_equal(close(fd), 0);
    return size;
}

static void state_is(const char *wanted)
{
    int fd = open_episode();
    struct rth_episode_summary summary;
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, wanted);
    assert_string_equal(summary.reason, "a test");
    assert_int_equal(close(fd), 0);
}

static void what_is_asked_for_becomes_files_with_ends_that_viewers_know(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(COLLECT("small", "large", "query?debug=2", "pause"), 0);
    assert_false(record.name.is_partial);
    assert_null(record.ended_by);
    assert_int_equal(size_of("small.txt"), 6);
    assert_int_equal(size_of("large.pb.gz"), 300 * 1000);
    assert_int_equal(size_of("query.txt"), 1);
    assert_string_equal(seen_query, "2");
    assert_int_equal(size_of("pause.json"), 6);
    assert_int_equal(steps, 3);
    assert_int_equal(files(), 5);
    assert_int_equal(record.bytes, 6 + 300 * 1000 + 1 + 6);
    state_is("complete");
    tear_down();
}

static void folders_and_files_are_for_the_owner_whatever_the_umask(void **state)
{
    (void)state;
    set_up();
    mode_t before = umask(0777);
    assert_int_equal(COLLECT("small"), 0);
    (void)umask(before);
    int fd = open_episode();
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of("small.txt"), 6);
    assert_true(size_of("episode.json") > 0);
    tear_down();
}

static void what_cannot_be_had_is_left_out_with_the_reason_and_the_rest_goes_on(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(COLLECT("none", "off", "fail", "capture", "below", "small"), 0);
    assert_int_equal(record.entry_count, 6);
    assert_string_equal(record.entries[0].why, "nothing has this name");
    assert_string_equal(record.entries[1].why, "off_row is off: OFF=off");
    assert_string_equal(record.entries[2].why, "there is no allocator");
    assert_string_equal(record.entries[3].why, "it would take 10000 ms or more");
    assert_string_equal(record.entries[4].why, "nothing has this name");
    assert_string_equal(record.entries[5].file, "small.txt");
    assert_int_equal(cancels, 1);
    assert_int_equal(files(), 2);
    state_is("complete");
    tear_down();
}

static void a_file_that_grows_too_large_goes_and_the_next_one_comes(void **state)
{
    (void)state;
    set_up();
    rth__episode_caps.artefact_bytes = 200 * 1000;
    assert_int_equal(COLLECT("large", "small"), 0);
    assert_string_equal(record.entries[0].file, "");
    assert_non_null(strstr(record.entries[0].why, "larger than"));
    assert_string_equal(record.entries[1].file, "small.txt");
    assert_int_equal(files(), 2);
    tear_down();
}

static void an_episode_that_is_full_leaves_out_what_does_not_fit(void **state)
{
    (void)state;
    set_up();
    rth__episode_caps.episode_bytes = 6 + 6;
    assert_int_equal(COLLECT("small", "large", "pause", "query?debug=2"), 0);
    assert_string_equal(record.entries[0].file, "small.txt");
    assert_non_null(strstr(record.entries[1].why, "larger than"));
    assert_string_equal(record.entries[2].file, "pause.json");
    assert_string_equal(record.entries[3].why, "the episode is as large as it may be");
    state_is("complete");
    tear_down();
}

static void danger_ends_it_with_what_there_is(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(COLLECT("small", "danger", "large"), 0);
    assert_int_equal(record.entry_count, 2);
    assert_string_equal(record.entries[1].why, "the episode was ended");
    assert_non_null(strstr(record.ended_by, "danger"));
    assert_int_equal(files(), 2); /* the document, and what was whole */
    assert_false(record.name.is_partial);
    state_is("stopped");
    tear_down();
}

static void the_end_of_the_thread_ends_it(void **state)
{
    (void)state;
    set_up();
    rth__work_cancel();
    assert_int_equal(COLLECT("small"), 0);
    assert_int_equal(record.entry_count, 0);
    assert_int_equal(record.planned_count, 1);
    state_is("stopped");
    tear_down();
}

static void it_takes_no_longer_than_it_may(void **state)
{
    (void)state;
    set_up();
    rth__episode_caps.duration_ns = 0;
    assert_int_equal(COLLECT("small"), 0);
    assert_string_equal(record.ended_by, "it took too long");
    tear_down();
}

static void a_limit_of_the_filesystem_leaves_one_out_and_says_so(void **state)
{
    (void)state;
    set_up();
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit limit = {100 * 1000, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(COLLECT("large", "small"), 0);
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_non_null(strstr(record.entries[0].why, "RLIMIT_FSIZE"));
    assert_string_equal(record.entries[1].file, "small.txt");
    assert_int_equal(files(), 2);
    tear_down();
}

static void where_nothing_can_be_written_nothing_is_left(void **state)
{
    (void)state;
    set_up();
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit limit = {0, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(COLLECT("small"), -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rth_episode_found *found;
    assert_int_equal(rth__episode_scan(folder_fd, (uint32_t)geteuid(), &found), 0);
    struct rth_dir dir;
    assert_int_equal(rth__dir_open(&dir, folder_fd, "."), 0);
    assert_null(rth__dir_next(&dir, NULL));
    rth__dir_close(&dir);
    tear_down();
}

static void a_number_that_is_taken_gives_way_to_the_next(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__episode_name_make(5, 6, 1, "test", &record.name), 0);
    assert_int_equal(mkdirat(folder_fd, "episode-5-6-1-test", 0700), 0);
    assert_int_equal(mkdirat(folder_fd, "episode-5-6-2-test.partial", 0700), 0);
    assert_int_equal(COLLECT("small"), 0);
    assert_string_equal(record.name.id, "episode-5-6-3-test");
    assert_int_equal(size_of("small.txt"), 6);
    tear_down();
}

static void a_killed_process_leaves_a_folder_that_can_be_read(void **state)
{
    (void)state;
    set_up();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)COLLECT("small", "death", "large");
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct rth_episode_found *found;
    assert_int_equal(rth__episode_scan(folder_fd, (uint32_t)geteuid(), &found), 1);
    record.name = found[0].name;
    assert_true(record.name.is_partial);
    state_is("collecting");
    assert_int_equal(size_of("small.txt"), 6);
    assert_true(size_of("death" RTH_EPISODE_PARTIAL) > 0);
    int fd = open_episode();
    assert_false(rth__episode_is_being_collected(fd));
    assert_int_equal(close(fd), 0);
    tear_down();
}

static void the_document_is_what_the_format_says(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(COLLECT("small", "none"), 0);
    static char text[8192];
    int episode_fd = open_episode();
    int fd = openat(episode_fd, RTH_EPISODE_DOCUMENT, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof(text));
    assert_true(length > 0);
    static const char *const members[] = {
        "format",      "format_version",  "id",         "state",
        "trigger",     "reason",          "time",       "pid",
        "service",     "starttime_ticks", "host",       "version",
        "revision",    "build_id",        "executable", "rthooks_version",
        "duration_ms", "bytes",           "planned",
    };
    struct rth_json_value value;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (rth__json_read_member(text, (size_t)length, members[i], &value) != 0)
            fail_msg("missing: %s", members[i]);
    assert_int_equal(rth__json_read_member(text, (size_t)length, "artefacts", &value), 0);
    static const char begin[] =
        "[{\"name\":\"small\",\"result\":\"written\",\"file\":\"small.txt\","
        "\"bytes\":6,\"duration_ms\":";
    assert_memory_equal(value.text, begin, sizeof(begin) - 1);
    assert_int_equal(close(fd) | close(episode_fd), 0);
    tear_down();
}

RTH_TEST_MAIN(cmocka_unit_test(what_is_asked_for_becomes_files_with_ends_that_viewers_know),
              cmocka_unit_test(folders_and_files_are_for_the_owner_whatever_the_umask),
              cmocka_unit_test(what_cannot_be_had_is_left_out_with_the_reason_and_the_rest_goes_on),
              cmocka_unit_test(a_file_that_grows_too_large_goes_and_the_next_one_comes),
              cmocka_unit_test(an_episode_that_is_full_leaves_out_what_does_not_fit),
              cmocka_unit_test(danger_ends_it_with_what_there_is),
              cmocka_unit_test(the_end_of_the_thread_ends_it),
              cmocka_unit_test(it_takes_no_longer_than_it_may),
              cmocka_unit_test(a_limit_of_the_filesystem_leaves_one_out_and_says_so),
              cmocka_unit_test(where_nothing_can_be_written_nothing_is_left),
              cmocka_unit_test(a_number_that_is_taken_gives_way_to_the_next),
              cmocka_unit_test(a_killed_process_leaves_a_folder_that_can_be_read),
              cmocka_unit_test(the_document_is_what_the_format_says))
