/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_PROGRAM_CHECK_H
#define RTH_TOOLS_CLIENT_PROGRAM_CHECK_H

/*
 * Would a preload reach this program? One answer for `rthooks run`, which refuses, and for
 * `rthooks doctor FILE`, which explains. Nothing is started; the file that matters is the last
 * of a chain of `#!` interpreters.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "formats/elf.h"

#define PROGRAM_SCRIPTS_MAX 4 /* what the kernel follows */

enum program_verdict {
    PROGRAM_HOOKABLE, /* a dynamic program of our libc and machine */
    PROGRAM_STATIC,   /* runs, unhooked; hooks start in what it execs */
    PROGRAM_REFUSED,  /* cannot work; reason says why */
};

struct program_check {
    enum program_verdict verdict;
    char reason[PATH_MAX + 512]; /* one line; "" when hookable */
    char program[PATH_MAX];      /* the ELF file at the end of the chain */
    int scripts;                 /* how many `#!` files led there */
    bool through_shell;          /* neither ELF nor `#!`: the shell reads it, as with execvp */
    bool has_facts;              /* facts are valid */
    struct rth_elf_facts facts;  /* of program */
};

/*
 * Finds a program as execvp does: a name with '/' as it is, others in the folders of path_variable
 * (NULL: the system's default). Returns 0, or a negative errno: -EACCES when only files that
 * cannot be executed were found, -ENOENT.
 */
int program_find(const char *name, const char *path_variable, char *ret_path, size_t path_size);

/* Checks the program at path for the calling process's user. */
void program_check(const char *path, struct program_check *ret_check);

#endif /* RTH_TOOLS_CLIENT_PROGRAM_CHECK_H */
