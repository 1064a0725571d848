/* SPDX-License-Identifier: MIT */
/* Threads by where they are: those with the same functions on their stacks are one group. */

#include "cmd/threads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/pprof.h"
#include "profile/intern.h"
#include "profile/memory.h"

#define NAMES_SHOWN 6
#define NOTES_SHOWN 8
#define TARGETS_MAX 2

/* Threads of one name and state in a group. */
struct member {
    const char *name, *state;
    int64_t count;
};

/* What is said of several threads of a group: for what they wait, where they were created. */
struct note {
    const char *before, *text;
    int64_t count;
};

struct group {
    int64_t count; /* of a difference: how many more */
    const struct profile *profile;
    uint32_t sample; /* whose stack it is */
    struct member *members;
    size_t member_count, member_capacity;
    struct note *notes;
    size_t note_count, note_capacity;
};

struct groups {
    struct intern keys;
    struct group *rows;
    size_t count, capacity;
    struct pool pool;
    int64_t total; /* threads in what was added last */
};

/* ---- grouping -------------------------------------------------------------------------------- */

typedef void frame_visitor(void *context, const struct frame *frame);

/* Innermost first. */
static void visit_frames(const struct profile *profile, uint32_t sample, frame_visitor *visit,
                         void *context)
{
    const struct rth_pprof_document *document = &profile->document;
    const struct rth_pprof_sample_row *row = &document->samples[sample];
    for (uint32_t i = 0; i < row->location_count; i++) {
        const struct frames *frames =
            &profile->locations[document->sample_locations[row->first_location + i]];
        for (uint32_t k = 0; k < frames->count; k++)
            visit(context, &frames->list[k]);
    }
}

struct key {
    char *text;
    size_t used, capacity;
};

static void add_to_key(void *key_pointer, const struct frame *frame)
{
    struct key *key = key_pointer;
    for (const char *at = frame->name;; at++) {
        key->text = grow(key->text, key->used, &key->capacity, 1);
        key->text[key->used++] = *at;
        if (*at == '\0')
            return;
    }
}

static struct group *group_of(struct groups *groups, const struct profile *profile, uint32_t sample)
{
    struct key key = {0};
    visit_frames(profile, sample, add_to_key, &key);
    const char *kept = pool_text(&groups->pool, key.text != NULL ? key.text : "", key.used);
    uint32_t number = intern_number(&groups->keys, kept, key.used);
    free(key.text);
    if (number == groups->count) {
        groups->rows = grow(groups->rows, groups->count, &groups->capacity, sizeof(*groups->rows));
        groups->rows[groups->count++] = (struct group){.profile = profile, .sample = sample};
    }
    return &groups->rows[number];
}

static void add_member(struct group *group, const char *name, const char *state, int64_t count)
{
    if (name[0] == '\0')
        return;
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *member = &group->members[i];
        if (strcmp(member->name, name) == 0 && strcmp(member->state, state) == 0) {
            member->count += count;
            return;
        }
    }
    group->members =
        grow(group->members, group->member_count, &group->member_capacity, sizeof(*group->members));
    group->members[group->member_count++] = (struct member){name, state, count};
}

static void add_note(struct group *group, const char *before, const char *text, int64_t count)
{
    if (text[0] == '\0')
        return;
    for (size_t i = 0; i < group->note_count; i++) {
        struct note *note = &group->notes[i];
        if (strcmp(note->before, before) == 0 && strcmp(note->text, text) == 0) {
            note->count += count;
            return;
        }
    }
    group->notes =
        grow(group->notes, group->note_count, &group->note_capacity, sizeof(*group->notes));
    group->notes[group->note_count++] = (struct note){before, text, count};
}

/* "mutex 0x55… held by 124 "worker"" */
static const char *wait_text(struct groups *groups, const struct profile *profile, uint32_t sample)
{
    const char *reason = sample_text(profile, sample, "wait");
    const char *object = sample_text(profile, sample, "object");
    const char *held_by = sample_text(profile, sample, "held_by");
    size_t size = strlen(reason) + strlen(object) + strlen(held_by) + sizeof("  held by ");
    char *text = pool_take(&groups->pool, size);
    snprintf(text, size, "%s%s%s%s%s", reason, object[0] != '\0' ? " " : "", object,
             held_by[0] != '\0' ? " held by " : "", held_by);
    return text;
}

/* Those of the dump itself; the others are the program's. */
static bool is_own_label(const char *key)
{
    static const char *const own[] = {"thread",  "state",  "tid",     "wait",    "object",
                                      "wait_ns", "holder", "held_by", "creator", "created_by"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(own[i], key) == 0)
            return true;
    }
    return false;
}

/* "handler=/lock" */
static const char *label_text(struct groups *groups, const struct rth_pprof_label_row *label)
{
    size_t size = strlen(label->key) + strlen(label->text) + sizeof("=");
    char *text = pool_take(&groups->pool, size);
    snprintf(text, size, "%s=%s", label->key, label->text);
    return text;
}

static void add_notes(struct groups *groups, struct group *group, const struct profile *profile,
                      uint32_t sample, int64_t count)
{
    const struct rth_pprof_document *document = &profile->document;
    const struct rth_pprof_sample_row *row = &document->samples[sample];
    add_note(group, "waiting for", wait_text(groups, profile, sample), count);
    for (uint32_t i = 0; i < row->label_count; i++) {
        const struct rth_pprof_label_row *label = &document->labels[row->first_label + i];
        if (!is_own_label(label->key) && label->text[0] != '\0')
            add_note(group, "labelled", label_text(groups, label), count);
    }
    add_note(group, "created by", sample_text(profile, sample, "created_by"), count);
}

/* sign: -1 for what is taken away. */
static void add_profile(struct groups *groups, const struct pprof_input *input, int sign)
{
    const struct profile *profile = &input->profile;
    groups->total = 0;
    for (uint32_t i = 0; i < profile->document.sample_count; i++) {
        int64_t count = profile_value(profile, i, input->type);
        struct group *group = group_of(groups, profile, i);
        group->count += sign * count;
        groups->total += count;
        add_member(group, sample_text(profile, i, "thread"), sample_text(profile, i, "state"),
                   sign * count);
        add_notes(groups, group, profile, i, sign * count);
    }
}

static int64_t magnitude(int64_t count)
{
    return count < 0 ? -count : count;
}

static int compare_members(const void *left_pointer, const void *right_pointer)
{
    const struct member *left = left_pointer, *right = right_pointer;
    int64_t difference = magnitude(right->count) - magnitude(left->count);
    if (difference == 0)
        return strcmp(left->name, right->name);
    return (difference > 0) - (difference < 0);
}

static int compare_notes(const void *left_pointer, const void *right_pointer)
{
    const struct note *left = left_pointer, *right = right_pointer;
    int order = -strcmp(left->before, right->before); /* waits first */
    int64_t difference = magnitude(right->count) - magnitude(left->count);
    if (order == 0 && difference == 0)
        return strcmp(left->text, right->text);
    return order != 0 ? order : (difference > 0) - (difference < 0);
}

/* The largest first; of two that are alike, the one that grew. */
static int compare_groups(const void *left_pointer, const void *right_pointer)
{
    const struct group *left = left_pointer, *right = right_pointer;
    int64_t difference = magnitude(right->count) - magnitude(left->count);
    if (difference == 0)
        difference = (right->count > 0) - (left->count > 0);
    if (difference == 0)
        difference = (int64_t)left->sample - (int64_t)right->sample;
    return (difference > 0) - (difference < 0);
}

static void settle_parts(struct group *group)
{
    size_t members = 0, notes = 0;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].count != 0)
            group->members[members++] = group->members[i];
    for (size_t i = 0; i < group->note_count; i++)
        if (group->notes[i].count != 0)
            group->notes[notes++] = group->notes[i];
    group->member_count = members;
    group->note_count = notes;
    if (members > 0)
        qsort(group->members, members, sizeof(*group->members), compare_members);
    if (notes > 0)
        qsort(group->notes, notes, sizeof(*group->notes), compare_notes);
}

/* Drops what cancelled out. */
static void settle(struct groups *groups)
{
    size_t kept = 0;
    for (size_t i = 0; i < groups->count; i++) {
        struct group group = groups->rows[i];
        if (group.count == 0) {
            free(group.members);
            free(group.notes);
            continue;
        }
        settle_parts(&group);
        groups->rows[kept++] = group;
    }
    groups->count = kept;
    if (kept > 0)
        qsort(groups->rows, kept, sizeof(*groups->rows), compare_groups);
}

static void groups_free(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        free(groups->rows[i].members);
        free(groups->rows[i].notes);
    }
    free(groups->rows);
    intern_free(&groups->keys);
    pool_free(&groups->pool);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_frame(void *unused, const struct frame *frame)
{
    (void)unused;
    fputs("    ", stdout);
    print_clean(frame->name);
    if (frame->file[0] != '\0') {
        fputs("  ", stdout);
        print_clean(base_name(frame->file));
        if (frame->line > 0)
            printf(":%" PRId64, frame->line);
    }
    putchar('\n');
}

static void print_members(const struct group *group)
{
    for (size_t i = 0; i < group->member_count && i < NAMES_SHOWN; i++) {
        const struct member *member = &group->members[i];
        fputs(i == 0 ? ": " : ", ", stdout);
        print_clean(member->name);
        if (magnitude(member->count) > 1)
            printf(" x%" PRId64, magnitude(member->count));
        fputs(" (", stdout);
        print_clean(member->state);
        putchar(')');
    }
    if (group->member_count > NAMES_SHOWN)
        printf(" and %zu more", group->member_count - NAMES_SHOWN);
}

static void print_notes(const struct group *group)
{
    for (size_t i = 0; i < group->note_count && i < NOTES_SHOWN; i++) {
        const struct note *note = &group->notes[i];
        printf("  %s ", note->before);
        print_clean(note->text);
        if (magnitude(note->count) > 1)
            printf(" x%" PRId64, magnitude(note->count));
        putchar('\n');
    }
    if (group->note_count > NOTES_SHOWN)
        printf("  and %zu more of these\n", group->note_count - NOTES_SHOWN);
}

static void print_groups(const struct groups *groups, const char *subject, bool diff)
{
    print_clean(subject);
    if (diff && groups->count == 0)
        printf(": no thread is elsewhere than before\n");
    else if (diff)
        printf(": %zu stack%s with more or fewer threads than before\n", groups->count,
               groups->count == 1 ? "" : "s");
    else
        printf(": %" PRId64 " thread%s, %zu different stack%s\n", groups->total,
               groups->total == 1 ? "" : "s", groups->count, groups->count == 1 ? "" : "s");
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *group = &groups->rows[i];
        printf(diff ? "\n%+" PRId64 " thread%s" : "\n%" PRId64 " thread%s", group->count,
               magnitude(group->count) == 1 ? "" : "s");
        print_members(group);
        putchar('\n');
        print_notes(group);
        visit_frames(group->profile, group->sample, print_frame, NULL);
    }
}

static void frame_json(void *stack, const struct frame *frame)
{
    json_t *object = json_object();
    json_object_set_new(object, "function", json_text(frame->name));
    json_object_set_new(object, "file", json_text(frame->file));
    json_object_set_new(object, "line", json_integer(frame->line));
    json_array_append_new(stack, object);
}

static json_t *notes_json(const struct group *group, const char *before, const char *key)
{
    json_t *list = json_array();
    for (size_t i = 0; i < group->note_count; i++) {
        const struct note *note = &group->notes[i];
        if (strcmp(note->before, before) != 0)
            continue;
        json_t *object = json_object();
        json_object_set_new(object, key, json_text(note->text));
        json_object_set_new(object, "count", json_integer(note->count));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *group_json(const struct group *group)
{
    json_t *object = json_object(), *threads = json_array(), *stack = json_array();
    json_object_set_new(object, "count", json_integer(group->count));
    for (size_t i = 0; i < group->member_count; i++) {
        const struct member *member = &group->members[i];
        json_t *thread = json_object();
        json_object_set_new(thread, "name", json_text(member->name));
        json_object_set_new(thread, "state", json_text(member->state));
        json_object_set_new(thread, "count", json_integer(member->count));
        json_array_append_new(threads, thread);
    }
    json_object_set_new(object, "threads", threads);
    json_object_set_new(object, "waits", notes_json(group, "waiting for", "for"));
    json_object_set_new(object, "labels", notes_json(group, "labelled", "label"));
    json_object_set_new(object, "created_by", notes_json(group, "created by", "function"));
    visit_frames(group->profile, group->sample, frame_json, stack);
    json_object_set_new(object, "stack", stack);
    return object;
}

static bool print_groups_json(const struct groups *groups, const struct profile *profile,
                              const struct waits *waits)
{
    json_t *document = json_object(), *list = json_array();
    for (size_t i = 0; i < groups->count; i++)
        json_array_append_new(list, group_json(&groups->rows[i]));
    json_object_set_new(document, "groups", list);
    if (waits != NULL)
        threads_waits_json(waits, document);
    json_object_set_new(document, "comments", comments_json(profile));
    return print_json(document);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int load(const char *target, const struct pprof_options *options,
                struct pprof_input *ret_input)
{
    int status = pprof_load(target, options, ret_input);
    if (status != EXIT_FINE)
        return status;
    const char *type = ret_input->profile.document.types[ret_input->type].type;
    if (strcmp(type, "threads") == 0 || strcmp(type, "goroutine") == 0)
        return EXIT_FINE;
    pprof_input_free(ret_input);
    return fail(EXIT_USAGE, "%s is no thread dump", target);
}

static int print_all(struct pprof_input *inputs, size_t count, const struct stacks_options *options)
{
    struct groups groups = {0};
    struct waits waits = {0};
    const struct pprof_input *last = &inputs[count - 1];
    int status = EXIT_FINE;
    if (count == 2)
        add_profile(&groups, &inputs[0], -1);
    add_profile(&groups, last, 1);
    settle(&groups);
    if (!options->diff) {
        waits_add_profile(&waits, &last->profile);
        waits_solve(&waits);
        waits_refine(&waits, &last->profile);
        status = waits.graph.cycle_count > 0 ? EXIT_BAD_NEWS : EXIT_FINE;
    }
    if (!options->common.json) {
        print_groups(&groups, last->subject, options->diff);
        threads_waits_print(&waits);
        pprof_say_comments(&last->profile);
    } else if (!print_groups_json(&groups, &last->profile, options->diff ? NULL : &waits)) {
        status = EXIT_UNREACHABLE;
    }
    groups_free(&groups);
    waits_free(&waits);
    return status;
}

int threads_stacks(char **targets, size_t count, const struct stacks_options *options)
{
    struct pprof_options load_options = {
        .common = options->common,
        .name = "threads",
        .seconds = options->seconds,
        .symbolize = {.want = WANT_NAMES},
    };
    struct pprof_input inputs[TARGETS_MAX] = {0};
    size_t loaded = 0;
    int status = EXIT_FINE;
    for (; loaded < count && status == EXIT_FINE; loaded += status == EXIT_FINE)
        status = load(targets[loaded], &load_options, &inputs[loaded]);
    if (status == EXIT_FINE)
        status = print_all(inputs, count, options);
    for (size_t i = 0; i < loaded; i++)
        pprof_input_free(&inputs[i]);
    return status;
}
