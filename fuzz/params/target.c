/* SPDX-License-Identifier: MIT */
/* Query parameters on arbitrary bytes: first half the query, second half a form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t query_bytes = size / 2;
    char *query = malloc(query_bytes + 1), *form = malloc(size - query_bytes + 1);
    if (query != NULL && form != NULL) {
        memcpy(query, data, query_bytes);
        memcpy(form, data + query_bytes, size - query_bytes);
        struct rth_params params = {query, query_bytes, form, size - query_bytes};
        char value[64];
        int length = rth__params_get(&params, "seconds", value, sizeof(value));
        if (length >= 0 && strlen(value) != (size_t)length)
            abort();
        if (length >= 0 && !rth__params_has(&params, "seconds"))
            abort();
        int64_t number;
        (void)rth__params_int64(&params, "a", &number);
    }
    free(query);
    free(form);
    return 0;
}
