/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_MAPS_H
#define RTH_OS_MAPS_H

/* Lines of /proc/PID/maps, read in pieces through a fixed buffer: no allocation, any length. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/lines.h"

#define RTH_MAPS_PATH_BYTES 4096

#define RTH_MAP_READ   1u
#define RTH_MAP_WRITE  2u
#define RTH_MAP_EXEC   4u
#define RTH_MAP_SHARED 8u

struct rth_map {
    uint64_t start, limit, offset;
    uint64_t inode;
    uint32_t dev_major, dev_minor;
    uint32_t flags;                 /* RTH_MAP_* */
    bool deleted;                   /* " (deleted)" stripped from path */
    char path[RTH_MAPS_PATH_BYTES]; /* "" for anonymous, "[vdso]" and the like kept */
};

/* One line without its newline. 0 or -EBADMSG. */
int rth__map_line_parse(const char *line, size_t size_bytes, struct rth_map *ret_map);

/* Not to be copied while open. */
struct rth_maps_reader {
    struct rth_lines lines;
    char buffer[8192];
    struct rth_map map; /* the current line */
};
int rth__maps_open(struct rth_maps_reader *reader, int root_fd, int pid);
/* 1 with reader->map filled, 0 at the end, negative errno. After -EBADMSG (a bad line, or one whose
 * path is longer than RTH_MAPS_PATH_BYTES) it may be called again and goes on with the next line.
 */
int rth__maps_next(struct rth_maps_reader *reader);
void rth__maps_close(struct rth_maps_reader *reader);

#endif /* RTH_OS_MAPS_H */
