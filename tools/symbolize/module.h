/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_SYMBOLIZE_MODULE_H
#define RTH_TOOLS_SYMBOLIZE_MODULE_H

/*
 * One mapping of a profile and the addresses in it to be named, and the answer's form: records that
 * the child of isolate.h writes and its parent reads. All numbers are little-endian as the machine
 * has them; both ends are the same program.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct module_request {
    const char *file;     /* as the mapping names it */
    const char *build_id; /* "": the mapping has none */
    uint64_t start, file_offset;
    const uint64_t *addresses; /* ascending, as the profile has them */
    size_t address_count;
    /* Where to look. */
    pid_t pid;             /* its file system first; 0: none */
    const char *debug_dir; /* NULL: none */
    bool debuginfod;
};

enum module_outcome {
    MODULE_LINES,   /* there is debug information */
    MODULE_SYMBOLS, /* names alone */
    MODULE_NOT_FOUND,
    MODULE_MISMATCH, /* a file of that name, but another build */
    MODULE_BROKEN,   /* found, and not readable */
};

enum module_record {
    RECORD_OUTCOME = 'O', /* u8 outcome, text: why or where */
    RECORD_FRAMES = 'F',  /* u32 number of the address, u32 count, then count times: i64 line,
                             text name, text file; innermost first */
    RECORD_END = 'E',     /* the answer is whole */
};

/* Text is u32 length and bytes. Lengths and counts above these are refused. */
#define MODULE_TEXT_BYTES_MAX 65535u
#define MODULE_FRAMES_MAX     1024u

/* In the child: finds the files, reads them, writes the records. request: struct module_request. */
void module_symbolize(void *request, FILE *out);

/* A file of the module, checked by its build-id. */
enum module_file_kind { FILE_PROGRAM, FILE_DEBUG };

/*
 * Looks for the module's file, or for the file with its debug information, in every place the
 * documentation lists. Returns MODULE_SYMBOLS with ret_path; or MODULE_NOT_FOUND or MODULE_MISMATCH
 * with ret_path saying why.
 */
enum module_outcome module_find(const struct module_request *request, enum module_file_kind kind,
                                char ret_path[static PATH_MAX]);

#endif /* RTH_TOOLS_SYMBOLIZE_MODULE_H */
