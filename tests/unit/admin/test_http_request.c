/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/http_request.h"

#define HOST "Host: localhost:6060\r\n"

static struct rth_http_request request;

/* Not inlined: gcc 12 at -O2 folds strlen of the moving pointer of one case to a wrong constant. */
static __attribute__((noinline)) enum rth_http_result parse(const char *text)
{
    return rth__http_request_parse(text, strlen(text), &request);
}

static void assert_bad(const char *text, int status)
{
    if (parse(text) != RTH_HTTP_BAD || request.error_status != status)
        fail_msg("%s: got status %d, want %d", text, request.error_status, status);
    assert_non_null(request.error_text);
}

static void assert_text(struct rth_http_text text, const char *expected)
{
    assert_int_equal(text.size_bytes, strlen(expected));
    assert_memory_equal(text.data, expected, text.size_bytes);
}

static void plain_get_is_read(void **state)
{
    (void)state;
    const char *text = "GET /debug/pprof/heap?debug=1&gc=1 HTTP/1.1\r\n" HOST
                       "accept:  text/plain \t\r\nAuthorization: Bearer x\r\n\r\n";
    assert_int_equal(parse(text), RTH_HTTP_DONE);
    assert_int_equal(request.method, RTH_HTTP_GET);
    assert_string_equal(request.path, "/debug/pprof/heap");
    assert_text(request.query, "debug=1&gc=1");
    assert_text(request.host, "localhost:6060");
    assert_text(request.accept, "text/plain");
    assert_text(request.authorization, "Bearer x");
    assert_true(request.keep_alive);
    assert_false(request.http10);
    assert_int_equal(request.total_bytes, strlen(text));
}

static void every_prefix_of_a_good_request_asks_for_more(void **state)
{
    (void)state;
    const char *text = "POST /a%20b?x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc";
    for (size_t size = 0; size < strlen(text); size++) {
        char *copy = malloc(size + 1); /* exact, so that sanitizers see a read past the end */
        memcpy(copy, text, size);
        assert_int_equal(rth__http_request_parse(copy, size, &request), RTH_HTTP_MORE);
        free(copy);
    }
    assert_int_equal(parse(text), RTH_HTTP_DONE);
    assert_text(request.body, "abc");
}

static void pipelined_requests_are_read_one_by_one(void **state)
{
    (void)state;
    const char *text = "GET /a HTTP/1.1\r\n" HOST "\r\nPOST /b HTTP/1.1\r\n" HOST
                       "Content-Length: 2\r\n\r\nxyGET /c HTTP/1.1\r\n" HOST "\r\n";
    const char *end = text + strlen(text);
    assert_int_equal(parse(text), RTH_HTTP_DONE);
    assert_string_equal(request.path, "/a");
    text += request.total_bytes;
    assert_int_equal(parse(text), RTH_HTTP_DONE);
    assert_string_equal(request.path, "/b");
    assert_text(request.body, "xy");
    text += request.total_bytes;
    assert_int_equal(parse(text), RTH_HTTP_DONE);
    assert_string_equal(request.path, "/c");
    assert_ptr_equal(text + request.total_bytes, end);
}

static void http10_needs_no_host_and_closes(void **state)
{
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), RTH_HTTP_DONE);
    assert_true(request.http10);
    assert_false(request.keep_alive);
}

static void connection_close_is_found_in_a_list(void **state)
{
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\n" HOST "Connection: foo, CLOSE ,bar\r\n\r\n"),
                     RTH_HTTP_DONE);
    assert_false(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n"), RTH_HTTP_DONE);
    assert_true(request.keep_alive);
}

static void path_is_percent_decoded_and_query_is_not(void **state)
{
    (void)state;
    assert_int_equal(parse("GET /a%2Fb%20%C3%A4?x=%41 HTTP/1.1\r\n" HOST "\r\n"), RTH_HTTP_DONE);
    assert_string_equal(request.path, "/a/b \xc3\xa4");
    assert_text(request.query, "x=%41");
    assert_text(request.raw_path, "/a%2Fb%20%C3%A4");
    assert_bad("GET /a%2 HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /a% HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /a%zz HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /a%00b HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void smuggling_shapes_are_refused(void **state)
{
    (void)state;
    const char *const shapes[] = {
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length:\r\n",
        "Content-Length : 3\r\n",
        " Content-Length: 3\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: a\rb\r\n",
        "X: a\nContent-Length: 3\r\n",
        "X: a\x01\r\n",
        ": a\r\n",
        "X\r\n",
        "X y: a\r\n",
        "X(: a\r\n",
        "Host: other\r\n",
        "Origin: http://a\r\nOrigin: http://b\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n" HOST "%s\r\nabc", shapes[i]);
        assert_bad(text, 400);
    }
    assert_bad("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501);
    assert_bad("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501);
    assert_bad("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400);
    const char nul_in_header[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    assert_int_equal(rth__http_request_parse(nul_in_header, sizeof(nul_in_header) - 1, &request),
                     RTH_HTTP_BAD);
    assert_int_equal(request.error_status, 400);
}

static void line_ends_are_crlf_only(void **state)
{
    (void)state;
    assert_bad("GET / HTTP/1.1\nHost: a\n\n", 400);
    assert_bad("GET / HTTP/1.1\r\nHost: a\n\n", 400);
    assert_bad("GET / HTTP/1.1\rHost: a\r\r", 400);
    assert_bad("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void request_line_must_have_three_parts_with_single_spaces(void **state)
{
    (void)state;
    assert_bad("GET /\r\n\r\n", 400);
    assert_bad("GET  / HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /  HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET / HTTP/1.1 \r\n" HOST "\r\n", 400);
    assert_bad("GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /a b HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("G@T / HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET / http/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET / HTTP/1.1x\r\n" HOST "\r\n", 400);
    assert_bad("\x16\x03\x01", 400); /* TLS to a port without TLS: told at once */
}

static void only_paths_are_targets(void **state)
{
    (void)state;
    assert_bad("GET http://localhost/ HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET * HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET localhost:80 HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_bad("GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void methods_and_versions_have_their_own_answers(void **state)
{
    (void)state;
    assert_bad("PUT / HTTP/1.1\r\n" HOST "\r\n", 405);
    assert_bad("DELETE / HTTP/1.1\r\n" HOST "\r\n", 405);
    assert_bad("OPTIONS / HTTP/1.1\r\n" HOST "\r\n", 405);
    assert_bad("BREW / HTTP/1.1\r\n" HOST "\r\n", 501);
    assert_bad("get / HTTP/1.1\r\n" HOST "\r\n", 501);
    assert_bad("GET / HTTP/1.2\r\n" HOST "\r\n", 505);
    assert_bad("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    assert_bad("PRI * HTTP/2.0\r\n\r\n", 505);
    assert_bad("GET / HTTP/0.9\r\n" HOST "\r\n", 505);
}

static void host_is_required_exactly_once(void **state)
{
    (void)state;
    assert_bad("GET / HTTP/1.1\r\n\r\n", 400);
    assert_bad("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400);
    assert_bad("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400);
}

static void expectation_is_100_continue_or_refused(void **state)
{
    (void)state;
    assert_int_equal(
        parse("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"),
        RTH_HTTP_MORE);
    assert_true(request.head_complete);
    assert_true(request.expects_continue);
    assert_bad("POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417);
}

static void sizes_are_limited(void **state)
{
    (void)state;
    size_t size = 80 * 1024;
    char *text = malloc(size + 1);
    memset(text, 'a', size);
    text[size] = '\0';
    memcpy(text, "GET /", 5);
    assert_bad(text, 414); /* no line end within 8 KiB */
    text[RTH_HTTP_REQUEST_LINE_MAX - 1] = '\0';
    assert_int_equal(parse(text), RTH_HTTP_MORE);

    memset(text, 'a', size);
    int used = snprintf(text, size, "GET / HTTP/1.1\r\n" HOST "X: ");
    text[used] = 'a';
    assert_bad(text, 431);
    text[RTH_HTTP_HEAD_MAX - 1] = '\0';
    assert_int_equal(parse(text), RTH_HTTP_MORE);

    used = snprintf(text, size, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < RTH_HTTP_HEADERS_MAX; i++)
        used += snprintf(text + used, size - (size_t)used, "X: a\r\n");
    (void)snprintf(text + used, size - (size_t)used, "\r\n");
    assert_bad(text, 431);

    used = snprintf(text, size, "GET /");
    memset(text + used, 'a', RTH_HTTP_PATH_BYTES);
    (void)snprintf(text + used + RTH_HTTP_PATH_BYTES, 64, " HTTP/1.1\r\n" HOST "\r\n");
    assert_bad(text, 414);
    free(text);

    assert_int_equal(parse("POST / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n"),
                     RTH_HTTP_MORE);
    assert_bad("POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n", 413);
    assert_int_equal(parse("POST " RTH_HTTP_LARGE_BODY_PATH "?a HTTP/1.1\r\n" HOST
                           "Content-Length: 196608\r\n\r\n"),
                     RTH_HTTP_MORE);
    assert_bad("POST " RTH_HTTP_LARGE_BODY_PATH " HTTP/1.1\r\n" HOST
               "Content-Length: 196609\r\n\r\n",
               413);
    assert_bad(
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999999999\r\n\r\n", 413);
}

RTH_TEST_MAIN(cmocka_unit_test(plain_get_is_read),
              cmocka_unit_test(every_prefix_of_a_good_request_asks_for_more),
              cmocka_unit_test(pipelined_requests_are_read_one_by_one),
              cmocka_unit_test(http10_needs_no_host_and_closes),
              cmocka_unit_test(connection_close_is_found_in_a_list),
              cmocka_unit_test(path_is_percent_decoded_and_query_is_not),
              cmocka_unit_test(smuggling_shapes_are_refused),
              cmocka_unit_test(line_ends_are_crlf_only),
              cmocka_unit_test(request_line_must_have_three_parts_with_single_spaces),
              cmocka_unit_test(only_paths_are_targets),
              cmocka_unit_test(methods_and_versions_have_their_own_answers),
              cmocka_unit_test(host_is_required_exactly_once),
              cmocka_unit_test(expectation_is_100_continue_or_refused),
              cmocka_unit_test(sizes_are_limited))
