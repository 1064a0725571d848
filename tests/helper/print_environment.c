/* SPDX-License-Identifier: MIT */
/*
 * Prints docs/environment.md from the option rows of the library, so that the document, the check
 * of `rthooks run` and the config route can only say the same.
 */

#include <stdio.h>

#include <rthooks/rthooks.h>

/* A '|' inside a cell would end it. */
static void print_cell(const char *text)
{
    putchar(' ');
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
    fputs(" |", stdout);
}

static void print_code_cell(const char *text)
{
    char cell[1024];
    (void)snprintf(cell, sizeof(cell), *text ? "`%s`" : "%s", text);
    print_cell(cell);
}

static int print_row(const char *variable, const char *grammar, const char *default_text,
                     const char *doc, void *userdata)
{
    size_t *rows = userdata;
    *rows += 1;
    putchar('|');
    print_code_cell(variable);
    print_cell(grammar ? grammar : "");
    print_code_cell(default_text ? default_text : "");
    print_cell(doc ? doc : "");
    putchar('\n');
    return 0;
}

int main(void)
{
    size_t rows = 0;
    puts("# Environment variables\n\n"
         "<!-- Written by scripts/gen-environment-docs from the option rows; do not edit. -->\n\n"
         "A setter of the API comes before the environment, the environment before `struct "
         "rth_opts`, that before the default. A malformed value makes `rthooks run` exit with 2 "
         "before the program starts and `rth_start` return `-EINVAL`; a program that is already "
         "starting goes on without the capability, and its status says why. All of them are "
         "ignored in a set-user-ID program.\n\n"
         "| variable | grammar | default | meaning |\n"
         "|---|---|---|---|");
    int error = rth_environment_each(print_row, &rows);
    return error != 0 || rows == 0;
}
