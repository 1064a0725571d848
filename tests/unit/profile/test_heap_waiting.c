/* SPDX-License-Identifier: MIT */
/* Stacks kept as bytes until their code has rows. */
#include "profile/heap/waiting.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/unit.h"
#include "record/loader.h"
#include "unwind/unwind.h"

#define NOINLINE     __attribute__((noinline, aligned(1024)))
#define WRAPPER_CODE __attribute__((noinline, section("test_waiting_code")))

extern const char __start_test_waiting_code[], __stop_test_waiting_code[];

static struct rth_lock lock = RTH_LOCK_INIT(RTH_RANK_SITES);
static volatile uint64_t loader_calls;

static void refresh(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    (void)close(root_fd);
}

static void begin(void)
{
    rth__loader_watch(&loader_calls);
    rth__stack_here_wrappers_set((uintptr_t)__start_test_waiting_code,
                                 (uintptr_t)__stop_test_waiting_code);
}

WRAPPER_CODE int wrapper(uintptr_t block, uint64_t bytes);
WRAPPER_CODE int wrapper(uintptr_t block, uint64_t bytes)
{
    RTH__LOCK_SCOPE(&lock);
    return rth__waiting_put_locked(block, 7, 1024, bytes);
}

static NOINLINE int host(uintptr_t block, uint64_t bytes)
{
    int volatile slot = wrapper(block, bytes);
    return slot;
}

static void gone(int slot)
{
    RTH__LOCK_SCOPE(&lock);
    rth__waiting_gone_locked((uint32_t)slot);
}

static bool back(int slot, uintptr_t block)
{
    RTH__LOCK_SCOPE(&lock);
    return rth__waiting_back_locked((uint32_t)slot, block);
}

static struct {
    struct rth_waiting_sample sample;
    rth_frame first;
    unsigned count;
} found[RTH_WAITING_MAX];
static unsigned found_count;

static void on_found(const struct rth_waiting_sample *sample, const rth_frame *frames,
                     unsigned count)
{
    assert_true(found_count < RTH_WAITING_MAX);
    found[found_count].sample = *sample;
    found[found_count].first = count > 0 ? frames[0] : 0;
    found[found_count++].count = count;
}

static void resolve(void)
{
    found_count = 0;
    rth__waiting_resolve(&lock, on_found);
}

static bool is_in(rth_frame frame, const void *function)
{
    uint64_t address = rth__frame_address(frame), start = (uint64_t)(uintptr_t)function;
    return address >= start && address < start + 1024;
}

static void a_stack_is_walked_with_the_rows_that_came_later(void **state)
{
    (void)state;
    begin();
    int slot = host(0x1000, 48);
    assert_true(slot >= 0);
    assert_int_equal(rth__waiting_count(), 1);
    refresh();
    resolve();
    assert_int_equal(found_count, 1);
    assert_int_equal(found[0].sample.slot, slot);
    assert_int_equal(found[0].sample.block, 0x1000);
    assert_int_equal(found[0].sample.objects, 1024);
    assert_int_equal(found[0].sample.bytes, 48);
    assert_int_equal(found[0].sample.label_set, 7);
    assert_false(found[0].sample.block_gone);
    assert_true(found[0].count > 2);
    assert_true(is_in(found[0].first, (const void *)(uintptr_t)host));
    assert_int_equal(rth__waiting_count(), 0);
    resolve();
    assert_int_equal(found_count, 0);
}

static void a_block_may_go_and_come_back_while_it_waits(void **state)
{
    (void)state;
    begin();
    int first = host(0x1000, 1), second = host(0x2000, 2);
    assert_false(back(first, 0x1000)); /* it has not gone */
    gone(first);
    gone(second);
    assert_false(back(first, 0x2000)); /* another's slot */
    assert_true(back(first, 0x1000));
    assert_false(back(first, 0x1000));
    refresh();
    resolve();
    assert_int_equal(found_count, 2);
    assert_false(found[0].sample.block_gone);
    assert_true(found[1].sample.block_gone);
    gone(first); /* too late, and of no effect */
    assert_false(back(first, 0x1000));
    assert_false(back(RTH_WAITING_MAX, 0x1000));
}

static void there_is_room_for_so_many_and_then_for_none(void **state)
{
    (void)state;
    begin();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < RTH_WAITING_MAX; i++)
            assert_true(host(0x1000 + i, i) >= 0);
        assert_int_equal(host(0x999, 1), -1);
        assert_int_equal(rth__waiting_count(), RTH_WAITING_MAX);
        refresh();
        resolve();
        assert_int_equal(found_count, RTH_WAITING_MAX);
        uint64_t sum = 0;
        for (unsigned i = 0; i < RTH_WAITING_MAX; i++) {
            assert_true(is_in(found[i].first, (const void *)(uintptr_t)host));
            sum += found[i].sample.bytes;
        }
        assert_int_equal(sum, RTH_WAITING_MAX * (RTH_WAITING_MAX - 1) / 2);
    }
}

/* Code that nobody knows calls the wrapper: what a library looks like that was loaded since. */
static int through_unknown_code(uintptr_t block)
{
    static const unsigned char code[] = {
        0x55,             /* push %rbp */
        0x48, 0x89, 0xe5, /* mov %rsp, %rbp */
        0xff, 0xd2,       /* call *%rdx */
        0x5d, 0xc3,       /* pop %rbp; ret */
    };
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(page, code, sizeof(code));
    int (*call)(uintptr_t, uint64_t, int (*)(uintptr_t, uint64_t)) =
        (int (*)(uintptr_t, uint64_t, int (*)(uintptr_t, uint64_t)))(uintptr_t)page;
    return call(block, 1, wrapper);
}

static void code_loaded_meanwhile_is_waited_for_but_not_for_ever(void **state)
{
    (void)state;
    begin();
    refresh();
    (void)rth__loader_changed();
    (void)rth__loader_changed();
    assert_true(through_unknown_code(0x1000) >= 0);
    resolve();
    assert_int_equal(found_count, 1); /* nothing was loaded: it is what it is */
    assert_true(found[0].count >= 1);
    loader_calls++;
    assert_true(through_unknown_code(0x2000) >= 0);
    resolve();
    assert_int_equal(found_count, 0);
    assert_int_equal(rth__waiting_count(), 1);
    (void)rth__loader_changed(); /* rth-work looked, and found nothing */
    resolve();
    assert_int_equal(found_count, 1);
    loader_calls++;
    assert_true(through_unknown_code(0x3000) >= 0);
    unsigned walks = 0;
    do
        resolve();
    while (found_count == 0 && ++walks < 100);
    assert_in_range(walks, 1, 10);
    assert_int_equal(found[0].sample.block, 0x3000);
}

static void cleared_nothing_waits_and_all_slots_are_free(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < RTH_WAITING_MAX; i++)
        assert_true(host(0x1000 + i, i) >= 0);
    rth__lock(&lock);
    rth__waiting_clear_locked();
    rth__unlock(&lock);
    assert_int_equal(rth__waiting_count(), 0);
    refresh();
    resolve();
    assert_int_equal(found_count, 0);
    for (unsigned i = 0; i < RTH_WAITING_MAX; i++)
        assert_true(host(0x1000 + i, i) >= 0);
}

static void nothing_waits_in_a_child(void **state)
{
    (void)state;
    begin();
    assert_true(host(0x1000, 1) >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        rth__waiting_child_reset();
        bool fine = rth__waiting_count() == 0;
        fine = fine && host(0x2000, 1) >= 0 && rth__waiting_count() == 1;
        refresh();
        resolve();
        _exit(fine && found_count == 1 && found[0].sample.block == 0x2000 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(rth__waiting_count(), 1);
}

RTH_TEST_MAIN(cmocka_unit_test(a_stack_is_walked_with_the_rows_that_came_later),
              cmocka_unit_test(a_block_may_go_and_come_back_while_it_waits),
              cmocka_unit_test(there_is_room_for_so_many_and_then_for_none),
              cmocka_unit_test(code_loaded_meanwhile_is_waited_for_but_not_for_ever),
              cmocka_unit_test(cleared_nothing_waits_and_all_slots_are_free),
              cmocka_unit_test(nothing_waits_in_a_child))
