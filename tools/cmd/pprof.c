/* SPDX-License-Identifier: MIT */

/*
 * `rthooks pprof`: profiles of a process, or saved ones, without any other tool. A verb says what
 * to do with them; a target is asked for /debug/pprof/NAME or read as a file. The profile is read
 * by formats/pprof_read, gets file, line and inlined functions from symbolize/, is added up by
 * profile/ and printed by the pprof_*.c beside this file.
 */

#include "cmd/pprof.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS_MAX  16
#define SECONDS_MAX 86400
#define HZ_MAX      100000

static const char help[] =
    "Usage: rthooks pprof top|lines|flame|tags|raw|fetch [OPTIONS] TARGET...\n"
    "       rthooks pprof diff [OPTIONS] BASE NEW\n"
    "\n"
    "Takes a profile from TARGET, a process id, Unix socket or URL, or reads it from a file.\n"
    "Several targets are added up (top, lines, flame, tags).\n"
    "\n"
    "  top      functions: flat is their own share, cum with all they called\n"
    "  lines    the same by source line\n"
    "  flame    flame graph, as one SVG file\n"
    "  diff     NEW minus BASE by function, in percent of BASE\n"
    "  tags     labels: what the samples with each of their values come to\n"
    "  raw      every sample, location and mapping\n"
    "  fetch    saves the profile as it comes; prints the name of the file\n"
    "\n"
    "What to take:\n"
    "  --profile NAME       /debug/pprof/NAME: heap, allocs, mutex...; default profile, the CPU\n"
    "  --seconds N          length of the capture (CPU: 30); of others, what N seconds added\n"
    "  --hz N               samples per second of CPU time\n"
    "What to show:\n"
    "  --sample-type TYPE   values of this type; default the profile's own choice, or its last\n"
    "  --focus REGEX        only stacks with a function or file that matches\n"
    "  --ignore REGEX       no stacks with one\n"
    "  --tagfocus SPEC      only samples with a label KEY=REGEX, or KEY=A,B for one of several;\n"
    "                       without KEY= each of A,B is looked for in KEY:VALUE; numbers are\n"
    "                       KEY=64kb, KEY=32kb:, KEY=:64kb, KEY=32kb:64kb, or without KEY=\n"
    "  --tagignore SPEC     no samples with one\n"
    "  --tagroot KEY,...    labels as callers of everything\n"
    "  --tagleaf KEY,...    labels as what every function called last\n"
    "  --by-label KEY       top and diff by value of a label\n"
    "  --cum                sorted by cum\n"
    "  --lines              top and diff by source line\n"
    "  --limit N            at most N rows\n"
    "  --normalize          diff: NEW scaled to the total of BASE\n"
    "Files, lines and inlined functions:\n"
    "  --symbolize WHAT     none; names: where a function is unknown (top, diff); lines: where a\n"
    "                       line is (lines, --lines, flame, raw)\n"
    "  --debug-dir DIR      debug information apart: DIR/.build-id/ab/cdef.debug and the like\n"
    "  --debuginfod         ask the servers of DEBUGINFOD_URLS; without it no server is asked\n"
    "\n"
    "  -o FILE              where the answer goes; - is standard output\n"
    "  --json               as JSON\n"
    "  --token-file FILE    token for a URL (else RTHOOKS_ADMIN_TOKEN_FILE)\n"
    "  -h, --help           this text\n"
    "\n"
    "Files count only when their build-id is the mapping's. They are looked for where the mapping\n"
    "says, in PPROF_BINARY_PATH, in --debug-dir and in /usr/lib/debug.\n";

struct verb {
    const char *name;
    int (*run)(struct pprof_input *inputs, size_t count, const struct pprof_options *options);
    size_t targets_min, targets_max;
    enum symbolize_want want;
    bool writes_file; /* opens -o itself */
};

static const struct verb verbs[] = {
    {"top", pprof_top, 1, INPUTS_MAX, WANT_NAMES, false},
    {"lines", pprof_top, 1, INPUTS_MAX, WANT_LINES, false},
    {"flame", pprof_flame, 1, INPUTS_MAX, WANT_LINES, true},
    {"diff", pprof_diff, 2, 2, WANT_NAMES, false},
    {"tags", pprof_tags, 1, INPUTS_MAX, WANT_NOTHING, false},
    {"raw", pprof_raw, 1, 1, WANT_LINES, false},
    {"fetch", pprof_fetch, 1, 1, WANT_NOTHING, true},
};

enum {
    OPTION_PROFILE = 256,
    OPTION_SECONDS,
    OPTION_HZ,
    OPTION_SAMPLE,
    OPTION_FOCUS,
    OPTION_IGNORE,
    OPTION_TAG_FOCUS,
    OPTION_TAG_IGNORE,
    OPTION_TAG_ROOT,
    OPTION_TAG_LEAF,
    OPTION_BY_LABEL,
    OPTION_CUM,
    OPTION_LINES,
    OPTION_LIMIT,
    OPTION_NORMALIZE,
    OPTION_SYMBOLIZE,
    OPTION_DEBUG_DIR,
    OPTION_DEBUGINFOD,
};

static const struct option long_options[] = {
    {"profile", required_argument, NULL, OPTION_PROFILE},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"hz", required_argument, NULL, OPTION_HZ},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {"sample-type", required_argument, NULL, OPTION_SAMPLE},
    {"focus", required_argument, NULL, OPTION_FOCUS},
    {"ignore", required_argument, NULL, OPTION_IGNORE},
    {"tagfocus", required_argument, NULL, OPTION_TAG_FOCUS},
    {"tagignore", required_argument, NULL, OPTION_TAG_IGNORE},
    {"tagroot", required_argument, NULL, OPTION_TAG_ROOT},
    {"tagleaf", required_argument, NULL, OPTION_TAG_LEAF},
    {"by-label", required_argument, NULL, OPTION_BY_LABEL},
    {"cum", no_argument, NULL, OPTION_CUM},
    {"lines", no_argument, NULL, OPTION_LINES},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"normalize", no_argument, NULL, OPTION_NORMALIZE},
    {"symbolize", required_argument, NULL, OPTION_SYMBOLIZE},
    {"debug-dir", required_argument, NULL, OPTION_DEBUG_DIR},
    {"debuginfod", no_argument, NULL, OPTION_DEBUGINFOD},
    COMMON_LONG_OPTIONS,
    {0}};

static int parse_number(const char *name, long max, long *ret_number)
{
    char *end;
    errno = 0;
    long number = strtol(optarg, &end, 10);
    if (errno != 0 || *end != '\0' || end == optarg || number < 1 || number > max)
        return usage_error("%s takes a whole number from 1 to %ld, not '%s'", name, max, optarg);
    *ret_number = number;
    return -1;
}

static int parse_name(const char **ret_name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (optarg[0] == '\0' || optarg[strspn(optarg, plain)] != '\0')
        return usage_error("'%s' is no name of a profile", optarg);
    *ret_name = optarg;
    return -1;
}

static int parse_want(struct pprof_options *options)
{
    static const char *const names[] = {
        [WANT_NOTHING] = "none", [WANT_NAMES] = "names", [WANT_LINES] = "lines"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], optarg) == 0) {
            options->symbolize.want = (enum symbolize_want)i;
            options->has_want = true;
            return -1;
        }
    }
    return usage_error("--symbolize takes none, names or lines, not '%s'", optarg);
}

/* Where the text of an option goes that is taken as it comes; NULL: another kind of option. */
static const char **text_of(int option, struct pprof_options *options)
{
    switch (option) {
    case OPTION_SAMPLE:
        return &options->sample;
    case OPTION_FOCUS:
        return &options->focus_pattern;
    case OPTION_IGNORE:
        return &options->ignore_pattern;
    case OPTION_TAG_FOCUS:
        return &options->tag_focus_spec;
    case OPTION_TAG_IGNORE:
        return &options->tag_ignore_spec;
    case OPTION_TAG_ROOT:
        return &options->tag_root_keys;
    case OPTION_TAG_LEAF:
        return &options->tag_leaf_keys;
    case OPTION_BY_LABEL:
        return &options->by_label;
    case OPTION_DEBUG_DIR:
        return &options->symbolize.debug_dir;
    case 'o':
        return &options->output;
    default:
        return NULL;
    }
}

static int take_option(int option, char **argv, struct pprof_options *options)
{
    const char **text = text_of(option, options);
    if (text != NULL) {
        *text = optarg;
        return -1;
    }
    switch (option) {
    case OPTION_PROFILE:
        return parse_name(&options->name);
    case OPTION_SECONDS:
        return parse_number("--seconds", SECONDS_MAX, &options->seconds);
    case OPTION_HZ:
        return parse_number("--hz", HZ_MAX, &options->hz);
    case OPTION_CUM:
        options->by_cum = true;
        return -1;
    case OPTION_LINES:
        options->by_line = true;
        return -1;
    case OPTION_LIMIT:
        return parse_number("--limit", INT32_MAX, &options->limit);
    case OPTION_NORMALIZE:
        options->normalize = true;
        return -1;
    case OPTION_SYMBOLIZE:
        return parse_want(options);
    case OPTION_DEBUGINFOD:
        options->symbolize.debuginfod = true;
        return -1;
    default:
        return common_option(option, argv, &options->common);
    }
}

static int find_verb(const char *name, const struct verb **ret_verb)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            *ret_verb = &verbs[i];
            return EXIT_FINE;
        }
    }
    return usage_error("'%s' is none of top, lines, flame, diff, tags, raw and fetch", name);
}

/* How much has to be known of frames: nothing where none is shown or looked at. */
static enum symbolize_want want_of(const struct verb *verb, const struct pprof_options *options)
{
    bool shows_labels = verb->run == pprof_tags || options->by_label != NULL;
    if (shows_labels && options->focus_pattern == NULL && options->ignore_pattern == NULL)
        return WANT_NOTHING;
    if (options->by_line)
        return WANT_LINES;
    return shows_labels ? WANT_NAMES : verb->want;
}

/* What one option says about another, and the patterns. */
static int complete_options(const struct verb *verb, struct pprof_options *options)
{
    if (options->normalize && verb->run != pprof_diff)
        return usage_error("--normalize is for diff");
    if (options->common.json && verb->run == pprof_flame)
        return usage_error("a flame graph is no JSON");
    if (options->by_label != NULL) {
        if (options->by_label[0] == '\0')
            return usage_error("--by-label takes the key of a label");
        if (strcmp(verb->name, "top") != 0 && verb->run != pprof_diff)
            return usage_error("--by-label is for top and diff");
        if (options->by_cum || options->by_line)
            return usage_error("--by-label takes no --cum and no --lines: its rows are labels");
    }
    if (strcmp(verb->name, "lines") == 0)
        options->by_line = true;
    if (!options->has_want)
        options->symbolize.want = want_of(verb, options);
    return pprof_select(options);
}

static int check_types(const struct pprof_input *inputs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (!profile_same_types(&inputs[0].profile, &inputs[i].profile))
            return fail(EXIT_USAGE, "%s and %s hold different kinds of samples", inputs[0].target,
                        inputs[i].target);
    }
    return EXIT_FINE;
}

static int run_verb(const struct verb *verb, char **targets, size_t count,
                    const struct pprof_options *options)
{
    struct pprof_input inputs[INPUTS_MAX] = {0};
    size_t loaded = 0;
    int status = EXIT_FINE;
    while (status == EXIT_FINE && loaded < count) {
        status = pprof_load(targets[loaded], options, &inputs[loaded]);
        loaded += status == EXIT_FINE;
    }
    if (status == EXIT_FINE)
        status = check_types(inputs, count);
    if (status == EXIT_FINE && options->output != NULL && !verb->writes_file &&
        strcmp(options->output, "-") != 0 && freopen(options->output, "we", stdout) == NULL)
        status = fail(EXIT_UNREACHABLE, "cannot write %s: %s", options->output, strerror(errno));
    if (status == EXIT_FINE) {
        pprof_warn_unmatched(inputs, count, options);
        status = verb->run(inputs, count, options);
    }
    for (size_t i = 0; i < loaded; i++)
        pprof_input_free(&inputs[i]);
    return status;
}

static int pprof_main(int argc, char **argv)
{
    struct pprof_options options = {0};
    const struct verb *verb = NULL;
    int option;
    while ((option = getopt_long(argc, argv, ":ho:", long_options, NULL)) != -1) {
        int status = take_option(option, argv, &options);
        if (status >= 0)
            return status;
    }
    if (optind >= argc)
        return usage_error("what to do: top, lines, flame, diff, tags, raw or fetch?");
    int status = find_verb(argv[optind], &verb);
    if (status != EXIT_FINE)
        return status;
    size_t targets = (size_t)(argc - optind - 1);
    if (targets < verb->targets_min)
        return usage_error(verb->targets_min == 2 ? "diff takes two targets, BASE and NEW"
                                                  : "which process, or which file?");
    if (targets > verb->targets_max)
        return usage_error("%s takes %zu target%s, not '%s' as well", verb->name, verb->targets_max,
                           verb->targets_max == 1 ? "" : "s",
                           argv[optind + 1 + (int)verb->targets_max]);
    status = complete_options(verb, &options);
    if (status == EXIT_FINE)
        status = run_verb(verb, argv + optind + 1, targets, &options);
    pprof_select_free(&options);
    return status;
}

const struct command command_pprof = {
    .name = "pprof",
    .summary = "profile a process, or read a profile: top functions, lines, flame graph",
    .help = help,
    .main = pprof_main,
};
