/* SPDX-License-Identifier: MIT */
#include "episode/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/scan.h"

#define PREFIX "episode-"

static bool is_lower(char character)
{
    return character >= 'a' && character <= 'z';
}

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

bool rth__episode_trigger_name_ok(const char *text)
{
    size_t length = strnlen(text, RTH_EPISODE_TRIGGER_BYTES);
    if (length == RTH_EPISODE_TRIGGER_BYTES || !is_lower(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    return true;
}

int rth__episode_name_make(int64_t unix_s, int pid, uint32_t number, const char *trigger,
                           struct rth_episode_name *ret_name)
{
    if (unix_s < 0 || pid < 0 || !rth__episode_trigger_name_ok(trigger))
        return -EINVAL;
    struct rth_episode_name name = {.unix_s = unix_s, .pid = pid, .number = number};
    (void)snprintf(name.trigger, sizeof(name.trigger), "%s", trigger);
    (void)snprintf(name.id, sizeof(name.id), PREFIX "%lld-%d-%u-%s", (long long)unix_s, pid, number,
                   trigger);
    *ret_name = name;
    return 0;
}

bool rth__episode_name_parse(const char *text, struct rth_episode_name *ret_name)
{
    size_t length = strnlen(text, RTH_EPISODE_ID_BYTES + sizeof(RTH_EPISODE_PARTIAL));
    size_t tail = sizeof(RTH_EPISODE_PARTIAL) - 1;
    bool is_partial = length > tail && strcmp(text + length - tail, RTH_EPISODE_PARTIAL) == 0;
    length -= is_partial ? tail : 0;
    if (length >= RTH_EPISODE_ID_BYTES)
        return false;
    struct rth_scan scan = {text, text + length};
    uint64_t unix_s, number;
    int pid;
    if (!rth__scan_text(&scan, PREFIX) || !rth__scan_uint(&scan, 10, INT64_MAX, &unix_s) ||
        !rth__scan_char(&scan, '-') || !rth__scan_id(&scan, &pid) || !rth__scan_char(&scan, '-') ||
        !rth__scan_uint(&scan, 10, UINT32_MAX, &number) || !rth__scan_char(&scan, '-'))
        return false;
    size_t left = (size_t)(scan.end - scan.at);
    char trigger[RTH_EPISODE_TRIGGER_BYTES];
    if (left >= sizeof(trigger))
        return false;
    memcpy(trigger, scan.at, left);
    trigger[left] = '\0';
    struct rth_episode_name name;
    /* Made again, so that what has other digits for the same number is refused. */
    if (rth__episode_name_make((int64_t)unix_s, pid, (uint32_t)number, trigger, &name) != 0 ||
        strlen(name.id) != length || memcmp(name.id, text, length) != 0)
        return false;
    name.is_partial = is_partial;
    *ret_name = name;
    return true;
}

void rth__episode_name_folder(const struct rth_episode_name *name,
                              char ret_folder[RTH_EPISODE_ID_BYTES + 8])
{
    (void)snprintf(ret_folder, RTH_EPISODE_ID_BYTES + 8, "%s%s", name->id,
                   name->is_partial ? RTH_EPISODE_PARTIAL : "");
}

bool rth__episode_file_name_ok(const char *text)
{
    size_t length = strnlen(text, RTH_EPISODE_FILE_BYTES);
    if (length == 0 || length == RTH_EPISODE_FILE_BYTES || text[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        char lower = (char)(text[i] | 0x20);
        if (!is_lower(lower) && !is_digit(text[i]) && text[i] != '.' && text[i] != '_' &&
            text[i] != '-')
            return false;
    }
    return true;
}
