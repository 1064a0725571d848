/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>

#include "helper/eh_frame_image.h"
#include "unwind/arch.h"

static struct frame_image image;
static struct rth_rows *rows;
static struct rth_eh_frame_counts counts;

static void compile(void)
{
    rows = NULL;
    assert_int_equal(image_compile(&image, &rows, &counts), 0);
    assert_non_null(rows);
}

static struct rth_rule rule_at(uint32_t vaddr)
{
    return rows->rules[rth__rows_find_sigsafe(rows, vaddr)];
}

static void assert_cfa(uint32_t vaddr, unsigned reg, int offset)
{
    struct rth_rule rule = rule_at(vaddr);
    assert_int_equal(rule.kind, RTH_RULE_REGISTER);
    assert_int_equal(rule.cfa_register, reg);
    assert_int_equal(rule.cfa_offset, offset);
}

static void assert_kind(uint32_t vaddr, enum rth_rule_kind kind)
{
    assert_int_equal(rule_at(vaddr).kind, kind);
}

#define INSTRUCTIONS(...)                                                                          \
    put_bytes(&image, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* One FDE of 64 bytes at CODE_VADDR with these instructions. */
#define ONE_FUNCTION(...)                                                                          \
    do {                                                                                           \
        image_init(&image);                                                                        \
        usual_fde(&image, usual_cie(&image), CODE_VADDR, 64);                                      \
        INSTRUCTIONS(__VA_ARGS__);                                                                 \
        record_end(&image);                                                                        \
        compile();                                                                                 \
    } while (0)

static void a_function_has_a_row_for_each_change_of_its_frame(void **state)
{
    (void)state;
    /* push rbp; mov rsp, rbp; push rbx; … leave: advance_loc in all its sizes */
    ONE_FUNCTION(0x41, 0x0e, 16, 0x86, 2, 0x02, 3, 0x0d, 6, 0x03, 1, 0, 0x83, 3, 0x04, 20, 0, 0, 0,
                 0x0c, 7, 8);
    assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
    assert_cfa(CODE_VADDR + 1, RTH_REG_RSP, 16);
    assert_int_equal(rule_at(CODE_VADDR + 3).saved_words[RTH_SAVED_RBP], -2);
    assert_cfa(CODE_VADDR + 4, RTH_REG_RBP, 16);
    assert_int_equal(rule_at(CODE_VADDR + 4).saved_words[RTH_SAVED_RBX], 0);
    assert_int_equal(rule_at(CODE_VADDR + 5).saved_words[RTH_SAVED_RBX], -3);
    assert_cfa(CODE_VADDR + 24, RTH_REG_RBP, 16);
    assert_cfa(CODE_VADDR + 25, RTH_REG_RSP, 8);
    assert_cfa(CODE_VADDR + 63, RTH_REG_RSP, 8);
    assert_kind(CODE_VADDR + 64, RTH_RULE_NONE);
    assert_kind(CODE_VADDR - 1, RTH_RULE_NONE);
    assert_int_equal(counts.fdes, 1);
    assert_int_equal(counts.fdes_refused, 0);
    rth__rows_free(rows);
}

static void states_are_remembered_eight_deep_and_come_back_in_turn(void **state)
{
    (void)state;
    image_init(&image);
    usual_fde(&image, usual_cie(&image), CODE_VADDR, 64);
    for (uint8_t depth = 1; depth <= 8; depth++)
        INSTRUCTIONS(0x0a, 0x41, 0x0e, (uint8_t)(8 + 8 * depth));
    for (unsigned depth = 8; depth >= 1; depth--)
        INSTRUCTIONS(0x41, 0x0b);
    record_end(&image);
    compile();
    for (uint32_t depth = 0; depth <= 8; depth++) {
        assert_cfa(CODE_VADDR + depth, RTH_REG_RSP, 8 + 8 * (int)depth);
        assert_cfa(CODE_VADDR + 16 - depth, RTH_REG_RSP, 8 + 8 * (int)depth);
    }
    rth__rows_free(rows);
}

static void remembering_without_end_or_restoring_nothing_loses_only_what_follows(void **state)
{
    (void)state;
    image_init(&image);
    usual_fde(&image, usual_cie(&image), CODE_VADDR, 64);
    INSTRUCTIONS(0x41, 0x0e, 24, 0x41);
    for (unsigned depth = 0; depth < 100; depth++)
        INSTRUCTIONS(0x0a);
    record_end(&image);
    compile();
    assert_cfa(CODE_VADDR + 1, RTH_REG_RSP, 24);
    assert_kind(CODE_VADDR + 2, RTH_RULE_NONE);
    assert_int_equal(counts.fdes_refused, 1);
    rth__rows_free(rows);
    ONE_FUNCTION(0x41, 0x0b, 0x41);
    assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
    assert_kind(CODE_VADDR + 1, RTH_RULE_NONE);
    rth__rows_free(rows);
}

/* A CIE with the augmentation, and a function of it at CODE_VADDR. */
static void function_with_augmentation(const char *augmentation, const void *data,
                                       size_t size_bytes, bool is_absolute)
{
    image_init(&image);
    uint32_t cie = cie_begin(&image, augmentation);
    if (augmentation[0] == 'z')
        put_uleb(&image, size_bytes);
    put_bytes(&image, data, size_bytes);
    put_usual_start(&image);
    record_end(&image);
    uint32_t record = fde_open(&image, cie, false);
    if (is_absolute) {
        put(&image, (uint64_t)(uintptr_t)image.bytes + CODE_VADDR, 8);
        put(&image, 64, 8);
    } else {
        put(&image, CODE_VADDR - image.at, 4);
        put(&image, 64, 4);
    }
    if (augmentation[0] == 'z') {
        put_uleb(&image, 4);
        put(&image, 0xdeadbeef, 4); /* the language's own data, to be skipped */
    }
    INSTRUCTIONS(0x44, 0x0e, 32);
    record_end(&image);
    entry_put(&image, CODE_VADDR, record);
}

static void every_augmentation_that_occurs_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *letters;
        uint8_t data[16];
        size_t size_bytes;
        bool is_absolute;
    } cases[] = {
        {"", {0}, 0, true},
        {"z", {0}, 0, true},
        {"zR", {0x1b}, 1, false},
        {"zPLR", {0x9b, 1, 2, 3, 4, 0x1b, 0x1b}, 7, false},
        {"zLPR", {0x1b, 0x9b, 1, 2, 3, 4, 0x1b}, 7, false},
        {"zPR", {0x00, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b}, 10, false},
        {"zRB", {0x1b}, 1, false},
        {"zRG", {0x1b}, 1, false},
        {"zR", {0x1b, 1, 2, 3}, 4, false}, /* data nobody named is skipped by its length */
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        function_with_augmentation(cases[i].letters, cases[i].data, cases[i].size_bytes,
                                   cases[i].is_absolute);
        compile();
        assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
        assert_cfa(CODE_VADDR + 4, RTH_REG_RSP, 32);
        rth__rows_free(rows);
    }
}

static void an_augmentation_nobody_described_is_refused_with_its_functions(void **state)
{
    (void)state;
    static const char *const letters[] = {"eh", "zQR", "R"};
    for (unsigned i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        function_with_augmentation(letters[i], (const uint8_t[]){0x1b}, 1, false);
        assert_int_equal(image_compile(&image, &rows, &counts), -ENOENT);
    }
}

static void frames_of_a_signal_cie_are_marked(void **state)
{
    (void)state;
    function_with_augmentation("zRS", (const uint8_t[]){0x1b}, 1, false);
    compile();
    assert_kind(CODE_VADDR, RTH_RULE_RARE);
    assert_true(rule_at(CODE_VADDR).is_signal_frame);
    rth__rows_free(rows);
    /* As libc describes its trampoline: the CFA is rsp's value in the ucontext. */
    image_init(&image);
    uint32_t cie = cie_begin(&image, "zRS");
    put_bytes(&image, (const uint8_t[]){1, 0x1b}, 2);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR, 64);
    INSTRUCTIONS(0x0f, 4, 0x77, 0xa0, 0x01, 0x06, 0x10, 16, 3, 0x77, 0xa8, 0x01);
    record_end(&image);
    compile();
    assert_kind(CODE_VADDR, RTH_RULE_SIGNAL);
    rth__rows_free(rows);
}

static void every_pointer_encoding_leads_to_the_code(void **state)
{
    (void)state;
    static const struct {
        uint8_t encoding;
        unsigned size_bytes;
    } cases[] = {
        {0x00, 8}, {0x04, 8}, {0x0c, 8},            /* absolute */
        {0x1b, 4}, {0x1a, 2}, {0x1c, 8}, {0x10, 8}, /* from the field itself */
        {0x3b, 4}, {0x3a, 2}, {0x3c, 8},            /* from .eh_frame_hdr */
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        image_init(&image);
        uint32_t cie = cie_begin(&image, "zR");
        put_uleb(&image, 1);
        put(&image, cases[i].encoding, 1);
        put_usual_start(&image);
        record_end(&image);
        uint32_t record = fde_open(&image, cie, false);
        uint64_t base = (cases[i].encoding & 0x70) == 0x10   ? image.at
                        : (cases[i].encoding & 0x70) == 0x30 ? HDR_VADDR
                                                             : 0 - (uint64_t)(uintptr_t)image.bytes;
        put(&image, CODE_VADDR - base, cases[i].size_bytes);
        put(&image, 64, cases[i].size_bytes);
        put_uleb(&image, 0);
        record_end(&image);
        entry_put(&image, CODE_VADDR, record);
        compile();
        assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
        assert_kind(CODE_VADDR + 64, RTH_RULE_NONE);
        rth__rows_free(rows);
    }
}

static void a_record_with_a_length_of_64_bits_is_read(void **state)
{
    (void)state;
    image_init(&image);
    image.is_wide = true;
    uint32_t cie = usual_cie(&image);
    uint32_t record = fde_open(&image, cie, true);
    put(&image, CODE_VADDR - image.at, 4);
    put(&image, 64, 4);
    put_uleb(&image, 0);
    INSTRUCTIONS(0x42, 0x0e, 48);
    record_end(&image);
    entry_put(&image, CODE_VADDR, record);
    compile();
    assert_cfa(CODE_VADDR + 2, RTH_REG_RSP, 48);
    rth__rows_free(rows);
}

static void a_truncated_record_is_refused_and_its_neighbours_stay(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    usual_fde(&image, cie, CODE_VADDR, 64);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 64, 64);
    INSTRUCTIONS(0x41, 0x0e, 16, 0x41, 0x0e, 0x80); /* a number that does not end */
    image.at = (image.at + 1) & ~3u;
    uint32_t content_bytes = image.at - image.content_at;
    memcpy(image.bytes + image.length_at, &content_bytes, 4);
    image.bytes[image.at - 1] = 0x80;
    usual_fde(&image, cie, CODE_VADDR + 128, 64);
    INSTRUCTIONS(0x41, 0x0e, 24);
    record_end(&image);
    /* One whose length leads out of the image. */
    uint32_t beyond = usual_fde(&image, cie, CODE_VADDR + 192, 64);
    record_end(&image);
    memcpy(image.bytes + beyond, &(uint32_t){0x7fffffff}, 4);
    compile();
    assert_cfa(CODE_VADDR + 63, RTH_REG_RSP, 8);
    assert_cfa(CODE_VADDR + 65, RTH_REG_RSP, 16);
    assert_kind(CODE_VADDR + 66, RTH_RULE_NONE);
    assert_cfa(CODE_VADDR + 129, RTH_REG_RSP, 24);
    assert_kind(CODE_VADDR + 192, RTH_RULE_NONE);
    assert_int_equal(counts.fdes_refused, 2);
    rth__rows_free(rows);
}

static void functions_that_overlap_end_where_the_next_begins(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    usual_fde(&image, cie, CODE_VADDR, 100);
    INSTRUCTIONS(0x41, 0x0e, 16, 0x72, 0x0e, 24); /* the second change lies in the next one */
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 50, 10);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 50, 30); /* the same start once more */
    INSTRUCTIONS(0x0e, 40);
    record_end(&image);
    compile();
    assert_cfa(CODE_VADDR + 49, RTH_REG_RSP, 16);
    assert_cfa(CODE_VADDR + 50, RTH_REG_RSP, 8);
    assert_kind(CODE_VADDR + 60, RTH_RULE_NONE);
    rth__rows_free(rows);
}

static void functions_of_no_length_leave_no_row(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    usual_fde(&image, cie, CODE_VADDR, 0);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 64, 64);
    record_end(&image);
    compile();
    assert_kind(CODE_VADDR, RTH_RULE_NONE);
    assert_cfa(CODE_VADDR + 64, RTH_REG_RSP, 8);
    rth__rows_free(rows);
}

static void a_section_without_a_search_table_is_read_record_by_record_to_its_end(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    usual_fde(&image, cie, CODE_VADDR + 128, 64); /* not in order of address, either */
    INSTRUCTIONS(0x0e, 24);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR, 64);
    record_end(&image);
    put(&image, 0, 4); /* a record of no length: nothing counts behind it */
    usual_fde(&image, cie, CODE_VADDR + 64, 64);
    record_end(&image);
    image.without_table = true;
    compile();
    assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
    assert_cfa(CODE_VADDR + 128, RTH_REG_RSP, 24);
    assert_kind(CODE_VADDR + 80, RTH_RULE_NONE);
    assert_int_equal(counts.fdes, 2);
    rth__rows_free(rows);
}

static void a_search_table_out_of_order_is_sorted(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    static const uint8_t order[] = {5, 2, 7, 0, 6, 1, 4, 3};
    for (unsigned i = 0; i < sizeof(order); i++) {
        usual_fde(&image, cie, CODE_VADDR + 32u * order[i], 32);
        INSTRUCTIONS(0x0e, (uint8_t)(16 + 8 * order[i]));
        record_end(&image);
    }
    compile();
    for (unsigned i = 0; i < sizeof(order); i++)
        assert_cfa(CODE_VADDR + 32 * i, RTH_REG_RSP, 16 + 8 * (int)i);
    rth__rows_free(rows);
}

static void assert_function(uint32_t vaddr, uint32_t start, uint32_t limit)
{
    uint64_t found_start = 0, found_limit = 0;
    assert_int_equal(image_function_at(&image, vaddr, &found_start, &found_limit), 0);
    assert_int_equal(found_start, start);
    assert_int_equal(found_limit, limit);
}

static void assert_no_function(uint32_t vaddr, int error)
{
    uint64_t start, limit;
    assert_int_equal(image_function_at(&image, vaddr, &start, &limit), error);
}

static void a_function_is_found_by_any_of_its_addresses(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    for (unsigned i = 0; i < 100; i++) {
        usual_fde(&image, cie, CODE_VADDR + 32u * i, 20 + i % 12);
        record_end(&image);
    }
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t start = CODE_VADDR + 32 * i, limit = start + 20 + i % 12;
        assert_function(start, start, limit);
        assert_function(start + 7, start, limit);
        assert_function(limit - 1, start, limit);
        assert_no_function(limit, -ENOENT);
    }
    assert_no_function(CODE_VADDR - 1, -ENOENT);
    assert_no_function(IMAGE_BYTES, -ENOENT);
    image.without_table = true;
    assert_no_function(CODE_VADDR, -ENOENT);
    image.hdr_bytes = 3;
    assert_no_function(CODE_VADDR, -EBADMSG);
}

static void code_between_functions_has_no_rule_unless_it_is_padding(void **state)
{
    (void)state;
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    usual_fde(&image, cie, CODE_VADDR, 10);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 16, 10);
    record_end(&image);
    usual_fde(&image, cie, CODE_VADDR + 64, 10);
    record_end(&image);
    compile();
    assert_cfa(CODE_VADDR + 15, RTH_REG_RSP, 8);
    assert_kind(CODE_VADDR + 26, RTH_RULE_NONE);
    assert_kind(CODE_VADDR + 63, RTH_RULE_NONE);
    assert_cfa(CODE_VADDR + 64, RTH_REG_RSP, 8);
    rth__rows_free(rows);
}

static void an_undefined_return_address_is_the_root(void **state)
{
    (void)state;
    ONE_FUNCTION(0x07, 16, 0x41, 0x0e, 16, 0x41, 0xc0 | 16);
    assert_kind(CODE_VADDR, RTH_RULE_ROOT);
    assert_kind(CODE_VADDR + 1, RTH_RULE_ROOT);
    assert_cfa(CODE_VADDR + 2, RTH_REG_RSP, 16); /* restored to what the CIE said */
    rth__rows_free(rows);
}

static void registers_saved_restored_and_kept_are_told_apart(void **state)
{
    (void)state;
    /* r12 by offset_extended, r13 by its signed form, r14 by the GNU negative one; then restore,
     * restore_extended, same_value */
    ONE_FUNCTION(0x05, 12, 4, 0x11, 13, 5, 0x2f, 14, 0x7e, 0x41, 0xc0 | 12, 0x06, 13, 0x08, 14);
    struct rth_rule rule = rule_at(CODE_VADDR);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12], -4);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12 + 1], -5);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12 + 2], 126);
    rule = rule_at(CODE_VADDR + 1);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12], 0);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12 + 1], 0);
    assert_int_equal(rule.saved_words[RTH_SAVED_R12 + 2], 0);
    rth__rows_free(rows);
}

static void forms_of_the_cfa_that_occur_are_recognised(void **state)
{
    (void)state;
    /* lazily bound PLT entries: rsp + 8 + ((rip & 15) >= 11) << 3 */
    ONE_FUNCTION(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22);
    struct rth_rule rule = rule_at(CODE_VADDR);
    assert_int_equal(rule.kind, RTH_RULE_PLT);
    assert_int_equal(rule.addend, 11);
    rth__rows_free(rows);
    /* a realigned stack: the CFA was kept at rbp - 16 */
    ONE_FUNCTION(0x0f, 3, 0x76, 0x70, 0x06);
    rule = rule_at(CODE_VADDR);
    assert_int_equal(rule.kind, RTH_RULE_DEREF);
    assert_int_equal(rule.cfa_register, RTH_REG_RBP);
    assert_int_equal(rule.cfa_offset, -16);
    rth__rows_free(rows);
    /* hand-written assembly: the old rsp lies at rsp + 40 */
    ONE_FUNCTION(0x0f, 5, 0x77, 40, 0x06, 0x23, 8);
    rule = rule_at(CODE_VADDR);
    assert_int_equal(rule.kind, RTH_RULE_DEREF);
    assert_int_equal(rule.addend, 8);
    rth__rows_free(rows);
    /* signed forms of def_cfa: factored */
    ONE_FUNCTION(0x12, 10, 0x7e, 0x41, 0x13, 0x7d, 0x41, 0x0d, 3);
    assert_cfa(CODE_VADDR, 10, 16);
    assert_cfa(CODE_VADDR + 1, 10, 24);
    assert_cfa(CODE_VADDR + 2, RTH_REG_RBX, 24);
    rth__rows_free(rows);
}

static const struct rth_place *place_of(uint32_t vaddr, unsigned target)
{
    struct rth_rule rule = rule_at(vaddr);
    assert_int_equal(rule.kind, RTH_RULE_RARE);
    for (unsigned i = 0; i < rule.rare_count; i++) {
        if (rows->places[rule.cfa_offset + (int)i].target == target)
            return &rows->places[rule.cfa_offset + (int)i];
    }
    fail_msg("no place for register %u", target);
    return NULL;
}

static void rare_rules_keep_every_place(void **state)
{
    (void)state;
    /* rbp is CFA-32, r12 in r10, rbx at an expression, r13 the value of one, r14 lost */
    ONE_FUNCTION(0x14, 6, 4, 0x09, 12, 10, 0x10, 3, 2, 0x76, 0x78, 0x16, 13, 2, 0x77, 8, 0x07, 14,
                 0x2e, 5, 0x15, 15, 0x7f);
    assert_int_equal(place_of(CODE_VADDR, RTH_REG_RBP)->kind, RTH_PLACE_OFFSET);
    assert_int_equal(place_of(CODE_VADDR, RTH_REG_RBP)->offset, -32);
    assert_int_equal(place_of(CODE_VADDR, 12)->kind, RTH_PLACE_REGISTER);
    assert_int_equal(place_of(CODE_VADDR, 12)->source_register, 10);
    assert_int_equal(place_of(CODE_VADDR, RTH_REG_RBX)->kind, RTH_PLACE_AT_EXPRESSION);
    const struct rth_place *place = place_of(CODE_VADDR, 13);
    assert_int_equal(place->kind, RTH_PLACE_EXPRESSION);
    assert_int_equal(place->expression_bytes, 2);
    assert_memory_equal(rows->expressions + place->offset, ((const uint8_t[]){0x77, 8}), 2);
    assert_int_equal(place_of(CODE_VADDR, 14)->kind, RTH_PLACE_UNDEFINED);
    assert_int_equal(place_of(CODE_VADDR, 15)->offset, 8);
    assert_int_equal(place_of(CODE_VADDR, RTH_PLACE_CFA)->source_register, RTH_REG_RSP);
    rth__rows_free(rows);
}

static void set_loc_moves_on_and_never_back(void **state)
{
    (void)state;
    image_init(&image);
    usual_fde(&image, usual_cie(&image), CODE_VADDR, 64);
    INSTRUCTIONS(0x0e, 16, 0x01);
    put(&image, CODE_VADDR + 8 - image.at, 4);
    INSTRUCTIONS(0x0e, 24, 0x01);
    put(&image, CODE_VADDR + 4 - image.at, 4);
    INSTRUCTIONS(0x0e, 32);
    record_end(&image);
    compile();
    assert_cfa(CODE_VADDR + 7, RTH_REG_RSP, 16);
    assert_kind(CODE_VADDR + 8, RTH_RULE_NONE);
    assert_int_equal(counts.fdes_refused, 1);
    rth__rows_free(rows);
}

static void instructions_nobody_knows_leave_the_rest_without_a_rule(void **state)
{
    (void)state;
    ONE_FUNCTION(0x41, 0x0e, 16, 0x41, 0x3f, 0x41, 0x0e, 24);
    assert_cfa(CODE_VADDR + 1, RTH_REG_RSP, 16);
    assert_kind(CODE_VADDR + 2, RTH_RULE_NONE);
    assert_kind(CODE_VADDR + 63, RTH_RULE_NONE);
    rth__rows_free(rows);
}

static void many_functions_of_one_record_cost_no_more_than_the_image(void **state)
{
    (void)state;
    /* Each entry claims the same long record: only the one it is of is run. */
    image_init(&image);
    uint32_t cie = usual_cie(&image);
    uint32_t record = usual_fde(&image, cie, CODE_VADDR, 64);
    for (unsigned i = 0; i < 20000; i++)
        INSTRUCTIONS(0x00);
    record_end(&image);
    for (uint32_t i = 1; i < 1000; i++)
        entry_put(&image, CODE_VADDR + i, record);
    compile();
    assert_int_equal(counts.fdes, 1);
    assert_int_equal(counts.fdes_refused, 999);
    rth__rows_free(rows);
}

static void headers_that_lead_nowhere_are_told(void **state)
{
    (void)state;
    image_init(&image);
    image.hdr_bytes = 3;
    assert_int_equal(image_compile(&image, &rows, &counts), -EBADMSG);
    image_init(&image);
    assert_int_equal(image_compile(&image, &rows, &counts), -ENOENT); /* no record at all */
    image_init(&image);
    usual_fde(&image, usual_cie(&image), CODE_VADDR, 64);
    record_end(&image);
    image.entry_count = 0x10000000; /* the header has no room for so many */
    image.hdr_bytes = 20;
    compile(); /* falls back to the records */
    assert_cfa(CODE_VADDR, RTH_REG_RSP, 8);
    rth__rows_free(rows);
}

RTH_TEST_MAIN(
    cmocka_unit_test(a_function_has_a_row_for_each_change_of_its_frame),
    cmocka_unit_test(states_are_remembered_eight_deep_and_come_back_in_turn),
    cmocka_unit_test(remembering_without_end_or_restoring_nothing_loses_only_what_follows),
    cmocka_unit_test(every_augmentation_that_occurs_is_understood),
    cmocka_unit_test(an_augmentation_nobody_described_is_refused_with_its_functions),
    cmocka_unit_test(frames_of_a_signal_cie_are_marked),
    cmocka_unit_test(every_pointer_encoding_leads_to_the_code),
    cmocka_unit_test(a_record_with_a_length_of_64_bits_is_read),
    cmocka_unit_test(a_truncated_record_is_refused_and_its_neighbours_stay),
    cmocka_unit_test(functions_that_overlap_end_where_the_next_begins),
    cmocka_unit_test(functions_of_no_length_leave_no_row),
    cmocka_unit_test(a_section_without_a_search_table_is_read_record_by_record_to_its_end),
    cmocka_unit_test(a_search_table_out_of_order_is_sorted),
    cmocka_unit_test(a_function_is_found_by_any_of_its_addresses),
    cmocka_unit_test(code_between_functions_has_no_rule_unless_it_is_padding),
    cmocka_unit_test(an_undefined_return_address_is_the_root),
    cmocka_unit_test(registers_saved_restored_and_kept_are_told_apart),
    cmocka_unit_test(forms_of_the_cfa_that_occur_are_recognised),
    cmocka_unit_test(rare_rules_keep_every_place),
    cmocka_unit_test(set_loc_moves_on_and_never_back),
    cmocka_unit_test(instructions_nobody_knows_leave_the_rest_without_a_rule),
    cmocka_unit_test(many_functions_of_one_record_cost_no_more_than_the_image),
    cmocka_unit_test(headers_that_lead_nowhere_are_told), )
