/* SPDX-License-Identifier: MIT */

/* `rthooks doctor --collect DIR`: what a bug report attaches. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/collect.h"
#include "client/http.h"
#include "cmd/budget.h"
#include "cmd/doctor.h"

/* One answer of a hooked process. The log of its status stays out: a program writes into it what it
 * likes. */
static int add_answer(struct collection *collection, const struct target *target,
                      const char *token_file, const char *route, const char *path)
{
    char message[PATH_MAX + 256];
    struct http_answer answer;
    if (http_get(target, route, token_file, &answer, message, sizeof(message)) != 0)
        return collection_add(collection, path, NULL, 0, message);
    json_t *document =
        answer.status == 200 && answer.body != NULL
            ? json_loadb(answer.body, answer.body_bytes, JSON_REJECT_DUPLICATES, NULL)
            : NULL;
    snprintf(message, sizeof(message), "status %ld, not the answer of rthooks", answer.status);
    http_answer_free(&answer);
    (void)json_object_del(document, "log");
    char *text = document != NULL ? json_dumps(document, JSON_INDENT(2)) : NULL;
    int error = collection_add(collection, path, text, text != NULL ? strlen(text) : 0, message);
    free(text);
    json_decref(document);
    return error;
}

static int add_answers(struct collection *collection, struct target *target, const char *token_file)
{
    static const struct {
        const char *route, *path;
    } answers[] = {
        {"/version", "rthooks/version.json"},
        {"/debug/runtime/status", "rthooks/status.json"},
        {BUDGET_ROUTE, "rthooks/budget.json"},
    };
    char message[PATH_MAX + 256];
    if (target_find_socket(target, message, sizeof(message)) != 0)
        return collection_add(collection, "rthooks", NULL, 0, message);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        int error = add_answer(collection, target, token_file, answers[i].route, answers[i].path);
        if (error != 0)
            return error;
    }
    return 0;
}

static int report_done(const struct collection *collection, const char *folder, bool json)
{
    if (json)
        return print_json(json_pack("{s:o, s:I, s:I, s:I}", "folder", json_text(folder), "files",
                                    (json_int_t)collection->file_count, "bytes",
                                    (json_int_t)collection->byte_count, "missing",
                                    (json_int_t)collection->failure_count))
                   ? EXIT_FINE
                   : EXIT_UNREACHABLE;
    printf("%s: %zu files, %zu bytes; %zu could not be copied; MANIFEST.txt lists all\n", folder,
           collection->file_count, collection->byte_count, collection->failure_count);
    return EXIT_FINE;
}

int doctor_collect(const char *folder, struct target *target, const char *token_file, bool json)
{
    char message[PATH_MAX + 256];
    struct collection collection;
    struct look_place place;
    pid_t pid = target != NULL ? target->pid : 0;
    int error = look_place_open(pid, &place);
    if (error != 0)
        return fail(EXIT_UNREACHABLE, "cannot open /: %s", strerror(-error));
    error = collection_open(&collection, folder, message, sizeof(message));
    if (error != 0) {
        look_place_close(&place);
        return fail(error == -ENOTEMPTY || error == -ENOTDIR ? EXIT_USAGE : EXIT_UNREACHABLE, "%s",
                    message);
    }
    error = collection_take(&collection, &place);
    if (error == 0 && target != NULL)
        error = add_answers(&collection, target, token_file);
    int closing = collection_close(&collection);
    look_place_close(&place);
    if (error != 0 || closing != 0)
        return fail(EXIT_UNREACHABLE, "%s: %s", folder, strerror(error != 0 ? -error : -closing));
    return report_done(&collection, folder, json);
}
