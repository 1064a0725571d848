/* SPDX-License-Identifier: MIT */
#include "os/cgroup_parse.h"

#include <errno.h>
#include <string.h>

#include "os/scan.h"

/* The one line that most files are, without its newline. */
static bool whole_line(const char *text, size_t size_bytes, struct rth_scan *ret_line)
{
    struct rth_scan scan = {text, text + size_bytes};
    return rth__scan_line(&scan, ret_line) && rth__scan_at_end(&scan);
}

static bool is_max(struct rth_scan *line)
{
    return rth__scan_text(line, "max");
}

int rth__cgroup_number_parse(const char *text, size_t size_bytes, uint64_t *ret_number)
{
    struct rth_scan line;
    uint64_t number;

    if (!whole_line(text, size_bytes, &line) || !rth__scan_uint(&line, 10, INT64_MAX, &number) ||
        !rth__scan_at_end(&line))
        return -EBADMSG;
    *ret_number = number;
    return 0;
}

int rth__cgroup_memory_limit_parse(const char *text, size_t size_bytes, uint64_t *ret_bytes)
{
    struct rth_scan line;
    uint64_t bytes;

    if (!whole_line(text, size_bytes, &line))
        return -EBADMSG;
    if (is_max(&line))
        return rth__scan_at_end(&line) ? 0 : -EBADMSG;
    if (!rth__scan_uint(&line, 10, INT64_MAX, &bytes) || !rth__scan_at_end(&line))
        return -EBADMSG;
    if (bytes >= RTH_CGROUP_NO_LIMIT_BYTES)
        return 0;
    *ret_bytes = bytes;
    return 1;
}

int rth__cgroup_cpu_max_parse(const char *text, size_t size_bytes, uint64_t *ret_quota_us,
                              uint64_t *ret_period_us)
{
    struct rth_scan line;
    uint64_t quota_us = 0, period_us;

    if (!whole_line(text, size_bytes, &line))
        return -EBADMSG;
    bool is_unlimited = is_max(&line);
    if ((!is_unlimited && !rth__scan_uint(&line, 10, INT64_MAX, &quota_us)) ||
        !rth__scan_char(&line, ' ') || !rth__scan_uint(&line, 10, INT64_MAX, &period_us) ||
        !rth__scan_at_end(&line) || period_us == 0 || (!is_unlimited && quota_us == 0))
        return -EBADMSG;
    if (is_unlimited)
        return 0;
    *ret_quota_us = quota_us;
    *ret_period_us = period_us;
    return 1;
}

int rth__cgroup_cfs_quota_parse(const char *text, size_t size_bytes, uint64_t *ret_quota_us)
{
    struct rth_scan line;
    int64_t quota_us;

    if (!whole_line(text, size_bytes, &line) || !rth__scan_int64(&line, &quota_us) ||
        !rth__scan_at_end(&line) || quota_us < -1 || quota_us == 0)
        return -EBADMSG;
    if (quota_us == -1)
        return 0;
    *ret_quota_us = (uint64_t)quota_us;
    return 1;
}

bool rth__cgroup_word_is_in(const char *text, size_t size_bytes, const char *word)
{
    const size_t word_bytes = strlen(word);
    const char *end = text + size_bytes;

    while (text < end) {
        const char *start = text;
        while (text < end && *text != ' ' && *text != '\n')
            text++;
        if ((size_t)(text - start) == word_bytes && memcmp(start, word, word_bytes) == 0)
            return true;
        text += text < end;
    }
    return false;
}

/* The key of ours that a line begins with, the cursor behind its blank; count when it is none. */
static unsigned scan_key(struct rth_scan *line, const struct rth_cgroup_key *keys, unsigned count)
{
    const char *blank = memchr(line->at, ' ', (size_t)(line->end - line->at));
    if (blank == NULL)
        return count;
    const size_t size_bytes = (size_t)(blank - line->at);
    for (unsigned i = 0; i < count; i++) {
        if (keys[i].size_bytes == size_bytes && memcmp(keys[i].name, line->at, size_bytes) == 0) {
            line->at = blank + 1;
            return i;
        }
    }
    return count;
}

int rth__cgroup_keys_parse(const char *text, size_t size_bytes, const struct rth_cgroup_key *keys,
                           unsigned count, uint64_t *values)
{
    struct rth_scan scan = {text, text + size_bytes}, line;
    int known = 0;

    for (unsigned i = 0; i < count; i++)
        known += values[i] != UINT64_MAX;
    while (!rth__scan_at_end(&scan)) {
        if (!rth__scan_line(&scan, &line))
            return -EBADMSG;
        if (line.at == line.end)
            continue;
        unsigned key = scan_key(&line, keys, count);
        if (key == count)
            continue;
        uint64_t value;
        if (values[key] != UINT64_MAX || !rth__scan_uint(&line, 10, INT64_MAX, &value) ||
            !rth__scan_at_end(&line))
            return -EBADMSG;
        values[key] = value;
        known++;
    }
    return known;
}

int rth__meminfo_total_parse(const char *text, size_t size_bytes, uint64_t *ret_total_bytes)
{
    struct rth_scan scan = {text, text + size_bytes}, line;
    uint64_t total_kib;

    while (rth__scan_line(&scan, &line)) {
        if (!rth__scan_text(&line, "MemTotal:"))
            continue;
        rth__scan_blanks(&line);
        if (!rth__scan_uint(&line, 10, INT64_MAX / 1024, &total_kib) ||
            !rth__scan_text(&line, " kB") || !rth__scan_at_end(&line))
            return -EBADMSG;
        *ret_total_bytes = total_kib * 1024;
        return 0;
    }
    return -EBADMSG;
}

int rth__cpus_mask_parse(const char *text, size_t size_bytes, struct rth_cpus *ret_cpus)
{
    struct rth_scan scan = {text, text + size_bytes};
    unsigned groups = 1;

    memset(ret_cpus, 0, sizeof(*ret_cpus));
    for (size_t i = 0; i < size_bytes; i++)
        groups += text[i] == ',';
    if (groups > RTH_CPUS_WORDS)
        return -EBADMSG;
    for (;;) {
        uint64_t word;
        if (!rth__scan_uint(&scan, 16, UINT32_MAX, &word))
            return -EBADMSG;
        ret_cpus->words[--groups] = (uint32_t)word;
        if (groups == 0)
            return rth__scan_at_end(&scan) ? 0 : -EBADMSG;
        if (!rth__scan_char(&scan, ','))
            return -EBADMSG;
    }
}

int rth__cpus_list_parse(const char *text, size_t size_bytes, struct rth_cpus *ret_cpus)
{
    struct rth_scan line;
    const uint64_t last_cpu = RTH_CPUS_WORDS * 32 - 1;

    memset(ret_cpus, 0, sizeof(*ret_cpus));
    if (!whole_line(text, size_bytes, &line))
        return -EBADMSG;
    while (!rth__scan_at_end(&line)) {
        uint64_t first, last;
        if (!rth__scan_uint(&line, 10, last_cpu, &first))
            return -EBADMSG;
        last = first;
        if (rth__scan_char(&line, '-') && !rth__scan_uint(&line, 10, last_cpu, &last))
            return -EBADMSG;
        if (last < first)
            return -EBADMSG;
        for (uint64_t cpu = first; cpu <= last; cpu++)
            ret_cpus->words[cpu / 32] |= UINT32_C(1) << cpu % 32;
        /* A comma only between two. */
        if (!rth__scan_at_end(&line) && (!rth__scan_char(&line, ',') || rth__scan_at_end(&line)))
            return -EBADMSG;
    }
    return 0;
}
