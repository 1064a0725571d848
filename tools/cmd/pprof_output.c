/* SPDX-License-Identifier: MIT */
/* What the verbs of `rthooks pprof` print and write alike, and the two that write files. */

#include "cmd/pprof.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/utf8.h"
#include "os/fd.h"
#include "profile/flame.h"

#define NUMBERS_MAX 999

void print_clean(const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        const unsigned char *bytes = (const unsigned char *)text + at;
        size_t bytes_here = rth__utf8_length(bytes, length - at);
        /* Control characters, also the second set of them, could be orders to the terminal. */
        if (bytes_here == 0 || bytes[0] < 0x20 || bytes[0] == 0x7f ||
            (bytes_here == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0))
            fputc('?', stdout);
        else
            fwrite(bytes, 1, bytes_here, stdout);
        at += bytes_here > 0 ? bytes_here : 1;
    }
}

json_t *comments_json(const struct profile *profile)
{
    json_t *comments = json_array();
    for (uint32_t i = 0; i < profile->document.comment_count; i++)
        json_array_append_new(comments, json_text(profile->document.comments[i]));
    return comments;
}

void pprof_say_comments(const struct profile *profile)
{
    char clean[1024];
    for (uint32_t i = 0; i < profile->document.comment_count; i++)
        warning("%s", printable(profile->document.comments[i], clean, sizeof(clean)));
}

int pprof_say_empty(const struct pprof_input *inputs, size_t count)
{
    bool any_comment = false, any_sample = false;
    char type[64];
    for (size_t i = 0; i < count; i++) {
        any_sample |= inputs[i].profile.document.sample_count > 0;
        if (profile_total(&inputs[i].profile, inputs[i].type) != 0)
            return fail(EXIT_BAD_NEWS, "no sample is selected");
        any_comment |= inputs[i].profile.document.comment_count > 0;
    }
    if (any_sample)
        warning("%s: the profile has no %s%s", inputs[0].target,
                printable(pprof_type_row(&inputs[0])->type, type, sizeof(type)),
                any_comment ? "; it says:" : "");
    else
        warning("%s: the profile is empty%s", inputs[0].target,
                any_comment ? "; it says:" : " and does not say why");
    for (size_t i = 0; i < count; i++)
        pprof_say_comments(&inputs[i].profile);
    return EXIT_BAD_NEWS;
}

/* pprof.SUBJECT.TYPES, with nothing in it that a path could take for more than a name. */
static void make_stem(const struct pprof_input *input, char *ret_stem, size_t stem_size)
{
    const struct rth_pprof_document *document = &input->profile.document;
    int used = snprintf(ret_stem, stem_size, "pprof.%s%s", input->subject,
                        input->subject[0] != '\0' ? "." : "");
    for (uint32_t i = 0; i < document->type_count && i < 8 && (size_t)used < stem_size; i++)
        used +=
            snprintf(ret_stem + used, stem_size - (size_t)used, "%.20s.", document->types[i].type);
    for (char *at = ret_stem; *at != '\0'; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("._-+", *at) != NULL;
        *at = plain ? *at : '_';
    }
}

FILE *pprof_open_output(const struct pprof_options *options, const struct pprof_input *input,
                        const char *suffix, char *ret_path, size_t path_size)
{
    char stem[320];
    int fd = -1;
    if (options->output != NULL && strcmp(options->output, "-") == 0) {
        snprintf(ret_path, path_size, "standard output");
        return stdout;
    }
    if (options->output != NULL) {
        snprintf(ret_path, path_size, "%s", options->output);
        fd = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    } else {
        make_stem(input, stem, sizeof(stem));
        errno = EEXIST;
        for (int number = 1; fd < 0 && errno == EEXIST && number <= NUMBERS_MAX; number++) {
            snprintf(ret_path, path_size, "%s%03d.%s", stem, number, suffix);
            fd = open(ret_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        }
    }
    FILE *file = fd >= 0 ? fdopen(fd, "we") : NULL;
    if (file == NULL)
        (void)fail(EXIT_UNREACHABLE, "cannot write %s: %s", ret_path, strerror(errno));
    return file;
}

int pprof_close_output(FILE *file, const char *path, int status)
{
    bool failed = ferror(file) != 0;
    /* main flushes standard output, and says when that fails. */
    if (file == stdout)
        return status;
    if (fclose(file) != 0 || failed)
        return fail(EXIT_UNREACHABLE, "cannot write %s: %s", path, strerror(errno));
    return status;
}

int pprof_fetch(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    char path[PATH_MAX];
    (void)count;
    FILE *file = pprof_open_output(options, &inputs[0], "pb.gz", path, sizeof(path));
    if (file == NULL)
        return EXIT_UNREACHABLE;
    (void)fwrite(inputs[0].bytes, 1, inputs[0].size_bytes, file);
    int status = pprof_close_output(file, path, EXIT_FINE);
    if (status != EXIT_FINE)
        return status;
    bool is_empty = inputs[0].profile.document.sample_count == 0;
    if (options->common.json && file != stdout) {
        json_t *answer = json_object();
        json_object_set_new(answer, "file", json_text(path));
        json_object_set_new(answer, "bytes", json_integer((json_int_t)inputs[0].size_bytes));
        json_object_set_new(answer, "samples",
                            json_integer(inputs[0].profile.document.sample_count));
        json_object_set_new(answer, "comments", comments_json(&inputs[0].profile));
        if (!print_json(answer))
            return EXIT_UNREACHABLE;
    } else if (file != stdout) {
        puts(path);
    }
    if (is_empty)
        return pprof_say_empty(inputs, 1);
    if (!options->common.json)
        pprof_say_comments(&inputs[0].profile);
    return EXIT_FINE;
}

int pprof_flame(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    const struct rth_pprof_type_row *type = &inputs[0].profile.document.types[inputs[0].type];
    char path[PATH_MAX], title[256];
    struct pprof_options where = *options;
    struct flame *flame = flame_new();
    int status = EXIT_FINE;
    for (size_t i = 0; i < count; i++)
        flame_add(flame, &inputs[i].profile, inputs[i].type, &options->selection);
    snprintf(title, sizeof(title), "%s: %.100s", inputs[0].subject, type->type);
    if (flame_total(flame) == 0) {
        flame_free(flame);
        return pprof_say_empty(inputs, count);
    }
    /* A picture is no text for a terminal. */
    if (where.output == NULL && !isatty(STDOUT_FILENO))
        where.output = "-";
    FILE *file = pprof_open_output(&where, &inputs[0], "svg", path, sizeof(path));
    if (file != NULL) {
        flame_write(flame, file, title, type->unit);
        status = pprof_close_output(file, path, EXIT_FINE);
        if (status == EXIT_FINE && file != stdout)
            puts(path);
    } else {
        status = EXIT_UNREACHABLE;
    }
    for (size_t i = 0; i < count && status == EXIT_FINE; i++)
        pprof_say_comments(&inputs[i].profile);
    flame_free(flame);
    return status;
}
