/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "os/fd.h"
#include "os/lines.h"

#define BUFFER_BYTES 16

static char buffer[BUFFER_BYTES];

static struct rth_lines lines_of(const char *text, size_t size_bytes)
{
    struct rth_lines lines;
    int fd = memfd_create("lines", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(rth__write_full(fd, text, size_bytes), size_bytes);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    rth__lines_of_fd(&lines, fd, buffer, sizeof(buffer));
    return lines;
}

static void expect(struct rth_lines *lines, const char *wanted)
{
    const char *line;
    size_t size_bytes;
    assert_int_equal(rth__lines_next(lines, &line, &size_bytes), 1);
    assert_int_equal(size_bytes, strlen(wanted));
    assert_memory_equal(line, wanted, size_bytes);
}

static int next(struct rth_lines *lines)
{
    const char *line;
    size_t size_bytes;
    return rth__lines_next(lines, &line, &size_bytes);
}

static void lines_across_many_reads_come_whole(void **state)
{
    (void)state;
    static const char text[] = "first\n\nthe third one\n123456789012345\nend\n";
    struct rth_lines lines = lines_of(text, sizeof(text) - 1);
    expect(&lines, "first");
    expect(&lines, "");
    expect(&lines, "the third one");
    expect(&lines, "123456789012345");
    expect(&lines, "end");
    assert_int_equal(next(&lines), 0);
    assert_int_equal(next(&lines), 0);
    (void)rth__close(lines.fd);
}

static void a_line_longer_than_the_buffer_is_skipped_and_told(void **state)
{
    (void)state;
    char text[4096];
    int length = snprintf(text, sizeof(text), "a\n%*s\nb\n1234567890123456\nc\n", 3000, "long");
    struct rth_lines lines = lines_of(text, (size_t)length);
    expect(&lines, "a");
    assert_int_equal(next(&lines), -EMSGSIZE);
    expect(&lines, "b");
    assert_int_equal(next(&lines), -EMSGSIZE);
    expect(&lines, "c");
    assert_int_equal(next(&lines), 0);
    (void)rth__close(lines.fd);
}

static void a_last_line_without_newline_is_refused(void **state)
{
    (void)state;
    struct rth_lines lines = lines_of("a\ncut", 5);
    expect(&lines, "a");
    assert_int_equal(next(&lines), -EBADMSG);
    (void)rth__close(lines.fd);
    lines = lines_of("a very long line without an end", 31);
    assert_int_equal(next(&lines), -EBADMSG);
    (void)rth__close(lines.fd);
}

static void text_in_memory_has_lines_of_any_length(void **state)
{
    (void)state;
    static const char text[] = "a line that is longer than the buffer of the others\nb\ncut";
    struct rth_lines lines;
    rth__lines_of_text(&lines, text, sizeof(text) - 1);
    expect(&lines, "a line that is longer than the buffer of the others");
    expect(&lines, "b");
    assert_int_equal(next(&lines), -EBADMSG);
    rth__lines_of_text(&lines, NULL, 0);
    assert_int_equal(next(&lines), 0);
}

static void a_read_error_is_told(void **state)
{
    (void)state;
    struct rth_lines lines;
    int fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    rth__lines_of_fd(&lines, fd, buffer, sizeof(buffer));
    assert_int_equal(next(&lines), -EISDIR);
    (void)rth__close(fd);
}

RTH_TEST_MAIN(cmocka_unit_test(lines_across_many_reads_come_whole),
              cmocka_unit_test(a_line_longer_than_the_buffer_is_skipped_and_told),
              cmocka_unit_test(a_last_line_without_newline_is_refused),
              cmocka_unit_test(text_in_memory_has_lines_of_any_length),
              cmocka_unit_test(a_read_error_is_told))
