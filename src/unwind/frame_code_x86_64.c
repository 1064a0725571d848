/* SPDX-License-Identifier: MIT */
#include "unwind/frame_code.h"

#include <string.h>

#include "record/module.h"

/* A function that may end with a jump is looked through so far. */
#define FUNCTION_BYTES_MAX 4096u
#define CALL_BYTES         7u /* the longest call instruction that compilers write */

static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
/* push %rbp; mov %rsp,%rbp */
static const uint8_t set_up[] = {0x55, 0x48, 0x89, 0xe5};

struct rth_code_range rth__code_function_by_set_up(struct rth_image_reader *memory, uint64_t pc)
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
            return (struct rth_code_range){.start = low + at, .limit = pc + 1};
        }
    }
    return (struct rth_code_range){0, 0};
}

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

enum rth_call_kind rth__code_call_before(struct rth_image_reader *memory, uint64_t return_address,
                                         uint64_t *ret_target)
{
    uint8_t code[CALL_BYTES + 1] = {0};
    if (return_address < CALL_BYTES ||
        rth__image_read(memory, return_address - CALL_BYTES, code, CALL_BYTES) != 0)
        return RTH_CALL_NONE;
    if (code[2] == 0xe8) {
        *ret_target = relative(code + 3, return_address);
        if (rth__frame_module_id(rth__frame_of_address_sigsafe(*ret_target)) != 0)
            return RTH_CALL_TARGET;
    }
    if (code[1] == 0xff && code[2] == 0x15)
        return rth__image_read(memory, relative(code + 3, return_address), ret_target,
                               sizeof(*ret_target)) == 0
                   ? RTH_CALL_TARGET
                   : RTH_CALL_NONE;
    for (unsigned bytes = 2; bytes <= CALL_BYTES; bytes++) {
        const uint8_t *call = code + CALL_BYTES - bytes;
        if (call[0] == 0xff && (call[1] >> 3 & 7) == 2 &&
            indirect_call_bytes(call[1], call[2]) == bytes)
            return RTH_CALL_REGISTER;
    }
    return RTH_CALL_NONE;
}

/* endbr64? bnd? jmp *slot(%rip) */
uint64_t rth__code_behind_plt(struct rth_image_reader *memory, uint64_t target)
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

bool rth__code_has_jump_to(struct rth_image_reader *memory, const struct rth_code_range *function,
                           uint64_t to)
{
    uint8_t code[512];
    uint64_t from = function->start, limit = function->limit;
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

uint64_t rth__code_frame_bytes(struct rth_image_reader *memory,
                               const struct rth_code_range *function)
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
