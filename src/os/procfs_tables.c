/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/fd.h"
#include "os/lines.h"
#include "os/procfs.h"
#include "os/procfs_path.h"
#include "os/scan.h"

int rth__proc_schedstat_parse(const char *text, size_t size_bytes,
                              struct rth_proc_schedstat *ret_schedstat)
{
    struct rth_proc_schedstat schedstat;
    struct rth_scan scan = {.at = text, .end = text + size_bytes};

    if (!rth__scan_uint(&scan, 10, UINT64_MAX, &schedstat.run_ns) || !rth__scan_char(&scan, ' ') ||
        !rth__scan_uint(&scan, 10, UINT64_MAX, &schedstat.wait_ns) || !rth__scan_char(&scan, ' ') ||
        !rth__scan_uint(&scan, 10, UINT64_MAX, &schedstat.slices))
        return -EBADMSG;
    /* Fields yet to come may follow; text that ends without a newline was cut. */
    if (rth__scan_at_end(&scan) || (*scan.at != ' ' && *scan.at != '\n') ||
        text[size_bytes - 1] != '\n')
        return -EBADMSG;
    *ret_schedstat = schedstat;
    return 0;
}

int rth__proc_schedstat_read(int root_fd, int pid, int tid,
                             struct rth_proc_schedstat *ret_schedstat)
{
    char text[256];
    ssize_t size_bytes = rth__proc_file_read(root_fd, pid, tid, "schedstat", text, sizeof(text));

    if (size_bytes < 0)
        return (int)size_bytes;
    return rth__proc_schedstat_parse(text, (size_t)size_bytes, ret_schedstat);
}

static bool scan_limit(struct rth_scan *line, uint64_t *ret_limit)
{
    rth__scan_blanks(line);
    if (rth__scan_text(line, "unlimited"))
        *ret_limit = RTH_PROC_UNLIMITED;
    else if (!rth__scan_uint(line, 10, UINT64_MAX, ret_limit))
        return false;
    return rth__scan_at_end(line) || *line->at == ' ';
}

int rth__proc_limits_parse(const char *text, size_t size_bytes, struct rth_proc_limits *ret_limits)
{
    struct rth_proc_limits limits;
    const struct {
        const char *name;
        uint64_t *soft, *hard;
    } rows[] = {
        {"Max open files ", &limits.open_files_soft, &limits.open_files_hard},
        {"Max address space ", &limits.address_space_soft, &limits.address_space_hard},
        {"Max pending signals ", &limits.sigpending_soft, &limits.sigpending_hard},
    };
    const size_t row_count = sizeof(rows) / sizeof(rows[0]);
    struct rth_scan scan = {.at = text, .end = text + size_bytes};
    unsigned seen = 0;

    while (!rth__scan_at_end(&scan)) {
        struct rth_scan line;

        if (!rth__scan_line(&scan, &line))
            return -EBADMSG;
        for (size_t i = 0; i < row_count; i++) {
            if (!rth__scan_text(&line, rows[i].name))
                continue;
            if (seen & (1u << i))
                return -EBADMSG;
            seen |= 1u << i;
            if (!scan_limit(&line, rows[i].soft) || !scan_limit(&line, rows[i].hard))
                return -EBADMSG;
            break;
        }
    }
    if (seen != (1u << row_count) - 1)
        return -EBADMSG;
    *ret_limits = limits;
    return 0;
}

int rth__proc_limits_read(int root_fd, int pid, struct rth_proc_limits *ret_limits)
{
    char text[4096];
    ssize_t size_bytes = rth__proc_file_read(root_fd, pid, 0, "limits", text, sizeof(text));

    if (size_bytes < 0)
        return (int)size_bytes;
    return rth__proc_limits_parse(text, (size_t)size_bytes, ret_limits);
}

/* The next word of a line, which blanks end; false at the end of the line. */
static bool scan_word(struct rth_scan *line, struct rth_scan *ret_word)
{
    rth__scan_blanks(line);
    ret_word->at = line->at;
    while (line->at < line->end && *line->at != ' ')
        line->at++;
    ret_word->end = line->at;
    return ret_word->at < ret_word->end;
}

static bool word_is(const struct rth_scan *word, const char *wanted)
{
    size_t size_bytes = strlen(wanted);

    return (size_t)(word->end - word->at) == size_bytes &&
           memcmp(word->at, wanted, size_bytes) == 0;
}

/* "IpExt:" comes on two lines, names and values in the same order. The first is gone from the
 * buffer when the second arrives, so what is kept of it is where the two names stood. */
struct ip_ext {
    int lines_seen;
    int column_count;
    int in_column, out_column; /* from 1; 0: not there */
    struct rth_proc_netstat netstat;
};

static bool scan_ip_ext_names(struct rth_scan line, struct ip_ext *ip_ext)
{
    struct rth_scan word;

    while (scan_word(&line, &word)) {
        int *column = word_is(&word, "InOctets")    ? &ip_ext->in_column
                      : word_is(&word, "OutOctets") ? &ip_ext->out_column
                                                    : NULL;

        ip_ext->column_count++;
        if (!column)
            continue;
        if (*column != 0)
            return false;
        *column = ip_ext->column_count;
    }
    return ip_ext->in_column != 0 && ip_ext->out_column != 0;
}

static bool scan_ip_ext_values(struct rth_scan line, struct ip_ext *ip_ext)
{
    struct rth_scan word;
    int column = 0;

    while (scan_word(&line, &word)) {
        column++;
        if (column != ip_ext->in_column && column != ip_ext->out_column)
            continue;
        if (!rth__scan_uint(&word, 10, UINT64_MAX,
                            column == ip_ext->in_column ? &ip_ext->netstat.in_octets
                                                        : &ip_ext->netstat.out_octets) ||
            !rth__scan_at_end(&word))
            return false;
    }
    return column == ip_ext->column_count;
}

static int find_ip_ext(struct rth_lines *lines, struct rth_proc_netstat *ret_netstat)
{
    struct ip_ext ip_ext = {0};
    const char *text;
    size_t size_bytes;
    int result;

    while ((result = rth__lines_next(lines, &text, &size_bytes)) != 0) {
        if (result == -EMSGSIZE)
            continue;
        if (result < 0)
            return result;

        struct rth_scan line = {.at = text, .end = text + size_bytes};
        if (!rth__scan_text(&line, "IpExt:"))
            continue;
        ip_ext.lines_seen++;
        bool good = ip_ext.lines_seen == 1   ? scan_ip_ext_names(line, &ip_ext)
                    : ip_ext.lines_seen == 2 ? scan_ip_ext_values(line, &ip_ext)
                                             : false;
        if (!good)
            return -EBADMSG;
    }
    if (ip_ext.lines_seen != 2)
        return -EBADMSG;
    *ret_netstat = ip_ext.netstat;
    return 0;
}

int rth__proc_netstat_parse(const char *text, size_t size_bytes,
                            struct rth_proc_netstat *ret_netstat)
{
    struct rth_lines lines;

    rth__lines_of_text(&lines, text, size_bytes);
    return find_ip_ext(&lines, ret_netstat);
}

int rth__proc_netstat_read(int root_fd, int pid, struct rth_proc_netstat *ret_netstat)
{
    /* The two lines of IpExt are some hundred bytes; those of TCP, which may not fit, are passed
     * over. */
    char path[RTH_PROC_PATH_BYTES], buffer[2048];
    struct rth_lines lines;

    rth__proc_path(pid, 0, "net/netstat", path);
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    rth__lines_of_fd(&lines, fd, buffer, sizeof(buffer));
    return find_ip_ext(&lines, ret_netstat);
}

/* "btime SECONDS" of a line; 0 where it is another line, 1 or -EBADMSG. */
static int scan_boot_time(const char *line, size_t size_bytes, uint64_t *ret_boot_time_s)
{
    struct rth_scan scan = {.at = line, .end = line + size_bytes};

    if (!rth__scan_text(&scan, "btime "))
        return 0;
    return rth__scan_uint(&scan, 10, INT64_MAX, ret_boot_time_s) && rth__scan_at_end(&scan)
               ? 1
               : -EBADMSG;
}

static int find_boot_time(struct rth_lines *lines, uint64_t *ret_boot_time_s)
{
    uint64_t boot_time_s = 0;
    bool seen = false;
    const char *line;
    size_t size_bytes;
    int result;

    while ((result = rth__lines_next(lines, &line, &size_bytes)) != 0) {
        if (result == -EMSGSIZE)
            continue;
        if (result < 0)
            return result;
        result = scan_boot_time(line, size_bytes, &boot_time_s);
        if (result < 0 || (result == 1 && seen))
            return -EBADMSG;
        seen |= result == 1;
    }
    if (!seen)
        return -EBADMSG;
    *ret_boot_time_s = boot_time_s;
    return 0;
}

int rth__proc_boot_time_parse(const char *text, size_t size_bytes, uint64_t *ret_boot_time_s)
{
    struct rth_lines lines;

    rth__lines_of_text(&lines, text, size_bytes);
    return find_boot_time(&lines, ret_boot_time_s);
}

int rth__proc_boot_time_read(int root_fd, uint64_t *ret_boot_time_s)
{
    /* A line for each CPU and one with a number for each interrupt: of any length, so it is read
     * by lines and what doesn't fit is passed over. */
    char buffer[1024];
    struct rth_lines lines;
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, "proc/stat", O_RDONLY);

    if (fd < 0)
        return fd;
    rth__lines_of_fd(&lines, fd, buffer, sizeof(buffer));
    return find_boot_time(&lines, ret_boot_time_s);
}
