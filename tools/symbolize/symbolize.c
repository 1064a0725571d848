/* SPDX-License-Identifier: MIT */
#include "symbolize/symbolize.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "symbolize/isolate.h"
#include "symbolize/module.h"

#define MODULE_TIMEOUT_MS     10000u
#define DEBUGINFOD_TIMEOUT_MS 120000u
/* More modules than any process has: a file that names them wants our time. */
#define MODULES_MAX       2000u
#define QUIET_PATHS_BYTES 400

/* One address that lacks something. */
struct gap {
    uint32_t mapping, location;
    uint64_t address;
};

struct answer_reader {
    const char *at, *end;
};

/* What is said once for all modules. */
struct summary {
    char no_lines[QUIET_PATHS_BYTES];
    unsigned no_lines_count;
};

static bool has_name(const struct frames *frames)
{
    return frames->count > 0 && frames->list[0].name[0] != '\0';
}

static bool lacks(const struct frames *frames, enum symbolize_want want)
{
    if (want == WANT_NAMES)
        return !has_name(frames);
    for (uint32_t i = 0; i < frames->count; i++) {
        if (frames->list[i].line != 0)
            return false;
    }
    return true;
}

static int by_place(const void *left_pointer, const void *right_pointer)
{
    const struct gap *left = left_pointer, *right = right_pointer;
    if (left->mapping != right->mapping)
        return left->mapping < right->mapping ? -1 : 1;
    return (left->address > right->address) - (left->address < right->address);
}

/* By mapping, then address; free gives them back. */
static struct gap *find_gaps(const struct profile *profile, enum symbolize_want want,
                             size_t *ret_count)
{
    const struct rth_pprof_document *document = &profile->document;
    struct gap *gaps = take(document->location_count, sizeof(*gaps));
    size_t count = 0;
    for (uint32_t row = 0; row < document->location_count; row++) {
        uint32_t mapping = document->locations[row].mapping;
        /* "[vdso]" and its like are no files. */
        if (mapping != RTH_PPROF_NO_ROW && document->locations[row].address != 0 &&
            document->mappings[mapping].file[0] == '/' && lacks(&profile->locations[row], want))
            gaps[count++] = (struct gap){mapping, row, document->locations[row].address};
    }
    qsort(gaps, count, sizeof(*gaps), by_place);
    *ret_count = count;
    return gaps;
}

static bool get(struct answer_reader *reader, void *ret_value, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size)
        return false;
    memcpy(ret_value, reader->at, size);
    reader->at += size;
    return true;
}

static bool get_text(struct answer_reader *reader, const char **ret_text, uint32_t *ret_length)
{
    if (!get(reader, ret_length, sizeof(*ret_length)) || *ret_length > MODULE_TEXT_BYTES_MAX ||
        (size_t)(reader->end - reader->at) < *ret_length)
        return false;
    *ret_text = reader->at;
    reader->at += *ret_length;
    return true;
}

static bool get_pool_text(struct answer_reader *reader, struct pool *pool, const char **ret_text)
{
    uint32_t length;
    if (!get_text(reader, ret_text, &length))
        return false;
    *ret_text = pool_text(pool, *ret_text, length);
    return true;
}

/* Frames without a line are no gain for a location that has a name already. */
static bool is_gain(const struct frames *before, const struct frame *list, uint32_t count)
{
    bool has_line = false;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].name[0] == '\0')
            return !has_name(before);
        has_line |= list[i].line != 0;
    }
    return has_line || !has_name(before);
}

/* Of a function's several names ("write", "__GI___libc_write") the one the profile came with stays,
 * so that every table of it speaks of the same functions. */
static void keep_given_name(const struct frames *before, struct frame *list, uint32_t count)
{
    const char *found = list[count - 1].name;
    if (!has_name(before))
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, found) == 0)
            list[i].name = before->list[before->count - 1].name;
    }
}

static bool read_frames(struct answer_reader *reader, struct profile *profile,
                        const struct gap *gaps, size_t gap_count)
{
    uint32_t numbers[2];
    if (!get(reader, numbers, sizeof(numbers)) || numbers[0] >= gap_count || numbers[1] == 0 ||
        numbers[1] > MODULE_FRAMES_MAX)
        return false;
    struct frame *list = pool_take(&profile->pool, numbers[1] * sizeof(*list));
    for (uint32_t i = 0; i < numbers[1]; i++) {
        if (!get(reader, &list[i].line, sizeof(list[i].line)) ||
            !get_pool_text(reader, &profile->pool, &list[i].name) ||
            !get_pool_text(reader, &profile->pool, &list[i].file))
            return false;
    }
    struct frames *frames = &profile->locations[gaps[numbers[0]].location];
    if (is_gain(frames, list, numbers[1])) {
        keep_given_name(frames, list, numbers[1]);
        *frames = (struct frames){list, numbers[1]};
    }
    return true;
}

static void say_outcome(struct summary *summary, const char *file, unsigned outcome,
                        const char *detail)
{
    char clean_file[PATH_MAX], clean[PATH_MAX];
    (void)printable(file, clean_file, sizeof(clean_file));
    (void)printable(detail, clean, sizeof(clean));
    if (outcome == MODULE_MISMATCH || outcome == MODULE_BROKEN)
        warning("%s: %s", clean_file, clean);
    if (outcome == MODULE_NOT_FOUND)
        warning("%s is not here (%s): its names stay as they came", clean_file, clean);
    if (outcome == MODULE_SYMBOLS) {
        size_t used = strlen(summary->no_lines);
        summary->no_lines_count++;
        if (used + strlen(base_name(clean_file)) + 3 < sizeof(summary->no_lines))
            snprintf(summary->no_lines + used, sizeof(summary->no_lines) - used, "%s%s",
                     used > 0 ? ", " : "", base_name(clean_file));
    }
}

/* Takes over what the child found. false: the records end in the middle, or make no sense. */
static bool read_records(const struct isolated_answer *answer, struct profile *profile,
                         const struct gap *gaps, size_t count, struct summary *summary)
{
    struct answer_reader reader = {answer->bytes, answer->bytes + answer->size_bytes};
    const char *file = profile->document.mappings[gaps[0].mapping].file;
    char kind;
    while (get(&reader, &kind, 1)) {
        unsigned char outcome;
        const char *detail;
        if (kind == RECORD_END)
            return reader.at == reader.end;
        if (kind == RECORD_OUTCOME) {
            if (!get(&reader, &outcome, 1) || !get_pool_text(&reader, &profile->pool, &detail))
                return false;
            say_outcome(summary, file, outcome, detail);
        } else if (kind != RECORD_FRAMES || !read_frames(&reader, profile, gaps, count)) {
            return false;
        }
    }
    return false;
}

/* The answer ends as it should. A child that was stopped in the middle has no say. */
static bool is_whole(const struct isolated_answer *answer)
{
    return answer->size_bytes > 0 && answer->bytes[answer->size_bytes - 1] == RECORD_END &&
           answer->signal == 0;
}

static void symbolize_module(struct profile *profile, const struct gap *gaps, size_t count,
                             const struct symbolize_options *options, struct summary *summary)
{
    const struct rth_pprof_mapping_row *mapping = &profile->document.mappings[gaps[0].mapping];
    uint64_t *addresses = take(count, sizeof(*addresses));
    char file[PATH_MAX];
    for (size_t i = 0; i < count; i++)
        addresses[i] = gaps[i].address;
    struct module_request request = {
        .file = mapping->file,
        .build_id = mapping->build_id,
        .start = mapping->start,
        .file_offset = mapping->file_offset,
        .addresses = addresses,
        .address_count = count,
        .pid = options->pid,
        .debug_dir = options->debug_dir,
        .debuginfod = options->debuginfod,
    };
    struct isolated_answer answer;
    int error =
        isolated_run(module_symbolize, &request,
                     options->debuginfod ? DEBUGINFOD_TIMEOUT_MS : MODULE_TIMEOUT_MS, &answer);
    free(addresses);
    (void)printable(mapping->file, file, sizeof(file));
    if (error != 0) {
        warning("%s: its symbols could not be read: %s", file,
                error == -ETIMEDOUT ? "it took too long" : strerror(-error));
        return;
    }
    if (!is_whole(&answer) || !read_records(&answer, profile, gaps, count, summary))
        warning("%s: its symbols could not be read: the reader stopped%s%s", file,
                answer.signal != 0 ? ": " : "", answer.signal != 0 ? strsignal(answer.signal) : "");
    free(answer.bytes);
}

void symbolize(struct profile *profile, const struct symbolize_options *options)
{
    size_t count, modules = 0;
    struct summary summary = {0};
    if (options->want == WANT_NOTHING)
        return;
    struct gap *gaps = find_gaps(profile, options->want, &count);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && gaps[end].mapping == gaps[first].mapping;)
            end++;
        if (++modules > MODULES_MAX) {
            warning("more than %u mappings: the rest keeps its names as they came", MODULES_MAX);
            break;
        }
        symbolize_module(profile, gaps + first, end - first, options, &summary);
    }
    free(gaps);
    if (options->want == WANT_LINES && summary.no_lines_count > 0 && !options->quiet)
        warning("no line information for %s", summary.no_lines);
}
