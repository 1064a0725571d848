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

static void expect(struct rth_maps_reader *reader, uint64_t start, uint32_t flags, const char *path)
{
    assert_int_equal(rth__maps_next(reader), 1);
    assert_true(reader->map.start == start);
    assert_int_equal(reader->map.flags, flags);
    assert_string_equal(reader->map.path, path);
}

static void every_kind_of_line_is_read_from_a_file(void **state)
{
    (void)state;
    static struct rth_maps_reader reader;
    int root_fd = open(RTH_FIXTURES "/procfs", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(rth__maps_open(&reader, root_fd, 100), 0);
    expect(&reader, 0x400000, RTH_MAP_READ | RTH_MAP_EXEC, "/usr/bin/prog ram");
    assert_int_equal(reader.map.inode, 173521);
    assert_int_equal(reader.map.dev_major, 8);
    assert_int_equal(reader.map.dev_minor, 2);
    expect(&reader, 0xe03000, RTH_MAP_READ | RTH_MAP_WRITE, "[heap]");
    expect(&reader, 0x35b1800000, RTH_MAP_READ | RTH_MAP_EXEC | RTH_MAP_SHARED,
           "/srv/new\nline/lib.so.1");
    assert_true(reader.map.deleted);
    assert_true(reader.map.inode == UINT64_MAX);
    assert_int_equal(reader.map.offset, 0x42000);
    assert_int_equal(reader.map.dev_minor, 0xfffff);
    expect(&reader, 0x7f0000000000, RTH_MAP_READ | RTH_MAP_WRITE, "");
    assert_false(reader.map.deleted);
    expect(&reader, 0x7f0000021000, 0, "");
    expect(&reader, 0x7f0004000000, RTH_MAP_READ | RTH_MAP_WRITE | RTH_MAP_SHARED, "/memfd:a b");
    expect(&reader, 0x7f0004001000, RTH_MAP_READ | RTH_MAP_WRITE, "[anon:my pool]");
    expect(&reader, 0x7ffd3a1f1000, RTH_MAP_READ | RTH_MAP_EXEC, "[vdso]");
    expect(&reader, UINT64_C(0xffffffffff600000), RTH_MAP_EXEC, "[vsyscall]");
    assert_true(reader.map.limit == UINT64_C(0xffffffffff601000));
    assert_int_equal(rth__maps_next(&reader), 0);
    rth__maps_close(&reader);
    (void)close(root_fd);
}

static void bad_lines_are_told_and_passed_over(void **state)
{
    (void)state;
    static struct rth_maps_reader reader;
    int root_fd = open(RTH_FIXTURES "/procfs", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(rth__maps_open(&reader, root_fd, 200), 0);
    expect(&reader, 0x1000, RTH_MAP_READ | RTH_MAP_EXEC, "");
    assert_int_equal(rth__maps_next(&reader), -EBADMSG); /* no mapping */
    assert_int_equal(rth__maps_next(&reader), -EBADMSG); /* a path too long for the struct */
    assert_int_equal(rth__maps_next(&reader), -EBADMSG); /* a line too long for the buffer */
    expect(&reader, 0x7000, RTH_MAP_READ, "/good");
    assert_int_equal(rth__maps_next(&reader), -EBADMSG); /* cut */
    assert_string_equal(reader.map.path, "/good");
    rth__maps_close(&reader);
    assert_int_equal(rth__maps_open(&reader, root_fd, 999), -ENOENT);
    (void)close(root_fd);
}

static void a_path_of_the_longest_length_fits(void **state)
{
    (void)state;
    static char line[2 * RTH_MAPS_PATH_BYTES];
    static const char head[] = "1000-2000 r-xp 00000000 00:00 0 /";

    memset(line, 'p', sizeof(line));
    memcpy(line, head, sizeof(head) - 1);
    size_t longest = sizeof(head) - 2 + RTH_MAPS_PATH_BYTES - 1;
    assert_int_equal(rth__map_line_parse(line, longest, &map), 0);
    assert_int_equal(strlen(map.path), RTH_MAPS_PATH_BYTES - 1);
    assert_int_equal(rth__map_line_parse(line, longest + 1, &map), -EBADMSG);
    line[longest - 1] = '\0';
    assert_int_equal(rth__map_line_parse(line, longest, &map), -EBADMSG);
}

RTH_TEST_MAIN(cmocka_unit_test(a_deleted_file_with_a_newline_and_a_huge_inode_is_read),
              cmocka_unit_test(special_and_anonymous_mappings_keep_their_names),
              cmocka_unit_test(malformed_lines_are_refused),
              cmocka_unit_test(own_code_is_found_in_the_real_maps),
              cmocka_unit_test(every_kind_of_line_is_read_from_a_file),
              cmocka_unit_test(bad_lines_are_told_and_passed_over),
              cmocka_unit_test(a_path_of_the_longest_length_fits))
