/* SPDX-License-Identifier: MIT */
#include "helper/temp_folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "episode/folder.h"

static char root[TEMP_FOLDER_BYTES];
static int root_fd;

static void set_up(void)
{
    root_fd = temp_folder_make(root);
}

static void tear_down(void)
{
    assert_int_equal(close(root_fd), 0);
    temp_folder_remove(root);
}

static struct rth_episode_folder folder_at(const char *path, bool is_made)
{
    struct rth_episode_folder folder = {.is_made = is_made};
    (void)snprintf(folder.path, sizeof(folder.path), "%s", path);
    return folder;
}

static int open_and_close(struct rth_episode_folder *folder, bool create)
{
    int fd = rth__episode_folder_open(root_fd, (uint32_t)geteuid(), create, folder);
    if (fd < 0)
        return fd;
    assert_int_equal(close(fd), 0);
    return 0;
}

static void the_named_one_comes_first_and_defaults_follow(void **state)
{
    (void)state;
    struct rth_episode_folder folders[RTH_EPISODE_FOLDER_MAX];
    assert_int_equal(rth__episode_folders_fill("/evidence//", 7, folders), 3);
    assert_string_equal(folders[0].path, "/evidence");
    assert_true(folders[0].is_made && folders[0].is_named);
    assert_string_equal(folders[1].path, "/var/lib/rthooks");
    assert_false(folders[1].is_made);
    assert_string_equal(folders[2].path, "/var/tmp/rthooks-7");
    assert_true(folders[2].is_made);
    assert_int_equal(rth__episode_folders_fill(NULL, 7, folders), 2);
    assert_string_equal(folders[0].path, "/var/lib/rthooks");
}

static void paths_that_cannot_name_a_folder_of_ours_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "evidence", "/", "//", "/a/..", "/a/.", "/..", "./a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (rth__episode_path_check(bad[i]) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(rth__episode_path_check("/a"), 0);
    assert_int_equal(rth__episode_path_check("/a/b/"), 0);
    assert_int_equal(rth__episode_path_check("/a/..b"), 0);
    char longest[RTH_EPISODE_PATH_BYTES + 1];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[RTH_EPISODE_PATH_BYTES] = '\0';
    assert_int_equal(rth__episode_path_check(longest), -EINVAL);
}

static void a_missing_one_is_made_0700_when_there_is_something_to_put_into_it(void **state)
{
    (void)state;
    set_up();
    struct rth_episode_folder folder = folder_at("/evidence", true);
    assert_int_equal(open_and_close(&folder, false), -ENOENT);
    assert_true(folder.is_usable);
    struct stat status;
    assert_int_equal(fstatat(root_fd, "evidence", &status, 0), -1);
    mode_t before = umask(0777);
    assert_int_equal(open_and_close(&folder, true), 0);
    (void)umask(before);
    assert_int_equal(fstatat(root_fd, "evidence", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(open_and_close(&folder, false), 0);
    tear_down();
}

static void one_that_is_not_ours_to_make_stays_missing(void **state)
{
    (void)state;
    set_up();
    struct rth_episode_folder folder = folder_at("/evidence", false);
    assert_int_equal(open_and_close(&folder, true), -ENOENT);
    assert_false(folder.is_usable);
    assert_string_equal(folder.reason, "does not exist");
    folder = folder_at("/nowhere/evidence", true);
    assert_int_equal(open_and_close(&folder, true), -ENOENT);
    assert_false(folder.is_usable);
    assert_non_null(strstr(folder.reason, "/nowhere"));
    tear_down();
}

static void a_link_to_a_good_folder_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "good", 0700), 0);
    assert_int_equal(symlinkat("good", root_fd, "evidence"), 0);
    struct rth_episode_folder folder = folder_at("/evidence", true);
    assert_int_equal(open_and_close(&folder, true), -ELOOP);
    assert_string_equal(folder.reason, "is a symbolic link");
    tear_down();
}

static void a_file_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mknodat(root_fd, "evidence", S_IFREG | 0600, 0), 0);
    struct rth_episode_folder folder = folder_at("/evidence", true);
    assert_int_equal(open_and_close(&folder, true), -ENOTDIR);
    tear_down();
}

static void one_that_others_may_write_to_is_refused_and_left_as_it_is(void **state)
{
    (void)state;
    set_up();
    static const mode_t modes[] = {0720, 0702, 01777};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(mkdirat(root_fd, "evidence", 0700), 0);
        assert_int_equal(fchmodat(root_fd, "evidence", modes[i], 0), 0);
        struct rth_episode_folder folder = folder_at("/evidence", true);
        assert_int_equal(open_and_close(&folder, true), -EPERM);
        assert_non_null(strstr(folder.reason, "others may write"));
        struct stat status;
        assert_int_equal(fstatat(root_fd, "evidence", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, modes[i]);
        assert_int_equal(unlinkat(root_fd, "evidence", AT_REMOVEDIR), 0);
    }
    tear_down();
}

static void one_of_another_user_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "evidence", 0700), 0);
    struct rth_episode_folder folder = folder_at("/evidence", true);
    assert_int_equal(rth__episode_folder_open(root_fd, (uint32_t)geteuid() + 1, true, &folder),
                     -EPERM);
    assert_non_null(strstr(folder.reason, "belongs to uid"));
    tear_down();
}

static void one_in_memory_is_refused_whether_it_is_there_or_not(void **state)
{
    (void)state;
    struct statfs filesystem;
    if (statfs("/dev/shm", &filesystem) != 0 || filesystem.f_type != TMPFS_TYPE)
        RTH_SKIP("/dev/shm is no tmpfs here");
    char path[] = "/dev/shm/rthooks-episode-XXXXXX";
    assert_non_null(mkdtemp(path));
    root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    struct rth_episode_folder folder = folder_at(path, true);
    assert_int_equal(open_and_close(&folder, true), -EPERM);
    assert_false(folder.is_usable);
    assert_non_null(strstr(folder.reason, "is on a tmpfs"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(open_and_close(&folder, true), -EPERM);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(close(root_fd), 0);
}

static void one_that_may_not_be_written_to_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "evidence", 0500), 0);
    bool is_root = geteuid() == 0;
    if (is_root) {
        assert_int_equal(fchown(root_fd, 65534, 65534), 0);
        assert_int_equal(fchownat(root_fd, "evidence", 65534, 65534, 0), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    struct rth_episode_folder folder = folder_at("/evidence", true);
    int error = open_and_close(&folder, true);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(error, -EACCES);
    assert_string_equal(folder.reason, "may not be written to");
    tear_down();
}

RTH_TEST_MAIN(cmocka_unit_test(the_named_one_comes_first_and_defaults_follow),
              cmocka_unit_test(paths_that_cannot_name_a_folder_of_ours_are_refused),
              cmocka_unit_test(a_missing_one_is_made_0700_when_there_is_something_to_put_into_it),
              cmocka_unit_test(one_that_is_not_ours_to_make_stays_missing),
              cmocka_unit_test(a_link_to_a_good_folder_is_refused),
              cmocka_unit_test(a_file_is_refused),
              cmocka_unit_test(one_that_others_may_write_to_is_refused_and_left_as_it_is),
              cmocka_unit_test(one_of_another_user_is_refused),
              cmocka_unit_test(one_in_memory_is_refused_whether_it_is_there_or_not),
              cmocka_unit_test(one_that_may_not_be_written_to_is_refused))
