/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_PPROF_H
#define RTH_TOOLS_CMD_PPROF_H

/* What the files of `rthooks pprof` share. */

#include <stdbool.h>
#include <stddef.h>

#include "cmd/cmd.h"
#include "profile/label_frames.h"
#include "profile/profile.h"
#include "profile/selection.h"
#include "profile/tally.h"
#include "symbolize/symbolize.h"

struct pprof_options {
    struct common_options common;
    const char *name;   /* of /debug/pprof/NAME; NULL: profile, the CPU */
    const char *sample; /* type to show; NULL: the profile's own choice */
    const char *output; /* file; NULL: standard output, or a name made up */
    const char *focus_pattern, *ignore_pattern;
    const char *tag_focus_spec, *tag_ignore_spec;
    const char *tag_root_keys, *tag_leaf_keys;
    const char *by_label;  /* key of the rows; NULL: rows are functions */
    long seconds, hz;      /* 0: not given */
    long limit;            /* 0: all */
    long patience_seconds; /* with the answer, beyond the capture; 0: as long as usual */
    bool by_cum, by_line, normalize;
    bool has_want; /* symbolize.want was given */
    struct symbolize_options symbolize;
    /* Of the patterns, specs and keys above: pprof_select. */
    struct selection selection;
    struct label_keys tag_roots, tag_leaves;
};

struct pprof_input {
    const char *target;
    struct profile profile;
    int type; /* to show */
    /* What it is of, for file names and titles: the service's name, else the program's. */
    char subject[64];
    /* As it came; free gives it back. */
    char *bytes;
    size_t size_bytes;
};

/* Reads the patterns, specs and keys. Returns EXIT_FINE, or EXIT_USAGE after saying why. */
int pprof_select(struct pprof_options *options);
void pprof_select_free(struct pprof_options *options);
/* Warns of labels that were asked for and that no sample has. */
void pprof_warn_unmatched(const struct pprof_input *inputs, size_t count,
                          const struct pprof_options *options);

/*
 * Fetches or reads a profile, chooses the sample type, adds what its frames lack, names them and
 * adds those of labels.
 * Returns EXIT_FINE, or another status after saying why.
 */
int pprof_load(const char *target, const struct pprof_options *options,
               struct pprof_input *ret_input);
void pprof_input_free(struct pprof_input *input);

/* Says that there is nothing to show: the profile is empty, with the reason its comments give, or
 * no sample is selected. Returns EXIT_BAD_NEWS. */
int pprof_say_empty(const struct pprof_input *inputs, size_t count);
/* The comments on standard error, for answers that have no place for them. */
void pprof_say_comments(const struct profile *profile);

/* Opens options->output, or a new file named pprof.SUBJECT.TYPES.001.SUFFIX in the current folder.
 * "-" is standard output. NULL after saying why; fclose ends it. ret_path says where. */
FILE *pprof_open_output(const struct pprof_options *options, const struct pprof_input *input,
                        const char *suffix, char *ret_path, size_t path_size);
/* Ends the file. Returns status, or EXIT_UNREACHABLE after saying why. */
int pprof_close_output(FILE *file, const char *path, int status);

/* The type that is shown. */
const struct rth_pprof_type_row *pprof_type_row(const struct pprof_input *input);
/* Above a table, total in shown_unit. */
void pprof_print_head(const struct pprof_input *inputs, size_t count,
                      const struct pprof_options *options, int64_t total, const char *shown_unit);

/* Text as it may be shown on a terminal. */
void print_clean(const char *text);
json_t *comments_json(const struct profile *profile);

/* The verbs. inputs are loaded. */
int pprof_top(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
int pprof_diff(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
int pprof_raw(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
int pprof_flame(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
int pprof_fetch(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
int pprof_tags(struct pprof_input *inputs, size_t count, const struct pprof_options *options);

/* top and diff with options->by_label. factor: for the values of inputs[1]. */
int pprof_top_by_label(const struct pprof_input *inputs, size_t count,
                       const struct pprof_options *options);
int pprof_diff_by_label(const struct pprof_input *inputs, double factor,
                        const struct pprof_options *options);

#endif /* RTH_TOOLS_CMD_PPROF_H */
