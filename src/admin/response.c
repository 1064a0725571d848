/* SPDX-License-Identifier: MIT */
#include "admin/response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "rthooks/base.h"

const char *rth__response_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } rows[] = {
        {200, "OK"},
        {202, "Accepted"},
        {301, "Moved Permanently"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].status == status)
            return rows[i].phrase;
    }
    return "Error";
}

int rth__response_status_of(int error)
{
    switch (error) {
    case -EINVAL:
        return 400;
    case -ENOENT:
        return 404;
    case -ENOTSUP:
    case -ENOSYS:
        return 501;
    case -EBUSY:
    case -ENOMEM:
    case -ENOBUFS:
    case -EFBIG:
    case -ECANCELED:
        return 503;
    default:
        return 500;
    }
}

struct text {
    char *data;
    size_t used_bytes;
};

static void add(struct text *text, const char *format, ...) RTH_PRINTF(2, 3);
static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t left_bytes = RTH_RESPONSE_HEAD_BYTES - text->used_bytes;
    int length = vsnprintf(text->data + text->used_bytes, left_bytes, format, arguments);
    va_end(arguments);
    /* The field sizes of struct rth_answer keep the whole below the buffer's size. */
    if (length > 0 && (size_t)length < left_bytes)
        text->used_bytes += (size_t)length;
}

/* A value an artefact chose; it must not be able to add header lines. */
static void add_value(struct text *text, const char *name, const char *before, const char *value,
                      const char *after)
{
    char clean[128];
    size_t length = 0;
    for (; value[length] != '\0' && length + 1 < sizeof(clean); length++) {
        unsigned char c = (unsigned char)value[length];
        clean[length] = c < ' ' || c == 0x7f || (*before != '\0' && c == '"') ? '?' : (char)c;
    }
    clean[length] = '\0';
    add(text, "%s: %s%s%s\r\n", name, before, clean, after);
}

size_t rth__response_head(char ret_head[RTH_RESPONSE_HEAD_BYTES], const struct rth_answer *answer,
                          enum rth_response_framing framing, uint64_t content_length,
                          bool keep_alive)
{
    struct text text = {.data = ret_head};
    char date[RTH_HTTP_DATE_BYTES];
    rth__clock_http_date_sigsafe(rth__clock_realtime_ns_sigsafe() / RTH_NS_PER_S, date);
    add(&text, "HTTP/1.1 %d %s\r\nDate: %s\r\n", answer->status,
        rth__response_phrase(answer->status), date);
    add_value(&text, "Content-Type", "", answer->content_type, "");
    add(&text, "X-Content-Type-Options: nosniff\r\n");
    if (answer->filename[0] != '\0')
        add_value(&text, "Content-Disposition", "attachment; filename=\"", answer->filename, "\"");
    if (answer->clamped[0] != '\0')
        add_value(&text, "X-Rthooks-Clamped", "", answer->clamped, "");
    if (answer->allow != NULL)
        add(&text, "Allow: %s\r\n", answer->allow);
    if (answer->location != NULL)
        add(&text, "Location: %s\r\n", answer->location);
    if (answer->go_pprof_error)
        add(&text, "X-Go-Pprof: 1\r\n");
    if (answer->ask_for_token)
        add(&text, "WWW-Authenticate: Bearer\r\n");
    if (framing == RTH_FRAMING_LENGTH)
        add(&text, "Content-Length: %" PRIu64 "\r\n", content_length);
    else if (framing == RTH_FRAMING_CHUNKED)
        add(&text, "Transfer-Encoding: chunked\r\n");
    add(&text, "Connection: %s\r\n\r\n", keep_alive ? "keep-alive" : "close");
    return text.used_bytes;
}
