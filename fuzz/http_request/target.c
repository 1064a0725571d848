/* SPDX-License-Identifier: MIT */
/*
 * The request reader on arbitrary bytes. Beyond memory safety: the answer for a prefix never
 * contradicts the answer for the whole, and every text lies inside the buffer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct rth_http_text text, const char *start, size_t size)
{
    if (text.data != NULL && (text.data < start || text.data + text.size_bytes > start + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An exact copy, so that a read past the end is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    static struct rth_http_request request, prefix;
    enum rth_http_result whole = rth__http_request_parse(copy, size, &request);
    if (whole == RTH_HTTP_BAD && (request.error_status < 400 || request.error_text == NULL))
        abort();
    if (whole == RTH_HTTP_DONE) {
        if (request.total_bytes > size || request.path[0] != '/')
            abort();
        check_inside(request.raw_path, copy, size);
        check_inside(request.query, copy, size);
        check_inside(request.host, copy, size);
        check_inside(request.authorization, copy, size);
        check_inside(request.accept, copy, size);
        check_inside(request.body, copy, size);
        /* All but the last byte of a good request is the start of a good request. */
        if (rth__http_request_parse(copy, request.total_bytes - 1, &prefix) != RTH_HTTP_MORE)
            abort();
    }
    if (whole == RTH_HTTP_MORE && size > 0 &&
        rth__http_request_parse(copy, size / 2, &prefix) != RTH_HTTP_MORE)
        abort();
    free(copy);
    return 0;
}
