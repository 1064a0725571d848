/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an image that begins with .eh_frame_hdr: no crash, bounded work, and a table whose
 * every number leads to something. Then each rule takes one step, and its expressions are computed,
 * over registers and a stack of the same bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "unwind/eh_frame.h"
#include "unwind/walk.h"

#define IMAGE_BYTES_MAX 65536u
#define STACK_WORDS     64u

static uint8_t image[IMAGE_BYTES_MAX];
static uint64_t stack[STACK_WORDS];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_rule(const struct rth_rows *rows, const struct rth_rule *rule)
{
    check(rule->kind <= RTH_RULE_RARE);
    if (rule->kind != RTH_RULE_RARE)
        return;
    check(rule->rare_count > 0 && rule->cfa_offset >= 0 &&
          (uint32_t)rule->cfa_offset + rule->rare_count <= rows->place_count);
    for (unsigned i = 0; i < rule->rare_count; i++) {
        const struct rth_place *place = &rows->places[rule->cfa_offset + (int)i];
        check(i == 0 ? place->target == RTH_PLACE_CFA : place->target < RTH_REG_COUNT);
        check(place->source_register < RTH_REG_COUNT);
        check(place->expression_bytes == 0 ||
              (uint32_t)place->offset + place->expression_bytes <= rows->expression_bytes);
    }
}

static void take_step(const struct rth_rows *rows, const struct rth_rule *rule)
{
    static const struct rth_loaded_ranges no_ranges = {.generation = 1};
    struct walk walk = {
        .low = (uint64_t)(uintptr_t)stack,
        .limit = (uint64_t)(uintptr_t)(stack + STACK_WORDS) - 7,
        .regs = {.known = RTH_REGISTERS_ALL},
        .pc_is_exact = true,
        .follow_registers = true,
        .ranges = &no_ranges,
    };
    for (unsigned reg = 0; reg < RTH_REG_COUNT; reg++)
        walk.regs.value[reg] = walk.low + (size_t)8 * reg;
    bool more = rth__step_by_rule_sigsafe(&walk, rows, rule);
    check(more || walk.end < RTH_UNWIND_END_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > sizeof(image))
        return 0;
    memcpy(image, data, size);
    memcpy(stack, data, size < sizeof(stack) ? size : sizeof(stack));
    struct rth_eh_frame_image compiled = {
        .load_bias = (uint64_t)(uintptr_t)image, .vaddr_high = size, .hdr_bytes = size};
    struct rth_arena_stats before, after;
    struct rth_image_reader reader = {0};
    struct rth_rows *rows;
    struct rth_eh_frame_counts counts;
    rth__arena_stats(&before);
    int error = rth__eh_frame_compile(&reader, &compiled, &rows, &counts);
    check(error <= 0 && error != -EINVAL);
    if (error < 0)
        rows = NULL;
    for (uint32_t offset = 0; rows != NULL && offset < size + 2; offset++)
        check(rth__rows_find_sigsafe(rows, offset) < rows->rule_count);
    for (uint32_t i = 0; rows != NULL && i < rows->rule_count; i++) {
        check_rule(rows, &rows->rules[i]);
        take_step(rows, &rows->rules[i]);
    }
    rth__rows_free(rows);
    for (uint64_t vaddr = 0; vaddr < size; vaddr += 1 + size / 64) {
        uint64_t start, limit;
        if (rth__eh_frame_function_at(&reader, &compiled, vaddr, &start, &limit) == 0)
            check(start <= vaddr && vaddr < limit);
    }
    rth__arena_stats(&after);
    check(after.used_bytes == before.used_bytes);
    return 0;
}
