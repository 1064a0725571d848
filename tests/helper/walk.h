/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_WALK_H
#define RTH_TESTS_HELPER_WALK_H

/* Walks for tests: the tables made once, stacks real or written by hand. */

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "helper/unit.h"
#include "unwind/unwind.h"

static rth_frame walked[RTH_UNWIND_FRAMES_MAX];
static unsigned walked_count;
static enum rth_unwind_end walked_end;

static union {
    unsigned char bytes[RTH_UNWIND_CACHE_BYTES];
    uint64_t align;
} walk_cache;

static inline struct rth_unwind_cache *test_cache(void)
{
    return (struct rth_unwind_cache *)(void *)&walk_cache;
}

static inline int root_directory(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd;
}

static inline void tables_refresh(void)
{
    assert_true(rth__unwind_refresh(root_directory()) >= 0);
}

/* The limits of the calling thread's stack. */
static inline struct rth_unwind_stack own_stack(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size_bytes;
    assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
    assert_int_equal(pthread_attr_getstack(&attributes, &low, &size_bytes), 0);
    (void)pthread_attr_destroy(&attributes);
    return (struct rth_unwind_stack){.low = (uint64_t)(uintptr_t)low,
                                     .high = (uint64_t)(uintptr_t)low + size_bytes};
}

static inline void walk_registers(const struct rth_registers *registers,
                                  const struct rth_unwind_stack *stack,
                                  struct rth_unwind_cache *cache)
{
    walked_end = RTH_UNWIND_END_COUNT;
    walked_count =
        rth__unwind_sigsafe(registers, stack, cache, walked, RTH_UNWIND_FRAMES_MAX, &walked_end);
}

/* From the caller of this macro, whose frame is the leaf. */
#define WALK_HERE(stack, cache)                                                                    \
    do {                                                                                           \
        ucontext_t here_;                                                                          \
        struct rth_registers registers_;                                                           \
        assert_int_equal(getcontext(&here_), 0);                                                   \
        rth__registers_from_ucontext_sigsafe(&here_, &registers_);                                 \
        walk_registers(&registers_, (stack), (cache));                                             \
    } while (0)

static inline uint64_t frame_at(unsigned index)
{
    assert_true(index < walked_count);
    return rth__frame_address(walked[index]);
}

#define ADDRESS(symbol) ((uint64_t)(uintptr_t)(symbol))

#define assert_ends(wanted)                                                                        \
    assert_string_equal(rth__unwind_end_name(walked_end), rth__unwind_end_name(wanted))

#endif /* RTH_TESTS_HELPER_WALK_H */
