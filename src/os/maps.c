/* SPDX-License-Identifier: MIT */
#include "os/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/fd.h"
#include "os/procfs_path.h"
#include "os/rawsys.h"
#include "os/scan.h"

static bool scan_permission(struct rth_scan *scan, char set, char unset, uint32_t flag,
                            uint32_t *flags)
{
    if (rth__scan_char(scan, set)) {
        *flags |= flag;
        return true;
    }
    return rth__scan_char(scan, unset);
}

static bool scan_uint_and(struct rth_scan *scan, unsigned base, uint64_t limit, char separator,
                          uint64_t *ret_value)
{
    return rth__scan_uint(scan, base, limit, ret_value) && rth__scan_char(scan, separator);
}

/* The kernel writes a newline as \012 and escapes nothing else, not even the backslash. */
static char next_character(struct rth_scan *scan)
{
    return rth__scan_text(scan, "\\012") ? '\n' : *scan->at++;
}

/* Length of the decoded path, without the mark of a deleted file; -EBADMSG where it does not fit.
 */
static int measure_path(struct rth_scan scan, bool *ret_deleted)
{
    static const char mark[] = " (deleted)"; /* no character of it is ever escaped */
    const ptrdiff_t mark_bytes = sizeof(mark) - 1;
    *ret_deleted = scan.end - scan.at > mark_bytes &&
                   memcmp(scan.end - mark_bytes, mark, (size_t)mark_bytes) == 0;
    if (*ret_deleted)
        scan.end -= mark_bytes;
    int length = 0;
    while (!rth__scan_at_end(&scan)) {
        if (next_character(&scan) == '\0' || ++length == RTH_MAPS_PATH_BYTES)
            return -EBADMSG;
    }
    return length;
}

int rth__map_line_parse(const char *line, size_t size_bytes, struct rth_map *ret_map)
{
    struct rth_scan scan = {.at = line, .end = line + size_bytes};
    uint64_t start, limit, offset, dev_major, dev_minor, inode;
    uint32_t flags = 0;
    bool deleted;
    bool good = scan_uint_and(&scan, 16, UINT64_MAX, '-', &start) &&
                scan_uint_and(&scan, 16, UINT64_MAX, ' ', &limit) && start < limit &&
                scan_permission(&scan, 'r', '-', RTH_MAP_READ, &flags) &&
                scan_permission(&scan, 'w', '-', RTH_MAP_WRITE, &flags) &&
                scan_permission(&scan, 'x', '-', RTH_MAP_EXEC, &flags) &&
                scan_permission(&scan, 's', 'p', RTH_MAP_SHARED, &flags) &&
                rth__scan_char(&scan, ' ') && scan_uint_and(&scan, 16, UINT64_MAX, ' ', &offset) &&
                scan_uint_and(&scan, 16, UINT32_MAX, ':', &dev_major) &&
                scan_uint_and(&scan, 16, UINT32_MAX, ' ', &dev_minor) &&
                rth__scan_uint(&scan, 10, UINT64_MAX, &inode) &&
                (rth__scan_at_end(&scan) || *scan.at == ' ');
    if (!good)
        return -EBADMSG;
    rth__scan_blanks(&scan);
    int length = measure_path(scan, &deleted);
    if (length < 0)
        return length;
    /* Measured before: a local struct to commit from would take 4 KiB of a small stack. */
    for (int i = 0; i < length; i++)
        ret_map->path[i] = next_character(&scan);
    ret_map->path[length] = '\0';
    ret_map->start = start;
    ret_map->limit = limit;
    ret_map->offset = offset;
    ret_map->inode = inode;
    ret_map->dev_major = (uint32_t)dev_major;
    ret_map->dev_minor = (uint32_t)dev_minor;
    ret_map->flags = flags;
    ret_map->deleted = deleted;
    return 0;
}

int rth__maps_open(struct rth_maps_reader *reader, int root_fd, int pid)
{
    char path[RTH_PROC_PATH_BYTES];
    /* Our own by way of this thread: once the main thread has ended, /proc/self/maps is empty. */
    rth__proc_path(pid, pid == 0 ? rth__raw_gettid_sigsafe() : 0, "maps", path);
    int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    rth__lines_of_fd(&reader->lines, fd, reader->buffer, sizeof(reader->buffer));
    return 0;
}

int rth__maps_next(struct rth_maps_reader *reader)
{
    const char *line;
    size_t size_bytes;
    int result = rth__lines_next(&reader->lines, &line, &size_bytes);
    if (result == -EMSGSIZE)
        return -EBADMSG;
    if (result <= 0)
        return result;
    result = rth__map_line_parse(line, size_bytes, &reader->map);
    return result < 0 ? result : 1;
}

void rth__maps_close(struct rth_maps_reader *reader)
{
    reader->lines.fd = rth__close(reader->lines.fd);
}
