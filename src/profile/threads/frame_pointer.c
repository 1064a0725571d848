/* SPDX-License-Identifier: MIT */
#include "profile/threads/frame_pointer.h"

#include <string.h>

/* Frames of functions that hold more than this are not searched. */
#define SEARCH_BYTES   ((uint64_t)64 * 1024)
#define CANDIDATES_MAX 128u /* return addresses, of whatever calls */
/* A function that may end with a jump is looked through so far. */
#define FUNCTION_BYTES_MAX 4096u
#define CALL_BYTES         7u /* the longest call instruction that compilers write */

/* Pointer encodings of .eh_frame_hdr, as every linker writes it. */
#define HDR_TABLE_SORTED 0x3bu /* four bytes, signed, from the header */
#define HDR_COUNT_UDATA4 0x03u
#define HDR_START_SDATA4 0x1bu
#define HDR_BYTES        12u

struct function {
    uint64_t start, limit; /* 0: not known */
};

/* ---- functions ------------------------------------------------------------------------------- */

/* Offsets of the table are from the header. */
static bool table_read(struct rth_image_reader *memory, uint64_t hdr, uint32_t word,
                       uint64_t *ret_address)
{
    int32_t offset;
    if (rth__image_read(memory, hdr + HDR_BYTES + (uint64_t)word * 4, &offset, sizeof(offset)) != 0)
        return false;
    *ret_address = hdr + (uint64_t)(int64_t)offset;
    return true;
}

/* Bytes of code that the FDE there describes; 0 when it is not written as linkers do. */
static uint64_t fde_code_bytes(struct rth_image_reader *memory, uint64_t fde, uint64_t start)
{
    struct {
        uint32_t length, cie;
        int32_t start;
        uint32_t code_bytes;
    } head;
    if (rth__image_read(memory, fde, &head, sizeof(head)) != 0 ||
        fde + 8 + (uint64_t)(int64_t)head.start != start)
        return 0;
    return head.code_bytes;
}

/* The function by the table, which is sorted by where code starts. */
static struct function table_search(struct rth_image_reader *memory, uint64_t hdr, uint32_t count,
                                    uint64_t address)
{
    struct function none = {0, 0};
    uint32_t low = 0, high = count;
    uint64_t start, fde;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (!table_read(memory, hdr, middle * 2, &start))
            return none;
        if (start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !table_read(memory, hdr, (low - 1) * 2, &start) ||
        !table_read(memory, hdr, (low - 1) * 2 + 1, &fde))
        return none;
    uint64_t bytes = fde_code_bytes(memory, fde, start);
    if (bytes == 0 || address - start >= bytes)
        return none;
    return (struct function){.start = start, .limit = start + bytes};
}

static struct function function_of(struct rth_image_reader *memory, uint64_t address)
{
    struct function none = {0, 0};
    rth_frame frame = rth__frame_of_address_sigsafe(address);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    uint8_t head[HDR_BYTES];
    if (module == NULL || module->eh_frame_hdr_bytes < HDR_BYTES)
        return none;
    uint64_t hdr = address - rth__frame_vaddr(frame) + module->eh_frame_hdr_vaddr;
    if (rth__image_read(memory, hdr, head, sizeof(head)) != 0 || head[0] != 1 ||
        head[1] != HDR_START_SDATA4 || head[2] != HDR_COUNT_UDATA4 || head[3] != HDR_TABLE_SORTED)
        return none;
    uint32_t count;
    memcpy(&count, head + 8, sizeof(count));
    if (count > (module->eh_frame_hdr_bytes - HDR_BYTES) / 8)
        return none;
    return table_search(memory, hdr, count, address);
}

static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
/* push %rbp; mov %rsp,%rbp */
static const uint8_t set_up[] = {0x55, 0x48, 0x89, 0xe5};

/* The function in code that no table describes: from the last set-up of a frame pointer on. */
static struct function function_by_set_up(struct rth_image_reader *memory, uint64_t pc)
{
    uint8_t code[512 + sizeof(endbr64) + sizeof(set_up)];
    for (uint64_t limit = pc; limit > sizeof(code) && pc - limit < FUNCTION_BYTES_MAX;
         limit -= 512) {
        uint64_t low = limit - sizeof(code);
        if (rth__image_read(memory, low, code, sizeof(code)) != 0)
            break;
        for (size_t at = sizeof(code) - sizeof(set_up); at >= sizeof(endbr64); at--) {
            if (memcmp(code + at, set_up, sizeof(set_up)) != 0)
                continue;
            if (memcmp(code + at - sizeof(endbr64), endbr64, sizeof(endbr64)) == 0)
                at -= sizeof(endbr64);
            return (struct function){.start = low + at, .limit = pc + 1};
        }
    }
    return (struct function){0, 0};
}

/* ---- calls ----------------------------------------------------------------------------------- */

enum call_kind {
    NO_CALL,
    CALLS_TARGET,
    CALLS_REGISTER, /* or memory that may have changed since */
};

static uint64_t relative(const uint8_t *displacement, uint64_t next)
{
    int32_t value;
    memcpy(&value, displacement, sizeof(value));
    return next + (uint64_t)(int64_t)value;
}

/* Length of ff /2 with this mod byte and the one behind it. */
static unsigned indirect_call_bytes(uint8_t modrm, uint8_t sib)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3)
        return 2;
    unsigned bytes = 2 + (rm == 4) + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
    if (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5)))
        bytes += 4;
    return bytes;
}

/* What stands before a return address. */
static enum call_kind call_before(struct rth_image_reader *memory, uint64_t return_address,
                                  uint64_t *ret_target)
{
    uint8_t code[CALL_BYTES + 1] = {0};
    if (return_address < CALL_BYTES ||
        rth__image_read(memory, return_address - CALL_BYTES, code, CALL_BYTES) != 0)
        return NO_CALL;
    if (code[2] == 0xe8) {
        *ret_target = relative(code + 3, return_address);
        if (rth__frame_module_id(rth__frame_of_address_sigsafe(*ret_target)) != 0)
            return CALLS_TARGET;
    }
    if (code[1] == 0xff && code[2] == 0x15)
        return rth__image_read(memory, relative(code + 3, return_address), ret_target,
                               sizeof(*ret_target)) == 0
                   ? CALLS_TARGET
                   : NO_CALL;
    for (unsigned bytes = 2; bytes <= CALL_BYTES; bytes++) {
        const uint8_t *call = code + CALL_BYTES - bytes;
        if (call[0] == 0xff && (call[1] >> 3 & 7) == 2 &&
            indirect_call_bytes(call[1], call[2]) == bytes)
            return CALLS_REGISTER;
    }
    return NO_CALL;
}

/* Where a PLT entry leads: endbr64? bnd? jmp *slot(%rip). Anything else is its own target. */
static uint64_t behind_plt(struct rth_image_reader *memory, uint64_t target)
{
    uint8_t code[16];
    uint64_t resolved;
    if (rth__image_read(memory, target, code, sizeof(code)) != 0)
        return target;
    unsigned at = memcmp(code, endbr64, sizeof(endbr64)) == 0 ? sizeof(endbr64) : 0;
    at += code[at] == 0xf2;
    if (code[at] != 0xff || code[at + 1] != 0x25 ||
        rth__image_read(memory, relative(code + at + 2, target + at + 6), &resolved,
                        sizeof(resolved)) != 0)
        return target;
    return resolved;
}

/* Whether the function that starts at `from` holds a jump to `to`: how its last call is made. */
static bool ends_with_jump_to(struct rth_image_reader *memory, uint64_t from, uint64_t to)
{
    uint8_t code[512];
    struct function function = function_of(memory, from);
    if (function.start != from)
        return false;
    uint64_t limit = function.limit;
    if (limit - from > FUNCTION_BYTES_MAX)
        limit = from + FUNCTION_BYTES_MAX;
    /* Parts overlap by the length of a jump less one. */
    for (uint64_t at = from; at < limit; at += sizeof(code) - 4) {
        ssize_t got = rth__image_read_some(memory, at, code, sizeof(code));
        for (ssize_t i = 0; i + 5 <= got && at + (uint64_t)i < limit; i++) {
            bool conditional = i > 0 && code[i - 1] == 0x0f && (code[i] & 0xf0) == 0x80;
            if ((code[i] == 0xe9 || conditional) &&
                relative(code + i + 1, at + (uint64_t)i + 5) == to)
                return true;
        }
    }
    return false;
}

/* ---- the size of a frame -----------------------------------------------------------------------
 */

/* How far above the stack pointer of its body a function that starts with push %rbp, mov %rsp,%rbp
 * has its frame pointer, by what it pushes and reserves next; 0 when it starts otherwise. A frame
 * of changing size (alloca) is larger. */
static uint64_t frame_bytes(struct rth_image_reader *memory, const struct function *function)
{
    uint8_t code[32];
    if (function->start == 0 || rth__image_read(memory, function->start, code, sizeof(code)) != 0)
        return 0;
    unsigned at = memcmp(code, endbr64, sizeof(endbr64)) == 0 ? sizeof(endbr64) : 0;
    if (memcmp(code + at, set_up, sizeof(set_up)) != 0)
        return 0;
    uint64_t bytes = 0;
    for (at += sizeof(set_up); at + 9 < sizeof(code); bytes += 8) {
        if (code[at] == 0x41 && (code[at + 1] & 0xf8) == 0x50)
            at += 2;
        else if ((code[at] & 0xf8) == 0x50)
            at++;
        else
            break;
    }
    if (code[at] != 0x48 || code[at + 2] != 0xec)
        return 0;
    int32_t reserved;
    memcpy(&reserved, code + at + 3, sizeof(reserved));
    if (code[at + 1] == 0x83)
        reserved = (int8_t)code[at + 3];
    else if (code[at + 1] != 0x81)
        return 0;
    return reserved > 0 ? bytes + (uint64_t)reserved : 0;
}

/* ---- candidates ------------------------------------------------------------------------------ */

enum trust {
    REFUSED,
    POSSIBLE,
    CERTAIN,
};

struct innermost {
    struct function function; /* f: the one whose frame pointer is searched */
    uint64_t pc;
};

static enum trust trust_in(struct rth_image_reader *memory, const struct innermost *f,
                           uint64_t return_address)
{
    uint64_t target = 0;
    enum call_kind kind = call_before(memory, return_address, &target);
    if (kind == NO_CALL)
        return REFUSED;
    if (kind == CALLS_REGISTER)
        return POSSIBLE;
    target = behind_plt(memory, target);
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
    uint64_t bytes = frame_bytes(search->memory, &f->function);
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
        f.function = function_by_set_up(search->memory, f.pc);
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
