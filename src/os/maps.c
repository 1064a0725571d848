/* SPDX-License-Identifier: MIT */
#include "os/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/fd.h"
#include "os/procfs.h"
#include "os/text.h"

static bool parse_permission(struct rth_text *text, char set, char unset, uint32_t flag,
                             uint32_t *flags)
{
    if (rth__text_char(text, set)) {
        *flags |= flag;
        return true;
    }
    return rth__text_char(text, unset);
}

/* The kernel writes newlines as \012 and escapes nothing else, not even the backslash. */
static int decode_path(struct rth_text text, struct rth_map *map)
{
    static const char deleted_mark[] = " (deleted)";
    size_t length = 0, mark_length = sizeof(deleted_mark) - 1;
    while (!rth__text_at_end(&text)) {
        char character = *text.at;
        if (rth__text_prefix(&text, "\\012"))
            character = '\n';
        else
            text.at++;
        if (character == '\0' || length == sizeof(map->path) - 1)
            return -EBADMSG;
        map->path[length++] = character;
    }
    map->deleted = length > mark_length &&
                   memcmp(map->path + length - mark_length, deleted_mark, mark_length) == 0;
    if (map->deleted)
        length -= mark_length;
    map->path[length] = '\0';
    return 0;
}

int rth__map_line_parse(const char *line, size_t size_bytes, struct rth_map *ret_map)
{
    struct rth_text text = rth__text(line, size_bytes);
    uint64_t start, limit, offset, dev_major, dev_minor, inode;
    uint32_t flags = 0;
    bool good =
        rth__text_hex(&text, UINT64_MAX, &start) && rth__text_char(&text, '-') &&
        rth__text_hex(&text, UINT64_MAX, &limit) && rth__text_char(&text, ' ') && start < limit &&
        parse_permission(&text, 'r', '-', RTH_MAP_READ, &flags) &&
        parse_permission(&text, 'w', '-', RTH_MAP_WRITE, &flags) &&
        parse_permission(&text, 'x', '-', RTH_MAP_EXEC, &flags) &&
        parse_permission(&text, 's', 'p', RTH_MAP_SHARED, &flags) && rth__text_char(&text, ' ') &&
        rth__text_hex(&text, UINT64_MAX, &offset) && rth__text_char(&text, ' ') &&
        rth__text_hex(&text, UINT32_MAX, &dev_major) && rth__text_char(&text, ':') &&
        rth__text_hex(&text, UINT32_MAX, &dev_minor) && rth__text_char(&text, ' ') &&
        rth__text_uint(&text, UINT64_MAX, &inode) &&
        (rth__text_at_end(&text) || rth__text_char(&text, ' '));
    if (!good)
        return -EBADMSG;
    rth__text_skip_blanks(&text);
    /* The path goes in last, straight into the result: a copy of the struct would cost 4 KiB of
     * stack. Check it before: what decode_path refuses is a NUL or the length. */
    if (memchr(text.at, '\0', (size_t)(text.limit - text.at)) != NULL)
        return -EBADMSG;
    int result = decode_path(text, ret_map);
    if (result < 0)
        return result;
    ret_map->start = start;
    ret_map->limit = limit;
    ret_map->offset = offset;
    ret_map->inode = inode;
    ret_map->dev_major = (uint32_t)dev_major;
    ret_map->dev_minor = (uint32_t)dev_minor;
    ret_map->flags = flags;
    return 0;
}
