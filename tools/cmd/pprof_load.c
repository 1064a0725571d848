/* SPDX-License-Identifier: MIT */
/* From a target to a profile with names. */

#include "cmd/pprof.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/http.h"
#include "client/target.h"
#include "os/fd.h"

#define FILE_BYTES_MAX    ((size_t)256 << 20)
#define DEFAULT_SECONDS   30
#define SLACK_SECONDS     30L /* beyond the length of the capture */
#define REFUSAL_LINES_MAX 20
#define PPROF_ROUTE       "/debug/pprof/"
#define MESSAGE_BYTES     (PATH_MAX + 256)

struct capture {
    time_t started_s;
    long seconds;
    bool shown;
};

static time_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void show_progress(void *capture_pointer)
{
    struct capture *capture = capture_pointer;
    long passed = (long)(now_s() - capture->started_s);
    if (passed < 1 || !isatty(STDERR_FILENO))
        return;
    capture->shown = true;
    fprintf(stderr, "\rrthooks: capturing, %ld of %ld s ",
            passed < capture->seconds ? passed : capture->seconds, capture->seconds);
    (void)fflush(stderr);
}

/* Which profiles are taken over a time, whether the caller says for how long or not. */
static bool takes_time(const char *name)
{
    return strcmp(name, "profile") == 0 || strcmp(name, "wall") == 0;
}

/* The path to ask for. A URL that names one is taken at its word: it is cut there. */
static int make_path(struct target *target, const struct pprof_options *options, long *ret_seconds,
                     char *ret_path, size_t path_size)
{
    char *in_url = target->kind == TARGET_URL ? strstr(target->text, PPROF_ROUTE) : NULL;
    const char *name = options->name != NULL ? options->name : "profile";
    if (in_url != NULL && in_url[strlen(PPROF_ROUTE)] != '\0') {
        if (options->name != NULL || options->seconds != 0 || options->hz != 0)
            return usage_error("a URL with a profile's name takes no --profile, --seconds or --hz");
        const char *seconds = strstr(in_url, "seconds=");
        snprintf(ret_path, path_size, "%s", in_url);
        *ret_seconds =
            seconds != NULL ? strtol(seconds + strlen("seconds="), NULL, 10) : DEFAULT_SECONDS;
        *in_url = '\0';
        return EXIT_FINE;
    }
    char *folder = target->kind == TARGET_URL ? strstr(target->text, "/debug/pprof") : NULL;
    if (folder != NULL)
        *folder = '\0';
    long seconds = options->seconds;
    if (seconds == 0 && takes_time(name))
        seconds = DEFAULT_SECONDS;
    int used = snprintf(ret_path, path_size, PPROF_ROUTE "%s", name);
    if (seconds != 0)
        used += snprintf(ret_path + used, path_size - (size_t)used, "?seconds=%ld", seconds);
    if (options->hz != 0)
        snprintf(ret_path + used, path_size - (size_t)used, "%chz=%ld", seconds != 0 ? '&' : '?',
                 options->hz);
    *ret_seconds = seconds;
    return EXIT_FINE;
}

/* The first line of the answer with what was asked, the others as they are. */
static int say_refusal(const struct target *target, const char *path,
                       const struct http_answer *answer)
{
    const char *at = answer->body != NULL ? answer->body : "";
    char line[300], clean[300];
    for (int number = 0; number < REFUSAL_LINES_MAX; number++) {
        size_t length = strcspn(at, "\r\n");
        snprintf(line, sizeof(line), "%.*s", (int)length, at);
        printable(line, clean, sizeof(clean));
        if (number == 0)
            (void)fail(EXIT_UNREACHABLE, "%s answers %s with status %ld%s%s", target->text, path,
                       answer->status, line[0] != '\0' ? ": " : "", clean);
        else if (line[0] != '\0')
            warning("%s", clean);
        at += length;
        at += strspn(at, "\r\n");
    }
    return EXIT_UNREACHABLE;
}

/* A process of ours knows by which name its operators call it; others have no /version. */
static void ask_service(const struct target *target, const struct pprof_options *options,
                        struct pprof_input *input)
{
    char message[MESSAGE_BYTES];
    struct http_answer answer;
    if (http_get(target, "/version", options->common.token_file, &answer, message,
                 sizeof(message)) != 0)
        return;
    json_t *version = answer.status == 200 && answer.body != NULL
                          ? json_loadb(answer.body, answer.body_bytes, 0, NULL)
                          : NULL;
    const char *name = json_string_value(json_object_get(version, "name"));
    if (name != NULL)
        snprintf(input->subject, sizeof(input->subject), "%s", name);
    json_decref(version);
    http_answer_free(&answer);
}

static int fetch(struct target *target, const struct pprof_options *options,
                 struct pprof_input *input)
{
    char message[MESSAGE_BYTES], path[PATH_MAX];
    struct capture capture = {.started_s = now_s()};
    struct http_answer answer;
    int status = make_path(target, options, &capture.seconds, path, sizeof(path));
    if (status != EXIT_FINE)
        return status;
    if (target->kind != TARGET_URL && target_find_socket(target, message, sizeof(message)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    long patience = options->patience_seconds != 0 ? options->patience_seconds : SLACK_SECONDS;
    int error = http_get_slow(target, path, options->common.token_file, capture.seconds + patience,
                              show_progress, &capture, &answer, message, sizeof(message));
    if (capture.shown)
        fputs("\r\033[K", stderr);
    if (error != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    if (answer.status != 200) {
        status = say_refusal(target, path, &answer);
        http_answer_free(&answer);
        return status;
    }
    input->bytes = answer.body;
    input->size_bytes = answer.body_bytes;
    ask_service(target, options, input);
    return EXIT_FINE;
}

static int read_file(const char *path, struct pprof_input *input)
{
    RTH__AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(EXIT_UNREACHABLE, "%s: %s", path, strerror(errno));
    size_t capacity = 0;
    for (;;) {
        input->bytes = grow(input->bytes, input->size_bytes, &capacity, 1);
        ssize_t got = read(fd, input->bytes + input->size_bytes, capacity - input->size_bytes);
        if (got < 0)
            return fail(EXIT_UNREACHABLE, "%s: %s", path, strerror(errno));
        if (got == 0)
            return EXIT_FINE;
        input->size_bytes += (size_t)got;
        if (input->size_bytes > FILE_BYTES_MAX)
            return fail(EXIT_BAD_NEWS, "%s: larger than a profile may be (%zu MiB)", path,
                        FILE_BYTES_MAX >> 20);
    }
}

static int choose_type(struct pprof_input *input, const struct pprof_options *options)
{
    const struct rth_pprof_document *document = &input->profile.document;
    char names[400] = "", clean[400];
    input->type = profile_type(&input->profile, options->sample);
    if (input->type >= 0)
        return EXIT_FINE;
    for (uint32_t i = 0; i < document->type_count && strlen(names) < sizeof(names) - 2; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? ", " : "",
                 document->types[i].type);
    return usage_error("the profile has no samples of type '%s'; it has %s", options->sample,
                       printable(names, clean, sizeof(clean)));
}

int pprof_load(const char *target_text, const struct pprof_options *options,
               struct pprof_input *ret_input)
{
    char message[MESSAGE_BYTES], clean[MESSAGE_BYTES];
    struct target target;
    struct pprof_input input = {.target = target_text};
    int error = target_parse(target_text, &target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    int status = target.kind == TARGET_FILE ? read_file(target.text, &input)
                                            : fetch(&target, options, &input);
    target_close(&target);
    if (status == EXIT_FINE &&
        profile_read(input.bytes, input.size_bytes, &input.profile, message, sizeof(message)) != 0)
        status =
            fail(EXIT_BAD_NEWS, "%s: %s", target_text, printable(message, clean, sizeof(clean)));
    if (status == EXIT_FINE)
        status = choose_type(&input, options);
    if (status != EXIT_FINE) {
        pprof_input_free(&input);
        return status;
    }
    struct symbolize_options how = options->symbolize;
    how.pid = target.kind == TARGET_PID ? target.pid : 0;
    if (input.subject[0] == '\0')
        snprintf(input.subject, sizeof(input.subject), "%.63s", profile_program(&input.profile));
    symbolize(&input.profile, &how);
    profile_name_frames(&input.profile);
    profile_add_label_frames(&input.profile, &options->tag_roots, &options->tag_leaves);
    *ret_input = input;
    return EXIT_FINE;
}

void pprof_input_free(struct pprof_input *input)
{
    profile_free(&input->profile);
    free(input->bytes);
    *input = (struct pprof_input){0};
}
