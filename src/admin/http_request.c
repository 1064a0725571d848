/* SPDX-License-Identifier: MIT */
#include "admin/http_request.h"

#include <stdint.h>
#include <string.h>

/* What is known of a head while its lines are read. */
struct head {
    struct rth_http_request *request;
    bool has_length, has_transfer_encoding, wants_close, wants_keep_alive, has_expect;
    int host_count;
};

static int bad(struct rth_http_request *request, int status, const char *text)
{
    request->error_status = status;
    request->error_text = text;
    return -1;
}

static char lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool rth__http_text_is(struct rth_http_text text, const char *lower)
{
    size_t length = strlen(lower);
    if (text.size_bytes != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (lower_char(text.data[i]) != lower[i])
            return false;
    }
    return true;
}

static bool is_token_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct rth_http_text text)
{
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (!is_token_char(text.data[i]))
            return false;
    }
    return text.size_bytes > 0;
}

static int hex_digit(char c)
{
    c = lower_char(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "/a%20b?query" into path and query. */
static int parse_target(struct rth_http_request *request, struct rth_http_text target)
{
    if (target.size_bytes == 0 || target.data[0] != '/')
        return bad(request, 400, "the request target must be a path");
    for (size_t i = 0; i < target.size_bytes; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= ' ' || c >= 0x7f || c == '#')
            return bad(request, 400, "bad character in the request target");
    }
    const char *question = memchr(target.data, '?', target.size_bytes);
    request->raw_path.data = target.data;
    request->raw_path.size_bytes =
        question != NULL ? (size_t)(question - target.data) : target.size_bytes;
    if (question != NULL) {
        request->query.data = question + 1;
        request->query.size_bytes = target.size_bytes - request->raw_path.size_bytes - 1;
    }
    struct rth_http_text raw = request->raw_path;
    size_t length = 0;
    for (size_t i = 0; i < raw.size_bytes; i++) {
        char c = raw.data[i];
        if (c == '%') {
            int high = raw.size_bytes - i > 2 ? hex_digit(raw.data[i + 1]) : -1;
            int low = raw.size_bytes - i > 2 ? hex_digit(raw.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0)
                return bad(request, 400, "bad percent escape in the path");
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (length + 1 >= sizeof(request->path))
            return bad(request, 414, "the path is too long");
        request->path[length++] = c;
    }
    request->path[length] = '\0';
    return 0;
}

static int parse_method(struct rth_http_request *request, struct rth_http_text method)
{
    static const char *const refused[] = {"PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"};
    if (!is_token(method))
        return bad(request, 400, "malformed request line");
    if (method.size_bytes == 3 && memcmp(method.data, "GET", 3) == 0)
        request->method = RTH_HTTP_GET;
    else if (method.size_bytes == 4 && memcmp(method.data, "HEAD", 4) == 0)
        request->method = RTH_HTTP_HEAD;
    else if (method.size_bytes == 4 && memcmp(method.data, "POST", 4) == 0)
        request->method = RTH_HTTP_POST;
    else {
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
            if (method.size_bytes == strlen(refused[i]) &&
                memcmp(method.data, refused[i], method.size_bytes) == 0)
                return bad(request, 405, "method not allowed");
        }
        return bad(request, 501, "unknown method");
    }
    return 0;
}

static int parse_version(struct rth_http_request *request, struct rth_http_text version)
{
    const char *text = version.data;
    if (version.size_bytes != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' ||
        text[5] < '0' || text[5] > '9' || text[7] < '0' || text[7] > '9')
        return bad(request, 400, "malformed request line");
    if (text[5] != '1' || text[7] > '1')
        return bad(request, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    request->http10 = text[7] == '0';
    return 0;
}

static int parse_request_line(struct rth_http_request *request, struct rth_http_text line)
{
    const char *first = memchr(line.data, ' ', line.size_bytes);
    if (first == NULL)
        return bad(request, 400, "malformed request line");
    struct rth_http_text method = {line.data, (size_t)(first - line.data)};
    struct rth_http_text rest = {first + 1, line.size_bytes - method.size_bytes - 1};
    const char *second = memchr(rest.data, ' ', rest.size_bytes);
    if (second == NULL)
        return bad(request, 400, "malformed request line");
    struct rth_http_text target = {rest.data, (size_t)(second - rest.data)};
    struct rth_http_text version = {second + 1, rest.size_bytes - target.size_bytes - 1};
    /* The version first: only what speaks HTTP/1 is told about its method. */
    if (!is_token(method))
        return bad(request, 400, "malformed request line");
    if (parse_version(request, version) != 0 || parse_method(request, method) != 0)
        return -1;
    return parse_target(request, target);
}

/* A header that may appear once. */
static int take_once(struct rth_http_request *request, struct rth_http_text *slot,
                     struct rth_http_text value)
{
    if (slot->data != NULL)
        return bad(request, 400, "a header that must be single appears twice");
    *slot = value;
    return 0;
}

static int take_content_length(struct head *head, struct rth_http_text value)
{
    struct rth_http_request *request = head->request;
    if (head->has_length)
        return bad(request, 400, "more than one Content-Length");
    if (value.size_bytes == 0)
        return bad(request, 400, "malformed Content-Length");
    uint64_t length = 0;
    for (size_t i = 0; i < value.size_bytes; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return bad(request, 400, "malformed Content-Length");
        if (length <= RTH_HTTP_LARGE_BODY_MAX) /* beyond, only the digits are still checked */
            length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    head->has_length = true;
    request->body_bytes = (size_t)length;
    return 0;
}

/* Looks for close and keep-alive in a comma-separated list. */
static void take_connection(struct head *head, struct rth_http_text value)
{
    size_t start = 0;
    while (start < value.size_bytes) {
        const char *comma = memchr(value.data + start, ',', value.size_bytes - start);
        size_t end = comma != NULL ? (size_t)(comma - value.data) : value.size_bytes;
        struct rth_http_text item = {value.data + start, end - start};
        while (item.size_bytes > 0 && (*item.data == ' ' || *item.data == '\t'))
            item.data++, item.size_bytes--;
        while (item.size_bytes > 0 &&
               (item.data[item.size_bytes - 1] == ' ' || item.data[item.size_bytes - 1] == '\t'))
            item.size_bytes--;
        if (rth__http_text_is(item, "close"))
            head->wants_close = true;
        else if (rth__http_text_is(item, "keep-alive"))
            head->wants_keep_alive = true;
        start = end + 1;
    }
}

static int take_header(struct head *head, struct rth_http_text name, struct rth_http_text value)
{
    struct rth_http_request *request = head->request;
    if (rth__http_text_is(name, "host")) {
        if (head->host_count++ > 0)
            return bad(request, 400, "more than one Host");
        request->host = value;
    } else if (rth__http_text_is(name, "content-length")) {
        return take_content_length(head, value);
    } else if (rth__http_text_is(name, "transfer-encoding")) {
        head->has_transfer_encoding = true;
    } else if (rth__http_text_is(name, "connection")) {
        take_connection(head, value);
    } else if (rth__http_text_is(name, "expect")) {
        head->has_expect = true;
        if (!rth__http_text_is(value, "100-continue"))
            return bad(request, 417, "the only expectation met is 100-continue");
    } else if (rth__http_text_is(name, "authorization")) {
        return take_once(request, &request->authorization, value);
    } else if (rth__http_text_is(name, "origin")) {
        return take_once(request, &request->origin, value);
    } else if (rth__http_text_is(name, "content-type")) {
        return take_once(request, &request->content_type, value);
    } else if (rth__http_text_is(name, "x-rthooks-forwarded")) {
        return take_once(request, &request->forwarded, value);
    } else if (rth__http_text_is(name, "accept") && request->accept.data == NULL) {
        request->accept = value;
    }
    return 0;
}

static int parse_header_line(struct head *head, struct rth_http_text line)
{
    struct rth_http_request *request = head->request;
    const char *colon = memchr(line.data, ':', line.size_bytes);
    if (colon == NULL)
        return bad(request, 400, "a header line without a colon");
    struct rth_http_text name = {line.data, (size_t)(colon - line.data)};
    /* Also refuses folded lines and a space before the colon: neither is a token character. */
    if (!is_token(name))
        return bad(request, 400, "malformed header name");
    struct rth_http_text value = {colon + 1, line.size_bytes - name.size_bytes - 1};
    while (value.size_bytes > 0 && (*value.data == ' ' || *value.data == '\t'))
        value.data++, value.size_bytes--;
    while (value.size_bytes > 0 &&
           (value.data[value.size_bytes - 1] == ' ' || value.data[value.size_bytes - 1] == '\t'))
        value.size_bytes--;
    for (size_t i = 0; i < value.size_bytes; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return bad(request, 400, "control character in a header");
    }
    return take_header(head, name, value);
}

/* The rules that concern the head as a whole. */
static int check_head(struct head *head)
{
    struct rth_http_request *request = head->request;
    if (head->host_count == 0 && !request->http10)
        return bad(request, 400, "Host is missing");
    if (head->has_transfer_encoding) {
        if (head->has_length || request->http10)
            return bad(request, 400, "Transfer-Encoding where it must not be");
        return bad(request, 501, "Transfer-Encoding is not supported in requests");
    }
    bool is_large = strcmp(request->path, RTH_HTTP_LARGE_BODY_PATH) == 0;
    if (request->body_bytes > (is_large ? RTH_HTTP_LARGE_BODY_MAX : RTH_HTTP_BODY_MAX))
        return bad(request, 413, "the body is too large");
    request->keep_alive = !request->http10 && !head->wants_close;
    request->expects_continue = head->has_expect && !request->http10 && request->body_bytes > 0;
    return 0;
}

/*
 * The next line without its CRLF. 1, 0 when it is not complete yet, -1 for a bare CR or LF.
 * A CR at the very end of the data may still get its LF.
 */
static int next_line(const char *data, size_t size_bytes, size_t *offset,
                     struct rth_http_text *ret_line)
{
    const char *start = data + *offset;
    size_t left_bytes = size_bytes - *offset;
    const char *lf = memchr(start, '\n', left_bytes);
    size_t scan_bytes = lf != NULL ? (size_t)(lf - start) : left_bytes;
    const char *cr = memchr(start, '\r', scan_bytes);
    if (lf == NULL)
        return cr != NULL && cr != start + left_bytes - 1 ? -1 : 0;
    if (cr == NULL || cr + 1 != lf)
        return -1;
    ret_line->data = start;
    ret_line->size_bytes = (size_t)(cr - start);
    *offset += ret_line->size_bytes + 2;
    return 1;
}

/* Lines up to the empty one. 1, 0 for more, -1. */
static int parse_head(const char *data, size_t size_bytes, struct head *head)
{
    struct rth_http_request *request = head->request;
    size_t window = size_bytes < RTH_HTTP_HEAD_MAX ? size_bytes : RTH_HTTP_HEAD_MAX;
    size_t line_window = window < RTH_HTTP_REQUEST_LINE_MAX ? window : RTH_HTTP_REQUEST_LINE_MAX;
    size_t offset = 0;
    struct rth_http_text line;
    int got = next_line(data, line_window, &offset, &line);
    if (got < 0)
        return bad(request, 400, "lines end with CR LF");
    if (got == 0) {
        /* Garbage is recognized at once, so that it isn't waited for. */
        if (memchr(data, '\0', line_window) != NULL || (line_window > 0 && !is_token_char(data[0])))
            return bad(request, 400, "malformed request line");
        return line_window == RTH_HTTP_REQUEST_LINE_MAX
                   ? bad(request, 414, "the request line is too long")
                   : 0;
    }
    if (parse_request_line(request, line) != 0)
        return -1;
    for (int count = 0;; count++) {
        got = next_line(data, window, &offset, &line);
        if (got < 0)
            return bad(request, 400, "lines end with CR LF");
        if (got == 0)
            return window == RTH_HTTP_HEAD_MAX ? bad(request, 431, "the head is too large") : 0;
        if (line.size_bytes == 0)
            break;
        if (count >= RTH_HTTP_HEADERS_MAX)
            return bad(request, 431, "too many headers");
        if (parse_header_line(head, line) != 0)
            return -1;
    }
    request->head_bytes = offset;
    return check_head(head) != 0 ? -1 : 1;
}

enum rth_http_result rth__http_request_parse(const char *data, size_t size_bytes,
                                             struct rth_http_request *request)
{
    memset(request, 0, sizeof(*request));
    struct head head = {.request = request};
    int got = size_bytes == 0 ? 0 : parse_head(data, size_bytes, &head);
    if (got < 0)
        return RTH_HTTP_BAD;
    if (got == 0)
        return RTH_HTTP_MORE;
    request->head_complete = true;
    request->total_bytes = request->head_bytes + request->body_bytes;
    if (size_bytes < request->total_bytes)
        return RTH_HTTP_MORE;
    if (request->body_bytes > 0) {
        request->body.data = data + request->head_bytes;
        request->body.size_bytes = request->body_bytes;
    }
    return RTH_HTTP_DONE;
}
