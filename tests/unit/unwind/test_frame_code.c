/* SPDX-License-Identifier: MIT */
/* Calls, jumps and frames in machine code. */
#include <fcntl.h>
#include <string.h>

#include "helper/unit.h"
#include "record/module.h"
#include "unwind/frame_code.h"

static struct rth_image_reader memory;
static uint8_t code[8192];

static uint64_t address_of(size_t offset)
{
    return (uint64_t)(uintptr_t)code + offset;
}

static void clear(void)
{
    memset(code, 0x90, sizeof(code));
}

static void put_code(size_t offset, const void *bytes, size_t size_bytes)
{
    memcpy(code + offset, bytes, size_bytes);
}
#define PUT(offset, ...)                                                                           \
    put_code((offset), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The displacement of an instruction that ends four bytes on. */
static void put_relative(size_t offset, uint64_t target)
{
    int32_t displacement = (int32_t)(target - address_of(offset + 4));
    memcpy(code + offset, &displacement, sizeof(displacement));
}

static enum rth_call_kind call_before(size_t offset, uint64_t *target)
{
    return rth__code_call_before(&memory, address_of(offset), target);
}

static void calls_are_told_from_other_code(void **state)
{
    (void)state;
    uint64_t target = 0, function = (uint64_t)(uintptr_t)calls_are_told_from_other_code;
    assert_true(rth__modules_refresh(open("/", O_PATH | O_DIRECTORY)) >= 0);
    clear();
    assert_int_equal(call_before(100, &target), RTH_CALL_NONE);
    PUT(95, 0xe8); /* direct */
    put_relative(96, function);
    assert_int_equal(call_before(100, &target), RTH_CALL_TARGET);
    assert_int_equal(target, function);
    put_relative(96, address_of(0)); /* to where no code is */
    assert_int_equal(call_before(100, &target), RTH_CALL_NONE);
    clear();
    PUT(94, 0xff, 0x15); /* through a slot */
    put_relative(96, address_of(200));
    put_code(200, &function, sizeof(function));
    target = 0;
    assert_int_equal(call_before(100, &target), RTH_CALL_TARGET);
    assert_int_equal(target, function);
    static const struct {
        unsigned bytes;
        uint8_t code[7];
    } through_register[] = {
        {2, {0xff, 0xd0}},                         /* *%rax */
        {2, {0xff, 0x13}},                         /* *(%rbx) */
        {3, {0xff, 0x14, 0xc3}},                   /* *(%rbx,%rax,8) */
        {3, {0xff, 0x50, 0x18}},                   /* *24(%rax) */
        {4, {0xff, 0x54, 0x24, 0x08}},             /* *8(%rsp) */
        {6, {0xff, 0x90, 0, 1, 0, 0}},             /* *256(%rax) */
        {7, {0xff, 0x94, 0xc3, 0, 1, 0, 0}},       /* *256(%rbx,%rax,8) */
        {7, {0xff, 0x14, 0xc5, 0x10, 0, 0x40, 0}}, /* *table(,%rax,8) */
    };
    for (size_t i = 0; i < sizeof(through_register) / sizeof(through_register[0]); i++) {
        clear();
        put_code(100 - through_register[i].bytes, through_register[i].code,
                 through_register[i].bytes);
        assert_int_equal(call_before(100, &target), RTH_CALL_REGISTER);
        assert_int_equal(call_before(101, &target), RTH_CALL_NONE);
    }
    clear();
    PUT(98, 0xff, 0xe0); /* a jump */
    assert_int_equal(call_before(100, &target), RTH_CALL_NONE);
    assert_int_equal(rth__code_call_before(&memory, 3, &target), RTH_CALL_NONE);
    assert_int_equal(rth__code_call_before(&memory, 4096, &target), RTH_CALL_NONE);
}

static void an_entry_of_the_plt_leads_to_what_its_slot_holds(void **state)
{
    (void)state;
    const uint64_t resolved = 0x1234567890;
    clear();
    put_code(200, &resolved, sizeof(resolved));
    PUT(0, 0xff, 0x25);
    put_relative(2, address_of(200));
    PUT(32, 0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25);
    put_relative(39, address_of(200));
    assert_int_equal(rth__code_behind_plt(&memory, address_of(0)), resolved);
    assert_int_equal(rth__code_behind_plt(&memory, address_of(32)), resolved);
    assert_int_equal(rth__code_behind_plt(&memory, address_of(64)), address_of(64));
    assert_int_equal(rth__code_behind_plt(&memory, 4096), 4096);
}

static bool has_jump(size_t start, size_t limit, size_t to)
{
    struct rth_code_range function = {address_of(start), address_of(limit)};
    return rth__code_has_jump_to(&memory, &function, address_of(to));
}

static void a_jump_is_found_wherever_it_is_in_the_function(void **state)
{
    (void)state;
    for (size_t at = 500; at < 520; at++) {
        clear();
        PUT(at, 0xe9);
        put_relative(at + 1, address_of(5000));
        assert_true(has_jump(0, 600, 5000));
        assert_false(has_jump(0, 600, 5001));
        assert_false(has_jump(0, at, 5000));
    }
    clear();
    PUT(300, 0x0f, 0x85);
    put_relative(302, address_of(5000));
    assert_true(has_jump(0, 600, 5000));
    clear();
    PUT(4200, 0xe9);
    put_relative(4201, address_of(5000));
    assert_false(has_jump(0, 4300, 5000)); /* looked through for so long and no longer */
    assert_true(has_jump(200, 4300, 5000));
}

static uint64_t frame_bytes(void)
{
    struct rth_code_range function = {address_of(0), address_of(64)};
    return rth__code_frame_bytes(&memory, &function);
}

static void the_size_of_a_frame_is_what_the_function_pushes_and_reserves(void **state)
{
    (void)state;
    clear();
    assert_int_equal(frame_bytes(), 0);
    PUT(0, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20);
    assert_int_equal(frame_bytes(), 0x20);
    /* endbr64; two pushes; a large frame */
    PUT(0, 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x41, 0x54, 0x53, 0x48, 0x81, 0xec, 0,
        0x10, 0, 0);
    assert_int_equal(frame_bytes(), 0x1010);
    struct rth_code_range unknown = {0, 0};
    assert_int_equal(rth__code_frame_bytes(&memory, &unknown), 0);
}

static void code_without_a_table_begins_at_the_last_set_up_of_a_frame_pointer(void **state)
{
    (void)state;
    struct rth_code_range found;
    clear();
    PUT(1000, 0x55, 0x48, 0x89, 0xe5);
    PUT(3000, 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5);
    PUT(5000, 0x55, 0x48, 0x89, 0xe5);
    found = rth__code_function_by_set_up(&memory, address_of(4500));
    assert_int_equal(found.start, address_of(3000));
    assert_int_equal(found.limit, address_of(4501));
    found = rth__code_function_by_set_up(&memory, address_of(2500));
    assert_int_equal(found.start, address_of(1000));
    found = rth__code_function_by_set_up(&memory, 4096);
    assert_int_equal(found.start, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(calls_are_told_from_other_code),
              cmocka_unit_test(an_entry_of_the_plt_leads_to_what_its_slot_holds),
              cmocka_unit_test(a_jump_is_found_wherever_it_is_in_the_function),
              cmocka_unit_test(the_size_of_a_frame_is_what_the_function_pushes_and_reserves),
              cmocka_unit_test(code_without_a_table_begins_at_the_last_set_up_of_a_frame_pointer))
