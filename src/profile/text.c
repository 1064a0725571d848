/* SPDX-License-Identifier: MIT */
/*
 * Text forms. Rows are sorted by stack and labels, equal neighbours become groups, groups are
 * sorted by count. Names come out of files that anybody may have made: what does not print is
 * replaced, so that a name cannot forge a line.
 * Threads: rth-work. Failure: -ENOMEM and the like, nothing kept. Cost: names dominate.
 */
#include "profile/text.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "formats/demangle.h"
#include "formats/json.h"
#include "profile/frames.h"

#define GROUPS_PER_LOOK 64 /* between two questions whether anybody still wants it */

struct group {
    uint32_t row; /* the first with this stack and these labels */
    int64_t count;
};

struct text_writer {
    const struct rth_profile_rows *rows;
    const struct rth_profile_naming *naming;
    struct rth_sink *sink;
    struct rth_frame_table frames;
    struct rth_symbol_set *symbols;
    struct group *groups;
    size_t group_count, group_bytes;
};

static int compare_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

static int compare_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_labels(const struct rth_profile_row *a, const struct rth_profile_row *b)
{
    int order = compare_number(a->label_count, b->label_count);
    for (size_t i = 0; order == 0 && i < a->label_count; i++) {
        const struct rth_pprof_label *one = &a->labels[i], *other = &b->labels[i];
        order = compare_text(one->key, other->key);
        if (order == 0)
            order = compare_number(one->text != NULL, other->text != NULL);
        if (order == 0)
            order = compare_text(one->text, other->text);
        if (order == 0)
            order = compare_number((uint64_t)one->number, (uint64_t)other->number);
    }
    return order;
}

static int compare_stacks(const struct rth_profile_row *a, const struct rth_profile_row *b)
{
    int order = compare_number(a->frame_count, b->frame_count);
    for (unsigned i = 0; order == 0 && i < a->frame_count; i++)
        order = compare_number(a->frames[i], b->frames[i]);
    return order != 0 ? order : compare_labels(a, b);
}

typedef int group_order(const struct text_writer *writer, const struct group *a,
                        const struct group *b);

static int by_stack(const struct text_writer *writer, const struct group *a, const struct group *b)
{
    int order = compare_stacks(&writer->rows->rows[a->row], &writer->rows->rows[b->row]);
    return order != 0 ? order : compare_number(a->row, b->row);
}

static int by_count(const struct text_writer *writer, const struct group *a, const struct group *b)
{
    (void)writer;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return compare_number(a->row, b->row);
}

static void sift_down(const struct text_writer *writer, group_order *order, size_t at, size_t count)
{
    struct group *groups = writer->groups;
    struct group moved = groups[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && order(writer, &groups[child], &groups[child + 1]) < 0)
            child++;
        if (order(writer, &moved, &groups[child]) >= 0)
            break;
        groups[at] = groups[child];
        at = child;
    }
    groups[at] = moved;
}

/* Heap sort: qsort takes malloc for large arrays. */
static void sort_groups(struct text_writer *writer, group_order *order)
{
    for (size_t i = writer->group_count / 2; i > 0; i--)
        sift_down(writer, order, i - 1, writer->group_count);
    for (size_t left = writer->group_count; left > 1; left--) {
        struct group largest = writer->groups[0];
        writer->groups[0] = writer->groups[left - 1];
        writer->groups[left - 1] = largest;
        sift_down(writer, order, 0, left - 1);
    }
}

static int make_groups(struct text_writer *writer)
{
    size_t count = writer->rows->count;
    if (count > UINT32_MAX)
        return -E2BIG;
    writer->group_bytes = count * sizeof(*writer->groups);
    writer->groups = rth__arena_alloc_nomalloc(writer->group_bytes);
    if (writer->groups == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        writer->groups[i] = (struct group){(uint32_t)i, writer->rows->rows[i].values[0]};
    writer->group_count = count;
    sort_groups(writer, by_stack);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct group *next = &writer->groups[i];
        const struct rth_profile_row *row = &writer->rows->rows[next->row];
        if (kept > 0 && compare_stacks(&writer->rows->rows[writer->groups[kept - 1].row], row) == 0)
            writer->groups[kept - 1].count += next->count;
        else
            writer->groups[kept++] = *next;
    }
    writer->group_count = kept;
    sort_groups(writer, by_count);
    return 0;
}

static int find_names(struct text_writer *writer)
{
    for (size_t i = 0; i < writer->group_count; i++) {
        const struct rth_profile_row *row = &writer->rows->rows[writer->groups[i].row];
        for (unsigned k = 0; k < row->frame_count; k++) {
            if (rth__frame_table_add(&writer->frames, row->frames[k], RTH_PROFILE_FRAMES_MAX) == 0)
                return writer->frames.count >= RTH_PROFILE_FRAMES_MAX ? -E2BIG : -ENOMEM;
        }
    }
    if (!writer->naming->symbols || writer->frames.count == 0)
        return 0;
    writer->symbols = rth__symbol_set_new(writer->frames.frames, writer->frames.count);
    if (writer->symbols == NULL)
        return -ENOMEM;
    return rth__symbol_set_resolve(writer->symbols, writer->naming->root_fd,
                                   writer->naming->cancelled, writer->naming->userdata);
}

/* Control characters would be lines and columns of their own. */
static void write_printable(struct rth_sink *sink, const char *text)
{
    while (*text != '\0') {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= ' ' && text[plain] != 0x7f)
            plain++;
        (void)rth__sink_write(sink, text, plain);
        text += plain;
        if (*text != '\0') {
            (void)rth__sink_puts(sink, "?");
            text++;
        }
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static void write_offset(struct rth_sink *sink, uint64_t offset)
{
    (void)rth__sink_printf(sink, "+0x%llx", (unsigned long long)offset);
}

void rth__profile_text_name(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                            rth_frame frame)
{
    char demangled[RTH_DEMANGLED_BYTES];
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    struct rth_symbol symbol = {.name = NULL};
    if (symbols != NULL)
        symbol = rth__symbol_find(symbols, frame);
    if (symbol.name != NULL) {
        bool is_plain = rth__demangle(symbol.name, demangled, sizeof(demangled)) < 0;
        write_printable(sink, is_plain ? symbol.name : demangled);
        write_offset(sink, rth__frame_vaddr(frame) - symbol.start_vaddr);
    } else if (module != NULL) {
        write_printable(sink, base_name(module->path));
        write_offset(sink, rth__frame_vaddr(frame));
    } else {
        (void)rth__sink_printf(sink, "0x%llx", (unsigned long long)rth__frame_address(frame));
    }
}

void rth__profile_text_frame(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                             rth_frame frame)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    (void)rth__sink_printf(sink, "#\t0x%llx", (unsigned long long)rth__frame_address(frame));
    if (module != NULL) {
        (void)rth__sink_puts(sink, "\t");
        rth__profile_text_name(sink, symbols, frame);
        (void)rth__sink_puts(sink, "\t");
        write_printable(sink, module->path);
    }
    (void)rth__sink_puts(sink, "\n");
}

void rth__profile_text_stack(struct rth_sink *sink, int64_t count, const rth_frame *frames,
                             unsigned frame_count)
{
    (void)rth__sink_printf(sink, "%lld @", (long long)count);
    for (unsigned i = 0; i < frame_count; i++) {
        /* Callers were recorded as return address minus one. */
        uint64_t address = rth__frame_address(frames[i]) + (i > 0);
        (void)rth__sink_printf(sink, " 0x%llx", (unsigned long long)address);
    }
}

/* Quadratic: labels are few. */
void rth__profile_text_labels(struct rth_sink *sink, const struct rth_pprof_label *labels,
                              size_t count)
{
    const struct rth_pprof_label *last = NULL;
    (void)rth__sink_puts(sink, "{");
    for (size_t written = 0; written < count; written++) {
        const struct rth_pprof_label *next = NULL;
        for (size_t i = 0; i < count; i++) {
            const struct rth_pprof_label *label = &labels[i];
            int after_last = last != NULL ? compare_text(label->key, last->key) : 1;
            bool is_later = after_last > 0 || (after_last == 0 && label > last);
            if (is_later && (next == NULL || compare_text(label->key, next->key) < 0))
                next = label;
        }
        struct rth_json json;
        (void)rth__sink_puts(sink, written > 0 ? ", " : "");
        rth__json_init(&json, sink);
        rth__json_string(&json, next->key != NULL ? next->key : "");
        (void)rth__sink_puts(sink, ":");
        rth__json_init(&json, sink);
        if (next->text != NULL)
            rth__json_string(&json, next->text);
        else
            rth__json_int(&json, next->number);
        last = next;
    }
    (void)rth__sink_puts(sink, "}");
}

void rth__profile_text_detail(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                              const struct rth_profile_row *row)
{
    if (row->label_count > 0) {
        (void)rth__sink_puts(sink, "# labels: ");
        rth__profile_text_labels(sink, row->labels, row->label_count);
        (void)rth__sink_puts(sink, "\n");
    }
    for (unsigned i = 0; i < row->frame_count; i++)
        rth__profile_text_frame(sink, symbols, row->frames[i]);
    (void)rth__sink_puts(sink, "\n");
}

void rth__profile_text_comments(struct rth_sink *sink, const char *const *comments,
                                unsigned comment_count)
{
    for (unsigned i = 0; i < comment_count; i++) {
        (void)rth__sink_puts(sink, "# ");
        write_printable(sink, comments[i]);
        (void)rth__sink_puts(sink, "\n");
    }
}

int rth__profile_text_symbols(const struct rth_profile_rows *rows,
                              const struct rth_profile_naming *naming,
                              struct rth_symbol_set **ret_symbols)
{
    size_t total = 0, used = 0;
    for (size_t i = 0; i < rows->count; i++)
        total += rows->rows[i].frame_count;
    *ret_symbols = NULL;
    if (!naming->symbols || total == 0)
        return 0;
    rth_frame *frames = rth__arena_alloc_nomalloc(total * sizeof(*frames));
    if (frames == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < rows->count; i++) {
        const struct rth_profile_row *row = &rows->rows[i];
        if (row->frame_count != 0)
            memcpy(frames + used, row->frames, row->frame_count * sizeof(*frames));
        used += row->frame_count;
    }
    struct rth_symbol_set *symbols = rth__symbol_set_new(frames, total);
    rth__arena_free_nomalloc(frames, total * sizeof(*frames));
    if (symbols == NULL)
        return -ENOMEM;
    *ret_symbols = symbols;
    return rth__symbol_set_resolve(symbols, naming->root_fd, naming->cancelled, naming->userdata);
}

static void write_modules(struct text_writer *writer)
{
    uint8_t used[RTH_MODULES_MAX / 8] = {0};
    for (uint32_t i = 0; i < writer->frames.count; i++) {
        uint32_t id = rth__frame_module_id(writer->frames.frames[i]);
        if (id < RTH_MODULES_MAX)
            used[id / 8] |= (uint8_t)(1u << id % 8);
    }
    for (uint32_t id = 1; id < RTH_MODULES_MAX; id++) {
        const struct rth_module *module = rth__module_by_id_sigsafe(id);
        if (module == NULL || (used[id / 8] & 1u << id % 8) == 0)
            continue;
        char build_id[RTH_PROFILE_BUILD_ID_TEXT_BYTES];
        rth__profile_build_id_text(module, build_id);
        (void)rth__sink_printf(writer->sink, "# module 0x%llx-0x%llx 0x%llx ",
                               (unsigned long long)module->last_exec_start,
                               (unsigned long long)module->last_exec_limit,
                               (unsigned long long)module->last_exec_file_offset);
        write_printable(writer->sink, module->path);
        if (build_id[0] != '\0')
            (void)rth__sink_printf(writer->sink, " build-id %s", build_id);
        (void)rth__sink_puts(writer->sink, module->loaded ? "\n" : " (unloaded)\n");
    }
}

static int write_groups(struct text_writer *writer)
{
    const struct rth_profile_naming *naming = writer->naming;
    for (size_t i = 0; i < writer->group_count && writer->sink->error == 0; i++) {
        const struct rth_profile_row *row = &writer->rows->rows[writer->groups[i].row];
        if (i % GROUPS_PER_LOOK == 0 &&
            (rth__sink_cancelled(writer->sink) ||
             (naming->cancelled != NULL && naming->cancelled(naming->userdata))))
            return -ECANCELED;
        rth__profile_text_stack(writer->sink, writer->groups[i].count, row->frames,
                                row->frame_count);
        (void)rth__sink_puts(writer->sink, "\n");
        rth__profile_text_detail(writer->sink, writer->symbols, row);
    }
    write_modules(writer);
    return writer->sink->error;
}

static void write_head(struct text_writer *writer, const char *name, const char *const *comments,
                       unsigned comment_count)
{
    int64_t total = 0;
    for (size_t i = 0; i < writer->group_count; i++)
        total += writer->groups[i].count;
    (void)rth__sink_printf(writer->sink, "%s profile: total %lld\n", name, (long long)total);
    rth__profile_text_comments(writer->sink, comments, comment_count);
}

int rth__profile_text_counts(const char *name, const struct rth_profile_rows *rows,
                             const struct rth_profile_naming *naming, const char *const *comments,
                             unsigned comment_count, struct rth_sink *sink)
{
    struct text_writer writer = {.rows = rows, .naming = naming, .sink = sink};
    int result = make_groups(&writer);
    if (result == 0)
        result = find_names(&writer);
    if (result == 0) {
        write_head(&writer, name, comments, comment_count);
        result = write_groups(&writer);
    }
    rth__symbol_set_free(writer.symbols);
    rth__frame_table_release(&writer.frames);
    rth__arena_free_nomalloc(writer.groups, writer.group_bytes);
    return result;
}
