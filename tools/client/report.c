/* SPDX-License-Identifier: MIT */
#include "client/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

#define LINE_COLUMNS  100
#define CHECK_COLUMNS 18
#define TEXT_COLUMN   (8 + 1 + CHECK_COLUMNS + 1)

static const char *const level_names[] = {"ok", "note", "problem"};

void report_init(struct report *report)
{
    *report = (struct report){.findings = json_array()};
}

void report_add(struct report *report, enum finding_level level, const char *check,
                const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_t *finding = json_object();
    json_object_set_new(finding, "level", json_string(level_names[level]));
    json_object_set_new(finding, "check", json_string(check));
    json_object_set_new(finding, "text", json_text(text));
    json_array_append_new(report->findings, finding);
    report->problems += level == FINDING_PROBLEM;
}

/* Breaks at blanks; a word longer than the rest of the line stays whole, so paths can be copied. */
static void print_wrapped(const char *text)
{
    int column = TEXT_COLUMN;
    for (const char *at = text; *at != '\0';) {
        int word = (int)strcspn(at, " ");
        if (column > TEXT_COLUMN && column + 1 + word > LINE_COLUMNS) {
            printf("\n%*s", TEXT_COLUMN, "");
            column = TEXT_COLUMN;
        } else if (column > TEXT_COLUMN) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, at);
        column += word;
        at += word;
        at += strspn(at, " ");
    }
    putchar('\n');
}

static const char *member(const json_t *finding, const char *key)
{
    const char *text = json_string_value(json_object_get(finding, key));
    return text != NULL ? text : "";
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

int report_print(struct report *report, const char *target, bool json)
{
    int status = report->problems > 0 ? EXIT_BAD_NEWS : EXIT_FINE;
    if (json) {
        json_t *document = json_object();
        json_object_set_new(document, "target", json_text(target));
        json_object_set_new(document, "problems", json_integer(report->problems));
        json_object_set_new(document, "findings", report->findings);
        return print_json(document) ? status : EXIT_UNREACHABLE;
    }
    size_t notes = 0, count = json_array_size(report->findings);
    for (size_t i = 0; i < count; i++) {
        const json_t *finding = json_array_get(report->findings, i);
        char text[4096];
        printf("%-8s %-*s ", member(finding, "level"), CHECK_COLUMNS, member(finding, "check"));
        print_wrapped(printable(member(finding, "text"), text, sizeof(text)));
        notes += strcmp(member(finding, "level"), level_names[FINDING_NOTE]) == 0;
    }
    printf("%s: %zu check%s, %zu note%s, %u problem%s\n", target, count, plural(count), notes,
           plural(notes), report->problems, plural(report->problems));
    json_decref(report->findings);
    return status;
}
