/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/response_head.h"

static char text[RTH_RESPONSE_HEAD_BYTES + 1];

static const char *build(const struct rth_response_head *head)
{
    int length = rth__response_head(head, text, sizeof(text) - 1);
    assert_true(length > 4);
    text[length] = '\0';
    assert_int_equal(strlen(text), length);
    assert_string_equal(text + length - 4, "\r\n\r\n");
    return text;
}

static void assert_line(const char *line)
{
    const char *at = strstr(text, line);
    if (at == NULL || at[-1] != '\n' || strncmp(at + strlen(line), "\r\n", 2) != 0)
        fail_msg("no line \"%s\" in:\n%s", line, text);
    assert_null(strstr(at + 1, line));
}

static void assert_no(const char *piece)
{
    if (strstr(text, piece) != NULL)
        fail_msg("\"%s\" in:\n%s", piece, text);
}

static void a_head_is_whole_and_in_order(void **state)
{
    (void)state;
    const struct rth_response_head head = {
        .status = 200,
        .framing = RTH_RESPONSE_LENGTH,
        .body_bytes = UINT64_C(18446744073709551615),
        .unix_seconds = 784111777,
        .content_type = "application/json",
    };
    assert_string_equal(build(&head), "HTTP/1.1 200 OK\r\n"
                                      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                      "Content-Type: application/json\r\n"
                                      "X-Content-Type-Options: nosniff\r\n"
                                      "Content-Length: 18446744073709551615\r\n\r\n");
}

static void the_three_framings_exclude_each_other(void **state)
{
    (void)state;
    struct rth_response_head head = {.status = 200, .framing = RTH_RESPONSE_CHUNKED};
    (void)build(&head);
    assert_line("Transfer-Encoding: chunked");
    assert_no("Content-Length");
    assert_no("Connection");
    head.framing = RTH_RESPONSE_UNTIL_CLOSE;
    head.http10 = true;
    (void)build(&head);
    assert_line("Connection: close");
    assert_no("Content-Length");
    assert_no("Transfer-Encoding");
    head.framing = RTH_RESPONSE_LENGTH;
    (void)build(&head);
    assert_line("Content-Length: 0");
    assert_line("Connection: keep-alive");
    head.closes = true;
    (void)build(&head);
    assert_line("Connection: close");
    assert_no("keep-alive");
}

static void an_attachment_is_named_unless_it_is_an_error(void **state)
{
    (void)state;
    struct rth_response_head head = {
        .status = 200, .attachment = "profile", .content_type = "application/octet-stream"};
    (void)build(&head);
    assert_line("Content-Disposition: attachment; filename=\"profile\"");
    head.status = 503;
    (void)build(&head);
    assert_no("Content-Disposition");
}

static void pprof_errors_are_marked_and_plain_text_by_default(void **state)
{
    (void)state;
    struct rth_response_head head = {.status = 404, .is_pprof = true};
    (void)build(&head);
    assert_line("X-Go-Pprof: 1");
    assert_line("Content-Type: text/plain; charset=utf-8");
    assert_line("X-Content-Type-Options: nosniff");
    head.status = 200;
    (void)build(&head);
    assert_no("X-Go-Pprof");
    head = (struct rth_response_head){.status = 404};
    (void)build(&head);
    assert_no("X-Go-Pprof");
}

static void only_401_asks_for_a_token(void **state)
{
    (void)state;
    struct rth_response_head head = {.status = 401};
    (void)build(&head);
    assert_line("WWW-Authenticate: Bearer");
    head.status = 403;
    (void)build(&head);
    assert_no("WWW-Authenticate");
}

static void optional_headers_appear_when_set(void **state)
{
    (void)state;
    struct rth_response_head head = {
        .status = 405, .allow = "GET, HEAD", .location = "/debug/pprof/", .clamped = "seconds=300"};
    (void)build(&head);
    assert_line("Allow: GET, HEAD");
    assert_line("Location: /debug/pprof/");
    assert_line("X-Rthooks-Clamped: seconds=300");
    head = (struct rth_response_head){
        .status = 200, .allow = "", .location = "", .clamped = "", .attachment = ""};
    (void)build(&head);
    assert_no("Allow");
    assert_no("Location");
    assert_no("Clamped");
    assert_no("Content-Disposition");
}

static void no_value_can_end_its_line_or_its_quotes(void **state)
{
    (void)state;
    const struct rth_response_head head = {
        .status = 200,
        .content_type = "text/plain\r\nX-Evil: 1",
        .attachment = "a\"; x=\"b\\c\r\nX-Evil: 2",
        .clamped = "\n\x01\x7f",
    };
    (void)build(&head);
    assert_no("\nX-Evil");
    assert_line("Content-Type: text/plain__X-Evil: 1");
    assert_line("Content-Disposition: attachment; filename=\"a_; x=_b_c__X-Evil: 2\"");
    assert_line("X-Rthooks-Clamped: ___");
}

static void a_buffer_that_is_too_small_is_refused_and_not_overrun(void **state)
{
    (void)state;
    const struct rth_response_head head = {
        .status = 401, .attachment = "x", .clamped = "seconds=1", .closes = true};
    size_t needed_bytes = strlen(build(&head));
    for (size_t size = 0; size <= needed_bytes; size++) {
        char *exact = malloc(size + 1); /* so that sanitizers see a write past the end */
        exact[size] = '#';
        int result = rth__response_head(&head, exact, size);
        assert_int_equal(result, size < needed_bytes ? -ENOBUFS : (int)needed_bytes);
        assert_int_equal(exact[size], '#');
        free(exact);
    }
}

static void a_status_without_a_text_still_has_a_reason(void **state)
{
    (void)state;
    assert_string_equal(rth__response_reason(404), "Not Found");
    assert_string_equal(rth__response_reason(299), "Status");
    const struct rth_response_head head = {.status = 299};
    assert_memory_equal(build(&head), "HTTP/1.1 299 Status\r\n", 21);
}

RTH_TEST_MAIN(cmocka_unit_test(a_head_is_whole_and_in_order),
              cmocka_unit_test(the_three_framings_exclude_each_other),
              cmocka_unit_test(an_attachment_is_named_unless_it_is_an_error),
              cmocka_unit_test(pprof_errors_are_marked_and_plain_text_by_default),
              cmocka_unit_test(only_401_asks_for_a_token),
              cmocka_unit_test(optional_headers_appear_when_set),
              cmocka_unit_test(no_value_can_end_its_line_or_its_quotes),
              cmocka_unit_test(a_buffer_that_is_too_small_is_refused_and_not_overrun),
              cmocka_unit_test(a_status_without_a_text_still_has_a_reason))
