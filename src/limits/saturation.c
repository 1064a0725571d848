/* SPDX-License-Identifier: MIT */
#include "limits/saturation.h"

#include <errno.h>
#include <string.h>

#include "os/clock.h"
#include "os/scan.h"
#include "rthooks/limits.h"

#define LIMIT_MAX_S (24 * 60 * 60)

int rth__saturation_parse(const char *text, int64_t *ret_limit_ns)
{
    if (strcmp(text, "off") == 0) {
        *ret_limit_ns = 0;
        return 0;
    }
    struct rth_scan scan = {text, text + strlen(text)};
    uint64_t number;
    if (!rth__scan_uint(&scan, 10, LIMIT_MAX_S, &number) || number == 0)
        return -EINVAL;
    uint64_t unit_s = rth__scan_char(&scan, 's') ? 1 : rth__scan_char(&scan, 'm') ? 60 : 0;
    if (unit_s == 0 || !rth__scan_at_end(&scan) || number > LIMIT_MAX_S / unit_s)
        return -EINVAL;
    *ret_limit_ns = (int64_t)(number * unit_s) * RTH_NS_PER_S;
    return 0;
}

bool rth__saturation_look(struct rth_saturation *saturation, int state, int64_t limit_ns,
                          uint64_t seed, int64_t now_ns)
{
    if (state < RTH_MEMORY_CRITICAL) {
        saturation->since_ns = 0;
        return false;
    }
    if (saturation->since_ns == 0)
        saturation->since_ns = now_ns;
    if (limit_ns == 0 || saturation->is_over)
        return false;
    uint64_t mixed = seed * UINT64_C(0x9e3779b97f4a7c15) >> 16;
    int64_t later_ns = (int64_t)(mixed % (uint64_t)(limit_ns / 5 + 1));
    if (now_ns - saturation->since_ns < limit_ns + later_ns)
        return false;
    saturation->is_over = true;
    return true;
}
