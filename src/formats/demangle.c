/* SPDX-License-Identifier: MIT */
/*
 * libiberty's demangler in its callback form, which allocates nothing, with bounds around it: the
 * names come from files that anybody may have made.
 *
 * Stack. It recurses with the name's nesting and puts its tables on the stack: 64 KiB for a name of
 * 1,024 characters, which is also the longest that libiberty takes, and for templates times
 * references to parameters up to 1.4 MiB more. So it runs on a stack of its own, 4 MiB of address
 * space of which only what is touched becomes memory, with a guard page below.
 *
 * Time. A name may refer to its own parts, so its text can be exponentially longer than the name.
 * Printing ends as soon as the text is longer than the caller's buffer: the callback leaves that
 * stack for good, which is sound because nothing on it owns anything. What goes through the parts
 * without printing is the search for a parameter pack and the second reading of a conversion
 * operator's type; names with many of those and many references are refused beforehand.
 *
 * Threads: any. Failure: the caller shows the mangled name. Cost: 10 us, mostly five system calls.
 */
#include "formats/demangle.h"

#include <errno.h>
#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES ((size_t)4 * 1024 * 1024)
#define GUARD_BYTES ((size_t)4096)

/* Searches for a pack are walks over at most 2^REFERENCES_MAX parts, this many times. */
#define PACKS_MAX       8
#define REFERENCES_MAX  12
#define CONVERSIONS_MAX 8 /* each may double the reading */

struct attempt {
    const char *mangled;
    char *name;
    size_t size_bytes, length;
    int result;
    ucontext_t caller, demangler;
};

static bool is_digit_or_upper(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

/* "_" or "12A_" */
static bool is_sequence_id(const char *text)
{
    while (is_digit_or_upper(*text))
        text++;
    return *text == '_';
}

/* A pack expansion of a parameter itself, "DpRKT0_": found in one step. */
static bool is_plain_expansion(const char *text)
{
    text += strspn(text, "ORPVK");
    return text[0] == 'T' && is_sequence_id(text + 1);
}

/* Looks for letters, not for grammar: inside an identifier they count too. */
static bool may_take_long(const char *mangled)
{
    unsigned packs = 0, references = 0, conversions = 0;
    for (const char *at = mangled; at[0] != '\0'; at++) {
        if (at[0] == 'S' && is_sequence_id(at + 1))
            references++;
        else if (at[0] == 'D' && at[1] == 'p')
            packs += !is_plain_expansion(at + 2);
        else if ((at[0] == 's' && (at[1] == 'p' || at[1] == 'Z' || at[1] == 'P')) ||
                 (at[0] == 'f' && strchr("lrLR", at[1]) != NULL && at[1] != '\0'))
            packs++;
        else if (at[0] == 'c' && at[1] == 'v')
            conversions++;
    }
    return conversions > CONVERSIONS_MAX || (packs > 0 && references > REFERENCES_MAX) ||
           (packs > PACKS_MAX && references > 0);
}

static void append(const char *text, size_t size_bytes, void *userdata)
{
    struct attempt *attempt = userdata;
    if (size_bytes < attempt->size_bytes - attempt->length) {
        memcpy(attempt->name + attempt->length, text, size_bytes);
        attempt->length += size_bytes;
        attempt->name[attempt->length] = '\0';
        return;
    }
    attempt->result = -ENOSPC;
    (void)swapcontext(&attempt->demangler, &attempt->caller); /* does not come back */
}

/* makecontext passes ints. */
static void demangle_entry(unsigned high, unsigned low)
{
    struct attempt *attempt = (struct attempt *)((uintptr_t)high << 16 << 16 | low);
    int done =
        cplus_demangle_v3_callback(attempt->mangled, DMGL_PARAMS | DMGL_ANSI, append, attempt);
    attempt->result = done && attempt->length > 0 ? 0 : -ENOENT;
}

static void run_on(struct attempt *attempt, char *stack)
{
    uintptr_t address = (uintptr_t)attempt;
    (void)getcontext(&attempt->demangler);
    attempt->demangler.uc_stack.ss_sp = stack + GUARD_BYTES;
    attempt->demangler.uc_stack.ss_size = STACK_BYTES;
    attempt->demangler.uc_link = &attempt->caller;
    makecontext(&attempt->demangler, (void (*)(void))demangle_entry, 2,
                (unsigned)(address >> 16 >> 16), (unsigned)address);
    (void)swapcontext(&attempt->caller, &attempt->demangler);
}

int rth__demangle(const char *mangled, char *ret_name, size_t size_bytes)
{
    if (strncmp(mangled, "_Z", 2) != 0)
        return -ENOENT;
    if (strnlen(mangled, RTH_DEMANGLE_MANGLED_BYTES_MAX + 1) > RTH_DEMANGLE_MANGLED_BYTES_MAX ||
        may_take_long(mangled))
        return -E2BIG;
    if (size_bytes == 0)
        return -ENOSPC;
    size_t mapped_bytes = GUARD_BYTES + STACK_BYTES;
    char *stack = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    /* A huge page would be cleared for the few kilobytes that are used. */
    (void)madvise(stack, mapped_bytes, MADV_NOHUGEPAGE);
    struct attempt attempt = {.mangled = mangled, .name = ret_name, .size_bytes = size_bytes};
    if (mprotect(stack, GUARD_BYTES, PROT_NONE) == 0)
        run_on(&attempt, stack);
    else
        attempt.result = -ENOMEM;
    (void)munmap(stack, mapped_bytes);
    return attempt.result;
}
