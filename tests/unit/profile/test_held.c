/* SPDX-License-Identifier: MIT */
/* Rows of sites as a profile: columns, differences, labels, and the text that pprof reads too. */
#include "profile/held.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "helper/gunzip.h"
#include "helper/pprof_parse.h"
#include "helper/unit.h"
#include "record/labelsets.h"
#include "unwind/unwind.h"

#define SHIFT        10u
#define UNITS(count) ((uint64_t)(count) << SHIFT)

static char packed[1 << 20], plain[1 << 20];
static struct rth_comments comments;
static rth_frame frames_a[2], frames_b[3], frames_c[1];

static __attribute__((noinline, used)) void leaf_function(void)
{
    __asm__ volatile("nop;nop;nop;nop;nop;nop;nop;nop");
}

static __attribute__((noinline, used)) void root_function(void)
{
    __asm__ volatile("nop;nop;nop;nop;nop;nop;nop;nop");
}

static rth_frame frame_in(void (*function)(void), unsigned offset)
{
    return rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)function + offset);
}

static struct rth_held_profile begin(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    frames_a[0] = frame_in(leaf_function, 2);
    frames_a[1] = frame_in(root_function, 3);
    frames_b[0] = frame_in(leaf_function, 5);
    frames_b[1] = frame_in(root_function, 4);
    frames_b[2] = frame_in(root_function, 6);
    frames_c[0] = frame_in(root_function, 1);
    comments = (struct rth_comments){.lines = {"one comment"}, .count = 1};
    return (struct rth_held_profile){
        .count_shift = SHIFT,
        .period_bytes = 4096,
        .time_ns = 1700000000000000000,
        .comments = &comments,
        .naming = {.root_fd = root_fd, .symbols = true},
    };
}

static struct rth_site_row row_of(uint64_t identity, const rth_frame *frames, unsigned count,
                                  struct rth_site_values values)
{
    return (struct rth_site_row){
        .identity = identity, .frames = frames, .frame_count = count, .values = values};
}

static struct rth_sites_copy copy_of(struct rth_site_row *rows, size_t count)
{
    return (struct rth_sites_copy){.count = count, .rows = rows};
}

static size_t write_packed(const struct rth_held_profile *profile, const struct rth_sites_copy *now,
                           const struct rth_sites_copy *base)
{
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, packed, sizeof(packed));
    assert_int_equal(rth__held_profile_write(profile, now, base, &buffer.sink), 0);
    return buffer.sink.written_bytes;
}

static void write_parsed(const struct rth_held_profile *profile, const struct rth_sites_copy *now,
                         const struct rth_sites_copy *base)
{
    size_t packed_bytes = write_packed(profile, now, base);
    long plain_bytes = gunzip(packed, packed_bytes, plain, sizeof(plain));
    assert_true(plain_bytes > 0);
    parse_profile(plain, (size_t)plain_bytes);
}

static const char *write_text(struct rth_held_profile profile, const struct rth_sites_copy *now,
                              const struct rth_sites_copy *base)
{
    profile.debug = 1;
    packed[write_packed(&profile, now, base)] = '\0';
    return packed;
}

static void assert_values(size_t sample, uint64_t alloc_objects, uint64_t alloc_space,
                          uint64_t inuse_objects, uint64_t inuse_space)
{
    const uint64_t *values = parsed.samples[sample].values;
    assert_int_equal(values[0], alloc_objects);
    assert_int_equal(values[1], alloc_space);
    assert_int_equal(values[2], inuse_objects);
    assert_int_equal(values[3], inuse_space);
}

static const struct parsed_message *label_of(size_t sample, const char *key)
{
    for (size_t i = 0; i < parsed.samples[sample].child_count; i++) {
        const struct parsed_message *label = &parsed.children[parsed.samples[sample].child_at + i];
        if (string_is(label->numbers[1], key))
            return label;
    }
    return NULL;
}

/* ---- columns --------------------------------------------------------------------------------- */

static void the_head_is_that_of_a_heap_profile(void **state)
{
    static const char *const names[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                        "inuse_space"};
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_sites_copy none = {0};
    write_parsed(&profile, &none, NULL);
    assert_int_equal(parsed.sample_type_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(string_is(parsed.sample_types[i].numbers[1], names[i]));
        assert_true(string_is(parsed.sample_types[i].numbers[2], i % 2 == 0 ? "count" : "bytes"));
    }
    assert_true(string_is(parsed.period_type.numbers[1], "space"));
    assert_true(string_is(parsed.period_type.numbers[2], "bytes"));
    assert_int_equal(parsed.numbers[12], 4096);
    assert_int_equal(parsed.numbers[14], 0);
    assert_int_equal(parsed.numbers[10], 0);
    assert_int_equal(parsed.sample_count, 0);
    assert_true(string_is(parsed.comments[0], "one comment"));
    profile.default_sample_type = "alloc_space";
    profile.duration_ns = 5;
    write_parsed(&profile, &none, NULL);
    assert_true(string_is(parsed.numbers[14], "alloc_space"));
    assert_int_equal(parsed.numbers[10], 5);
}

static void columns_are_what_was_added_and_what_is_left(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row rows[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, UNITS(4), 400}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(2), 64, UNITS(2), 64}),
        /* Half of an object is one, less is none. */
        row_of(42, frames_c, 1, (struct rth_site_values){UNITS(1) / 2, 9, 1, 5}),
    };
    struct rth_sites_copy now = copy_of(rows, 3);
    write_parsed(&profile, &now, NULL);
    assert_int_equal(parsed.sample_count, 3);
    assert_values(0, 10, 1000, 6, 600);
    assert_values(1, 2, 64, 0, 0);
    assert_values(2, 1, 9, 0, 4);
    assert_int_equal(parsed.samples[0].id_count, 2);
    assert_int_equal(parsed.samples[1].id_count, 3);
    assert_int_equal(parsed.locations[parsed.samples[0].ids[0] - 1].numbers[3],
                     rth__frame_address(frames_a[0]));
}

static void rows_of_another_kind_are_not_shown(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row rows[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, 0, 0}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(2), 64, 0, 0}),
    };
    rows[0].kind = 3;
    struct rth_sites_copy now = copy_of(rows, 2);
    write_parsed(&profile, &now, NULL);
    assert_int_equal(parsed.sample_count, 1);
    assert_values(0, 2, 64, 2, 64);
    profile.kind = 3;
    write_parsed(&profile, &now, NULL);
    assert_int_equal(parsed.sample_count, 1);
    assert_values(0, 10, 1000, 10, 1000);
}

/* ---- differences ----------------------------------------------------------------------------- */

static void a_difference_is_of_the_allocated_columns_alone(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row before[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, UNITS(4), 400}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(2), 64, UNITS(1), 32}),
    };
    struct rth_site_row after[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(13), 1300, UNITS(6), 600}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(2), 64, UNITS(2), 64}),
        row_of(42, frames_c, 1, (struct rth_site_values){UNITS(5), 50, 0, 0}),
    };
    struct rth_sites_copy base = copy_of(before, 2), now = copy_of(after, 3);
    write_parsed(&profile, &now, &base);
    assert_int_equal(parsed.sample_count, 2); /* nothing is left of 41 */
    assert_values(0, 3, 300, 7, 700);
    assert_values(1, 5, 50, 5, 50);
}

/* Rows that made room meanwhile moved their sums to the row without a stack, where they are as old
 * as they were. */
static void what_made_room_meanwhile_is_not_new(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row before[] = {
        row_of(1, NULL, 0, (struct rth_site_values){UNITS(1), 100, UNITS(1), 100}),
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, UNITS(10), 1000}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(20), 640, UNITS(20), 640}),
    };
    struct rth_site_row after[] = {
        /* 100 as before, 1000 of row 40, and 7 that it had after the copy */
        row_of(1, NULL, 0, (struct rth_site_values){UNITS(12), 1107, UNITS(12), 1107}),
        row_of(41, frames_b, 3, (struct rth_site_values){UNITS(20), 640, UNITS(20), 640}),
        /* the stack of row 40 once more */
        row_of(50, frames_a, 2, (struct rth_site_values){UNITS(3), 30, 0, 0}),
    };
    struct rth_sites_copy base = copy_of(before, 3), now = copy_of(after, 3);
    write_parsed(&profile, &now, &base);
    assert_int_equal(parsed.sample_count, 2);
    assert_values(0, 1, 7, 0, 0);
    assert_values(1, 3, 30, 3, 30);
}

/* ---- labels ---------------------------------------------------------------------------------- */

static uint32_t label_set_of(const char *key, const char *value)
{
    const char *pair[] = {key, value};
    struct rth_label_pair ids[RTH_LABELS_MAX];
    assert_true(rth__label_sets_ready());
    assert_int_equal(rth__label_pairs_intern(pair, 1, ids), 1);
    return rth__label_set_with(RTH_LABEL_SET_NONE, ids, 1);
}

static void samples_have_their_labels_and_the_size_of_their_blocks(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row rows[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, 0, 0}),
        row_of(41, frames_a, 2, (struct rth_site_values){UNITS(10), 1019, 0, 0}),
        row_of(42, frames_a, 2, (struct rth_site_values){UNITS(1), 64, 0, 0}),
    };
    rows[0].label_set = label_set_of("handler", "/checkout");
    rows[2].label_set = label_set_of("bytes", "mine"); /* the program's own stays alone */
    struct rth_sites_copy now = copy_of(rows, 3);
    write_parsed(&profile, &now, NULL);
    assert_int_equal(parsed.samples[0].child_count, 2);
    assert_true(string_is(label_of(0, "handler")->numbers[2], "/checkout"));
    assert_int_equal(label_of(0, "bytes")->numbers[3], 100);
    assert_int_equal(parsed.samples[1].child_count, 1);
    assert_int_equal(label_of(1, "bytes")->numbers[3], 101);
    assert_int_equal(parsed.samples[2].child_count, 1);
    assert_true(string_is(label_of(2, "bytes")->numbers[2], "mine"));
    /* Nothing new: the size of what is held. */
    struct rth_sites_copy base = copy_of(rows, 1);
    now.count = 1;
    write_parsed(&profile, &now, &base);
    assert_values(0, 0, 0, 10, 1000);
    assert_int_equal(label_of(0, "bytes")->numbers[3], 100);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void the_text_has_records_labels_and_names(void **state)
{
    char line[256];
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_site_row rows[] = {
        row_of(40, frames_a, 2, (struct rth_site_values){UNITS(10), 1000, UNITS(4), 400}),
        row_of(41, NULL, 0, (struct rth_site_values){UNITS(2), 50, 0, 0}),
    };
    rows[0].label_set = label_set_of("handler", "/checkout");
    struct rth_sites_copy now = copy_of(rows, 2);
    const char *text = write_text(profile, &now, NULL);
    assert_memory_equal(text, "heap profile: 8: 650 [12: 1050] @ heap/2\n", 41);
    /* Addresses as they stand on the stack, the innermost too. */
    (void)snprintf(line, sizeof(line), "\n6: 600 [10: 1000] @ 0x%llx 0x%llx\n",
                   (unsigned long long)(uintptr_t)leaf_function + 3,
                   (unsigned long long)(uintptr_t)root_function + 4);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "# labels: {\"bytes\":100, \"handler\":\"/checkout\"}\n"));
    assert_non_null(strstr(text, "\tleaf_function+0x"));
    assert_non_null(strstr(text, "\troot_function+0x"));
    assert_non_null(strstr(text, "\n2: 50 [2: 50] @\n"));
    assert_non_null(strstr(text, "\n# one comment\n"));
}

static void a_text_without_rows_is_whole(void **state)
{
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_sites_copy none = {0};
    assert_string_equal(write_text(profile, &none, NULL),
                        "heap profile: 0: 0 [0: 0] @ heap/2\n# one comment\n");
    profile.naming.symbols = false;
    struct rth_site_row rows[] = {
        row_of(40, frames_c, 1, (struct rth_site_values){UNITS(1), 10, 0, 0})};
    struct rth_sites_copy now = copy_of(rows, 1);
    assert_null(strstr(write_text(profile, &now, NULL), "root_function"));
}

/* What one has written is what arrived; a sink that is full says so. */
static void an_error_of_the_sink_comes_back(void **state)
{
    char small[10];
    struct rth_buffer_sink buffer;
    (void)state;
    struct rth_held_profile profile = begin();
    struct rth_sites_copy none = {0};
    for (profile.debug = 0; profile.debug <= 1; profile.debug++) {
        rth__buffer_sink_init(&buffer, small, sizeof(small));
        assert_true(rth__held_profile_write(&profile, &none, NULL, &buffer.sink) < 0);
    }
}

RTH_TEST_MAIN(cmocka_unit_test(the_head_is_that_of_a_heap_profile),
              cmocka_unit_test(columns_are_what_was_added_and_what_is_left),
              cmocka_unit_test(rows_of_another_kind_are_not_shown),
              cmocka_unit_test(a_difference_is_of_the_allocated_columns_alone),
              cmocka_unit_test(what_made_room_meanwhile_is_not_new),
              cmocka_unit_test(samples_have_their_labels_and_the_size_of_their_blocks),
              cmocka_unit_test(the_text_has_records_labels_and_names),
              cmocka_unit_test(a_text_without_rows_is_whole),
              cmocka_unit_test(an_error_of_the_sink_comes_back))
