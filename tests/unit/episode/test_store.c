/* SPDX-License-Identifier: MIT */
/* What is found in a folder, what of it is kept, and what is nobody's to touch. */
#include "helper/temp_folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "episode/file.h"
#include "episode/store.h"
#include "os/dir.h"

static char path[TEMP_FOLDER_BYTES];
static int folder_fd;

static void set_up(void)
{
    folder_fd = temp_folder_make(path);
}

static void tear_down(void)
{
    assert_int_equal(close(folder_fd), 0);
    temp_folder_remove(path);
}

static void write_file(const char *folder, const char *name, size_t bytes)
{
    char file[256];
    (void)snprintf(file, sizeof(file), "%s/%s", folder, name);
    int fd = openat(folder_fd, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_equal(close(fd), 0);
}

static void add(const char *folder, size_t bytes)
{
    assert_int_equal(mkdirat(folder_fd, folder, 0700), 0);
    write_file(folder, "heap.pb.gz", bytes);
}

static void add_at(int second, size_t bytes)
{
    char folder[64];
    (void)snprintf(folder, sizeof(folder), "episode-%d-1-1-manual", second);
    add(folder, bytes);
}

static bool is_there(const char *name)
{
    struct stat status;
    return fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t scan(struct rth_episode_found **ret_found)
{
    return rth__episode_scan(folder_fd, (uint32_t)geteuid(), ret_found);
}

static unsigned keep(size_t count_max, uint64_t bytes_max)
{
    return rth__episode_keep(folder_fd, (uint32_t)geteuid(), count_max, bytes_max);
}

static void episodes_are_found_in_the_order_of_their_time(void **state)
{
    (void)state;
    set_up();
    add("episode-30-2-1-manual", 10);
    add("episode-4-9-2-memory-shed", 20);
    add("episode-4-9-1-memory-shed.partial", 30);
    add("episode-100-1-1-manual", 40);
    struct rth_episode_found *found;
    assert_int_equal(scan(&found), 4);
    assert_string_equal(found[0].name.id, "episode-4-9-1-memory-shed");
    assert_true(found[0].name.is_partial);
    assert_int_equal(found[0].bytes, 30);
    assert_string_equal(found[1].name.id, "episode-4-9-2-memory-shed");
    assert_string_equal(found[2].name.id, "episode-30-2-1-manual");
    assert_string_equal(found[3].name.id, "episode-100-1-1-manual");
    tear_down();
}

static void what_has_another_name_or_owner_or_is_a_link_is_not_found(void **state)
{
    (void)state;
    set_up();
    add("episode-x", 1);
    add("something", 1);
    assert_int_equal(symlinkat("something", folder_fd, "episode-1-1-1-manual"), 0);
    assert_int_equal(mknodat(folder_fd, "episode-2-1-1-manual", S_IFREG | 0600, 0), 0);
    struct rth_episode_found *found;
    assert_int_equal(scan(&found), 0);
    add_at(3, 1);
    assert_int_equal(rth__episode_scan(folder_fd, (uint32_t)geteuid() + 1, &found), 0);
    assert_int_equal(scan(&found), 1);
    tear_down();
}

static void a_folder_with_more_than_there_is_room_for_is_looked_at_in_part(void **state)
{
    (void)state;
    set_up();
    for (int i = 1; i <= 600; i++) {
        char folder[64];
        (void)snprintf(folder, sizeof(folder), "episode-%d-1-1-manual", i);
        assert_int_equal(mkdirat(folder_fd, folder, 0700), 0);
    }
    struct rth_episode_found *found;
    size_t count = scan(&found);
    assert_in_range(count, 64, 599);
    assert_true((unsigned char *)(found + count) <=
                rth__episode_scratch() + RTH_EPISODE_SCRATCH_BYTES);
    tear_down();
}

static void too_many_lose_the_oldest_but_never_the_first_the_last_two_and_the_largest(void **state)
{
    (void)state;
    set_up();
    for (int i = 1; i <= 9; i++)
        add_at(i, i == 3 ? 1000 : 10);
    assert_int_equal(keep(6, UINT64_MAX), 3);
    assert_true(is_there("episode-1-1-1-manual"));
    assert_false(is_there("episode-2-1-1-manual"));
    assert_true(is_there("episode-3-1-1-manual"));
    assert_false(is_there("episode-4-1-1-manual"));
    assert_false(is_there("episode-5-1-1-manual"));
    assert_int_equal(keep(1, UINT64_MAX), 2);
    struct rth_episode_found *found;
    assert_int_equal(scan(&found), 4);
    assert_int_equal(found[0].name.unix_s, 1);
    assert_int_equal(found[1].name.unix_s, 3);
    assert_int_equal(found[2].name.unix_s, 8);
    assert_int_equal(found[3].name.unix_s, 9);
    assert_int_equal(keep(1, 0), 0);
    tear_down();
}

static void too_many_bytes_lose_the_oldest_as_far_as_needed(void **state)
{
    (void)state;
    set_up();
    for (int i = 1; i <= 6; i++)
        add_at(i, 1000);
    assert_int_equal(keep(16, 6000), 0);
    assert_int_equal(keep(16, 5999), 1);
    assert_false(is_there("episode-2-1-1-manual"));
    assert_int_equal(keep(16, 4000), 1);
    assert_false(is_there("episode-3-1-1-manual"));
    tear_down();
}

static void strangers_files_are_never_removed(void **state)
{
    (void)state;
    set_up();
    for (int i = 1; i <= 5; i++)
        add_at(i, 10);
    add("keepsake", 10);
    assert_int_equal(mkdirat(folder_fd, "episode-2-1-1-manual/inner", 0700), 0);
    assert_int_equal(keep(1, 0), 1); /* 2 keeps its inner folder, 1 4 5 stay */
    assert_true(is_there("keepsake/heap.pb.gz"));
    assert_true(is_there("episode-2-1-1-manual/inner"));
    assert_false(is_there("episode-3-1-1-manual"));
    tear_down();
}

static void links_within_an_episode_are_removed_and_what_they_name_is_not(void **state)
{
    (void)state;
    set_up();
    add("keepsake", 10);
    add_at(1, 10);
    assert_int_equal(
        symlinkat("../keepsake/heap.pb.gz", folder_fd, "episode-1-1-1-manual/link.txt"), 0);
    struct rth_episode_name name;
    assert_true(rth__episode_name_parse("episode-1-1-1-manual", &name));
    assert_int_equal(rth__episode_remove(folder_fd, (uint32_t)geteuid(), &name), 0);
    assert_false(is_there("episode-1-1-1-manual"));
    assert_true(is_there("keepsake/heap.pb.gz"));
    tear_down();
}

static void one_that_is_being_collected_stays(void **state)
{
    (void)state;
    set_up();
    add("episode-1-1-1-manual.partial", 10);
    struct rth_episode_name name;
    assert_true(rth__episode_name_parse("episode-1-1-1-manual.partial", &name));
    int collector = rth__episode_open(folder_fd, (uint32_t)geteuid(), &name);
    int other = rth__episode_open(folder_fd, (uint32_t)geteuid(), &name);
    assert_true(collector >= 0 && other >= 0);
    assert_false(rth__episode_is_being_collected(other));
    rth__episode_mark_collecting(collector);
    assert_true(rth__episode_is_being_collected(other));
    assert_int_equal(rth__episode_remove(folder_fd, (uint32_t)geteuid(), &name), -EBUSY);
    assert_int_equal(close(collector), 0);
    assert_false(rth__episode_is_being_collected(other));
    assert_int_equal(close(other), 0);
    assert_int_equal(rth__episode_remove(folder_fd, (uint32_t)geteuid(), &name), 0);
    tear_down();
}

static void only_plain_files_with_plain_names_are_shown(void **state)
{
    (void)state;
    set_up();
    add_at(1, 10);
    write_file("episode-1-1-1-manual", ".ended", 0);
    write_file("episode-1-1-1-manual", "a b", 0);
    assert_int_equal(symlinkat("/etc/passwd", folder_fd, "episode-1-1-1-manual/passwd"), 0);
    assert_int_equal(mkfifoat(folder_fd, "episode-1-1-1-manual/fifo", 0600), 0);
    struct rth_dir dir;
    uint64_t bytes;
    assert_int_equal(rth__dir_open(&dir, folder_fd, "episode-1-1-1-manual"), 0);
    assert_string_equal(rth__episode_next_file(&dir, &bytes), "heap.pb.gz");
    assert_int_equal(bytes, 10);
    assert_null(rth__episode_next_file(&dir, &bytes));
    rth__dir_close(&dir);
    tear_down();
}

static void a_document_that_is_none_has_no_state(void **state)
{
    (void)state;
    set_up();
    struct rth_episode_summary summary;
    add_at(1, 10);
    int fd = openat(folder_fd, "episode-1-1-1-manual", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, "unreadable");
    write_file("episode-1-1-1-manual", RTH_EPISODE_DOCUMENT, 1 << 20);
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, "unreadable");
    assert_int_equal(unlinkat(fd, RTH_EPISODE_DOCUMENT, 0), 0);
    assert_int_equal(mkfifoat(fd, RTH_EPISODE_DOCUMENT, 0600), 0);
    rth__episode_summary_of(fd, &summary);
    assert_string_equal(summary.state, "unreadable");
    assert_int_equal(close(fd), 0);
    tear_down();
}

static void a_document_of_another_format_or_version_has_no_state(void **state)
{
    (void)state;
    struct rth_episode_summary summary;
    static const char good[] = "{\"format\":\"rthooks.episode\",\"format_version\":1,"
                               "\"state\":\"complete\",\"reason\":\"a \\\"b\\\"\","
                               "\"starttime_ticks\":77,\"duration_ms\":5}\n";
    rth__episode_summary_read(good, sizeof(good) - 1, &summary);
    assert_string_equal(summary.state, "complete");
    assert_string_equal(summary.reason, "a \"b\"");
    assert_int_equal(summary.starttime_ticks, 77);
    assert_int_equal(summary.duration_ms, 5);
    rth__episode_summary_read(good, sizeof(good) - 3, &summary);
    assert_string_equal(summary.state, "unreadable");
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"format\":\"rthooks.episode\",\"format_version\":2,\"state\":\"complete\"}",
        "{\"format\":\"other\",\"format_version\":1,\"state\":\"complete\"}",
        "{\"format\":\"rthooks.episode\",\"format_version\":1,\"state\":3}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rth__episode_summary_read(bad[i], strlen(bad[i]), &summary);
        assert_string_equal(summary.state, "unreadable");
        assert_string_equal(summary.reason, "");
    }
}

RTH_TEST_MAIN(
    cmocka_unit_test(episodes_are_found_in_the_order_of_their_time),
    cmocka_unit_test(what_has_another_name_or_owner_or_is_a_link_is_not_found),
    cmocka_unit_test(a_folder_with_more_than_there_is_room_for_is_looked_at_in_part),
    cmocka_unit_test(too_many_lose_the_oldest_but_never_the_first_the_last_two_and_the_largest),
    cmocka_unit_test(too_many_bytes_lose_the_oldest_as_far_as_needed),
    cmocka_unit_test(strangers_files_are_never_removed),
    cmocka_unit_test(links_within_an_episode_are_removed_and_what_they_name_is_not),
    cmocka_unit_test(one_that_is_being_collected_stays),
    cmocka_unit_test(only_plain_files_with_plain_names_are_shown),
    cmocka_unit_test(a_document_that_is_none_has_no_state),
    cmocka_unit_test(a_document_of_another_format_or_version_has_no_state))
