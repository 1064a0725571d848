/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/maps.h"

static struct rth_map map;

static int parse(const char *line)
{
    return rth__map_line_parse(line, strlen(line), &map);
}

static void a_deleted_file_with_a_newline_and_a_huge_inode_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("1000-3000 r-xs 00002000 fe:01 18446744073709551615    "
                           "/o p/a\\012b.so (deleted)"),
                     0);
    assert_string_equal(map.path, "/o p/a\nb.so");
    assert_true(map.deleted);
    assert_true(map.inode == UINT64_MAX);
    assert_int_equal(map.limit, 0x3000);
    assert_int_equal(map.dev_major, 0xfe);
    assert_int_equal(map.flags, RTH_MAP_READ | RTH_MAP_EXEC | RTH_MAP_SHARED);
}

static void special_and_anonymous_mappings_keep_their_names(void **state)
{
    (void)state;
    assert_int_equal(parse("1000-2000 r-xp 00000000 00:00 0     [vdso]"), 0);
    assert_string_equal(map.path, "[vdso]");
    assert_int_equal(parse("1000-2000 rw-p 00000000 00:00 0 "), 0);
    assert_string_equal(map.path, "");
    assert_false(map.deleted);
}

static void malformed_lines_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse(""), -EBADMSG);
    assert_int_equal(parse("1000-2000 r-xp 0000"), -EBADMSG);
    assert_int_equal(parse("2000-1000 r-xp 00000000 00:00 0"), -EBADMSG);
    assert_int_equal(parse("1000-2000 rwxq 00000000 00:00 0"), -EBADMSG);
    assert_int_equal(parse("11111111111111111-2 r-xp 00000000 00:00 0"), -EBADMSG);
    assert_int_equal(parse("1000-2000 r-xp 00000000 00:00 0x"), -EBADMSG);
}

static void own_code_is_found_in_the_real_maps(void **state)
{
    (void)state;
    static struct rth_maps_reader reader;
    int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int status, found = 0;

    assert_int_equal(rth__maps_open(&reader, root_fd, 0), 0);
    while ((status = rth__maps_next(&reader)) == 1)
        if ((uintptr_t)parse >= reader.map.start && (uintptr_t)parse < reader.map.limit) {
            assert_non_null(strstr(reader.map.path, "test_maps"));
            assert_true(reader.map.flags & RTH_MAP_EXEC);
            found++;
        }
    assert_int_equal(status, 0);
    assert_int_equal(found, 1);
    rth__maps_close(&reader);
    (void)close(root_fd);
}

RTH_TEST_MAIN(cmocka_unit_test(a_deleted_file_with_a_newline_and_a_huge_inode_is_read),
              cmocka_unit_test(special_and_anonymous_mappings_keep_their_names),
              cmocka_unit_test(malformed_lines_are_refused),
              cmocka_unit_test(own_code_is_found_in_the_real_maps))
