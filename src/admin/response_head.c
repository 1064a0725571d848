/* SPDX-License-Identifier: MIT */
#include "admin/response_head.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"

/* Appends until something does not fit; from then on nothing. */
struct head_text {
    char *data;
    size_t capacity_bytes;
    size_t used_bytes;
    bool overflowed;
};

static void add_bytes(struct head_text *text, const char *data, size_t size_bytes)
{
    if (text->overflowed || size_bytes > text->capacity_bytes - text->used_bytes) {
        text->overflowed = true;
        return;
    }
    memcpy(text->data + text->used_bytes, data, size_bytes);
    text->used_bytes += size_bytes;
}

static void add(struct head_text *text, const char *string)
{
    add_bytes(text, string, strlen(string));
}

/* A header value of foreign text: nothing in it may end the line; in quotes, nor the quotes. */
static void add_value(struct head_text *text, const char *value, bool is_quoted)
{
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool is_bad = c < ' ' || c == 0x7f || (is_quoted && (c == '"' || c == '\\'));
        add_bytes(text, is_bad ? "_" : value, 1);
    }
}

static void add_header(struct head_text *text, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    add(text, name);
    add(text, ": ");
    add_value(text, value, false);
    add(text, "\r\n");
}

const char *rth__response_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {100, "Continue"},
        {200, "OK"},
        {301, "Moved Permanently"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Request Entity Too Large"},
        {414, "Request URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].status == status)
            return rows[i].reason;
    }
    return "Status";
}

static void add_start(struct head_text *text, const struct rth_response_head *head)
{
    char line[96];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", head->status,
                   rth__response_reason(head->status));
    add(text, line);
    char date[RTH_HTTP_DATE_BYTES];
    rth__clock_http_date_sigsafe(head->unix_seconds, date);
    add_header(text, "Date", date);
}

static void add_framing(struct head_text *text, const struct rth_response_head *head)
{
    char number[24];
    bool closes = head->closes || head->framing == RTH_RESPONSE_UNTIL_CLOSE;
    if (head->framing == RTH_RESPONSE_LENGTH) {
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)head->body_bytes);
        add_header(text, "Content-Length", number);
    } else if (head->framing == RTH_RESPONSE_CHUNKED) {
        add_header(text, "Transfer-Encoding", "chunked");
    }
    if (closes)
        add_header(text, "Connection", "close");
    else if (head->http10)
        add_header(text, "Connection", "keep-alive");
}

int rth__response_head(const struct rth_response_head *head, char *buffer, size_t size_bytes)
{
    struct head_text text = {.data = buffer, .capacity_bytes = size_bytes};
    bool is_error = head->status >= 400;
    add_start(&text, head);
    add_header(&text, "Content-Type",
               head->content_type != NULL ? head->content_type : RTH_RESPONSE_ERROR_TYPE);
    add_header(&text, "X-Content-Type-Options", "nosniff");
    if (is_error && head->is_pprof)
        add_header(&text, "X-Go-Pprof", "1"); /* without it pprof hides the message */
    if (!is_error && head->attachment != NULL && head->attachment[0] != '\0') {
        add(&text, "Content-Disposition: attachment; filename=\"");
        add_value(&text, head->attachment, true);
        add(&text, "\"\r\n");
    }
    add_header(&text, "X-Rthooks-Clamped", head->clamped);
    if (head->status == 401)
        add_header(&text, "WWW-Authenticate", "Bearer");
    add_header(&text, "Allow", head->allow);
    add_header(&text, "Location", head->location);
    add_framing(&text, head);
    add(&text, "\r\n");
    return text.overflowed ? -ENOBUFS : (int)text.used_bytes;
}
