/* SPDX-License-Identifier: MIT */
#include "profile/threads/frame_pointer.h"

#include <string.h>

#include "unwind/eh_frame.h"
#include "unwind/frame_code.h"

/* Frames of functions that hold more than this are not searched. */
#define SEARCH_BYTES   ((uint64_t)64 * 1024)
#define CANDIDATES_MAX 128u /* return addresses, of whatever calls */

/* ---- functions ------------------------------------------------------------------------------- */

static struct rth_code_range function_of(struct rth_image_reader *memory, uint64_t address)
{
    struct rth_code_range none = {0, 0}, function;
    rth_frame frame = rth__frame_of_address_sigsafe(address);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    if (module == NULL)
        return none;
    uint64_t load_bias = address - rth__frame_vaddr(frame);
    struct rth_eh_frame_image image = {
        .load_bias = load_bias,
        .vaddr_low = module->image_vaddr_low,
        .vaddr_high = module->image_vaddr_high,
        .hdr_vaddr = module->eh_frame_hdr_vaddr,
        .hdr_bytes = module->eh_frame_hdr_bytes,
    };
    if (rth__eh_frame_function_at(memory, &image, rth__frame_vaddr(frame), &function.start,
                                  &function.limit) != 0)
        return none;
    function.start += load_bias;
    function.limit += load_bias;
    return function;
}

/* Whether the function that starts at `from` holds a jump to `to`: how its last call is made. */
static bool ends_with_jump_to(struct rth_image_reader *memory, uint64_t from, uint64_t to)
{
    struct rth_code_range function = function_of(memory, from);
    return function.start == from && rth__code_has_jump_to(memory, &function, to);
}

/* ---- candidates ------------------------------------------------------------------------------ */

enum trust {
    REFUSED,
    POSSIBLE,
    CERTAIN,
};

struct innermost {
    struct rth_code_range function; /* f: the one whose frame pointer is searched */
    uint64_t pc;
};

static enum trust trust_in(struct rth_image_reader *memory, const struct innermost *f,
                           uint64_t return_address)
{
    uint64_t target = 0;
    enum rth_call_kind kind = rth__code_call_before(memory, return_address, &target);
    if (kind == RTH_CALL_NONE)
        return REFUSED;
    if (kind == RTH_CALL_REGISTER)
        return POSSIBLE;
    target = rth__code_behind_plt(memory, target);
    if (target == f->function.start || ends_with_jump_to(memory, target, f->function.start))
        return CERTAIN;
    return REFUSED;
}

static bool comes_through(const struct innermost *f, const rth_frame *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t address = rth__frame_address(frames[i]);
        if (address >= f->function.start && address < f->function.limit)
            return true;
    }
    return false;
}

/* Walks with this frame pointer into search->trial; the frame behind f must be the pair's. */
static unsigned try_pair(struct rth_frame_pointer_search *search, uint64_t fp,
                         uint64_t return_address, unsigned known_count, bool *ret_more)
{
    struct rth_registers registers = *search->registers;
    registers.value[RTH_REG_RBP] = fp;
    registers.known |= 1u << RTH_REG_RBP;
    enum rth_unwind_end end;
    unsigned count = rth__unwind_sigsafe(&registers, search->stack, search->cache, search->trial,
                                         RTH_UNWIND_FRAMES_MAX, &end);
    bool is_used = count > known_count &&
                   search->trial[known_count] == rth__frame_of_address_sigsafe(return_address - 1);
    if (is_used && end == RTH_UNWIND_UNREADABLE)
        *ret_more = true;
    return is_used && end == RTH_UNWIND_ROOT ? count : 0;
}

static uint64_t word_of_copy(const struct rth_unwind_stack *stack, uint64_t address)
{
    uint64_t word;
    memcpy(&word, (const char *)stack->copy + (address - stack->low), sizeof(word));
    return word;
}

/* The stack pointer in f: behind the address that the function it called returns to. */
static uint64_t stack_pointer_in(const struct rth_unwind_stack *stack, uint64_t pc,
                                 unsigned known_count)
{
    if (known_count == 1)
        return stack->low;
    for (uint64_t at = stack->low; at + 8 <= stack->high; at += 8) {
        if (word_of_copy(stack, at) == pc + 1)
            return at + 8;
    }
    return 0;
}

/* The pair where f's own code says that it is. Who called f counts here too: a frame that alloca
 * has enlarged has left-over pairs at that place. */
static unsigned try_by_size(struct rth_frame_pointer_search *search, const struct innermost *f,
                            unsigned known_count, bool *ret_more)
{
    const struct rth_unwind_stack *stack = search->stack;
    uint64_t bytes = rth__code_frame_bytes(search->memory, &f->function);
    uint64_t sp = stack_pointer_in(stack, f->pc, known_count), fp = sp + bytes;
    if (bytes == 0 || sp == 0 || stack->high - sp < 16 || fp > stack->high - 16)
        return 0;
    uint64_t return_address = word_of_copy(stack, fp + 8);
    if (trust_in(search->memory, f, return_address) == REFUSED)
        return 0;
    return try_pair(search, fp, return_address, known_count, ret_more);
}

bool rth__frame_pointer_find(struct rth_frame_pointer_search *search, rth_frame *frames,
                             unsigned capacity, unsigned *count, bool *ret_more)
{
    const struct rth_unwind_stack *stack = search->stack;
    unsigned known_count = *count, looked = 0;
    *ret_more = false;
    struct innermost f = {.pc = rth__frame_address(frames[known_count - 1])};
    f.function = function_of(search->memory, f.pc);
    if (f.function.start == 0)
        f.function = rth__code_function_by_set_up(search->memory, f.pc);
    if (f.function.start == 0)
        return false;
    unsigned got = try_by_size(search, &f, known_count, ret_more);
    bool found = got != 0 && got <= capacity;
    if (found) {
        memcpy(frames, search->trial, got * sizeof(*frames));
        *count = got;
        return true;
    }
    if (*ret_more)
        return false;
    uint64_t limit =
        stack->high - stack->low > SEARCH_BYTES ? stack->low + SEARCH_BYTES : stack->high;
    for (uint64_t at = (stack->low + 7) & ~UINT64_C(7); at + 16 <= limit && looked < CANDIDATES_MAX;
         at += 8) {
        uint64_t return_address = word_of_copy(stack, at + 8);
        if (rth__frame_module_id(rth__frame_of_address_sigsafe(return_address - 1)) == 0)
            continue;
        looked++;
        enum trust trust = trust_in(search->memory, &f, return_address);
        if (trust == REFUSED || (trust == POSSIBLE && found))
            continue;
        got = try_pair(search, at, return_address, known_count, ret_more);
        if (got == 0 || got > capacity ||
            (trust == POSSIBLE &&
             comes_through(&f, search->trial + known_count, got - known_count)))
            continue;
        memcpy(frames, search->trial, got * sizeof(*frames));
        *count = got;
        found = true;
        if (trust == CERTAIN)
            break;
    }
    return found;
}
